package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/inspect"
	"fx/cli/ui"
)

func bundleInspect() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what a bundle runs, what leaves, to where, who signed, what changed, and every file",
		ArgsUsage: "FILE",
		Description: `Works on bundles that nobody has approved, and executes nothing. What changed
is said since the bundle of the same name in the same folder that was approved
last, or since --baseline. Examples:
   fxctl bundle inspect ward.fxb
   fxctl bundle inspect ward.fxb --baseline ward-1.0.fxb
   fxctl bundle inspect ward.fxb --json`,
		Flags: []cli.Flag{baselineFlag(), policyFlag(), certDirFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE")
			if err != nil {
				return nil, err
			}
			r, err := runBundleInspect(c, inspectOptions(c, args[0]))
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

func baselineFlag() cli.Flag {
	return &cli.StringFlag{Name: "baseline", Usage: "say what changed since the bundle `OLD`, or \"none\" (default: the one of this name here that was approved last)", TakesFile: true}
}

type bundleInspectOptions struct{ file, certDir, policy, baseline string }

func inspectOptions(c *cli.Context, file string) bundleInspectOptions {
	return bundleInspectOptions{file: file, certDir: c.String("cert-dir"), policy: c.String("policy"), baseline: c.String("baseline")}
}

// noBaseline is the value of --baseline that asks for no comparison.
const noBaseline = "none"

func runBundleInspect(c *cli.Context, o bundleInspectOptions) (r *inspect.Report, err error) {
	checked, r, err := reportOf(c, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, checked.Close()) }()
	if err := compareWithBaseline(c, o, checked, r); err != nil {
		return nil, err
	}
	return r, nil
}

// compareWithBaseline adds to a report what changed since the baseline, which by
// default is the bundle of the same name that was approved last, if there is one.
func compareWithBaseline(c *cli.Context, o bundleInspectOptions, checked *bundle.Checked, r *inspect.Report) (err error) {
	old := o.baseline
	switch old {
	case noBaseline:
		return nil
	case "":
		if old = lastApproved(o, checked.Bundle); old == "" {
			return nil
		}
	}
	before := o
	before.file = old
	base, oldReport, err := reportOf(c, before)
	if err != nil {
		return fmt.Errorf("cannot compare with the baseline: %w", err)
	}
	defer func() { err = errors.Join(err, base.Close()) }()
	r.Changes, err = inspect.Compare(base, checked, oldReport, r)
	return err
}

// reportOf checks a bundle and reports on it. The caller closes the bundle.
func reportOf(c *cli.Context, o bundleInspectOptions) (*bundle.Checked, *inspect.Report, error) {
	judges, err := newJudges(o.file, o.certDir, o.policy, false)
	if err != nil {
		return nil, nil, err
	}
	checked, err := checkFile(c, o.file)
	if err != nil {
		return nil, nil, err
	}
	r, err := analyse(c, o.file, checked, judges.decide(checked.Bundle, time.Now()))
	if err != nil {
		return nil, nil, errors.Join(err, checked.Close())
	}
	return checked, r, nil
}

// analyse makes the report, with progress.
func analyse(c *cli.Context, file string, checked *bundle.Checked, d *approval.Decision) (*inspect.Report, error) {
	var size int64
	for _, f := range checked.Files() {
		size += f.Size
	}
	progress := ui.From(c).Progress("analysing "+filepath.Base(file), size)
	defer progress.Close()
	return inspect.New(c.Context, checked, d, progress.Add)
}

// maxNeighbours bounds how many bundles of a folder are looked at.
const maxNeighbours = 200

// lastApproved is the bundle of the same name and folder, but of other content,
// whose approval under the policy in force was signed last; "" if there is none.
// A neighbour that cannot be read or judged is none.
func lastApproved(o bundleInspectOptions, b *bundle.Bundle) string {
	files, err := filepath.Glob(filepath.Join(escapeGlob(filepath.Dir(o.file)), "*.fxb"))
	if err != nil {
		return ""
	}
	best, latest := "", ""
	for _, file := range files[:min(len(files), maxNeighbours)] {
		if at := approvedAt(file, o, b); at > latest {
			best, latest = file, at
		}
	}
	return best
}

func approvedAt(file string, o bundleInspectOptions, b *bundle.Bundle) string {
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	other, err := bundle.OpenFile(file)
	if err != nil {
		return ""
	}
	defer func() { _ = other.Close() }() // it was only read
	if other.Name() != b.Name() || other.ID() == b.ID() {
		return ""
	}
	judges, err := newJudges(file, o.certDir, o.policy, false)
	if err != nil {
		return ""
	}
	return inspect.Baseline(judges.decide(other, time.Now()))
}

// escapeGlob makes a folder's name mean itself in a pattern.
func escapeGlob(dir string) string {
	var out []rune
	for _, r := range dir {
		if r == '*' || r == '?' || r == '[' {
			out = append(out, '[', r, ']')
			continue
		}
		out = append(out, r)
	}
	return string(out)
}

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/tensor"
	"fx/schema"
	"fx/schema/check"
)

func planUpgrade() *cli.Command {
	return &cli.Command{
		Name:      "upgrade",
		Usage:     "rewrite a plan for OpenFL 1.6 to 1.8 in the words of 1.9",
		ArgsUsage: "PLAN",
		Description: `PLAN is a file, a workspace folder, or - for standard input. Renamed keys and
classes get their new names, what is gone goes; comments and layout stay. Without
-o and --in-place nothing is written: it says what it would do. A plan that needs
nothing stays as it is. The hash changes, and with it the federation's id. Examples:
   fxctl plan upgrade ward
   fxctl plan upgrade ward --in-place
   fxctl plan upgrade old.yaml -o new.yaml
   fxctl plan upgrade old.yaml -o - | diff old.yaml -`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the plan to this new file (- is standard output)", TakesFile: true},
			&cli.BoolFlag{Name: "in-place", Usage: "replace PLAN"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "PLAN")
			if err != nil {
				return nil, err
			}
			o := planUpgradeOptions{console: ui.From(c), plan: args[0], output: c.String("output"), inPlace: c.Bool("in-place")}
			switch {
			case c.IsSet("output") && o.inPlace:
				return nil, ui.Usagef("-o and --in-place say two things: give one of them")
			case c.IsSet("output") && o.output == "":
				return nil, ui.Usagef("-o needs the name of a file")
			case o.inPlace && o.plan == "-":
				return nil, ui.Usagef("--in-place needs a file: standard input cannot be replaced")
			case o.output == "-" && o.console.JSON:
				return nil, ui.Usagef("-o - and --json would both write to standard output")
			}
			return runPlanUpgrade(c.Context, o)
		}),
	}
}

type planUpgradeOptions struct {
	console *ui.Console
	plan    string
	output  string // "" for nothing
	inPlace bool
}

type planUpgradeResult struct {
	Plan    string           `json:"plan"`
	Output  string           `json:"output,omitempty"` // what was written; absent if nothing was
	Changes []schema.Upgrade `json:"changes"`
	Hash    string           `json:"hash"`               // of the plan as it is now
	OldHash string           `json:"old_hash,omitempty"` // absent if the old plan cannot be read by 1.9's rules
	Peers   []check.Peer     `json:"peers"`

	text []byte
}

func runPlanUpgrade(_ context.Context, o planUpgradeOptions) (*planUpgradeResult, error) {
	f, err := readPlan(o.console, o.plan)
	if err != nil {
		return nil, err
	}
	text, changes, err := schema.UpgradePlan(f.name, f.data)
	if err != nil {
		return nil, fmt.Errorf("cannot upgrade plan %q:\n%w", f.name, err)
	}
	p, err := schema.ReadPlan(f.name, text)
	if err != nil {
		return nil, fmt.Errorf("cannot read plan %q:\n%w", f.name, err)
	}
	r := &planUpgradeResult{Plan: f.name, Changes: append([]schema.Upgrade{}, changes...), Hash: p.Hash(), Peers: check.Peers(p.Config()), text: text}
	if old, err := schema.ReadPlan(f.name, f.data); err == nil { // a defaults file may be gone
		r.OldHash = old.Hash()
	}
	if err := r.write(o); err != nil {
		return nil, err
	}
	if r.Output == "-" {
		var b strings.Builder
		if err := r.report(&b); err != nil {
			return nil, err
		}
		for l := range strings.Lines(b.String()) {
			o.console.Infof("%s", strings.TrimSuffix(l, "\n"))
		}
	}
	return r, nil
}

// write puts the plan where it was asked for. A file that is there is replaced
// only by --in-place, and then only if it had to change.
func (r *planUpgradeResult) write(o planUpgradeOptions) error {
	put := func(name string, replace bool) error {
		return tensor.WriteFile(name, replace, func(w io.Writer) error {
			_, err := w.Write(r.text)
			return err
		})
	}
	switch {
	case o.output == "-":
		r.Output = "-"
	case o.output != "":
		if err := put(o.output, false); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return ui.Hint(err, "fxctl plan upgrade %s --in-place, or another name after -o", o.plan)
			}
			return err
		}
		r.Output = o.output
	case o.inPlace && len(r.Changes) > 0:
		name, err := filepath.EvalSymlinks(r.Plan)
		if err != nil {
			return fmt.Errorf("cannot write %q: %v", r.Plan, err)
		}
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("cannot write %q: %v", r.Plan, err)
		}
		mode := info.Mode().Perm()
		if mode&0o200 == 0 {
			return ui.Hint(fmt.Errorf("cannot write %q: it is read-only, as OpenFL's \"plan freeze\" leaves a plan", r.Plan), "fxctl plan upgrade %s -o plan.yaml", o.plan)
		}
		if err := put(name, true); err != nil {
			return err
		}
		if err := os.Chmod(name, mode); err != nil {
			return fmt.Errorf("cannot write %q: %v", r.Plan, err)
		}
		r.Output = r.Plan
	}
	return nil
}

// Text is the plan if it was asked for on standard output, else the report.
func (r *planUpgradeResult) Text(w io.Writer) error {
	if r.Output == "-" {
		_, err := w.Write(r.text)
		return err
	}
	return r.report(w)
}

func (r *planUpgradeResult) report(w io.Writer) error {
	var b strings.Builder
	switch {
	case len(r.Changes) == 0:
		fmt.Fprintf(&b, "%s: already in the words of OpenFL 1.9\n", line(r.Plan))
	case r.Output == "":
		fmt.Fprintf(&b, "%s: %s; nothing is written without -o or --in-place\n", line(r.Plan), changesText(len(r.Changes)))
	default:
		fmt.Fprintf(&b, "%s: %s\n", line(r.Plan), changesText(len(r.Changes)))
	}
	for _, c := range r.Changes {
		to := ""
		if c.To != "" {
			to = " to " + c.To
		}
		fmt.Fprintf(&b, "line %d: %s: %s%s (%s)\n", c.Line, line(c.Path), c.Action, line(to), line(c.Why))
	}
	if len(r.Changes) > 0 && r.OldHash != r.Hash {
		b.WriteString("another hash: the federation gets another id, and every member needs the new plan\n")
	}
	for _, p := range r.Peers {
		fmt.Fprintf(&b, "\nOpenFL %s: %s\n", p.Version, peerText(p))
		for _, f := range p.Findings {
			fmt.Fprintf(&b, "- %s\n", line(f))
		}
	}
	if r.Output != "" && r.Output != "-" {
		fmt.Fprintf(&b, "\nwrote %s\n", line(r.Output))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func changesText(n int) string {
	if n == 1 {
		return "1 change"
	}
	return fmt.Sprintf("%d changes", n)
}

func peerText(p check.Peer) string {
	id := "it computes the same ids as fx"
	if !p.SameID {
		id = "it computes another federation id, so it cannot take part"
	}
	if !p.Starts {
		return id + "; it cannot run the plan"
	}
	return id
}

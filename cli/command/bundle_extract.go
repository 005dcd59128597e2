package command

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/cli/ui"
)

func bundleExtract() *cli.Command {
	return &cli.Command{
		Name:      "extract",
		Usage:     "write a bundle's files into a new folder, verified",
		ArgsUsage: "FILE DIR",
		Description: `Files and folders are read-only: they are what was signed. Integrity is
always checked; approval as well, unless --unapproved is given to read the code
before deciding. Examples:
   fxctl bundle extract ward.fxb ward-1.0
   fxctl bundle extract ward.fxb ward-review --unapproved`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "unapproved", Usage: "extract for review although nobody has approved the bundle"},
			policyFlag(), siteFlag(), certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE", "DIR")
			if err != nil {
				return nil, err
			}
			r, err := runBundleExtract(c, bundleExtractOptions{
				file: args[0], dir: args[1], certDir: c.String("cert-dir"), policy: c.String("policy"), site: c.String("site"), unapproved: c.Bool("unapproved"),
			})
			return r, hinted(err, args[0])
		}),
	}
}

type bundleExtractOptions struct {
	file, dir, certDir, policy, site string
	unapproved                       bool
}

type bundleExtractResult struct {
	File     string `json:"file"`
	Folder   string `json:"folder"`
	BundleID string `json:"bundle_id"`
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"`
	Approved bool   `json:"approved"`
}

func runBundleExtract(c *cli.Context, o bundleExtractOptions) (r *bundleExtractResult, err error) {
	judges, err := newJudges(o.file, o.certDir, o.policy, !o.unapproved)
	if err != nil {
		return nil, err
	}
	judges.policy = judges.policy.ForSite(o.site)
	b, err := bundle.OpenFile(o.file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r = &bundleExtractResult{File: o.file, Folder: o.dir, BundleID: b.ID().String()}
	if err := r.extract(c, b, judges, o); err != nil {
		return nil, fmt.Errorf("cannot extract bundle %q: %w", o.file, err)
	}
	for _, f := range b.Files() {
		r.Files++
		r.Bytes += f.Size
	}
	return r, nil
}

// extract verifies the bundle, or, if that was asked for by name and there is no
// approval, checks its integrity alone; either way while it writes.
func (r *bundleExtractResult) extract(c *cli.Context, b *bundle.Bundle, j *judges, o bundleExtractOptions) error {
	now := time.Now()
	r.Approved = j.decide(b, now).Approved
	console := ui.From(c)
	unapproved := !r.Approved && o.unapproved
	if unapproved {
		console.Warnf("bundle %q is NOT APPROVED: read its files, do not run them", r.File)
	}
	progress := console.Progress("extracting "+filepath.Base(o.file), b.ContentSize())
	defer progress.Close()
	if unapproved {
		_, err := b.Extract(c.Context, o.dir, progress.Add)
		return err
	}
	_, err := b.VerifyAndExtract(c.Context, j.anchors, j.policy, j.sidecar, now, o.dir, progress.Add)
	return err
}

// Text is the result for people.
func (r *bundleExtractResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s: %d files, %s, read-only; bundle id %s\n", ui.Clean(r.Folder), r.Files, ui.Bytes(r.Bytes), r.BundleID)
	return err
}

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/exchange"
	"fx/ca/identity"
	"fx/cli/ui"
)

func bundlePull() *cli.Command {
	return &cli.Command{
		Name:      "pull",
		Usage:     "fetch a bundle and its signatures from an OCI registry or a one-file OCI layout",
		ArgsUsage: "[REFERENCE]",
		Description: `What comes is compared with the digests that name it; whether it may run,
fxctl bundle verify says. Where the bundle is there already, new signatures are
added to those beside it. Examples:
   fxctl bundle pull registry.example.org/fl/ward:1.4.0 -o ward-1.4.0.fxb
   fxctl bundle pull registry.example.org/fl/ward:1.4.0 -o new.fxb --have old.fxb
   fxctl bundle pull --oci-layout ward.oci.tar -o ward.fxb`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to create; signatures go beside it", TakesFile: true},
			&cli.StringSliceFlag{Name: "have", Usage: "copy what did not change from this older bundle `FILE`; may be repeated", TakesFile: true},
			&cli.StringFlag{Name: "id", Usage: "bundle id that is expected; any other bundle is refused"},
			&cli.StringFlag{Name: "oci-layout", Usage: "read `FILE`; no registry is used, and REFERENCE is its tag, if it has several", TakesFile: true},
			plainHTTPFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "[REFERENCE]")
			if err == nil {
				err = ui.Require(c, "output")
			}
			if err != nil {
				return nil, err
			}
			o := bundlePullOptions{
				reference: args[0], output: c.String("output"), layout: c.String("oci-layout"), id: c.String("id"),
				have: c.StringSlice("have"), plainHTTP: c.Bool("plain-http"),
			}
			if o.reference == "" && o.layout == "" {
				return nil, ui.Hint(ui.Usagef("pull from where? give a REFERENCE or --oci-layout"), "%s --help", c.Command.HelpName)
			}
			if _, err := bundle.ParseID(o.id); err != nil && c.IsSet("id") {
				return nil, ui.Usagef("--id: %v", err)
			}
			return runBundlePull(c, o)
		}),
	}
}

type bundlePullOptions struct {
	reference, output, layout, id string
	have                          []string
	plainHTTP                     bool
}

type bundlePullResult struct {
	File       string `json:"file"`
	Sidecar    string `json:"sidecar"`
	BundleID   string `json:"bundle_id"`
	Digest     string `json:"oci_digest"` // of the image manifest
	FileBytes  int64  `json:"file_bytes"`
	Fetched    int64  `json:"fetched_bytes"` // of the file; 0 if it was there already
	Copied     int64  `json:"copied_bytes"`  // from the bundles of --have
	Signatures int    `json:"signatures"`    // in the sidecar now
	Skipped    int    `json:"skipped"`       // of what refers to the bundle and is no signature about it
}

func runBundlePull(c *cli.Context, o bundlePullOptions) (r *bundlePullResult, err error) {
	found, closeSource, err := o.find(c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeSource()) }()
	if o.id != "" && found.ID.String() != o.id {
		return nil, identity.Untrustedf("cannot pull %s: it is the bundle %s, not %s", o.from(), found.ID, o.id)
	}
	r = &bundlePullResult{File: o.output, Sidecar: approval.SidecarPath(o.output), BundleID: found.ID.String(), Digest: found.Digest, FileBytes: found.Size}
	signatures, others, err := found.Signatures(c.Context)
	if err != nil {
		return nil, fmt.Errorf("cannot fetch the signatures of %s: %w", o.from(), err)
	}
	r.Skipped = others
	if err := r.fetch(c, o, found); err != nil {
		return nil, fmt.Errorf("cannot pull %s: %w", o.from(), err)
	}
	if r.Signatures, err = mergeSidecar(r.Sidecar, signatures); err != nil {
		return nil, fmt.Errorf("cannot keep the signatures of %s: %w", o.from(), err)
	}
	return r, nil
}

func (o bundlePullOptions) from() string {
	if o.layout != "" {
		return o.layout
	}
	return o.reference
}

// find looks the bundle up in the registry or the layout.
func (o bundlePullOptions) find(c *cli.Context) (*exchange.Found, func() error, error) {
	none := func() error { return nil }
	if o.layout == "" {
		registry, err := exchange.NewRegistry(o.reference, o.plainHTTP)
		if err != nil {
			return nil, none, err
		}
		found, err := registry.Find(c.Context)
		if err != nil {
			return nil, none, fmt.Errorf("cannot find bundle %s: %w", o.reference, err)
		}
		return found, none, nil
	}
	f, err := os.Open(o.layout)
	if err != nil {
		return nil, none, fmt.Errorf("cannot open OCI layout: %w", err)
	}
	found, err := findInLayout(c.Context, f, o.reference)
	if err != nil {
		return nil, none, errors.Join(fmt.Errorf("cannot read OCI layout %q: %w", o.layout, err), f.Close())
	}
	return found, f.Close, nil
}

func findInLayout(ctx context.Context, f *os.File, tag string) (*exchange.Found, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	layout, err := exchange.OpenLayout(f, info.Size())
	if err != nil {
		return nil, err
	}
	return layout.Find(ctx, tag)
}

// fetch gets the file, unless it is there.
func (r *bundlePullResult) fetch(c *cli.Context, o bundlePullOptions, found *exchange.Found) (err error) {
	if _, err := os.Lstat(o.output); err == nil {
		return isThere(o.output, found.ID)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var have []*bundle.Bundle
	defer func() {
		for _, b := range have {
			err = errors.Join(err, b.Close())
		}
	}()
	for _, path := range o.have {
		b, err := bundle.OpenFile(path)
		if err != nil {
			return fmt.Errorf("--have: %w", err)
		}
		have = append(have, b)
	}
	progress := ui.From(c).Progress("pulling "+filepath.Base(o.output), found.Size)
	defer progress.Close()
	return bundle.NewFile(o.output, func(f *os.File) error {
		a, err := found.Fetch(c.Context, f, have, progress.Add)
		if err != nil {
			return err
		}
		r.Fetched, r.Copied = a.Fetched, a.Copied
		b, err := bundle.Open(f, found.Size)
		if err == nil && b.ID() != found.ID {
			err = identity.Untrustedf("the file is the bundle %s, and its image manifest says %s", b.ID(), found.ID)
		}
		return err
	})
}

// isThere refuses to mix the signatures of one bundle with another.
func isThere(path string, id bundle.ID) error {
	b, err := bundle.OpenFile(path)
	if err != nil {
		return err
	}
	if b.ID() != id {
		err = fmt.Errorf("%q exists, and is the bundle %s, not %s", path, b.ID(), id)
	}
	return errors.Join(err, b.Close())
}

// mergeSidecar adds signatures to the file, which is made where it is missing,
// and returns how many it has.
func mergeSidecar(path string, more []approval.Attestation) (int, error) {
	unlock, err := lockSidecar(path)
	if err != nil {
		return 0, err
	}
	defer unlock()
	sidecar, err := approval.ReadSidecar(path)
	if err != nil {
		return 0, err
	}
	if len(more) == 0 {
		return sidecar.Len(), nil
	}
	if sidecar, err = sidecar.Merge(more); err != nil {
		return 0, err
	}
	return sidecar.Len(), sidecar.Write(path)
}

// Text is the result for people.
func (r *bundlePullResult) Text(w io.Writer) error {
	what := fmt.Sprintf("%s fetched", ui.Bytes(r.Fetched))
	switch {
	case r.Copied > 0:
		what += fmt.Sprintf(", %s copied from what was here", ui.Bytes(r.Copied))
	case r.Fetched == 0:
		what = "it was here already"
	}
	_, err := fmt.Fprintf(w, "%s: %s; %s, %d signatures\nbundle id   %s\noci digest  %s\n",
		ui.Clean(r.File), ui.Bytes(r.FileBytes), what, r.Signatures, r.BundleID, r.Digest)
	if r.Skipped > 0 && err == nil {
		_, err = fmt.Fprintf(w, "left out    %d that are no signatures about this bundle\n", r.Skipped)
	}
	return err
}

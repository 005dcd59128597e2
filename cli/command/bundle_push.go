package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/exchange"
	"fx/cli/ui"
)

func bundlePush() *cli.Command {
	return &cli.Command{
		Name:      "push",
		Usage:     "put a bundle and its signatures into an OCI registry or a one-file OCI layout",
		ArgsUsage: "FILE [REFERENCE]",
		Description: `Signatures refer to the bundle there, as cosign expects. Pushing again sends
what is new alone, such as another approval. Passwords are those that docker,
podman or oras login keep. Examples:
   fxctl bundle push ward.fxb registry.example.org/fl/ward:1.4.0
   fxctl bundle push ward.fxb localhost:5000/ward:1.4.0
   fxctl bundle push ward.fxb --oci-layout ward.oci.tar`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "oci-layout", Usage: "write a new `FILE` with bundle and signatures; no registry is used", TakesFile: true},
			plainHTTPFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE", "[REFERENCE]")
			if err != nil {
				return nil, err
			}
			o := bundlePushOptions{file: args[0], reference: args[1], layout: c.String("oci-layout"), plainHTTP: c.Bool("plain-http")}
			if (o.reference == "") == (o.layout == "") {
				return nil, ui.Hint(ui.Usagef("push to where? give either a REFERENCE or --oci-layout"), "%s --help", c.Command.HelpName)
			}
			return runBundlePush(c, o)
		}),
	}
}

func plainHTTPFlag() cli.Flag {
	return &cli.BoolFlag{Name: "plain-http", Usage: "talk to the registry without TLS, also when it is not on this machine"}
}

type bundlePushOptions struct {
	file, reference, layout string
	plainHTTP               bool
}

type bundlePushResult struct {
	File       string `json:"file"`
	BundleID   string `json:"bundle_id"`
	Reference  string `json:"reference,omitempty"`
	Layout     string `json:"oci_layout,omitempty"`
	Digest     string `json:"oci_digest"` // of the image manifest
	Uploaded   int64  `json:"uploaded_bytes"`
	Signatures int    `json:"signatures"`
}

func runBundlePush(c *cli.Context, o bundlePushOptions) (r *bundlePushResult, err error) {
	var registry *exchange.Registry
	if o.reference != "" {
		if registry, err = exchange.NewRegistry(o.reference, o.plainHTTP); err != nil {
			return nil, err
		}
	}
	sidecar, err := approval.ReadSidecar(approval.SidecarPath(o.file))
	if err != nil {
		return nil, err
	}
	checked, err := checkToSign(c, o.file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, checked.Close()) }()
	sum, err := checked.OCISHA256()
	if err != nil {
		return nil, err
	}
	r = &bundlePushResult{
		File: o.file, BundleID: checked.ID().String(), Reference: o.reference, Layout: o.layout,
		Digest: "sha256:" + sum, Signatures: sidecar.Len(),
	}
	progress := ui.From(c).Progress("pushing "+filepath.Base(o.file), checked.Size())
	defer progress.Close()
	if registry == nil {
		return r, r.writeLayout(checked, sidecar, progress.Add)
	}
	pushed, err := registry.Push(c.Context, checked, sidecar, progress.Add)
	if err != nil {
		return nil, fmt.Errorf("cannot push bundle %q to %s: %w", o.file, o.reference, err)
	}
	r.Uploaded = pushed.Uploaded
	return r, nil
}

func (r *bundlePushResult) writeLayout(c *bundle.Checked, sidecar *approval.Sidecar, progress func(int64)) error {
	err := bundle.NewFile(r.Layout, func(f *os.File) error { return exchange.WriteLayout(f, c, sidecar, progress) })
	if err != nil {
		return fmt.Errorf("cannot write OCI layout %q: %w", r.Layout, err)
	}
	r.Uploaded = c.Size()
	return nil
}

// Text is the result for people.
func (r *bundlePushResult) Text(w io.Writer) error {
	to := r.Reference
	if r.Layout != "" {
		to = r.Layout
	}
	what := fmt.Sprintf("%s sent", ui.Bytes(r.Uploaded))
	if r.Uploaded == 0 {
		what = "it was there already"
	}
	_, err := fmt.Fprintf(w, "%s: in %s with %d signatures; %s\nbundle id   %s\noci digest  %s\n",
		ui.Clean(r.File), ui.Clean(to), r.Signatures, what, r.BundleID, r.Digest)
	return err
}

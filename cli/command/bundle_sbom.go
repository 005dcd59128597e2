package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"fx/bundle/approval"
	"fx/bundle/sbom"
	"fx/ca/identity"
	"fx/cli/ui"
)

func bundleSBOM() *cli.Command {
	return &cli.Command{
		Name:      "sbom",
		Usage:     "print what a bundle is made of as a CycloneDX document, and sign it",
		ArgsUsage: "FILE",
		Description: `Lists files and the packages that requirements*.txt and go.mod files name. With
--as the document is also signed and added to the bundle's signatures, where it
has no effect on approval. Examples:
   fxctl bundle sbom ward.fxb > ward.cdx.json
   fxctl bundle sbom ward.fxb --as alice > ward.cdx.json
   fxctl bundle sbom ward.fxb --as bob --role reviewer --quiet > ward.cdx.json`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "as", Usage: "`NAME` of the person who signs it"},
			&cli.StringFlag{Name: "role", Value: string(identity.Publisher), Usage: "sign as publisher or reviewer"},
			certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE")
			if err != nil {
				return nil, err
			}
			role := identity.Role(c.String("role"))
			if !role.Signs() {
				return nil, ui.Usagef("--role is %q, allowed are publisher and reviewer", role)
			}
			if c.IsSet("role") && !c.IsSet("as") {
				return nil, ui.Usagef("--role says as what to sign; --as NAME is missing")
			}
			r, err := runBundleSBOM(c, bundleSBOMOptions{file: args[0], as: c.String("as"), certDir: c.String("cert-dir"), role: role})
			if err != nil {
				return nil, err
			}
			return r, nil
		}),
	}
}

type bundleSBOMOptions struct {
	file, as, certDir string
	role              identity.Role
}

// bundleSBOMResult is the document itself, with --json and without.
type bundleSBOMResult struct{ document []byte }

// MarshalJSON returns the document.
func (r *bundleSBOMResult) MarshalJSON() ([]byte, error) { return r.document, nil }

func runBundleSBOM(c *cli.Context, o bundleSBOMOptions) (r *bundleSBOMResult, err error) {
	var person *signer
	if o.as != "" {
		judges, err := newJudges(o.file, o.certDir, "", true)
		if err != nil {
			return nil, err
		}
		if person, err = readSigner(o.certDir, o.role, o.as, judges.anchors, time.Now()); err != nil {
			return nil, err
		}
	}
	checked, err := checkToSign(c, o.file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, checked.Close()) }()
	r = &bundleSBOMResult{}
	if r.document, err = sbom.New(checked); err != nil {
		return nil, fmt.Errorf("cannot list what %q is made of: %w", o.file, err)
	}
	if person == nil {
		return r, nil
	}
	subject, err := subjectOf(checked)
	if err != nil {
		return nil, err
	}
	a, err := approval.SignOther(person.key, person.leaf, subject, sbom.PredicateType, r.document)
	if err != nil {
		return nil, fmt.Errorf("cannot sign what %q is made of: %w", o.file, err)
	}
	n, err := mergeSidecar(approval.SidecarPath(o.file), []approval.Attestation{a})
	if err != nil {
		return nil, fmt.Errorf("cannot sign what %q is made of: %w", o.file, err)
	}
	ui.From(c).Infof("signed by %s %s: %s has %d signatures", o.role, o.as, approval.SidecarPath(o.file), n)
	return r, nil
}

// Text is the document, laid out for reading.
func (r *bundleSBOMResult) Text(w io.Writer) error {
	var b bytes.Buffer
	if err := json.Indent(&b, r.document, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

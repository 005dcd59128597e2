package command

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func certInspect() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what a certificate, chain, answer, request, key, revocation list or OpenFL zip is",
		ArgsUsage: "FILE",
		Description: `PEM or DER. No chain is verified; see "fxctl cert verify". Findings say in what a
thing differs from the profile, and what "ca sign" would refuse of a request. Of
a private key only its public half is shown. Examples:
   fxctl cert inspect cert/client/col_hospital-a.csr
   fxctl cert inspect cert/cert_chain.crt --json
   openssl s_client -connect agg.example.org:8443 </dev/null | openssl x509 | fxctl cert inspect -`,
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE")
			if err != nil {
				return nil, err
			}
			return runCertInspect(c.Context, certInspectOptions{console: ui.From(c), file: args[0]})
		}),
	}
}

type certInspectOptions struct {
	console *ui.Console
	file    string
}

type certInspectResult struct {
	File  string        `json:"file"`
	Items []inspectItem `json:"items"`
}

func runCertInspect(_ context.Context, o certInspectOptions) (*certInspectResult, error) {
	data, err := readInput(o.console, o.file, identity.MaxCRL)
	if err != nil {
		return nil, err
	}
	items, err := inspectData(data)
	if err != nil {
		return nil, fmt.Errorf("cannot inspect %q: %w", o.file, err)
	}
	return &certInspectResult{File: o.file, Items: items}, nil
}

// inspectData takes PEM, DER of one thing, or a zip of such files, as OpenFL
// sends requests and certificates.
func inspectData(data []byte) ([]inspectItem, error) {
	if !issuer.IsZip(data) {
		return inspectFile(data)
	}
	files, err := issuer.ReadZip(data)
	if err != nil {
		return nil, err
	}
	var items []inspectItem
	for _, f := range files {
		found, err := inspectFile(f.Data)
		if err != nil {
			found = []inspectItem{{Kind: kindOther, Note: err.Error()}}
		}
		for _, i := range found {
			i.File = f.Name
			if i.Kind == kindKey {
				i.Findings = append(i.Findings, "a private key that was sent: others know it now")
			}
			items = append(items, i)
		}
	}
	return items, nil
}

func inspectFile(data []byte) ([]inspectItem, error) {
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		item, err := inspectDER(data)
		if err != nil {
			return nil, err
		}
		return []inspectItem{item}, nil
	}
	blocks, err := identity.ParsePEM(data, 64)
	if err != nil {
		return nil, err
	}
	var items []inspectItem
	for i, b := range blocks {
		item, err := inspectBlock(b.Type, b.Bytes)
		if err != nil {
			return nil, identity.Invalidf("PEM block %d (%s): %w", i+1, b.Type, err)
		}
		if item.Kind == kindRequest && len(blocks) == 1 {
			item.OpenFL = identity.OpenFLFingerprint(data)
		}
		items = append(items, item)
	}
	return items, nil
}

// Text is the result for people.
func (r *certInspectResult) Text(w io.Writer) error {
	for i, item := range r.Items {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := ui.Table(w, nil, item.rows()); err != nil {
			return err
		}
	}
	return nil
}

package command

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func caRotate() *cli.Command {
	return &cli.Command{
		Name:      "rotate",
		Usage:     "give one of the CAs a new key; the old one stays valid until it ends",
		ArgsUsage: "network|signing|root",
		Description: `Old and new participants go on working together: chains and answers carry the old
and the new CA. Send update.pem to everybody before the old CA ends. Examples:
   fxctl ca rotate network
   fxctl ca rotate root --passphrase-file /dev/fd/3 3<passphrase`,
		Flags: []cli.Flag{caFlag(), passphraseFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "network|signing|root")
			if err != nil {
				return nil, err
			}
			kind := issuer.Kind(strings.TrimSuffix(args[0], "-ca") + "-ca")
			if kind != issuer.Network && kind != issuer.Signing && kind != issuer.Root {
				return nil, ui.Usagef("%q is no CA; there is network, signing and root", args[0])
			}
			return runCARotate(c.Context, caRotateOptions{
				console: ui.From(c), dir: c.String("ca"), kind: kind, passphraseFile: c.String("passphrase-file"),
			})
		}),
	}
}

type caRotateOptions struct {
	console        *ui.Console
	dir            string
	kind           issuer.Kind
	passphraseFile string
}

// rotatedCertificate is one certificate that a rotation has made.
type rotatedCertificate struct {
	Serial   string    `json:"serial"`
	Subject  string    `json:"subject"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
}

type caRotateResult struct {
	CA           issuer.Kind          `json:"ca"`
	Generation   int                  `json:"generation"`
	Certificates []rotatedCertificate `json:"certificates"`
	Root         string               `json:"root_fingerprint"` // of the newest root
	Update       string               `json:"update"`
}

func runCARotate(ctx context.Context, o caRotateOptions) (*caRotateResult, error) {
	ca, err := issuer.Open(o.dir, nil)
	if err != nil {
		return nil, err
	}
	locked, err := ca.Locked(o.kind)
	if err != nil {
		return nil, err
	}
	var p []byte
	if locked {
		if p, err = passphrase(ctx, o.console, o.passphraseFile); err != nil {
			return nil, err
		}
	}
	done, err := ca.Rotate(ctx, o.kind, p)
	if err != nil {
		return nil, err
	}
	r := &caRotateResult{
		CA: o.kind, Generation: done.Generation, Root: identity.Fingerprint(ca.Certificate(issuer.Root).Raw),
		Update: filepath.Join(o.dir, issuer.UpdateFile),
	}
	for _, c := range done.Certificates {
		r.Certificates = append(r.Certificates, rotatedCertificate{
			Serial: serial(c.SerialNumber), Subject: c.Subject.String(), Issuer: c.Issuer.String(), NotAfter: c.NotAfter,
		})
	}
	return r, nil
}

// Text is the result for people.
func (r *caRotateResult) Text(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "the %s has its key number %d; what the old one has signed stays valid\n", r.CA, r.Generation); err != nil {
		return err
	}
	for _, c := range r.Certificates {
		if _, err := fmt.Fprintf(w, "  %s, by %s, until %s\n", c.Subject, c.Issuer, c.NotAfter.Format(time.DateOnly)); err != nil {
			return err
		}
	}
	if r.CA == issuer.Root {
		if _, err := fmt.Fprintf(w, "fingerprint of the new root, for participants who join from now on:\n  %s\n", identity.Grouped(r.Root)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "for every participant, who imports it with fxctl cert import: %s\n", r.Update)
	return err
}

package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
)

func certImport() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "put the custodian's answer in place, after checking it",
		ArgsUsage: "ANSWER",
		Description: `The first import fixes the federation's root: ask the custodian for its
fingerprint over a channel that you trust. Examples:
   fxctl cert import hospital-a.answer
   fxctl cert import hospital-a.answer --root-fingerprint "$F"`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "root-fingerprint", Usage: "fingerprint of the federation's root that the custodian said"},
			certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "ANSWER")
			if err != nil {
				return nil, err
			}
			return runCertImport(c.Context, certImportOptions{
				console: ui.From(c), answer: args[0], certDir: c.String("cert-dir"), root: c.String("root-fingerprint"),
			})
		}),
	}
}

type certImportOptions struct {
	console *ui.Console
	answer  string
	certDir string
	root    string
}

type certImportResult struct {
	Federation  string        `json:"federation"`
	Role        identity.Role `json:"role"`
	Name        string        `json:"name"`
	NotAfter    time.Time     `json:"not_after"`
	Certificate string        `json:"certificate"`
	Root        string        `json:"root_fingerprint"`
	Files       []string      `json:"files"`
}

func runCertImport(ctx context.Context, o certImportOptions) (*certImportResult, error) {
	data, err := readInput(o.console, o.answer, identity.MaxCRL)
	if err != nil {
		return nil, err
	}
	answer, err := identity.ParseAnswer(data)
	if err != nil {
		return nil, fmt.Errorf("cannot import %q: %w", o.answer, err)
	}
	id, err := trust.CheckAnswer(answer, time.Now())
	if err != nil {
		return nil, fmt.Errorf("cannot import %q: %w", o.answer, err)
	}
	crt, keyPath, _ := identity.Files(o.certDir, id.Role, id.Name)
	key, err := identity.ReadKey(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ui.Hint(identity.Untrustedf("cannot import %q: it is for %s, and %q does not exist", o.answer, id, keyPath),
			"--cert-dir names the folder in which the request was made")
	}
	if err != nil {
		return nil, err
	}
	if !identity.SameKey(key.Public(), answer.Leaf.PublicKey) {
		return nil, identity.Untrustedf("cannot import %q: it does not answer the request of this folder: the certificate is for another key than %q", o.answer, keyPath)
	}
	root, err := pinRoot(ctx, o, answer)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	files, err := place(o.certDir, crt, answer)
	if err != nil {
		return nil, err
	}
	return &certImportResult{
		Federation: id.Federation, Role: id.Role, Name: id.Name, NotAfter: answer.Leaf.NotAfter,
		Certificate: crt, Root: root, Files: files,
	}, nil
}

// pinRoot requires that the answer's root is the one that is in place already
// or, the first time, the one whose fingerprint the custodian said.
func pinRoot(ctx context.Context, o certImportOptions, answer *identity.Answer) (string, error) {
	if len(answer.Roots) != 1 {
		return "", identity.Invalidf("cannot import %q: it has %d roots, not one", o.answer, len(answer.Roots))
	}
	found := identity.Fingerprint(answer.Roots[0].Raw)
	said := identity.Ungrouped(o.root)
	if said != "" && said != found {
		return "", identity.Untrustedf("cannot import %q: the fingerprint of its root is %s, not %q: it is not from that federation's CA",
			o.answer, identity.Grouped(found), o.root)
	}
	path := filepath.Join(o.certDir, identity.ChainFile)
	inPlace, err := identity.ReadCertificates(path)
	switch {
	case err == nil:
		if !slices.ContainsFunc(inPlace, answer.Roots[0].Equal) {
			return "", ui.Hint(identity.Untrustedf("cannot import %q: its root is not the one in %q", o.answer, path),
				"another federation needs another --cert-dir")
		}
		return found, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	case said != "":
		return found, nil
	case !o.console.Interactive():
		return "", ui.Hint(ui.Usagef("cannot import %q: it is the first from this CA, and without a terminal --root-fingerprint is needed", o.answer),
			"ask the custodian for the fingerprint that fxctl ca init printed")
	}
	o.console.Warnf("the answer's root has the fingerprint\n  %s ···· ····", identity.Grouped(found[:len(found)-8]))
	typed, err := ask(ctx, o.console, o.console.Ask, "Ask the custodian for the root's fingerprint. If it begins so, type its last eight digits to trust it:", "--root-fingerprint")
	if err != nil {
		return "", err
	}
	if identity.Ungrouped(typed) != found[len(found)-8:] {
		return "", identity.Untrustedf("cannot import %q: the fingerprint of its root does not end in %q", o.answer, typed)
	}
	return found, nil
}

// place writes the files, each whole or not at all, the certificate last: it is
// there only if everything that it needs is.
func place(certDir, crt string, answer *identity.Answer) (files []string, err error) {
	put := func(path string, data []byte) {
		if err != nil {
			return
		}
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = identity.ReplaceFile(path, data, 0o644)
			files = append(files, path)
		}
	}
	put(filepath.Join(certDir, identity.ChainFile), identity.EncodeCertificates(answer.NetworkChain()...))
	put(filepath.Join(certDir, identity.SigningChainFile), identity.EncodeCertificates(answer.SigningChain()...))
	if len(answer.CRLs) > 0 && err == nil {
		path := filepath.Join(certDir, identity.CRLFile)
		var crls []*x509.RevocationList
		if crls, err = newestCRLs(path, answer.CRLs); err == nil {
			put(path, identity.EncodeCRLs(crls...))
		}
	}
	put(crt, identity.EncodeCertificates(answer.Leaf))
	return files, err
}

// newestCRLs merges lists with those in place, by issuer, so that an old answer
// cannot undo a revocation.
func newestCRLs(path string, crls []*x509.RevocationList) ([]*x509.RevocationList, error) {
	data, err := identity.ReadFile(path, identity.MaxCRL)
	if errors.Is(err, fs.ErrNotExist) {
		return crls, nil
	}
	var inPlace []*x509.RevocationList
	if err == nil {
		inPlace, err = identity.ParseCRLs(data)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot renew revocation lists %q: %w", path, err)
	}
	merged := slices.Clone(crls)
	for _, old := range inPlace {
		i := slices.IndexFunc(merged, func(n *x509.RevocationList) bool { return string(n.RawIssuer) == string(old.RawIssuer) })
		switch {
		case i < 0:
			merged = append(merged, old)
		case old.Number != nil && (merged[i].Number == nil || old.Number.Cmp(merged[i].Number) > 0):
			merged[i] = old
		}
	}
	return merged, nil
}

// Text is the result for people.
func (r *certImportResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "imported the certificate of %s %s of %s, valid until %s: %s\n",
		r.Role, r.Name, r.Federation, r.NotAfter.Format(time.DateOnly), r.Certificate)
	return err
}

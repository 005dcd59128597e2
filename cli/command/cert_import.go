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
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
)

func certImport() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "put the custodian's answer or update in place, after checking it",
		ArgsUsage: "ANSWER",
		Description: `The first import fixes the federation's root: ask the custodian for its
fingerprint over a channel that you trust. An update, the custodian's update.pem,
brings revocation lists and new CA certificates. Examples:
   fxctl cert import hospital-a.answer
   fxctl cert import hospital-a.answer --root-fingerprint "$F"
   fxctl cert import update.pem`,
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
	Role        identity.Role `json:"role,omitempty"` // none of these four: an update
	Name        string        `json:"name,omitempty"`
	NotAfter    time.Time     `json:"not_after,omitzero"`
	Certificate string        `json:"certificate,omitempty"`
	Root        string        `json:"root_fingerprint"`
	Files       []string      `json:"files"`
}

func runCertImport(ctx context.Context, o certImportOptions) (*certImportResult, error) {
	data, err := readInput(o.console, o.answer, identity.MaxCRL)
	if err != nil {
		return nil, err
	}
	if isUpdate(data) {
		return importUpdate(ctx, o, data)
	}
	answer, err := identity.ParseAnswer(data)
	if err != nil {
		return nil, fmt.Errorf("cannot import %q: %w", o.answer, err)
	}
	id, err := trust.CheckAnswer(answer, time.Now())
	if err != nil {
		return nil, fmt.Errorf("cannot import %q: %w", o.answer, err)
	}
	crt, _, _ := identity.Files(o.certDir, id.Role, id.Name)
	key, err := findKey(o, id, answer.Leaf)
	if err != nil {
		return nil, err
	}
	root, err := pinRoot(ctx, o, answer)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	files, err := place(o.certDir, crt, answer, key)
	if err != nil {
		return nil, err
	}
	return &certImportResult{
		Federation: id.Federation, Role: id.Role, Name: id.Name, NotAfter: answer.Leaf.NotAfter,
		Certificate: crt, Root: root, Files: files,
	}, nil
}

// place writes the files, each whole or not at all, the certificate last: it is
// there only if everything that it needs is.
func place(certDir, crt string, answer *identity.Answer, key *renewal) (files []string, err error) {
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
	if answer.Leaf == nil || err != nil { // an update
		return files, err
	}
	if key.newKey != nil {
		if err := key.putKey(); err != nil {
			return files, err
		}
		files = append(files, key.keyPath)
	}
	if put(crt, identity.EncodeCertificates(answer.Leaf)); err == nil {
		err = key.finish()
	}
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
	if r.Certificate == "" {
		_, err := fmt.Fprintf(w, "imported CA certificates and revocation lists of %s: %s\n", r.Federation, strings.Join(r.Files, ", "))
		return err
	}
	_, err := fmt.Fprintf(w, "imported the certificate of %s %s of %s, valid until %s: %s\n",
		r.Role, r.Name, r.Federation, r.NotAfter.Format(time.DateOnly), r.Certificate)
	return err
}

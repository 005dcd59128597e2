package command

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
)

// pinRoot requires that the answer's root is the one that is in place already,
// one that this has certified as its successor, or the one whose fingerprint
// the custodian said, as is needed the first time. It returns the fingerprint of
// the newest root.
func pinRoot(ctx context.Context, o certImportOptions, answer *identity.Answer) (string, error) {
	said := identity.Ungrouped(o.root)
	trusted := slices.DeleteFunc(slices.Clone(answer.Roots), func(c *x509.Certificate) bool { return identity.Fingerprint(c.Raw) != said })
	newest := identity.Fingerprint(answer.Roots[len(answer.Roots)-1].Raw)
	if said != "" && len(trusted) == 0 {
		return "", identity.Untrustedf("cannot import %q: the fingerprint of its root is %s, not %q: it is not from that federation's CA",
			o.answer, identity.Grouped(newest), o.root)
	}
	path := filepath.Join(o.certDir, identity.ChainFile)
	inPlace, err := identity.ReadCertificates(path)
	switch {
	case err == nil:
		known := slices.DeleteFunc(slices.Clone(answer.Roots), func(c *x509.Certificate) bool { return !slices.ContainsFunc(inPlace, c.Equal) })
		if len(known) == 0 && len(succeed(rootsOf(inPlace), answer)) == 0 {
			return "", ui.Hint(identity.Untrustedf("cannot import %q: its root is not the one in %q, nor certified by it", o.answer, path),
				"another federation needs another --cert-dir")
		}
		trusted = append(trusted, rootsOf(inPlace)...)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	case said != "":
	case !o.console.Interactive():
		return "", ui.Hint(ui.Usagef("cannot import %q: it is the first from this CA, and without a terminal --root-fingerprint is needed", o.answer),
			"ask the custodian for the fingerprint that fxctl ca init printed")
	default:
		o.console.Warnf("the answer's root has the fingerprint\n  %s ···· ····", identity.Grouped(newest[:len(newest)-8]))
		typed, err := ask(ctx, o.console, o.console.Ask, "Ask the custodian for the root's fingerprint. If it begins so, type its last eight digits to trust it:", "--root-fingerprint")
		if err != nil {
			return "", err
		}
		if identity.Ungrouped(typed) != newest[len(newest)-8:] {
			return "", identity.Untrustedf("cannot import %q: the fingerprint of its root does not end in %q", o.answer, typed)
		}
		trusted = answer.Roots[len(answer.Roots)-1:]
	}
	return newest, requireLinked(o, trusted, answer)
}

// requireLinked requires of every root of an answer that it is trusted, or
// certified by one that is.
func requireLinked(o certImportOptions, trusted []*x509.Certificate, answer *identity.Answer) error {
	trusted = append(slices.Clone(trusted), succeed(trusted, answer)...)
	for _, root := range answer.Roots {
		if !slices.ContainsFunc(trusted, root.Equal) {
			return identity.Untrustedf("cannot import %q: its root %q is not certified by the one that is trusted", o.answer, root.Subject)
		}
	}
	return nil
}

// succeed lists the answer's roots that trusted roots have certified, step by
// step.
func succeed(trusted []*x509.Certificate, answer *identity.Answer) (found []*x509.Certificate) {
	trusted = slices.Clone(trusted)
	for i := 0; i < len(trusted); i++ {
		for _, l := range answer.Links {
			if l.CheckSignatureFrom(trusted[i]) != nil {
				continue
			}
			for _, r := range answer.Roots {
				if sameSubject(l, r) && !slices.ContainsFunc(trusted, r.Equal) {
					trusted, found = append(trusted, r), append(found, r)
				}
			}
		}
	}
	return found
}

func sameSubject(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

func rootsOf(certs []*x509.Certificate) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(certs), func(c *x509.Certificate) bool { return !bytes.Equal(c.RawSubject, c.RawIssuer) })
}

// isUpdate tells a custodian's update.pem from an answer: it begins with a CA.
func isUpdate(data []byte) bool {
	b, _ := pem.Decode(data)
	if b == nil || b.Type != "CERTIFICATE" {
		return false
	}
	c, err := x509.ParseCertificate(b.Bytes)
	return err == nil && c.IsCA
}

// importUpdate takes over CA certificates and revocation lists. The folder must
// know the CA: an update brings no certificate that a key here could match.
func importUpdate(ctx context.Context, o certImportOptions, data []byte) (*certImportResult, error) {
	update, err := identity.ParseUpdate(data)
	if err != nil {
		return nil, fmt.Errorf("cannot import %q: %w", o.answer, err)
	}
	if err := trust.CheckUpdate(update, time.Now()); err != nil {
		return nil, fmt.Errorf("cannot import %q: %w", o.answer, err)
	}
	if _, err := identity.ReadCertificates(filepath.Join(o.certDir, identity.ChainFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, ui.Hint(fmt.Errorf("cannot import %q: it is an update, and %q has no %s yet", o.answer, o.certDir, identity.ChainFile),
			"import the answer to your own request first, or name the folder with --cert-dir")
	}
	root, err := pinRoot(ctx, o, update)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	files, err := place(o.certDir, "", update, nil)
	if err != nil {
		return nil, err
	}
	return &certImportResult{Federation: update.Roots[0].Subject.Organization[0], Root: root, Files: files}, nil
}

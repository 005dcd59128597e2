package command

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/cli/ui"
)

func certRenew() *cli.Command {
	return &cli.Command{
		Name:  "renew",
		Usage: "make a request for a new certificate in place of one that ends",
		Description: `The request has the names of the certificate in place, and a new key, which waits
beside the old one until the answer is imported. The custodian signs with
--replace. Until then the old key and certificate go on working. Examples:
   fxctl cert renew --role collaborator --name hospital-a
   fxctl cert renew --role aggregator --name agg.example.org --same-key`,
		Flags: []cli.Flag{
			roleFlag(),
			&cli.StringFlag{Name: "name", Usage: "own name"},
			&cli.BoolFlag{Name: "same-key", Usage: "keep the key"},
			&cli.StringFlag{Name: "key-type", Usage: "type of the new key: p256, ed25519; for aggregators and collaborators also p384 and rsa3072 (default: as the old one's)"},
			certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			role, err := roleOf(c)
			if err != nil {
				return nil, err
			}
			if err := ui.Require(c, "name"); err != nil {
				return nil, err
			}
			if c.Bool("same-key") && c.IsSet("key-type") {
				return nil, ui.Usagef("--same-key and --key-type exclude each other")
			}
			return runCertRenew(c.Context, certRenewOptions{
				role: role, name: c.String("name"), sameKey: c.Bool("same-key"), keyType: c.String("key-type"), certDir: c.String("cert-dir"),
			})
		}),
	}
}

type certRenewOptions struct {
	role    identity.Role
	name    string
	sameKey bool
	keyType string
	certDir string
}

// nextFiles name a renewal's key and request, until its answer is imported.
func nextFiles(certDir string, r identity.Role, name string) (key, csr string) {
	_, key, csr = identity.Files(certDir, r, name)
	return strings.TrimSuffix(key, ".key") + ".next.key", strings.TrimSuffix(csr, ".csr") + ".next.csr"
}

func runCertRenew(ctx context.Context, o certRenewOptions) (*certRenewResult, error) {
	if err := identity.CheckName(o.role, o.name); err != nil {
		return nil, ui.Usagef("cannot renew: %v", err)
	}
	crt, keyPath, _ := identity.Files(o.certDir, o.role, o.name)
	certs, err := identity.ReadCertificates(crt)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ui.Hint(fmt.Errorf("cannot renew: there is no certificate %q", crt), "fxctl cert request --role %s --name %s", o.role, o.name)
	}
	if err != nil {
		return nil, err
	}
	nextKey, nextCSR := nextFiles(o.certDir, o.role, o.name)
	for _, path := range []string{nextKey, nextCSR} {
		if _, err := os.Lstat(path); err == nil {
			return nil, ui.Hint(fmt.Errorf("cannot renew: %q exists already: a renewal waits for its answer", path),
				"send %s to the custodian, or remove both .next files to start anew", nextCSR)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &certRenewResult{certRequestResult{Role: o.role, Name: o.name, Key: keyPath, Request: nextCSR}}
	var key crypto.Signer
	if o.sameKey {
		if key, err = identity.ReadKey(keyPath); err != nil {
			return nil, err
		}
	} else {
		if key, err = o.newKey(certs[0]); err != nil {
			return nil, err
		}
		data, err := identity.EncodeKey(key)
		if err == nil {
			err = identity.CreateFile(nextKey, data, 0o600)
		}
		if err != nil {
			return nil, err
		}
		r.Key = nextKey
	}
	der, err := identity.NewRequest(key, o.role, o.name, hostsOf(certs[0])...)
	if err == nil {
		err = identity.CreateFile(nextCSR, identity.EncodeRequest(der), 0o644)
	}
	if err != nil {
		if !o.sameKey {
			err = errors.Join(err, os.Remove(nextKey)) // nobody has seen this key
		}
		return nil, err
	}
	r.Fingerprint, r.OpenFL = identity.Fingerprint(der), identity.OpenFLFingerprint(identity.EncodeRequest(der))
	return r, nil
}

// newKey makes a key as the flag says, or like the old one's.
func (o certRenewOptions) newKey(c *x509.Certificate) (crypto.Signer, error) {
	keyType := identity.KeyType(o.keyType)
	if o.keyType == "" {
		keyType = identity.P256
		switch identity.DescribeKey(c.PublicKey) {
		case "ECDSA P-384":
			keyType = identity.P384
		case "Ed25519":
			keyType = identity.Ed25519
		case "RSA 3072":
			keyType = identity.RSA3072
		}
	}
	if _, err := identity.ParseKeyType(string(keyType), o.role.KeyTypes()); err != nil {
		return nil, ui.Usagef("cannot renew: --key-type: %v", err)
	}
	return identity.NewKey(keyType)
}

// hostsOf lists an aggregator's host names and addresses.
func hostsOf(c *x509.Certificate) []string {
	hosts := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}

// renewal is how an answer fits the keys of a certificate folder.
type renewal struct {
	keyPath, nextKey, nextCSR string
	newKey                    []byte // PEM that goes into keyPath; nil: the key is in place
	over                      bool   // the .next files have served
}

// findKey says which key an answer is for: the one in place or a renewal's.
func findKey(o certImportOptions, id identity.Identity, leaf *x509.Certificate) (*renewal, error) {
	_, keyPath, _ := identity.Files(o.certDir, id.Role, id.Name)
	n := &renewal{keyPath: keyPath}
	n.nextKey, n.nextCSR = nextFiles(o.certDir, id.Role, id.Name)
	key, err := identity.ReadKey(keyPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	inPlace := err == nil && identity.SameKey(key.Public(), leaf.PublicKey)
	next, nextErr := identity.ReadKey(n.nextKey)
	switch {
	case nextErr == nil && identity.SameKey(next.Public(), leaf.PublicKey):
		n.over = true
		if !inPlace {
			n.newKey, nextErr = identity.EncodeKey(next)
		}
		return n, nextErr
	case inPlace:
		n.over = errors.Is(nextErr, fs.ErrNotExist) // else a renewal with a new key still waits
		return n, nil
	case nextErr != nil && !errors.Is(nextErr, fs.ErrNotExist):
		return nil, nextErr
	case err != nil:
		return nil, ui.Hint(identity.Untrustedf("cannot import %q: it is for %s, and %q does not exist", o.answer, id, keyPath),
			"--cert-dir names the folder in which the request was made")
	}
	return nil, identity.Untrustedf("cannot import %q: it does not answer the request of this folder: the certificate is for another key than %q", o.answer, keyPath)
}

// putKey puts a renewal's key in place, right before its certificate. If the
// import ends between the two, the answer can be imported again.
func (n *renewal) putKey() error {
	if n.newKey == nil {
		return nil
	}
	return identity.ReplaceFile(n.keyPath, n.newKey, 0o600)
}

// finish removes the .next files.
func (n *renewal) finish() error {
	if !n.over {
		return nil
	}
	for _, path := range []string{n.nextCSR, n.nextKey} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove what the renewal needed: %v", err)
		}
	}
	return nil
}

// certRenewResult is that of a request, in other words for people.
type certRenewResult struct{ certRequestResult }

// Text is the result for people.
func (r *certRenewResult) Text(w io.Writer) error {
	if err := r.certRequestResult.Text(w); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "the old key and certificate stay in use until the answer is imported")
	return err
}

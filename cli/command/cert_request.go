package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/cli/ui"
)

func certRequest() *cli.Command {
	return &cli.Command{
		Name:  "request",
		Usage: "make a key and a certificate request for the CA's custodian",
		Description: `The key never leaves this machine; the request goes to the custodian. Examples:
   fxctl cert request --role collaborator --name hospital-a
   fxctl cert request --role aggregator --name agg.example.org --dns localhost --ip 127.0.0.1
   fxctl cert request --role publisher --name alice --key-type ed25519`,
		Flags: []cli.Flag{
			roleFlag(),
			&cli.StringFlag{Name: "name", Usage: "own name: host name or address of an aggregator, else a-z, 0-9 and hyphens"},
			&cli.StringSliceFlag{Name: "dns", Usage: "further host name of an aggregator (may be repeated)"},
			&cli.StringSliceFlag{Name: "ip", Usage: "further address of an aggregator (may be repeated)"},
			&cli.StringFlag{Name: "key-type", Value: string(identity.P256), Usage: "p256 or ed25519; for aggregators and collaborators also p384 and rsa3072"},
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
			return runCertRequest(c.Context, certRequestOptions{
				role: role, name: c.String("name"), dns: c.StringSlice("dns"), ips: c.StringSlice("ip"),
				keyType: c.String("key-type"), certDir: c.String("cert-dir"),
			})
		}),
	}
}

type certRequestOptions struct {
	role     identity.Role
	name     string
	dns, ips []string
	keyType  string
	certDir  string
}

type certRequestResult struct {
	Role        identity.Role `json:"role"`
	Name        string        `json:"name"`
	Key         string        `json:"key"`
	Request     string        `json:"request"`
	Fingerprint string        `json:"fingerprint"`        // SHA-256 of the request's DER
	OpenFL      string        `json:"openfl_fingerprint"` // SHA-384 of the request's PEM text
}

func (o certRequestOptions) check() (identity.KeyType, error) {
	if err := identity.CheckName(o.role, o.name); err != nil {
		return "", ui.Usagef("cannot make a request: %v", err)
	}
	if o.role != identity.Aggregator && len(o.dns)+len(o.ips) > 0 {
		return "", ui.Usagef("cannot make a request: only an aggregator has --dns and --ip")
	}
	for _, d := range o.dns {
		if err := identity.CheckHost(d); err != nil {
			return "", ui.Usagef("cannot make a request: --dns %v", err)
		}
	}
	for _, ip := range o.ips {
		if _, ok := identity.ParseIP(ip); !ok {
			return "", ui.Usagef("cannot make a request: --ip %q is no address", ip)
		}
	}
	keyType, err := identity.ParseKeyType(o.keyType, o.role.KeyTypes())
	if err != nil {
		return "", ui.Usagef("cannot make a request: --key-type: %v", err)
	}
	return keyType, nil
}

func runCertRequest(ctx context.Context, o certRequestOptions) (*certRequestResult, error) {
	keyType, err := o.check()
	if err != nil {
		return nil, err
	}
	_, keyPath, csrPath := identity.Files(o.certDir, o.role, o.name)
	for _, path := range []string{keyPath, csrPath} {
		if _, err := os.Lstat(path); err == nil {
			return nil, ui.Hint(fmt.Errorf("cannot make a request: %q exists already and is never overwritten", path),
				"move it away, or use another --cert-dir")
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot make a request: %v", err)
		}
	}
	key, err := identity.NewKey(keyType)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %v", err)
	}
	der, err := identity.NewRequest(key, o.role, o.name, slices.Concat(o.dns, o.ips)...)
	if err != nil {
		return nil, err
	}
	keyPEM, err := identity.EncodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(keyPath), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a request: %v", err)
	}
	if err := identity.CreateFile(keyPath, keyPEM, 0o600); err != nil {
		return nil, err
	}
	csr := identity.EncodeRequest(der)
	if err := identity.CreateFile(csrPath, csr, 0o644); err != nil {
		return nil, errors.Join(err, os.Remove(keyPath)) // nobody has seen this key
	}
	return &certRequestResult{
		Role: o.role, Name: o.name, Key: keyPath, Request: csrPath,
		Fingerprint: identity.Fingerprint(der), OpenFL: identity.OpenFLFingerprint(csr),
	}, nil
}

// Text is the result for people.
func (r *certRequestResult) Text(w io.Writer) error {
	groups := strings.Fields(identity.Grouped(r.Fingerprint))
	_, err := fmt.Fprintf(w, `key, which stays here: %s
request, for the custodian: %s
fingerprint (SHA-256; read it to the custodian):
  %s
  %s
fingerprint as OpenFL shows it (SHA-384 of the file): %s
`, r.Key, r.Request, strings.Join(groups[:8], " "), strings.Join(groups[8:], " "), r.OpenFL)
	return err
}

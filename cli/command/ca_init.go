package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/cli/ui"
)

func caInit() *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "create the CA of a federation: a root, a network CA and a signing CA",
		Description: `Examples:
   fxctl ca init --name fed.example.org
   fxctl ca init --name fed.example.org --domain example.org --ca /secure/ca
   fxctl ca init --name fed.example.org --require-approvals 2
   fxctl-hsm ca init --name fed.example.org --hsm "pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;token=fx"
   fxctl ca init --name fed.example.org --passphrase-file /dev/fd/3 3<passphrase`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "name of the federation, a fully qualified domain name"},
			caFlag(),
			&cli.StringFlag{Name: "key-type", Value: string(identity.P256), Usage: "keys of network and signing CA: p256, p384, ed25519 or rsa3072 (the root's is P-384)"},
			&cli.StringSliceFlag{Name: "domain", Usage: "certify aggregators in this DNS domain only (may be repeated); addresses are then excluded"},
			&cli.StringSliceFlag{Name: "ip-range", Usage: "certify aggregators with addresses in this range only, such as 10.1.0.0/16 (may be repeated)"},
			&cli.IntFlag{Name: "require-approvals", Usage: "how many reviewers must approve every certificate (the first so many reviewers' own need none)"},
			&cli.StringFlag{Name: "hsm", Usage: "make the keys in the token of this PKCS #11 `URI` (fxctl-hsm only); the passphrase is its PIN"},
			passphraseFlag(),
			&cli.BoolFlag{Name: "no-passphrase", Usage: "store the CA keys unencrypted"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			if err := ui.Require(c, "name"); err != nil {
				return nil, err
			}
			return runCAInit(c.Context, caInitOptions{
				console: ui.From(c), dir: c.String("ca"), name: c.String("name"), keyType: c.String("key-type"),
				domains: c.StringSlice("domain"), ranges: c.StringSlice("ip-range"),
				approvals: c.Int("require-approvals"), hsm: c.String("hsm"), passphraseFile: c.String("passphrase-file"), noPassphrase: c.Bool("no-passphrase"),
			})
		}),
	}
}

type caInitOptions struct {
	console         *ui.Console
	dir, name       string
	keyType         string
	domains, ranges []string
	approvals       int
	hsm             string
	passphraseFile  string
	noPassphrase    bool
}

type caInitResult struct {
	CA              string           `json:"ca"`
	Federation      string           `json:"federation"`
	RootFingerprint string           `json:"root_fingerprint"` // SHA-256 of the root's DER
	KeyType         identity.KeyType `json:"key_type"`
	Encrypted       bool             `json:"encrypted"`
	HSM             bool             `json:"hsm"` // the keys are in a token
	Domains         []string         `json:"domains"`
	IPRanges        []string         `json:"ip_ranges"`
	Approvals       int              `json:"approvals_required"`
	NotAfter        time.Time        `json:"not_after"` // of network and signing CA
	Chain           string           `json:"chain"`
	SigningChain    string           `json:"signing_chain"`
}

func runCAInit(ctx context.Context, o caInitOptions) (*caInitResult, error) {
	create := issuer.CreateOptions{
		Dir: o.dir, Federation: o.name, KeyType: identity.KeyType(o.keyType), Domains: o.domains, IPRanges: o.ranges,
		Approvals: o.approvals, HSM: o.hsm,
	}
	if err := create.Check(); errors.Is(err, identity.ErrInvalid) { // before anybody thinks up a passphrase
		return nil, ui.Usagef("cannot create a CA: %v", err)
	} else if err != nil {
		return nil, err
	}
	switch {
	case o.noPassphrase && o.passphraseFile != "":
		return nil, ui.Usagef("--no-passphrase and --passphrase-file exclude each other")
	case o.hsm != "" && o.noPassphrase:
		return nil, ui.Usagef("--hsm and --no-passphrase exclude each other: a token has a PIN")
	case o.hsm != "":
		if !issuer.HasHSM {
			return nil, fmt.Errorf("cannot create a CA with --hsm: %w", issuer.ErrNoHSM)
		}
		var err error
		if create.Passphrase, err = pin(ctx, o.console, o.passphraseFile); err != nil {
			return nil, err
		}
	case o.noPassphrase:
		o.console.Warnf("the CA keys are stored unencrypted: whoever can read %q can issue certificates", o.dir)
	default:
		var err error
		if create.Passphrase, err = newPassphrase(ctx, o.console, o.passphraseFile); err != nil {
			return nil, err
		}
	}
	ca, err := issuer.Create(ctx, create)
	if err != nil {
		return nil, err
	}
	return &caInitResult{
		CA: o.dir, Federation: o.name, RootFingerprint: identity.Fingerprint(ca.Certificate(issuer.Root).Raw),
		KeyType: ca.State.KeyType, Encrypted: !o.noPassphrase, HSM: o.hsm != "", Domains: ca.State.Domains, IPRanges: ca.State.IPRanges,
		Approvals: o.approvals, NotAfter: ca.Certificate(issuer.Network).NotAfter,
		Chain: filepath.Join(o.dir, identity.ChainFile), SigningChain: filepath.Join(o.dir, identity.SigningChainFile),
	}, nil
}

// Text is the result for people.
func (r *caInitResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, `created the CA of %s in %s
root fingerprint (SHA-256; every participant compares it once):
  %s
`, r.Federation, r.CA, identity.Grouped(r.RootFingerprint))
	return err
}

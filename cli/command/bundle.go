package command

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
)

func bundleGroup() *cli.Command {
	return &cli.Command{
		Name:  "bundle",
		Usage: "workspace bundles: create, review, approve, verify",
		Subcommands: []*cli.Command{
			bundleCreate(), bundleInspect(), bundleReport(), bundleDiff(), bundleLs(), bundleCat(),
			bundleApprove(), bundleVerify(), bundleExtract(),
			bundlePush(), bundlePull(), bundleSBOM(),
		},
	}
}

func policyFlag() cli.Flag {
	return &cli.StringFlag{Name: "policy", Usage: "whose approvals this site demands is in `FILE` (default: one publisher and one other reviewer)", TakesFile: true}
}

func siteFlag() cli.Flag {
	return &cli.StringFlag{Name: "site", Usage: "judge as the site `NAME`, for approvals that are limited to sites (default: the policy's)"}
}

func atFlag() cli.Flag {
	return &cli.StringFlag{Name: "at", Usage: "judge as of this `TIME`, such as 2026-12-31 or 2026-12-31T12:00:00Z (default: now)"}
}

// judgedTime reads --at.
func judgedTime(c *cli.Context) (time.Time, error) {
	s := c.String("at")
	if s == "" {
		return time.Now(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, ui.Usagef("--at is %q, want a time such as 2026-12-31 or 2026-12-31T12:00:00Z", s)
}

// judges is what a bundle is judged with: all of it the site's own but the
// sidecar.
type judges struct {
	anchors *trust.Anchors
	policy  approval.Policy
	sidecar *approval.Sidecar
}

// newJudges reads signing chain, revocation lists, policy and the sidecar of
// the bundle at path. Without a signing chain nothing is trusted; where that is
// of no use, needChain makes it an error.
func newJudges(path, certDir, policy string, needChain bool) (*judges, error) {
	j := &judges{}
	var err error
	j.anchors, err = trust.Load(filepath.Join(certDir, identity.SigningChainFile), filepath.Join(certDir, identity.CRLFile))
	if errors.Is(err, fs.ErrNotExist) {
		j.anchors = nil
		if needChain {
			return nil, ui.Hint(ui.Code(ui.Untrusted, fmt.Errorf("cannot judge signatures without the federation's signing chain: %w", err)),
				"fxctl cert import ANSWER puts it in place; --cert-dir names another folder")
		}
	} else if err != nil {
		return nil, err
	}
	if policy != "" {
		if j.policy, err = approval.ReadPolicy(policy); err != nil {
			return nil, err
		}
	}
	if j.sidecar, err = approval.ReadSidecar(approval.SidecarPath(path)); err != nil {
		return nil, err
	}
	return j, nil
}

// decide judges a bundle's signatures without touching its contents.
func (j *judges) decide(b *bundle.Bundle, at time.Time) *approval.Decision {
	return b.Judge(j.anchors, j.policy, j.sidecar, at)
}

// hinted adds to a refusal what to type, and who must.
func hinted(err error, path string) error {
	if r, ok := errors.AsType[*approval.Refusal](err); ok {
		if hint := r.Hint(path); hint != "" {
			return ui.Hint(err, "%s", hint)
		}
	}
	return err
}

// signer is a publisher or reviewer with the key at hand.
type signer struct {
	id   identity.Identity
	leaf *x509.Certificate
	key  crypto.Signer
}

// readSigner reads certificate and key of --as NAME and makes sure, before any
// work is done, that others will trust what they sign.
func readSigner(certDir string, role identity.Role, name string, anchors *trust.Anchors, at time.Time) (*signer, error) {
	if err := identity.CheckName(role, name); err != nil {
		return nil, ui.Usagef("--as: %v", err)
	}
	crt, keyFile, _ := identity.Files(certDir, role, name)
	certs, err := identity.ReadCertificates(crt)
	if err != nil {
		return nil, ui.Hint(fmt.Errorf("cannot sign as %q: %w", name, err), "fxctl cert request --role %s --name %s", role, name)
	}
	s := &signer{leaf: certs[0]}
	if s.id, err = anchors.Verify(certs[:1], role, at); err != nil {
		return nil, fmt.Errorf("cannot sign as %q: nobody would trust the signature: %w", name, err)
	}
	if s.key, err = identity.ReadKey(keyFile); err != nil {
		return nil, fmt.Errorf("cannot sign as %q: %w", name, err)
	}
	return s, nil
}

// checkFile opens and checks the bundle at path completely, with progress. The
// caller closes it.
func checkFile(c *cli.Context, path string) (*bundle.Checked, error) {
	return checkWith(c, path, (*bundle.Bundle).Check)
}

// checkToSign is checkFile for those who will sign the file: it also takes the
// digest of all of it.
func checkToSign(c *cli.Context, path string) (*bundle.Checked, error) {
	return checkWith(c, path, (*bundle.Bundle).CheckAndHash)
}

type checker func(b *bundle.Bundle, ctx context.Context, progress func(int64)) (*bundle.Checked, error)

func checkWith(c *cli.Context, path string, check checker) (*bundle.Checked, error) {
	b, err := bundle.OpenFile(path)
	if err != nil {
		return nil, err
	}
	progress := ui.From(c).Progress("checking "+filepath.Base(path), b.ContentSize())
	checked, err := check(b, c.Context, progress.Add)
	progress.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot trust bundle %q: %w", path, err), b.Close())
	}
	return checked, nil
}

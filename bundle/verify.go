package bundle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"fx/bundle/approval"
	"fx/ca/trust"
)

// Verified is a bundle that the site's policy lets run and every byte of which
// agrees with its manifest. Only Verify makes one; there is no way to have one
// without both checks.
type Verified struct {
	Checked
	decision *approval.Decision
}

// Verify decides whether the bundle may be used at a site, in the order that
// FORMAT.md states: first signatures, certificates and policy, and only when
// they say yes the data frames, completely (see Check).
//
// anchors come from the site's own signing_chain.crt and CRL, never from the
// bundle. A zero policy is the built-in one. at is the judged time. A refusal
// wraps identity.ErrUntrusted and is an *approval.Refusal; a damaged bundle
// wraps schema.ErrInvalid.
func (b *Bundle) Verify(ctx context.Context, anchors *trust.Anchors, policy approval.Policy, sidecar *approval.Sidecar, at time.Time) (*Verified, error) {
	// Steps 7 to 9: frames, headers and padding, file digests.
	return b.verify(anchors, policy, sidecar, at, func() (*Checked, error) { return b.Check(ctx, nil) })
}

// verify asks for steps 7 to 9 only when the policy has said yes.
func (b *Bundle) verify(anchors *trust.Anchors, policy approval.Policy, sidecar *approval.Sidecar, at time.Time,
	contents func() (*Checked, error)) (*Verified, error) {
	// Step 6: signatures and policy.
	decision := b.Judge(anchors, policy, sidecar, at)
	if err := decision.Err(); err != nil {
		return nil, err
	}
	c, err := contents()
	if err != nil {
		return nil, err
	}
	return &Verified{Checked: *c, decision: decision}, nil
}

// Judge evaluates signatures and policy alone and explains every rule. It is
// for showing; what may run is decided by Verify.
func (b *Bundle) Judge(anchors *trust.Anchors, policy approval.Policy, sidecar *approval.Sidecar, at time.Time) *approval.Decision {
	return approval.Evaluate(policy, sidecar, b.Subject(), anchors, at)
}

// Subject returns what signatures are about, as the policy needs it.
func (b *Bundle) Subject() approval.Subject {
	s := approval.Subject{
		BundleID: b.id.String(), Name: b.Name(), Version: b.Version(), TreeSHA256: b.TreeSHA256(),
		Bytes: b.size, Files: len(b.manifest.Files),
	}
	for _, f := range b.manifest.Files {
		s.NonASCIIPaths = s.NonASCIIPaths || !plainASCII(f.Path)
	}
	return s
}

// Decision returns why the bundle was accepted: each rule, each signature.
func (v *Verified) Decision() *approval.Decision { return v.decision }

// Approvals returns the reviews that counted.
func (v *Verified) Approvals() []approval.Signature { return v.decision.Counted(approval.ReviewType) }

// Release returns the publisher's signature that counted.
func (v *Verified) Release() approval.Signature { return v.decision.Counted(approval.ReleaseType)[0] }

// FileSHA256 returns the SHA-256 of the whole file, which signatures name for
// the benefit of stock tools. fx itself relies on the id, which pins as much.
func (b *Bundle) FileSHA256() ([sha256.Size]byte, error) {
	return digestOf(io.NewSectionReader(b.r, 0, b.size))
}

func digestOf(r io.Reader) (d [sha256.Size]byte, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return d, fmt.Errorf("cannot read the bundle: %v", err)
	}
	h.Sum(d[:0])
	return d, nil
}

package approval

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
)

// skew is how far a signer's clock may be ahead of ours.
const skew = 5 * time.Minute

// Evaluate judges a bundle's signatures against a policy at a given time, in
// this order: each signature by itself (statement, signature, certificate,
// validity), then whose review may not count, then the policy's rules. It never
// stops early, so that the decision explains every rule. A nil sidecar has no
// signatures.
func Evaluate(p Policy, sidecar *Sidecar, s Subject, anchors *trust.Anchors, at time.Time) *Decision {
	d := &Decision{
		BundleID: s.BundleID, JudgedAt: at.UTC(), Policy: p.Name(), PolicySHA256: p.Digest(),
		Rules: []Rule{}, Signatures: []Signature{},
	}
	if sidecar == nil {
		sidecar = &Sidecar{}
	}
	for i, a := range sidecar.attestations {
		sig := a.judge(s, anchors, at)
		sig.Line = i + 1
		d.Signatures = append(d.Signatures, sig)
	}
	d.separate()
	d.denyList(p, s)
	d.sizes(p, s)
	d.rejections()
	for _, r := range p.requirements() {
		d.count(r, at)
	}
	d.Approved = !slices.ContainsFunc(d.Rules, func(r Rule) bool { return !r.Holds })
	return d
}

// judge looks at one attestation by itself.
func (a *Attestation) judge(s Subject, anchors *trust.Anchors, at time.Time) Signature {
	sig := a.claims()
	role, known := signer(a.about.predicateType)
	switch {
	case !known:
		sig.Reason = "its kind of statement has no effect"
	case a.about.bundleID != s.BundleID:
		sig.Reason = "it is about another bundle, " + a.about.bundleID[:16]
	case a.leaf == nil:
		sig.Reason = "it names a bare key, and a key without a certificate has no role"
	case checkKey(a.leaf.PublicKey) != nil:
		sig.Reason = checkKey(a.leaf.PublicKey).Error()
	case !verify(a.leaf.PublicKey, a.payload, a.sig):
		sig.Reason = "the signature does not fit statement and key"
	case anchors == nil:
		sig.Reason = "there is no signing chain to verify it against"
	default:
		id, err := a.trusted(&sig, anchors, role, at)
		if err != nil {
			sig.Reason = err.Error()
			break
		}
		sig.Identity = id
		a.statement(&sig, s, at)
	}
	return sig
}

// claims fills in what the line says of itself.
func (a *Attestation) claims() Signature {
	sig := Signature{Predicate: a.about.predicateType}
	if a.leaf != nil {
		sum := sha256.Sum256(a.leaf.RawSubjectPublicKeyInfo)
		sig.KeySHA256 = hex.EncodeToString(sum[:])
		if id, err := identity.FromCertificate(a.leaf); err == nil {
			sig.Role, sig.Name, sig.Identity = string(id.Role), id.Name, id.URI()
		}
	}
	if r := a.about.release; r != nil {
		sig.SignedAt = r.CreatedAt
	}
	if r := a.about.review; r != nil {
		sig.SignedAt, sig.Decision, sig.Comment = r.ReviewedAt, r.Decision, r.Comment
		sig.ValidFrom, sig.ValidUntil, sig.Report = r.ValidFrom, r.ValidUntil, r.ReportSHA256
	}
	if sig.SignedAt != "" {
		sig.signedAt, _ = parseTime("", sig.SignedAt) // read once before, when the line was parsed
	}
	return sig
}

// trusted verifies the signer's certificate at the judged time. A rejection
// outlives its signer's certificate: it may also be judged at its own time.
func (a *Attestation) trusted(sig *Signature, anchors *trust.Anchors, role identity.Role, at time.Time) (string, error) {
	chain := []*x509.Certificate{a.leaf}
	id, err := anchors.Verify(chain, role, at)
	if err != nil && a.about.review != nil && a.about.review.Decision != Approved {
		if then, again := anchors.Verify(chain, role, sig.signedAt); again == nil {
			id, err = then, nil
		}
	}
	if err != nil {
		return "", err
	}
	return id.URI(), nil
}

// statement judges what a trusted signer says.
func (a *Attestation) statement(sig *Signature, s Subject, at time.Time) {
	if r := a.about.review; r != nil && r.Decision != Approved {
		sig.rejects = true
		sig.Reason = fmt.Sprintf("%s of %s: %s", sig.Role, sig.Name, r.Decision)
		return
	}
	if sig.signedAt.After(at.Add(skew)) {
		sig.Reason = fmt.Sprintf("it is dated %s, which is in the future", sig.SignedAt)
		return
	}
	if r := a.about.release; r != nil && (r.Name != s.Name || r.Version != s.Version || r.TreeSHA256 != s.TreeSHA256) {
		sig.Reason = "name, version or tree digest are not those of the bundle"
		return
	}
	if r := a.about.review; r != nil {
		from, until, _ := r.validity() // read once before, when the line was parsed
		if from.After(at.Add(skew)) || !at.Before(until) {
			sig.Reason = fmt.Sprintf("the approval is valid from %s until %s", r.ValidFrom, r.ValidUntil)
			return
		}
	}
	sig.Counts, sig.Reason = true, "in order"
}

// separate discounts reviews by those who published: by name and by key.
func (d *Decision) separate() {
	published := map[string]bool{}
	for _, s := range d.Counted(ReleaseType) {
		published["name "+s.Name], published["key "+s.KeySHA256] = true, true
	}
	for i := range d.Signatures {
		s := &d.Signatures[i]
		if s.Predicate == ReviewType && s.Counts && (published["name "+s.Name] || published["key "+s.KeySHA256]) {
			s.Counts, s.Reason = false, fmt.Sprintf("%s published the bundle, and nobody approves their own", s.Name)
		}
	}
}

func (d *Decision) rule(id, asks string, holds bool, reason string) {
	d.Rules = append(d.Rules, Rule{ID: id, Asks: asks, Holds: holds, Reason: reason})
}

func (d *Decision) denyList(p Policy, s Subject) {
	if len(p.deny) == 0 {
		return
	}
	if slices.Contains(p.deny, s.BundleID) {
		d.blocked = true
		d.rule("deny-list", "the bundle is not on the deny list", false, "the bundle is on the deny list")
		return
	}
	d.rule("deny-list", "the bundle is not on the deny list", true, fmt.Sprintf("it is none of the %d listed", len(p.deny)))
}

func (d *Decision) sizes(p Policy, s Subject) {
	limit := func(id, asks string, holds bool, found string) {
		d.blocked = d.blocked || !holds
		d.rule(id, asks, holds, found)
	}
	if n := p.limits.bundleBytes; n > 0 {
		limit("bundle-bytes", fmt.Sprintf("the file has at most %d bytes", n), s.Bytes <= n, fmt.Sprintf("it has %d bytes", s.Bytes))
	}
	if n := p.limits.files; n > 0 {
		limit("files", fmt.Sprintf("at most %d files are inside", n), s.Files <= n, fmt.Sprintf("%d files are inside", s.Files))
	}
	if p.limits.asciiPaths {
		found := "all paths are plain ASCII"
		if s.NonASCIIPaths {
			found = "paths with other than ASCII characters are inside"
		}
		limit("ascii-paths", "all paths are plain ASCII", !s.NonASCIIPaths, found)
	}
}

func (d *Decision) rejections() {
	const asks = "no trusted reviewer rejected or revoked it"
	for _, s := range d.Signatures {
		if s.rejects {
			d.blocked = true
			d.rule("no-rejection", asks, false, fmt.Sprintf("reviewer %s decided %s on %s", s.Name, s.Decision, s.SignedAt))
			return
		}
	}
	d.rule("no-rejection", asks, true, "nobody did")
}

// count counts the different signers that a requirement accepts. Signers differ
// when both their names and their keys do.
func (d *Decision) count(r requirement, at time.Time) {
	predicate := ReleaseType
	if r.role == identity.Reviewer {
		predicate = ReviewType
	}
	names, keys := []string{}, map[string]bool{}
	for _, s := range d.Counted(predicate) {
		young := r.maxAge == 0 || at.Sub(s.signedAt) <= r.maxAge
		wanted := len(r.names) == 0 || slices.Contains(r.names, s.Name)
		if young && wanted && !slices.Contains(names, s.Name) && !keys[s.KeySHA256] {
			names, keys[s.KeySHA256] = append(names, s.Name), true
		}
	}
	asks := fmt.Sprintf("signed by at least %d %s", r.min, r.role)
	if len(r.names) > 0 {
		asks += fmt.Sprintf(" among %q", r.names)
	}
	if r.maxAge > 0 {
		asks += fmt.Sprintf(" within %d hours", int(r.maxAge.Hours()))
	}
	found := fmt.Sprintf("%d %s signatures count", len(names), r.role)
	if len(names) == 1 {
		found = fmt.Sprintf("1 %s signature counts", r.role)
	}
	if len(names) >= r.min {
		d.rule(string(r.role), asks, true, fmt.Sprintf("%s: %q", found, names))
		return
	}
	d.missing = append(d.missing, r.role)
	d.rule(string(r.role), asks, false, fmt.Sprintf("it is not %s: %s", asks, found))
}

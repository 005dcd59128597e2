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
	if anchors != nil {
		anchors = anchors.WithGrace(p.grace)
	}
	for i, a := range sidecar.attestations {
		sig := a.judge(s, p.site, anchors, at)
		sig.Line = i + 1
		d.Signatures = append(d.Signatures, sig)
	}
	d.separate()
	d.revocation(p, anchors, at)
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
func (a *Attestation) judge(s Subject, site string, anchors *trust.Anchors, at time.Time) Signature {
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
		sig.Identity, sig.trusted = id, true
		a.statement(&sig, s, site, at)
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
		sig.Baseline, sig.Accepted, sig.Sites = r.Baseline, r.Accepted, r.Sites
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
func (a *Attestation) statement(sig *Signature, s Subject, site string, at time.Time) {
	if r := a.about.review; r != nil && r.Decision != Approved {
		sig.rejects = true
		sig.Reason = fmt.Sprintf("it is no approval: %s %s decided %s", sig.Role, sig.Name, r.Decision)
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
		if len(r.Sites) > 0 && !slices.Contains(r.Sites, site) {
			sig.Reason = fmt.Sprintf("the approval is for the sites %q, and this is not one of them: %s", r.Sites, called(site))
			return
		}
	}
	sig.Counts, sig.Reason = true, "in order"
}

// called says under which name a site judges.
func called(site string) string {
	if site == "" {
		return "it has no name here (setting site of the policy)"
	}
	return fmt.Sprintf("it is %q", site)
}

// separate discounts reviews by those who published, and says so.
func (d *Decision) separate() {
	who := d.persons()
	published := map[int]bool{}
	for i, s := range d.Signatures {
		if s.Predicate == ReleaseType && s.Counts {
			published[who[i]] = true
		}
	}
	var own []string
	for i := range d.Signatures {
		s := &d.Signatures[i]
		if s.Predicate == ReviewType && s.Counts && published[who[i]] {
			s.Counts, s.Reason = false, fmt.Sprintf("%s published the bundle, and nobody approves their own", s.Name)
			own = append(own, s.Name)
		}
	}
	found := "nobody did"
	if len(own) > 0 {
		found = fmt.Sprintf("%q did, which does not count", own)
	}
	d.rule("separation", "nobody's review of what they published counts", true, found)
}

// persons numbers the signers of all trusted signatures: two signatures are of
// one person when they share a name or a key, or are both linked to a third by
// either. Whoever holds another's key is the other, for all that anyone can tell.
func (d *Decision) persons() []int {
	who := make([]int, len(d.Signatures))
	for i := range who {
		who[i] = i
	}
	for i, a := range d.Signatures {
		for j, b := range d.Signatures[:i] {
			if !a.trusted || !b.trusted || (a.Name != b.Name && a.KeySHA256 != b.KeySHA256) {
				continue
			}
			from, to := who[i], who[j]
			for k := range who[:i+1] {
				if who[k] == from {
					who[k] = to
				}
			}
		}
	}
	return who
}

// revocation says how old the revocation lists are.
func (d *Decision) revocation(p Policy, anchors *trust.Anchors, at time.Time) {
	asks := "revocation lists are current"
	if p.grace > 0 {
		asks = fmt.Sprintf("revocation lists are current, or late by at most %d days", int(p.grace/(24*time.Hour)))
	}
	if p.listRequired {
		asks += ", and there is one"
	}
	if anchors == nil {
		d.rule("revocation", asks, false, "there is no signing chain")
		return
	}
	due, ok := anchors.ListsDue()
	late := at.Sub(due)
	switch {
	case !ok:
		d.rule("revocation", asks, !p.listRequired, "there is no revocation list, and nothing counts as revoked")
	case late <= 0:
		d.rule("revocation", asks, true, "the next one is due "+Time(due))
	default:
		d.rule("revocation", asks, late <= p.grace, "the next one was due "+Time(due))
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

// count counts the different persons whose signatures a requirement accepts.
func (d *Decision) count(r requirement, at time.Time) {
	predicate := ReleaseType
	if r.role == identity.Reviewer {
		predicate = ReviewType
	}
	names, counted, who := []string{}, map[int]bool{}, d.persons()
	for i, s := range d.Signatures {
		young := r.maxAge == 0 || at.Sub(s.signedAt) <= r.maxAge
		wanted := len(r.names) == 0 || slices.Contains(r.names, s.Name)
		if s.Counts && s.Predicate == predicate && young && wanted && !counted[who[i]] {
			names, counted[who[i]] = append(names, s.Name), true
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

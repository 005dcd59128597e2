package issuer

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"fx/ca/identity"
	"fx/ca/merklelog"
)

// Approval is a reviewer's signature under a proposal.
type Approval struct {
	Format      string `json:"format"`      // "fx-ca-approval/1"
	Proposal    []byte `json:"proposal"`    // the proposal's line, base64
	Certificate []byte `json:"certificate"` // the reviewer's, DER, base64
	Signature   []byte `json:"signature"`   // of the DSSE encoding of type and proposal, base64
}

const (
	approvalFormat = "fx-ca-approval/1"
	motionType     = "application/vnd.fx.ca-proposal+json"
)

// preAuth is what is signed (DSSE v1, "PAE"): the type keeps the signature from
// being taken for one under a bundle.
func preAuth(motion []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(motionType), motionType, len(motion), motion)
}

// Approve signs a proposal as the reviewer whom the certificate names.
func Approve(key crypto.Signer, leaf *x509.Certificate, motion *Motion) (*Approval, error) {
	id, err := identity.FromCertificate(leaf)
	if err != nil {
		return nil, err
	}
	switch {
	case id.Role != identity.Reviewer:
		return nil, identity.Untrustedf("%s is no reviewer", id)
	case id.Federation != motion.Federation:
		return nil, identity.Untrustedf("the proposal is of the federation %q, the reviewer of %q", motion.Federation, id.Federation)
	case motion.Role == identity.Reviewer && motion.Name == id.Name:
		return nil, identity.Untrustedf("nobody approves a certificate for themselves, and this one is for %s", id)
	case !identity.SameKey(key.Public(), leaf.PublicKey):
		return nil, identity.Untrustedf("the key is not the one that the certificate of %s is for", id)
	}
	line, err := motion.Encode()
	if err != nil {
		return nil, err
	}
	signer, err := merklelog.NewSigner(id.Name, key)
	if err != nil {
		return nil, err
	}
	sig, err := signer.Sign(preAuth(line))
	if err != nil {
		return nil, fmt.Errorf("cannot sign the proposal: %v", err)
	}
	return &Approval{Format: approvalFormat, Proposal: line, Certificate: leaf.Raw, Signature: sig}, nil
}

// Encode writes what [ParseApproval] reads.
func (a *Approval) Encode() ([]byte, error) { return encodeLine(a) }

// ParseApproval reads an approval in the one form in which it is written; a
// final newline is allowed. It is not judged.
func ParseApproval(data []byte) (*Approval, error) {
	a := &Approval{}
	if err := decodeLine("approval", bytes.TrimSuffix(data, []byte("\n")), MaxApproval, a); err != nil {
		return nil, err
	}
	if a.Format != approvalFormat {
		return nil, identity.Invalidf("its format is %q; this program knows %q", a.Format, approvalFormat)
	}
	return a, nil
}

// required is how many approvals every certificate of a participant needs; the
// root's record says it, so that it stands under every checkpoint.
func required(records []*Record) int {
	for _, r := range records {
		if r.Kind == KindIssued && r.Role == "" && r.Name == string(Root) {
			return r.Required
		}
	}
	return 0
}

// checkApprovals refuses what too few reviewers have approved, and enters into p
// who has. It is part of every review, so no key is open yet. The first
// reviewers need no approvals: nobody could give them. How many there ever were
// counts, not how many there are, so that this state never comes back.
func (ca *CA) checkApprovals(p *Proposal, records []*Record, req *Request, o Options, now time.Time, no *Refusals) {
	need := required(records)
	if o.proposing || need == 0 && len(o.Approvals) == 0 {
		return
	}
	p.approvals = nil
	if first := reviewersEver(records); first < need && len(o.Approvals) == 0 {
		if p.Identity.Role != identity.Reviewer {
			no.add("approval-missing", "this CA wants %d approvals, and %d of the first %d reviewers have certificates; sign theirs before anything else", need, first, need)
		}
		return
	}
	want := ca.motion(p, req, o)
	var line []byte
	names, keys := map[string]bool{}, map[string]bool{}
	for i, data := range o.Approvals {
		e, proposal, why := ca.judgeApproval(data, records, want, now)
		if why != nil {
			no.add(why.ID, "approval %d: %s", i+1, why.Message)
			continue
		}
		switch {
		case line != nil && !bytes.Equal(line, proposal):
			no.add("approval-mismatch", "approval %d: it is of another proposal than the first", i+1)
		case names[e.Reviewer] || keys[e.key]:
			no.add("approval-repeated", "approval %d: %s has approved already; every approval is another person's", i+1, e.Reviewer)
		default:
			line, names[e.Reviewer], keys[e.key] = proposal, true, true
			p.approvals = append(p.approvals, e.Endorsement)
		}
	}
	if len(p.approvals) < need {
		no.add("approval-missing", "%d of %d approvals; fxctl ca propose makes what reviewers approve", len(p.approvals), need)
	}
	p.motion = identity.Fingerprint(line)
}

type endorsement struct {
	Endorsement
	key string
}

// judgeApproval says who signed what, or why it does not count.
func (ca *CA) judgeApproval(data []byte, records []*Record, want *Motion, now time.Time) (*endorsement, []byte, *Refusal) {
	no := func(id, format string, a ...any) (*endorsement, []byte, *Refusal) {
		return nil, nil, &Refusal{ID: id, Message: fmt.Sprintf(format, a...)}
	}
	a, err := ParseApproval(data)
	if err != nil {
		return no("approval-invalid", "cannot be read: %v", err)
	}
	m, err := ParseMotion(a.Proposal)
	if err != nil {
		return no("approval-invalid", "its proposal cannot be read: %v", err)
	}
	reviewer, err := reviewerOf(a, records, now)
	if err != nil {
		return no("approval-untrusted", "%v", err)
	}
	if fields := m.differs(want); len(fields) > 0 {
		return no("approval-mismatch", "%s approved something else: %s", reviewer.Name, strings.Join(fields, ", "))
	}
	if now.After(m.Expires) || now.Before(m.Created.Add(-time.Hour)) {
		return no("approval-expired", "the proposal could be used from %s to %s", m.Created.Format(time.DateOnly), m.Expires.Format(time.DateOnly))
	}
	if reviewer.Role == m.Role && reviewer.Name == m.Name {
		return no("approval-untrusted", "nobody approves a certificate for themselves")
	}
	digest := identity.Fingerprint(a.Proposal)
	if i := slices.IndexFunc(records, func(r *Record) bool { return r.Proposal == digest }); i >= 0 {
		return no("approval-used", "the proposal was used already (record %d of the log)", i)
	}
	e := Endorsement{Reviewer: reviewer.Name, Serial: reviewer.Serial, Approval: identity.Fingerprint(bytes.TrimSuffix(data, []byte("\n")))}
	return &endorsement{e, reviewer.Key}, a.Proposal, nil
}

// reviewerOf finds who signed: a reviewer whom this CA has certified, says its
// log, whose certificate is valid and was not revoked.
func reviewerOf(a *Approval, records []*Record, now time.Time) (*Record, error) {
	var found *Record
	for _, r := range records {
		if r.Kind == KindIssued && r.Role == identity.Reviewer && bytes.Equal(r.Certificate, a.Certificate) {
			found = r
		}
	}
	if found == nil {
		return nil, fmt.Errorf("it was not signed by a reviewer of this CA")
	}
	for _, r := range records {
		if r.Kind == KindRevoked && r.Serial == found.Serial {
			return nil, fmt.Errorf("the certificate of %s was revoked on %s", found.Name, r.IssuedAt.Format(time.DateOnly))
		}
	}
	if now.After(found.NotAfter) || now.Before(found.NotBefore) {
		return nil, fmt.Errorf("the certificate of %s is valid from %s to %s", found.Name, found.NotBefore.Format(time.DateOnly), found.NotAfter.Format(time.DateOnly))
	}
	c, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := merklelog.NewKey(found.Name, c.PublicKey)
	if err != nil {
		return nil, err
	}
	if !key.Verify(preAuth(a.Proposal), a.Signature) {
		return nil, fmt.Errorf("the signature of %s does not verify", found.Name)
	}
	return found, nil
}

// reviewersEver counts the reviewers who were ever certified.
func reviewersEver(records []*Record) int {
	names := map[string]bool{}
	for _, r := range records {
		if r.Kind == KindIssued && r.Role == identity.Reviewer {
			names[r.Name] = true
		}
	}
	return len(names)
}

// endorse enters into a record who approved what it records.
func (p *Proposal) endorse(r *Record) {
	if len(p.approvals) > 0 {
		r.Proposal, r.Approvals = p.motion, p.approvals
	}
}

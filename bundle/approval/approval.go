// Package approval says who has signed a bundle and whether that is enough for
// a site: attestations in a sidecar file beside the bundle, and the policy that
// judges them.
//
// An attestation is an in-toto statement in a DSSE envelope in a Sigstore
// bundle, one JSON line each. It names the bundle by the SHA-256 of its
// manifest, so that the package needs to know nothing about the file itself.
package approval

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"fx/ca/identity"
	"fx/schema"
)

// The predicate types that count. Others may stand in a sidecar and are shown,
// but have no effect.
const (
	ReleaseType = "https://fx.invalid/fxb/release/v1" // by a publisher
	ReviewType  = "https://fx.invalid/fxb/review/v1"  // by a reviewer
)

// The decisions of a review. A rejection or a revocation by a trusted reviewer
// blocks the bundle for good; there is no taking it back for these bytes.
const (
	Approved = "APPROVED"
	Rejected = "REJECTED"
	Revoked  = "REVOKED"
)

// MaxValidity is the longest time for which one approval may be given.
const MaxValidity = 2 * 366 * 24 * time.Hour

// Subject is the bundle that signatures are about. Digests are in lower-case
// hexadecimal.
type Subject struct {
	BundleID      string // SHA-256 of the manifest
	FileSHA256    string // of the whole file; only Sign needs it
	OCISHA256     string // of its image manifest in a registry, likewise; may be empty
	Name, Version string // as the manifest states them
	TreeSHA256    string // likewise
	Bytes         int64  // size of the file
	Files         int    // number of files inside
	NonASCIIPaths bool   // a path inside is not plain ASCII
}

// Release is a publisher's statement: this is version so-and-so, and I made it.
type Release struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	TreeSHA256 string `json:"treeSha256"`
	CreatedAt  string `json:"createdAt"`            // RFC 3339, whole seconds, UTC
	Supersedes string `json:"supersedes,omitempty"` // bundle id
	Tool       string `json:"tool"`
}

// Review is a reviewer's statement about a bundle.
type Review struct {
	Decision     string `json:"decision"`               // Approved, Rejected or Revoked
	ReviewedAt   string `json:"reviewedAt"`             // RFC 3339, whole seconds, UTC
	ValidFrom    string `json:"validFrom,omitempty"`    // of an approval
	ValidUntil   string `json:"validUntil,omitempty"`   // of an approval
	Baseline     string `json:"baseline,omitempty"`     // bundle id that the reviewer compared with
	ReportSHA256 string `json:"reportSha256,omitempty"` // of the inspection report that was shown
	PolicySHA256 string `json:"policySha256,omitempty"` // of the policy in force, if it was a file
	Comment      string `json:"comment,omitempty"`

	Accepted []Accepted `json:"accepted,omitempty"` // findings of the report, by an approval
	Sites    []string   `json:"sites,omitempty"`    // the only sites at which an approval counts; none: everywhere
}

// Accepted is a finding of the report that the reviewer knows and takes, and
// why.
type Accepted struct {
	Rule        string `json:"rule"`
	Fingerprint string `json:"fingerprint"` // of the finding, as the report states it
	Reason      string `json:"reason"`
}

// Limits of a review.
const (
	MaxAccepted = 500
	MaxSites    = 100
	MaxText     = 4096 // bytes of a comment or reason
)

// Time writes t as statements carry it.
func Time(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// parseTime reads what Time writes and nothing else.
func parseTime(what, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || Time(t) != s {
		return time.Time{}, invalid("%s is %q, want a time like 2026-01-31T12:00:00Z", what, s)
	}
	return t, nil
}

// check applies the rules of a release that do not depend on a bundle.
func (r *Release) check() error {
	if r.Supersedes != "" && !isDigest(r.Supersedes) {
		return invalid("supersedes is no bundle id")
	}
	_, err := parseTime("createdAt", r.CreatedAt)
	return err
}

// check applies the rules of a review that do not depend on a bundle.
func (r *Review) check() error {
	if _, err := parseTime("reviewedAt", r.ReviewedAt); err != nil {
		return err
	}
	for what, d := range map[string]string{"baseline": r.Baseline, "reportSha256": r.ReportSHA256, "policySha256": r.PolicySHA256} {
		if d != "" && !isDigest(d) {
			return invalid("%s is no SHA-256", what)
		}
	}
	if len(r.Comment) > MaxText {
		return invalid("the comment has %d bytes, allowed are %d", len(r.Comment), MaxText)
	}
	if err := r.checkScope(); err != nil {
		return err
	}
	switch r.Decision {
	case Rejected, Revoked:
		if r.ValidFrom != "" || r.ValidUntil != "" {
			return invalid("a %s review has no validity: it holds for good", r.Decision)
		}
		return nil
	case Approved:
		from, until, err := r.validity()
		if err == nil && (!until.After(from) || until.Sub(from) > MaxValidity) {
			return invalid("the approval is valid from %s until %s; allowed is up to %d days", r.ValidFrom, r.ValidUntil, MaxValidity/(24*time.Hour))
		}
		return err
	}
	return invalid("decision is %q, allowed are %s, %s and %s", r.Decision, Approved, Rejected, Revoked)
}

// checkScope applies the rules of what an approval accepts and where it counts.
func (r *Review) checkScope() error {
	if r.Decision != Approved && len(r.Accepted)+len(r.Sites) > 0 {
		return invalid("a %s review accepts no findings and holds at every site", r.Decision)
	}
	if len(r.Accepted) > MaxAccepted || len(r.Sites) > MaxSites {
		return invalid("the review accepts %d findings for %d sites, allowed are %d and %d", len(r.Accepted), len(r.Sites), MaxAccepted, MaxSites)
	}
	for i, a := range r.Accepted {
		if !isWord(a.Rule) || !isWord(a.Fingerprint) || a.Reason == "" || len(a.Reason) > MaxText {
			return invalid("accepted[%d]: rule and fingerprint are words of up to 128 letters, digits and hyphens, and the reason has 1 to %d bytes", i, MaxText)
		}
		if i > 0 && compareAccepted(r.Accepted[i-1], a) >= 0 {
			return invalid("accepted[%d] is out of order or there twice", i)
		}
	}
	for i, s := range r.Sites {
		if err := identity.CheckName(identity.Collaborator, s); err != nil {
			return invalid("sites[%d]: %v", i, err)
		}
		if i > 0 && r.Sites[i-1] >= s {
			return invalid("sites[%d] is out of order or there twice", i)
		}
	}
	return nil
}

// SortScope puts accepted findings and sites into the order that a review needs.
func (r *Review) SortScope() {
	slices.SortFunc(r.Accepted, compareAccepted)
	slices.Sort(r.Sites)
}

func compareAccepted(a, b Accepted) int {
	return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Fingerprint, b.Fingerprint))
}

// isWord says whether s may be a rule's or a finding's id.
func isWord(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-_.:/", c) {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

func (r *Review) validity() (from, until time.Time, err error) {
	if from, err = parseTime("validFrom", r.ValidFrom); err == nil {
		until, err = parseTime("validUntil", r.ValidUntil)
	}
	return from, until, err
}

// signer returns the role that a predicate type takes, and whether it counts.
func signer(predicateType string) (identity.Role, bool) {
	switch predicateType {
	case ReleaseType:
		return identity.Publisher, true
	case ReviewType:
		return identity.Reviewer, true
	}
	return "", false
}

func isDigest(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 64
}

// invalid makes an error that wraps schema.ErrInvalid, which commands turn into
// exit code 3.
func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", schema.ErrInvalid, fmt.Sprintf(format, a...))
}

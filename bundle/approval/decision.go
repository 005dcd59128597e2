package approval

import (
	"fmt"
	"strings"
	"time"

	"fx/ca/identity"
)

// Decision says whether a bundle may be used, and why.
type Decision struct {
	BundleID     string      `json:"bundle_id"`
	Approved     bool        `json:"approved"`
	JudgedAt     time.Time   `json:"judged_at"`
	Policy       string      `json:"policy"` // file name or "built-in"
	PolicySHA256 string      `json:"policy_sha256,omitempty"`
	Rules        []Rule      `json:"rules"`
	Signatures   []Signature `json:"signatures"`

	missing []identity.Role // whose signatures would help
	blocked bool            // no signature would help
}

// Rule is one thing that the policy asks for.
type Rule struct {
	ID     string `json:"id"`   // stable, such as "reviewer" or "no-rejection"
	Asks   string `json:"asks"` // in words
	Holds  bool   `json:"holds"`
	Reason string `json:"reason"`
}

// Signature is one attestation of the sidecar, judged. Name, Role and all that
// follows are only what the line claims when Counts is false.
type Signature struct {
	Line       int    `json:"line"` // in the sidecar, from 1
	Predicate  string `json:"predicate"`
	Role       string `json:"role,omitempty"`
	Name       string `json:"name,omitempty"`
	Identity   string `json:"identity,omitempty"` // URI
	KeySHA256  string `json:"key_sha256,omitempty"`
	SignedAt   string `json:"signed_at,omitempty"`
	Decision   string `json:"decision,omitempty"` // of a review
	ValidFrom  string `json:"valid_from,omitempty"`
	ValidUntil string `json:"valid_until,omitempty"`
	Report     string `json:"report_sha256,omitempty"`
	Comment    string `json:"comment,omitempty"`
	Baseline   string `json:"baseline,omitempty"`

	Accepted []Accepted `json:"accepted,omitempty"`
	Sites    []string   `json:"sites,omitempty"`

	Counts bool   `json:"counts"`
	Reason string `json:"reason"`

	signedAt time.Time
	trusted  bool // signature and certificate are in order
	rejects  bool // a trusted reviewer's rejection or revocation
}

// Days returns for how many days an approval was given, rounded to whole days and
// at least one.
func (s Signature) Days() int {
	r := Review{ValidFrom: s.ValidFrom, ValidUntil: s.ValidUntil}
	from, until, err := r.validity()
	if err != nil {
		return 1
	}
	return max(1, int(until.Sub(from).Round(24*time.Hour)/(24*time.Hour)))
}

// Counted returns the signatures of a predicate type that counted.
func (d *Decision) Counted(predicateType string) []Signature {
	var list []Signature
	for _, s := range d.Signatures {
		if s.Counts && s.Predicate == predicateType {
			list = append(list, s)
		}
	}
	return list
}

// Earlier returns the newest approval of the bundle that the named reviewer has
// signed and that is still in order but for its dates or sites.
func (d *Decision) Earlier(reviewer string) (last Signature, ok bool) {
	for _, s := range d.Signatures {
		if s.trusted && s.Predicate == ReviewType && s.Decision == Approved && s.Name == reviewer && (!ok || s.signedAt.After(last.signedAt)) {
			last, ok = s, true
		}
	}
	return last, ok
}

// Err returns nil for an approved bundle and a *Refusal otherwise.
func (d *Decision) Err() error {
	if d.Approved {
		return nil
	}
	return &Refusal{Decision: d}
}

// Refusal is the error of a bundle that the policy does not accept. It wraps
// identity.ErrUntrusted.
type Refusal struct{ Decision *Decision }

// Error names every rule that does not hold and every signature that might have
// mended it but did not count.
func (r *Refusal) Error() string {
	var why []string
	for _, rule := range r.Decision.Rules {
		if !rule.Holds {
			why = append(why, rule.Reason)
		}
	}
	for _, s := range r.Decision.Signatures {
		if !s.Counts {
			why = append(why, fmt.Sprintf("signature %d does not count: %s", s.Line, s.Reason))
		}
	}
	return fmt.Sprintf("bundle %s is not approved under the %s policy: %s",
		r.Decision.BundleID[:16], r.Decision.Policy, strings.Join(why, "; "))
}

// Unwrap makes errors.Is(err, identity.ErrUntrusted) true.
func (r *Refusal) Unwrap() error { return identity.ErrUntrusted }

// Hint returns what to type, and who must, to have the bundle at path accepted;
// "" when no signature can help.
func (r *Refusal) Hint(path string) string {
	d := r.Decision
	if d.blocked || len(d.missing) == 0 {
		return ""
	}
	for _, role := range d.missing {
		if role == identity.Publisher {
			return fmt.Sprintf("the publisher's signature belongs into %s beside the bundle; the publisher makes both: fxctl bundle create WORKSPACE -o FILE --as PUBLISHER", SidecarPath(path))
		}
	}
	return fmt.Sprintf("a reviewer must sign: fxctl bundle approve %s --as REVIEWER", path)
}

package issuer

import (
	"fmt"
	"strings"

	"fx/ca/identity"
)

// Refusal is one reason not to sign. IDs are a contract with scripts: they are
// listed in ca/PROFILE.md and never change their meaning.
type Refusal struct {
	ID      string `json:"id"`
	Message string `json:"message"`
}

// Refusals are all reasons that were found. Errors of this type are
// [identity.ErrUntrusted] if one of them is about trust (the fingerprint, the
// CA itself), else [identity.ErrInvalid].
type Refusals []Refusal

func (r Refusals) Error() string {
	if len(r) == 1 {
		return fmt.Sprintf("%s (%s)", r[0].Message, r[0].ID)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d reasons", len(r))
	for _, x := range r {
		fmt.Fprintf(&b, "\n  %s (%s)", x.Message, x.ID)
	}
	return b.String()
}

// Is tells errors.Is the kind.
func (r Refusals) Is(target error) bool {
	untrusted := false
	for _, x := range r {
		untrusted = untrusted || x.ID == "fingerprint-mismatch" || x.ID == "issuer-state" || x.ID == "not-in-roster" || strings.HasPrefix(x.ID, "approval-")
	}
	return untrusted && target == identity.ErrUntrusted || !untrusted && target == identity.ErrInvalid
}

// Details is what --json shows beside the message.
func (r Refusals) Details() map[string]any { return map[string]any{"refusals": []Refusal(r)} }

func (r *Refusals) add(id, format string, a ...any) {
	*r = append(*r, Refusal{ID: id, Message: fmt.Sprintf(format, a...)})
}

// err is r as an error, nil if there is no refusal.
func (r Refusals) err() error {
	if len(r) == 0 {
		return nil
	}
	return r
}

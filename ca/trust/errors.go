package trust

import (
	"fmt"
	"math/big"
	"time"

	"fx/ca/identity"
)

// RoleError says that a certificate is not of the role that is needed.
type RoleError struct {
	Want    identity.Role
	Found   identity.Role // "" if the certificate has no clear role
	Subject string
	Cause   error // why there is no clear role, or nil
}

func (e *RoleError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("the certificate of %s is no %s's: %v", e.Subject, e.Want, e.Cause)
	}
	return fmt.Sprintf("the certificate of %s is for the role %s; the role %s is needed", e.Subject, e.Found, e.Want)
}

// Unwrap returns the cause.
func (e *RoleError) Unwrap() error { return e.Cause }

// RevokedError says that a CA has revoked a certificate.
type RevokedError struct {
	Subject string
	Serial  *big.Int
	Since   time.Time
	Reason  int // RFC 5280 section 5.3.1
}

func (e *RevokedError) Error() string {
	return fmt.Sprintf("the certificate of %s (serial %x) was revoked on %s (%s)",
		e.Subject, e.Serial, e.Since.UTC().Format(time.RFC3339), ReasonName(e.Reason))
}

// StaleError says that a revocation list is older than its CA promised, so that
// nobody can know what has been revoked since.
type StaleError struct {
	Issuer string
	Due    time.Time
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("the revocation list of %s was to be renewed by %s; fetch a new one from the CA's custodian",
		e.Issuer, e.Due.UTC().Format(time.RFC3339))
}

// ReasonName is the RFC 5280 section 5.3.1 name of a reason for revocation.
func ReasonName(code int) string {
	names := map[int]string{
		0: "unspecified", 1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded",
		5: "cessationOfOperation", 6: "certificateHold", 8: "removeFromCRL", 9: "privilegeWithdrawn", 10: "aACompromise",
	}
	if n, ok := names[code]; ok {
		return n
	}
	return fmt.Sprintf("reason %d", code)
}

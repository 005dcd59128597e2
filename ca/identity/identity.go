// Package identity says whom a certificate names: the federation, the role in
// it and the name, and how each is written in certificates, requests, keys and
// file names.
//
// The profile is described in ca/PROFILE.md.
package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrUntrusted is the kind of every error that says "this is not who it must
// be": role, chain, revocation, fingerprint. Programs exit with 4.
var ErrUntrusted = errors.New("not trusted")

// ErrInvalid is the kind of every error about a certificate, request, key or
// revocation list that cannot be read as one. Programs exit with 3.
var ErrInvalid = errors.New("invalid document")

// kindError gives an error a kind without repeating the kind's words.
type kindError struct{ kind, err error }

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

// Untrustedf makes an error that wraps [ErrUntrusted] and whatever %w names.
func Untrustedf(format string, a ...any) error {
	return &kindError{kind: ErrUntrusted, err: fmt.Errorf(format, a...)}
}

// Invalidf makes an error that wraps [ErrInvalid] and whatever %w names.
func Invalidf(format string, a ...any) error {
	return &kindError{kind: ErrInvalid, err: fmt.Errorf(format, a...)}
}

// Role is what a participant does in a federation.
type Role string

// The four roles. Aggregators and collaborators talk TLS; publishers sign
// bundles and reviewers sign approvals.
const (
	Aggregator   Role = "aggregator"
	Collaborator Role = "collaborator"
	Publisher    Role = "publisher"
	Reviewer     Role = "reviewer"
)

// Roles lists all roles in the order in which people meet them.
func Roles() []Role { return []Role{Aggregator, Collaborator, Publisher, Reviewer} }

// ParseRole reads a role's name, exactly as it is written in a certificate.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", Invalidf("%q is no role; there is %s", s, "aggregator, collaborator, publisher, reviewer")
}

// Signs reports whether the role signs documents (under the signing CA) rather
// than TLS handshakes (under the network CA).
func (r Role) Signs() bool { return r == Publisher || r == Reviewer }

// ExtKeyUsage is the one extended key usage of the role's certificates.
func (r Role) ExtKeyUsage() x509.ExtKeyUsage {
	switch r {
	case Aggregator:
		return x509.ExtKeyUsageServerAuth
	case Collaborator:
		return x509.ExtKeyUsageClientAuth
	}
	return x509.ExtKeyUsageCodeSigning
}

// Identity is whom a certificate names.
type Identity struct {
	Federation string // fully qualified domain name, lower case; "" for certificates made by OpenFL
	Role       Role
	Name       string // aggregator: host name or IP address; others: a bare name
}

// URI is the identity as it stands in the certificate's subject alternative
// name: https://FEDERATION/fl/v1/ROLE/NAME.
func (id Identity) URI() string {
	return "https://" + id.Federation + uriPath + string(id.Role) + "/" + id.Name
}

// String is the identity as people read it: "collaborator hospital-a of
// fed.example.org".
func (id Identity) String() string {
	if id.Federation == "" {
		return string(id.Role) + " " + id.Name
	}
	return string(id.Role) + " " + id.Name + " of " + id.Federation
}

const uriPath = "/fl/v1/"

// ParseURI reads what [Identity.URI] writes, and nothing else: no query,
// fragment, user, port, escapes, upper case or dot segments. Errors wrap
// [ErrInvalid].
func ParseURI(uri string) (Identity, error) {
	rest, ok := strings.CutPrefix(uri, "https://")
	federation, rest, okHost := strings.Cut(rest, "/")
	role, name, okName := strings.Cut(strings.TrimPrefix("/"+rest, uriPath), "/")
	if !ok || !okHost || !okName || !strings.HasPrefix("/"+rest, uriPath) {
		return Identity{}, Invalidf("the URI %q is not of the form https://FEDERATION%sROLE/NAME", uri, uriPath)
	}
	if err := CheckFederation(federation); err != nil {
		return Identity{}, Invalidf("the URI %q: %w", uri, err)
	}
	r, err := ParseRole(role)
	if err != nil {
		return Identity{}, Invalidf("the URI %q: %w", uri, err)
	}
	if err := CheckName(r, name); err != nil {
		return Identity{}, Invalidf("the URI %q: %w", uri, err)
	}
	return Identity{Federation: federation, Role: r, Name: name}, nil
}

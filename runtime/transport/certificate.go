package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
)

// rejection says why this side does not accept the peer's certificate. err is
// what crypto/tls, crypto/x509 or package trust returned, leaf what the peer
// presented (nil if unknown), own our certificate (nil on the server, whose
// clock is the reference). It is false if err is not about a certificate.
func rejection(err error, leaf, own *x509.Certificate, now time.Time) (Cause, string, bool) {
	var (
		revoked *trust.RevokedError
		role    *trust.RoleError
		stale   *trust.StaleError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &revoked):
		return CauseRevoked, "certificate " + subject(leaf) + " was revoked on " + stamp(revoked.Since), true
	case errors.As(err, &role):
		return CauseWrongRole, fmt.Sprintf("certificate %s is not for this role: %v", subject(leaf), role), true
	case errors.As(err, &stale) && own == nil: // on the server: no fault of the peer's
		return CauseUnavailable, "the aggregator can let nobody in: " + stale.Error(), true
	case errors.As(err, &stale):
		return CauseExpired, "certificate " + subject(leaf) + " cannot be judged: " + stale.Error(), true
	case errors.As(err, &host):
		if r := roleOf(leaf); r != "" && r != identity.Aggregator {
			return CauseWrongRole, fmt.Sprintf("certificate %s is for role %s", subject(leaf), r), true
		}
		return CauseNameMismatch, fmt.Sprintf("certificate %s is for %s, not for %q", subject(leaf), hosts(leaf), host.Host), true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		cert := invalid.Cert
		if cert == nil {
			cert = leaf
		}
		if cert == nil {
			return CauseExpired, invalid.Error(), true
		}
		cause, detail := peerValidity(cert, own, now)
		return cause, detail, true
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return CauseWrongRole, fmt.Sprintf("certificate %s is not for this role", subject(leaf)), true
	case errors.As(err, &invalid), errors.As(err, &unknown):
		return CauseWrongCA, fmt.Sprintf("certificate %s is issued by %s, which is not this federation's CA", subject(leaf), issuer(leaf)), true
	case errors.Is(err, identity.ErrUntrusted):
		return CauseWrongRole, fmt.Sprintf("certificate %s proves no role: %v", subject(leaf), err), true
	}
	return "", "", false
}

// isStale says whether err is about a revocation list that is too old to tell.
func isStale(err error) bool {
	var stale *trust.StaleError
	return errors.As(err, &stale)
}

// presented is the leaf that the peer showed in a handshake that went wrong.
// It proves nothing: it is for messages.
func presented(err error, conn *tls.Conn) *x509.Certificate {
	var failed *tls.CertificateVerificationError
	if errors.As(err, &failed) && len(failed.UnverifiedCertificates) > 0 {
		return failed.UnverifiedCertificates[0]
	}
	if certs := conn.ConnectionState().PeerCertificates; len(certs) > 0 {
		return certs[0]
	}
	return nil
}

// foreign says whether a server certificate has nothing to do with any
// federation: no federation URI in it, and an issuer of another organisation
// than ours. That is what a TLS-inspecting proxy presents, whereas another
// federation's aggregator, or ours with a new CA, has one or the other.
func foreign(leaf, own *x509.Certificate) bool {
	for _, u := range leaf.URIs {
		if strings.HasPrefix(u.Path, "/fl/v1/") {
			return false
		}
	}
	if own == nil {
		return true
	}
	ours := slices.Concat(own.Issuer.Organization, own.Subject.Organization)
	return !slices.ContainsFunc(leaf.Issuer.Organization, func(o string) bool {
		return slices.Contains(ours, o)
	})
}

// roleOf is the role in a certificate of ours, or "" if it proves none.
func roleOf(cert *x509.Certificate) identity.Role {
	if cert == nil {
		return ""
	}
	id, err := identity.FromCertificate(cert)
	if err != nil {
		return ""
	}
	return id.Role
}

// subject, issuer and hosts describe a certificate in a message; what they give
// comes from the peer and is therefore quoted.
func subject(c *x509.Certificate) string {
	if c == nil {
		return "(none)"
	}
	return fmt.Sprintf("%q", c.Subject.String())
}

// hosts lists what a server certificate is valid for.
func hosts(c *x509.Certificate) string {
	if c == nil {
		return "(unknown)"
	}
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no host"
	}
	return fmt.Sprintf("%q", names)
}

func issuer(c *x509.Certificate) string {
	if c == nil {
		return "(unknown)"
	}
	return fmt.Sprintf("%q", c.Issuer.String())
}

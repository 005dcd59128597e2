package trust

import (
	"crypto/x509"
	"slices"
	"strings"

	"fx/ca/identity"
)

// MadeByOpenFL reports whether a certificate looks like those that OpenFL
// issues: no key usage, no extended key usage, no policy and no URI, so that
// nothing in it says a role.
func MadeByOpenFL(c *x509.Certificate) bool {
	return !c.IsCA && c.KeyUsage == 0 && len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 &&
		len(c.Policies) == 0 && len(c.URIs) == 0
}

// openFLName takes the common name of a certificate made by OpenFL. The role is
// whatever the connection's end implies: the chain and the list of
// collaborators are all that stands behind it.
func (a *Anchors) openFLName(leaf *x509.Certificate, want identity.Role) (identity.Identity, error) {
	refuse := func(why string) (identity.Identity, error) {
		return identity.Identity{}, identity.Untrustedf("%w", &RoleError{
			Want: want, Subject: leaf.Subject.String(), Cause: identity.Untrustedf("%s", why),
		})
	}
	cn := leaf.Subject.CommonName
	switch {
	case !a.openFL:
		return refuse("it has no role in it, as certificates made by OpenFL; these are accepted only where OpenFL compatibility was asked for by name")
	case want.Signs():
		return refuse("certificates made by OpenFL never sign bundles or approvals")
	case cn == "" || len(cn) > 64 || strings.ContainsFunc(cn, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }):
		return refuse("its common name is no name")
	}
	return identity.Identity{Role: want, Name: cn}, nil
}

// matchesHost is hostname verification for certificates made by OpenFL, which
// writes an IP address into a DNS name; crypto/x509 rightly never matches that.
func matchesHost(c *x509.Certificate, host string) error {
	if _, isIP := identity.ParseIP(host); isIP && slices.Contains(c.DNSNames, host) {
		return nil
	}
	if err := c.VerifyHostname(host); err != nil {
		return identity.Untrustedf("the certificate of %q is not for this host: %w", c.Subject, err)
	}
	return nil
}

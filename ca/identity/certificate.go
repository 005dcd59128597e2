package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
)

// policyBase is the arc of our certificate policies. It is made from the UUID
// 9b6dfaf0-09f1-482a-af6b-49acbc7436aa by the published rule for
// 1.2.840.113556.1.8000.2554 (16-bit and 24-bit pieces of the UUID), because
// parsers that keep an arc in 32 bits reject whole certificates that use the
// single 128-bit arc of 2.25 (ITU-T X.667).
var policyBase = []uint64{1, 2, 840, 113556, 1, 8000, 2554, 39789, 64240, 2545, 18474, 44907, 4828348, 7616170}

// Policy is the certificate policy that says the role.
func (r Role) Policy() x509.OID {
	oid, err := x509.OIDFromInts(append(slices.Clone(policyBase), uint64(slices.Index(Roles(), r)+1)))
	if err != nil {
		panic(err) // the numbers above are no OID
	}
	return oid
}

// FromCertificate reads the identity from a participant's certificate. The role
// stands in it three times (extended key usage, certificate policy, URI) and
// all three must agree; the name stands in the URI and the common name. What is
// not exactly so is refused. Errors wrap [ErrUntrusted].
//
// The chain, the validity and revocation are not checked here.
func FromCertificate(c *x509.Certificate) (Identity, error) {
	if c.IsCA {
		return Identity{}, Untrustedf("the certificate of %q is a CA's, not a participant's", c.Subject)
	}
	if len(c.URIs) != 1 {
		return Identity{}, Untrustedf("the certificate of %q has %d URIs; the identity is exactly one", c.Subject, len(c.URIs))
	}
	id, err := ParseURI(c.URIs[0].String())
	if err != nil {
		return Identity{}, Untrustedf("the certificate of %q names nobody: %v", c.Subject, err)
	}
	if err := checkRole(c, id.Role); err != nil {
		return Identity{}, err
	}
	if c.Subject.CommonName != id.Name {
		return Identity{}, Untrustedf("the certificate's common name %q differs from the name %q of its URI", c.Subject.CommonName, id.Name)
	}
	if !slices.Equal(c.Subject.Organization, []string{id.Federation}) {
		return Identity{}, Untrustedf("the certificate's organization %q differs from the federation %q of its URI", c.Subject.Organization, id.Federation)
	}
	if len(c.EmailAddresses) > 0 || id.Role != Aggregator && len(c.DNSNames)+len(c.IPAddresses) > 0 {
		return Identity{}, Untrustedf("the certificate of %s has names beside its URI", id)
	}
	if id.Role == Aggregator && !hasHost(c, id.Name) {
		return Identity{}, Untrustedf("the certificate of %s does not have %q among its host names and addresses", id, id.Name)
	}
	return id, nil
}

func checkRole(c *x509.Certificate, r Role) error {
	if len(c.UnknownExtKeyUsage) > 0 || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{r.ExtKeyUsage()}) {
		return Untrustedf("the certificate of %q claims the role %s in its URI, but its extended key usage is not that role's", c.Subject, r)
	}
	if len(c.Policies) != 1 || !c.Policies[0].Equal(r.Policy()) {
		return Untrustedf("the certificate of %q claims the role %s in its URI, but its policy is not that role's", c.Subject, r)
	}
	return nil
}

func hasHost(c *x509.Certificate, name string) bool {
	if want, ok := ParseIP(name); ok {
		for _, ip := range c.IPAddresses {
			if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap() == want {
				return true
			}
		}
		return false
	}
	return slices.Contains(c.DNSNames, name)
}

// Fingerprint is the SHA-256 of DER bytes in 64 lower-case hexadecimal digits.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// Grouped writes a fingerprint for reading aloud: groups of four characters.
func Grouped(fingerprint string) string {
	var b strings.Builder
	for i := 0; i < len(fingerprint); i += 4 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(fingerprint[i:min(i+4, len(fingerprint))])
	}
	return b.String()
}

// Ungrouped undoes [Grouped] and other common spellings of a fingerprint:
// colons, spaces, hyphens, upper case, and OpenSSL's and our own prefixes.
func Ungrouped(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.TrimPrefix(s, "sha256:")
	return strings.NewReplacer(" ", "", ":", "", "-", "").Replace(s)
}

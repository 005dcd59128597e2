package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
)

// MaxRequest is the size limit of a certificate signing request file in bytes.
const MaxRequest = 64 << 10

// The extensions of RFC 5280 section 4.2.1 that our profiles and requests use.
var (
	OIDSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	OIDKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	OIDSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	OIDBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	OIDNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	OIDPolicies         = asn1.ObjectIdentifier{2, 5, 29, 32}
	OIDAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
	OIDExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// ExtKeyUsageOID is the object identifier of [Role.ExtKeyUsage] (RFC 5280
// section 4.2.1.12).
func (r Role) ExtKeyUsageOID() asn1.ObjectIdentifier {
	last := 3
	switch r {
	case Aggregator:
		last = 1
	case Collaborator:
		last = 2
	}
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, last}
}

// NewRequest makes a certificate signing request in DER. An aggregator's name
// is its first host name or address, hosts are further ones. The role is in the
// request (extended key usage and policy) so that a custodian who expects
// another role cannot sign by mistake; the federation is not, because only the
// CA knows its name.
func NewRequest(key crypto.Signer, r Role, name string, hosts ...string) ([]byte, error) {
	if err := CheckName(r, name); err != nil {
		return nil, err
	}
	if r != Aggregator && len(hosts) > 0 {
		return nil, Invalidf("a %s has no host names or addresses in its certificate", r)
	}
	t := &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}
	if r == Aggregator {
		seen := map[string]bool{}
		for _, h := range append([]string{name}, hosts...) {
			if seen[h] {
				continue
			}
			seen[h] = true
			if ip, ok := ParseIP(h); ok {
				t.IPAddresses = append(t.IPAddresses, net.IP(ip.AsSlice()))
			} else if err := CheckHost(h); err != nil {
				return nil, Invalidf("the host name %w", err)
			} else {
				t.DNSNames = append(t.DNSNames, h)
			}
		}
	}
	role, err := roleExtensions(r)
	if err != nil {
		return nil, fmt.Errorf("cannot make a request for %s %q: %v", r, name, err)
	}
	t.ExtraExtensions = role
	der, err := x509.CreateCertificateRequest(rand.Reader, t, key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a request for %s %q: %v", r, name, err)
	}
	return der, nil
}

func roleExtensions(r Role) ([]pkix.Extension, error) {
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{r.ExtKeyUsageOID()})
	if err != nil {
		return nil, err
	}
	policy, err := r.Policy().MarshalBinary()
	if err != nil {
		return nil, err
	}
	// SEQUENCE OF PolicyInformation, each SEQUENCE { policyIdentifier }.
	policies, err := asn1.Marshal([]struct{ ID asn1.RawValue }{{asn1.RawValue{Tag: asn1.TagOID, Bytes: policy}}})
	if err != nil {
		return nil, err
	}
	return []pkix.Extension{{Id: OIDExtKeyUsage, Value: eku}, {Id: OIDPolicies, Value: policies}}, nil
}

// EncodeRequest writes a request's DER as PEM.
func EncodeRequest(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// OpenFLFingerprint is the fingerprint that OpenFL shows for a request file:
// SHA-384 of the PEM text in hexadecimal digits.
func OpenFLFingerprint(pemText []byte) string {
	sum := sha512.Sum384(pemText)
	return hex.EncodeToString(sum[:])
}

package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"time"

	"fx/ca/identity"
)

// Lifetimes and the time by which certificates are dated back, so that clocks
// that are a little slow accept them.
const (
	day            = 24 * time.Hour
	rootDays       = 3650
	issuingDays    = 1825
	networkDefault = 365
	networkMost    = 397
	signerDefault  = 365
	signerMost     = 731
	backdateCA     = time.Hour
	backdateLeaf   = 5 * time.Minute
)

// MostDays is the longest lifetime that the profile of a role allows.
func MostDays(r identity.Role) int {
	if r.Signs() {
		return signerMost
	}
	return networkMost
}

// DefaultDays is the lifetime of a role's certificates if nobody says another.
func DefaultDays(r identity.Role) int {
	if r.Signs() {
		return signerDefault
	}
	return networkDefault
}

// anyPolicy is RFC 5280 section 4.2.1.4.
var anyPolicy = []uint64{2, 5, 29, 32, 0}

// rootTemplate, issuingTemplate (n counts the generations of a CA from 1) and leafTemplate are the profiles. They are
// literals on purpose: nothing of a request reaches a certificate except the
// public key and names that were checked.
func rootTemplate(s *State, n int, now time.Time) *x509.Certificate {
	notBefore := now.Add(-backdateCA)
	return &x509.Certificate{
		Subject:               caName(s.Federation, Root, n),
		NotBefore:             notBefore,
		NotAfter:              lastSecond(notBefore, rootDays),
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func issuingTemplate(s *State, k Kind, n int, now time.Time) (*x509.Certificate, error) {
	policy, err := x509.OIDFromInts(anyPolicy)
	if err != nil {
		return nil, fmt.Errorf("cannot write the policy: %v", err)
	}
	notBefore := now.Add(-backdateCA)
	t := &x509.Certificate{
		Subject:               caName(s.Federation, k, n),
		NotBefore:             notBefore,
		NotAfter:              lastSecond(notBefore, issuingDays),
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            0,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		Policies:              []x509.OID{policy},
	}
	if k == Network {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		return t, constrain(t, s)
	}
	return t, nil
}

// constrain limits the names that the network CA can certify to what was given
// when the CA was made. Where DNS domains are given, addresses are excluded
// unless ranges are given too.
func constrain(t *x509.Certificate, s *State) error {
	if len(s.Domains)+len(s.IPRanges) == 0 {
		return nil
	}
	t.PermittedDNSDomainsCritical = true
	t.PermittedDNSDomains = s.Domains
	for _, r := range s.IPRanges {
		_, network, err := net.ParseCIDR(r)
		if err != nil {
			return identity.Invalidf("%q is no address range", r)
		}
		t.PermittedIPRanges = append(t.PermittedIPRanges, network)
	}
	if len(s.IPRanges) == 0 {
		t.ExcludedIPRanges = []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		}
	}
	return nil
}

func leafTemplate(p *Proposal) (*x509.Certificate, error) {
	uri, err := url.Parse(p.Identity.URI())
	if err != nil {
		return nil, fmt.Errorf("cannot write the identity: %v", err)
	}
	t := &x509.Certificate{
		SerialNumber:          p.serial,
		Subject:               pkix.Name{Organization: []string{p.Identity.Federation}, CommonName: p.Identity.Name},
		NotBefore:             p.NotBefore,
		NotAfter:              p.NotAfter,
		BasicConstraintsValid: true,
		IsCA:                  false,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		URIs:                  []*url.URL{uri},
	}
	switch p.Identity.Role {
	case identity.Aggregator:
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		t.Policies = []x509.OID{identity.Aggregator.Policy()}
		t.DNSNames = p.DNSNames
		for _, ip := range p.IPAddresses {
			t.IPAddresses = append(t.IPAddresses, ip.AsSlice())
		}
	case identity.Collaborator:
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		t.Policies = []x509.OID{identity.Collaborator.Policy()}
	case identity.Publisher:
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		t.Policies = []x509.OID{identity.Publisher.Policy()}
	case identity.Reviewer:
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		t.Policies = []x509.OID{identity.Reviewer.Policy()}
	default:
		return nil, identity.Invalidf("there is no profile for the role %q", p.Identity.Role)
	}
	return t, nil
}

// caName tells the generations of a CA apart: each has its own key, and
// revocation lists are found by name.
func caName(federation string, k Kind, n int) pkix.Name {
	names := map[Kind]string{Root: "Root CA", Network: "Network CA", Signing: "Signing CA"}
	return pkix.Name{Organization: []string{federation}, CommonName: fmt.Sprintf("%s G%d", names[k], n)}
}

// lastSecond is the end of a lifetime of whole days: RFC 5280 section 4.1.2.5
// counts the second of notAfter as valid.
func lastSecond(notBefore time.Time, days int) time.Time {
	return notBefore.Add(time.Duration(days)*day - time.Second)
}

// certify makes the certificate of a template: serial and key identifiers the
// way all our certificates have them, a signature algorithm fitting the key. A
// nil parent means self-signed.
func certify(rand io.Reader, t, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	var err error
	if t.SerialNumber == nil {
		if t.SerialNumber, err = newSerial(rand); err != nil {
			return nil, err
		}
	}
	if t.SubjectKeyId, err = subjectKeyID(pub); err != nil {
		return nil, err
	}
	t.SignatureAlgorithm = signatureAlgorithm(signer.Public())
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(rand, t, parent, pub, signer)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %v", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("cannot read what was signed: %v", err)
	}
	return c, nil
}

func signatureAlgorithm(pub crypto.PublicKey) x509.SignatureAlgorithm {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return x509.SHA256WithRSA
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return x509.ECDSAWithSHA256
		}
		return x509.ECDSAWithSHA384
	}
	return x509.PureEd25519
}

// newSerial makes 20 octets with the top bit clear and the next one set, so
// that every serial has 40 digits: 158 random bits.
func newSerial(rand io.Reader) (*big.Int, error) {
	b := make([]byte, 20)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fmt.Errorf("cannot make a serial number: %v", err)
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b), nil
}

// subjectKeyID is [skiMethod].
func subjectKeyID(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("cannot encode public key: %v", err)
	}
	var info struct {
		Algorithm asn1.RawValue
		Bits      asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("cannot encode public key: %v", err)
	}
	sum := sha256.Sum256(info.Bits.Bytes)
	return sum[:20], nil
}

// inRanges reports whether an address is in one of the ranges of a state.
func inRanges(a netip.Addr, ranges []string) bool {
	for _, r := range ranges {
		if p, err := netip.ParsePrefix(r); err == nil && p.Contains(a) {
			return true
		}
	}
	return false
}

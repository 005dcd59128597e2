package issuer

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fx/ca/identity"
)

// profile is what a certificate must look like, read back from its DER and not
// from the template that it was made with.
type profile struct {
	issuer     *x509.Certificate
	subject    string
	ca         bool
	pathLen    int
	keyUsage   x509.KeyUsage
	usages     []x509.ExtKeyUsage
	policies   []x509.OID
	dns, uris  []string
	ips        []netip.Addr
	constraint bool
	anySigner  bool // the issuer's key is not at hand
	most       time.Duration
}

// lintLeaf checks a participant's certificate before anybody sees it: against
// the proposal that the custodian confirmed, as a chain, and as an identity.
func (ca *CA) lintLeaf(c *x509.Certificate, p *Proposal) error {
	want := profile{
		issuer: ca.certs[p.Issuer], subject: "CN=" + p.Identity.Name + ",O=" + p.Identity.Federation,
		pathLen: -1, keyUsage: x509.KeyUsageDigitalSignature,
		usages: []x509.ExtKeyUsage{p.Identity.Role.ExtKeyUsage()}, policies: []x509.OID{p.Identity.Role.Policy()},
		dns: p.DNSNames, ips: p.IPAddresses, uris: []string{p.Identity.URI()},
		most: time.Duration(MostDays(p.Identity.Role)) * day,
	}
	found := want.lint(c)
	if !identity.SameKey(c.PublicKey, p.publicKey) {
		found = append(found, "the public key is not the request's")
	}
	if !c.NotBefore.Equal(p.NotBefore) || !c.NotAfter.Equal(p.NotAfter) {
		found = append(found, "the validity is not what was confirmed")
	}
	if id, err := identity.FromCertificate(c); err != nil {
		found = append(found, err.Error())
	} else if id != p.Identity {
		found = append(found, "the identity is not what was confirmed")
	}
	issuing := x509.NewCertPool() // whose own way to the root was checked before
	issuing.AddCert(ca.certs[p.Issuer])
	if _, err := c.Verify(x509.VerifyOptions{Roots: issuing, CurrentTime: ca.now(), KeyUsages: want.usages}); err != nil {
		found = append(found, err.Error())
	}
	return lintError(c, found)
}

// lintCA is the same for the certificate of generation n of one of the CAs.
func lintCA(c, root *x509.Certificate, s *State, k Kind, n int) error {
	name := caName(s.Federation, k, n)
	want := profile{
		issuer: root, subject: "CN=" + name.CommonName + ",O=" + s.Federation, ca: true, pathLen: 1,
		keyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, most: rootDays * day,
	}
	if k != Root {
		policy, err := x509.OIDFromInts(anyPolicy)
		if err != nil {
			return fmt.Errorf("cannot write the policy: %v", err)
		}
		want.pathLen, want.most, want.policies = 0, issuingDays*day, []x509.OID{policy}
		want.usages = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	if k == Network {
		want.usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		want.constraint = len(s.Domains)+len(s.IPRanges) > 0
	}
	found := want.lint(c)
	if err := c.CheckSignatureFrom(root); err != nil {
		found = append(found, err.Error())
	}
	return lintError(c, found)
}

func lintError(c *x509.Certificate, found []string) error {
	if len(found) == 0 {
		return nil
	}
	var no Refusals
	for _, f := range found {
		no.add("lint", "the certificate of %q was made wrong and is thrown away: %s", c.Subject, f)
	}
	return no
}

// lint lists everything in which c differs from the profile.
func (w *profile) lint(c *x509.Certificate) (found []string) {
	must := func(ok bool, format string, a ...any) {
		if !ok {
			found = append(found, fmt.Sprintf(format, a...))
		}
	}
	must(c.Version == 3, "version %d", c.Version)
	must(len(serialHex(c)) == 40 && c.SerialNumber.Sign() > 0 && c.SerialNumber.BitLen() == 159, "serial %x", c.SerialNumber)
	must(c.Subject.String() == w.subject && len(c.Subject.Names) == 2, "subject %q", c.Subject)
	must(bytes.Equal(c.RawIssuer, w.issuer.RawSubject), "issuer %q", c.Issuer)
	must(c.BasicConstraintsValid && c.IsCA == w.ca && c.MaxPathLen == w.pathLen, "basic constraints CA:%v pathlen:%d", c.IsCA, c.MaxPathLen)
	must(c.KeyUsage == w.keyUsage, "key usage %b", c.KeyUsage)
	must(slices.Equal(c.ExtKeyUsage, w.usages) && len(c.UnknownExtKeyUsage) == 0, "extended key usage %v", c.ExtKeyUsage)
	must(slices.EqualFunc(c.Policies, w.policies, x509.OID.Equal), "policies %v", c.Policies)
	must(slices.Equal(c.DNSNames, w.dns), "DNS names %q", c.DNSNames)
	must(len(c.EmailAddresses) == 0, "e-mail addresses")
	must(sameAddresses(c, w.ips), "addresses %v", c.IPAddresses)
	must(len(c.URIs) == len(w.uris) && (len(w.uris) == 0 || c.URIs[0].String() == w.uris[0]), "URIs %v", c.URIs)
	ski, err := subjectKeyID(c.PublicKey)
	must(err == nil && bytes.Equal(c.SubjectKeyId, ski), "subject key identifier %x", c.SubjectKeyId)
	selfSigned := bytes.Equal(c.RawIssuer, c.RawSubject)
	must(selfSigned || bytes.Equal(c.AuthorityKeyId, w.issuer.SubjectKeyId), "authority key identifier %x", c.AuthorityKeyId)
	must(c.NotBefore.Nanosecond() == 0 && c.NotAfter.After(c.NotBefore), "validity")
	must(c.NotAfter.Sub(c.NotBefore)+time.Second <= w.most, "a lifetime of %s", c.NotAfter.Sub(c.NotBefore))
	must(!c.NotAfter.After(w.issuer.NotAfter) && !c.NotBefore.Before(w.issuer.NotBefore), "a validity beyond the issuer's")
	must(w.anySigner || c.SignatureAlgorithm == signatureAlgorithm(w.issuer.PublicKey), "signature by %v", c.SignatureAlgorithm)
	return append(found, w.lintExtensions(c, selfSigned)...)
}

// lintExtensions requires exactly the profile's extensions, each critical or not
// as the profile says.
func (w *profile) lintExtensions(c *x509.Certificate, selfSigned bool) (found []string) {
	type ext struct {
		id       asn1.ObjectIdentifier
		critical bool
	}
	want := []ext{{identity.OIDSubjectKeyID, false}, {identity.OIDKeyUsage, true}, {identity.OIDBasicConstraints, true}}
	if !selfSigned {
		want = append(want, ext{identity.OIDAuthorityKeyID, false})
	}
	if len(w.usages) > 0 {
		want = append(want, ext{identity.OIDExtKeyUsage, false})
	}
	if len(w.policies) > 0 {
		want = append(want, ext{identity.OIDPolicies, false})
	}
	if len(w.uris) > 0 {
		want = append(want, ext{identity.OIDSubjectAltName, false})
	}
	if w.constraint {
		want = append(want, ext{identity.OIDNameConstraints, true})
	}
	key := func(id asn1.ObjectIdentifier, critical bool) string {
		return fmt.Sprintf("%s critical:%v", id, critical)
	}
	var have, need []string
	for _, e := range c.Extensions {
		have = append(have, key(e.Id, e.Critical))
	}
	for _, e := range want {
		need = append(need, key(e.id, e.critical))
	}
	slices.Sort(have)
	slices.Sort(need)
	if !slices.Equal(have, need) {
		return []string{fmt.Sprintf("extensions %s; the profile has %s", strings.Join(have, ", "), strings.Join(need, ", "))}
	}
	return nil
}

func sameAddresses(c *x509.Certificate, want []netip.Addr) bool {
	if len(c.IPAddresses) != len(want) {
		return false
	}
	for i, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); !ok || a.Unmap() != want[i] {
			return false
		}
	}
	return true
}

func addresses(c *x509.Certificate) (ips []netip.Addr) {
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			ips = append(ips, a.Unmap())
		}
	}
	return ips
}

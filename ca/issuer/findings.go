package issuer

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"

	"fx/ca/identity"
)

// Findings says in what a certificate differs from the profile of its kind: of
// the role that it claims, else of a CA. Its issuer is not at hand, so that
// what depends on it (signature, constraints, the end of its life) is not
// judged. now is compared with its validity.
func Findings(c *x509.Certificate, now time.Time) []string {
	// Whatever the issuer decides is taken from the certificate itself.
	issuer := &x509.Certificate{
		RawSubject: c.RawIssuer, SubjectKeyId: c.AuthorityKeyId, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
	w := profile{issuer: issuer, subject: c.Subject.String(), anySigner: true, ips: addresses(c), dns: c.DNSNames}
	var found []string
	id, err := identity.FromCertificate(c)
	switch {
	case err == nil:
		w.pathLen, w.keyUsage, w.most = -1, x509.KeyUsageDigitalSignature, time.Duration(MostDays(id.Role))*day
		w.usages, w.policies = []x509.ExtKeyUsage{id.Role.ExtKeyUsage()}, []x509.OID{id.Role.Policy()}
		w.uris = []string{id.URI()}
		var no Refusals
		checkKey(c.PublicKey, id.Role, false, &no)
		for _, x := range no {
			found = append(found, x.Message)
		}
	case !c.IsCA:
		return append(found, fmt.Sprintf("it is neither a participant's nor a CA's: %v", err))
	case bytes.Equal(c.RawSubject, c.RawIssuer):
		w.ca, w.pathLen, w.keyUsage, w.most = true, 1, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, rootDays*day
		issuer.SubjectKeyId = c.SubjectKeyId
	default:
		w.ca, w.pathLen, w.keyUsage, w.most = true, 0, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, issuingDays*day
		w.usages, w.policies = c.ExtKeyUsage, c.Policies
		w.constraint = len(c.PermittedDNSDomains)+len(c.PermittedIPRanges) > 0
	}
	found = append(found, w.lint(c)...)
	switch {
	case now.After(c.NotAfter):
		found = append(found, "expired")
	case now.Before(c.NotBefore):
		found = append(found, "not valid yet")
	}
	return found
}

// RequestFindings says what a CA of ours would refuse of a request, as far as
// that shows in the request itself; role "" means the role that the request
// asks for, and none is judged if it asks for none.
func RequestFindings(req *Request, role identity.Role) Refusals {
	var no Refusals
	checkSignature(req.CSR, &no)
	if role == "" {
		role = req.Role()
	}
	if role == "" {
		checkKey(req.CSR.PublicKey, identity.Collaborator, false, &no)
		return no
	}
	checkKey(req.CSR.PublicKey, role, false, &no)
	id := identity.Identity{Role: role, Name: req.CSR.Subject.CommonName}
	for _, g := range req.names { // the federation is the CA's to say
		if u, err := identity.ParseURI(string(g.value)); g.tag == tagURI && err == nil {
			id.Federation = u.Federation
		}
	}
	checkNames(req, id, &State{}, &no)
	checkExtensions(req, role, &no)
	return no
}

// Role is the role that a request asks for by policy, "" if none or several.
func (r *Request) Role() (found identity.Role) {
	for _, e := range r.CSR.Extensions {
		if !e.Id.Equal(identity.OIDPolicies) {
			continue
		}
		for _, role := range identity.Roles() {
			var no Refusals
			if checkPolicies(e.Value, role, &no); len(no) == 0 {
				found = role
			}
		}
	}
	return found
}

// ListFindings says in what a revocation list differs from ours.
func ListFindings(l *x509.RevocationList, now time.Time) (found []string) {
	for _, e := range l.Extensions {
		if e.Critical {
			found = append(found, fmt.Sprintf("the critical extension %s, which no relying party of ours understands", e.Id))
		}
	}
	if l.Number == nil {
		found = append(found, "no number: nobody can tell it from an older one")
	}
	if len(l.AuthorityKeyId) == 0 {
		found = append(found, "no authority key identifier")
	}
	switch {
	case l.NextUpdate.IsZero():
		found = append(found, "no next update: nobody can tell when it is too old")
	case now.After(l.NextUpdate):
		found = append(found, "past its next update: relying parties refuse everybody")
	}
	if now.Before(l.ThisUpdate) {
		found = append(found, "not valid yet")
	}
	seen := map[string]bool{}
	for _, e := range l.RevokedCertificateEntries {
		s := e.SerialNumber.String()
		if seen[s] {
			found = append(found, fmt.Sprintf("the serial number %x twice", e.SerialNumber))
			break
		}
		seen[s] = true
	}
	return found
}

package trust

import (
	"bytes"
	"crypto/x509"
	"time"

	"fx/ca/identity"
)

// list is one revocation list whose signature was verified.
type list struct {
	crl     *x509.RevocationList
	revoked map[string]*x509.RevocationListEntry // by serial number, big-endian
}

// addList takes over a list after checking that one of the CAs signed it.
func (a *Anchors) addList(crl *x509.RevocationList) error {
	ours := false
	var err error
	for _, ca := range a.cas {
		if !bytes.Equal(ca.RawSubject, crl.RawIssuer) {
			continue
		}
		ours = true
		if err = crl.CheckSignatureFrom(ca); err == nil {
			break
		}
	}
	if !ours {
		return nil
	}
	if err != nil {
		return identity.Untrustedf("the revocation list of %q was not signed by that CA: %w", crl.Issuer, err)
	}
	if err := understood(crl); err != nil {
		return err
	}
	l := &list{crl: crl, revoked: make(map[string]*x509.RevocationListEntry, len(crl.RevokedCertificateEntries))}
	for i := range crl.RevokedCertificateEntries {
		e := &crl.RevokedCertificateEntries[i]
		l.revoked[string(e.SerialNumber.Bytes())] = e
	}
	a.lists[string(crl.RawIssuer)] = append(a.lists[string(crl.RawIssuer)], l)
	return nil
}

// understood refuses lists whose meaning depends on a critical extension, such
// as delta or partitioned lists (RFC 5280 section 5.2); the standard library
// parses them without a word.
func understood(crl *x509.RevocationList) error {
	for _, e := range crl.Extensions {
		if e.Critical {
			return identity.Untrustedf("the revocation list of %q has the critical extension %s, which is not understood", crl.Issuer, e.Id)
		}
	}
	for _, r := range crl.RevokedCertificateEntries {
		for _, e := range r.Extensions {
			if e.Critical {
				return identity.Untrustedf("the revocation list of %q has an entry with the critical extension %s, which is not understood", crl.Issuer, e.Id)
			}
		}
	}
	return nil
}

// revoked looks c up in the lists of its issuer. A revocation counts from the
// moment it is known, whatever date stands in it, and from the newest list as
// well as from older ones. The newest must not be past its next update and the grace after it.
func (a *Anchors) revoked(c, issuer *x509.Certificate, at time.Time) error {
	lists := a.lists[string(issuer.RawSubject)]
	if len(lists) == 0 {
		return nil
	}
	var due time.Time
	for _, l := range lists {
		if e, ok := l.revoked[string(c.SerialNumber.Bytes())]; ok {
			return identity.Untrustedf("%w", &RevokedError{
				Subject: c.Subject.String(), Serial: c.SerialNumber, Since: e.RevocationTime, Reason: e.ReasonCode,
			})
		}
		if l.crl.NextUpdate.After(due) {
			due = l.crl.NextUpdate
		}
	}
	if at.After(due.Add(a.grace)) {
		return identity.Untrustedf("%w", &StaleError{Issuer: issuer.Subject.String(), Due: due})
	}
	return nil
}

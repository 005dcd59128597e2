// Package trust is the relying party: from a certificate, the federation's own
// CA certificates and its revocation lists to yes or no, and the TLS
// configurations of both ends of a connection.
package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"slices"
	"time"

	"fx/ca/identity"
)

// Anchors is what a participant trusts: the CA certificates of one chain file
// and the revocation lists of those CAs. It does not change after [Load].
type Anchors struct {
	roots, subordinate *x509.CertPool
	cas                []*x509.Certificate
	lists              map[string][]*list // by the issuer's DER name
	openFL             bool
	grace              time.Duration // for lists past their next update
}

// Load reads a chain file (roots and subordinate CAs, as in cert_chain.crt or
// signing_chain.crt) and a file of revocation lists. crlFile may be empty or
// name no file: then nothing counts as revoked.
func Load(chainFile, crlFile string) (*Anchors, error) {
	certs, err := identity.ReadCertificates(chainFile)
	if err != nil {
		return nil, err
	}
	var crls []*x509.RevocationList
	if crlFile != "" {
		data, err := identity.ReadFile(crlFile, identity.MaxCRL)
		if err == nil {
			crls, err = identity.ParseCRLs(data)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, identity.Invalidf("cannot use revocation lists %q: %w", crlFile, err)
		}
	}
	a, err := New(certs, crls)
	if err != nil {
		return nil, identity.Untrustedf("cannot use chain file %q: %w", chainFile, err)
	}
	return a, nil
}

// New makes anchors of CA certificates, at least one of them self-signed, and
// revocation lists. A list of a CA that is not among certs is ignored, because
// network and signing CA share one file of lists; a list that only claims to be
// of one of these CAs is an error.
func New(certs []*x509.Certificate, crls []*x509.RevocationList) (*Anchors, error) {
	a := &Anchors{roots: x509.NewCertPool(), subordinate: x509.NewCertPool(), cas: certs, lists: map[string][]*list{}}
	rooted := false
	for _, c := range certs {
		if !c.IsCA || !c.BasicConstraintsValid {
			return nil, identity.Untrustedf("%q is no CA certificate; a chain file holds CA certificates only", c.Subject)
		}
		if !bytes.Equal(c.RawSubject, c.RawIssuer) {
			a.subordinate.AddCert(c)
			continue
		}
		if err := c.CheckSignatureFrom(c); err != nil {
			return nil, identity.Untrustedf("the root %q is not signed by itself: %w", c.Subject, err)
		}
		a.roots.AddCert(c)
		rooted = true
	}
	if !rooted {
		return nil, identity.Untrustedf("it holds no root: no certificate is self-signed")
	}
	for _, crl := range crls {
		if err := a.addList(crl); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// WithOpenFL returns anchors that also accept what OpenFL itself issues for
// aggregators and collaborators: certificates without key usages, policies and
// URI. Nothing in such a certificate says the role; its common name is the name.
func (a *Anchors) WithOpenFL() *Anchors {
	b := *a
	b.openFL = true
	return &b
}

// Certificates are the CA certificates in the order of the chain file.
func (a *Anchors) Certificates() []*x509.Certificate { return slices.Clone(a.cas) }

// pool holds all CA certificates as if all were roots. Peers may send only
// their own certificate (OpenFL's always do), so TLS needs the subordinate CA
// at hand; [Anchors.Verify] then insists on the way up to a root.
func (a *Anchors) pool() *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range a.cas {
		p.AddCert(c)
	}
	return p
}

// Verify says whom chain[0] names if it is a certificate of the wanted role, in
// order at the given time: chain, validity, name constraints, role, revocation.
// The way to a root leads through the anchors' CAs and those that the peer sent
// along: after a rotation a peer's CA may be newer than the chain file. Every
// one of them must have been certified by one of the anchors' roots.
//
// Every error wraps [identity.ErrUntrusted], and one of the errors of
// crypto/x509, [*RoleError], [*RevokedError] or [*StaleError].
func (a *Anchors) Verify(chain []*x509.Certificate, want identity.Role, at time.Time) (identity.Identity, error) {
	if len(chain) == 0 {
		return identity.Identity{}, identity.Untrustedf("there is no certificate")
	}
	chains, err := a.ways(chain, at)
	if err != nil {
		return identity.Identity{}, err
	}
	id, err := a.name(chain[0], want)
	if err != nil {
		return identity.Identity{}, err
	}
	for _, c := range chains {
		if err = a.judge(c, want, at); err == nil {
			return id, nil
		}
	}
	return identity.Identity{}, err
}

// maxSent bounds the CAs of a peer that are looked at: one for each root that
// may be valid at a time.
const maxSent = 4

// ways lists the ways from chain[0] to a root, as RFC 5280 section 6 judges
// them; usages and revocation are judged apart.
func (a *Anchors) ways(chain []*x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	between := a.subordinate
	if len(chain) > 1 {
		between = a.subordinate.Clone()
		for _, c := range chain[1:min(len(chain), 1+maxSent)] {
			between.AddCert(c)
		}
	}
	ways, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         a.roots,
		Intermediates: between,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // judged as a role
	})
	if err != nil {
		return nil, identity.Untrustedf("the certificate of %q is not in order: %w", chain[0].Subject, err)
	}
	return ways, nil
}

// name reads the identity and requires the role.
func (a *Anchors) name(leaf *x509.Certificate, want identity.Role) (identity.Identity, error) {
	if MadeByOpenFL(leaf) {
		return a.openFLName(leaf, want)
	}
	id, err := identity.FromCertificate(leaf)
	if err != nil {
		return identity.Identity{}, identity.Untrustedf("%w", &RoleError{Want: want, Subject: leaf.Subject.String(), Cause: err})
	}
	if id.Role != want {
		return identity.Identity{}, identity.Untrustedf("%w", &RoleError{Want: want, Found: id.Role, Subject: id.String()})
	}
	return id, nil
}

// judge checks one way from leaf to root for usage and revocation.
func (a *Anchors) judge(chain []*x509.Certificate, want identity.Role, at time.Time) error {
	for i, c := range chain[:len(chain)-1] {
		if i > 0 && !mayIssue(c, want) {
			return identity.Untrustedf("%w", &RoleError{Want: want, Subject: chain[0].Subject.String(),
				Cause: identity.Untrustedf("its issuer %q may not issue for that role", c.Subject)})
		}
		if err := a.revoked(c, chain[i+1], at); err != nil {
			return err
		}
	}
	return nil
}

// mayIssue follows crypto/x509: an extended key usage of a CA limits its
// subordinates, none leaves them free.
func mayIssue(ca *x509.Certificate, r identity.Role) bool {
	if len(ca.ExtKeyUsage)+len(ca.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(ca.ExtKeyUsage, r.ExtKeyUsage()) || slices.Contains(ca.ExtKeyUsage, x509.ExtKeyUsageAny)
}

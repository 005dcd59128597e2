package issuer

import (
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"fx/ca/identity"
)

// Options says how a request is to be answered.
type Options struct {
	Days        int      // lifetime; 0 is the role's default
	Replace     bool     // the name may have another certificate that is still valid
	Clamp       bool     // shorten the lifetime to the issuer's instead of refusing
	Fingerprint string   // what the requester said, in any usual spelling; "" is not compared
	AllowWeak   bool     // accept RSA keys of 2048 bits, which is the least that old devices have
	Approvals   [][]byte // files of reviewers who approve it

	proposing bool // approvals are still to be had
}

// Proposal is what [CA.Sign] would issue, and what of the request it would not.
type Proposal struct {
	Identity    identity.Identity
	Issuer      Kind
	DNSNames    []string
	IPAddresses []netip.Addr
	Key         string // "ECDSA P-256"
	NotBefore   time.Time
	NotAfter    time.Time
	Replaces    []string // serials
	Ignored     []string // what the request asks for and does not get

	publicKey any
	motion    string // SHA-256 of the proposal that was approved
	approvals []Endorsement
	serial    *big.Int
}

// Review judges a request for an identity that the custodian named. An empty
// name in approved means the request's own, an empty federation the CA's. The
// error is all [Refusals] at once, or that the records cannot be read. No key
// is needed, nothing is written.
func (ca *CA) Review(req *Request, approved identity.Identity, o Options) (*Proposal, error) {
	a, err := ca.openAccount()
	if err != nil {
		return nil, err
	}
	now := ca.now().UTC().Truncate(time.Second)
	p, no := ca.judge(req, approved, o, now)
	ca.judgeState(p, a, req, o, now, &no)
	if err := no.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// judge is the part of a review that needs nothing but the request and the
// CA's certificates: several requests can be judged at once.
func (ca *CA) judge(req *Request, approved identity.Identity, o Options, now time.Time) (*Proposal, Refusals) {
	if approved.Name == "" {
		approved.Name = req.CSR.Subject.CommonName
	}
	if approved.Federation == "" {
		approved.Federation = ca.State.Federation
	}
	var no Refusals
	p := &Proposal{
		Identity: approved, Issuer: KindFor(approved.Role),
		Key: identity.DescribeKey(req.CSR.PublicKey), publicKey: req.CSR.PublicKey,
	}
	if approved.Federation != ca.State.Federation {
		no.add("federation-mismatch", "this CA is of the federation %q, not %q", ca.State.Federation, approved.Federation)
	}
	checkFingerprint(req, o.Fingerprint, &no)
	checkSignature(req.CSR, &no)
	checkKey(req.CSR.PublicKey, approved.Role, o.AllowWeak, &no)
	n := checkNames(req, approved, &ca.State, &no)
	p.DNSNames, p.IPAddresses = n.dns, n.ips
	p.Ignored = slices.Concat(n.ignored, checkExtensions(req, approved.Role, &no))
	ca.checkLifetime(p, o, now, &no)
	return p, no
}

// judgeState is the rest: the CA itself, and all that it ever did.
func (ca *CA) judgeState(p *Proposal, a *account, req *Request, o Options, now time.Time, no *Refusals) {
	if err := ca.checkIssuer(p.Issuer, now); err != nil {
		no.add("issuer-state", "%v", err)
	} else if a.isRevoked(ca.certs[p.Issuer]) {
		no.add("issuer-state", "the certificate of the %s was revoked; ca rotate makes another", p.Issuer)
	}
	checkRecords(p, a, req, o, now, no)
	ca.checkApprovals(p, a.records, req, o, now, no)
}

func checkFingerprint(req *Request, said string, no *Refusals) {
	if said == "" {
		return
	}
	said = identity.Ungrouped(said)
	if subtle.ConstantTimeCompare([]byte(said), []byte(req.Fingerprint)) == 1 ||
		subtle.ConstantTimeCompare([]byte(said), []byte(req.OpenFL)) == 1 {
		return
	}
	// The right one is not said: it has to come from the requester.
	no.add("fingerprint-mismatch", "the fingerprint of the request is not %q: this is not the request that the requester made", said)
}

// checkLifetime sets the validity of p.
func (ca *CA) checkLifetime(p *Proposal, o Options, now time.Time, no *Refusals) {
	most := MostDays(p.Identity.Role)
	days := o.Days
	if days == 0 {
		days = DefaultDays(p.Identity.Role)
	}
	if days < 1 || days > most {
		no.add("lifetime-profile", "%d days are asked for; a %s gets 1 to %d", days, p.Identity.Role, most)
		return
	}
	issuer := ca.certs[p.Issuer]
	p.NotBefore = now.Add(-backdateLeaf)
	if p.NotBefore.Before(issuer.NotBefore) {
		p.NotBefore = issuer.NotBefore
	}
	p.NotAfter = lastSecond(p.NotBefore, days)
	if p.NotAfter.After(issuer.NotAfter) {
		if !o.Clamp {
			no.add("lifetime-issuer", "the certificate would end on %s, after the CA's own on %s; --clamp shortens it",
				p.NotAfter.Format(time.DateOnly), issuer.NotAfter.Format(time.DateOnly))
		}
		p.NotAfter = issuer.NotAfter
	}
}

// checkRecords compares the request with everything that was ever issued.
func checkRecords(p *Proposal, a *account, req *Request, o Options, now time.Time, no *Refusals) {
	key := keyHash(req.CSR.RawSubjectPublicKeyInfo)
	if x := a.compromised(key); x != nil {
		no.add("key-compromised", "the key of the request was revoked as compromised on %s; it is never certified again", x.IssuedAt.Format(time.DateOnly))
	}
	for _, r := range a.byKey[key] {
		if r.Role == "" {
			no.add("key-of-ca", "the key of the request is the %s's own", r.Name)
		} else if r.Role != p.Identity.Role || r.Name != p.Identity.Name {
			no.add("key-other-name", "the key of the request is already certified for %s %s (serial %s)", r.Role, r.Name, r.Serial)
		}
	}
	if !o.Replace {
		for _, r := range a.byRequest[req.Fingerprint] {
			no.add("csr-repeated", "this very request was answered on %s (serial %s); --replace answers it again",
				r.IssuedAt.Format(time.RFC3339), r.Serial)
		}
	}
	for _, r := range a.current(p.Identity, now) {
		if r.Request == req.Fingerprint && !o.Replace {
			continue // said already
		}
		p.Replaces = append(p.Replaces, r.Serial)
		if !o.Replace {
			no.add("name-taken", "%s %s has a certificate until %s (serial %s); --replace issues another",
				r.Role, r.Name, r.NotAfter.Format(time.DateOnly), r.Serial)
		}
	}
}

func keyHash(spki []byte) string { return identity.Fingerprint(spki) }

func serialHex(c *x509.Certificate) string {
	var b [20]byte
	return hex.EncodeToString(c.SerialNumber.FillBytes(b[:]))
}

// Subject is the distinguished name that is issued.
func (p *Proposal) Subject() string {
	return fmt.Sprintf("O=%s, CN=%s", p.Identity.Federation, p.Identity.Name)
}

// Hosts lists host names, then addresses.
func (p *Proposal) Hosts() []string {
	hosts := append([]string{}, p.DNSNames...)
	for _, ip := range p.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}

package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
)

// world is a small PKI that a vector spoils before it is signed: root, network
// CA and a leaf, as our profile has them. What is made last is judged.
type world struct {
	t                       *testing.T
	root, ca, leaf          *x509.Certificate
	rootKey, caKey, leafKey crypto.Signer
	chain                   []*x509.Certificate // of the chain file, if set; else root and network CA
	sent                    []*x509.Certificate // along with the leaf
	lists                   []*x509.RevocationList
	leafParent              *x509.Certificate
	leafSigner              crypto.Signer
	role                    identity.Role
	at                      time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key := func() crypto.Signer { return must(identity.NewKey(identity.P256))(t) }
	name := func(cn string) pkix.Name {
		return pkix.Name{Organization: []string{"fed.example.org"}, CommonName: cn}
	}
	uri := must(url.Parse("https://fed.example.org/fl/v1/collaborator/site-1"))(t)
	ca := func(cn string, pathLen int) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(int64(pathLen) + 100), Subject: name(cn), NotBefore: start.Add(-time.Hour), NotAfter: start.AddDate(5, 0, 0),
			BasicConstraintsValid: true, IsCA: true, MaxPathLen: pathLen, MaxPathLenZero: pathLen == 0, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	w := &world{
		t: t, role: identity.Collaborator, at: start, rootKey: key(), caKey: key(), leafKey: key(), root: ca("Root CA G1", 1), ca: ca("Network CA G1", 0),
		leaf: &x509.Certificate{
			SerialNumber: big.NewInt(7), Subject: name("site-1"), NotBefore: start.Add(-time.Minute), NotAfter: start.AddDate(1, 0, 0),
			BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{uri},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Policies: []x509.OID{identity.Collaborator.Policy()},
		},
	}
	w.ca.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	return w
}

// sign makes a certificate without any of an issuer's care.
func (w *world) sign(c, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	w.t.Helper()
	c.RawSubject = nil
	der := must(x509.CreateCertificate(rand.Reader, c, parent, pub, signer))(w.t)
	return must(x509.ParseCertificate(der))(w.t)
}

// list makes a revocation list of a CA that is signed already.
func (w *world) list(ca *x509.Certificate, key crypto.Signer, change func(*x509.RevocationList), serials ...int64) {
	w.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: start.Add(-time.Hour), NextUpdate: start.AddDate(0, 0, 14)}
	for _, s := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: start})
	}
	if change != nil {
		change(l)
	}
	der := must(x509.CreateRevocationList(rand.Reader, l, ca, key))(w.t)
	w.lists = append(w.lists, must(x509.ParseRevocationList(der))(w.t))
}

// other is a CA certificate under the world's root.
func (w *world) other(cn string, change func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	key := must(identity.NewKey(identity.P256))(w.t)
	c := *w.ca
	c.SerialNumber, c.Subject.CommonName, c.AuthorityKeyId, c.SubjectKeyId = big.NewInt(555), cn, nil, nil
	c.Raw, c.RawSubject, c.Extensions = nil, nil, nil
	if change != nil {
		change(&c)
	}
	return w.sign(&c, w.root, key.Public(), w.rootKey), key
}

func critical(oid ...int) pkix.Extension {
	return pkix.Extension{Id: oid, Critical: true, Value: []byte{5, 0}}
}

// A vector changes the templates (before), then what was signed (after).
type vector struct {
	name   string
	ok     bool
	before func(w *world)
	after  func(w *world)
}

// TestVectors is what a relying party must accept and refuse, one spoilt thing
// at a time, in the manner of x509-limbo and of RFC 5280 section 6.
func TestVectors(t *testing.T) {
	dns := func(names ...string) func(*world) {
		return func(w *world) { // an aggregator with these names
			w.role, w.leaf.DNSNames, w.leaf.Subject.CommonName = identity.Aggregator, names, names[0]
			w.leaf.ExtKeyUsage, w.leaf.Policies = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []x509.OID{identity.Aggregator.Policy()}
			w.leaf.URIs = []*url.URL{{Scheme: "https", Host: "fed.example.org", Path: "/fl/v1/aggregator/" + names[0]}}
		}
	}
	constrained := func(change func(ca *x509.Certificate), names ...string) func(*world) {
		return func(w *world) {
			dns(names...)(w)
			w.ca.PermittedDNSDomainsCritical = true
			change(w.ca)
		}
	}
	permit := func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.org"} }
	exclude := func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"example.org"} }
	ipRange := func(c *x509.Certificate) {
		c.PermittedIPRanges = []*net.IPNet{{IP: net.IPv4(10, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}}
	}
	vectors := []vector{
		{"as it should be", true, nil, nil},

		// Time, to the second: RFC 5280 section 4.1.2.5.
		{"first second of the leaf", true, func(w *world) { w.leaf.NotBefore = start }, nil},
		{"before the leaf", false, func(w *world) { w.leaf.NotBefore = start.Add(time.Second) }, nil},
		{"last second of the leaf", true, func(w *world) { w.leaf.NotAfter = start }, nil},
		{"after the leaf", false, func(w *world) { w.leaf.NotAfter = start.Add(-time.Second) }, nil},
		{"after the CA", false, func(w *world) { w.ca.NotAfter = start.Add(-time.Second) }, nil},
		{"before the CA", false, func(w *world) { w.ca.NotBefore = start.Add(time.Second) }, nil},
		{"after the root", false, func(w *world) { w.root.NotAfter = start.Add(-time.Second) }, nil},
		{"before the root", false, func(w *world) { w.root.NotBefore = start.Add(time.Second) }, nil},
		{"a leaf that outlives its CA", true, func(w *world) { w.leaf.NotAfter = start.AddDate(9, 0, 0) }, nil},
		{"no end (RFC 5280 section 4.1.2.5)", true, func(w *world) { w.leaf.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }, nil},

		// The way to the root.
		{"a CA that may not sign", false, func(w *world) { w.ca.KeyUsage = x509.KeyUsageCRLSign }, nil},
		{"no basic constraints", false, func(w *world) { w.ca.BasicConstraintsValid, w.ca.IsCA = false, false }, nil},
		{"CA:FALSE", false, func(w *world) { w.ca.IsCA, w.ca.MaxPathLenZero = false, false }, nil},
		{"a root of path length 0", false, func(w *world) { w.root.MaxPathLen, w.root.MaxPathLenZero = 0, true }, nil},
		{"a root that may not sign", false, func(w *world) { w.root.KeyUsage = x509.KeyUsageDigitalSignature }, nil},
		{"a leaf by the root itself", true, nil, func(w *world) {
			w.leafParent, w.leafSigner, w.chain = w.root, w.rootKey, []*x509.Certificate{w.root, w.ca}
		}},
		{"another key of that name", false, nil, func(w *world) { w.leafSigner = w.leafKey; w.leafParent = w.forged() }},
		{"no CA in the chain file, none sent", false, nil, func(w *world) { w.chain = []*x509.Certificate{w.root} }},
		{"no CA in the chain file, sent along", true, nil, func(w *world) { w.chain, w.sent = []*x509.Certificate{w.root}, []*x509.Certificate{w.ca} }},
		{"the CA sent twice and the root", true, nil, func(w *world) { w.sent = []*x509.Certificate{w.ca, w.ca, w.root} }},
		{"the CA behind many others", false, nil, func(w *world) {
			w.chain = []*x509.Certificate{w.root}
			for range 5 {
				junk, _ := w.other("Junk", nil)
				w.sent = append(w.sent, junk)
			}
			w.sent = append(w.sent, w.ca)
		}},
		{"a root of its own, sent along", false, nil, func(w *world) {
			v := newWorld(w.t)
			v.build()
			w.leafParent, w.leafSigner, w.sent = v.ca, v.caKey, []*x509.Certificate{v.ca, v.root}
		}},
		{"a CA below the network CA", false, nil, func(w *world) {
			key := must(identity.NewKey(identity.P256))(w.t)
			sub := *w.ca
			sub.Subject.CommonName, sub.SubjectKeyId, sub.AuthorityKeyId, sub.Extensions = "Below", nil, nil, nil
			c := w.sign(&sub, w.ca, key.Public(), w.caKey)
			w.leafParent, w.leafSigner, w.sent = c, key, []*x509.Certificate{c}
		}},
		{"a leaf as CA", false, nil, func(w *world) {
			key := must(identity.NewKey(identity.P256))(w.t)
			middle := w.signLeaf(w.ca, w.caKey, key.Public())
			w.leafParent, w.leafSigner, w.sent = middle, key, []*x509.Certificate{middle}
		}},
		{"a newer CA of the same root, sent along", true, nil, func(w *world) {
			c, key := w.other("Network CA G2", nil)
			w.leafParent, w.leafSigner, w.sent = c, key, []*x509.Certificate{c}
		}},
		{"a CA for signers, sent along", false, nil, func(w *world) {
			c, key := w.other("Signing CA G1", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })
			w.leafParent, w.leafSigner, w.sent = c, key, []*x509.Certificate{c}
		}},
		{"an expired CA, sent along", false, nil, func(w *world) {
			c, key := w.other("Network CA G2", func(c *x509.Certificate) { c.NotAfter = start.Add(-time.Second) })
			w.leafParent, w.leafSigner, w.sent = c, key, []*x509.Certificate{c}
		}},

		// Extensions.
		{"unknown critical extension of the leaf", false, func(w *world) { w.leaf.ExtraExtensions = []pkix.Extension{critical(1, 2, 3)} }, nil},
		{"unknown extension of the leaf", true, func(w *world) {
			w.leaf.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}
		}, nil},
		{"unknown critical extension of the CA", false, func(w *world) { w.ca.ExtraExtensions = []pkix.Extension{critical(1, 2, 3)} }, nil},
		{"critical policy mappings of the CA", false, func(w *world) { w.ca.ExtraExtensions = []pkix.Extension{critical(2, 5, 29, 77)} }, nil},
		{"leaf signed with ECDSA P-224", false, nil, func(w *world) {
			w.leafKey = must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))(w.t)
			w.leafParent, w.leafSigner = w.forged(), w.leafKey
		}},

		// The role, and the CA's for it.
		{"no usage", false, func(w *world) { w.leaf.ExtKeyUsage = nil }, nil},
		{"any usage", false, func(w *world) { w.leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, nil},
		{"an unknown usage beside", false, func(w *world) { w.leaf.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} }, nil},
		{"server for client", false, func(w *world) { w.leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, nil},
		{"a CA without usages", true, func(w *world) { w.ca.ExtKeyUsage = nil }, nil},
		{"a CA for servers only", false, func(w *world) { w.ca.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, nil},
		{"no policy", false, func(w *world) { w.leaf.Policies = nil }, nil},
		{"two policies", false, func(w *world) { w.leaf.Policies = append(w.leaf.Policies, identity.Aggregator.Policy()) }, nil},
		{"leaf is a CA", false, func(w *world) { w.leaf.IsCA, w.leaf.MaxPathLen = true, -1 }, nil},
		{"URI in capitals", false, func(w *world) { w.leaf.URIs[0].Host = "FED.example.org" }, nil},
		{"URI with a port", false, func(w *world) { w.leaf.URIs[0].Host = "fed.example.org:443" }, nil},
		{"URI with a query", false, func(w *world) { w.leaf.URIs[0].RawQuery = "x" }, nil},
		{"an e-mail address", false, func(w *world) { w.leaf.EmailAddresses = []string{"a@example.org"} }, nil},
		{"a host name of a collaborator", false, func(w *world) { w.leaf.DNSNames = []string{"a.example.org"} }, nil},
		{"no common name", false, func(w *world) { w.leaf.Subject.CommonName = "" }, nil},

		// Name constraints.
		{"an aggregator", true, dns("agg.example.org"), nil},
		{"permitted name", true, constrained(permit, "agg.example.org"), nil},
		{"permitted domain itself", true, constrained(permit, "example.org"), nil},
		{"name outside", false, constrained(permit, "agg.example.com"), nil},
		{"name that only ends alike", false, constrained(permit, "badexample.org"), nil},
		{"one name inside, one outside", false, constrained(permit, "agg.example.org", "agg.example.com"), nil},
		{"excluded name", false, constrained(exclude, "agg.example.org"), nil},
		{"not excluded name", true, constrained(exclude, "agg.example.com"), nil},
		{"permitted address", true, constrained(ipRange, "agg.example.org"), nil},
		{"address outside", false, func(w *world) {
			constrained(ipRange, "agg.example.org")(w)
			w.leaf.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)}
		}, nil},
		{"address inside", true, func(w *world) {
			constrained(ipRange, "agg.example.org")(w)
			w.leaf.IPAddresses = []net.IP{net.IPv4(10, 9, 8, 7)}
		}, nil},
		{"constraints of the root", false, func(w *world) {
			dns("agg.example.com")(w)
			w.root.PermittedDNSDomainsCritical = true
			permit(w.root)
		}, nil},

		// Revocation.
		{"an empty list", true, nil, func(w *world) { w.list(w.ca, w.caKey, nil) }},
		{"revoked", false, nil, func(w *world) { w.list(w.ca, w.caKey, nil, 7) }},
		{"another is revoked", true, nil, func(w *world) { w.list(w.ca, w.caKey, nil, 8) }},
		{"revoked among many", false, nil, func(w *world) { w.list(w.ca, w.caKey, nil, 3, 5, 7, 9) }},
		{"the CA is revoked", false, nil, func(w *world) { w.list(w.root, w.rootKey, nil, 100) }},
		{"revoked by an older list only", false, nil, func(w *world) {
			w.list(w.ca, w.caKey, nil, 7)
			w.list(w.ca, w.caKey, func(l *x509.RevocationList) { l.Number = big.NewInt(2) })
		}},
		{"revoked in the future", false, nil, func(w *world) {
			w.list(w.ca, w.caKey, func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].RevocationTime = start.AddDate(0, 0, 1) }, 7)
		}},
		{"a list past its time", false, nil, func(w *world) {
			w.list(w.ca, w.caKey, func(l *x509.RevocationList) { l.NextUpdate = start.Add(-time.Second) })
		}},
		{"the last second of a list", true, nil, func(w *world) {
			w.list(w.ca, w.caKey, func(l *x509.RevocationList) { l.NextUpdate = start })
		}},
		{"an old list beside a new one", true, nil, func(w *world) {
			w.list(w.ca, w.caKey, func(l *x509.RevocationList) { l.NextUpdate = start.Add(-time.Second) })
			w.list(w.ca, w.caKey, func(l *x509.RevocationList) { l.Number = big.NewInt(2) })
		}},
		{"a list of the root past its time", false, nil, func(w *world) {
			w.list(w.root, w.rootKey, func(l *x509.RevocationList) { l.NextUpdate = start.Add(-time.Second) })
		}},
		{"a list by another key of that name", false, nil, func(w *world) { w.list(w.forged(), w.leafKey, nil) }},
		{"a partial list", false, nil, func(w *world) {
			w.list(w.ca, w.caKey, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{critical(2, 5, 29, 28)} })
		}},
		{"a delta list", false, nil, func(w *world) {
			w.list(w.ca, w.caKey, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{critical(2, 5, 29, 27)} })
		}},
		{"an entry of another issuer", false, nil, func(w *world) {
			w.list(w.ca, w.caKey, func(l *x509.RevocationList) {
				l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{critical(2, 5, 29, 29)}
			}, 8)
		}},
		{"a list of nobody here", true, nil, func(w *world) {
			v := newWorld(w.t)
			v.ca.Subject.CommonName = "Elsewhere"
			v.build()
			v.list(v.ca, v.caKey, nil, 7)
			w.lists = v.lists
		}},
	}
	if len(vectors) < 70 {
		t.Errorf("%d vectors, want at least 70", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			w := newWorld(t)
			if v.before != nil {
				v.before(w)
			}
			w.build()
			if v.after != nil {
				v.after(w)
			}
			err := w.judge()
			if (err == nil) != v.ok {
				t.Errorf("got %v, want accepted: %v", err, v.ok)
			}
			if err != nil && !errors.Is(err, identity.ErrUntrusted) {
				t.Errorf("%v is no identity.ErrUntrusted", err)
			}
		})
	}
}

// build signs root and CA.
func (w *world) build() {
	w.t.Helper()
	w.root = w.sign(w.root, w.root, w.rootKey.Public(), w.rootKey)
	w.ca = w.sign(w.ca, w.root, w.caKey.Public(), w.rootKey)
	w.leafParent, w.leafSigner = w.ca, w.caKey
}

// forged is a CA certificate with the network CA's name and the leaf's key.
func (w *world) forged() *x509.Certificate {
	c := *w.ca
	c.PublicKey, c.RawSubjectPublicKeyInfo = w.leafKey.Public(), nil
	return &c
}

func (w *world) signLeaf(parent *x509.Certificate, signer crypto.Signer, pub crypto.PublicKey) *x509.Certificate {
	leaf := *w.leaf
	return w.sign(&leaf, parent, pub, signer)
}

// judge signs the leaf and verifies it.
func (w *world) judge() error {
	if w.chain == nil {
		w.chain = []*x509.Certificate{w.root, w.ca}
	}
	leaf := w.signLeaf(w.leafParent, w.leafSigner, w.leafKey.Public())
	a, err := trust.New(w.chain, w.lists)
	if err != nil {
		return err
	}
	_, err = a.Verify(append([]*x509.Certificate{leaf}, w.sent...), w.role, w.at)
	return err
}

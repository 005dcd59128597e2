package approval_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
)

// now is the judged time of all tests.
var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// authority is a small signing CA: a root that issues signers directly.
type authority struct {
	t      testing.TB
	key    crypto.Signer
	cert   *x509.Certificate
	serial int64
}

// person is a signer with key and certificate.
type person struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: p256(t), serial: 1}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a.cert = a.issue(template, template, a.key.Public())
	return a
}

func (a *authority) issue(template, parent *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// signer certifies a key for a role and name, valid for a year either side of
// now unless changed.
func (a *authority) signer(role identity.Role, name string, key crypto.Signer, change ...func(*x509.Certificate)) person {
	a.t.Helper()
	a.serial++
	id := identity.Identity{Federation: "fed.example.org", Role: role, Name: name}
	uri, err := url.Parse(id.URI())
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial),
		Subject:      pkix.Name{CommonName: name, Organization: []string{id.Federation}},
		NotBefore:    now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{role.ExtKeyUsage()}, Policies: []x509.OID{role.Policy()}, URIs: []*url.URL{uri},
	}
	for _, c := range change {
		c(template)
	}
	return person{key: key, cert: a.issue(template, a.cert, key.Public())}
}

// anchors trusts the authority, which has revoked the given signers.
func (a *authority) anchors(revoked ...person) *trust.Anchors {
	a.t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.AddDate(0, 0, -1), NextUpdate: now.AddDate(0, 0, 7)}
	for _, p := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: p.cert.SerialNumber, RevocationTime: now.Add(-time.Hour)})
	}
	return a.list(template)
}

func (a *authority) list(template *x509.RevocationList) *trust.Anchors {
	a.t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		a.t.Fatal(err)
	}
	anchors, err := trust.New([]*x509.Certificate{a.cert}, []*x509.RevocationList{crl})
	if err != nil {
		a.t.Fatal(err)
	}
	return anchors
}

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ed(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

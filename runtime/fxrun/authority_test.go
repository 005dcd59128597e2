package main

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"go.step.sm/crypto/pemutil"

	"fx/ca/identity"
)

// authority is a federation's network CA in the hands of a test, which makes
// certificates that fxctl would not.
type authority struct {
	t       *testing.T
	name    string // of the federation
	chain   []*x509.Certificate
	network *x509.Certificate
	key     crypto.Signer
}

// openAuthority takes a CA folder that fxctl made.
func openAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	chain, err := identity.ReadCertificates(filepath.Join(dir, "cert_chain.crt"))
	if err != nil {
		t.Fatal(err)
	}
	certs, err := identity.ReadCertificates(filepath.Join(dir, "network-ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := pemutil.Read(filepath.Join(dir, "network-ca", "private", "network-ca.key"), pemutil.WithPassword([]byte(passphrase)))
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, name: "fed.example.org", chain: chain, network: certs[0], key: key.(crypto.Signer)}
}

// stranger is an authority that the federation does not know.
func stranger(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, name: name}
	key := a.newKey()
	template := &x509.Certificate{
		Subject: pkix.Name{Organization: []string{name}, CommonName: name + " CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.network = a.sign(template, template, key.Public(), key)
	a.key, a.chain = key, []*x509.Certificate{a.network}
	return a
}

func (a *authority) newKey() crypto.Signer {
	a.t.Helper()
	key, err := identity.NewKey(identity.P256)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// certificate is a new one that is valid between two moments from now.
func (a *authority) certificate(role identity.Role, name string, from, to time.Duration) tls.Certificate {
	a.t.Helper()
	uri, err := url.Parse(identity.Identity{Federation: a.name, Role: role, Name: name}.URI())
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{a.name}, CommonName: name},
		NotBefore:             time.Now().Add(from),
		NotAfter:              time.Now().Add(to),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{role.ExtKeyUsage()},
		Policies:              []x509.OID{role.Policy()},
		URIs:                  []*url.URL{uri},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if role == identity.Aggregator {
		template.DNSNames = []string{name}
	}
	key := a.newKey()
	leaf := a.sign(template, a.network, key.Public(), a.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.network.Raw}, PrivateKey: key, Leaf: leaf}
}

// foreign is a server's certificate as a proxy that inspects TLS makes it.
func (a *authority) foreign(host string) tls.Certificate {
	a.t.Helper()
	key := a.newKey()
	leaf := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.network, key.Public(), a.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.network.Raw}, PrivateKey: key, Leaf: leaf}
}

// revoke gives a revocation list that is good for a while.
func (a *authority) revoke(number int64, good time.Duration, certs ...tls.Certificate) []byte {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(good)}
	for _, c := range certs {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.network, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return identity.EncodeCRLs(parsed)
}

// install puts a certificate and its key into a folder, in the place of role
// and name, whatever the certificate says.
func (a *authority) install(dir string, role identity.Role, name string, c tls.Certificate) {
	a.t.Helper()
	crt, key, _ := identity.Files(dir, role, name)
	pem, err := identity.EncodeKey(c.PrivateKey.(crypto.Signer))
	if err != nil {
		a.t.Fatal(err)
	}
	replace(a.t, key, pem)
	replace(a.t, crt, identity.EncodeCertificates(c.Leaf))
}

package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fx/ca/identity"
)

// start is when every certificate of the tests begins unless it says otherwise.
var start = time.Now().Add(-time.Hour).Truncate(time.Second)

const year = 365 * 24 * time.Hour

// pki is a federation's CA, made with the standard library alone.
type pki struct {
	t             testing.TB
	federation    string
	root, network authority
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newPKI(t testing.TB, federation string) *pki {
	t.Helper()
	p := &pki{t: t, federation: federation}
	ca := func(cn string, parent *authority) authority {
		key := newKey(t)
		tmpl := &x509.Certificate{
			SerialNumber:          serial(t),
			Subject:               pkix.Name{Organization: []string{federation}, CommonName: cn},
			NotBefore:             start.Add(-20 * year),
			NotAfter:              start.Add(20 * year),
			IsCA:                  true,
			BasicConstraintsValid: true,
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		if parent == nil {
			parent = &authority{tmpl, key}
		}
		return authority{sign(t, tmpl, parent, key), key}
	}
	p.root = ca(federation+" root", nil)
	p.network = ca(federation+" network CA", &p.root)
	return p
}

// issue signs a leaf as the profile says, changed by change.
func (p *pki) issue(role identity.Role, name string, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	p.t.Helper()
	uri, err := url.Parse(identity.Identity{Federation: p.federation, Role: role, Name: name}.URI())
	if err != nil {
		p.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial(p.t),
		Subject:               pkix.Name{Organization: []string{p.federation}, CommonName: name},
		NotBefore:             start,
		NotAfter:              start.Add(year),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{role.ExtKeyUsage()},
		Policies:              []x509.OID{role.Policy()},
		URIs:                  []*url.URL{uri},
	}
	if role == identity.Aggregator {
		tmpl.DNSNames = []string{name}
	}
	if change != nil {
		change(tmpl)
	}
	key := newKey(p.t)
	return sign(p.t, tmpl, &p.network, key), key
}

// certDir writes a participant's certificate folder, trusting the CA trusted.
func certDir(t testing.TB, trusted *pki, role identity.Role, name string, cert *x509.Certificate, key *ecdsa.PrivateKey) string {
	t.Helper()
	dir := t.TempDir()
	crtPath, keyPath, _ := identity.Files(dir, role, name)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, crtPath, pemOf("CERTIFICATE", cert.Raw))
	write(t, keyPath, pemOf("PRIVATE KEY", der))
	write(t, filepath.Join(dir, identity.ChainFile),
		append(pemOf("CERTIFICATE", trusted.root.cert.Raw), pemOf("CERTIFICATE", trusted.network.cert.Raw)...))
	return dir
}

// crl is a revocation list of the network CA.
func (p *pki) crl(revoked ...*x509.Certificate) *x509.RevocationList {
	p.t.Helper()
	tmpl := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: start, NextUpdate: start.Add(30 * 24 * time.Hour)}
	for _, c := range revoked {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: start})
	}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, p.network.cert, p.network.key)
	if err != nil {
		p.t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

// outsider is a server certificate for localhost that no federation issued.
func outsider(t testing.TB, organization string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: serial(t),
		Subject:      pkix.Name{Organization: []string{organization}, CommonName: "localhost"},
		NotBefore:    start,
		NotAfter:     start.Add(year),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert := sign(t, tmpl, &authority{tmpl, key}, key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func sign(t testing.TB, tmpl *x509.Certificate, by *authority, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

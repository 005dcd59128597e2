package trust_test

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
)

// openFL makes what OpenFL's own commands make: a root and a signing CA with
// nothing but basic constraints, leaves without any key usage, and a host name
// that may be an address in a DNS name.
func openFL(t *testing.T, host string) *federation {
	t.Helper()
	f := &federation{dir: t.TempDir(), leaf: map[identity.Role]*x509.Certificate{}}
	issue := func(c, parent *x509.Certificate, key, parentKey crypto.Signer) *x509.Certificate {
		c.SerialNumber, c.NotBefore, c.NotAfter, c.BasicConstraintsValid = big.NewInt(int64(len(f.leaf)+7)), start, start.AddDate(1, 0, 0), true
		if parent == nil {
			parent = c
		}
		der := must(x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey))(t)
		return must(x509.ParseCertificate(der))(t)
	}
	rootKey, caKey := must(identity.NewKey(identity.P256))(t), must(identity.NewKey(identity.P256))(t)
	root := issue(&x509.Certificate{Subject: pkix.Name{Organization: []string{"Simple Inc"}, CommonName: "Simple Root CA"}, IsCA: true}, nil, rootKey, rootKey)
	ca := issue(&x509.Certificate{Subject: pkix.Name{Organization: []string{"Simple Inc"}, CommonName: "Simple Signing CA"}, IsCA: true}, root, caKey, rootKey)
	for r, name := range map[identity.Role]string{identity.Aggregator: host, identity.Collaborator: "col_one"} {
		key := must(identity.NewKey(identity.P256))(t)
		f.leaf[r] = issue(&x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, ca, key, caKey)
		f.put(t, r, name, key, f.leaf[r])
	}
	f.chains(t, []*x509.Certificate{root, ca}, []*x509.Certificate{root, ca})
	return f
}

func TestOpenFLOnlyByName(t *testing.T) {
	f := openFL(t, "agg.example.org")
	a := f.anchors(t, identity.ChainFile)
	for _, r := range []identity.Role{identity.Aggregator, identity.Collaborator} {
		var role *trust.RoleError
		chain := []*x509.Certificate{f.leaf[r]}
		if _, err := a.Verify(chain, r, start); !errors.As(err, &role) {
			t.Errorf("%s without asking: %v", r, err)
		}
		if id, err := a.WithOpenFL().Verify(chain, r, start); err != nil || id.Role != r || id.Name != f.leaf[r].Subject.CommonName || id.Federation != "" {
			t.Errorf("%s: %v, %v", r, id, err)
		}
		if _, err := a.WithOpenFL().Verify(chain, r, start.AddDate(2, 0, 0)); !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("%s, expired: %v", r, err)
		}
		if _, err := a.WithOpenFL().Verify(chain, identity.Publisher, start); !errors.As(err, &role) {
			t.Errorf("%s as publisher: %v", r, err)
		}
	}
	if _, err := newFederation(t).anchors(t, identity.ChainFile).WithOpenFL().Verify([]*x509.Certificate{f.leaf[identity.Collaborator]}, identity.Collaborator, start); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("another CA: %v", err)
	}
}

func TestOpenFLHandshakes(t *testing.T) {
	for _, host := range []string{"agg.example.org", "127.0.0.1"} {
		t.Run(host, func(t *testing.T) {
			f := openFL(t, host)
			ends := func(compat bool, serverName string) (*tls.Config, *tls.Config, error) {
				server, _, err := trust.ServerTLS(trust.Config{CertDir: f.dir, Role: identity.Aggregator, Name: host, Now: at(start), OpenFLCompat: compat})
				if err != nil {
					return nil, nil, err
				}
				client, _, err := trust.ClientTLS(trust.Config{CertDir: f.dir, Role: identity.Collaborator, Name: "col_one", Now: at(start), OpenFLCompat: compat}, serverName)
				return server, client, err
			}
			if _, _, err := ends(false, host); !errors.Is(err, identity.ErrUntrusted) {
				t.Errorf("without asking: %v", err)
			}
			server, client, err := ends(true, host)
			if err != nil {
				t.Fatal(err)
			}
			if s, c := handshake(t, server, client); s != nil || c != nil {
				t.Errorf("server %v, client %v", s, c)
			}
			server2, client2, err := ends(true, "127.0.0.2")
			if err != nil {
				t.Fatal(err)
			}
			if _, c := handshake(t, server2, client2); c == nil {
				t.Error("another address was accepted")
			}
			// The address path checks the chain itself: a stranger's server must fail.
			stranger := openFL(t, host)
			strange, _, err := trust.ServerTLS(trust.Config{CertDir: stranger.dir, Role: identity.Aggregator, Name: host, Now: at(start), OpenFLCompat: true})
			if err != nil {
				t.Fatal(err)
			}
			var unknown x509.UnknownAuthorityError
			if _, c := handshake(t, strange, client); !errors.As(c, &unknown) {
				t.Errorf("another CA: %v", c)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	fed := newFederation(f)
	chain, err := os.ReadFile(fed.dir + "/" + identity.ChainFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(chain, fed.crl(f, 1, start.AddDate(0, 0, 7), big.NewInt(5)))
	f.Fuzz(func(t *testing.T, chain, lists []byte) {
		certs, err := identity.ParseCertificates(chain)
		if err != nil {
			return
		}
		crls, err := identity.ParseCRLs(lists)
		if err != nil {
			return
		}
		a, err := trust.New(certs, crls)
		if err != nil {
			return
		}
		for _, r := range identity.Roles() {
			if id, err := a.Verify(certs, r, start.Add(time.Hour)); err == nil && id.Role != r {
				t.Fatalf("%v is no %s", id, r)
			}
		}
	})
}

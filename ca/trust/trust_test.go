package trust_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/issuer"
	"fx/ca/trust"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// federation is a CA and a certificate folder with one participant a role.
type federation struct {
	ca    *issuer.CA
	caDir string
	dir   string
	leaf  map[identity.Role]*x509.Certificate
}

func name(r identity.Role) string {
	if r == identity.Aggregator {
		return "agg.example.org"
	}
	return "site-1"
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newFederation(t testing.TB) *federation {
	t.Helper()
	f := &federation{caDir: filepath.Join(t.TempDir(), "ca"), dir: filepath.Join(t.TempDir(), "cert"), leaf: map[identity.Role]*x509.Certificate{}}
	f.ca = must(issuer.Create(context.Background(), issuer.CreateOptions{Dir: f.caDir, Federation: "fed.example.org", Now: at(start)}))(t)
	for _, k := range issuer.Kinds() {
		if err := f.ca.Unlock(k, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range identity.Roles() {
		key := must(identity.NewKey(identity.P256))(t)
		var hosts []string
		if r == identity.Aggregator {
			hosts = []string{"127.0.0.1"}
		}
		der := must(identity.NewRequest(key, r, name(r), hosts...))(t)
		req := must(issuer.ParseRequest(identity.EncodeRequest(der)))(t)
		issued := must(f.ca.Sign(context.Background(), req, identity.Identity{Role: r}, issuer.Options{}))(t)
		f.leaf[r] = issued.Certificate
		f.put(t, r, name(r), key, issued.Certificate)
		f.chains(t, issued.Answer.NetworkChain(), issued.Answer.SigningChain())
	}
	return f
}

// put stores key and certificate of a participant.
func (f *federation) put(t testing.TB, r identity.Role, name string, key crypto.Signer, c *x509.Certificate) {
	t.Helper()
	crt, keyPath, _ := identity.Files(f.dir, r, name)
	if err := os.MkdirAll(filepath.Dir(crt), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, crt, identity.EncodeCertificates(c))
	write(t, keyPath, must(identity.EncodeKey(key))(t))
}

func (f *federation) chains(t testing.TB, network, signing []*x509.Certificate) {
	t.Helper()
	write(t, filepath.Join(f.dir, identity.ChainFile), identity.EncodeCertificates(network...))
	write(t, filepath.Join(f.dir, identity.SigningChainFile), identity.EncodeCertificates(signing...))
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *federation) key(t testing.TB, k issuer.Kind) crypto.Signer {
	t.Helper()
	return must(identity.ReadKey(filepath.Join(f.caDir, string(k), "private", string(k)+".key")))(t)
}

// crl signs a revocation list of the network CA and puts it in place.
func (f *federation) crl(t testing.TB, number int64, next time.Time, serials ...*big.Int) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: start, NextUpdate: next}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: start, ReasonCode: 1})
	}
	der := must(x509.CreateRevocationList(rand.Reader, list, f.ca.Certificate(issuer.Network), f.key(t, issuer.Network)))(t)
	text := identity.EncodeCRLs(must(x509.ParseRevocationList(der))(t))
	write(t, filepath.Join(f.dir, identity.CRLFile), text)
	return text
}

func (f *federation) anchors(t testing.TB, chain string) *trust.Anchors {
	t.Helper()
	return must(trust.Load(filepath.Join(f.dir, chain), filepath.Join(f.dir, identity.CRLFile)))(t)
}

func TestVerify(t *testing.T) {
	f, other := newFederation(t), newFederation(t)
	network, signing := f.anchors(t, identity.ChainFile), f.anchors(t, identity.SigningChainFile)
	for _, r := range identity.Roles() {
		for _, want := range identity.Roles() {
			a := network
			if r.Signs() {
				a = signing
			}
			id, err := a.Verify([]*x509.Certificate{f.leaf[r]}, want, start)
			var wrong *trust.RoleError
			switch {
			case r == want && (err != nil || id != identity.Identity{Federation: "fed.example.org", Role: r, Name: name(r)}):
				t.Errorf("%s: %v, %v", r, id, err)
			case r != want && (!errors.As(err, &wrong) || wrong.Found != r || wrong.Want != want || !errors.Is(err, identity.ErrUntrusted)):
				t.Errorf("%s as %s: %v", r, want, err)
			}
		}
	}
	col := f.leaf[identity.Collaborator]
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	tests := []struct {
		name  string
		a     *trust.Anchors
		chain []*x509.Certificate
		at    time.Time
		as    any
	}{
		{"another CA", other.anchors(t, identity.ChainFile), []*x509.Certificate{col}, start, &unknown},
		{"another CA, chain sent along", other.anchors(t, identity.ChainFile), []*x509.Certificate{col, f.ca.Certificate(issuer.Network), f.ca.Certificate(issuer.Root)}, start, &unknown},
		{"signing chain", signing, []*x509.Certificate{col}, start, &unknown},
		{"expired", network, []*x509.Certificate{col}, start.AddDate(1, 0, 1), &invalid},
		{"not yet valid", network, []*x509.Certificate{col}, start.Add(-time.Hour), &invalid},
		{"root expired", network, []*x509.Certificate{col}, start.AddDate(11, 0, 0), &invalid},
		{"a CA certificate", network, []*x509.Certificate{f.ca.Certificate(issuer.Network)}, start, new(*trust.RoleError)},
		{"nothing", network, nil, start, nil},
	}
	for _, tt := range tests {
		_, err := tt.a.Verify(tt.chain, identity.Collaborator, tt.at)
		if !errors.Is(err, identity.ErrUntrusted) || tt.as != nil && !errors.As(err, tt.as) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.as == &invalid && invalid.Reason != x509.Expired {
			t.Errorf("%s: reason %v", tt.name, invalid.Reason)
		}
	}
}

// A certificate that the network CA's key has signed outside the profile is
// nobody's: EKU, policy and URI must agree.
func TestRoleMustAgreeThreeTimes(t *testing.T) {
	f := newFederation(t)
	a := f.anchors(t, identity.ChainFile)
	key := must(identity.NewKey(identity.P256))(t)
	col := f.leaf[identity.Collaborator]
	tests := []struct {
		name   string
		change func(c *x509.Certificate)
	}{
		{"no extended key usage", func(c *x509.Certificate) { c.ExtKeyUsage = nil }},
		{"another extended key usage", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }},
		{"two extended key usages", func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) }},
		{"no policy", func(c *x509.Certificate) { c.Policies = nil }},
		{"another policy", func(c *x509.Certificate) { c.Policies = []x509.OID{identity.Aggregator.Policy()} }},
		{"no URI", func(c *x509.Certificate) { c.URIs = nil }},
		{"two URIs", func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }},
		{"another name", func(c *x509.Certificate) { c.Subject.CommonName = "site-2" }},
		{"another federation", func(c *x509.Certificate) { c.Subject.Organization = []string{"other.example.org"} }},
		{"a host name", func(c *x509.Certificate) { c.DNSNames = []string{"site-1"} }},
	}
	for _, tt := range append(tests, struct {
		name   string
		change func(c *x509.Certificate)
	}{"nothing changed", func(*x509.Certificate) {}}) {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"fed.example.org"}, CommonName: "site-1"},
			NotBefore: start, NotAfter: start.Add(time.Hour), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Policies: []x509.OID{identity.Collaborator.Policy()}, URIs: col.URIs,
		}
		tt.change(c)
		der := must(x509.CreateCertificate(rand.Reader, c, f.ca.Certificate(issuer.Network), key.Public(), f.key(t, issuer.Network)))(t)
		_, err := a.Verify([]*x509.Certificate{must(x509.ParseCertificate(der))(t)}, identity.Collaborator, start)
		var role *trust.RoleError
		if good := tt.name == "nothing changed"; good != (err == nil) || !good && !errors.As(err, &role) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A CA vouches for the roles of its own kind only: whoever holds the signing
// CA's key makes no TLS identities, even for sites that trust both CAs.
func TestACAMayIssueForItsOwnRolesOnly(t *testing.T) {
	f := newFederation(t)
	a := must(trust.New([]*x509.Certificate{f.ca.Certificate(issuer.Root), f.ca.Certificate(issuer.Network), f.ca.Certificate(issuer.Signing)}, nil))(t)
	key := must(identity.NewKey(identity.P256))(t)
	for _, r := range identity.Roles() {
		for k, want := range map[issuer.Kind]bool{issuer.Network: !r.Signs(), issuer.Signing: r.Signs()} {
			leaf := *f.leaf[r] // resigned by either
			leaf.RawSubject, leaf.AuthorityKeyId = nil, nil
			der := must(x509.CreateCertificate(rand.Reader, &leaf, f.ca.Certificate(k), key.Public(), f.key(t, k)))(t)
			_, err := a.Verify([]*x509.Certificate{must(x509.ParseCertificate(der))(t)}, r, start)
			var role *trust.RoleError
			if (err == nil) != want || err != nil && !errors.As(err, &role) {
				t.Errorf("%s by the %s: %v", r, k, err)
			}
		}
	}
}

func TestRevocation(t *testing.T) {
	f, other := newFederation(t), newFederation(t)
	col := f.leaf[identity.Collaborator]
	verify := func(at time.Time) error {
		_, err := f.anchors(t, identity.ChainFile).Verify([]*x509.Certificate{col}, identity.Collaborator, at)
		return err
	}
	next := start.AddDate(0, 0, 7)
	f.crl(t, 1, next, big.NewInt(42))
	if err := verify(start); err != nil {
		t.Errorf("another's revocation: %v", err)
	}
	var stale *trust.StaleError
	if err := verify(next.Add(time.Second)); !errors.As(err, &stale) || !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("a stale list: %v", err)
	}
	f.crl(t, 2, next, col.SerialNumber)
	var revoked *trust.RevokedError
	if err := verify(start); !errors.As(err, &revoked) || revoked.Reason != 1 || !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("revoked: %v", err)
	}
	write(t, filepath.Join(f.dir, identity.CRLFile), other.crl(t, 3, next))
	if _, err := trust.Load(filepath.Join(f.dir, identity.ChainFile), filepath.Join(f.dir, identity.CRLFile)); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("a list in this CA's name by another key: %v", err)
	}
	for _, garbage := range []string{"", "x", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"} {
		write(t, filepath.Join(f.dir, identity.CRLFile), []byte(garbage))
		if _, err := trust.Load(filepath.Join(f.dir, identity.ChainFile), filepath.Join(f.dir, identity.CRLFile)); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("list %q: %v", garbage, err)
		}
	}
}

func TestCriticalExtensionsOfLists(t *testing.T) {
	f := newFederation(t)
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: start, NextUpdate: start.AddDate(0, 0, 7),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 0}}}} // delta list
	der := must(x509.CreateRevocationList(rand.Reader, list, f.ca.Certificate(issuer.Network), f.key(t, issuer.Network)))(t)
	crl := must(x509.ParseRevocationList(der))(t)
	certs := []*x509.Certificate{f.ca.Certificate(issuer.Root), f.ca.Certificate(issuer.Network)}
	if _, err := trust.New(certs, []*x509.RevocationList{crl}); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("a delta list: %v", err)
	}
}

func TestChainFiles(t *testing.T) {
	f := newFederation(t)
	root, network := f.ca.Certificate(issuer.Root), f.ca.Certificate(issuer.Network)
	// The root's name on another key, signed by the root: it only looks like one.
	der := must(x509.CreateCertificate(rand.Reader, root, root, network.PublicKey, f.key(t, issuer.Root)))(t)
	forged := must(x509.ParseCertificate(der))(t)
	for name, certs := range map[string][]*x509.Certificate{
		"no root": {network}, "a root not signed by itself": {forged, network}, "another beside it": {root, forged, network}, "a participant": {root, network, f.leaf[identity.Collaborator]}, "nothing": nil,
	} {
		if _, err := trust.New(certs, nil); !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckAnswer(t *testing.T) {
	f, other := newFederation(t), newFederation(t)
	make := func(from *federation, r identity.Role) *identity.Answer {
		return &identity.Answer{
			Leaf: f.leaf[r], Roots: []*x509.Certificate{from.ca.Certificate(issuer.Root)},
			Network: []*x509.Certificate{from.ca.Certificate(issuer.Network)}, Signing: []*x509.Certificate{from.ca.Certificate(issuer.Signing)},
		}
	}
	for _, r := range identity.Roles() {
		if id, err := trust.CheckAnswer(make(f, r), start); err != nil || id.Role != r {
			t.Errorf("%s: %v, %v", r, id, err)
		}
		if _, err := trust.CheckAnswer(make(other, r), start); !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("%s with another's chain: %v", r, err)
		}
	}
	mixed := make(f, identity.Collaborator)
	mixed.Signing = make(other, identity.Collaborator).Signing
	if _, err := trust.CheckAnswer(mixed, start); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("another federation's signing CA: %v", err)
	}
}

// handshake connects both ends over loopback and exchanges one byte.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		s := tls.Server(c, server)
		_, err = s.Write([]byte{1}) // performs the handshake
		done <- errors.Join(err, s.Close())
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, client)
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1)) // what the server says against us comes here
	}
	_ = c.Close()
	return <-done, clientErr
}

func TestHandshakes(t *testing.T) {
	f, other := newFederation(t), newFederation(t)
	serverConfig := trust.Config{CertDir: f.dir, Role: identity.Aggregator, Name: name(identity.Aggregator), Now: at(start)}
	clientConfig := trust.Config{CertDir: f.dir, Role: identity.Collaborator, Name: name(identity.Collaborator), Now: at(start)}
	ends := func(t *testing.T, host string) (*tls.Config, *tls.Config) {
		t.Helper()
		server, _, err := trust.ServerTLS(serverConfig)
		if err != nil {
			t.Fatal(err)
		}
		client, _, err := trust.ClientTLS(clientConfig, host)
		if err != nil {
			t.Fatal(err)
		}
		return server, client
	}
	for _, host := range []string{"agg.example.org", "127.0.0.1"} {
		server, client := ends(t, host)
		if s, c := handshake(t, server, client); s != nil || c != nil {
			t.Errorf("%s: server %v, client %v", host, s, c)
		}
	}
	t.Run("leaf only, as OpenFL sends", func(t *testing.T) {
		server, client := ends(t, "agg.example.org")
		server.Certificates[0].Certificate = server.Certificates[0].Certificate[:1]
		own, _ := client.GetClientCertificate(nil)
		own.Certificate = own.Certificate[:1]
		if s, c := handshake(t, server, client); s != nil || c != nil {
			t.Errorf("server %v, client %v", s, c)
		}
	})
	t.Run("another host", func(t *testing.T) {
		server, client := ends(t, "other.example.org")
		_, err := handshake(t, server, client)
		var host x509.HostnameError
		if !errors.As(err, &host) {
			t.Errorf("client %v", err)
		}
	})
	t.Run("server of another CA", func(t *testing.T) {
		_, client := ends(t, "agg.example.org")
		server, _, err := trust.ServerTLS(trust.Config{CertDir: other.dir, Role: identity.Aggregator, Name: "agg.example.org", Now: at(start)})
		if err != nil {
			t.Fatal(err)
		}
		var unknown x509.UnknownAuthorityError
		if _, err := handshake(t, server, client); !errors.As(err, &unknown) {
			t.Errorf("client %v", err)
		}
	})
	t.Run("client of another CA", func(t *testing.T) {
		server, client := ends(t, "agg.example.org")
		stranger, _, err := trust.ClientTLS(trust.Config{CertDir: other.dir, Role: identity.Collaborator, Name: "site-1", Now: at(start)}, "agg.example.org")
		if err != nil {
			t.Fatal(err)
		}
		client.GetClientCertificate = stranger.GetClientCertificate
		var unknown x509.UnknownAuthorityError
		s, c := handshake(t, server, client)
		if alert := remote(c); !errors.As(s, &unknown) || alert != "tls: unknown certificate authority" {
			t.Errorf("server %v, client %v", s, c)
		}
	})
	t.Run("expired client", func(t *testing.T) {
		server, client := ends(t, "agg.example.org")
		server.Time = at(start.AddDate(2, 0, 0))
		s, c := handshake(t, server, client)
		var invalid x509.CertificateInvalidError
		if alert := remote(c); !errors.As(s, &invalid) || alert != "tls: expired certificate" {
			t.Errorf("server %v, client %v", s, c)
		}
	})
	t.Run("aggregator's certificate as client", func(t *testing.T) {
		server, client := ends(t, "agg.example.org")
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &server.Certificates[0], nil }
		var invalid x509.CertificateInvalidError
		if s, c := handshake(t, server, client); !errors.As(s, &invalid) || invalid.Reason != x509.IncompatibleUsage || c == nil {
			t.Errorf("server %v, client %v", s, c)
		}
	})
	t.Run("no client certificate", func(t *testing.T) {
		server, client := ends(t, "agg.example.org")
		client.GetClientCertificate = nil
		if s, c := handshake(t, server, client); s == nil || c == nil {
			t.Errorf("server %v, client %v", s, c)
		}
	})
	t.Run("TLS 1.2", func(t *testing.T) {
		server, client := ends(t, "agg.example.org")
		client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		if s, c := handshake(t, server, client); s == nil || c == nil {
			t.Errorf("server %v, client %v", s, c)
		}
	})
	t.Run("revoked client", func(t *testing.T) {
		f.crl(t, 1, start.AddDate(0, 0, 7), f.leaf[identity.Collaborator].SerialNumber)
		server, client := ends(t, "agg.example.org")
		var revoked *trust.RevokedError
		if s, c := handshake(t, server, client); !errors.As(s, &revoked) || !errors.Is(s, identity.ErrUntrusted) || c == nil {
			t.Errorf("server %v, client %v", s, c)
		}
		_, anchors, err := trust.ClientTLS(clientConfig, "agg.example.org")
		if err != nil {
			t.Fatal(err)
		}
		own := []*x509.Certificate{f.leaf[identity.Collaborator]}
		if _, err := anchors.Verify(own, identity.Collaborator, start); !errors.As(err, &revoked) {
			t.Errorf("own certificate: %v", err)
		}
		f.crl(t, 2, start.AddDate(0, 0, 7), f.leaf[identity.Aggregator].SerialNumber)
		if _, _, err := trust.ServerTLS(serverConfig); !errors.As(err, &revoked) {
			t.Errorf("server start: %v", err)
		}
	})
}

// remote is what the other end said in an alert.
func remote(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err.Error()
	}
	return ""
}

func TestServerRefusesToStart(t *testing.T) {
	f := newFederation(t)
	base := trust.Config{CertDir: f.dir, Role: identity.Aggregator, Name: "agg.example.org", Now: at(start)}
	late := base
	late.Now = at(start.AddDate(2, 0, 0))
	if _, _, err := trust.ServerTLS(late); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("expired: %v", err)
	}
	f.put(t, identity.Aggregator, "moved.example.org", must(identity.ReadKey(filepath.Join(f.dir, "server", "agg_agg.example.org.key")))(t), f.leaf[identity.Aggregator])
	moved := base
	moved.Name = "moved.example.org"
	var host x509.HostnameError
	if _, _, err := trust.ServerTLS(moved); !errors.As(err, &host) {
		t.Errorf("another host: %v", err)
	}
	f.put(t, identity.Aggregator, "agg.example.org", must(identity.NewKey(identity.P256))(t), f.leaf[identity.Aggregator])
	if _, _, err := trust.ServerTLS(base); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("another key: %v", err)
	}
}

package transport_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/trust"
	"fx/runtime/transport"
)

// as is what the holder of a folder proves itself with.
func as(t *testing.T, dir, name string) transport.Credentials {
	t.Helper()
	conf, anchors, err := trust.ClientTLS(trust.Config{CertDir: dir, Role: identity.Collaborator, Name: name}, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := conf.GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return transport.Credentials{TLS: conf, Own: pair.Leaf, Check: func(at time.Time) error {
		_, err := anchors.Verify([]*x509.Certificate{pair.Leaf}, identity.Collaborator, at)
		return err
	}}
}

// What is wrong with the own certificate is said before anything is sent, and
// waiting for an aggregator that is away would not mend it.
func TestOwnFlawsEndTheWait(t *testing.T) {
	p := newPKI(t, fedName)
	tests := []struct {
		name   string
		dir    func() string
		cause  transport.Cause
		retry  bool
		detail string
	}{
		{"in order", func() string {
			cert, key := p.issue(identity.Collaborator, "one", nil)
			return certDir(t, p, identity.Collaborator, "one", cert, key)
		}, transport.CauseRefused, true, "connection refused"},
		{"expired", func() string {
			cert, key := p.issue(identity.Collaborator, "one", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = start.Add(-year), start })
			return certDir(t, p, identity.Collaborator, "one", cert, key)
		}, transport.CauseExpired, false, "ended on"},
		{"not yet valid, which time mends", func() string {
			cert, key := p.issue(identity.Collaborator, "one", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(3 * time.Hour) })
			return certDir(t, p, identity.Collaborator, "one", cert, key)
		}, transport.CauseRefused, true, "connection refused"},
		{"revoked", func() string {
			cert, key := p.issue(identity.Collaborator, "one", nil)
			dir := certDir(t, p, identity.Collaborator, "one", cert, key)
			write(t, filepath.Join(dir, identity.CRLFile), pemOf("X509 CRL", p.crl(cert).Raw))
			return dir
		}, transport.CauseRevoked, false, "was revoked on"},
		{"wrong role", func() string {
			cert, key := p.issue(identity.Publisher, "one", nil)
			return certDir(t, p, identity.Collaborator, "one", cert, key)
		}, transport.CauseWrongRole, false, "role"},
		{"another CA", func() string {
			cert, key := newPKI(t, "other.example").issue(identity.Collaborator, "one", nil)
			return certDir(t, p, identity.Collaborator, "one", cert, key)
		}, transport.CauseWrongCA, false, "other.example network CA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := listen(t)
			if err := l.Close(); err != nil { // nobody is there
				t.Fatal(err)
			}
			var log logBuffer
			cr := as(t, tt.dir(), "one")
			c := transport.NewClient(transport.ClientOptions{
				Host: "localhost", Port: portOf(l), Renew: func() transport.Credentials { return cr },
				Sender: "one", FederationID: fedID, AggregatorID: aggID, NewConnectionPerRequest: true,
				Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			for range 2 {
				var f *transport.Failure
				if err := c.Ping(t.Context()); !errors.As(err, &f) || f.Cause != tt.cause || f.Retry() != tt.retry || !strings.Contains(f.Detail, tt.detail) {
					t.Fatalf("got %v, want %s, retry %v, %q", err, tt.cause, tt.retry, tt.detail)
				}
			}
			want := 1 // however many attempts
			if tt.retry {
				want = 0
			}
			if got := strings.Count(log.String(), "own certificate is not in order"); got != want {
				t.Errorf("%d warnings, want %d:\n%s", got, want, &log)
			}
		})
	}
}

// A renewed certificate is used from the next request on, and a connection that
// was made with the one before is not.
func TestARenewedCertificateIsUsed(t *testing.T) {
	p := newPKI(t, fedName)
	svc := newService("one")
	srv := serve(t, p, svc, serverSetup{})
	for _, fresh := range []bool{true, false} {
		cert, key := p.issue(identity.Collaborator, "one", nil)
		current := as(t, certDir(t, p, identity.Collaborator, "one", cert, key), "one")
		c := transport.NewClient(transport.ClientOptions{
			Host: "localhost", Port: srv.port, Renew: func() transport.Credentials { return current },
			Sender: "one", FederationID: fedID, AggregatorID: aggID, NewConnectionPerRequest: fresh,
		})
		ping := func() *x509.Certificate {
			t.Helper()
			if err := c.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			svc.mu.Lock()
			defer svc.mu.Unlock()
			return svc.peers[len(svc.peers)-1].Certificate
		}
		if got := ping(); !got.Equal(cert) {
			t.Errorf("fresh %v: got serial %x, want %x", fresh, got.SerialNumber, cert.SerialNumber)
		}
		renewed, key := p.issue(identity.Collaborator, "one", nil)
		current = as(t, certDir(t, p, identity.Collaborator, "one", renewed, key), "one")
		if got := ping(); !got.Equal(renewed) {
			t.Errorf("fresh %v, renewed: got serial %x, want %x", fresh, got.SerialNumber, renewed.SerialNumber)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A server whose configuration changes is as strict with the new one.
func TestARenewedConfigurationIsStrict(t *testing.T) {
	p := newPKI(t, fedName)
	conf := func(name string) *tls.Config {
		cert, key := p.issue(identity.Aggregator, name, nil)
		dir := certDir(t, p, identity.Aggregator, name, cert, key)
		c, _, err := trust.ServerTLS(trust.Config{CertDir: dir, Role: identity.Aggregator, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, lax := conf("elsewhere.example"), conf("localhost")
	lax.MinVersion, lax.NextProtos, lax.ClientAuth = tls.VersionTLS10, nil, tls.NoClientCert
	first.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return lax, nil }
	srv := serveConf(t, first, newService("one"))
	if err := dial(t, p, srv.port, clientSetup{}).Ping(t.Context()); err != nil {
		t.Errorf("with the renewed certificate: %v", err)
	}
	for name, c := range map[string]*tls.Config{
		"TLS 1.2":        {MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true, NextProtos: []string{"h2"}},
		"no certificate": {InsecureSkipVerify: true, NextProtos: []string{"h2"}},
	} {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+portString(srv.port), c)
		if err == nil {
			_, err = conn.Read(make([]byte, 1)) // TLS 1.3: the verdict comes after the handshake
			_ = conn.Close()
		}
		if err == nil {
			t.Errorf("%s was let in", name)
		}
	}
}

package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/runtime/transport"
)

// failing is one way in which a ping can fail, set up on loopback.
type failing struct {
	name   string
	setup  func(t *testing.T, p *pki) *transport.Client
	cause  transport.Cause
	retry  bool
	detail string // part of what the user reads
	log    string // part of the server's one log line, "" if there is no server of ours
}

func TestCauses(t *testing.T) {
	later := func() time.Time { return start.Add(2 * year) }
	var srv *running // of the case at hand
	onServer := func(so serverSetup, co clientSetup) func(*testing.T, *pki) *transport.Client {
		return func(t *testing.T, p *pki) *transport.Client {
			srv = serve(t, p, newService("one"), so)
			return dial(t, p, srv.port, co)
		}
	}
	onListener := func(handle func(net.Conn)) func(*testing.T, *pki) *transport.Client {
		return func(t *testing.T, p *pki) *transport.Client {
			l := listen(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					handle(c)
				}
			}()
			t.Cleanup(func() { _ = l.Close(); <-done })
			return dial(t, p, portOf(l), clientSetup{options: func(o *transport.ClientOptions) { o.DialTimeout = 300 * time.Millisecond }})
		}
	}
	tlsListener := func(conf func() *tls.Config) func(*testing.T, *pki) *transport.Client {
		return onListener(func(c net.Conn) {
			s := tls.Server(c, conf())
			_ = s.Handshake() // the client's error is what is tested
			_ = c.Close()
		})
	}
	validFor := func(from, to time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = start.Add(from), start.Add(to) }
	}

	// As OpenFL's aggregator treats a client certificate that it does not accept.
	silentServer := func(change func(*x509.Certificate)) func(*testing.T, *pki) *transport.Client {
		return func(t *testing.T, p *pki) *transport.Client {
			cert, key := p.issue(identity.Aggregator, "localhost", nil)
			conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, NextProtos: []string{"h2"}, ClientAuth: tls.RequireAnyClientCert}
			l := tls.NewListener(listen(t), conf)
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.(*tls.Conn).Handshake()
				_ = c.(*tls.Conn).NetConn().Close()
			}()
			t.Cleanup(func() { _ = l.Close(); <-done })
			return dial(t, p, portOf(l), clientSetup{change: change})
		}
	}

	tests := []failing{
		{"dns", func(t *testing.T, p *pki) *transport.Client {
			return dial(t, p, 1, clientSetup{host: "aggregator.invalid"})
		}, transport.CauseDNS, true, `"aggregator.invalid" does not resolve`, ""},
		{"refused", func(t *testing.T, p *pki) *transport.Client {
			l := listen(t)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return dial(t, p, portOf(l), clientSetup{})
		}, transport.CauseRefused, true, "connection refused", ""},
		{"timeout", func(t *testing.T, p *pki) *transport.Client {
			l := listen(t) // completes TCP, never accepts
			return dial(t, p, portOf(l), clientSetup{options: func(o *transport.ClientOptions) { o.DialTimeout = 200 * time.Millisecond }})
		}, transport.CauseTimeout, true, "no answer in time", ""},
		{"reset", onListener(func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}), transport.CauseReset, true, "connection", ""},
		{"closed before an answer", onListener(func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_ = c.Close()
		}), transport.CauseReset, true, "connection", ""},

		{"plain HTTP on the port", func(t *testing.T, p *pki) *transport.Client {
			web := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(web.Close)
			return dial(t, p, portOf(web.Listener), clientSetup{})
		}, transport.CauseNotTLS, false, "plain HTTP", ""},
		{"another protocol on the port", onListener(func(c net.Conn) {
			_, _ = c.Write([]byte("220 mail.example ESMTP\r\n"))
			_, _ = c.Read(make([]byte, 4096))
			_ = c.Close()
		}), transport.CauseNotTLS, false, "does not answer in TLS", ""},
		{"TLS 1.2 only", tlsListener(func() *tls.Config {
			return &tls.Config{Certificates: []tls.Certificate{outsider(t, "x")}, MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}
		}), transport.CauseNotTLS, false, "TLS 1.3", ""},
		{"TLS without HTTP/2", tlsListener(func() *tls.Config {
			return &tls.Config{Certificates: []tls.Certificate{outsider(t, "x")}, NextProtos: []string{"imap"}}
		}), transport.CauseNotTLS, false, "HTTP/2", ""},
		{"intercepted", tlsListener(func() *tls.Config {
			return &tls.Config{Certificates: []tls.Certificate{outsider(t, "Proxy Inc")}, NextProtos: []string{"h2"}}
		}), transport.CauseIntercepted, false, "Proxy Inc", ""},

		{"hangs up in silence on a good certificate", silentServer(nil), transport.CauseReset, true, "does not accept own certificate", ""},
		{"hangs up in silence on an expired certificate", silentServer(validFor(-year, -time.Hour)), transport.CauseExpired, false, "ended on", ""},

		{"server of another CA", func(t *testing.T, p *pki) *transport.Client {
			srv = serve(t, newPKI(t, "other.example"), newService("one"), serverSetup{})
			return dial(t, p, srv.port, clientSetup{})
		}, transport.CauseWrongCA, false, "other.example network CA", "does not accept this aggregator's certificate"},
		{"client of another CA", onServer(serverSetup{}, clientSetup{issuer: newPKI(t, "other.example")}),
			transport.CauseWrongCA, false, "does not know the CA", "cause=wrong-ca"},
		{"server's name differs", onServer(serverSetup{name: "agg.example"}, clientSetup{}),
			transport.CauseNameMismatch, false, "agg.example", "cause=name-mismatch"},
		{"no certificate, as a proxy that inspects TLS has none", onServer(serverSetup{}, clientSetup{options: func(o *transport.ClientOptions) {
			o.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
		}}), transport.CauseWrongCA, false, "was shown none", "cause=intercepted"},
		{"another collaborator's name", onServer(serverSetup{}, clientSetup{options: func(o *transport.ClientOptions) { o.Sender = "two" }}),
			transport.CauseNameMismatch, false, "CN: |one| collaborator_common_name: |two|", "cause=name-mismatch"},
		{"aggregator's certificate as client", onServer(serverSetup{}, clientSetup{role: identity.Aggregator, name: "localhost"}),
			transport.CauseWrongRole, false, "role aggregator", "cause=wrong-role"},
		{"publisher's certificate as client", onServer(serverSetup{}, clientSetup{role: identity.Publisher, name: "pub"}),
			transport.CauseWrongRole, false, "role publisher", "cause=wrong-role"},
		{"collaborator's certificate as server", func(t *testing.T, p *pki) *transport.Client {
			cert, key := p.issue(identity.Collaborator, "one", nil)
			return tlsListener(func() *tls.Config {
				return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, NextProtos: []string{"h2"}}
			})(t, p)
		}, transport.CauseWrongRole, false, "role collaborator", ""},

		{"client expired", onServer(serverSetup{}, clientSetup{change: validFor(-year, -time.Hour)}),
			transport.CauseExpired, false, "ended on", "cause=expired"},
		{"client not yet valid", onServer(serverSetup{}, clientSetup{change: validFor(3*time.Hour, year)}),
			transport.CauseNotYetValid, true, "begins on", "cause=not-yet-valid"},
		{"clock: client's certificate is of next month", onServer(serverSetup{}, clientSetup{change: validFor(30*24*time.Hour, year)}),
			transport.CauseClockSkew, true, "clock is wrong", "cause=clock-skew"},
		{"server expired", onServer(serverSetup{change: validFor(-year, -time.Hour), now: func() time.Time { return start.Add(-2 * time.Hour) }}, clientSetup{}),
			transport.CauseExpired, false, "ended on", ""},
		{"server not yet valid", onServer(serverSetup{change: validFor(3*time.Hour, year), now: func() time.Time { return start.Add(4 * time.Hour) }}, clientSetup{}),
			transport.CauseNotYetValid, true, "begins on", ""},
		{"clock: both expired", onServer(serverSetup{}, clientSetup{now: later}),
			transport.CauseClockSkew, true, "clock", ""},
		{"clock: server's certificate is of next month", onServer(serverSetup{change: validFor(30*24*time.Hour, year), now: func() time.Time { return start.Add(60 * 24 * time.Hour) }}, clientSetup{}),
			transport.CauseClockSkew, true, "clock", ""},
		{"clock: server's certificate ended eleven years ago", onServer(serverSetup{change: validFor(-12*year, -11*year), now: func() time.Time { return start.Add(-12*year + time.Hour) }}, clientSetup{}),
			transport.CauseClockSkew, true, "clock", ""},
		{"clock: server says expired, here it is valid", func(t *testing.T, p *pki) *transport.Client {
			srv = serve(t, p, newService("one"), serverSetup{change: validFor(0, 4*year), now: later})
			return dial(t, p, srv.port, clientSetup{})
		}, transport.CauseClockSkew, true, "one of the two clocks", "cause=expired"},
		{"revoked", func(t *testing.T, p *pki) *transport.Client {
			return revokedClient(t, p, &srv)
		}, transport.CauseRevoked, false, "revoked", "cause=revoked"},

		{"server's revocation list is too old", func(t *testing.T, p *pki) *transport.Client {
			var late atomic.Bool // it was good when the server started
			now := func() time.Time {
				if late.Load() {
					return start.Add(31 * 24 * time.Hour)
				}
				return time.Now()
			}
			srv = serve(t, p, newService("one"), serverSetup{crl: p.crl(), now: now})
			late.Store(true)
			return dial(t, p, srv.port, clientSetup{})
		}, transport.CauseUnavailable, true, "was to be renewed by", "cause=unavailable"},
		{"not in the roster", onServer(serverSetup{}, clientSetup{name: "two"}),
			transport.CauseNotInRoster, false, `"two" is not in this federation's roster`, "cause=not-in-roster"},
		{"another federation", onServer(serverSetup{}, clientSetup{options: func(o *transport.ClientOptions) { o.FederationID = "plan.yaml_87654321" }}),
			transport.CauseWrongFederation, false, "plan.yaml_87654321", "cause=wrong-federation"},
		{"another aggregator", onServer(serverSetup{}, clientSetup{options: func(o *transport.ClientOptions) { o.AggregatorID = "aggregator_x" }}),
			transport.CauseWrongFederation, false, "aggregator_x", "cause=wrong-federation"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			srv = nil
			c := tt.setup(t, newPKI(t, fedName))
			err := c.Ping(context.Background())
			var f *transport.Failure
			if !errors.As(err, &f) {
				t.Fatalf("got %v, want a *Failure", err)
			}
			t.Logf("%v\nhint: %s", f, f.Hint)
			if f.Cause != tt.cause || f.Retry() != tt.retry {
				t.Errorf("got cause %s, retry %v; want %s, %v", f.Cause, f.Retry(), tt.cause, tt.retry)
			}
			if !strings.Contains(f.Detail, tt.detail) {
				t.Errorf("detail %q does not say %q", f.Detail, tt.detail)
			}
			if f.Hint == "" || strings.Contains(f.Hint, "{") {
				t.Errorf("hint is %q", f.Hint)
			}
			if srv == nil {
				return
			}
			srv.stop() // the log is complete after it
			if got := strings.Count(srv.log.String(), "\n"); got != 1 || !strings.Contains(srv.log.String(), tt.log) {
				t.Errorf("log has %d lines, want 1 with %q:\n%s", got, tt.log, srv.log)
			}
			if !strings.Contains(srv.log.String(), "addr=127.0.0.1:") {
				t.Errorf("log does not say from where:\n%s", srv.log)
			}
		})
	}
}

// revokedClient is a client whose certificate is on the server's list.
func revokedClient(t *testing.T, p *pki, srv **running) *transport.Client {
	t.Helper()
	// The serial is fixed beforehand, as the list exists before the client.
	listed, _ := p.issue(identity.Collaborator, "one", nil)
	*srv = serve(t, p, newService("one"), serverSetup{crl: p.crl(listed)})
	return dial(t, p, (*srv).port, clientSetup{change: func(c *x509.Certificate) { c.SerialNumber = listed.SerialNumber }})
}

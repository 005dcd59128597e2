package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"testing"

	"fx/ca/identity"
	"fx/runtime/transport"
)

// fault is one way in which a connection can fail.
type fault struct {
	name   string
	inject func(*testing.T, *stage) attempt

	cause transport.Cause // that ping and a running collaborator name
	code  int             // exit code of ping, and of a collaborator unless it waits
	waits bool            // a running collaborator tries again for ever

	aggregator transport.Cause // that its log names; "" where nothing reaches it
	who        string          // whom that line names
}

// attempt is how the programs are run under a fault. Its zero value is as usual.
type attempt struct {
	bundle string   // "fed1.fxb"
	certs  string   // certificate folder, "cert"
	name   string   // "hospital-a"
	inside []string // a command that runs the programs, elsewhere
	log    string   // of another aggregator than the usual one

	pings   bool   // ping has nothing to complain about
	slow    bool   // a running collaborator notices after 20 seconds only
	mend    func() // ends the fault: a running collaborator then says that the aggregator is back
	attempt int    // connections that show that a cause is said once; 0 is 3, below that none is counted
}

const (
	hour  = time.Hour
	day   = 24 * hour
	year  = 365 * day
	other = "other.example"
)

// faults are in the order of docs/operations.md.
var faults = []fault{
	{"no such host", noSuchHost, transport.CauseDNS, 6, true, "", ""},
	{"no route", noRoute, transport.CauseUnreachable, 6, true, "", ""},
	{"dropped on the way", dropped, transport.CauseTimeout, 6, true, "", ""},
	{"nobody listens", func(t *testing.T, s *stage) attempt {
		s.front.answer(t, nil)
		return attempt{attempt: -1}
	}, transport.CauseRefused, 6, true, "", ""},
	{"cut at once", func(t *testing.T, s *stage) attempt {
		s.front.answer(t, reset)
		return attempt{}
	}, transport.CauseReset, 6, true, "", ""},
	{"cut in the handshake", func(t *testing.T, s *stage) attempt {
		s.front.answer(t, func(c net.Conn) { s.front.cut(100, -1)(c) })
		return attempt{}
	}, transport.CauseReset, 6, true, transport.CauseReset, "127.0.0.1:"},
	{"cut in an upload", func(t *testing.T, s *stage) attempt {
		s.front.answer(t, func(c net.Conn) { s.front.cut(12_000, -1)(c) })
		return attempt{pings: true, mend: func() { s.front.answer(t, s.front.relay) }}
	}, transport.CauseReset, 6, true, transport.CauseReset, "hospital-a"},

	{"plain HTTP on the port", func(t *testing.T, s *stage) attempt {
		s.front.answer(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		})
		return attempt{}
	}, transport.CauseNotTLS, 6, false, "", ""},
	{"a proxy that inspects TLS", intercepted, transport.CauseIntercepted, 6, false, transport.CauseIntercepted, "127.0.0.1:"},

	{"collaborator of another CA", func(t *testing.T, s *stage) attempt {
		return attempt{certs: s.certs("hospital-a", stranger(t, other).certificate(identity.Collaborator, "hospital-a", -hour, year))}
	}, transport.CauseWrongCA, 6, false, transport.CauseWrongCA, "CN=hospital-a"},
	{"aggregator of another CA", func(t *testing.T, s *stage) attempt {
		a := stranger(t, other)
		dir := s.server("localhost", a.certificate(identity.Aggregator, "localhost", -hour, year))
		replace(t, filepath.Join(dir, identity.ChainFile), identity.EncodeCertificates(a.chain...))
		return attempt{log: s.aggregator("127.0.0.3", "fed1.fxb", dir)}
	}, transport.CauseWrongCA, 6, false, transport.CauseWrongCA, "127.0.0.1:"},
	{"certificate for another collaborator", func(_ *testing.T, s *stage) attempt {
		return attempt{certs: s.certs("hospital-a", s.ca.certificate(identity.Collaborator, "hospital-b", -hour, year))}
	}, transport.CauseNameMismatch, 6, false, transport.CauseNameMismatch, "hospital-b"},
	{"aggregator of another name", func(_ *testing.T, s *stage) attempt {
		return attempt{log: s.aggregator("127.0.0.3", "named.fxb", filepath.Join(s.dir, "cert"))}
	}, transport.CauseNameMismatch, 6, false, transport.CauseNameMismatch, "localhost"},
	{"aggregator's certificate for a collaborator", func(_ *testing.T, s *stage) attempt {
		return attempt{certs: s.certs("hospital-a", s.ca.certificate(identity.Aggregator, "localhost", -hour, year))}
	}, transport.CauseWrongRole, 6, false, transport.CauseWrongRole, "CN=localhost"},
	{"collaborator's certificate for an aggregator", func(t *testing.T, s *stage) attempt {
		c := s.ca.certificate(identity.Collaborator, "hospital-a", -hour, year)
		s.refuses(4, "", "fed1.fxb", s.server("localhost", c))
		s.front.answer(t, serving(c))
		return attempt{}
	}, transport.CauseWrongRole, 6, false, "", ""},

	{"collaborator's certificate expired", func(_ *testing.T, s *stage) attempt {
		return attempt{certs: s.certs("hospital-a", s.ca.certificate(identity.Collaborator, "hospital-a", -9*day, -2*day))}
	}, transport.CauseExpired, 6, false, transport.CauseExpired, "CN=hospital-a"},
	{"aggregator's certificate expired while it ran", func(t *testing.T, s *stage) attempt {
		c := s.ca.certificate(identity.Aggregator, "localhost", -hour, 2*time.Second)
		log := s.aggregator("127.0.0.3", "fed1.fxb", s.server("localhost", c))
		until(t, 5*time.Second, "the certificate's end", func() bool { return time.Now().After(c.Leaf.NotAfter) })
		return attempt{log: log}
	}, transport.CauseExpired, 6, false, transport.CauseExpired, "127.0.0.1:"},
	{"collaborator's certificate begins in three hours", func(_ *testing.T, s *stage) attempt {
		return attempt{certs: s.certs("hospital-a", s.ca.certificate(identity.Collaborator, "hospital-a", 3*hour, year))}
	}, transport.CauseNotYetValid, 6, true, transport.CauseNotYetValid, "CN=hospital-a"},
	{"aggregator's certificate begins in three hours", func(t *testing.T, s *stage) attempt {
		c := s.ca.certificate(identity.Aggregator, "localhost", 3*hour, year)
		s.refuses(4, "", "fed1.fxb", s.server("localhost", c))
		s.front.answer(t, serving(c))
		return attempt{}
	}, transport.CauseNotYetValid, 6, true, "", ""},
	{"collaborator's certificate begins next month", func(_ *testing.T, s *stage) attempt {
		return attempt{certs: s.certs("hospital-a", s.ca.certificate(identity.Collaborator, "hospital-a", 30*day, year))}
	}, transport.CauseClockSkew, 6, true, transport.CauseClockSkew, "CN=hospital-a"},
	{"aggregator's certificate begins next month", func(t *testing.T, s *stage) attempt {
		s.front.answer(t, serving(s.ca.certificate(identity.Aggregator, "localhost", 30*day, year)))
		return attempt{}
	}, transport.CauseClockSkew, 6, true, "", ""},
	{"both certificates past their time", func(t *testing.T, s *stage) attempt {
		c := s.ca.certificate(identity.Aggregator, "localhost", -hour, 2*time.Second)
		log := s.aggregator("127.0.0.3", "fed1.fxb", s.server("localhost", c))
		until(t, 5*time.Second, "the certificate's end", func() bool { return time.Now().After(c.Leaf.NotAfter) })
		return attempt{log: log, certs: s.certs("hospital-a", s.ca.certificate(identity.Collaborator, "hospital-a", -9*day, -2*day))}
	}, transport.CauseClockSkew, 6, true, transport.CauseExpired, "127.0.0.1:"},
	{"revoked, and the site does not know", func(t *testing.T, s *stage) attempt {
		c := s.ca.certificate(identity.Collaborator, "hospital-a", -hour, year)
		replace(t, filepath.Join(s.dir, "hub", identity.CRLFile), s.ca.revoke(2, hour, c))
		return attempt{certs: s.certs("hospital-a", c)}
	}, transport.CauseRevoked, 6, false, transport.CauseRevoked, "CN=hospital-a"},

	{"aggregator's revocation list is too old", func(t *testing.T, s *stage) attempt {
		dir := s.server("localhost", s.ca.certificate(identity.Aggregator, "localhost", -hour, year))
		list := s.ca.revoke(1, 2*time.Second)
		due := time.Now().Add(2 * time.Second)
		replace(t, filepath.Join(dir, identity.CRLFile), list)
		log := s.aggregator("127.0.0.3", "fed1.fxb", dir)
		until(t, 5*time.Second, "the list's end", func() bool { return time.Now().After(due) })
		return attempt{log: log, mend: func() { replace(t, filepath.Join(dir, identity.CRLFile), s.ca.revoke(2, hour)) }}
	}, transport.CauseUnavailable, 6, true, transport.CauseUnavailable, "hospital-a"},
	{"site's revocation list is too old", func(t *testing.T, s *stage) attempt {
		dir := s.certs("hospital-a", s.ca.certificate(identity.Collaborator, "hospital-a", -hour, year))
		replace(t, filepath.Join(dir, identity.CRLFile), s.ca.revoke(1, -time.Second))
		return attempt{certs: dir}
	}, transport.CauseExpired, 6, false, transport.CauseWrongCA, "127.0.0.1:"},

	{"not in the roster", func(_ *testing.T, s *stage) attempt {
		return attempt{name: "hospital-z", certs: s.certs("hospital-z", s.ca.certificate(identity.Collaborator, "hospital-z", -hour, year))}
	}, transport.CauseNotInRoster, 6, false, transport.CauseNotInRoster, "hospital-z"},
	{"another plan", func(*testing.T, *stage) attempt {
		return attempt{bundle: "plan2.fxb"}
	}, transport.CauseWrongFederation, 6, false, transport.CauseWrongFederation, "hospital-a"},
	{"bundle not approved", func(_ *testing.T, s *stage) attempt {
		s.refuses(4, transport.CauseNotApproved, "unapproved.fxb", filepath.Join(s.dir, "cert"))
		return attempt{bundle: "unapproved.fxb"}
	}, transport.CauseNotApproved, 4, false, "", ""},

	{"aggregator too busy to take an upload", func(t *testing.T, s *stage) attempt {
		return attempt{name: "hospital-b", pings: true, attempt: 5, mend: s.occupy(t, "hospital-b")}
	}, transport.CauseUnavailable, 6, true, transport.CauseUnavailable, "hospital-b"},
	{"aggregator that does not serve yet", unready, transport.CauseUnavailable, 6, true, transport.CauseUnavailable, "hospital-a"},
}

// elsewhere runs a command in a network of its own, where script is run first.
func elsewhere(t *testing.T, script string) []string {
	t.Helper()
	command := []string{"unshare", "-n", "-m", "sh", "-c", script + "\nexec \"$@\"", "sh"}
	if out, err := exec.Command(command[0], append(command[1:], "true")...).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("cannot make a network namespace: %v: %s", err, out)
		}
		t.Skipf("skipped: it needs root and network namespaces: %v: %s", err, out)
	}
	return command
}

func noRoute(t *testing.T, _ *stage) attempt {
	return attempt{inside: elsewhere(t, ":"), attempt: -1}
}

// noSuchHost has a hosts file without the name, and nobody at the resolver's port.
func noSuchHost(t *testing.T, s *stage) attempt {
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "hosts"), []byte("127.0.0.1 elsewhere\n"))
	replace(t, filepath.Join(dir, "resolv.conf"), []byte("nameserver 127.0.0.1\n"))
	return attempt{inside: elsewhere(t, "set -e; ip link set lo up; mount --bind "+dir+"/hosts /etc/hosts; mount --bind "+dir+"/resolv.conf /etc/resolv.conf"), attempt: -1}
}

// dropped has the name at an address behind a wire that loses everything.
func dropped(t *testing.T, _ *stage) attempt {
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "hosts"), []byte("10.231.78.1 localhost\n"))
	return attempt{slow: true, attempt: -1, inside: elsewhere(t, "set -e; mount --bind "+dir+"/hosts /etc/hosts; ip link add wire type veth peer name lost;"+
		" ip link set wire up; ip link set lost up; ip address add 10.231.78.2/24 dev wire; ip neighbour add 10.231.78.1 lladdr 02:00:00:00:00:01 dev wire")}
}

// serving answers TLS with a certificate.
func serving(c tls.Certificate) func(net.Conn) {
	return func(raw net.Conn) {
		s := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{"h2"}, ClientAuth: tls.RequireAnyClientCert})
		_ = s.Handshake() // the other side's error is what is looked at
		_, _ = s.Read(make([]byte, 1))
	}
}

// intercepted is a proxy with a CA of its own. It has no client certificate to
// show to the aggregator.
func intercepted(t *testing.T, s *stage) attempt {
	shown := stranger(t, "Proxy Inc").foreign("localhost")
	s.front.answer(t, func(raw net.Conn) {
		pool := x509.NewCertPool()
		for _, c := range s.ca.chain {
			pool.AddCert(c)
		}
		out, err := tls.Dial("tcp", s.front.behind, &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{"h2"}})
		if err == nil {
			_, _ = out.Read(make([]byte, 1))
			_ = out.Close()
		}
		serving(shown)(raw)
	})
	return attempt{}
}

package main

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"

	"fx/ca/identity"
	"fx/runtime/transport"
)

// TestRenewal replaces the certificates of a running aggregator and a running
// collaborator, revokes the old ones, and starts the aggregator again: nobody
// has to start the collaborator anew until its own certificate is revoked.
func TestRenewal(t *testing.T) {
	s := newStage(t).on(t)
	hub := s.server("localhost", s.ca.certificate(identity.Aggregator, "localhost", -hour, year))
	crl := filepath.Join(hub, identity.CRLFile)
	replace(t, crl, s.ca.revoke(1, hour))
	state := t.TempDir()
	s.log = filepath.Join(state, "log")
	serve := func() *program {
		offset := len(read(t, s.log))
		p := start(t, s.dir, s.log, s.fxrun, "aggregator", "--bundle", "fed1.fxb", "--cert-dir", hub, "--state", state, "--bind", "127.0.0.2", "--log-format", "json")
		until(t, soon, "an aggregator that listens", func() bool { return strings.Contains(read(t, s.log)[offset:], `"listening"`) })
		return p
	}
	aggregator := serve()
	first := s.ca.certificate(identity.Collaborator, "hospital-a", -hour, year)
	site := s.certs("hospital-a", first)
	log := filepath.Join(site, "log")
	collaborator := start(t, s.dir, log, s.fxrun, "collaborator", "--bundle", "fed1.fxb", "--cert-dir", site, "--name", "hospital-a",
		"--data", "ward/data/hospital-a", "--state", site, "--poll-interval", "20ms", "--json", "--log-format", "json")
	has := func(file, msg string) func() bool {
		return func() bool { return count(t, file, 0, func(l line) bool { return l.Msg == msg }) > 0 }
	}
	carriesOn := func(after string) {
		t.Helper()
		n := s.front.accepted.Load()
		until(t, soon, "a collaborator that goes on after "+after+":\n"+read(t, log), func() bool { return s.front.accepted.Load() > n+3 })
	}
	until(t, soon, "a first result", has(s.log, "result accepted"))

	second := s.ca.certificate(identity.Collaborator, "hospital-a", -hour, year)
	s.ca.install(site, identity.Collaborator, "hospital-a", second)
	until(t, soon, "a collaborator that takes its new certificate", has(log, "certificates reloaded"))
	replace(t, crl, s.ca.revoke(2, hour, first))
	until(t, soon, "an aggregator that takes the new revocation list", has(s.log, "certificates reloaded"))
	carriesOn("the revocation of its old certificate")

	renewed := s.ca.certificate(identity.Aggregator, "localhost", -hour, year)
	s.ca.install(hub, identity.Aggregator, "localhost", renewed)
	until(t, soon, "an aggregator that shows its new certificate", func() bool {
		var shown *x509.Certificate
		c, err := tls.Dial("tcp", "127.0.0.2:"+s.port, &tls.Config{NextProtos: []string{"h2"}, InsecureSkipVerify: true,
			VerifyConnection: func(state tls.ConnectionState) error { shown = state.PeerCertificates[0]; return nil }})
		if err == nil {
			_ = c.Close()
		}
		return shown != nil && shown.Equal(renewed.Leaf)
	})
	carriesOn("the renewal of the aggregator's certificate")
	if n := strings.Count(read(t, log), "aggregator is away"); n != 0 {
		t.Errorf("the collaborator was interrupted %d times:\n%s", n, read(t, log))
	}

	aggregator.stop(130)
	until(t, soon, "a collaborator that misses the aggregator", has(log, "aggregator is away, trying again"))
	serve()
	until(t, soon, "a collaborator that finds it again", has(log, "aggregator is back"))

	replace(t, crl, s.ca.revoke(3, hour, first, second))
	if code := collaborator.wait(soon); code != 6 || causeOf(t, collaborator.out.Bytes()) != transport.CauseRevoked {
		t.Errorf("revoked: exit code %d, want 6: %s", code, read(t, log))
	}
}

package issuer_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/issuer"
)

// sign certifies a collaborator with a fresh key.
func sign(t testing.TB, ca *issuer.CA, name string) *issuer.Issued {
	t.Helper()
	req := request(t, newKey(t, identity.P256), identity.Collaborator, name)
	issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator}, issuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func TestSignAll(t *testing.T) {
	ca, dir := newCA(t, nil)
	collaborator := identity.Identity{Role: identity.Collaborator}
	shared := newKey(t, identity.P256)
	var jobs []issuer.Job
	add := func(req *issuer.Request) { jobs = append(jobs, issuer.Job{Request: req, Approved: collaborator}) }
	for i := range 150 { // more than are made durable together
		add(request(t, newKey(t, identity.P256), identity.Collaborator, fmt.Sprintf("site-%d", i)))
	}
	add(request(t, newKey(t, identity.P256), identity.Collaborator, "site-7")) // taken 143 before
	add(jobs[3].Request)                                                       // the same again
	add(request(t, shared, identity.Collaborator, "twin-a"))
	add(request(t, shared, identity.Collaborator, "twin-b"))
	want := map[int]string{150: "name-taken", 151: "csr-repeated", 153: "key-other-name"}
	next := 0
	err := ca.SignAll(context.Background(), jobs, func(done []issuer.Outcome) error {
		for _, o := range done {
			if o.Job != next {
				t.Fatalf("outcome of job %d, want %d", o.Job, next)
			}
			next++
			if got := strings.Join(ids(o.Err), " "); got != want[o.Job] || (o.Issued == nil) != (got != "") {
				t.Errorf("job %d: refused for %q, want %q: %v", o.Job, got, want[o.Job], o.Err)
			}
			if o.Issued == nil {
				continue
			}
			if !slices.Contains(entries(t, dir), o.Issued.Record.String()) {
				t.Errorf("job %d: handed out before it was recorded", o.Job)
			}
		}
		return nil
	})
	if err != nil || next != len(jobs) {
		t.Fatalf("%d of %d jobs: %v", next, len(jobs), err)
	}
	if n, err := ca.CheckRecords(); err != nil || n != 3+151 {
		t.Errorf("%d records, want 154: %v", n, err)
	}
}

func TestRevocationAndLists(t *testing.T) {
	ca, dir := newCA(t, nil)
	a := sign(t, ca, "site-a")
	sign(t, ca, "site-b")
	ctx := context.Background()
	for name, tt := range map[string]struct{ serial, reason string }{
		"unknown serial": {strings.Repeat("4", 40), "superseded"},
		"unknown reason": {a.Record.Serial, "certificateHold"},
		"a root":         {fmt.Sprintf("%040x", ca.Certificate(issuer.Root).SerialNumber), "superseded"},
	} {
		if _, err := ca.Revoke(ctx, []string{tt.serial}, tt.reason); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ca.Revoke(ctx, []string{a.Record.Serial}, "keyCompromise"); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Revoke(ctx, []string{a.Record.Serial}, "superseded"); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("twice: %v", err)
	}
	if states, err := ca.Lists(); err != nil || len(states) != 1 || states[0].Pending != 1 {
		t.Errorf("before a list: %+v, %v", states, err)
	}
	for number := int64(1); number <= 2; number++ {
		lists, err := ca.IssueCRLs(ctx, issuer.ListOptions{})
		if err != nil || len(lists) != 2 {
			t.Fatalf("%d lists: %v", len(lists), err)
		}
		l := lists[0].CRL
		if l.Number.Int64() != number || len(l.RevokedCertificateEntries) != 1 || l.RevokedCertificateEntries[0].ReasonCode != 1 ||
			l.NextUpdate.Sub(start) != 14*24*time.Hour || l.CheckSignatureFrom(ca.Certificate(issuer.Network)) != nil {
			t.Errorf("list %v from %v to %v: %v", l.Number, l.ThisUpdate, l.NextUpdate, l.RevokedCertificateEntries)
		}
	}
	if states, err := ca.Lists(); err != nil || len(states) != 2 || states[0].Pending != 0 || states[0].Number != 2 || states[0].Problem != "" {
		t.Errorf("after: %+v, %v", states, err)
	}
	entries, err := ca.List()
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]issuer.Status{}
	for _, e := range entries {
		status[e.Name] = e.Status
	}
	if status["site-a"] != issuer.Revoked || status["site-b"] != issuer.Valid {
		t.Errorf("statuses %v", status)
	}
	if again := sign(t, ca, "site-a"); len(again.Answer.CRLs) != 2 { // its name is free again
		t.Errorf("the answer has %d revocation lists", len(again.Answer.CRLs))
	}
	if _, err := ca.IssueCRLs(ctx, issuer.ListOptions{Days: 36}); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("36 days: %v", err)
	}
	write(t, filepath.Join(dir, "network-ca.crl"), []byte("x"))
	if states, err := ca.Lists(); err != nil || states[0].Problem == "" {
		t.Errorf("a changed list is not noticed: %+v, %v", states, err)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCompromisedKeyIsNeverCertifiedAgain(t *testing.T) {
	ca, _ := newCA(t, nil)
	ctx := context.Background()
	key := newKey(t, identity.P256)
	collaborator := identity.Identity{Role: identity.Collaborator}
	issued, err := ca.Sign(ctx, request(t, key, identity.Collaborator, "site-1"), collaborator, issuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Revoke(ctx, []string{issued.Record.Serial}, "keyCompromise"); err != nil {
		t.Fatal(err)
	}
	_, err = ca.Sign(ctx, request(t, key, identity.Collaborator, "site-1"), collaborator, issuer.Options{Replace: true})
	if got := ids(err); !slices.Equal(got, []string{"key-compromised"}) {
		t.Errorf("refused for %q", got)
	}
}

// After a rotation of each CA, both generations are in the answers, and the
// folder can be opened and goes on.
func TestRotate(t *testing.T) {
	passphrase := []byte("correct horse battery")
	ca, dir := newCA(t, func(o *issuer.CreateOptions) { o.Passphrase = passphrase })
	before := sign(t, ca, "site-old")
	ctx := context.Background()
	if _, err := ca.Rotate(ctx, issuer.Network, []byte("incorrect horse battery")); !errors.Is(err, issuer.ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	for _, tt := range []struct {
		kind  issuer.Kind
		certs int // new certificates
	}{{issuer.Network, 1}, {issuer.Signing, 1}, {issuer.Root, 7}} {
		r, err := ca.Rotate(ctx, tt.kind, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		if r.Generation != 2 || len(r.Certificates) != tt.certs {
			t.Errorf("%s: generation %d with %d certificates, want 2 with %d", tt.kind, r.Generation, len(r.Certificates), tt.certs)
		}
	}
	again, err := issuer.Open(dir, at(start))
	if err != nil {
		t.Fatal(err)
	}
	unlock(t, again, passphrase)
	after := sign(t, again, "site-new")
	if n, err := again.CheckRecords(); err != nil {
		t.Errorf("%d records: %v", n, err)
	}
	answer, err := identity.ParseAnswer(after.Answer.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Roots) != 2 || len(answer.Links) != 2 || len(answer.Network) != 4 || len(answer.Signing) != 4 {
		t.Errorf("the answer has %d roots, %d links, %d network CAs, %d signing CAs", len(answer.Roots), len(answer.Links), len(answer.Network), len(answer.Signing))
	}
	for _, leaf := range []*x509.Certificate{before.Certificate, after.Certificate} {
		for _, root := range answer.Roots {
			roots, between := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(root)
			for _, c := range answer.Network {
				between.AddCert(c)
			}
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
				t.Errorf("%s under %s: %v", leaf.Subject, root.Subject, err)
			}
		}
	}
	if err := again.UnlockLists(passphrase, issuer.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if lists, err := again.IssueCRLs(ctx, issuer.ListOptions{Days: 7}); err != nil || len(lists) != 4 {
		t.Errorf("%d lists: %v", len(lists), err)
	}
}

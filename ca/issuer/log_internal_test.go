package issuer

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fx/ca/identity"
	"fx/ca/merklelog"
)

var then = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func openCA(t *testing.T) (*CA, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := Create(context.Background(), CreateOptions{Dir: dir, Federation: "fed.example.org", Now: func() time.Time { return then }})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Kinds() {
		if err := ca.Unlock(k, nil); err != nil {
			t.Fatal(err)
		}
	}
	return ca, dir
}

func sign(t *testing.T, ca *CA, name string) *Issued {
	t.Helper()
	key, err := identity.NewKey(identity.P256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := identity.NewRequest(key, identity.Collaborator, name)
	if err != nil {
		t.Fatal(err)
	}
	req, err := ParseRequest(identity.EncodeRequest(der))
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Sign(context.Background(), req, identity.Identity{Role: identity.Collaborator}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// Records of every kind go through one door: all of a batch or none, nothing
// twice, and not while every key is locked.
func TestAppendRecords(t *testing.T) {
	ca, dir := openCA(t)
	serial := strings.Repeat("4", 40)
	revoked := &Record{Format: recordFormat, Kind: KindRevoked, Serial: serial, Issuer: Network, Reason: "keyCompromise", Federation: "fed.example.org", IssuedAt: then}
	list := &Record{Format: recordFormat, Kind: KindCRL, Issuer: Network, Number: 1, Entries: 1, Digest: "00", Federation: "fed.example.org", IssuedAt: then}
	rotated := &Record{Format: recordFormat, Kind: KindRotated, Issuer: Network, Generation: 2, Federation: "fed.example.org", IssuedAt: then}
	if err := ca.appendRecords(revoked, list, rotated); err != nil {
		t.Fatal(err)
	}
	for name, records := range map[string][]*Record{
		"again":              {list},
		"twice in one batch": {{Format: recordFormat, Kind: KindCRL, Issuer: Network, Number: 2, IssuedAt: then}, {Format: recordFormat, Kind: KindCRL, Issuer: Network, Number: 2, IssuedAt: then}},
		"unknown kind":       {{Format: recordFormat, Kind: "forgotten", IssuedAt: then}},
		"no certificate":     {{Format: recordFormat, Kind: KindIssued, Serial: serial, IssuedAt: then}},
	} {
		if err := ca.appendRecords(records...); err == nil {
			t.Errorf("%s: was recorded", name)
		}
	}
	again, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	records, err := again.Records()
	if err != nil || len(records) != 6 || records[3].Reason != "keyCompromise" || records[4].String() != "crl 1 of the network-ca" {
		t.Errorf("%d records, %v", len(records), err)
	}
	list.Number = 2
	if err := again.appendRecords(list); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("with every key locked: %v", err)
	}
}

// The records of an older version become a log with the next signature.
func TestMigration(t *testing.T) {
	ca, dir := openCA(t)
	sign(t, ca, "site-1")
	records, err := ca.Records()
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, issuedDir)
	if err := errors.Join(os.Mkdir(old, 0o755), os.RemoveAll(filepath.Join(dir, logDir))); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		before := *r
		before.Format, before.Kind = oldFormat, ""
		data, err := encodeJSON(before)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(old, r.Serial+".json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(dir, ca.now)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Records(); err != nil || len(got) != 4 {
		t.Errorf("before: %d records, %v", len(got), err)
	}
	if _, err := again.Log(); err == nil || !strings.Contains(err.Error(), "no log yet") {
		t.Errorf("before: %v", err)
	}
	if err := again.Unlock(Network, nil); err != nil {
		t.Fatal(err)
	}
	sign(t, again, "site-2")
	l, err := again.Log()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range l.Records {
		names = append(names, r.Name)
	}
	if got, want := strings.Join(names, " "), "root-ca network-ca signing-ca site-1 site-2"; got != want || l.Audit() != nil {
		t.Errorf("after: %s, %v, want %s", got, l.Audit(), want)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old records are still in use: %v", err)
	}
}

// Even who can sign checkpoints cannot make a record say something else than
// its certificate.
func TestAuditComparesRecordsWithCertificates(t *testing.T) {
	for name, change := range map[string]func(*Record){
		"the identity":                   func(r *Record) { r.Name = "site-9" },
		"the serial":                     func(r *Record) { r.Serial = strings.Repeat("4", 40) },
		"the key":                        func(r *Record) { r.Key = "00" },
		"the validity":                   func(r *Record) { r.NotAfter = r.NotAfter.Add(time.Hour) },
		"it is no CA's":                  func(r *Record) { r.Role = "" },
		"no CA of the log has signed it": func(r *Record) { r.Certificate[len(r.Certificate)-1] ^= 1 },
	} {
		ca, _ := openCA(t)
		issued := sign(t, ca, "site-1")
		lie := *issued.Record
		lie.Certificate = bytes.Clone(lie.Certificate)
		change(&lie)
		ca.book.ids[issued.Record.id()] = false // as if it had never been recorded
		if err := ca.appendRecords(&lie); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		l, err := newLog(ca.book.log, ca.book.records)
		if err != nil && name != "it is no CA's" {
			t.Fatalf("%s: %v", name, err)
		}
		if err == nil {
			err = l.Audit()
		}
		if err == nil || !errors.Is(err, identity.ErrUntrusted) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "record 4 (") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestProof(t *testing.T) {
	ca, _ := openCA(t)
	one, two := sign(t, ca, "site-1"), sign(t, ca, "site-2")
	l, err := ca.Log()
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Prove(one.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := one.Answer.Roots
	if r, err := p.Verify(one.Certificate, roots); err != nil || r.Name != "site-1" {
		t.Errorf("got %v, %v", r, err)
	}
	other, _ := openCA(t)
	if _, err := p.Verify(two.Certificate, roots); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("another certificate: %v", err)
	}
	if _, err := p.Verify(one.Certificate, sign(t, other, "site-1").Answer.Roots); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("another federation's root: %v", err)
	}
	for name, change := range map[string]func(*Proof){
		"index": func(p *Proof) { p.Index++ },
		"hash":  func(p *Proof) { p.Hashes[0] = bytes.Clone(p.Hashes[0]); p.Hashes[0][0] ^= 1 },
		"record": func(p *Proof) {
			p.Record = bytes.Replace(p.Record, []byte(`"issuer":"network-ca"`), []byte(`"issuer":"signing-ca"`), 1)
		},
		"checkpoint": func(p *Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n5\n", "\n6\n", 1) },
		"signer":     func(p *Proof) { p.Signer = ca.certs[Signing].Raw },
		"leaf signs": func(p *Proof) { p.Signer = one.Certificate.Raw },
	} {
		data, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		forged, err := ParseProof(data)
		if err != nil {
			t.Fatal(err)
		}
		change(forged)
		if _, err := forged.Verify(one.Certificate, roots); !errors.Is(err, identity.ErrUntrusted) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzProof(f *testing.F) {
	good, err := (&Proof{Format: proofFormat, Record: []byte("{}"), Hashes: [][]byte{make([]byte, 32)}}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProof(data)
		if err != nil {
			return
		}
		if _, err := p.Verify(&x509.Certificate{}, nil); err == nil {
			t.Error("a proof of nothing was believed")
		}
	})
}

func FuzzRecord(f *testing.F) {
	r := &Record{Format: recordFormat, Kind: KindRevoked, Serial: strings.Repeat("4", 40), Issuer: Network, IssuedAt: then}
	good, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		if again, err := r.encode(); err != nil || !bytes.Equal(again, data) || !json.Valid(data) {
			t.Errorf("%q reads as %q", data, again)
		}
	})
}

// An exported log that calls itself another federation's is refused.
func TestParseLog(t *testing.T) {
	ca, _ := openCA(t)
	l, err := ca.Log()
	if err != nil {
		t.Fatal(err)
	}
	root := identity.Fingerprint(ca.certs[Root].Raw)
	if again, err := ParseLog(l.Export(), root); err != nil || again.Audit() != nil || again.Since(l.Checkpoint()) != nil {
		t.Errorf("got %v", err)
	}
	elsewhere, err := merklelog.Open(filepath.Join(t.TempDir(), "log"), Origin("other.example.org"), nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ca.logSigner(Root)
	if err != nil {
		t.Fatal(err)
	}
	if err := elsewhere.Append(ca.book.log.Records(), signer); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseLog(elsewhere.Export(), root); !errors.Is(err, identity.ErrUntrusted) || !strings.Contains(err.Error(), "calls itself") {
		t.Errorf("another name: %v", err)
	}
}

package approval_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"fx/bundle/approval"
	"fx/ca/identity"
)

var subject = approval.Subject{
	BundleID: strings.Repeat("ab", 32), FileSHA256: strings.Repeat("cd", 32), TreeSHA256: strings.Repeat("ef", 32),
	Name: "ward", Version: "1.0", Bytes: 1000, Files: 10,
}

func releaseOf(s approval.Subject) approval.Release {
	return approval.Release{Name: s.Name, Version: s.Version, TreeSHA256: s.TreeSHA256,
		CreatedAt: approval.Time(now.AddDate(0, 0, -20)), Tool: "test"}
}

func review(change ...func(*approval.Review)) approval.Review {
	r := approval.Review{Decision: approval.Approved, ReviewedAt: approval.Time(now.AddDate(0, 0, -10)),
		ValidFrom: approval.Time(now.AddDate(0, 0, -10)), ValidUntil: approval.Time(now.AddDate(0, 0, 80))}
	for _, c := range change {
		c(&r)
	}
	return r
}

func decided(d string) func(*approval.Review) {
	return func(r *approval.Review) { r.Decision, r.ValidFrom, r.ValidUntil = d, "", "" }
}

// TestEvaluate is the truth table of the policy: who signed what, and whether
// the bundle may run.
func TestEvaluate(t *testing.T) {
	ca, foreign := newAuthority(t, "signing CA"), newAuthority(t, "signing CA")
	alice, bob := ca.signer(identity.Publisher, "alice", p256(t)), ca.signer(identity.Reviewer, "bob", ed(t))
	carol, mallory := ca.signer(identity.Reviewer, "carol", p256(t)), foreign.signer(identity.Reviewer, "bob", p256(t))
	aliceReviews := ca.signer(identity.Reviewer, "alice", p256(t))
	keySharer := ca.signer(identity.Reviewer, "dave", alice.key)
	bobAgain := ca.signer(identity.Reviewer, "bob", p256(t))
	twin := ca.signer(identity.Reviewer, "erin", carol.key)
	expired := func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }
	frank := ca.signer(identity.Reviewer, "frank", p256(t), expired)
	gone := ca.signer(identity.Reviewer, "gone", p256(t))
	other := subject
	other.BundleID = strings.Repeat("a0", 32)
	renamed := subject
	renamed.Name = "malware"

	release := func(p person, s approval.Subject) approval.Attestation {
		a, err := approval.SignRelease(p.key, p.cert, s, releaseOf(s))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	reviewed := func(p person, s approval.Subject, change ...func(*approval.Review)) approval.Attestation {
		a, err := approval.SignReview(p.key, p.cert, s, review(change...))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	published, approved := release(alice, subject), reviewed(bob, subject)
	until := func(d int) func(*approval.Review) {
		return func(r *approval.Review) { r.ValidUntil = approval.Time(now.AddDate(0, 0, d)) }
	}

	const two = "version: 1\nrequire:\n- {role: publisher, min: 1}\n- {role: reviewer, min: 2}\n"
	tests := []struct {
		name   string
		policy string
		signed []approval.Attestation
		want   bool
		why    string // part of the refusal
	}{
		{"nobody", "", nil, false, "0 publisher"},
		{"publisher only", "", []approval.Attestation{published}, false, "0 reviewer"},
		{"reviewer only", "", []approval.Attestation{approved}, false, "0 publisher"},
		{"both", "", []approval.Attestation{published, approved}, true, ""},
		{"two reviewers", "", []approval.Attestation{published, approved, reviewed(carol, subject)}, true, ""},
		{"release of another bundle", "", []approval.Attestation{release(alice, other), approved}, false, "about another bundle"},
		{"review of another bundle", "", []approval.Attestation{published, reviewed(bob, other)}, false, "about another bundle"},
		{"release under another name", "", []approval.Attestation{release(alice, renamed), approved}, false, "name, version or tree"},
		{"reviewer of another CA", "", []approval.Attestation{published, reviewed(mallory, subject)}, false, "not in order"},
		{"the publisher reviews by name", "", []approval.Attestation{published, reviewed(aliceReviews, subject)}, false, "nobody approves their own"},
		{"the publisher reviews by key", "", []approval.Attestation{published, reviewed(keySharer, subject)}, false, "nobody approves their own"},
		{"the publisher reviews as well", "", []approval.Attestation{published, approved, reviewed(aliceReviews, subject)}, true, ""},
		{"reviewer's certificate expired", "", []approval.Attestation{published, reviewed(frank, subject)}, false, "expired"},
		{"reviewer's certificate revoked", "", []approval.Attestation{published, reviewed(gone, subject)}, false, "revoked"},
		{"approval expired", "", []approval.Attestation{published, reviewed(bob, subject, until(-1))}, false, "valid from"},
		{"approval renewed", "", []approval.Attestation{published, reviewed(bob, subject, until(-1)), approved}, true, ""},
		{"approval not yet valid", "", []approval.Attestation{published, reviewed(bob, subject, func(r *approval.Review) {
			r.ValidFrom = approval.Time(now.Add(time.Hour))
		})}, false, "valid from"},
		{"approval from the future", "", []approval.Attestation{published, reviewed(bob, subject, func(r *approval.Review) {
			r.ReviewedAt = approval.Time(now.Add(time.Hour))
		})}, false, "in the future"},
		{"rejected", "", []approval.Attestation{published, approved, reviewed(carol, subject, decided(approval.Rejected))}, false, "carol decided REJECTED"},
		{"revoked", "", []approval.Attestation{published, approved, reviewed(bob, subject, decided(approval.Revoked))}, false, "bob decided REVOKED"},
		{"rejected by an expired reviewer", "", []approval.Attestation{published, approved, reviewed(frank, subject, decided(approval.Rejected))}, false, "frank decided"},
		{"rejected by the publisher as reviewer", "", []approval.Attestation{published, approved, reviewed(aliceReviews, subject, decided(approval.Rejected))}, false, "alice decided"},
		{"rejection by a stranger", "", []approval.Attestation{published, approved, reviewed(mallory, subject, decided(approval.Rejected))}, true, ""},
		{"rejection of another bundle", "", []approval.Attestation{published, approved, reviewed(carol, other, decided(approval.Rejected))}, true, ""},
		{"two asked, one there", two, []approval.Attestation{published, approved}, false, "1 reviewer"},
		{"two asked, two there", two, []approval.Attestation{published, approved, reviewed(carol, subject)}, true, ""},
		{"two asked, one person twice", two, []approval.Attestation{published, approved, reviewed(bobAgain, subject)}, false, "1 reviewer"},
		{"two asked, one key twice", two, []approval.Attestation{published, reviewed(carol, subject), reviewed(twin, subject)}, false, "1 reviewer"},
		{"maximum age kept", "version: 1\nrequire:\n- {role: publisher, min: 1}\n- {role: reviewer, min: 1, maxAge: 11d}\n",
			[]approval.Attestation{published, approved}, true, ""},
		{"maximum age exceeded", "version: 1\nrequire:\n- {role: publisher, min: 1}\n- {role: reviewer, min: 1, maxAge: 9d}\n",
			[]approval.Attestation{published, approved}, false, "within 216 hours"},
		{"a named reviewer", "version: 1\nrequire:\n- {role: publisher, min: 1}\n- {role: reviewer, min: 1, names: [bob]}\n",
			[]approval.Attestation{published, approved}, true, ""},
		{"another than the named reviewer", "version: 1\nrequire:\n- {role: publisher, min: 1}\n- {role: reviewer, min: 1, names: [carol]}\n",
			[]approval.Attestation{published, approved}, false, "0 reviewer"},
		{"denied", two[:len(two)-len("2}\n")] + "1}\ndeny: [" + subject.BundleID + "]\n", []approval.Attestation{published, approved}, false, "deny list"},
		{"another denied", two[:len(two)-len("2}\n")] + "1}\ndeny: [" + other.BundleID + "]\n", []approval.Attestation{published, approved}, true, ""},
		{"within limits", two[:len(two)-len("2}\n")] + "1}\nlimits: {bundleBytes: 1KiB, files: 10, nonAsciiPaths: deny}\n", []approval.Attestation{published, approved}, true, ""},
		{"too large", two[:len(two)-len("2}\n")] + "1}\nlimits: {bundleBytes: \"999\"}\n", []approval.Attestation{published, approved}, false, "it has 1000 bytes"},
		{"too many files", two[:len(two)-len("2}\n")] + "1}\nlimits: {files: 9}\n", []approval.Attestation{published, approved}, false, "10 files are inside"},
	}
	anchors := ca.anchors(gone)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var policy approval.Policy
			if test.policy != "" {
				var err error
				if policy, err = approval.ParsePolicy("site.yaml", []byte(test.policy)); err != nil {
					t.Fatal(err)
				}
			}
			sidecar := &approval.Sidecar{}
			for _, a := range test.signed {
				var err error
				if sidecar, err = sidecar.Add(a); err != nil {
					t.Fatal(err)
				}
			}
			d := approval.Evaluate(policy, sidecar, subject, anchors, now)
			if d.Approved != test.want {
				t.Errorf("approved is %v, want %v: %+v", d.Approved, test.want, d)
			}
			err := d.Err()
			if test.want {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.Is(err, identity.ErrUntrusted) || !strings.Contains(err.Error(), test.why) {
				t.Errorf("got error %v, want a refusal because of %q", err, test.why)
			}
		})
	}
}

// TestNoAnchors makes sure that nothing counts where nothing is trusted.
func TestNoAnchors(t *testing.T) {
	if d := approval.Evaluate(approval.Policy{}, nil, subject, nil, now); d.Approved {
		t.Error("approved without signatures and without anchors")
	}
}

// TestOtherBytes changes every byte of a sidecar that is just enough.
func TestOtherBytes(t *testing.T) {
	ca := newAuthority(t, "signing CA")
	alice, bob := ca.signer(identity.Publisher, "alice", p256(t)), ca.signer(identity.Reviewer, "bob", ed(t))
	a, err := approval.SignRelease(alice.key, alice.cert, subject, releaseOf(subject))
	if err != nil {
		t.Fatal(err)
	}
	b, err := approval.SignReview(bob.key, bob.cert, subject, review())
	if err != nil {
		t.Fatal(err)
	}
	sidecar, err := (&approval.Sidecar{}).Add(a)
	if err == nil {
		sidecar, err = sidecar.Add(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	good, anchors := sidecar.Bytes(), ca.anchors()
	accepted := func(data []byte) bool {
		s, err := approval.ParseSidecar(data)
		return err == nil && approval.Evaluate(approval.Policy{}, s, subject, anchors, now).Approved
	}
	if !accepted(good) {
		t.Fatal("the sidecar itself is not accepted")
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		for _, flip := range []byte{1, 0x20, 0x80} {
			if bad[i] = good[i] ^ flip; accepted(bad) {
				t.Fatalf("accepted with byte %d (%q) changed to %q", i, good[i], bad[i])
			}
		}
		if i > 0 && accepted(good[:i]) {
			t.Fatalf("accepted when cut off after %d bytes", i)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	ca := newAuthority(t, "signing CA")
	alice, bob := ca.signer(identity.Publisher, "alice", p256(t)), ca.signer(identity.Reviewer, "bob", ed(t))
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large := ca.signer(identity.Reviewer, "large", p384)
	tests := []struct {
		name string
		sign func() error
		want error
	}{
		{"a publisher reviews", func() error {
			_, err := approval.SignReview(alice.key, alice.cert, subject, review())
			return err
		}, identity.ErrUntrusted},
		{"a reviewer publishes", func() error {
			_, err := approval.SignRelease(bob.key, bob.cert, subject, releaseOf(subject))
			return err
		}, identity.ErrUntrusted},
		{"another's key", func() error {
			_, err := approval.SignReview(alice.key, bob.cert, subject, review())
			return err
		}, identity.ErrUntrusted},
		{"a key of another kind", func() error {
			_, err := approval.SignReview(large.key, large.cert, subject, review())
			return err
		}, identity.ErrUntrusted},
	}
	for _, test := range tests {
		if err := test.sign(); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	for name, change := range map[string]func(*approval.Review){
		"unknown decision":    decided("MAYBE"),
		"rejection that ends": func(r *approval.Review) { r.Decision = approval.Rejected },
		"too long":            func(r *approval.Review) { r.ValidUntil = approval.Time(now.AddDate(3, 0, 0)) },
		"ends before it starts": func(r *approval.Review) {
			r.ValidFrom, r.ValidUntil = r.ValidUntil, r.ValidFrom
		},
		"time with fractions": func(r *approval.Review) { r.ReviewedAt = "2026-05-01T12:00:00.5Z" },
		"time with an offset": func(r *approval.Review) { r.ReviewedAt = "2026-05-01T12:00:00+02:00" },
	} {
		if _, err := approval.SignReview(bob.key, bob.cert, subject, review(change)); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

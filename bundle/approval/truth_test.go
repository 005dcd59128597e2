package approval_test

import (
	"crypto/x509"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"fx/bundle/approval"
	"fx/ca/identity"
	"fx/ca/trust"
)

// world is one row of the truth table.
type world struct {
	publisher string // nobody, alice, or alice about another version
	reviewers string // nobody, bob, bob and carol, bob with two keys, or alice of her own
	min       int    // reviewers asked for
	maxAge    int    // days; 0 is any; the reviews are ten days old
	blocked   string // by nobody, dave, a stranger, or the deny list
	tooLarge  bool
	lists     string // fresh, late, stale (later than the grace), or missing
}

// want says which rules hold, from the words of the documentation and not from
// the code: docs/bundle.md, "Your site's own rules".
func (w world) want() map[string]bool {
	judgeable := w.lists != "stale" // no certificate is in order when its list is stale
	published := w.publisher == "alice" && judgeable
	people := map[string]int{"nobody": 0, "bob": 1, "bob and carol": 2, "bob with two keys": 1, "alice": 1}[w.reviewers]
	if w.reviewers == "alice" && published {
		people = 0 // nobody approves their own
	}
	if !judgeable || w.maxAge != 0 && w.maxAge < 10 {
		people = 0
	}
	rules := map[string]bool{
		"separation":   true, // it has no setting: it takes signatures away
		"revocation":   w.lists == "fresh" || w.lists == "late",
		"bundle-bytes": !w.tooLarge,
		"no-rejection": w.blocked != "dave",
		"publisher":    published,
		"reviewer":     people >= w.min,
	}
	if w.blocked == "deny list" {
		rules["deny-list"] = false
	}
	return rules
}

func (w world) policy(t *testing.T) approval.Policy {
	t.Helper()
	var b strings.Builder
	age := ""
	if w.maxAge > 0 {
		age = fmt.Sprintf(", maxAge: %dd", w.maxAge)
	}
	fmt.Fprintf(&b, "version: 1\nrequire:\n- {role: publisher, min: 1}\n- {role: reviewer, min: %d%s}\n", w.min, age)
	fmt.Fprintf(&b, "revocation: {graceDays: 7, list: required}\n")
	limit := "1000"
	if w.tooLarge {
		limit = "999"
	}
	fmt.Fprintf(&b, "limits: {bundleBytes: %q}\n", limit)
	if w.blocked == "deny list" {
		fmt.Fprintf(&b, "deny: [%q]\n", subject.BundleID)
	}
	p, err := approval.ParsePolicy("site.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTruthTable judges every combination of what may be signed and asked, and
// compares every rule, not only the verdict.
func TestTruthTable(t *testing.T) {
	ca, foreign := newAuthority(t, "signing CA"), newAuthority(t, "signing CA")
	certified := func(a *authority, role identity.Role, name string) person { return a.signer(role, name, p256(t)) }
	alice, aliceReviews := certified(ca, identity.Publisher, "alice"), certified(ca, identity.Reviewer, "alice")
	bob, bobAgain := certified(ca, identity.Reviewer, "bob"), certified(ca, identity.Reviewer, "bob")
	carol, dave := certified(ca, identity.Reviewer, "carol"), certified(ca, identity.Reviewer, "dave")
	mallory := certified(foreign, identity.Reviewer, "dave")
	other := subject
	other.Version = "2.0"

	release := func(s approval.Subject) []approval.Attestation {
		a, err := approval.SignRelease(alice.key, alice.cert, s, releaseOf(s))
		if err != nil {
			t.Fatal(err)
		}
		return []approval.Attestation{a}
	}
	reviews := func(who ...any) []approval.Attestation {
		var list []approval.Attestation
		change := func(*approval.Review) {}
		for _, w := range who {
			switch p := w.(type) {
			case func(*approval.Review):
				change = p
			case person:
				a, err := approval.SignReview(p.key, p.cert, subject, review(change))
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, a)
			}
		}
		return list
	}
	publishers := map[string][]approval.Attestation{"nobody": nil, "alice": release(subject), "alice about another version": release(other)}
	reviewers := map[string][]approval.Attestation{
		"nobody": nil, "bob": reviews(bob), "bob and carol": reviews(bob, carol),
		"bob with two keys": reviews(bob, bobAgain), "alice": reviews(aliceReviews),
	}
	blocks := map[string][]approval.Attestation{
		"nobody": nil, "dave": reviews(decided(approval.Rejected), dave),
		"a stranger": reviews(decided(approval.Rejected), mallory), "deny list": nil,
	}
	missing, err := trust.New([]*x509.Certificate{ca.cert}, nil)
	if err != nil {
		t.Fatal(err)
	}
	lists := map[string]*trust.Anchors{
		"fresh": ca.anchors(), "late": ca.anchorsDue(now.AddDate(0, 0, -6)), "stale": ca.anchorsDue(now.AddDate(0, 0, -8)), "missing": missing,
	}
	n := 0
	for publisher, p := range publishers {
		for reviewing, r := range reviewers {
			for blocked, b := range blocks {
				sidecar := &approval.Sidecar{}
				for _, list := range [][]approval.Attestation{p, r, b} {
					for _, a := range list {
						if sidecar, err = sidecar.Add(a); err != nil {
							t.Fatal(err)
						}
					}
				}
				for _, w := range variants(world{publisher: publisher, reviewers: reviewing, blocked: blocked}) {
					n++
					judged(t, w, approval.Evaluate(w.policy(t), sidecar, subject, lists[w.lists], now))
				}
			}
		}
	}
	if n != 3*5*4*2*2*2*4 {
		t.Errorf("judged %d combinations", n)
	}
}

// variants are all settings of policy and site under which w is judged.
func variants(w world) []world {
	var list []world
	for _, w.min = range []int{1, 2} {
		for _, w.maxAge = range []int{0, 9} {
			for _, w.tooLarge = range []bool{false, true} {
				for _, w.lists = range []string{"fresh", "late", "stale", "missing"} {
					list = append(list, w)
				}
			}
		}
	}
	return list
}

func judged(t *testing.T, w world, d *approval.Decision) {
	t.Helper()
	got, approved := map[string]bool{}, true
	for _, r := range d.Rules {
		if got[r.ID] = r.Holds; r.Asks == "" || r.Reason == "" {
			t.Errorf("%+v: rule %q does not explain itself: %+v", w, r.ID, r)
		}
	}
	want := w.want()
	for _, holds := range want {
		approved = approved && holds
	}
	if !maps.Equal(got, want) || d.Approved != approved {
		t.Errorf("%+v:\n got %v, approved %v\nwant %v, approved %v", w, got, d.Approved, want, approved)
	}
}

// TestPersons: whoever shares a name or a key with somebody is that somebody, in
// whichever order the lines stand.
func TestPersons(t *testing.T) {
	ca := newAuthority(t, "signing CA")
	bob, again := ca.signer(identity.Reviewer, "bob", p256(t)), ca.signer(identity.Reviewer, "bob", p256(t))
	carol := ca.signer(identity.Reviewer, "carol", again.key) // holds bob's second key
	dave := ca.signer(identity.Reviewer, "dave", p256(t))
	alice := ca.signer(identity.Publisher, "alice", p256(t))
	twin := ca.signer(identity.Reviewer, "erin", alice.key) // erin is alice
	erin := ca.signer(identity.Reviewer, "erin", p256(t))   // and so is erin with another key

	policy, err := approval.ParsePolicy("p", []byte("version: 1\nrequire:\n- {role: publisher, min: 1}\n- {role: reviewer, min: 2}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		who  []person
		want bool
	}{
		{"bob and carol, linked by bob's other key", []person{bob, again, carol}, false},
		{"bob and carol, the link not shown", []person{bob, carol}, true},
		{"bob, carol and dave", []person{bob, again, carol, dave}, true},
		{"erin, who shares a key with the publisher", []person{twin, erin, dave}, false},
	} {
		sidecar := &approval.Sidecar{}
		a, err := approval.SignRelease(alice.key, alice.cert, subject, releaseOf(subject))
		if err != nil {
			t.Fatal(err)
		}
		if sidecar, err = sidecar.Add(a); err != nil {
			t.Fatal(err)
		}
		for _, p := range test.who {
			if a, err = approval.SignReview(p.key, p.cert, subject, review()); err != nil {
				t.Fatal(err)
			}
			if sidecar, err = sidecar.Add(a); err != nil {
				t.Fatal(err)
			}
		}
		if d := approval.Evaluate(policy, sidecar, subject, ca.anchors(), now); d.Approved != test.want {
			t.Errorf("%s: approved is %v, want %v: %v", test.name, d.Approved, test.want, d.Err())
		}
	}
}

// TestSites: an approval for named sites counts at those.
func TestSites(t *testing.T) {
	ca := newAuthority(t, "signing CA")
	alice, bob := ca.signer(identity.Publisher, "alice", p256(t)), ca.signer(identity.Reviewer, "bob", ed(t))
	published, err := approval.SignRelease(alice.key, alice.cert, subject, releaseOf(subject))
	if err != nil {
		t.Fatal(err)
	}
	reviewed, err := approval.SignReview(bob.key, bob.cert, subject, review(func(r *approval.Review) {
		r.Sites = []string{"hospital-b", "hospital-a"}
		r.Accepted = []approval.Accepted{{Rule: "executable", Fingerprint: "02", Reason: "a start script"}, {Rule: "executable", Fingerprint: "01", Reason: "another"}}
		r.SortScope()
	}))
	if err != nil {
		t.Fatal(err)
	}
	sidecar, err := (&approval.Sidecar{}).Add(published)
	if err == nil {
		sidecar, err = sidecar.Add(reviewed)
	}
	if err != nil {
		t.Fatal(err)
	}
	own, err := approval.ParsePolicy("p", []byte(both+"site: hospital-b\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		policy approval.Policy
		want   bool
	}{
		{"no name", approval.Policy{}, false},
		{"one of them", approval.Policy{}.ForSite("hospital-a"), true},
		{"another", approval.Policy{}.ForSite("hospital-c"), false},
		{"the policy's own", own, true},
		{"the policy's own before another", own.ForSite("hospital-c"), true},
	} {
		d := approval.Evaluate(test.policy, sidecar, subject, ca.anchors(), now)
		if d.Approved != test.want {
			t.Errorf("%s: approved is %v, want %v: %v", test.name, d.Approved, test.want, d.Err())
		}
	}
	for name, change := range map[string]func(*approval.Review){
		"sites out of order":      func(r *approval.Review) { r.Sites = []string{"b", "a"} },
		"a site twice":            func(r *approval.Review) { r.Sites = []string{"a", "a"} },
		"no name of a site":       func(r *approval.Review) { r.Sites = []string{"a/b"} },
		"a finding without words": func(r *approval.Review) { r.Accepted = []approval.Accepted{{Rule: "a", Fingerprint: "b"}} },
		"a rule with a space": func(r *approval.Review) {
			r.Accepted = []approval.Accepted{{Rule: "a b", Fingerprint: "b", Reason: "c"}}
		},
		"a finding twice": func(r *approval.Review) {
			r.Accepted = []approval.Accepted{{Rule: "a", Fingerprint: "b", Reason: "c"}, {Rule: "a", Fingerprint: "b", Reason: "d"}}
		},
		"a rejection with sites": func(r *approval.Review) {
			decided(approval.Rejected)(r)
			r.Sites = []string{"a"}
		},
	} {
		if _, err := approval.SignReview(bob.key, bob.cert, subject, review(change)); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

// anchorsDue trusts the authority, whose revocation list was due at a time.
func (a *authority) anchorsDue(due time.Time) *trust.Anchors {
	a.t.Helper()
	return a.list(&x509.RevocationList{Number: big.NewInt(1), ThisUpdate: due.AddDate(0, 0, -7), NextUpdate: due})
}

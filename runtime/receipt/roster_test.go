package receipt

import (
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"fx/ca/identity"
	"fx/runtime/journal"
)

// What OpenFL's certificates, and a journal without certificates, do not prove
// stands in the receipt.
func TestWhatIsNotProven(t *testing.T) {
	store, err := journal.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	j, err := journal.Open(store, journal.Federation{FederationID: "f"})
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	openFL := certificate(t, key) // says no role
	for range 2 {
		if err := j.MarkPeer("one", openFL); err != nil {
			t.Fatal(err)
		}
	}
	r := sample()
	r.Roster = nil
	if err := r.roster(j, openFL); err != nil {
		t.Fatal(err)
	}
	want := []Member{{"one", []Certificate{{identity.Fingerprint(openFL.Raw), true}}}, {"two", []Certificate{}}}
	if !slices.EqualFunc(r.Roster, want, func(a, b Member) bool {
		return a.Name == b.Name && slices.Equal(a.Certificates, b.Certificates)
	}) {
		t.Errorf("roster %v, want %v", r.Roster, want)
	}
	for i, what := range []string{"the signer is an aggregator", "each of one is a collaborator", "the results of two came"} {
		if i >= len(r.Unproven) || !strings.Contains(r.Unproven[i], what) {
			t.Errorf("not proven is %q, want %q at %d", r.Unproven, what, i)
		}
	}
}

package approval

import (
	"errors"
	"strings"
	"testing"

	"fx/schema"
)

// FuzzStatement: what is accepted keeps the limits of its kind, and every refusal
// is one of a document. That it is written back to the same bytes, decode
// compares itself.
func FuzzStatement(f *testing.F) {
	s := Subject{BundleID: strings.Repeat("ab", 32), FileSHA256: strings.Repeat("cd", 32), Name: "ward", Version: "1"}
	for kind, predicate := range map[string]any{
		ReleaseType: Release{Name: "ward", Version: "1", TreeSHA256: strings.Repeat("ef", 32), CreatedAt: "2026-05-01T12:00:00Z", Tool: "x"},
		ReviewType: Review{Decision: Approved, ReviewedAt: "2026-05-01T12:00:00Z", ValidFrom: "2026-05-01T12:00:00Z", ValidUntil: "2026-06-01T12:00:00Z",
			Accepted: []Accepted{{"exec", "0011", "known"}}, Sites: []string{"hospital-a"}},
		"https://cyclonedx.org/bom": map[string]any{"bomFormat": "CycloneDX"},
	} {
		data, err := newStatement(s, kind, predicate)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := parseStatement(data); err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	rejected, err := newStatement(s, ReviewType, Review{Decision: Rejected, ReviewedAt: "2026-05-01T12:00:00Z"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(rejected)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseStatement(data)
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Fatalf("got %v, want an invalid document", err)
			}
			return
		}
		if !isDigest(p.bundleID) {
			t.Fatalf("accepted the bundle id %q", p.bundleID)
		}
		if r := p.review; r != nil {
			from, until, err := r.validity()
			if r.Decision == Approved && (err != nil || !until.After(from) || until.Sub(from) > MaxValidity) {
				t.Fatalf("accepted an approval from %q until %q", r.ValidFrom, r.ValidUntil)
			}
			if r.Decision != Approved && len(r.Sites) > 0 {
				t.Fatal("accepted a rejection for some sites")
			}
		}
	})
}

package approval

import (
	"bytes"
	"slices"
	"sort"
)

// ParseAttestation reads one line of a sidecar, without its line feed. Errors
// wrap schema.ErrInvalid.
func ParseAttestation(raw []byte) (Attestation, error) {
	if len(raw) > MaxLine {
		return Attestation{}, invalid("an attestation has %d bytes, allowed are %d", len(raw), MaxLine)
	}
	return parseAttestation(raw)
}

// Bytes returns the line without its line feed.
func (a Attestation) Bytes() []byte { return slices.Clone(a.raw) }

// PredicateType returns what kind of statement it is, such as ReviewType.
func (a Attestation) PredicateType() string { return a.about.predicateType }

// BundleID returns the id of the bundle that it is about.
func (a Attestation) BundleID() string { return a.about.bundleID }

// Attestations returns all of them in the order of the file.
func (s *Sidecar) Attestations() []Attestation { return slices.Clone(s.attestations) }

// Merge returns a sidecar with the attestations of both, each once.
func (s *Sidecar) Merge(more []Attestation) (*Sidecar, error) {
	all := append(slices.Clone(s.attestations), more...)
	sort.Slice(all, func(i, j int) bool { return bytes.Compare(all[i].raw, all[j].raw) < 0 })
	all = slices.CompactFunc(all, func(a, b Attestation) bool { return bytes.Equal(a.raw, b.raw) })
	if len(all) > MaxLines {
		return nil, invalid("together %d signatures, allowed are %d", len(all), MaxLines)
	}
	return &Sidecar{attestations: all}, nil
}

package approval

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"

	"fx/ca/identity"
)

// Limits of a sidecar file.
const (
	MaxLines = 64
	MaxLine  = 1 << 20 // bytes
)

const mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// SidecarPath returns where the attestations of the bundle at path are.
func SidecarPath(path string) string { return path + ".sigs.jsonl" }

// Sidecar is the attestations about a bundle. The zero value has none. What is
// in it has been read strictly; whether anybody trusted signed it, Evaluate
// says.
type Sidecar struct{ attestations []Attestation }

// Attestation is one signed statement.
type Attestation struct {
	raw     []byte // the line without its line feed
	leaf    *x509.Certificate
	payload []byte
	sig     []byte
	about   *parsed
}

// line is the Sigstore bundle JSON, with the members that this format allows.
type line struct {
	MediaType            string   `json:"mediaType"`
	VerificationMaterial material `json:"verificationMaterial"`
	Envelope             envelope `json:"dsseEnvelope"`
}

type material struct {
	Certificate *certificate `json:"certificate,omitempty"`
	PublicKey   *publicKey   `json:"publicKey,omitempty"`
	Timestamps  *timestamps  `json:"timestampVerificationData,omitempty"`
}

type certificate struct {
	Raw []byte `json:"rawBytes"` // DER
}

// publicKey is for signers without a certificate. They are shown and do not
// count: a bare key has no role.
type publicKey struct {
	Hint string `json:"hint"`
}

// timestamps are reserved: a verifier that does not evaluate them ignores them.
type timestamps struct {
	RFC3161 []timestamp `json:"rfc3161Timestamps"`
}

type timestamp struct {
	Signed []byte `json:"signedTimestamp"`
}

type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	Sig []byte `json:"sig"`
}

func newLine(leaf, payload, sig []byte) line {
	return line{
		MediaType:            mediaType,
		VerificationMaterial: material{Certificate: &certificate{Raw: leaf}},
		Envelope:             envelope{Payload: payload, PayloadType: payloadType, Signatures: []signature{{Sig: sig}}},
	}
}

// ParseSidecar reads a sidecar: at most 64 lines of at most 1 MiB, sorted
// bytewise, none twice, each canonical JSON. Errors wrap schema.ErrInvalid and
// name the line.
func ParseSidecar(data []byte) (*Sidecar, error) {
	s := &Sidecar{}
	for n := 1; len(data) > 0; n++ {
		if n > MaxLines {
			return nil, invalid("a sidecar has at most %d lines", MaxLines)
		}
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			return nil, invalid("line %d does not end in a line feed", n)
		}
		if end > MaxLine {
			return nil, invalid("line %d has %d bytes, allowed are %d", n, end, MaxLine)
		}
		a, err := parseAttestation(data[:end])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if n > 1 && bytes.Compare(s.attestations[n-2].raw, a.raw) >= 0 {
			return nil, invalid("line %d is not in order (LC_ALL=C sort -u puts lines in order)", n)
		}
		s.attestations = append(s.attestations, a)
		data = data[end+1:]
	}
	return s, nil
}

// ReadSidecar reads the sidecar file at path (see [SidecarPath]). There being
// none is not an error: the bundle is unsigned.
func ReadSidecar(path string) (*Sidecar, error) {
	data, err := identity.ReadFile(path, MaxLines*(MaxLine+1))
	if errors.Is(err, fs.ErrNotExist) {
		return &Sidecar{}, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := ParseSidecar(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read signatures %q: %w", path, err)
	}
	return s, nil
}

// Add returns a sidecar with one attestation more.
func (s *Sidecar) Add(a Attestation) (*Sidecar, error) {
	if len(s.attestations) >= MaxLines {
		return nil, invalid("the sidecar has %d lines already, which is the limit", len(s.attestations))
	}
	next := &Sidecar{attestations: append(slices.Clone(s.attestations), a)}
	sort.Slice(next.attestations, func(i, j int) bool {
		return bytes.Compare(next.attestations[i].raw, next.attestations[j].raw) < 0
	})
	_, err := ParseSidecar(next.Bytes()) // refuses one that is there already
	return next, err
}

// Write replaces the sidecar file at path, all of it or nothing.
func (s *Sidecar) Write(path string) error {
	return identity.ReplaceFile(path, s.Bytes(), 0o644)
}

// Bytes returns the file's contents.
func (s *Sidecar) Bytes() []byte {
	var out []byte
	for _, a := range s.attestations {
		out = append(append(out, a.raw...), '\n')
	}
	return out
}

// Len returns the number of attestations.
func (s *Sidecar) Len() int { return len(s.attestations) }

// parseAttestation reads one line.
func parseAttestation(raw []byte) (Attestation, error) {
	var l line
	if err := decode(raw, &l); err != nil {
		return Attestation{}, err
	}
	m, e := l.VerificationMaterial, l.Envelope
	switch {
	case l.MediaType != mediaType:
		return Attestation{}, invalid("mediaType is %q, want %q", l.MediaType, mediaType)
	case (m.Certificate == nil) == (m.PublicKey == nil):
		return Attestation{}, invalid("verificationMaterial holds either a certificate or a publicKey")
	case e.PayloadType != payloadType:
		return Attestation{}, invalid("payloadType is %q, want %q", e.PayloadType, payloadType)
	case len(e.Signatures) != 1:
		return Attestation{}, invalid("%d signatures in one envelope, want 1", len(e.Signatures))
	}
	about, err := parseStatement(e.Payload)
	if err != nil {
		return Attestation{}, fmt.Errorf("statement: %w", err)
	}
	a := Attestation{raw: slices.Clone(raw), payload: e.Payload, sig: e.Signatures[0].Sig, about: about}
	if m.Certificate != nil {
		if a.leaf, err = x509.ParseCertificate(m.Certificate.Raw); err != nil {
			return Attestation{}, invalid("certificate: %v", err)
		}
	}
	return a, nil
}

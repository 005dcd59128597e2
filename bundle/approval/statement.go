package approval

import (
	"bytes"
	"encoding/json"
	"io"
)

const (
	statementType = "https://in-toto.io/Statement/v1"
	manifestName  = ".fxb/manifest.json"
	ociName       = "oci-manifest" // for cosign, which looks for the digest that it resolved
	maxSubjects   = 8
	maxStatement  = 512 << 10 // bytes
)

// statement is an in-toto Statement v1.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type subject struct {
	Name   string `json:"name"`
	Digest digest `json:"digest"`
}

type digest struct {
	SHA256 string `json:"sha256"`
}

// newStatement makes the statement that a bundle and its manifest are the
// subjects of.
func newStatement(s Subject, predicateType string, predicate any) ([]byte, error) {
	raw, err := encode(predicate)
	if err != nil {
		return nil, err
	}
	about := []subject{
		{Name: s.Name + "-" + s.Version + ".fxb", Digest: digest{s.FileSHA256}},
		{Name: manifestName, Digest: digest{s.BundleID}},
	}
	if s.OCISHA256 != "" {
		about = append(about, subject{Name: ociName, Digest: digest{s.OCISHA256}})
	}
	return encode(statement{
		Type:          statementType,
		Subject:       about,
		PredicateType: predicateType,
		Predicate:     raw,
	})
}

// parsed is a statement that has been read.
type parsed struct {
	bundleID      string
	predicateType string
	release       *Release // one of the two, or neither when the type is not known
	review        *Review
}

// parseStatement reads a statement whose bytes must be the ones that encode
// gives. Exactly one subject is the manifest; others are for stock tools.
func parseStatement(data []byte) (*parsed, error) {
	if len(data) > maxStatement {
		return nil, invalid("the statement has %d bytes, allowed are %d", len(data), maxStatement)
	}
	var s statement
	if err := decode(data, &s); err != nil {
		return nil, err
	}
	if s.Type != statementType {
		return nil, invalid("_type is %q, want %q", s.Type, statementType)
	}
	if len(s.Subject) > maxSubjects {
		return nil, invalid("%d subjects, allowed are %d", len(s.Subject), maxSubjects)
	}
	p := &parsed{predicateType: s.PredicateType}
	for _, sub := range s.Subject {
		if !isDigest(sub.Digest.SHA256) {
			return nil, invalid("subject %q has no SHA-256", sub.Name)
		}
		if sub.Name != manifestName {
			continue
		}
		if p.bundleID != "" {
			return nil, invalid("two subjects are named %q", manifestName)
		}
		p.bundleID = sub.Digest.SHA256
	}
	if p.bundleID == "" {
		return nil, invalid("no subject is named %q", manifestName)
	}
	switch s.PredicateType {
	case ReleaseType:
		p.release = &Release{}
		if err := decode(s.Predicate, p.release); err != nil {
			return nil, err
		}
		return p, p.release.check()
	case ReviewType:
		p.review = &Review{}
		if err := decode(s.Predicate, p.review); err != nil {
			return nil, err
		}
		return p, p.review.check()
	}
	return p, nil
}

// encode writes the one form in which this package's JSON is valid: no white
// space, members in the order of the struct, no HTML escapes.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decode reads what encode writes and proves it by encoding again, which
// refuses duplicate, misspelt and reordered members, and every other spelling
// of the same thing.
func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return invalid("%v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return invalid("something follows the JSON document")
	}
	again, err := encode(v)
	if err != nil || !bytes.Equal(again, data) {
		return invalid("the JSON is not in canonical form (member order, white space, escapes)")
	}
	return nil
}

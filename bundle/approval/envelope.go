package approval

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"fx/ca/identity"
)

// Envelope is a signed statement of any kind, in the form that attestations have:
// an in-toto statement in DSSE in a Sigstore bundle, with the signer's certificate.
// What has been parsed is in canonical form; whether the signature fits, Verify
// says, and whom the certificate makes of the signer is for the caller to judge.
type Envelope struct {
	Leaf    *x509.Certificate
	Payload []byte
	sig     []byte
}

// Digest is the SHA-256 of a thing with a name, in hexadecimal.
type Digest struct{ Name, SHA256 string }

// Statement makes the statement of a predicate about subjects.
func Statement(subjects []Digest, predicateType string, predicate any) ([]byte, error) {
	raw, err := encode(predicate)
	if err != nil {
		return nil, err
	}
	s := statement{Type: statementType, Subject: []subject{}, PredicateType: predicateType, Predicate: raw}
	for _, d := range subjects {
		s.Subject = append(s.Subject, subject{Name: d.Name, Digest: digest{d.SHA256}})
	}
	return encode(s)
}

// ParseStatement reads what Statement makes, of one predicate type. The caller
// has bounded the size. Errors wrap schema.ErrInvalid.
func ParseStatement(payload []byte, predicateType string, predicate any) ([]Digest, error) {
	var s statement
	if err := decode(payload, &s); err != nil {
		return nil, err
	}
	switch {
	case s.Type != statementType:
		return nil, invalid("_type is %q, want %q", s.Type, statementType)
	case s.PredicateType != predicateType:
		return nil, invalid("predicateType is %q, want %q", s.PredicateType, predicateType)
	}
	subjects := []Digest{}
	for _, sub := range s.Subject {
		if !isDigest(sub.Digest.SHA256) {
			return nil, invalid("subject %q has no SHA-256", sub.Name)
		}
		subjects = append(subjects, Digest{sub.Name, sub.Digest.SHA256})
	}
	return subjects, decode(s.Predicate, predicate)
}

// Seal signs a statement with a participant's key and returns the envelope, one
// line without its line feed. Participants' keys may be of more kinds than those
// of publishers and reviewers: P-256 with SHA-256, P-384 with SHA-384, Ed25519, and
// RSA (PKCS #1 v1.5) with SHA-256, which is what OpenFL makes.
func Seal(key crypto.Signer, leaf *x509.Certificate, payload []byte) ([]byte, error) {
	if !identity.SameKey(key.Public(), leaf.PublicKey) {
		return nil, identity.Untrustedf("the key is not the one that the certificate of %q is for", leaf.Subject)
	}
	message, hash, err := digestFor(key.Public(), preAuth(payload))
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(rand.Reader, message, hash)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %v", err)
	}
	if e := (&Envelope{leaf, payload, sig}); e.Verify() != nil {
		return nil, fmt.Errorf("cannot sign: the signature made does not verify")
	}
	return encode(newLine(leaf.Raw, payload, sig))
}

// ParseEnvelope reads what Seal makes. The caller has bounded the size. Errors
// wrap schema.ErrInvalid.
func ParseEnvelope(data []byte) (*Envelope, error) {
	var l line
	if err := decode(data, &l); err != nil {
		return nil, err
	}
	m, e := l.VerificationMaterial, l.Envelope
	switch {
	case l.MediaType != mediaType:
		return nil, invalid("mediaType is %q, want %q", l.MediaType, mediaType)
	case m.Certificate == nil || m.PublicKey != nil:
		return nil, invalid("verificationMaterial holds no certificate")
	case e.PayloadType != payloadType:
		return nil, invalid("payloadType is %q, want %q", e.PayloadType, payloadType)
	case len(e.Signatures) != 1:
		return nil, invalid("%d signatures in one envelope, want 1", len(e.Signatures))
	}
	leaf, err := x509.ParseCertificate(m.Certificate.Raw)
	if err != nil {
		return nil, invalid("certificate: %v", err)
	}
	return &Envelope{Leaf: leaf, Payload: e.Payload, sig: e.Signatures[0].Sig}, nil
}

// Verify says whether the certificate's key made the signature. Errors wrap
// identity.ErrUntrusted.
func (e *Envelope) Verify() error {
	message, hash, err := digestFor(e.Leaf.PublicKey, preAuth(e.Payload))
	if err != nil {
		return err
	}
	fits := false
	switch k := e.Leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		fits = ecdsa.VerifyASN1(k, message, e.sig)
	case ed25519.PublicKey:
		fits = ed25519.Verify(k, message, e.sig)
	case *rsa.PublicKey:
		fits = rsa.VerifyPKCS1v15(k, hash, message, e.sig) == nil
	}
	if !fits {
		return identity.Untrustedf("the signature does not fit what was signed and the key of %q", e.Leaf.Subject)
	}
	return nil
}

// digestFor is what a key of a kind signs.
func digestFor(key crypto.PublicKey, message []byte) ([]byte, crypto.Hash, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return message, 0, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P384() {
			sum := sha512.Sum384(message)
			return sum[:], crypto.SHA384, nil
		}
		if k.Curve == elliptic.P256() {
			sum := sha256.Sum256(message)
			return sum[:], crypto.SHA256, nil
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			sum := sha256.Sum256(message)
			return sum[:], crypto.SHA256, nil
		}
	}
	return nil, 0, identity.Untrustedf("the signer's key is %s; P-256, P-384, Ed25519 and RSA of 2048 bits or more can sign", identity.DescribeKey(key))
}

// Digests are the SHA-256 of the sidecar's lines without their line feeds, in
// hexadecimal: what a receipt knows an attestation by.
func (s *Sidecar) Digests() []string {
	var sums []string
	for _, a := range s.attestations {
		sum := sha256.Sum256(a.raw)
		sums = append(sums, hex.EncodeToString(sum[:]))
	}
	return sums
}

package approval

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"

	"fx/ca/identity"
)

const payloadType = "application/vnd.in-toto+json"

// preAuth is what DSSE signs (DSSE v1, "PAE"): type and payload, each with its
// length, so that no byte can change its part.
func preAuth(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// sign makes a DSSE signature: ECDSA on P-256 with SHA-256, in ASN.1, or pure
// Ed25519.
func sign(key crypto.Signer, payload []byte) ([]byte, error) {
	if err := checkKey(key.Public()); err != nil {
		return nil, err
	}
	message, hash := preAuth(payload), crypto.Hash(0)
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		sum := sha256.Sum256(message)
		message, hash = sum[:], crypto.SHA256
	}
	sig, err := key.Sign(rand.Reader, message, hash)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %v", err)
	}
	return sig, nil
}

// verify reports whether sig is key's signature of payload.
func verify(key crypto.PublicKey, payload, sig []byte) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(preAuth(payload))
		return k.Curve == elliptic.P256() && ecdsa.VerifyASN1(k, sum[:], sig)
	case ed25519.PublicKey:
		return ed25519.Verify(k, preAuth(payload), sig)
	}
	return false
}

// checkKey refuses keys whose signatures nobody would accept.
func checkKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return identity.Untrustedf("the signer's key is %s; bundles and approvals are signed with P-256 or Ed25519 keys", identity.DescribeKey(key))
}

// SignRelease signs a release as the publisher whom the certificate names.
func SignRelease(key crypto.Signer, leaf *x509.Certificate, s Subject, r Release) (Attestation, error) {
	if err := r.check(); err != nil {
		return Attestation{}, fmt.Errorf("cannot sign release: %w", err)
	}
	return signStatement(key, leaf, s, ReleaseType, r)
}

// SignReview signs a review as the reviewer whom the certificate names.
func SignReview(key crypto.Signer, leaf *x509.Certificate, s Subject, r Review) (Attestation, error) {
	if err := r.check(); err != nil {
		return Attestation{}, fmt.Errorf("cannot sign review: %w", err)
	}
	return signStatement(key, leaf, s, ReviewType, r)
}

// SignOther signs a statement of a kind that has no effect on approval, such as a
// bill of materials, as the publisher or reviewer whom the certificate names.
// predicate is compact JSON.
func SignOther(key crypto.Signer, leaf *x509.Certificate, s Subject, predicateType string, predicate json.RawMessage) (Attestation, error) {
	if _, counts := signer(predicateType); counts || predicateType == "" {
		return Attestation{}, invalid("cannot sign a statement of type %q in this way", predicateType)
	}
	return signStatement(key, leaf, s, predicateType, predicate)
}

// signStatement signs, and reads back what it made as every verifier will.
func signStatement(key crypto.Signer, leaf *x509.Certificate, s Subject, predicateType string, predicate any) (Attestation, error) {
	id, err := identity.FromCertificate(leaf)
	if err != nil {
		return Attestation{}, err
	}
	if want, counts := signer(predicateType); counts && id.Role != want {
		return Attestation{}, identity.Untrustedf("%s cannot sign as %s", id, want)
	}
	if !id.Role.Signs() {
		return Attestation{}, identity.Untrustedf("%s signs no statements about bundles", id)
	}
	if !identity.SameKey(key.Public(), leaf.PublicKey) {
		return Attestation{}, identity.Untrustedf("the key is not the one that the certificate of %s is for", id)
	}
	payload, err := newStatement(s, predicateType, predicate)
	if err != nil {
		return Attestation{}, fmt.Errorf("cannot encode statement: %v", err)
	}
	sig, err := sign(key, payload)
	if err != nil {
		return Attestation{}, err
	}
	line, err := encode(newLine(leaf.Raw, payload, sig))
	if err != nil {
		return Attestation{}, fmt.Errorf("cannot encode attestation: %v", err)
	}
	a, err := parseAttestation(line)
	if err != nil {
		return Attestation{}, err
	}
	if !verify(a.leaf.PublicKey, a.payload, a.sig) {
		return Attestation{}, fmt.Errorf("cannot sign: the signature made does not verify")
	}
	return a, nil
}

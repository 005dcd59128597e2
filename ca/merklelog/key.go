package merklelog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"fx/ca/identity"
)

// Signature types of C2SP signed-note. For ECDSA the key's identifier is the
// hash of its SPKI; RSA has no type of its own there and gets a private one.
const (
	typeEd25519 = "\x01"
	typeRSA     = "\xfffx-rsa-pkcs1v15-sha256"
)

// Key is a public key that signs checkpoints, under a name: a [note.Verifier].
type Key struct {
	name string
	pub  crypto.PublicKey
	hash uint32
}

// NewKey names a public key. Signatures are Ed25519, or by SHA-256: ECDSA in
// ASN.1, RSA by PKCS #1 v1.5. Other kinds of keys are [identity.ErrInvalid].
func NewKey(name string, pub crypto.PublicKey) (*Key, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, identity.Invalidf("no log key: %v", err)
	}
	var sum [32]byte
	switch k := pub.(type) {
	case ed25519.PublicKey:
		sum = sha256.Sum256([]byte(name + "\n" + typeEd25519 + string(k)))
	case *ecdsa.PublicKey:
		sum = sha256.Sum256(spki)
	case *rsa.PublicKey:
		sum = sha256.Sum256([]byte(name + "\n" + typeRSA + string(spki)))
	default:
		return nil, identity.Invalidf("a key of type %T signs no checkpoints", pub)
	}
	return &Key{name: name, pub: pub, hash: binary.BigEndian.Uint32(sum[:])}, nil
}

// Name is the key's name.
func (k *Key) Name() string { return k.name }

// KeyHash is the key's short identifier.
func (k *Key) KeyHash() uint32 { return k.hash }

// Verify reports whether sig is the key's signature of msg.
func (k *Key) Verify(msg, sig []byte) bool {
	sum := sha256.Sum256(msg)
	switch pub := k.pub.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(pub, msg, sig)
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(pub, sum[:], sig)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], sig) == nil
	}
	return false
}

// Signer is a [Key] with its private half: a [note.Signer].
type Signer struct {
	*Key
	private crypto.Signer
}

// NewSigner names a private key.
func NewSigner(name string, private crypto.Signer) (*Signer, error) {
	k, err := NewKey(name, private.Public())
	return &Signer{k, private}, err
}

// Sign signs msg and makes sure that others will accept the signature.
func (s *Signer) Sign(msg []byte) ([]byte, error) {
	message, hash := msg, crypto.Hash(0)
	if _, ok := s.pub.(ed25519.PublicKey); !ok {
		sum := sha256.Sum256(msg)
		message, hash = sum[:], crypto.SHA256
	}
	sig, err := s.private.Sign(rand.Reader, message, hash)
	if err != nil {
		return nil, err
	}
	if !s.Verify(msg, sig) {
		return nil, fmt.Errorf("the signature made by %q does not verify", s.name)
	}
	return sig, nil
}

// Keys are the keys whose checkpoints are accepted: [note.Verifiers].
type Keys []*Key

// Verifier finds a key by name and identifier.
func (ks Keys) Verifier(name string, hash uint32) (note.Verifier, error) {
	for _, k := range ks {
		if k.name == name && k.hash == hash {
			return k, nil
		}
	}
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
)

// KeyType is a kind of key that can be made.
type KeyType string

// The key types, spelled as on the command line.
const (
	P256    KeyType = "p256"
	P384    KeyType = "p384"
	Ed25519 KeyType = "ed25519"
	RSA3072 KeyType = "rsa3072"
)

// KeyTypes lists the key types that a participant of the role may have.
// Signatures of bundles and approvals are ECDSA on P-256 or Ed25519 only.
func (r Role) KeyTypes() []KeyType {
	if r.Signs() {
		return []KeyType{P256, Ed25519}
	}
	return []KeyType{P256, P384, Ed25519, RSA3072}
}

// ParseKeyType reads a key type and refuses what is not among allowed.
func ParseKeyType(s string, allowed []KeyType) (KeyType, error) {
	if slices.Contains(allowed, KeyType(s)) {
		return KeyType(s), nil
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	return "", Invalidf("%q is no key type that is allowed here; there is %s", s, strings.Join(names, ", "))
}

// NewKey makes a key from the system's random source.
func NewKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	}
	return nil, Invalidf("cannot make a key of type %q", t)
}

// EncodeKey writes a key as unencrypted PKCS#8 PEM, which [ReadKey] reads.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot encode key: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ReadKey reads a participant's private key: PEM, one block, unencrypted, in
// PKCS#8, PKCS#1 (OpenFL's) or SEC 1 form, at most 64 KiB in a regular file.
// Whether others may read the file is for the caller to judge.
func ReadKey(path string) (crypto.Signer, error) {
	data, err := ReadFile(path, maxKey)
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(data)
	if err != nil {
		return nil, Invalidf("cannot read key %q: %w", path, err)
	}
	return key, nil
}

// ParseKey reads a private key as [ReadKey] does.
func ParseKey(data []byte) (crypto.Signer, error) {
	if len(data) > maxKey {
		return nil, Invalidf("more than %d bytes of key", maxKey)
	}
	blocks, err := ParsePEM(data, 1)
	if err != nil {
		return nil, err
	}
	var key any
	switch t := blocks[0].Type; t {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(blocks[0].Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(blocks[0].Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(blocks[0].Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, Invalidf("it is encrypted; a participant's key is stored without a passphrase in a file that only its owner can read")
	default:
		return nil, Invalidf("it is %q, not a private key", t)
	}
	if err != nil {
		return nil, Invalidf("%v", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, Invalidf("a key of type %T cannot sign", key)
	}
	return signer, nil
}

// SameKey reports whether two public keys are equal.
func SameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// DescribeKey names a public key as people do: "ECDSA P-256", "RSA 3072".
func DescribeKey(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", pub)
}

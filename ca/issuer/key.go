package issuer

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.step.sm/crypto/pemutil"

	"fx/ca/identity"
)

// MinPassphrase is the least length of a passphrase in bytes.
const MinPassphrase = 12

// ErrPassphrase says that a passphrase does not open a key.
var ErrPassphrase = errors.New("the passphrase is wrong or the key file is damaged")

// CheckPassphrase says what is wrong with a new passphrase.
func CheckPassphrase(p []byte) error {
	if len(p) < MinPassphrase {
		return fmt.Errorf("the passphrase has %d characters; at least %d are needed", len(p), MinPassphrase)
	}
	return nil
}

// newKey is a CA key that was just made and that no file knows yet.
type newKey struct {
	crypto.Signer
	uri  string       // where it is in an HSM; "" if it is in memory only
	undo func() error // removes it from there
}

// makeKey makes the key of a generation, in the token if one is named.
func (ca *CA) makeKey(k Kind, n int, t identity.KeyType, token string, passphrase []byte) (key *newKey, err error) {
	key = &newKey{undo: func() error { return nil }}
	if token == "" {
		key.Signer, err = identity.NewKey(t)
	} else {
		key.Signer, key.uri, key.undo, err = createHSM(token, "fx-"+ca.State.Federation+"-"+keyName(k, n), t, passphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the key of the %s: %w", k, err)
	}
	return key, nil
}

// store writes the key, or where it is.
func (k *newKey) store(path string, passphrase []byte) error {
	if k.uri != "" {
		return writeKeyReference(path, k.uri)
	}
	return writeKey(path, k.Signer, passphrase)
}

// writeKey stores a CA key as PKCS#8, encrypted under passphrase unless that is
// nil (PBES2: PBKDF2-HMAC-SHA256 with 600,000 rounds, AES-256-CBC). The bytes go
// through our own writer: pemutil's follows links and keeps old modes.
func writeKey(path string, key crypto.Signer, passphrase []byte) error {
	options := []pemutil.Options{pemutil.WithPKCS8(true)} // without it: RFC 1423 encryption
	if passphrase != nil {
		if err := CheckPassphrase(passphrase); err != nil {
			return err // pemutil writes in clear what has an empty passphrase
		}
		options = append(options, pemutil.WithPassword(passphrase))
	}
	block, err := pemutil.Serialize(key, options...)
	if err != nil {
		return fmt.Errorf("cannot encode key %q: %v", path, err)
	}
	if encrypted := block.Type == "ENCRYPTED PRIVATE KEY"; encrypted != (passphrase != nil) {
		return fmt.Errorf("cannot encode key %q: the encoder made %q", path, block.Type)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cannot create key folder: %v", err)
	}
	return identity.CreateFile(path, pem.EncodeToMemory(block), 0o600)
}

// keyIsEncrypted reports whether a passphrase is needed to open a key, or a PIN.
func keyIsEncrypted(path string) (bool, error) {
	if uri, err := keyReference(path); err != nil || uri != "" {
		return err == nil, err
	}
	block, err := readKeyBlock(path)
	return err == nil && block.Type == "ENCRYPTED PRIVATE KEY", err
}

func readKeyBlock(path string) (*pem.Block, error) {
	data, err := identity.ReadFile(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	blocks, err := identity.ParsePEM(data, 1)
	if err != nil {
		return nil, identity.Invalidf("cannot read CA key %q: %w", path, err)
	}
	return blocks[0], nil
}

// openKey reads a CA key, or finds it in the HSM. passphrase is not used for a
// key stored in clear, and is the PIN of one in an HSM.
func openKey(path string, passphrase []byte) (crypto.Signer, error) {
	if uri, err := keyReference(path); err != nil {
		return nil, err
	} else if uri != "" {
		key, err := openHSM(uri, passphrase)
		if err != nil {
			return nil, fmt.Errorf("cannot open CA key %q: %w", path, err)
		}
		return key, nil
	}
	block, err := readKeyBlock(path)
	if err != nil {
		return nil, err
	}
	der := block.Bytes
	switch block.Type {
	case "PRIVATE KEY":
	case "ENCRYPTED PRIVATE KEY":
		if der, err = decrypt(block.Bytes, passphrase); err != nil {
			return nil, fmt.Errorf("cannot open CA key %q: %w", path, err)
		}
	default:
		return nil, identity.Invalidf("cannot read CA key %q: it is %q, not PKCS#8", path, block.Type)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("cannot open CA key %q: %w", path, ErrPassphrase)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, identity.Invalidf("cannot use CA key %q: a key of type %T cannot sign", path, key)
	}
	return signer, nil
}

// decrypt opens PBES2. pemutil accepts any number of rounds and panics on some
// damaged parameters: both are bounded here.
func decrypt(der, passphrase []byte) (plain []byte, err error) {
	if err := checkPBES2(der); err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil {
			plain, err = nil, ErrPassphrase
		}
	}()
	plain, err = pemutil.DecryptPKCS8PrivateKey(der, passphrase)
	if err != nil {
		return nil, ErrPassphrase
	}
	return plain, nil
}

// pbes2 is EncryptedPrivateKeyInfo (RFC 5958 section 3) with the parameters of
// RFC 8018 appendix A, as far as they are to be bounded.
type pbes2 struct {
	Algorithm struct {
		ID     asn1.ObjectIdentifier
		Params struct {
			KDF struct {
				ID     asn1.ObjectIdentifier
				Params struct {
					Salt   []byte
					Rounds int
					PRF    asn1.RawValue `asn1:"optional"`
				}
			}
			Cipher struct {
				ID asn1.ObjectIdentifier
				IV []byte
			}
		}
	}
	Data []byte
}

func checkPBES2(der []byte) error {
	var p pbes2
	rest, err := asn1.Unmarshal(der, &p)
	params := p.Algorithm.Params
	switch {
	case err != nil || len(rest) > 0:
		return identity.Invalidf("it is not encrypted as PBES2 with PBKDF2")
	case params.KDF.Params.Rounds < 1 || params.KDF.Params.Rounds > 10_000_000:
		return identity.Invalidf("%d rounds of PBKDF2 are not between 1 and 10,000,000", params.KDF.Params.Rounds)
	case len(params.Cipher.IV) != 16 || len(p.Data) == 0 || len(p.Data)%16 != 0:
		return identity.Invalidf("its cipher is not AES-CBC")
	}
	return nil
}

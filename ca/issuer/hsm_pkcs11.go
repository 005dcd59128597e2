//go:build pkcs11

package issuer

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/pkcs11"

	"fx/ca/identity"
)

// HasHSM says whether this program can use keys in an HSM.
const HasHSM = true

// openToken logs in. The scheme is compared here, because the library would
// take any that is linked.
func openToken(uri string, pin []byte) (*pkcs11.PKCS11, error) {
	if !strings.HasPrefix(uri, hsmScheme) {
		return nil, identity.Invalidf("%q is no PKCS #11 URI", uri)
	}
	if len(pin) == 0 {
		return nil, errPIN // the library would go on without logging in
	}
	k, err := pkcs11.New(context.Background(), apiv1.Options{Type: apiv1.PKCS11, URI: uri, Pin: string(pin)})
	if err != nil {
		return nil, hsmError("open the HSM", err, pin)
	}
	return k, nil
}

// openHSM finds the key that a key file names.
func openHSM(uri string, pin []byte) (crypto.Signer, error) {
	k, err := openToken(uri, pin)
	if err != nil {
		return nil, err
	}
	s, err := k.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: uri})
	if err != nil {
		return nil, errors.Join(hsmError("find the key in the HSM", err, pin), k.Close())
	}
	return &patient{s, pin}, nil
}

// createHSM makes a key in a token, under a label and an identifier that no
// other key has, and says where it is. undo removes it again.
func createHSM(token, label string, t identity.KeyType, pin []byte) (s crypto.Signer, uri string, undo func() error, err error) {
	if err := CheckHSMKeyType(t); err != nil {
		return nil, "", nil, err
	}
	k, err := openToken(token, pin)
	if err != nil {
		return nil, "", nil, err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, "", nil, fmt.Errorf("cannot make the identifier of a key: %v", err)
	}
	uri = token + ";id=" + hex.EncodeToString(id[:]) + ";object=" + label
	req := &apiv1.CreateKeyRequest{Name: uri, SignatureAlgorithm: apiv1.ECDSAWithSHA256}
	switch t {
	case identity.P384:
		req.SignatureAlgorithm = apiv1.ECDSAWithSHA384
	case identity.RSA3072:
		req.SignatureAlgorithm, req.Bits = apiv1.SHA256WithRSA, 3072
	}
	if _, err := k.CreateKey(req); err != nil {
		return nil, "", nil, errors.Join(hsmError("make a key in the HSM", err, pin), k.Close())
	}
	undo = func() error {
		if err := k.DeleteKey(uri); err != nil {
			return hsmError("remove a key from the HSM", err, pin)
		}
		return nil
	}
	signer, err := k.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: uri})
	if err != nil {
		return nil, "", nil, errors.Join(hsmError("find the key in the HSM", err, pin), undo(), k.Close())
	}
	return &patient{signer, pin}, uri, undo, nil
}

// hsmTimeout is how long a module may take for one signature: it cannot be
// interrupted, and some wait for somebody to touch a token.
const hsmTimeout = 60 * time.Second

// patient is a signer in an HSM that is not waited for without end, and whose
// errors hold no PIN.
type patient struct {
	crypto.Signer
	pin []byte
}

func (s *patient) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	type reply struct {
		sig []byte
		err error
	}
	replies := make(chan reply, 1)
	go func() {
		sig, err := s.Signer.Sign(rand, digest, opts)
		replies <- reply{sig, err}
	}()
	select {
	case r := <-replies:
		if r.err != nil {
			return nil, hsmError("sign with the HSM", r.err, s.pin)
		}
		return r.sig, nil
	case <-time.After(hsmTimeout):
		return nil, errors.New("cannot sign with the HSM: it did not answer within " + hsmTimeout.String())
	}
}

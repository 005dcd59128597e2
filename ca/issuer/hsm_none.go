//go:build !pkcs11

package issuer

import (
	"crypto"

	"fx/ca/identity"
)

// HasHSM says whether this program can use keys in an HSM.
const HasHSM = false

// openHSM and createHSM are for the build with the tag pkcs11.
func openHSM(string, []byte) (crypto.Signer, error) { return nil, ErrNoHSM }

func createHSM(string, string, identity.KeyType, []byte) (crypto.Signer, string, func() error, error) {
	return nil, "", nil, ErrNoHSM
}

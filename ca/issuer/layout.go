// Package issuer is the certificate authority of a federation: it makes the
// CAs, judges requests, signs them and keeps a record of every certificate. It
// is the only code that touches the CA's keys.
//
// What is issued is described in ca/PROFILE.md.
package issuer

import (
	"path/filepath"

	"fx/ca/identity"
)

// Kind is one of the three CAs of a federation, spelled as its files are.
type Kind string

// The CAs. OpenFL's "signing CA", which signs TLS certificates, is the network
// CA here; the signing CA here certifies who signs bundles and approvals.
const (
	Root    Kind = "root-ca"
	Network Kind = "network-ca"
	Signing Kind = "signing-ca"
)

// Kinds lists the CAs from the root down.
func Kinds() []Kind { return []Kind{Root, Network, Signing} }

// KindFor says which CA certifies a role.
func KindFor(r identity.Role) Kind {
	if r.Signs() {
		return Signing
	}
	return Network
}

// Names in a CA folder. The root's files are where OpenFL has them.
const (
	stateFile  = "ca.json"
	logDir     = "log"
	issuedDir  = "issued" // records of older versions of this program
	lockFile   = "lock"
	maxState   = 64 << 10
	maxKeyFile = 64 << 10
)

func crtFile(dir string, k Kind) string { return filepath.Join(dir, string(k)+".crt") }

func keyFile(dir string, k Kind) string {
	return filepath.Join(dir, string(k), "private", string(k)+".key")
}

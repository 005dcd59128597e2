package issuer

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"fx/ca/identity"
)

// CA is a federation's certificate authority in its folder. It is not for use
// by several goroutines at once; several processes may use the same folder.
type CA struct {
	State State

	dir   string
	now   func() time.Time
	certs map[Kind]*x509.Certificate // of the current generations
	keys  map[Kind]crypto.Signer     // those that were unlocked

	generations map[Kind][]*generation     // all, oldest first
	signed      map[*x509.Certificate]bool // whose signature by the root was checked
	book        *book                      // nil until it is needed
}

// Open reads a CA folder. No key is opened. now is the clock by which
// everything is judged and dated; nil is the system's.
func Open(dir string, now func() time.Time) (*CA, error) {
	if now == nil {
		now = time.Now
	}
	data, err := identity.ReadFile(filepath.Join(dir, stateFile), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot open CA %q: there is none (no %s)", dir, stateFile)
	}
	if err != nil {
		return nil, err
	}
	s, err := parseState(data)
	if err != nil {
		return nil, identity.Invalidf("cannot use %q: %w", filepath.Join(dir, stateFile), err)
	}
	ca := &CA{State: *s, dir: dir, now: now, certs: map[Kind]*x509.Certificate{}, keys: map[Kind]crypto.Signer{}, signed: map[*x509.Certificate]bool{}}
	if err := ca.loadGenerations(); err != nil {
		return nil, err
	}
	return ca, nil
}

// Certificate is the certificate of one of the CAs.
func (ca *CA) Certificate(k Kind) *x509.Certificate { return ca.certs[k] }

// Locked reports whether a passphrase is needed to use a CA's key.
func (ca *CA) Locked(k Kind) (bool, error) {
	if ca.keys[k] != nil {
		return false, nil
	}
	return keyIsEncrypted(generationKeyFile(ca.dir, k, ca.State.generationOf(k)))
}

// Unlock opens the key of one CA. It stays open as long as the process runs.
// With a wrong passphrase the error wraps [ErrPassphrase].
func (ca *CA) Unlock(k Kind, passphrase []byte) error {
	g := ca.current(k)
	if err := ca.unlock(g, passphrase); err != nil {
		return err
	}
	ca.keys[k] = g.key
	return nil
}

// checkIssuer says why a CA's certificate may not issue at the given time.
func (ca *CA) checkIssuer(k Kind, at time.Time) error {
	c, root := ca.certs[k], ca.rootOf(ca.certs[k])
	switch {
	case !c.IsCA || !c.BasicConstraintsValid:
		return identity.Untrustedf("the certificate of the %s is no CA's", k)
	case c.KeyUsage&x509.KeyUsageCertSign == 0:
		return identity.Untrustedf("the certificate of the %s may not sign certificates", k)
	case at.Before(c.NotBefore):
		return identity.Untrustedf("the %s is not valid before %s", k, c.NotBefore.Format(time.RFC3339))
	case at.After(c.NotAfter):
		return identity.Untrustedf("the %s expired on %s", k, c.NotAfter.Format(time.RFC3339))
	case !bytes.Equal(c.RawIssuer, root.RawSubject):
		return identity.Untrustedf("the %s was not issued by the root", k)
	}
	if !ca.signed[c] { // once is enough: neither certificate changes while it is in memory
		if err := c.CheckSignatureFrom(root); err != nil {
			return identity.Untrustedf("the %s was not signed by the root: %v", k, err)
		}
		ca.signed[c] = true
	}
	if at.After(root.NotAfter) || at.Before(root.NotBefore) {
		return identity.Untrustedf("the root is valid from %s to %s only", root.NotBefore.Format(time.RFC3339), root.NotAfter.Format(time.RFC3339))
	}
	return nil
}

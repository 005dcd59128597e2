package issuer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"fx/ca/identity"
)

// Rotation is what [CA.Rotate] made.
type Rotation struct {
	Kind         Kind
	Generation   int
	Certificates []*x509.Certificate // all that are new
}

// planned is a certificate of a rotation and where it will lie.
type planned struct {
	kind  Kind
	n, by int
	cert  *x509.Certificate
}

// Rotate gives one of the CAs a new key, its next generation. The old one stays
// valid until it expires: answers and chain files carry both, so that old and
// new participants work together meanwhile.
//
// A new network or signing CA is certified by every root that is valid. A new
// root certifies all valid network and signing CAs once more; it and the root
// before it certify each other, so that participants who know either can follow
// without comparing a fingerprint again. passphrase opens the keys and encrypts the new
// one; nil stores it in clear, which is refused if the CA's keys are encrypted.
//
// The key of a CA that is in an HSM gets its successor in the same token.
//
// The new generation counts once ca.json says so, which is written last.
func (ca *CA) Rotate(ctx context.Context, k Kind, passphrase []byte) (*Rotation, error) {
	unlock, err := ca.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	a, err := ca.openAccount()
	if err != nil {
		return nil, err
	}
	was := generationKeyFile(ca.dir, k, ca.State.generationOf(k))
	locked, err := keyIsEncrypted(was)
	if err != nil {
		return nil, err
	}
	if !locked {
		passphrase = nil
	}
	token, err := tokenOf(was)
	if err != nil {
		return nil, err
	}
	if err := ca.unlock(ca.current(k), passphrase); err != nil { // or the new key would lie under another passphrase
		return nil, err
	}
	if err := ca.unlockRoots(a, passphrase); err != nil {
		return nil, err
	}
	now := ca.now().UTC().Truncate(time.Second)
	n := ca.State.generationOf(k) + 1
	if n > maxGenerations {
		return nil, identity.Invalidf("cannot rotate the %s: it had %d generations", k, n-1)
	}
	keyType := ca.State.KeyType
	if k == Root {
		keyType = identity.P384
	}
	key, err := ca.makeKey(k, n, keyType, token, passphrase)
	if err != nil {
		return nil, err
	}
	plan, err := ca.planRotation(k, n, key.Signer, a, now)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("cannot rotate the %s: %w", k, ctx.Err())
	}
	if err == nil {
		err = ca.storeRotation(k, n, key, passphrase, plan, now)
	}
	if err != nil {
		return nil, errors.Join(err, key.undo())
	}
	if err := ca.finishRotation(k, n); err != nil { // it may count already: the key stays
		return nil, err
	}
	if err := ca.reload(); err != nil {
		return nil, err
	}
	ca.current(k).key, ca.keys[k] = key.Signer, key.Signer
	r := &Rotation{Kind: k, Generation: n}
	for _, p := range plan {
		r.Certificates = append(r.Certificates, p.cert)
	}
	return r, ca.writeChains(a)
}

// unlockRoots opens the keys of all roots that are valid.
func (ca *CA) unlockRoots(a *account, passphrase []byte) error {
	for _, g := range ca.generations[Root] {
		if g.key == nil && ca.rootUsable(g.n, a, ca.now()) {
			if err := ca.unlock(g, passphrase); err != nil {
				return err
			}
		}
	}
	return nil
}

// planRotation signs the certificates of a rotation, and checks them.
func (ca *CA) planRotation(k Kind, n int, key crypto.Signer, a *account, now time.Time) (plan []planned, err error) {
	add := func(kind Kind, n, by int, pub crypto.PublicKey, root *x509.Certificate, rootKey crypto.Signer, until time.Time) error {
		c, err := ca.certifyCA(kind, n, pub, root, rootKey, now, until)
		if err == nil {
			plan = append(plan, planned{kind, n, by, c})
		}
		return err
	}
	if k != Root {
		for _, g := range ca.generations[Root] {
			if ca.rootUsable(g.n, a, now) {
				if err := add(k, n, g.n, key.Public(), g.certs[g.n], g.key, g.certs[g.n].NotAfter); err != nil {
					return nil, err
				}
			}
		}
		if len(plan) == 0 {
			return nil, identity.Untrustedf("cannot rotate the %s: no root is valid", k)
		}
		return plan, nil
	}
	if err := add(Root, n, n, key.Public(), nil, key, now.AddDate(100, 0, 0)); err != nil {
		return nil, err
	}
	root := plan[0].cert
	if old := ca.current(Root); ca.rootUsable(old.n, a, now) {
		was := old.certs[old.n]
		if err := add(Root, n, old.n, key.Public(), was, old.key, was.NotAfter); err != nil {
			return nil, err
		}
		if err := add(Root, old.n, n, was.PublicKey, root, key, was.NotAfter); err != nil {
			return nil, err
		}
	}
	for _, kind := range []Kind{Network, Signing} {
		for _, g := range ca.generations[kind] {
			if now.After(g.newest().NotAfter) || a.isRevoked(g.newest()) {
				continue
			}
			if err := add(kind, g.n, n, g.newest().PublicKey, root, key, g.newest().NotAfter); err != nil {
				return nil, err
			}
		}
	}
	return plan, nil
}

// certifyCA makes the certificate of a CA's key by a root; a nil root means
// itself. It ends with the root's at the latest, and not after until: another
// certificate does not prolong the life of a key.
func (ca *CA) certifyCA(k Kind, n int, pub crypto.PublicKey, root *x509.Certificate, rootKey crypto.Signer, now, until time.Time) (*x509.Certificate, error) {
	t := rootTemplate(&ca.State, n, now)
	if k != Root {
		var err error
		if t, err = issuingTemplate(&ca.State, k, n, now); err != nil {
			return nil, err
		}
	}
	if t.NotAfter.After(until) {
		t.NotAfter = until
	}
	if root != nil {
		if t.NotAfter.After(root.NotAfter) {
			t.NotAfter = root.NotAfter
		}
		if t.NotBefore.Before(root.NotBefore) {
			t.NotBefore = root.NotBefore
		}
	}
	c, err := certify(rand.Reader, t, root, pub, rootKey)
	if err != nil {
		return nil, err
	}
	if root == nil {
		root = c
	}
	return c, lintCA(c, root, &ca.State, k, n)
}

// storeRotation writes records, key and certificates, in this order.
func (ca *CA) storeRotation(k Kind, n int, key *newKey, passphrase []byte, plan []planned, now time.Time) error {
	var records []*Record
	for _, p := range plan {
		r := newRecord(p.cert, Root, now)
		r.Name, r.Federation, r.Generation = string(p.kind), ca.State.Federation, p.by
		records = append(records, r)
	}
	if err := ca.appendRecords(records...); err != nil {
		return err
	}
	if err := ca.removeLeftovers(k, n, plan); err != nil {
		return err
	}
	if err := key.store(generationKeyFile(ca.dir, k, n), passphrase); err != nil {
		return err
	}
	for _, p := range plan {
		if err := identity.CreateFile(generationCrtFile(ca.dir, p.kind, p.n, p.by), identity.EncodeCertificates(p.cert), 0o644); err != nil {
			return err
		}
	}
	return ca.appendRecords(&Record{
		Format: recordFormat, Kind: KindRotated, Issuer: k, Generation: n, Name: string(k), Federation: ca.State.Federation,
		Key: keyHash(plan[0].cert.RawSubjectPublicKeyInfo), IssuedAt: now,
	})
}

// finishRotation writes the state that counts the new generation.
func (ca *CA) finishRotation(k Kind, n int) error {
	s := ca.State
	s.Generations = maps.Clone(s.Generations)
	if s.Generations == nil {
		s.Generations = map[Kind]int{}
	}
	s.Generations[k] = n
	data, err := encodeJSON(s)
	if err != nil {
		return err
	}
	if err := identity.ReplaceFile(filepath.Join(ca.dir, stateFile), data, 0o644); err != nil {
		return err
	}
	ca.State = s
	return nil
}

// removeLeftovers removes what a rotation that never ended has left. Its key
// has certified nothing: the state that counts it was never written.
func (ca *CA) removeLeftovers(k Kind, n int, plan []planned) error {
	paths := []string{generationKeyFile(ca.dir, k, n)}
	for _, p := range plan {
		paths = append(paths, generationCrtFile(ca.dir, p.kind, p.n, p.by))
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove what an interrupted rotation left: %v", err)
		}
	}
	return nil
}

// reload reads the certificates again and keeps the keys that are open.
func (ca *CA) reload() error {
	old := ca.generations
	if err := ca.loadGenerations(); err != nil {
		return err
	}
	clear(ca.signed)
	clear(ca.keys)
	for k, all := range ca.generations {
		for i, g := range all {
			if i < len(old[k]) {
				g.key = old[k][i].key
			}
		}
		if key := ca.current(k).key; key != nil {
			ca.keys[k] = key
		}
	}
	return nil
}

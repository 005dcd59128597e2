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

// generation is one key of one of the CAs and all certificates of that key.
// After a rotation the older generations stay: what they certified is valid,
// and their revocation lists have to be signed.
type generation struct {
	kind  Kind
	n     int                       // 1 is what [Create] made
	certs map[int]*x509.Certificate // by the generation of the root that signed it; of a root: n is itself, others are links
	key   crypto.Signer             // if unlocked
}

// generationOf is the number of a CA's current generation.
func (s *State) generationOf(k Kind) int { return max(s.Generations[k], 1) }

// keyName is the base name of a generation's files: "network-ca", then
// "network-ca-g2".
func keyName(k Kind, n int) string {
	if n <= 1 {
		return string(k)
	}
	return fmt.Sprintf("%s-g%d", k, n)
}

// generationKeyFile is where the key of a generation lies.
func generationKeyFile(dir string, k Kind, n int) string {
	return filepath.Join(dir, string(k), "private", keyName(k, n)+".key")
}

// generationCrtFile is where the certificate of a generation lies that the
// root of the generation by has signed.
func generationCrtFile(dir string, k Kind, n, by int) string {
	name := keyName(k, n)
	if k == Root && by != n || k != Root && (n > 1 || by > 1) {
		name += fmt.Sprintf("-by-g%d", by)
	}
	return filepath.Join(dir, name+".crt")
}

// loadGenerations reads the certificates of all generations that the state
// counts. Others were left by a rotation that never ended.
func (ca *CA) loadGenerations() error {
	ca.generations = map[Kind][]*generation{}
	roots := ca.State.generationOf(Root)
	for _, k := range Kinds() {
		for n := 1; n <= ca.State.generationOf(k); n++ {
			g := &generation{kind: k, n: n, certs: map[int]*x509.Certificate{}}
			for by := 1; by <= roots; by++ {
				path := generationCrtFile(ca.dir, k, n, by)
				certs, err := identity.ReadCertificates(path)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return err
				}
				if len(certs) != 1 {
					return identity.Invalidf("cannot use %q: it holds %d certificates, not one", path, len(certs))
				}
				g.certs[by] = certs[0]
			}
			if err := g.check(ca.dir); err != nil {
				return err
			}
			ca.generations[k] = append(ca.generations[k], g)
		}
		ca.certs[k] = ca.current(k).newest()
	}
	return nil
}

func (g *generation) check(dir string) error {
	if len(g.certs) == 0 || g.kind == Root && g.certs[g.n] == nil {
		return identity.Invalidf("cannot use CA %q: it has no certificate of the %s, generation %d", dir, g.kind, g.n)
	}
	for _, c := range g.certs {
		if !identity.SameKey(c.PublicKey, g.newest().PublicKey) || !bytes.Equal(c.RawSubject, g.newest().RawSubject) {
			return identity.Untrustedf("cannot use CA %q: its certificates of the %s, generation %d, are of different keys or names", dir, g.kind, g.n)
		}
	}
	return nil
}

// newest is a generation's certificate by the newest root; a root's own.
func (g *generation) newest() *x509.Certificate {
	if g.kind == Root {
		return g.certs[g.n]
	}
	var c *x509.Certificate
	for last, by := 0, 1; len(g.certs) > 0 && last < len(g.certs); by++ {
		if g.certs[by] != nil {
			c, last = g.certs[by], last+1
		}
	}
	return c
}

// current is the newest generation of a CA.
func (ca *CA) current(k Kind) *generation {
	all := ca.generations[k]
	return all[len(all)-1]
}

// usable lists what of a CA participants need now: certificates that are
// neither expired nor revoked. The links between roots are left out.
func (ca *CA) usable(k Kind, a *account, now time.Time) (certs []*x509.Certificate) {
	for _, g := range ca.generations[k] {
		for by := 1; by <= ca.State.generationOf(Root); by++ {
			c := g.certs[by]
			if c == nil || k == Root && by != g.n || k != Root && !ca.rootUsable(by, a, now) {
				continue
			}
			if !now.After(c.NotAfter) && !a.isRevoked(c) {
				certs = append(certs, c)
			}
		}
	}
	return certs
}

func (ca *CA) rootUsable(n int, a *account, now time.Time) bool {
	c := ca.generations[Root][n-1].certs[n]
	return !now.After(c.NotAfter) && !a.isRevoked(c)
}

// links lists the certificates by which neighbouring roots vouch for each other.
func (ca *CA) links() (certs []*x509.Certificate) {
	for _, g := range ca.generations[Root] {
		for by := 1; by <= ca.State.generationOf(Root); by++ {
			if c := g.certs[by]; c != nil && by != g.n {
				certs = append(certs, c)
			}
		}
	}
	return certs
}

// rootOf is the root certificate that signed c.
func (ca *CA) rootOf(c *x509.Certificate) *x509.Certificate {
	for _, g := range ca.generations[Root][:ca.current(Root).n-1] {
		if bytes.Equal(c.RawIssuer, g.certs[g.n].RawSubject) {
			return g.certs[g.n]
		}
	}
	return ca.certs[Root]
}

// unlock opens a generation's key.
func (ca *CA) unlock(g *generation, passphrase []byte) error {
	path := generationKeyFile(ca.dir, g.kind, g.n)
	key, err := openKey(path, passphrase)
	if err != nil {
		return err
	}
	if !identity.SameKey(key.Public(), g.newest().PublicKey) {
		return identity.Untrustedf("cannot use CA key %q: it does not belong to the certificate of the %s", path, g.kind)
	}
	g.key = key
	return nil
}

package issuer

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"fx/ca/identity"
)

// Issued is a certificate that was recorded and may be handed out.
type Issued struct {
	Record      *Record
	Certificate *x509.Certificate
	Answer      *identity.Answer
}

// Sign judges a request once more, signs it, checks what was signed, records
// it, and only then returns it. It holds the CA folder's lock meanwhile, so that
// two custodians cannot both certify one name. The issuing CA must have been
// unlocked.
func (ca *CA) Sign(ctx context.Context, req *Request, approved identity.Identity, o Options) (*Issued, error) {
	unlock, err := lockedfile.MutexAt(filepath.Join(ca.dir, lockFile)).Lock()
	if err != nil {
		return nil, fmt.Errorf("cannot lock CA %q: %v", ca.dir, err)
	}
	defer unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	p, err := ca.Review(req, approved, o)
	if err != nil {
		return nil, err
	}
	key := ca.keys[p.Issuer]
	if key == nil {
		return nil, fmt.Errorf("cannot sign: the key of the %s is locked", p.Issuer)
	}
	t, err := leafTemplate(p)
	if err != nil {
		return nil, err
	}
	cert, err := certify(rand.Reader, t, ca.certs[p.Issuer], p.publicKey, key)
	if err != nil {
		return nil, err
	}
	if err := ca.lintLeaf(cert, p); err != nil {
		return nil, err
	}
	answer, err := ca.answer(cert)
	if err != nil {
		return nil, err
	}
	now := ca.now().UTC().Truncate(time.Second)
	r := newRecord(cert, p.Issuer, now)
	r.Role, r.Name, r.Federation = p.Identity.Role, p.Identity.Name, p.Identity.Federation
	r.Request, r.Replaces = req.Fingerprint, p.Replaces
	p.endorse(r)
	if err := ca.appendRecords(r); err != nil {
		return nil, err
	}
	return &Issued{Record: r, Certificate: cert, Answer: answer}, nil
}

func newRecord(c *x509.Certificate, issuer Kind, now time.Time) *Record {
	return &Record{
		Format: recordFormat, Kind: KindIssued, Serial: serialHex(c), Issuer: issuer, Key: keyHash(c.RawSubjectPublicKeyInfo),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, IssuedAt: now, Certificate: c.Raw,
	}
}

// answer puts the certificate together with the CA's own and with revocation
// lists, if the CA folder has any.
func (ca *CA) answer(leaf *x509.Certificate) (*identity.Answer, error) {
	a := &identity.Answer{
		Leaf:    leaf,
		Roots:   []*x509.Certificate{ca.certs[Root]},
		Network: []*x509.Certificate{ca.certs[Network]},
		Signing: []*x509.Certificate{ca.certs[Signing]},
	}
	path := filepath.Join(ca.dir, identity.CRLFile)
	data, err := identity.ReadFile(path, identity.MaxCRL)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		a.CRLs, err = identity.ParseCRLs(data)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot add revocation lists %q: %w", path, err)
	}
	return a, nil
}

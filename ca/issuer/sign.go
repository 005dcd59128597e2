package issuer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

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
	var out Outcome
	err := ca.SignAll(ctx, []Job{{req, approved, o}}, func(done []Outcome) error {
		out = done[0]
		return nil
	})
	if err == nil {
		err = out.Err
	}
	if err != nil {
		return nil, err
	}
	return out.Issued, nil
}

func newRecord(c *x509.Certificate, issuer Kind, now time.Time) *Record {
	return &Record{
		Format: recordFormat, Kind: KindIssued, Serial: serialHex(c), Issuer: issuer, Key: keyHash(c.RawSubjectPublicKeyInfo),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, IssuedAt: now, Certificate: c.Raw,
	}
}

// answers makes the answers to requests: all but the certificate is the same
// in each. Older and newer generations of the CAs are in it, so that old and
// new participants understand each other while a rotation is under way.
func (ca *CA) answers(a *account) (func(leaf *x509.Certificate) *identity.Answer, error) {
	path := filepath.Join(ca.dir, identity.CRLFile)
	data, err := identity.ReadFile(path, identity.MaxCRL)
	var crls []*x509.RevocationList
	if err == nil {
		crls, err = identity.ParseCRLs(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot add revocation lists %q: %w", path, err)
	}
	common := ca.answer(a, crls)
	return func(leaf *x509.Certificate) *identity.Answer {
		answer := common
		answer.Leaf = leaf
		return &answer
	}, nil
}

// answer is what every answer has: all but the certificate.
func (ca *CA) answer(a *account, crls []*x509.RevocationList) identity.Answer {
	now := ca.now()
	return identity.Answer{
		Roots: ca.usable(Root, a, now), Links: ca.links(),
		Network: ca.usable(Network, a, now), Signing: ca.usable(Signing, a, now), CRLs: crls,
	}
}

package issuer

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"fx/ca/identity"
	"fx/ca/merklelog"
)

// Log is an account of a CA that was read as a whole, its own or an exported
// one.
type Log struct {
	Records []*Record

	log  *merklelog.Log
	keys merklelog.Keys      // of every CA that the log records
	cas  []*x509.Certificate // likewise
}

// Log reads the CA's log. Every hash in it and the newest checkpoint are judged;
// [Log.Audit] judges the rest.
func (ca *CA) Log() (*Log, error) {
	records, err := ca.Records()
	if err != nil {
		return nil, err
	}
	if ca.book.old {
		return nil, &oldLogError{ca.dir}
	}
	return newLog(ca.book.log, records)
}

// oldLogError says what to do about records of older versions.
type oldLogError struct{ dir string }

func (e *oldLogError) Error() string {
	return fmt.Sprintf("CA %q has records, but no log yet: an older version of this program made it", e.dir)
}

// Hint is what can be done.
func (e *oldLogError) Hint() string {
	return "the next signature moves its records into a log: fxctl ca sign CSR --role ROLE"
}

// ParseLog reads an exported log, and trusts it as far as the federation's root,
// known by its fingerprint, vouches for it.
func ParseLog(data []byte, root string) (*Log, error) {
	ml, err := merklelog.Parse(data, "", describe)
	if err != nil {
		return nil, err
	}
	records, i, err := parseRecords(ml.Records())
	if err != nil {
		return nil, identity.Invalidf("cannot use record %d of the log: %w", i, err)
	}
	l, err := newLog(ml, records)
	if err != nil {
		return nil, err
	}
	if want := Origin(records[0].Federation); ml.Origin() != want {
		return nil, identity.Untrustedf("the log calls itself %q, its records %q", ml.Origin(), want)
	}
	keys, err := l.vouched(root)
	if err != nil {
		return nil, err
	}
	return l, ml.Checkpoint().Verify(keys)
}

func newLog(ml *merklelog.Log, records []*Record) (*Log, error) {
	l := &Log{Records: records, log: ml}
	for i, r := range records {
		if r.Kind != KindIssued || r.Role != "" {
			continue
		}
		c, err := x509.ParseCertificate(r.Certificate)
		if err != nil {
			return nil, identity.Invalidf("cannot read the certificate in record %d: %v", i, err)
		}
		key, err := merklelog.NewKey(logKeyName(r.Federation, Kind(r.Name)), c.PublicKey)
		if err != nil {
			return nil, err
		}
		l.cas, l.keys = append(l.cas, c), append(l.keys, key)
	}
	return l, nil
}

// vouched are the keys of the root with this fingerprint, and of the CAs that
// it has certified.
func (l *Log) vouched(fingerprint string) (keys merklelog.Keys, err error) {
	var root *x509.Certificate
	for _, c := range l.cas {
		if identity.Fingerprint(c.Raw) == identity.Ungrouped(fingerprint) {
			root = c
		}
	}
	if root == nil {
		return nil, identity.Untrustedf("cannot trust the log: the root with fingerprint %s is not in it", identity.Ungrouped(fingerprint))
	}
	for i, c := range l.cas {
		if c.Equal(root) || c.CheckSignatureFrom(root) == nil {
			keys = append(keys, l.keys[i])
		}
	}
	return keys, nil
}

// Checkpoint is the newest one.
func (l *Log) Checkpoint() *merklelog.Checkpoint { return l.log.Checkpoint() }

// Export is the whole log as one file, for [ParseLog].
func (l *Log) Export() []byte { return l.log.Export() }

// Required is how many approvals every certificate of a participant needs.
func (l *Log) Required() int { return required(l.Records) }

// Since proves that the log continues a checkpoint that somebody kept.
func (l *Log) Since(old *merklelog.Checkpoint) error { return l.log.Since(old, l.keys) }

// Audit judges everything that the log says about itself: the signature of every
// checkpoint, and that every record agrees with the certificate in it, which one
// of the recorded CAs must have signed.
func (l *Log) Audit() error {
	if err := l.log.Verify(l.keys); err != nil {
		return err
	}
	for i, r := range l.Records {
		if why := l.disagrees(r); why != "" {
			return &merklelog.DamageError{
				Index: int64(i), Data: l.log.Records()[i], What: r.String(), Reason: "does not say what its certificate says: " + why,
			}
		}
	}
	return nil
}

// disagrees says in what a record of a certificate differs from it.
func (l *Log) disagrees(r *Record) string {
	if r.Kind != KindIssued {
		return ""
	}
	c, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return err.Error()
	}
	id, err := identity.FromCertificate(c)
	switch {
	case serialHex(c) != r.Serial:
		return "the serial"
	case keyHash(c.RawSubjectPublicKeyInfo) != r.Key:
		return "the key"
	case !c.NotBefore.Equal(r.NotBefore) || !c.NotAfter.Equal(r.NotAfter):
		return "the validity"
	case r.Role == "" && !c.IsCA:
		return "it is no CA's"
	case r.Role != "" && (err != nil || id != identity.Identity{Federation: r.Federation, Role: r.Role, Name: r.Name}):
		return "the identity"
	}
	for _, parent := range l.cas {
		if bytes.Equal(parent.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(parent) == nil {
			return ""
		}
	}
	return "no CA of the log has signed it"
}

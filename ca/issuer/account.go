package issuer

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"fx/ca/identity"
)

// account is everything that was recorded, by what it is looked up by. It is
// built once for a batch: a look-up for each request would read it each time.
type account struct {
	records   []*Record // all
	issued    []*Record // participants and CAs, oldest first
	bySerial  map[string]*Record
	byKey     map[string][]*Record
	byName    map[string][]*Record // "role name"
	byRequest map[string][]*Record
	revoked   map[string]*Record // by serial
	lists     map[string]*Record // the newest revocation list of each generation of a CA
}

func newAccount(records []*Record) *account {
	a := &account{
		bySerial: map[string]*Record{}, byKey: map[string][]*Record{}, byName: map[string][]*Record{},
		byRequest: map[string][]*Record{}, revoked: map[string]*Record{}, lists: map[string]*Record{},
	}
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(x, y *Record) int {
		if c := x.IssuedAt.Compare(y.IssuedAt); c != 0 {
			return c
		}
		return strings.Compare(x.Serial, y.Serial)
	})
	for _, r := range records {
		a.add(r)
	}
	return a
}

// openAccount reads the records of a CA folder.
func (ca *CA) openAccount() (*account, error) {
	records, err := ca.Records()
	if err != nil {
		return nil, err
	}
	return newAccount(records), nil
}

func (a *account) add(r *Record) {
	a.records = append(a.records, r)
	switch r.Kind {
	case KindIssued:
		a.issued = append(a.issued, r)
		a.bySerial[r.Serial] = r
		a.byKey[r.Key] = append(a.byKey[r.Key], r)
		a.byName[nameKey(r.Role, r.Name)] = append(a.byName[nameKey(r.Role, r.Name)], r)
		if r.Request != "" {
			a.byRequest[r.Request] = append(a.byRequest[r.Request], r)
		}
	case KindRevoked:
		a.revoked[r.Serial] = r
	case KindCRL:
		key := listKey(r.Issuer, r.Generation)
		if old := a.lists[key]; old == nil || r.Number > old.Number {
			a.lists[key] = r
		}
	}
}

func nameKey(r identity.Role, name string) string { return string(r) + " " + name }

func listKey(k Kind, generation int) string { return keyName(k, max(generation, 1)) }

// current lists the certificates of a participant that are neither expired nor
// revoked.
func (a *account) current(id identity.Identity, now time.Time) (found []*Record) {
	for _, r := range a.byName[nameKey(id.Role, id.Name)] {
		if !now.After(r.NotAfter) && a.revoked[r.Serial] == nil {
			found = append(found, r)
		}
	}
	return found
}

// compromised reports whether a certificate of this key was ever revoked
// because others may have the key.
func (a *account) compromised(key string) *Record {
	for _, r := range a.byKey[key] {
		if x := a.revoked[r.Serial]; x != nil && (x.Reason == "keyCompromise" || x.Reason == "cACompromise") {
			return x
		}
	}
	return nil
}

// isRevoked reports whether a CA's own certificate was revoked.
func (a *account) isRevoked(c *x509.Certificate) bool { return a.revoked[serialHex(c)] != nil }

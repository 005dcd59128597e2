package issuer

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"fx/ca/identity"
)

// Status is where a certificate is in its life.
type Status string

// The statuses of a certificate. Replaced ones are valid as long as they are
// not revoked: the new certificate is there for the time after.
const (
	Valid    Status = "valid"
	Replaced Status = "replaced"
	Expired  Status = "expired"
	Revoked  Status = "revoked"
)

// Statuses lists all statuses in the order of a life.
func Statuses() []Status { return []Status{Valid, Replaced, Expired, Revoked} }

// Entry is a certificate of this CA and what became of it.
type Entry struct {
	*Record
	Status     Status
	Revocation *Record // if it was revoked
	ReplacedBy string  // serial, if a later certificate replaces it
}

// List is all that was ever issued, oldest first, as it stands now.
func (ca *CA) List() ([]Entry, error) {
	a, err := ca.openAccount()
	if err != nil {
		return nil, err
	}
	return a.entries(ca.now()), nil
}

func (a *account) entries(now time.Time) []Entry {
	replacedBy := map[string]string{}
	for _, r := range a.issued {
		for _, old := range r.Replaces {
			replacedBy[old] = r.Serial
		}
	}
	entries := make([]Entry, len(a.issued))
	for i, r := range a.issued {
		e := Entry{Record: r, Status: Valid, Revocation: a.revoked[r.Serial], ReplacedBy: replacedBy[r.Serial]}
		switch {
		case e.Revocation != nil:
			e.Status = Revoked
		case now.After(r.NotAfter):
			e.Status = Expired
		case e.ReplacedBy != "":
			e.Status = Replaced
		}
		entries[i] = e
	}
	return entries
}

// ListState is a revocation list as the account knows it.
type ListState struct {
	Issuer     string // "network-ca", "network-ca-g2"
	Number     int64
	Entries    int
	ThisUpdate time.Time
	NextUpdate time.Time
	Pending    int    // revocations that are on no list yet
	Problem    string // "" or why the list's file is not the one that was recorded
}

// Lists is the state of the revocation lists that the CA has made, and of
// those that it should make because something was revoked.
func (ca *CA) Lists() ([]ListState, error) {
	a, err := ca.openAccount()
	if err != nil {
		return nil, err
	}
	var states []ListState
	for _, g := range ca.listIssuers(a, ca.now(), false) {
		s := ListState{Issuer: keyName(g.kind, g.n)}
		last := a.lists[listKey(g.kind, g.n)]
		for _, r := range a.revoked {
			if r.Issuer == g.kind && max(r.Generation, 1) == g.n && (last == nil || r.IssuedAt.After(last.IssuedAt)) {
				s.Pending++
			}
		}
		if last == nil {
			if s.Pending > 0 {
				states = append(states, s)
			}
			continue
		}
		s.Number, s.Entries, s.ThisUpdate, s.NextUpdate = last.Number, last.Entries, last.NotBefore, last.NotAfter
		data, err := identity.ReadFile(filepath.Join(ca.dir, s.Issuer+".crl"), identity.MaxCRL)
		sum := sha256.Sum256(data)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.Problem = "its file is not there; ca crl makes another"
		case err != nil:
			s.Problem = err.Error()
		case hex.EncodeToString(sum[:]) != last.Digest:
			s.Problem = "its file is not the list that was recorded; ca crl makes another"
		}
		states = append(states, s)
	}
	return states, nil
}

// UpdateIsCurrent reports whether the file that participants import says what the
// CA is now. It does not if a rotation or a list was interrupted before its end,
// or if a CA has ended since. A CA that has published nothing yet needs no file.
func (ca *CA) UpdateIsCurrent() (bool, error) {
	a, err := ca.openAccount()
	if err != nil {
		return false, err
	}
	data, err := identity.ReadFile(filepath.Join(ca.dir, UpdateFile), 2*identity.MaxCRL)
	if errors.Is(err, fs.ErrNotExist) {
		return len(a.lists) == 0 && len(ca.State.Generations) == 0, nil
	}
	if err != nil {
		return false, err
	}
	answer, err := ca.answers(a)
	if err != nil {
		return false, err
	}
	return bytes.Equal(data, answer(nil).Encode()), nil
}

// CheckRecords judges the account itself: every record of a certificate says
// what its certificate says, and a CA of this folder has signed it. It returns
// how many records there are. Errors wrap [identity.ErrUntrusted].
func (ca *CA) CheckRecords() (int, error) {
	records, err := ca.Records()
	if err != nil {
		return 0, identity.Untrustedf("%w", err)
	}
	a := newAccount(records)
	for _, r := range a.issued {
		if err := ca.checkRecord(r); err != nil {
			return 0, identity.Untrustedf("record %q: %w", r.id(), err)
		}
	}
	for serial := range a.revoked {
		if a.bySerial[serial] == nil {
			return 0, identity.Untrustedf("the certificate %s was revoked, and there is no record that it was issued", serial)
		}
	}
	for _, k := range Kinds() {
		for _, g := range ca.generations[k] {
			for _, c := range g.certs {
				if a.bySerial[serialHex(c)] == nil {
					return 0, identity.Untrustedf("the certificate %s of the %s has no record", serialHex(c), k)
				}
			}
		}
	}
	return len(records), nil
}

func (ca *CA) checkRecord(r *Record) error {
	c, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return fmt.Errorf("its certificate cannot be read: %v", err)
	}
	if serialHex(c) != r.Serial || keyHash(c.RawSubjectPublicKeyInfo) != r.Key || !c.NotAfter.Equal(r.NotAfter) {
		return errors.New("it does not say what its certificate says")
	}
	if r.Role != "" {
		id, err := identity.FromCertificate(c)
		if err != nil {
			return err
		}
		if id.Role != r.Role || id.Name != r.Name {
			return errors.New("it does not name whom its certificate names")
		}
	}
	signers := ca.generations[r.Issuer]
	if !slices.ContainsFunc(signers, func(g *generation) bool { return c.CheckSignatureFrom(g.newest()) == nil }) &&
		r.Role != "" { // of a CA: a rotation that never ended may have signed it
		return fmt.Errorf("no %s of this folder has signed its certificate", r.Issuer)
	}
	return nil
}

// Answers returns a function that finds the certificate by which a request was
// answered, if it is still good, and makes the answer again: nothing is signed.
// It returns nil for requests without one.
func (ca *CA) Answers() (func(req *Request) *Issued, error) {
	a, err := ca.openAccount()
	if err != nil {
		return nil, err
	}
	answer, err := ca.answers(a)
	if err != nil {
		return nil, err
	}
	now := ca.now()
	return func(req *Request) *Issued {
		for _, r := range slices.Backward(a.byRequest[req.Fingerprint]) {
			c, err := x509.ParseCertificate(r.Certificate)
			if a.revoked[r.Serial] == nil && !now.After(r.NotAfter) && err == nil {
				return &Issued{Record: r, Certificate: c, Answer: answer(c)}
			}
		}
		return nil
	}, nil
}

package issuer

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fx/ca/identity"
	"fx/ca/merklelog"
)

// book is the account of everything that the CA did: the log, and what its
// records say.
type book struct {
	log     *merklelog.Log
	records []*Record
	ids     map[string]bool
	old     bool // the records are files from before there was a log
}

// Origin names a federation's log in its checkpoints.
func Origin(federation string) string { return federation + "/fl/v1/log" }

// logKeyName names a CA's key in the signatures of checkpoints.
func logKeyName(federation string, k Kind) string { return federation + "/" + string(k) }

// Records are all records of the CA's log in their order. The log must be
// whole, and its newest checkpoint be signed by one of the CAs in the folder.
func (ca *CA) Records() ([]*Record, error) {
	if ca.book == nil || ca.book.old {
		b, err := ca.openBook()
		if err != nil {
			return nil, err
		}
		ca.book = b
	}
	if ca.book.old {
		return ca.book.records, nil
	}
	if err := ca.book.log.Refresh(); err != nil {
		return nil, err
	}
	if err := ca.absorb(); err != nil {
		return nil, err
	}
	return ca.book.records, nil
}

func (ca *CA) openBook() (*book, error) {
	b := &book{ids: map[string]bool{}}
	var err error
	if b.log, err = merklelog.Open(filepath.Join(ca.dir, logDir), Origin(ca.State.Federation), describe); err != nil {
		return nil, err
	}
	if b.log.Size() == 0 {
		if b.records, err = readOldRecords(filepath.Join(ca.dir, issuedDir)); errors.Is(err, fs.ErrNotExist) {
			return nil, identity.Untrustedf("cannot use CA %q: its log %q is missing; nothing can be signed without the account of what was signed",
				ca.dir, filepath.Join(ca.dir, logDir))
		}
		b.old = true
	}
	return b, err
}

// absorb reads the records that the log has and the book has not.
func (ca *CA) absorb() error {
	b := ca.book
	if int64(len(b.records)) == b.log.Size() {
		return nil
	}
	keys, err := ca.logKeys()
	if err != nil {
		return err
	}
	if err := b.log.Checkpoint().Verify(keys); err != nil {
		return fmt.Errorf("cannot trust the log of CA %q: %w", ca.dir, err)
	}
	records, i, err := parseRecords(b.log.Records()[len(b.records):])
	if err == nil {
		i, err = b.enter(records)
	}
	if err != nil {
		ca.book = nil // what was half read is not used
		return identity.Invalidf("cannot use record %d of the log: %w", len(b.records)+i, err)
	}
	b.records = append(b.records, records...)
	return nil
}

// enter takes the ids of records that the log has; an error is of record i.
func (b *book) enter(records []*Record) (i int, err error) {
	for i, r := range records {
		id := r.id()
		if b.ids[id] {
			return i, identity.Untrustedf("%s was recorded before", r)
		}
		b.ids[id] = true
	}
	return 0, nil
}

// parseRecords reads records on all processors; the error is of the first, i,
// that cannot be read.
func parseRecords(lines [][]byte) (records []*Record, i int, err error) {
	records, errs := make([]*Record, len(lines)), make([]error, len(lines))
	parallel(len(lines), func(i int) { records[i], errs[i] = parseRecord(lines[i]) })
	for i, err := range errs {
		if err != nil {
			return nil, i, err
		}
	}
	return records, 0, nil
}

// appendRecords is the one way into the account: all records or none, one sync
// of the disk, and durable when it returns. What was recorded before is an
// error. The checkpoint is signed by a CA key that is open: the issuer's of the
// first record, else any. The caller holds the folder's lock.
func (ca *CA) appendRecords(records ...*Record) error {
	if len(records) == 0 {
		return nil
	}
	if _, err := ca.Records(); err != nil {
		return err
	}
	var old []*Record
	if ca.book.old {
		old = ca.book.records
	}
	all := slices.Concat(old, records)
	fresh := map[string]bool{}
	for _, r := range all {
		if id := r.id(); ca.book.ids[id] || fresh[id] {
			return fmt.Errorf("cannot record %s: it was recorded before", r)
		}
		fresh[r.id()] = true
	}
	lines, errs := make([][]byte, len(all)), make([]error, len(all))
	parsed := make([]*Record, len(all))
	parallel(len(all), func(i int) {
		if lines[i], errs[i] = all[i].encode(); errs[i] == nil {
			parsed[i], errs[i] = parseRecord(lines[i]) // what is written can be read
		}
	})
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("cannot record %s: %w", all[i], err)
		}
	}
	signer, err := ca.logSigner(records[0].Issuer)
	if err != nil {
		return err
	}
	if err := ca.book.log.Append(lines, signer); err != nil {
		return fmt.Errorf("cannot record %s: %w", records[0], err)
	}
	if ca.book.old {
		ca.book.old, ca.book.records = false, nil
	}
	identity.Fault()
	// Also what an interruption left: a CA whose log is lost must not begin anew.
	issued := filepath.Join(ca.dir, issuedDir)
	if err := os.Rename(issued, issued+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot put the records away that are in the log now: %v", err)
	}
	if _, err := ca.book.enter(parsed); err != nil {
		return err
	}
	ca.book.records = append(ca.book.records, parsed...)
	return nil
}

// logSigner is an open CA key as a signer of checkpoints.
func (ca *CA) logSigner(first Kind) (*merklelog.Signer, error) {
	for _, k := range append([]Kind{first}, Kinds()...) {
		if key := ca.keys[k]; key != nil {
			return merklelog.NewSigner(logKeyName(ca.State.Federation, k), key)
		}
		for _, g := range slices.Backward(ca.generations[k]) {
			if g.key != nil {
				return merklelog.NewSigner(logKeyName(ca.State.Federation, k), g.key)
			}
		}
	}
	return nil, errors.New("cannot sign the log's checkpoint: every key of the CA is locked")
}

// logKeys are the keys of the CAs in the folder, of all generations: what a
// rotation records first, the older one signs.
func (ca *CA) logKeys() (merklelog.Keys, error) {
	var keys merklelog.Keys
	for _, k := range Kinds() {
		public := []crypto.PublicKey{ca.certs[k].PublicKey}
		for _, g := range ca.generations[k] {
			public = append(public, g.newest().PublicKey)
		}
		for _, p := range public {
			key, err := merklelog.NewKey(logKeyName(ca.State.Federation, k), p)
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// describe is a record of the log in words, for errors.
func describe(data []byte) string {
	if r, err := parseRecord(data); err == nil {
		return r.String()
	}
	return ""
}

// readOldRecords reads the files that older versions of this program wrote:
// the CAs' first, then by time.
func readOldRecords(dir string) ([]*Record, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the records of issued certificates: %w", err)
	}
	var records []*Record
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".new-") {
			continue // a write that never ended; nothing was handed out
		}
		path := filepath.Join(dir, e.Name())
		data, err := identity.ReadFile(path, maxRecord)
		if err != nil {
			return nil, err
		}
		r, err := parseOldRecord(data)
		if err == nil && e.Name() != r.Serial+".json" {
			err = identity.Invalidf("it records the serial %q", r.Serial)
		}
		if err != nil {
			return nil, identity.Invalidf("cannot use record %q: %w", path, err)
		}
		records = append(records, r)
	}
	rank := func(r *Record) int {
		if r.Role != "" {
			return len(Kinds())
		}
		return slices.Index(Kinds(), Kind(r.Name))
	}
	slices.SortStableFunc(records, func(a, b *Record) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return a.IssuedAt.Compare(b.IssuedAt)
	})
	return records, nil
}

package merklelog

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"fx/ca/identity"
)

// Verify judges every checkpoint of the log: that each was signed by one of the
// keys. That each is the root over the records was computed when the log was
// read.
func (l *Log) Verify(keys note.Verifiers) error {
	for _, s := range l.segments {
		if err := s.checkpoint.Verify(keys); err != nil {
			return l.described(damaged(s.first, s, "has no trustworthy checkpoint: %v", err))
		}
	}
	return nil
}

// Since proves that the log has only grown since a checkpoint that somebody
// kept: nothing that it covered was changed, moved or taken away. The signature
// of old is judged too.
func (l *Log) Since(old *Checkpoint, keys note.Verifiers) error {
	if old.Origin != l.origin {
		return identity.Untrustedf("the checkpoint is of the log %q, not %q", old.Origin, l.origin)
	}
	if err := old.Verify(keys); err != nil {
		return err
	}
	if old.Size > l.Size() {
		return &DamageError{Index: l.Size(), Last: old.Size - 1, Reason: fmt.Sprintf(
			"is missing: the checkpoint covers %d records, the log has %d; it was cut off, or restored from an older copy", old.Size, l.Size())}
	}
	root, err := tlog.TreeHash(old.Size, l.reader())
	if err != nil {
		return fmt.Errorf("cannot hash the log: %v", err)
	}
	if root != old.Root {
		return &DamageError{Index: 0, Last: old.Size - 1, Reason: "is another than when the checkpoint was made: the log was written anew"}
	}
	proof, err := tlog.ProveTree(l.Size(), old.Size, l.reader())
	if err != nil {
		return fmt.Errorf("cannot prove the log: %v", err)
	}
	now := l.Checkpoint()
	if err := tlog.CheckTree(proof, now.Size, now.Root, old.Size, old.Root); err != nil {
		return identity.Untrustedf("the log does not continue the checkpoint of size %d: %v", old.Size, err)
	}
	return nil
}

// Prove makes the hashes that lead from a record to the newest root.
func (l *Log) Prove(index int64) ([]tlog.Hash, error) {
	p, err := tlog.ProveRecord(l.Size(), index, l.reader())
	if err != nil {
		return nil, fmt.Errorf("cannot prove record %d: %v", index, err)
	}
	return p, nil
}

// CheckInclusion judges what [Log.Prove] made: that the record stands at index
// under the checkpoint's root. The checkpoint's signature is the caller's to
// judge. The error is [identity.ErrUntrusted].
func CheckInclusion(record []byte, index int64, proof []tlog.Hash, c *Checkpoint) error {
	if index < 0 || index >= c.Size {
		return identity.Untrustedf("a log of %d records has no record %d", c.Size, index)
	}
	if err := tlog.CheckRecord(proof, c.Size, c.Root, index, tlog.RecordHash(record)); err != nil {
		return identity.Untrustedf("the record is not in the log: %v", err)
	}
	return nil
}

// Export is the whole log as one file: its segments, one after the other.
func (l *Log) Export() []byte {
	var out []byte
	for _, s := range l.segments {
		out = append(out, s.encode()...)
	}
	return out
}

// Parse reads what [Log.Export] wrote. An empty origin means that of the first
// checkpoint; describe is as for [Open].
func Parse(data []byte, origin string, describe func(record []byte) string) (*Log, error) {
	if len(data) > MaxExport {
		return nil, identity.Invalidf("the log has %d bytes, allowed are %d", len(data), MaxExport)
	}
	l := &Log{origin: origin, describe: describe}
	for len(data) > 0 {
		if l.origin == "" {
			var err error
			if l.origin, err = firstOrigin(data); err != nil {
				return nil, err
			}
		}
		s, rest, err := parseSegment(data, l.origin, l.Size())
		if err == nil {
			err = l.add(s)
		}
		if err != nil {
			return nil, l.described(err)
		}
		data = rest
	}
	if l.Size() == 0 {
		return nil, identity.Invalidf("a log without records")
	}
	return l, nil
}

// firstOrigin finds the name that the first checkpoint gives the log.
func firstOrigin(data []byte) (string, error) {
	_, after, found := bytes.Cut(data, []byte("\n\n"))
	if !found {
		return "", &DamageError{Index: 0, Reason: "is not whole, or its checkpoint is missing"}
	}
	line, _, _ := bytes.Cut(after, []byte("\n"))
	return string(line), nil
}

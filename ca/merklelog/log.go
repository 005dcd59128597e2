// Package merklelog is an append-only log of small records: a Merkle tree (RFC
// 6962, as golang.org/x/mod/sumdb/tlog builds it) whose roots are signed
// checkpoints. Nothing in it can be changed, moved or taken away unnoticed.
//
// It knows nothing of what the records say. The format is in ca/LOG.md.
package merklelog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"fx/ca/identity"
)

// Limits of what is read, in bytes.
const (
	MaxRecord  = 256 << 10
	MaxSegment = 64 << 20
	MaxExport  = 1 << 30
)

// Log is a log that was read, every hash of it computed again. It is not for
// use by several goroutines at once; writers of one folder must exclude each
// other, which is the caller's to do.
type Log struct {
	dir      string // "" for an exported log, which nothing is appended to
	origin   string
	records  [][]byte
	hashes   []tlog.Hash // as tlog stores them
	segments []*segment
	describe func(record []byte) string
}

// Open reads the log in a folder; a folder that is not there is a log without
// records. What does not fit together is a [*DamageError]; signatures are for
// [Log.Verify] to judge. What describe says of a record, if it is not nil, is
// used in errors.
func Open(dir, origin string, describe func(record []byte) string) (*Log, error) {
	l := &Log{dir: dir, origin: origin, describe: describe}
	names, err := segmentNames(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if want := segmentName(l.Size()); n != want {
			return nil, l.misplaced(n)
		}
		if err := l.load(n); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// segmentNames lists the files of a log in their order.
func segmentNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read log %q: %v", dir, err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".new-") {
			continue // a write that never ended; nothing came of it
		}
		if !isSegmentName(e.Name()) {
			return nil, identity.Invalidf("cannot read log %q: %q is no file of a log", dir, e.Name())
		}
		names = append(names, e.Name())
	}
	return names, nil
}

// Refresh takes in what other processes have appended since.
func (l *Log) Refresh() error {
	for {
		name := segmentName(l.Size())
		_, err := os.Lstat(filepath.Join(l.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read log %q: %v", l.dir, err)
		}
		if err := l.load(name); err != nil {
			return err
		}
	}
}

func (l *Log) load(name string) error {
	path := filepath.Join(l.dir, name)
	data, err := identity.ReadFile(path, MaxSegment)
	if err != nil {
		return err
	}
	s, rest, err := parseSegment(data, l.origin, l.Size())
	if err == nil && len(rest) > 0 {
		err = identity.Invalidf("something follows its checkpoint")
	}
	if err == nil {
		err = l.add(s)
	}
	if err != nil {
		return fmt.Errorf("cannot use log %q: %w", path, l.described(err))
	}
	return nil
}

// described lets damage be told with the words of the records.
func (l *Log) described(err error) error {
	if d, ok := errors.AsType[*DamageError](err); ok && len(d.Data) > 0 && l.describe != nil {
		d.What = l.describe(d.Data)
	}
	return err
}

// add appends a segment in memory, after proving that its checkpoint is the
// root over exactly the records up to its end.
func (l *Log) add(s *segment) error {
	first, before := l.Size(), len(l.hashes)
	for i, r := range s.records {
		h, err := tlog.StoredHashes(first+int64(i), r, l.reader())
		if err != nil {
			return fmt.Errorf("cannot hash record %d: %v", first+int64(i), err)
		}
		l.hashes = append(l.hashes, h...)
	}
	root, err := tlog.TreeHash(first+int64(len(s.records)), l.reader())
	if err != nil {
		return fmt.Errorf("cannot hash the log: %v", err)
	}
	if root != s.checkpoint.Root {
		l.hashes = l.hashes[:before]
		return damaged(first, s, "was changed together with its hash: the checkpoint of size %d was made over other records", s.checkpoint.Size)
	}
	l.records, l.segments = append(l.records, s.records...), append(l.segments, s)
	return nil
}

func (l *Log) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if x < 0 || x >= int64(len(l.hashes)) {
				return nil, fmt.Errorf("the log has no hash %d", x)
			}
			out[i] = l.hashes[x]
		}
		return out, nil
	})
}

// Append adds records, one checkpoint over them, and makes both durable at once:
// one new file, one sync, whatever the number of records. Killed at any moment,
// either all of them are in the log or none. The work beyond writing the records
// grows with the logarithm of the log's size.
func (l *Log) Append(records [][]byte, signer note.Signer) error {
	if len(records) == 0 {
		return nil
	}
	if l.dir == "" {
		return errors.New("cannot append to an exported log")
	}
	s := &segment{first: l.Size(), records: records}
	before := len(l.hashes)
	defer func() { l.hashes = l.hashes[:before] }() // load computes them from what is on disk
	for i, r := range records {
		if err := checkRecord(r); err != nil {
			return err
		}
		h, err := tlog.StoredHashes(s.first+int64(i), r, l.reader())
		if err != nil {
			return fmt.Errorf("cannot hash record %d: %v", s.first+int64(i), err)
		}
		l.hashes = append(l.hashes, h...)
	}
	root, err := tlog.TreeHash(s.first+int64(len(records)), l.reader())
	if err != nil {
		return fmt.Errorf("cannot hash the log: %v", err)
	}
	if s.checkpoint, err = signCheckpoint(l.origin, s.first+int64(len(records)), root, signer); err != nil {
		return err
	}
	data := s.encode()
	if len(data) > MaxSegment {
		return fmt.Errorf("cannot append %d records to the log at once: they have more than %d bytes", len(records), MaxSegment)
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("cannot append to log %q: %v", l.dir, err)
	}
	if err := identity.CreateFile(filepath.Join(l.dir, segmentName(s.first)), data, 0o644); err != nil {
		return fmt.Errorf("cannot append to the log: %w", err)
	}
	l.hashes = l.hashes[:before]
	if err := l.add(s); err != nil {
		return err
	}
	before = len(l.hashes)
	return nil
}

// Size is the number of records.
func (l *Log) Size() int64 { return int64(len(l.records)) }

// Records are the records in order. Nobody may change them.
func (l *Log) Records() [][]byte { return l.records }

// Checkpoint is the newest one, nil in a log without records.
func (l *Log) Checkpoint() *Checkpoint {
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1].checkpoint
}

// Origin is the log's name, the first line of its checkpoints.
func (l *Log) Origin() string { return l.origin }

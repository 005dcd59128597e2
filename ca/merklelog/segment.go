package merklelog

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"fx/ca/identity"
)

// segment is what one [Log.Append] wrote: a line for each record, a blank line,
// the checkpoint over everything up to here. It is one file of the log; an
// exported log is its segments one after the other.
type segment struct {
	first      int64
	records    [][]byte
	checkpoint *Checkpoint
}

const segmentSuffix = ".log"

// segmentName is the file of the segment whose first record has this index.
func segmentName(first int64) string { return fmt.Sprintf("%012d%s", first, segmentSuffix) }

func isSegmentName(s string) bool {
	n, err := strconv.ParseInt(strings.TrimSuffix(s, segmentSuffix), 10, 64)
	return err == nil && n >= 0 && segmentName(n) == s
}

// encode writes what [parseSegment] reads.
func (s *segment) encode() []byte {
	var out []byte
	for i, r := range s.records {
		h := tlog.RecordHash(r)
		out = fmt.Appendf(out, "%d %s %s\n", s.first+int64(i), base64.StdEncoding.EncodeToString(h[:]), r)
	}
	out = append(out, '\n')
	return append(out, s.checkpoint.Note...)
}

// parseSegment reads the segment at the beginning of data, whose first record
// must have the index first. What follows it is returned.
func parseSegment(data []byte, origin string, first int64) (s *segment, rest []byte, err error) {
	s = &segment{first: first}
	for {
		line, after, found := bytes.Cut(data, []byte("\n"))
		if !found {
			return nil, nil, &DamageError{Index: s.end(), Reason: "is not whole, or its checkpoint is missing"}
		}
		data = after
		if len(line) == 0 {
			break
		}
		r, err := s.parseLine(line)
		if err != nil {
			return nil, nil, err
		}
		s.records = append(s.records, r)
	}
	if len(s.records) == 0 {
		return nil, nil, &DamageError{Index: first, Reason: "is missing: there is a checkpoint without records"}
	}
	text, rest := cutNote(data)
	if s.checkpoint, err = ParseCheckpoint(text); err != nil {
		return nil, nil, damaged(first, s, "has a damaged checkpoint: %v", err)
	}
	switch {
	case s.checkpoint.Origin != origin:
		return nil, nil, identity.Untrustedf("it is the log %q, not %q", s.checkpoint.Origin, origin)
	case s.checkpoint.Size > s.end():
		return nil, nil, &DamageError{Index: s.end(), Reason: fmt.Sprintf("is missing: the checkpoint is of %d records", s.checkpoint.Size)}
	case s.checkpoint.Size < s.end():
		return nil, nil, &DamageError{
			Index: s.checkpoint.Size, Data: s.records[max(0, s.checkpoint.Size-first)],
			Reason: fmt.Sprintf("does not belong here: the checkpoint is of %d records", s.checkpoint.Size),
		}
	}
	return s, rest, nil
}

func (s *segment) end() int64 { return s.first + int64(len(s.records)) }

// parseLine reads "INDEX HASH RECORD". Index and hash say nothing that the tree
// does not prove; they say which record is wrong.
func (s *segment) parseLine(line []byte) ([]byte, error) {
	index, after, _ := bytes.Cut(line, []byte(" "))
	hash, record, _ := bytes.Cut(after, []byte(" "))
	n, err := strconv.ParseInt(string(index), 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != string(index) || n < 0 {
		return nil, &DamageError{Index: s.end(), Reason: "has a damaged line"}
	}
	if n > s.end() {
		return nil, &DamageError{Index: s.end(), Reason: fmt.Sprintf("is missing: record %d follows in its place", n)}
	}
	if n < s.end() {
		return nil, &DamageError{Index: n, Data: record, Reason: fmt.Sprintf("stands a second time, where record %d belongs", s.end())}
	}
	if err := checkRecord(record); err != nil {
		return nil, &DamageError{Index: n, Reason: "is damaged: " + err.Error()}
	}
	if h := tlog.RecordHash(record); base64.StdEncoding.EncodeToString(h[:]) != string(hash) {
		return nil, &DamageError{Index: n, Data: record, Reason: "was changed: it does not have the hash that was recorded with it"}
	}
	return record, nil
}

func checkRecord(r []byte) error {
	if len(r) == 0 || len(r) > MaxRecord {
		return identity.Invalidf("a record has %d bytes, allowed are 1 to %d", len(r), MaxRecord)
	}
	if bytes.ContainsAny(r, "\r\n") {
		return identity.Invalidf("a record has more than one line")
	}
	return nil
}

// DamageError says which record of a log is not what was recorded. It is
// [identity.ErrUntrusted].
type DamageError struct {
	Index  int64  // the first record that is wrong
	Last   int64  // the last of them that may be, if there are several
	Data   []byte // what stands there now, if anything does
	Reason string
	What   string // Data in words, "" if it has none
}

func damaged(first int64, s *segment, format string, a ...any) *DamageError {
	e := &DamageError{Index: first, Reason: fmt.Sprintf(format, a...)}
	if len(s.records) == 1 {
		e.Data = s.records[0]
	} else {
		e.Last = s.end() - 1
	}
	return e
}

func (e *DamageError) Error() string {
	what := fmt.Sprintf("record %d", e.Index)
	if e.Last > e.Index {
		what = fmt.Sprintf("one of the records %d to %d", e.Index, e.Last)
	}
	if e.What != "" {
		what += " (" + e.What + ")"
	}
	return what + " " + e.Reason
}

// Is makes it an [identity.ErrUntrusted].
func (e *DamageError) Is(target error) bool { return target == identity.ErrUntrusted }

// misplaced explains a file that is not the one that comes next.
func (l *Log) misplaced(name string) error {
	n, _ := strconv.ParseInt(strings.TrimSuffix(name, segmentSuffix), 10, 64)
	e := &DamageError{Index: l.Size(), Reason: fmt.Sprintf("is missing: the next file of the log is %q", name)}
	if n < l.Size() {
		e = &DamageError{Index: n, Reason: fmt.Sprintf("stands a second time, in %q", name)}
	} else if n > l.Size()+1 {
		e.Reason = fmt.Sprintf("and those after it up to %d are missing: the next file of the log is %q", n-1, name)
	}
	return fmt.Errorf("cannot use log %q: %w", l.dir, e)
}

// Details is what --json shows beside the message.
func (e *DamageError) Details() map[string]any {
	return map[string]any{"first_record": e.Index, "last_record": max(e.Index, e.Last), "reason": e.Reason}
}

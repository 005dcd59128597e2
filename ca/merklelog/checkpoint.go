package merklelog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"fx/ca/identity"
)

// MaxCheckpoint is the size of a checkpoint that is read, in bytes.
const MaxCheckpoint = 16 << 10

// Checkpoint is the signed size and root of a log (C2SP tlog-checkpoint). Who
// keeps one can later prove that the log has only grown since.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
	Note   []byte // the signed note, as it stands in the log
}

// ParseCheckpoint reads a checkpoint in the one form in which it is written:
// three lines, a blank one, 1 to 16 signatures. Signatures are not judged.
func ParseCheckpoint(data []byte) (*Checkpoint, error) {
	if len(data) > MaxCheckpoint {
		return nil, identity.Invalidf("the checkpoint has %d bytes, allowed are %d", len(data), MaxCheckpoint)
	}
	text, signatures, found := strings.Cut(string(data), "\n\n")
	lines := strings.Split(text, "\n")
	if !found || len(lines) != 3 {
		return nil, identity.Invalidf("a checkpoint is three lines (log, size, root), a blank line, and signatures")
	}
	c := &Checkpoint{Origin: lines[0], Note: data}
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 1 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return nil, identity.Invalidf("the size of the checkpoint is %q, not a number above 0", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return nil, identity.Invalidf("the root of the checkpoint is no SHA-256 in base64")
	}
	copy(c.Root[:], root)
	if len(c.Origin) == 0 || strings.ContainsFunc(c.Origin, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, identity.Invalidf("the checkpoint names no log")
	}
	n := strings.Count(signatures, "\n")
	if n < 1 || n > 16 || !strings.HasSuffix(signatures, "\n") || n != len(strings.Split("\n"+signatures, "\n— "))-1 {
		return nil, identity.Invalidf("the signatures of the checkpoint are damaged")
	}
	return c, nil
}

// cutNote divides data after the signatures of the note that it begins with.
func cutNote(data []byte) (text, rest []byte) {
	end := bytes.Index(data, []byte("\n\n"))
	if end < 0 {
		return data, nil
	}
	end += 2
	for bytes.HasPrefix(data[end:], []byte("— ")) {
		nl := bytes.IndexByte(data[end:], '\n')
		if nl < 0 {
			return data, nil
		}
		end += nl + 1
	}
	return data[:end], data[end:]
}

func signCheckpoint(origin string, size int64, root tlog.Hash, signer note.Signer) (*Checkpoint, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
	data, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, fmt.Errorf("cannot sign the checkpoint of the log: %v", err)
	}
	return ParseCheckpoint(data)
}

// Verify reports whether one of the keys has signed the checkpoint. The error
// is [identity.ErrUntrusted].
func (c *Checkpoint) Verify(keys note.Verifiers) error {
	_, err := note.Open(c.Note, keys)
	if u, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		var names []string
		for _, s := range u.Note.UnverifiedSigs {
			names = append(names, strconv.Quote(s.Name))
		}
		return identity.Untrustedf("the checkpoint of size %d is signed by none of this CA's keys, but by %s", c.Size, strings.Join(names, ", "))
	}
	if err != nil {
		return identity.Untrustedf("the checkpoint of size %d is not signed as it says: %v", c.Size, err)
	}
	return nil
}

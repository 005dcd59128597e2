package egress

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"fx/schema"
)

// maxLine bounds one line of a ledger.
const maxLine = 64 << 10

// Entry is one thing that left the site, or was about to: the line is durable
// before the first byte is sent.
type Entry struct {
	Sequence int64     `json:"sequence"` // from 1
	Previous string    `json:"previous"` // SHA-256 of the line before, without its line end; "" in the first
	Time     time.Time `json:"time"`
	Round    int       `json:"round"`
	Task     string    `json:"task"`
	Kind     string    `json:"kind"` // KindTensor, KindMetric or KindDropped
	Name     string    `json:"name"`
	Shape    []int     `json:"shape"`
	Bytes    int64     `json:"bytes"`
	SHA256   string    `json:"sha256,omitempty"`  // of a tensor's values
	Norm     float64   `json:"norm"`              // of a tensor
	Value    float64   `json:"value"`             // of a metric
	Filters  []string  `json:"filters,omitempty"` // that changed the tensor, or left it out

	// Of what did not travel as its bare values: the tags that say how, and the
	// payload as it was on the wire. The fields above are about the values.
	Tags       []string `json:"tags,omitempty"`
	WireBytes  int64    `json:"wire_bytes,omitempty"`
	WireSHA256 string   `json:"wire_sha256,omitempty"`
}

// Kinds of an Entry. What was dropped did not leave: it has no bytes and no
// digest.
const (
	KindTensor  = "tensor"
	KindMetric  = "metric"
	KindDropped = "dropped"
)

// Ledger is the hash-chained record of what left a site, one JSON object a
// line. A changed, missing or reordered line breaks the chain.
type Ledger struct {
	f     *os.File
	last  Entry
	hash  string
	spent spent
	now   func() time.Time
}

// OpenLedger opens or creates a ledger and verifies its chain. A last line that
// a power cut left unfinished is removed: nothing was sent on its account.
func OpenLedger(path string, now func() time.Time) (*Ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the egress ledger: %v", err)
	}
	l := &Ledger{f: f, spent: newSpent(), now: now}
	whole, err := l.verify()
	if err == nil {
		err = f.Truncate(whole)
	}
	if err == nil {
		_, err = f.Seek(whole, io.SeekStart)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path)) // or a power cut takes a new file with all its lines
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the egress ledger %q: %w", path, err), f.Close())
	}
	return l, nil
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// verify reads all lines and returns the length of the whole ones.
func (l *Ledger) verify() (int64, error) {
	r := bufio.NewReaderSize(l.f, maxLine)
	var whole int64
	for {
		line, err := r.ReadSlice('\n')
		if err == io.EOF {
			return whole, nil
		}
		if err != nil {
			return 0, fmt.Errorf("line %d: %v", l.last.Sequence+1, err)
		}
		if err := l.follow(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return 0, err
		}
		whole += int64(len(line))
	}
}

// follow takes the next line of the chain.
func (l *Ledger) follow(line []byte) error {
	var e Entry
	if err := schema.DecodeJSON("ledger", line, maxLine, &e); err != nil {
		return fmt.Errorf("line %d: %w", l.last.Sequence+1, err)
	}
	if e.Sequence != l.last.Sequence+1 || e.Previous != l.hash {
		return fmt.Errorf("line %d does not follow the line before it; the ledger was changed: %w", l.last.Sequence+1, schema.ErrInvalid)
	}
	l.last, l.hash = e, lineHash(line)
	l.spent.add(e)
	return nil
}

func lineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// Append records entries, in order, and makes them durable.
func (l *Ledger) Append(entries []Entry) error {
	var out bytes.Buffer
	last, hash := l.last, l.hash
	for _, e := range entries {
		e.Sequence, e.Previous, e.Time = last.Sequence+1, hash, l.now().UTC()
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("cannot write to the egress ledger: %v", err)
		}
		if len(line) >= maxLine {
			return fmt.Errorf("cannot write to the egress ledger: the line about %q has %d bytes, allowed are %d", e.Name, len(line), maxLine-1)
		}
		out.Write(line)
		out.WriteByte('\n')
		last, hash = e, lineHash(line)
	}
	if _, err := l.f.Write(out.Bytes()); err != nil {
		return fmt.Errorf("cannot write to the egress ledger: %v", err)
	}
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("cannot make the egress ledger durable: %v", err)
	}
	l.last, l.hash = last, hash
	for _, e := range entries {
		l.spent.add(e)
	}
	return nil
}

// Entries is how many lines the ledger has.
func (l *Ledger) Entries() int64 { return l.last.Sequence }

// Spent is how many bytes of payload left in a round and in all rounds, by this
// process and those before it. What was sent again unchanged in the last round
// counts once.
func (l *Ledger) Spent(round int) (inRound, inRun int64) {
	return l.spent.rounds[round], l.spent.run
}

// Close closes the file.
func (l *Ledger) Close() error { return l.f.Close() }

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
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	Kind     string    `json:"kind"` // KindTensor, KindMetric, KindDropped, KindPrivacy or KindRefused
	Name     string    `json:"name"`
	Shape    []int     `json:"shape"`
	Bytes    int64     `json:"bytes"`
	SHA256   string    `json:"sha256,omitempty"`  // of a tensor's values
	Norm     float64   `json:"norm"`              // of a tensor
	Value    float64   `json:"value"`             // of a metric
	Filters  []string  `json:"filters,omitempty"` // that changed the tensor, or left it out
	Privacy  *Privacy  `json:"privacy,omitempty"` // of KindPrivacy
	Reason   string    `json:"reason,omitempty"`  // of KindRefused: the rule, without values

	// Of what did not travel as its bare values: the tags that say how, and the
	// payload as it was on the wire. The fields above are about the values.
	Tags       []string `json:"tags,omitempty"`
	WireBytes  int64    `json:"wire_bytes,omitempty"`
	WireSHA256 string   `json:"wire_sha256,omitempty"`
}

// Kinds of an Entry. Only tensors and metrics left: what was dropped or refused
// has no bytes and no digest.
const (
	KindTensor  = "tensor"
	KindMetric  = "metric"
	KindDropped = "dropped" // made by the task, left out by a filter
	KindPrivacy = "privacy" // what the noised result above costs, and the account after it
	KindRefused = "refused" // a task tried to send it, and nothing of the result left
)

// chain is what is known of a ledger after some of its lines.
type chain struct {
	last  Entry
	hash  string // of the last line
	spent spent
}

// Ledger is the hash-chained record of what left a site, one JSON object a
// line. A changed, missing or reordered line breaks the chain.
type Ledger struct {
	chain
	f   *os.File
	now func() time.Time
}

// OpenLedger opens or creates a ledger and verifies its chain. A last line that
// a power cut left unfinished is removed: nothing was sent on its account.
func OpenLedger(path string, now func() time.Time) (*Ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the egress ledger: %w", err)
	}
	l := &Ledger{chain: chain{spent: newSpent()}, f: f, now: now}
	whole, _, err := l.read(f, nil)
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

// ReadLedger verifies the chain of a ledger that another process may be writing
// to, and hands over each line and its digest. The error wraps schema.ErrInvalid
// if the chain is broken, and is visit's if that has one.
func ReadLedger(r io.Reader, visit func(e Entry, hash string) error) (Summary, error) {
	c := chain{spent: newSpent()}
	_, torn, err := c.read(r, visit)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Entries: c.last.Sequence, Head: c.hash, Unfinished: torn, Bytes: c.spent.run, Rounds: []RoundTotal{}}
	for _, round := range slices.Sorted(maps.Keys(c.spent.rounds)) {
		s.Rounds = append(s.Rounds, RoundTotal{Round: round, Bytes: c.spent.rounds[round]})
	}
	if p := c.spent.privacy; p.Releases > 0 {
		s.Privacy, s.WithoutNoise = &p, len(c.spent.plain)
	}
	return s, nil
}

// Summary is what a whole ledger adds up to.
type Summary struct {
	Entries    int64        `json:"entries"`
	Head       string       `json:"head"`             // digest of the last line, "" of an empty ledger
	Unfinished int          `json:"unfinished_bytes"` // of a last line that is being written, or that a power cut left
	Bytes      int64        `json:"bytes"`            // that left; what was sent again unchanged in the same round counts once
	Rounds     []RoundTotal `json:"rounds"`
	Privacy    *Privacy     `json:"privacy,omitempty"` // the account of noised results, if there are any
	// WithoutNoise is how many results had tensors that left without noise, where
	// others had it: the account says nothing about what those tell.
	WithoutNoise int `json:"results_without_noise,omitempty"`
}

// RoundTotal is what left in one round.
type RoundTotal struct {
	Round int   `json:"round"`
	Bytes int64 `json:"bytes"`
}

// read follows all whole lines, and returns their length and that of the rest.
func (c *chain) read(from io.Reader, visit func(Entry, string) error) (whole int64, rest int, err error) {
	r := bufio.NewReaderSize(from, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if err == io.EOF {
			return whole, len(line), nil
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return 0, 0, fmt.Errorf("line %d has more than %d bytes: %w", c.last.Sequence+1, maxLine-1, schema.ErrInvalid)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("line %d: %v", c.last.Sequence+1, err)
		}
		if err := c.follow(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return 0, 0, err
		}
		if visit != nil {
			if err := visit(c.last, c.hash); err != nil {
				return 0, 0, err
			}
		}
		whole += int64(len(line))
	}
}

// follow takes the next line of the chain.
func (c *chain) follow(line []byte) error {
	var e Entry
	if err := schema.DecodeJSON("ledger", line, maxLine, &e); err != nil {
		return fmt.Errorf("line %d: %w", c.last.Sequence+1, err)
	}
	if e.Sequence != c.last.Sequence+1 || e.Previous != c.hash {
		return fmt.Errorf("line %d does not follow the line before it; the ledger was changed: %w", c.last.Sequence+1, schema.ErrInvalid)
	}
	c.last, c.hash = e, lineHash(line)
	c.spent.add(e)
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
		return fmt.Errorf("cannot write to the egress ledger: %w", err)
	}
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("cannot make the egress ledger durable: %w", err)
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

// Privacy is the account of noised results, of this process and those before
// it. Its epsilon is at the delta of the last one.
func (l *Ledger) Privacy() Privacy { return l.spent.privacy }

// Released reports whether a noised result of a task has left in a round.
func (l *Ledger) Released(round int, task string) bool {
	return l.spent.released[resultOf{round, task}]
}

// Head is the digest of the last line, "" of an empty ledger: whoever remembers
// it can tell later that no line was removed from the end.
func (l *Ledger) Head() string { return l.hash }

// Close closes the file.
func (l *Ledger) Close() error { return l.f.Close() }

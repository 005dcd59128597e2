package egress

import (
	"crypto/sha256"
	"encoding/json"
	"math"
	"slices"
	"strings"
)

// spent adds up what a ledger's lines let leave, in bytes and in privacy. What is
// sent again as it was in the round at hand, after a broken connection or a
// restart, counts once: the other side learns nothing from it. A noised result
// that is sent again never costs privacy again.
type spent struct {
	run    int64
	rounds map[int]int64
	latest int                        // the last round so far
	seen   map[[sha256.Size]byte]bool // what left in it

	releases map[string]bool   // noised results, by their digest
	released map[resultOf]bool // rounds and tasks that made them
	privacy  Privacy           // of them all
	plain    map[resultOf]bool // rounds and tasks that sent tensors without noise
}

// resultOf names a result of a task.
type resultOf struct {
	round int
	task  string
}

func newSpent() spent {
	return spent{rounds: map[int]int64{}, latest: math.MinInt, seen: map[[sha256.Size]byte]bool{}, releases: map[string]bool{}, released: map[resultOf]bool{}, plain: map[resultOf]bool{}}
}

// key is equal for lines that say the same thing.
func key(e Entry) [sha256.Size]byte {
	b, err := json.Marshal(struct {
		Task, Kind, Name, SHA256 string
		Bits                     uint64
	}{e.Task, e.Kind, e.Name, e.SHA256, math.Float64bits(e.Value)})
	if err != nil {
		panic(err) // a bug: strings and numbers
	}
	return sha256.Sum256(b)
}

// cost is what a line adds.
func (s *spent) cost(e Entry) int64 {
	if e.Round == s.latest && s.seen[key(e)] {
		return 0
	}
	return e.Bytes
}

func (s *spent) add(e Entry) {
	if e.Kind == KindPrivacy && e.Privacy != nil && !s.releases[e.SHA256] {
		s.releases[e.SHA256], s.released[resultOf{e.Round, e.Task}] = true, true
		s.privacy = s.privacy.after(e.Privacy.Mu, e.Privacy.Delta)
	}
	if e.Kind == KindTensor && !slices.ContainsFunc(e.Filters, func(f string) bool { return strings.HasPrefix(f, "noise ") }) {
		s.plain[resultOf{e.Round, e.Task}] = true
	}
	cost := s.cost(e)
	s.run += cost
	s.rounds[e.Round] += cost
	if e.Round > s.latest {
		s.latest = e.Round
		clear(s.seen)
	}
	if e.Round == s.latest {
		s.seen[key(e)] = true
	}
}

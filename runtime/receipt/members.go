package receipt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"fx/runtime/journal"
)

// checkRoster requires the roster to be everybody whom a round names, and nobody
// else.
func (r *Receipt) checkRoster() error {
	named := map[string]bool{}
	for _, round := range r.Rounds {
		here := map[string]bool{}
		for _, name := range slices.Concat(round.Done, round.Stragglers) {
			if here[name] {
				return invalid("round %d: %q is there twice", round.Round, name)
			}
			here[name], named[name] = true, true
		}
	}
	listed := make([]string, 0, len(r.Roster))
	for _, m := range r.Roster {
		listed = append(listed, m.Name)
	}
	if want := slices.Sorted(maps.Keys(named)); !slices.Equal(listed, want) {
		return invalid("the roster is %q, the rounds name %q", listed, want)
	}
	return nil
}

// members compares the certificates by which results came with the journal's. Of a
// federation that goes on, the journal may have more.
func (w *auditor) members() error {
	peers, err := w.journal.Peers()
	if err != nil {
		return err
	}
	for _, m := range w.r.Roster {
		known := map[string]bool{}
		for _, c := range peers[m.Name] {
			sum := sha256.Sum256(c.Raw)
			known[hex.EncodeToString(sum[:])] = true
		}
		for _, c := range m.Certificates {
			if !known[c.SHA256] {
				w.problem(w.r.FirstRound, m.Name, "", "the receipt names the certificate %s; the journal does not have it", c.SHA256)
			}
			delete(known, c.SHA256)
		}
		for _, sum := range slices.Sorted(maps.Keys(known)) {
			if w.r.Complete {
				w.problem(w.r.FirstRound, m.Name, "", "results came by the certificate %s; the receipt does not name it", sum)
			}
		}
	}
	if !w.r.Complete {
		return nil
	}
	next := w.r.FirstRound + len(w.r.Rounds)
	switch _, _, err := w.journal.Closing(next); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil && !errors.Is(err, journal.ErrDamaged):
		return err
	default:
		w.problem(next, theAggregator, journal.RoundName(next, "closing.json"), "is there; the receipt says that no round follows the one before")
	}
	return nil
}

package assigner

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Random is OpenFL's RandomGroupedAssigner: in every round the collaborators
// are shuffled anew, and each group takes its percentage of them.
//
// The shuffle sorts collaborators by SHA-256 of seed, round and name, so that
// anyone can recompute it in any language.
type Random struct {
	groups        []group
	sizes         []int
	collaborators []string
	seed          string
}

func newRandom(groups []group, collaborators []string, seed string) (Assigner, error) {
	n := len(collaborators)
	r := &Random{groups: groups, collaborators: collaborators, seed: seed}
	var shares float64
	total := 0
	var parts []string
	for _, g := range groups {
		if g.collaborators != nil {
			return nil, invalidf("task group %q lists collaborators, which only %sStaticGroupedAssigner reads; a random group has a percentage", g.name, openfl)
		}
		if !g.hasPercentage {
			return nil, invalidf("task group %q has no percentage", g.name)
		}
		shares += g.percentage
		size := int(g.percentage * float64(n)) // truncated, as OpenFL does
		total += size
		parts = append(parts, fmt.Sprintf("%q int(%v × %d) = %d", g.name, g.percentage, n, size))
		if size > 0 && len(g.tasks) == 0 {
			return nil, invalidf("task group %q gets %d collaborators but has no tasks: their rounds would never end", g.name, size)
		}
		r.sizes = append(r.sizes, size)
	}
	if math.Abs(shares-1) > 0.01 {
		return nil, invalidf("the percentages of the task groups add up to %v; 1 is needed", shares)
	}
	if total != n {
		return nil, invalidf("the percentages do not divide %d collaborators: %s, together %d; change a percentage or the number of collaborators", n, strings.Join(parts, ", "), total)
	}
	return r, nil
}

// Assign implements Assigner.
func (r *Random) Assign(round int, collaborators []string) map[string][]string {
	type ticket struct {
		hash [sha256.Size]byte
		name string
	}
	tickets := make([]ticket, len(r.collaborators))
	for i, name := range r.collaborators {
		tickets[i] = ticket{sha256.Sum256(fmt.Appendf(nil, "%d:%s:%d:%s", len(r.seed), r.seed, round, name)), name}
	}
	slices.SortFunc(tickets, func(a, b ticket) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	all := map[string][]string{}
	for i, size := range r.sizes {
		for _, t := range tickets[:size] {
			all[t.name] = r.groups[i].tasks
		}
		tickets = tickets[size:]
	}
	return pick(all, collaborators)
}

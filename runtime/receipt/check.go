package receipt

import (
	"fmt"
	"slices"
	"strings"
)

// check applies the rules that do not depend on anything outside of the receipt.
func (r *Receipt) check() error {
	for what, sum := range map[string]string{"bundle.id": r.Bundle.ID, "plan.sha256": r.Plan.SHA256, "initial_model_sha256": r.InitialModel} {
		if !isDigest(sum) {
			return invalid("%s is no SHA-256", what)
		}
	}
	if r.Policy.SHA256 != "" && !isDigest(r.Policy.SHA256) {
		return invalid("policy.sha256 is no SHA-256")
	}
	if r.FirstRound < 0 {
		return invalid("first_round is %d", r.FirstRound)
	}
	for i := range r.Rounds {
		if err := r.Rounds[i].check(r.FirstRound + i); err != nil {
			return fmt.Errorf("round %d: %w", r.FirstRound+i, err)
		}
	}
	if !slices.IsSortedFunc(r.Roster, func(a, b Member) int { return strings.Compare(a.Name, b.Name) }) {
		return invalid("the roster is not sorted")
	}
	if err := r.checkRoster(); err != nil {
		return err
	}
	next := r.FirstRound + len(r.Rounds)
	if r.Final != (Model{next, r.Model(next)}) {
		return invalid("final_model is not what the last round led to")
	}
	if len(r.Rounds) > 0 && (r.Last == nil || *r.Last != Model{next - 1, r.Model(next - 1)}) {
		return invalid("last_model is not the one that the last round began with")
	}
	if b := r.Best; b != nil && (b.Round < r.FirstRound || b.Round >= next || b.SHA256 != r.Model(b.Round)) {
		return invalid("best_model is none of the models that a round began with")
	}
	return nil
}

func (r *Round) check(number int) error {
	if r.Round != number {
		return invalid("its number is %d", r.Round)
	}
	for what, sum := range map[string]string{"closing_sha256": r.Closing, "outcome_sha256": r.Outcome, "model_sha256": r.Model} {
		if !isDigest(sum) {
			return invalid("%s is no SHA-256", what)
		}
	}
	if r.State != "" && !isDigest(r.State) {
		return invalid("state_sha256 is no SHA-256")
	}
	seen := map[[2]string]bool{}
	for _, e := range r.Results {
		key := [2]string{e.Task, e.Collaborator}
		switch {
		case !isDigest(e.SHA256):
			return invalid("the result of %q for task %q has no SHA-256", e.Collaborator, e.Task)
		case seen[key]:
			return invalid("the result of %q for task %q is there twice", e.Collaborator, e.Task)
		case !slices.Contains(r.Done, e.Collaborator):
			return invalid("the result of %q for task %q counts, but the collaborator is not among those that are done", e.Collaborator, e.Task)
		}
		seen[key] = true
	}
	return nil
}

func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

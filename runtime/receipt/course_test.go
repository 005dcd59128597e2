package receipt

import (
	"slices"
	"strings"
	"testing"

	"fx/bundle"
	"fx/runtime/tensor"
	"fx/schema"
)

// An aggregator can sign what it likes. What it says of the rounds must be what
// the approved plan has.
func TestRoundsThatAreNotThePlans(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Receipt, *schema.Resolved)
		want   string // "" if nothing is wrong
	}{
		"as planned":           {func(*Receipt, *schema.Resolved) {}, ""},
		"the end is cut off":   {func(r *Receipt, _ *schema.Resolved) { r.Rounds = r.Rounds[:1] }, "complete with round 3, the plan's last round is 4"},
		"still under way":      {func(r *Receipt, _ *schema.Resolved) { r.Rounds, r.Complete = r.Rounds[:1], false }, ""},
		"the start is cut off": {func(r *Receipt, _ *schema.Resolved) { r.FirstRound, r.Rounds = 4, r.Rounds[1:] }, "begins with round 4"},
		"more than planned":    {func(_ *Receipt, p *schema.Resolved) { p.Aggregator.Rounds = 4 }, "rounds up to 4, the plan up to 3"},
		"a target that is not": {func(r *Receipt, _ *schema.Resolved) { r.Rounds = r.Rounds[:1]; r.Rounds[0].Stopped = true }, "the plan has none"},
		"a target": {func(r *Receipt, p *schema.Resolved) {
			r.Rounds = r.Rounds[:1]
			r.Rounds[0].Stopped = true
			p.Rounds.Stop = &schema.StopRule{}
		}, ""},
		"on after the target": {func(r *Receipt, p *schema.Resolved) { r.Rounds[0].Stopped = true; p.Rounds.Stop = &schema.StopRule{} }, "follows one that reached"},
		"another algorithm":   {func(r *Receipt, _ *schema.Resolved) { r.Tasks[0].Algorithm = "y" }, "its tasks are"},
		"an evaluation": {func(r *Receipt, _ *schema.Resolved) {
			r.TaskGroup, r.FirstRound, r.Rounds = evaluation, 0, r.Rounds[:1]
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, plan := sample(), &schema.Resolved{}
			plan.Aggregator.Rounds = 5
			plan.Tasks = []schema.Task{{Name: "train", Aggregation: schema.Component{Template: "x"}}}
			tt.change(r, plan)
			found := r.course(&bundle.Federation{Plan: plan, Model: &bundle.Model{Tensors: []tensor.Named{{Name: "w", Round: 3}}}})
			if tt.want == "" && len(found) > 0 || tt.want != "" && !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, tt.want) }) {
				t.Errorf("got %q, want %q", found, tt.want)
			}
		})
	}
}

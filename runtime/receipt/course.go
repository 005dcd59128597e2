package receipt

import (
	"fmt"
	"slices"

	"fx/bundle"
	"fx/runtime/tensor"
)

// evaluation is the task group that has one round, on the model as it is.
const evaluation = "evaluation"

// course says in what the rounds are not those of the plan: where they begin and
// end, and how results are aggregated. An aggregator that signs fewer rounds than
// were to be run cannot call them complete.
func (r *Receipt) course(f *bundle.Federation) (found []string) {
	differs := func(format string, a ...any) { found = append(found, fmt.Sprintf(format, a...)) }
	first, end := 0, 1
	if r.TaskGroup != evaluation {
		n, err := tensor.Round(f.Model.Tensors)
		if err != nil {
			differs("the bundle's model has no round: %v", err)
		}
		first, end = int(n), f.Plan.Aggregator.Rounds
	}
	next, stopped := r.FirstRound+len(r.Rounds), false
	for i, round := range r.Rounds {
		if stopped {
			differs("round %d follows one that reached the plan's target", round.Round)
		}
		if stopped = round.Stopped; stopped && f.Plan.Rounds.Stop == nil {
			differs("round %d reached a target; the plan has none", r.FirstRound+i)
		}
	}
	switch {
	case r.FirstRound != first:
		differs("it begins with round %d, the plan and its model with round %d", r.FirstRound, first)
	case next > end:
		differs("it has rounds up to %d, the plan up to %d", next-1, end-1)
	case r.Complete && next < end && !stopped:
		differs("it says that the federation is complete with round %d, the plan's last round is %d", next-1, end-1)
	}
	if want := tasks(f.Plan); !slices.Equal(r.Tasks, want) {
		differs("its tasks are %v, the plan's %v", r.Tasks, want)
	}
	return found
}

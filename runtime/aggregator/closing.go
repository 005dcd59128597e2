package aggregator

import (
	"errors"
	"fmt"
	"slices"

	"fx/runtime/journal"
)

// closeRound decides whose results count and makes the round's outcome from
// them. The caller holds mu, which is free while that is made.
func (a *Aggregator) closeRound() error {
	closing := journal.Closing{
		Round: a.round, Previous: a.history.outcome,
		Done: slices.Sorted(slices.Values(a.open.done)), Stragglers: []string{}, Results: []journal.ResultEntry{},
	}
	for _, name := range a.roster {
		if !slices.Contains(closing.Done, name) {
			closing.Stragglers = append(closing.Stragglers, name)
		}
	}
	for _, task := range a.plan.Tasks {
		for _, name := range closing.Done {
			if samples, has := a.open.has[name][task.Name]; has {
				closing.Results = append(closing.Results, journal.ResultEntry{
					Task: task.Name, Collaborator: name, DataSize: int32(samples), SHA256: a.open.sums[[2]string{task.Name, name}],
				})
			}
		}
	}
	return a.finish(func() (journal.Closing, string, error) {
		sum, err := a.o.Journal.WriteClosing(closing)
		return closing, sum, err
	})
}

func (a *Aggregator) resultEntry(task, name string, round int) (journal.ResultEntry, error) {
	r, err := a.o.Journal.Result(round, task, name)
	if err != nil {
		return journal.ResultEntry{}, err
	}
	return journal.ResultEntry{Task: task, Collaborator: name, DataSize: r.DataSize, SHA256: r.SHA256}, r.Close()
}

// known is the digest of a result of the open round, which was made when that came,
// or when this process found it at its start.
func (a *Aggregator) known(round int, task, name string) (sum string, ok bool) {
	if round == a.round {
		sum, ok = a.open.sums[[2]string{task, name}]
	}
	return sum, ok
}

// finish makes the next model and the outcome of a decided round, which begins
// the next one. All it writes is a function of the closing, so doing it twice
// changes nothing. The caller holds mu, which is free while that is made.
func (a *Aggregator) finish(decided func() (journal.Closing, string, error)) error {
	var closing journal.Closing
	var outcome journal.Outcome
	var sum string
	var improved bool
	err := a.unlocked(func() (err error) {
		var closingSum string
		if closing, closingSum, err = decided(); err != nil {
			return err
		}
		if outcome, improved, err = a.next(closing, closingSum); err != nil {
			return err
		}
		if improved {
			if err := a.save(a.plan.Aggregator.BestStatePath, closing.Round); err != nil {
				return err
			}
		}
		if err := a.save(a.plan.Aggregator.LastStatePath, closing.Round); err != nil {
			return err
		}
		if sum, err = a.o.Journal.WriteOutcome(outcome); err != nil {
			return err
		}
		return a.forget(closing.Round)
	})
	if err != nil {
		return err
	}
	a.remember(outcome, sum)
	a.announce(outcome, len(closing.Stragglers), improved)
	a.endDeadline()
	a.round++
	a.shelf.turn(a.round)
	return a.closed()
}

func (a *Aggregator) announce(o journal.Outcome, stragglers int, improved bool) {
	attrs := []any{"round", o.Round, "of", a.plan.Aggregator.Rounds, "collaborators", len(a.roster) - stragglers}
	for _, m := range o.Metrics {
		attrs = append(attrs, m.Task+"/"+m.Name, fmt.Sprintf("%.4f", m.Value))
	}
	a.o.Log.Info("round closed", append(attrs, "best", improved)...)
	if s := o.Stop; s != nil {
		a.o.Log.Info("the plan's target is reached, no other round begins", "round", o.Round, "task", s.Task, "metric", s.Name, "value", s.Value)
	}
}

// forget removes the raw results, the model and the state of the round that is
// now older than the plan's db_store_rounds. A negative number keeps all; the
// initial model always stays.
func (a *Aggregator) forget(closed int) error {
	keep := a.plan.Aggregator.DBStoreRounds
	if a.o.KeepRounds < 0 || keep >= 0 && a.o.KeepRounds > keep {
		keep = a.o.KeepRounds
	}
	old := closed - keep
	if keep < 0 || old < a.first {
		return nil
	}
	err := errors.Join(a.o.Journal.Forget(old), a.o.Journal.ForgetState(old))
	if old != a.first {
		err = errors.Join(err, a.o.Journal.ForgetModel(old))
	}
	return err
}

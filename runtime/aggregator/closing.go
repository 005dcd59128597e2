package aggregator

import (
	"errors"
	"fmt"
	"slices"

	"fx/runtime/journal"
)

// closeRound decides whose results count and makes the round's outcome from
// them. The caller holds mu, or is New.
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
			if _, has := a.open.has[name][task.Name]; !has {
				continue
			}
			entry, err := a.resultEntry(task.Name, name, a.round)
			if err != nil {
				return err
			}
			closing.Results = append(closing.Results, entry)
		}
	}
	sum, err := a.o.Journal.WriteClosing(closing)
	if err != nil {
		return err
	}
	return a.finish(closing, sum)
}

func (a *Aggregator) resultEntry(task, name string, round int) (journal.ResultEntry, error) {
	r, err := a.o.Journal.Result(round, task, name)
	if err != nil {
		return journal.ResultEntry{}, err
	}
	return journal.ResultEntry{Task: task, Collaborator: name, DataSize: r.DataSize, SHA256: r.SHA256}, r.Close()
}

// finish makes the next model and the outcome of a decided round. All it writes
// is a function of the closing, so doing it twice changes nothing.
func (a *Aggregator) finish(closing journal.Closing, closingSum string) error {
	outcome, improved, err := a.next(closing, closingSum)
	if err != nil {
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
	sum, err := a.o.Journal.WriteOutcome(outcome)
	if err != nil {
		return err
	}
	a.remember(outcome, sum)
	a.announce(outcome, len(closing.Stragglers), improved)
	a.endDeadline()
	a.round++
	close(a.turned)
	a.turned = make(chan struct{})
	return errors.Join(a.forget(closing.Round), a.closed())
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

package aggregator

import (
	"errors"
	"io/fs"

	"fx/bundle"
	"fx/runtime/journal"
)

// What a disk has damaged is made anew wherever what it was made of is there: the
// initial model of the bundle, the newest model and state of the last round's
// results. A damaged result of the open round is asked for again.

// errUnreadable is a result in the journal that is cut off or garbled. One that can
// be read and does not fit to others is none: nobody knows which of them changed.
var errUnreadable = errors.New("cannot read an accepted result")

// askAgain puts a result aside, so that its sender is asked for it.
func (a *Aggregator) askAgain(task, name string, damage error) error {
	aside, err := a.o.Journal.SetAside(a.round, task, name)
	if err != nil {
		return errors.Join(damage, err)
	}
	a.o.Log.Warn("a result is damaged, it is asked for again", "round", a.round, "task", task, "collaborator", name, "reason", damage.Error(), "kept", aside)
	return nil
}

// initialModel writes the model that the federation begins with.
func (a *Aggregator) initialModel(model *bundle.Model) error {
	_, err := a.o.Journal.WriteModel(a.first, model.WriteSafetensors)
	if !errors.Is(err, journal.ErrDamaged) {
		return err
	}
	a.o.Log.Warn("the initial model in the journal is damaged, the bundle's takes its place", "reason", err.Error())
	if err := a.o.Journal.ForgetModel(a.first); err != nil {
		return err
	}
	_, err = a.o.Journal.WriteModel(a.first, model.WriteSafetensors)
	return err
}

// next makes what a decided round leads to. What an interrupted process has left of
// that and a disk has damaged is made anew: nobody has seen it.
func (a *Aggregator) next(closing journal.Closing, closingSum string) (journal.Outcome, bool, error) {
	outcome, improved, err := a.engine.Next(closing, closingSum, a.history.Best)
	if !errors.Is(err, journal.ErrDamaged) {
		return outcome, improved, err
	}
	a.o.Log.Warn("what was left of an interrupted round is damaged, it is made anew", "round", closing.Round, "reason", err.Error())
	if err := errors.Join(a.o.Journal.ForgetModel(closing.Round+1), a.o.Journal.ForgetState(closing.Round+1)); err != nil {
		return outcome, false, err
	}
	return a.engine.Next(closing, closingSum, a.history.Best)
}

// checkNewest compares the newest model and state with what was written, and makes
// them anew if they are damaged.
func (a *Aggregator) checkNewest() error {
	err := errors.Join(a.checkModel(), a.checkState())
	if !errors.Is(err, journal.ErrDamaged) {
		return err
	}
	if why := a.remake(); why != nil {
		return errors.Join(err, why)
	}
	a.o.Log.Warn("the newest model was damaged and has been made anew", "round", a.round, "reason", err.Error())
	return nil
}

func (a *Aggregator) checkModel() error {
	sum, err := a.o.Journal.ModelSHA256(a.round)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if sum != a.history.FinalSHA256 {
		return journal.Damagef("%q has SHA-256 %q, was written with %q", journal.ModelName(a.round), sum, a.history.FinalSHA256)
	}
	return nil
}

// remake makes the newest model anew, after it has seen that all is there of which
// it was made.
func (a *Aggregator) remake() error {
	closed := a.round - 1
	closing, sum, err := a.o.Journal.Closing(closed)
	if err != nil {
		return err
	}
	var before journal.Outcome
	if closed > a.first {
		if before, _, err = a.o.Journal.Outcome(closed - 1); err != nil {
			return err
		}
		if have, err := a.o.Journal.ModelSHA256(closed); err != nil || have != before.Model {
			return journal.Damagef("%q, of which it could be made anew, has SHA-256 %q, was written with %q", journal.ModelName(closed), have, before.Model)
		}
	}
	for _, e := range closing.Results {
		entry, err := a.resultEntry(e.Task, e.Collaborator, closed)
		if err != nil {
			return journal.Damagef("a result of which it could be made anew is not there: %w", err)
		}
		if entry != e {
			return journal.Damagef("the result of %q for task %q in round %d, of which it could be made anew, has SHA-256 %s, was accepted with %s",
				e.Collaborator, e.Task, closed, entry.SHA256, e.SHA256)
		}
	}
	if err := errors.Join(a.o.Journal.ForgetModel(a.round), a.o.Journal.ForgetState(a.round)); err != nil {
		return err
	}
	outcome, _, err := a.engine.Next(closing, sum, before.Best)
	if err != nil {
		return err
	}
	if again, err := journal.RecordSHA256(outcome); err != nil || again != a.history.outcome {
		return journal.Damagef("round %d made anew has the outcome %s, was written with %s", closed, again, a.history.outcome)
	}
	return nil
}

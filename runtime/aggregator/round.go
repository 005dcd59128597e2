package aggregator

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"fx/runtime/aggregation"
	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/schema"
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
			entry, err := a.resultEntry(task.Name, name)
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

func (a *Aggregator) resultEntry(task, name string) (journal.ResultEntry, error) {
	r, err := a.o.Journal.Result(a.round, task, name)
	if err != nil {
		return journal.ResultEntry{}, err
	}
	return journal.ResultEntry{Task: task, Collaborator: name, DataSize: r.DataSize, SHA256: r.SHA256}, r.Close()
}

// finish makes the next model and the outcome of a decided round. All it writes
// is a function of the closing, so doing it twice changes nothing.
func (a *Aggregator) finish(closing journal.Closing, closingSum string) error {
	base, err := a.o.Journal.Model(closing.Round)
	if err != nil {
		return err
	}
	defer func() { _ = base.Close() }() // read only
	f := fold{a: a, base: base, trained: map[string]foldedTensor{}}
	defer f.close()
	if f.state, err = openState(a.o.Journal, closing.Round); err != nil {
		return err
	}
	for _, task := range a.plan.Tasks {
		if err := f.add(task, closing); err != nil {
			return fmt.Errorf("cannot aggregate task %q: %w", task.Name, err)
		}
	}
	if err := f.begin(); err != nil {
		return err
	}
	outcome := journal.Outcome{Round: closing.Round, Closing: closingSum, Metrics: f.metrics, Best: a.history.Best, Stop: f.stop}
	if outcome.Metrics == nil {
		outcome.Metrics = []journal.MetricEntry{}
	}
	write := f.writeModel
	if a.pipeline.Lossy() {
		steps, err := f.steps(closing.Round + 1)
		if err != nil {
			return err
		}
		defer func() { _ = steps.Close() }() // read only
		write = func(w io.Writer) error { return f.writeStepped(w, steps) }
	}
	if outcome.Model, err = a.o.Journal.WriteModel(closing.Round+1, write); err != nil {
		return err
	}
	if !f.state.empty() {
		if outcome.State, err = a.o.Journal.WriteState(closing.Round+1, f.state.writeTo); err != nil {
			return err
		}
	}
	improved := f.improves(outcome.Best)
	if improved {
		outcome.Best = &journal.BestSelection{Round: closing.Round, Score: *f.score}
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
	return a.forget(closing.Round)
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

// fold gathers what a round's results make of the model and the metrics.
type fold struct {
	a       *Aggregator
	base    *journal.Model
	results []*journal.Result
	state   *state
	trained map[string]foldedTensor
	rounds  map[string]*aggregation.Round // by task
	metrics []journal.MetricEntry
	score   *float64             // of the model at the start of the round
	stop    *journal.MetricEntry // that reached the plan's target
	working sync.WaitGroup
}

func (f *fold) close() {
	f.working.Wait() // what is read from below must not be closed under it
	if f.state != nil {
		f.state.close()
	}
	for _, t := range f.trained {
		_ = t.decoded.close() // swept at the next start if that fails
	}
	for _, r := range f.results {
		_ = r.Close() // read only
	}
}

// contribution is one collaborator's result of a task.
type contribution struct {
	name   string
	weight float64
	result *journal.Result
	tensor tensor.Named
}

// add takes in the results of one task, which all have the same tensors: that
// was seen to when they were accepted.
func (f *fold) add(task schema.Task, closing journal.Closing) error {
	var from []contribution
	for _, e := range closing.Results {
		if e.Task != task.Name {
			continue
		}
		r, err := f.a.o.Journal.Result(closing.Round, e.Task, e.Collaborator)
		if err != nil {
			return err
		}
		f.results = append(f.results, r)
		if r.SHA256 != e.SHA256 {
			return fmt.Errorf("the journal is damaged: the result of %q has SHA-256 %s, was accepted with %s", e.Collaborator, r.SHA256, e.SHA256)
		}
		from = append(from, contribution{name: e.Collaborator, weight: float64(e.DataSize), result: r})
	}
	if len(from) == 0 {
		return nil
	}
	for _, t := range from[0].result.Tensors {
		updates, err := matching(t, from)
		if err != nil {
			return err
		}
		if err := f.addTensor(task, t, updates); err != nil {
			return err
		}
	}
	return nil
}

// matching finds the tensor that t is in every collaborator's result.
func matching(t tensor.Named, from []contribution) ([]contribution, error) {
	key := tensorKey(t)
	out := slices.Clone(from)
	for i, c := range out {
		at := slices.IndexFunc(c.result.Tensors, func(x tensor.Named) bool { return tensorKey(x) == key })
		if at < 0 {
			return nil, fmt.Errorf("%q sent the tensor %q, %q did not", from[0].name, t.Name, c.name)
		}
		out[i].tensor = c.result.Tensors[at]
	}
	return out, nil
}

func (f *fold) addTensor(task schema.Task, t tensor.Named, updates []contribution) error {
	switch {
	case t.Report:
		return f.addMetric(task, t, updates)
	case isTrained(t):
		return f.trainedTensor(task.Name, t, updates)
	}
	return nil
}

// writeModel streams the next model: every tensor of the current one, folded
// where it was trained, and what training added (OpenFL's optimizer tensors).
func (f *fold) writeModel(w io.Writer) error {
	sources, err := f.untrained()
	if err != nil {
		return err
	}
	readers := make([]io.Closer, 0, len(f.trained))
	defer func() {
		for _, r := range readers {
			_ = r.Close() // ends a fold whose values are not wanted any more
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(f.trained)) {
		t := f.trained[name]
		r := f.reader(t)
		readers = append(readers, r)
		sources = append(sources, tensor.Source{Info: t.info, Data: r})
	}
	return tensor.WriteSafetensors(w, roundMetadata(f.base, 1), sources)
}

// untrained are the tensors of the current model that stay as they are.
func (f *fold) untrained() ([]tensor.Source, error) {
	var sources []tensor.Source
	for _, info := range f.base.Infos() {
		if _, ok := f.trained[info.Name]; ok {
			continue
		}
		section, err := f.base.Section(info.Name)
		if err != nil {
			return nil, err
		}
		sources = append(sources, tensor.Source{Info: info, Data: section})
	}
	return sources, nil
}

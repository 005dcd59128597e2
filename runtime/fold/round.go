package fold

import (
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

// Next makes the model, the state and the outcome that a decided round leads to,
// and commits all but the outcome to the journal. best is the best model so far;
// improved says that the model at the start of the round is better. All of it is
// a function of the closing and of what the journal holds of the round, so doing
// it twice gives the same bytes.
func (a *Engine) Next(closing journal.Closing, closingSum string, best *journal.BestSelection) (outcome journal.Outcome, improved bool, err error) {
	base, err := a.o.Journal.Model(closing.Round)
	if err != nil {
		return outcome, false, err
	}
	defer func() { _ = base.Close() }() // read only
	f := fold{a: a, base: base, trained: map[string]foldedTensor{}}
	defer f.close()
	if f.state, err = openState(a.o.Journal, closing.Round); err != nil {
		return outcome, false, err
	}
	for _, task := range a.plan.Tasks {
		if err := f.add(task, closing); err != nil {
			return outcome, false, fmt.Errorf("cannot aggregate task %q: %w", task.Name, err)
		}
	}
	if err := f.begin(); err != nil {
		return outcome, false, err
	}
	outcome = journal.Outcome{Round: closing.Round, Closing: closingSum, Metrics: f.metrics, Best: best, Stop: f.stop}
	if outcome.Metrics == nil {
		outcome.Metrics = []journal.MetricEntry{}
	}
	write := f.writeModel
	if a.pipeline.Lossy() {
		steps, err := f.steps(closing.Round + 1)
		if err != nil {
			return outcome, false, err
		}
		defer func() { _ = steps.Close() }() // read only
		write = func(w io.Writer) error { return f.writeStepped(w, steps) }
	}
	if outcome.Model, err = a.o.Journal.WriteModel(closing.Round+1, write); err != nil {
		return outcome, false, err
	}
	if !f.state.empty() {
		if outcome.State, err = a.o.Journal.WriteState(closing.Round+1, f.state.writeTo); err != nil {
			return outcome, false, err
		}
	}
	if improved = f.improves(best); improved {
		outcome.Best = &journal.BestSelection{Round: closing.Round, Score: *f.score}
	}
	return outcome, improved, nil
}

// fold gathers what a round's results make of the model and the metrics.
type fold struct {
	a       *Engine
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
			return journal.Damagef("the result of %q has SHA-256 %s, was accepted with %s", e.Collaborator, r.SHA256, e.SHA256)
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
	key := Key(t)
	out := slices.Clone(from)
	for i, c := range out {
		at := slices.IndexFunc(c.result.Tensors, func(x tensor.Named) bool { return Key(x) == key })
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
	case Trained(t):
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

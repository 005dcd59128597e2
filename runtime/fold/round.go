package fold

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
	var first []tensor.Named     // the tensors of the first result
	var updates [][]contribution // to each of them
	for _, e := range closing.Results {
		if e.Task != task.Name {
			continue
		}
		r, err := f.open(closing.Round, e)
		if err != nil {
			return err
		}
		f.results = append(f.results, r)
		own := contribution{name: e.Collaborator, weight: float64(e.DataSize), result: r}
		if first == nil {
			first, updates = r.Tensors, make([][]contribution, len(r.Tensors))
		}
		if err := match(first, updates, own); err != nil {
			return err
		}
		r.Tensors = nil // what is needed of it is in the contributions
	}
	for i, t := range first {
		if err := f.addTensor(task, t, updates[i]); err != nil {
			return err
		}
	}
	return nil
}

// open opens a result whose digest is the one that was decided on. Those that the
// process does not know already it makes now.
func (f *fold) open(round int, e journal.ResultEntry) (*journal.Result, error) {
	sum, known := "", false
	if f.a.o.Known != nil {
		sum, known = f.a.o.Known(round, e.Task, e.Collaborator)
	}
	open := f.a.o.Journal.OpenResult
	if !known {
		open = f.a.o.Journal.Result
	}
	r, err := open(round, e.Task, e.Collaborator)
	if err != nil {
		return nil, err
	}
	if !known {
		sum = r.SHA256
	}
	if sum != e.SHA256 {
		err := journal.Damagef("the result of %q has SHA-256 %s, was accepted with %s", e.Collaborator, sum, e.SHA256)
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// match adds what one collaborator sent to the updates of the tensors of the
// first. What all have in common is held once.
func match(first []tensor.Named, updates [][]contribution, own contribution) error {
	at := map[string]int{}
	for i, t := range own.result.Tensors {
		at[Key(t)] = i
	}
	for i, t := range first {
		j, ok := at[Key(t)]
		if !ok {
			return fmt.Errorf("%q sent the tensor %q, %q did not", updates[i][0].name, t.Name, own.name)
		}
		own.tensor = own.result.Tensors[j]
		own.tensor.Name = t.Name
		if slices.Equal(own.tensor.Tags, t.Tags) {
			own.tensor.Tags = t.Tags
		}
		if plain(own.tensor) && plain(t) && slices.Equal(own.tensor.Metadata[0].IntList, t.Metadata[0].IntList) {
			own.tensor.Metadata = t.Metadata
		}
		updates[i] = append(updates[i], own)
	}
	return nil
}

// plain says whether a tensor's metadata are a shape and nothing else.
func plain(t tensor.Named) bool {
	return len(t.Metadata) == 1 && len(t.Metadata[0].IntToFloat) == 0 && len(t.Metadata[0].BoolList) == 0
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

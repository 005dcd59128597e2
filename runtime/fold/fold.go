package fold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"

	"fx/runtime/aggregation"
	"fx/runtime/codec"
	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/schema"
)

// foldedTensor is a trained tensor that waits to be aggregated.
type foldedTensor struct {
	aggregation.Tensor
	info    tensor.Info
	task    string
	decoded *decodedTensor // behind those of its updates that have to be decoded
}

// trainedTensor gathers what a tensor's next value is made from.
func (f *fold) trainedTensor(task string, t tensor.Named, from []contribution) error {
	info, err := f.a.Describe(from[0].tensor)
	if err != nil {
		return err
	}
	out := foldedTensor{
		info: info, task: task, decoded: &decodedTensor{a: f.a, size: info.Bytes()},
		Tensor: aggregation.Tensor{Name: t.Name, Elements: info.Elements(), Extra: !f.a.initial[t.Name]},
	}
	if section, err := f.base.Section(t.Name); err == nil {
		out.Base = aggregation.FromReader(section)
	}
	for _, c := range from {
		values, err := out.decoded.source(c)
		if err != nil {
			return err
		}
		u := aggregation.Update{Collaborator: c.name, Weight: c.weight, Data: values}
		if journal.HasTag(c.tensor, codec.TagDelta) {
			u.Data = sum{u.Data, out.Base}
		}
		out.Updates = append(out.Updates, u)
	}
	if err := f.state.load(&out.Tensor, task, f.a.algorithms[task].Slots()); err != nil {
		return err
	}
	f.trained[t.Name] = out
	return nil
}

// begin lets every task's algorithm look at all that the task has trained.
func (f *fold) begin() error {
	f.rounds = map[string]*aggregation.Round{}
	for _, task := range f.a.plan.Tasks {
		var tensors []aggregation.Tensor
		for _, name := range slices.Sorted(maps.Keys(f.trained)) {
			if t := f.trained[name]; t.task == task.Name {
				tensors = append(tensors, t.Tensor)
			}
		}
		var err error
		if f.rounds[task.Name], err = f.a.algorithms[task.Name].Begin(tensors); err != nil {
			return fmt.Errorf("cannot aggregate task %q: %w", task.Name, err)
		}
	}
	return nil
}

// reader returns the tensor's next value as it is written in a model file. The
// work is done while it is read, a block at a time.
func (f *fold) reader(t foldedTensor) io.ReadCloser {
	r, w := io.Pipe()
	started := false
	return &lazyReader{PipeReader: r, start: func() {
		if !started {
			started = true
			f.working.Go(func() { w.CloseWithError(f.aggregate(t, w, aggregation.Next)) })
		}
	}}
}

// lazyReader begins its work at the first read.
type lazyReader struct {
	*io.PipeReader
	start func()
}

func (r *lazyReader) Read(p []byte) (int, error) {
	r.start()
	return r.PipeReader.Read(p)
}

// arithmetic makes a block of float32 out of an average, and of the current
// value, which is nil for a tensor that the model does not have.
type arithmetic func(base []float32, avg []float64, deltas bool, out []float32)

// aggregate folds one tensor over all collaborators, in name order, and writes
// what the arithmetic makes of it, and what is to be remembered of it.
func (f *fold) aggregate(t foldedTensor, w io.Writer, last arithmetic) (err error) {
	defer func() { err = errors.Join(err, t.decoded.close()) }() // nobody reads it again
	slots := f.a.algorithms[t.task].Slots()
	if t.Extra {
		slots = nil
	}
	if len(slots) > 0 {
		if err := f.state.begin(t.Tensor, t.task, slots, t.info.Shape); err != nil {
			return err
		}
	}
	var current, out []float32
	var buf []byte
	off := 0
	return f.rounds[t.task].Fold(t.Name, func(avg []float64, state [][]float64) error {
		if cap(out) < len(avg) {
			current, out = make([]float32, len(avg)), make([]float32, len(avg))
		}
		current, out = current[:len(avg)], out[:len(avg)]
		var old []float32
		if t.Base != nil {
			if err := t.Base.ReadBlock(current, off); err != nil {
				return err
			}
			old = current
		}
		last(old, avg, f.a.plan.Aggregator.UseDeltaUpdates, out)
		for i, v := range out {
			if v-v != 0 {
				return fmt.Errorf("its next value at element %d would be %v", off+i, v)
			}
		}
		if len(slots) > 0 {
			if err := f.state.write(state); err != nil {
				return err
			}
		}
		off += len(avg)
		buf = tensor.AppendFloat32s(buf[:0], out)
		_, err := w.Write(buf)
		return err
	})
}

// sum is a difference added back to what it is a difference to.
type sum struct{ delta, base aggregation.Source }

// ReadBlock implements [aggregation.Source].
func (s sum) ReadBlock(dst []float32, off int) error {
	if err := s.delta.ReadBlock(dst, off); err != nil {
		return err
	}
	base := make([]float32, len(dst))
	if err := s.base.ReadBlock(base, off); err != nil {
		return err
	}
	for i, v := range base {
		dst[i] += v
	}
	return nil
}

// addMetric averages one metric, weighted by samples whatever the task's
// algorithm is. One of the model's validation at its current state (tag
// validate_agg) is the score that selects the best model: the one that the plan
// names, or the first.
func (f *fold) addMetric(task schema.Task, t tensor.Named, from []contribution) error {
	reported := make([]aggregation.Reported, len(from))
	for i, c := range from {
		_, values, err := f.a.Decode(c.tensor, c.result)
		if err != nil {
			return err
		}
		var raw [4]byte
		if _, err := io.ReadFull(values, raw[:]); err != nil {
			return err
		}
		v := math.Float32frombits(binary.LittleEndian.Uint32(raw[:]))
		reported[i] = aggregation.Reported{Collaborator: c.name, Weight: c.weight, Value: float64(v)}
	}
	value, err := aggregation.Scalar(reported)
	if err != nil {
		return fmt.Errorf("cannot average metric %q: %w", t.Name, err)
	}
	f.metrics = append(f.metrics, journal.MetricEntry{Task: task.Name, Name: t.Name, Value: value})
	if !journal.HasTag(t, "validate_agg") || math.IsNaN(value) {
		return nil
	}
	best, stop := f.a.plan.Rounds.Best, f.a.plan.Rounds.Stop
	if f.score == nil && (best == nil || names(best.Task, best.Metric, task.Name, t.Name)) {
		f.score = &value
	}
	if f.stop == nil && stop != nil && names(stop.Task, stop.Metric, task.Name, t.Name) && stop.Reached(value) {
		f.stop = &journal.MetricEntry{Task: task.Name, Name: t.Name, Value: value}
	}
	return nil
}

// names tells whether a rule of the plan means this metric.
func names(ruleTask, ruleMetric, task, metric string) bool {
	return ruleMetric == metric && (ruleTask == "" || ruleTask == task)
}

// improves tells whether the model of the round is better than the best so far.
func (f *fold) improves(best *journal.BestSelection) bool {
	switch {
	case f.score == nil:
		return false
	case best == nil:
		return true
	case f.a.plan.Rounds.Best != nil && f.a.plan.Rounds.Best.Least:
		return *f.score < best.Score
	}
	return *f.score > best.Score
}

// roundMetadata is the metadata of the model file that many rounds after m.
func roundMetadata(m *journal.Model, after int) map[string]string {
	round, _ := strconv.Atoi(m.Metadata()[tensor.RoundKey]) // 0 where it is absent
	return map[string]string{tensor.RoundKey: strconv.Itoa(round + after)}
}

package aggregator

import (
	"fmt"
	"io"
	"math"
	"strconv"

	"fx/runtime/aggregation"
	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/schema"
)

// foldedTensor is a trained tensor that waits to be aggregated.
type foldedTensor struct {
	info    tensor.Info
	task    string
	updates []contribution
}

// reader returns the tensor's next value as it is written in a model file. The
// work is done while it is read, a block at a time.
func (f *fold) reader(t foldedTensor) io.ReadCloser {
	r, w := io.Pipe()
	started := false
	return &lazyReader{PipeReader: r, start: func() {
		if !started {
			started = true
			go func() { w.CloseWithError(f.aggregate(t, w)) }()
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

// aggregate folds one tensor over all collaborators, in name order, and writes
// the next value. The arithmetic of the last step is OpenFL's: with deltas on,
// the difference to the current value is rounded to float32 and added to it.
func (f *fold) aggregate(t foldedTensor, w io.Writer) error {
	var base aggregation.Source
	if section, err := f.base.Section(t.info.Name); err == nil {
		base = aggregation.FromReader(section)
	}
	updates := make([]aggregation.Update, len(t.updates))
	for i, c := range t.updates {
		_, values, err := f.a.decode(c.tensor, c.result)
		if err != nil {
			return err
		}
		own := aggregation.FromReader(values)
		updates[i] = aggregation.Update{Collaborator: c.name, Weight: c.weight, Data: own}
		if journal.HasTag(c.tensor, "delta") {
			updates[i].Data = sum{own, base}
		}
	}
	var current, next []float32
	var buf []byte
	off := 0
	emit := func(avg []float64) error {
		if cap(next) < len(avg) {
			current, next = make([]float32, len(avg)), make([]float32, len(avg))
		}
		current, next = current[:len(avg)], next[:len(avg)]
		var old []float32
		if base != nil {
			if err := base.ReadBlock(current, off); err != nil {
				return err
			}
			old = current
		}
		aggregation.Next(old, avg, f.a.plan.Aggregator.UseDeltaUpdates, next)
		off += len(avg)
		buf = tensor.AppendFloat32s(buf[:0], next)
		_, err := w.Write(buf)
		return err
	}
	return f.a.algorithms[t.task].Aggregate(t.info.Name, t.info.Elements(), base, updates, emit)
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
// algorithm is. The first metric of the model's validation at its current state
// (tag validate_agg) is the score that selects the best model; larger is better.
func (f *fold) addMetric(task schema.Task, t tensor.Named, from []contribution) error {
	reported := make([]aggregation.Reported, len(from))
	for i, c := range from {
		_, values, err := f.a.decode(c.tensor, c.result)
		if err != nil {
			return err
		}
		var v [1]float32
		if err := aggregation.FromReader(values).ReadBlock(v[:], 0); err != nil {
			return err
		}
		reported[i] = aggregation.Reported{Collaborator: c.name, Weight: c.weight, Value: float64(v[0])}
	}
	value, err := aggregation.Scalar(reported)
	if err != nil {
		return fmt.Errorf("cannot average metric %q: %w", t.Name, err)
	}
	f.metrics = append(f.metrics, journal.MetricEntry{Task: task.Name, Name: t.Name, Value: value})
	if f.score == nil && journal.HasTag(t, "validate_agg") && !math.IsNaN(value) {
		f.score = &value
	}
	return nil
}

// roundMetadata is the metadata of the model file that many rounds after m.
func roundMetadata(m *journal.Model, after int) map[string]string {
	round, _ := strconv.Atoi(m.Metadata()[tensor.RoundKey]) // 0 where it is absent
	return map[string]string{tensor.RoundKey: strconv.Itoa(round + after)}
}

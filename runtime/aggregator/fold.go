package aggregator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"fx/runtime/aggregation"
	"fx/runtime/codec"
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
			go func() { w.CloseWithError(f.aggregate(t, w, aggregation.Next)) }()
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
// what the arithmetic makes of it.
func (f *fold) aggregate(t foldedTensor, w io.Writer, last arithmetic) error {
	var base aggregation.Source
	if section, err := f.base.Section(t.info.Name); err == nil {
		base = aggregation.FromReader(section)
	}
	updates := make([]aggregation.Update, len(t.updates))
	for i, c := range t.updates {
		own, done, err := f.a.source(c.tensor, c.result)
		if err != nil {
			return err
		}
		defer done()
		updates[i] = aggregation.Update{Collaborator: c.name, Weight: c.weight, Data: own}
		if journal.HasTag(c.tensor, codec.TagDelta) {
			updates[i].Data = sum{own, base}
		}
	}
	var current, out []float32
	var buf []byte
	off := 0
	emit := func(avg []float64) error {
		if cap(out) < len(avg) {
			current, out = make([]float32, len(avg)), make([]float32, len(avg))
		}
		current, out = current[:len(avg)], out[:len(avg)]
		var old []float32
		if base != nil {
			if err := base.ReadBlock(current, off); err != nil {
				return err
			}
			old = current
		}
		last(old, avg, f.a.plan.Aggregator.UseDeltaUpdates, out)
		off += len(avg)
		buf = tensor.AppendFloat32s(buf[:0], out)
		_, err := w.Write(buf)
		return err
	}
	return f.a.algorithms[t.task].Aggregate(t.info.Name, t.info.Elements(), base, updates, emit)
}

// source gives the values of a tensor as it was sent, to be read in blocks. What
// has to be decoded is decoded into a draft, so that of all collaborators' tensors
// one is in memory at most. done must be called in the end.
func (a *Aggregator) source(t tensor.Named, r io.ReaderAt) (_ aggregation.Source, done func(), err error) {
	_, values, err := a.decode(t, r)
	if err != nil {
		return nil, nil, err
	}
	if plain, ok := values.(*io.SectionReader); ok {
		return aggregation.FromReader(plain), func() {}, nil
	}
	spool, err := a.spool(func(w io.Writer) error {
		_, err := io.Copy(w, values)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return aggregation.FromReader(spool), func() { _ = spool.Discard() }, nil
}

// spool writes to a draft that is not going to be committed.
func (a *Aggregator) spool(write func(io.Writer) error) (journal.Draft, error) {
	d, err := a.o.Journal.Store().Draft()
	if err != nil {
		return nil, err
	}
	if err := write(d); err != nil {
		return nil, errors.Join(err, d.Discard())
	}
	return d, nil
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

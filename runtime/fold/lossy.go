package fold

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"fx/runtime/aggregation"
	"fx/runtime/codec"
	"fx/runtime/journal"
	"fx/runtime/tensor"
)

// With a pipeline that loses values, OpenFL's global model goes through it once
// a round: the next model is the current one plus what is left of the difference
// to the average, or, with the aggregator's use_delta_updates off and for tensors
// that the model does not have, what is left of the average itself. What is left
// is kept as it was encoded: collaborators that ask for the difference are sent
// just that, and so come to the aggregator's model bit for bit.

// stepTags are those of a difference that the aggregator made.
func stepTags(p codec.Pipeline) []string {
	tags := []string{"aggregated", codec.TagDelta, codec.Tag(p)}
	slices.Sort(tags)
	return tags
}

// steps encodes what leads to the model of a round, commits and opens it.
func (f *fold) steps(round int) (*journal.Steps, error) {
	err := f.a.o.Journal.WriteSteps(round, func(w io.Writer) error {
		for _, name := range slices.Sorted(maps.Keys(f.trained)) {
			if err := f.step(w, round, f.trained[name]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f.a.o.Journal.Steps(round)
}

// step folds one tensor into a draft and writes it encoded.
func (f *fold) step(w io.Writer, round int, t foldedTensor) (err error) {
	folded, err := f.a.draft(func(w io.Writer) error { return f.aggregate(t, w, toStep) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folded.Discard()) }()
	n := tensor.Named{Name: t.info.Name, Round: int32(round), Tags: []string{"aggregated", codec.Tag(f.a.pipeline)}}
	if _, ok := f.base.Info(n.Name); ok && f.a.plan.Aggregator.UseDeltaUpdates {
		n.Tags = stepTags(f.a.pipeline)
	}
	source, err := f.a.pipeline.Encode(n, t.info, io.NewSectionReader(folded, 0, folded.Size()), f.a.Seed(n.Name, round))
	if err != nil {
		return err
	}
	return tensor.WriteModel(w, []tensor.NamedSource{source})
}

// toStep is the arithmetic of what is encoded.
func toStep(base []float32, avg []float64, deltas bool, out []float32) {
	for i, a := range avg {
		if base != nil && deltas {
			a -= float64(base[i])
		}
		out[i] = float32(a)
	}
}

// writeStepped streams the next model as the steps say.
func (f *fold) writeStepped(w io.Writer, steps *journal.Steps) error {
	sources, err := f.untrained()
	if err != nil {
		return err
	}
	for _, t := range steps.Tensors {
		info, err := f.a.pipeline.Info(t)
		if err != nil {
			return err
		}
		values := func() (io.Reader, error) {
			_, values, err := f.a.pipeline.Decode(t, steps)
			if err != nil {
				return nil, err
			}
			next := &stepped{name: t.Name, values: values}
			if journal.HasTag(t, codec.TagDelta) {
				base, err := f.base.Section(t.Name)
				if err != nil {
					return nil, err
				}
				next.base = aggregation.FromReader(base)
			}
			return next, nil
		}
		sources = append(sources, tensor.Source{Info: info, Data: &opened{open: values}})
	}
	return tensor.WriteSafetensors(w, roundMetadata(f.base, 1), sources)
}

// opened opens its content at the first read.
type opened struct {
	open func() (io.Reader, error)
	r    io.Reader
}

// Read implements [io.Reader].
func (o *opened) Read(p []byte) (_ int, err error) {
	if o.r == nil {
		if o.r, err = o.open(); err != nil {
			return 0, err
		}
	}
	return o.r.Read(p)
}

// Sum reads float32 values, with those of base added to them unless it is nil. A
// value that is not finite ends it with an error that has the tensor's name.
func Sum(name string, values io.Reader, base aggregation.Source) io.Reader {
	return &stepped{name: name, values: values, base: base}
}

// stepped reads float32 values, with those of base added to them unless it is
// nil. What decoding makes of finite values may be none: that ends in an error.
type stepped struct {
	name   string
	values io.Reader
	base   aggregation.Source
	at     int // elements so far
	raw    []byte
	out    []byte
	spare  []byte
}

// Read implements [io.Reader].
func (s *stepped) Read(p []byte) (int, error) {
	if len(s.out) == 0 {
		if s.raw == nil {
			s.raw = make([]byte, 4*aggregation.BlockElements)
		}
		n, err := io.ReadFull(s.values, s.raw)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err
		}
		sums := make([]float32, n/4)
		if s.base != nil {
			if err := s.base.ReadBlock(sums, s.at); err != nil {
				return 0, err
			}
		}
		for i, v := range tensor.Float32s(s.raw[:n]) {
			sums[i] += v
			if v := sums[i]; v-v != 0 {
				return 0, fmt.Errorf("cannot aggregate tensor %q: its next value at element %d would be %v", s.name, s.at+i, v)
			}
		}
		s.at += len(sums)
		s.spare = tensor.AppendFloat32s(s.spare[:0], sums)
		s.out = s.spare
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

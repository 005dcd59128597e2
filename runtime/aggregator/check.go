package aggregator

import (
	"fmt"
	"io"
	"math"
	"slices"

	"fx/runtime/codec"
	"fx/runtime/journal"
	"fx/runtime/tensor"
)

// checkResult refuses a result that could not be aggregated, before it is
// acknowledged: every tensor is plain float32 of finite values, a metric is one
// number, and a trained tensor has the shape that the model gives it.
func (a *Aggregator) checkResult(name string, r *journal.Results, data io.ReaderAt) (contents, error) {
	c, err := a.contents(name, r, data)
	if err != nil {
		return c, err
	}
	model, err := a.o.Journal.Model(int(r.Round))
	if err != nil {
		return c, err
	}
	defer func() { _ = model.Close() }() // read only
	for _, t := range r.Tensors {
		info, values, err := a.decode(t, data)
		if err != nil {
			return c, err
		}
		if err := checkTensor(model, t, info); err != nil {
			return c, err
		}
		if err := checkFinite(values, t.Name); err != nil {
			return c, err
		}
	}
	return c, nil
}

// decode returns the values of a tensor as it was sent.
func (a *Aggregator) decode(t tensor.Named, r io.ReaderAt) (tensor.Info, *io.SectionReader, error) {
	lossy, lossless := journal.HasTag(t, codec.TagLossy), journal.HasTag(t, codec.TagLossless)
	switch {
	case lossy == lossless:
		return tensor.Info{}, nil, fmt.Errorf("tensor %q has the tags %q; exactly one of %q and %q says how it is encoded", t.Name, t.Tags, codec.TagLossless, codec.TagLossy)
	case lossy && !a.pipeline.Lossy():
		return tensor.Info{}, nil, fmt.Errorf("tensor %q is encoded with loss, which the plan's compression pipeline does not do", t.Name)
	case lossy:
		return a.pipeline.Decode(t, r)
	}
	return codec.Lossless(a.pipeline).Decode(t, r)
}

func checkTensor(model *journal.Model, t tensor.Named, info tensor.Info) error {
	if t.Report && info.Elements() != 1 {
		return fmt.Errorf("metric %q has %d values instead of one", t.Name, info.Elements())
	}
	want, ok := model.Info(t.Name)
	switch {
	case !isTrained(t):
		return nil
	case ok && !slices.Equal(want.Shape, info.Shape):
		return fmt.Errorf("tensor %q has shape %v; the model has %v", t.Name, info.Shape, want.Shape)
	case !ok && journal.HasTag(t, "delta"):
		return fmt.Errorf("tensor %q is a difference to a tensor that the model does not have", t.Name)
	}
	return nil
}

// checkFinite refuses NaN and infinities.
func checkFinite(r io.Reader, name string) error {
	buf := make([]byte, 64<<10)
	for element := 0; ; {
		n, err := io.ReadFull(r, buf)
		for _, v := range tensor.Float32s(buf[:n]) {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("tensor %q has the value %v at element %d", name, v, element)
			}
			element++
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read tensor %q: %v", name, err)
		}
	}
}

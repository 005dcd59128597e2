package aggregator

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"fx/runtime/codec"
	"fx/runtime/journal"
	"fx/runtime/tensor"
)

// checkResult refuses a result that could not be aggregated, before it is
// acknowledged: every tensor is plain float32 of finite values, a metric is one
// number, and a trained tensor has the shape that the model gives it.
func (a *Aggregator) checkResult(r *journal.Results, data io.ReaderAt) error {
	model, err := a.o.Journal.Model(int(r.Round))
	if err != nil {
		return err
	}
	defer func() { _ = model.Close() }() // read only
	seen := map[string]bool{}
	for _, t := range r.Tensors {
		key := tensorKey(t)
		if seen[key] {
			return fmt.Errorf("tensor %q is there twice", t.Name)
		}
		seen[key] = true
		info, values, err := a.decode(t, data)
		if err != nil {
			return err
		}
		if err := checkTensor(model, t, info); err != nil {
			return err
		}
		if err := checkFinite(values, t.Name); err != nil {
			return err
		}
	}
	return nil
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
	case !journal.HasTag(t, "trained"):
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

// tensorKey identifies a tensor among the results of one task: its name,
// whether it is a metric, and its tags without those that tell its encoding.
func tensorKey(t tensor.Named) string {
	var tags []string
	for _, tag := range t.Tags {
		switch tag {
		case codec.TagLossless, codec.TagLossy, "delta":
		default:
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return fmt.Sprintf("%s\x00%t\x00%s", t.Name, t.Report, strings.Join(slices.Compact(tags), "\x00"))
}

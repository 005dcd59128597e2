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
// acknowledged: every tensor is float32 of finite values, a metric is one number,
// and a trained tensor has the shape that the model gives it. Nothing is decoded
// before its shape is known to be right.
func (a *Aggregator) checkResult(name string, r *journal.Results, upload *journal.Upload) (contents, error) {
	c, err := a.contents(name, r)
	if err != nil {
		return c, err
	}
	file, err := a.shelf.model(int(r.Round))
	if err != nil {
		return c, err
	}
	defer file.giveBack()
	for i, t := range r.Tensors {
		if err := a.checkTensor(file.model, t, r.Round); err != nil {
			return c, err
		}
		p, err := a.engine.PipelineOf(t)
		if err != nil {
			return c, err
		}
		delta := journal.HasTag(t, codec.TagDelta)
		if _, plain := p.(codec.NoCompression); plain && !delta { // seen when it came
			if at, v, found := upload.NonFinite(i); found {
				return c, notFinite(t.Name, v, at)
			}
			continue
		}
		_, values, err := p.Decode(t, upload)
		if err != nil {
			return c, err
		}
		var base io.Reader
		if delta {
			if base, err = file.model.Section(t.Name); err != nil {
				return c, err
			}
		}
		if err := checkFinite(values, base, t.Name); err != nil {
			return c, err
		}
	}
	return c, nil
}

func notFinite(name string, v float32, element int64) error {
	return fmt.Errorf("tensor %q has the value %v at element %d", name, v, element)
}

func (a *Aggregator) checkTensor(model *journal.Model, t tensor.Named, round int32) error {
	info, err := a.describe(t)
	if err != nil {
		return err
	}
	want, ok := model.Info(t.Name)
	delta, lossy := journal.HasTag(t, codec.TagDelta), journal.HasTag(t, codec.TagLossy)
	switch {
	case t.Report && info.Elements() != 1:
		return fmt.Errorf("metric %q has %d values instead of one", t.Name, info.Elements())
	case !isTrained(t) && (delta || lossy):
		return fmt.Errorf("tensor %q has the tags %q; only what was trained travels as a difference or with loss", t.Name, t.Tags)
	case !isTrained(t):
		return nil
	case ok && !slices.Equal(want.Shape, info.Shape):
		return fmt.Errorf("tensor %q has shape %v; the model has %v", t.Name, info.Shape, want.Shape)
	case !ok && delta:
		return fmt.Errorf("tensor %q is a difference to a tensor that the model does not have", t.Name)
	case !ok && lossy:
		return fmt.Errorf("tensor %q is encoded with loss, and the model does not have it, so nothing bounds what it unpacks to", t.Name)
	case delta && t.Round != round:
		return fmt.Errorf("tensor %q is a difference to the model of round %d, in a result of round %d", t.Name, t.Round, round)
	}
	return nil
}

// checkFinite refuses NaN and infinities, in what r holds and, unless base is
// nil, in the sum with that.
func checkFinite(r, base io.Reader, name string) error {
	buf, baseBuf := make([]byte, 64<<10), []byte(nil)
	if base != nil {
		baseBuf = make([]byte, len(buf))
	}
	for element := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		if base != nil {
			if _, err := io.ReadFull(base, baseBuf[:n]); err != nil {
				return fmt.Errorf("cannot read tensor %q of the model: %v", name, err)
			}
		}
		of := tensor.Float32s(baseBuf[:min(n, len(baseBuf))])
		for i, v := range tensor.Float32s(buf[:n]) {
			if of != nil {
				v += of[i]
			}
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return notFinite(name, v, element)
			}
			element++
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read tensor %q: %w", name, err)
		}
	}
}

package aggregation

import (
	"fmt"
	"math"

	"fx/schema"
)

// normClipping bounds how far one collaborator can move the model, before any
// other algorithm (Sun et al., 2019): an update whose change, over all tensors
// of the model together, has a Euclidean norm above `norm` is shortened to that
// norm. The direction stays; tensors that are not the model's are left alone.
type normClipping struct{ norm float64 }

// newNormClipping puts itself before the algorithm that the setting `then`
// names.
func newNormClipping(s *schema.Settings) *Algorithm {
	clip := normClipping{s.Number("norm", 0, positive, positiveWords)}
	if clip.norm == 0 {
		s.Refuse("norm is missing; it is " + positiveWords)
	}
	c := schema.Component{Template: openfl + "WeightedAverage"}
	if s.Has("then") {
		c = s.Component("then")
	}
	if c.Template == ours+"NormClipping" {
		s.Refuse("then names norm clipping again; one is enough")
		return nil
	}
	inner, err := New(c)
	if err != nil {
		s.RefuseIn("then", err)
		return nil
	}
	then := *inner
	then.screens = append([]screen{clip}, inner.screens...)
	return &then
}

func (c normClipping) screen(tensors []Tensor) (func(Tensor) Tensor, error) {
	var squares []float64
	for _, t := range tensors {
		if squares == nil {
			squares = make([]float64, len(t.Updates))
		}
		if t.Extra || t.Base == nil {
			continue
		}
		if err := addChanges(t, squares); err != nil {
			return nil, fmt.Errorf("cannot measure updates of tensor %q: %w", t.Name, err)
		}
	}
	return func(t Tensor) Tensor {
		if t.Extra || t.Base == nil {
			return t
		}
		updates := make([]Update, len(t.Updates))
		for i, u := range t.Updates {
			updates[i] = u
			if norm := math.Sqrt(squares[i]); norm > c.norm {
				updates[i].Data = &shortened{update: u.Data, base: t.Base, factor: c.norm / norm}
			}
		}
		t.Updates = updates
		return t
	}, nil
}

// addChanges adds the squares of one tensor's changes, by update.
func addChanges(t Tensor, squares []float64) error {
	size := min(t.Elements, BlockElements)
	base, x := make([]float32, size), make([]float32, size)
	for off := 0; off < t.Elements; off += size {
		n := min(size, t.Elements-off)
		if err := t.Base.ReadBlock(base[:n], off); err != nil {
			return fmt.Errorf("cannot read the current model: %w", err)
		}
		for i, u := range t.Updates {
			if err := u.read(x[:n], off); err != nil {
				return err
			}
			squares[i] += squaredDistance(x[:n], base[:n])
		}
	}
	return nil
}

// shortened is base + factor·(update − base), rounded to float32 as the update
// is.
type shortened struct {
	update, base Source
	factor       float64
	block        []float32 // of base
}

func (s *shortened) ReadBlock(dst []float32, off int) error {
	if err := s.update.ReadBlock(dst, off); err != nil {
		return err
	}
	if len(s.block) < len(dst) {
		s.block = make([]float32, len(dst))
	}
	base := s.block[:len(dst)]
	if err := s.base.ReadBlock(base, off); err != nil {
		return err
	}
	for i, b := range base {
		change := float64(dst[i]) - float64(b)
		dst[i] = float32(float64(b) + float64(s.factor*change))
	}
	return nil
}

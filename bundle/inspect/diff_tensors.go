package inspect

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"fx/bundle"
	"fx/runtime/tensor"
)

// TensorChange is a tensor of the initial model that is not what it was.
type TensorChange struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"` // added, removed, shape, values
	OldType  string   `json:"old_dtype,omitempty"`
	NewType  string   `json:"new_dtype,omitempty"`
	OldShape []int    `json:"old_shape,omitempty"`
	NewShape []int    `json:"new_shape,omitempty"`
	Changed  int64    `json:"values_changed"`
	Largest  *float64 `json:"largest_change,omitempty"` // absolute; absent where a value is not finite
}

// compareModels compares the initial models of two bundles, value by value, in
// constant memory.
func compareModels(old, now *bundle.Checked) ([]TensorChange, error) {
	a, err := openModel(old)
	if err != nil {
		return nil, fmt.Errorf("the old bundle has no model that can be read: %w", err)
	}
	b, err := openModel(now)
	if err != nil {
		return nil, fmt.Errorf("the new bundle has no model that can be read: %w", err)
	}
	out := []TensorChange{}
	known := map[string]tensor.Info{}
	for _, i := range b.infos {
		known[i.Name] = i
	}
	common := map[string]bool{}
	for _, o := range a.infos {
		n, ok := known[o.Name]
		switch {
		case !ok:
			out = append(out, TensorChange{Name: o.Name, Kind: "removed", OldType: string(o.DType), OldShape: o.Shape})
		case !slices.Equal(o.Shape, n.Shape) || o.DType != n.DType:
			out = append(out, TensorChange{Name: o.Name, Kind: "shape", OldType: string(o.DType), NewType: string(n.DType), OldShape: o.Shape, NewShape: n.Shape})
		default:
			common[o.Name] = true
		}
		delete(known, o.Name)
	}
	for _, n := range known {
		out = append(out, TensorChange{Name: n.Name, Kind: "added", NewType: string(n.DType), NewShape: n.Shape})
	}
	changed, err := compareValues(a, b, common)
	if err != nil {
		return nil, err
	}
	out = append(out, changed...)
	slices.SortFunc(out, func(x, y TensorChange) int { return cmp.Compare(x.Name, y.Name) })
	return out, nil
}

// model is a bundle's initial model and the order in which its values come.
type model struct {
	*bundle.Model
	infos []tensor.Info
}

func openModel(c *bundle.Checked) (*model, error) {
	f, err := c.Federation("")
	if err != nil {
		return nil, err
	}
	infos, err := f.Model.Infos()
	if err != nil {
		return nil, err
	}
	return &model{f.Model, infos}, nil
}

// values starts writing the model's values as safetensors and returns the stream
// behind the header, which begins with the header's length.
func (m *model) values() (*bufio.Reader, io.Closer, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(m.WriteSafetensors(w)) }()
	b := bufio.NewReaderSize(r, 1<<16)
	var n uint64
	if err := binary.Read(b, binary.LittleEndian, &n); err != nil {
		return nil, r, err
	}
	_, err := io.CopyN(io.Discard, b, int64(min(n, math.MaxInt32)))
	return b, r, err
}

// compareValues goes through both models side by side. Values come in the order
// of infos; only tensors that stand at the same place are compared, and models
// of other orders are compared by what they have in common up to there.
func compareValues(a, b *model, common map[string]bool) ([]TensorChange, error) {
	if len(common) == 0 {
		return nil, nil
	}
	ra, ca, err := a.values()
	defer func() { _ = ca.Close() }()
	if err != nil {
		return nil, err
	}
	rb, cb, err := b.values()
	defer func() { _ = cb.Close() }()
	if err != nil {
		return nil, err
	}
	var out []TensorChange
	j := 0
	for _, i := range a.infos {
		if !common[i.Name] {
			if err := skip(ra, i); err != nil {
				return nil, err
			}
			continue
		}
		for j < len(b.infos) && !common[b.infos[j].Name] {
			if err := skip(rb, b.infos[j]); err != nil {
				return nil, err
			}
			j++
		}
		if j >= len(b.infos) || b.infos[j].Name != i.Name {
			return nil, fmt.Errorf("the models list their tensors in another order, from %q on", i.Name)
		}
		c, err := compareTensor(ra, rb, i)
		if err != nil {
			return nil, err
		}
		if c.Changed > 0 {
			out = append(out, c)
		}
		j++
	}
	return out, nil
}

func skip(r io.Reader, i tensor.Info) error {
	_, err := io.CopyN(io.Discard, r, i.Bytes())
	return err
}

// compareTensor compares one tensor of float32 values.
func compareTensor(a, b io.Reader, i tensor.Info) (TensorChange, error) {
	c := TensorChange{Name: i.Name, Kind: "values", OldType: string(i.DType), NewType: string(i.DType), OldShape: i.Shape, NewShape: i.Shape}
	var x, y [4096]byte
	largest := 0.0
	for rest := i.Bytes(); rest > 0; {
		n := min(rest, int64(len(x)))
		if _, err := io.ReadFull(a, x[:n]); err != nil {
			return c, err
		}
		if _, err := io.ReadFull(b, y[:n]); err != nil {
			return c, err
		}
		rest -= n
		for k := int64(0); k+4 <= n; k += 4 {
			u, v := binary.LittleEndian.Uint32(x[k:]), binary.LittleEndian.Uint32(y[k:])
			if u == v {
				continue
			}
			c.Changed++
			d := math.Abs(float64(math.Float32frombits(u)) - float64(math.Float32frombits(v)))
			if math.IsNaN(d) {
				d = math.Inf(1)
			}
			largest = max(largest, d)
		}
	}
	if !math.IsInf(largest, 0) {
		c.Largest = &largest
	}
	return c, nil
}

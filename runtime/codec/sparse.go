package codec

import (
	"io"
	"math"
	"slices"

	"fx/runtime/tensor"
	"fx/schema"
)

// share reads p_sparsity: the share of a tensor's values that is kept.
func share(s *schema.Settings, fallback float64) float64 {
	return s.Number("p_sparsity", fallback, func(p float64) bool { return p > 0 && p <= 1 }, "a number above 0, up to 1")
}

// SKC keeps a tensor's largest values, and gives each to the nearest of a few
// (OpenFL: SKCPipeline).
type SKC struct {
	share    float64
	clusters int
}

func newSKC(s *schema.Settings) Pipeline { return SKC{share(s, 0.1), clusters(s)} }

// STC keeps a tensor's largest values, as one number with their sign (OpenFL:
// STCPipeline).
type STC struct{ share float64 }

func newSTC(s *schema.Settings) Pipeline {
	clusters(s) // OpenFL takes it and does nothing with it
	return STC{share(s, 0.1)}
}

// Lossy implements Pipeline.
func (SKC) Lossy() bool { return true }

// Lossy implements Pipeline.
func (STC) Lossy() bool { return true }

// Check implements Pipeline.
func (SKC) Check(info tensor.Info) error { return checkF32(info) }

// Check implements Pipeline.
func (STC) Check(info tensor.Info) error { return checkF32(info) }

// Encode implements Pipeline.
func (p SKC) Encode(n tensor.Named, info tensor.Info, data io.Reader, _ uint64) (tensor.NamedSource, error) {
	return encodeSparse(n, info, data, p.share, func(v []float32) []float32 { return quantize(v, p.clusters) })
}

// Encode implements Pipeline.
func (p STC) Encode(n tensor.Named, info tensor.Info, data io.Reader, _ uint64) (tensor.NamedSource, error) {
	return encodeSparse(n, info, data, p.share, ternary)
}

// Info implements Pipeline.
func (SKC) Info(n tensor.Named) (tensor.Info, error) { return labelInfo(n, 3, 1) }

// Info implements Pipeline.
func (STC) Info(n tensor.Named) (tensor.Info, error) { return labelInfo(n, 3, 1) }

// Decode implements Pipeline.
func (SKC) Decode(n tensor.Named, r io.ReaderAt) (tensor.Info, io.Reader, error) {
	return decodeLabels(n, r, 3, 1)
}

// Decode implements Pipeline.
func (STC) Decode(n tensor.Named, r io.ReaderAt) (tensor.Info, io.Reader, error) {
	return decodeLabels(n, r, 3, 1)
}

// encodeSparse makes a tensor sparse and what is left few different values.
func encodeSparse(n tensor.Named, info tensor.Info, data io.Reader, share float64, reduce func([]float32) []float32) (tensor.NamedSource, error) {
	if err := checkF32(info); err != nil {
		return tensor.NamedSource{}, err
	}
	values, err := read(info, data)
	if err != nil {
		return tensor.NamedSource{}, err
	}
	table, packed, err := encodeLabels(reduce(sparse(values, share)))
	if err != nil {
		return tensor.NamedSource{}, err
	}
	n.Metadata = []tensor.Metadata{{IntList: intList(info)}, {IntToFloat: table}, {}}
	return payload(n, packed), nil
}

// epsilon is what OpenFL adds to the kept values where one is not above it.
const epsilon = 10e-8

// sparse keeps the share of the values that is largest by magnitude and makes
// the rest zero; of equals the later ones are kept. As in OpenFL, epsilon is
// added to all that are kept if the least of them, with its sign, is below it.
func sparse(values []float32, share float64) []float32 {
	out := make([]float32, len(values))
	keep := min(int(math.Ceil(float64(len(values))*share)), len(values))
	if keep == 0 {
		return out
	}
	magnitudes := make([]float32, len(values))
	for i, v := range values {
		magnitudes[i] = float32(math.Abs(float64(v)))
	}
	slices.Sort(magnitudes)
	limit := magnitudes[len(values)-keep] // the least magnitude that is kept
	above, _ := slices.BinarySearchFunc(magnitudes, limit, func(a, b float32) int {
		if a <= b {
			return -1
		}
		return 1
	})
	equals := keep - (len(values) - above)
	least := float32(math.Inf(1))
	kept := make([]int, 0, keep)
	for i, v := range slices.Backward(values) {
		m := float32(math.Abs(float64(v)))
		if m < limit || m == limit && equals == 0 {
			continue
		}
		if m == limit {
			equals--
		}
		kept = append(kept, i)
		least = min(least, v)
	}
	var add float32
	if least < epsilon {
		add = epsilon
	}
	for _, i := range kept {
		out[i] = values[i] + add
	}
	return out
}

// ternary makes every value m, 0 or -m by its sign. m is OpenFL's: the mean
// magnitude of all values, the zeros among them.
func ternary(values []float32) []float32 {
	sum := 0.0
	for _, v := range values {
		sum += math.Abs(float64(v))
	}
	m := float32(sum / float64(len(values)))
	out := make([]float32, len(values))
	for i, v := range values {
		switch {
		case v > 0:
			out[i] = m
		case v < 0:
			out[i] = -m
		}
	}
	return out
}

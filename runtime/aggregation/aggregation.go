// Package aggregation folds the updates of a round into the next model, block
// by block: the memory it needs depends neither on the model's size nor, apart
// from one block each, on the number of collaborators.
package aggregation

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"

	"fx/runtime/tensor"
	"fx/schema"
)

// BlockElements is how many elements are folded at a time: 64 KiB of float32
// and 128 KiB of float64 sums, which stay in the processor's second cache.
const BlockElements = 16 << 10

// Source is one float32 tensor, read in blocks of ascending offset.
type Source interface {
	// ReadBlock fills dst with elements [off, off+len(dst)).
	ReadBlock(dst []float32, off int) error
}

// Update is what one collaborator sent for one tensor. Weight is its data size,
// as reported: not negative, or -1 for all updates alike, which means that all
// count the same.
type Update struct {
	Collaborator string
	Weight       float64
	Data         Source
}

// Algorithm makes the next value of one tensor out of the updates for it.
type Algorithm interface {
	// Aggregate calls emit with consecutive blocks of the n elements of the
	// tensor's next value; a block is only valid during the call. base is the
	// current global value, nil for a tensor that the global model does not have.
	// Updates must be in collaborator-name order, without repetition: floating
	// point sums depend on the order, so there is only one.
	Aggregate(name string, n int, base Source, updates []Update, emit func(block []float64) error) error
}

const openfl = "openfl.interface.aggregation_functions."

// algorithms holds one constructor per template; "" is a task without an
// aggregation type. A nil constructor is an algorithm of OpenFL's that fx does
// not have.
var algorithms = map[string]func() Algorithm{
	"":                                    newWeightedAverage,
	openfl + "WeightedAverage":            newWeightedAverage,
	openfl + "Median":                     nil,
	openfl + "GeometricMedian":            nil,
	openfl + "FedCurvWeightedAverage":     nil,
	openfl + "AdagradAdaptiveAggregation": nil,
	openfl + "AdamAdaptiveAggregation":    nil,
	openfl + "YogiAdaptiveAggregation":    nil,
	openfl + "FedBaggingXGBoost":          nil,
	openfl + "SecureWeightedAverage":      nil,
}

// New makes the algorithm that a task names. Errors wrap schema.ErrInvalid.
func New(c schema.Component) (Algorithm, error) {
	return schema.Choose(algorithms, c, "aggregation_type", "aggregation type")
}

// Weights turns data sizes into shares of one, in the same order. If all are -1
// (unknown) the shares are equal. A sum of zero, other negative sizes, and sizes
// that are no numbers are refused: each would make the next model meaningless.
func Weights(sizes []float64) ([]float64, error) {
	if len(sizes) == 0 {
		return nil, fmt.Errorf("cannot weigh updates: there are none")
	}
	shares := make([]float64, len(sizes))
	if !slices.ContainsFunc(sizes, func(s float64) bool { return s != -1 }) {
		for i := range shares {
			shares[i] = 1 / float64(len(sizes))
		}
		return shares, nil
	}
	var sum float64
	for _, s := range sizes {
		if !(s >= 0) || math.IsInf(s, 0) {
			return nil, fmt.Errorf("cannot weigh updates: a data size is %v; allowed are sizes from 0 on, or -1 for every collaborator alike", s)
		}
		sum += s
	}
	if sum == 0 || math.IsInf(sum, 0) {
		return nil, fmt.Errorf("cannot weigh updates: the data sizes of %d collaborators add up to %v, so no update counts", len(sizes), sum)
	}
	for i, s := range sizes {
		shares[i] = s / sum
	}
	return shares, nil
}

// shares checks the order of the updates and weighs them.
func shares(updates []Update) ([]float64, error) {
	sizes := make([]float64, len(updates))
	for i, u := range updates {
		if i > 0 && cmp.Compare(updates[i-1].Collaborator, u.Collaborator) >= 0 {
			return nil, fmt.Errorf("cannot weigh updates: %q comes after %q; updates go in collaborator-name order, once each", u.Collaborator, updates[i-1].Collaborator)
		}
		sizes[i] = u.Weight
	}
	return Weights(sizes)
}

// FromReader is a Source of little-endian float32 at the start of r, such as an
// io.SectionReader over a payload.
func FromReader(r io.ReaderAt) Source { return readerSource{r} }

type readerSource struct{ io.ReaderAt }

func (s readerSource) ReadBlock(dst []float32, off int) error {
	return tensor.ReadFloat32sAt(s.ReaderAt, dst, int64(off)*4)
}

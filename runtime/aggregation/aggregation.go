// Package aggregation folds the updates of a round into the next model, block
// by block: the memory it needs depends neither on the model's size nor, apart
// from one block each, on the number of collaborators.
//
// An algorithm is a rule, which makes the next value of one tensor from the
// updates for it, and screens before it, which look at whole updates, all
// tensors together, and leave some out or change them. Rules and screens may
// read the updates as often as they need.
//
// Everything is summed in float64, in collaborator-name order, without fused
// multiplication and addition: the same updates give the same bits whatever
// order they came in and on every processor.
package aggregation

import (
	"fmt"
	"io"

	"fx/runtime/tensor"
	"fx/schema"
)

// BlockElements is how many elements are folded at a time: 64 KiB of float32
// and 128 KiB of float64 sums, which stay in the processor's second cache.
const BlockElements = 16 << 10

// Source is one float32 tensor, read in blocks of any offset, as often as the
// algorithm needs.
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

// Tensor is one tensor of a task's results: everything that its next value is
// made from.
type Tensor struct {
	Name     string
	Elements int
	Base     Source   // the current global value, nil if the global model does not have it
	Extra    bool     // not in the initial model: state of the sites' optimizers, which training added
	Updates  []Update // in collaborator-name order, each once
	Step     int      // how many rounds this algorithm has stepped this tensor before
	State    []Source // what the last step left, as in Slots; nil before the first
}

// Emit takes consecutive blocks of a tensor's next value and, from an algorithm
// that has slots, of its next state, one block per slot; of extra tensors
// nothing is remembered. Blocks are only valid during the call.
type Emit func(value []float64, state [][]float64) error

// Algorithm makes the next model out of the results of a task. It holds nothing
// but settings: what has to be remembered is in Tensor.State.
type Algorithm struct {
	least   int // updates that it needs; 0 is 1
	screens []screen
	rule    rule
	slots   []string
}

// rule makes the next value of one tensor.
type rule interface {
	fold(t Tensor, emit Emit) error
}

// screen reads whole updates before anything is folded, and returns what is to
// be taken for each tensor in place of what came.
type screen interface {
	screen(tensors []Tensor) (func(Tensor) Tensor, error)
}

const (
	openfl = "openfl.interface.aggregation_functions."
	ours   = "fx.aggregation."
)

// table holds one constructor per template; "" is a task without an aggregation
// type. A nil constructor is an algorithm of OpenFL's that fx does not have.
func table() map[string]func(*schema.Settings) *Algorithm {
	return map[string]func(*schema.Settings) *Algorithm{
		"":                                    newWeightedAverage,
		openfl + "WeightedAverage":            newWeightedAverage,
		openfl + "Median":                     newMedian,
		openfl + "GeometricMedian":            newGeometricMedian,
		openfl + "FedCurvWeightedAverage":     newFedCurv,
		openfl + "AdagradAdaptiveAggregation": newAdagrad,
		openfl + "AdamAdaptiveAggregation":    newAdam,
		openfl + "YogiAdaptiveAggregation":    newYogi,
		openfl + "FedBaggingXGBoost":          nil,
		openfl + "SecureWeightedAverage":      nil,
		ours + "FedAvgM":                      newFedAvgM,
		ours + "TrimmedMean":                  newTrimmedMean,
		ours + "Krum":                         newKrum,
		ours + "MultiKrum":                    newMultiKrum,
		ours + "Bulyan":                       newBulyan,
		ours + "NormClipping":                 newNormClipping,
	}
}

// New makes the algorithm that a task names. Errors wrap schema.ErrInvalid.
func New(c schema.Component) (*Algorithm, error) {
	return schema.Build(table(), c, "aggregation_type", "aggregation type")
}

// Least is the number of updates below which the algorithm cannot work.
func (a *Algorithm) Least() int { return max(1, a.least) }

// Slots names what the algorithm keeps of each tensor between rounds, such as a
// moment; each has as many values as the tensor. Most algorithms keep nothing.
func (a *Algorithm) Slots() []string { return a.slots }

// Round is the folding of one task's results.
type Round struct {
	rule    rule
	tensors map[string]Tensor
}

// Begin checks the results of a task and screens them. The tensors are all that
// the task trained, sorted by name, each with the updates of the same
// collaborators.
func (a *Algorithm) Begin(tensors []Tensor) (*Round, error) {
	r := &Round{rule: a.rule, tensors: map[string]Tensor{}}
	for _, t := range tensors {
		if len(t.Updates) < a.Least() {
			return nil, fmt.Errorf("cannot aggregate tensor %q: there are %d updates, at least %d are needed", t.Name, len(t.Updates), a.Least())
		}
		if _, err := shares(t.Updates); err != nil {
			return nil, fmt.Errorf("cannot aggregate tensor %q: %w", t.Name, err)
		}
		if t.State != nil && len(t.State) != len(a.slots) {
			return nil, fmt.Errorf("cannot aggregate tensor %q: its state has %d parts, the algorithm has %d", t.Name, len(t.State), len(a.slots))
		}
		r.tensors[t.Name] = t
	}
	if len(tensors) == 0 {
		return r, nil // nothing was trained
	}
	for _, s := range a.screens {
		change, err := s.screen(tensors)
		if err != nil {
			return nil, err
		}
		screened := make([]Tensor, len(tensors))
		for i, t := range tensors {
			screened[i] = change(t)
			r.tensors[t.Name] = screened[i]
		}
		tensors = screened
	}
	return r, nil
}

// Fold makes the next value of one tensor.
func (r *Round) Fold(name string, emit Emit) error {
	t, ok := r.tensors[name]
	if !ok {
		return fmt.Errorf("cannot aggregate tensor %q: the round does not have it", name)
	}
	if err := r.rule.fold(t, emit); err != nil {
		return fmt.Errorf("cannot aggregate tensor %q: %w", name, err)
	}
	return nil
}

// FromReader is a Source of little-endian float32 at the start of r, such as an
// io.SectionReader over a payload.
func FromReader(r io.ReaderAt) Source { return readerSource{r} }

type readerSource struct{ io.ReaderAt }

func (s readerSource) ReadBlock(dst []float32, off int) error {
	return tensor.ReadFloat32sAt(s.ReaderAt, dst, int64(off)*4)
}

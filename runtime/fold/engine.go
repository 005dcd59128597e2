// Package fold makes a round's next model of its results. The aggregator uses it
// when a round closes, and whoever checks a receipt does the same work again: the
// same results in the same journal give the same bytes.
package fold

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"fx/runtime/aggregation"
	"fx/runtime/codec"
	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/schema"
)

// Options is what an engine works with.
type Options struct {
	Plan    *schema.Resolved
	Model   []tensor.Info    // the tensors of the initial model
	Journal *journal.Journal // results are read from it, models and states go to it

	// Known gives the SHA-256 of a result, if the process that asks has made it since
	// it started: that is not done twice. nil knows none.
	Known func(round int, task, collaborator string) (sum string, ok bool)
}

// Engine folds rounds as one plan says.
type Engine struct {
	o          Options
	plan       *schema.Resolved
	pipeline   codec.Pipeline
	algorithms map[string]*aggregation.Algorithm // by task
	initial    map[string]bool                   // names of the initial model's tensors
}

// New builds what the plan names from the tables. Errors wrap
// [schema.ErrInvalid].
func New(o Options) (*Engine, error) {
	a := &Engine{o: o, plan: o.Plan, algorithms: map[string]*aggregation.Algorithm{}, initial: map[string]bool{}}
	for _, t := range a.plan.Tasks {
		algorithm, err := aggregation.New(t.Aggregation)
		if err != nil {
			return nil, fmt.Errorf("cannot aggregate task %q: %w", t.Name, err)
		}
		a.algorithms[t.Name] = algorithm
	}
	var err error
	if a.pipeline, err = codec.New(a.plan.Compression); err != nil {
		return nil, err
	}
	for _, info := range o.Model {
		a.initial[info.Name] = true
		if problem := a.pipeline.Check(info); problem != nil {
			return nil, fmt.Errorf("%w: %w", problem, schema.ErrInvalid)
		}
	}
	return a, nil
}

// Algorithms is the aggregation of each task.
func (a *Engine) Algorithms() map[string]*aggregation.Algorithm { return a.algorithms }

// Pipeline is the plan's compression pipeline.
func (a *Engine) Pipeline() codec.Pipeline { return a.pipeline }

// Initial says whether the initial model has a tensor of that name.
func (a *Engine) Initial(name string) bool { return a.initial[name] }

// Seed is what encoding a tensor of the aggregator's model depends on.
func (a *Engine) Seed(name string, round int) uint64 {
	return codec.Seed(a.plan.FederationID, a.plan.AggregatorID, name, round)
}

// PipelineOf is what encoded a tensor, by its tags.
func (a *Engine) PipelineOf(t tensor.Named) (codec.Pipeline, error) {
	lossy, lossless := journal.HasTag(t, codec.TagLossy), journal.HasTag(t, codec.TagLossless)
	switch {
	case lossy == lossless:
		return nil, fmt.Errorf("tensor %q has the tags %q; exactly one of %q and %q says how it is encoded", t.Name, t.Tags, codec.TagLossless, codec.TagLossy)
	case lossy && !a.pipeline.Lossy():
		return nil, fmt.Errorf("tensor %q is encoded with loss, which the plan's compression pipeline does not do", t.Name)
	case lossy:
		return a.pipeline, nil
	}
	return codec.Lossless(a.pipeline), nil
}

// Describe says what a tensor holds, by its metadata.
func (a *Engine) Describe(t tensor.Named) (tensor.Info, error) {
	p, err := a.PipelineOf(t)
	if err != nil {
		return tensor.Info{}, err
	}
	return p.Info(t)
}

// Decode returns the values of a tensor as it was sent: of a difference, the
// difference.
func (a *Engine) Decode(t tensor.Named, r io.ReaderAt) (tensor.Info, io.Reader, error) {
	p, err := a.PipelineOf(t)
	if err != nil {
		return tensor.Info{}, nil, err
	}
	return p.Decode(t, r)
}

// Trained says whether a tensor is to be aggregated into the next model.
func Trained(t tensor.Named) bool { return !t.Report && journal.HasTag(t, "trained") }

// Key identifies a tensor among the results of one task: its name,
// whether it is a metric, and its tags without those that tell its encoding.
func Key(t tensor.Named) string {
	var tags []string
	for _, tag := range t.Tags {
		switch tag {
		case codec.TagLossless, codec.TagLossy, codec.TagDelta:
		default:
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return fmt.Sprintf("%s\x00%t\x00%s", t.Name, t.Report, strings.Join(slices.Compact(tags), "\x00"))
}

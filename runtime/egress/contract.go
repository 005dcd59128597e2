// Package egress decides what may leave a site, and keeps the record of what
// did. It works in the runtime's process, outside the reach of task code.
package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"fx/runtime/tensor"
	"fx/schema"
)

// ErrRefused is wrapped by every error about something that may not leave.
var ErrRefused = errors.New("refused to let it leave the site")

// Contract is what the approved plan lets a collaborator send.
type Contract struct {
	tensors map[string]tensor.Info
	metrics map[string][]string // by task
	rules   schema.Egress
	filters []Filter
}

// NewContract derives the contract from a plan and the tensors of its initial
// model: a task may send the metrics that the plan lists for it (kwargs
// "metrics"), and tensors of the model with exactly their dtype and shape. The
// plan's section egress narrows this. The error wraps schema.ErrInvalid.
func NewContract(tasks []schema.Task, model []tensor.Info, rules schema.Egress) (*Contract, error) {
	c := &Contract{tensors: map[string]tensor.Info{}, metrics: map[string][]string{}, rules: rules}
	for _, info := range model {
		c.tensors[info.Name] = info
	}
	for _, t := range tasks {
		c.metrics[t.Name] = Metrics(t)
	}
	for i, f := range rules.Filters {
		filter, err := NewFilter(f)
		if err != nil {
			return nil, fmt.Errorf("egress.filters[%d]: %w", i, err)
		}
		c.filters = append(c.filters, filter)
	}
	return c, nil
}

// Metrics are the metrics that the plan lists for a task.
func Metrics(t schema.Task) []string {
	var names []string
	list, _ := t.Kwargs["metrics"].([]any)
	for _, m := range list {
		if name, ok := m.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// Metric checks one metric of a task.
func (c *Contract) Metric(task, name string, value float64) error {
	if !slices.Contains(c.metrics[task], name) {
		return fmt.Errorf("task %q made the metric %q, the plan lists %q: %w", task, name, strings.Join(c.metrics[task], ", "), ErrRefused)
	}
	allowed, ok := c.metricRange(name)
	switch {
	case !ok:
		return fmt.Errorf("task %q made the metric %q, which egress.metrics does not list: %w", task, name, ErrRefused)
	case !(math.Abs(value) <= math.MaxFloat32): // it travels as float32
		return fmt.Errorf("task %q made the metric %q with the value %v: %w", task, name, value, ErrRefused)
	case value < allowed.Min || value > allowed.Max:
		return fmt.Errorf("task %q made the metric %q with the value %v, %s allows %v to %v: %w",
			task, name, value, schema.Child("egress.metrics", name), allowed.Min, allowed.Max, ErrRefused)
	}
	return nil
}

// metricRange is what the section egress says about a metric.
func (c *Contract) metricRange(name string) (schema.MetricRange, bool) {
	if c.rules.Metrics == nil {
		return schema.MetricRange{Name: name, Min: math.Inf(-1), Max: math.Inf(1)}, true
	}
	i := slices.IndexFunc(c.rules.Metrics, func(m schema.MetricRange) bool { return m.Name == name })
	if i < 0 {
		return schema.MetricRange{}, false
	}
	return c.rules.Metrics[i], true
}

// allows reports whether egress.tensors lets a tensor leave.
func (c *Contract) allows(name string) bool {
	return c.rules.Tensors == nil || Matches(c.rules.Tensors, name)
}

// Result checks a whole result of a task, whose parts were checked: nothing is
// in it twice, and its bytes are within the limits, together with all that the
// ledger says has left before.
func (c *Contract) Result(l *Ledger, round int, entries []Entry) error {
	names := map[[2]string]bool{}
	var now int64
	for _, e := range entries {
		id := [2]string{e.Kind, e.Name}
		if names[id] {
			return fmt.Errorf("task %q made the %s %q twice: %w", e.Task, e.Kind, e.Name, ErrRefused)
		}
		names[id] = true
		now += l.spent.cost(e)
	}
	inRound, inRun := l.Spent(round)
	if limit := c.rules.BytesPerRound; limit > 0 && now > limit-inRound {
		return fmt.Errorf("round %d would send %d bytes after %d, egress.bytes_per_round allows %d: %w", round, now, inRound, limit, ErrRefused)
	}
	if limit := c.rules.BytesPerRun; limit > 0 && now > limit-inRun {
		return fmt.Errorf("round %d would send %d bytes after %d in the whole run, egress.bytes_per_run allows %d: %w", round, now, inRun, limit, ErrRefused)
	}
	return nil
}

// Observed is what was seen of a tensor on its way out.
type Observed struct {
	SHA256 string  // of the little-endian values
	Norm   float64 // Euclidean
}

// Declared checks a tensor of a task by its description.
func (c *Contract) Declared(task string, info tensor.Info) error {
	want, ok := c.tensors[info.Name]
	switch {
	case !ok:
		return fmt.Errorf("task %q made the tensor %q, which the approved model does not have: %w", task, info.Name, ErrRefused)
	case !c.allows(info.Name):
		return fmt.Errorf("task %q made the tensor %q, which egress.tensors does not allow (it allows %s): %w",
			task, info.Name, some(c.rules.Tensors), ErrRefused)
	case info.DType != tensor.F32 || !slices.Equal(want.Shape, info.Shape):
		return fmt.Errorf("task %q made the tensor %q as %s %v, the approved model has %s %v: %w",
			task, info.Name, info.DType, info.Shape, want.DType, want.Shape, ErrRefused)
	}
	return nil
}

// some shows the first few names of a list.
func some(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	text := strings.Join(names[:min(len(names), 5)], ", ")
	if len(names) > 5 {
		text += fmt.Sprintf(" and %d more", len(names)-5)
	}
	return text
}

// Tensor checks one float32 tensor of a task while it reads its values.
func (c *Contract) Tensor(task string, info tensor.Info, data io.Reader) (Observed, error) {
	if err := c.Declared(task, info); err != nil {
		return Observed{}, err
	}
	want := c.tensors[info.Name]
	h := sha256.New()
	squares, element := 0.0, 0
	buf := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(data, buf)
		h.Write(buf[:n])
		for _, v := range tensor.Float32s(buf[:n]) {
			f := float64(v)
			if math.IsNaN(f) || math.IsInf(f, 0) {
				return Observed{}, fmt.Errorf("task %q made the tensor %q with the value %v at element %d: %w", task, info.Name, f, element, ErrRefused)
			}
			squares += f * f
			element++
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return Observed{}, fmt.Errorf("cannot read the tensor %q: %v", info.Name, err)
		}
	}
	if element != want.Elements() {
		return Observed{}, fmt.Errorf("task %q made the tensor %q with %d values instead of %d: %w", task, info.Name, element, want.Elements(), ErrRefused)
	}
	return Observed{SHA256: hex.EncodeToString(h.Sum(nil)), Norm: math.Sqrt(squares)}, nil
}

// MetricTags are the tags that OpenFL's task runners give a task's metrics:
// validation says which model it judged.
func MetricTags(t schema.Task) []string {
	tags := []string{"compressed", "metric"}
	if !strings.Contains(t.Function, "valid") {
		return tags
	}
	if t.Apply() == "local" {
		return append(tags, "validate_local")
	}
	return append(tags, "validate_agg")
}

// TensorTags are the tags of the tensors that a task made.
func TensorTags() []string { return []string{"compressed", "trained"} }

// Package egress decides what may leave a site, and keeps the record of what
// did. It works in the runtime's process, outside the reach of task code.
package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"fx/runtime/tensor"
	"fx/schema"
)

// maxName bounds the name of a tensor or a metric, in bytes.
const maxName = 1000

// Terms is what a contract is made of.
type Terms struct {
	Tasks   []schema.Task
	Model   []tensor.Info // of the approved initial model
	Plan    schema.Egress // the plan's section egress
	Site    schema.Egress // the site's own file, which narrows further; zero: none
	PyTorch bool          // the task runner is OpenFL's for PyTorch, see UsesPyTorch
}

// Contract is what the approved plan and the site let a collaborator send.
type Contract struct {
	tensors map[string]tensor.Info
	metrics map[string][]string // by task
	shapes  map[string]int      // how many tensors of the model have a shape
	rules   []rules             // all of them hold
	filters []Filter            // in the order in which they are applied
	pytorch bool
}

// rules is one source of rules: the plan or the site.
type rules struct {
	schema.Egress
	site bool
}

// key names a rule, as a person finds it.
func (r rules) key(path string) string {
	if r.site {
		return "the site's " + path
	}
	return "egress." + path
}

// NewContract derives the contract: a task may send the metrics that the plan
// lists for it (kwargs "metrics"), tensors of the model with exactly their shape,
// and, where the runner is OpenFL's for PyTorch, the state of an optimizer for
// such a model. The plan's section egress narrows this, and the site's file what
// is left. The error wraps schema.ErrInvalid.
func NewContract(t Terms) (*Contract, error) {
	c := &Contract{
		tensors: map[string]tensor.Info{}, metrics: map[string][]string{}, shapes: map[string]int{},
		rules: []rules{{t.Plan, false}, {t.Site, true}}, pytorch: t.PyTorch,
	}
	for _, info := range t.Model {
		if problem := nameProblem(info.Name); problem != "" {
			return nil, fmt.Errorf("cannot use the initial model: the name of the tensor %.*q %s: %w", maxRefusedName, info.Name, problem, schema.ErrInvalid)
		}
		c.tensors[info.Name] = info
		c.shapes[shapeKey(info.Shape)]++
	}
	for _, task := range t.Tasks {
		c.metrics[task.Name] = Metrics(task)
	}
	for _, r := range c.rules {
		for i, f := range r.Filters {
			filter, err := NewFilter(f)
			if err == nil {
				filter, err = filter.After(c.filters)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.key(schema.Index("filters", i)), err)
			}
			filter.Site = r.site
			c.filters = append(c.filters, filter)
		}
	}
	slices.SortStableFunc(c.filters, func(a, b Filter) int { return stages[a.Name] - stages[b.Name] })
	if err := c.checkSite(t.Site); err != nil {
		return nil, err
	}
	return c, c.checkNoise()
}

// checkSite finds globs of the site's that protect nothing: misspelt, a range or
// a filter would silently do nothing. Those of a plan are found by its reviewers
// (schema/check); lists of what may leave do no harm.
func (c *Contract) checkSite(site schema.Egress) error {
	names := slices.Sorted(maps.Keys(c.tensors))
	check := func(where string, globs []string, drop bool) error {
		for _, glob := range globs {
			about := func(name string) bool { return match(glob, name) }
			if strings.Trim(glob, "*") == "" || (drop || c.pytorch) && IsOptimizerState(glob) || slices.ContainsFunc(names, about) {
				continue
			}
			return fmt.Errorf("the site's %s: %q matches no tensor of the initial model, which has %s: %w", where, glob, some(names), schema.ErrInvalid)
		}
		return nil
	}
	for _, r := range site.TensorRanges {
		if err := check("tensor_ranges", []string{r.Name}, false); err != nil {
			return err
		}
	}
	for _, f := range c.filters {
		if !f.Site {
			continue
		}
		if err := check("filters ("+f.Name+")", f.Tensors, f.Name == "drop"); err != nil {
			return err
		}
	}
	return nil
}

func shapeKey(shape []int) string { return fmt.Sprint(shape) }

// nameProblem says what is wrong with a name; "" if nothing is.
func nameProblem(name string) string {
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Sprintf("has %d bytes, 1 to %d are allowed", len(name), maxName)
	case !utf8.ValidString(name):
		return "is not UTF-8 text"
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }):
		return "has a control character"
	}
	return ""
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

// Metric checks one metric of a task. The error is a [Refusal].
func (c *Contract) Metric(task, name string, value float64) error {
	if !slices.Contains(c.metrics[task], name) {
		return refuse(task, KindMetric, name, ", ", fmt.Sprintf("the plan lists %q", strings.Join(c.metrics[task], ", ")))
	}
	for _, r := range c.rules {
		allowed, ok := r.metricRange(name)
		switch made := fmt.Sprintf(" with the value %v", value); {
		case !ok:
			return refuse(task, KindMetric, name, ", which ", r.key("metrics")+" does not list")
		case !(math.Abs(value) <= math.MaxFloat32): // it travels as float32
			return refuse(task, KindMetric, name, made+", ", "only finite numbers of float32 leave")
		case value < allowed.Min || value > allowed.Max:
			return refuse(task, KindMetric, name, made+", ", fmt.Sprintf("%s allows %v to %v", schema.Child(r.key("metrics"), name), allowed.Min, allowed.Max))
		}
	}
	return nil
}

// metricRange is what a section egress says about a metric.
func (r rules) metricRange(name string) (schema.Range, bool) {
	if r.Metrics == nil {
		return schema.Range{Name: name, Min: math.Inf(-1), Max: math.Inf(1)}, true
	}
	i := slices.IndexFunc(r.Metrics, func(m schema.Range) bool { return m.Name == name })
	if i < 0 {
		return schema.Range{}, false
	}
	return r.Metrics[i], true
}

// Observed is what was seen of a tensor on its way out.
type Observed struct {
	SHA256 string  // of the little-endian values
	Norm   float64 // Euclidean
}

// Select sorts the tensors that a task made into those that leave and those that
// a filter drops. Anything else is a [Refusal].
func (c *Contract) Select(task string, made []tensor.Info) (leave, dropped []tensor.Info, err error) {
	if most := 1000 + 10*len(c.tensors); len(made) > most {
		return nil, nil, refuse(task, "", "", fmt.Sprintf(" made %d tensors, ", len(made)), fmt.Sprintf("at most %d are allowed", most))
	}
	for _, info := range made {
		if problem := nameProblem(info.Name); problem != "" {
			return nil, nil, refuse(task, KindTensor, info.Name, ", ", "whose name "+problem)
		}
		if c.Drops(info.Name) {
			dropped = append(dropped, info)
			continue
		}
		if err := c.Declared(task, info); err != nil {
			return nil, nil, err
		}
		leave = append(leave, info)
	}
	if err := c.noisedWhole(task, leave); err != nil {
		return nil, nil, err
	}
	return leave, dropped, c.optimizerWhole(task, leave)
}

// Declared checks a tensor of a task by its description. The error is a
// [Refusal].
func (c *Contract) Declared(task string, info tensor.Info) error {
	want, ok := c.tensors[info.Name]
	state, isState := c.optimizerState(info.Name)
	if !ok && !isState {
		return refuse(task, KindTensor, info.Name, ", ", "which the approved model does not have")
	}
	for _, r := range c.rules {
		if r.Tensors != nil && !Matches(r.Tensors, info.Name) {
			return refuse(task, KindTensor, info.Name, ", which ", fmt.Sprintf("%s does not allow (it allows %s)", r.key("tensors"), some(r.Tensors)))
		}
	}
	made := fmt.Sprintf(" as %s %v, ", info.DType, info.Shape)
	if !ok {
		if problem := c.stateProblem(state, info); problem != "" {
			return refuse(task, KindTensor, info.Name, made, problem)
		}
		return nil
	}
	if info.DType != tensor.F32 || !slices.Equal(want.Shape, info.Shape) {
		return refuse(task, KindTensor, info.Name, made, fmt.Sprintf("the approved model has %s %v", want.DType, want.Shape))
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

// valueRange is what the values of a tensor may be, and the rule that says so.
type valueRange struct {
	schema.Range
	rule string
}

// ranges are all that bind a tensor.
func (c *Contract) ranges(name string) []valueRange {
	var list []valueRange
	for _, r := range c.rules {
		for _, allowed := range r.TensorRanges {
			if match(allowed.Name, name) {
				list = append(list, valueRange{allowed, schema.Child(r.key("tensor_ranges"), allowed.Name)})
			}
		}
	}
	if state, ok := c.optimizerState(name); ok && state.lengths {
		list = append(list, valueRange{schema.Range{Min: 0, Max: float64(len(c.tensors))}, "the number of tensors in the model"})
	}
	return list
}

// Tensor checks one float32 tensor of a task while it reads its values. The
// error is a [Refusal], unless reading failed.
func (c *Contract) Tensor(task string, info tensor.Info, data io.Reader) (Observed, error) {
	return c.tensor(task, info, data, true)
}

func (c *Contract) tensor(task string, info tensor.Info, data io.Reader, ranged bool) (Observed, error) {
	if err := c.Declared(task, info); err != nil {
		return Observed{}, err
	}
	var ranges []valueRange
	if ranged {
		ranges = c.ranges(info.Name)
	}
	h := sha256.New()
	squares, element := 0.0, 0
	buf := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(data, buf)
		h.Write(buf[:n])
		for _, v := range tensor.Float32s(buf[:n]) {
			f := float64(v)
			made := func() string { return fmt.Sprintf(" with the value %v at element %d, ", f, element) }
			if math.IsNaN(f) || math.IsInf(f, 0) {
				return Observed{}, refuse(task, KindTensor, info.Name, made(), "only finite numbers leave")
			}
			for _, r := range ranges {
				if f < r.Min || f > r.Max {
					return Observed{}, refuse(task, KindTensor, info.Name, made(), fmt.Sprintf("%s allows %v to %v", r.rule, r.Min, r.Max))
				}
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
	if element != info.Elements() {
		return Observed{}, refuse(task, KindTensor, info.Name, fmt.Sprintf(" with %d values ", element), fmt.Sprintf("instead of %d", info.Elements()))
	}
	return Observed{SHA256: hex.EncodeToString(h.Sum(nil)), Norm: math.Sqrt(squares)}, nil
}

// Result checks a whole result of a task, whose parts were checked: nothing is
// in it twice, and its bytes are within the limits, together with all that the
// ledger says has left before. Without a ledger (nil) nothing has. The error is a
// [Refusal].
func (c *Contract) Result(l *Ledger, task string, round int, entries []Entry) error {
	already := newSpent()
	if l != nil {
		already = l.spent
	}
	names := map[[2]string]bool{}
	var now int64
	for _, e := range entries {
		id := [2]string{e.Kind, e.Name}
		if names[id] {
			return refuse(task, e.Kind, e.Name, " ", "twice")
		}
		names[id] = true
		now += already.cost(e)
	}
	for _, r := range c.rules {
		if limit, left := r.BytesPerRound, already.rounds[round]; limit > 0 && now > limit-left {
			return tooMuch(task, fmt.Sprintf("%d bytes after %d of round %d", now, left, round), r.key("bytes_per_round"), limit)
		}
		if limit := r.BytesPerRun; limit > 0 && now > limit-already.run {
			return tooMuch(task, fmt.Sprintf("%d bytes in round %d after %d of the whole run", now, round, already.run), r.key("bytes_per_run"), limit)
		}
	}
	return nil
}

func tooMuch(task, what, rule string, limit int64) error {
	return refuse(task, "", "", " would send "+what+", ", fmt.Sprintf("%s allows %d", rule, limit))
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

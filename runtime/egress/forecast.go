package egress

import (
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"sort"
	"strings"

	"fx/runtime/tensor"
	"fx/schema"
)

// What becomes of a tensor or a metric.
const (
	FateSent    = "sent"
	FateDropped = "dropped" // a filter leaves it out
	FateRefused = "refused" // the contract does not have it: the site stops
)

// Forecast is what a plan lets leave one site, said by the contract that is
// enforced. Bytes are those of the ledger: values, without names, tags and TLS.
type Forecast struct {
	Rounds        int              `json:"rounds"`                          // that will run, from that of the initial model
	Tensors       []TensorForecast `json:"tensors"`                         // of the model, in its order
	Tasks         []TaskForecast   `json:"tasks"`                           // in plan order
	Filters       []Filter         `json:"filters"`                         // in the order in which they are applied
	RoundBytes    int64            `json:"bytes_per_round"`                 // expected: of the tasks of the largest group, each once
	RunBytes      int64            `json:"bytes_per_run"`                   // the same in all rounds
	MaxRoundBytes int64            `json:"max_bytes_per_round"`             // that the contract lets leave: every task once, or the limit
	MaxRunBytes   int64            `json:"max_bytes_per_run"`               // the same in all rounds
	RoundLimit    int64            `json:"bytes_per_round_limit,omitempty"` // egress.bytes_per_round
	RunLimit      int64            `json:"bytes_per_run_limit,omitempty"`   // egress.bytes_per_run
	Optimizer     []OptimizerState `json:"optimizer_state"`                 // empty unless the runner is OpenFL's for PyTorch
	Privacy       *PrivacyForecast `json:"privacy,omitempty"`               // absent without a filter noise
}

// PrivacyForecast is what the noised results of one site will cost, metrics and
// sample counts not included.
type PrivacyForecast struct {
	Results      int     `json:"results_per_round"` // noised results: tasks of the largest group that send tensors
	MuResult     float64 `json:"mu_per_result"`
	Delta        float64 `json:"delta"`
	EpsilonRound float64 `json:"epsilon_per_round"` // of the first round alone
	EpsilonRun   float64 `json:"epsilon_per_run"`   // of all rounds together
	MaxEpsilon   float64 `json:"max_epsilon,omitempty"`
	Rounds       int     `json:"rounds"` // that max_epsilon allows
}

// TensorForecast is one tensor of the model: results have the same names and
// shapes.
type TensorForecast struct {
	Name  string `json:"name"`
	DType string `json:"dtype"` // on the wire always F32
	Shape []int  `json:"shape"`
	Bytes int64  `json:"bytes"`
	Fate  string `json:"fate"`

	Min *float64 `json:"min,omitempty"` // egress.tensor_ranges
	Max *float64 `json:"max,omitempty"`
}

// TaskForecast is what one task sends.
type TaskForecast struct {
	Name         string           `json:"name"`
	Function     string           `json:"function"`
	Apply        string           `json:"apply"`         // "global" or "local"
	Assigned     bool             `json:"assigned"`      // a task group has it
	SendsTensors bool             `json:"sends_tensors"` // it is expected to: training does
	Tensors      []string         `json:"tensors"`       // names of those that then leave
	TensorTags   []string         `json:"tensor_tags"`   // of these
	Metrics      []MetricForecast `json:"metrics"`
	Bytes        int64            `json:"bytes"`     // expected, each time it is done
	MaxBytes     int64            `json:"max_bytes"` // that the contract lets leave, each time
}

// MetricForecast is one metric of a task, a float32.
type MetricForecast struct {
	Name  string   `json:"name"`
	Bytes int64    `json:"bytes"`
	Min   *float64 `json:"min,omitempty"` // egress.metrics
	Max   *float64 `json:"max,omitempty"`
	Tags  []string `json:"tags"`
	Fate  string   `json:"fate"`
}

// metricBytes is what a metric's value takes.
const metricBytes = 4

// NewForecast says what leaves under a plan with this initial model, whose round
// is first. pytorch says that the task runner is OpenFL's for PyTorch, which sends
// more than the model (see UsesPyTorch). The error wraps schema.ErrInvalid.
func NewForecast(p *schema.Resolved, model []tensor.Info, first int, pytorch bool) (*Forecast, error) {
	c, err := NewContract(Terms{Tasks: p.Tasks, Model: model, Plan: p.Egress, PyTorch: pytorch})
	if err != nil {
		return nil, err
	}
	f := &Forecast{
		Rounds:  max(p.Aggregator.Rounds-first, 0),
		Tensors: []TensorForecast{}, Tasks: []TaskForecast{}, Filters: append([]Filter{}, c.filters...),
		RoundLimit: p.Egress.BytesPerRound, RunLimit: p.Egress.BytesPerRun,
	}
	sent := []string{}
	var bytes int64
	for _, info := range model {
		info.DType = tensor.F32
		t := TensorForecast{Name: info.Name, DType: string(info.DType), Shape: append([]int{}, info.Shape...), Bytes: info.Bytes(), Fate: c.fate(info.Name)}
		for _, r := range c.ranges(info.Name) {
			t.Min, t.Max = tighter(t.Min, t.Max, r.Range)
		}
		if t.Fate == FateSent {
			sent = append(sent, t.Name)
			bytes = plus(bytes, t.Bytes)
		}
		f.Tensors = append(f.Tensors, t)
	}
	groups, state := taskGroups(p), c.maxState(model)
	for _, t := range p.Tasks {
		task := TaskForecast{Name: t.Name, Function: t.Function, Apply: t.Apply(), Tensors: []string{}, TensorTags: []string{}, Metrics: c.forecastMetrics(t)}
		task.Assigned = slices.ContainsFunc(groups, func(g []string) bool { return slices.Contains(g, t.Name) })
		for _, m := range task.Metrics {
			if m.Fate == FateSent {
				task.Bytes += m.Bytes
			}
		}
		withTensors := plus(task.Bytes, bytes)
		task.MaxBytes = plus(withTensors, state)
		task.SendsTensors = SendsTensors(p.TaskRunner.Template, t) && len(model) > 0
		if task.SendsTensors && len(sent) > 0 {
			task.Tensors, task.TensorTags, task.Bytes = sent, TensorTags(), withTensors
		}
		f.Tasks = append(f.Tasks, task)
	}
	f.total(groups)
	f.Optimizer = c.optimizerStates(bytes)
	f.Privacy = c.forecastPrivacy(f, groups)
	return f, nil
}

// fate is what becomes of a tensor of that name.
func (c *Contract) fate(name string) string {
	_, known := c.tensors[name]
	switch {
	case c.Drops(name):
		return FateDropped
	case !known || slices.ContainsFunc(c.rules, func(r rules) bool { return r.Tensors != nil && !Matches(r.Tensors, name) }):
		return FateRefused
	}
	return FateSent
}

// tighter narrows a range, whose open ends are nil, by another.
func tighter(least, most *float64, by schema.Range) (*float64, *float64) {
	if !math.IsInf(by.Min, 0) && (least == nil || by.Min > *least) {
		least = &by.Min
	}
	if !math.IsInf(by.Max, 0) && (most == nil || by.Max < *most) {
		most = &by.Max
	}
	return least, most
}

// forecastPrivacy is what the noised results of the groups cost.
func (c *Contract) forecastPrivacy(f *Forecast, groups [][]string) *PrivacyForecast {
	if !c.Noises() {
		return nil
	}
	p := &PrivacyForecast{MuResult: c.mu(), Rounds: f.Rounds}
	p.Delta, p.MaxEpsilon, _ = c.budget()
	for _, group := range groups {
		n := 0
		for _, t := range f.Tasks {
			if slices.Contains(group, t.Name) && len(t.Tensors) > 0 {
				n++
			}
		}
		p.Results = max(p.Results, n)
	}
	of := func(rounds int) float64 {
		return Epsilon(p.MuResult*math.Sqrt(float64(rounds)*float64(p.Results)), p.Delta)
	}
	p.EpsilonRound, p.EpsilonRun = of(min(1, f.Rounds)), of(f.Rounds)
	if p.MaxEpsilon > 0 {
		p.Rounds = sort.Search(f.Rounds, func(n int) bool { return of(n+1) > p.MaxEpsilon })
	}
	return p
}

func (c *Contract) forecastMetrics(t schema.Task) []MetricForecast {
	list := []MetricForecast{}
	for _, name := range Metrics(t) {
		m := MetricForecast{Name: name, Bytes: metricBytes, Tags: MetricTags(t), Fate: FateSent}
		for _, r := range c.rules {
			allowed, ok := r.metricRange(name)
			if !ok {
				m.Fate = FateRefused
				continue
			}
			m.Min, m.Max = tighter(m.Min, m.Max, allowed)
		}
		list = append(list, m)
	}
	return list
}

// SendsTensors tells whether a task is expected to send tensors: the training of a
// built-in runner does, and, as OpenFL's runners have it, every task of other
// code whose function is not a validation.
func SendsTensors(runner string, t schema.Task) bool {
	if strings.HasPrefix(runner, "fx.builtin.") {
		return t.Function == "train_task" && runner != "fx.builtin.NoOp"
	}
	return !strings.Contains(t.Function, "valid")
}

// taskGroups are the tasks that one site does in a round, by group; all tasks
// where the assigner does not say.
func taskGroups(p *schema.Resolved) [][]string {
	var groups [][]string
	selected, _ := p.Assigner.Settings["selected_task_group"].(string)
	list, _ := p.Assigner.Settings["task_groups"].([]any)
	for _, item := range list {
		group, _ := item.(map[string]any)
		name, _ := group["name"].(string)
		if selected != "" && name != selected {
			continue
		}
		tasks, _ := group["tasks"].([]any)
		var names []string
		for _, t := range tasks {
			if task, ok := t.(string); ok {
				names = append(names, task)
			}
		}
		groups = append(groups, names)
	}
	if len(groups) > 0 {
		return groups
	}
	var all []string
	for _, t := range p.Tasks {
		all = append(all, t.Name)
	}
	return [][]string{all}
}

// TaskGroup lists the tasks of one of the plan's task groups.
func TaskGroup(p *schema.Resolved, name string) []string {
	one := *p
	one.Assigner.Settings = maps.Clone(p.Assigner.Settings)
	if one.Assigner.Settings == nil {
		return nil
	}
	one.Assigner.Settings["selected_task_group"] = name
	if list, _ := p.Assigner.Settings["task_groups"].([]any); !slices.ContainsFunc(list, func(item any) bool {
		group, _ := item.(map[string]any)
		return group["name"] == name
	}) {
		return nil
	}
	return taskGroups(&one)[0]
}

// total adds up the tasks.
func (f *Forecast) total(groups [][]string) {
	for _, group := range groups {
		var expected int64
		for _, t := range f.Tasks {
			if slices.Contains(group, t.Name) {
				expected = plus(expected, t.Bytes)
			}
		}
		f.RoundBytes = max(f.RoundBytes, expected)
	}
	for _, t := range f.Tasks { // whatever the aggregator asks for
		f.MaxRoundBytes = plus(f.MaxRoundBytes, t.MaxBytes)
	}
	if f.RoundLimit > 0 {
		f.MaxRoundBytes = min(f.MaxRoundBytes, f.RoundLimit)
	}
	f.RunBytes, f.MaxRunBytes = times(f.RoundBytes, f.Rounds), times(f.MaxRoundBytes, f.Rounds)
	if f.RunLimit > 0 {
		f.MaxRunBytes = min(f.MaxRunBytes, f.RunLimit)
	}
}

// plus and times stop at the largest number.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func times(a int64, n int) int64 {
	high, low := bits.Mul64(uint64(a), uint64(n))
	if high > 0 || low > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(low)
}

// Range spells the values that a metric may have: "0 to 1", "any".
func (m MetricForecast) Range() string { return spellRange(m.Min, m.Max) }

// Range spells the values that a tensor may have.
func (t TensorForecast) Range() string { return spellRange(t.Min, t.Max) }

func spellRange(least, most *float64) string {
	switch {
	case least == nil && most == nil:
		return "any"
	case most == nil:
		return fmt.Sprintf("from %v", *least)
	case least == nil:
		return fmt.Sprintf("up to %v", *most)
	}
	return fmt.Sprintf("%v to %v", *least, *most)
}

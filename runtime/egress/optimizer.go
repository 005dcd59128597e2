package egress

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fx/runtime/tensor"
)

// OptimizerState is what OpenFL's PyTorchTaskRunner can send with a training
// result besides the model: the state of the optimizer, flattened (runner_pt.py,
// _derive_opt_state_dict). Up to OpenFL 1.8 it always does, since 1.9 only under
// opt_treatment CONTINUE_GLOBAL. Which optimizer it is only the workspace's code
// knows.
type OptimizerState struct {
	Optimizer string   `json:"optimizer"`
	Patterns  []string `json:"patterns"` // globs of the names: group, then parameter, then what it is
	Multiple  int      `json:"multiple"` // of the parameters' bytes, beyond the model itself
	Bytes     int64    `json:"bytes"`    // each time, where all tensors of the model are parameters
	Fate      string   `json:"fate"`
}

const (
	stateOf      = "__opt_state_*_*_istensor_" // a tensor for each parameter
	numberOf     = "__opt_state_*_*__"         // a number for each parameter that is no tensor in Python
	groupLengths = "__opt_group_lengths"       // how many parameters each group has
	maxGroups    = 64
)

// optimizer is one of PyTorch's: the keys of its state, those of the shape of
// the parameter and those that are one number.
type optimizer struct {
	name    string
	shaped  []string
	numbers []string
}

// optimizers is all of them, as far as their state has the shape of parameters.
// The numbers are tensors in newer versions of PyTorch and none in older ones.
var optimizers = []optimizer{
	{name: "SGD"},
	{"SGD with momentum", []string{"momentum_buffer"}, nil},
	{"Adagrad", []string{"sum"}, []string{"step"}},
	{"RMSprop", []string{"square_avg"}, []string{"step"}},
	{"RMSprop, centered, with momentum", []string{"square_avg", "momentum_buffer", "grad_avg"}, []string{"step"}},
	{"Adam, AdamW", []string{"exp_avg", "exp_avg_sq"}, []string{"step"}},
	{"Adam, AdamW with amsgrad", []string{"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}, []string{"step"}},
	{"Adamax", []string{"exp_avg", "exp_inf"}, []string{"step"}},
	{"NAdam", []string{"exp_avg", "exp_avg_sq"}, []string{"step", "mu_product"}},
	{"RAdam", []string{"exp_avg", "exp_avg_sq"}, []string{"step"}},
	{"Adadelta", []string{"square_avg", "acc_delta"}, []string{"step"}},
	{"ASGD", []string{"ax"}, []string{"step", "eta", "mu"}},
	{"Rprop", []string{"prev", "step_size"}, []string{"step"}},
}

// patterns are the globs of an optimizer's names.
func (o optimizer) patterns() []string {
	list := []string{}
	for _, key := range o.numbers {
		list = append(list, stateOf+key, numberOf+key)
	}
	for _, key := range o.shaped {
		list = append(list, stateOf+key)
	}
	if len(list) > 0 {
		list = append(list, groupLengths)
	}
	return list
}

// state is what the name of a tensor says about it.
type state struct {
	group, parameter int
	key              string
	shaped           bool // of the shape of a parameter; else one number
	lengths          bool // it is groupLengths
}

var stateName = regexp.MustCompile(`^__opt_state_(0|[1-9][0-9]{0,6})_(0|[1-9][0-9]{0,6})_(istensor|)_([a-z_]+)$`)

// optimizerState recognizes the name of a state, if the runner is one that sends
// them.
func (c *Contract) optimizerState(name string) (state, bool) {
	if !c.pytorch || !strings.HasPrefix(name, "__opt_") {
		return state{}, false
	}
	if name == groupLengths {
		return state{lengths: true}, true
	}
	m := stateName.FindStringSubmatch(name)
	if m == nil {
		return state{}, false
	}
	s := state{key: m[4]}
	for i, n := range []*int{&s.group, &s.parameter} {
		v, err := strconv.Atoi(m[1+i])
		if err != nil {
			return state{}, false
		}
		*n = v
	}
	if s.group >= maxGroups || s.parameter >= len(c.tensors) {
		return state{}, false
	}
	tensors := m[3] == "istensor"
	s.shaped = tensors && slices.ContainsFunc(optimizers, func(o optimizer) bool { return slices.Contains(o.shaped, s.key) })
	number := slices.ContainsFunc(optimizers, func(o optimizer) bool { return slices.Contains(o.numbers, s.key) })
	return s, s.shaped || number
}

// stateProblem says what is wrong with the shape of a state; "" if nothing is.
func (c *Contract) stateProblem(s state, info tensor.Info) string {
	switch {
	case info.DType != tensor.F32:
		return "the state of an optimizer leaves as F32"
	case s.lengths && (len(info.Shape) != 1 || info.Shape[0] > maxGroups):
		return fmt.Sprintf("it has one dimension of at most %d groups", maxGroups)
	case s.shaped && c.shapes[shapeKey(info.Shape)] == 0:
		return "no tensor of the approved model has that shape"
	case !s.lengths && !s.shaped && info.Elements() != 1:
		return "it is one number"
	}
	return ""
}

// optimizerWhole checks the states of one result together: they are those of one
// optimizer, and of each kind there are no more, shape by shape, than the model
// has tensors.
func (c *Contract) optimizerWhole(task string, leave []tensor.Info) error {
	var keys []string
	parameters := map[[2]int]bool{}
	shapes := map[string]int{}
	for _, info := range leave {
		s, ok := c.optimizerState(info.Name)
		if _, model := c.tensors[info.Name]; model || !ok || s.lengths {
			continue
		}
		if !slices.Contains(keys, s.key) {
			keys = append(keys, s.key)
		}
		if parameters[[2]int{s.group, s.parameter}] = true; len(parameters) > len(c.tensors) {
			return refuse(task, KindTensor, info.Name, ", ", fmt.Sprintf("the state of more parameters than the model's %d tensors", len(c.tensors)))
		}
		of := s.key + shapeKey(info.Shape)
		if shapes[of]++; s.shaped && shapes[of] > c.shapes[shapeKey(info.Shape)] {
			return refuse(task, KindTensor, info.Name, fmt.Sprintf(" as %v, ", info.Shape), "there are more states of that shape than tensors of the approved model")
		}
	}
	if !slices.ContainsFunc(optimizers, func(o optimizer) bool {
		return !slices.ContainsFunc(keys, func(key string) bool { return !slices.Contains(o.shaped, key) && !slices.Contains(o.numbers, key) })
	}) {
		slices.Sort(keys)
		return refuse(task, "", "", " made optimizer state, ", fmt.Sprintf("no known optimizer has %s", strings.Join(keys, " and ")))
	}
	return nil
}

// optimizerStates says what becomes of each optimizer's state, for a model of
// that many bytes that leave.
func (c *Contract) optimizerStates(model int64) []OptimizerState {
	list := []OptimizerState{}
	if !c.pytorch {
		return list
	}
	for _, o := range optimizers {
		s := OptimizerState{Optimizer: o.name, Patterns: o.patterns(), Multiple: len(o.shaped), Bytes: times(model, len(o.shaped)), Fate: FateSent}
		for _, pattern := range s.Patterns {
			switch fate := c.patternFate(pattern); {
			case fate == FateRefused:
				s.Fate = FateRefused
			case fate == FateDropped && s.Fate == FateSent:
				s.Fate = FateDropped
			}
		}
		list = append(list, s)
	}
	return list
}

// patternFate is what becomes of the tensors that a glob of state names
// describes: dropped if a filter has all of them, refused if no rule has any.
func (c *Contract) patternFate(pattern string) string {
	if slices.ContainsFunc(c.filters, func(f Filter) bool { return f.Name == "drop" && covers(f.Tensors, pattern) }) {
		return FateDropped
	}
	for _, r := range c.rules {
		if r.Tensors != nil && !slices.ContainsFunc(r.Tensors, func(g string) bool { return overlap(g, pattern) }) {
			return FateRefused
		}
	}
	return FateSent
}

// maxState is how many bytes of optimizer state the contract lets leave at most
// with one result, for a model of all these tensors.
func (c *Contract) maxState(model []tensor.Info) int64 {
	var most, whole int64
	for _, info := range model {
		info.DType = tensor.F32
		whole = plus(whole, info.Bytes())
	}
	if !c.pytorch || len(model) == 0 {
		return 0
	}
	for _, o := range optimizers {
		var n int64
		for _, pattern := range o.patterns() {
			switch {
			case c.patternFate(pattern) != FateSent:
			case pattern == groupLengths:
				n = plus(n, 4*maxGroups)
			case slices.ContainsFunc(o.shaped, func(key string) bool { return pattern == stateOf+key }):
				n = plus(n, whole)
			default:
				n = plus(n, times(4, len(model)))
			}
		}
		most = max(most, n)
	}
	return min(most, math.MaxInt64)
}

// IsOptimizerState reports whether a glob can be about the state of an
// optimizer, which is not in the initial model.
func IsOptimizerState(glob string) bool {
	return strings.HasPrefix(glob, "__opt_") || slices.ContainsFunc(optimizers, func(o optimizer) bool {
		return slices.ContainsFunc(o.patterns(), func(p string) bool { return overlap(glob, p) })
	})
}

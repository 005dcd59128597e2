package egress

import (
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// OptimizerState is what OpenFL's PyTorchTaskRunner sends with every training
// result besides the model, whatever opt_treatment says: the state of the
// optimizer, flattened (runner_pt.py, _derive_opt_state_dict). Which optimizer
// it is only the workspace's code knows.
type OptimizerState struct {
	Optimizer string   `json:"optimizer"`
	Patterns  []string `json:"patterns"` // globs of the names: group, then parameter, then what it is
	Multiple  int      `json:"multiple"` // of the parameters' bytes, beyond the model itself
	Bytes     int64    `json:"bytes"`    // each time, where all tensors of the model are parameters
	Fate      string   `json:"fate"`
}

const (
	stateOf      = "__opt_state_*_*_istensor_" // one per parameter
	groupLengths = "__opt_group_lengths"       // how many parameters each group has
)

// optimizerStates are PyTorch's optimizers. Where step is there it is one number
// per parameter; older versions of PyTorch name it __opt_state_*_*__step.
var optimizerStates = []OptimizerState{
	{Optimizer: "SGD", Patterns: []string{}},
	{Optimizer: "SGD with momentum", Patterns: []string{stateOf + "momentum_buffer", groupLengths}, Multiple: 1},
	{Optimizer: "Adagrad", Patterns: []string{stateOf + "step", stateOf + "sum", groupLengths}, Multiple: 1},
	{Optimizer: "RMSprop", Patterns: []string{stateOf + "step", stateOf + "square_avg", groupLengths}, Multiple: 1},
	{Optimizer: "Adam, AdamW", Patterns: []string{stateOf + "step", stateOf + "exp_avg", stateOf + "exp_avg_sq", groupLengths}, Multiple: 2},
	{Optimizer: "Adam, AdamW with amsgrad", Patterns: []string{stateOf + "step", stateOf + "exp_avg", stateOf + "exp_avg_sq", stateOf + "max_exp_avg_sq", groupLengths}, Multiple: 3},
}

// optimizerStates says what becomes of each, for a model of that many bytes.
func (c *Contract) optimizerStates(model int64, pytorch bool) []OptimizerState {
	list := []OptimizerState{}
	if !pytorch {
		return list
	}
	for _, s := range optimizerStates {
		s.Bytes, s.Fate = times(model, s.Multiple), FateSent
		for _, pattern := range s.Patterns {
			switch fate := c.fate(strings.ReplaceAll(pattern, "*", "0")); {
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

// IsOptimizerState reports whether a glob can be about the state of an
// optimizer, which is not in the initial model.
func IsOptimizerState(glob string) bool {
	return slices.ContainsFunc(optimizerStates, func(s OptimizerState) bool {
		return slices.ContainsFunc(s.Patterns, func(p string) bool { return match(glob, strings.ReplaceAll(p, "*", "0")) })
	}) || strings.HasPrefix(glob, "__opt_")
}

var pytorchRunner = regexp.MustCompile(`\bPyTorchTaskRunner\b`)

// maxCode is how much of a Python file is looked at.
const maxCode = 4 << 20

// UsesPyTorch reports whether a task runner is OpenFL's PyTorchTaskRunner, or a
// class of a module of the workspace that speaks of it. workspace may be nil.
func UsesPyTorch(workspace fs.FS, template string) bool {
	if strings.HasPrefix(template, "openfl.") {
		return strings.HasSuffix(template, ".PyTorchTaskRunner")
	}
	if workspace == nil || !strings.HasPrefix(template, "src.") {
		return false
	}
	module := path.Dir(strings.ReplaceAll(template, ".", "/"))
	for _, name := range []string{module + ".py", module + "/__init__.py"} {
		if !fs.ValidPath(name) {
			continue
		}
		f, err := workspace.Open(name)
		if err != nil {
			continue // the runner's absence is another's finding
		}
		code, err := io.ReadAll(io.LimitReader(f, maxCode))
		_ = f.Close() // read only
		if err == nil && pytorchRunner.Match(code) {
			return true
		}
	}
	return false
}

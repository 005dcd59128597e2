package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"fx/runtime/tensor"
	"fx/schema"
)

// pipelineSteps is how many steps OpenFL's pipelines have: a tensor in a file
// has one metadata entry for each.
var pipelineSteps = map[string]int{
	"NoCompressionPipeline": 1, "RandomShiftPipeline": 2, "KCPipeline": 2, "SKCPipeline": 3, "STCPipeline": 3, "EdenPipeline": 1,
}

// model checks the initial model against the plan.
func (f *Folder) model() {
	if f.plan == nil || f.plan.Config().Lookup("connector") != nil { // a connector brings its own
		return
	}
	const where = "aggregator.settings.init_state_path"
	node := f.plan.Config().At("aggregator", "settings", "init_state_path")
	name := f.plan.Draft().Aggregator.InitStatePath
	if name == "" || node == nil {
		return // schema/check says so
	}
	name = path.Clean(name)
	tensors, err := f.scanModel(name)
	if errors.Is(err, fs.ErrNotExist) {
		finding := f.at(node, "missing-model", where, "the initial model is not there")
		finding.Found, finding.Hint = node.Describe(), "fxrun init "+f.dir
		if strings.HasPrefix(f.template("task_runner"), "fx.builtin.") {
			finding.Hint = "fxctl model init " + f.dir
		}
		f.add(finding)
		return
	}
	if err != nil {
		f.add(f.in(name, "model", 0, 0, "the initial model cannot be read: %s", strings.TrimPrefix(err.Error(), tensor.ErrInvalid.Error()+": ")))
		return
	}
	f.modelRound(name, tensors)
	infos, ok := f.modelPipeline(name, tensors)
	if want := builtinTensors(f.plan.Draft().TaskRunner); ok && want != nil {
		f.modelTensors(name, infos, want)
	}
}

func (f *Folder) scanModel(name string) (_ []tensor.Named, err error) {
	info, err := fs.Lstat(f.root, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	r, ok := file.(io.ReaderAt)
	if !ok {
		return nil, errors.New("it cannot be read at will")
	}
	return tensor.ScanModel(r, info.Size())
}

// modelRound checks that there is a round left to train.
func (f *Folder) modelRound(name string, tensors []tensor.Named) {
	round, err := tensor.Round(tensors)
	rounds := f.plan.Draft().Aggregator.Rounds
	switch {
	case err != nil:
		f.add(f.in(name, "model", 0, 0, "%s", strings.TrimPrefix(err.Error(), tensor.ErrInvalid.Error()+": ")))
	case rounds > 0 && (round < 0 || int(round) >= rounds):
		finding := f.in(name, "model-round", 0, 0, "the initial model is of a round that is not before the plan's last")
		finding.Found, finding.Allowed = fmt.Sprintf("round %d", round), fmt.Sprintf("0 to %d", rounds-1)
		finding.Hint = "raise aggregator.settings.rounds_to_train, which is where training ends and not how long it takes"
		f.add(finding)
	}
}

// modelPipeline checks that the plan's pipeline made the file, and returns the
// tensors if so.
func (f *Folder) modelPipeline(name string, tensors []tensor.Named) ([]tensor.Info, bool) {
	pipeline := f.plan.Draft().Compression.Template
	pipeline = pipeline[strings.LastIndexByte(pipeline, '.')+1:]
	steps, known := pipelineSteps[pipeline]
	if !known {
		return nil, false
	}
	var infos []tensor.Info
	for _, t := range tensors {
		problem := ""
		if len(t.Metadata) != steps {
			problem = fmt.Sprintf("tensor %s has the metadata of %d steps, but %s has %d", quoted(t.Name), len(t.Metadata), pipeline, steps)
		} else {
			describe := t.Shape
			if pipeline == "NoCompressionPipeline" {
				describe = t.Info
			}
			info, err := describe()
			if err != nil {
				problem = strings.TrimPrefix(err.Error(), tensor.ErrInvalid.Error()+": ")
			}
			infos = append(infos, info)
		}
		if problem == "" {
			if err := tensor.CheckTravel(infos[len(infos)-1]); err != nil {
				f.add(f.in(name, "model-size", 0, 0, "%s", strings.TrimPrefix(err.Error(), tensor.ErrInvalid.Error()+": ")))
				return nil, false
			}
		}
		if problem != "" {
			finding := f.in(name, "model", 0, 0, "the initial model does not fit the compression pipeline: %s", problem)
			finding.Hint = "make the model again with this plan"
			f.add(finding)
			return nil, false
		}
	}
	return infos, true
}

// modelTensors compares names and shapes with those of a built-in model.
func (f *Folder) modelTensors(name string, have, want []tensor.Info) {
	by := map[string]tensor.Info{}
	for _, info := range have {
		by[info.Name] = info
	}
	var names []string
	complain := func(found, allowed, format string, a ...any) {
		finding := f.in(name, "model-mismatch", 0, 0, format, a...)
		finding.Path, finding.Found, finding.Allowed = "task_runner", found, allowed
		finding.Hint = "fxctl model init " + f.dir + " --force"
		f.add(finding)
	}
	for _, w := range want {
		names = append(names, w.Name)
		switch h, there := by[w.Name]; {
		case !there:
			complain("", fmt.Sprint(w.Shape), "the initial model has no tensor %q, which the task runner needs", w.Name)
		case !slices.Equal(h.Shape, w.Shape):
			complain(fmt.Sprint(h.Shape), fmt.Sprint(w.Shape), "tensor %q of the initial model has another shape than the task runner's settings make", w.Name)
		}
	}
	for _, h := range have {
		if !slices.Contains(names, h.Name) {
			allowed := strings.Join(names, ", ")
			if allowed == "" {
				allowed = "no tensor"
			}
			complain(quoted(h.Name), allowed, "the task runner does not know a tensor of the initial model")
			return // one is enough: it is another model
		}
	}
}

// builtinTensors lists the tensors of the task runners that are built into
// fxrun; nil for others. TestBuiltinTensors compares it with theirs.
func builtinTensors(c schema.Component) []tensor.Info {
	size := func(key string) int {
		n, _ := c.Settings[key].(int)
		return n
	}
	features, hidden, classes := size("features"), size("hidden"), size("classes")
	f32 := func(name string, shape ...int) tensor.Info {
		return tensor.Info{Name: name, DType: tensor.F32, Shape: shape}
	}
	switch c.Template {
	case "fx.builtin.NoOp":
		return []tensor.Info{}
	case "fx.builtin.SoftmaxRegression":
		if features > 0 && classes > 0 {
			return []tensor.Info{f32("weight", features, classes), f32("bias", classes)}
		}
	case "fx.builtin.MLP":
		if features > 0 && hidden > 0 && classes > 0 {
			return []tensor.Info{
				f32("hidden.weight", features, hidden), f32("hidden.bias", hidden),
				f32("output.weight", hidden, classes), f32("output.bias", classes),
			}
		}
	}
	return nil
}

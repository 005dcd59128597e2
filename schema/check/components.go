package check

import (
	"slices"
	"strings"

	"fx/runtime/aggregation"
	"fx/runtime/codec"
	"fx/runtime/straggler"
	"fx/schema"
)

// Templates that fxrun runs, besides Python classes: the kinds of
// runtime/taskrunner. The built-in ones run without code from the workspace.
var (
	builtinRunners = []string{"fx.builtin.MLP", "fx.builtin.NoOp", "fx.builtin.SoftmaxRegression"}
	builtinLoaders = []string{"fx.builtin.CSVDataLoader", "fx.builtin.NoData"}
	boxedRunners   = []string{"fx.process.TaskRunner", "fx.wasm.TaskRunner"}
)

const folderLoader = "fx.data.Folder"

const averaged = "remove aggregation_type: the result is then the weighted average"

// unavailable is the finding about a Python class where the aggregator would run
// it.
func unavailable(template *schema.Node, path string) schema.Finding {
	f := template.Finding("runner-unavailable", path, "the class is Python, which runs at collaborators only, never in the aggregator")
	f.Found = template.Describe()
	return f
}

// components builds what the plan names from the runtime's tables.
func components(p *schema.Plan) schema.Findings {
	var out schema.Findings
	config, draft := p.Config(), p.Draft()
	build := func(section *schema.Node, path, hint string, c schema.Component, err error) {
		if err == nil || c.Template == "" || section == nil {
			return
		}
		out = append(out, componentFinding(section, path, hint, err))
	}
	_, err := codec.New(draft.Compression)
	build(config.Lookup("compression_pipeline"), "compression_pipeline", "remove the section: tensors then travel as they are", draft.Compression, err)
	_, err = straggler.New(draft.Straggler)
	build(config.Lookup("straggler_handling_policy"), "straggler_handling_policy", "remove the section: a round then closes when all are done", draft.Straggler, err)
	functions := map[string]schema.Component{}
	for _, t := range draft.Tasks {
		functions[t.Name] = t.Aggregation
	}
	for _, t := range config.Lookup("tasks").Entries() {
		name, section := t.Key.KeyText(), t.Value.Lookup("aggregation_type")
		path := schema.Child(schema.Child("tasks", name), "aggregation_type")
		if strings.HasPrefix(functions[name].Template, "src.") {
			f := unavailable(section.Lookup("template"), path+".template")
			f.Hint = averaged
			out = append(out, f)
			continue
		}
		_, err = aggregation.New(functions[name])
		build(section, path, averaged, functions[name], err)
	}
	return append(out, localWork(p)...)
}

// componentFinding places what a table says about a component: at its template
// if that is the matter, else at its settings.
func componentFinding(section *schema.Node, path, hint string, err error) schema.Finding {
	text := strings.TrimPrefix(err.Error(), schema.ErrInvalid.Error()+": ")
	if _, rest, ok := strings.Cut(text, ": "); ok {
		text = rest // the table's own name for the section
	}
	node, id := section.Lookup("settings"), "component"
	where := schema.Child(path, "settings")
	if strings.Contains(text, "not supported") {
		id = "unsupported"
	}
	if template := section.Lookup("template"); template != nil && (id == "unsupported" || node == nil || strings.Contains(text, " is no ")) {
		node, where = template, schema.Child(path, "template")
	}
	if node == nil {
		node, where = section, path
	}
	f := node.Finding(id, where, text)
	if id == "unsupported" {
		f.Hint = hint
	}
	return f
}

// localWork checks task runner and data loader: whether there is something that
// can run them, and whether they go together. Whether a class of the workspace
// exists is for those who have the workspace.
func localWork(p *schema.Plan) schema.Findings {
	var out schema.Findings
	draft := p.Draft()
	for _, part := range []struct {
		section string
		c       schema.Component
		ours    []string
	}{
		{"task_runner", draft.TaskRunner, slices.Concat(builtinRunners, boxedRunners)},
		{"data_loader", draft.DataLoader, append(slices.Clone(builtinLoaders), folderLoader)},
	} {
		python := schema.OpenFLClasses(part.section)
		if part.c.Template == "" || slices.Contains(part.ours, part.c.Template) || isPython(part.section, part.c.Template) {
			continue
		}
		template := p.Config().At(part.section, "template")
		f := template.Finding("unknown-template", part.section+".template", "there is no such template")
		f.Found, f.Allowed = template.Describe(), strings.Join(part.ours, ", ")+", or src.… for a Python class of the workspace"
		f.Hint = schema.DidYouMean(part.c.Template, append(python, part.ours...))
		out = append(out, f)
	}
	return append(out, pairing(p)...)
}

// isPython says whether a template is a class of the workspace or of OpenFL.
func isPython(section, template string) bool {
	return strings.HasPrefix(template, "src.") || slices.Contains(schema.OpenFLClasses(section), template)
}

// pairing says which data loader a task runner works with.
func pairing(p *schema.Plan) schema.Findings {
	draft := p.Draft()
	runner, loader := draft.TaskRunner.Template, draft.DataLoader.Template
	var want string
	var fits bool
	switch {
	case loader == "":
		return nil
	case runner == "fx.builtin.NoOp":
		want, fits = "fx.builtin.NoData", loader == "fx.builtin.NoData"
	case slices.Contains(builtinRunners, runner):
		want, fits = "fx.builtin.CSVDataLoader", loader == "fx.builtin.CSVDataLoader"
	case slices.Contains(boxedRunners, runner):
		want, fits = folderLoader, loader == folderLoader
	case isPython("task_runner", runner):
		want, fits = "a Python class, such as src.dataloader.Loader", isPython("data_loader", loader)
	default:
		return nil // the runner is the matter
	}
	known := slices.Contains(builtinLoaders, loader) || loader == folderLoader || isPython("data_loader", loader)
	if !known {
		return nil // the loader is the matter
	}
	if fits {
		return tooLarge(p)
	}
	template := p.Config().At("data_loader", "template")
	f := template.Finding("mismatch", "data_loader.template", "the data loader does not go with the task runner "+runner)
	f.Found, f.Allowed = template.Describe(), want
	if !isPython("task_runner", runner) {
		f.Hint = "write " + want
	}
	return schema.Findings{f}
}

// maxModel is how many values a built-in model may have: 512 MiB of float64.
const maxModel = 1 << 26

func tooLarge(p *schema.Plan) schema.Findings {
	if !slices.Contains(builtinRunners, p.Draft().TaskRunner.Template) {
		return nil
	}
	s := p.Draft().TaskRunner.Settings
	features, _ := s["features"].(int)
	classes, _ := s["classes"].(int)
	hidden, deep := s["hidden"].(int)
	for _, n := range []int{features, classes, hidden} {
		if n > 1<<20 {
			return nil // the schema says that it is out of range
		}
	}
	values := (features + 1) * classes
	if deep {
		values = (features+1)*hidden + (hidden+1)*classes
	}
	if values <= maxModel {
		return nil
	}
	f := p.Config().At("task_runner", "settings").Finding("out-of-range", "task_runner.settings", "the model is too large for the built-in task runner")
	f.Allowed = "at most 67108864 values"
	return schema.Findings{f}
}

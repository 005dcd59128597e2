package check

import (
	"slices"
	"strings"

	"fx/runtime/aggregation"
	"fx/runtime/codec"
	"fx/runtime/straggler"
	"fx/schema"
)

// Templates that this version runs without code from the workspace: the models
// of runtime/taskrunner.
var (
	builtinRunners = []string{"fx.builtin.MLP", "fx.builtin.NoOp", "fx.builtin.SoftmaxRegression"}
	builtinLoaders = []string{"fx.builtin.CSVDataLoader", "fx.builtin.NoData"}
)

const averaged = "remove aggregation_type: the result is then the weighted average"

// unavailable is the finding about a class of the workspace or of OpenFL.
func unavailable(template *schema.Node, path string) schema.Finding {
	f := template.Finding("runner-unavailable", path, "the class is Python, and this version of fxrun has no runner for Python")
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
// can run them, and whether they go together.
func localWork(p *schema.Plan) schema.Findings {
	var out schema.Findings
	draft := p.Draft()
	for _, part := range []struct {
		section string
		c       schema.Component
		builtin []string
	}{{"task_runner", draft.TaskRunner, builtinRunners}, {"data_loader", draft.DataLoader, builtinLoaders}} {
		template := p.Config().At(part.section, "template")
		if part.c.Template == "" || slices.Contains(part.builtin, part.c.Template) {
			continue
		}
		path, python := part.section+".template", schema.OpenFLClasses(part.section)
		switch {
		case strings.HasPrefix(part.c.Template, "src."), slices.Contains(python, part.c.Template):
			f := unavailable(template, path)
			f.Allowed = strings.Join(part.builtin, ", ")
			f.Hint = "name a built-in class, or run this plan with OpenFL"
			out = append(out, f)
		default:
			f := template.Finding("unknown-template", path, "there is no such template")
			f.Found, f.Allowed = template.Describe(), strings.Join(part.builtin, ", ")+", or src.… for code of the workspace"
			f.Hint = schema.DidYouMean(part.c.Template, append(python, part.builtin...))
			out = append(out, f)
		}
	}
	return append(out, pairing(p)...)
}

// pairing says which data loader a built-in task runner works with.
func pairing(p *schema.Plan) schema.Findings {
	draft := p.Draft()
	if !slices.Contains(builtinRunners, draft.TaskRunner.Template) || !slices.Contains(builtinLoaders, draft.DataLoader.Template) {
		return nil
	}
	want := "fx.builtin.CSVDataLoader"
	if draft.TaskRunner.Template == "fx.builtin.NoOp" {
		want = "fx.builtin.NoData"
	}
	if draft.DataLoader.Template == want {
		return tooLarge(p)
	}
	template := p.Config().At("data_loader", "template")
	f := template.Finding("mismatch", "data_loader.template", "the data loader does not go with the task runner "+draft.TaskRunner.Template)
	f.Found, f.Allowed, f.Hint = template.Describe(), want, "write "+want
	return schema.Findings{f}
}

// maxModel is how many values a built-in model may have: 512 MiB of float64.
const maxModel = 1 << 26

func tooLarge(p *schema.Plan) schema.Findings {
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

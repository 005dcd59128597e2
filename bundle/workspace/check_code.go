package workspace

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"fx/schema"
)

// inherited are the task functions of OpenFL's task runners, by class name.
var inherited = map[string][]string{
	"TaskRunner":        {"validate"},
	"PyTorchTaskRunner": {"train_task", "validate_task"},
	"KerasTaskRunner":   {"train_task", "validate_task", "train", "validate"}, // the last two in 1.6
	"XGBoostTaskRunner": {"train_task", "validate_task"},
	"GaNDLFTaskRunner":  {"train", "validate"},
	"FlowerTaskRunner":  {"start_client_adapter"},
}

// code checks that every class of the workspace that the plan names is there,
// and that the task runner has the functions of the tasks.
func (f *Folder) code() {
	if f.plan == nil {
		return
	}
	tree := newPyTree(f.root)
	seen := map[*schema.Node]bool{}
	var visit func(n *schema.Node, where string)
	visit = func(n *schema.Node, where string) {
		if seen[n] {
			return
		}
		seen[n] = true
		for i, item := range n.Items {
			visit(item, schema.Index(where, i))
		}
		for _, p := range n.Pairs {
			below := schema.Child(where, p.Key.KeyText())
			if name := p.Value; p.Key.Text == "template" && name.Kind == schema.KindString && strings.HasPrefix(name.Text, "src.") {
				if found, ok := f.class(tree, name, below); ok && below == "task_runner.template" {
					f.functions(tree, found)
				}
				continue
			}
			visit(p.Value, below)
		}
	}
	visit(f.plan.Config(), "")
	f.program()
}

// program checks that the program or module of the workspace that the plan runs
// is there. The mode of a program does not matter.
func (f *Folder) program() {
	at := f.plan.Config().At("task_runner", "settings")
	name, where := at.Lookup("module"), "task_runner.settings.module"
	switch f.template("task_runner") {
	case "fx.wasm.TaskRunner":
	case "fx.process.TaskRunner":
		command := at.Lookup("command")
		if command == nil || len(command.Items) == 0 {
			return // schema/check says so
		}
		name, where = command.Items[0], "task_runner.settings.command[0]"
		if name.Kind == schema.KindString && !strings.Contains(name.Text, "/") {
			return // a program of the site
		}
	default:
		return
	}
	if name == nil || name.Kind != schema.KindString {
		return // schema/check says so
	}
	if info, err := fs.Stat(f.root, path.Clean(name.Text)); err != nil || !info.Mode().IsRegular() {
		finding := f.at(name, "missing-module", where, "there is no such file in the workspace")
		finding.Found, finding.Allowed = name.Describe(), "a path in the workspace, such as src/"+path.Base(name.Text)
		f.add(finding)
	}
}

// class finds the class that a template names, and says what is missing.
func (f *Folder) class(tree *pyTree, template *schema.Node, where string) (pyFound, bool) {
	dot := strings.LastIndexByte(template.Text, '.')
	module, name := template.Text[:dot], template.Text[dot+1:]
	m := tree.module(module)
	if m == nil {
		finding := f.at(template, "missing-module", where, "there is no such Python file in the workspace")
		base := strings.ReplaceAll(module, ".", "/")
		finding.Found, finding.Allowed = template.Describe(), base+".py, or "+base+"/__init__.py"
		finding.Hint = schema.DidYouMean(module, f.modulesNear(module))
		f.add(finding)
		return pyFound{}, false
	}
	found := tree.lookup(m, name, 0)
	switch found.answer {
	case pyMissing, pyIsModule:
		finding := f.at(template, "missing-class", where, "there is no class %q in %s", name, m.file)
		finding.Found, finding.Allowed = template.Describe(), strings.Join(m.classes[:min(20, len(m.classes))], ", ")
		finding.Hint = schema.DidYouMean(name, m.classes)
		f.add(finding)
	case pyUnknown:
		if _, bound := m.names[name]; !bound && m.problem == nil {
			f.warn(f.at(template, "missing-class", where, "%s does not define %q; it may get the name from a package that is not in the workspace", m.file, name))
		}
	}
	return found, found.answer == pyIsClass
}

// modulesNear lists the modules beside one that is missing.
func (f *Folder) modulesNear(module string) []string {
	dir := "."
	if i := strings.LastIndexByte(module, '.'); i >= 0 {
		dir = strings.ReplaceAll(module[:i], ".", "/")
	}
	var near []string
	for _, e := range readDir(f.root, dir) {
		name, python := strings.CutSuffix(e.Name(), ".py")
		if (python || e.IsDir()) && !strings.HasPrefix(name, "_") {
			near = append(near, strings.ReplaceAll(dir, "/", ".")+"."+name)
		}
	}
	return near
}

// functions checks that each task's function is a method of the task runner.
func (f *Folder) functions(tree *pyTree, runner pyFound) {
	has := tree.methods(runner)
	var known []string
	for _, base := range has.outside {
		if strings.HasPrefix(base, "openfl.") {
			known = append(known, inherited[base[strings.LastIndexByte(base, '.')+1:]]...)
		}
	}
	for _, t := range f.plan.Config().Lookup("tasks").Entries() {
		function := t.Value.Lookup("function")
		if function == nil || function.Kind != schema.KindString || slices.Contains(has.names, function.Text) || slices.Contains(known, function.Text) {
			continue
		}
		where := schema.Child("tasks", t.Key.KeyText()) + ".function"
		finding := f.at(function, "unknown-function", where, "the task runner %s of %s has no such method", runner.class.name, runner.module.file)
		finding.Found, finding.Hint = function.Describe(), schema.DidYouMean(function.Text, append(has.names, known...))
		if has.unknown || len(has.outside) > 0 {
			finding.Message += " in the workspace; it may inherit one"
			if len(has.outside) > 0 {
				finding.Message += " from " + strings.Join(has.outside[:min(5, len(has.outside))], ", ")
			}
			f.warn(finding)
			continue
		}
		f.add(finding)
	}
}

// quoted is text from a file as a finding shows it.
func quoted(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return strconv.Quote(s)
}

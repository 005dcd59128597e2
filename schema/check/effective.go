package check

import (
	"slices"

	"fx/schema"
)

// Effective is a merged plan with everything filled in that applies where it
// says nothing: sections that may be absent, and the defaults of settings and
// task arguments, as fx and OpenFL have them in their code. What is filled in has
// the origin FromBuiltIn. So has enable_atomic_connections if only a defaults file
// sets it, for fx goes by the plan alone. The merged plan is not changed.
func Effective(config *schema.Node) *schema.Node {
	out := *config
	out.Pairs = nil
	for _, p := range config.Pairs {
		name := p.Key.KeyText()
		value := p.Value
		switch {
		case name == "tasks":
			value = effectiveTasks(value, templateText(config.Lookup("task_runner")))
		case hasSection(name):
			value = effectiveSection(name, p.Key, value)
		}
		out.Pairs = append(out.Pairs, schema.Pair{Key: p.Key, Value: value})
	}
	required := stringsOf(schemaDocument()["required"])
	for _, name := range schema.Sections() {
		template := templateOf(name)
		if config.Lookup(name) == nil && template != "" && !slices.Contains(required, name) {
			section := schema.BuiltIn(map[string]any{"template": template})
			out.Pairs = append(out.Pairs, schema.Pair{Key: schema.BuiltIn(name), Value: effectiveSection(name, schema.BuiltIn(name), section)})
		}
	}
	return &out
}

func templateText(section *schema.Node) string {
	if t := section.Lookup("template"); t != nil && t.Kind == schema.KindString {
		return t.Text
	}
	return ""
}

func effectiveSection(name string, key, section *schema.Node) *schema.Node {
	if section.Kind != schema.KindMap {
		return section
	}
	out := *section
	out.Pairs = slices.Clone(section.Pairs)
	template := templateText(section)
	if def := templateOf(name); section.Lookup("template") == nil && def != "" && section.Key("template") == nil {
		template = def
		out.Pairs = slices.Insert(out.Pairs, 0, builtInPair("template", def))
	}
	keys := Settings(name, template)
	i := slices.IndexFunc(out.Pairs, func(p schema.Pair) bool { return p.Key.KeyText() == "settings" })
	if i < 0 {
		if settings := fill(schema.BuiltIn(map[string]any{}), keys); len(settings.Pairs) > 0 {
			out.Pairs = append(out.Pairs, schema.Pair{Key: schema.BuiltIn("settings"), Value: settings})
		}
		return &out
	}
	p := out.Pairs[i]
	if p.Value.Kind != schema.KindMap {
		return &out
	}
	implied := len(p.Value.Pairs) == 0 && p.Value.Line == key.Line && p.Value.Column == key.Column
	settings := fill(p.Value, keys)
	for j, own := range settings.Pairs {
		if origin, _ := own.Value.Origin(); name == "network" && own.Key.KeyText() == "enable_atomic_connections" && origin == schema.FromDefaults {
			settings.Pairs[j] = builtInPair("enable_atomic_connections", true)
		}
	}
	if implied && len(settings.Pairs) == 0 {
		out.Pairs = slices.Delete(out.Pairs, i, i+1)
		return &out
	}
	out.Pairs[i].Value = settings
	return &out
}

func builtInPair(name string, value any) schema.Pair {
	return schema.Pair{Key: schema.BuiltIn(name), Value: schema.BuiltIn(value)}
}

// fill adds the defaults of keys that a map does not have, under their old names
// neither.
func fill(m *schema.Node, keys []Key) *schema.Node {
	out := *m
	out.Pairs = slices.Clone(m.Pairs)
	for _, k := range keys {
		renamed := slices.ContainsFunc(keys, func(old Key) bool { return old.Use == k.Name && m.Key(old.Name) != nil })
		if k.Defaulted && k.Until == "" && !renamed && m.Key(k.Name) == nil {
			out.Pairs = append(out.Pairs, builtInPair(k.Name, k.Default))
		}
	}
	return &out
}

func effectiveTasks(tasks *schema.Node, taskRunner string) *schema.Node {
	if tasks.Kind != schema.KindMap {
		return tasks
	}
	out := *tasks
	out.Pairs = nil
	for _, p := range tasks.Pairs {
		name := p.Key.KeyText()
		if name == "settings" && len(p.Value.Entries()) == 0 && p.Value.Kind == schema.KindMap {
			continue // not a task, and nothing in it
		}
		if name != "settings" && p.Value.Kind == schema.KindMap {
			p.Value = effectiveTask(p.Value, taskRunner)
		}
		out.Pairs = append(out.Pairs, p)
	}
	return &out
}

func effectiveTask(task *schema.Node, taskRunner string) *schema.Node {
	function := ""
	if f := task.Lookup("function"); f != nil && f.Kind == schema.KindString {
		function = f.Text
	}
	out := *task
	out.Pairs = slices.Clone(task.Pairs)
	keys := Arguments(taskRunner, function)
	weighted := builtInPair("template", "openfl.interface.aggregation_functions.WeightedAverage")
	average := &schema.Node{Kind: schema.KindMap, File: weighted.Key.File, Pairs: []schema.Pair{weighted}}
	set := func(name string, change func(*schema.Node) *schema.Node, absent *schema.Node) {
		i := slices.IndexFunc(out.Pairs, func(p schema.Pair) bool { return p.Key.KeyText() == name })
		switch {
		case i < 0:
			if len(absent.Pairs) > 0 {
				out.Pairs = append(out.Pairs, schema.Pair{Key: schema.BuiltIn(name), Value: absent})
			}
		case out.Pairs[i].Value.Kind == schema.KindNull:
			out.Pairs[i].Value = absent
		case out.Pairs[i].Value.Kind == schema.KindMap:
			out.Pairs[i].Value = change(out.Pairs[i].Value)
		}
	}
	set("kwargs", func(n *schema.Node) *schema.Node { return fill(n, keys) }, fill(schema.BuiltIn(map[string]any{}), keys))
	set("aggregation_type", func(n *schema.Node) *schema.Node {
		settings := keysIn(settingsOf(definition("aggregationType"), templateText(n)))
		filled := *n
		filled.Pairs = slices.Clone(n.Pairs)
		if i := slices.IndexFunc(filled.Pairs, func(p schema.Pair) bool { return p.Key.KeyText() == "settings" }); i >= 0 {
			if filled.Pairs[i].Value.Kind == schema.KindMap {
				filled.Pairs[i].Value = fill(filled.Pairs[i].Value, settings)
			}
		} else if s := fill(schema.BuiltIn(map[string]any{}), settings); len(s.Pairs) > 0 {
			filled.Pairs = append(filled.Pairs, schema.Pair{Key: schema.BuiltIn("settings"), Value: s})
		}
		return &filled
	}, average)
	return &out
}

// Notes says of values of an effective plan that fx does not go by them.
func Notes(config, effective *schema.Node) map[*schema.Node]string {
	notes := map[*schema.Node]string{}
	for _, section := range effective.Entries() {
		settings := section.Value.Lookup("settings")
		for _, k := range Settings(section.Key.KeyText(), templateText(section.Value)) {
			if n := settings.Lookup(k.Name); n != nil && k.Idle {
				notes[n] = "not used by fx"
			}
		}
	}
	const key = "enable_atomic_connections"
	if said := config.At("network", "settings", key); said != nil {
		if origin, file := said.Origin(); origin == schema.FromDefaults && said.Kind == schema.KindBool && !said.Bool {
			notes[effective.At("network", "settings", key)] = file + " says false, to OpenFL alone"
		}
	}
	return notes
}

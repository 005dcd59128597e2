package schema

import "slices"

func (d *decoder) tasks() []Task {
	node := d.root.Lookup("tasks")
	if node == nil {
		f := d.root.finding("missing-key", "", "the section %q is missing", "tasks")
		f.Hint = "add it, for example with `defaults: plan/defaults/tasks_torch.yaml`"
		*d.out = append(*d.out, f)
		return nil
	}
	var tasks []Task
	for _, p := range node.Pairs {
		name := p.Key.KeyText()
		where := Child("tasks", name)
		switch {
		case p.Key.Kind == KindString && name == "settings":
			continue
		case p.Key.Kind != KindString || name == "":
			f := p.Key.finding("type", where, "the name of a task is a word")
			f.Found, f.Hint = p.Key.Describe(), YAMLHint(p.Key, "a string")
			*d.out = append(*d.out, f)
		case p.Value.Kind != KindMap:
			f := p.Value.finding("type", where, "a task is a map")
			f.Found, f.Allowed, f.Hint = p.Value.Describe(), "function:, kwargs:, aggregation_type:", DidYouMean(name, []string{"defaults", "settings"})
			if f.Hint == "" {
				f.Hint = YAMLHint(p.Value, "a map")
			}
			*d.out = append(*d.out, f)
		default:
			tasks = append(tasks, d.task(name, p, where))
		}
	}
	if len(tasks) == 0 && len(node.Pairs) <= 1 {
		*d.out = append(*d.out, d.root.Key("tasks").finding("missing-key", "tasks", "there is no task"))
	}
	return tasks
}

func (d *decoder) task(name string, p Pair, where string) Task {
	f := newFields(p.Value, p.Key, where, d.out)
	t := Task{Name: name, Function: f.text("function", true), Kwargs: map[string]any{}}
	if kwargs := f.take("kwargs"); kwargs != nil && kwargs.Kind != KindNull {
		if kwargs.Kind != KindMap {
			f.mistyped(kwargs, "kwargs", "a map")
		} else {
			k := newFields(kwargs, p.Value.Key("kwargs"), Child(where, "kwargs"), d.out)
			k.textKeys()
			k.word("apply", "global", "global", "local")
			t.Kwargs = kwargs.Any().(map[string]any)
		}
	}
	if a := f.take("aggregation_type"); a != nil && a.Kind != KindNull {
		if a.Kind != KindMap {
			f.mistyped(a, "aggregation_type", "a map with a template")
		} else {
			c := newFields(a, p.Value.Key("aggregation_type"), Child(where, "aggregation_type"), d.out)
			t.Aggregation.Template = CanonicalTemplate(c.text("template", true))
			s := c.settings()
			s.textKeys()
			t.Aggregation.Settings = s.node.Any().(map[string]any)
		}
	}
	f.done()
	return t
}

// inGroupOrder puts tasks into the order in which a site does them, which is
// that of the assigner's groups: plans that OpenFL has written have the section
// tasks sorted by name, with validation of what is trained before training.
// Tasks of no group come last, in plan order.
func inGroupOrder(tasks []Task, assigner Component) []Task {
	place := map[string]int{}
	groups, _ := assigner.Settings["task_groups"].([]any)
	for _, g := range groups {
		group, _ := g.(map[string]any)
		names, _ := group["tasks"].([]any)
		for _, n := range names {
			name, _ := n.(string)
			if _, known := place[name]; !known {
				place[name] = len(place)
			}
		}
	}
	at := func(t Task) int {
		if i, ok := place[t.Name]; ok {
			return i
		}
		return len(place)
	}
	slices.SortStableFunc(tasks, func(a, b Task) int { return at(a) - at(b) })
	return tasks
}

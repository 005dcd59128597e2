package check

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"fx/runtime/assigner"
	"fx/schema"
)

const (
	randomAssigner = "openfl.component.RandomGroupedAssigner"
	staticAssigner = "openfl.component.StaticGroupedAssigner"
)

// groups checks the task groups one by one, so that each mistake has its place,
// and then builds the assigner, which has the last word.
func groups(p *schema.Plan, roster *Roster) schema.Findings {
	draft := p.Draft()
	settings := p.Config().At("assigner", "settings")
	template := p.Config().At("assigner", "template")
	if draft.Assigner.Template == "" || template == nil {
		return nil
	}
	if strings.HasPrefix(draft.Assigner.Template, "src.") {
		f := unavailable(template, "assigner.template")
		f.Allowed = randomAssigner + ", " + staticAssigner
		return schema.Findings{f}
	}
	list := settings.Lookup("task_groups")
	switch {
	case list == nil || list.Kind != schema.KindList:
		return nil // the schema has said so
	case len(draft.Tasks) == 0 && draft.Assigner.Template == randomAssigner:
		return shares(list) // and that there is no task
	case len(draft.Tasks) == 0:
		return nil
	}
	var tasks []string
	known := map[string]bool{}
	for _, t := range draft.Tasks {
		tasks = append(tasks, t.Name)
		known[t.Name] = true
	}
	var out schema.Findings
	used := map[string]bool{}
	names := map[string]bool{}
	selected := settings.Lookup("selected_task_group")
	for i, group := range list.Items {
		path := schema.Index("assigner.settings.task_groups", i)
		runs := used
		if !takesPart(group, selected) {
			runs = map[string]bool{}
		}
		out = append(out, groupTasks(group, path, tasks, known, runs)...)
		if n := group.Lookup("name"); n != nil && n.Kind == schema.KindString {
			if names[n.Text] {
				out = append(out, n.Finding("duplicate-name", path+".name", fmt.Sprintf("two task groups are named %q", n.Text)))
			}
			names[n.Text] = true
		}
	}
	if selected != nil && selected.Kind == schema.KindString && !names[selected.Text] {
		allowed := slices.Sorted(maps.Keys(names))
		f := selected.Finding("unknown-group", "assigner.settings.selected_task_group", "there is no such task group")
		f.Found, f.Allowed, f.Hint = selected.Describe(), some(allowed), schema.DidYouMean(selected.Text, first(allowed, 1000))
		out = append(out, f)
	}
	for _, t := range p.Config().Lookup("tasks").Entries() {
		if name := t.Key.KeyText(); known[name] && !used[name] {
			f := t.Key.Finding("unused-task", schema.Child("tasks", name), "no group runs this task")
			f.Severity = schema.SeverityWarning
			out = append(out, f)
		}
	}
	switch draft.Assigner.Template {
	case randomAssigner:
		out = append(out, shares(list)...)
	case staticAssigner:
		out = append(out, members(list, roster)...)
	}
	return append(out, build(p, list, tasks, roster)...)
}

// takesPart reports whether anybody can be in a group: it is the selected one,
// or none is selected and the group has a share or members.
func takesPart(group, selected *schema.Node) bool {
	if selected != nil && selected.Kind == schema.KindString {
		name := group.Lookup("name")
		return name != nil && name.Text == selected.Text
	}
	if n := group.Lookup("percentage"); n != nil {
		return n.Kind != schema.KindInt && n.Kind != schema.KindFloat || n.Int != 0 || n.Float != 0
	}
	members := group.Lookup("collaborators")
	return members == nil || members.Kind != schema.KindList || len(members.Items) > 0
}

// groupTasks checks that the tasks of a group exist.
func groupTasks(group *schema.Node, path string, tasks []string, known, used map[string]bool) schema.Findings {
	var out schema.Findings
	list := group.Lookup("tasks")
	if list == nil || list.Kind != schema.KindList {
		return nil
	}
	seen := map[string]bool{}
	for j, n := range list.Items {
		where := schema.Index(path+".tasks", j)
		switch {
		case n.Kind != schema.KindString: // the schema has said so
		case !known[n.Text]:
			f := n.Finding("unknown-task", where, "there is no such task")
			f.Found, f.Allowed, f.Hint = n.Describe(), some(tasks), schema.DidYouMean(n.Text, first(tasks, 1000))
			out = append(out, f)
		case seen[n.Text]:
			out = append(out, n.Finding("duplicate-value", where, fmt.Sprintf("the task %q is in this group twice", n.Text)))
		default:
			used[n.Text] = true
		}
		if n.Kind == schema.KindString {
			seen[n.Text] = true
		}
	}
	return out
}

// shares checks that the percentages of random groups sum to 1, as OpenFL does:
// within one hundredth.
func shares(list *schema.Node) schema.Findings {
	sum := 0.0
	for _, group := range list.Items {
		share, ok := 0.0, false
		switch n := group.Lookup("percentage"); {
		case n == nil:
		case n.Kind == schema.KindInt:
			share, ok = float64(n.Int), true
		case n.Kind == schema.KindFloat:
			share, ok = n.Float, true
		}
		if !ok || !(share >= 0 && share <= 1) {
			return nil // the schema has said so
		}
		sum += share
	}
	if math.Abs(1-sum) < 0.01 {
		return nil
	}
	f := list.Finding("percentages", "assigner.settings.task_groups", "the percentages of the groups do not sum to 1")
	f.Found, f.Allowed = fmt.Sprintf("a sum of %v", math.Round(sum*1e6)/1e6), "1, as shares from 0 to 1"
	return schema.Findings{f}
}

// members checks that static groups and the roster are the same names, each
// once.
func members(list *schema.Node, roster *Roster) schema.Findings {
	var out schema.Findings
	var allowed []string
	known := map[string]bool{}
	if roster != nil {
		for _, n := range roster.Names {
			allowed = append(allowed, n.Text)
			known[n.Text] = true
		}
	}
	seen := map[string]int{}
	for i, group := range list.Items {
		names := group.Lookup("collaborators")
		if names == nil || names.Kind != schema.KindList {
			return out
		}
		for j, n := range names.Items {
			path := schema.Index(schema.Index("assigner.settings.task_groups", i)+".collaborators", j)
			switch {
			case n.Kind != schema.KindString: // the schema has said so
			case seen[n.Text] > 0:
				out = append(out, n.Finding("duplicate-name", path, fmt.Sprintf("the collaborator %q is in a group already, on line %d", n.Text, seen[n.Text])))
			case roster != nil && !known[n.Text]:
				f := n.Finding("unknown-collaborator", path, "the collaborator is not in the list of collaborators")
				f.Found, f.Allowed, f.Hint = n.Describe(), some(allowed), schema.DidYouMean(n.Text, first(allowed, 1000))
				out = append(out, f)
			case roster == nil: // else the roster's own names are checked
				out = append(out, collaboratorName(n, path)...)
			}
			seen[n.Text] = n.Line
		}
	}
	if roster == nil {
		return out
	}
	for i, n := range roster.Names {
		if seen[n.Text] == 0 {
			f := n.Finding("no-group", schema.Index("collaborators", i), fmt.Sprintf("no task group of the plan has the collaborator %q", n.Text))
			f.Hint = "add the name to a group, or remove it from the list"
			out = append(out, f)
		}
	}
	return out
}

// some names the first few of a list, for messages.
func some(names []string) string {
	text := strings.Join(first(names, 20), ", ")
	if len(names) > 20 {
		text += fmt.Sprintf(" and %d more", len(names)-20)
	}
	return text
}

func first(names []string, n int) []string { return names[:min(n, len(names))] }

// build makes the assigner for the roster; without one, for a roster that fits
// if there is any.
func build(p *schema.Plan, list *schema.Node, tasks []string, roster *Roster) schema.Findings {
	c := p.Draft().Assigner
	var names []string
	switch {
	case roster != nil && len(roster.Names) == 0:
		return nil
	case roster != nil:
		for _, n := range roster.Names {
			names = append(names, n.Text)
		}
		if c.Template == randomAssigner && c.Settings["selected_task_group"] == nil {
			if found := uncovered(list, len(names)); found != nil {
				return found
			}
		}
	case c.Template == staticAssigner:
		names = membersOf(list)
	default:
		for i := range divisible(list) {
			names = append(names, fmt.Sprintf("c%d", i))
		}
	}
	if _, err := assigner.New(c, tasks, names, "check"); err != nil {
		return schema.Findings{componentFinding(p.Config().Lookup("assigner"), "assigner", "", err)}
	}
	return nil
}

// divisible is the largest size of a roster, up to 100, that the shares of the
// groups divide without a rest when each is cut to a whole number; 100 if none is.
func divisible(list *schema.Node) int {
	for size := 100; size > 0; size-- {
		sum := 0
		for _, group := range list.Items {
			switch n := group.Lookup("percentage"); {
			case n == nil:
			case n.Kind == schema.KindInt:
				sum += int(n.Int) * size
			case n.Kind == schema.KindFloat:
				sum += int(n.Float * float64(size))
			}
		}
		if sum == size {
			return size
		}
	}
	return 100
}

func membersOf(list *schema.Node) []string {
	var names []string
	for _, group := range list.Items {
		if members := group.Lookup("collaborators"); members != nil {
			for _, n := range members.Items {
				names = append(names, n.Text)
			}
		}
	}
	return names
}

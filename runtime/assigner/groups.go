package assigner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fx/schema"
)

// group is one entry of assigner.settings.task_groups.
type group struct {
	name          string
	tasks         []string
	percentage    float64
	hasPercentage bool
	collaborators []string // nil where the key is absent
}

// parseGroups reads task_groups strictly. With selected_task_group only that
// group remains, and a percentage becomes 1: so OpenFL runs an evaluation.
func parseGroups(c schema.Component, tasks []string) ([]group, error) {
	if err := checkKeys("settings", c.Settings, "task_groups", "selected_task_group"); err != nil {
		return nil, err
	}
	list, ok := c.Settings["task_groups"].([]any)
	if !ok || len(list) == 0 {
		return nil, invalidf("task_groups is missing or empty; a list of groups with name, tasks and percentage or collaborators is needed")
	}
	var groups []group
	for i, item := range list {
		g, err := parseGroup(fmt.Sprintf("task_groups[%d]", i), item, tasks)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(groups, func(o group) bool { return o.name == g.name }) {
			return nil, invalidf("two task groups are named %q", g.name)
		}
		groups = append(groups, g)
	}
	selected := c.Settings["selected_task_group"]
	if selected == nil {
		return groups, nil
	}
	var names []string
	for _, g := range groups {
		if g.name == selected {
			if g.hasPercentage {
				g.percentage = 1
			}
			return []group{g}, nil
		}
		names = append(names, g.name)
	}
	return nil, invalidf("selected_task_group is %#v; task groups are %s", selected, strings.Join(names, ", "))
}

func parseGroup(where string, item any, tasks []string) (group, error) {
	m, ok := item.(map[string]any)
	if !ok {
		return group{}, invalidf("%s is %#v; a map was expected", where, item)
	}
	if err := checkKeys(where, m, "name", "percentage", "collaborators", "tasks"); err != nil {
		return group{}, err
	}
	var g group
	if g.name, ok = m["name"].(string); !ok || g.name == "" {
		return g, invalidf("%s has no name", where)
	}
	var err error
	if g.tasks, err = texts(where+".tasks", m["tasks"]); err != nil {
		return g, err
	}
	for i, task := range g.tasks {
		if !slices.Contains(tasks, task) {
			hint := schema.DidYouMean(task, tasks)
			if hint != "" {
				hint = "; " + hint
			}
			return g, invalidf("%s.tasks has %q, which the plan does not define; its tasks are %s%s", where, task, strings.Join(tasks, ", "), hint)
		}
		if slices.Contains(g.tasks[:i], task) {
			return g, invalidf("%s.tasks has %q twice", where, task)
		}
	}
	if v, there := m["collaborators"]; there {
		if g.collaborators, err = texts(where+".collaborators", v); err != nil {
			return g, err
		}
	}
	if v, there := m["percentage"]; there {
		g.hasPercentage = true
		switch p := v.(type) {
		case float64:
			g.percentage = p
		case int:
			g.percentage = float64(p)
		default:
			return g, invalidf("%s.percentage is %#v; a number from 0 to 1 was expected", where, v)
		}
		if !(g.percentage >= 0 && g.percentage <= 1) {
			return g, invalidf("%s.percentage is %v; a number from 0 to 1 was expected", where, g.percentage)
		}
	}
	return g, nil
}

// texts reads a list of strings; nothing at all is an empty list.
func texts(where string, v any) ([]string, error) {
	out := []string{}
	if v == nil {
		return out, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalidf("%s is %#v; a list was expected", where, v)
	}
	for i, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, invalidf("%s[%d] is %#v; text was expected", where, i, item)
		}
		out = append(out, s)
	}
	return out, nil
}

func checkKeys(where string, m map[string]any, allowed ...string) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(allowed, key) {
			hint := schema.DidYouMean(key, allowed)
			if hint != "" {
				hint = "; " + hint
			}
			return invalidf("%s has the key %q; allowed: %s%s", where, key, strings.Join(allowed, ", "), hint)
		}
	}
	return nil
}

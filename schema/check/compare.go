package check

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"fx/schema"
)

// Change is one difference between two plans.
type Change struct {
	Path   string `json:"path"`
	Kind   string `json:"kind"`             // added, removed, changed
	Before any    `json:"before,omitempty"` // in the first plan
	After  any    `json:"after,omitempty"`  // in the second
	Area   Area   `json:"area"`
	Says   string `json:"says"`  // what it means, in one sentence
	Lines  [2]int `json:"lines"` // in the two plans; 0 where the value is not in the plan's text
}

// Area is what a change is about, in the order and the words of a review report.
type Area string

// The areas. A change in NoEffect alters the ids and nothing else.
const (
	WhatRuns   Area = "what runs"
	WhatLeaves Area = "what leaves"
	Combined   Area = "how results are combined"
	ToWhere    Area = "to where"
	NoEffect   Area = "no effect"
)

// Areas lists the areas in the order of a report.
func Areas() []Area { return []Area{WhatRuns, WhatLeaves, Combined, ToWhere, NoEffect} }

// Compare lists what is different between two merged plans: first by area, then
// in the order of the plans. If it finds nothing, the plans have the same hash.
// Defaults count as the values that they stand for, so that a default that is
// written out is a change without effect.
func Compare(a, b *schema.Node) []Change {
	c := &comparison{a: normalize(Effective(a)), b: normalize(Effective(b))}
	c.maps("", c.a.root, c.b.root)
	slices.SortStableFunc(c.out, func(x, y Change) int {
		return slices.Index(Areas(), x.Area) - slices.Index(Areas(), y.Area)
	})
	if len(c.out) == 0 && !sameText(a, b) { // only how it is written
		c.out = append(c.out, Change{Kind: "changed", Area: NoEffect, Says: "the same values, written so that the hash is another"})
	}
	return c.out
}

type comparison struct {
	a, b normalized
	out  []Change
}

// normalized is an effective plan with the present name of every key; written
// holds the old names by value. What the plan says under an old name stands above
// what a defaults file says under the new one: it is what its author meant, and
// what an upgrade makes of it. (As it is, validation refuses such a plan.)
type normalized struct {
	root    *schema.Node
	written map[*schema.Node]string
}

func normalize(root *schema.Node) normalized {
	n := normalized{root: root, written: map[*schema.Node]string{}}
	for i, p := range root.Pairs {
		name := p.Key.KeyText()
		settings := p.Value.Lookup("settings")
		if name == "tasks" || settings == nil || settings.Kind != schema.KindMap {
			continue
		}
		renamed := *settings
		renamed.Pairs = slices.Clone(settings.Pairs)
		for _, k := range Settings(name, templateText(p.Value)) {
			j := slices.IndexFunc(renamed.Pairs, func(p schema.Pair) bool { return p.Key.KeyText() == k.Name })
			newer := settings.Lookup(k.Use)
			if k.Use == "" || j < 0 || newer != nil && own(newer) {
				continue
			}
			key, value := *renamed.Pairs[j].Key, *renamed.Pairs[j].Value
			key.Text = k.Use
			if k.Negated && value.Kind == schema.KindBool {
				value.Bool = !value.Bool
			}
			renamed.Pairs[j] = schema.Pair{Key: &key, Value: &value}
			n.written[&value] = k.Name
			if newer != nil { // of the defaults file, which had the old name when the plan was written
				renamed.Pairs = slices.DeleteFunc(renamed.Pairs, func(p schema.Pair) bool { return p.Value == newer })
			}
		}
		section := *p.Value
		section.Pairs = slices.Clone(p.Value.Pairs)
		for j := range section.Pairs {
			if section.Pairs[j].Value == settings {
				section.Pairs[j].Value = &renamed
			}
		}
		root.Pairs[i].Value = &section
	}
	return n
}

// maps compares two maps key by key: those of the first in their order, then
// what only the second has.
func (c *comparison) maps(path string, a, b *schema.Node) {
	for _, p := range a.Pairs {
		name := p.Key.KeyText()
		switch other := lookup(b, p.Key); {
		case other != nil:
			c.values(schema.Child(path, name), p.Value, other)
		case container(p):
			c.maps(schema.Child(path, name), p.Value, &schema.Node{Kind: schema.KindMap})
		default:
			c.add("removed", schema.Child(path, name), p.Value, nil)
		}
	}
	for _, p := range b.Pairs {
		switch name := p.Key.KeyText(); {
		case lookup(a, p.Key) != nil:
		case container(p):
			c.maps(schema.Child(path, name), &schema.Node{Kind: schema.KindMap}, p.Value)
		default:
			c.add("added", schema.Child(path, name), nil, p.Value)
		}
	}
}

// container tells whether a pair is a map of settings, which are compared one by
// one even if the other plan has no such map.
func container(p schema.Pair) bool {
	name := p.Key.KeyText()
	return (name == "settings" || name == "kwargs") && p.Value.Kind == schema.KindMap && len(p.Value.Pairs) > 0
}

func lookup(m, key *schema.Node) *schema.Node {
	for _, p := range m.Pairs {
		if p.Key.Kind == key.Kind && p.Key.KeyText() == key.KeyText() {
			return p.Value
		}
	}
	return nil
}

func (c *comparison) values(path string, a, b *schema.Node) {
	switch {
	case a.Kind == schema.KindMap && b.Kind == schema.KindMap:
		c.maps(path, a, b)
	case named(a) && named(b):
		c.lists(path, a, b)
	case !sameText(a, b):
		c.add("changed", path, a, b)
	case stated(a) != stated(b) || c.a.written[a] != c.b.written[b]:
		c.spelling(path, a, b)
	}
}

// named tells whether a list is one of maps that have a name each, which is
// then compared by name.
func named(n *schema.Node) bool {
	seen := map[string]bool{}
	for _, item := range n.Items {
		name := item.Lookup("name")
		if name == nil || name.Kind != schema.KindString || seen[name.Text] {
			return false
		}
		seen[name.Text] = true
	}
	return n.Kind == schema.KindList && len(n.Items) > 0
}

func (c *comparison) lists(path string, a, b *schema.Node) {
	find := func(in *schema.Node, name string) (*schema.Node, bool) {
		for _, item := range in.Items {
			if item.Lookup("name").Text == name {
				return item, true
			}
		}
		return nil, false
	}
	var kept [2][]string
	for _, item := range a.Items {
		name := item.Lookup("name").Text
		if other, ok := find(b, name); ok {
			kept[0] = append(kept[0], name)
			c.values(schema.Child(path, name), item, other)
		} else {
			c.add("removed", schema.Child(path, name), item, nil)
		}
	}
	for _, item := range b.Items {
		name := item.Lookup("name").Text
		if _, ok := find(a, name); ok {
			kept[1] = append(kept[1], name)
		} else {
			c.add("added", schema.Child(path, name), nil, item)
		}
	}
	if !slices.Equal(kept[0], kept[1]) {
		c.out = append(c.out, Change{
			Path: path, Kind: "changed", Before: groupNames(a), After: groupNames(b), Area: WhatRuns,
			Says: "task groups are in another order: other collaborators are drawn for them", Lines: positions(a, b),
		})
	}
}

func groupNames(list *schema.Node) []any {
	out := make([]any, len(list.Items))
	for i, item := range list.Items {
		out[i] = item.Lookup("name").Text
	}
	return out
}

// sameText tells whether two values are written alike in the canonical form.
func sameText(a, b *schema.Node) bool {
	wrap := func(n *schema.Node) []byte {
		return schema.Dump(&schema.Node{Kind: schema.KindList, Items: []*schema.Node{n}})
	}
	return bytes.Equal(wrap(a), wrap(b))
}

// stated tells whether a plan or its defaults files hold the value.
func stated(n *schema.Node) bool {
	origin, _ := n.Origin()
	return origin != schema.FromBuiltIn
}

func positions(a, b *schema.Node) [2]int {
	line := func(n *schema.Node) int {
		if n == nil {
			return 0
		}
		if origin, _ := n.Origin(); origin != schema.FromPlan {
			return 0
		}
		return n.Line
	}
	return [2]int{line(a), line(b)}
}

// spelling notes a value that is the same but not hashed the same.
func (c *comparison) spelling(path string, a, b *schema.Node) {
	change := Change{Path: path, Kind: "changed", Before: a.Any(), After: b.Any(), Area: NoEffect, Lines: positions(a, b)}
	switch old, now := c.a.written[a], c.b.written[b]; {
	case !stated(a):
		change.Kind = "added"
		change.Says = fmt.Sprintf("%s is written out now: it is what applies without it", last(path))
	case !stated(b):
		change.Kind = "removed"
		change.Says = fmt.Sprintf("%s is no longer written out: the same value applies without it", last(path))
	case old != "":
		change.Says = fmt.Sprintf("%s has its new name, %s", old, last(path))
	default:
		change.Says = fmt.Sprintf("%s has its old name, %s", last(path), now)
	}
	c.out = append(c.out, change)
}

// add notes a difference, unless it only follows from another class having
// other defaults.
func (c *comparison) add(kind, path string, a, b *schema.Node) {
	if a != nil && !stated(a) && b == nil || b != nil && !stated(b) && a == nil {
		return
	}
	change := Change{Path: path, Kind: kind, Lines: positions(a, b)}
	if a != nil {
		change.Before = a.Any()
	}
	if b != nil {
		change.After = b.Any()
	}
	change.Area, change.Says = meaning(path, a, b)
	if shapes[path] && strings.HasPrefix(templateText(c.b.root.Lookup("task_runner")), "fx.builtin.") {
		change.Says += ": tensors of other names or shapes leave"
	}
	c.out = append(c.out, change)
	c.reports(kind, path, a, b)
}

// shapes are the values that decide which tensors a built-in model has.
var shapes = map[string]bool{
	"task_runner.template": true, "task_runner.settings.features": true,
	"task_runner.settings.hidden": true, "task_runner.settings.classes": true,
}

// reports says of a task that comes or goes what leaves with it.
func (c *comparison) reports(kind, path string, a, b *schema.Node) {
	name, key := taskPath(path)
	x, y := a.At("kwargs", "metrics"), b.At("kwargs", "metrics")
	if path != schema.Child("tasks", name) || key != "" || a != nil && b != nil || x == nil && y == nil {
		return
	}
	change := Change{Path: path + ".kwargs.metrics", Kind: kind, Area: WhatLeaves, Lines: positions(x, y)}
	switch {
	case y != nil && len(y.Items) > 0:
		change.After = y.Any()
		change.Says = fmt.Sprintf("task %q may report %s", name, Value(y))
	case x != nil && len(x.Items) > 0:
		change.Before = x.Any()
		change.Says = fmt.Sprintf("task %q no longer reports %s", name, Value(x))
	default:
		return
	}
	c.out = append(c.out, change)
}

func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

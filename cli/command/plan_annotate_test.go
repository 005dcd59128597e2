package command

import (
	"fmt"
	"strings"
	"testing"

	"fx/schema"
	"fx/schema/check"
)

// What plan show prints is YAML with the values of the effective plan, whatever
// is in them.
func FuzzAnnotated(f *testing.F) {
	f.Add([]byte("network:\n  settings: {agg_addr: auto, agg_port: 1}\ntasks: {a: {function: f, kwargs: {x: [1, [a, {b: 'c, d'}], []], y: .nan}}}\n"))
	f.Add([]byte("task_runner: {settings: {\"on\": 'no', '': null, 1: 2, 1.5: 2001-01-01, \"a\\nb\": \"\\u202e\\e[2J # x\", 'k: v': ' lead', t: \"\\ttab\\x85\\U0001F4A1\"}}\n"))
	f.Add([]byte("a: &a {b: [*b , x]}\n"))
	f.Add([]byte("a: {b: &b [1, 2], c: *b, d: [[*b], [[]], [{}], [{x: 1}, {y: {z: '#'}}]]}\nb: {settings: '- x', long: '" + strings.Repeat("word ", 60) + "'}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := schema.ReadPlan("plan.yaml", data)
		if err != nil {
			return
		}
		want := check.Effective(p.Config())
		if len(want.Pairs) == 0 {
			return
		}
		var b strings.Builder
		if err := writeAnnotated(&b, want, func(*schema.Node) string { return "a comment\nthat breaks" }); err != nil {
			t.Fatal(err)
		}
		got, err := schema.ReadYAML("annotated", []byte(b.String()), 1<<30)
		if err != nil {
			if strings.Contains(err.Error(), "too-large") || strings.Contains(err.Error(), "more than") || strings.Contains(err.Error(), "deeper") {
				return
			}
			t.Fatalf("%v\n%s", err, b.String())
		}
		if spell(got) != spell(want) {
			t.Fatalf("got %s\nwant %s\n%s", spell(got), spell(want), b.String())
		}
	})
}

// spell writes a value with the kinds of everything in it.
func spell(n *schema.Node) string {
	var b strings.Builder
	switch n.Kind {
	case schema.KindMap:
		for _, p := range n.Pairs {
			fmt.Fprintf(&b, "%s: %s; ", spell(p.Key), spell(p.Value))
		}
		return "{" + b.String() + "}"
	case schema.KindList:
		for _, item := range n.Items {
			b.WriteString(spell(item) + ", ")
		}
		return "[" + b.String() + "]"
	case schema.KindString:
		return fmt.Sprintf("%q", n.Text)
	}
	return n.Describe()
}

package check

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"fx/schema"
)

// The schema has no keyword that evaluation does not know.
func TestSchemaKeywords(t *testing.T) {
	seen := 0
	var walk func(v any)
	walk = func(v any) {
		m, _ := v.(map[string]any)
		for key, value := range m {
			seen++
			if !slices.Contains(append(keywords, "then", "else"), key) && !slices.Contains(annotations, key) && !strings.HasPrefix(key, "x-") {
				t.Errorf("evaluation does not know the keyword %q", key)
			}
			switch key {
			case "properties", "$defs":
				for _, child := range value.(map[string]any) {
					walk(child)
				}
			case "allOf", "anyOf":
				for _, child := range value.([]any) {
					walk(child)
				}
			case "items", "additionalProperties", "if", "then", "else":
				walk(value)
			}
		}
	}
	walk(loadSchema().document)
	if seen < 500 {
		t.Errorf("only %d keywords", seen)
	}
}

// instance converts a node for a JSON Schema library.
func instance(n *schema.Node) any {
	switch n.Kind {
	case schema.KindFloat:
		switch {
		case math.IsInf(n.Float, 1):
			return math.MaxFloat64
		case math.IsInf(n.Float, -1):
			return -math.MaxFloat64
		case math.IsNaN(n.Float):
			return nil
		}
		return n.Float
	case schema.KindInt:
		return json.Number(strconv.FormatInt(n.Int, 10))
	case schema.KindList:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = instance(item)
		}
		return list
	case schema.KindMap:
		m := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			m[p.Key.KeyText()] = instance(p.Value)
		}
		return m
	default:
		return n.Any()
	}
}

// What evaluation accepts and refuses is what a JSON Schema library accepts and
// refuses: for every value of some plans replaced by all sorts of others, every
// key left out, renamed, and added.
func TestEvaluationAgainstLibrary(t *testing.T) {
	library := jsonschema.MustCompileString(schemaURL, schema.PlanSchema())
	static := strings.Replace(strings.Replace(plan(t), "RandomGroupedAssigner", "StaticGroupedAssigner", 1), "percentage: 1.0", "collaborators: [one, two]", 1)
	cutoff := strings.Replace(plan(t), "  defaults: plan/defaults/straggler_handling_policy.yaml",
		"  template: openfl.component.aggregator.straggler_handling.CutoffTimePolicy\n  settings: {straggler_cutoff_time: 30, minimum_reporting: 1}", 1)
	adam := strings.Replace(plan(t), "aggregation_functions.WeightedAverage", "aggregation_functions.AdamAdaptiveAggregation\n      settings: {learning_rate: 0.1, betas: [0.9, 0.99]}", 1)
	egress := plan(t) + "egress:\n  tensors: [w*]\n  metrics: {accuracy: {minimum: 0, maximum: 1}}\n"
	tried, refused := 0, 0
	for _, subject := range []struct{ text, section string }{
		{plan(t), ""}, {static, "assigner"}, {cutoff, "straggler_handling_policy"}, {adam, "tasks"}, {egress, "egress"},
	} {
		p, err := schema.ReadPlan("plan.yaml", []byte(subject.text))
		if err != nil {
			t.Fatal(err)
		}
		root := p.Config()
		compare := func(what string) {
			tried++
			err := library.Validate(instance(root))
			found := againstSchema(root)
			if err != nil {
				refused++
			}
			if (err == nil) != (len(found) == 0) {
				t.Errorf("%s: the library says %v, evaluation says %v\n%s", what, err, found, schema.Dump(root))
			}
		}
		compare("as it is")
		var walk func(n *schema.Node, path string)
		walk = func(n *schema.Node, path string) {
			saved := *n
			for _, other := range otherValues {
				*n = other
				compare(path)
			}
			*n = saved
			if n.Kind == schema.KindMap {
				pairs := n.Pairs
				n.Pairs = append(slices.Clone(pairs), schema.Pair{Key: &schema.Node{Kind: schema.KindString, Text: "more"}, Value: &schema.Node{Kind: schema.KindInt, Int: 1}})
				compare(path + " with a key more")
				for i := range pairs {
					n.Pairs = slices.Delete(slices.Clone(pairs), i, i+1)
					compare(path + " without " + pairs[i].Key.Text)
				}
				n.Pairs = pairs
			}
			for _, item := range n.Items {
				walk(item, path+"[]")
			}
			for _, p := range n.Pairs {
				walk(p.Value, schema.Child(path, p.Key.KeyText()))
			}
		}
		if subject.section == "" {
			walk(root, "")
		} else {
			walk(root.Lookup(subject.section), subject.section)
		}
	}
	t.Logf("%d documents, %d of them refused by both", tried, refused)
	if refused < tried/10 || refused == tried {
		t.Errorf("%d of %d documents were refused", refused, tried)
	}
}

var otherValues = func() []schema.Node {
	one := &schema.Node{Kind: schema.KindInt, Int: 1}
	word := &schema.Node{Kind: schema.KindString, Text: "word"}
	out := []schema.Node{
		{Kind: schema.KindNull}, {Kind: schema.KindBool}, {Kind: schema.KindBool, Bool: true},
		{Kind: schema.KindList}, {Kind: schema.KindList, Items: []*schema.Node{one, one}}, {Kind: schema.KindList, Items: []*schema.Node{word}},
		{Kind: schema.KindMap}, {Kind: schema.KindMap, Pairs: []schema.Pair{{Key: word, Value: one}}},
		{Kind: schema.KindTime, Text: "2001-01-01"},
	}
	for _, text := range []string{"", "word", "auto", "RESET", "local", "grpc", "src.a.B", "../x", "/x", strings.Repeat("é", 300), "loss", "fx.builtin.MLP"} {
		out = append(out, schema.Node{Kind: schema.KindString, Text: text})
	}
	for _, i := range []int64{-2, -1, 0, 1, 2, 33, 5000, 70000, math.MaxInt64} {
		out = append(out, schema.Node{Kind: schema.KindInt, Int: i})
	}
	for _, f := range []float64{-0.5, 0, 0.5, 1, 1.5, 64, 1e300, math.Inf(1), math.Inf(-1), math.NaN()} {
		out = append(out, schema.Node{Kind: schema.KindFloat, Float: f})
	}
	return out
}()

// How long a library takes to compile the schema, and to validate: what
// evaluation saves.
func BenchmarkLibrary(b *testing.B) {
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			jsonschema.MustCompileString(schemaURL, schema.PlanSchema())
		}
	})
	b.Run("evaluation loads", func(b *testing.B) {
		for b.Loop() {
			readSchema()
		}
	})
}

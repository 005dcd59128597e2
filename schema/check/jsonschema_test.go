package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"fx/schema"
)

// The schema is valid against its meta-schema, and its defaults and examples are
// valid against the places where they stand.
func TestSchemaExamples(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.Draft = jsonschema.Draft2020
	if err := c.AddResource(schemaURL, strings.NewReader(schema.PlanSchema())); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compile(schemaURL); err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal([]byte(schema.PlanSchema()), &document); err != nil {
		t.Fatal(err)
	}
	tried := 0
	var walk func(v any, pointer string)
	walk = func(v any, pointer string) {
		switch v := v.(type) {
		case map[string]any:
			var values []any
			if d, ok := v["default"]; ok {
				values = append(values, d)
			}
			if list, ok := v["examples"].([]any); ok {
				values = append(values, list...)
			}
			if len(values) > 0 {
				s, err := c.Compile(schemaURL + "#" + pointer)
				if err != nil {
					t.Fatalf("%s: %v", pointer, err)
				}
				for _, value := range values {
					tried++
					if err := s.Validate(value); err != nil {
						t.Errorf("%s: %v: %v", pointer, value, err)
					}
				}
			}
			for key, child := range v {
				walk(child, pointer+"/"+strings.ReplaceAll(key, "$", "%24"))
			}
		case []any:
			for i, child := range v {
				walk(child, fmt.Sprintf("%s/%d", pointer, i))
			}
		}
	}
	walk(document, "")
	if tried < 40 {
		t.Errorf("only %d defaults and examples were found", tried)
	}
}

// Everything in the schema that can be named has a description.
func TestSchemaDescriptions(t *testing.T) {
	defs := loadSchema().document.(map[string]any)["$defs"].(map[string]any)
	for name, def := range defs {
		properties, _ := def.(map[string]any)["properties"].(map[string]any)
		for key, p := range properties {
			m, ok := p.(map[string]any)
			if !ok || len(m) == 0 || m["description"] != nil || m["$ref"] != nil || m["anyOf"] != nil {
				continue
			}
			switch key {
			case "function", "round_start_time", "template", "percentage":
			default:
				t.Errorf("$defs/%s: %s has no description", name, key)
			}
		}
	}
}

// enums lists the words of an enum below a definition.
func enums(t *testing.T, def, key string) []string {
	t.Helper()
	defs := loadSchema().document.(map[string]any)["$defs"].(map[string]any)
	properties := defs[def].(map[string]any)["properties"].(map[string]any)
	p := properties[key].(map[string]any)
	if words := wordsOf("enum", p); len(words) > 0 {
		return words
	}
	return wordsOf("anyOf", p)
}

// Every defaults file that a section may name exists, and each file is offered.
func TestSchemaDefaultsFiles(t *testing.T) {
	var offered []string
	for _, section := range schema.Sections() {
		if section == "egress" || section == "box" || section == "rounds" {
			continue // none of OpenFL's
		}
		offered = append(offered, enums(t, section, "defaults")...)
	}
	for _, file := range schema.DefaultsFiles() {
		if !slices.Contains(offered, file) && !strings.Contains(file, "connector") {
			t.Errorf("no section offers %q", file)
		}
	}
	for _, file := range offered {
		if !slices.Contains(schema.DefaultsFiles(), file) {
			t.Errorf("the schema offers %q, which does not exist", file)
		}
	}
}

// Every class that the schema knows is known to the runtime's table: it can be
// built, or the table says that it is not supported.
func TestSchemaTemplatesAreInTheTables(t *testing.T) {
	base := plan(t)
	tests := []struct{ def, old string }{
		{"assigner", "template: openfl.component.RandomGroupedAssigner"},
		{"compression_pipeline", "template: openfl.pipelines.NoCompressionPipeline"},
		{"straggler_handling_policy", "defaults: plan/defaults/straggler_handling_policy.yaml"},
		{"aggregationType", "template: openfl.interface.aggregation_functions.WeightedAverage"},
		{"aggregator", "template: openfl.component.Aggregator"},
		{"collaborator", "template: openfl.component.Collaborator"},
	}
	for _, test := range tests {
		if !strings.Contains(base, test.old) {
			t.Fatalf("%q is not in the plan", test.old)
		}
		templates := enums(t, test.def, "template")
		if len(templates) == 0 {
			t.Fatalf("%s has no templates", test.def)
		}
		for _, template := range templates {
			text := strings.Replace(base, test.old, "template: "+template, 1)
			if strings.Contains(template, "StaticGrouped") {
				text = strings.Replace(text, "percentage: 1.0", "collaborators: [one, two]", 1)
			}
			if strings.HasSuffix(template, "NormClipping") {
				text = strings.Replace(text, "template: "+template, "template: "+template+"\n      settings: {norm: 1.0}", 1)
			}
			for _, f := range Plan("plan.yaml", []byte(text), nil) {
				if f.ID != "unsupported" {
					t.Errorf("%s: %v", template, f)
				}
			}
		}
	}
}

// A plan that checks is a plan that parses.
func FuzzPlan(f *testing.F) {
	data, err := os.ReadFile("testdata/digits.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("assigner: {template: openfl.component.StaticGroupedAssigner, settings: {task_groups: [{collaborators: [a]}, 1]}}\ntasks: {a: 1}\n"))
	f.Add(bytes.Replace(data, []byte("openfl.interface.aggregation_functions.WeightedAverage"),
		[]byte("fx.aggregation.NormClipping\n      settings: {norm: 1, then: {template: fx.aggregation.MultiKrum, settings: {byzantine: 1, keep: 2}}}"), 1))
	f.Add(append(bytes.Clone(data), "rounds: {best: {metric: accuracy, direction: min}, stop: {metric: accuracy, at_most: .inf}}\n"...))
	f.Add([]byte("network: {settings: {client_reconnect_interval: .nan}}\ntask_runner: {settings: {1: .inf}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fs := Plan("plan.yaml", data, nil)
		_, err := schema.ParsePlan("plan.yaml", data)
		if fs.Err() == nil && err != nil {
			t.Fatalf("checks, but does not parse: %v", err)
		}
		if fs.Err() != nil && fs.Err().Error() == "" {
			t.Fatal("an error without a word")
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	data, err := os.ReadFile("testdata/digits.yaml")
	if err != nil {
		b.Fatal(err)
	}
	large := string(data)
	var names strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&names, "task%d, ", i)
		large += fmt.Sprintf("  task%d:\n    function: validate_task\n    kwargs: {apply: global, metrics: [accuracy]}\n", i)
	}
	large = strings.Replace(large, "tasks: [", "tasks: ["+names.String(), 1)
	for name, text := range map[string]string{"small": string(data), "1000 tasks": large} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Plan("plan.yaml", []byte(text), nil).Err(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

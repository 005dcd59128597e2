package check

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"fx/runtime/egress"
	"fx/runtime/tensor"
	"fx/schema"
)

// softmax is the initial model of the tests' plan: 2600 bytes.
var softmax = []tensor.Info{
	{Name: "bias", DType: tensor.F32, Shape: []int{10}},
	{Name: "weight", DType: tensor.F32, Shape: []int{64, 10}},
}

// findEgress checks the tests' plan with a section egress, from both sides.
func findEgress(t *testing.T, text string, model []tensor.Info) schema.Findings {
	t.Helper()
	p, err := schema.ReadPlan("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return append(Plan("plan.yaml", []byte(text), nil), Egress(p, model, 0, false)...)
}

func TestEgress(t *testing.T) {
	base := plan(t)
	python := strings.Replace(base, "fx.builtin.SoftmaxRegression\n  settings:\n    features: 64\n    classes: 10", "src.run.Runner", 1)
	python = strings.Replace(python, "fx.builtin.CSVDataLoader", "src.run.Loader", 1)
	tests := []struct {
		name, plan, section string
		id                  string // "" is no finding
		where, says         string // where: what stands after the line
	}{
		{"as it is", base, "  bytes_per_round: 2612", "", "", ""},
		{"all of it", base, "  {tensors: [weight, bias], metrics: {accuracy: {max: 1}, loss: }, bytes_per_run: 26120, filters: [{name: clip, norm: 2}]}", "", "", ""},
		{"dropped", base, "  {tensors: [bias], filters: [{name: drop, tensors: [weight]}], bytes_per_round: 52}", "", "", ""},
		{"a glob without a tensor", base, "  tensors: ['*', weigth]", "unknown-tensor", ":18: egress.tensors[1]", `did you mean "weight"`},
		{"a filter's glob without a tensor", base, "  filters: [{name: clip, norm: 1, tensors: [head.*]}]", "unknown-tensor", ": egress.filters[0].tensors[0]", "allowed bias, weight"},
		{"a tensor that is refused", base, "  tensors: [bias]", "egress-refused", ":3: egress.tensors", "found weight"},
		{"the same in Python", python, "  tensors: [bias]", "egress-refused", ":3: warning: egress.tensors", "filters"},
		{"optimizer state in Python", python, "  filters: [{name: drop, tensors: ['__opt_*']}]", "", "", ""},
		{"optimizer state that is not there", base, "  filters: [{name: drop, tensors: ['__opt_*']}]", "unknown-tensor", ":36", "no tensor"},
		{"a metric that no task makes", base, "  metrics: {accuracy: , loss: , los: }", "unknown-metric", ":33: egress.metrics.los", `did you mean "loss"`},
		{"a round that is too small", base, "  bytes_per_round: 2611", "out-of-range", ":20: egress.bytes_per_round", "at least 2612"},
		{"a run that is too small", base, "  bytes_per_run: 26119", "out-of-range", ":18: egress.bytes_per_run", "at least 26120"},
		{"an unknown filter", base, "  filters: [{name: gaussian, sigma: 1}]", "value", ":20: egress.filters[0].name", "clip, drop, noise, quantise"},
		{"noise with its account", base, "  filters: [{name: clip, norm: 2}, {name: noise, noise_multiplier: 4, delta: 1.0e-6, max_epsilon: 12}, {name: quantise, bits: 8}]", "", "", ""},
		{"noise without a clip", base, "  filters: [{name: noise, noise_multiplier: 1}]", "component", ":13: egress.filters[0]", "no clip filter over the same tensors"},
		{"noise before its clip", base, "  filters: [{name: noise, noise_multiplier: 1}, {name: clip, norm: 2}]", "component", ":13: egress.filters[0]", "before it there is no clip"},
		{"noise on some of it", base, "  filters: [{name: clip, norm: 2, tensors: [bias]}, {name: noise, noise_multiplier: 1, tensors: [bias]}]", "component", ":12: egress.filters", `"weight" would leave without noise`},
		{"too little noise", base, "  filters: [{name: clip, norm: 2}, {name: noise, noise_multiplier: 1.0e-3}]", "out-of-range", ":68: egress.filters[1].noise_multiplier", "0.01"},
		{"more rounds than privacy", base, "  filters: [{name: clip, norm: 2}, {name: noise, noise_multiplier: 4, max_epsilon: 5}]", "out-of-range", ": egress.filters[1].max_epsilon", "a site would stop after"},
		{"quantised twice", base, "  filters: [{name: quantise, bits: 8, to: float16}]", "component", ":13: egress.filters[0]", "not both"},
		{"quantised to nothing", base, "  filters: [{name: quantise}]", "component", ":13: egress.filters[0]", "bits and to"},
		{"a range for no tensor", base, "  tensor_ranges: {'*': {min: -9}, weigth: {max: 9}}", "unknown-tensor", ":35: egress.tensor_ranges.weigth", `did you mean "weight"`},
		{"a filter's setting", base, "  filters: [{name: clip, norm: 0}]", "out-of-range", ":32: egress.filters[0].norm", "above 0"},
		{"a filter's key", base, "  filters: [{name: drop, tensors: [bias], norm: 1}]", "unknown-key", ":43: egress.filters[0].norm", "allowed name, tensors"},
		{"a filter without what it needs", base, "  filters: [{name: drop}]", "missing-key", ":13: egress.filters[0]", `"tensors"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := findEgress(t, test.plan+"egress:\n"+test.section+"\n", softmax)
			if test.id == "" {
				if len(found) > 0 {
					t.Errorf("got %v, want nothing", found)
				}
				return
			}
			where := fmt.Sprintf("plan.yaml:%d", strings.Count(test.plan, "\n")+2)
			if len(found) != 1 || found[0].ID != test.id || !strings.HasPrefix(found[0].String(), where) ||
				!strings.Contains(found[0].String(), test.where) || !strings.Contains(found[0].String(), test.says) {
				t.Errorf("got %v, want one %s at %s…%s saying %q", found, test.id, where, test.where, test.says)
			}
		})
	}
}

// A metric that a task reports and the section leaves out stops a site: the
// task's list is the place that is reported.
func TestEgressLeavesOutAMetric(t *testing.T) {
	found := findEgress(t, plan(t)+"egress: {metrics: {accuracy: {}}}\n", softmax)
	if len(found) != 1 || found[0].ID != "egress-refused" || found[0].Path != "tasks.train.kwargs.metrics[0]" {
		t.Errorf("got %v, want one finding about loss", found)
	}
}

func TestEgressOfAModelWithoutTensors(t *testing.T) {
	text := strings.Replace(plan(t), "fx.builtin.SoftmaxRegression\n  settings:\n    features: 64\n    classes: 10", "fx.builtin.NoOp", 1)
	p, err := schema.ReadPlan("plan.yaml", []byte(text+"egress: {tensors: [], bytes_per_round: 4}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Egress(p, nil, 0, false) {
		if f.Path != "egress.bytes_per_round" { // three tasks, 12 bytes
			t.Errorf("got %v", f)
		}
	}
}

// A section that checks is a contract that can be made, and no text breaks the
// checks against a model.
func FuzzEgress(f *testing.F) {
	data, err := os.ReadFile("testdata/digits.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"{tensors: ['*'], metrics: {loss: {min: 0, max: .inf}, accuracy: }, filters: [{name: clip, norm: 1}]}",
		"{filters: [{name: drop, tensors: [bias]}, 1, {name: }, {norm: .nan}]}",
		"{settings: {1: 2}, bytes_per_run: 1, bytes_per_round: 9223372036854775807, tensors: [1, ?]}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, section string) {
		text := string(data) + "egress: " + section + "\n"
		found := Plan("plan.yaml", []byte(text), nil)
		p, err := schema.ReadPlan("plan.yaml", []byte(text))
		if err != nil {
			return
		}
		withModel := Egress(p, softmax, 0, false) // must not panic, whatever it finds
		if found.Err() != nil || p.Findings().Err() != nil || withModel.Err() != nil {
			return
		}
		if _, err := egress.NewContract(egress.Terms{Tasks: p.Draft().Tasks, Model: softmax, Plan: p.Draft().Egress}); err != nil {
			t.Errorf("checks, but cannot be enforced: %v", err)
		}
	})
}

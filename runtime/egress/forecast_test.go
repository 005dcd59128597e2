package egress

import (
	"math"
	"slices"
	"testing"
	"testing/fstest"

	"fx/runtime/tensor"
	"fx/schema"
)

// forecastPlan has two groups: a site validates, or it trains and validates.
func forecastPlan(runner string, rules schema.Egress) *schema.Resolved {
	metrics := func(names ...any) map[string]any { return map[string]any{"metrics": names} }
	group := func(name string, tasks ...any) any { return map[string]any{"name": name, "tasks": tasks} }
	return &schema.Resolved{
		Aggregator: schema.AggregatorSettings{Rounds: 12},
		TaskRunner: schema.Component{Template: runner},
		Assigner:   schema.Component{Settings: map[string]any{"task_groups": []any{group("look", "check"), group("learn", "check", "train")}}},
		Tasks: []schema.Task{
			{Name: "check", Function: "validate_task", Kwargs: metrics("accuracy", "loss")},
			{Name: "train", Function: "train_task", Kwargs: metrics("loss")},
			{Name: "never", Function: "train_task"},
		},
		Egress: rules,
	}
}

var forecastModel = []tensor.Info{
	{Name: "count", DType: "I64", Shape: nil}, // on the wire it is a float32
	{Name: "w", DType: tensor.F32, Shape: []int{10, 10}},
}

func TestForecast(t *testing.T) {
	const all = 404
	tests := map[string]struct {
		runner                        string
		rules                         schema.Egress
		round, run, maxRound, maxRuns int64
	}{
		"built in":           {"fx.builtin.MLP", schema.Egress{}, all + 12, 10 * (all + 12), 3*all + 12, 10 * (3*all + 12)},
		"built in, no model": {"fx.builtin.NoOp", schema.Egress{}, 12, 120, 3*all + 12, 10 * (3*all + 12)},
		"Python":             {"src.run.Runner", schema.Egress{}, all + 12, 10 * (all + 12), 3*all + 12, 10 * (3*all + 12)},
		"fewer tensors":      {"fx.builtin.MLP", schema.Egress{Tensors: []string{"c*"}}, 16, 160, 24, 240},
		"fewer metrics":      {"fx.builtin.MLP", schema.Egress{Metrics: []schema.Range{{Name: "accuracy"}}}, all + 4, 10 * (all + 4), 3*all + 4, 10 * (3*all + 4)},
		"limits":             {"fx.builtin.MLP", schema.Egress{BytesPerRound: 500, BytesPerRun: 4200}, all + 12, 10 * (all + 12), 500, 4200},
		"dropped": {"fx.builtin.MLP", schema.Egress{Filters: []schema.EgressFilter{{Name: "drop", Settings: map[string]any{"tensors": []any{"w"}}}}},
			16, 160, 24, 240},
	}
	for name, tt := range tests {
		f, err := NewForecast(forecastPlan(tt.runner, tt.rules), forecastModel, 2, false)
		if err != nil {
			t.Fatal(err)
		}
		got := []int64{f.RoundBytes, f.RunBytes, f.MaxRoundBytes, f.MaxRunBytes}
		if want := []int64{tt.round, tt.run, tt.maxRound, tt.maxRuns}; !slices.Equal(got, want) || f.Rounds != 10 {
			t.Errorf("%s: %v in %d rounds, want %v in 10", name, got, f.Rounds, want)
		}
		if f.Tasks[0].Assigned != true || f.Tasks[2].Assigned != false {
			t.Errorf("%s: tasks %+v", name, f.Tasks)
		}
	}
}

// What the forecast says is refused, the contract refuses, and the other way
// round.
func TestForecastIsTheContract(t *testing.T) {
	rules := schema.Egress{Tensors: []string{"w"}, Metrics: []schema.Range{{Name: "loss", Min: 0, Max: 1}}}
	p := forecastPlan("fx.builtin.MLP", rules)
	f, err := NewForecast(p, forecastModel, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewContract(Terms{Tasks: p.Tasks, Model: forecastModel, Plan: rules})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range f.Tensors {
		err := c.Declared("train", tensor.Info{Name: n.Name, DType: tensor.DType(n.DType), Shape: n.Shape})
		if (err == nil) != (n.Fate == FateSent) {
			t.Errorf("tensor %q: fate %s, contract %v", n.Name, n.Fate, err)
		}
	}
	for _, task := range f.Tasks {
		for _, m := range task.Metrics {
			if err := c.Metric(task.Name, m.Name, 0.5); (err == nil) != (m.Fate == FateSent) {
				t.Errorf("metric %q of %q: fate %s, contract %v", m.Name, task.Name, m.Fate, err)
			}
		}
	}
	if m := f.Tasks[1].Metrics[0]; *m.Min != 0 || *m.Max != 1 || m.Range() != "0 to 1" {
		t.Errorf("range of the loss: %+v", m)
	}
}

func TestForecastDoesNotOverflow(t *testing.T) {
	p := forecastPlan("fx.builtin.MLP", schema.Egress{})
	p.Aggregator.Rounds = math.MaxInt32
	f, err := NewForecast(p, []tensor.Info{{Name: "w", DType: tensor.F32, Shape: []int{1 << 30, 1 << 30}}}, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if f.RunBytes != math.MaxInt64 || f.MaxRoundBytes != math.MaxInt64 {
		t.Errorf("%d bytes in the run, at most %d a round", f.RunBytes, f.MaxRoundBytes)
	}
}

func TestOptimizerState(t *testing.T) {
	drop := schema.Egress{Filters: []schema.EgressFilter{{Name: "drop", Settings: map[string]any{"tensors": []any{"__opt_*"}}}}}
	for fate, rules := range map[string]schema.Egress{FateSent: {}, FateRefused: {Tensors: []string{"w", "count"}}, FateDropped: drop} {
		f, err := NewForecast(forecastPlan("src.run.Runner", rules), forecastModel, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range f.Optimizer {
			want := fate
			if len(s.Patterns) == 0 {
				want = FateSent // nothing
			}
			if s.Fate != want || s.Bytes != int64(404*s.Multiple) {
				t.Errorf("%s: %s with %d bytes, want %s", s.Optimizer, s.Fate, s.Bytes, want)
			}
		}
	}
}

func TestUsesPyTorch(t *testing.T) {
	tree := fstest.MapFS{
		"src/runner.py":        {Data: []byte("from openfl.federated import PyTorchTaskRunner\nclass Net(PyTorchTaskRunner): pass\n")},
		"src/keras.py":         {Data: []byte("class Net(KerasTaskRunner): pass\n")},
		"src/deep/__init__.py": {Data: []byte("class Net(PyTorchTaskRunner): pass\n")},
	}
	tests := map[string]bool{
		"src.runner.Net": true, "src.deep.Net": true, "src.keras.Net": false, "src.absent.Net": false, "src.Net": false, "src..Net": false,
		"openfl.federated.task.PyTorchTaskRunner": true, "openfl.federated.task.KerasTaskRunner": false, "fx.builtin.MLP": false,
	}
	for template, want := range tests {
		if got := UsesPyTorch(tree, template); got != want {
			t.Errorf("%s: %v, want %v", template, got, want)
		}
	}
	if UsesPyTorch(nil, "src.runner.Net") {
		t.Error("without a workspace nothing is known")
	}
}

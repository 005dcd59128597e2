package taskrunner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

type m = map[string]any

// One valid configuration per template: a model of three features and two
// classes, and the functions it has.
var valid = map[string]struct {
	runner, loader m
	loaderTemplate string
	functions      []string
}{
	builtinPrefix + "SoftmaxRegression": {m{"features": 3, "classes": 2}, m{"batch_size": 4}, templateCSVLoader, []string{"train_task", "validate_task"}},
	builtinPrefix + "MLP":               {m{"features": 3, "classes": 2, "hidden": 5, "seed": 9}, m{"batch_size": 4, "scale": 2.0}, templateCSVLoader, []string{"train_task", "validate_task"}},
	templateNoOp:                        {m{}, nil, templateNoData, []string{"no_op_task"}},
}

// dataFolder has 21 training and 6 validation rows that a line separates.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, rows := range map[string]int{"train.csv": 21, "valid.csv": 6} {
		var b strings.Builder
		for i := range rows {
			fmt.Fprintf(&b, "%d,%g,-1e-1,%d\n", i%5, float64(i%7)/2, (i%5+i%7)/6)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newRunner(t *testing.T, template, data string) Runner {
	t.Helper()
	v, ok := valid[template]
	if !ok {
		t.Fatalf("the test has no configuration for %s", template)
	}
	r, err := New(Options{DataPath: data, TaskRunner: schema.Component{Template: template, Settings: v.runner}, DataLoader: schema.Component{Template: v.loaderTemplate, Settings: v.loader}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func task(name, function string, kwargs m) schema.Task {
	return schema.Task{Name: name, Function: function, Kwargs: kwargs}
}

// Every runner must make an initial model that its tasks take, give the same
// bytes and metrics when run again with another number of processors, leave
// nothing behind but its output, write nothing when cancelled, and refuse
// functions, arguments and metrics that it does not have.
func TestContract(t *testing.T) {
	for _, template := range runnerNames() {
		t.Run(template, func(t *testing.T) {
			data, out := dataFolder(t), t.TempDir()
			r := newRunner(t, template, data)
			initial := filepath.Join(out, "init.safetensors")
			if err := r.Init(t.Context(), initial); err != nil {
				t.Fatal(err)
			}
			for _, function := range valid[template].functions {
				job := Job{Task: task("some_task", function, nil), Round: 3, Collaborator: "c", Inputs: initial, Output: filepath.Join(out, "a")}
				first, err := r.Run(t.Context(), job)
				if err != nil {
					t.Fatal(err)
				}
				if len(first.Metrics) != 0 {
					t.Errorf("%s: metrics %v were not asked for", function, first.Metrics)
				}
				job.Output = filepath.Join(out, "b")
				old := runtime.GOMAXPROCS(1)
				again, err := newRunner(t, template, data).Run(t.Context(), job)
				runtime.GOMAXPROCS(old)
				if err != nil || again.DataSize != first.DataSize || again.Tensors != first.Tensors {
					t.Errorf("%s: a second run gives %+v, %v, the first %+v", function, again, err, first)
				}
				if first.Tensors && !bytes.Equal(read(t, filepath.Join(out, "a")), read(t, filepath.Join(out, "b"))) {
					t.Errorf("%s: a second run gives other bytes", function)
				}
				for _, name := range []string{"a", "b"} {
					if err := os.Remove(filepath.Join(out, name)); (err == nil) != first.Tensors {
						t.Errorf("%s: output %q: %v", function, name, err)
					}
				}

				cancelled, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := r.Run(cancelled, job); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: cancelled: got %v", function, err)
				}
				for _, wrong := range []m{{"metrics": []any{"no such metric"}}, {"metric": []any{}}, {"metrics": 3}} {
					job.Task.Kwargs = wrong
					if _, err := r.Run(t.Context(), job); !errors.Is(err, schema.ErrInvalid) {
						t.Errorf("%s: kwargs %v: got %v", function, wrong, err)
					}
				}
			}
			job := Job{Task: task("t", "trian_task", nil), Inputs: initial}
			if _, err := r.Run(t.Context(), job); !errors.Is(err, schema.ErrInvalid) {
				t.Errorf("an unknown function: got %v", err)
			}
			left, err := os.ReadDir(out)
			if err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The order of samples must depend on the seed, the collaborator and the round.
func TestOrderDependsOnJob(t *testing.T) {
	data, out := dataFolder(t), t.TempDir()
	train := func(seed, round int, collaborator string) string {
		r, err := New(Options{DataPath: data, TaskRunner: schema.Component{Template: builtinPrefix + "SoftmaxRegression", Settings: m{"features": 3, "classes": 2, "seed": seed}},
			DataLoader: schema.Component{Template: templateCSVLoader, Settings: m{"batch_size": 4}}})
		if err != nil {
			t.Fatal(err)
		}
		in, path := filepath.Join(out, "in"), filepath.Join(out, "out")
		if err := r.Init(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Run(t.Context(), Job{Task: task("train", "train_task", m{"lr": 0.5}), Round: round, Collaborator: collaborator, Inputs: in, Output: path}); err != nil {
			t.Fatal(err)
		}
		return string(read(t, path))
	}
	results := []string{train(1, 0, "a"), train(2, 0, "a"), train(1, 1, "a"), train(1, 0, "b")}
	for i, r := range results {
		if slices.Contains(results[:i], r) {
			t.Errorf("run %d equals an earlier one", i)
		}
	}
}

func TestResults(t *testing.T) {
	data, out := dataFolder(t), t.TempDir()
	r := newRunner(t, builtinPrefix+"MLP", data)
	path := filepath.Join(out, "0")
	if err := r.Init(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	validate := Job{Task: task("aggregated_model_validation", "validate_task", m{"apply": "global", "metrics": []any{"loss", "accuracy"}}), Inputs: path}
	before, err := r.Run(t.Context(), validate)
	if err != nil {
		t.Fatal(err)
	}
	train := Job{Task: task("train", "train_task", m{"epochs": 60, "lr": 0.5, "metrics": []any{"loss"}}), Inputs: path, Output: filepath.Join(out, "1")}
	trained, err := r.Run(t.Context(), train)
	if err != nil {
		t.Fatal(err)
	}
	validate.Inputs = train.Output
	after, err := r.Run(t.Context(), validate)
	if err != nil {
		t.Fatal(err)
	}
	if trained.DataSize != 21 || before.DataSize != 6 {
		t.Errorf("data sizes are %d and %d, want 21 and 6", trained.DataSize, before.DataSize)
	}
	if before.Tensors || !trained.Tensors {
		t.Errorf("tensors: validation %v, training %v", before.Tensors, trained.Tensors)
	}
	if len(after.Metrics) != 2 || after.Metrics[0].Name != "loss" || after.Metrics[1].Name != "accuracy" {
		t.Fatalf("metrics are %v, want loss and accuracy in the plan's order", after.Metrics)
	}
	if after.Metrics[0].Value > before.Metrics[0].Value/2 || after.Metrics[1].Value != 1 || trained.Metrics[0].Value > 0.2 {
		t.Errorf("training does not learn: %v, then %v, loss %v", before.Metrics, after.Metrics, trained.Metrics)
	}
}

// Analytic gradients must agree with numeric ones.
func TestGradients(t *testing.T) {
	for template, build := range models {
		t.Run(template, func(t *testing.T) {
			model := build(&settings{m: valid[template].runner})
			p, r := model.initial(3), random("test")
			for i := range p {
				for j := range p[i] {
					p[i][j] += r.NormFloat64() / 3
				}
			}
			const rows = 4
			x := []float64{1, 2, 3, -1, 0.5, 2, 0, 1, 1, 3, -2, 0.3}
			labels := []int{0, 1, 1, 0}
			loss := func() float64 {
				l, _ := crossEntropy(model.logits(p, x, rows), labels, 2, nil)
				return l
			}
			d, g := empty(rows*2), zeros(model)
			crossEntropy(model.logits(p, x, rows), labels, 2, d)
			model.gradients(p, x, rows, d, g)
			for i := range p {
				for j := range p[i] {
					const h = 1e-6
					keep := p[i][j]
					p[i][j] = keep + h
					up := loss()
					p[i][j] = keep - h
					down := loss()
					p[i][j] = keep
					if want := (up - down) / (2 * h); math.Abs(g[i][j]-want) > 1e-6 {
						t.Errorf("tensor %d, element %d: gradient %v, want %v", i, j, g[i][j], want)
					}
				}
			}
		})
	}
}

func empty(n int) []float64 { return make([]float64, n) }

// The no-op runner must not look at the data: its folder does not exist.
func TestNoOpTouchesNoData(t *testing.T) {
	out := t.TempDir()
	r := newRunner(t, templateNoOp, filepath.Join(out, "no", "such", "folder"))
	job := Job{Task: task("connectivity", "no_op_task", m{"metrics": []any{"ok"}}), Output: filepath.Join(out, "x")}
	got, err := r.Run(t.Context(), job)
	if err != nil || got.DataSize != 1 || got.Tensors || !slices.Equal(got.Metrics, []Metric{{"ok", 1}}) {
		t.Errorf("got %+v, %v", got, err)
	}
	pbuf := filepath.Join(out, "init.pbuf")
	if err := WriteInitialModel(t.Context(), r, &schema.Resolved{}, out, pbuf, false); err != nil {
		t.Fatal(err)
	}
	if b := read(t, pbuf); len(b) != 0 {
		t.Errorf("the initial model has %d bytes, want none", len(b))
	}
}

func TestWriteInitialModel(t *testing.T) {
	out := t.TempDir()
	path := filepath.Join(out, "init.pbuf")
	if err := WriteInitialModel(t.Context(), newRunner(t, builtinPrefix+"MLP", ""), &schema.Resolved{}, out, path, false); err != nil {
		t.Fatal(err)
	}
	if err := WriteInitialModel(t.Context(), newRunner(t, builtinPrefix+"MLP", ""), &schema.Resolved{}, out, path, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a model that is there: got %v", err)
	}
	b := read(t, path)
	model, err := tensor.ScanModel(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range model {
		info, err := n.Info()
		if err != nil || n.Round != 0 || !n.Lossless || n.Report || !slices.Equal(n.Tags, []string{"model"}) {
			t.Errorf("got %+v, %v", n, err)
		}
		names = append(names, fmt.Sprintf("%s %s%v", info.Name, info.DType, info.Shape))
	}
	if want := "[hidden.bias F32[5] hidden.weight F32[3 5] output.bias F32[2] output.weight F32[5 2]]"; fmt.Sprint(names) != want {
		t.Errorf("got %v, want %v", names, want)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRunRefuses(t *testing.T) {
	out := t.TempDir()
	softmax := newRunner(t, builtinPrefix+"SoftmaxRegression", dataFolder(t))
	initial, other := filepath.Join(out, "init"), filepath.Join(out, "other")
	if err := softmax.Init(t.Context(), initial); err != nil {
		t.Fatal(err)
	}
	if err := newRunner(t, builtinPrefix+"MLP", "").Init(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(out, "odd")
	bias := tensor.Info{Name: "bias", DType: tensor.F32, Shape: []int{3}}
	weight := tensor.Info{Name: "weight", DType: tensor.F32, Shape: []int{3, 2}}
	if err := writeParams(odd, []tensor.Info{bias, weight}, params{empty(3), empty(6)}); err != nil {
		t.Fatal(err)
	}
	infinite := filepath.Join(out, "infinite")
	bias.Shape = []int{2}
	if err := writeParams(infinite, []tensor.Info{bias, weight}, params{{math.Inf(1), 0}, empty(6)}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, function, inputs string
		kwargs                 m
		want                   string
	}{
		{"no inputs", "train_task", "", nil, "given none"},
		{"absent inputs", "train_task", filepath.Join(out, "absent"), nil, "absent"},
		{"no model", "train_task", filepath.Join(out, ".."), nil, "cannot read model"},
		{"other model", "train_task", other, nil, "it has 4 tensors, the task runner's model 2"},
		{"other shape", "train_task", odd, nil, `tensor "bias" is F32 [3]; F32 [2] was expected`},
		{"infinite model", "validate_task", infinite, nil, "no usable numbers"},
		{"text for a number", "train_task", initial, m{"lr": "1e-3"}, "1.0e-3"},
		{"lr of zero", "train_task", initial, m{"lr": 0}, "lr is 0; a number above 0"},
		{"half an epoch", "train_task", initial, m{"epochs": 0.5}, "whole number from 1"},
		{"misspelt", "train_task", initial, m{"epoch": 1}, `did you mean "epochs"`},
		{"unknown metric", "validate_task", initial, m{"metrics": []any{"accurac"}}, `known are accuracy, loss; did you mean "accuracy"`},
		{"metric twice", "validate_task", initial, m{"metrics": []any{"loss", "loss"}}, "twice"},
		{"apply", "validate_task", initial, m{"apply": "locl"}, `did you mean "local"`},
		{"function", "train", initial, nil, "allowed: train_task, validate_task"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(out, "result")
			_, err := softmax.Run(t.Context(), Job{Task: task("t", tt.function, tt.kwargs), Inputs: tt.inputs, Output: path})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("an output was written")
			}
		})
	}
}

// Numbers that no longer mean anything must not become a model.
func TestDivergence(t *testing.T) {
	for template := range models {
		out := t.TempDir()
		data := dataFolder(t)
		if err := os.WriteFile(filepath.Join(data, "train.csv"), []byte("2e9,2e9,2e9,0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := New(Options{DataPath: data, TaskRunner: schema.Component{Template: template, Settings: valid[template].runner},
			DataLoader: schema.Component{Template: templateCSVLoader, Settings: m{"scale": 1.0e-30}}})
		if err != nil {
			t.Fatal(err)
		}
		job := Job{Task: task("train", "train_task", m{"lr": 1e6, "epochs": 3}), Inputs: filepath.Join(out, "in"), Output: filepath.Join(out, "out")}
		if err := r.Init(t.Context(), job.Inputs); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Run(t.Context(), job); err == nil || !strings.Contains(err.Error(), "diverged") {
			t.Errorf("%s: got %v", template, err)
		}
		if _, err := os.Stat(job.Output); err == nil {
			t.Errorf("%s: an output was written", template)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	mlp, csv := builtinPrefix+"MLP", templateCSVLoader
	for _, tt := range []struct {
		runner, loader string
		settings, data m
		want           string
	}{
		{"fx.bultin.MLP", csv, nil, nil, "no task runner that can be run"},
		{"fx.builtin.MPL", csv, nil, nil, `did you mean "fx.builtin.MLP"`},
		{mlp, csv, m{"features": 3, "hidden": 2}, nil, "classes is missing"},
		{mlp, csv, m{"features": 3, "hidden": 2, "classes": 0}, nil, "classes is 0; a whole number from 1"},
		{mlp, csv, m{"features": 3, "hiden": 2, "classes": 2}, nil, `did you mean "hidden"`},
		{mlp, csv, m{"features": "x", "hidden": 2, "classes": 2}, nil, `features is the text "x"`},
		{mlp, csv, m{"features": 1000000, "hidden": 1000, "classes": 2}, nil, "at most 67108864"},
		{mlp, csv, m{"features": 3, "hidden": 2, "classes": 2, "seed": 1.5}, nil, "seed is 1.5"},
		{mlp, csv, m{"features": 3, "hidden": 2000, "classes": 2}, m{"batch_size": 1000000}, "a batch of 1000000"},
		{mlp, templateNoData, m{"features": 3, "hidden": 2, "classes": 2}, nil, "does not go with"},
		{mlp, csv, m{"features": 3, "hidden": 2, "classes": 2}, m{"batch_size": 0}, "data_loader: batch_size is 0"},
		{mlp, csv, m{"features": 3, "hidden": 2, "classes": 2}, m{"scale": 0}, "scale is 0"},
		{mlp, csv, m{"features": 3, "hidden": 2, "classes": 2}, m{"batchsize": 1}, `did you mean "batch_size"`},
		{templateNoOp, csv, nil, nil, "does not go with"},
		{templateNoOp, templateNoData, m{"seed": 1}, nil, "it takes none"},
		{templateNoOp, templateNoData, nil, m{"scale": 1}, "it takes none"},
	} {
		_, err := New(Options{TaskRunner: schema.Component{Template: tt.runner, Settings: tt.settings}, DataLoader: schema.Component{Template: tt.loader, Settings: tt.data}})
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %v %v: got %v, want an ErrInvalid with %q", tt.runner, tt.settings, tt.data, err, tt.want)
		}
	}
}

// What a task asks for is checked before the first round, if the tasks are given.
func TestNewChecksTasks(t *testing.T) {
	for _, template := range runnerNames() {
		v := valid[template]
		for function, want := range map[string]string{"no_such_task": "no function", v.functions[0]: "no_such_metric"} {
			_, err := New(Options{TaskRunner: schema.Component{Template: template, Settings: v.runner}, DataLoader: schema.Component{Template: v.loaderTemplate, Settings: v.loader},
				Tasks: []schema.Task{task("t", function, m{"metrics": []any{"no_such_metric"}})}})
			if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: got %v, want an ErrInvalid with %q", template, function, err, want)
			}
		}
	}
}

func TestDataSize(t *testing.T) {
	for _, tt := range []struct {
		name, function string
		want           int
	}{
		{"train", "train_task", 100}, {"locally_tuned_model_validation", "validate_task", 10}, {"validate_training", "train_task", 10},
		{"fit", "train_task", 100}, {"check", "validate_task", 10}, {"x", "y", -1},
	} {
		got := dataSize(task(tt.name, tt.function, nil), func() int { return 100 }, func() int { return 10 })
		if got != tt.want {
			t.Errorf("task %q, function %q: %d, want %d", tt.name, tt.function, got, tt.want)
		}
	}
}

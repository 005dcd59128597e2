package taskrunner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fx/bundle/workspace"
	"fx/runtime/aggregation"
	"fx/runtime/taskrunner"
	"fx/runtime/tensor"
	"fx/schema"
)

// TestDigitsFederationBeatsEachAlone runs the digits template as a user gets it,
// without the network: ten rounds of three hospitals, against each hospital
// training alone for as long. All are measured on the images that no hospital
// has. The federation must reach 95 %, and be at least ten points above the best
// single hospital.
func TestDigitsFederationBeatsEachAlone(t *testing.T) {
	for _, model := range []string{"mlp", "softmax"} {
		t.Run(model, func(t *testing.T) {
			f := newFederation(t, model)
			federated := f.measure(f.initial())
			for round := range f.plan.Aggregator.Rounds {
				federated = f.round(round, federated.path)
			}
			best := 0.0
			for _, name := range f.names {
				path := f.initial()
				for round := range f.plan.Aggregator.Rounds {
					path, _ = f.train(name, round, path)
				}
				alone := f.measure(path)
				t.Logf("%s alone: %.3f", name, alone.accuracy)
				best = max(best, alone.accuracy)
				if alone.accuracy > 0.88 {
					t.Errorf("%s alone reaches %.3f; the template should make it need the others", name, alone.accuracy)
				}
			}
			t.Logf("federated: %.3f", federated.accuracy)
			want := map[string]float64{"mlp": 0.95, "softmax": 0.94}[model]
			if federated.accuracy < want {
				t.Errorf("the federation reaches %.3f, want %.2f", federated.accuracy, want)
			}
			if federated.accuracy < best+0.1 {
				t.Errorf("the federation reaches %.3f, the best single hospital %.3f", federated.accuracy, best)
			}
		})
	}
}

type federation struct {
	t       *testing.T
	dir     string
	names   []string
	plan    *schema.Resolved
	runners map[string]taskrunner.Runner
	files   int
}

type measured struct {
	path     string
	accuracy float64
}

func newFederation(t *testing.T, model string) *federation {
	t.Helper()
	files, err := workspace.Render(workspace.TemplateOptions{Template: "digits", Model: model})
	if err != nil {
		t.Fatal(err)
	}
	f := &federation{t: t, dir: filepath.Join(t.TempDir(), "ward"), runners: map[string]taskrunner.Runner{}}
	if err := workspace.Write(f.dir, files, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(f.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plan, err := schema.ParsePlan("plan.yaml", read("plan/plan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if f.plan, err = plan.Resolve(schema.ResolveOptions{}); err != nil {
		t.Fatal(err)
	}
	if f.names, err = schema.ParseCols("cols.yaml", read("plan/cols.yaml")); err != nil {
		t.Fatal(err)
	}
	slices.Sort(f.names)
	for _, name := range append(f.names, "holdout") {
		r, err := taskrunner.New(taskrunner.Options{DataPath: filepath.Join(f.dir, "data", name), TaskRunner: f.plan.TaskRunner, DataLoader: f.plan.DataLoader})
		if err != nil {
			t.Fatal(err)
		}
		f.runners[name] = r
	}
	return f
}

// file names a new file.
func (f *federation) file() string {
	f.files++
	return filepath.Join(f.dir, fmt.Sprintf("%d.safetensors", f.files))
}

func (f *federation) initial() string {
	f.t.Helper()
	path := f.file()
	if err := f.runners[f.names[0]].Init(context.Background(), path); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f *federation) task(name string) schema.Task {
	for _, task := range f.plan.Tasks {
		if task.Name == name {
			return task
		}
	}
	f.t.Fatalf("the plan has no task %q", name)
	return schema.Task{}
}

func (f *federation) train(name string, round int, path string) (string, int) {
	f.t.Helper()
	job := taskrunner.Job{Task: f.task("train"), Round: round, Collaborator: name, Inputs: path, Output: f.file()}
	result, err := f.runners[name].Run(context.Background(), job)
	if err != nil {
		f.t.Fatal(err)
	}
	if !result.Tensors {
		f.t.Fatal("training gave no tensors")
	}
	return job.Output, result.DataSize
}

// round trains everywhere and averages as an aggregator does.
func (f *federation) round(round int, global string) measured {
	f.t.Helper()
	base := f.open(global)
	var trained []*tensor.File
	var sizes []int
	for _, name := range f.names {
		path, size := f.train(name, round, global)
		trained = append(trained, f.open(path))
		sizes = append(sizes, size)
	}
	algorithm, err := aggregation.New(f.task("train").Aggregation)
	if err != nil {
		f.t.Fatal(err)
	}
	var tensors []aggregation.Tensor
	for _, info := range base.Infos() {
		var updates []aggregation.Update
		for i, name := range f.names {
			updates = append(updates, aggregation.Update{Collaborator: name, Weight: float64(sizes[i]), Data: f.source(trained[i], info.Name)})
		}
		tensors = append(tensors, aggregation.Tensor{Name: info.Name, Elements: info.Elements(), Base: f.source(base, info.Name), Updates: updates})
	}
	folding, err := algorithm.Begin(tensors)
	if err != nil {
		f.t.Fatal(err)
	}
	var next []tensor.Source
	for i, info := range base.Infos() {
		at := 0
		var bytes []byte
		current := tensors[i].Base
		err := folding.Fold(info.Name, func(avg []float64, _ [][]float64) error {
			from, to := make([]float32, len(avg)), make([]float32, len(avg))
			if err := current.ReadBlock(from, at); err != nil {
				return err
			}
			aggregation.Next(from, avg, f.plan.Aggregator.UseDeltaUpdates, to)
			bytes = tensor.AppendFloat32s(bytes, to)
			at += len(avg)
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
		next = append(next, tensor.Source{Info: info, Data: strings.NewReader(string(bytes))})
	}
	path := f.file()
	out, err := os.Create(path)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := tensor.WriteSafetensors(out, nil, next); err != nil {
		f.t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		f.t.Fatal(err)
	}
	m := f.measure(path)
	f.t.Logf("round %d: %.3f", round, m.accuracy)
	return m
}

func (f *federation) open(path string) *tensor.File {
	f.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	file, err := tensor.OpenSafetensors(strings.NewReader(string(b)), int64(len(b)))
	if err != nil {
		f.t.Fatal(err)
	}
	return file
}

func (f *federation) source(file *tensor.File, name string) aggregation.Source {
	f.t.Helper()
	section, err := file.Section(name)
	if err != nil {
		f.t.Fatal(err)
	}
	return aggregation.FromReader(section)
}

// measure is the accuracy on the images that no collaborator has.
func (f *federation) measure(path string) measured {
	f.t.Helper()
	result, err := f.runners["holdout"].Run(context.Background(), taskrunner.Job{Task: f.task("aggregated_model_validation"), Collaborator: "holdout", Inputs: path})
	if err != nil {
		f.t.Fatal(err)
	}
	return measured{path, result.Metrics[0].Value}
}

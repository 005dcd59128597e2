package workspace

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fx/schema"
)

// pythonTemplates are the templates whose task runner is a Python class: what the
// class imports, what the federation must reach on the data that no site has, and
// the tensors of its model.
var pythonTemplates = []struct {
	name, module string
	alone        float64 // below this is hospital-a by itself
	accuracy     float64
	tensors      map[string][]any
}{
	{"digits-numpy", "numpy", 0.90, 0.95, map[string][]any{
		"hidden.weight": {"float32", 64.0, 64.0}, "hidden.bias": {"float32", 64.0},
		"output.weight": {"float32", 64.0, 10.0}, "output.bias": {"float32", 10.0},
	}},
	{"digits-torch", "torch", 0.90, 0.94, map[string][]any{
		"layers.0.weight": {"float32", 64.0, 64.0}, "layers.0.bias": {"float32", 64.0},
		"layers.2.weight": {"float32", 10.0, 64.0}, "layers.2.bias": {"float32", 10.0},
	}},
	{"tabular-sklearn", "sklearn", 0.98, 0.98, map[string][]any{
		"coef_": {"float32", 1.0, 30.0}, "intercept_": {"float32", 1.0},
	}},
}

// openfls are the packages openfl that the classes must run with: fx's own, and
// OpenFL's, where FX_OPENFL_PYTHON names an interpreter that has it.
var openfls = []struct{ name, path string }{
	{"shim", "../../runtime/taskrunner/adapter/shim"},
	{"openfl", ""},
}

// interpreter finds a Python that can import modules, or skips the test.
func interpreter(t *testing.T, path string, modules ...string) string {
	t.Helper()
	names := []string{os.Getenv("FX_PYTHON"), "/usr/bin/python3", "python3"}
	if slices.Contains(modules, "openfl") {
		names = []string{os.Getenv("FX_OPENFL_PYTHON")}
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		cmd := exec.Command(name, "-s", "-c", "import "+strings.Join(append(modules, "sys"), ", "))
		cmd.Env = append(os.Environ(), "PYTHONPATH="+path)
		if cmd.Run() == nil {
			return name
		}
	}
	t.Skipf("no Python here has %s; FX_PYTHON names one, FX_OPENFL_PYTHON one with openfl", strings.Join(modules, " and "))
	return ""
}

// spec is what testdata/federate.py runs.
type spec struct {
	Runner  part        `json:"task_runner"`
	Loader  part        `json:"data_loader"`
	Tasks   []task      `json:"tasks"`
	Rounds  int         `json:"rounds"`
	Sites   [][2]string `json:"sites"`   // name, and what the data loader is told
	Holdout string      `json:"holdout"` // what the data loader is told
	Alone   []string    `json:"alone"`   // sites to train alone as well
}

type part struct {
	Template string         `json:"template"`
	Settings map[string]any `json:"settings"`
}

type task struct {
	Name      string         `json:"name"`
	Function  string         `json:"function"`
	Arguments map[string]any `json:"arguments"`
}

// writeTemplate writes a workspace and reads what its documents say.
func writeTemplate(t *testing.T, template string) (dir string, plan *schema.Resolved, data []schema.DataPath) {
	t.Helper()
	files, err := Render(TemplateOptions{Template: template})
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "ward")
	if err := Write(dir, files, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	p, err := schema.ParsePlan("plan.yaml", read("plan/plan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if plan, err = p.Resolve(schema.ResolveOptions{}); err != nil {
		t.Fatal(err)
	}
	if data, err = schema.ParseData("data.yaml", read("plan/data.yaml")); err != nil {
		t.Fatal(err)
	}
	return dir, plan, data
}

// The classes of each template, called as OpenFL calls them, learn together what
// no site learns alone, with fx's package openfl and with OpenFL's.
func TestPythonTemplates(t *testing.T) {
	federate, err := filepath.Abs("testdata/federate.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range pythonTemplates {
		for _, openfl := range openfls {
			t.Run(tt.name+"/"+openfl.name, func(t *testing.T) {
				modules := []string{tt.module}
				if openfl.path == "" {
					modules = append(modules, "openfl", "openfl.federated")
				}
				python := interpreter(t, "", modules...)
				shim, err := filepath.Abs(openfl.path)
				if err != nil {
					t.Fatal(err)
				}
				dir, plan, data := writeTemplate(t, tt.name)
				s := spec{
					Runner: part(plan.TaskRunner), Loader: part(plan.DataLoader),
					Rounds: plan.Aggregator.Rounds, Holdout: "data/holdout", Alone: []string{"hospital-a"},
				}
				if tt.module == "sklearn" {
					s.Holdout = "holdout"
				}
				for _, d := range data {
					s.Sites = append(s.Sites, [2]string{d.Name, d.Path})
				}
				for _, k := range plan.Tasks {
					s.Tasks = append(s.Tasks, task{k.Name, k.Function, k.Kwargs})
				}
				b, err := json.Marshal(s)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "spec.json")
				if err := os.WriteFile(file, b, 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(python, "-B", "-s", federate, file)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1")
				if openfl.path != "" {
					cmd.Env = append(cmd.Env, "PYTHONPATH="+shim)
				}
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%v\n%s", err, stderr.Bytes())
				}
				var got struct {
					OpenFL     string              `json:"openfl"`
					Accuracy   float64             `json:"accuracy"`
					Initial    float64             `json:"initial_accuracy"`
					Alone      map[string]float64  `json:"alone"`
					Tensors    map[string][]any    `json:"tensors"`
					Sent       []string            `json:"sent"`
					Metrics    map[string][]string `json:"metrics"`
					Repeatable bool                `json:"repeatable"`
				}
				lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
				if err := json.Unmarshal(lines[len(lines)-1], &got); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				t.Logf("openfl %q: accuracy %.3f, hospital-a alone %.3f, before %.3f", got.OpenFL, got.Accuracy, got.Alone["hospital-a"], got.Initial)
				if got.Accuracy < tt.accuracy {
					t.Errorf("the federation reaches %.3f, want %.2f", got.Accuracy, tt.accuracy)
				}
				if a := got.Alone["hospital-a"]; a == 0 || a > tt.alone || a >= got.Accuracy {
					t.Errorf("hospital-a alone reaches %.3f; the template should make it need the others", a)
				}
				if !reflect.DeepEqual(got.Tensors, tt.tensors) {
					t.Errorf("the model is %v, want %v", got.Tensors, tt.tensors)
				}
				for _, name := range got.Sent {
					if _, known := tt.tensors[name]; !known {
						t.Errorf("training sends %q, which is not in the model", name)
					}
				}
				if len(got.Sent) != len(tt.tensors) || !got.Repeatable {
					t.Errorf("training sends %v; the same task gives the same again: %v", got.Sent, got.Repeatable)
				}
				for _, k := range plan.Tasks {
					var want []string
					for _, m := range k.Kwargs["metrics"].([]any) {
						want = append(want, m.(string))
					}
					if !reflect.DeepEqual(got.Metrics[k.Name], want) {
						t.Errorf("task %s has metrics %v, the plan lists %v", k.Name, got.Metrics[k.Name], want)
					}
				}
			})
		}
	}
}

// Every Python file of every template is Python, whatever packages are there.
func TestPythonTemplatesCompile(t *testing.T) {
	python := interpreter(t, "")
	for _, tmpl := range Templates() {
		files, err := Render(TemplateOptions{Template: tmpl.Name})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Path, ".py") {
				continue
			}
			cmd := exec.Command(python, "-c", "import sys; compile(sys.stdin.read(), sys.argv[1], 'exec')", f.Path)
			cmd.Stdin = bytes.NewReader(f.Data)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s, %s: %v\n%s", tmpl.Name, f.Path, err, out)
			}
		}
	}
}

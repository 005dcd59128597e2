package workspace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"fx/runtime/tensor"
)

// program is task code of a template that runs without a box, and is asked what
// fxrun would ask.
type program struct {
	t      *testing.T
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	id     int
}

// code writes the files that a template has in src into a folder.
func code(t *testing.T, template, dir string) {
	t.Helper()
	files, err := templateCode(template)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.Path), f); err != nil {
			t.Fatal(err)
		}
	}
}

// startProgram starts task code and says hello. settings are those of the task
// runner and of the data loader.
func startProgram(t *testing.T, argv []string, name, data string, runner, loader map[string]any) *program {
	t.Helper()
	scratch := t.TempDir() // before the clean-up, which still needs it
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	p := &program{t: t}
	cmd.Stderr = &p.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		if !t.Failed() {
			p.must(map[string]any{"op": "bye"})
		}
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program ended with %v: %s", err, p.stderr.String())
		}
	})
	hello := p.must(map[string]any{
		"op": "hello", "protocol": "fx-task/1", "collaborator": name, "workspace": "/workspace", "data": data, "scratch": scratch,
		"task_runner": map[string]any{"template": "fx.process.TaskRunner", "settings": runner},
		"data_loader": map[string]any{"template": "fx.data.Folder", "settings": loader}, "opt_treatment": "RESET", "later": "version",
	})
	if hello["protocol"] != "fx-task/1" || hello["name"] == "" {
		t.Errorf("the answer to hello is %v", hello)
	}
	return p
}

// ask sends a request and returns the answer.
func (p *program) ask(request map[string]any) map[string]any {
	p.t.Helper()
	p.id++
	request["id"] = p.id
	line, err := json.Marshal(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatalf("%v: %s", err, p.stderr.String())
	}
	line, err = p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("no answer to %v: %v: %s", request["op"], err, p.stderr.String())
	}
	answer := map[string]any{}
	if err := json.Unmarshal(line, &answer); err != nil {
		p.t.Fatalf("the answer to %v is %q: %v", request["op"], line, err)
	}
	if answer["id"] != float64(p.id) {
		p.t.Errorf("the answer has the id %v, want %d", answer["id"], p.id)
	}
	return answer
}

// must is ask for what must succeed.
func (p *program) must(request map[string]any) map[string]any {
	p.t.Helper()
	answer := p.ask(request)
	if answer["ok"] != true {
		p.t.Fatalf("%v: got %v: %s", request, answer, p.stderr.String())
	}
	return answer
}

// initial makes the initial model.
func (p *program) initial(path string) tensors {
	p.t.Helper()
	if a := p.must(map[string]any{"op": "init", "output": path}); a["tensors"] != true {
		p.t.Errorf("the answer to init is %v", a)
	}
	return readModel(p.t, path)
}

// work does a task, which must succeed.
func (p *program) work(function string, round int, inputs, output string, metrics ...string) map[string]any {
	p.t.Helper()
	return p.must(order(function, round, inputs, output, nil, metrics...))
}

// order is the request for a task.
func order(function string, round int, inputs, output string, kwargs map[string]any, metrics ...string) map[string]any {
	arguments := map[string]any{"metrics": metrics, "apply": "global"}
	maps.Copy(arguments, kwargs)
	return map[string]any{
		"op": "run", "task": "task", "function": function, "round": round, "arguments": arguments,
		"metrics": metrics, "inputs": inputs, "output": output,
	}
}

// metric is a number that a task reports.
func metric(t *testing.T, answer map[string]any, name string) float64 {
	t.Helper()
	metrics, _ := answer["metrics"].(map[string]any)
	v, ok := metrics[name].(float64)
	if !ok {
		t.Fatalf("the answer %v has no metric %q", answer, name)
	}
	return v
}

// tensors is the values of tensors by name.
type tensors map[string][]float32

// readModel reads a whole safetensors file as fx does.
func readModel(t *testing.T, path string) tensors {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := tensor.OpenSafetensors(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	m := tensors{}
	for _, info := range f.Infos() {
		section, err := f.Section(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		values, err := io.ReadAll(section)
		if err != nil {
			t.Fatal(err)
		}
		if info.DType != tensor.F32 {
			t.Errorf("tensor %q is %v", info.Name, info.DType)
		}
		m[info.Name] = tensor.Float32s(values)
	}
	return m
}

// average is what an aggregator makes of the sites' models and their weights. It
// writes the model as a file, too.
func average(t *testing.T, path string, models []tensors, weights []float64) tensors {
	t.Helper()
	total := 0.0
	for _, w := range weights {
		total += w
	}
	m := tensors{}
	var sources []tensor.Source
	for name, values := range models[0] {
		m[name] = make([]float32, len(values))
		for i := range values {
			sum := 0.0
			for site := range models {
				sum += weights[site] * float64(models[site][name][i])
			}
			m[name][i] = float32(sum / total)
		}
		shape := []int{len(values)}
		if name == "weight" {
			shape = []int{64, len(values) / 64}
		}
		sources = append(sources, tensor.Source{
			Info: tensor.Info{Name: name, DType: tensor.F32, Shape: shape},
			Data: bytes.NewReader(tensor.AppendFloat32s(nil, m[name])),
		})
	}
	err := tensor.WriteFile(path, true, func(w io.Writer) error {
		return tensor.WriteSafetensors(w, map[string]string{"of": "a test"}, sources)
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// digitsAt deals the digits to three sites below a folder, and returns their folders.
func digitsAt(t *testing.T, dir string) (names, folders []string) {
	t.Helper()
	names = []string{"a", "b", "c"}
	files, err := digitsData(names)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.Path), f); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		folders = append(folders, filepath.Join(dir, "data", name))
	}
	return names, folders
}

package wasm_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fx/runtime/wasm"
)

const templates = "../../bundle/workspace/templates"

// digits is a folder with the code of the workspace template wasm-go, built both
// ways, the handwritten digits as data/train.csv and data/valid.csv, and io.
func digits(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("the template is built by the go command: %v", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"src", "data", "io"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := filepath.Glob(filepath.Join(templates, "wasm-go/src/*.tmpl"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("the template has %d files: %v", len(sources), err)
	}
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		save(t, filepath.Join(dir, "src", strings.TrimSuffix(filepath.Base(source), ".tmpl")), text)
	}
	src := filepath.Join(dir, "src")
	if out, err := buildModule(src, filepath.Join(dir, "model.wasm")); err != nil {
		t.Fatalf("cannot build the template: %v\n%s", err, out)
	}
	native := exec.Command("go", "build", "-o", filepath.Join(dir, "native"), ".")
	native.Dir, native.Env = src, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := native.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the template: %v\n%s", err, out)
	}
	packed, err := os.Open(filepath.Join(templates, "digits/digits.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(dir, "data/train.csv"), rows)
	save(t, filepath.Join(dir, "data/valid.csv"), rows)
	return dir
}

func save(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// runner is task code that speaks the task protocol.
type runner struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Reader
	end func() // after in is closed
}

// module runs the template in a module, in this process.
func module(t testing.TB, dir string) *runner {
	t.Helper()
	in, toGuest := io.Pipe()
	fromGuest, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		code, err := wasm.Run(context.Background(), wasm.Config{
			Module: filepath.Join(dir, "model.wasm"), Stdin: in, Stdout: out, Stderr: os.Stderr,
			Mounts: []wasm.Mount{{Host: filepath.Join(dir, "data"), Guest: "/data"}, {Host: filepath.Join(dir, "io"), Guest: "/io", Write: true}},
		})
		if code != 0 && err == nil {
			err = fmt.Errorf("the module ended with %d", code)
		}
		_ = out.CloseWithError(err)
		done <- err
	}()
	r := &runner{t: t, in: toGuest, out: bufio.NewReader(fromGuest), end: func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}}
	return r.hello("/data")
}

// process runs a program of the host.
func process(t testing.TB, argv ...string) *runner {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
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
	return &runner{t: t, in: in, out: bufio.NewReader(out), end: func() {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}}
}

func (r *runner) hello(data string) *runner {
	r.t.Helper()
	r.t.Cleanup(r.close)
	r.ask(`{"op": "hello", "protocol": "fx-task/1", "collaborator": "a", "data": "` + data + `",
		"task_runner": {"settings": {"learning_rate": 0.4, "batch_size": 32, "seed": 7}}}`)
	return r
}

func (r *runner) close() {
	_ = r.in.Close() // it may have ended
	r.end()
}

// line sends a line and returns the next one.
func (r *runner) line(text string) []byte {
	r.t.Helper()
	if _, err := io.WriteString(r.in, text+"\n"); err != nil {
		r.t.Fatal(err)
	}
	answer, err := r.out.ReadBytes('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	return answer
}

// ask sends a request, which must succeed, and returns the metrics.
func (r *runner) ask(request string) map[string]float64 {
	r.t.Helper()
	line := r.line(strings.Join(strings.Fields(request), " "))
	var answer struct {
		OK      bool
		Metrics map[string]float64
	}
	if err := json.Unmarshal(line, &answer); err != nil || !answer.OK {
		r.t.Fatalf("%s: got %s, %v", request, line, err)
	}
	return answer.Metrics
}

func train(dir string, epochs int) string {
	return fmt.Sprintf(`{"op": "run", "function": "train_task", "round": 1, "arguments": {"epochs": %d}, "metrics": ["loss"],
		"inputs": "%s/first", "output": "%s/trained"}`, epochs, dir, dir)
}

// The workspace template learns in a module what it learns as a program of the host,
// and the same again.
func TestTemplate(t *testing.T) {
	dir := digits(t)
	files := filepath.Join(dir, "io")
	inModule, onHost := module(t, dir), process(t, filepath.Join(dir, "native")).hello(filepath.Join(dir, "data"))
	const validate = `{"op": "run", "function": "validate_task", "arguments": {}, "metrics": ["accuracy"], "inputs": "%s/trained"}`
	learn := func(r *runner, files string) (trained []byte, loss, accuracy float64) {
		t.Helper()
		r.ask(`{"op": "init", "output": "` + files + `/first"}`)
		loss = r.ask(train(files, 5))["loss"]
		accuracy = r.ask(fmt.Sprintf(validate, files))["accuracy"]
		trained, err := os.ReadFile(filepath.Join(dir, "io/trained"))
		if err != nil {
			t.Fatal(err)
		}
		return trained, loss, accuracy
	}
	trained, loss, accuracy := learn(inModule, "/io")
	again, _, _ := learn(inModule, "/io")
	if !bytes.Equal(trained, again) {
		t.Error("the module learned something else the second time")
	}
	_, hostLoss, hostAccuracy := learn(onHost, files)
	if math.Abs(loss-hostLoss) > 1e-9 || accuracy != hostAccuracy || accuracy < 0.9 {
		t.Errorf("the module has loss %v and accuracy %v, the program %v and %v", loss, accuracy, hostLoss, hostAccuracy)
	}
}

// BenchmarkTrain measures epochs of softmax regression over 1,797 images, in batches
// of 32: the template's code in a module and as a program, and NumPy.
func BenchmarkTrain(b *testing.B) {
	const epochs = 20
	dir := digits(b)
	data := filepath.Join(dir, "data")
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*epochs), "ns/epoch")
	}
	bench := func(name, files string, start func(testing.TB) *runner) {
		b.Run(name, func(b *testing.B) {
			r := start(b)
			r.ask(`{"op": "init", "output": "` + files + `/first"}`)
			r.ask(train(files, 1)) // reads the data
			for b.Loop() {
				r.ask(train(files, epochs))
			}
			report(b)
		})
	}
	bench("wasm", "/io", func(t testing.TB) *runner { return module(t, dir) })
	bench("native", filepath.Join(dir, "io"), func(t testing.TB) *runner { return process(t, filepath.Join(dir, "native")).hello(data) })
	b.Run("numpy", func(b *testing.B) {
		python := os.Getenv("FX_PYTHON")
		if python == "" {
			python = "/usr/bin/python3"
		}
		if out, err := exec.Command(python, "-c", "import numpy").CombinedOutput(); err != nil {
			b.Skipf("%s has no NumPy (FX_PYTHON names another): %v %s", python, err, out)
		}
		r := process(b, python, "testdata/softmax.py", filepath.Join(data, "train.csv"), "0.4", "32")
		b.Cleanup(r.close)
		r.line("1")
		for b.Loop() {
			r.line(fmt.Sprint(epochs))
		}
		report(b)
	})
}

// BenchmarkCompile measures what a module of the Go compiler costs before it runs.
func BenchmarkCompile(b *testing.B) {
	path := filepath.Join(digits(b), "model.wasm")
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		if err := wasm.Load(path, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStart measures a whole run of a module that does nothing, in a process of
// its own, against a process that ends at once.
func BenchmarkStart(b *testing.B) {
	path := moduleFile(b, program())
	for _, bm := range []struct {
		name string
		args []string
	}{{"module", []string{path}}, {"nothing", nil}} {
		b.Run(bm.name, func(b *testing.B) {
			for b.Loop() {
				err := childCommand(context.Background(), b, bm.args...).Run()
				if (err != nil) != (len(bm.args) == 0) {
					b.Fatal(err)
				}
			}
		})
	}
}

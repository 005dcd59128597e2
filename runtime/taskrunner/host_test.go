//go:build linux

package taskrunner

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"fx/runtime/sandbox"
	"fx/schema"
)

// double runs the test binary in a box as the task runner that behaves so.
func double(t testing.TB, behaviour string, change func(*Options)) (Runner, *Options) {
	t.Helper()
	o := Options{
		Workspace: fstest.MapFS{
			"src/runner.sh": {Data: []byte("#!/bin/sh\nexec \"$1\"\n")}, // not executable by its mode
			"save/init":     {Data: []byte("x")},
		},
		TaskRunner: schema.Component{Template: templateProcess, Settings: m{"command": []any{"src/runner.sh", "/fx/double"}, "rate": 1.0, "name": "x"}},
		DataLoader: schema.Component{Template: templateFolder},
		Scratch:    t.TempDir(), Name: "hospital-a", Opt: "RESET",
		Box: BoxOptions{
			Show: []sandbox.Show{{Host: doubleExecutable(t), Box: "/fx/double"}},
			Env:  []string{behaviourVariable + "=" + behaviour},
		},
	}
	if change != nil {
		change(&o)
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, &o
}

// needBox skips a test where no box can be had.
func needBox(t testing.TB, err error) {
	t.Helper()
	if missing, ok := errors.AsType[*sandbox.MissingError](err); ok {
		t.Skipf("no box here: %v", missing)
	}
}

func writeModel(t testing.TB, dir string, v float32) string {
	t.Helper()
	name := filepath.Join(dir, "model.safetensors")
	if err := os.WriteFile(name, oneTensor(v), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestProcess(t *testing.T) {
	r, o := double(t, "good", nil)
	init := filepath.Join(o.Scratch, "init.safetensors")
	err := r.Init(t.Context(), init)
	needBox(t, err)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, init); !bytes.Equal(got, oneTensor(1)) {
		t.Errorf("the initial model is %q", got)
	}
	model := writeModel(t, o.Scratch, 5)
	for round := range 3 {
		job := Job{Task: task("train", "train_task", m{"metrics": []any{"loss", "accuracy"}}), Round: round, Inputs: model, Output: filepath.Join(o.Scratch, "out")}
		got, err := r.Run(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Metrics) != 2 || got.Metrics[0] != (Metric{"loss", 0.5}) || got.Metrics[1] != (Metric{"accuracy", 0.25}) || got.DataSize != 7 || !got.Tensors {
			t.Errorf("round %d: got %+v", round, got)
		}
		if out := read(t, job.Output); !bytes.Equal(out, oneTensor(float32(round))) {
			t.Errorf("round %d: the output is %q", round, out)
		}
		if info, err := os.Stat(job.Output); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the output: %v, %v", info, err)
		}
	}
	if info, err := os.Stat(model); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the model that was lent: %v, %v", info, err)
	}
	if left, err := os.ReadDir(filepath.Join(o.Scratch, "inputs")); err != nil || len(left) != 0 {
		t.Errorf("left in inputs: %v, %v", left, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	log := string(read(t, filepath.Join(o.Scratch, taskLogName)))
	if want := "asked hello 1\nasked init 2\nasked run 3\nasked run 4\nasked run 5\nasked bye 6\n"; log != want {
		t.Errorf("one process did: %q, want %q", log, want)
	}
}

// A caller that copies the tensors anyway gets the file itself.
func TestLend(t *testing.T) {
	r, o := double(t, "good", nil)
	job := Job{Task: task("train", "train_task", m{"metrics": []any{"loss", "accuracy"}}), Round: 2, Output: filepath.Join(o.Scratch, "out"), Lend: true}
	got, err := r.Run(t.Context(), job)
	needBox(t, err)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil { // the file outlives the box
		t.Error(err)
	}
	b, err := io.ReadAll(got.File)
	if err := errors.Join(err, got.File.Close()); err != nil || !bytes.Equal(b, oneTensor(2)) {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := os.Stat(job.Output); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a copy was made: %v", err)
	}
}

// What a runner sees, and what the plan and the site tell it.
func TestProcessSees(t *testing.T) {
	for _, level := range []sandbox.Level{sandbox.Full, sandbox.Confined} {
		t.Run(string(level), func(t *testing.T) {
			t.Setenv("SECRET", "s")
			data := reachable(t)
			if err := os.WriteFile(filepath.Join(data, "rows.csv"), []byte("1,2\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			r, o := double(t, "looks around", func(o *Options) {
				o.DataPath, o.Box.Level = data, level
				o.Needs.Env = map[string]string{"PLAN": "p", "SITE": "p"}
				o.Box.Env = append(o.Box.Env, "SITE=s")
			})
			listed := []any{"data", "inputs", "readonly", "settings", "epochs", "round", "env"}
			job := Job{Task: task("look", "look", m{"metrics": listed, "epochs": 3}), Round: 9, Inputs: writeModel(t, o.Scratch, 5)}
			got, err := r.Run(t.Context(), job)
			needBox(t, err)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]float64{"data": 1, "inputs": 1, "readonly": 1, "settings": 1, "epochs": 3, "round": 9, "env": 1}
			for _, metric := range got.Metrics {
				if level == sandbox.Confined && metric.Name == "data" {
					continue // the double looks at the full box's path
				}
				if want[metric.Name] != metric.Value {
					t.Errorf("%s is %v, want %v", metric.Name, metric.Value, want[metric.Name])
				}
			}
			if got.DataSize != -1 || got.Tensors {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestProcessCannotWriteCode(t *testing.T) {
	r, _ := double(t, "writes code", nil)
	_, err := r.Run(t.Context(), Job{Task: task("t", "f", m{"metrics": []any{"loss", "accuracy"}})})
	needBox(t, err)
	if err != nil {
		t.Error(err)
	}
}

// records keeps what the operator is shown.
type records struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func newRecords() *records { return &records{Handler: slog.DiscardHandler} }

func (r *records) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.Attrs(func(a slog.Attr) bool {
		r.lines = append(r.lines, a.Value.String())
		return true
	})
	return nil
}

func (r *records) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// Every way to misbehave has its message, and the next task gets a fresh process
// (after what the task code reports itself, the same one).
func TestMisbehaviour(t *testing.T) {
	for _, tt := range []struct {
		behaviour, want string
	}{
		{"no hello", "it did not answer within 3s and was stopped"},
		{"no protocol", `it speaks the protocol ""; "fx-task/1" is needed`},
		{"another protocol", `it speaks the protocol "fx-task/2"; "fx-task/1" is needed`},
		{"no name", "the answer to hello has no name"},
		{"hello fails", "it could not start: no module named numpy"},
		{"not JSON", `a line on its standard output that is no JSON: "Epoch 1/10 \x1b[2J loss 0.5"; standard output is for answers only`},
		{"NaN", "JSON has no NaN"},
		{"not UTF-8", "the document is not UTF-8 text"},
		{"two objects", "no JSON"},
		{"huge number", "1e999"},
		{"null metric", `the metric "loss" is null; a number was expected`},
		{"text metric", "wrong type"},
		{"no metrics", "the answer has no metrics"},
		{"missing metric", `the metric "loss" is missing`},
		{"extra metric", `the metrics "leak\x1b[2J", which the plan does not list`},
		{"no data size", "the answer has no data_size"},
		{"bad data size", "data_size is -2"},
		{"huge data size", "data_size is 3000000000"},
		{"no tensors", "the answer has no tensors"},
		{"no file", "it says that it wrote tensors, but"},
		{"link", "it says that it wrote tensors, but"},
		{"device", "it says that it wrote tensors, but"},
		{"sparse", "the tensors that it wrote"},
		{"bad tensors", "no safetensors file"},
		{"wrong id", "it answered with the id 12; 2 was expected"},
		{"no ok", "its answer has no ok"},
		{"ok and error", "its answer is ok and has an error"},
		{"unknown field", `unknown field "patient"`},
		{"field twice", "occurs twice"},
		{"no reason", "it failed without saying why"},
		{"says why", `the task code says: no such \u202ecolumn\x1b[2J: age`},
		{"says why, at length", strings.Repeat("long ", 100) + "…"},
		{"long line", "a line of more than 1048576 bytes"},
		{"half a line", "in the middle of a line"},
		{"closes output", "it closed its standard input or output without answering"},
		{"exits", "it exited with code 3 instead of answering"},
		{"signal", "it was ended by the signal SIG"},
		{"eats memory", "it ran out of memory of the 256 MiB that it may use and was ended; give it more with --box-memory"},
		{"hangs", "it did not answer within 300ms and was stopped"},
	} {
		t.Run(tt.behaviour, func(t *testing.T) {
			seen := newRecords()
			r, o := double(t, tt.behaviour, func(o *Options) {
				o.Log = slog.New(seen)
				switch tt.behaviour {
				case "eats memory":
					o.Box.Limits.Memory = 256 << 20
				case "no hello":
					o.Box.StartTimeout, o.Needs.StartTimeout = 3*time.Second, time.Hour // the box, too, has to start in it
				case "hangs":
					o.Box.TaskTimeout, o.Needs.TaskTimeout = time.Hour, 300*time.Millisecond
				}
			})
			job := Job{Task: task("train", "train_task", m{"metrics": []any{"loss"}}), Inputs: writeModel(t, o.Scratch, 5), Output: filepath.Join(o.Scratch, "out")}
			_, err := r.Run(t.Context(), job)
			needBox(t, err)
			if tt.behaviour == "eats memory" && err != nil && strings.Contains(err.Error(), "exited with code 2") {
				t.Skip("there is no cgroup here that says why the Go runtime gave up")
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
				return
			}
			log := filepath.Join(o.Scratch, taskLogName)
			if !strings.Contains(err.Error(), log) {
				t.Errorf("the error does not name the log: %v", err)
			}
			if strings.ContainsAny(err.Error(), "\x1b\u202e") || len(err.Error()) > 2000 {
				t.Errorf("the error is not safe to show: %.2000q", err)
			}
			if !strings.Contains(seen.text(), "asked hello") || strings.ContainsAny(seen.text(), "\x1b\u202e") {
				t.Errorf("the operator sees %q", seen.text())
			}
			if _, err := os.Stat(job.Output); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("an output was left behind: %v", err)
			}
			alive := strings.HasPrefix(tt.behaviour, "says why") || tt.behaviour == "no reason"
			if h := r.(*hosted); (h.session != nil) != alive {
				t.Errorf("the process lives: %v, want %v", h.session != nil, alive)
			}
		})
	}
}

// After a failure the next task runs in a new process; what is printed after an
// answer is found out with the next one.
func TestRestart(t *testing.T) {
	r, o := double(t, "answers unasked", nil)
	job := Job{Task: task("train", "train_task", m{"metrics": []any{"loss"}}), Output: filepath.Join(o.Scratch, "out")}
	_, err := r.Run(t.Context(), job)
	needBox(t, err)
	for i, want := range []string{"", "it answered with the id 99; 3 was expected", "", "it answered with the id 99"} {
		if i > 0 {
			_, err = r.Run(t.Context(), job)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("task %d: got %v, want %q", i, err, want)
		}
	}
}

func TestCancel(t *testing.T) {
	r, o := double(t, "hangs", nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	job := Job{Task: task("train", "train_task", nil), Output: filepath.Join(o.Scratch, "out")}
	go func() {
		_, err := r.Run(ctx, job)
		done <- err
	}()
	log := filepath.Join(o.Scratch, taskLogName)
	for started := false; !started; {
		select {
		case err := <-done:
			needBox(t, err)
			t.Fatalf("it ended by itself: %v", err)
		default:
			text, err := os.ReadFile(log)
			started = err == nil && bytes.Contains(text, []byte("asked run"))
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Run(ctx, job); !errors.Is(err, context.Canceled) {
		t.Errorf("after it was cancelled: got %v", err)
	}
}

func TestCapabilities(t *testing.T) {
	r, o := double(t, "runs only", nil)
	err := r.Init(t.Context(), filepath.Join(o.Scratch, "init"))
	needBox(t, err)
	if err == nil || !strings.Contains(err.Error(), `makes no initial model: its capabilities are "run"`) {
		t.Errorf("got %v", err)
	}
}

// A runner in shell, without jq.
func TestShellRunner(t *testing.T) {
	const script = `#!/bin/sh
while read -r line; do
	id=${line#*:}
	id=${id%%,*}
	case $line in
	*'"op":"hello"'*) echo "{\"id\":$id,\"ok\":true,\"protocol\":\"fx-task/1\",\"name\":\"shell\"}" ;;
	*'"op":"run"'*) echo "{\"id\":$id,\"ok\":true,\"metrics\":{\"rows\":$(wc -l </data/rows.csv)},\"data_size\":3,\"tensors\":false}" ;;
	*'"op":"bye"'*) echo "{\"id\":$id,\"ok\":true}"; exit 0 ;;
	*) echo "{\"id\":$id,\"ok\":true,\"tensors\":false}" ;;
	esac
done
`
	data := reachable(t)
	if err := os.WriteFile(filepath.Join(data, "rows.csv"), []byte("1\n2\n3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, o := double(t, "", func(o *Options) {
		o.Workspace = fstest.MapFS{"src/runner.sh": {Data: []byte(script)}}
		o.DataPath, o.Box = data, BoxOptions{}
	})
	err := r.Init(t.Context(), filepath.Join(o.Scratch, "init"))
	needBox(t, err)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Run(t.Context(), Job{Task: task("count", "count", m{"metrics": []any{"rows"}})})
	if err != nil || len(got.Metrics) != 1 || got.Metrics[0].Value != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The example of the document is a runner.
func TestDocumentExample(t *testing.T) {
	if _, err := os.Stat("/usr/bin/jq"); err != nil {
		t.Skip("the example needs jq in /usr/bin")
	}
	_, rest, ok := strings.Cut(string(read(t, "../../docs/task-protocol.md")), "```sh\n#!/bin/sh\n")
	script, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatal("the document has no example")
	}
	data := reachable(t)
	r, o := double(t, "", func(o *Options) {
		o.Workspace = fstest.MapFS{"src/runner.sh": {Data: []byte("#!/bin/sh\n" + script)}}
		o.DataPath, o.Box = data, BoxOptions{}
	})
	job := Job{Task: task("count", "count", m{"metrics": []any{"rows"}})}
	_, err := r.Run(t.Context(), job)
	needBox(t, err)
	if err == nil || !strings.Contains(err.Error(), "the task code says: there is no rows.csv in the data") {
		t.Errorf("without data: got %v", err)
	}
	if err := os.WriteFile(filepath.Join(data, "rows.csv"), []byte("1\n2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Init(t.Context(), filepath.Join(o.Scratch, "init")); err != nil {
		t.Error(err)
	}
	if got, err := r.Run(t.Context(), job); err != nil || got.DataSize != 2 || got.Metrics[0].Value != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

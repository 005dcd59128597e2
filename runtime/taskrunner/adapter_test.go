package taskrunner_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fx/runtime/tensor"
)

// object is a JSON object.
type object = map[string]any

// interpreter finds a Python that can import these modules. Where CI names one
// with FX_PYTHON, it must.
func interpreter(t *testing.T, modules ...string) string {
	t.Helper()
	python := os.Getenv("FX_PYTHON")
	if python == "" {
		python = "/usr/bin/python3"
	}
	out, err := exec.Command(python, "-c", "import "+strings.Join(modules, ", ")).CombinedOutput()
	if err == nil {
		return python
	}
	if os.Getenv("CI") == "true" && os.Getenv("FX_PYTHON") != "" {
		t.Fatalf("FX_PYTHON=%s cannot import %v: %v\n%s", python, modules, err, out)
	}
	t.Skipf("%s cannot import %v: %v; FX_PYTHON names another interpreter", python, modules, err)
	return ""
}

// adapter is the adapter in a plain process, without a box, and what it runs.
type adapter struct {
	t         *testing.T
	command   *exec.Cmd
	in        io.WriteCloser
	out       *bufio.Reader
	log       bytes.Buffer
	workspace string
	dir       string // for tensors
	ids       int
}

// workspaceOf writes Python modules into the folder src of a new workspace.
func workspaceOf(t *testing.T, modules map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "src"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range modules {
		if err := os.WriteFile(filepath.Join(dir, "src", name+".py"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// startAdapter starts the adapter over a workspace. It has not said hello yet.
func startAdapter(t *testing.T, workspace, python string, flags ...string) *adapter {
	t.Helper()
	a := &adapter{t: t, workspace: workspace, dir: t.TempDir()}
	a.command = exec.Command(python, append(flags, "-B", "-u", filepath.Join("adapter", "fx_adapter.py"))...)
	a.command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + a.dir, "LANG=C.UTF-8", "OMP_NUM_THREADS=1"}
	a.command.Stderr = &a.log
	in, err := a.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.in, a.out = in, bufio.NewReader(out)
	if err := a.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.command.Process.Kill()
		_ = a.command.Wait()
		if t.Failed() {
			t.Logf("standard error of the adapter:\n%s", a.log.String())
		}
	})
	return a
}

// ask sends a request and returns the answer.
func (a *adapter) ask(op string, fields object) object {
	a.t.Helper()
	a.ids++
	request := object{"id": a.ids, "op": op}
	maps.Copy(request, fields)
	line, err := json.Marshal(request)
	if err != nil {
		a.t.Fatal(err)
	}
	answer := a.send(line)
	if answer["id"] != float64(a.ids) {
		a.t.Fatalf("answer %v to request %d", answer, a.ids)
	}
	return answer
}

func (a *adapter) send(line []byte) object {
	a.t.Helper()
	if _, err := a.in.Write(append(line, '\n')); err != nil {
		a.t.Fatal(err)
	}
	got, err := a.out.ReadBytes('\n')
	if err != nil {
		a.t.Fatalf("%q was not answered: %v", line, err)
	}
	var answer object
	if err := json.Unmarshal(got, &answer); err != nil {
		a.t.Fatalf("answer %q: %v", got, err)
	}
	return answer
}

// hello makes the answer of a hello whose fields may be replaced.
func (a *adapter) hello(fields object) object {
	a.t.Helper()
	request := object{
		"protocol": "fx-task/1", "collaborator": "hospital-a", "workspace": a.workspace, "data": "7", "scratch": a.dir,
		"task_runner":   object{"template": "src.code.Runner", "settings": object{}},
		"data_loader":   object{"template": "src.code.Loader", "settings": object{}},
		"opt_treatment": "RESET",
	}
	maps.Copy(request, fields)
	return a.ask("hello", request)
}

// begin says hello, which must succeed.
func (a *adapter) begin(fields object) *adapter {
	a.t.Helper()
	if got := a.hello(fields); got["ok"] != true {
		a.t.Fatalf("hello: %v", got)
	}
	return a
}

func (a *adapter) file(name string) string { return filepath.Join(a.dir, name+".safetensors") }

// run does a task; inputs and the output are files of the adapter's folder.
func (a *adapter) run(task, function string, round int, inputs, output string, arguments object) object {
	a.t.Helper()
	if inputs != "" {
		inputs = a.file(inputs)
	}
	metrics, _ := arguments["metrics"].([]string)
	return a.ask("run", object{"task": task, "function": function, "round": round, "arguments": arguments,
		"metrics": metrics, "inputs": inputs, "output": a.file(output)})
}

// tensors reads a file as fxrun does.
func (a *adapter) tensors(name string) map[string]string {
	a.t.Helper()
	b, err := os.ReadFile(a.file(name))
	if err != nil {
		a.t.Fatal(err)
	}
	f, err := tensor.OpenSafetensors(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		a.t.Fatal(err)
	}
	got := map[string]string{}
	for _, info := range f.Infos() {
		s, err := f.Section(info.Name)
		if err != nil {
			a.t.Fatal(err)
		}
		raw, err := io.ReadAll(s)
		if err != nil {
			a.t.Fatal(err)
		}
		got[info.Name] = fmt.Sprintf("%s%v%v", info.DType, info.Shape, tensor.Float32s(raw))
	}
	return got
}

func wantTensors(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("got tensors %v\nwant %v", got, want)
	}
}

// wantError checks a refusal: its text, and that it is one line.
func wantError(t *testing.T, answer object, want string) {
	t.Helper()
	text, _ := answer["error"].(string)
	if answer["ok"] != false || !strings.Contains(text, want) || strings.ContainsAny(text, "\r\n") || len([]rune(text)) > 500 {
		t.Errorf("got %v, want one line with %q", answer, want)
	}
	if keys := slices.Sorted(maps.Keys(answer)); !slices.Equal(keys, []string{"error", "id", "ok"}) {
		t.Errorf("the answer has the fields %v", keys)
	}
}

// everyKind has tensors of every kind of number, and of none.
const everyKind = `
import numpy as np
from openfl.federated import DataLoader, TaskRunner
from openfl.utilities import TensorKey
from openfl.utilities.split import split_tensor_dict_for_holdouts

class Loader(DataLoader):
    def __init__(self, data_path, scale=1, **kwargs):
        self.data_path, self.scale = data_path, scale
    def get_feature_shape(self):
        return [2]
    def get_train_data_size(self):
        return np.int64(int(self.data_path) * 10)
    def get_valid_data_size(self):
        return int(self.data_path)

class Runner(TaskRunner):
    def __init__(self, step=1.0, **kwargs):
        super().__init__(tensor_dict_split_fn_kwargs={"holdout_tensor_names": ["own"]}, **kwargs)
        self.step = step
        self.model = {
            "w": np.array([[1, 2], [3, 4]], np.float32), "wide": np.array([0.1, -2.0], np.float64),
            "half": np.array([1.5], np.float16), "count": np.array(3, np.int64), "bytes": np.array([200], np.uint8),
            "none": np.zeros((0, 3), np.float32), "turned": np.array([[1, 2], [3, 4]], np.float32).T,
            "flags": np.array([True, False]), "text": np.array("lead"), "own": np.array([5.0], np.float32),
        }
        self.seen = []

    def initialize_tensorkeys_for_functions(self, with_opt_vars=False):
        send, keep = split_tensor_dict_for_holdouts(self.model, **self.tensor_dict_split_fn_kwargs)
        self.send, self.keep = list(send), list(keep)

    def get_tensor_dict(self, with_opt_vars):
        return dict(self.model)

    def get_required_tensorkeys_for_function(self, function, apply="global", **kwargs):
        if function == "peek":
            return []
        if apply == "local":
            return [TensorKey(n, "LOCAL", 0, False, ("trained",)) for n in self.send + self.keep]
        return ([TensorKey(n, "GLOBAL", 0, False, ("model",)) for n in self.send]
                + [TensorKey(n, "LOCAL", 0, False, ("model",)) for n in self.keep])

    def train_task(self, col_name, round_num, input_tensor_dict, **kwargs):
        assert self.opt_treatment == "RESET" and col_name == "hospital-a"
        self.model = {n: v + v.dtype.type(self.step) if v.dtype.kind in "fiu" else v
                      for n, v in input_tensor_dict.items()}
        # Learned in float64, of which only float32 can leave.
        self.model["wide"] = np.asarray(self.model["wide"], np.float64) + 1e-9
        input_tensor_dict["w"][:] = -1
        send = {TensorKey(n, col_name, round_num, False, ("trained",)): self.model[n] for n in self.send}
        send[TensorKey("loss", col_name, round_num, True, ("metric",))] = np.array(0.25)
        keep = {TensorKey(n, col_name, r, False, (tag,)): self.model[n] for n in self.keep
                for r, tag in ((round_num, "trained"), (round_num + 1, "model"))}
        return send, keep

    def validate_task(self, col_name, round_num, input_tensor_dict, apply, **kwargs):
        value = sum(float(v.sum()) for v in input_tensor_dict.values() if v.dtype.kind in "fiub")
        value += 1000 * (str(input_tensor_dict["text"]) == "lead") + 2000 * (len(input_tensor_dict) == 10)
        tags = ("metric", "validate_" + ("local" if apply == "local" else "agg"))
        return {TensorKey("sum", col_name, round_num, True, tags): np.float64(value)}, {}

    def peek(self, col_name, round_num, input_tensor_dict, **kwargs):
        return {}, {}
`

func TestAdapterRunsOpenFLClasses(t *testing.T) {
	python := interpreter(t, "numpy")
	workspace := workspaceOf(t, map[string]string{"code": everyKind})
	global := object{"apply": "global", "metrics": []string{"sum"}}
	local := object{"apply": "local", "metrics": []string{"sum"}}
	training := object{"metrics": []string{"loss"}}
	a := startAdapter(t, workspace, python).begin(object{"task_runner": object{"template": "src.code.Runner", "settings": object{"step": 2}}})

	// As `fx plan initialize`: what stays is no part of the initial model.
	if got := a.ask("init", object{"output": a.file("init")}); got["ok"] != true || got["tensors"] != true {
		t.Fatalf("init: %v", got)
	}
	initial := map[string]string{
		"w": "F32[2 2][1 2 3 4]", "wide": "F32[2][0.1 -2]", "half": "F32[1][1.5]", "count": "F32[][3]", "bytes": "F32[1][200]",
		"none": "F32[0 3][]", "turned": "F32[2 2][1 3 2 4]",
	}
	wantTensors(t, a.tensors("init"), initial)
	raw, err := os.ReadFile(a.file("init"))
	if err != nil {
		t.Fatal(err)
	}
	if length := int(raw[0]) | int(raw[1])<<8; length%8 != 0 {
		t.Errorf("the header has %d bytes; a multiple of 8 was expected, so that values are aligned", length)
	}

	// 10 + -1.9 + 1.5 + 3 + 200 + 10 and, of what stays, 1 + 5; all ten are there.
	wide := float32(0.1)
	wide -= 2
	measured := 10 + float64(wide) + 1.5 + 3 + 200 + 10 + 1 + 5 + 3000
	got := a.run("aggregated_model_validation", "validate_task", 0, "init", "x", global)
	wantResult(t, got, "sum", measured, 7, false)

	got = a.run("train", "train_task", 0, "init", "t0", training)
	wantResult(t, got, "loss", 0.25, 70, true)
	wantTensors(t, a.tensors("t0"), map[string]string{
		"w": "F32[2 2][3 4 5 6]", "wide": "F32[2][2.1 1e-09]", "half": "F32[1][3.5]", "count": "F32[][5]", "bytes": "F32[1][202]",
		"none": "F32[0 3][]", "turned": "F32[2 2][3 5 4 6]",
	})
	wantTensors(t, a.tensors("init"), initial) // the runner wrote into its own copy of the pages only

	here := a.run("locally_tuned_model_validation", "validate_task", 0, "t0", "x", local)
	if here["ok"] != true || here["data_size"] != 7.0 {
		t.Fatalf("local validation: %v", here)
	}
	// The next round begins with what stayed as it was trained: own is 7, and not 5.
	measured += 2
	wantResult(t, a.run("aggregated_model_validation", "validate_task", 1, "init", "x", global), "sum", measured, 7, false)
	wantResult(t, a.run("aggregated_model_validation", "validate_task", 3, "init", "x", global), "sum", measured, 7, false)
	if got := a.run("analyse", "peek", 3, "", "x", object{}); got["ok"] != true || got["data_size"] != -1.0 || got["tensors"] != false {
		t.Errorf("a task without inputs and results: %v", got)
	}

	// After a restart fxrun hands over what this site trained; what never leaves is lost.
	b := startAdapter(t, workspace, python).begin(nil)
	b.dir = a.dir
	wantError(t, b.run("locally_tuned_model_validation", "validate_task", 0, "t0", "x", local), "with tags ['trained'] of round 0, which never leaves this site")
	wantError(t, b.run("train", "train_task", 4, "init", "t4", training), "lost with an earlier process")
}

func wantResult(t *testing.T, got object, metric string, value float64, size int, tensors bool) {
	t.Helper()
	metrics, _ := got["metrics"].(object)
	if got["ok"] != true || len(metrics) != 1 || metrics[metric] != value || got["data_size"] != float64(size) || got["tensors"] != tensors {
		t.Errorf("got %v, want %s %v, size %d, tensors %v", got, metric, value, size, tensors)
	}
}

// plain keeps nothing at the site, so that a restart changes nothing.
const plain = `
import numpy as np
from openfl.federated import DataLoader, TaskRunner
from openfl.utilities import TensorKey

class Loader(DataLoader):
    def __init__(self, data_path=None, **kwargs):
        pass
    def get_feature_shape(self):
        return [2]
    def get_train_data_size(self):
        return 1

class Runner(TaskRunner):
    def initialize_tensorkeys_for_functions(self):
        pass
    def get_tensor_dict(self, with_opt_vars):
        return {"w": np.arange(3, dtype=np.float32)}
    def get_required_tensorkeys_for_function(self, function, apply="global", **kwargs):
        if apply == "local":
            return [TensorKey("w", "LOCAL", 0, False, ("trained",))]
        return [TensorKey("w", "GLOBAL", 0, False, ("model",))]
    def double(self, col_name, round_num, input_tensor_dict, **kwargs):
        w = input_tensor_dict["w"] * 2
        return {TensorKey("w", col_name, round_num, False, ("trained",)): w}, {}
    def total(self, col_name, round_num, input_tensor_dict, **kwargs):
        value = input_tensor_dict["w"].sum()
        return {TensorKey("total", col_name, round_num, True, ("metric", "validate_local")): value}, {}
`

// What a site trained in a round is there after a restart, for fxrun hands it over.
func TestAdapterAfterRestart(t *testing.T) {
	python := interpreter(t, "numpy")
	workspace := workspaceOf(t, map[string]string{"code": plain})
	local := object{"apply": "local", "metrics": []string{"total"}}
	a := startAdapter(t, workspace, python).begin(nil)
	a.ask("init", object{"output": a.file("init")})
	if got := a.run("train", "double", 0, "init", "t0", object{}); got["ok"] != true {
		t.Fatalf("training: %v", got)
	}
	wantTensors(t, a.tensors("t0"), map[string]string{"w": "F32[3][0 2 4]"})
	wantResult(t, a.run("check", "total", 0, "t0", "x", local), "total", 6, -1, false)
	b := startAdapter(t, workspace, python).begin(nil)
	b.dir = a.dir
	wantResult(t, b.run("check", "total", 0, "t0", "x", local), "total", 6, -1, false)
	wantError(t, b.run("check", "total", 0, "", "x", object{"apply": "global"}), "which the model does not have")
}

// hostile does what task code should not.
const hostile = plain + `
import multiprocessing, os, subprocess, sys, threading, time

class Broken(Exception):
    def __str__(self):
        raise RuntimeError("no text")

def key(name, round_num, report=False, tags=("trained",)):
    return TensorKey(name, "hospital-a", round_num, report, tags)

RESULTS = {
    "none": lambda r: None,
    "list": lambda r: [{}, {}],
    "three": lambda r: ({}, {}, {}),
    "dict": lambda r: {},
    "string key": lambda r: ({"w": np.ones(1)}, {}),
    "float round": lambda r: ({key("w", 0.5): np.ones(1)}, {}),
    "other round": lambda r: ({key("w", r + 1): np.ones(1)}, {}),
    "text": lambda r: ({key("w", r): np.array("secret")}, {}),
    "object": lambda r: ({key("w", r): {"a": 1}}, {}),
    "complex": lambda r: ({key("w", r): np.array([1j])}, {}),
    "analytics": lambda r: ({key("w", r, tags=("analytics",)): np.ones(1)}, {}),
    "delta": lambda r: ({key("w", r, tags=("trained", "delta")): np.ones(1)}, {}),
    "twice": lambda r: ({key("w", r): np.ones(1), key("w", r, True, ("metric",)): np.ones(1)}, {}),
    "long name": lambda r: ({key("n" * 5000, r): np.ones(1)}, {}),
    "no name": lambda r: ({key("", r): np.ones(1)}, {}),
    "number name": lambda r: ({key(7, r): np.ones(1)}, {}),
    "surrogate": lambda r: ({key("\ud800", r): np.ones(1)}, {}),
    "metadata": lambda r: ({key("__metadata__", r): np.ones(1)}, {}),
    "nan": lambda r: ({key("loss", r, True, ("metric",)): np.array(np.nan)}, {}),
    "infinite": lambda r: ({key("loss", r, True, ("metric",)): float("inf")}, {}),
    "vector": lambda r: ({key("loss", r, True, ("metric",)): np.ones(2)}, {}),
    "word": lambda r: ({key("loss", r, True, ("metric",)): "low"}, {}),
    "no weight": lambda r: ({}, {}),
    "many metrics": lambda r: ({key(f"{i:0>100}", r, True, ("metric",)): 1 for i in range(12000)}, {}),
}

class Runner(Runner):
    def misbehave(self, col_name, round_num, input_tensor_dict, kind):
        if kind == "no weight":
            self.data_loader.get_train_data_size = lambda: None
        return RESULTS[kind](round_num)
    def raises(self, col_name, round_num, input_tensor_dict):
        raise ValueError("bad\nvalue " + "x" * 600)
    def raises_in_library(self, col_name, round_num, input_tensor_dict):
        np.ones(3).reshape(2)
    def raises_broken(self, col_name, round_num, input_tensor_dict):
        raise Broken
    def exits(self, col_name, round_num, input_tensor_dict):
        sys.exit("good bye")
    def prints(self, col_name, round_num, input_tensor_dict):
        print('{"id":1,"ok":true}')
        os.write(1, b'{"id":2,"ok":true}\n')
        subprocess.run(["/bin/sh", "-c", 'echo \'{"id":3}\''])
        assert sys.stdin.read() == ""
        print("\ud800")
        threading.Thread(target=time.sleep, args=(3600,)).start()
        return {}, {}
    def spawns(self, col_name, round_num, input_tensor_dict):
        for method in ("fork", "spawn"):
            with multiprocessing.get_context(method).Pool(2) as pool:
                assert pool.map(square, [1, 2, 3]) == [1, 4, 9]
        return {}, {}
    attribute = 7

def square(x):
    print("squaring")
    return x * x
`

func TestAdapterRefuses(t *testing.T) {
	a := startAdapter(t, workspaceOf(t, map[string]string{"code": hostile}), interpreter(t, "numpy")).begin(nil)
	a.ask("init", object{"output": a.file("init")})
	for _, tt := range []struct{ function, kind, want string }{
		{"misbehave", "none", "misbehave returned a NoneType; two dicts {TensorKey: array} were expected"},
		{"misbehave", "list", "returned a list of 2 (dict, dict)"},
		{"misbehave", "three", "returned a tuple of 3"},
		{"misbehave", "dict", "returned a dict;"},
		{"misbehave", "string key", "uses 'w' as a key; a TensorKey was expected"},
		{"misbehave", "float round", "the round 0.5; a whole number was expected"},
		{"misbehave", "other round", "sends 'w' as of round 3 in round 2"},
		{"misbehave", "text", "tensor 'w' is an array of <U6; only numbers travel"},
		{"misbehave", "object", "tensor 'w' is an array of object"},
		{"misbehave", "complex", "tensor 'w' is an array of complex128"},
		{"misbehave", "analytics", "with the tags ['analytics'], which fx does not carry"},
		{"misbehave", "delta", "which fx does not carry"},
		{"misbehave", "twice", "sends 'w' twice"},
		{"misbehave", "long name", "has 5000 bytes; at most 4096 are allowed"},
		{"misbehave", "no name", "a tensor is named ''"},
		{"misbehave", "number name", "a tensor is named 7; text was expected"},
		{"misbehave", "surrogate", "is not Unicode text"},
		{"misbehave", "metadata", "may not be named '__metadata__'"},
		{"misbehave", "nan", "metric 'loss' is nan; a finite number was expected"},
		{"misbehave", "infinite", "metric 'loss' is inf"},
		{"misbehave", "vector", "metric 'loss' is an array of float64 with shape [2]; one number was expected"},
		{"misbehave", "word", "metric 'loss' is a str"},
		{"misbehave", "many metrics", "at most 1048576 are allowed"},
		{"misbehave", "no weight", "size for task 'train' is a NoneType; a number was expected"},
		{"raises", "", "ValueError: bad value xxx"},
		{"raises_in_library", "", "reshape array of size 3 into shape (2,) (src/code.py:"},
		{"raises_broken", "", "Broken: (it cannot be printed) (src/code.py:"},
		{"exits", "", "SystemExit: good bye (src/code.py:"},
		{"absent", "", "the task runner Runner has no function 'absent'"},
		{"attribute", "", "has no function 'attribute'"},
	} {
		t.Run(tt.function+" "+tt.kind, func(t *testing.T) {
			arguments := object{}
			if tt.kind != "" {
				arguments["kind"] = tt.kind
			}
			wantError(t, a.run("train", tt.function, 2, "init", "x", arguments), tt.want)
			// What was refused is not there to be taken, and the adapter lives on.
			if got := a.run("other", "double", 2, "init", "y", object{}); got["ok"] != true {
				t.Errorf("the next task: %v", got)
			}
		})
	}
	if got := a.run("other", "spawns", 2, "init", "x", object{}); got["ok"] != true {
		t.Errorf("code with processes of its own: %v", got)
	}
	if got := a.run("other", "prints", 2, "init", "x", object{}); got["ok"] != true {
		t.Errorf("code that prints: %v", got)
	}
	if got := a.ask("bye", nil); got["ok"] != true {
		t.Errorf("bye: %v", got)
	}
	if rest, err := io.ReadAll(a.out); err != nil || len(rest) > 0 {
		t.Errorf("after bye came %q, %v", rest, err)
	}
	if err := a.command.Wait(); err != nil { // although a thread is still asleep
		t.Errorf("the adapter ended with %v", err)
	}
	for _, want := range []string{`{"id":1,"ok":true}`, `{"id":2,"ok":true}`, `{"id":3}`, `\ud800`, "Traceback (most recent call last)"} {
		if !strings.Contains(a.log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

func TestAdapterRefusesHello(t *testing.T) {
	python := interpreter(t, "numpy")
	workspace := workspaceOf(t, map[string]string{
		"code": plain, "syntax": "def f(:\n", "needs": "import absent_module\n", "sibling": "import src.gone\n",
		"raises": "\nraise RuntimeError('at import')\n", "openfl_part": "from openfl.federated import FlowerTaskRunner\n",
	})
	runner := func(template string) object { return object{"task_runner": object{"template": template}} }
	for _, tt := range []struct {
		name   string
		fields object
		want   string
	}{
		{"protocol", object{"protocol": "fx-task/2"}, "fxrun speaks 'fx-task/2', the adapter fx-task/1"},
		{"treatment", object{"opt_treatment": "CONTINUE"}, "opt_treatment 'CONTINUE' is unknown; allowed: RESET, CONTINUE_LOCAL, CONTINUE_GLOBAL"},
		{"no workspace", object{"workspace": filepath.Join(workspace, "absent")}, "FileNotFoundError"},
		{"no module", runner("src.absent.Runner"), "task_runner: cannot import src.absent: the workspace has no module src.absent"},
		{"no module of the workspace", runner("src.sibling.Runner"), "the workspace has no module src.gone"},
		{"no class", runner("src.code.Absent"), "the module src.code has no class 'Absent'"},
		{"no package", runner("src.needs.Runner"), "has no module absent_module: install absent_module for it, or name another interpreter with --python"},
		{"interpreter named", runner("src.needs.Runner"), "the interpreter " + python},
		{"syntax", runner("src.syntax.Runner"), "(src/syntax.py:1)"},
		{"raises", runner("src.raises.Runner"), "RuntimeError: at import (src/raises.py:2)"},
		{"not in the stand-in", runner("src.openfl_part.Runner"), "FlowerTaskRunner"},
		{"elsewhere", runner("os.path.join"), "task_runner: 'os.path.join' is no class of the workspace (src....) or of OpenFL"},
		{"not text", object{"task_runner": object{"template": 7}}, "Error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantError(t, startAdapter(t, workspace, python).hello(tt.fields), tt.want)
		})
	}
	t.Run("no numpy", func(t *testing.T) {
		got := startAdapter(t, workspace, python, "-S", "-E").hello(nil)
		wantError(t, got, "has no numpy")
		wantError(t, got, "install numpy for it, or name another interpreter with --python")
	})
	for _, tt := range []struct{ name, line, want string }{
		{"not JSON", `{"id":1,`, "is not JSON"},
		{"no object", `[1]`, "a JSON object with a whole number as id"},
		{"no id", `{"op":"hello"}`, "a whole number as id"},
		{"run first", `{"id":0,"op":"run"}`, `the first request must be "hello"`},
		{"unknown", `{"id":0,"op":"steal"}`, "unknown request 'steal'; allowed: hello, init, run, bye"},
		{"deep", strings.Repeat("[", 1<<19), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := startAdapter(t, workspace, python).send([]byte(tt.line))
			wantError(t, got, tt.want)
			if got["id"] != 0.0 {
				t.Errorf("id %v", got["id"])
			}
		})
	}
}

// When fxrun is gone the adapter ends, quietly.
func TestAdapterEndsWithItsInput(t *testing.T) {
	a := startAdapter(t, workspaceOf(t, map[string]string{"code": plain}), interpreter(t, "numpy")).begin(nil)
	if err := a.in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.command.Wait(); err != nil || a.log.Len() > 0 {
		t.Errorf("it ended with %v and said %q", err, a.log.String())
	}
}

func TestAdapterSaysWhichOpenFL(t *testing.T) {
	python := interpreter(t, "numpy")
	want := "fx shim"
	if out, err := exec.Command(python, "-c", "from importlib.metadata import version; import openfl; print('openfl', version('openfl'))").Output(); err == nil {
		want = strings.TrimSpace(string(out))
	}
	a := startAdapter(t, workspaceOf(t, map[string]string{"code": plain}), python)
	got := a.hello(nil)
	if got["version"] != want || got["name"] != "src.code.Runner" || got["protocol"] != "fx-task/1" {
		t.Errorf("got %v, want version %q", got, want)
	}
	wantError(t, a.hello(nil), "no other may be")
	// A folder of that name is not the package.
	workspace := workspaceOf(t, map[string]string{"code": plain})
	if err := os.Mkdir(filepath.Join(workspace, "openfl"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := startAdapter(t, workspace, python).hello(nil); got["version"] != want {
		t.Errorf("with a folder named openfl: %v, want version %q", got, want)
	}
}

// loaders are three ways in which loaders behave without data.
const loaders = plain + `
class Needy(Loader):
    def __init__(self, data_path, **kwargs):
        self.shape = [int(data_path), 3]
    def get_feature_shape(self):
        return self.shape

class ShapeRunner(Runner):
    def get_tensor_dict(self, with_opt_vars):
        return {"w": np.zeros(self.feature_shape, np.float32)}

class EmptyRunner(Runner):
    def get_tensor_dict(self, with_opt_vars):
        return {}

class ListRunner(Runner):
    def get_tensor_dict(self, with_opt_vars):
        return [1]
`

func TestAdapterInit(t *testing.T) {
	python := interpreter(t, "numpy")
	workspace := workspaceOf(t, map[string]string{"code": loaders})
	class := func(name string, settings object) object {
		return object{"template": "src.code." + name, "settings": settings}
	}
	for _, tt := range []struct {
		name, data     string
		loader, runner object
		want, err      string
	}{
		{"without data", "", class("Loader", nil), class("ShapeRunner", nil), "F32[2][0 0]", ""},
		{"without data although there is some", "7", class("Loader", nil), class("ShapeRunner", nil), "F32[2][0 0]", ""},
		{"with this site's data", "1", class("Needy", nil), class("ShapeRunner", nil), "F32[1 3][0 0 0]", ""},
		{"with a shape", "", class("Needy", object{"input_shape": []int{1, 1}}), class("ShapeRunner", nil), "F32[1 1][0]", ""},
		{"without data that it needs", "", class("Needy", nil), class("ShapeRunner", nil), "", "TypeError: int() argument"},
		{"unknown setting", "", class("Loader", nil), class("ShapeRunner", object{"tensor_dict_split_fn_kwargs": 7}), "", "TypeError"},
		{"no model", "", class("Loader", nil), class("EmptyRunner", nil), "none", ""},
		{"no dict", "", class("Loader", nil), class("ListRunner", nil), "", "get_tensor_dict returned list; a dict was expected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := startAdapter(t, workspace, python).begin(object{"data": tt.data, "data_loader": tt.loader, "task_runner": tt.runner})
			got := a.ask("init", object{"output": a.file("init")})
			switch {
			case tt.err != "":
				wantError(t, got, tt.err)
			case tt.want == "none":
				if got["ok"] != true || got["tensors"] != false {
					t.Errorf("got %v, want no tensors", got)
				}
			default:
				wantTensors(t, a.tensors("init"), map[string]string{"w": tt.want})
			}
		})
	}
}

// fxrun writes the files that the adapter reads; a broken one must not be half read.
func TestAdapterRefusesInputs(t *testing.T) {
	a := startAdapter(t, workspaceOf(t, map[string]string{"code": plain}), interpreter(t, "numpy")).begin(nil)
	for name, tt := range map[string]struct{ header, payload, want string }{
		"short":        {"", "", "at least 8"},
		"not JSON":     {"{]", "", "is not JSON"},
		"list":         {"[]", "", "no JSON object"},
		"twice":        {`{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, "", "twice"},
		"dtype":        {`{"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, "12345678", "'F64'; only F32"},
		"field":        {`{"w":{"dtype":"F32","shape":[1]}}`, "1234", "lacks one of"},
		"beyond":       {`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, "1234", "spans bytes 0 to 8"},
		"other size":   {`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "1234", "spans bytes 0 to 4"},
		"negative":     {`{"w":{"dtype":"F32","shape":[-1],"data_offsets":[4,0]}}`, "1234", "no whole number"},
		"fraction":     {`{"w":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}`, "1234", "no whole number"},
		"truth":        {`{"w":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}`, "1234", "no whole number"},
		"huge":         {`{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, "", "spans bytes"},
		"absent":       {`{"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234", "'w', which the model does not have"},
		"no container": {`{"w":7}`, "", "lacks one of"},
	} {
		t.Run(name, func(t *testing.T) {
			var file []byte
			if tt.header != "" {
				file = append([]byte{byte(len(tt.header)), byte(len(tt.header) >> 8), 0, 0, 0, 0, 0, 0}, tt.header+tt.payload...)
			}
			if err := os.WriteFile(a.file("broken"), file, 0o600); err != nil {
				t.Fatal(err)
			}
			wantError(t, a.run("train", "double", 0, "broken", "x", object{}), tt.want)
		})
	}
	t.Run("header beyond the file", func(t *testing.T) {
		if err := os.WriteFile(a.file("broken"), []byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantError(t, a.run("train", "double", 0, "broken", "x", object{}), "claims a header of 18446744073709551615 bytes")
	})
	// Values that are not aligned are read all the same.
	header := `{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} `
	if len(header)%4 == 0 {
		header += " "
	}
	file := append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header+"\x00\x00\x80\x3f"...)
	if err := os.WriteFile(a.file("odd"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := a.run("train", "double", 0, "odd", "t", object{}); got["ok"] != true {
		t.Fatalf("values that are not aligned: %v", got)
	}
	wantTensors(t, a.tensors("t"), map[string]string{"w": "F32[1][2]"})
}

// A file that cannot be written says so.
func TestAdapterOutputFails(t *testing.T) {
	a := startAdapter(t, workspaceOf(t, map[string]string{"code": plain}), interpreter(t, "numpy")).begin(nil)
	wantError(t, a.ask("init", object{"output": filepath.Join(a.dir, "absent", "x")}), "FileNotFoundError")
}

package taskrunner_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// torchCode is a workspace as OpenFL's PyTorch templates have them, with what
// goes wrong easily: batch normalisation (buffers, one of them an integer without
// dimensions), dropout and shuffling, a frozen layer, two groups of parameters.
const torchCode = `
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from openfl.federated import PyTorchDataLoader, PyTorchTaskRunner
from openfl.utilities import TensorKey

torch.manual_seed(11)
torch.use_deterministic_algorithms(True)

class Loader(PyTorchDataLoader):
    def __init__(self, data_path=None, batch_size=16, **kwargs):
        super().__init__(batch_size, **kwargs)
        if data_path is None:
            return
        draw = np.random.RandomState(int(data_path))
        X = draw.randn(150, 6).astype(np.float32)
        y = (X @ np.array([1, -2, 3, 0, 1, -1], np.float32) > 0).astype(np.int64)
        self.X_train, self.y_train, self.X_valid, self.y_valid = X[:100], y[:100], X[100:], y[100:]
    def get_feature_shape(self):
        return [6]

def cross_entropy(output, target):
    return F.cross_entropy(output, target)

class Runner(PyTorchTaskRunner):
    def __init__(self, kind="Adam", **kwargs):
        super().__init__(device="cpu", **kwargs)
        self.first = nn.Linear(self.feature_shape[0], 8)
        self.norm = nn.BatchNorm1d(8)
        self.frozen = nn.Linear(8, 8)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(8, 2)
        self.frozen.requires_grad_(kind == "Adam")
        groups = [{"params": list(self.first.parameters()) + list(self.frozen.parameters())},
                  {"params": list(self.norm.parameters()) + list(self.last.parameters()), "lr": 0.05}]
        self.optimizer = {"Adam": lambda: torch.optim.Adam(groups, lr=0.01, amsgrad=True),
                          "SGD": lambda: torch.optim.SGD(groups, lr=0.1),
                          "momentum": lambda: torch.optim.SGD(groups, lr=0.1, momentum=0.9)}[kind]()
        self.loss_fn = cross_entropy
    def forward(self, x):
        return self.last(self.drop(self.frozen(F.relu(self.norm(self.first(x))))))
    def state(self, col_name, round_num, input_tensor_dict, **kwargs):
        """Give everything away; where no parameter is frozen, take it back before."""
        tensors = self.get_tensor_dict(with_opt_vars=True)
        if self.frozen.weight.requires_grad:
            saved = torch.load(self.save_native("native"))
            assert list(saved) == ["model_state_dict", "optimizer_state_dict"]
            torch.save(self.state_dict(), "native.pt")
            self.set_tensor_dict(dict(tensors), with_opt_vars=True)
            assert all(np.array_equal(tensors[n], v) for n, v in self.get_tensor_dict(with_opt_vars=True).items())
            self.load_native("native.pt")
            again = self.get_tensor_dict(with_opt_vars=True)
            assert list(tensors) == list(again) and all(np.array_equal(tensors[n], again[n]) for n in tensors)
        assert tensors.pop("__opt_state_needed") == "true"
        # Plain SGD of some versions of torch keeps None for each parameter.
        tensors = {n: v for n, v in tensors.items() if v.dtype != object}
        return {TensorKey(n, col_name, round_num, False, ("trained",)): v for n, v in tensors.items()}, {}
    def get_required_tensorkeys_for_function(self, function, **kwargs):
        return [] if function == "state" else super().get_required_tensorkeys_for_function(function, **kwargs)
`

// learnt is what two rounds give: the answers without their ids, and all tensors.
// The first word of command may be env, to set variables.
func learnt(t *testing.T, command []string, workspace, kind, treatment string) (answers []object, files map[string]map[string]string) {
	t.Helper()
	start := func() *adapter {
		return startAdapter(t, workspace, command[0], command[1:]...).begin(object{
			"task_runner":   object{"template": "src.code.Runner", "settings": object{"kind": kind}},
			"data_loader":   object{"template": "src.code.Loader", "settings": object{"batch_size": 10, "random_seed": 5}},
			"opt_treatment": treatment,
		})
	}
	a := start()
	files = map[string]map[string]string{}
	keep := func(name string, answer object) {
		t.Helper()
		if answer["ok"] != true {
			t.Fatalf("%s: %v", name, answer)
		}
		delete(answer, "id")
		answers = append(answers, answer)
		if answer["tensors"] == true {
			files[name] = a.tensors(name)
		}
	}
	// In a process of its own, as in life: frameworks count layers and random numbers.
	initial := start()
	initial.dir = a.dir
	keep("init", initial.ask("init", object{"output": a.file("init")}))
	model := "init"
	for round, trained := range []string{"t0", "t1"} {
		validate := object{"apply": "global", "metrics": []string{"accuracy"}}
		keep("x", a.run("aggregated_model_validation", "validate_task", round, model, "x", validate))
		keep(trained, a.run("train", "train_task", round, model, trained, object{"epochs": 2, "metrics": []string{"loss"}}))
		keep("x", a.run("locally_tuned_model_validation", "validate_task", round, trained, "x", object{"apply": "local", "metrics": []string{"accuracy"}}))
		model = trained
	}
	keep("state", a.run("state", "state", 1, "", "state", object{}))
	return answers, files
}

// TestAdapterPyTorch trains with the package openfl, or fx's stand-in for it, and
// where FX_OPENFL_PYTHON names an interpreter with the package and torch, with
// both: answers and tensors must be the same, bit for bit.
func TestAdapterPyTorch(t *testing.T) {
	python := interpreter(t, "numpy", "torch")
	workspace := workspaceOf(t, map[string]string{"code": torchCode})
	model := []string{
		"first.bias", "first.weight", "frozen.bias", "frozen.weight", "last.bias", "last.weight",
		"norm.bias", "norm.num_batches_tracked", "norm.running_mean", "norm.running_var", "norm.weight",
	}
	for _, tt := range []struct {
		kind, treatment string
		state           []string // kinds of optimizer state
		groups          []int    // parameters that have any
	}{
		{"Adam", "RESET", []string{"istensor_exp_avg", "istensor_exp_avg_sq", "istensor_max_exp_avg_sq", "istensor_step"}, []int{4, 4}},
		{"momentum", "CONTINUE_LOCAL", []string{"istensor_momentum_buffer"}, []int{2, 4}},
		{"SGD", "RESET", nil, []int{2, 4}},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			answers, files := learnt(t, []string{python}, workspace, tt.kind, tt.treatment)
			for _, name := range []string{"init", "t0", "t1"} {
				if got := slices.Sorted(maps.Keys(files[name])); !slices.Equal(got, model) {
					t.Errorf("%s has the tensors %v, want %v", name, got, model)
				}
			}
			if got := files["t1"]["norm.num_batches_tracked"]; got != "F32[][40]" {
				t.Errorf("norm.num_batches_tracked is %s, want 40", got)
			}
			if changed := files["t1"]["frozen.weight"] != files["init"]["frozen.weight"]; changed != (tt.kind == "Adam") {
				t.Errorf("whether the layer that may be frozen has changed: %v", changed)
			}
			before, after := answers[1]["metrics"].(object)["accuracy"].(float64), answers[6]["metrics"].(object)["accuracy"].(float64)
			if after <= before {
				t.Errorf("the accuracy went from %v to %v", before, after)
			}
			want := append(slices.Clone(model), "__opt_group_lengths")
			for group, parameters := range tt.groups {
				for i := range parameters {
					for _, kind := range tt.state {
						want = append(want, fmt.Sprintf("__opt_state_%d_%d_%s", group, i, kind))
					}
				}
			}
			slices.Sort(want)
			if got := slices.Sorted(maps.Keys(files["state"])); !slices.Equal(got, want) {
				t.Errorf("the state has the tensors %v, want %v", got, want)
			}
			if got := files["state"]["__opt_group_lengths"]; got != fmt.Sprintf("F32[2]%v", tt.groups) {
				t.Errorf("__opt_group_lengths is %s, want %v", got, tt.groups)
			}
			t.Run("as the package", func(t *testing.T) {
				wantAnswers, wantFiles := learnt(t, packageCommand(t, "torch"), workspace, tt.kind, tt.treatment)
				wantSame(t, answers, wantAnswers, files, wantFiles)
			})
		})
	}
}

// wantSame compares what two interpreters learnt, bit for bit: fmt sorts the keys
// of maps, and prints numbers in full.
func wantSame(t *testing.T, got, want []object, files, wantFiles map[string]map[string]string) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("the answers are %s\nwith the package %s", g, w)
	}
	for name, tensors := range files {
		wantTensors(t, tensors, wantFiles[name])
	}
}

// packageCommand runs an interpreter with the package openfl and a framework, with
// these variables. Where it has Keras, KERAS_BACKEND counts.
func packageCommand(t *testing.T, framework string, variables ...string) []string {
	t.Helper()
	python := os.Getenv("FX_OPENFL_PYTHON")
	if python == "" {
		t.Skipf("FX_OPENFL_PYTHON names no interpreter with openfl 1.9 and %s", framework)
	}
	if out, err := exec.Command(python, "-c", "import openfl.federated, "+framework).CombinedOutput(); err != nil {
		t.Skipf("%s cannot use openfl with %s: %v\n%s", python, framework, err, out)
	}
	return slices.Concat([]string{"/usr/bin/env", "KERAS_BACKEND=" + os.Getenv("KERAS_BACKEND")}, variables, []string{python})
}

const kerasCode = `
import keras
import numpy as np
from openfl.federated import KerasDataLoader, KerasTaskRunner

keras.utils.set_random_seed(3)

class Loader(KerasDataLoader):
    def __init__(self, data_path=None, batch_size=16, **kwargs):
        super().__init__(batch_size, **kwargs)
        if data_path is None:
            return
        draw = np.random.RandomState(int(data_path))
        X = draw.randn(150, 6).astype(np.float32)
        y = (X.sum(axis=1) > 0).astype(np.int64)
        self.X_train, self.y_train, self.X_valid, self.y_valid = X[:100], y[:100], X[100:], y[100:]
    def get_feature_shape(self):
        return [6]

class Runner(KerasTaskRunner):
    def __init__(self, kind, **kwargs):
        super().__init__(**kwargs)
        self.model = keras.Sequential([
            keras.layers.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2), keras.layers.Dense(2, activation="softmax"),
        ])
        self.model.compile(kind, "sparse_categorical_crossentropy", metrics=["accuracy"])
        self.initialize_tensorkeys_for_functions()
    def state(self, col_name, round_num, input_tensor_dict, **kwargs):
        tensors = self.get_tensor_dict(with_opt_vars=True)
        self.set_tensor_dict(tensors, with_opt_vars=False)
        again = self.get_tensor_dict(with_opt_vars=True)
        assert all(np.array_equal(tensors[n], again[n]) for n in tensors)
        from openfl.utilities import TensorKey
        return {TensorKey(n, col_name, round_num, False, ("trained",)): v for n, v in tensors.items()}, {}
    def get_required_tensorkeys_for_function(self, function, **kwargs):
        return [] if function == "state" else super().get_required_tensorkeys_for_function(function, **kwargs)
`

// TestAdapterKeras compares the stand-in with the package openfl, in an
// interpreter that has the package and Keras 3.
func TestAdapterKeras(t *testing.T) {
	shim, err := filepath.Abs(filepath.Join("adapter", "shim"))
	if err != nil {
		t.Fatal(err)
	}
	workspace := workspaceOf(t, map[string]string{"code": kerasCode})
	answers, files := learnt(t, packageCommand(t, "keras", "PYTHONPATH="+shim), workspace, "adam", "RESET")
	wantAnswers, wantFiles := learnt(t, packageCommand(t, "keras"), workspace, "adam", "RESET")
	wantSame(t, answers, wantAnswers, files, wantFiles)
	if n := len(files["t1"]); n != 8 {
		t.Errorf("the model has %d tensors, want 8", n)
	}
}

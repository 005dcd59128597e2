package taskrunner_test

import (
	"maps"
	"strings"
	"testing"
)

// momentumCode is a PyTorch workspace without chance: the same inputs give the
// same bytes in any process.
const momentumCode = `
import numpy as np
import torch
from openfl.federated import PyTorchDataLoader, PyTorchTaskRunner
from openfl.utilities import Metric

class Loader(PyTorchDataLoader):
    def __init__(self, data_path=None, **kwargs):
        super().__init__(50, **kwargs)
        draw = np.random.RandomState(3)
        X = draw.randn(50, 4).astype(np.float32)
        self.X_train, self.y_train = X, (X.sum(axis=1) > 0).astype(np.int64)
        self.X_valid, self.y_valid = self.X_train, self.y_train
    def get_feature_shape(self):
        return [4]

class Runner(PyTorchTaskRunner):
    def __init__(self, **kwargs):
        super().__init__(device="cpu", **kwargs)
        torch.manual_seed(1)
        self.layer = torch.nn.Linear(4, 2)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        self.loss_fn = torch.nn.functional.cross_entropy
    def forward(self, x):
        return self.layer(x)
    def train_(self, loader):
        for x, y in loader:
            order = np.argsort(x[:, 0])
            self.optimizer.zero_grad()
            loss = self.loss_fn(self(torch.tensor(x[order])), torch.tensor(y[order]))
            loss.backward()
            self.optimizer.step()
        return Metric(name="loss", value=np.array(loss.item()))
`

// TestAdapterContinueGlobal hands averaged optimizer state in: a process that
// trained before uses it, and one that was started between the rounds as well.
// State that is not handed in is not made up.
func TestAdapterContinueGlobal(t *testing.T) {
	python := interpreter(t, "numpy", "torch")
	workspace := workspaceOf(t, map[string]string{"code": momentumCode})
	const momentum = "__opt_state_0_0_istensor_momentum_buffer"
	round := func(a *adapter, number int, from, to string) map[string]string {
		t.Helper()
		if got := a.run("train", "train_task", number, from, to, object{"epochs": 2, "metrics": []string{"loss"}}); got["ok"] != true {
			t.Fatalf("round %d: %v", number, got)
		}
		return a.tensors(to)
	}
	for _, kind := range []string{"stand-in or package", "package"} {
		t.Run(kind, func(t *testing.T) {
			command := []string{python}
			if kind == "package" {
				command = packageCommand(t, "torch")
			}
			start := func() *adapter {
				return startAdapter(t, workspace, command[0], command[1:]...).begin(object{
					"task_runner":   object{"template": "src.code.Runner", "settings": object{}},
					"data_loader":   object{"template": "src.code.Loader", "settings": object{}},
					"opt_treatment": "CONTINUE_GLOBAL",
				})
			}
			a := start()
			if got := a.ask("init", object{"output": a.file("init")}); got["ok"] != true {
				t.Fatal(got)
			}
			first := round(a, 0, "init", "t0")
			if _, there := first[momentum]; !there {
				t.Fatalf("training makes %q, without the optimizer's state", first)
			}
			want := round(a, 1, "t0", "t1")

			again := start()
			again.dir = a.dir
			if got := round(again, 1, "t0", "restarted"); !maps.Equal(got, want) {
				t.Errorf("a process that starts in round 1 makes %q, one that trained before %q", got, want)
			}
			// The state counts: from the same weights without it comes something else.
			forgetful := start()
			forgetful.dir = a.dir
			if got := round(forgetful, 0, "init", "x"); !maps.Equal(got, first) {
				t.Errorf("the first round gives %q and %q", got, first)
			}
			got := forgetful.run("train", "train_task", 1, "init", "y", object{"metrics": []string{"loss"}})
			if text, _ := got["error"].(string); got["ok"] != false || !strings.Contains(text, `needs the tensor '__opt_`) || !strings.Contains(text, "which the model does not have") {
				t.Errorf("without the state that it needs: %v", got)
			}
		})
	}
}

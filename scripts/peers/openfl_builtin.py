"""What fxrun has as fx.builtin.SoftmaxRegression and fx.builtin.CSVDataLoader, for OpenFL.

scripts/e2e/openfl.sh puts it where OpenFL imports the module fx.builtin from, so
that one plan runs on both sides: multinomial logistic regression by gradient descent, the same
arithmetic in float64. Batches must take in all samples, since the order of the samples within
an epoch is fxrun's own.

With opt_treatment CONTINUE_GLOBAL it has momentum, whose state is averaged by the federation as
that of PyTorch's optimizers is. With FX_PEER_HOLDS=1 it keeps a tensor to itself, as OpenFL's
runner for PyTorch does.
"""

import os

import numpy as np
from openfl.federated import DataLoader, TaskRunner
from openfl.utilities import TensorKey


class CSVDataLoader(DataLoader):
    def __init__(self, data_path, batch_size=32, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.train = self.read(data_path, "train", scale)
        self.valid = self.read(data_path, "valid", scale)
        assert batch_size >= len(self.train[1]), "a batch takes in all samples"

    @staticmethod
    def read(folder, name, scale):
        rows = np.loadtxt(os.path.join(folder, name + ".csv"), delimiter=",", ndmin=2)
        return rows[:, :-1] / scale, rows[:, -1].astype(int)

    def get_feature_shape(self):
        return [self.train[0].shape[1]]

    def get_train_data_size(self):
        return len(self.train[1])

    def get_valid_data_size(self):
        return len(self.valid[1])


class SoftmaxRegression(TaskRunner):
    def __init__(self, features, classes, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.values = {"weight": np.zeros((features, classes)), "bias": np.zeros(classes)}
        self.momentum = {}

    # Names of tensors, as OpenFL asks for them.

    def state(self):
        """Names of the optimizer's tensors, by the tensor that they are for."""
        return {name: f"__opt_state_0_{name}_istensor_momentum_buffer" for name in self.values}

    def get_required_tensorkeys_for_function(self, func_name, apply="global", **kwargs):
        if func_name == "validate_task" and apply == "local":
            return [TensorKey(name, "LOCAL", 0, False, ("trained",)) for name in self.values]
        names = list(self.values)
        if func_name == "train_task" and self.opt_treatment == "CONTINUE_GLOBAL" and self.momentum:
            names += self.state().values()
        return [TensorKey(name, "GLOBAL", 0, False, ("model",)) for name in names]

    def initialize_tensorkeys_for_functions(self, with_opt_vars=False):
        pass

    def get_tensor_dict(self, with_opt_vars=False):
        return {name: v.astype(np.float32) for name, v in self.values.items()}

    def set_tensor_dict(self, tensor_dict, with_opt_vars=False):
        self.values = {name: np.asarray(tensor_dict[name], np.float64) for name in self.values}

    # Work.

    def logits(self, x):
        return x @ self.values["weight"] + self.values["bias"]

    @staticmethod
    def log_sum(logits):
        top = logits.max(axis=1, keepdims=True)
        return (top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True)))[:, 0]

    def loss(self, logits, labels):
        return float((self.log_sum(logits) - logits[np.arange(len(labels)), labels]).mean())

    def validate_task(self, col_name, round_num, input_tensor_dict, apply, metrics, **kwargs):
        self.set_tensor_dict(input_tensor_dict)
        x, labels = self.data_loader.valid
        logits = self.logits(x)
        values = {"accuracy": float((logits.argmax(axis=1) == labels).mean()), "loss": self.loss(logits, labels)}
        tag = "validate_local" if apply == "local" else "validate_agg"
        return {TensorKey(m, col_name, round_num, True, ("metric", tag)): np.array(values[m]) for m in metrics}, {}

    def train_task(self, col_name, round_num, input_tensor_dict, epochs, lr, metrics, **kwargs):
        self.set_tensor_dict(input_tensor_dict)
        keeps = self.opt_treatment == "CONTINUE_GLOBAL"
        momentum = {name: np.zeros_like(v) for name, v in self.values.items()}
        for name, state in self.state().items():
            if state in input_tensor_dict:
                momentum[name] = np.asarray(input_tensor_dict[state], np.float64)
        x, labels = self.data_loader.train
        for _ in range(epochs):
            logits = self.logits(x)
            loss = self.loss(logits, labels)
            d = np.exp(logits - self.log_sum(logits)[:, None])
            d[np.arange(len(labels)), labels] -= 1
            d *= 1 / len(labels)
            gradients = {"weight": x.T @ d, "bias": d.sum(axis=0)}
            for name, g in gradients.items():
                momentum[name] = (0.9 * momentum[name] if keeps else 0) + g
                self.values[name] = self.values[name] - lr * momentum[name]
        out = {TensorKey(m, col_name, round_num, True, ("metric",)): np.array(loss) for m in metrics}
        out |= {TensorKey(n, col_name, round_num, False, ("trained",)): v for n, v in self.get_tensor_dict().items()}
        if keeps:
            self.momentum = momentum
            out |= {TensorKey(state, col_name, round_num, False, ("trained",)): momentum[name].astype(np.float32)
                    for name, state in self.state().items()}
        local = {TensorKey(n, col_name, round_num, False, ("trained",)): v for n, v in self.get_tensor_dict().items()}
        if os.environ.get("FX_PEER_HOLDS"):
            held = np.array(["only here"])
            local[TensorKey("held", col_name, round_num, False, ("trained",))] = held
            local[TensorKey("held", col_name, round_num + 1, False, ("model",))] = held
        return out, local

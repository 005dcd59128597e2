"""A network with one hidden layer, and its training, in NumPy.

The functions that the plan names under tasks are the methods train_task and
validate_task. They are given tensors and return tensors: what is sent where is
not their business, and they cannot reach anybody.
"""

import zlib

import numpy as np
from openfl.federated import TaskRunner
from openfl.utilities import TensorKey

DIGITS = 10


class DigitsMLP(TaskRunner):
    """The keyword arguments are the settings of the plan's task_runner."""

    def __init__(self, hidden=64, seed=0, **kwargs):
        super().__init__(**kwargs)  # sets self.data_loader and self.feature_shape
        self.seed = seed
        rng = np.random.default_rng(seed)

        def glorot(rows, columns):
            limit = np.sqrt(6 / (rows + columns))
            return rng.uniform(-limit, limit, (rows, columns))

        self.model = {
            "hidden.weight": glorot(self.feature_shape[0], hidden),
            "hidden.bias": np.zeros(hidden),
            "output.weight": glorot(hidden, DIGITS),
            "output.bias": np.zeros(DIGITS),
        }

    # What there is to learn.

    def get_tensor_dict(self, with_opt_vars=False):
        return {name: value.astype(np.float32) for name, value in self.model.items()}

    def set_tensor_dict(self, tensor_dict, with_opt_vars=False):
        self.model = {name: tensor_dict[name].astype(np.float64) for name in self.model}

    def get_required_tensorkeys_for_function(self, func_name, **kwargs):
        """A task starts from the global model, or from what this site has just trained."""
        local = kwargs.get("apply") == "local"
        origin, tags = ("LOCAL", ("trained",)) if local else ("GLOBAL", ("model",))
        return [TensorKey(name, origin, 0, False, tags) for name in self.model]

    def initialize_tensorkeys_for_functions(self, with_opt_vars=False):
        pass  # they are made above, when asked for

    def reset_opt_vars(self):
        pass  # plain gradient descent remembers nothing

    # What the plan's tasks do.

    def train_task(self, col_name, round_num, input_tensor_dict, epochs=1, lr=0.1, **kwargs):
        self.set_tensor_dict(input_tensor_dict)
        # The order of the images depends on nothing else, so that a task which was
        # interrupted gives the same result when it is done again.
        rng = np.random.default_rng([self.seed, round_num, zlib.crc32(col_name.encode())])
        for _ in range(epochs):
            losses = [self.step(x, y, lr) for x, y in self.data_loader.get_train_loader(rng=rng)]
        result = {
            TensorKey(name, col_name, round_num, False, ("trained",)): value
            for name, value in self.get_tensor_dict().items()
        }
        result[TensorKey("loss", col_name, round_num, True, ("metric",))] = np.array(np.mean(losses))
        return result, {}  # the second: what would stay at the site until the next round

    def validate_task(self, col_name, round_num, input_tensor_dict, **kwargs):
        self.set_tensor_dict(input_tensor_dict)
        right = total = 0
        for x, y in self.data_loader.get_valid_loader():
            right += np.sum(np.argmax(self.forward(x)[1], axis=1) == y)
            total += len(y)
        tags = ("metric", "validate_local" if kwargs.get("apply") == "local" else "validate_agg")
        return {TensorKey("accuracy", col_name, round_num, True, tags): np.array(right / total)}, {}

    # The network.

    def forward(self, x):
        """Returns the hidden layer, and a row of ten probabilities for each image."""
        m = self.model
        hidden = np.maximum(x @ m["hidden.weight"] + m["hidden.bias"], 0)
        scores = hidden @ m["output.weight"] + m["output.bias"]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return hidden, scores / scores.sum(axis=1, keepdims=True)

    def step(self, x, y, lr):
        """One step of gradient descent on a batch; returns the loss before it."""
        m, rows = self.model, np.arange(len(y))
        hidden, probability = self.forward(x)
        loss = -np.log(probability[rows, y] + 1e-12).mean()
        error = probability.copy()
        error[rows, y] -= 1
        error /= len(y)
        back = (error @ m["output.weight"].T) * (hidden > 0)
        m["output.weight"] -= lr * hidden.T @ error
        m["output.bias"] -= lr * error.sum(axis=0)
        m["hidden.weight"] -= lr * x.T @ back
        m["hidden.bias"] -= lr * back.sum(axis=0)
        return loss

"""Logistic regression with scikit-learn: what its estimator learns are two arrays,
coef_ and intercept_, and these are the model of the federation.
"""

import zlib

import numpy as np
from openfl.federated import TaskRunner
from openfl.utilities import TensorKey
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss

CLASSES = np.array([0, 1])  # malignant, benign


class LogisticRegression(TaskRunner):
    """The keyword arguments are the settings of the plan's task_runner."""

    def __init__(self, alpha=0.001, seed=0, **kwargs):
        super().__init__(**kwargs)  # sets self.data_loader and self.feature_shape
        self.alpha, self.seed = alpha, seed
        self.model = {"coef_": np.zeros((1, self.feature_shape[0])), "intercept_": np.zeros(1)}

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
        pass  # a new estimator is made for every task

    def estimator(self, **settings):
        """scikit-learn's estimator, as if it had learned the model."""
        e = SGDClassifier(loss="log_loss", alpha=self.alpha, **settings)
        e.classes_, e.coef_, e.intercept_ = CLASSES, self.model["coef_"].copy(), self.model["intercept_"].copy()
        return e

    # What the plan's tasks do.

    def train_task(self, col_name, round_num, input_tensor_dict, epochs=1, lr=0.01, **kwargs):
        self.set_tensor_dict(input_tensor_dict)
        x, y = self.data_loader.get_train_loader()
        # The order of the rows depends on nothing else, so that a task which was
        # interrupted gives the same result when it is done again.
        seed = zlib.crc32(f"{self.seed} {round_num} {col_name}".encode())
        e = self.estimator(learning_rate="constant", eta0=lr, random_state=np.random.RandomState(seed))
        for _ in range(epochs):
            e.partial_fit(x, y, classes=CLASSES)  # one pass; a site may have one class only
        self.model = {"coef_": e.coef_, "intercept_": e.intercept_}
        loss = log_loss(y, e.predict_proba(x), labels=CLASSES)
        result = {
            TensorKey(name, col_name, round_num, False, ("trained",)): value
            for name, value in self.get_tensor_dict().items()
        }
        result[TensorKey("loss", col_name, round_num, True, ("metric",))] = np.array(loss)
        return result, {}  # the second: what would stay at the site until the next round

    def validate_task(self, col_name, round_num, input_tensor_dict, **kwargs):
        self.set_tensor_dict(input_tensor_dict)
        accuracy = self.estimator().score(*self.data_loader.get_valid_loader())
        tags = ("metric", "validate_local" if kwargs.get("apply") == "local" else "validate_agg")
        return {TensorKey("accuracy", col_name, round_num, True, tags): np.array(accuracy)}, {}

"""Task runner for Keras 3."""

import logging
import os

import keras
import numpy as np
from openfl.federated.task.functions import FunctionRunner
from openfl.utilities import Metric

logger = logging.getLogger(__name__)


class KerasTaskRunner(FunctionRunner):
    """Trains and validates a Keras model. Subclasses set model, compiled."""

    def __init__(self, **kwargs):
        """Begin with an empty model."""
        super().__init__(**kwargs)
        self.model = keras.models.Model()
        self.model_tensor_names = []
        self.required_tensorkeys_for_function = {}

    def rebuild_model(self, round_num, input_tensor_dict, validation=False):
        """Set the model to what the task was given."""
        if self.opt_treatment == "RESET":
            self.reset_opt_vars()
        with_state = self.opt_treatment == "CONTINUE_GLOBAL" and round_num > 0 and not validation
        self.set_tensor_dict(input_tensor_dict, with_opt_vars=with_state)

    def train_task(self, col_name, round_num, input_tensor_dict, metrics, epochs=1, batch_size=1, **kwargs):
        """Train on the site's training data; metrics are those of the last epoch."""
        if metrics is None:
            raise KeyError("the task has no metrics")
        self.rebuild_model(round_num, input_tensor_dict)
        for epoch in range(epochs):
            logger.info("epoch %d of round %d", epoch, round_num)
            results = self.train_(self.data_loader.get_train_loader(batch_size), metrics=metrics, **kwargs)
        return self._trained(col_name, round_num, results)

    def train_(self, batch_generator, metrics=None, **kwargs):
        """Train one epoch."""
        metrics = metrics or []
        self._check(metrics, self._known_metrics(kwargs.get("batch_size", 1)))
        history = self.model.fit(batch_generator, verbose=2, **kwargs).history
        return [Metric(name=name, value=np.array(np.mean([history[name]]))) for name in metrics]

    def _known_metrics(self, batch_size):
        """The metrics of the model, which it knows only once it has computed them."""
        try:
            known = self.model.get_metrics_result()
        except ValueError:
            known = {}
        if not known:
            self.model.evaluate(self.data_loader.get_valid_loader(batch_size), verbose=1)
            known = self.model.get_metrics_result()
        return known

    @staticmethod
    def _check(metrics, known):
        absent = [name for name in metrics if name not in known]
        if absent:
            raise ValueError(f"the model was compiled without the metrics {absent}; it has {sorted(known)}")

    def validate_task(self, col_name, round_num, input_tensor_dict, **kwargs):
        """Measure the model on the site's validation data."""
        self.rebuild_model(round_num, input_tensor_dict, validation=True)
        self.model.evaluate(self.data_loader.get_valid_loader(kwargs.get("batch_size", 1)), verbose=1)
        known = self.model.get_metrics_result()
        self._check(kwargs["metrics"], known)
        metrics = [(name, np.array(known[name])) for name in kwargs["metrics"]]
        return self._validated(col_name, round_num, metrics, kwargs["apply"])

    def get_tensor_dict(self, with_opt_vars, suffix=""):
        """Return the weights by layer and name, and if asked the optimizer's variables."""
        tensors = {}
        for layer in self.model.layers:
            for weight, value in zip(layer.weights, layer.get_weights()):
                tensors[f"{layer.name}/{weight.name}{suffix}"] = value
        if with_opt_vars:
            for variable in self.model.optimizer.variables:
                tensors[variable.name + suffix] = np.array(variable.numpy())
        return tensors

    def set_tensor_dict(self, tensor_dict, with_opt_vars):
        """Set the weights, and if asked the optimizer's variables."""
        names = [f"{layer.name}/{weight.name}" for layer in self.model.layers for weight in layer.weights]
        self.model.set_weights([tensor_dict[name] for name in names])
        if with_opt_vars:
            for variable in self.model.optimizer.variables:
                variable.assign(tensor_dict[variable.name])

    def reset_opt_vars(self):
        """Do nothing, as in OpenFL: what the optimizer remembers lasts as long as the process."""

    def load_native(self, filepath):
        """Read the model from a file of Keras."""
        self.model = keras.models.load_model(filepath)

    def save_native(self, filepath):
        """Export the model; a name without a dot gets the ending .keras."""
        filepath = str(filepath)
        if "." not in os.path.basename(filepath):
            filepath += ".keras"
        self.model.export(filepath)
        return filepath

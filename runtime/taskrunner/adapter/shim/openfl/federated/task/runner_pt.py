"""Task runner for PyTorch."""

import logging
import os
from copy import deepcopy

import numpy as np
import torch
from openfl.federated.task.functions import FunctionRunner
from openfl.federated.task.runner import TaskRunner
from openfl.utilities import Metric
from torch import nn

logger = logging.getLogger(__name__)

# Names of optimizer state, flattened: __opt_state_GROUP_INDEX_KIND_KEY, where KIND
# is "istensor" or nothing, and INDEX counts the parameters of the group.
_NEEDED = "__opt_state_needed"
_LENGTHS = "__opt_group_lengths"
_STATE = "__opt_state_"


class PyTorchTaskRunner(nn.Module, FunctionRunner):
    """A torch.nn.Module that can train and validate itself.

    Subclasses set optimizer and loss_fn, and may have their own train_ and
    validate_.
    """

    def __init__(self, device=None, loss_fn=None, optimizer=None, **kwargs):
        """Make a module without layers on a device: named, or the GPU if there is one."""
        nn.Module.__init__(self)
        TaskRunner.__init__(self, **kwargs)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if not isinstance(device, (str, torch.device)):
            raise ValueError(f"device is a {type(device).__name__}; None, a name or a torch.device was expected")
        self.device = torch.device(device)
        self.required_tensorkeys_for_function = {}
        self.optimizer = optimizer
        self.loss_fn = loss_fn
        self.training_round_completed = False
        # Text, which cannot be averaged.
        self.tensor_dict_split_fn_kwargs.update({"holdout_tensor_names": [_NEEDED]})

    def rebuild_model(self, round_num, input_tensor_dict, validation=False):
        """Set the model to what the task was given."""
        if self.opt_treatment == "RESET":
            self.reset_opt_vars()
        with_state = self.opt_treatment == "CONTINUE_GLOBAL" and self.training_round_completed and not validation
        self.set_tensor_dict(input_tensor_dict, with_opt_vars=with_state)

    def validate_task(self, col_name, round_num, input_tensor_dict, use_tqdm=False, **kwargs):
        """Measure the model on the site's validation data."""
        self.rebuild_model(round_num, input_tensor_dict, validation=True)
        self.eval()
        self.to(self.device)
        metric = self.validate_(progress(self.data_loader.get_valid_loader(), use_tqdm, "validate"))
        return self._validated(col_name, round_num, [metric], kwargs["apply"])

    def train_task(self, col_name, round_num, input_tensor_dict, use_tqdm=False, epochs=1, **kwargs):
        """Train on the site's training data; the metric is that of the last epoch."""
        self.rebuild_model(round_num, input_tensor_dict)
        self.train()
        self.to(self.device)
        for epoch in range(epochs):
            logger.info("epoch %d of round %d", epoch, round_num)
            metric = self.train_(progress(self.data_loader.get_train_loader(), use_tqdm, "train epoch"))
        results = self._trained(col_name, round_num, [metric])
        self.training_round_completed = True
        return results

    def get_tensor_dict(self, with_opt_vars=False):
        """Return parameters and buffers, and if asked the optimizer's state."""
        tensors = to_cpu_numpy(self.state_dict())
        return {**tensors, **_get_optimizer_state(self.optimizer)} if with_opt_vars else tensors

    def set_tensor_dict(self, tensor_dict, with_opt_vars=False):
        """Set parameters and buffers, and if asked the optimizer's state.

        What is used is taken out of tensor_dict.
        """
        state = {name: torch.tensor(tensor_dict.pop(name)).to(self.device) for name in self.state_dict()}
        self.load_state_dict(state)
        if with_opt_vars:
            if tensor_dict.pop(_NEEDED) == "true":
                _set_optimizer_state(self.get_optimizer(), self.device, tensor_dict)
            if tensor_dict:
                raise ValueError(f"these tensors are neither the model's nor the optimizer's: {sorted(tensor_dict)}")

    def get_optimizer(self):
        """Return the optimizer."""
        return self.optimizer

    def reset_opt_vars(self):
        """Do nothing, as in OpenFL: what the optimizer remembers lasts as long as the process."""

    def load_native(
        self,
        filepath,
        model_state_dict_key="model_state_dict",
        optimizer_state_dict_key="optimizer_state_dict",
        **kwargs,
    ):
        """Read a file that save_native or torch.save(model.state_dict()) wrote."""
        saved = torch.load(filepath, weights_only=True)
        if model_state_dict_key in saved and optimizer_state_dict_key in saved:
            self.load_state_dict(saved[model_state_dict_key])
            self.optimizer.load_state_dict(saved[optimizer_state_dict_key])
        else:
            self.load_state_dict(saved)

    def save_native(
        self,
        filepath,
        model_state_dict_key="model_state_dict",
        optimizer_state_dict_key="optimizer_state_dict",
        **kwargs,
    ):
        """Write model and optimizer; a name without a dot gets the ending .pt."""
        filepath = str(filepath)
        if "." not in os.path.basename(filepath):
            filepath += ".pt"
        torch.save(
            {model_state_dict_key: self.state_dict(), optimizer_state_dict_key: self.optimizer.state_dict()}, filepath
        )
        return filepath

    def train_(self, train_dataloader):
        """Train one epoch; the metric is the mean loss of its batches."""
        losses = []
        for samples, labels in train_dataloader:
            samples = torch.tensor(samples).to(self.device)
            labels = torch.tensor(labels).to(self.device)
            self.optimizer.zero_grad()
            loss = self.loss_fn(output=self(samples), target=labels)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach().cpu().numpy())
        return Metric(name=self.loss_fn.__name__, value=np.array(np.mean(losses)))

    def validate_(self, validation_dataloader):
        """Measure the share of samples whose class is found."""
        right = total = 0
        with torch.no_grad():
            for samples, labels in validation_dataloader:
                total += labels.shape[0]
                samples = torch.tensor(samples).to(self.device)
                labels = torch.tensor(labels).to(self.device, dtype=torch.int64)
                right += self(samples).argmax(dim=1).eq(labels).sum().cpu().numpy()
        return Metric(name="accuracy", value=np.array(right / total))


def progress(loader, wanted, title):
    """Show a progress bar in the log, if asked."""
    if not wanted:
        return loader
    import tqdm

    return tqdm.tqdm(loader, desc=title)


def to_cpu_numpy(state):
    """Copy a state_dict to arrays that do not change with the model."""
    for name, value in state.items():
        if not torch.is_tensor(value):
            raise ValueError(f"state_dict() has {name!r}, which is a {type(value).__name__}; only tensors can travel")
    return {name: value.cpu().numpy() for name, value in deepcopy(state).items()}


def _get_optimizer_state(optimizer):
    """Flatten the state of an optimizer to arrays by name.

    Parameters without state (frozen ones) do not count. All others must have the
    same entries, as those of torch's optimizers have.
    """
    saved = deepcopy(optimizer.state_dict())
    state = saved["state"]
    if not state:
        return {_NEEDED: "false"}
    groups = [sorted(set(group["params"]) & set(state)) for group in saved["param_groups"]]
    kinds = {key: torch.is_tensor(value) for key, value in state[groups[0][0]].items()}
    for entries in state.values():
        if {key: torch.is_tensor(value) for key, value in entries.items()} != kinds:
            raise ValueError("the optimizer keeps different things for different parameters")
    flat = {_NEEDED: "true"}
    for g, params in enumerate(groups):
        for i, param in enumerate(params):
            for key, is_tensor in kinds.items():
                value = state[param][key]
                name = f"{_STATE}{g}_{i}_{'istensor' if is_tensor else ''}_{key}"
                flat[name] = value.cpu().numpy() if is_tensor else np.array([value])
    flat[_LENGTHS] = np.array([len(params) for params in groups])
    return flat


def expand_derived_opt_state_dict(derived_opt_state_dict, device):
    """Undo the flattening; what is used is taken out of the dict."""
    first = f"{_STATE}0_0_"
    entries = [name[len(first) :].split("_", 1) for name in derived_opt_state_dict if name.startswith(first)]
    groups, state = [], {}
    for g, length in enumerate(derived_opt_state_dict.pop(_LENGTHS).astype(np.int32)):
        params = [f"{g}_{i}" for i in range(length)]
        groups.append({"params": params})
        for param in params:
            state[param] = {}
            for kind, key in entries:
                value = derived_opt_state_dict.pop(f"{_STATE}{param}_{kind}_{key}")
                state[param][key] = torch.tensor(value) if kind else int(value.item())
    if derived_opt_state_dict:
        raise ValueError(f"these tensors are no state of the optimizer: {sorted(derived_opt_state_dict)}")
    return {"param_groups": groups, "state": state}


def _set_optimizer_state(optimizer, device, derived_opt_state_dict):
    """Set the state of an optimizer, and its settings to what they were at the beginning."""
    saved = expand_derived_opt_state_dict(derived_opt_state_dict, device)
    for group in saved["param_groups"]:
        group.update(optimizer.defaults)
    optimizer.load_state_dict(saved)

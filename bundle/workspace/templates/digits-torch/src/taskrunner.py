"""A network with one hidden layer in PyTorch, trained with Adam.

The base class is a torch.nn.Module whose parameters are the model. It has the
functions that the plan names under tasks, train_task and validate_task, and asks
this class for a pass over the training data and one over the validation data.
"""

import zlib

import numpy as np
import torch
from openfl.federated import PyTorchTaskRunner
from openfl.utilities import Metric


class DigitsNet(PyTorchTaskRunner):
    """The keyword arguments are the settings of the plan's task_runner."""

    def __init__(self, hidden=64, lr=0.001, seed=0, device="cpu", **kwargs):
        super().__init__(device=device, **kwargs)  # sets self.data_loader and self.feature_shape
        self.seed, self.lr = seed, lr
        torch.manual_seed(seed)  # the initial weights
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(self.feature_shape[0], hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden, self.data_loader.get_num_classes()),
        )
        self.to(self.device)
        self.loss_fn = torch.nn.functional.cross_entropy
        self.reset_opt_vars()

    def reset_opt_vars(self):
        """A new Adam, which knows nothing. Before each task, with opt_treatment: RESET."""
        self.optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)

    def forward(self, x):
        return self.layers(x)

    def train_task(self, col_name, round_num, *args, **kwargs):
        # The loader draws the order of the images. It depends on nothing else, so that
        # a task which was interrupted gives the same result when it is done again.
        np.random.seed(zlib.crc32(f"{self.seed} {round_num} {col_name}".encode()))
        return super().train_task(col_name, round_num, *args, **kwargs)

    def train_(self, train_dataloader):
        """One pass over the training data."""
        losses = []
        for x, y in train_dataloader:
            self.optimizer.zero_grad()
            loss = self.loss_fn(self(self.tensor(x)), self.tensor(y))
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return Metric(name="loss", value=np.array(np.mean(losses)))

    def validate_(self, validation_dataloader):
        """One pass over the validation data."""
        right = total = 0
        with torch.no_grad():
            for x, y in validation_dataloader:
                right += (self(self.tensor(x)).argmax(dim=1) == self.tensor(y)).sum().item()
                total += len(y)
        return Metric(name="accuracy", value=np.array(right / total))

    def tensor(self, array):
        return torch.as_tensor(array).to(self.device)

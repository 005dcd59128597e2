"""Task runners and data loaders; those of a framework are loaded when they are used."""

import importlib

from openfl.federated.data import DataLoader
from openfl.federated.task import TaskRunner

__all__ = ["DataLoader", "TaskRunner"]

_OF_FRAMEWORKS = {
    "KerasDataLoader": "openfl.federated.data.loader_keras",
    "KerasTaskRunner": "openfl.federated.task.runner_keras",
    "PyTorchDataLoader": "openfl.federated.data.loader_pt",
    "PyTorchTaskRunner": "openfl.federated.task.runner_pt",
}


def __getattr__(name):
    if name in _OF_FRAMEWORKS:
        return getattr(importlib.import_module(_OF_FRAMEWORKS[name]), name)
    if name.endswith(("TaskRunner", "DataLoader")):  # said here, for `from ... import` hides what an AttributeError says
        raise ImportError(f"fx's stand-in for the package openfl has no {name}; install openfl for this interpreter")
    raise AttributeError(f"module {__name__} has no attribute {name}")

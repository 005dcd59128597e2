"""Tuples with names."""

from abc import ABCMeta
from collections import namedtuple

TensorKey = namedtuple("TensorKey", "tensor_name origin round_number report tags")
TaskResultKey = namedtuple("TaskResultKey", "task_name owner round_number")
Metric = namedtuple("Metric", "name value")
LocalTensor = namedtuple("LocalTensor", "col_name tensor weight")


class SingletonABCMeta(ABCMeta):
    """Of a class with this metaclass there is one object, made at the first call."""

    _instances = {}

    def __call__(cls, *args, **kwargs):
        """Make the object, or return the one there is."""
        if cls not in SingletonABCMeta._instances:
            SingletonABCMeta._instances[cls] = super().__call__(*args, **kwargs)
        return SingletonABCMeta._instances[cls]

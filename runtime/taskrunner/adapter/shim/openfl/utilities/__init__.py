"""Small things that task code uses."""

from openfl.utilities.types import LocalTensor, Metric, SingletonABCMeta, TaskResultKey, TensorKey
from openfl.utilities.utils import change_tags, validate_file_hash

__all__ = [
    "LocalTensor",
    "Metric",
    "SingletonABCMeta",
    "TaskResultKey",
    "TensorKey",
    "change_tags",
    "validate_file_hash",
]

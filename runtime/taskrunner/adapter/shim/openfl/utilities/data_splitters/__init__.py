"""Ways to part one data set among collaborators, for experiments."""

from openfl.utilities.data_splitters.data_splitter import DataSplitter
from openfl.utilities.data_splitters.numpy import (
    DirichletNumPyDataSplitter,
    EqualNumPyDataSplitter,
    LogNormalNumPyDataSplitter,
    NumPyDataSplitter,
    RandomNumPyDataSplitter,
)

__all__ = [
    "DataSplitter",
    "DirichletNumPyDataSplitter",
    "EqualNumPyDataSplitter",
    "LogNormalNumPyDataSplitter",
    "NumPyDataSplitter",
    "RandomNumPyDataSplitter",
]

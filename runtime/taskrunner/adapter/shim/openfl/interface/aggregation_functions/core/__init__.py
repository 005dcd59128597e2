"""The class above all aggregation functions."""

from abc import abstractmethod

from openfl.utilities import SingletonABCMeta


class AggregationFunction(metaclass=SingletonABCMeta):
    """Makes one tensor of those of all sites."""

    def __init__(self):
        """Ask for no more than the tensors."""
        self._privileged = False

    @abstractmethod
    def call(self, local_tensors, db_iterator, tensor_name, fl_round, tags):
        """Return the aggregated array."""
        raise NotImplementedError

    def __call__(self, local_tensors, db_iterator, tensor_name, fl_round, tags):
        """Call it like a function."""
        return self.call(local_tensors, db_iterator, tensor_name, fl_round, tags)

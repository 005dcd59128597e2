"""Data loader for Keras."""

from openfl.federated.data.arrays import ArrayLoader


class KerasDataLoader(ArrayLoader):
    """Serves NumPy arrays in shuffled batches."""

"""Data loader for PyTorch."""

from openfl.federated.data.arrays import ArrayLoader


class PyTorchDataLoader(ArrayLoader):
    """Serves NumPy arrays or tensors in shuffled batches.

    With random_seed every pass is shuffled alike.
    """

    def __init__(self, batch_size, random_seed=None, **kwargs):
        """Begin without data."""
        super().__init__(batch_size)
        self.random_seed = random_seed

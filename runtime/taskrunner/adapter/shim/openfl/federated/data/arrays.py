"""What the loaders of the frameworks have in common; no workspace imports it."""

from math import ceil

import numpy as np
from openfl.federated.data.loader import DataLoader


class ArrayLoader(DataLoader):
    """Serves arrays in memory in shuffled batches.

    Subclasses set X_train, y_train, X_valid and y_valid.
    """

    random_seed = None

    def __init__(self, batch_size, **kwargs):
        """Begin without data."""
        super().__init__()
        self.batch_size = batch_size
        self.X_train = self.y_train = self.X_valid = self.y_valid = None

    def get_num_classes(self):
        """Return the number of classes."""
        raise NotImplementedError("the data loader of the workspace must implement get_num_classes")

    def get_feature_shape(self):
        """Return the shape of one sample."""
        raise NotImplementedError("the data loader of the workspace must implement get_feature_shape")

    def get_train_loader(self, batch_size=None, num_batches=None):
        """Return batches of (samples, labels) of the training data."""
        return self._get_batch_generator(self.X_train, self.y_train, batch_size, num_batches)

    def get_valid_loader(self, batch_size=None):
        """Return batches of (samples, labels) of the validation data."""
        return self._get_batch_generator(self.X_valid, self.y_valid, batch_size)

    def get_train_data_size(self):
        """Return the number of training samples."""
        return self.X_train.shape[0]

    def get_valid_data_size(self):
        """Return the number of validation samples."""
        return self.X_valid.shape[0]

    def _get_batch_generator(self, X, y, batch_size, num_batches=None):
        size = self.batch_size if batch_size is None else batch_size
        if self.random_seed is not None:
            np.random.seed(self.random_seed)
        # Drawn now, not at the first batch: other code draws from the same generator.
        order = np.random.permutation(np.arange(X.shape[0]))
        if num_batches is None:
            num_batches = ceil(X.shape[0] / size)
        return self._batch_generator(X, y, order, size, num_batches)

    @staticmethod
    def _batch_generator(X, y, idxs, batch_size, num_batches):
        for first in range(0, num_batches * batch_size, batch_size):
            rows = idxs[first : first + batch_size]
            yield X[rows], y[rows]

"""The data of one site: a folder with train.csv and valid.csv, a row for each image."""

import os

import numpy as np
from openfl.federated import DataLoader

PIXELS, LARGEST = 64, 16  # of an image; of a pixel


class DigitsLoader(DataLoader):
    """Reads a file when it is first needed: a site that only validates has no train.csv."""

    def __init__(self, data_path=None, batch_size=32, **kwargs):
        super().__init__(**kwargs)
        self.data_path = data_path  # None while the initial model is made
        self.batch_size = batch_size
        self.sets = {}

    def load(self, name):
        """Returns pixels, from 0 to 1, and digits."""
        if name not in self.sets:
            if self.data_path is None:
                raise ValueError("no data folder was given")
            table = np.loadtxt(os.path.join(self.data_path, name + ".csv"), delimiter=",", ndmin=2)
            if table.shape[1] != PIXELS + 1:
                raise ValueError(f"{name}.csv has {table.shape[1]} columns; {PIXELS + 1} were expected")
            self.sets[name] = table[:, :PIXELS] / LARGEST, table[:, PIXELS].astype(int)
        return self.sets[name]

    def get_feature_shape(self):
        return [PIXELS]

    def get_train_loader(self, rng=None):
        """Yields batches of pixels and digits, in an order that rng draws."""
        x, y = self.load("train")
        order = (rng or np.random.default_rng()).permutation(len(y))
        for start in range(0, len(y), self.batch_size):
            batch = order[start : start + self.batch_size]
            yield x[batch], y[batch]

    def get_valid_loader(self):
        """Yields all of it at once."""
        yield self.load("valid")

    def get_train_data_size(self):
        return len(self.load("train")[1])

    def get_valid_data_size(self):
        return len(self.load("valid")[1])

"""The data of one site: a folder with train.csv and valid.csv, a row for each image."""

import os

import numpy as np
from openfl.federated import PyTorchDataLoader

PIXELS, LARGEST = 64, 16  # of an image; of a pixel


class DigitsLoader(PyTorchDataLoader):
    """Reads a file when it is first needed: a site that only validates has no train.csv.

    The base class makes batches of X_train and y_train, X_valid and y_valid.
    """

    def __init__(self, data_path=None, batch_size=32, **kwargs):
        super().__init__(batch_size, **kwargs)
        self.data_path = data_path  # None while the initial model is made

    def get_feature_shape(self):
        return [PIXELS]

    def get_num_classes(self):
        return 10

    def read(self, name):
        """Returns pixels, from 0 to 1, and digits."""
        if self.data_path is None:
            raise ValueError("no data folder was given")
        table = np.loadtxt(os.path.join(self.data_path, name + ".csv"), delimiter=",", ndmin=2)
        if table.shape[1] != PIXELS + 1:
            raise ValueError(f"{name}.csv has {table.shape[1]} columns; {PIXELS + 1} were expected")
        return (table[:, :PIXELS] / LARGEST).astype(np.float32), table[:, PIXELS].astype(np.int64)

    def train(self):
        if self.X_train is None:
            self.X_train, self.y_train = self.read("train")

    def valid(self):
        if self.X_valid is None:
            self.X_valid, self.y_valid = self.read("valid")

    def get_train_loader(self, **kwargs):
        self.train()
        return super().get_train_loader(**kwargs)

    def get_valid_loader(self, **kwargs):
        self.valid()
        return super().get_valid_loader(**kwargs)

    def get_train_data_size(self):
        self.train()
        return super().get_train_data_size()

    def get_valid_data_size(self):
        self.valid()
        return super().get_valid_data_size()

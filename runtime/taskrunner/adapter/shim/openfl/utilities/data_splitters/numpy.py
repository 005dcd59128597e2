"""Splitters of arrays. Each gives lists of row numbers, the same for the same seed.

The numbers are those that OpenFL's splitters give, so they draw from NumPy's
global generator, in the same order.
"""

from abc import abstractmethod

import numpy as np
from openfl.utilities.data_splitters.data_splitter import DataSplitter


def get_label_count(labels, label):
    """Count the rows with a label."""
    return np.count_nonzero(labels == label)


def one_hot(labels, classes):
    """Turn class numbers into rows with a single one."""
    return np.eye(classes)[labels]


class NumPyDataSplitter(DataSplitter):
    """Parts arrays; split takes the data or its labels."""

    @abstractmethod
    def split(self, data, num_collaborators):
        """Return the row numbers of each collaborator."""
        raise NotImplementedError


class _Shuffled(NumPyDataSplitter):
    def __init__(self, shuffle=True, seed=0):
        """Shuffle or not, with a seed."""
        self.shuffle = shuffle
        self.seed = seed

    def _rows(self, data):
        np.random.seed(self.seed)
        rows = range(len(data))
        return np.random.permutation(rows) if self.shuffle else rows


class EqualNumPyDataSplitter(_Shuffled):
    """Gives everyone as many rows."""

    def split(self, data, num_collaborators):
        """Return the row numbers of each collaborator."""
        return np.array_split(self._rows(data), num_collaborators)


class RandomNumPyDataSplitter(_Shuffled):
    """Cuts the rows at random places."""

    def split(self, data, num_collaborators):
        """Return the row numbers of each collaborator."""
        rows = self._rows(data)
        cuts = np.random.choice(len(data), num_collaborators - 1, replace=False)
        return np.split(rows, np.sort(cuts))


class LogNormalNumPyDataSplitter(NumPyDataSplitter):
    """Gives everyone a few classes, and log-normally distributed numbers of rows of each.

    Some rows remain with nobody. The number of collaborators is a multiple of the
    number of classes.
    """

    def __init__(self, mu, sigma, num_classes, classes_per_col, min_samples_per_class, seed=0):
        """Set the distribution, and what everyone has at least."""
        self.mu = mu
        self.sigma = sigma
        self.num_classes = num_classes
        self.classes_per_col = classes_per_col
        self.min_samples_per_class = min_samples_per_class
        self.seed = seed

    def split(self, data, num_collaborators):
        """Return the row numbers of each collaborator; data are labels."""
        np.random.seed(self.seed)
        rows = [self._least(data, c) for c in range(num_collaborators)]
        least = self.classes_per_col * self.min_samples_per_class
        if any(len(r) != least for r in rows):
            raise SystemError(f"everyone should have {least} rows to begin with, but they have {[len(r) for r in rows]}")
        shape = (self.num_classes, num_collaborators // self.num_classes, self.classes_per_col)
        shares = np.random.lognormal(self.mu, self.sigma, shape)
        left = [[[get_label_count(data, label) - self.min_samples_per_class]] for label in range(self.num_classes)]
        shares = np.array(left) * shares / np.sum(shares, (1, 2), keepdims=True)
        for c in range(num_collaborators):
            for j in range(self.classes_per_col):
                label = (c + j) % self.num_classes
                of_label = np.nonzero(data == label)[0]
                first = np.count_nonzero(data[np.hstack(rows)] == label)
                end = first + int(shares[label, c // self.num_classes, j])
                if end < len(of_label):
                    rows[c] = np.append(rows[c], of_label[first:end])
        return rows

    def _least(self, data, c):
        """The rows that collaborator c has in any case."""
        rows = []
        for j in range(self.classes_per_col):
            of_label = np.nonzero(data == (c + j) % self.num_classes)[0]
            first = c // self.num_classes * self.classes_per_col * self.min_samples_per_class
            first += self.min_samples_per_class * j
            rows += list(of_label[first : first + self.min_samples_per_class])
        return rows


class DirichletNumPyDataSplitter(NumPyDataSplitter):
    """Parts each class by a Dirichlet distribution, until everyone has enough."""

    def __init__(self, alpha=0.5, min_samples_per_col=10, seed=0):
        """Set the distribution, and what everyone has at least."""
        self.alpha = alpha
        self.min_samples_per_col = min_samples_per_col
        self.seed = seed

    def split(self, data, num_collaborators):
        """Return the row numbers of each collaborator; data are labels."""
        np.random.seed(self.seed)
        fair = len(data) / num_collaborators
        while True:
            rows = [[] for _ in range(num_collaborators)]
            for label in range(len(np.unique(data))):
                of_label = np.where(data == label)[0]
                np.random.shuffle(of_label)
                shares = np.random.dirichlet(np.repeat(self.alpha, num_collaborators))
                # Whoever has a fair share already gets nothing of this class.
                shares = np.array([s * (len(r) < fair) for s, r in zip(shares, rows)])
                cuts = (np.cumsum(shares / shares.sum()) * len(of_label)).astype(int)[:-1]
                rows = [r + part.tolist() for r, part in zip(rows, np.split(of_label, cuts))]
            if min(map(len, rows)) >= self.min_samples_per_col:
                return rows

"""A site's share of scikit-learn's breast cancer data, which come with the package.

There is no data folder: what plan/data.yaml (or --data-text) says about a site is
the number of its share, or "holdout" for the rows that no site has.
"""

import numpy as np
from openfl.federated import DataLoader
from sklearn.datasets import load_breast_cancer

FEATURES = 30


class TumourLoader(DataLoader):
    """30 measurements of a tumour, and 1 where it was benign.

    Sites have unlike patients: rows are dealt by the mean radius of the tumour,
    small ones to the first site. Of a site's rows a fifth is for validation.
    """

    def __init__(self, collaborator_count, centre, spread, data_path=None, **kwargs):
        super().__init__(**kwargs)
        self.share, self.count = data_path, collaborator_count  # data_path: None while the initial model is made
        self.centre, self.spread = np.array(centre), np.array(spread)
        if self.centre.shape != (FEATURES,) or self.spread.shape != (FEATURES,):
            raise ValueError(f"centre and spread need {FEATURES} numbers each")
        self.rows = None

    def load(self):
        """Returns features and classes of training, then those of validation."""
        if self.rows is None:
            data = load_breast_cancer()
            # The same numbers at every site: a scale of its own would make a site's
            # weights mean something else than its neighbour's.
            x, y = (data.data - self.centre) / self.spread, data.target
            row = np.arange(len(y))
            held = row[row % 5 == 4]
            if self.share == "holdout":
                train, valid = held[:0], held
            else:
                others = row[row % 5 != 4]
                others = others[np.argsort(data.data[others, 0], kind="stable")]
                mine = np.array_split(others, self.count)[self.number()]
                valid = mine[::5]
                train = np.setdiff1d(mine, valid)
            self.rows = x[train], y[train], x[valid], y[valid]
        return self.rows

    def number(self):
        allowed = f"0 to {self.count - 1} was expected, or holdout"
        try:
            number = int(self.share)
        except (TypeError, ValueError):
            raise ValueError(f"the share of the data is {self.share!r}; {allowed}") from None
        if not 0 <= number < self.count:
            raise ValueError(f"the share of the data is {number}; {allowed}")
        return number

    def get_feature_shape(self):
        return [FEATURES]

    def get_train_loader(self):
        return self.load()[:2]

    def get_valid_loader(self):
        return self.load()[2:]

    def get_train_data_size(self):
        return len(self.load()[1])

    def get_valid_data_size(self):
        return len(self.load()[3])

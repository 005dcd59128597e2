"""The class above all data loaders."""


class DataLoader:
    """Serves a site's data to a task runner. Subclasses say how."""

    def __init__(self, **kwargs):
        """Take settings and ignore them; subclasses use theirs."""

    def get_feature_shape(self):
        """Return the shape of one sample."""
        raise NotImplementedError

    def get_train_loader(self, **kwargs):
        """Return an iterable over the training data."""
        raise NotImplementedError

    def get_valid_loader(self):
        """Return an iterable over the validation data."""
        raise NotImplementedError

    def get_infer_loader(self):
        """Return an iterable over the data to predict on."""
        return NotImplementedError

    def get_train_data_size(self):
        """Return the number of training samples."""
        raise NotImplementedError

    def get_valid_data_size(self):
        """Return the number of validation samples."""
        raise NotImplementedError

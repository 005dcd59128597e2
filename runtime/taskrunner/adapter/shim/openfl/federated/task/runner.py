"""The class above all task runners."""


class TaskRunner:
    """Works on a model with a site's data. Subclasses say how."""

    def __init__(self, data_loader, tensor_dict_split_fn_kwargs=None, **kwargs):
        """Keep the loader, and which tensors stay at the site."""
        self.data_loader = data_loader
        self.feature_shape = data_loader.get_feature_shape() if data_loader else None
        self.tensor_dict_split_fn_kwargs = {} if tensor_dict_split_fn_kwargs is None else tensor_dict_split_fn_kwargs

    def set_optimizer_treatment(self, opt_treatment):
        """Say what becomes of the optimizer's state between rounds."""
        self.opt_treatment = opt_treatment

    def get_data_loader(self):
        """Return the data loader."""
        return self.data_loader

    def set_data_loader(self, data_loader):
        """Exchange the data loader for one with samples of the same shape."""
        if data_loader.get_feature_shape() != self.data_loader.get_feature_shape():
            raise ValueError("the samples of the new data loader have another shape than the model wants")
        self.data_loader = data_loader

    def get_train_data_size(self):
        """Return the number of training samples."""
        return self.data_loader.get_train_data_size()

    def get_valid_data_size(self):
        """Return the number of validation samples."""
        return self.data_loader.get_valid_data_size()

    def train_batches(self, num_batches=None, use_tqdm=False):
        """Train on some batches."""
        raise NotImplementedError

    def validate(self):
        """Measure the model."""
        raise NotImplementedError

    def get_required_tensorkeys_for_function(self, func_name, **kwargs):
        """Return the TensorKeys of what a function needs."""
        raise NotImplementedError

    def get_tensor_dict(self, with_opt_vars):
        """Return the model as arrays by name."""
        raise NotImplementedError

    def set_tensor_dict(self, tensor_dict, with_opt_vars):
        """Set the model from arrays by name."""
        raise NotImplementedError

    def reset_opt_vars(self):
        """Forget the optimizer's state."""
        raise NotImplementedError

    def initialize_globals(self):
        """Initialise what the framework keeps globally."""
        raise NotImplementedError

    def load_native(self, filepath, **kwargs):
        """Read the model from a file of the framework."""
        raise NotImplementedError

    def save_native(self, filepath, **kwargs):
        """Write the model to a file of the framework."""
        raise NotImplementedError

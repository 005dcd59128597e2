"""What the runners of the frameworks have in common; no workspace imports it."""

from openfl.federated.task.runner import TaskRunner
from openfl.utilities import TensorKey, change_tags
from openfl.utilities.split import split_tensor_dict_for_holdouts


class FunctionRunner(TaskRunner):
    """Has train_task and validate_task, and knows which tensors they need.

    Subclasses have get_tensor_dict(with_opt_vars).
    """

    def get_required_tensorkeys_for_function(self, func_name, **kwargs):
        """Return the TensorKeys of what a function needs."""
        keys = self.required_tensorkeys_for_function[func_name]
        return keys["apply=" + str(kwargs["apply"])] if func_name == "validate_task" else keys

    def initialize_tensorkeys_for_functions(self, with_opt_vars=False):
        """Work out which tensors the functions need.

        Training needs the global model, and of the tensors that stay at the site
        its own. Validation needs the same, or (apply: local) what was trained in
        this round. Optimizer state is needed only by training.
        """
        send, keep = self._split(with_opt_vars)
        model = keys(send, "GLOBAL", "model") + keys(keep, "LOCAL", "model")
        if with_opt_vars:
            send, keep = self._split(False)
        self.required_tensorkeys_for_function["train_task"] = model
        self.required_tensorkeys_for_function["validate_task"] = {
            "apply=local": keys({**send, **keep}, "LOCAL", "trained"),
            "apply=global": keys(send, "GLOBAL", "model") + keys(keep, "LOCAL", "model"),
        }

    def _split(self, with_opt_vars):
        tensors = self.get_tensor_dict(with_opt_vars=with_opt_vars)
        return split_tensor_dict_for_holdouts(tensors, **self.tensor_dict_split_fn_kwargs)

    def _trained(self, col_name, round_num, metrics):
        """Part the results of training: what is sent, and what stays.

        What stays is also the model that the next round begins with here.
        """
        with_state = self.opt_treatment == "CONTINUE_GLOBAL"
        send, keep = self._split(with_state)
        sent = {TensorKey(name, col_name, round_num, True, ("metric",)): value for name, value in metrics}
        kept = {}
        for name, array in send.items():
            sent[TensorKey(name, col_name, round_num, False, ("trained",))] = array
        for name, array in keep.items():
            kept[TensorKey(name, col_name, round_num, False, ("trained",))] = array
        for name, array in keep.items():
            kept[TensorKey(name, col_name, round_num + 1, False, ("model",))] = array
        if with_state:  # from now on the state has names, and can be asked for
            self.initialize_tensorkeys_for_functions(with_opt_vars=True)
        return sent, kept

    @staticmethod
    def _validated(col_name, round_num, metrics, apply):
        """The results of a validation: metrics, which are sent, and nothing that stays."""
        tags = change_tags(("metric",), add_field="validate_local" if apply == "local" else "validate_agg")
        return {TensorKey(name, col_name, round_num, True, tags): value for name, value in metrics}, {}


def keys(names, origin, tag):
    """TensorKeys of the present round."""
    return [TensorKey(name, origin, 0, False, (tag,)) for name in names]

"""What OpenFL's collaborator does around a TaskRunner, without the network.

A runner says which tensors a function needs (TensorKeys), is called with them,
and returns two dictionaries: what goes to the aggregator, and what stays here.
"""

import importlib
import logging
import sys
import types

import fx_tensors
import numpy as np
from fx_errors import Refused

logger = logging.getLogger("fx")

TREATMENTS = ("RESET", "CONTINUE_LOCAL", "CONTINUE_GLOBAL")
OPTIMIZER = "__opt_"  # what names of PyTorchTaskRunner's optimizer state begin with
NEEDED = "__opt_state_needed"  # which of them stays at the site: whether there is any state

# Tags of what can leave: trained tensors, and metrics.
TRAINED = ("trained",)
METRIC_TAGS = {"metric", "validate_agg", "validate_local"}


class Classes:
    """The classes that a plan names, imported; it makes objects of them."""

    def __init__(self, hello):
        self.hello = hello
        treatment = hello.get("opt_treatment") or "RESET"
        if treatment not in TREATMENTS:
            raise Refused(f"opt_treatment {treatment!r:.40} is unknown; allowed: {', '.join(TREATMENTS)}")
        self.treatment = treatment
        self.loader_class = load_class("data_loader", hello["data_loader"]["template"])
        self.runner_class = load_class("task_runner", hello["task_runner"]["template"])
        self.loader_settings = dict(hello["data_loader"].get("settings") or {})
        self.runner_settings = dict(hello["task_runner"].get("settings") or {})
        self.name = hello["task_runner"]["template"][:100]  # fxrun takes 200 bytes

    def build(self, loader):
        """Make a runner over a loader, ready for tasks as OpenFL's plan makes it."""
        runner = self.runner_class(data_loader=loader, **self.runner_settings)
        runner.initialize_tensorkeys_for_functions()
        return runner

    def load_data(self, data_path):
        return self.loader_class(data_path=data_path, **self.loader_settings)

    def task_runner(self):
        """Make the runner of this site, over its data."""
        data = self.hello.get("data") or None
        try:
            runner = self.build(self.load_data(data))
        except Exception:
            if data is None:
                logger.error("no data was given to the data loader; name it with --data or --data-text")
            raise
        runner.set_optimizer_treatment(self.treatment)
        return Tasks(runner, self.hello.get("collaborator", ""))

    def initial_model(self, path):
        """Write what the runner begins with; say whether there are any tensors.

        OpenFL 1.9 makes the loader without data for this. Loaders written for
        earlier versions want a shape (settings: input_shape) or real data.
        """
        runner = self.without_data()
        tensors = runner.get_tensor_dict(False)
        if not isinstance(tensors, dict):
            raise Refused(f"get_tensor_dict returned {type(tensors).__name__}; a dict was expected")
        from openfl.utilities.split import split_tensor_dict_for_holdouts

        kwargs = getattr(runner, "tensor_dict_split_fn_kwargs", None) or {}
        send, keep = split_tensor_dict_for_holdouts(tensors, **kwargs)
        if keep:
            logger.warning("not in the initial model, since they stay at each site: %s", ", ".join(map(str, keep)))
        if send:
            fx_tensors.write(path, send)
        return bool(send)

    def without_data(self):
        try:
            return self.build(self.load_data(None))
        except Exception as e:
            if "input_shape" in self.loader_settings:
                logger.info("the data loader needs data (%s); input_shape takes its place", e)
                return self.build(mock_loader(self.loader_settings))
            data = self.hello.get("data")
            if data:
                logger.info("the data loader needs data (%s); it gets this site's", e)
                return self.build(self.load_data(data))
            logger.error(
                "making the data loader and the task runner without data failed; if they need data for the initial "
                "model, name it with --data or --data-text, or set data_loader.settings.input_shape"
            )
            raise


def load_class(section, template):
    """Import the class that a section of the plan names."""
    module_name, _, name = template.rpartition(".")
    if not module_name.startswith(("src.", "openfl.")) and module_name not in ("src", "openfl"):
        raise Refused(f"{section}: {template!r:.100} is no class of the workspace (src....) or of OpenFL")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as e:
        raise Refused(f"{section}: cannot import {module_name}: {missing(e.name or '')}") from e
    try:
        return getattr(module, name)
    except AttributeError:
        raise Refused(f"{section}: the module {module_name} has no class {name!r:.100}") from None


def missing(name):
    """Say what to do about a module that is not there."""
    root = name.partition(".")[0]
    if root == "src":
        return f"the workspace has no module {name}"
    version = ".".join(map(str, sys.version_info[:3]))
    text = f"the interpreter {sys.executable} (Python {version}) has no module {name}: "
    if root == "openfl":
        return text + "install openfl for it (fx's own stand-in for the package does not have this part)"
    return text + f"install {root} for it, or name another interpreter with --python"


def mock_loader(settings):
    """A loader without data, of the shape that the plan gives."""
    shape = settings["input_shape"]
    mock = types.SimpleNamespace(**settings)
    mock.get_feature_shape = lambda: shape
    mock.get_train_data_size = mock.get_valid_data_size = lambda: 0
    return mock


class Tasks:
    """A runner, and the tensors that its tasks leave at this site."""

    def __init__(self, runner, collaborator):
        self.runner = runner
        self.collaborator = collaborator
        self.round = None  # of the last task
        self.initial = None  # the runner's own tensors, until its first task may change them
        self.begun = False
        self.store = {}  # (name, round, report, tags) -> array

    def run(self, request):
        """Do one task; return the answer's fields."""
        function, number = request["function"], request["round"]
        kwargs = dict(request.get("arguments") or {})
        call = getattr(self.runner, function, None)
        if not callable(call):
            raise Refused(f"the task runner {type(self.runner).__name__} has no function {function!r:.100}")
        self.forget(number)
        inputs = self.inputs(request, function, number, kwargs)
        self.begun, self.initial = True, None
        result = call(col_name=self.collaborator, round_num=number, input_tensor_dict=inputs, **kwargs)
        if not isinstance(result, tuple) or len(result) != 2 or not all(isinstance(d, dict) for d in result):
            raise Refused(
                f"{function} returned {describe(result)}; two dicts {{TensorKey: array}} were expected: "
                "what is sent, and what stays"
            )
        tensors, metrics = self.sort(function, number, result[0])
        if tensors:
            fx_tensors.write(request["output"], tensors)
        for outputs in result:
            for key, value in outputs.items():
                name, _, of_round, report, tags = take_apart(function, key)
                self.store[name, of_round, report, tags] = value
        return {
            "metrics": rename(metrics, request.get("metrics") or []),
            "data_size": self.data_size(request["task"]),
            "tensors": bool(tensors),
        }

    def forget(self, number):
        """Let go of what later rounds cannot ask for.

        Trained tensors serve their own round. A tensor that stays at the site
        serves as the model until training makes another.
        """
        if number == self.round:
            return
        self.round = number
        newest = {}
        for name, of_round, _, tags in self.store:
            if "model" in tags and of_round <= number:
                newest[name, tags] = max(of_round, newest.get((name, tags), 0))
        self.store = {
            (name, of_round, report, tags): value
            for (name, of_round, report, tags), value in self.store.items()
            if of_round >= number or newest.get((name, tags)) == of_round
        }

    def inputs(self, request, function, number, kwargs):
        """Resolve what the function requires to arrays by name."""
        path = request.get("inputs") or ""
        given = fx_tensors.read(path) if path else {}
        local = kwargs.get("apply") == "local"
        if not local:
            self.resume(given, number)
        found = {}
        for key in self.runner.get_required_tensorkeys_for_function(function, **kwargs):
            name, origin, offset, report, tags = take_apart(function, key)
            if origin == "GLOBAL":
                if local or offset != 0 or tags != ("model",):
                    raise Refused(
                        f"{function} needs the global tensor {name!r:.100} with tags {list(tags)} of round "
                        f"{number + offset}; fx hands over the model of the round, or (apply: local) what this "
                        "site trained in it"
                    )
                if name not in given:
                    raise Refused(f"{function} needs the tensor {name!r:.100}, which the model does not have")
                found[name] = given[name]
            else:
                found[name] = self.local(function, name, number + offset, report, tags, given if local else {})
        return found

    def resume(self, given, number):
        """Go on from the federation's optimizer state in a new process.

        A PyTorchTaskRunner of OpenFL's that has not trained yet does not ask for it:
        it does not know that there is any. This one is told, so that a run that was
        interrupted ends with the model of one that was not.
        """
        state = [name for name in given if name.startswith(OPTIMIZER)]
        if not state or getattr(self.runner, "training_round_completed", None) is not False:
            return
        if self.runner.opt_treatment != "CONTINUE_GLOBAL":
            return
        needed = np.array("true")
        self.runner.set_tensor_dict({**given, NEEDED: needed}, with_opt_vars=True)
        self.runner.initialize_tensorkeys_for_functions(with_opt_vars=True)
        self.runner.training_round_completed = True
        self.store[NEEDED, number, False, ("model",)] = needed

    def local(self, function, name, number, report, tags, trained):
        """Find a tensor that this site made."""
        value = self.store.get((name, number, report, tags))
        if value is None and tags == TRAINED and number == self.round:
            value = trained.get(name)
        if value is None and "model" in tags:
            earlier = [k for k in self.store if k[0] == name and k[3] == tags and k[1] < number]
            if earlier:
                value = self.store[max(earlier, key=lambda k: k[1])]
            elif not self.begun and number == 0:
                # Nobody else has it: what the runner was made with counts.
                if self.initial is None:
                    self.initial = self.runner.get_tensor_dict(False)
                value = self.store[name, number, report, tags] = self.initial.get(name)
        if value is None:
            raise Refused(
                f"{function} needs the tensor {name!r:.100} with tags {list(tags)} of round {number}, which never "
                "leaves this site. Nothing made it, or it was lost with an earlier process of the task runner"
            )
        return np.asarray(value)

    def sort(self, function, number, outputs):
        """Part what is sent into tensors and metrics."""
        tensors, metrics = {}, {}
        for key, value in outputs.items():
            name, _, of_round, report, tags = take_apart(function, key)
            fx_tensors.check_name(name)
            if of_round != number:
                raise Refused(f"{function} sends {name!r:.100} as of round {of_round!r:.20} in round {number}")
            if name in tensors or name in metrics:
                raise Refused(f"{function} sends {name!r:.100} twice")
            if ("metric" in tags and set(tags) <= METRIC_TAGS) or (report and not tags):
                metrics[name] = number_of(name, value)
            elif tags == TRAINED and not report:
                if np.asarray(value).dtype.kind not in "fiub":
                    fx_tensors.float32(name, value)  # says why not
                tensors[name] = value
            else:
                raise Refused(
                    f"{function} sends {name!r:.100} with the tags {list(tags)}, which fx does not carry; "
                    "allowed: trained, or metric with validate_agg or validate_local"
                )
        return tensors, metrics

    def data_size(self, task):
        """The weight of a result by OpenFL's rule, which looks at the task's name."""
        if "valid" in task:
            size = self.runner.get_valid_data_size()
        elif "train" in task:
            size = self.runner.get_train_data_size()
        else:
            return -1
        try:
            return int(size)
        except (TypeError, ValueError):
            raise Refused(f"the data loader's size for task {task!r:.100} is {describe(size)}; a number was expected") from None


def take_apart(function, key):
    """Check a TensorKey: name, origin, round, report, tags."""
    try:
        name, origin, number, report, tags = key
        tags = tuple(tags)
    except (TypeError, ValueError):
        raise Refused(f"{function} uses {key!r:.100} as a key; a TensorKey was expected") from None
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
        raise Refused(f"{function} uses a TensorKey with the round {number!r:.40}; a whole number was expected")
    return name, origin, int(number), bool(report), tags


def number_of(name, value):
    """A metric's value as a float."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise Refused(f"metric {name!r:.100} is {describe(value)}; one number was expected")
    return float(array.reshape(()))


def rename(metrics, listed):
    """Report a task's only metric under the only name that the plan lists.

    OpenFL's plans list names that its runners do not heed: those of its PyTorch
    workspaces say "acc" and "loss" where the code says "accuracy" and
    "crossentropy_loss". What the plan lists is what was approved.
    """
    if len(metrics) == 1 and len(listed) == 1 and listed[0] not in metrics:
        ((name, value),) = metrics.items()
        logger.info("the metric %r is reported as %r, the name in the plan", name, listed[0])
        return {listed[0]: value}
    return metrics


def describe(value):
    """What a value is, without printing the whole of it."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {list(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)} ({', '.join(type(v).__name__ for v in value[:3])})"
    return f"a {type(value).__name__}"

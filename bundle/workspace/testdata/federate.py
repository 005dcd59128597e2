"""A whole federation in one process, for tests: the classes of a workspace, called
as OpenFL's collaborator and aggregator call them, without either.

    federate.py SPEC     JSON: see spec of template_python_test.go

Runs in the workspace. Prints one line of JSON: what came out.
"""

import importlib
import json
import sys

import numpy as np


def made(part, **more):
    module, name = part["template"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(**{**part["settings"], **more})


class Site:
    def __init__(self, spec, name, data):
        self.name = name
        self.runner = made(spec["task_runner"], data_loader=made(spec["data_loader"], data_path=data))
        self.runner.initialize_tensorkeys_for_functions()
        self.runner.set_optimizer_treatment("RESET")
        self.trained = {}

    def run(self, task, round_num, model):
        """Returns tensors, metrics and the weight of a result."""
        function, arguments = task["function"], task["arguments"]
        tensors = {}
        for key in self.runner.get_required_tensorkeys_for_function(function, **arguments):
            tensors[key.tensor_name] = (self.trained if key.origin == "LOCAL" else model)[key.tensor_name]
        sent, _ = getattr(self.runner, function)(
            col_name=self.name, round_num=round_num, input_tensor_dict=tensors, **arguments
        )
        tensors, metrics = {}, {}
        for key, value in sent.items():
            if "metric" in key.tags:
                metrics[key.tensor_name] = float(value)
            else:
                tensors[key.tensor_name] = np.asarray(value, dtype=np.float32)
        if tensors:
            self.trained = tensors
        size = self.runner.get_valid_data_size if "valid" in task["name"] else self.runner.get_train_data_size
        return tensors, metrics, size()


def main():
    sys.path.insert(0, "")
    with open(sys.argv[1]) as f:
        spec = json.load(f)
    # The initial model, made by code that sees no data.
    first = made(spec["task_runner"], data_loader=made(spec["data_loader"], data_path=None))
    initial = {name: np.asarray(v) for name, v in first.get_tensor_dict(False).items()}
    sites = [Site(spec, name, data) for name, data in spec["sites"]]
    alone = dict.fromkeys(spec["alone"])
    model, metrics, again = initial, {}, True
    for round_num in range(spec["rounds"]):
        results = {}
        for task in spec["tasks"]:
            for site in sites:
                tensors, values, weight = site.run(task, round_num, model)
                metrics.setdefault(task["name"], []).append(values)
                if tensors:
                    results[site.name] = tensors, weight
        if round_num == 0:  # a task that is done again gives the same bytes
            train = next(t for t in spec["tasks"] if "train" in t["function"])
            repeated = sites[0].run(train, 0, model)[0]
            again = all(np.array_equal(repeated[n], v) for n, v in results[sites[0].name][0].items())
        total = sum(weight for _, weight in results.values())
        model = {
            name: (sum(w * t[name].astype(np.float64) for t, w in results.values()) / total).astype(np.float32)
            for name in model
        }
    judge = Site(spec, "holdout", spec["holdout"])
    validate = next(t for t in spec["tasks"] if t["arguments"].get("apply") == "global")
    report = {
        "openfl": getattr(importlib.import_module("openfl"), "__version__", ""),
        "accuracy": judge.run(validate, 0, model)[1]["accuracy"],
        "initial_accuracy": judge.run(validate, 0, initial)[1]["accuracy"],
        "tensors": {name: [str(v.dtype), *v.shape] for name, v in initial.items()},
        "sent": sorted({name for tensors, _ in results.values() for name in tensors}),
        "metrics": {name: sorted({m for values in list_ for m in values}) for name, list_ in metrics.items()},
        "repeatable": again,
    }
    for name in alone:  # as many rounds at one site
        site, model = next(s for s in sites if s.name == name), initial
        train = next(t for t in spec["tasks"] if "train" in t["function"])
        for round_num in range(spec["rounds"]):
            model = site.run(train, round_num, model)[0]
        alone[name] = judge.run(validate, 0, model)[1]["accuracy"]
    report["alone"] = alone
    print(json.dumps(report))


if __name__ == "__main__":
    main()

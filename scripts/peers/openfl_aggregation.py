"""Writes what the aggregation functions of the package openfl make of random
updates, in the form of runtime/aggregation/testdata/vectors.json.

    openfl_aggregation.py OUTPUT

The adaptive functions get the initial model as their parameters, which is what
a Python program would have to do, and are called as OpenFL's aggregator calls
them: one tensor at a time, with the shares of the data sizes as weights.
"""

import json
import sys

import numpy as np
from openfl.interface.aggregation_functions import (
    AdagradAdaptiveAggregation, AdamAdaptiveAggregation, FedCurvWeightedAverage, GeometricMedian, Median,
    WeightedAverage, YogiAdaptiveAggregation,
)
from openfl.interface.aggregation_functions.core import AdaptiveAggregation
from openfl.utilities import LocalTensor
from openfl.utilities.optimizers.numpy import NumPyYogi

PATH = "openfl.interface.aggregation_functions."
SHAPES = {"conv.weight": (3, 4, 2), "conv_u": (5,), "conv_v": (2, 3), "fc.bias": (7,), "fc_w": (4,)}
rng = np.random.default_rng(7)


def collaborators(model, n, outlier):
    for i in range(n):
        scale = 30 if i == outlier else 0.3
        yield {name: (v + rng.normal(scale=scale, size=v.shape)).astype(np.float32) for name, v in model.items()}


def make(cls, settings, params):
    if params is None:
        return cls(**settings)
    if cls is not YogiAdaptiveAggregation:
        return cls(params=params, **settings)
    # The constructor of 1.9 misspells an argument and always fails; what it means to make works.
    AdaptiveAggregation.__class__._instances.pop(AdaptiveAggregation, None)
    return AdaptiveAggregation(NumPyYogi(params=params, **settings), WeightedAverage())


def case(cls, settings, rounds=1, n=5, outlier=None):
    model = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    adaptive = "Adaptive" in cls.__name__
    cls.__class__._instances.pop(cls, None)  # OpenFL keeps one instance of each class
    # Parameters and tensors in float64: the values to compare with, not their rounding.
    function = make(cls, settings, {k: v.astype(np.float64) for k, v in model.items()} if adaptive else None)
    out = {"name": f"{cls.__name__} {json.dumps(settings)} of {n}", "template": PATH + cls.__name__, "settings": settings,
           "model": {k: v.ravel().tolist() for k, v in model.items()}, "rounds": []}
    for r in range(rounds):
        updates = list(collaborators(model, n, outlier))
        sizes = [int(s) for s in rng.integers(10, 400, n)]
        want = {}
        for name in SHAPES:
            local = [LocalTensor(col_name=str(i), tensor=u[name].astype(np.float64), weight=sizes[i] / sum(sizes)) for i, u in enumerate(updates)]
            tag = "aggregated" if r else "model"
            history = [{"round": r, "tensor_name": name, "tags": (tag,), "nparray": model[name].astype(np.float64)}]
            if adaptive:  # the model that a round begins with is float32
                function.optimizer.params[name] = model[name].astype(np.float64)
            want[name] = np.array(function(local, iter(history), name, r, ("trained",)), dtype=np.float64)
        out["rounds"].append({
            "updates": [{"weight": s, "values": {k: v.ravel().tolist() for k, v in u.items()}} for s, u in zip(sizes, updates)],
            "want": {k: v.ravel().tolist() for k, v in want.items()},
        })
        model = {k: v.astype(np.float32) for k, v in want.items()}
    return out


own = {"learning_rate": 0.1, "betas": [0.8, 0.95], "epsilon": 1e-4, "initial_accumulator_value": 0.5}
cases = [
    case(WeightedAverage, {}), case(WeightedAverage, {}, n=1), case(Median, {}), case(Median, {}, n=4), case(Median, {}, n=1),
    case(GeometricMedian, {}), case(GeometricMedian, {}, outlier=2), case(GeometricMedian, {}, n=2), case(FedCurvWeightedAverage, {}),
    case(AdagradAdaptiveAggregation, {}, rounds=5), case(AdagradAdaptiveAggregation, {"learning_rate": 0.3, "epsilon": 1e-3}, rounds=3),
    case(AdamAdaptiveAggregation, {}, rounds=5), case(AdamAdaptiveAggregation, own, rounds=4, outlier=1),
    case(YogiAdaptiveAggregation, {}, rounds=5), case(YogiAdaptiveAggregation, own, rounds=4),
]
with open(sys.argv[1], "w") as f:
    json.dump({"numpy": np.__version__, "cases": cases}, f)
print(f"openfl-aggregation: {len(cases)} cases, {sum(len(c['rounds']) for c in cases)} rounds")

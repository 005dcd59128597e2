#!/usr/bin/env python3
"""Writes vectors.json: what every aggregation algorithm makes of given updates,
computed here with NumPy alone, from the papers' formulas.

    python3 runtime/aggregation/testdata/vectors.py

A case has tensors, each with the global value before the first round, and
rounds, each with the updates of the collaborators in name order and the values
that come out. The value of a round, rounded to float32, is the global value of
the next; so is the state of an optimizer.
"""

import json
import pathlib

import numpy as np

OPENFL = "openfl.interface.aggregation_functions."
OURS = "fx.aggregation."
rng = np.random.default_rng(20240501)


def shares(weights):
    w = np.asarray(weights, np.float64)
    return w / w.sum()


def stack(updates, name):
    return np.stack([u[name] for u in updates]).astype(np.float64)


def whole(updates, names):
    return np.stack([np.concatenate([u[n] for n in names]) for u in updates]).astype(np.float64)


def average(x, w):
    return np.einsum("i,ij->j", shares(w), x)


def trimmed(x, f):
    return np.sort(x, axis=0)[f : len(x) - f].mean(axis=0)


def geometric_median(x, w):
    w = shares(w)
    m = average(x, w)
    objective = (w * np.linalg.norm(x - m, axis=1)).sum()
    for _ in range(4):
        w = w / np.maximum(1e-5, np.linalg.norm(x - m, axis=1))
        w = w / w.sum()
        m = average(x, w)
        before, objective = objective, (w * np.linalg.norm(x - m, axis=1)).sum()
        if abs(before - objective) < 1e-6 * objective:
            break
    return m


def krum_scores(x, f):
    d = ((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)
    near = max(1, len(x) - f - 2)
    return np.array([np.sort(np.delete(d[i], i))[:near].sum() for i in range(len(x))])


def krum(x, f, keep):
    return sorted(np.argsort(krum_scores(x, f), kind="stable")[:keep])


def bulyan_choice(x, f):
    left, chosen = list(range(len(x))), []
    while len(chosen) < len(x) - 2 * f:
        best = left[int(np.argmin(krum_scores(x[left], f)))]
        chosen.append(best)
        left.remove(best)
    return sorted(chosen)


def bulyan(x, f):
    keep = len(x) - 2 * f
    x = np.sort(x, axis=0)
    order = np.argsort(np.abs(x - np.median(x, axis=0)), axis=0, kind="stable")
    return np.take_along_axis(x, order[:keep], axis=0).mean(axis=0)


class Optimizer:
    def __init__(self, kind, lr, betas=(0.9, 0.999), start=0.0, eps=1e-8):
        self.kind, self.lr, self.betas, self.start, self.eps = kind, lr, betas, start, eps
        self.state, self.t = {}, {}

    def __call__(self, name, base, x, w):
        base = base.astype(np.float64)
        g = base - average(x, w)
        t = self.t[name] = self.t.get(name, 0) + 1
        s = self.state.get(name, np.full((2, base.size), self.start, np.float32)).astype(np.float64)
        b1, b2 = self.betas
        if self.kind == "adagrad":
            s[0] += g**2
            base = base - self.lr * g / (np.sqrt(s[0]) + self.eps)
        elif self.kind == "fedavgm":
            s[0] = b1 * s[0] + g
            base = base - self.lr * s[0]
        else:
            s[0] = b1 * s[0] + (1 - b1) * g
            sign = np.sign(g**2 - s[1]) if self.kind == "yogi" else 1
            s[1] = b2 * s[1] + (1 - b2) * sign * g**2
            base = base - self.lr * (s[0] / (1 - b1**t)) / (np.sqrt(s[1] / (1 - b2**t)) + self.eps)
        self.state[name] = s.astype(np.float32)
        return base


def clip(model, updates, norm):
    out = []
    for u in updates:
        change = np.sqrt(sum(((u[n].astype(np.float64) - model[n]) ** 2).sum() for n in model))
        f = min(1, norm / change)
        out.append({n: (model[n] + f * (u[n].astype(np.float64) - model[n])).astype(np.float32) if n in model else u[n] for n in u})
    return out


def case(title, template, settings, step, collaborators=5, rounds=1, names=("a.weight", "b.bias"), outliers=0, extra=()):
    """step(model, updates, weights) -> the next value by name; extra names are in no initial model."""
    sizes = {n: 3 + 4 * i for i, n in enumerate(list(names) + list(extra))}
    model = {n: rng.normal(size=sizes[n]).astype(np.float32) for n in names}
    out = {"name": title, "template": template, "settings": settings, "model": {n: v.tolist() for n, v in model.items()}, "rounds": []}
    for _ in range(rounds):
        updates = []
        for i in range(collaborators):
            far = 40 if i < outliers else 0.5
            u = {n: (model[n] + rng.normal(scale=far, size=sizes[n])).astype(np.float32) for n in names}
            u.update({n: rng.normal(size=sizes[n]).astype(np.float32) for n in extra})
            updates.append(u)
        weights = [int(w) for w in rng.integers(10, 500, collaborators)]
        want = step(model, updates, weights)
        out["rounds"].append({
            "updates": [{"weight": w, "values": {n: v.tolist() for n, v in u.items()}} for w, u in zip(weights, updates)],
            "want": {n: v.tolist() for n, v in want.items()},
        })
        model = {n: want[n].astype(np.float32) for n in model}
    return out


def each(f):
    """A step that makes every tensor for itself."""
    return lambda model, updates, w: {n: f(n, stack(updates, n), w) for n in updates[0]}


def chosen(choose, combine):
    """A step that first chooses whole updates by the tensors of the model."""
    def step(model, updates, w):
        picked = [updates[i] for i in choose(whole(updates, list(model)))]
        return {n: combine(stack(picked, n)) for n in updates[0]}
    return step


def stepped(o):
    return lambda model, updates, w: {
        n: o(n, model[n], stack(updates, n), w) if n in model else average(stack(updates, n), w) for n in updates[0]
    }


mean = lambda x: x.mean(axis=0)
curv = lambda n, x, w: x.sum(axis=0) if n[-2:] in ("_u", "_v", "_w") else average(x, w)
adam = {"learning_rate": 0.1, "betas": [0.8, 0.95], "epsilon": 1e-4, "initial_accumulator_value": 0.5}

cases = [
    case("average", OPENFL + "WeightedAverage", {}, each(lambda n, x, w: average(x, w))),
    case("median of an odd number", OPENFL + "Median", {}, each(lambda n, x, w: np.median(x, axis=0))),
    case("median of an even number", OPENFL + "Median", {}, each(lambda n, x, w: np.median(x, axis=0)), collaborators=4),
    case("geometric median", OPENFL + "GeometricMedian", {}, each(lambda n, x, w: geometric_median(x, w))),
    case("geometric median with an outlier", OPENFL + "GeometricMedian", {}, each(lambda n, x, w: geometric_median(x, w)), outliers=1),
    case("curvature", OPENFL + "FedCurvWeightedAverage", {}, each(curv), names=("w", "w_u", "w_v", "w_w", "uw_")),
    case("adagrad as it is", OPENFL + "AdagradAdaptiveAggregation", {}, stepped(Optimizer("adagrad", 0.01, start=0.1, eps=1e-10)), rounds=4),
    case("adagrad", OPENFL + "AdagradAdaptiveAggregation", {"learning_rate": 0.5, "epsilon": 0.1, "initial_accumulator_value": 0},
         stepped(Optimizer("adagrad", 0.5, start=0, eps=0.1)), rounds=3, extra=("__opt_state",)),
    case("adam as it is", OPENFL + "AdamAdaptiveAggregation", {}, stepped(Optimizer("adam", 0.01)), rounds=4),
    case("adam", OPENFL + "AdamAdaptiveAggregation", adam, stepped(Optimizer("adam", 0.1, (0.8, 0.95), 0.5, 1e-4)), rounds=3, extra=("__opt_state",)),
    case("yogi as it is", OPENFL + "YogiAdaptiveAggregation", {}, stepped(Optimizer("yogi", 0.01)), rounds=4),
    case("yogi", OPENFL + "YogiAdaptiveAggregation", adam, stepped(Optimizer("yogi", 0.1, (0.8, 0.95), 0.5, 1e-4)), rounds=3),
    case("momentum as it is", OURS + "FedAvgM", {}, stepped(Optimizer("fedavgm", 1, (0.9, 0))), rounds=4, extra=("__opt_state",)),
    case("momentum", OURS + "FedAvgM", {"momentum": 0.5, "learning_rate": 0.7}, stepped(Optimizer("fedavgm", 0.7, (0.5, 0))), rounds=3),
    case("trimmed mean as it is", OURS + "TrimmedMean", {}, each(lambda n, x, w: trimmed(x, 1)), outliers=1),
    case("trimmed mean", OURS + "TrimmedMean", {"byzantine": 2}, each(lambda n, x, w: trimmed(x, 2)), collaborators=6, outliers=2),
    case("krum as it is", OURS + "Krum", {}, chosen(lambda x: krum(x, 1, 1), mean), outliers=1, extra=("__opt_state",)),
    case("krum", OURS + "Krum", {"byzantine": 2}, chosen(lambda x: krum(x, 2, 1), mean), collaborators=9, outliers=2),
    case("multi-krum as it is", OURS + "MultiKrum", {}, chosen(lambda x: krum(x, 1, len(x) - 3), mean), collaborators=8, outliers=1),
    case("multi-krum", OURS + "MultiKrum", {"byzantine": 2, "keep": 3}, chosen(lambda x: krum(x, 2, 3), mean), collaborators=9, outliers=2, extra=("__opt_state",)),
    case("bulyan as it is", OURS + "Bulyan", {}, chosen(lambda x: bulyan_choice(x, 1), lambda x: bulyan(x, 1)), collaborators=7, outliers=1),
    case("bulyan", OURS + "Bulyan", {"byzantine": 2}, chosen(lambda x: bulyan_choice(x, 2), lambda x: bulyan(x, 2)), collaborators=12, outliers=2, extra=("__opt_state",)),
    case("clipping", OURS + "NormClipping", {"norm": 1.5},
         lambda m, u, w: each(lambda n, x, w: average(x, w))(m, clip(m, u, 1.5), w), outliers=2, extra=("__opt_state",)),
    case("clipping before the median", OURS + "NormClipping", {"norm": 2, "then": {"template": OPENFL + "Median", "settings": {}}},
         lambda m, u, w: each(lambda n, x, w: np.median(x, axis=0))(m, clip(m, u, 2), w), outliers=2),
]
momentum = Optimizer("fedavgm", 1, (0.9, 0))
cases.append(case("clipping before momentum", OURS + "NormClipping", {"norm": 1, "then": {"template": OURS + "FedAvgM"}},
                  lambda m, u, w: stepped(momentum)(m, clip(m, u, 1), w), rounds=3, outliers=1))
text = json.dumps({"numpy": np.__version__, "cases": cases}, indent=None, separators=(",", ":")).replace('},{"name"', '},\n{"name"')
pathlib.Path(__file__).with_name("vectors.json").write_text(text + "\n")
print(f"{len(cases)} cases, {len(text)} bytes")

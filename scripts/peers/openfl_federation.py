"""Federations of OpenFL and fx participants, whose models are compared; called by scripts/e2e/openfl.sh.

    openfl_federation.py FOLDER [ROW...]

FOLDER is that of openfl_play.py. With words, only rows that have one of them in their name are run.
"""

import os
import sys
import time

import numpy as np
import openfl_conformance
import openfl_own_code
from openfl_play import NAMES, ROOT, Failed, Federation, data, openfl_pki, pipelines, play


def far(a, b):
    """The largest difference, relative to the largest value of its tensor."""
    return max(float(np.abs(a[n] - b[n]).max() / max(np.abs(b[n]).max(), 1e-30)) for n in b)


def loss(model, folder):
    """The mean loss of a model over what both sites train with."""
    rows = np.vstack([np.loadtxt(folder / site / "train.csv", delimiter=",") for site in NAMES])
    logits = rows[:, :-1] / 4 @ model["weight"] + model["bias"]
    logits -= logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(rows)), rows[:, -1].astype(int)]).mean())


def unlike(got, want, folder):
    """How far two models are apart as models: in their direction and length, and in what they learned. Both are
    shares, of the length of the second and of what it gained on a model of zeros. Runs with other random starts
    differ by 0.2 and 0.03; a model that is wrong, or learned nothing, differs by 1."""
    a, b = (np.concatenate([model[n].ravel() for n in sorted(model)]) for model in (got, want))
    zeros = loss({n: np.zeros_like(v) for n, v in want.items()}, folder)
    gained = abs(loss(got, folder) - loss(want, folder)) / (zeros - loss(want, folder))
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)), gained)


MIXES = {
    "OpenFL alone": ("openfl", ["openfl", "openfl"]),
    "OpenFL with 2 fx": ("openfl", ["fx", "fx"]),
    "fx with 2 OpenFL": ("fx", ["openfl", "openfl"]),
    "OpenFL with one of each": ("openfl", ["openfl", "fx"]),
    "fx with one of each": ("fx", ["fx", "openfl"]),
}

# How far the last model of a mix may be from the row's first, value by value. Shifts are random, and
# rounded; EDEN rotates at random.
BOUNDS = {
    "NoCompressionPipeline": 1e-6, "RandomShiftPipeline": 2e-4, "KCPipeline": 0.6, "SKCPipeline": 0.6, "STCPipeline": 1e-5,
    "EdenPipeline": 0.05,
}
# OpenFL's k-means starts at random, and may give the largest value of a tensor to one cluster or to
# another: these models are compared as wholes, by unlike().
CLUSTERED = ("KCPipeline", "SKCPipeline")
SETTINGS = {"SKCPipeline": {"p_sparsity": 0.3}, "STCPipeline": {"p_sparsity": 0.3}, "EdenPipeline": {"dim_threshold": 10}}
LOSSLESS = ("NoCompressionPipeline", "RandomShiftPipeline")

# OpenFL misreads the labels that OpenFL itself sends in some of these messages. Such a mix has
# to come to its end, but its model is whatever it is.
MISREAD = {("SKCPipeline", True), ("STCPipeline", True)}
MISREADING = ("OpenFL alone", "OpenFL with one of each")


def matrix():
    """Every pipeline, with differences and without. The one of each is under the one aggregator without
    differences and under the other with them; with the next pipeline it is the other way round."""
    rows = []
    for pipeline in BOUNDS:
        if pipeline == "EdenPipeline" and not hasattr(pipelines, pipeline):
            continue  # OpenFL needs torch for it; the script says so
        for deltas in (False, True):
            # With loss and differences all send in one form, and OpenFL's runners in that of fx's
            # built-in ones only if they keep a tensor to themselves.
            common = dict(pipeline=pipeline, settings=SETTINGS.get(pipeline), deltas=deltas)
            holds = deltas and pipeline not in LOSSLESS
            one = ("OpenFL with one of each", "fx with one of each")[(len(rows) + len(rows) // 2) % 2]
            group = {mix: Federation(f"{pipeline} deltas {deltas} {mix}", *who, holds=holds, **common)
                     for mix, who in MIXES.items() if mix == one or "one of" not in mix}
            if (pipeline, deltas) in MISREAD:
                group = {m: group[m] for m in sorted(group, key=lambda m: m in MISREADING)}
            rows.append((f"{pipeline[:-8]}, deltas {'on' if deltas else 'off'}", BOUNDS[pipeline], group))
    for pipeline in BOUNDS:
        if pipeline in LOSSLESS or not hasattr(pipelines, pipeline):
            continue
        # Else OpenFL's collaborators fetch differences from the second round on, and send whole tensors.
        common = dict(pipeline=pipeline, settings=SETTINGS.get(pipeline), deltas=True)
        # What is sent differs by mix, so each only has to come to its end.
        rows.append((f"{pipeline[:-8]}, OpenFL fetches differences", None, {
            mix: Federation(f"{pipeline} fetched {mix}", *MIXES[mix], **common) for mix in ("fx with one of each",)}))
    return rows


def specials():
    """What is tried once, beside the matrix."""
    def pair(name, openfl=("openfl", ["openfl", "openfl"]), fx=("fx", ["fx", "openfl"]), **kw):
        return (name, 1e-6, {"OpenFL alone": Federation(f"{name} reference", *openfl, **kw),
                             "mix": Federation(f"{name} mix", *fx, **kw)})

    return [
        pair("results of several chunks", features=3000, classes=200),
        pair("aggregator without differences", agg_deltas=False),
        pair("optimizer state averaged", treatment="CONTINUE_GLOBAL", fx=("fx", ["openfl", "openfl"])),
        pair("certificates of OpenFL's CA", certs="openfl"),
        pair("certificates of OpenFL's CA, IP address", certs="openfl", host="127.0.0.1"),
        pair("certificates of OpenFL's CA, fx collaborators", certs="openfl", fx=("openfl", ["fx", "fx"])),
    ]


def judge(rows):
    """Compares the last models of each row; says how far they are apart."""
    bad = 0
    for name, bound, group in rows:
        if bound is None:
            print(f"openfl: {name}: {len(group)} came to their end")
            continue
        (reference, want), *others = [(mix, f.last()) for mix, f in group.items()]
        distances = []
        for mix, got in others:
            if got[1] != want[1] or set(got[0]) != set(want[0]):
                print(f"openfl: error: {name}, {mix}: round {got[1]} of {sorted(got[0])}, want {want[1]} of {sorted(want[0])}")
                bad += 1
                continue
            f = group[mix]
            distance = unlike(got[0], want[0], f.data) if f.pipeline in CLUSTERED else far(got[0], want[0])
            if mix in MISREADING and reference not in MISREADING:
                continue
            distances.append(distance)
            if not distance <= bound:
                print(f"openfl: error: {name}, {mix}: the last model is off by {distance:.2g}, allowed {bound:g}")
                bad += 1
        print(f"openfl: {name}: {len(distances)} mixes against {reference}, at most {max(distances, default=float('nan')):.1e} off")
    return bad


def state_counts(rows):
    """Whether averaged optimizer state makes another model than none; else its row would prove nothing."""
    plain, averaged = (group["OpenFL alone"].last()[0] for name, _, group in rows if name.startswith("PyTorch"))
    distance = far(averaged, plain)
    if distance < 1e-3:
        print(f"openfl: error: the averaged optimizer state changes the model by {distance:.2g} only")
    return distance < 1e-3


def evaluation():
    """An evaluation under both aggregators, with one collaborator of each; and a run that goes on from
    the other's last model."""
    first = Federation("a run of 3 rounds", "openfl", ["openfl", "openfl"])
    play([first], 1)
    model = first.dir / "aggregator/save/last.pbuf"
    on = {kind: Federation(f"going on, {kind}", kind, ["fx", "openfl"], rounds=5, model=model) for kind in ("openfl", "fx")}
    judged = {kind: Federation(f"evaluation, {kind}", kind, ["fx", "openfl"], group="evaluation", model=model) for kind in ("openfl", "fx")}
    play([*on.values(), *judged.values()], 4)
    bad = judge([("going on from OpenFL's last model", 1e-6, on)])
    for kind, f in judged.items():
        saved = list((f.dir / "aggregator").glob("**/last.pbuf"))
        if saved:
            print(f"openfl: error: {f.name}: {saved[0]} was written")
            bad += 1
    print("openfl: evaluation: under both aggregators, no model written")
    return bad


def main():
    data(ROOT / "data/20x4", 20, 4)
    data(ROOT / "data/3000x200", 3000, 200, rows=(3, 2))
    np.random.seed(1)  # of OpenFL's k-means and shifts; what remains open is the order of calls
    started = time.monotonic()
    openfl_pki(ROOT / "pki/openfl")
    rows = matrix() + specials() + openfl_conformance.rows(MIXES)
    if not os.environ.get("FX_NO_BOX"):
        rows += openfl_own_code.rows(MIXES)
    only = sys.argv[2:]
    if only == ["ping"]:
        return openfl_conformance.pings()
    if only:
        rows = [r for r in rows if any(word in r[0] for word in only)]
    federations = [f for _, _, group in rows for f in group.values()]
    play(federations, 8)
    bad = judge(rows)
    if sum(name.startswith("PyTorch") for name, _, _ in rows) == 2:
        bad += state_counts(rows)
    if not only:
        bad += evaluation()
        openfl_conformance.pings()
    print(f"openfl: {len(federations)} federations in {time.monotonic() - started:.0f} s")
    sys.exit(bad > 0)


try:
    main()
except Failed as e:
    print(f"openfl: error: {e}")
    sys.exit(1)

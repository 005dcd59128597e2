"""Compares what runtime/egress computed with independent computations.

accountant.py DIR, where DIR was filled by TestForPeers. Called by accountant.sh.
"""

import json
import pathlib
import sys

import dp_accounting
import numpy as np
from dp_accounting import pld
from mpmath import mp, mpf

mp.dps = 50
FAILED = 0


def check(name, good, detail):
    global FAILED
    print(f"accountant: {'ok' if good else 'FAILED'}: {name}: {detail}")
    FAILED += not good


def exact_epsilon(mu, delta):
    """The epsilon of mu-GDP, by bisection of Balle and Wang's delta."""
    def at(e):
        return mp.ncdf(-e / mu + mu / 2) - mp.exp(e) * mp.ncdf(-e / mu - mu / 2)

    low, high = mpf(0), mu * mu / 2 + mu * mp.sqrt(-2 * mp.log(delta))
    for _ in range(120):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) > delta else (low, middle)
    return high


def accounts(folder):
    worst, worst_pld, below = 0.0, 0.0, 0
    rows = json.loads((folder / "accounts.json").read_text())
    for row in rows:
        # One site's data is replaced: twice the norm, under noise of multiplier times the norm.
        mu = 2 / mpf(row["multiplier"]) * mp.sqrt(row["releases"])
        want = exact_epsilon(mu, mpf(row["delta"]))
        worst = max(worst, float(abs(row["epsilon"] - want) / want))
        if not 0.05 < row["epsilon"] < 100:
            continue  # the numerical accountant is made for epsilons in between
        accountant = pld.PLDAccountant(value_discretization_interval=1e-3)
        accountant.compose(dp_accounting.GaussianDpEvent(row["multiplier"] / 2), row["releases"])
        theirs = accountant.get_epsilon(row["delta"])
        worst_pld = max(worst_pld, abs(row["epsilon"] - theirs) / theirs)
        below += row["epsilon"] > theirs * (1 + 1e-6)
    check("epsilon against mpmath", worst < 1e-9, f"{len(rows)} accounts, largest relative difference {worst:.1e}")
    check("epsilon against dp-accounting", worst_pld < 1e-2, f"largest relative difference {worst_pld:.1e}")
    check("dp-accounting, which rounds up, is never below", below == 0, f"{below} accounts")


def filters(folder):
    def load(name):
        return np.fromfile(folder / name, dtype="<f4")

    settings = json.loads((folder / "settings.json").read_text())
    base, trained = load("base.f32"), load("trained.f32")
    change = trained.astype("f8") - base.astype("f8")
    length = np.linalg.norm(change)
    scaled = change * (settings["norm"] / length)
    clipped = load("clipped.f32")
    worst = np.max(np.abs(clipped - (base + scaled)) / np.maximum(np.abs(base), 1e-3))
    check("clip against NumPy", worst < 1e-6, f"norm {length:.3f} to {settings['norm']}, largest relative difference {worst:.1e}")

    noise = (load("noised.f32").astype("f8") - base - scaled) / settings["sigma"]
    n = len(noise)
    mean, spread = noise.mean(), noise.std()
    check("noise: mean and deviation", abs(mean) < 5 / n**0.5 and abs(spread - 1) < 5 / (2 * n) ** 0.5, f"{mean:.4f} and {spread:.4f}")
    ordered = np.sort(noise)
    ideal = np.array([float(mp.ncdf(mpf(float(x)))) for x in ordered[::200]])
    distance = np.max(np.abs(ideal - np.arange(0, n, 200) / n)) * n**0.5
    check("noise: Kolmogorov-Smirnov", distance < 2.5, f"{distance:.2f} (beyond 2.5 once in 100,000 runs)")
    together = np.corrcoef(noise[:-1], noise[1:])[0, 1]
    with_change = np.corrcoef(noise, change)[0, 1]
    check("noise: independent", max(abs(together), abs(with_change)) < 5 / n**0.5, f"of its neighbour {together:.4f}, of the change {with_change:.4f}")

    low, high = float(trained.min()), float(trained.max())
    step = (high - low) / 31
    want = low + np.rint((trained.astype("f8") - low) / step) * step
    check("5 bits against NumPy", np.array_equal(load("bits5.f32"), np.minimum(want, high).astype("f4")), f"{len(np.unique(load('bits5.f32')))} values")
    check("float16 against NumPy", np.array_equal(load("float16.f32"), trained.astype("f2").astype("f4")), "all values equal")
    bits = trained.view("<u4")
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype("<u4").view("<f4")
    check("bfloat16 against its bits", np.array_equal(load("bfloat16.f32"), rounded), "all values equal")


accounts(pathlib.Path(sys.argv[1]))
filters(pathlib.Path(sys.argv[1]))
sys.exit(1 if FAILED else 0)

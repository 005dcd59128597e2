"""Compares fxctl with the Python package openfl, plan by plan.

usage: openfl_plans.py FXCTL DOCS FOLDER...

Every plan below the FOLDERs, the workspace templates of the installed package
and ours, is read by the package itself (openfl.federated.Plan.parse, unmodified) and by the
program FXCTL. Both must come to the same federation id, aggregator id, host,
port and hash, and to the same merged configuration, with `auto` still in it and
with host and port filled in, byte for byte. Then the
same for variants of each plan: sections without their defaults, another host,
other values, shared values, a renamed file. FXCTL's findings about the plans as
they are shipped must be ids that the table of findings in DOCS explains.

Prints a table and totals. Exits 1 if anything differs, or if there is no plan.
"""

import copy
import json
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

logging.disable(logging.CRITICAL)

from openfl.federated import Plan  # noqa: E402
from openfl.interface.cli_helper import WORKSPACE  # noqa: E402
from yaml import dump, safe_load  # noqa: E402

FQDN = "agg.example.org"
VARIANTS = 12  # of each plan
LEAST_PLANS = 20  # in the package of version 1.9


def documented_ids(docs):
    """The ids in the first column of the table below the heading Findings."""
    text = docs.read_text()
    table = text[text.index("\n## Findings") :]
    ids = set()
    for line in table.splitlines():
        if line.startswith("| `"):
            ids.update(re.findall(r"`([a-z-]+)`", line.split("|")[1]))
    return ids


def peer(path):
    """What the Python package makes of a plan."""
    try:
        written = Plan.parse(path, resolve=False)  # defaults merged, `auto` still in it
        plan = Plan.parse(path, resolve=True)
    except Exception as e:  # whatever the package raises is its answer
        return {"error": f"{type(e).__name__}: {e}"}
    network = plan.config["network"]["settings"]
    return {
        "federation_id": plan.federation_uuid,
        "aggregator_id": plan.aggregator_uuid,
        "host": network["agg_addr"],
        "port": network["agg_port"],
        "hash": written.hash,
        "canonical": dump(written.config),
        "resolved": dump(plan.config),
    }


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode()


def ours(fxctl, path):
    """What fxctl makes of it."""
    code, out, err = run(fxctl, "plan", "id", path, "--json")
    if code != 0:
        return {"error": err.strip()}
    result = json.loads(out)
    for form in ["canonical", "resolved"]:
        code, out, err = run(fxctl, "plan", "show", path, "--" + form)
        if code != 0:
            return {"error": err.strip()}
        result[form] = out.decode()
    return result


def difference(want, got):
    """The name of the first thing in which the two differ, and both values."""
    if "error" in want:  # fxctl computes ids of plans that lack other things
        return None
    for key in ["error", "federation_id", "aggregator_id", "host", "port", "hash"]:
        if want.get(key) != got.get(key):
            return key, want.get(key), got.get(key)
    for form in ["canonical", "resolved"]:
        if want[form] != got[form]:
            a, b = want[form].splitlines(), got[form].splitlines()
            line = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
            return f"{form} form, line {line + 1}", a[line : line + 1], b[line : line + 1]
    return None


SCALARS = [0, 1, -1, 2**40, 0.5, 1e-05, 1e16, float("inf"), True, False, None, "", "auto", "yes", "1e-3", "0x10",
           "a b", "a: b", "#", "2001-01-01", "é", "x" * 90 + " " + "y" * 20, "- x", "it's", "1:30", [], {}, ["a", "a"],
           {"b": 1, "a": [1, {"c": None}]}]  # fmt: skip


DEFAULTS = sorted("plan/defaults/" + p.name for p in (WORKSPACE / "workspace/plan/defaults").iterdir())


def variant(plan, rng):
    """Changes a plan a little, as PyYAML loaded it, `defaults` still in it."""
    plan = copy.deepcopy(plan)
    sections = list(plan)
    for _ in range(rng.randint(1, 4)):
        name = rng.choice(sections)
        section = plan[name]
        match rng.randint(0, 7):
            case 0:
                section.pop("defaults", None)
            case 1:
                section.pop("settings", None)
            case 2:
                section.setdefault("settings", None)
                section["settings"] = {**(section["settings"] or {}), f"key{rng.randint(0, 9)}": rng.choice(SCALARS)}
            case 3:
                plan.setdefault("network", {}).setdefault("settings", {})
                plan["network"]["settings"] = {**(plan["network"]["settings"] or {}), "agg_addr": rng.choice(["auto", "10.0.0.7", "a.b"])}
            case 4:
                plan.setdefault("network", {}).setdefault("settings", {})
                plan["network"]["settings"] = {**(plan["network"]["settings"] or {}), "agg_port": rng.choice(["auto", 50051])}
            case 5:
                section["extra"] = section.get("settings")  # the same object twice: an anchor in the text
            case 6:
                section["defaults"] = rng.choice(DEFAULTS)
            case _:
                section["template"] = rng.choice(["src.a.B", "openfl.component.Aggregator"])
    order = list(plan)
    rng.shuffle(order)
    return dump({k: plan[k] for k in order}, sort_keys=False)


def main():
    fxctl, docs, folders = sys.argv[1], Path(sys.argv[2]), [Path(f) for f in sys.argv[3:]]
    os.environ["FQDN"] = FQDN
    known = documented_ids(docs)
    plans = [(f, p) for f in folders for p in sorted(f.rglob("*.yaml")) if re.search(r"(^|_)plan(_|\.)", p.name) and "defaults" not in p.parts]
    failures, valid, varied, refused = [], 0, 0, 0

    print(f"{'plan':<72} {'federation':<39} {'port':>5}  same  findings")
    for folder, path in plans:
        name = str(path.relative_to(folder))
        want, got = peer(path), ours(fxctl, path)
        differs = difference(want, got) if "error" not in want else ("plan", want["error"], got)
        if differs:
            failures.append((name, *differs))
        code, out, err = run(fxctl, "plan", "validate", path, "--json")
        findings = json.loads(out)["findings"] if code in (0, 3) and out else []
        ids = sorted({f["id"] for f in findings})
        if code == 3 and not findings or code not in (0, 3):
            failures.append((name, "plan validate", f"exit code {code}", err))
        if set(ids) - known:
            failures.append((name, "findings", "ids that the documentation explains", sorted(set(ids) - known)))
        valid += code == 0
        print(f"{name:<72} {want.get('federation_id', '-'):<39} {want.get('port', '-')!s:>5}  {'no' if differs else 'yes':<4}  {', '.join(ids) or 'none'}")

        with tempfile.TemporaryDirectory() as scratch:
            rng = random.Random(name)
            loaded = safe_load(path.read_text())
            for i in range(VARIANTS):
                changed = Path(scratch) / rng.choice(["plan.yaml", "plan_2.yml", "my plan.yaml"])
                changed.write_text(variant(loaded, rng))
                want, got = peer(changed), ours(fxctl, changed)
                differs = difference(want, got)
                if differs:
                    failures.append((f"{name}, variant {i}:\n{changed.read_text()}", *differs))
                varied += 1
                refused += "error" in want

    print(f"{len(plans)} plans, {valid} valid, the others with documented findings; {varied} variants, {refused} of them no plans for the package; {len(failures)} differences")
    for name, what, want, got in failures[:5]:
        print(f"\nopenfl-plans: error: {name}: {what}\n  openfl: {want}\n  fxctl:  {got}", file=sys.stderr)
    if refused > varied / 4:
        print(f"openfl-plans: error: {refused} of {varied} variants were no plans", file=sys.stderr)
        return 1
    if len(plans) < LEAST_PLANS:
        print(f"openfl-plans: error: only {len(plans)} plans below {folders}", file=sys.stderr)
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

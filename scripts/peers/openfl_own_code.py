"""Federations whose task code is Python: fxrun runs it in its box, OpenFL as it always does.

The workspaces are templates of fxctl (NumPy, scikit-learn, PyTorch) and OpenFL's own torch/mnist, as
`fx workspace create` makes it. Both sides run the same files. Only addresses, names and numbers of the
plan are changed. A round has one epoch, since OpenFL 1.9 averages in float32 with NumPy 1, fx in float64:
after one round their models differ in the last bit, and training makes that more with every step.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import openfl_play as play
import yaml
from openfl_workspaces import data as mnist_data

# The box is tried with the package openfl and, where the code needs no more, with fx's stand-in for it.
STAND_IN = os.environ.get("FX_PYTHON") or "/usr/bin/python3"


def has(python, *modules):
    return subprocess.run([python, "-c", "import " + ", ".join(modules)], stderr=subprocess.DEVNULL).returncode == 0


class Workspace:
    """What all federations of one workspace share: its files, and its initial model."""

    def __init__(self, template, python, rounds=3, **edits):
        self.template, self.python, self.rounds, self.edits = template, python, rounds, edits
        self.dir = None

    def make(self, folder):
        """Makes the workspace as its user would."""
        self.dir = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        if "/" in self.template:
            argv = ["workspace", "create", "--prefix", folder.name, "--template", self.template]
            _, status = os.waitpid(play.fork_openfl(folder.parent, argv), 0)
            if status:
                raise play.Failed(f"fx {' '.join(argv)}: {(folder.parent / 'log.txt').read_text()}")
            (folder / "plan/cols.yaml").write_text("collaborators: [one, two]\n")
            (folder / "plan/data.yaml").write_text("one,1\ntwo,2\n")
            mnist_data(str(folder / "data"))
        else:
            names = [flag for name in play.NAMES for flag in ("--collaborator", name)]
            play.run(play.BIN / "fxctl", "workspace", "create", folder, "--template", self.template, "--agg-addr", "localhost",
                     "--agg-port", "50000", *names, "--quiet", cwd=folder.parent)
        self.plan(folder, 50000)
        play.run(play.BIN / "fxrun", "init", folder, "--python", self.python, "--quiet", *self.show(), cwd=folder)

    def show(self):
        """The flags by which the box sees what OpenFL's code finds in the folder data."""
        if "/" not in self.template:
            return []
        return ["--show", f"{self.dir / 'data'}=/workspace/data", "--box-env", "OMP_NUM_THREADS=1"]

    def site(self, name):
        """The flags for the data of a site; where there are none, plan/data.yaml says a number."""
        folder = self.dir / "data" / name
        return ["--data", folder] if folder.is_dir() else []

    def plan(self, folder, port):
        path = folder / "plan/plan.yaml"
        plan = yaml.safe_load(path.read_text())
        plan["aggregator"]["settings"]["rounds_to_train"] = self.rounds
        plan["aggregator"]["settings"]["persist_checkpoint"] = False
        plan["network"].setdefault("settings", {}).update(
            agg_addr="localhost", agg_port=port, use_tls=True, require_client_auth=True, client_reconnect_interval=1)
        plan["tasks"]["train"]["kwargs"]["epochs"] = 1
        for section, settings in self.edits.items():
            if settings is None:
                plan.pop(section, None)
            else:
                plan[section]["settings"].update(settings)
        if "/" in self.template:  # metrics by the names that the code has: see docs/python.md
            for task in ("aggregated_model_validation", "locally_tuned_model_validation"):
                plan["tasks"][task]["kwargs"]["metrics"] = ["accuracy"]
            plan["tasks"]["train"]["kwargs"]["metrics"] = ["crossentropy_loss"]
        path.write_text(yaml.safe_dump(plan))


class OwnCode(play.Federation):
    """A federation of a workspace with code."""

    def __init__(self, name, aggregator, collaborators, own):
        super().__init__(name, aggregator, collaborators)
        self.own = own

    def prepare(self):
        if self.own.dir is None:
            self.own.make(play.ROOT / "workspaces" / self.name.split(",")[0].replace(" ", "-").replace("/", "-"))
        super().prepare()

    def workspace(self, folder):
        shutil.copytree(self.own.dir, folder, ignore=shutil.ignore_patterns("cert", "logs"))
        self.own.plan(folder, self.port)

    def first_model(self, ward):
        """It is in the workspace."""

    def start_fx(self, who, argv):
        if argv[0] == "collaborator":
            argv = [a for a in argv if a not in ("--data", self.data / who)]
            argv += ["--python", self.own.python, *self.own.site(who), *self.own.show()]
        return super().start_fx(who, argv)


def rows(mixes):
    """A row for each workspace; the one of each is under the one aggregator, then under the other."""
    package = sys.executable
    light = STAND_IN if has(STAND_IN, "numpy", "sklearn") else package
    list_ = [
        ("NumPy", Workspace("digits-numpy", light)),
        ("scikit-learn", Workspace("tabular-sklearn", light)),
    ]
    if has(package, "torch", "torchvision"):
        list_ += [
            ("PyTorch", Workspace("digits-torch", package, egress=None)),
            ("PyTorch, averaged optimizer",
             Workspace("digits-torch", package, egress=None, collaborator={"opt_treatment": "CONTINUE_GLOBAL"})),
            ("OpenFL workspace torch/mnist", Workspace("torch/mnist", package, rounds=2, data_loader={"random_seed": 7})),
        ]
    out = []
    for i, (name, own) in enumerate(list_):
        one = ("OpenFL with one of each", "fx with one of each")[i % 2]
        group = {m: OwnCode(f"{name.replace(',', '')}, {m}", *mixes[m], own) for m in mixes if m == one or "one of" not in m}
        out.append((f"{name} in the box", 1e-6, group))
    return out

"""Federations of OpenFL and fx participants; called by openfl-federation.sh.

    openfl_federation.py FOLDER

FOLDER has bin (fxctl, fxrun) and pki (cert: certificates of fx; openfl: of OpenFL's own CA).
OpenFL's side runs its command line, as `fx aggregator start` and `fx collaborator start` do, in
processes forked from this one, so that its modules are imported once. Only its pause between
two questions, 10 seconds, is made shorter.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = Path(sys.argv[1]).resolve()
(ROOT / "pki/openfl/plan").mkdir(parents=True)
os.chdir(ROOT / "pki/openfl")  # OpenFL makes certificates where it was imported

with contextlib.redirect_stdout(sys.stderr):
    from openfl.component.aggregator.aggregator import Aggregator
    import openfl.interface.aggregator  # not named again: what the children need is loaded once
    import openfl.interface.collaborator
    from openfl.interface.cli import entry
    from openfl import pipelines
    from openfl.protocols import utils

BIN = ROOT / "bin"
NAMES = ["one", "two"]
TIMEOUT = 90  # seconds that one federation may take

PLAN = """\
aggregator:
  template: openfl.component.Aggregator
  settings: {{rounds_to_train: {rounds}, init_state_path: save/init.pbuf, best_state_path: save/best.pbuf,
    last_state_path: save/last.pbuf, db_store_rounds: 2, persist_checkpoint: false, use_delta_updates: {agg_deltas}}}
collaborator:
  template: openfl.component.Collaborator
  settings: {{opt_treatment: {treatment}, use_delta_updates: {deltas}, db_store_rounds: 1}}
task_runner:
  template: fx.builtin.SoftmaxRegression
  settings: {{features: {features}, classes: {classes}}}
data_loader:
  template: fx.builtin.CSVDataLoader
  settings: {{batch_size: 1000, scale: 4}}
network:
  template: openfl.federation.Network
  settings: {{agg_addr: {host}, agg_port: {port}, use_tls: true, require_client_auth: true, client_reconnect_interval: 1}}
assigner:
  template: openfl.component.RandomGroupedAssigner
  settings:
    task_groups:
    - {{name: learning, percentage: 1.0, tasks: [aggregated_model_validation, train, locally_tuned_model_validation]}}
    - {{name: evaluation, percentage: 0.0, tasks: [aggregated_model_validation]}}
tasks:
  aggregated_model_validation: {{function: validate_task, kwargs: {{apply: global, metrics: [accuracy]}}}}
  train: {{function: train_task, kwargs: {{epochs: 2, lr: 0.5, metrics: [loss]}}}}
  locally_tuned_model_validation: {{function: validate_task, kwargs: {{apply: local, metrics: [accuracy, loss]}}}}
compression_pipeline:
  template: openfl.pipelines.{pipeline}
  settings: {settings}
straggler_handling_policy:
  template: openfl.component.aggregator.straggler_handling.WaitForAllPolicy
"""


class Failed(Exception):
    """A federation that did not come to its end."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def data(folder, features, classes, rows=(30, 20)):
    """Samples of two sites, of different size: cluster centres with noise."""
    rng = np.random.default_rng(7)
    centres = rng.normal(0, 2, (classes, features))
    for site, factor in zip(NAMES, (1, 2)):
        for name, n in zip(("train", "valid"), rows):
            n = n * factor
            labels = rng.integers(0, classes, n)
            x = centres[labels] + rng.normal(0, 1, (n, features))
            (folder / site).mkdir(parents=True, exist_ok=True)
            np.savetxt(folder / site / f"{name}.csv", np.column_stack([x.round(3), labels]),
                       fmt=["%.3f"] * features + ["%d"], delimiter=",")


def fork_openfl(folder, argv, holds=False):
    """Runs OpenFL's command line in a child process, in a folder; answers with its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.chdir(folder)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        Aggregator._get_sleep_time = staticmethod(lambda: 1)
        if holds:
            os.environ["FX_PEER_HOLDS"] = "1"
        sys.argv = ["fx", *argv]
        entry()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def openfl_pki(folder):
    """Certificates as OpenFL's users make them."""
    (folder / "plan/cols.yaml").write_text("collaborators: []\n")
    commands = [["workspace", "certify"]]
    for host in ("localhost", "127.0.0.1"):
        commands += [["aggregator", "generate-cert-request", "--fqdn", host], ["aggregator", "certify", "-n", host, "-s"]]
    for name in NAMES:
        commands += [["collaborator", "generate-cert-request", "-n", name, "-s"], ["collaborator", "certify", "-n", name, "-s"]]
    for argv in commands:
        _, status = os.waitpid(fork_openfl(folder, argv), 0)
        if status:
            raise Failed(f"fx {' '.join(argv)}: {status}\n{(folder / 'log.txt').read_text()}")


class Federation:
    """One plan and who takes part in what way."""

    def __init__(self, name, aggregator, collaborators, *, pipeline="NoCompressionPipeline", settings=None, deltas=False,
                 agg_deltas=True, rounds=3, features=20, classes=4, host="localhost", treatment="RESET", certs="fx",
                 holds=False, group=None, model=None):
        self.name, self.aggregator, self.collaborators = name, aggregator, collaborators
        self.holds, self.group, self.model, self.certs, self.pipeline = holds, group, model, certs, pipeline
        self.settings = settings or {}
        self.dir = ROOT / "federations" / name.replace(" ", "-").replace("/", "-")
        self.port = free_port()
        self.data = ROOT / "data" / f"{features}x{classes}"
        self.plan = PLAN.format(
            rounds=rounds, agg_deltas=str(agg_deltas).lower(), treatment=treatment, deltas=str(deltas).lower(), host=host,
            features=features, classes=classes, port=self.port, pipeline=pipeline, settings=json.dumps(self.settings))
        self.running = {}  # participant -> Popen or process id

    # Preparation.

    def run(self, *argv, cwd):
        subprocess.run([str(a) for a in argv], cwd=cwd, check=True, stdout=subprocess.DEVNULL)

    def prepare(self):
        ward = self.dir / "ward"
        self.workspace(ward)
        pki = ROOT / "pki"
        if self.model:
            shutil.copy(self.model, ward / "save/init.pbuf")
        else:
            self.run(BIN / "fxctl", "model", "init", ward, "--quiet", cwd=pki)
        bundle = self.dir / "fed.fxb"
        self.run(BIN / "fxctl", "bundle", "create", ward, "-o", bundle, "--as", "alice", "--quiet", cwd=pki)
        self.run(BIN / "fxctl", "bundle", "approve", bundle, "--as", "bob", "--yes", "--quiet", cwd=pki)
        for who in ["aggregator"] + NAMES:
            folder = self.dir / who
            self.workspace(folder)
            shutil.copy(ward / "save/init.pbuf", folder / "save/init.pbuf")
            (folder / "fx").mkdir()
            shutil.copy(HERE / "openfl_builtin.py", folder / "fx/builtin.py")
            certs = pki / ("cert" if self.certs == "fx" else "openfl/cert")
            (folder / "cert").mkdir()
            for part in ("cert_chain.crt", "crl.pem", "signing_chain.crt"):
                if (certs / part).exists():
                    shutil.copy(certs / part, folder / "cert" / part)
            for part in ("server", "client"):
                shutil.copytree(certs / part, folder / "cert" / part)
            if self.certs != "fx":  # bundles are signed by fx's CA all the same
                shutil.copy(pki / "cert/signing_chain.crt", folder / "cert/signing_chain.crt")

    def workspace(self, folder):
        (folder / "plan").mkdir(parents=True)
        (folder / "save").mkdir()
        (folder / "plan/plan.yaml").write_text(self.plan)
        (folder / "plan/cols.yaml").write_text("collaborators: [one, two]\n")
        (folder / "plan/data.yaml").write_text("".join(f"{n},{self.data / n}\n" for n in NAMES))
        (folder / "requirements.txt").write_text("")
        (folder / ".workspace").write_text("current_plan_name: default\n")

    # Running.

    def start_openfl(self, who, argv):
        return fork_openfl(self.dir / who, argv, self.holds)

    def start_fx(self, who, argv):
        folder = self.dir / who
        extra = ["--openfl-certs"] if self.certs != "fx" else []
        log = open(folder / "log.txt", "a")
        return subprocess.Popen([BIN / "fxrun", *argv, "--bundle", self.dir / "fed.fxb", "--state", folder / "state", *extra],
                                cwd=folder, stdout=log, stderr=log)

    def start(self):
        self.deadline = time.monotonic() + TIMEOUT
        if self.aggregator == "fx":
            group = ["--task-group", self.group] if self.group else []
            self.running["aggregator"] = self.start_fx("aggregator", ["aggregator", "--linger", "1s", *group])
        else:
            group = ["--task_group", self.group] if self.group else []
            self.running["aggregator"] = self.start_openfl("aggregator", ["aggregator", "start", *group])
        for name, kind in zip(NAMES, self.collaborators):
            if kind == "fx":
                argv = ["collaborator", "--name", name, "--data", self.data / name, "--poll-interval", "300ms"]
                self.running[name] = self.start_fx(name, argv)
            else:
                self.running[name] = self.start_openfl(name, ["collaborator", "start", "-n", name])

    @staticmethod
    def ended(process):
        """The exit code of a process, None while it runs."""
        if isinstance(process, subprocess.Popen):
            return process.poll()
        pid, status = os.waitpid(process, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def done(self):
        """Whether everybody has ended by themselves."""
        failed = None
        for who, process in list(self.running.items()):
            code = self.ended(process)
            if code is not None:
                del self.running[who]
                if code != 0:
                    failed = f"{who} ended with {code}"
        if self.running and time.monotonic() > self.deadline:
            failed = f"{', '.join(self.running)} did not end in {TIMEOUT} s"
        if failed:
            self.kill()
            logs = "\n".join(f"--- {who}\n{self.log(who)}" for who in ["aggregator", *NAMES])
            raise Failed(f"{self.name}: {failed}\n{logs}")
        return not self.running

    def kill(self):
        for process in self.running.values():
            pid = process.pid if isinstance(process, subprocess.Popen) else process
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, 9)
                os.waitpid(pid, 0)
        self.running = {}

    def log(self, who):
        path = self.dir / who / "log.txt"
        return "\n".join(path.read_text(errors="replace").splitlines()[-25:]) if path.exists() else ""

    def last(self):
        """The last model, as either aggregator saves it: that of the beginning of the last round."""
        folder = self.dir / "aggregator" / ("state" if self.aggregator == "fx" else ".")
        with contextlib.redirect_stdout(None):  # EDEN announces itself
            pipeline = getattr(pipelines, self.pipeline)(**self.settings)
        tensors, number = utils.deconstruct_model_proto(utils.load_proto(str(folder / "save/last.pbuf")), pipeline)
        return {n: np.asarray(v, np.float64) for n, v in tensors.items()}, number


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
    """Every pipeline, with differences and without, in every mix."""
    rows = []
    for pipeline in BOUNDS:
        if pipeline == "EdenPipeline" and not hasattr(pipelines, pipeline):
            continue  # OpenFL needs torch for it; the script says so
        for deltas in (False, True):
            # With loss and differences all send in one form, and OpenFL's runners in that of fx's
            # built-in ones only if they keep a tensor to themselves.
            common = dict(pipeline=pipeline, settings=SETTINGS.get(pipeline), deltas=deltas)
            holds = deltas and pipeline not in LOSSLESS
            group = {mix: Federation(f"{pipeline} deltas {deltas} {mix}", *who, holds=holds, **common) for mix, who in MIXES.items()}
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
            mix: Federation(f"{pipeline} fetched {mix}", *MIXES[mix], **common) for mix in ("fx with 2 OpenFL", "fx with one of each")}))
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


def play(federations, at_once):
    """Runs federations, a few at a time, each to its end."""
    waiting, running = list(federations), []
    try:
        while waiting or running:
            if waiting and len(running) < at_once:
                f = waiting.pop(0)
                f.prepare()
                running.append(f)
                f.start()
            running = [f for f in running if not f.done()]
            time.sleep(0.05)
    finally:
        for f in running:
            f.kill()


def judge(rows):
    """Compares the last models of each row; says how far they are apart."""
    bad = 0
    for name, bound, group in rows:
        if bound is None:
            print(f"openfl-federation: {name}: {len(group)} mixes came to their end")
            continue
        (reference, want), *others = [(mix, f.last()) for mix, f in group.items()]
        distances = []
        for mix, got in others:
            if got[1] != want[1] or set(got[0]) != set(want[0]):
                print(f"openfl-federation: error: {name}, {mix}: round {got[1]} of {sorted(got[0])}, want {want[1]} of {sorted(want[0])}")
                bad += 1
                continue
            f = group[mix]
            distance = unlike(got[0], want[0], f.data) if f.pipeline in CLUSTERED else far(got[0], want[0])
            if mix in MISREADING and reference not in MISREADING:
                continue
            distances.append(distance)
            if not distance <= bound:
                print(f"openfl-federation: error: {name}, {mix}: the last model is off by {distance:.2g}, allowed {bound:g}")
                bad += 1
        print(f"openfl-federation: {name}: {len(distances)} mixes against {reference}, at most {max(distances, default=float('nan')):.1e} off")
    return bad


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
            print(f"openfl-federation: error: {f.name}: {saved[0]} was written")
            bad += 1
    print("openfl-federation: evaluation: under both aggregators, no model written")
    return bad


def main():
    data(ROOT / "data/20x4", 20, 4)
    data(ROOT / "data/3000x200", 3000, 200, rows=(3, 2))
    np.random.seed(1)  # of OpenFL's k-means and shifts; what remains open is the order of calls
    started = time.monotonic()
    openfl_pki(ROOT / "pki/openfl")
    rows = matrix() + specials()
    only = sys.argv[2:]
    if only:
        rows = [r for r in rows if any(word in r[0] for word in only)]
    federations = [f for _, _, group in rows for f in group.values()]
    play(federations, 8)
    bad = judge(rows)
    if not only:
        bad += evaluation()
    print(f"openfl-federation: {len(federations)} federations in {time.monotonic() - started:.0f} s")
    sys.exit(bad > 0)


try:
    main()
except Failed as e:
    print(f"openfl-federation: error: {e}")
    sys.exit(1)

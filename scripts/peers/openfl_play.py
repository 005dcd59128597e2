"""One federation of OpenFL and fx participants, from its files to its end.

The program's first argument is a folder with bin (fxctl, fxrun) and pki (cert: certificates of fx;
openfl: of OpenFL's own CA). OpenFL's side runs its command line, as `fx aggregator start` and
`fx collaborator start` do, in processes forked from this one, so that its modules are imported once.
Only its pause between two questions, 10 seconds, is made shorter.
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
TIMEOUT = 150  # seconds that one federation may take

PLAN = """\
aggregator:
  template: openfl.component.Aggregator
  settings: {{rounds_to_train: {rounds}, init_state_path: save/init.pbuf, best_state_path: save/best.pbuf,
    last_state_path: save/last.pbuf, db_store_rounds: 2, persist_checkpoint: {checkpoint}, use_delta_updates: {agg_deltas}}}
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


def run(*argv, cwd):
    """Runs a command to its end; what it says is shown if it fails."""
    done = subprocess.run([str(a) for a in argv], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, argv))}: {done.returncode}\n{done.stdout}")


def fork_openfl(folder, argv, holds=False):
    """Runs OpenFL's command line in a child process, in a folder; answers with its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.chdir(folder)
        sys.path.insert(0, os.getcwd())
        os.environ["HOME"] = str(ROOT)  # OpenFL keeps files there
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
                 holds=False, group=None, model=None, checkpoint=False):
        self.name, self.aggregator, self.collaborators = name, aggregator, collaborators
        self.holds, self.group, self.model, self.certs, self.pipeline = holds, group, model, certs, pipeline
        self.settings = settings or {}
        self.dir = ROOT / "federations" / name.replace(" ", "-").replace("/", "-")
        self.port = free_port()
        self.data = ROOT / "data" / f"{features}x{classes}"
        self.plan = PLAN.format(
            rounds=rounds, checkpoint=str(checkpoint).lower(), agg_deltas=str(agg_deltas).lower(), treatment=treatment, deltas=str(deltas).lower(), host=host,
            features=features, classes=classes, port=self.port, pipeline=pipeline, settings=json.dumps(self.settings))
        self.running = {}  # participant -> Popen or process id

    # Preparation.

    def prepare(self):
        ward = self.dir / "ward"
        self.workspace(ward)
        pki = ROOT / "pki"
        self.first_model(ward)
        bundle = self.dir / "fed.fxb"
        run(BIN / "fxctl", "bundle", "create", ward, "-o", bundle, "--as", "alice", "--quiet", cwd=pki)
        run(BIN / "fxctl", "bundle", "approve", bundle, "--as", "bob", "--yes", "--quiet", cwd=pki)
        for who in ["aggregator"] + NAMES:
            folder = self.dir / who
            self.workspace(folder)
            shutil.copytree(ward / "save", folder / "save", dirs_exist_ok=True)
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

    def first_model(self, ward):
        if self.model:
            shutil.copy(self.model, ward / "save/init.pbuf")
        else:
            run(BIN / "fxctl", "model", "init", ward, "--quiet", cwd=ROOT / "pki")

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
        self.start_aggregator()
        for name, kind in zip(NAMES, self.collaborators):
            if kind == "fx":
                argv = ["collaborator", "--name", name, "--data", self.data / name, "--poll-interval", "300ms"]
                self.running[name] = self.start_fx(name, argv)
            else:
                self.running[name] = self.start_openfl(name, ["collaborator", "start", "-n", name])

    def start_aggregator(self):
        if self.aggregator == "fx":
            group = ["--task-group", self.group] if self.group else []
            self.running["aggregator"] = self.start_fx("aggregator", ["aggregator", "--linger", "1s", *group])
        else:
            group = ["--task_group", self.group] if self.group else []
            self.running["aggregator"] = self.start_openfl("aggregator", ["aggregator", "start", *group])

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

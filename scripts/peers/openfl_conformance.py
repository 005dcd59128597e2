"""What is tried with live peers beside whole federations: Ping, names that are not the certificate's, an
aggregator that is killed in the middle of a round, and one that has a finished run's database.
"""

import os
import signal
import subprocess
import time

import grpc
import openfl_play as play
from openfl.protocols import aggregator_pb2, aggregator_pb2_grpc
from openfl_play import BIN, NAMES, Failed, Federation, run


class Killed(Federation):
    """A federation whose aggregator is killed once, as soon as a collaborator is in round 1, and started again."""

    killed = False

    def done(self):
        marks = ("Round: 1 Received Tasks", "msg=\"round begins\" round=1", '"msg":"round begins","round":1')
        if not self.killed and "aggregator" in self.running and any(m in self.log(n) for n in NAMES for m in marks):
            self.killed = True
            process = self.running["aggregator"]
            os.kill(process.pid if isinstance(process, subprocess.Popen) else process, signal.SIGKILL)
            while self.ended(process) is None:
                time.sleep(0.01)
            self.start_aggregator()
        ended = super().done()
        if ended and not self.killed:
            raise Failed(f"{self.name}: the aggregator was not killed: no collaborator said that it is in round 1")
        return ended


class Leftover(Federation):
    """A federation that is played again with what the aggregator's first run left in its folder."""

    again = False

    def done(self):
        ended = super().done()
        if ended and not self.again:
            self.again = True
            for name in NAMES:  # new sites, which know nothing
                (self.dir / name / "log.txt").unlink()
            self.start()
            return False
        if ended and "round begins" in "".join(self.log(n) for n in NAMES):
            raise Failed(f"{self.name}: a finished federation gives work\n{self.log('one')}")
        return ended


def rows(mixes):
    """Federations that are disturbed; they end with the models of those that are not."""
    common = dict(checkpoint=True)
    return [
        ("aggregator killed in round 1", 1e-6, {
            "OpenFL alone": Federation("killed reference", *mixes["OpenFL alone"], **common),
            "fx with 2 OpenFL": Killed("killed fx", *mixes["fx with 2 OpenFL"], **common),
            "OpenFL with 2 fx": Killed("killed OpenFL", *mixes["OpenFL with 2 fx"], **common)}),
        ("OpenFL's database of a finished run", None, {
            "OpenFL with 2 fx": Leftover("leftover", *mixes["OpenFL with 2 fx"], **common)}),
    ]


def calls(federation, certificate, sender):
    """What an aggregator answers when the holder of a certificate calls itself by this name."""
    folder = federation.dir / "one/cert"
    read = lambda name: (folder / name).read_bytes()
    credentials = grpc.ssl_channel_credentials(
        read("cert_chain.crt"), read(f"client/col_{certificate}.key"), read(f"client/col_{certificate}.crt"))
    plan_id = [BIN / "fxctl", "plan", "id", federation.dir / "one", "--json"]
    ids = play.json.loads(subprocess.run(plan_id, check=True, capture_output=True).stdout)
    header = aggregator_pb2.MessageHeader(sender=sender, receiver=ids["aggregator_id"], federation_uuid=ids["federation_id"])
    out = {}
    with grpc.secure_channel(f"localhost:{federation.port}", credentials) as channel:
        stub = aggregator_pb2_grpc.AggregatorStub(channel)
        for name, call in {
            "Ping": lambda: stub.Ping(aggregator_pb2.PingRequest(header=header), timeout=20),
            "GetTasks": lambda: stub.GetTasks(aggregator_pb2.GetTasksRequest(header=header), timeout=20),
        }.items():
            began = time.monotonic()
            try:
                call()
                out[name] = ("OK", "", time.monotonic() - began)
            except grpc.RpcError as e:
                out[name] = (e.code().name, e.details(), time.monotonic() - began)
    return out


def reachable(port):
    deadline = time.monotonic() + play.TIMEOUT
    while time.monotonic() < deadline:
        with play.socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise Failed(f"nothing listens on port {port}")


def pings():
    """Both programs' ping at both aggregators, and a sender that is not the certificate's name."""
    for kind in ("openfl", "fx"):
        f = Federation(f"ping {kind}", kind, ["fx", "fx"])
        f.prepare()
        f.deadline = time.monotonic() + play.TIMEOUT
        f.start_aggregator()
        try:
            reachable(f.port)
            run(BIN / "fxrun", "ping", "--bundle", f.dir / "fed.fxb", "--name", "one", "--cert-dir", f.dir / "one/cert", cwd=f.dir)
            _, status = os.waitpid(play.fork_openfl(f.dir / "one", ["collaborator", "ping", "-n", "one"]), 0)
            log = f.log("one")
            if status or "Aggregator pong!" not in log:
                raise Failed(f"fx collaborator ping at the aggregator of {kind}: {status}\n{log}")
            if any(code != "OK" for code, _, _ in calls(f, "one", "one").values()):
                raise Failed(f"the aggregator of {kind} refuses a collaborator by its own name")
            for rpc, (code, text, seconds) in calls(f, "one", "two").items():
                want = "Invalid collaborator. CN: |one| collaborator_common_name: |two|"
                if code != "UNAUTHENTICATED" or want not in text or seconds > (10 if kind == "openfl" else 5):
                    raise Failed(f"{rpc} in another's name at the aggregator of {kind}: {code} {text!r} after {seconds:.1f} s")
        finally:
            f.kill()
    print("openfl: ping: fx and OpenFL reach both aggregators; another's name is UNAUTHENTICATED, in OpenFL's words")

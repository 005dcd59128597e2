"""Runs OpenFL's TaskRunner and DataLoader classes as a task runner of fxrun.

One JSON object per line on standard input, one answer per line on standard
output (the task protocol, version 1). Standard error is the log. Needs Python
3.8 or later and numpy; the real package openfl is used where the interpreter has
it, and otherwise the folder shim beside this file.
"""

import json
import logging
import math
import os
import sys
import traceback

from fx_errors import Refused

PROTOCOL = "fx-task/1"
MAX_LINE = 1 << 20  # bytes
MAX_ERROR = 500  # characters of an answer's error


def main():
    """Answer requests until "bye" or the end of the input."""
    requests, answers = take_streams()
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    session = Session()
    while True:
        line = requests.readline(MAX_LINE + 1)
        if not line:
            leave()
        answer, last = session.answer(line)
        try:
            answers.write(encode(answer))
            answers.flush()
        except BrokenPipeError:
            leave()
        if last:
            leave()


def take_streams():
    """Take standard input and output away from the task code.

    What it prints becomes part of the log, and what it reads is empty. It cannot
    break the protocol by accident.
    """
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace", line_buffering=True)
    return requests, answers


def leave():
    """End at once: threads and exit handlers of the task code are not waited for."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(0)


def encode(answer):
    """Make a line of an answer; one that is too long becomes an error."""
    line = json.dumps(answer, allow_nan=False).encode() + b"\n"
    if len(line) > MAX_LINE:
        error = f"the answer has {len(line)} bytes; at most {MAX_LINE} are allowed"
        line = json.dumps({"id": answer["id"], "ok": False, "error": error}).encode() + b"\n"
    return line


class Session:
    """The conversation with fxrun."""

    def __init__(self):
        self.classes = None  # after hello
        self.runner = None  # after the first run
        self.workspace = ""

    def answer(self, line):
        """Return the answer to a line, and whether it is the last one."""
        request = {}
        try:
            request = self.parse(line)
            op = request.get("op")
            if op == "bye":
                return {"id": request["id"], "ok": True}, True
            do = {"hello": self.hello, "init": self.init, "run": self.run}.get(op)
            if do is None:
                raise Refused(f"unknown request {op!r:.40}; allowed: hello, init, run, bye")
            if (op == "hello") != (self.classes is None):
                raise Refused('the first request must be "hello", and no other may be')
            return {"id": request["id"], "ok": True, **do(request)}, False
        except (Exception, SystemExit) as e:  # whatever the task code does, fxrun gets an answer
            if not isinstance(e, Refused):
                traceback.print_exc()
            return {"id": request.get("id", 0), "ok": False, "error": self.explain(e)}, False

    @staticmethod
    def parse(line):
        if len(line) > MAX_LINE:
            raise Refused(f"a request has more than {MAX_LINE} bytes")
        try:
            request = json.loads(line)
        except ValueError as e:
            raise Refused(f"a request is not JSON: {e}") from None
        if not isinstance(request, dict) or type(request.get("id")) is not int:
            raise Refused("a request is a JSON object with a whole number as id")
        return request

    def explain(self, e):
        """Say in one line what went wrong, and where in the task code."""
        if isinstance(e, Refused):
            text = str(e)
        else:
            text = f"{type(e).__name__}: {safe_str(e)}".rstrip(": ")
            place = self.place(e)
            if place:
                text += f" ({place})"
        text = " ".join(text.split())
        return text if len(text) <= MAX_ERROR else text[: MAX_ERROR - 3] + "..."

    def place(self, e):
        """The innermost line of the workspace that an error passed through."""
        if isinstance(e, SyntaxError) and e.filename:
            return f"{self.relative(e.filename)}:{e.lineno}"
        own = [f for f in traceback.extract_tb(e.__traceback__) if self.relative(f.filename) != f.filename]
        return f"{self.relative(own[-1].filename)}:{own[-1].lineno}" if own else ""

    def relative(self, filename):
        prefix = self.workspace.rstrip("/") + "/"
        return filename[len(prefix) :] if self.workspace and filename.startswith(prefix) else filename

    def hello(self, request):
        if request.get("protocol") != PROTOCOL:
            raise Refused(f"fxrun speaks {request.get('protocol')!r:.40}, the adapter {PROTOCOL}")
        self.workspace = request["workspace"]
        os.chdir(self.workspace)
        try:
            import numpy  # noqa: F401
        except ImportError as e:
            raise Refused(
                f"the interpreter {sys.executable} has no numpy ({e}): install numpy for it, "
                "or name another interpreter with --python"
            ) from None
        import fx_openfl

        # As `fx` does: the workspace is where Python looks first. The folder of this
        # file comes last; processes that multiprocessing starts need it.
        sys.path[0] = self.workspace
        version = openfl_version()
        sys.path.append(HERE)
        self.classes = fx_openfl.Classes(request)
        return {
            "protocol": PROTOCOL,
            "name": self.classes.name,
            "version": version,
            "capabilities": ["init", "run"],
        }

    def init(self, request):
        return {"tensors": self.classes.initial_model(request["output"])}

    def run(self, request):
        if self.runner is None:
            self.runner = self.classes.task_runner()
        result = self.runner.run(request)
        for name, value in result["metrics"].items():
            if not math.isfinite(value):
                raise Refused(f"metric {name!r:.100} is {value}; a finite number was expected")
        return result


HERE = os.path.dirname(os.path.abspath(__file__))


def openfl_version():
    """Find the real package openfl, or put our shim where Python looks last."""
    import importlib.util

    try:
        spec = importlib.util.find_spec("openfl")
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:  # absent, or a folder without code
        sys.path.append(os.path.join(HERE, "shim"))
        return "fx shim"
    from importlib import metadata

    try:
        return "openfl " + metadata.version("openfl")
    except metadata.PackageNotFoundError:
        return "openfl of unknown version"


def safe_str(e):
    """str() of an exception whose class may be broken, too."""
    try:
        return str(e)
    except Exception:
        return "(it cannot be printed)"


if __name__ == "__main__":
    main()

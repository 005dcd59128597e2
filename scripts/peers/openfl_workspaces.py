"""OpenFL's workspaces without fx: data for them, and what their code gives.

    openfl_workspaces.py data DIR
    openfl_workspaces.py run WORKSPACE PLAN INITIAL OUT COLLABORATOR DATA_PATH ROUNDS
    openfl_workspaces.py compare LOG RESULT MODEL REFERENCE
    openfl_workspaces.py splitters

"run" does what OpenFL's collaborator does with a task runner, with its own store
of tensors, and goes on from its own model, as `fxrun rehearse` does. It is an
independent second opinion: it shares no code with fx's adapter. It needs the
package openfl. All files are safetensors.
"""

import gzip
import hashlib
import importlib
import json
import os
import struct
import sys

import numpy as np


def data(folder):
    """Write scikit-learn's digits, 8×8, as files of MNIST, 28×28.

    torchvision takes the files for MNIST by their names.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.kron(digits.images, np.ones((1, 4, 4)))[:, 2:30, 2:30]  # 32×32 without its edge
    images = np.round(images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    folder = os.path.join(folder, "MNIST", "raw")
    os.makedirs(folder)
    for name, rows in (("train", slice(0, 1400)), ("t10k", slice(1400, None))):
        write_idx(os.path.join(folder, name + "-images-idx3-ubyte"), images[rows])
        write_idx(os.path.join(folder, name + "-labels-idx1-ubyte"), labels[rows])


def write_idx(path, array):
    """Write bytes in MNIST's format, plain and compressed, as they are downloaded."""
    text = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    with open(path, "wb") as f:
        f.write(text)
    with gzip.GzipFile(path + ".gz", "wb", mtime=0) as f:
        f.write(text)


def read_tensors(path):
    """Read a safetensors file of float32."""
    with open(path, "rb") as f:
        raw = f.read()
    end = 8 + struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, entry in json.loads(raw[8:end]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            tensors[name] = np.frombuffer(raw[end + first : end + last], "<f4").reshape(entry["shape"])
    return tensors


def run(workspace, plan_path, initial, out, collaborator, data_path, rounds):
    """Train and validate as OpenFL's collaborator does; write metrics and the last model."""
    with open(plan_path) as f:
        plan = json.load(f)
    initial, out = os.path.abspath(initial), os.path.abspath(out)
    os.chdir(workspace)
    sys.path.insert(0, os.getcwd())
    loader = load(plan["data_loader"], data_path=data_path)
    runner = load(plan["task_runner"], data_loader=loader)
    runner.initialize_tensorkeys_for_functions()
    runner.set_optimizer_treatment(plan["collaborator"]["settings"]["opt_treatment"])
    # Not the order of the section tasks: `fx workspace create` sorts it by name.
    order = plan["assigner"]["settings"]["task_groups"][0]["tasks"]
    model, metrics, store = read_tensors(initial), [], {}
    for round_num in range(int(rounds)):
        trained = dict(model)
        for name in order:
            task = plan["tasks"][name]
            kwargs = task["kwargs"]
            inputs = {}
            for key in runner.get_required_tensorkeys_for_function(task["function"], **kwargs):
                if key.origin == "GLOBAL":
                    inputs[key.tensor_name] = model[key.tensor_name]
                else:
                    inputs[key.tensor_name] = store[key.tensor_name, key.round_number + round_num, key.tags]
            results = getattr(runner, task["function"])(
                col_name=collaborator, round_num=round_num, input_tensor_dict=inputs, **kwargs
            )
            for outputs in results:
                for key, value in outputs.items():
                    store[key.tensor_name, key.round_number, key.tags] = value
            for key, value in results[0].items():
                if key.report:
                    metrics.append([round_num, name, float(value)])
                else:
                    trained[key.tensor_name] = np.asarray(value).astype("<f4")
        model = {name: trained[name] for name in model}  # those that the federation knows
    with open(out, "w") as f:
        json.dump({"metrics": metrics, "tensors": digests(model)}, f)


def load(component, **more):
    module, _, name = component["template"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**more, **(component.get("settings") or {}))


def digests(tensors):
    return {n: hashlib.sha256(str(v.shape).encode() + v.tobytes()).hexdigest() for n, v in sorted(tensors.items())}


def compare(log, result, model, reference):
    """Compare a rehearsal with the reference: every metric and tensor, bit for bit."""
    got = []
    with open(log) as f:
        for line in f:
            entry = json.loads(line)
            if entry.get("msg") == "task done":
                got.append([entry["round"], entry["task"], entry["value"]])
    with open(reference) as f:
        want = json.load(f)
    if got != want["metrics"]:
        sys.exit(f"metrics {got}\nwant    {want['metrics']}")
    if digests(read_tensors(model)) != want["tensors"]:
        sys.exit("the metrics are the same, but the last models differ")
    with open(result) as f:
        last = json.load(f)["metrics"]
    accuracy = [m["value"] for m in last if "validation" in m["task"]]
    print(f"{len(got)} metrics and {len(want['tensors'])} tensors are the same, accuracy {accuracy[-1]:.3f}")


def splitters():
    """Print what the data splitters give; the package and the stand-in must agree."""
    import contextlib

    from openfl.utilities import data_splitters as d
    from sklearn.datasets import load_digits

    labels = load_digits().target
    with contextlib.redirect_stdout(sys.stderr):
        parts = [
            d.EqualNumPyDataSplitter(True, 3).split(labels, 4),
            d.EqualNumPyDataSplitter(False, 3).split(labels, 4),
            d.RandomNumPyDataSplitter(True, 5).split(labels, 4),
            d.RandomNumPyDataSplitter(False, 5).split(labels, 4),
            d.LogNormalNumPyDataSplitter(0, 2, 10, 2, 5, seed=1).split(labels, 10),
            d.LogNormalNumPyDataSplitter(0, 0.5, 10, 3, 3, seed=2).split(labels, 20),
            d.DirichletNumPyDataSplitter(0.5, 10, 4).split(labels, 5),
            d.DirichletNumPyDataSplitter(0.1, 1, 4).split(labels, 3),
        ]
    print(json.dumps([[list(map(int, rows)) for rows in p] for p in parts]))


if __name__ == "__main__":
    {"data": data, "run": run, "compare": compare, "splitters": splitters}[sys.argv[1]](*sys.argv[2:])

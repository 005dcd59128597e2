"""What OpenFL's own compression pipelines make of some tensors, as JSON on standard output.

    python3 runtime/codec/testdata/vectors.py > runtime/codec/testdata/vectors.json

Needs openfl 1.9, scikit-learn, and torch for EDEN. Run with the argument "decode" it does
the opposite: it reads messages that Go has encoded from standard input, a line of JSON each,
and writes what OpenFL decodes them to, a line each, as numbers in hexadecimal of float32.
"""

import base64
import contextlib
import json
import sys

import numpy as np

with contextlib.redirect_stdout(sys.stderr):
    from openfl import pipelines
    from openfl.protocols import base_pb2


def make(name, settings):
    with contextlib.redirect_stdout(sys.stderr):  # EDEN announces itself
        return getattr(pipelines, name)(**settings)


def tensors(rng):
    """Name and values of what is encoded."""
    yield "plain", np.array([5, -4, 3, 0.1, 0.2, -0.3, 0.05, 0.01, 0.02, 0.03], np.float32)
    yield "matrix", rng.normal(0, 0.1, (7, 9)).astype(np.float32)
    yield "integers", np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 2, 5]], np.float32)
    yield "positive", np.abs(rng.normal(1, 0.2, 40)).astype(np.float32)
    yield "cube", rng.standard_t(2, (4, 5, 6)).astype(np.float32)
    yield "zeros", np.zeros((3, 50), np.float32)


CASES = [
    ("NoCompressionPipeline", {}),
    ("RandomShiftPipeline", {}),
    ("KCPipeline", {"n_clusters": 6}),
    ("KCPipeline", {"n_clusters": 3}),
    ("SKCPipeline", {"p_sparsity": 0.3, "n_clusters": 4}),
    ("STCPipeline", {"p_sparsity": 0.3}),
    ("STCPipeline", {"p_sparsity": 0.05}),
] + [("EdenPipeline", {"n_bits": b, "dim_threshold": 20}) for b in range(1, 9)]


def meant(name, data, metadata):
    """What a decoder that looks every label up once makes of a message with labels."""
    import gzip

    labels = np.frombuffer(gzip.decompress(data), np.float32)
    table = next(m["int_to_float"] for m in metadata if m.get("int_to_float"))
    return np.array([table[int(k)] for k in labels], np.float32)


def encode():
    rng = np.random.default_rng(1)
    np.random.seed(1)
    out = []
    for pipeline, settings in CASES:
        p = make(pipeline, settings)
        for name, values in tensors(rng):
            if name == "zeros" and pipeline in ("KCPipeline", "SKCPipeline"):
                continue  # scikit-learn finds fewer clusters than it was asked for, and warns
            data, metadata = p.forward(values)
            message = base_pb2.NamedTensor(
                name=name, round_number=3, tags=["lossy_compressed" if p.is_lossy() else "compressed", "model"],
                transformer_metadata=[base_pb2.MetadataProto(
                    int_to_float=m.get("int_to_float") or {}, int_list=m.get("int_list") or []) for m in metadata],
                data_bytes=data)
            if p.is_lossy() and pipeline != "EdenPipeline":
                decoded = meant(pipeline, data, metadata)
            else:
                decoded = p.backward(data, [dict(m) for m in metadata])
            out.append({
                "pipeline": pipeline, "settings": settings, "tensor": name, "shape": list(values.shape),
                "values": values.astype("<f4").tobytes().hex(),
                "decoded": np.asarray(decoded, np.float32).astype("<f4").tobytes().hex(),
                "message": base64.b64encode(message.SerializeToString(deterministic=True)).decode(),
            })
    json.dump(out, sys.stdout, indent=0)
    print()


def decode():
    for line in sys.stdin:
        case = json.loads(line)
        message = base_pb2.NamedTensor.FromString(base64.b64decode(case["message"]))
        metadata = [{"int_to_float": m.int_to_float, "int_list": m.int_list, "bool_list": m.bool_list}
                    for m in message.transformer_metadata]
        got = make(case["pipeline"], case["settings"]).backward(message.data_bytes, metadata)
        print(json.dumps({"shape": list(got.shape), "values": np.asarray(got, "<f4").tobytes().hex()}), flush=True)


decode() if sys.argv[1:] == ["decode"] else encode()

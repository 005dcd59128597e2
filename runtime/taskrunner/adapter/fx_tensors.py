"""Tensors in safetensors files, as they travel between fxrun and task code.

A file is eight bytes with the length of a header (little-endian), the header (a
JSON object: name -> dtype, shape, data_offsets), and the values of all tensors,
one after the other. Only float32 (F32) travels, as in OpenFL.
"""

import json
import mmap
import os
import struct

import numpy as np
from fx_errors import Refused

MAX_HEADER = 100_000_000  # bytes, as in fxrun
MAX_NAME = 4096  # bytes of a tensor's name, as in fxrun
MAX_TENSORS = 1 << 20

_F32 = np.dtype("<f4")


def read(path):
    """Return {name: array} of a file. The values are mapped, not read.

    The mapping is private: whoever writes into an array changes his own copy of
    the pages that he writes to, and nothing else.
    """
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        if size < 8:
            raise Refused(f"{path} has {size} bytes; a safetensors file has at least 8")
        data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
    (length,) = struct.unpack_from("<Q", data)
    if length > min(MAX_HEADER, size - 8):
        raise Refused(f"{path} claims a header of {length} bytes")
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_no_doubles)
    except ValueError as e:
        raise Refused(f"{path} has a header that is not JSON: {e}") from None
    if not isinstance(header, dict):
        raise Refused(f"{path} has a header that is no JSON object")
    header.pop("__metadata__", None)
    return {name: _array(path, data, 8 + length, name, entry) for name, entry in header.items()}


def _no_doubles(pairs):
    d = dict(pairs)
    if len(d) != len(pairs):
        raise ValueError("a name is there twice")
    return d


def _array(path, data, base, name, entry):
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise Refused(f"{path}: tensor {name!r} lacks one of dtype, shape, data_offsets") from None
    if dtype != "F32":
        raise Refused(f"{path}: tensor {name!r} is {dtype!r}; only F32 travels")
    numbers = (*shape, begin, end)
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise Refused(f"{path}: tensor {name!r} has a shape or an offset that is no whole number")
    count = 1
    for n in shape:
        count *= n
    if end - begin != 4 * count or base + end > len(data):
        raise Refused(f"{path}: tensor {name!r} with shape {list(shape)} spans bytes {begin} to {end}")
    if count == 0:
        return np.empty(shape, _F32)
    array = np.frombuffer(data, _F32, count, base + begin).reshape(shape)
    return array if array.flags.aligned else array.copy()  # fxrun's own files are aligned


def float32(name, value):
    """Return the value as the array that travels: float32, C order.

    OpenFL casts whatever it sends to float32. So does this, except what is no
    number at all: text, objects, complex numbers.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise Refused(
            f"tensor {name!r} is an array of {array.dtype}; only numbers travel, as float32. "
            "Keep it at the site (tensor_dict_split_fn_kwargs: holdout_tensor_names) or convert it"
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused by name when it is checked
        return np.asarray(array, dtype=_F32, order="C")


def check_name(name):
    """Refuse what is no name of a tensor."""
    if not isinstance(name, str) or not name:
        raise Refused(f"a tensor is named {name!r:.100}; text was expected")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Refused(f"tensor name {name!r:.100} is not Unicode text") from None
    if size > MAX_NAME:
        raise Refused(f"tensor name {name[:60]!r}... has {size} bytes; at most {MAX_NAME} are allowed")
    if name == "__metadata__":
        raise Refused("a tensor may not be named '__metadata__'")


def write(path, tensors):
    """Write {name: value} in name order, in one pass.

    Values that are float32 already are written from where they are; others are
    converted one at a time.
    """
    if len(tensors) > MAX_TENSORS:
        raise Refused(f"there are {len(tensors)} tensors; at most {MAX_TENSORS} are allowed")
    names = sorted(tensors)
    header, at = {}, 0
    for name in names:
        check_name(name)
        shape = np.shape(tensors[name])
        end = at + 4 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that all values are aligned
    if len(text) > MAX_HEADER:
        raise Refused(f"the names and shapes take {len(text)} bytes; at most {MAX_HEADER} are allowed")
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            array = float32(name, tensors[name])
            if array.size:
                f.write(array.reshape(-1).view(np.uint8).data)

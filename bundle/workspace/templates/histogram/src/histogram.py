#!/usr/bin/env python3
"""A histogram over all sites: each counts its rows, and only shares leave it.

This program is a task runner of fx. It reads one request, a line of JSON, from
standard input, writes one answer, a line of JSON, to standard output, and goes on
until it is told "bye". It needs nothing but Python: tensors travel in files of
the safetensors format, which takes a few lines to read and write.

    python3 histogram.py              speaks the protocol
    python3 histogram.py show MODEL   draws a model, such as the federation's final one

The model has two tensors: "edges", the borders of the bins, which no site
changes; and "histogram", the share of rows in each bin. A site's result weighs as
much as the rows that it counted, so the average is the histogram of all rows.
"""

import bisect
import csv
import json
import os
import struct
import sys


def main():
    if sys.argv[1:2] == ["show"] and len(sys.argv) == 3:
        return show(sys.argv[2])
    if len(sys.argv) > 1:
        sys.exit("usage: histogram.py [show MODEL]")
    runner = None
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"id": request["id"], "ok": True}
        try:
            if request["op"] == "hello":
                runner = Runner(request)
                answer.update(protocol="fx-task/1", name="histogram")
            elif request["op"] == "init":
                answer.update(runner.init(request))
            elif request["op"] == "run":
                answer.update(runner.run(request))
            elif request["op"] != "bye":
                raise ValueError(f"there is no operation {request['op']!r}")
        except Exception as e:  # the site's operator reads it; the aggregator does not
            answer = {"id": request["id"], "ok": False, "error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)
        if request["op"] == "bye":
            return


class Runner:
    def __init__(self, hello):
        """hello has the plan's settings, and the folder of this site's data ("" for none)."""
        settings = hello["data_loader"]["settings"]
        self.file, self.column, self.edges = settings["file"], settings["column"], settings["edges"]
        if len(self.edges) < 2 or self.edges != sorted(set(self.edges)):
            raise ValueError("edges must be two or more growing numbers")
        self.data = hello["data"]

    def init(self, request):
        """The model that the federation starts from: no rows yet."""
        write(request["output"], {"edges": self.edges, "histogram": [0] * (len(self.edges) - 1)})
        return {"tensors": True}

    def run(self, request):
        """Counts, and leaves out what so few rows have that it could point at a person."""
        least = request["arguments"]["min_count"]
        counts = [n if n >= least else 0 for n in self.count()]
        total = sum(counts)
        # The rows that were left out are in no number that leaves: not even in the
        # total, from which the rest could be subtracted.
        shares = [n / total if total else 0 for n in counts]
        write(request["output"], {"histogram": shares})
        return {
            "tensors": True,
            "data_size": total,
            "metrics": {"shown": sum(n > 0 for n in counts) / len(counts)},
        }

    def count(self):
        """How many rows are in each bin; an edge belongs to the bin above it."""
        counts = [0] * (len(self.edges) - 1)
        if not self.data:
            raise ValueError("no data folder was given")
        with open(os.path.join(self.data, self.file), newline="") as f:
            for row in csv.DictReader(f):
                where = bisect.bisect_right(self.edges, float(row[self.column])) - 1
                if 0 <= where < len(counts):  # what is outside of all bins is not counted
                    counts[where] += 1
        return counts


# safetensors: eight bytes with the length of a header, little-endian; the header,
# JSON with type, shape and place of each tensor; then the numbers.


def write(path, tensors):
    """Writes lists of numbers as 32-bit floats."""
    header, offset = {}, 0
    for name, values in sorted(tensors.items()):
        end = offset + 4 * len(values)
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of eight
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, values in sorted(tensors.items()):
            f.write(struct.pack(f"<{len(values)}f", *values))


def read(path):
    """Returns lists of numbers by name."""
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header, numbers = json.loads(f.read(length)), f.read()
    tensors = {}
    for name, info in header.items():
        if name != "__metadata__":
            begin, end = info["data_offsets"]
            tensors[name] = struct.unpack(f"<{(end - begin) // 4}f", numbers[begin:end])
    return tensors


def show(path):
    model = read(path)
    edges, shares = model["edges"], model["histogram"]
    for low, high, share in zip(edges, edges[1:], shares):
        print(f"{low:>5g} to {high:<5g} {100 * share:5.1f} %  {'#' * round(100 * share)}")


if __name__ == "__main__":
    main()

"""The training of the workspace template wasm-go in NumPy, to compare speeds.

Arguments: train.csv, learning rate, batch size. For each line on standard input, a
number of epochs, it trains that long and answers with the loss.
"""
import sys

import numpy as np

data = np.loadtxt(sys.argv[1], delimiter=",")
x, y = data[:, :64] / 16, data[:, 64].astype(int)
rate, batch = float(sys.argv[2]), int(sys.argv[3])
one_hot = np.eye(10)[y]

for line in sys.stdin:
    weight, bias = np.zeros((64, 10)), np.zeros(10)
    rng = np.random.default_rng(7)
    for _ in range(int(line)):
        loss = 0.0
        order = rng.permutation(len(x))
        for at in range(0, len(order), batch):
            rows = order[at : at + batch]
            scores = x[rows] @ weight + bias
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            loss -= np.log(p[np.arange(len(rows)), y[rows]]).sum()
            d = (p - one_hot[rows]) / len(rows)
            weight -= rate * (x[rows].T @ d)
            bias -= rate * d.sum(axis=0)
    print(loss / len(x), flush=True)

# SPDX-License-Identifier: MIT
"""formula.py - the values that both sides of a comparison of recurrent modules compute, the sizes
of configurations, and the files of results. ../torch/recurrent.py and NAME_numbers.py beside this
use it.

Values. Element i (flat, row-major, from 0) of the tensor NAME in configuration number c; integers
modulo 2^32, fnv the 32-bit FNV-1a of the bytes of NAME:
    x  = fnv(NAME) + c * 2654435761 + i * 2246822519
    x ^= x >> 16;  x = x * 2146121005;  x ^= x >> 15;  x = x * 2221713035;  x ^= x >> 16
    v  = (x >> 9) / 2^22 - 1           in [-1, 1), exact in f32 too
The input is x, the initial states h0 and c0, the gradients that come dy, dh and dc; parameters go
by their names, and are halved. Row b has 1 + floor((v + 1) T / 2) steps, v element b of "lengths".

A configuration. One line
    config MODE LAYERS DIRECTIONS BIAS BATCH_FIRST PROJ LENGTHS STATE T B IN HIDDEN VARIANT
(MODE rnn_tanh, rnn_relu, lstm or gru; BIAS, BATCH_FIRST, LENGTHS, STATE 0 or 1; PROJ a size, 0 for
none), then a line for each tensor
    NAME P0 P1
whose P0 and P1 are its sums weighted by the values of "NAME#0" and "NAME#1", in f64. NAME is y, hn
and cn, or dNAME, the gradient of x, h0, c0 or a parameter.
"""

import platform

import numpy as np

FIELDS = "mode layers dirs bias batch_first proj lengths state T B I H variant".split()


def fnv(name):
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return h


def values(config, name, shape, scale=1.0):
    n = int(np.prod(shape))
    x = np.arange(n, dtype=np.uint64) * 2246822519 + fnv(name) + config * 2654435761
    x &= 0xFFFFFFFF
    x ^= x >> np.uint64(16)
    x = x * 2146121005 & 0xFFFFFFFF
    x ^= x >> np.uint64(15)
    x = x * 2221713035 & 0xFFFFFFFF
    x ^= x >> np.uint64(16)
    return (((x >> np.uint64(9)) / 2.0**22 - 1) * scale).reshape(shape)


def sizes(number):
    """T, B, in, hidden and proj, pairwise different; T or B is 1 in one configuration of four."""
    pool = [2, 3, 4, 5, 6, 7]
    at = number
    picked = []
    for _ in range(5):
        picked.append(pool.pop(at % len(pool)))
        at = at // 3 + 1
    T, B, I, H, P = picked
    if H < P:
        H, P = P, H
    if number % 8 == 3:
        T = 1
    if number % 8 == 6:
        B = 1
    return T, B, I, H, P


class Case:
    """What goes into configuration number of a layer that has no projection, as arrays of NumPy."""

    def __init__(self, number, mode, layers, dirs, bias, batch_first, lengths, state, variant):
        T, B, I, H, _ = sizes(number)
        self.number, self.mode, self.variant = number, mode, variant
        self.layers, self.dirs, self.state = layers, dirs, state
        self.T, self.B, self.I, self.H = T, B, I, H
        self.fields = (mode, layers, dirs, bias, batch_first, 0, lengths, state, T, B, I, H,
                       variant)
        n, first = layers * dirs, (B, T) if batch_first else (T, B)
        self.bias, self.batch_first = bias, batch_first
        self.x = self.values("x", first + (I,))
        self.start = {"h0": self.values("h0", (n, B, H))}
        self.dy = self.values("dy", first + (dirs * H,))
        self.dstate = [self.values("dh", (n, B, H))]
        if mode == "lstm":
            self.start["c0"] = self.values("c0", (n, B, H))
            self.dstate.append(self.values("dc", (n, B, H)))
        self.lengths = None
        if lengths:
            self.lengths = 1 + np.floor((self.values("lengths", (B,)) + 1) * T / 2).astype(int)
            self.mask = np.arange(T) < self.lengths[:, None]            # (B, T)

    def values(self, name, shape):
        return values(self.number, name, shape)

    def param(self, name, shape):
        return values(self.number, name, shape, 0.5)


def lines(number, fields, results):
    """The lines of a configuration; results are arrays by name."""
    yield "config " + " ".join(map(str, fields))
    for name, v in results.items():
        sums = [(v * values(number, f"{name}#{k}", v.shape)).sum() for k in (0, 1)]
        yield f"{name} {sums[0]:.17g} {sums[1]:.17g}"


def write(path, script, library, results_of, cases):
    """A file of results; results_of(case) gives arrays by name, in the order of the formula."""
    out = [f"# Numbers of {library} for recurrent modules, made by tests/peers/{script}",
           f"# (which defines them), Python {platform.python_version()}, on the CPU "
           f"({platform.machine()}), in f64. Do not edit."]
    for case in cases:
        out += lines(case.number, case.fields, results_of(case))
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")
    print(f"{len(cases)} configurations of {library}")

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gluon_numbers.py - Gluon's numbers for recurrent layers: outputs, final states, all gradients.

    python gluon_numbers.py

Run once by hand (README.md beside it); writes gluon.txt. formula.py defines values and file.
Parameters go by Gluon's names without the layer's own prefix: l0_i2h_weight. VARIANT is
    gluon   rnn.RNN, rnn.LSTM, rnn.GRU, in the layout TNC, or NTC for BATCH_FIRST
    cell    rnn.RNNCell, rnn.LSTMCell, rnn.GRUCell over all steps; its parameters: i2h_weight, ...
MXNet 1.9.1 wants Python 3.8 or so, and a NumPy before 1.24.
"""

import itertools
import os

import mxnet as mx
from mxnet import autograd, gluon, nd

import formula

HERE = os.path.dirname(os.path.abspath(__file__))


def array(v):
    return nd.array(v, dtype="float64")


def layer_of(case):
    kind = {"lstm": "LSTM", "gru": "GRU"}.get(case.mode, "RNN")
    how = {"activation": case.mode[4:]} if kind == "RNN" else {}
    if case.variant == "cell":
        layer = getattr(gluon.rnn, kind + "Cell")(case.H, input_size=case.I, **how)
        layer.cast("float64")
        return layer
    return getattr(gluon.rnn, kind)(case.H, num_layers=case.layers,
                                    layout="NTC" if case.batch_first else "TNC",
                                    bidirectional=case.dirs == 2, input_size=case.I,
                                    dtype="float64", **how)


def run(case, layer, x, start):
    if case.variant != "cell":
        y, last = layer(x, list(start.values()))
        return [y, *last]
    state, ys = [s[0] for s in start.values()], []
    for t in range(case.T):
        y, state = layer(x[t], state)
        ys.append(y)
    return [nd.stack(*ys), *(nd.expand_dims(s, 0) for s in state)]


def results_of(case):
    layer = layer_of(case)
    layer.initialize()
    params = {name[len(layer.prefix):]: p for name, p in layer.collect_params().items()}
    for name, p in params.items():
        p.set_data(array(case.param(name, p.shape)))
    x = array(case.x)
    start = {n: array(v) if case.state else nd.zeros(v.shape, dtype="float64")
             for n, v in case.start.items()}
    for leaf in (x, *start.values()):
        leaf.attach_grad()
    with autograd.record():
        got = run(case, layer, x, start)
        loss = sum((a * array(b)).sum() for a, b in zip(got, [case.dy] + case.dstate))
    loss.backward()
    out = dict(zip(("y", "hn", "cn"), got))
    out["dx"] = x.grad
    out.update({"d" + n: p.grad() for n, p in params.items()})
    if case.state:
        out.update({"d" + n: v.grad for n, v in start.items()})
    return {n: v.asnumpy() for n, v in out.items()}


def configs():
    modes = ("rnn_tanh", "rnn_relu", "lstm", "gru")
    for mode, layers, dirs, batch_first, state in itertools.product(
            modes, (1, 2), (1, 2), (0, 1), (0, 1)):
        yield mode, layers, dirs, 1, batch_first, 0, state, "gluon"
    for mode in modes:
        yield mode, 1, 1, 1, 0, 0, 1, "cell"


if __name__ == "__main__":
    formula.write(os.path.join(HERE, "gluon.txt"), os.path.basename(__file__),
                  f"MXNet {mx.__version__}", results_of,
                  [formula.Case(i, *c) for i, c in enumerate(configs())])

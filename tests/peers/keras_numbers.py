#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""keras_numbers.py - Keras's numbers for recurrent layers: outputs, final states, all gradients.

    python keras_numbers.py

Run once by hand (README.md beside it); writes keras.txt. formula.py defines values and file. Layers
are stacked by hand, as Keras does; the parameters of layer K go by the names lK.kernel (in, G H),
lK.recurrent_kernel (H, G H) and lK.bias, those of its backward half by rK. VARIANT is
    keras          SimpleRNN, LSTM, GRU
    reset_before   GRU(reset_after=False)
    reverse        go_backwards, its outputs put back in the order of x
Rows of different lengths are masked; past a row's length y counts as 0 (Keras repeats y there).
It runs on TensorFlow: on JAX and PyTorch Keras computes some functions of f64 in f32.
"""

import itertools
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf

import formula

HERE = os.path.dirname(os.path.abspath(__file__))


def layer_of(case):
    how = {"use_bias": bool(case.bias), "return_sequences": True, "return_state": True,
           "go_backwards": case.variant == "reverse"}
    if case.mode == "lstm":
        layer = keras.layers.LSTM(case.H, **how)
    elif case.mode == "gru":
        layer = keras.layers.GRU(case.H, reset_after=case.variant != "reset_before", **how)
    else:
        layer = keras.layers.SimpleRNN(case.H, activation=case.mode[4:], **how)
    return keras.layers.Bidirectional(layer) if case.dirs == 2 else layer


def names(k, layer, case):
    """The names of a layer's variables, in its order."""
    halves = [f"l{k}", f"r{k}"][: case.dirs]
    out = [f"{half}.{what}" for half in halves
           for what in ("kernel", "recurrent_kernel", "bias")[: 2 + case.bias]]
    assert [n.split(".")[1] for n in out] == [v.name for v in layer.trainable_variables]
    return out


def results_of(case):
    layers = [layer_of(case) for _ in range(case.layers)]
    x = tf.Variable(case.x)
    start = {n: tf.Variable(v) for n, v in case.start.items()}
    mask = None if case.lengths is None else tf.constant(case.mask)
    params, finals, width = {}, [], case.I
    for k, layer in enumerate(layers):
        layer.build((case.B, case.T, width))
        width = case.dirs * case.H
        for name, v in zip(names(k, layer, case), layer.trainable_variables):
            v.assign(case.param(name, tuple(v.shape)))
            params[name] = v.value
    with tf.GradientTape() as tape:
        y = tf.identity(x)
        for k, layer in enumerate(layers):
            ours = range(k * case.dirs, (k + 1) * case.dirs)
            given = [v[i] for i in ours for v in start.values()] if case.state else None
            y, *last = layer(y, mask=mask, initial_state=given)
            finals += last
            y = y[:, ::-1] if case.variant == "reverse" else y
        if mask is not None:
            y = tf.where(mask[:, :, None], y, tf.zeros_like(y))
        each = len(start)
        got = [y] + [tf.stack(finals[i::each]) for i in range(each)]
        loss = sum(tf.reduce_sum(a * b) for a, b in zip(got, [case.dy] + case.dstate))
    leaves = {"x": x, **params, **(start if case.state else {})}
    out = dict(zip(("y", "hn", "cn"), got))
    out.update({"d" + n: g for n, g in zip(leaves, tape.gradient(loss, list(leaves.values())))})
    return {n: v.numpy() for n, v in out.items()}


def configs():
    kinds = [("rnn_tanh", "keras"), ("rnn_relu", "keras"), ("lstm", "keras"), ("gru", "keras"),
             ("gru", "reset_before")]
    for (mode, variant), layers, dirs, lengths, state in itertools.product(
            kinds, (1, 2), (1, 2), (0, 1), (0, 1)):
        yield mode, layers, dirs, 1, 1, lengths, state, variant
    for mode, variant in kinds:
        yield mode, 1, 2, 0, 1, 0, 1, variant
    for mode, variant in kinds[:4]:
        yield mode, 2, 1, 1, 1, 0, 1, "reverse"


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    formula.write(os.path.join(HERE, "keras.txt"), os.path.basename(__file__),
                  f"Keras {keras.__version__} (TensorFlow {tf.__version__})", results_of,
                  [formula.Case(i, *c) for i, c in enumerate(configs())])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""flax_numbers.py - Flax's (linen's) numbers for recurrent cells: outputs, final states, gradients.

    python flax_numbers.py

Run once by hand (README.md beside it); writes flax.txt. formula.py defines values and file. Cells
are run by nn.RNN, both directions by nn.Bidirectional, and stacked by hand, as Flax does; the
parameters of layer K go by the names lK.NAME, those of its backward half by rK.NAME: l0.hf.kernel.
VARIANT is
    flax        SimpleCell, LSTMCell, GRUCell
    optimized   OptimizedLSTMCell
Past a row's length y counts as 0.
"""

import itertools
import os

os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # for speed

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

import formula

HERE = os.path.dirname(os.path.abspath(__file__))


def cell_of(case):
    how = {"features": case.H, "dtype": jnp.float64, "param_dtype": jnp.float64}
    if case.mode == "lstm":
        return (nn.OptimizedLSTMCell if case.variant == "optimized" else nn.LSTMCell)(**how)
    if case.mode == "gru":
        return nn.GRUCell(**how)
    return nn.SimpleCell(activation_fn=jnp.tanh if case.mode == "rnn_tanh" else jax.nn.relu, **how)


def layer_of(case):
    if case.dirs == 2:
        return nn.Bidirectional(nn.RNN(cell_of(case)), nn.RNN(cell_of(case)), return_carry=True)
    return nn.RNN(cell_of(case), return_carry=True)


def shapes(k, layer, case, width):
    """Our names and Flax's paths of a layer's parameters, with their shapes."""
    x = jnp.zeros((case.B, case.T, width))
    tree = jax.eval_shape(layer.init, jax.random.PRNGKey(0), x)["params"]
    for path, v in sorted(flatten_dict(tree).items()):
        half = "r" if path[0].startswith("backward") else "l"
        yield ".".join((f"{half}{k}",) + path[-2:]), path, v.shape


def results_of(case):
    layers = [layer_of(case) for _ in range(case.layers)]
    width, params, of_layer = case.I, {}, []
    for k, layer in enumerate(layers):
        ours = list(shapes(k, layer, case, width))
        of_layer.append([(name, path) for name, path, _ in ours])
        params.update({name: case.param(name, shape) for name, _, shape in ours})
        width = case.dirs * case.H
    lengths = None if case.lengths is None else jnp.array(case.lengths)
    lstm = case.mode == "lstm"

    def run(x, params, start):
        finals = []
        for k, layer in enumerate(layers):
            tree = unflatten_dict({path: params[name] for name, path in of_layer[k]})
            carries = []
            for i in range(k * case.dirs, (k + 1) * case.dirs):         # an LSTM's is (c, h)
                carries.append((start["c0"][i], start["h0"][i]) if lstm else start["h0"][i])
            carry = None if not case.state else tuple(carries) if case.dirs == 2 else carries[0]
            last, x = layer.apply({"params": tree}, x, initial_carry=carry, seq_lengths=lengths)
            finals += list(last) if case.dirs == 2 else [last]
        if lengths is not None:
            x = jnp.where(jnp.array(case.mask)[:, :, None], x, 0)
        if lstm:
            return x, jnp.stack([h for _, h in finals]), jnp.stack([c for c, _ in finals])
        return x, jnp.stack(finals)

    def loss(*leaves):
        got = run(*leaves)
        return sum((a * b).sum() for a, b in zip(got, [case.dy] + case.dstate)), got

    grads, got = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(case.x, params, case.start)
    out = dict(zip(("y", "hn", "cn"), got))
    out["dx"] = grads[0]
    out.update({"d" + n: grads[1][n] for n in params})
    if case.state:
        out.update({"d" + n: grads[2][n] for n in case.start})
    return {n: np.asarray(v) for n, v in out.items()}


def configs():
    kinds = [("rnn_tanh", "flax"), ("rnn_relu", "flax"), ("lstm", "flax"), ("lstm", "optimized"),
             ("gru", "flax")]
    for (mode, variant), layers, dirs, lengths in itertools.product(kinds, (1, 2), (1, 2), (0, 1)):
        yield mode, layers, dirs, 1, 1, lengths, int(layers == dirs or lengths), variant


if __name__ == "__main__":
    formula.write(os.path.join(HERE, "flax.txt"), os.path.basename(__file__),
                  f"Flax {flax.__version__} (JAX {jax.__version__})", results_of,
                  [formula.Case(i, *c) for i, c in enumerate(configs())])

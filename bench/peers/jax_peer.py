# SPDX-License-Identifier: MIT
"""JAX on the benchmark's cases of training (see serve.py); jax_peer.py THREADS.

A jitted whole training step: one-hot, lax.scan over time, softmax cross-entropy, clip, SGD. Not
jitted, the scan's steps are compiled one by one and the whole is many times slower."""
import os

from serve import SIZES, THREADS, VOCAB, serve

os.environ["XLA_FLAGS"] = ("--xla_cpu_multi_thread_eigen=%s intra_op_parallelism_threads=%d"
                           % (str(THREADS > 1).lower(), THREADS))
if THREADS == 1:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import optax


def cell(kind, p, h, x):
    if kind == "rnn":
        h = jnp.tanh(x + h @ p["w_hh"] + p["b_hh"])
        return h, h
    if kind == "lstm":
        h, c = h
        i, f, g, o = jnp.split(x + h @ p["w_hh"] + p["b_hh"], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h
    xr, xz, xn = jnp.split(x, 3, axis=-1)
    hr, hz, hn = jnp.split(h @ p["w_hh"] + p["b_hh"], 3, axis=-1)
    z = jax.nn.sigmoid(xz + hz)
    h = (1 - z) * jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn) + z * h
    return h, h


def make(case):
    protocol, kind = case.split("-")
    batch, steps, hidden = SIZES[protocol]
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind] * hidden
    keys = jax.random.split(jax.random.key(0), 6)
    shapes = {"w_ih": (VOCAB, gates), "w_hh": (hidden, gates), "b_ih": (gates,), "b_hh": (gates,),
              "w": (hidden, VOCAB), "b": (VOCAB,)}
    params = {n: jax.random.uniform(k, s, minval=-1, maxval=1) / hidden ** 0.5
              for k, (n, s) in zip(keys, shapes.items())}
    ids = jnp.arange(batch * steps + 1) ** 2 % VOCAB
    x, y = ids[:-1].reshape(batch, steps), ids[1:].reshape(batch, steps)
    zero = jnp.zeros((batch, hidden))
    state = (zero, zero) if kind == "lstm" else zero
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))
    opt = rule.init(params)

    def loss_of(params, state):
        xs = jax.nn.one_hot(x.T, VOCAB) @ params["w_ih"] + params["b_ih"]
        state, hs = jax.lax.scan(lambda h, v: cell(kind, params, h, v), state, xs)
        logits = hs @ params["w"] + params["b"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, y.T).mean(), state

    @jax.jit
    def update(params, opt, state):
        (_, state), grads = jax.value_and_grad(loss_of, has_aux=True)(params, state)
        updates, opt = rule.update(grads, opt)
        return optax.apply_updates(params, updates), opt, state

    def step():
        nonlocal params, opt, state
        params, opt, state = update(params, opt, state)
        jax.block_until_ready(params)

    return step, batch * steps


serve(make)

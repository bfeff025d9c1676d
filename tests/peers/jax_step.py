# SPDX-License-Identifier: MIT
"""jax_step.py - a training step of plain SGD with clipping, for models in JAX."""

import jax
import jax.numpy as jnp

import book


def steps(forward, params):
    """forward(params, one-hot x (B, T, 28)) gives logits (B, T, 28). Gives book.run's functions."""
    def loss_of(p, rows):
        logits = forward(p, jax.nn.one_hot(rows[:, :-1], book.VOCAB))
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), rows[:, 1:, None], -1)
        return -picked.mean()

    @jax.jit
    def update(p, rows):
        loss, grads = jax.value_and_grad(loss_of)(p, rows)
        norm = jnp.sqrt(sum((g * g).sum() for g in jax.tree_util.tree_leaves(grads)))
        scale = book.LR * jnp.where(norm > book.CLIP, book.CLIP / norm, 1.0)
        return loss, jax.tree_util.tree_map(lambda v, g: v - scale * g, p, grads)

    evaluate = jax.jit(loss_of)
    kept = [params]

    def train(rows):
        loss, kept[0] = update(kept[0], rows)
        return loss

    return train, lambda rows: evaluate(kept[0], rows)

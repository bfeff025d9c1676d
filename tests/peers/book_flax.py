#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Flax's own SimpleCell (linen), run by nn.RNN, and Dense, as it begins them, under the book
protocol.

    python book_flax.py PATH/TO/timemachine.txt [--seeds N]
"""

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

import book
import jax_step


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(book.VOCAB)(nn.RNN(nn.SimpleCell(book.HIDDEN))(x))


def make(seed):
    model = Model()
    params = model.init(jax.random.PRNGKey(seed), jnp.zeros((1, book.STEPS, book.VOCAB)))
    return jax_step.steps(model.apply, params)


if __name__ == "__main__":
    book.run(f"flax {flax.__version__}", make, book.arguments(__doc__))

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keras's own SimpleRNN and Dense, as it begins them, under the book protocol.

    python book_keras.py PATH/TO/timemachine.txt [--seeds N]
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

import book
import jax_step


def make(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([
        keras.layers.SimpleRNN(book.HIDDEN, return_sequences=True),
        keras.layers.Dense(book.VOCAB),
    ])
    model.build((None, book.STEPS, book.VOCAB))
    fixed = [v.value for v in model.non_trainable_variables]

    def forward(params, x):
        return model.stateless_call(params, fixed, x)[0]

    return jax_step.steps(forward, [v.value for v in model.trainable_variables])


if __name__ == "__main__":
    book.run(f"keras {keras.__version__}", make, book.arguments(__doc__))

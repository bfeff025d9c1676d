#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Gluon's own RNN (relu) and Dense, as it begins them, under the book protocol.

    python book_gluon.py PATH/TO/timemachine.txt [--seeds N]

MXNet 1.9.1 wants Python 3.8 or so, and a NumPy before 1.24.
"""

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon, nd

import book


class Model(gluon.Block):
    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.rnn = gluon.rnn.RNN(book.HIDDEN)
            self.dense = gluon.nn.Dense(book.VOCAB, flatten=False)

    def forward(self, x):
        return self.dense(self.rnn(x))


def make(seed):
    mx.random.seed(seed)
    model, criterion = Model(), gluon.loss.SoftmaxCrossEntropyLoss(axis=-1)
    model.initialize()
    model(nd.zeros((book.STEPS, 1, book.VOCAB)))
    params = list(model.collect_params().values())

    def loss_of(rows):
        ids = nd.array(rows.T)                                          # (T + 1, B)
        return criterion(model(nd.one_hot(ids[:-1], book.VOCAB)), ids[1:]).mean()

    def train(rows):
        with autograd.record():
            loss = loss_of(rows)
        loss.backward()
        norm = sum((p.grad() ** 2).sum().asscalar() for p in params) ** 0.5
        scale = book.LR * (book.CLIP / norm if norm > book.CLIP else 1.0)
        for p in params:
            p.set_data(p.data() - scale * p.grad())
        return loss.asscalar()

    return train, lambda rows: loss_of(rows).asscalar()


if __name__ == "__main__":
    book.run(f"mxnet {mx.__version__}", make, book.arguments(__doc__))

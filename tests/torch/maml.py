#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""maml.py - PyTorch's meta gradients through two inner steps of recurrent modules.

    python maml.py [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. OUTPUT defaults to maml.txt beside this
script; tests/test_bind.c reads it and computes the same, in f64.

Model: rnn (tanh), gru or lstm of 2 inputs and 4 hidden units, and linear (1, 4) on each step's output.
Parameter k (PyTorch's order: rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0,
linear.weight, linear.bias) has the elements 0.5 sin(1.3 i + 2.1 k + 0.4), i from 0, row-major. Set s
(0: support, 1: query) has x (5, 3, 2) = sin(0.7 i + s) and y (5, 3, 1) = cos(0.9 i + 2 s). The loss is
the mean of (prediction - y)^2. Two steps of w := w - 0.5 dloss(support)/dw, with history, then the
loss of the query set under the new weights; its gradient by the first weights.

OUTPUT: for each kind "KIND LOSS", and for each parameter a line of its gradient's elements.
"""

import argparse
import os

import torch
from torch.func import functional_call

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
KINDS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


class Model(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn = KINDS[kind](2, 4)
        self.linear = torch.nn.Linear(4, 1)

    def forward(self, x):
        return self.linear(self.rnn(x)[0])


def numbers(*shape):
    count = torch.Size(shape).numel()
    return torch.arange(count, dtype=torch.float64).reshape(shape)


def data(s):
    return torch.sin(0.7 * numbers(5, 3, 2) + s), torch.cos(0.9 * numbers(5, 3, 1) + 2 * s)


def loss_of(model, weights, s):
    x, y = data(s)
    return torch.mean((functional_call(model, weights, (x,)) - y) ** 2)


def run(kind):
    model = Model(kind)
    own = {name: (0.5 * torch.sin(1.3 * numbers(*p.shape) + 2.1 * k + 0.4)).requires_grad_()
           for k, (name, p) in enumerate(model.named_parameters())}
    fast = own
    for _ in range(2):
        grads = torch.autograd.grad(loss_of(model, fast, 0), fast.values(), create_graph=True)
        fast = {name: w - 0.5 * g for (name, w), g in zip(fast.items(), grads)}
    loss = loss_of(model, fast, 1)
    return loss, torch.autograd.grad(loss, own.values())


parser = argparse.ArgumentParser()
parser.add_argument("-o", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "maml.txt"))
with open(parser.parse_args().o, "w") as out:
    print("# by maml.py, torch %s" % torch.__version__, file=out)
    for kind in KINDS:
        loss, grads = run(kind)
        print(kind, repr(loss.item()), file=out)
        for g in grads:
            print(*map(repr, g.flatten().tolist()), file=out)

# SPDX-License-Identifier: MIT
"""PyTorch on the benchmark's cases (see serve.py); torch_peer.py THREADS [compiled].

The same work as bench.c's: one-hot input, nn.RNN, Linear, cross-entropy, backward, clipping,
SGD, the state carried; greedy generation one token at a time; one scalar addition recorded and
differentiated."""
import sys

from serve import SIZES, THREADS, VOCAB, serve

import torch
from torch import nn
import torch.nn.functional as F

KINDS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
COMPILED = sys.argv[2:] == ["compiled"]


class Model(nn.Module):
    def __init__(self, kind, hidden):
        super().__init__()
        self.rnn = KINDS[kind](VOCAB, hidden)
        self.linear = nn.Linear(hidden, VOCAB)

    def forward(self, ids, state):
        y, state = self.rnn(F.one_hot(ids.T, VOCAB).float(), state)
        return self.linear(y).transpose(0, 1), state


def train(protocol, kind):
    batch, steps, hidden = SIZES[protocol]
    model = Model(kind, hidden)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    ids = torch.arange(batch * steps + 1) ** 2 % VOCAB
    x, y = ids[:-1].reshape(batch, steps), ids[1:].reshape(batch, steps)
    zero = torch.zeros(1, batch, hidden)
    state = (zero, zero) if kind == "lstm" else zero

    def loss_of(state):
        logits, state = model(x, state)
        return F.cross_entropy(logits.reshape(-1, VOCAB), y.reshape(-1)), state

    if COMPILED:
        loss_of = torch.compile(loss_of)

    def step():
        nonlocal state
        loss, after = loss_of(state)
        sgd.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        sgd.step()
        state = tuple(s.detach() for s in after) if kind == "lstm" else after.detach()

    return step, batch * steps


def generate():
    model, state, x = Model("rnn", 256), torch.zeros(1, 1, 256), torch.zeros(1, 1, dtype=torch.long)

    @torch.no_grad()
    def step():
        nonlocal state, x
        logits, state = model(x, state)
        x = logits.argmax(2)
        int(x)

    return step, 1


def add():
    one = torch.ones((), requires_grad=True)

    def step():
        y = one
        for _ in range(100):
            y = y + one
        y.backward()

    return step, 100


def make(case):
    if case == "generate":
        return generate()
    return add() if case == "add" else train(*case.split("-"))


torch.set_num_threads(THREADS)
serve(make)

"""PyTorch on the benchmark's cases: torch_peer.py CASE THREADS SECONDS prints one figure.

The same work as bench.c's: one-hot input, nn.RNN, Linear, cross-entropy, backward, clipping,
SGD, the state carried; greedy generation one token at a time; one scalar addition recorded and
differentiated."""
import sys
import time

import torch
from torch import nn
import torch.nn.functional as F

SIZES, VOCAB = {"classic": (32, 35, 256), "book": (1024, 32, 32)}, 28
KINDS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Model(nn.Module):
    def __init__(self, kind, hidden):
        super().__init__()
        self.rnn = KINDS[kind](VOCAB, hidden)
        self.linear = nn.Linear(hidden, VOCAB)

    def forward(self, ids, state):
        y, state = self.rnn(F.one_hot(ids.T, VOCAB).float(), state)
        return self.linear(y).transpose(0, 1), state


def train(protocol, kind, seconds):
    batch, steps, hidden = SIZES[protocol]
    model = Model(kind, hidden)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    ids = torch.arange(batch * steps + 1) ** 2 % VOCAB
    x, y = ids[:-1].reshape(batch, steps), ids[1:].reshape(batch, steps)
    zero = torch.zeros(1, batch, hidden)
    state = (zero, zero) if kind == "lstm" else zero

    def step(state):
        logits, state = model(x, state)
        loss = F.cross_entropy(logits.reshape(-1, VOCAB), y.reshape(-1))
        sgd.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        sgd.step()
        return tuple(s.detach() for s in state) if kind == "lstm" else state.detach()

    for _ in range(3):
        state = step(state)
    count, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        state = step(state)
        count += 1
    return count * batch * steps / (time.monotonic() - start)


@torch.no_grad()
def generate(seconds):
    model, state = Model("rnn", 256), torch.zeros(1, 1, 256)
    x, count, start = torch.zeros(1, 1, dtype=torch.long), 0, time.monotonic()
    while time.monotonic() - start < seconds:
        logits, state = model(x, state)
        x = logits.argmax(2)
        int(x)
        count += 1
    return count / (time.monotonic() - start)


def add(seconds):
    one = torch.ones((), requires_grad=True)
    count, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        y = one
        for _ in range(100):
            y = y + one
        y.backward()
        count += 100
    return (time.monotonic() - start) * 1e6 / count


case, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
torch.set_num_threads(threads)
if case == "generate":
    print(round(generate(seconds)))
elif case == "add":
    print(round(add(seconds), 4))
else:
    print(round(train(*case.split("-"), seconds)))

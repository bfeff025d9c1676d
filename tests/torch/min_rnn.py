#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""min_rnn.py - PyTorch's numbers of minGRU and minLSTM (Feng et al. 2024), forward and all gradients.

    python min_rnn.py [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. OUTPUT defaults to min_rnn.txt beside this
script; tests/recurrent_wrapped.c reads it and computes the same, in f64 and f32. PyTorch has no such
modules: the formulas of the paper's sections 3.1 and 3.2 are computed step by step in f64, with
torch.sigmoid.

Each module has two layers, both directions, inputs of 3 numbers and 4 units. Parameter k of the sorted
names has the elements 0.5 sin(1.3 i + 2.1 k + 0.4), i from 0, row-major; x (5, 2, 3) has 2 sin(0.9 i + 0.2).
S(t) is the sum of the elements of t, each times cos(0.7 i); the loss is S(y).

OUTPUT: for each module a line "NAME S(y)", then for x and for each parameter its name and S of its
gradient.
"""

import argparse
import os

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
STEPS, ROWS, INPUTS, HIDDEN, LAYERS = 5, 2, 3, 4, 2


def wave(shape, size, step, start):
    n = torch.Size(shape).numel()
    return (size * torch.sin(step * torch.arange(n) + start)).reshape(shape).requires_grad_()


def weighted(t):
    return (t.reshape(-1) * torch.cos(0.7 * torch.arange(t.numel()))).sum()


def one_direction(lstm, x, weight, bias, reverse):
    h, out = torch.zeros(ROWS, HIDDEN), [None] * STEPS
    for t in reversed(range(STEPS)) if reverse else range(STEPS):
        k = (x[t] @ weight.T + bias).split(HIDDEN, -1)
        if lstm:
            f, i = torch.sigmoid(k[0]), torch.sigmoid(k[1])
            h = f / (f + i) * h + i / (f + i) * k[2]
        else:
            z = torch.sigmoid(k[0])
            h = (1 - z) * h + z * k[1]
        out[t] = h
    return torch.stack(out)


def module(lstm):
    gates, p = 3 if lstm else 2, {}
    for layer in range(LAYERS):
        for tail in ("", "_reverse"):
            wide = 2 * HIDDEN if layer else INPUTS
            p[f"m.weight_ih_l{layer}{tail}"] = (gates * HIDDEN, wide)
            p[f"m.bias_ih_l{layer}{tail}"] = (gates * HIDDEN,)
    p = {name: wave(p[name], 0.5, 1.3, 2.1 * k + 0.4) for k, name in enumerate(sorted(p))}
    x = y = wave((STEPS, ROWS, INPUTS), 2.0, 0.9, 0.2)
    for layer in range(LAYERS):
        y = torch.cat([one_direction(lstm, y, p[f"m.weight_ih_l{layer}{t}"], p[f"m.bias_ih_l{layer}{t}"], bool(t))
                       for t in ("", "_reverse")], -1)
    loss = weighted(y)
    loss.backward()
    lines = [f"{'minLSTM' if lstm else 'minGRU'} {loss.item()!r}", f"x {weighted(x.grad).item()!r}"]
    return lines + [f"{name} {weighted(t.grad).item()!r}" for name, t in p.items()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "min_rnn.txt"))
    lines = [f"# minGRU and minLSTM: torch {torch.__version__}; written by tests/torch/min_rnn.py"]
    with open(parser.parse_args().o, "w", encoding="ascii") as f:
        f.write("\n".join(lines + module(False) + module(True)) + "\n")


if __name__ == "__main__":
    main()

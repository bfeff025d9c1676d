#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""recurrent.py - PyTorch's numbers for recurrent modules: outputs, final states, all gradients.

    python recurrent.py [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. OUTPUT is recurrent.txt beside this
script. A C test reads it and computes the same from the formulas below; nothing is random.

Values and file are those of ../peers/formula.py; row b begins anew where element b of "reset" is
below 0. PROJ is a size, 0 for none. VARIANT is
    torch         nn.RNN, nn.LSTM, nn.GRU, with LENGTHS over packed sequences (enforce_sorted=False)
    cell          nn.RNNCell and kin for one step; y is h', T is 1
and, against the plain loop below, which is checked here against PyTorch first,
    reset_before  GRU that resets before the matmul
    layer_norm    each product normalised and scaled by ln_ih, ln_hh; an LSTM's c by ln_c, bias_c
    reverse       from the last step to the first
    learn         no state is given, h_0 and c_0 are parameters
    reset         rows that begin anew, from zeros, where the state is given
    norm_before   reset_before and layer_norm, the products of h and of r h normalised each by its rows of ln_hh
    dropout       0.25 between layers, 0.5 of h in the recurrent product: masks of Philox 4x32-10
                  (seed: the configuration's number, stream 0), one word for each element, drawn in
                  the order of use; a mask begins with a new block of four words
"""

import argparse
import itertools
import os
import platform
import sys

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))
import formula  # noqa: E402
from formula import FIELDS, sizes  # noqa: E402

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}


def values(config, name, shape):
    return torch.tensor(formula.values(config, name, shape), dtype=torch.float64)


def leaf(config, name, shape, scale=1.0):
    return (values(config, name, shape) * scale).requires_grad_()


class Philox:
    """Words of Philox 4x32-10 (Salmon et al. 2011), four to a block."""

    def __init__(self, seed):
        self.seed, self.block = seed, 0

    def words(self):
        c, k = [self.block, 0, 0, 0], [self.seed, 0]
        self.block += 1
        for _ in range(10):
            a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [b >> 32 ^ c[1] ^ k[0], b & 0xFFFFFFFF, a >> 32 ^ c[3] ^ k[1], a & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        return c

    def mask(self, p, shape):
        """Zeros with probability p, else 1 / (1 - p)."""
        n, w = int(np.prod(shape)), []
        while len(w) < n:
            w += self.words()
        kept = torch.tensor([v >= p * 2.0**32 for v in w[:n]], dtype=torch.float64)
        return kept.reshape(shape) / (1 - p)


class Case:
    """The tensors of a configuration: parameters by name, x, states, the gradients that come."""

    def __init__(self, number, c):
        self.number, self.c = number, c
        self.G, self.R = GATES[c["mode"]], c["proj"] or c["H"]
        self.lstm = c["mode"] == "lstm"
        n, T, B, D = c["layers"] * c["dirs"], c["T"], c["B"], c["dirs"]
        first = (B, T) if c["batch_first"] else (T, B)
        self.x = leaf(number, "x", first + (c["I"],))
        self.h0 = leaf(number, "h0", (n, B, self.R))
        self.c0 = leaf(number, "c0", (n, B, c["H"]))
        self.dy = values(number, "dy", first + (D * self.R,))
        self.dh = values(number, "dh", (n, B, self.R))
        self.dc = values(number, "dc", (n, B, c["H"]))
        self.lengths = 1 + torch.floor((values(number, "lengths", (B,)) + 1) * T / 2).long()
        self.reset = values(number, "reset", (B,)) < 0
        self.params = {k: leaf(number, k, s, 0.5) for k, s in self.shapes()}

    def shapes(self):
        c, wide = self.c, self.G * self.c["H"]
        for layer, d in itertools.product(range(c["layers"]), range(c["dirs"])):
            end = "" if c["variant"] == "cell" else f"_l{layer}" + ("_reverse" if d else "")
            yield "weight_ih" + end, (wide, self.R * c["dirs"] if layer else c["I"])
            yield "weight_hh" + end, (wide, self.R)
            if c["bias"]:
                yield "bias_ih" + end, (wide,)
                yield "bias_hh" + end, (wide,)
            if c["proj"]:
                yield "weight_hr" + end, (self.R, c["H"])
            if c["variant"] in ("layer_norm", "norm_before"):
                yield "ln_ih" + end, (wide,)
                yield "ln_hh" + end, (wide,)
                if self.lstm:
                    yield "ln_c" + end, (c["H"],)
                    yield "bias_c" + end, (c["H"],)
        if c["variant"] == "learn":
            yield "h_0", (c["layers"] * c["dirs"], 1, self.R)
            if self.lstm:
                yield "c_0", (c["layers"] * c["dirs"], 1, c["H"])

    def state(self):
        return (self.h0, self.c0) if self.lstm else self.h0


def with_torch(case):
    c = case.c
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(c["mode"], torch.nn.RNN)
    more = {"nonlinearity": c["mode"][4:]} if kind is torch.nn.RNN else {}
    if c["proj"]:
        more["proj_size"] = c["proj"]
    m = kind(c["I"], c["H"], c["layers"], bias=bool(c["bias"]), batch_first=bool(c["batch_first"]),
             bidirectional=c["dirs"] == 2, **more)
    x = case.x
    if c["lengths"]:
        x = torch.nn.utils.rnn.pack_padded_sequence(x, case.lengths, bool(c["batch_first"]),
                                                    enforce_sorted=False)
    args = (x, case.state()) if c["state"] else (x,)
    y, last = torch.func.functional_call(m, case.params, args)
    if c["lengths"]:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, bool(c["batch_first"]),
                                                      total_length=c["T"])
    return (y,) + (last if case.lstm else (last,))


def with_torch_cell(case):
    c = case.c
    kind = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}.get(c["mode"], torch.nn.RNNCell)
    more = {"nonlinearity": c["mode"][4:]} if kind is torch.nn.RNNCell else {}
    m = kind(c["I"], c["H"], bias=bool(c["bias"]), **more)
    state = (case.h0[0], case.c0[0]) if case.lstm else case.h0[0]
    h = torch.func.functional_call(m, case.params, (case.x[0], state))
    h, last = (h[0], (h[0][None], h[1][None])) if case.lstm else (h, (h[None],))
    return (h[None],) + last


def norm(x):
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + 1e-5)


def step(case, end, x, h, cell, drop):
    """One step of the plain loop: x (B, in), h (B, R), cell (B, H) -> h', cell'."""
    c, p, H = case.c, case.params, case.c["H"]
    zero = torch.zeros((), dtype=torch.float64)
    b_ih, b_hh = p.get("bias_ih" + end, zero), p.get("bias_hh" + end, zero)
    w_hh = p["weight_hh" + end]
    ih, hh = x @ p["weight_ih" + end].T, (h * drop) @ w_hh.T
    if c["variant"] == "layer_norm":
        ih, hh = norm(ih) * p["ln_ih" + end], norm(hh) * p["ln_hh" + end]
    elif c["variant"] == "norm_before":
        ih, hh = norm(ih) * p["ln_ih" + end], norm(hh[:, : 2 * H]) * p["ln_hh" + end][: 2 * H]
        hh = torch.cat((hh, torch.zeros_like(hh[:, :H])), 1)
    ih, hh = ih + b_ih, hh + b_hh
    if case.G == 1:
        return (torch.tanh if c["mode"] == "rnn_tanh" else torch.relu)(ih + hh), cell
    if case.G == 3:
        r, z = torch.sigmoid(ih + hh)[:, : 2 * H].chunk(2, 1)
        inner = r * hh[:, 2 * H:]
        if c["variant"] in ("reset_before", "norm_before"):
            inner = (r * h * drop) @ w_hh[2 * H:].T
            if c["variant"] == "norm_before":
                inner = norm(inner) * p["ln_hh" + end][2 * H:]
            inner = inner + (b_hh[2 * H:] if c["bias"] else 0)
        n = torch.tanh(ih[:, 2 * H:] + inner)
        return (1 - z) * n + z * h, cell
    i, f, g, o = (ih + hh).chunk(4, 1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    shown = cell
    if c["variant"] == "layer_norm":
        shown = norm(cell) * p["ln_c" + end] + p["bias_c" + end]
    h = torch.sigmoid(o) * torch.tanh(shown)
    return (h @ p["weight_hr" + end].T if c["proj"] else h), cell


def with_loop(case):
    c, B = case.c, case.c["B"]
    x = case.x.transpose(0, 1) if c["batch_first"] else case.x
    n = c["layers"] * c["dirs"]
    h0, c0 = case.h0, case.c0
    if c["variant"] == "learn":
        h0 = case.params["h_0"].expand(n, B, case.R)
        c0 = case.params["c_0"].expand(n, B, c["H"]) if case.lstm else torch.zeros_like(c0)
    elif not c["state"]:
        h0, c0 = torch.zeros_like(h0), torch.zeros_like(c0)
    if c["variant"] == "reset":
        anew = case.reset[None, :, None]
        h0, c0 = torch.where(anew, 0, h0), torch.where(anew, 0, c0)
    lengths = case.lengths if c["lengths"] else torch.full((B,), c["T"])
    hn, cn, random, drop = [], [], Philox(case.number), 1
    for layer in range(c["layers"]):
        halves = []
        if layer and c["variant"] == "dropout":
            x = x * random.mask(0.25, x.shape)
        for d in range(c["dirs"]):
            k, end = layer * c["dirs"] + d, f"_l{layer}" + ("_reverse" if d else "")
            h, cell, out = h0[k], c0[k], [None] * c["T"]
            if c["variant"] == "dropout":
                drop = random.mask(0.5, (B, case.R))
            back = d == 1 or c["variant"] == "reverse"
            for t in reversed(range(c["T"])) if back else range(c["T"]):
                on = (t < lengths)[:, None]
                h2, cell2 = step(case, end, x[t], h, cell, drop)
                h, cell = torch.where(on, h2, h), torch.where(on, cell2, cell)
                out[t] = torch.where(on, h, 0)
            hn.append(h)
            cn.append(cell)
            halves.append(torch.stack(out))
        x = torch.cat(halves, 2)
    y = x.transpose(0, 1) if c["batch_first"] else x
    return (y, torch.stack(hn)) + ((torch.stack(cn),) if case.lstm else ())


def results(case, run):
    out = run(case)
    loss = sum((a * b).sum() for a, b in zip(out, (case.dy, case.dh, case.dc)))
    leaves = {"x": case.x, **case.params}
    if case.c["state"]:
        leaves["h0"] = case.h0
        if case.lstm:
            leaves["c0"] = case.c0
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    named = dict(zip(("y", "hn", "cn"), out))
    named.update({"d" + k: torch.zeros_like(v) if g is None else g
                  for (k, v), g in zip(leaves.items(), grads)})
    return named


def configs():
    both = (0, 1)
    for mode in GATES:
        projs = both if mode == "lstm" else (0,)
        for layers, dirs, bias, bf, proj, lengths, state in itertools.product(
                (1, 2), (1, 2), both, both, projs, both, both):
            yield mode, layers, dirs, bias, bf, proj, lengths, state, "torch"
        yield mode, 3, 2, 1, 0, 0, 1, 1, "torch"
        for bias in both:
            yield mode, 1, 1, bias, 0, 0, 0, 1, "cell"
        for layers, dirs, lengths, state in itertools.product((1, 2), (1, 2), both, both):
            if mode == "gru":
                yield mode, layers, dirs, 1, 0, 0, lengths, state, "reset_before"
            yield mode, layers, dirs, state, 0, 0, lengths, state, "layer_norm"
            if dirs == 1:
                yield mode, layers, dirs, 1, lengths, 0, lengths, state, "reverse"
        for proj, dirs in itertools.product(projs, (1, 2)):
            yield mode, 2, dirs, 1, 0, proj, 0, 0, "learn"
            yield mode, 2, dirs, 1, 1, proj, 1, 1, "reset"
    for mode in GATES:
        for proj, dirs, lengths in itertools.product(both if mode == "lstm" else (0,), (1, 2), both):
            yield mode, 2, dirs, 1, 0, proj, lengths, 1, "dropout"
    for layers, dirs, bias, lengths in itertools.product((1, 2), (1, 2), both, both):
        yield "gru", layers, dirs, bias, 0, 0, lengths, 1, "norm_before"


def check_loop(number, c, got):
    """The plain loop gives what PyTorch gave."""
    for name, want in results(Case(number, c), with_loop).items():
        worst = (want - got[name]).abs().max().item()
        if not worst <= 1e-12 * max(1, want.abs().max().item()):
            sys.exit(f"configuration {number}, {name}: the loop is off by {worst}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", default=os.path.join(HERE, "recurrent.txt"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    lines = ["# PyTorch's numbers for recurrent modules, made by tests/torch/recurrent.py (which "
             "defines them)",
             f"# with torch {torch.__version__}, Python {platform.python_version()}, on the CPU "
             f"({platform.machine()}), one thread. Do not edit."]
    count = 0
    for number, chosen in enumerate(configs()):
        T, B, I, H, P = sizes(number)
        mode, layers, dirs, bias, bf, proj, lengths, state, variant = chosen
        c = dict(zip(FIELDS, (mode, layers, dirs, bias, bf, P if proj else 0, lengths,
                                      state, 1 if variant == "cell" else T, B, I, H, variant)))
        run = {"torch": with_torch, "cell": with_torch_cell}.get(variant, with_loop)
        got = results(Case(number, c), run)
        if variant == "torch":
            check_loop(number, c, got)
        lines += formula.lines(number, [c[k] for k in FIELDS],
                               {name: v.detach().numpy() for name, v in got.items()})
        count += 1
    with open(args.o, "w") as out:
        out.write("\n".join(lines) + "\n")
    print(f"{count} configurations")


if __name__ == "__main__":
    main()

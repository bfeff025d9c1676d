#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""main_job.py - PyTorch's numbers for the first ten steps of both protocols.

    python main_job.py [TIMEMACHINE.TXT] [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. The corpus defaults to
$COTANGENT_DATA_DIR/timemachine.txt, OUTPUT to main_job.txt beside this script. A C test reads
OUTPUT and repeats the runs; everything below is what both sides compute. Nothing is random.

Ids. Both vocabularies have 28 entries; the SHA-256 of the ids of the whole text, one byte each,
must be the one in BOOK_SHA256 or CLASSIC_SHA256, or nothing is written.
    book     runs of other characters than A-Z, a-z become one space, then lower case; not
             stripped. 173,428 ids: ' ' = 0, <unk> = 1, a = 2, ..., z = 27.
    classic  the same line by line, each line stripped, the lines joined with nothing between.
             170,580 ids: <unk> = 0, then by falling frequency over the whole text (of equals,
             the one met first comes first). Training uses the first 10,000 ids.

Model. h_t = tanh(W_ih one_hot(x_t) + b_ih + W_hh h_(t-1) + b_hh), logits_t = W h_t + b.
    k  parameter             shape           book: H = 32, classic: H = 256
    0  rnn.weight_ih_l0      (H, 28)
    1  rnn.weight_hh_l0      (H, H)
    2  rnn.bias_ih_l0        (H)
    3  rnn.bias_hh_l0        (H)
    4  linear.weight         (28, H)
    5  linear.bias           (28)

Initial weights. Element i (flat, row-major, from 0) of parameter k; integers modulo 2^32:
    x  = i * 2654435761 + k * 40503 + 12345
    x ^= x >> 16
    x  = x * 2246822519
    x ^= x >> 13
    w  = (float)((x / 4294967296.0 * 2.0 - 1.0) * (1.0 / sqrt(H)))      in double, then rounded
The f64 runs start from the same f32 values, widened.

Batches.
    book     T = 32. Window i is x = ids[i .. i+T-1], y = ids[i+1 .. i+T]. Batch j = 0..9 is the
             windows 1024 j .. min(1024 (j+1), 10000) - 1 in that order: 1,024 of them, the tenth
             784. Zero state for every batch.
    classic  B = 32, T = 35, sequential: with the epoch's offset o and
             L = (10000 - o - 1) / B (integer division), row b of Xs is
             ids[o + b L .. o + (b+1) L - 1], and Ys the same one id later. Batch j of an epoch is
             the columns j T .. (j+1) T - 1; an epoch has L / T = 8. The first epoch has o = 3,
             the second o = 17; steps 1 to 8 are the first epoch, 9 and 10 the first two batches of
             the second. State zero at each epoch's start, carried and detached within.

Step. loss = the mean over all B T tokens of -log softmax(logits)[y]; norm = the L2 norm of the
gradient over all six parameters together; where norm > clip, g = g * (clip / norm);
then w = w - 1.0 * g. A row is the loss (before the update) and the norm (before clipping).

OUTPUT. Lines beginning with '#' are comments and stand only at the top. Then eight blocks, each
    run <protocol> <dtype> <clip>       %s %s %g: book or classic, f32 or f64, 1 or 0.05
then ten lines
    <loss> <norm>                       %.9g %.9g
"""

import argparse
import collections
import hashlib
import math
import os
import platform
import re
import sys

import numpy as np
import torch
from torch import nn

STEPS = 10
VOCAB = 28
HIDDEN = {"book": 32, "classic": 256}
TRAIN = 10000           # windows of the book protocol, ids of the classic one
OFFSETS = (3, 17)       # of the classic protocol's epochs
BOOK_SHA256 = "2b149570bb80412322af1bc023c0b10953440b13a9bb12156664c2640ce7e4f3"
CLASSIC_SHA256 = "6e4b58fb6d0d894ec6448ca8521d4a42f763afc5409d9b2478fc9b46d36a439d"


def checked(name, tokens, vocab, sha256):
    """tokens -> ids (n,) int64; exits unless they are the ids DESIGN.md names."""
    index = {token: i for i, token in enumerate(vocab)}
    ids = [index[token] for token in tokens]
    got = hashlib.sha256(bytes(ids)).hexdigest()
    if len(vocab) != VOCAB or got != sha256:
        sys.exit(f"main_job.py: {name} ids: got {got} expected {sha256}")
    return torch.tensor(ids)


def book_ids(text):
    tokens = re.sub("[^A-Za-z]+", " ", text).lower()
    return checked("book", tokens, sorted(set(tokens) | {"<unk>"}), BOOK_SHA256)


def classic_ids(text):
    lines = [re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in text.split("\n")]
    tokens = "".join(lines)
    counts = collections.Counter(tokens)
    by_freq = sorted(counts, key=counts.get, reverse=True)      # stable: ties as first met
    return checked("classic", tokens, ["<unk>"] + by_freq, CLASSIC_SHA256)


def book_batches(ids):
    """Yields x (B, T), y (B, T), whether the state begins anew."""
    batch, steps = 1024, 32
    for first in range(0, TRAIN, batch):
        windows = range(first, min(first + batch, TRAIN))
        yield (torch.stack([ids[i:i + steps] for i in windows]),
               torch.stack([ids[i + 1:i + steps + 1] for i in windows]), True)


def classic_batches(ids):
    """Yields x (B, T), y (B, T), whether the state begins anew."""
    ids = ids[:TRAIN]
    batch, steps = 32, 35
    for offset in OFFSETS:
        num = (TRAIN - offset - 1) // batch * batch
        xs = ids[offset:offset + num].reshape(batch, -1)
        ys = ids[offset + 1:offset + 1 + num].reshape(batch, -1)
        for j in range(xs.shape[1] // steps):
            columns = slice(j * steps, (j + 1) * steps)
            yield xs[:, columns], ys[:, columns], j == 0


class RNNLM(nn.Module):
    """x (B, T) -> logits (B, T, VOCAB), state (1, B, hidden)"""

    def __init__(self, hidden):
        super().__init__()
        self.rnn = nn.RNN(VOCAB, hidden, nonlinearity="tanh", batch_first=True)
        self.linear = nn.Linear(hidden, VOCAB)

    def forward(self, x, state):
        inputs = nn.functional.one_hot(x, VOCAB).to(self.linear.weight.dtype)
        outputs, state = self.rnn(inputs, state)
        return self.linear(outputs), state


def weight(k, count, hidden):
    """The first count elements of parameter k, by the formula above: (count,) f32"""
    mask = np.uint64(0xFFFFFFFF)
    x = np.arange(count, dtype=np.uint64)
    x = (x * np.uint64(2654435761) + np.uint64(k * 40503 + 12345)) & mask
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(2246822519)) & mask
    x ^= x >> np.uint64(13)
    unit = x.astype(np.float64) / 4294967296.0 * 2.0 - 1.0
    return torch.from_numpy((unit * (1.0 / math.sqrt(hidden))).astype(np.float32))


PARAMETERS = ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0",
              "linear.weight", "linear.bias"]


def new_model(hidden, dtype):
    model = RNNLM(hidden)
    named = dict(model.named_parameters())
    assert sorted(named) == sorted(PARAMETERS)
    with torch.no_grad():
        for k, name in enumerate(PARAMETERS):
            named[name].copy_(weight(k, named[name].numel(), hidden).reshape(named[name].shape))
    return model.to(dtype)


def run(hidden, batches, dtype, clip):
    """Yields (loss, norm) of each of the first STEPS steps."""
    model = new_model(hidden, dtype)
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    state = None
    for _, (x, y, anew) in zip(range(STEPS), batches):
        state = None if anew else state.detach()        # None is the zero state
        logits, state = model(x, state)
        loss = nn.functional.cross_entropy(logits.reshape(-1, VOCAB), y.reshape(-1))
        sgd.zero_grad()
        loss.backward()
        # Not clip_grad_norm_, which adds 1e-6 to the norm it divides by.
        norm = torch.sqrt(sum(torch.sum(p.grad ** 2) for p in model.parameters()))
        if norm > clip:
            for p in model.parameters():
                p.grad *= clip / norm
        sgd.step()
        yield loss.item(), norm.item()


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    data_dir = os.environ.get("COTANGENT_DATA_DIR")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", nargs="?",
                        default=data_dir and os.path.join(data_dir, "timemachine.txt"))
    parser.add_argument("-o", "--output", default=os.path.join(here, "main_job.txt"))
    args = parser.parse_args()
    if not args.corpus:
        parser.error("name the corpus, or set COTANGENT_DATA_DIR")

    torch.set_num_threads(1)
    with open(args.corpus, encoding="utf-8") as f:
        text = f.read()
    ids = {"book": book_ids(text), "classic": classic_ids(text)}
    batches = {"book": book_batches, "classic": classic_batches}

    out = ["# PyTorch's loss, and gradient norm before clipping, of the first 10 training steps.",
           f"# Made by tests/torch/main_job.py (which defines all of it) with torch"
           f" {torch.__version__}, Python {platform.python_version()},",
           f"# on the CPU ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()}),"
           " one thread. Do not edit: run the script again.",
           "# Blocks: run <book|classic> <f32|f64> <clip>, then 10 lines <loss> <norm>."]
    for dtype_name, dtype in (("f32", torch.float32), ("f64", torch.float64)):
        for protocol in ("book", "classic"):
            for clip in (1.0, 0.05):
                rows = list(run(HIDDEN[protocol], batches[protocol](ids[protocol]), dtype, clip))
                assert len(rows) == STEPS
                out.append(f"run {protocol} {dtype_name} {clip:g}")
                out += [f"{loss:.9g} {norm:.9g}" for loss, norm in rows]
    with open(args.output, "w", encoding="ascii") as f:
        f.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()

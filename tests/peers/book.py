# SPDX-License-Identifier: MIT
"""book.py - the book protocol, for the scripts book_FRAMEWORK.py beside it: the text's windows, the
epochs, and the line that each run prints.

The whole text, runs of non-letters one space, lower case; 28 ids, ' ' = 0, <unk> = 1, a to z; all
windows of T + 1, the first 10,000 to train, shuffled for each epoch, the next 5,000 to validate;
batches of 1,024, T = 32, hidden 32, learning rate 1, gradients clipped to the norm 1, 100 epochs, a
state of zeros for each batch. Perplexity is the mean over an epoch's batches of exp(loss), each
loss before its update.
"""

import argparse
import re
import statistics

import numpy as np

VOCAB, HIDDEN, STEPS, BATCH, TRAIN, VALIDATE = 28, 32, 32, 1024, 10000, 5000
LR, CLIP = 1.0, 1.0


def windows(path):
    """All windows that are used, (15000, 33) ids."""
    with open(path, encoding="utf-8") as f:
        text = re.sub("[^A-Za-z]+", " ", f.read()).lower()
    ids = np.array([0 if c == " " else ord(c) - ord("a") + 2 for c in text], dtype=np.int32)
    return np.lib.stride_tricks.sliding_window_view(ids, STEPS + 1)[: TRAIN + VALIDATE]


def perplexity(step, rows):
    losses = [float(step(rows[i:i + BATCH])) for i in range(0, len(rows), BATCH)]
    return float(np.mean(np.exp(losses)))


def arguments(doc):
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("text", help="timemachine.txt")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    return parser.parse_args()


def run(name, make, args):
    """make(seed) gives two functions of rows (B, 33): one trains and returns the loss before its
    update, one only returns the loss."""
    data = windows(args.text)
    results = []
    for seed in range(args.seeds):
        train, evaluate = make(seed)
        shuffle = np.random.default_rng(seed)
        for _ in range(args.epochs):
            last = perplexity(train, data[shuffle.permutation(TRAIN)])
        results.append((last, perplexity(evaluate, data[TRAIN:])))
        print(f"{name} seed {seed}: training {last:.3f}, validation {results[-1][1]:.3f}",
              flush=True)
    medians = [statistics.median(column) for column in zip(*results)]
    print(f"{name} median of {args.seeds}: training {medians[0]:.3f}, validation {medians[1]:.3f}",
          flush=True)

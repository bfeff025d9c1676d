#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""generate.py - beam search and the filters of sampling, written anew with PyTorch.

    python generate.py [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. OUTPUT defaults to generate.txt beside
this script; tests/generate_torch.c reads it and computes the same, in f64.

Filters: LOGITS(r) has the 11 elements 2 sin(1.7 c + 0.9 r) + 0.1 c, c from 0. After the banned tokens
(-inf), the order is temperature, top-k, top-p, as in other libraries; top-p removes, from the least
probable token on, those whose probabilities together are at most 1 - top_p.

Beam search: a model of 7 tokens. After token b, with token a before it (-1 if there is none), the logit
of token c is 3 sin(1.7 a + 2.9 b + 1.1 c + 0.3 a c + 0.5). In each step the `beams` most probable
sequences that have not ended are continued. A sequence that ends with a stop token is kept if it is
among the first `beams` candidates of its step. Its score is log-probability / tokens^penalty, its stop
token included. A row is over when `beams` sequences have ended (early), when no open sequence can
become one of the n best (not early), or after `most` tokens, when all open ones end, too.

OUTPUT: a line for each case, and below it its numbers.
    filter R TEMPERATURE TOP_K TOP_P BANNED...          the 11 probabilities
    beam FIRST MOST BEAMS N_BEST PENALTY EARLY STOP...  n best times: SCORE COUNT TOKEN...
BANNED and STOP are counts and tokens; COUNT does not count the stop token.
"""

import argparse
import os

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
WORDS, VOCAB = 11, 7


def filtered(r, temperature, top_k, top_p, banned):
    c = torch.arange(WORDS)
    x = 2 * torch.sin(1.7 * c + 0.9 * r) + 0.1 * c
    x[banned] = -torch.inf
    x = x / temperature
    if 0 < top_k < WORDS:
        x[x < x.topk(top_k).values[-1]] = -torch.inf
    if top_p < 1:
        ascending, order = x.sort()
        remove = ascending.softmax(0).cumsum(0) <= 1 - top_p
        remove[-1] = False
        x[order[remove]] = -torch.inf
    return x.softmax(0)


def logits(sequence):
    a, b = ([-1] + sequence)[-2:]
    c = torch.arange(VOCAB)
    return 3 * torch.sin(1.7 * a + 2.9 * b + 1.1 * c + 0.3 * a * c + 0.5)


def beam_search(first, most, beams, n_best, penalty, early, stop):
    open_, scores, ended = [[first]], torch.zeros(1), []
    for tokens in range(1, most + 1):
        logp = torch.stack([logits(s).log_softmax(0) for s in open_])
        flat = (scores[:, None] + logp).flatten()
        best = flat.topk(min(beams * (1 + len(stop)), len(flat)))
        grown, grown_scores = [], []
        for rank, (score, place) in enumerate(zip(best.values.tolist(), best.indices.tolist())):
            sequence = open_[place // VOCAB] + [place % VOCAB]
            if sequence[-1] in stop:
                if rank < beams:
                    ended.append((score / tokens**penalty, sequence[1:-1]))
            elif len(grown) < beams:
                grown.append(sequence)
                grown_scores.append(score)
        ended.sort(key=lambda e: -e[0])
        if not grown:
            break
        open_, scores = grown, torch.tensor(grown_scores)
        if early and len(ended) >= beams:
            break
        bound = grown_scores[0] / (most if penalty > 0 else tokens + 1) ** penalty
        if not early and len(ended) >= n_best and ended[n_best - 1][0] >= bound:
            break
    else:
        ended += [(s / most**penalty, q[1:]) for s, q in zip(scores.tolist(), open_)]
    return sorted(ended, key=lambda e: -e[0])[:n_best]


def text(*values):
    return " ".join(f"{v:.17g}" if isinstance(v, float) else str(int(v)) for v in values)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser()
    p.add_argument("-o", default=os.path.join(here, "generate.txt"))
    with open(p.parse_args().o, "w") as f:
        print(f"# by generate.py, torch {torch.__version__}", file=f)
        for r in range(3):
            for temperature in (0.7, 1.0, 2.5):
                for top_k, top_p in ((0, 1.0), (3, 1.0), (0, 0.6), (0, 0.95), (5, 0.8), (20, 0.01)):
                    banned = [[], [2], [9, 0, 4]][r]
                    print("filter", text(r, temperature, top_k, top_p, len(banned), *banned), file=f)
                    print(text(*filtered(r, temperature, top_k, top_p, banned).tolist()), file=f)
        for first in range(4):
            for beams, n_best in ((2, 1), (3, 3), (5, 2), (40, 7)):
                for penalty, early in ((1.0, 0), (0.6, 0), (0.0, 0), (2.0, 1), (-0.5, 0), (0.0, 1)):
                    stop = [[3], [], [1, 5], [0, 2, 4]][first]
                    most = [6, 5, 9, 12][first]
                    case = (first, most, beams, n_best, penalty, early)
                    print("beam", text(*case, len(stop), *stop), file=f)
                    got = beam_search(*case, stop)
                    assert len(got) == n_best
                    for score, sequence in got:
                        print(text(score, len(sequence), *sequence), file=f)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch's own RNN and Linear, as it begins them, under the book protocol.

    python book_torch.py PATH/TO/timemachine.txt [--seeds N]
"""

import torch
from torch import nn

import book


def make(seed):
    torch.manual_seed(seed)
    rnn, linear = nn.RNN(book.VOCAB, book.HIDDEN), nn.Linear(book.HIDDEN, book.VOCAB)
    params = [*rnn.parameters(), *linear.parameters()]
    sgd = torch.optim.SGD(params, lr=book.LR)

    def loss_of(rows):
        ids = torch.tensor(rows.T, dtype=torch.long)                    # (T + 1, B)
        logits = linear(rnn(nn.functional.one_hot(ids[:-1], book.VOCAB).float())[0])
        return nn.functional.cross_entropy(logits.flatten(0, 1), ids[1:].flatten())

    def train(rows):
        loss = loss_of(rows)
        sgd.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, book.CLIP)
        sgd.step()
        return loss.item()

    def evaluate(rows):
        with torch.no_grad():
            return loss_of(rows).item()

    return train, evaluate


if __name__ == "__main__":
    torch.set_num_threads(1)
    book.run(f"torch {torch.__version__}", make, book.arguments(__doc__))

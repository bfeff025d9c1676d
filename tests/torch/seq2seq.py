#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""seq2seq.py - PyTorch's numbers of an encoder and a decoder with Bahdanau's attention, for one step.

    python seq2seq.py [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. OUTPUT defaults to seq2seq.txt beside this
script; tests/nn_decoder.c reads it and computes the same, in f64, with the parts of examples/seq2seq.c.

The model is d2l.ai's Seq2SeqEncoder and Seq2SeqAttentionDecoder with one layer of 4 units, 7 tokens of the
source and 9 of the target. Parameter k of the sorted names has the elements 0.5 sin(1.3 i + 2.1 k + 0.4),
i from 0, row-major. Source token t of row b is (2 t + 3 b) mod 7, lengths 3, 5, 2 of 5; target token
(t + 2 b) mod 9, but 1, which is not counted, past 4, 3 and 5 of 5. The loss is the mean cross-entropy of
the tokens after the first. One step of SGD: w := w - 0.5 dloss/dw.

OUTPUT: the losses before and after the step, then for each parameter its name, the sum of its gradient
and that of its new values, each element i times cos(0.7 i).
"""

import argparse
import os

import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
HIDDEN, SOURCE, TARGET = 4, 7, 9


class Rnn(torch.nn.Module):
    """d2l.GRU: the module of PyTorch is its member rnn."""

    def __init__(self, inputs):
        super().__init__()
        self.rnn = torch.nn.GRU(inputs, HIDDEN)


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.W_k = torch.nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.W_q = torch.nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.w_v = torch.nn.Linear(HIDDEN, 1, bias=False)

    def forward(self, query, values, seen):
        features = torch.tanh(self.W_q(query).unsqueeze(2) + self.W_k(values).unsqueeze(1))
        scores = self.w_v(features).squeeze(-1).masked_fill(~seen[:, None], -torch.inf)
        return scores.softmax(-1) @ values


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(SOURCE, HIDDEN)
        self.rnn = Rnn(HIDDEN)


class Decoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.embedding = torch.nn.Embedding(TARGET, HIDDEN)
        self.rnn = Rnn(2 * HIDDEN)
        self.dense = torch.nn.Linear(HIDDEN, TARGET)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, src, lengths, tgt):
        e, d = self.encoder, self.decoder
        packed = pack_padded_sequence(e.embedding(src.T), lengths, enforce_sorted=False)
        y, state = e.rnn.rnn(packed)
        values = pad_packed_sequence(y, total_length=src.shape[1])[0].transpose(0, 1)
        seen = torch.arange(src.shape[1]) < lengths[:, None]
        outputs = []
        for x in d.embedding(tgt.T):
            context = d.attention(state[-1].unsqueeze(1), values, seen)
            y, state = d.rnn.rnn(torch.cat([context.squeeze(1), x], -1).unsqueeze(0), state)
            outputs.append(d.dense(y))
        return torch.cat(outputs)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", default=os.path.join(here, "seq2seq.txt"))
    output = parser.parse_args().o
    t, b = torch.arange(5), torch.arange(3)[:, None]
    src, lengths = (2 * t + 3 * b) % SOURCE, torch.tensor([3, 5, 2])
    tgt = torch.where(t < torch.tensor([[4], [3], [5]]), (t + 2 * b) % TARGET, 1)
    model = Model()
    parameters = sorted(model.named_parameters())
    with torch.no_grad():
        for k, (_, p) in enumerate(parameters):
            p.copy_((0.5 * torch.sin(1.3 * torch.arange(p.numel()) + 2.1 * k + 0.4)).reshape(p.shape))

    def loss():
        logits = model(src, lengths, tgt[:, :-1])
        return F.cross_entropy(logits.reshape(-1, TARGET), tgt.T[1:].reshape(-1), ignore_index=1)

    def weighted(x):
        return (x.reshape(-1) * torch.cos(0.7 * torch.arange(x.numel()))).sum().item()

    before = loss()
    before.backward()
    with torch.no_grad():
        for _, p in parameters:
            p -= 0.5 * p.grad
    with open(output, "w", encoding="ascii") as f:
        print(f"# by seq2seq.py, torch {torch.__version__}", file=f)
        print("loss", repr(before.item()), repr(loss().item()), file=f)
        for name, p in parameters:
            print(name, repr(weighted(p.grad)), repr(weighted(p.detach())), file=f)


if __name__ == "__main__":
    main()

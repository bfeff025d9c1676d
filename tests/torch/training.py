#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""training.py - PyTorch's weights after short runs of the models of examples/.

    python training.py [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. OUTPUT defaults to training.txt beside
this script; tests/train_torch.c reads it and computes the same through ct_fit, in f64.

Parameter k of a model, in the order of its list below, has the elements 0.5 sin(1.3 i + 2.1 k + 0.4), i
from 0, row-major. S(shape) is sin(0.7 i), C(shape) is cos(0.9 i).

forecast   gru GRU(2, 4), linear Linear(4, 1) of its last output; x S(6, 5, 2), y C(6, 1). One step of
           Adam, lr 0.005, on the mean squared error. The metric is the mean absolute error.
gan        generator Linear(3, 4), relu, Linear(4, 2); discriminator Linear(2, 4), relu, Linear(4, 1); x
           S(6, 2), noise C(6, 3). A step of Adam, lr 0.01, beta1 0.5, of the discriminator on
           bce(D(x), 1) + bce(D(G(noise)), 0); then one of the generator on bce(D(G(noise)), 1), which is
           the metric.
tagger     embedding Embedding(7, 3), gru GRU(3, 4, bidirectional), linear Linear(8, 5); words
           (3 i + 1) mod 7 and tags (2 i) mod 5 of the shape (3, 4), lengths 4, 2, 3. One step of Adam, lr
           0.005, on the mean cross-entropy of the words within the lengths. The metric is the accuracy.
average    linear Linear(3, 1); x S(10, 3), y C(10, 1), in batches of 4, 4 and 2. Two epochs of SGD, lr 0.1,
           momentum 0.5, with an update for each two batches and one for the last; the gradient is that of
           the mean over the rows of the update. The weights are those of AveragedModel with
           get_ema_multi_avg_fn(0.75). The loss is the mean over the second epoch, the metric the mean
           squared error of all rows under the averages.

OUTPUT: for each run "NAME LOSS METRIC", and for each parameter a line of its elements.
"""

import argparse
import os

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def count(*shape):
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


def S(*shape):
    return torch.sin(0.7 * count(*shape))


def C(*shape):
    return torch.cos(0.9 * count(*shape))


def with_weights(model):
    with torch.no_grad():
        for k, p in enumerate(model.parameters()):
            p.copy_(0.5 * torch.sin(1.3 * count(*p.shape) + 2.1 * k + 0.4))
    return model


def forecast():
    m = with_weights(nn.ModuleDict({"gru": nn.GRU(2, 4, batch_first=True), "linear": nn.Linear(4, 1)}))
    adam = torch.optim.Adam(m.parameters(), lr=0.005)
    x, y = S(6, 5, 2), C(6, 1)
    prediction = m["linear"](m["gru"](x)[0][:, -1])
    loss = F.mse_loss(prediction, y)
    loss.backward()
    adam.step()
    return loss, (prediction - y).abs().mean(), m.parameters()


def net(*sizes):
    return nn.Sequential(nn.Linear(sizes[0], sizes[1]), nn.ReLU(), nn.Linear(sizes[1], sizes[2]))


def bce(logits, truth):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def gan():
    m = with_weights(nn.ModuleDict({"generator": net(3, 4, 2), "discriminator": net(2, 4, 1)}))
    g, d = m["generator"], m["discriminator"]
    adam = [torch.optim.Adam(p.parameters(), lr=0.01, betas=(0.5, 0.999)) for p in (d, g)]
    x, z = S(6, 2), C(6, 3)
    first = bce(d(x), 1) + bce(d(g(z).detach()), 0)
    first.backward()
    adam[0].step()
    second = bce(d(g(z)), 1)
    second.backward()
    adam[1].step()
    return first, second, m.parameters()


def tagger():
    m = with_weights(nn.ModuleDict({"embedding": nn.Embedding(7, 3),
                                    "gru": nn.GRU(3, 4, batch_first=True, bidirectional=True),
                                    "linear": nn.Linear(8, 5)}))
    adam = torch.optim.Adam(m.parameters(), lr=0.005)
    i, lengths = torch.arange(12).reshape(3, 4), torch.tensor([4, 2, 3])
    words, tags = (3 * i + 1) % 7, (2 * i) % 5
    packed = pack_padded_sequence(m["embedding"](words), lengths, batch_first=True, enforce_sorted=False)
    y = pad_packed_sequence(m["gru"](packed)[0], batch_first=True, total_length=4)[0]
    mask = torch.arange(4) < lengths[:, None]
    scores, tags = m["linear"](y)[mask], tags[mask]
    loss = F.cross_entropy(scores, tags)
    loss.backward()
    adam.step()
    return loss, (scores.argmax(-1) == tags).double().mean(), m.parameters()


def average():
    m = with_weights(nn.ModuleDict({"linear": nn.Linear(3, 1)}))["linear"]
    averaged = AveragedModel(m, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    sgd = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.5)
    x, y = S(10, 3), C(10, 1)
    for _ in range(2):
        total = 0
        for batches in ((slice(0, 4), slice(4, 8)), (slice(8, 10),)):
            rows = sum(len(x[b]) for b in batches)
            sgd.zero_grad()
            for b in batches:
                loss = F.mse_loss(m(x[b]), y[b])
                (loss * len(x[b]) / rows).backward()
                total += loss * len(x[b]) / 10
            sgd.step()
            averaged.update_parameters(m)
    return total, F.mse_loss(averaged(x), y), averaged.module.parameters()


parser = argparse.ArgumentParser()
parser.add_argument("-o", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "training.txt"))
with open(parser.parse_args().o, "w") as out:
    print("# by training.py, torch %s" % torch.__version__, file=out)
    for run in (forecast, gan, tagger, average):
        loss, metric, weights = run()
        print(run.__name__, repr(loss.item()), repr(metric.item()), file=out)
        for w in weights:
            print(*map(repr, w.flatten().tolist()), file=out)

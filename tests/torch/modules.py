#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""modules.py - PyTorch's outputs and gradients of modules with one input and one output.

    python modules.py [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. Needs torch. OUTPUT defaults to
modules.txt beside this script; tests/nn_modules.c reads it, makes the same modules, and computes the
same operands:
    x[k] = ((37 k + 11) mod 101 - 50) / 32, or k mod 6 if x holds ids
    element k of parameter p = (((k + 1) (29 + 7 p)) mod 97 - 48) / 64
    the gradient of y, element k = ((53 k + 5) mod 89 - 44) / 32

OUTPUT. Lines beginning with '#' are comments.
    module NAME     the function of nn/ that makes the module
    y NUMBER...     its output
    x NUMBER...     the gradient of x; absent for ids
    KEY NUMBER...   the gradient of a parameter, by its name in the state dict
"""

import argparse
import os
import platform
import sys

import torch
from torch import nn


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5, 4))

    def forward(self, x):       # (..., L, size)
        return x + self.weight[:x.shape[-2]]


class LinearLoss(nn.Linear):
    def forward(self, x):
        return nn.functional.cross_entropy(super().forward(x), torch.arange(len(x)) % self.out_features)


MODULES = [
    ("ct_nn_linear", nn.Linear(5, 4), (3, 5)),
    ("ct_nn_linear_cross_entropy", LinearLoss(5, 4), (3, 5)),
    ("ct_nn_embedding", nn.Embedding(6, 4, padding_idx=2), (2, 5)),
    ("ct_nn_conv1d", nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
    ("ct_nn_conv2d", nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2), (1, 4, 7, 6)),
    ("ct_nn_conv_transpose2d", nn.ConvTranspose2d(4, 6, (3, 2), stride=2, padding=1, output_padding=1, groups=2), (1, 4, 4, 3)),
    ("ct_nn_max_pool2d", nn.MaxPool2d(3, stride=2, padding=1), (1, 2, 7, 6)),
    ("ct_nn_avg_pool2d", nn.AvgPool2d((2, 3), stride=(1, 2)), (1, 2, 7, 6)),
    ("ct_nn_adaptive_avg_pool2d", nn.AdaptiveAvgPool2d((3, 2)), (2, 2, 7, 5)),
    ("ct_nn_flatten", nn.Flatten(), (2, 3, 4)),
    ("ct_nn_layer_norm", nn.LayerNorm(6), (3, 6)),
    ("ct_nn_rms_norm", nn.RMSNorm(6), (3, 6)),
    ("ct_nn_group_norm", nn.GroupNorm(2, 4), (2, 4, 3)),
    ("ct_nn_batch_norm", nn.BatchNorm1d(4), (5, 4, 2)),
    ("ct_nn_learned_encoding", Positions(), (2, 3, 4)),
]


def numbers(shape, f):
    n = 1
    for size in shape:
        n *= size
    return torch.tensor([f(k) for k in range(n)], dtype=torch.float64).reshape(shape)


def text(key, t):
    return " ".join([key] + [f"{v:.17g}" for v in t.detach().flatten().tolist()])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "modules.txt"))
    where = parser.parse_args().o
    lines = [f"# Modules: torch {torch.__version__}, {platform.machine()}; written by tests/torch/modules.py."]
    for name, module, shape in MODULES:
        module.double()
        for p, parameter in enumerate(module.parameters()):
            parameter.data.copy_(numbers(parameter.shape, lambda k: (((k + 1) * (29 + 7 * p)) % 97 - 48) / 64))
        if name == "ct_nn_embedding":
            x = numbers(shape, lambda k: k % 6).long()
        else:
            x = numbers(shape, lambda k: ((37 * k + 11) % 101 - 50) / 32).requires_grad_()
        y = module(x)
        y.backward(numbers(y.shape, lambda k: ((53 * k + 5) % 89 - 44) / 32))
        lines += [f"module {name}", text("y", y)]
        if x.requires_grad:
            lines.append(text("x", x.grad))
        lines += [text(key, parameter.grad) for key, parameter in module.named_parameters()]
    with open(where, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

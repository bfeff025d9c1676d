# SPDX-License-Identifier: MIT
"""Layers of this library and of PyTorch in turns, one thread: torch_layers.py BENCH [NAME...].

BENCH is the program bench/bench; see bench/layers.c for what is timed. For each case a line:
microseconds, ours and PyTorch's, forward and backward, and how many times faster ours is. Each figure
is the least of three turns of short runs."""
import subprocess
import sys

import torch
import torch.nn.functional as F

from least import least

torch.set_num_threads(1)
SECONDS, TURNS = 0.2, 3


def conv(n, c, h, w, out, kernel, pad):
    shapes = (n, c, h, w), (out, c, kernel, kernel), (out,)
    return shapes, lambda x, weight, bias: F.conv2d(x, weight, bias, padding=pad)


def attention(n, c, h, w, causal):
    def call(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return ((n, c, h, w),) * 3, call


def norm(n, c):
    return ((n, c), (c,), (c,)), lambda x, weight, bias: F.layer_norm(x, (c,), weight, bias)


CASES = {
    "lenet_conv1": conv(256, 1, 28, 28, 6, 5, 2), "lenet_conv2": conv(256, 6, 14, 14, 16, 5, 0),
    "resnet_64": conv(8, 64, 56, 56, 64, 3, 1), "resnet_128": conv(8, 128, 28, 28, 128, 3, 1),
    "resnet_256": conv(8, 256, 14, 14, 256, 3, 1), "resnet_512": conv(8, 512, 7, 7, 512, 3, 1),
    "attention": attention(8, 8, 128, 64, False), "attention_long": attention(1, 8, 1024, 64, False),
    "attention_causal": attention(8, 8, 128, 64, True),
    "attention_causal_long": attention(1, 8, 1024, 64, True),
    "layer_norm_128": norm(4096, 128), "layer_norm_768": norm(1024, 768),
}


def layer(name):
    shapes, call = CASES[name]
    leaves = [torch.randn(s, requires_grad=True) for s in shapes]

    def recorded():
        for leaf in leaves:
            leaf.grad = None
        y = call(*leaves)
        return y, torch.ones_like(y)

    def forward(_):
        with torch.no_grad():
            return call(*leaves)

    return lambda: (least(SECONDS, forward), least(SECONDS, lambda g: g[0].backward(g[1]), recorded))


def transformer():
    one = torch.nn.TransformerEncoderLayer(256, 4, 1024, 0.0, batch_first=True)
    model = torch.nn.TransformerEncoder(one, 2)
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3)
    x, mask = torch.randn(8, 64, 256), torch.nn.Transformer.generate_square_subsequent_mask(64)

    def step(_):
        sgd.zero_grad()
        model(x, mask, is_causal=True).square().mean().backward()
        sgd.step()

    return lambda: (least(SECONDS, step), 0)


def main():
    program = sys.argv[1]
    print("| case | forward: ours, PyTorch | ratio | backward: ours, PyTorch | ratio |\n|---|---|---|---|---|")
    for name in sys.argv[2:] or [*CASES, "transformer_step"]:
        times = transformer() if name == "transformer_step" else layer(name)
        ours, theirs = [1e9] * 2, [1e9] * 2
        for _ in range(TURNS):
            line = subprocess.run([program, "layers", name, str(SECONDS)], text=True,
                                  capture_output=True, check=True).stdout.split()
            ours = [min(a, float(b)) for a, b in zip(ours, line[1:])]
            theirs = [min(a, b * 1e6) for a, b in zip(theirs, times())]
        cells = ["%.0f, %.0f | %.2f" % (a, b, b / a) if a > 0 else " | " for a, b in zip(ours, theirs)]
        print("| %s | %s |" % (name, " | ".join(cells)), flush=True)


main()

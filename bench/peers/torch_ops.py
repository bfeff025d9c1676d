# SPDX-License-Identifier: MIT
"""Single ops of this library and of PyTorch in turns, one thread: torch_ops.py BENCH [ELEMENTS [NAME...]].

BENCH is the program bench/bench; see bench/ops.c for what is timed. For each op a line: nanoseconds
for each element, ours and PyTorch's, forward and backward, and how many times faster ours is. Each
figure is the least of three turns of short runs. Backward ends with the gradient in x."""
import statistics
import subprocess
import sys

import torch
import torch.nn.functional as F

from least import least

torch.set_num_threads(1)
SECONDS, TURNS = 0.05, 3
FORWARD_ONLY = ("argmax_1", "floor_divide")
AXES = (3, 5)

OPS = {
    "neg": torch.neg, "abs": torch.abs, "square": torch.square, "exp": torch.exp,
    "expm1": torch.expm1, "log": torch.log, "log1p": torch.log1p, "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal, "sin": torch.sin, "cos": torch.cos,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu, "silu": F.silu,
    "gelu": F.gelu, "softplus": F.softplus, "erf": torch.erf, "erfc": torch.erfc, "floor": torch.floor,
    "elu": lambda x: F.elu(x - 1), "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "clamp": lambda x: torch.clamp(x, 0.5, 1.5), "pow_2": lambda x: x ** 2,
    "pow_3": lambda x: x ** 3, "pow_half": lambda x: x ** 0.5, "pow_inverse": lambda x: x ** -1,
    "pow_1_7": lambda x: x ** 1.7, "rpow": lambda x: 2 ** x, "rdiv": lambda x: 2 / x,
    "add": lambda x: x + y, "mul": lambda x: x * y, "div": lambda x: x / y,
    "pow": lambda x: torch.pow(x, y), "maximum": lambda x: torch.maximum(x, y),
    "where": lambda x: torch.where(mask, x, y), "masked_fill": lambda x: x.masked_fill(mask, 0),
    "dropout": lambda x: F.dropout(x, 0.5), "gather": lambda x: torch.gather(x, 1, index),
    "scatter_add": lambda x: torch.scatter_add(x, 1, index, y), "flip": lambda x: torch.flip(x, (1,)),
    "roll": lambda x: torch.roll(x, 3, 1), "transpose": lambda x: x.t().contiguous(),
    "cat": lambda x: torch.cat((x, y), 1), "sum": torch.sum, "sum_0": lambda x: torch.sum(x, 0),
    "sum_1": lambda x: torch.sum(x, 1), "amax_0": lambda x: torch.amax(x, 0),
    "amax_1": lambda x: torch.amax(x, 1), "argmax_1": lambda x: torch.argmax(x, 1),
    "std_1": lambda x: torch.std(x, 1), "softmax": lambda x: torch.softmax(x, 1),
    "log_softmax": lambda x: torch.log_softmax(x, 1),
    "logsumexp_1": lambda x: torch.logsumexp(x, 1), "cumsum": lambda x: torch.cumsum(x, 1),
    "tan": torch.tan, "asin": lambda x: torch.asin(x * 0.5), "acos": lambda x: torch.acos(x * 0.5),
    "atan": torch.atan, "sinh": torch.sinh, "cosh": torch.cosh, "asinh": torch.asinh,
    "acosh": lambda x: torch.acosh(x + 1), "atanh": lambda x: torch.atanh(x * 0.5),
    "exp2": torch.exp2, "log2": torch.log2, "log10": torch.log10,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "softsign": F.softsign, "mish": F.mish,
    "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish, "log_sigmoid": F.logsigmoid,
    "hardtanh": lambda x: F.hardtanh(x, 0.5, 1.5), "glu": lambda x: F.glu(x, 1),
    "atan2": lambda x: torch.atan2(x, y), "logaddexp": lambda x: torch.logaddexp(x, y),
    "remainder": lambda x: torch.remainder(x, y),
    "floor_divide": lambda x: torch.floor_divide(x, y),
    "prod_1": lambda x: torch.prod(x, 1), "var_1": lambda x: torch.var(x, 1),
    "norm_1": lambda x: torch.linalg.vector_norm(x, 2, 1), "cumprod": lambda x: torch.cumprod(x, 1),
    "cummax": lambda x: torch.cummax(x, 1)[0], "sort": lambda x: torch.sort(x, 1)[0],
    "topk": lambda x: torch.topk(x, 10, 1)[0],
    "index_select": lambda x: torch.index_select(x, 0, rows),
    "layer_norm": lambda x: F.layer_norm(x, (100,)), "rms_norm": lambda x: F.rms_norm(x, (100,), eps=1e-5),
    "tril": torch.tril, "pad": lambda x: F.pad(x, (1, 1)),
    "cross_entropy": lambda x: F.cross_entropy(x, target), "mse_loss": lambda x: F.mse_loss(x, y),
    "sum_3_5": lambda x: torch.sum(x, AXES), "amax_3_5": lambda x: torch.amax(x, AXES),
    "logsumexp_3_5": lambda x: torch.logsumexp(x, AXES),
}


def torch_times(name):
    op = OPS[name]
    with torch.no_grad():
        forward = least(SECONDS, lambda _: op(x.detach()))
    if name in FORWARD_ONLY:
        return forward, 0

    def recorded():
        x.grad = None
        z = op(x)
        return z, torch.ones_like(z)

    return forward, least(SECONDS, lambda g: g[0].backward(g[1]), recorded)


def main():
    global x, y, mask, index, rows, target
    program, n = sys.argv[1], int(float(sys.argv[2])) if len(sys.argv) > 2 else 100000
    ratios = []
    print("| op | forward: ours, PyTorch | ratio | backward: ours, PyTorch | ratio |\n|---|---|---|---|---|")
    for name in sys.argv[3:] or OPS:
        shape = (n // 2048 + 1, 8, 8, 2, 8, 2) if name.endswith("_3_5") else (n // 100, 100)
        x, y = torch.rand(shape) * 1.6 + 0.2, torch.rand(shape) * 1.6 + 0.2
        mask, index = x > y, torch.randint(0, 100, shape)
        rows, target = torch.randint(0, n // 100, (n // 100,)), torch.randint(0, 100, (n // 100,))
        x.requires_grad_()
        ours, theirs = [1e9] * 2, [1e9] * 2
        for _ in range(TURNS):
            line = subprocess.run([program, "ops", name, str(n), str(SECONDS)], text=True,
                                  capture_output=True, check=True).stdout.split()
            ours = [min(a, float(b)) for a, b in zip(ours, line[1:])]
            theirs = [min(a, b * 1e9 / x.numel()) for a, b in zip(theirs, torch_times(name))]
        cells = []
        for mine, other in zip(ours, theirs):
            if mine > 0:
                ratios.append(other / mine)
                cells.append("%.2f, %.2f | %.2f" % (mine, other, other / mine))
            else:
                cells.append(" | ")
        print("| %s | %s |" % (name, " | ".join(cells)), flush=True)
    print("\nmedian %.2f, least %.2f, below 0.83: %d of %d" % (
        statistics.median(ratios), min(ratios), sum(r < 1 / 1.2 for r in ratios), len(ratios)))


main()

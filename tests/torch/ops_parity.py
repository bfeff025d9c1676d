#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ops_parity.py - PyTorch's results and gradients for the table of op cases.

    python ops_parity.py [-o OUTPUT] [NAME...]

Run once by hand (README.md beside it), never by `make check`. OUTPUT defaults to ops_parity.txt
beside this script; tests/test_ops.c reads it and repeats every case through the row of the same
name in tests/cases_*.c. Nothing depends on the machine but the last digits. With NAMEs, only the
cases of these ops are made; those of the others stay as they are in OUTPUT. The seed of a case
depends on its name alone.

OUTPUT. Lines beginning with '#' are comments and stand only at the top. A case is lines of words:
    op NAME                         begins it
    i INTEGER...                    the row's options i[0], i[1], ...; left out if there are none
    p NUMBER...                     and p[0], p[1], ...
    in KIND SHAPE NUMBER...         an input. KIND f: numbers are 256 times the values, which are
                                    exact in f32 and f64; i, j, b: an i64, i32 or bool tensor.
                                    SHAPE: sizes joined by commas, or - for rank 0
    dy NUMBER...                    the gradient of the result, 256 times; left out if there is none
    y SHAPE NUMBER...               the result, in f64
    g NUMBER...                     the gradient of each f input, in f64, in order
    Y NUMBER..., G NUMBER...        the same in f32; Y left out if the result is no float
"""

import argparse
import math
import os
import platform
import random
import sys

import torch
from torch.nn import functional as F

SEED = 2026
PER_OP = 10


class Draw:
    """What an op's maker draws one case from, and the case: inputs, options, function."""

    def __init__(self, name, number):
        self.rng = random.Random(f"{SEED} {name} {number}")
        self.number = number
        self.inputs = []            # kind, shape, integers
        self.i, self.p = [], []
        self.used = set()           # magnitudes taken: no ties

    def below(self, n):
        return self.rng.randrange(n) if n > 0 else 0

    def chance(self, p):
        return self.rng.random() < p

    def shape(self, low=0, high=3, most=8):
        rank = self.rng.randint(low, high)
        sizes = []
        for _ in range(rank):
            sizes.append(self.rng.randint(1, max(1, min(4, most))))
            most //= sizes[-1]
        self.rng.shuffle(sizes)
        return sizes

    def narrower(self, shape):
        """A shape that broadcasts to shape."""
        shape = shape[self.below(len(shape) + 1):] if self.chance(0.5) else shape
        return [1 if self.chance(0.3) else n for n in shape]

    def axis(self, shape):
        """An axis, half of the time counted from the end."""
        axis = self.below(len(shape))
        return axis - len(shape) if self.chance(0.5) else axis

    def floats(self, shape, low=-2.0, high=2.0):
        values = []
        for _ in range(math.prod(shape)):
            while True:
                v = self.rng.randint(math.ceil(low * 256), math.floor(high * 256))
                if abs(v) not in self.used and v != 0:
                    break
            self.used.add(abs(v))
            values.append(v)
        self.inputs.append(("f", shape, values))

    def ints(self, shape, n, kind=None, low=0):
        values = [self.rng.randrange(low, n) for _ in range(math.prod(shape))]
        self.inputs.append((kind or self.rng.choice("ij"), shape, values))

    def bools(self, shape):
        self.inputs.append(("b", shape, [self.below(2) for _ in range(math.prod(shape))]))


MAKERS = {}


def op(name, count=PER_OP):
    """Registers a maker: draws a case into d and returns its function of the inputs."""
    def register(maker):
        MAKERS[name] = (maker, count)
        return maker
    return register


# ---- elementwise ----

def unary(name, function, low=-2.0, high=2.0, ints=False):
    @op(name)
    def _(d):
        if ints and d.number >= PER_OP - 2:
            d.ints(d.shape(1), 5, kind="ij"[d.number % 2], low=-4)
        else:
            d.floats(d.shape(), low, high)
        return function


unary("ct_neg", torch.neg, ints=True)
unary("ct_abs", torch.abs, ints=True)
unary("ct_sign", torch.sign, ints=True)
unary("ct_square", torch.square, ints=True)
unary("ct_exp", torch.exp, -8, 4)
unary("ct_expm1", torch.expm1)
unary("ct_log", torch.log, 0.05, 6)
unary("ct_log1p", torch.log1p, -0.7, 3)
unary("ct_sqrt", torch.sqrt, 0.05, 6)
unary("ct_rsqrt", torch.rsqrt, 0.05, 6)
unary("ct_reciprocal", torch.reciprocal, 0.2, 4)
unary("ct_sin", torch.sin, -6, 6)
unary("ct_cos", torch.cos, -6, 6)
unary("ct_tanh", torch.tanh, -4, 4)
unary("ct_tan", torch.tan, -1.4, 1.4)
unary("ct_asin", torch.asin, -0.95, 0.95)
unary("ct_acos", torch.acos, -0.95, 0.95)
unary("ct_atan", torch.atan, -6, 6)
unary("ct_sinh", torch.sinh, -4, 4)
unary("ct_cosh", torch.cosh, -4, 4)
unary("ct_asinh", torch.asinh, -6, 6)
unary("ct_acosh", torch.acosh, 1.1, 6)
unary("ct_atanh", torch.atanh, -0.95, 0.95)
unary("ct_exp2", torch.exp2, -8, 4)
unary("ct_log2", torch.log2, 0.05, 6)
unary("ct_log10", torch.log10, 0.05, 6)
unary("ct_softsign", F.softsign, -6, 6)
unary("ct_mish", F.mish, -8, 8)
# F.hardsigmoid's gradient is that of f32 for f64, too
unary("ct_hardsigmoid", lambda x: (x + 3).clamp(0, 6) / 6, -5, 5)
unary("ct_hardswish", F.hardswish, -5, 5)
unary("ct_log_sigmoid", F.logsigmoid, -8, 8)
unary("ct_sigmoid", torch.sigmoid, -8, 8)
unary("ct_relu", torch.relu)
unary("ct_silu", F.silu, -5, 5)
unary("ct_gelu", F.gelu, -4, 4)


@op("ct_gelu_tanh")
def _(d):
    d.floats(d.shape(0, 2, 4) + [4], -4, 4)     # a gradient near its zero has no digits by itself
    return lambda x: F.gelu(x, approximate="tanh")


unary("ct_softplus", F.softplus, -8, 8)
unary("ct_erf", torch.erf, -3, 3)
unary("ct_erfc", torch.erfc, -3, 6)
unary("ct_floor", torch.floor, -4, 4)
unary("ct_ceil", torch.ceil, -4, 4)
unary("ct_round", torch.round, -4, 4)
unary("ct_isfinite", torch.isfinite)
unary("ct_isnan", torch.isnan)
unary("ct_isinf", torch.isinf)


def with_number(name, function, low=-3.0, high=3.0, x_low=-2.0, whole=False):
    @op(name)
    def _(d):
        d.floats(d.shape(), x_low, 2)
        d.p = [float(d.rng.randint(0, 3)) if whole else round(d.rng.uniform(low, high), 3)]
        return lambda x: function(x, d.p[0])


with_number("ct_leaky_relu", F.leaky_relu, 0.01, 1)
with_number("ct_elu", F.elu, 0.1, 2)
with_number("ct_add_scalar", lambda x, s: x + s)
with_number("ct_sub_scalar", lambda x, s: x - s)
with_number("ct_mul_scalar", lambda x, s: x * s)
with_number("ct_div_scalar", lambda x, s: x / s, 0.2, 3)
with_number("ct_rsub_scalar", lambda x, s: s - x)
with_number("ct_rdiv_scalar", lambda x, s: s / x, x_low=0.2)
with_number("ct_rpow_scalar", lambda x, s: s ** x, 0.2, 3)


def compared(name):
    @op(f"ct_{name}_scalar")
    def _(d):
        if d.number >= PER_OP - 4:
            d.ints(d.shape(1), 5, kind="ij"[d.number % 2], low=-4)
        else:
            d.floats(d.shape())
        d.p = [d.rng.randint(-4, 4) / 2]
        return lambda x: getattr(torch, name)(x, d.p[0])


for name in "eq ne lt le gt ge".split():
    compared(name)


def floor_divide(a, b):
    """torch.floor_divide has no derivative; this one's is 0."""
    return torch.div(a, b, rounding_mode="floor")


def divided(name, function):
    """Integers too. No divisor is 0."""
    @op("ct_" + name)
    def _(d):
        wide = d.shape(1)
        if d.number >= PER_OP - 4:
            kind = "ij"[d.number % 2]
            d.ints(wide, 9, kind=kind, low=-8)
            d.ints(d.narrower(wide), 5, kind=kind, low=1)
            if d.chance(0.5):
                d.inputs[1] = (*d.inputs[1][:2], [-v for v in d.inputs[1][2]])
        else:
            d.floats(wide, -4, 4)
            d.floats(d.narrower(wide), 0.5, 2)
        return function

    @op(f"ct_{name}_scalar")
    def _(d):
        whole = d.number >= PER_OP - 4
        if whole:
            d.ints(d.shape(1), 9, kind="ij"[d.number % 2], low=-8)
        else:
            d.floats(d.shape(), -4, 4)
        d.p = [d.rng.choice([-3, -1, 2, 5]) if whole else round(d.rng.uniform(0.5, 2), 3)]
        return lambda x: function(x, d.p[0])


divided("remainder", torch.remainder)
divided("floor_divide", floor_divide)


@op("ct_nan_to_num")
def _(d):
    d.floats(d.shape())
    return lambda x: torch.nan_to_num(x, 1, 2, 3)


@op("ct_pow_scalar")
def _(d):
    whole = d.number % 2 == 0
    d.floats(d.shape(), -2 if whole else 0.2, 2)
    d.p = [float(d.rng.randint(0, 3)) if whole else round(d.rng.uniform(-2, 3), 3)]
    return lambda x: x ** d.p[0]


def between(name, function):
    @op(name)
    def _(d):
        d.floats(d.shape())
        d.p = [-1.0009765625 + d.below(3) / 4, 1.0009765625 - d.below(3) / 4]
        return lambda x: function(x, d.p[0], d.p[1])


between("ct_hardtanh", F.hardtanh)
between("ct_clamp", torch.clamp)


@op("ct_glu")
def _(d):
    shape = d.shape(1, 3, 4)
    d.i = [d.axis(shape)]
    shape[d.i[0]] *= 2
    d.floats(shape)
    return lambda x: F.glu(x, d.i[0])


def binary(name, function, low=-2.0, ints=False):
    @op(name)
    def _(d):
        wide = d.shape()
        shapes = [wide, d.narrower(wide)]
        d.rng.shuffle(shapes)
        if ints and d.number >= PER_OP - 2:
            for s in shapes:
                d.ints(s, 5, kind="ij"[d.number % 2], low=-4)
        else:
            for s in shapes:
                d.floats(s, low, 2)
        return function


for name in "add sub mul maximum minimum eq ne lt le gt ge".split():
    binary("ct_" + name, getattr(torch, name), ints=True)
binary("ct_div", torch.div, 0.2)
binary("ct_pow", torch.pow, 0.2)
binary("ct_atan2", torch.atan2)
binary("ct_logaddexp", torch.logaddexp)


def logic(name, function, inputs):
    @op(name)
    def _(d):
        shape = d.shape(1)
        for k in range(inputs):
            d.bools(d.narrower(shape) if k else shape)
        return function


logic("ct_logical_not", torch.logical_not, 1)
logic("ct_logical_and", torch.logical_and, 2)
logic("ct_logical_or", torch.logical_or, 2)
logic("ct_logical_xor", torch.logical_xor, 2)


@op("ct_where")
def _(d):
    shape = d.shape()
    d.bools(d.narrower(shape))
    d.floats(shape)
    d.floats(d.narrower(shape))
    return torch.where


@op("ct_where_scalar")
def _(d):
    shape = d.shape()
    d.bools(d.narrower(shape))
    d.floats(shape)
    d.p = [round(d.rng.uniform(-2, 2), 3)]
    return lambda c, x: torch.where(c, x, d.p[0])


@op("ct_rwhere_scalar")
def _(d):
    shape = d.shape()
    d.bools(shape)
    d.floats(d.narrower(shape))
    d.p = [round(d.rng.uniform(-2, 2), 3)]
    return lambda c, x: torch.where(c, d.p[0], x)


@op("ct_where_scalars")
def _(d):
    d.bools(d.shape())
    d.p = [d.rng.randint(-8, 8) / 4, d.rng.randint(-8, 8) / 4]
    return lambda c: torch.where(c, *(torch.tensor(p, dtype=torch.float64) for p in d.p))


@op("ct_masked_fill")
def _(d):
    shape = d.shape()
    d.floats(shape)
    d.bools(d.narrower(shape))
    d.p = [round(d.rng.uniform(-2, 2), 3)]
    return lambda x, mask: torch.masked_fill(x, mask, d.p[0])


# ---- shape ----

@op("ct_reshape")
def _(d):
    shape = d.shape()
    n = math.prod(shape)
    a = d.rng.choice([k for k in range(1, n + 1) if n % k == 0])
    new = [[n], [a, n // a], [a, -1], [-1, 1, a]][d.below(4)]
    d.floats(shape)
    d.i = [len(new)] + new
    return lambda x: x.reshape(new)


@op("ct_flatten")
def _(d):
    shape = d.shape(1)
    start = d.below(len(shape))
    end = d.rng.randrange(start, len(shape))
    d.i = [start, end - len(shape) if d.chance(0.5) else end]
    d.floats(shape)
    return lambda x: torch.flatten(x, d.i[0], d.i[1])


@op("ct_transpose")
def _(d):
    shape = d.shape(2)
    d.i = [d.axis(shape), d.axis(shape)]
    d.floats(shape)
    return lambda x: x.transpose(d.i[0], d.i[1])


@op("ct_permute")
def _(d):
    shape = d.shape(1)
    order = list(range(len(shape)))
    d.rng.shuffle(order)
    d.i = order
    d.floats(shape)
    return lambda x: x.permute(order)


@op("ct_squeeze")
def _(d):
    shape = d.shape(1)
    d.i = [d.axis(shape)]
    shape[d.i[0]] = 1
    d.floats(shape)
    return lambda x: x.squeeze(d.i[0])


@op("ct_unsqueeze")
def _(d):
    shape = d.shape()
    d.i = [d.axis(shape + [1])]
    d.floats(shape)
    return lambda x: x.unsqueeze(d.i[0])


@op("ct_expand")
def _(d):
    shape = d.shape()
    part = d.narrower(shape)
    new = list(shape)
    if part and part[-1] == shape[-1]:
        new[-1] = -1
    d.i = [len(new)] + new
    d.floats(part)
    return lambda x: x.expand(new)


@op("ct_slice")
def _(d):
    shape = d.shape(1)
    axis = d.below(len(shape))
    n = shape[axis]
    d.i = [axis, d.rng.randint(-n - 1, n), d.rng.randint(-n, n + 1), d.rng.randint(1, 3)]
    d.floats(shape)
    return lambda x: x[(slice(None),) * axis + (slice(*d.i[1:]),)]


@op("ct_narrow")
def _(d):
    shape = d.shape(1)
    axis = d.axis(shape)
    start = d.below(shape[axis] + 1)
    d.i = [axis, start, d.below(shape[axis] - start + 1)]
    d.floats(shape)
    return lambda x: x.narrow(*d.i)


@op("ct_select")
def _(d):
    shape = d.shape(1)
    axis = d.axis(shape)
    d.i = [axis, d.rng.randrange(-shape[axis], shape[axis])]
    d.floats(shape)
    return lambda x: x.select(*d.i)


unary("ct_contiguous", lambda x: x.contiguous(), ints=True)
unary("ct_clone", torch.clone, ints=True)
unary("ct_cast", lambda x: x.to(torch.float64), ints=True)
unary("ct_to", lambda x: x.to("cpu"), ints=True)
unary("ct_full_like", lambda x: torch.full_like(x, 1.5))
unary("ct_zeros_like", torch.zeros_like, ints=True)
unary("ct_ones_like", torch.ones_like, ints=True)


@op("ct_cat")
def _(d):
    shape = d.shape(1, 3, 6)
    axis = d.axis(shape)
    for _ in range(1 + d.below(3)):
        d.floats(list(shape))
        shape[axis] = 1 + d.below(2)
    d.i = [axis]
    return lambda *parts: torch.cat(parts, axis)


@op("ct_stack")
def _(d):
    shape = d.shape(0, 2, 4)
    d.i = [d.axis(shape + [1])]
    for _ in range(1 + d.below(3)):
        d.floats(shape)
    return lambda *parts: torch.stack(parts, d.i[0])


@op("ct_split")
def _(d):
    shape = d.shape(1)
    axis = d.axis(shape)
    sizes, left = [], shape[axis]
    for _ in range(d.below(3)):
        sizes.append(d.below(left + 1))
        left -= sizes[-1]
    sizes.append(left)
    d.i = [axis, len(sizes)] + sizes
    d.floats(shape)
    return lambda x: torch.cat(x.split(sizes, axis)[::-1], axis)


@op("ct_flip")
def _(d):
    shape = d.shape(1)
    d.i = [d.below(1 << len(shape))]
    d.floats(shape)
    return lambda x: x.flip([k for k in range(len(shape)) if d.i[0] >> k & 1])


@op("ct_roll")
def _(d):
    shape = d.shape(1)
    d.i = [d.axis(shape), d.rng.randint(-6, 6)]
    d.floats(shape)
    return lambda x: x.roll(d.i[1], d.i[0])


@op("ct_pad")
def _(d):
    shape = d.shape(1, 3, 4)
    sizes = [d.below(3) for _ in range(2 * d.rng.randint(1, min(2, len(shape))))]
    d.i = [len(sizes)] + sizes
    d.p = [round(d.rng.uniform(-1, 1), 3)]
    d.floats(shape)
    return lambda x: F.pad(x, sizes, value=d.p[0])


@op("ct_repeat")
def _(d):
    shape = d.shape(0, 2, 4)
    times = [d.rng.randint(1, 3) for _ in range(len(shape) + d.below(2))]
    d.i = [len(times)] + times
    d.floats(shape)
    return lambda x: x.repeat(times) if times else x.clone()


for name in "tril", "triu":
    @op("ct_" + name)
    def _(d, function=getattr(torch, name)):
        shape = d.shape(0, 1, 2) + [d.rng.randint(1, 3), d.rng.randint(1, 3)]
        d.i = [d.rng.randint(-3, 3)]
        d.floats(shape)
        return lambda x: function(x, d.i[0])


@op("ct_diagonal")
def _(d):
    shape = d.shape(2, 3, 12)
    a = d.below(len(shape))
    d.i = [d.rng.randint(-2, 2), a, (a + 1 + d.below(len(shape) - 1)) % len(shape)]
    d.floats(shape)
    return lambda x: x.diagonal(*d.i)


@op("ct_diag")
def _(d):
    d.i = [d.rng.randint(-2, 2)]
    d.floats(d.shape(1, 2))
    return lambda x: x.diag(d.i[0])


@op("ct_trace")
def _(d):
    d.floats(d.shape(2, 2))
    return torch.trace


# ---- reductions: i[0] axes, i[1...], i[7] keepdim ----

def axes_of(d, shape, least=0):
    order = list(range(len(shape)))
    d.rng.shuffle(order)
    axes = order[:d.rng.randint(min(least, len(order)), len(order))]
    axes = [a - len(shape) if d.chance(0.5) else a for a in axes]
    d.i = [len(axes)] + axes + [0] * (6 - len(axes)) + [d.below(2)]
    return axes, bool(d.i[7])


def over_axes(name, function, ints=False):
    @op("ct_" + name)
    def _(d):
        shape = d.shape(1)
        axes, keepdim = axes_of(d, shape, 1)     # an empty list means all axes to PyTorch
        if ints and d.number >= PER_OP - 2:
            d.ints(shape, 5, low=-4)
        else:
            d.floats(shape)
        return lambda x: function(x, axes, keepdim)


def prod_over(x, axes, keepdim):
    for a in sorted((a % x.dim() for a in axes), reverse=True):
        x = x.prod(a, keepdim=keepdim)
    return x


def same_kind(function):
    """Sums and products of integers in their own dtype."""
    return lambda x, *rest: function(x, *rest).to(x.dtype)


over_axes("sum_axes", same_kind(lambda x, a, k: x.sum(a, keepdim=k)), ints=True)
over_axes("mean_axes", lambda x, a, k: x.mean(a, keepdim=k))
over_axes("prod_axes", same_kind(prod_over), ints=True)
over_axes("amax_axes", lambda x, a, k: x.amax(a, keepdim=k), ints=True)
over_axes("amin_axes", lambda x, a, k: x.amin(a, keepdim=k), ints=True)
over_axes("logsumexp_axes", lambda x, a, k: x.logsumexp(a, keepdim=k))
unary("ct_sum", same_kind(torch.sum), ints=True)
unary("ct_mean", torch.mean)
unary("ct_prod", same_kind(torch.prod), ints=True)
unary("ct_max", torch.max, ints=True)
unary("ct_min", torch.min, ints=True)


def spread(name, function):
    @op("ct_" + name)
    def _(d):
        d.floats(d.shape(1)[:-1] + [d.rng.randint(2, 4)])
        return function

    @op("ct_" + name + "_axes")
    def _(d):
        shape = d.shape(1)
        axes, keepdim = axes_of(d, shape, 1)
        n = math.prod(shape[a] for a in axes)
        d.p = [d.rng.choice([0.0, 1.0, 0.5]) if n > 1 else 0.0]
        d.floats(shape)
        return lambda x: function(x, dim=axes, correction=d.p[0], keepdim=keepdim)


spread("var", torch.var)
spread("std", torch.std)


def norm_of(d):
    d.p = [[1.0, 2.0, 3.0, 1.5, math.inf, -math.inf, 0.0, 0.5, -1.0, 2.5][d.number % 10], 0.0]
    if abs(d.p[0]) == math.inf:
        d.p[1] = 3.0


@op("ct_norm")
def _(d):
    norm_of(d)
    d.floats(d.shape(1))
    return lambda x: torch.linalg.vector_norm(x + d.p[1], d.p[0])


@op("ct_norm_axes", 15)
def _(d):
    norm_of(d)
    shape = d.shape(1)
    axes, keepdim = axes_of(d, shape, 1)
    d.floats(shape)
    return lambda x: torch.linalg.vector_norm(x + d.p[1], d.p[0], axes, keepdim)


def bool_axes(name, function):
    @op("ct_" + name + "_axes")
    def _(d):
        shape = d.shape(1)
        axes, keepdim = axes_of(d, shape, 1)
        d.bools(shape)
        return lambda x: function(x, axes, keepdim)

    @op("ct_" + name)
    def _(d):
        d.bools(d.shape(1))
        return function


bool_axes("any", torch.any)
bool_axes("all", torch.all)


def along(name, function, ints=False):
    """i[0] the axis, i[1] keepdim."""
    @op("ct_" + name)
    def _(d):
        shape = d.shape(1)
        d.i = [d.axis(shape), d.below(2)]
        if ints and d.number >= PER_OP - 2:
            d.ints(shape, 5, low=-4)
        else:
            d.floats(shape)
        return lambda x: function(x, d.i[0], bool(d.i[1]))


along("argmax", lambda x, a, k: x.argmax(a, keepdim=k), ints=True)
along("argmin", lambda x, a, k: x.argmin(a, keepdim=k), ints=True)
along("max_axis", lambda x, a, k: x.max(a, keepdim=k).values)
along("min_axis", lambda x, a, k: x.min(a, keepdim=k).values)
along("softmax", lambda x, a, k: x.softmax(a))
along("log_softmax", lambda x, a, k: x.log_softmax(a))
along("cumsum", lambda x, a, k: x.cumsum(a).to(x.dtype), ints=True)
along("cumprod", lambda x, a, k: x.cumprod(a).to(x.dtype), ints=True)


@op("ct_linear_scan", 12)
def _(d):
    shape = d.shape(1, 3, 12)
    axis = d.below(len(shape))
    d.i = [axis, d.number % 2, d.number // 2 % 2]
    d.floats(d.narrower(shape) if d.number % 3 == 0 else shape, -1, 1)
    d.floats(shape)
    d.floats(shape[:axis] + shape[axis + 1:])

    def scan(a, b, initial):
        a = a.expand(shape)
        h = initial if d.i[2] else torch.zeros_like(initial) + 0 * initial.detach()
        n = shape[axis]
        out = [None] * n
        for j in reversed(range(n)) if d.i[1] else range(n):
            out[j] = h = a.select(axis, j) * h + b.select(axis, j)
        return torch.stack(out, axis)
    return scan


along("cummax", lambda x, a, k: x.cummax(a).values, ints=True)
along("cummin", lambda x, a, k: x.cummin(a).values, ints=True)
along("logcumsumexp", lambda x, a, k: x.logcumsumexp(a))
along("sort", lambda x, a, k: x.sort(dim=a, descending=k, stable=True).values, ints=True)
along("argsort", lambda x, a, k: x.argsort(dim=a, descending=k, stable=True), ints=True)


@op("ct_topk")
def _(d):
    shape = d.shape(1)
    axis = d.axis(shape)
    d.i = [axis, d.below(2), d.below(shape[axis] + 1)]
    d.floats(shape)
    return lambda x: x.topk(d.i[2], axis, largest=bool(d.i[1])).values


@op("ct_sum_to_shape")
def _(d):
    shape = d.shape()
    to = d.narrower(shape)
    d.i = [len(to)] + to
    d.floats(shape)
    return lambda x: x.sum_to_size(to) if to else x.sum()


# ---- products ----

@op("ct_matmul", 20)
def _(d):
    batch = d.shape(0, 2, 4)
    m, k, n = (d.rng.randint(1, 3) for _ in range(3))
    a, b = batch + [m, k], d.narrower(batch) + [k, n]
    if d.number % 5 == 1:
        a = [k]
    if d.number % 5 in (2, 1) and d.chance(0.6):
        b = [k]
    d.floats(a)
    d.floats(b)
    return torch.matmul


@op("ct_linear")
def _(d):
    inputs, outputs = d.rng.randint(1, 3), d.rng.randint(1, 3)
    d.floats(d.shape(0, 2, 4) + [inputs])
    d.floats([outputs, inputs])
    if d.number % 2:
        d.floats([outputs])
    return F.linear


@op("ct_dot")
def _(d):
    n = d.rng.randint(1, 6)
    d.floats([n])
    d.floats([n])
    return torch.dot


@op("ct_outer")
def _(d):
    d.floats([d.rng.randint(1, 4)])
    d.floats([d.rng.randint(1, 3)])
    return torch.outer


EQUATIONS = ("ij,jk->ik", "bij,bjk->bik", "ii->i", "ij->ji", "ij,jk", "i,i->", "i,j->ij", "...ij,jk",
             "...ij,...jk->...ik", "abc,cd,bd->a", "aab,b->a", "ij,ij->j", "ij,kl->likj",
             "b...,b->b...", "ab,b,ac->c", "ij->", "iji", "bi,bj,bk->bij")


@op("ct_einsum", 2 * len(EQUATIONS))
def _(d):
    d.i = [d.number % len(EQUATIONS)]
    equation = EQUATIONS[d.i[0]]
    size = {letter: d.rng.randint(1, 3) for letter in "abcdefijkl"}
    for k, term in enumerate(equation.split("->")[0].split(",")):
        dots = ["e", "d"] if k % 2 == 0 else ["d"]
        letters = sum([dots if c == "..." else list(c) for c in term.partition("...")], [])
        d.floats([size[c] for c in letters])
    return lambda *x: torch.einsum(equation, *x)


# ---- by index ----

@op("ct_embedding")
def _(d):
    rows = d.rng.randint(1, 4)
    d.floats([rows] + d.shape(0, 2, 3))
    d.ints(d.shape(0, 2, 4), rows)
    return lambda w, k: w[k]


@op("ct_embedding_padded")
def _(d):
    rows = d.rng.randint(1, 4)
    padding = d.below(2 * rows) - rows
    d.i = [padding]
    d.floats([rows] + d.shape(1, 1, 3))
    d.ints(d.shape(0, 2, 4), rows)
    return lambda w, k: F.embedding(k.long(), w, padding_idx=padding)


@op("ct_index_select")
def _(d):
    shape = d.shape(1)
    d.i = [d.axis(shape)]
    d.floats(shape)
    d.ints([d.below(4)], shape[d.i[0]])
    return lambda x, k: x.index_select(d.i[0], k)


def index_shape(d, shape):
    axis = d.axis(shape)
    d.i = [axis]
    index = [1 + d.below(n) for n in shape]
    index[axis] = d.rng.randint(1, 3)
    return index, axis


@op("ct_gather")
def _(d):
    shape = d.shape(1)
    index, axis = index_shape(d, shape)
    d.floats(shape)
    d.ints(index, shape[axis])
    return lambda x, k: x.gather(axis, k)


@op("ct_scatter_add")
def _(d):
    shape = d.shape(1)
    index, axis = index_shape(d, shape)
    d.floats(shape)
    d.ints(index, shape[axis])
    d.floats(index)             # a larger one has no gradient in PyTorch
    return lambda x, k, src: x.scatter_add(axis, k, src)


@op("ct_take")
def _(d):
    shape = d.shape()
    d.floats(shape)
    d.ints(d.shape(0, 2, 4), math.prod(shape))
    return torch.take


@op("ct_index_add")
def _(d):
    shape = d.shape(1)
    axis = d.axis(shape)
    d.i = [axis]
    d.floats(shape)
    m = d.rng.randint(1, 3)
    d.ints([m], shape[axis])
    shape = list(shape)
    shape[axis] = m
    d.floats(shape)
    return lambda x, k, src: x.index_add(axis, k, src)


@op("ct_scatter")
def _(d):
    shape = d.shape(1)
    axis = d.axis(shape)
    d.i = [axis]
    d.floats(shape)
    index = [1 + d.below(n) for n in shape]
    at = axis % len(shape)
    order = torch.tensor(d.rng.sample(range(shape[at]), index[at]))  # none twice
    values = order.reshape([-1 if k == at else 1 for k in range(len(shape))]).expand(index)
    d.inputs.append((d.rng.choice("ij"), index, values.reshape(-1).tolist()))
    d.floats(index)
    return lambda x, k, src: x.scatter(axis, k, src)


@op("ct_index_copy")
def _(d):
    shape = d.shape(1)
    axis = d.axis(shape)
    d.i = [axis]
    d.floats(shape)
    m = d.rng.randint(1, shape[axis])
    d.inputs.append((d.rng.choice("ij"), [m], d.rng.sample(range(shape[axis]), m)))
    shape = list(shape)
    shape[axis] = m
    d.floats(shape)
    return lambda x, k, src: x.index_copy(axis, k, src)


@op("ct_masked_select")
def _(d):
    shape = d.shape()
    d.floats(shape)
    d.bools(d.narrower(shape))
    return torch.masked_select


@op("ct_nonzero")
def _(d):
    shape = d.shape()
    if d.number % 2:
        d.bools(shape)
    else:
        d.ints(shape, 3)
    return torch.nonzero


@op("ct_unique")
def _(d):
    d.ints(d.shape(), 3, low=-3)
    return torch.unique


@op("ct_bincount")
def _(d):
    d.i = [d.below(7)]
    n = d.rng.randint(1, 8)
    d.ints([n], 5)
    if d.number % 2:
        d.floats([n])       # PyTorch's result is f64 for f64, f32 for f32 and has no gradient
        return lambda k, w: torch.zeros(max(d.i[0], int(k.max()) + 1),
                                        dtype=w.dtype).index_add(0, k, w)
    return lambda k: torch.bincount(k, minlength=d.i[0])


@op("ct_searchsorted")
def _(d):
    shape = d.shape(1)
    d.i = [d.below(2)]
    d.ints(shape, 6, kind="i")
    d.ints(shape[:-1] + [d.rng.randint(1, 3)], 7, kind="i")
    return lambda s, v: torch.searchsorted(s.sort(-1).values, v, right=bool(d.i[0]))


for name in "ct_one_hot", "ct_one_hot_as":
    @op(name)
    def _(d):
        d.i = [d.rng.randint(1, 4)]
        d.ints(d.shape(0, 2, 4), d.i[0])
        return lambda k: F.one_hot(k, d.i[0])


# ---- losses: i[0] the reduction ----

REDUCTIONS = "mean", "sum", "none"


def class_loss(function, x, t, d, **options):
    """function with classes on the last axis."""
    loss = function(x.reshape(-1, x.shape[-1]), t, reduction=REDUCTIONS[d.i[0]], **options)
    return loss.reshape(x.shape[:-1]) if d.i[0] == 2 else loss


def class_options(d, smoothing):
    shape = d.shape(0, 2, 4) + [d.rng.randint(2, 4)]
    d.floats(shape)
    d.i = [d.number % 3, d.number // 3 % 2, d.below(shape[-1])]
    d.p = [[0.0, 0.1, 0.5][d.below(3)]] if smoothing else []
    return shape


def index_targets(d, shape):
    d.ints(shape[:-1], shape[-1])
    kind, s, values = d.inputs[-1]
    if all(v == d.i[2] for v in values):        # a mean of no target is no number
        values[0] = (d.i[2] + 1) % shape[-1]
    return {"ignore_index": d.i[2]} if d.i[1] else {}


@op("ct_cross_entropy")
def _(d):
    shape = class_options(d, False)
    d.i = [0]
    d.ints(shape[:-1], shape[-1])
    return lambda x, t: class_loss(F.cross_entropy, x, t.reshape(-1), d)


def class_weights(d, shape, first):
    """A third input, the weights of the classes, in cases from number first on."""
    if d.number >= first:
        d.floats([shape[-1]], 0.1, 3)


def weight(w):
    return {"weight": w[0].detach()} if w else {}


@op("ct_cross_entropy_with", 80)
def _(d):
    shape = class_options(d, True)
    options = {"label_smoothing": d.p[0]}
    if d.number % 2:
        d.floats(shape, 0, 1)
        d.i[1] = 0
        class_weights(d, shape, 40)
        return lambda x, t, *w: class_loss(F.cross_entropy, x, t.reshape(-1, shape[-1]), d,
                                           **options, **weight(w))
    options |= index_targets(d, shape)
    class_weights(d, shape, 40)
    return lambda x, t, *w: class_loss(F.cross_entropy, x, t.reshape(-1), d, **options, **weight(w))


@op("ct_linear_cross_entropy", 24)
def _(d):
    classes = d.rng.randint(2, 5)
    shape = d.shape(1, 3, 4)
    d.i = [d.number % 3, d.number // 3 % 2, d.below(classes)]
    d.p = [[0.0, 0.1, 0.5][d.below(3)]]
    d.floats(shape)
    d.floats([classes, shape[-1]])
    options = index_targets(d, shape[:-1] + [classes])
    if d.number % 2:
        d.floats([classes])
    return lambda x, w, t, *b: class_loss(F.cross_entropy, F.linear(x, w, *b), t.reshape(-1), d,
                                          label_smoothing=d.p[0], **options)


@op("ct_nll_loss", 36)
def _(d):
    shape = class_options(d, False)
    options = index_targets(d, shape)
    class_weights(d, shape, 18)
    return lambda x, t, *w: class_loss(F.nll_loss, x, t.reshape(-1), d, **options, **weight(w))


def pair_loss(name, function, delta=""):
    @op("ct_" + name, 15)
    def _(d):
        shape = d.shape()
        d.i = [d.number % 3]
        d.floats(shape)
        d.floats(shape)
        options = {"reduction": REDUCTIONS[d.i[0]]}
        if delta:
            d.p = [round(d.rng.uniform(0.3, 2), 3) + 0.0009765625]
            options[delta] = d.p[0]
        return lambda x, t: function(x, t, **options)


pair_loss("mse_loss", F.mse_loss)
pair_loss("l1_loss", F.l1_loss)
pair_loss("huber_loss", F.huber_loss, "delta")
pair_loss("smooth_l1_loss", F.smooth_l1_loss, "beta")
pair_loss("bce_with_logits", F.binary_cross_entropy_with_logits)


@op("ct_bce_with_logits:weights", 24)
def _(d):
    shape = d.shape()
    d.i = [d.number % 3, d.number // 3 % 2, d.number // 6 % 2]
    d.floats(shape)
    d.floats(shape)
    d.floats(d.narrower(shape), 0.1, 3)
    d.floats(d.narrower(shape), 0.1, 3)
    return lambda x, t, w, p: F.binary_cross_entropy_with_logits(
        x, t, None if d.i[1] else w.detach(), reduction=REDUCTIONS[d.i[0]],
        pos_weight=None if d.i[2] else p.detach())


@op("ct_ctc_loss", 24)
def _(d):
    labels, batch, classes = d.rng.randint(1, 3), d.rng.randint(1, 2), d.rng.randint(2, 4)
    steps = 2 * labels + 1
    d.i = [d.number % 3, 1, d.number // 3 % 2]
    d.floats([steps, batch, classes])
    d.ints([batch, labels], classes - 1)
    d.ints([batch], steps + 1 if d.i[2] else 1)
    d.ints([batch], labels + 1 if d.i[2] else 1)
    return lambda x, t, s, n: F.ctc_loss(x.log_softmax(-1), t + 1, steps - s, labels - n,
                                         reduction=REDUCTIONS[d.i[0]], zero_infinity=bool(d.i[2]))


@op("ct_kl_div", 16)
def _(d):
    shape = d.shape(1)
    d.i = [d.number % 4, d.number // 4 % 2]
    d.floats(shape, -4, -0.1)
    d.floats(shape, *((-4, 0) if d.i[1] else (0.01, 4)))
    reduction = (*REDUCTIONS, "batchmean")[d.i[0]]
    return lambda x, t: F.kl_div(x, t, reduction=reduction, log_target=bool(d.i[1]))


@op("ct_gaussian_nll_loss", 18)
def _(d):
    shape = d.shape(1)
    d.i = [d.number % 3, d.number // 3 % 2]
    d.p = [0.5 if d.number // 6 % 2 else 0]
    d.floats(shape)
    d.floats(shape)
    d.floats(shape if d.number % 2 else shape[:-1] + [1], 0.01, 4)
    return lambda x, t, v: F.gaussian_nll_loss(x, t, v, full=bool(d.i[1]), eps=d.p[0] or 1e-6,
                                               reduction=REDUCTIONS[d.i[0]])


@op("ct_cosine_similarity", 15)
def _(d):
    shape = d.shape(0, 2, 4)
    axis = d.below(len(shape) + 1)
    shape.insert(axis, d.rng.randint(2, 4))     # the gradient of a cosine of numbers is 0
    d.i = [axis - len(shape)]
    d.floats(shape)
    d.floats([n if k == axis or d.chance(0.7) else 1 for k, n in enumerate(shape)])
    return lambda a, b: F.cosine_similarity(a, b, d.i[0])


@op("ct_cosine_embedding_loss", 15)
def _(d):
    shape = d.shape(0, 1, 4) + [d.rng.randint(2, 4)]
    d.i = [d.number % 3]
    d.p = [round(d.rng.uniform(-0.5, 0.5), 3)]
    d.floats(shape)
    d.floats(shape)
    d.ints(shape[:-1], 2)
    return lambda a, b, t: F.cosine_embedding_loss(a, b, 2 * t - 1, d.p[0],
                                                   reduction=REDUCTIONS[d.i[0]])


@op("ct_margin_ranking_loss", 15)
def _(d):
    shape = d.shape()
    d.i = [d.number % 3]
    d.p = [round(d.rng.uniform(-0.5, 0.5), 3)]
    for _ in range(3):
        d.floats(shape)
    return lambda a, b, t: F.margin_ranking_loss(a, b, t, d.p[0], reduction=REDUCTIONS[d.i[0]])


@op("ct_triplet_margin_loss", 24)
def _(d):
    shape = d.shape(0, 1, 4) + [d.rng.randint(2, 4)]
    d.i = [d.number % 3, d.number // 3 % 2]
    d.p = [2.5 if d.number % 2 else 0, 3 if d.number // 6 % 2 else 0]
    for _ in range(3):
        d.floats(shape)
    return lambda a, p, n: F.triplet_margin_loss(a, p, n, d.p[0] or 1, d.p[1] or 2,
                                                 swap=bool(d.i[1]), reduction=REDUCTIONS[d.i[0]])
# ---- convolution and pooling ----

def conv_options(d):
    """i: strides, paddings, dilations, groups, output padding."""
    pick = d.rng.randint
    d.i = [pick(1, 3), pick(1, 3), pick(0, 1), pick(0, 1), pick(1, 2), pick(1, 2), pick(1, 2), 0]


def conv_size(d, at, kernel):
    span = (kernel - 1) * d.i[4 + at] + 1 - 2 * d.i[2 + at]
    return max(span, 1) + d.below(2)


def conv(name, function, axes, transposed):
    @op(name)
    def _(d):
        conv_options(d)
        groups, inputs, outputs = d.i[6], d.rng.randint(1, 2), d.rng.randint(1, 3 - d.i[6])
        kernel = [d.rng.randint(1, 3 if axes == 1 else 2) for _ in range(axes)]
        sizes = [conv_size(d, i, k) for i, k in enumerate(kernel)]
        if transposed:
            sizes = [2 + p for p in d.i[2:2 + axes]]
            d.i[:2] = [min(n, 2) for n in d.i[:2]]
        stride, padding, dilation = (d.i[k:k + axes] for k in (0, 2, 4))
        options = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
        if transposed:
            d.i[7] = d.below(2)
            more = d.i[7] if d.i[0] + d.i[4] > 2 else 0
            options["output_padding"] = [more, more if d.i[1] + d.i[5] > 2 else 0][:axes]
        d.floats([1 if axes == 2 else 2, groups * inputs] + sizes)
        d.floats(([groups * inputs, outputs] if transposed else [groups * outputs, inputs]) +
                 kernel, -1, 1)
        if d.number % 2:
            d.floats([groups * outputs])
        return lambda *t: function(*t, **options)


conv("ct_conv2d", F.conv2d, 2, False)
conv("ct_conv1d", F.conv1d, 1, False)
conv("ct_conv_transpose2d", F.conv_transpose2d, 2, True)
conv("ct_conv_transpose1d", F.conv_transpose1d, 1, True)


def windows(d):
    conv_options(d)
    d.i[6:] = [d.rng.randint(1, 3), d.rng.randint(1, 3)]
    return dict(kernel_size=d.i[6:], stride=d.i[:2], padding=d.i[2:4], dilation=d.i[4:6])


@op("ct_unfold")
def _(d):
    options = windows(d)
    d.floats([1, 2] + [conv_size(d, i, d.i[6 + i]) for i in range(2)])
    return lambda x: F.unfold(x, **options)


@op("ct_fold")
def _(d):
    options = windows(d)
    sizes = [conv_size(d, i, d.i[6 + i]) for i in range(2)]
    d.p = [float(n) for n in sizes]
    count = F.unfold(torch.zeros([1, 1] + sizes), **options).shape[2]
    d.floats([1, 2 * d.i[6] * d.i[7], count])
    return lambda x: F.fold(x, sizes, **options)


def pool(name, function, axes, largest):
    @op(name)
    def _(d):
        windows(d)
        at = 2 - axes
        sizes = []
        for i in range(at, 2):
            d.i[2 + i] = d.i[2 + i] if d.i[6 + i] > 1 else 0
            sizes.append(conv_size(d, i, d.i[6 + i]) + d.i[2 + i])
        d.p = [float(d.below(2)), float(d.below(2))]
        options = dict(kernel_size=d.i[6 + at:8], stride=d.i[at:2], padding=d.i[2 + at:4],
                       ceil_mode=bool(d.p[0]))
        if largest:
            options["dilation"] = d.i[4 + at:6]
        else:
            options["count_include_pad"] = not d.p[1]
        d.floats([2, 2 if axes == 1 else 1] + sizes)
        return lambda x: function(x, **options)


pool("ct_max_pool2d", F.max_pool2d, 2, True)
pool("ct_max_pool1d", F.max_pool1d, 1, True)
pool("ct_avg_pool2d", F.avg_pool2d, 2, False)
pool("ct_avg_pool1d", F.avg_pool1d, 1, False)


@op("ct_adaptive_avg_pool2d")
def _(d):
    d.i = [d.rng.randint(1, 4), d.rng.randint(1, 4)]
    d.floats([2, 1, d.rng.randint(1, 5), d.rng.randint(1, 5)])
    return lambda x: F.adaptive_avg_pool2d(x, d.i)


@op("ct_adaptive_avg_pool1d")
def _(d):
    d.i = [d.rng.randint(1, 5)]
    d.floats([2, 2, d.rng.randint(1, 6)])
    return lambda x: F.adaptive_avg_pool1d(x, d.i)
# ---- normalisation: i[0], i[1]: weight and bias are left out; p[0]: eps ----

def affine(d, shape):
    d.floats(shape)
    d.floats(shape)
    d.i = [d.number // 2 % 2, d.number // 4 % 2]
    d.p = [[1e-5, 0.1, 0.5][d.below(3)]]


def given(d, w, b):
    return None if d.i[0] else w, None if d.i[1] else b


@op("ct_layer_norm", 16)
def _(d):
    shape = d.shape(0, 2, 6) + [d.rng.randint(3, 5)]
    axes = 2 if len(shape) > 1 and d.number % 3 == 2 else 1
    if axes == 2 and d.number // 2 % 4 == 3:
        axes = 1
    d.floats(shape)
    affine(d, shape[-axes:])
    if d.i == [1, 1] and axes > 1:
        d.i[1] = 0
    return lambda x, w, b: F.layer_norm(x, shape[-axes:], *given(d, w, b), d.p[0])


@op("ct_rms_norm", 16)
def _(d):
    shape = d.shape(0, 2, 6) + [d.rng.randint(3, 5)]
    d.floats(shape)
    affine(d, shape[-1:])
    return lambda x, w, b: F.rms_norm(x, shape[-1:], given(d, w, b)[0], d.p[0])


@op("ct_group_norm", 16)
def _(d):
    groups, each = d.rng.randint(1, 3), d.rng.randint(1, 2)
    shape = [d.rng.randint(1, 2), groups * each] + d.shape(0, 2, 4) + [3]
    d.floats(shape)
    affine(d, [groups * each])
    d.i.append(groups)
    return lambda x, w, b: F.group_norm(x, groups, *given(d, w, b), d.p[0])


@op("ct_batch_norm", 16)
def _(d):
    shape = [d.rng.randint(3, 4), d.rng.randint(1, 3)] + d.shape(0, 2, 4)
    d.floats(shape)
    affine(d, shape[1:2])
    return lambda x, w, b: F.batch_norm(x, None, None, *given(d, w, b), True, 0, d.p[0])


@op("ct_batch_norm:running", 16)
def _(d):
    shape = [d.rng.randint(1, 4), d.rng.randint(1, 3)] + d.shape(0, 2, 4)
    d.floats(shape)
    d.floats(shape[1:2])
    d.floats(shape[1:2], 0.1, 2)
    affine(d, shape[1:2])
    return lambda x, m, v, w, b: F.batch_norm(x, m.detach(), v.detach(), *given(d, w, b), False, 0,
                                              d.p[0])


# ---- attention: i[0]: the mask, 0 none, 1 bool, 2 added; i[1]: lengths; i[2]: causal; i[3]:
# first_query; i[4]: groups of heads; p[0]: scale. Each query sees a key. ----

@op("ct_scaled_dot_product_attention", 24)
def _(d):
    batch, kv = d.rng.randint(1, 2), d.rng.randint(1, 2)
    groups = d.rng.randint(1, 2)
    lq, lk, size = (d.rng.randint(1, 3) for _ in range(3))
    d.floats([batch, kv * groups, lq, size])
    d.floats([batch, kv, lk, size])
    d.floats([batch, kv, lk, d.rng.randint(1, 2)])
    shape = [lq, lk] if d.chance(0.5) else [batch, 1, lq, lk]
    d.i = [d.number % 3, d.number // 3 % 2, d.number // 6 % 2, d.below(2), groups]
    d.p = [0.0 if d.chance(0.5) else 0.375]
    if d.i[0] == 2:
        d.floats(shape)
    else:
        d.bools(shape)
        values = d.inputs[-1][2]
        values[::lk] = [1] * len(values[::lk])
    d.ints([batch], lk + 1, low=1)

    def attend(q, k, v, mask, lengths):
        seen = torch.ones([batch, 1, lq, lk], dtype=torch.bool)
        if d.i[0] == 1:
            seen = seen & mask
        if d.i[1]:
            seen = seen & (torch.arange(lk) < lengths[:, None])[:, None, None, :]
        if d.i[2]:
            seen = seen & (torch.arange(lk) <= torch.arange(lq)[:, None] + d.i[3])
        added = torch.where(seen, mask if d.i[0] == 2 else 0.0, -math.inf).to(q.dtype)
        return F.scaled_dot_product_attention(q, k, v, added, scale=d.p[0] or None,
                                              enable_gqa=groups > 1)
    return attend


@op("ct_additive_attention", 12)
def _(d):
    batch = d.rng.randint(1, 2)
    lq, lk, size = (d.rng.randint(1, 3) for _ in range(3))
    d.floats([batch, lq, size])
    d.floats([batch, lk, size])
    d.floats([batch, lk, d.rng.randint(1, 2)])
    d.floats([size])
    d.i = [d.number % 3, d.number // 3 % 2, d.number // 6 % 2]
    if d.i[0] == 2:
        d.floats([lq, lk])
    else:
        d.bools([batch, lq, lk])
        values = d.inputs[-1][2]
        values[::lk] = [1] * len(values[::lk])
    d.ints([batch], lk + 1, low=1)

    def attend(q, k, v, w, mask, lengths):
        seen = torch.ones([batch, lq, lk], dtype=torch.bool)
        if d.i[0] == 1:
            seen = seen & mask
        if d.i[1]:
            seen = seen & (torch.arange(lk) < lengths[:, None])[:, None, :]
        if d.i[2]:
            seen = seen & (torch.arange(lk) <= torch.arange(lq)[:, None])
        scores = torch.tanh(q[:, :, None] + k[:, None]) @ w
        added = torch.where(seen, mask if d.i[0] == 2 else 0.0, -math.inf).to(q.dtype)
        return (scores + added).softmax(-1) @ v
    return attend


@op("ct_length_mask")
def _(d):
    d.i = [d.rng.randint(1, 4)]
    d.ints([d.rng.randint(1, 4)], 6)
    return lambda lengths: torch.arange(d.i[0]) < lengths[:, None]


@op("ct_rotary_embedding")
def _(d):
    half = d.rng.randint(1, 2)
    shape = d.shape(1, 3, 4) + [2 * half]
    d.i = [d.below(4)]
    d.p = [float(d.rng.choice([10, 100, 10000]))]
    d.floats(shape)

    def rotate(x):
        p = torch.arange(shape[-2], dtype=torch.float64) + d.i[0]
        a = p[:, None] * d.p[0] ** (-torch.arange(half, dtype=torch.float64) / half)
        a = torch.cat([a, a], -1)
        turned = torch.cat([-x[..., half:], x[..., :half]], -1)
        return x * a.cos().to(x.dtype) + turned * a.sin().to(x.dtype)
    return rotate


# ---- running and writing ----

def tensor_of(kind, shape, values, dtype):
    if kind == "f":
        t = torch.tensor(values, dtype=torch.float64).reshape(shape) / 256
        return t.to(dtype).requires_grad_()
    return torch.tensor(values, dtype=torch.bool if kind == "b" else torch.int64).reshape(shape)


def run(d, function, dy, dtype):
    """The result and the gradients of the f inputs."""
    x = [tensor_of(kind, shape, values, dtype) for kind, shape, values in d.inputs]
    y = function(*x)
    leaves = [t for t in x if t.requires_grad]
    if not leaves or not y.is_floating_point():
        return y, []
    if not y.requires_grad:
        return y, []
    seed = (torch.tensor(dy(y.numel()), dtype=torch.float64) / 256).reshape(y.shape).to(y.dtype)
    grads = torch.autograd.grad(y, leaves, seed, allow_unused=True)
    return y, [torch.zeros_like(t) if g is None else g for t, g in zip(leaves, grads)]


def shape_text(shape):
    return ",".join(map(str, shape)) if len(shape) else "-"


def numbers(t, digits):
    return " ".join(f"{float(v):.{digits}g}" for v in t.detach().reshape(-1).tolist())


def write_case(out, name, d, function):
    weights = [d.rng.randint(-512, 512) for _ in range(256)]
    y, grads = run(d, function, lambda n: weights[:n], torch.float64)
    out.append(f"op {name}")
    if any(d.i):
        out.append("i " + " ".join(map(str, d.i)))
    if any(d.p):
        out.append("p " + " ".join(f"{v:.17g}" for v in d.p))
    for kind, shape, values in d.inputs:
        out.append(f"in {kind} {shape_text(shape)} " + " ".join(map(str, values)))
    if grads:
        out.append("dy " + " ".join(map(str, weights[:y.numel()])))
    out.append(f"y {shape_text(y.shape)} " + numbers(y, 15))
    out.extend("g " + numbers(g, 15) for g in grads)
    if y.is_floating_point():
        y, grads = run(d, function, lambda n: weights[:n], torch.float32)
        out.append("Y " + numbers(y, 8))
        out.extend("G " + numbers(g, 8) for g in grads)


def made_cases(path):
    """The lines of each op that path has, by name."""
    cases, name = {}, None
    with open(path) as f:
        for line in f.read().split("\n"):
            if line.startswith("op "):
                name = line[3:]
            if name and line:
                cases.setdefault(name, []).append(line)
    return cases


def make_cases(name):
    maker, count = MAKERS[name]
    out = []
    for number in range(count):
        d = Draw(name, number)
        try:
            write_case(out, name, d, maker(d))
        except Exception as error:
            sys.exit(f"ops_parity.py: {name} {number}: {d.inputs} {d.i} {d.p}: {error}")
    return [line.rstrip() for line in out]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", default=os.path.join(here, "ops_parity.txt"))
    parser.add_argument("name", nargs="*", metavar="NAME", help="an op, such as ct_add")
    args = parser.parse_args()
    for name in args.name:
        if name not in MAKERS:
            parser.error(f"no op {name}")
    made = made_cases(args.output) if args.name else {}
    torch.set_num_threads(1)
    total = sum(count for _, count in MAKERS.values())
    out = [f"# Made by ops_parity.py with torch {torch.__version__}, Python"
           f" {platform.python_version()}: {total} cases of {len(MAKERS)} ops."]
    for name in MAKERS:
        out.extend(make_cases(name) if name in args.name or not args.name else made[name])
    with open(args.output, "w") as f:
        f.write("\n".join(out) + "\n")


main()

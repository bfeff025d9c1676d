#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""edges.py - right values and derivatives of ops at the edges of their domains.

    python edges.py [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. Needs torch, numpy and mpmath. OUTPUT
defaults to edges.txt beside this script; tests/test_edges.c reads it.

A number is found three ways:
  1. Where the function is differentiable at the operands, arithmetic of 200 bits and more gives the
     number. PyTorch may have lost digits, or be wrong.
  2. Elsewhere (infinities, NaN, the border of the domain, jumps of the derivative) the functions
     below state the number: the limit where there is one, the header's rule where there is one.
     PyTorch must agree. Where it does not, DECIDED has the case and the reason, or the script fails.
  3. SILENT where neither says anything: PyTorch's number. OPEN where none is better than another.

OUTPUT. Lines beginning with '#' are comments.
    list NAME f32|f64 NUMBER...           operands, by name
    op NAME f32|f64 LIST [LIST] [; NUMBER...]
                                          an op, its operands (all pairs of two lists, the second
                                          list running faster) and its numbers p[0], p[1]
    KEY NUMBER...                         its results, one for each operand or pair: y the value;
                                          x xx the derivatives by one operand; a b aa ab bb by two
    rows NAME f32|f64 N NUMBER            a function of rows of N numbers, which may be several
                                          operands side by side; NUMBER is its p, correction or eps
    in, y, g, h NUMBER...                 all rows; M values, N derivatives of the sum of the values
                                          times ROW_WEIGHTS, and N second derivatives by element 0 and
                                          each, for each row
    sy, sg, sh NUMBER...                  the sizes of the operands of the last sums in y, g and h, to
                                          which an error is proportional; for each row or each number
A count before a number, as in 3*0, repeats it. ? is a number that is not compared.
"""

import argparse
import math
import os
import platform
import sys
from fractions import Fraction

import mpmath
import numpy as np
import torch
from mpmath import mp, mpf

mp.prec = 260
NAN, INF = math.nan, math.inf
SILENT, OPEN = "silent", "open"
TYPES = {"f32": (np.float32, torch.float32, 24, -149, 128), "f64": (np.float64, torch.float64, 53, -1074, 1024)}
FAR = 20000     # exp(-FAR) is 0 in f64

# Where PyTorch gives another number at a point of kind 2: op, key ('*': any), which operands (and
# numbers), and the reason for ours.
DECIDED = [
    ("ct_relu", "x", lambda x: math.isnan(x), "the header: d where y > 0; NaN is not"),
    ("ct_abs", "x", lambda x: math.isnan(x), "sign(NaN) is NaN: NaN goes through an op"),
    ("ct_sign", "y", lambda x: math.isnan(x), "NaN goes through an op"),
    ("ct_silu", "*", lambda x: math.isinf(x), "the limits: 0, 0, 0 at -inf; inf, 1, 0 at inf"),
    ("ct_gelu", "*", lambda x: math.isinf(x), "the limits: 0, 0, 0 at -inf; inf, 1, 0 at inf"),
    ("ct_sqrt", "*", lambda x: x == 0, "the limit from the right, at -0 too"),
    ("ct_erf", "xx", lambda x: math.isinf(x), "the limit 0"),
    ("ct_erfc", "xx", lambda x: math.isinf(x), "the limit 0"),
    ("ct_softsign", "*", lambda x: math.isinf(x), "the limits"),
    ("ct_mish", "*", lambda x: math.isinf(x), "the limits: 0, 0, 0 at -inf; inf, 1, 0 at inf"),
    ("ct_gelu_tanh", "*", lambda x: math.isinf(x), "the limits: 0, 0, 0 at -inf; inf, 1, 0 at inf"),
    ("ct_hardswish", "*", lambda x: math.isinf(x) or math.isnan(x), "the limits; NaN has dx = d"),
    ("ct_hardsigmoid", "x", lambda x: math.isnan(x), "d / 6 between -3 and 3, where NaN is not"),
    ("ct_acosh", "*", lambda x: x <= -1, "NaN outside the domain"),
    ("ct_atanh", "*", lambda x: abs(x) > 1, "NaN outside the domain"),
    ("ct_acosh", "xx", lambda x: math.isinf(x), "the limit 0"),
    ("ct_asinh", "xx", lambda x: math.isinf(x), "the limit 0"),
    ("ct_atan", "xx", lambda x: math.isinf(x), "the limit 0"),
    ("ct_atan2", "*", lambda a, b: math.isinf(a) or math.isinf(b), "the limits"),
    ("ct_atan2", "*", lambda a, b: a == 0 and b == 0, "the header: 0 at (0, 0), and its derivatives"),
    ("ct_logaddexp", "*", lambda a, b: math.isinf(a) or math.isinf(b), "the limits"),
    ("ct_softplus", "*", lambda x: math.isinf(x), "the limits"),
    ("ct_elu", "*", lambda x, p: x == 0, "the header: d where x >= 0"),
    ("ct_elu", "*", lambda x, p: math.isinf(x), "the limits"),
    ("ct_leaky_relu", "*", lambda x, p: x == 0 or math.isnan(x), "the header: slope d unless x > 0"),
    ("ct_clamp", "x", lambda x, p, q: True, "the header: d where low <= x <= high, so at both ends and not for NaN"),
    ("ct_hardtanh", "x", lambda x, p, q: math.isnan(x), "the header: NaN has dx = d"),
    ("ct_pow_scalar", "*", lambda x, p: x == 0 or math.isinf(x), "the limits"),
    ("ct_pow_scalar", "*", lambda x, p: math.isnan(x), "a power that is constant or linear has constant derivatives, of NaN too"),
    ("ct_rdiv_scalar", "*", lambda x, p: x == 0 or math.isinf(x), "the limits"),
    ("ct_rpow_scalar", "*", lambda x, p: p == 0, "the header: 0 where s = 0 and x >= 0"),
    ("ct_rpow_scalar", "*", lambda x, p: math.isinf(x), "the limits"),
    ("ct_div", "*", lambda a, b: b == 0 or math.isinf(b) or math.isinf(a), "the limits"),
    ("ct_pow", "*", lambda a, b: a == 0, "the header: db is 0 where a = 0 and b >= 0, and its derivative; the limits"),
    ("ct_pow", "*", lambda a, b: b == 0, "the header: da is 0, the mixed derivative 1 / a where b = 0"),
    ("ct_pow", "*", lambda a, b: math.isinf(a) or math.isinf(b), "the limits"),
    ("ct_pow", "*", lambda a, b: math.isnan(a), "a power that is constant or linear in a has constant derivatives, of NaN too"),
    ("ct_pow_scalar", "*", lambda x, p: x == -INF, "pow of C"),
    ("ct_pow", "*", lambda a, b: a < 0, "by b, a negative base has no derivative: NaN"),
    ("ct_maximum", "*", lambda a, b: math.isnan(a) or math.isnan(b), "the header: the gradient goes to the NaN, which was chosen"),
    ("ct_minimum", "*", lambda a, b: math.isnan(a) or math.isnan(b), "the header: the gradient goes to the NaN, which was chosen"),
]

# ---- numbers ----


def rounded(v, dtype):
    """v (a float or an mpf) rounded once to dtype, as a float."""
    if not isinstance(v, mpf):
        v = float(v)
        if v == 0 or not math.isfinite(v):
            return v
        v = mpf(v)
    sign, man, exp, bits = v._mpf_
    if man == 0:
        return 0.0 if not exp else float(v)     # 0; inf and nan have no man
    _, _, digits, least, most = TYPES[dtype]
    top = exp + bits                            # 2^(top - 1) <= |v| < 2^top
    if top > most:
        return -INF if sign else INF
    if top < least:
        return -0.0 if sign else 0.0
    unit = max(top - digits, least)
    shift = unit - exp
    if shift > 0:
        man, rest = man >> shift, man & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        man += rest > half or (rest == half and man & 1)
    else:
        man <<= -shift
    if man.bit_length() + unit > most:
        return -INF if sign else INF
    r = math.ldexp(float(man), unit)
    return -r if sign else r


def text(v, dtype):
    if v is None:
        return "?"
    if math.isnan(v):
        return "nan"
    if math.isinf(v):
        return "inf" if v > 0 else "-inf"
    s = str(np.float32(v)) if dtype == "f32" else repr(float(v))
    s = s[:-2] if s.endswith(".0") else s
    if "e" in s:
        head, tail = s.split("e")
        s = f"{head}e{int(tail)}"
    return s


def line(key, values, dtype):
    words, k = [], 0
    texts = [text(v, dtype) for v in values]
    while k < len(texts):
        n = k
        while n < len(texts) and texts[n] == texts[k]:
            n += 1
        words += [f"{n - k}*{texts[k]}"] if n - k > 1 else [texts[k]]
        k = n
    return " ".join([key] + words)


def power(a, b):
    """pow() of C."""
    try:
        return math.pow(a, b)
    except OverflowError:
        return INF
    except ValueError:      # 0 to a negative power; a negative number to one that is no integer
        return NAN if a else math.copysign(INF, a) if b % 2 == 1 else INF


def scaled(c, v):
    """c v, and 0 where c is 0."""
    return 0.0 if c == 0 else c * v


def quotient(a, b):
    return float(np.float64(a) / np.float64(b))


def real(*v):
    return all(math.isfinite(x) for x in v)


# ---- one operand: each gives the value and two derivatives ----


def of_neg(x):
    return -x, -1.0, 0.0


def of_abs(x):
    return abs(x), NAN if math.isnan(x) else float(np.sign(x)), 0.0


def of_sign(x):
    return NAN if math.isnan(x) else float(np.sign(x)), 0.0, 0.0


def of_square(x):
    return (mpf(x) ** 2, 2 * mpf(x), 2.0) if real(x) else (x * x, 2 * x, 2.0)


def of_exp(x):
    e = mp.exp(mpf(x)) if real(x) else INF if x > 0 else 0.0 if x < 0 else NAN
    return e, e, e


def of_expm1(x):
    e = of_exp(x)[0]
    return (mp.expm1(mpf(x)) if real(x) else e - 1), e, e


def of_log(x, shift=0):
    if not real(x):
        return (INF, 0.0, 0.0) if x > 0 else (NAN, 0.0, 0.0) if x < 0 else (NAN, NAN, NAN)
    t = mpf(x) + shift
    if t == 0:
        one = math.copysign(INF, x) if shift == 0 else INF
        return -INF, one, -INF
    value = mp.log1p(mpf(x)) if shift else mp.log(t) if x > 0 else None
    return (value if t > 0 else NAN), 1 / t, -1 / t ** 2


def of_log1p(x):
    return of_log(x, 1)


def of_sqrt(x):
    if x < 0 or math.isnan(x):
        return NAN, NAN, NAN
    if x == 0:
        return x, INF, -INF
    if x == INF:
        return INF, 0.0, 0.0
    t = mpf(x)
    return mp.sqrt(t), 1 / (2 * mp.sqrt(t)), -1 / (4 * t * mp.sqrt(t))


def of_rsqrt(x):
    if x < 0 or math.isnan(x):
        return NAN, NAN, NAN
    if x == 0:
        return (INF, -INF, INF) if math.copysign(1, x) > 0 else (SILENT,) * 3
    if x == INF:
        return 0.0, 0.0, 0.0
    r = 1 / mp.sqrt(mpf(x))
    return r, -r ** 3 / 2, 3 * r ** 5 / 4


def of_reciprocal(x):
    return of_rdiv(x, 1.0)


def of_sin(x):
    if not real(x):
        return NAN, NAN, NAN
    return mp.sin(mpf(x)), mp.cos(mpf(x)), -mp.sin(mpf(x))


def of_cos(x):
    if not real(x):
        return NAN, NAN, NAN
    return mp.cos(mpf(x)), -mp.sin(mpf(x)), -mp.cos(mpf(x))


def of_tanh(x):
    if math.isnan(x):
        return NAN, NAN, NAN
    if abs(x) > FAR:
        return math.copysign(1.0, x), 0.0, 0.0
    s = mp.sech(mpf(x)) ** 2
    return mp.tanh(mpf(x)), s, -2 * mp.tanh(mpf(x)) * s


def logistic(x):
    """sigmoid and two derivatives"""
    if math.isnan(x):
        return NAN, NAN, NAN
    if abs(x) > FAR:
        return (1.0 if x > 0 else 0.0), 0.0, 0.0
    t = mpf(x)
    slope = 1 / (2 + 2 * mp.cosh(t))
    return 1 / (1 + mp.exp(-t)), slope, -slope * mp.tanh(t / 2)


def of_tan(x):
    if not real(x):
        return NAN, NAN, NAN
    t = mp.tan(mpf(x))
    return t, 1 + t * t, 2 * t * (1 + t * t)


def of_atan(x):
    if math.isnan(x):
        return NAN, NAN, NAN
    if math.isinf(x):
        return math.copysign(mp.pi / 2, x), 0.0, 0.0
    c = 1 + mpf(x) ** 2
    return mp.atan(mpf(x)), 1 / c, -2 * mpf(x) / c ** 2


def of_asinh(x):
    if not real(x):
        return (NAN, NAN, NAN) if math.isnan(x) else (x, 0.0, 0.0)
    c = 1 + mpf(x) ** 2
    return mp.asinh(mpf(x)), 1 / mp.sqrt(c), -mpf(x) / (c * mp.sqrt(c))


def of_acosh(x):
    if not x >= 1:
        return NAN, NAN, NAN
    if x == 1:
        return 0.0, INF, -INF
    if x == INF:
        return INF, 0.0, 0.0
    c = mpf(x) ** 2 - 1
    return mp.acosh(mpf(x)), 1 / mp.sqrt(c), -mpf(x) / (c * mp.sqrt(c))


def of_atanh(x):
    if not abs(x) <= 1:
        return NAN, NAN, NAN
    if abs(x) == 1:
        return x * INF, INF, x * INF
    c = 1 - mpf(x) ** 2
    return mp.atanh(mpf(x)), 1 / c, 2 * mpf(x) / c ** 2


def of_asin(x, sign=1):
    """asin; with sign -1 the derivatives of acos"""
    if not abs(x) <= 1:
        return NAN, NAN, NAN
    if abs(x) == 1:
        return mp.asin(mpf(x)), sign * INF, sign * x * INF
    c = 1 - mpf(x) ** 2
    return mp.asin(mpf(x)), sign / mp.sqrt(c), sign * mpf(x) / (c * mp.sqrt(c))


def of_acos(x):
    _, slope, bend = of_asin(x, -1)
    return (mp.acos(mpf(x)) if abs(x) <= 1 else NAN), slope, bend


def of_sinh(x):
    if not real(x):
        return x, abs(x), x
    t = max(min(mpf(x), FAR), -FAR)
    return mp.sinh(t), mp.cosh(t), mp.sinh(t)


def of_cosh(x):
    y, slope, _ = of_sinh(x)
    return slope, y, slope


def of_exp2(x):
    log = mp.log(2)
    e = mp.power(2, max(min(mpf(x), FAR), -FAR)) if real(x) else of_exp(x)[0]
    return e, e * log if real(x) else e, e * log * log if real(x) else e


def log_to(base):
    def of(x):
        return tuple(v / mp.log(base) if isinstance(v, mpf) else v for v in of_log(x))
    return of


def of_softsign(x):
    if math.isnan(x):
        return NAN, NAN, NAN
    if math.isinf(x):
        return math.copysign(1.0, x), 0.0, 0.0
    c = 1 + abs(mpf(x))
    return mpf(x) / c, 1 / c ** 2, -2 * int(np.sign(x)) / c ** 3


def of_mish(x):
    if math.isnan(x):
        return NAN, NAN, NAN
    if abs(x) > FAR:
        return (x, 1.0, 0.0) if x > 0 else (0.0, 0.0, 0.0)
    v = mpf(x)
    s, s1, _ = logistic(x)
    t = mp.tanh(mp.log1p(mp.exp(v)))
    t1 = mp.sech(mp.log1p(mp.exp(v))) ** 2 * s
    t2 = mp.sech(mp.log1p(mp.exp(v))) ** 2 * (s1 - 2 * t * s * s)
    return v * t, t + v * t1, 2 * t1 + v * t2


def of_hardsigmoid(x):
    if math.isnan(x):
        return NAN, 0.0, 0.0
    inside = -3 < x < 3
    return ((mpf(x) + 3) / 6 if inside else float(x > 0)), (mpf(1) / 6 if inside else 0.0), 0.0


def of_hardswish(x):
    if math.isnan(x):
        return NAN, 1.0, 0.0
    if not -3 < x < 3:
        return (x, 1.0, 0.0) if x > 0 else (0.0, 0.0, 0.0)
    return mpf(x) * (mpf(x) + 3) / 6, mpf(x) / 3 + mpf(1) / 2, mpf(1) / 3


def of_log_sigmoid(x):
    y, slope, bend = of_softplus(-x)
    return -y, slope, -bend


def of_gelu_tanh(x):
    if math.isnan(x):
        return NAN, NAN, NAN
    if abs(x) > 200:
        return (x, 1.0, 0.0) if x > 0 else (0.0, 0.0, 0.0)
    t, c = mpf(x), 2 * mp.sqrt(2 / mp.pi)
    b = c * mpf("0.044715")
    e = mp.exp(-(c * t + b * t ** 3))
    s = 1 / (1 + e)
    s1 = e / (1 + e) ** 2
    s2 = s1 * (e - 1) / (1 + e)
    u1, u2 = c + 3 * b * t * t, 6 * b * t
    return t * s, s + t * s1 * u1, 2 * s1 * u1 + t * (s2 * u1 * u1 + s1 * u2)


def of_relu(x):
    return (x if x > 0 or math.isnan(x) else 0.0), (1.0 if x > 0 else 0.0), 0.0


def of_silu(x):
    if math.isnan(x):
        return NAN, NAN, NAN
    if abs(x) > FAR:
        return (x, 1.0, 0.0) if x > 0 else (0.0, 0.0, 0.0)
    t = mpf(x)
    s, slope, bend = logistic(x)
    return t * s, s + t * slope, 2 * slope + t * bend


def of_gelu(x):
    if math.isnan(x):
        return NAN, NAN, NAN
    if abs(x) > 200:
        return (x, 1.0, 0.0) if x > 0 else (0.0, 0.0, 0.0)
    t = mpf(x)
    cdf = mp.erfc(-t / mp.sqrt(2)) / 2
    pdf = mp.exp(-t * t / 2) / mp.sqrt(2 * mp.pi)
    return t * cdf, cdf + t * pdf, pdf * (2 - t * t)


def of_softplus(x):
    if math.isnan(x):
        return NAN, NAN, NAN
    s = logistic(x)
    if abs(x) > FAR:
        return (x if x > 0 else 0.0), s[0], 0.0
    t = mpf(x)
    return (t if x > 0 else 0) + mp.log1p(mp.exp(-abs(t))), s[0], s[1]


def of_erf(x):
    if math.isnan(x):
        return NAN, NAN, NAN
    if abs(x) > 200:
        return math.copysign(1.0, x), 0.0, 0.0
    t = mpf(x)
    slope = 2 / mp.sqrt(mp.pi) * mp.exp(-t * t)
    return mp.erf(t), slope, -2 * t * slope


def of_erfc(x):
    y, slope, second = of_erf(x)
    if math.isnan(x) or x < -200:
        return 1 - y, slope, second
    if x > 200:
        return 0.0, -slope, second
    return mp.erfc(mpf(x)), -slope, -second


def steps(f):
    return lambda x: (float(f(np.float64(x))), 0.0, 0.0)


# ---- one operand and numbers ----


def of_leaky_relu(x, slope):
    return (x, 1.0, 0.0) if x > 0 else (product(slope, x), slope, 0.0)


def of_elu(x, alpha):
    if x >= 0 or math.isnan(x):
        return x, 1.0, 0.0
    if x == -INF:
        return -alpha, scaled(alpha, 0.0), 0.0
    e = mpf(alpha) * mp.exp(mpf(x))
    return mpf(alpha) * mp.expm1(mpf(x)), e, e


def of_hardtanh(x, low, high):
    if math.isnan(x):
        return NAN, 1.0, 0.0
    return min(max(x, low), high), (1.0 if low < x < high else 0.0), 0.0


def of_nan_to_num(x, nan, posinf, neginf):
    if real(x):
        return x, 1.0, 0.0
    return (nan if math.isnan(x) else posinf if x > 0 else neginf), 0.0, 0.0


def of_clamp(x, low, high):
    if math.isnan(x):
        return NAN, 0.0, 0.0
    return min(max(x, low), high), (1.0 if low <= x <= high else 0.0), 0.0


def total(a, b):
    return mpf(a) + mpf(b) if real(a, b) else a + b


def product(a, b):
    return mpf(a) * mpf(b) if real(a, b) else a * b


def ratio(a, b):
    return mpf(a) / mpf(b) if real(a, b) and b != 0 else quotient(a, b)


def of_pow_scalar(x, p):
    if p == 0:
        return 1.0, 0.0, 0.0
    c = [1.0, p, p * (p - 1)]
    if real(x) and x != 0:
        if x < 0 and p != int(p):
            return power(x, p), NAN, 0.0 if c[2] == 0 else NAN
        return tuple(c[k] * mp.power(mpf(x), mpf(p) - k) if c[k] else 0.0 for k in range(3))
    return tuple(scaled(c[k], power(x, p - k)) for k in range(3))


def of_rdiv(x, s):
    if math.isnan(x) or math.isnan(s) or (x == 0 and s == 0) or (math.isinf(x) and math.isinf(s)):
        return NAN, NAN, NAN
    if real(x, s) and x != 0:
        return mpf(s) / mpf(x), -mpf(s) / mpf(x) ** 2, 2 * mpf(s) / mpf(x) ** 3
    y = quotient(s, x)
    return y, -quotient(y, x), 2 * quotient(quotient(y, x), x)


def of_rpow(x, s):
    y = power(s, x)
    if s == 0:
        if math.isnan(x):
            return NAN, NAN, NAN
        return (y, 0.0, 0.0) if x >= 0 else (INF, -INF, INF)
    if s < 0:
        return y if not real(x) or y != y else mp.power(mpf(s), mpf(x)), NAN, NAN
    if s == 1:
        return (1.0, 0.0, 0.0) if not math.isnan(x) else (1.0, SILENT, SILENT)
    log = mp.log(mpf(s))
    if real(x):
        v = mp.power(mpf(s), mpf(x))
        return v, v * log, v * log * log
    sign = 1.0 if log > 0 else -1.0
    return y, scaled(y, sign), y


# ---- two operands: value, a, b, aa, ab, bb ----


def of_div(a, b):
    y = ratio(a, b)
    if real(a, b) and b != 0:
        a, b = mpf(a), mpf(b)
        return y, 1 / b, -a / b ** 2, 0.0, -1 / b ** 2, 2 * a / b ** 3
    da = quotient(1, b)
    db = -quotient(quotient(a, b), b)
    return y, da, db, 0.0, -quotient(da, b), 2 * quotient(quotient(quotient(a, b), b), b)


def of_mul(a, b):
    return product(a, b), b, a, 0.0, 1.0, 0.0


def extreme(sign):
    def of(a, b):
        if math.isnan(a) or math.isnan(b):
            chosen = 1.0 if math.isnan(a) else 0.0
            return NAN, chosen, 1 - chosen, 0.0, 0.0, 0.0
        first = 0.5 if a == b else 1.0 if sign * a > sign * b else 0.0
        return (max(a, b) if sign > 0 else min(a, b)), first, 1 - first, 0.0, 0.0, 0.0
    return of


def of_glu(a, b):
    s, slope, bend = logistic(b)
    wide = [mpf(v) if not (isinstance(v, float) and not math.isfinite(v)) else v for v in (s, slope, bend)]
    if not real(a, b):
        return tuple(SILENT for _ in range(6))
    return mpf(a) * wide[0], s, mpf(a) * wide[1], 0.0, slope, mpf(a) * wide[2]


def of_atan2(a, b):
    if math.isnan(a) or math.isnan(b):
        return (NAN,) * 6
    if not real(a, b) or (a == 0 and b == 0):
        return (math.atan2(a, b),) + (0.0,) * 5
    y = mp.atan2(mpf(a), mpf(b)) if a != 0 else math.copysign(mp.pi if math.copysign(1, b) < 0 else 0, a)
    a, b = mpf(a), mpf(b)
    s = a * a + b * b
    return y, b / s, -a / s, -2 * a * b / s ** 2, (a * a - b * b) / s ** 2, 2 * a * b / s ** 2


def of_floor_divide(a, b):
    if not real(a) or math.isnan(b) or b == 0:
        return SILENT, 0.0, 0.0, 0.0, 0.0, 0.0
    if math.isinf(b):
        return (0.0 if a == 0 or (a > 0) == (b > 0) else -1.0), 0.0, 0.0, 0.0, 0.0, 0.0
    return mpf(math.floor(Fraction(a) / Fraction(b))), 0.0, 0.0, 0.0, 0.0, 0.0


def by_number(of):
    """the first operand's part of an op of two"""
    def one(x, s):
        y, slope, _, bend, _, _ = of(x, s)
        return y, slope, bend
    return one


def of_logaddexp(a, b):
    if math.isnan(a) or math.isnan(b):
        return (NAN,) * 6
    if math.isinf(a) and a == b:
        return (a,) + (SILENT,) * 5
    if not real(a, b):
        first = 1.0 if a > b else 0.0
        return max(a, b), first, 1 - first, 0.0, 0.0, 0.0
    d = mpf(a) - mpf(b)
    if abs(d) > FAR:
        first = 1.0 if d > 0 else 0.0
        return max(a, b), first, 1 - first, 0.0, 0.0, 0.0
    e = mp.exp(-d)
    s1 = e / (1 + e) ** 2
    y = max(mpf(a), mpf(b)) + mp.log1p(mp.exp(-abs(d)))
    return y, 1 / (1 + e), e / (1 + e), s1, -s1, s1


def of_remainder(a, b):
    if not real(a) or math.isnan(b) or b == 0:
        return NAN, 1.0, SILENT, 0.0, 0.0, 0.0
    if math.isinf(b):
        same = a == 0 or (a > 0) == (b > 0)
        return (a if same else b), 1.0, SILENT, 0.0, 0.0, 0.0
    q = math.floor(Fraction(a) / Fraction(b))
    r = Fraction(a) - q * Fraction(b)
    return mpf(r.numerator) / r.denominator, 1.0, -mpf(q), 0.0, 0.0, 0.0


def pow_regular(a, b):
    """finite, a > 0; or a < 0 and b an integer, where a has the power's derivatives and b has none"""
    x, e = mpf(a), mpf(b)
    y = mp.power(x, e)
    da = e * mp.power(x, e - 1)
    daa = e * (e - 1) * mp.power(x, e - 2)
    if a < 0:
        return y, da, NAN, daa, (1 / x if b == 0 else NAN), NAN
    log = mp.log(x)
    return y, da, y * log, daa, mp.power(x, e - 1) * (1 + e * log), y * log * log


def pow_of_zero(a, b):
    """a is 0 or -0"""
    if math.isnan(b):
        return (NAN,) * 6
    if b == INF:
        return (0.0,) * 6
    y = power(a, b)
    da = scaled(b, power(a, b - 1))
    daa = scaled(b * (b - 1), power(a, b - 2)) if real(b) else INF
    db = 0.0 if b >= 0 else -y
    dab = 0.0 if b > 1 else power(a, b - 1) * (-INF if b > 0 else 1 if b == 0 else INF)
    if math.copysign(1, a) < 0 and b != 0 and not 0.1 < abs(b) < 1e9:
        return y, OPEN, db, OPEN, OPEN, 0.0 if b >= 0 else OPEN     # b - 1 is rounded to another parity
    return y, da, db, daa, dab, 0.0 if b >= 0 else y


def pow_of_inf(b):
    if math.isnan(b):
        return (NAN,) * 6
    y = power(INF, b)
    da = scaled(b, power(INF, b - 1))
    daa = scaled(b * (b - 1), power(INF, b - 2))
    if b < 0:
        return y, da if real(b) else 0.0, 0.0, daa if real(b) else 0.0, 0.0, 0.0
    return y, da, INF, daa, INF if b >= 1 else 0.0, INF


def of_pow(a, b):
    if math.isnan(a):
        if b == 0:
            return 1.0, 0.0, NAN, 0.0, NAN, NAN
        return NAN, 1.0 if b == 1 else NAN, NAN, (0.0 if b == 1 else 2.0 if b == 2 else NAN), NAN, NAN
    if math.isnan(b):
        return (NAN,) * 6 if a != 1 else (1.0,) + (SILENT,) * 5
    if a == 0:
        return pow_of_zero(a, b)
    if a == INF:
        return pow_of_inf(b)
    if a < 0 and (not real(b) or (b != int(b) and abs(b) < 0.1)):
        return (power(a, b),) + (OPEN,) * 5     # no derivative, and b - 1 is rounded to an integer
    if a == -INF and abs(b) > 1e9:
        return (power(a, b),) + (OPEN,) * 5     # b - 1 is rounded to another parity
    if a == -INF and b == 0:
        return 1.0, 0.0, NAN, 0.0, 0.0, NAN
    if a < 0 and (not real(a) or b != int(b)):
        return (power(a, b),) + (SILENT,) * 5
    if math.isinf(b):
        if a == 1:
            return (1.0,) + (SILENT,) * 5
        if (a > 1) == (b < 0):
            return (0.0,) * 6
        s = 1.0 if b > 0 else -1.0
        return INF, s * INF, (INF if a > 1 else -INF), INF, INF, INF
    return pow_regular(a, b)


# ---- reductions of a row: value, gradient, column 0 of the second derivatives ----


def of_norm(x, p):
    t = [mpf(v) for v in x]
    size = [abs(v) for v in t]
    n = len(x)
    most, least = max(size), min(size)
    if p == 0:
        return mpf(sum(v != 0 for v in t)), [0.0] * n, [0.0] * n
    if math.isinf(p):
        y = most if p > 0 else least
        ties = sum(v == y for v in size)
        g = [mp.sign(v) / ties if s == y else 0.0 for v, s in zip(t, size)]
        return y, g, None
    if most == 0 or (p < 0 and least == 0):
        return 0.0, [0.0] * n, None if p < 0 else [0.0] * n
    y = mp.power(sum(mp.power(s, p) for s in size if s), mpf(1) / p)
    g = [mp.sign(v) * mp.power(s / y, p - 1) if s else mpf(0) for v, s in zip(t, size)]
    if p != 2 and least == 0:
        return y, g, None
    h = [(p - 1) / y * ((mp.power(size[0] / y, p - 2) if i == 0 and size[0] else 1 if i == 0 and p == 2 else 0)
                        - g[0] * g[i]) for i in range(n)]
    return y, g, h


def of_std(x, correction, root=True):
    t = [mpf(v) for v in x]
    n = len(x)
    mean, divisor = sum(t) / n, mpf(n) - mpf(correction)
    var = sum((v - mean) ** 2 for v in t) / divisor
    if not root:
        return var, [2 * (v - mean) / divisor for v in t], [2 * ((i == 0) - mpf(1) / n) / divisor for i in range(n)]
    if var == 0:
        return 0.0, [0.0] * n, [0.0] * n
    y = mp.sqrt(var)
    g = [(v - mean) / (divisor * y) for v in t]
    return y, g, [(((i == 0) - mpf(1) / n) / divisor - g[0] * g[i]) / y for i in range(n)]


def of_logsumexp(x, _):
    n = len(x)
    if max(x) == -INF:
        return -INF, [0.0] * n, [0.0] * n
    most = mpf(max(x))
    e = [mp.exp(mpf(v) - most) if v > -INF else mpf(0) for v in x]
    s = sum(e)
    g = [v / s for v in e]
    return most + mp.log(s), g, [g[0] * ((i == 0) - g[i]) for i in range(n)]


# ---- functions of rows with values y; each gives y, g, h and the sizes of their operands ----

ROW_WEIGHTS = [1.0, -0.5, 2.0]      # of the values of a row, repeated


def weights(n):
    return [mpf(ROW_WEIGHTS[k % len(ROW_WEIGHTS)]) for k in range(n)]


def derivatives_of(f, x):
    """Values and derivatives of f(row, base) by differences: 9000 bits leave more than 200 right. A
    maximum whose gradient passes is linear about base."""
    step, base = mpf(2) ** -1500, [mpf(v) for v in x]

    def at(*moves):
        row = list(base)
        for i, s in moves:
            row[i] += s * step
        y = f(row, base)
        return sum(w * v for w, v in zip(weights(len(y)), y))

    g, h, here = [], [], at()
    for i in range(len(x)):
        up, down = at((i, 1)), at((i, -1))
        g.append((up - down) / (2 * step))
        h.append((up - 2 * here + down) / step ** 2 if i == 0 else
                 (at((0, 1), (i, 1)) - at((0, 1), (i, -1)) - at((0, -1), (i, 1)) + at((0, -1), (i, -1))) / (4 * step ** 2))
    return f(base, base), g, h


def norm_of(x):
    return mp.sqrt(sum(v * v for v in x))


def raised(n, base, low):
    """max(n, low), whose gradient passes to n"""
    return max(base, mpf(low)) + n - base


def normal(x, eps, centred):
    n = len(x)
    mean = sum(x) / n if centred else mpf(0)
    scale = 1 / mp.sqrt(sum((v - mean) ** 2 for v in x) / n + mpf(eps))
    return [(v - mean) * scale for v in x], scale


def normal_sizes(x, eps, centred):
    z, s = normal([mpf(v) for v in x], eps, centred)
    lost = 1 + (max(abs(mpf(v)) for v in x) * s if centred else 0)
    wide = lost * (1 + max(abs(v) for v in z) ** 2)
    return [wide], [2 * s * wide], [4 * s * s * wide * wide]


def of_normal(centred, parts=1):
    def of(x, eps):
        size = len(x) // parts

        def f(row, base):
            return [v for k in range(parts) for v in normal(row[k * size:(k + 1) * size], eps, centred)[0]]
        if eps == 0 and any(len(set(x[k * size:(k + 1) * size])) == 1 and (centred or not any(x)) for k in range(parts)):
            return None     # 0 / 0
        sizes = [normal_sizes(x[k * size:(k + 1) * size], eps, centred) for k in range(parts)]
        return *derivatives_of(f, x), *([v for s in sizes for v in s[k] * size] for k in range(3))
    return of


def cosine_sizes(na, nb, n):
    return [mpf(1)], [2 / na] * n + [2 / nb] * n, [8 / na / na] * n + [8 / na / nb] * n


def of_cosine(x, eps):
    n = len(x) // 2

    def f(row, base):
        a, b, a0, b0 = row[:n], row[n:], base[:n], base[n:]
        na, nb = raised(norm_of(a), norm_of(a0), eps), raised(norm_of(b), norm_of(b0), eps)
        return [sum(v * w for v, w in zip(a, b)) / na / nb]
    t = [mpf(v) for v in x]
    return *derivatives_of(f, x), *cosine_sizes(max(norm_of(t[:n]), mpf(eps)), max(norm_of(t[n:]), mpf(eps)), n)


def of_cosine_embedding(x, _):
    n, small = len(x) // 2, mpf(1e-12)

    def f(row, base):
        a, b = row[:n], row[n:]
        return [1 - sum(v * w for v, w in zip(a, b)) / mp.sqrt(sum(v * v for v in a) + small) / mp.sqrt(sum(v * v for v in b) + small)]
    t = [mpf(v) for v in x]
    return *derivatives_of(f, x), *cosine_sizes(mp.sqrt(norm_of(t[:n]) ** 2 + small), mp.sqrt(norm_of(t[n:]) ** 2 + small), n)


def of_gaussian(x, eps):
    def f(row, base):
        v = raised(row[2], base[2], eps)
        return [(mp.log(v) + (row[0] - row[1]) ** 2 / v) / 2]
    v, e = max(mpf(x[2]), mpf(eps)), abs(mpf(x[0]) - mpf(x[1]))
    return *derivatives_of(f, x), [1 + abs(mp.log(v)) + e * e / v], [e / v, e / v, 1 / v + e * e / v / v], [1 / v, 1 / v, e / v / v]


def of_triplet(x, p):
    n, eps = len(x) // 3, mpf(1e-6)

    def far(a, b):
        return norm_of([v - w + eps for v, w in zip(a, b)])

    def f(row, base):
        return [max(0, 1 + far(row[:n], row[n:2 * n]) - far(row[:n], row[2 * n:]))]
    t = [mpf(v) for v in x]
    near, distant = far(t[:n], t[n:2 * n]), far(t[:n], t[2 * n:])
    return *derivatives_of(f, x), [1 + near + distant], [mpf(2)], [4 / near + 4 / distant]


def exponentials(x):
    most = mpf(max(x))
    e = [mp.exp(mpf(v) - most) if v > -INF else mpf(0) for v in x]
    return [v / sum(e) for v in e], most, mp.log(sum(e))


def of_softmax(x, _):
    if max(x) == -INF:
        return None
    y, most, _ = exponentials(x)
    c = weights(len(x))
    s = sum(v * w for v, w in zip(y, c))
    size = [v * (1 + min(most - mpf(u), 1000)) if u > -INF else mpf(0) for v, u in zip(y, x)]
    return (y, [v * (w - s) for v, w in zip(y, c)],
            [y[0] * ((i == 0) - y[i]) * (c[0] - s) - y[0] * y[i] * (c[i] - s) for i in range(len(x))],
            size, [8 * max(size)], [16 * max(size)])


def of_log_softmax(x, _):
    if max(x) == -INF:
        return None
    y, most, log = exponentials(x)
    c = weights(len(x))
    size = 1 + max(min(most - mpf(u), 1000) * v for u, v in zip(x, y) if u > -INF)
    return ([mpf(u) - most - log if u > -INF else -INF for u in x], [w - v * sum(c) for v, w in zip(y, c)],
            [-sum(c) * y[0] * ((i == 0) - y[i]) for i in range(len(x))],
            [abs(mpf(u) - most) + log + 1 if u > -INF else mpf(0) for u in x], [8 * size], [8 * size])


# ---- operands ----


def signed(values):
    return [s * v for v in values for s in (1, -1)]


def common(dtype):
    """Edges of every op: zeros, subnormals, smallest normals, near 1, halves, large, max, inf, NaN."""
    _, _, digits, least, most = TYPES[dtype]
    eps = 2.0 ** (1 - digits)
    f32 = dtype == "f32"
    sizes = [0.0, 2.0 ** least, 2.0 ** (least + 9) * 1.25, 2.0 ** (least + digits - 1),
             2.0 ** (least * 2 // 3), 2.0 ** (least // 3), 1e-10, eps, 0.1, 0.5, 1 - eps / 2, 1.0, 1 + eps,
             1.5, 2.0, 2.5, 3.0, 9.0, 10.5, 20.0, 40.0, 1e4, 2.0 ** digits, 1e10,
             2.0 ** (most // 2), 2.0 ** (most // 2 - 1), 2.0 ** (most * 3 // 4), (2 - eps) * 2.0 ** (most - 1), INF]
    sizes += [1e-20, 1e-30, 88.0, 88.5, 88.75, 103.0, 104.5, 1e19, 1e20] if f32 else \
        [1e-154, 1e-200, 308.0, 708.0, 709.75, 710.0, 744.0, 746.5, 1e154, 1e200]
    return signed(sizes) + [NAN]


NEAR_1 = [1 - 2900 * 2.0 ** -23, 1 - 2901 * 2.0 ** -24, 1 - 70000001 * 2.0 ** -53, 1 - 94906265 * 2.0 ** -52]    # 1 - x^2 loses digits
SPECIAL = {
    "ct_asin": signed(NEAR_1), "ct_acos": signed(NEAR_1), "ct_atanh": signed(NEAR_1),
    "ct_acosh": [1 + (1 - v) * 2 for v in NEAR_1],
    "ct_log1p": [-0.75, -0.999], "ct_sin": [1.5707963267948966, 3.141592653589793, 6.283185307179586, 1e5, 1e22],
    "ct_cos": [1.5707963267948966, 3.141592653589793, -4.71238898038469, 1e5, 1e22],
    "ct_tanh": [0.625, -0.3, 19.25, 22.0, 5.0], "ct_sigmoid": [-16.0, 17.0, 36.0, 37.5, -87.25],
    "ct_silu": [-1.2784645, -16.0, 17.0, 37.0, -87.25], "ct_gelu": [-0.7517915, -5.5, 6.0, -8.5, -13.0],
    "ct_softplus": [-16.0, 17.0, 33.0, -37.0], "ct_erf": [0.4, 0.84375, 1.25, 3.9, 4.1, 5.9, 6.1, -27.0],
    "ct_erfc": [0.4, 0.92, 0.94, 1.25, 3.9, 9.1, 9.2, 10.1, 10.3, 26.5, 27.3, -0.5, -3.9, -27.0],
    "ct_round": [-1.5, 3.5, 4.5, -3.5, 0.25, 8388607.5, 4503599627370495.5],
    "ct_floor": [-1.5, 3.5, 0.75, 8388607.5, 4503599627370495.5],
    "ct_ceil": [-1.5, 3.5, 0.75, 8388607.5, 4503599627370495.5],
}


def few(dtype):
    """For ops with a number, in so many combinations."""
    _, _, digits, least, most = TYPES[dtype]
    eps = 2.0 ** (1 - digits)
    sizes = [0.0, 2.0 ** least, 2.0 ** (least + 9) * 1.25, 2.0 ** (least + digits - 1), 1e-25 if dtype == "f32" else 1e-180, 1e-10,
             0.5, 1 - eps / 2, 1.0, 1.5, 2.0, 3.0, 20.0, 90.0 if dtype == "f32" else 710.0, 1e10,
             1e15 if dtype == "f32" else 1e120, 2.0 ** (most // 2), (2 - eps) * 2.0 ** (most - 1), INF]
    return signed(sizes) + [NAN]


def first(dtype):
    """Pairs of these."""
    _, _, digits, least, most = TYPES[dtype]
    eps = 2.0 ** (1 - digits)
    sizes = [0.0, 2.0 ** least * 5, 2.0 ** (least + digits - 1), 1e-15, 0.5, 1.0, 2.0, 3.0, 1e15, (2 - eps) * 2.0 ** (most - 1), INF]
    return signed(sizes) + [1 - eps / 2, 1 + eps, NAN]


def second(dtype):
    _, _, digits, least, most = TYPES[dtype]
    return signed([0.0, 2.0 ** (least + digits + 4), 1e-15, 0.5, 1.0, 1.5, 2.0, 3.0, 20.0, 1e15, INF]) + [NAN]


def rows_of(dtype, wide):
    _, _, digits, least, most = TYPES[dtype]
    eps = 2.0 ** (1 - digits)
    k = [least, least + 5, least + digits - 1, most // 3 * -2, -most // 2, -most // 3, -most // 5, 0,
         most // 5, most // 3, most // 2 - 1, most // 2, most * 2 // 3, most - 24, most - 2]
    shapes = [(1, -1, 0), (1, 0, 0), (1, 1, 1), (1, 0.5, 0.25), (1, -2, 3), (1, 1 + 64 * eps, 1), (-1, -1, 1), (3, -3, 3), (1.5, 0.001, 0)]
    out = []
    for e in k:
        for s in shapes:
            row = tuple(rounded(mpf(v) * mpf(2) ** e, dtype) for v in s)
            if all(map(math.isfinite, row)) and row not in out and any(row):
                out.append(row)
    return out + [(0.0, 0.0, 0.0)]


# ---- the table ----



def floor_divide(a, b):
    """torch.floor_divide, which PyTorch cannot differentiate, without history"""
    return torch.floor_divide(a.detach(), b.detach() if torch.is_tensor(b) else b)


UNARY = [
    ("ct_neg", of_neg, torch.neg), ("ct_abs", of_abs, torch.abs), ("ct_sign", of_sign, torch.sign),
    ("ct_square", of_square, torch.square), ("ct_exp", of_exp, torch.exp), ("ct_expm1", of_expm1, torch.expm1),
    ("ct_log", of_log, torch.log), ("ct_log1p", of_log1p, torch.log1p), ("ct_sqrt", of_sqrt, torch.sqrt),
    ("ct_rsqrt", of_rsqrt, torch.rsqrt), ("ct_reciprocal", of_reciprocal, torch.reciprocal),
    ("ct_sin", of_sin, torch.sin), ("ct_cos", of_cos, torch.cos), ("ct_tanh", of_tanh, torch.tanh),
    ("ct_sigmoid", logistic, torch.sigmoid), ("ct_relu", of_relu, torch.relu),
    ("ct_silu", of_silu, torch.nn.functional.silu), ("ct_gelu", of_gelu, torch.nn.functional.gelu),
    ("ct_softplus", of_softplus, torch.nn.functional.softplus), ("ct_erf", of_erf, torch.erf), ("ct_erfc", of_erfc, torch.erfc),
    ("ct_floor", steps(np.floor), torch.floor), ("ct_ceil", steps(np.ceil), torch.ceil),
    ("ct_round", steps(np.rint), torch.round),
    ("ct_tan", of_tan, torch.tan), ("ct_asin", of_asin, torch.asin), ("ct_acos", of_acos, torch.acos),
    ("ct_atan", of_atan, torch.atan), ("ct_asinh", of_asinh, torch.asinh), ("ct_acosh", of_acosh, torch.acosh),
    ("ct_atanh", of_atanh, torch.atanh),
    ("ct_sinh", of_sinh, torch.sinh), ("ct_cosh", of_cosh, torch.cosh),
    ("ct_exp2", of_exp2, torch.exp2), ("ct_log2", log_to(2), torch.log2), ("ct_log10", log_to(10), torch.log10),
    ("ct_softsign", of_softsign, torch.nn.functional.softsign), ("ct_mish", of_mish, torch.nn.functional.mish),
    ("ct_hardsigmoid", of_hardsigmoid, lambda x: torch.nn.functional.relu6(x + 3) / 6),
    ("ct_hardswish", of_hardswish, lambda x: x * torch.nn.functional.relu6(x + 3) / 6),
    ("ct_log_sigmoid", of_log_sigmoid, torch.nn.functional.logsigmoid),
    ("ct_gelu_tanh", of_gelu_tanh, lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
]
NUMBERED = [
    ("ct_leaky_relu", of_leaky_relu, torch.nn.functional.leaky_relu, [(0.25,), (0.0,), (-2.0,)]),
    ("ct_elu", of_elu, torch.nn.functional.elu, [(1.0,), (0.5,), (3.0,)]),
    ("ct_hardtanh", of_hardtanh, torch.nn.functional.hardtanh, [(-1.0, 1.0), (0.5, 2.0), (-INF, 20.0)]),
    ("ct_clamp", of_clamp, torch.clamp, [(-1.0, 1.0), (0.5, 0.5), (-3.0, INF)]),
    ("ct_add_scalar", lambda x, s: (total(x, s), 1.0, 0.0), lambda x, s: x + s, [(1.0,), (-0.5,), (INF,), (NAN,)]),
    ("ct_sub_scalar", lambda x, s: (total(x, -s), 1.0, 0.0), lambda x, s: x - s, [(1.0,), (1e10,), (INF,)]),
    ("ct_rsub_scalar", lambda x, s: (total(s, -x), -1.0, 0.0), lambda x, s: s - x, [(1.0,), (1e10,), (-INF,)]),
    ("ct_mul_scalar", lambda x, s: (product(s, x), s, 0.0), lambda x, s: x * s, [(0.0,), (3.0,), (2.0 ** -20,), (INF,), (NAN,)]),
    ("ct_div_scalar", lambda x, s: (ratio(x, s), quotient(1, s) if s == 0 or not real(s) else 1 / mpf(s), 0.0), lambda x, s: x / s,
     [(0.0,), (3.0,), (2.0 ** -20,), (INF,), (-41.0,)]),
    ("ct_remainder_scalar", by_number(of_remainder), torch.remainder, [(3.0,), (-0.5,), (0.0,), (INF,)]),
    ("ct_floor_divide_scalar", by_number(of_floor_divide), floor_divide, [(3.0,), (-0.5,), (0.0,), (INF,)]),
    ("ct_pow_scalar", of_pow_scalar, torch.pow,
     [(v,) for v in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, -0.5, -1.0, -2.0, -3.0, 2.0 ** -20, 200.0)]),
    ("ct_rdiv_scalar", of_rdiv, lambda x, s: s / x, [(0.0,), (1.0,), (-3.0,), (2.0 ** -60,), (2.0 ** 60,), (INF,)]),
    ("ct_nan_to_num", of_nan_to_num, torch.nan_to_num, [(1.0, 2.0, 3.0)]),
    ("ct_rpow_scalar", of_rpow, lambda x, s: torch.pow(s, x), [(0.0,), (0.5,), (1.0,), (3.0,), (-2.0,), (2.0 ** -40,), (2.0 ** 100,)]),
]
BINARY = [
    ("ct_add", lambda a, b: (total(a, b), 1.0, 1.0, 0.0, 0.0, 0.0), torch.add),
    ("ct_sub", lambda a, b: (total(a, -b), 1.0, -1.0, 0.0, 0.0, 0.0), torch.sub),
    ("ct_mul", of_mul, torch.mul), ("ct_div", of_div, torch.div), ("ct_pow", of_pow, torch.pow),
    ("ct_maximum", extreme(1), torch.maximum), ("ct_minimum", extreme(-1), torch.minimum),
    ("ct_glu", of_glu, lambda a, b: a * torch.sigmoid(b)),
    ("ct_logaddexp", of_logaddexp, torch.logaddexp),
    ("ct_remainder", of_remainder, torch.remainder),
    ("ct_floor_divide", of_floor_divide, floor_divide),
    ("ct_atan2", of_atan2, torch.atan2),
]
COMPARED = [("ct_eq", torch.eq), ("ct_ne", torch.ne), ("ct_lt", torch.lt), ("ct_le", torch.le), ("ct_gt", torch.gt), ("ct_ge", torch.ge)]
TESTED = [("ct_isfinite", torch.isfinite), ("ct_isnan", torch.isnan), ("ct_isinf", torch.isinf)]
ROWS = [("ct_norm_axis", of_norm, [2.0, 1.0, 0.5, 3.0, 10.0, 200.0, -1.0, 0.0, INF, -INF]),
        ("ct_std_axis", of_std, [1.0, 0.0, 0.5]),
        ("ct_var_axis", lambda x, c: of_std(x, c, False), [1.0, 0.0]),
        ("ct_logsumexp_axis", of_logsumexp, [0.0])]




def beside(f, parts):
    """f of `parts` operands, which lie side by side in a row"""
    return lambda t, p: f(*torch.chunk(t, parts, 1), p).reshape(len(t), -1)


FUNCTIONAL = torch.nn.functional
MAPS = [    # the function, ours, PyTorch's, numbers, the kind of rows
    ("ct_softmax", of_softmax, lambda t, p: torch.softmax(t, 1), [0.0], "exponents"),
    ("ct_log_softmax", of_log_softmax, lambda t, p: torch.log_softmax(t, 1), [0.0], "exponents"),
    ("ct_layer_norm", of_normal(True), lambda t, p: FUNCTIONAL.layer_norm(t, t.shape[1:], eps=p), [1e-5, 0.0], "rows"),
    ("ct_rms_norm", of_normal(False), lambda t, p: FUNCTIONAL.rms_norm(t, t.shape[1:], eps=p), [1e-5, 0.0], "rows"),
    ("ct_group_norm", of_normal(True, 2), lambda t, p: FUNCTIONAL.group_norm(t, 2, eps=p), [1e-5], "pairs"),
    ("ct_batch_norm", of_normal(True), lambda t, p: FUNCTIONAL.batch_norm(t.T, None, None, training=True, eps=p).T, [1e-5], "rows"),
    ("ct_cosine_similarity", of_cosine, beside(lambda a, b, p: FUNCTIONAL.cosine_similarity(a, b, 1, p), 2), [1e-8], "pairs"),
    ("ct_cosine_embedding_loss", of_cosine_embedding,
     beside(lambda a, b, p: FUNCTIONAL.cosine_embedding_loss(a, b, torch.ones(len(a)), reduction="none"), 2), [0.0], "pairs"),
    ("ct_gaussian_nll_loss", of_gaussian,
     beside(lambda x, t, v, p: FUNCTIONAL.gaussian_nll_loss(x, t, v, eps=p, reduction="none"), 3), [1e-6], "gaussian"),
    ("ct_triplet_margin_loss", of_triplet,
     beside(lambda a, b, c, p: FUNCTIONAL.triplet_margin_loss(a, b, c, reduction="none"), 3), [0.0], "triplets"),
]


def all_rows(kind, dtype):
    """Lists of rows: ordinary, with large or small numbers, not finite."""
    big, tiny = (1e30, 1e-30) if dtype == "f32" else (1e250, 1e-250)
    top = TYPES[dtype][4]
    if kind == "exponents":
        return [[(0.0, 0.0, 0.0), (1.0, -2.0, 0.5), (2.0, 3.0, 2.5), (1e4, 1e4, 1e4 - 1), (1.0, -90.0, -110.0), (-1000.0, -1001.0, -1002.0)],
                [(big, big, -big), (-big, -big, -big), (1000.0, 0.0, -1000.0), (tiny, 0.0, -tiny), (-INF, 0.0, 1.0), (-INF, -INF, 2.0), (2.0, 2.0, -INF)],
                [(INF, 0.0, 1.0), (INF, INF, 1.0), (-INF, INF, 0.0), (NAN, 0.0, 1.0), (-INF, -INF, -INF), (-INF, NAN, 0.0)]]
    shapes = [(1, -1, 0.5), (1, 1, 1), (1, 0.5, 0.25), (3, -3, 3.5), (0, 0, -1), (1, 1 + 2.0 ** -8, 1)]
    if kind == "gaussian":
        return [[(1.0, 2.0, 0.5), (0.0, 0.0, 1.0), (3.0, -1.0, 1e-7), (0.0, 2.0, 0.0)],
                [(s * v, t * v, w) for v in (big, tiny, 2.0 ** (top // 2)) for s, t in ((1.0, -1.0), (2.0, 0.0)) for w in (1.0, 1e30, 1e10)],
                [(INF, 0.0, 1.0), (INF, INF, 1.0), (NAN, 0.0, 1.0), (0.0, 1.0, INF)]]
    if kind == "triplets":
        return [[(1.0, 2.0, 3.0, -1.0, 2.0, 0.0, 1.0, 2.5, 3.0)],
                [tuple(v * s for v in (1.0, 2.0, 3.0, -1.0, 2.0, 0.0, 1.0, 2.5, 3.0)) for s in (big, 2.0 ** (top // 2), 2.0 ** (top - 4))],
                [(INF,) + (1.0,) * 8, (NAN,) + (1.0,) * 8]]
    wide = 2 if kind == "pairs" else 1
    powers = [-top, -top * 3 // 4, -top // 2, -top // 4, -top // 6, top // 6, top // 3, top // 2 - 2, top // 2, top // 2 + 2, top * 3 // 4, top - 2]

    def rows(exponents):
        out = []
        for e in exponents:
            for i, s in enumerate(shapes):
                other = shapes[(i + 2) % len(shapes)]
                out.append(tuple(math.ldexp(v, e) for v in s + (other if wide == 2 else ())))
                if wide == 2:   # one operand large or small beside an ordinary one
                    out.append(tuple(math.ldexp(v, e) for v in s) + other)
        return out
    bad = [(INF, 1.0, 2.0), (1.0, -INF, INF), (NAN, 1.0, 2.0), (big, INF, big), (INF, INF, INF)]
    zero = [(0.0,) * 3 * wide] + ([(0.0, 0.0, 0.0, 1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 0.0, 0.0, 0.0)] if wide == 2 else [])
    return [rows([0, 3]) + zero, rows(powers), [b + (1.0, 2.0, 3.0) * (wide - 1) for b in bad]]


def long_rows(dtype):
    """Rows that fill vectors, with sums and squares that overflow or underflow."""
    top = TYPES[dtype][4]
    shape = [math.sin(k) + (1.5 if k == 7 else 0) for k in range(40)]
    return [tuple(math.ldexp(v, e) for v in shape) for e in (-top // 2 - 8, 0, top // 2 + 2, top - 3)]


# ---- PyTorch's ----


def derivative(g, x):
    if not g.requires_grad:
        return torch.zeros_like(x)
    d, = torch.autograd.grad(g.sum(), x, create_graph=True, allow_unused=True)
    return torch.zeros_like(x) if d is None else d


def torch_of(f, operands, dtype):
    t = [torch.tensor(v, dtype=TYPES[dtype][1], requires_grad=True) for v in operands]
    y = f(*t)
    g = [derivative(y, v) for v in t]
    out = [y] + g + [derivative(g[i], t[j]) for i in range(len(t)) for j in range(i, len(t))]
    return [(v.detach().double() + 0.0).tolist() for v in out]


# ---- comparison ----

seen = {"regular": 0, "decided": 0, "silent": 0, "cases": 0}
problems = []


def regular(name, operands, numbers):
    """Kind 1: finite operands, no border of the domain and no jump of a derivative."""
    if not real(*operands):
        return False
    if name in ("ct_asin", "ct_acos", "ct_atanh"):
        return abs(operands[0]) < 1
    if name == "ct_acosh":
        return operands[0] > 1
    if name == "ct_atan2":
        return operands[1] != 0 or operands[0] != 0
    if name in ("ct_remainder_scalar", "ct_floor_divide_scalar"):
        return numbers[0] != 0 and operands[0] != 0
    if name == "ct_floor_divide":
        return operands[1] != 0 and operands[0] != 0
    if name in ("ct_hardsigmoid", "ct_hardswish"):
        return abs(operands[0]) != 3
    if name == "ct_softsign":
        return operands[0] != 0
    if name == "ct_remainder":
        return operands[1] != 0 and operands[0] != 0
    if name in ("ct_log2", "ct_log10"):
        return operands[0] != 0
    if name in ("ct_log", "ct_sqrt", "ct_rsqrt"):
        return operands[0] > 0
    if name == "ct_log1p":
        return operands[0] > -1
    if name in ("ct_abs", "ct_sign", "ct_relu", "ct_reciprocal", "ct_leaky_relu", "ct_elu", "ct_rdiv_scalar", "ct_floor", "ct_ceil", "ct_round"):
        return operands[0] != 0
    if name in ("ct_hardtanh", "ct_clamp"):
        return operands[0] not in numbers
    if name == "ct_rpow_scalar":
        return numbers[0] > 0
    if name == "ct_pow_scalar":
        return operands[0] > 0 or (numbers[0] == int(numbers[0]) and operands[0] != 0)
    if name == "ct_div":
        return operands[1] != 0
    if name == "ct_pow":
        return operands[0] > 0 and operands[1] != 0
    if name in ("ct_maximum", "ct_minimum"):
        return operands[0] != operands[1]
    return name not in ("ct_div_scalar", "ct_mul_scalar", "ct_add_scalar", "ct_sub_scalar", "ct_rsub_scalar") or real(*numbers)


def agree(a, b, dtype):
    if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
        return a == b or (math.isnan(a) and math.isnan(b))
    _, _, digits, least, _ = TYPES[dtype]
    return abs(a - b) <= 64 * 2.0 ** -digits * abs(b) + 2.0 ** (least + digits)


def judge(name, key, operands, numbers, ours, theirs, dtype):
    if ours == OPEN:
        return None
    seen["cases"] += 1
    if ours == SILENT:
        seen["silent"] += 1
        return theirs
    r = rounded(ours, dtype)
    if agree(r, theirs, dtype):
        return r
    if regular(name, operands, numbers):
        seen["regular"] += 1
        return r
    for n, k, which, _ in DECIDED:
        if n == name and k in ("*", key) and which(*operands, *numbers):
            seen["decided"] += 1
            return r
    problems.append(f"{name} {key} {dtype} {operands} {numbers}: {r} here, {theirs} there")
    return r


def exact(values, dtype):
    out = []
    for v in values:
        v = float(TYPES[dtype][0](v))
        if not any(repr(v) == repr(u) for u in out):
            out.append(v)
    return out


class Output:
    def __init__(self):
        self.lines, self.lists = [], {}

    def operands(self, values, dtype):
        words = line("", values, dtype)
        if words not in self.lists:
            self.lists[words] = f"L{len(self.lists)}"
            self.lines.append(f"list {self.lists[words]} {dtype}{words}")
        return self.lists[words]

    def op(self, name, dtype, lists, numbers, keys, columns):
        tail = f" ; {' '.join(text(v, 'f64') for v in numbers)}" if numbers else ""
        names = [self.operands(v, dtype) for v in lists]
        self.lines.append(f"op {name} {dtype} {' '.join(names)}{tail}")
        self.lines += [line(k, c, dtype) for k, c in zip(keys, columns)]


def one_operand(out, name, ours, theirs, dtype, values, numbers=()):
    values = exact(values, dtype)
    there = torch_of(lambda x: theirs(x, *numbers), [values], dtype)
    keys, columns = ("y", "x", "xx"), ([], [], [])
    for i, x in enumerate(values):
        here = ours(x, *numbers)
        for k in range(3):
            columns[k].append(judge(name, keys[k], (x,), numbers, here[k], there[k][i], dtype))
    out.op(name, dtype, [values], numbers, keys, columns)


def two_operands(out, name, ours, theirs, dtype, a, b):
    a, b = exact(a, dtype), exact(b, dtype)
    pairs = [(x, y) for x in a for y in b]
    there = torch_of(theirs, list(map(list, zip(*pairs))), dtype)
    keys, columns = ("y", "a", "b", "aa", "ab", "bb"), ([], [], [], [], [], [])
    for i, (x, y) in enumerate(pairs):
        here = ours(x, y)
        for k in range(6):
            columns[k].append(judge(name, keys[k], (x, y), (), here[k], there[k][i], dtype))
    out.op(name, dtype, [a, b], (), keys, columns)


def reductions(out, dtype):
    for name, of, numbers in ROWS:
        rows = rows_of(dtype, False)
        if name == "ct_logsumexp_axis":
            big = 1e30 if dtype == "f32" else 1e300
            rows = [(0.0, 0.0, 0.0), (-INF, 0.0, 1.0), (-INF, -INF, 2.0), (-INF, -INF, -INF), (big, big, -big), (1e4, 1e4, 1e4 - 1),
                    (-big, -big, -big), (1.0, -90.0, -110.0), (1000.0, 0.0, -1000.0), (-1000.0, -1001.0, -1002.0), (2.0, 2.0, -INF)]
            rows = [tuple(float(TYPES[dtype][0](v)) for v in r) for r in rows]
        for p in numbers:
            ins, ys, gs, hs = [], [], [], []
            for row in rows:
                y, g, h = of(row, p)
                ins += row
                ys.append(rounded(y, dtype))
                gs += [rounded(v, dtype) for v in g]
                hs += [None] * 3 if h is None else [rounded(v, dtype) for v in h]
                seen["cases"] += 7
            out.lines.append(f"rows {name} {dtype} 3 {text(p, 'f64')}")
            out.lines += [line(k, v, dtype) for k, v in (("in", ins), ("y", ys), ("g", gs), ("h", hs))]


def rows_of_torch(f, rows, p, dtype):
    """y, g and h of each row"""
    x = torch.tensor(rows, dtype=TYPES[dtype][1], requires_grad=True)
    y = f(x, p)
    w = torch.tensor([float(v) for v in weights(y.shape[1])], dtype=x.dtype)
    g = derivative(y * w, x)
    h = derivative(g[:, 0], x)
    return [[v.detach().double().tolist() for v in row] for row in zip(y, g, h)]


def one_map(out, name, of, theirs, p, rows, dtype):
    rows = [tuple(float(TYPES[dtype][0](v)) for v in r) for r in rows]
    there = rows_of_torch(theirs, rows, p, dtype)
    columns = {k: [] for k in ("in", "sy", "sg", "sh", "y", "g", "h")}
    for row, torchs in zip(rows, there):
        with mp.workprec(9000):
            ours = of(row, p) if not any(math.isnan(v) or v == INF for v in row) and (real(*row) or "softmax" in name) else None
        columns["in"] += row
        for k, key in enumerate(("y", "g", "h")):
            size = [mpf(0)] if ours is None else ours[3 + k]
            size = size * len(torchs[k]) if len(size) == 1 else size
            columns["s" + key] += [float(f"{float(min(v, mpf(2) ** 1023)):.2g}") for v in size]
            seen["cases"] += len(torchs[k])
            if ours is None:
                seen["silent"] += len(torchs[k])
                columns[key] += torchs[k]
                continue
            # where the parts of a derivative overflow, their sum may be NaN
            columns[key] += [None if key != "y" and rounded(s, dtype) == INF else rounded(v, dtype) for v, s in zip(ours[k], size)]
            ordinary = dtype == "f64" and all(v == 0 or 1e-3 < abs(v) < 1e3 for v in row) and any(row[:3]) and any(row[-3:])
            for a, b, s in zip(ours[k], torchs[k], size):
                if ordinary and not abs(float(a) - b) <= 1e-12 * float(s) + 1e-12 * abs(b):
                    problems.append(f"{name} {key} {row} {p}: {float(a)} here, {b} there")
    out.lines.append(f"rows {name} {dtype} {len(rows[0])} {text(p, 'f64')}")
    out.lines += [line(k, v, "f64" if k[0] == "s" else dtype) for k, v in columns.items()]


def maps(out, dtype):
    for name, of, theirs, numbers, kind in MAPS:
        for p in numbers:
            for rows in all_rows(kind, dtype):
                one_map(out, name, of, theirs, p, rows, dtype)
        if name in ("ct_layer_norm", "ct_rms_norm"):
            one_map(out, name, of, theirs, numbers[0], long_rows(dtype), dtype)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "edges.txt"))
    where = parser.parse_args().o
    np.seterr(all="ignore")
    torch.set_num_threads(1)
    out = Output()
    for dtype in TYPES:
        for name, ours, theirs in UNARY:
            one_operand(out, name, ours, theirs, dtype, common(dtype) + SPECIAL.get(name, []))
        for name, ours, theirs, sets in NUMBERED:
            for numbers in sets:
                one_operand(out, name, ours, theirs, dtype, few(dtype) + list(filter(math.isfinite, numbers)), numbers)
        for name, ours, theirs in BINARY:
            a, b = first(dtype), second(dtype)
            if name == "ct_glu":    # infinity times 0 and 0 times NaN have no right value
                a, b = [v for v in a if abs(v) < 100], list(filter(math.isfinite, b))
            two_operands(out, name, ours, theirs, dtype, a, b)
        for name, theirs in COMPARED:
            a, b = exact(first(dtype), dtype), exact(second(dtype), dtype)
            got = [float(theirs(torch.tensor(x, dtype=TYPES[dtype][1]), torch.tensor(y, dtype=TYPES[dtype][1]))) for x in a for y in b]
            out.op(name, dtype, [a, b], (), ("y",), (got,))
            seen["cases"] += len(got)
            for number in (0.0, 1.0, INF, NAN):
                got = [float(v) for v in theirs(torch.tensor(a, dtype=TYPES[dtype][1]), number)]
                out.op(f"{name}_scalar", dtype, [a], (number,), ("y",), (got,))
                seen["cases"] += len(got)
        for name, theirs in TESTED:
            v = exact(common(dtype), dtype)
            out.op(name, dtype, [v], (), ("y",), ([float(t) for t in theirs(torch.tensor(v, dtype=TYPES[dtype][1]))],))
        reductions(out, dtype)
        maps(out, dtype)
    head = [f"# Right values and derivatives at edges: torch {torch.__version__}, mpmath {mpmath.__version__} ({mp.prec} bits),",
            f"# {platform.machine()}; written by tests/torch/edges.py. Of {seen['cases']} numbers PyTorch decided",
            f"# {seen['silent']}; it differs in {seen['regular']} where the function is regular and in {seen['decided']} by rule."]
    for p in problems[:80]:
        print(p, file=sys.stderr)
    print(len(problems), "problems;", seen, file=sys.stderr)
    with open(where, "w", encoding="ascii") as f:
        f.write("\n".join(head + out.lines) + "\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())

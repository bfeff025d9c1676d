/* SPDX-License-Identifier: MIT */
/* activation.c - activations and logarithms of sums. derivatives.h explains the lines. */
#include "autograd/ops/derivatives.h"

#include <cotangent/autograd/ops/activation.h>
#include <cotangent/autograd/ops/elementwise.h>

#define LOG_2 0.69314718055994530942
#define LOG_10 2.30258509299404568402

/* 1 / (1 + |x|)^2; the square may overflow */
static ct_tensor *softsign_share(ct_tensor *d, ct_tensor *x)
{
    ct_tensor *c = ct_add_scalar(ct_abs(x), 1);

    return ct_div(ct_div(d, c), c);
}

OF_INPUT(softsign, FLOATS, softsign_share(d, x))
OF_INPUT(log_sigmoid, FLOATS, ct_mul(d, ct_sigmoid(ct_neg(x))))
OF_OUTPUT(exp2, FLOATS, ct_mul(d, ct_mul_scalar(y, LOG_2)))
OF_INPUT(log2, FLOATS, ct_div(ct_div_scalar(d, LOG_2), x))
OF_INPUT(log10, FLOATS, ct_div(ct_div_scalar(d, LOG_10), x))

/* t + x (1 - t^2) sigmoid(x) for t = tanh(softplus(x)) */
static ct_tensor *mish_slope(ct_tensor *x)
{
    ct_tensor *t = ct_tanh(ct_softplus(x)), *near = ct_clamp(x, -1e4, 1e4); /* avoids infinity times
                                                                             * 0 */

    return ct_add(t, ct_mul(ct_mul(near, ct_sigmoid(x)), ct_rsub_scalar(ct_square(t), 1)));
}

OF_INPUT(mish, FLOATS, ct_mul(d, mish_slope(x)))

/* The slope x / 3 + 1 / 2 of hardswish has the slope 1 / 3, twice that of hardsigmoid. */
FUSED(hardsigmoid_backward, hardsigmoid_backward(e, s, NULL), zeros_of(s))
FUSED(hardswish_backward, hardswish_backward(e, s, NULL),
      ct_mul_scalar(hardsigmoid_backward(ct_mul(e, d), s, NULL), 2))
OF_INPUT(hardsigmoid, FLOATS, hardsigmoid_backward(d, x, NULL))
OF_INPUT(hardswish, FLOATS, hardswish_backward(d, x, NULL))

PLAIN1(softsign)
PLAIN1(mish)
PLAIN1(hardsigmoid)
PLAIN1(hardswish)
PLAIN1(log_sigmoid)
PLAIN1(exp2)
PLAIN1(log2)
PLAIN1(log10)

OF_TWO(logaddexp, FLOATS, CT_SAVE_INPUTS, ct_mul(d, ct_sigmoid(ct_sub(a, b))),
       ct_mul(d, ct_sigmoid(ct_sub(b, a))))

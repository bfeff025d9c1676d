/* SPDX-License-Identifier: MIT */
/* elementwise.h - ops on each element: arithmetic, functions, activations. compare.h has
 * comparisons and choices, divide.h quotients that are rounded down.
 *
 * With one operand, y has x's shape and dtype. Two operands broadcast as in NumPy: shapes are
 * aligned at their last axes, and sizes must be equal or 1 (CT_ERR_SHAPE); dtypes and devices must
 * be the same (CT_ERR_DTYPE, CT_ERR_DEVICE). The results are new tensors of the innermost scope.
 *
 * dtypes: f32 and f64; a line that says "numbers" takes i32 and i64 too, whose arithmetic wraps
 * around. Any other dtype raises CT_ERR_DTYPE. In the derivatives, d is the gradient of the output,
 * y the output; dx, da and db are the gradients of the operands, summed over the axes that were
 * broadcast. At infinity, results and derivatives are their limits where a limit exists: ct_silu
 * and ct_gelu of -inf are 0, and so are their derivatives. */
#ifndef COTANGENT_AUTOGRAD_OPS_ELEMENTWISE_H
#define COTANGENT_AUTOGRAD_OPS_ELEMENTWISE_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- one operand ---- */

ct_tensor *ct_neg(ct_tensor *x);        /* -x: numbers; dx = -d */
ct_tensor *ct_abs(ct_tensor *x);        /* numbers; dx = d sign(x) */
ct_tensor *ct_sign(ct_tensor *x);       /* -1, 0 or 1: numbers; dx = 0 */
ct_tensor *ct_square(ct_tensor *x);     /* x^2: numbers; dx = 2 d x */
ct_tensor *ct_exp(ct_tensor *x);        /* dx = d y */
ct_tensor *ct_expm1(ct_tensor *x);      /* exp(x) - 1; dx = d (y + 1) */
ct_tensor *ct_log(ct_tensor *x);        /* dx = d / x */
ct_tensor *ct_log1p(ct_tensor *x);      /* log(1 + x); dx = d / (1 + x) */
ct_tensor *ct_sqrt(ct_tensor *x);       /* dx = d / (2 y) */
ct_tensor *ct_rsqrt(ct_tensor *x);      /* 1 / sqrt(x); dx = -d y^3 / 2 */
ct_tensor *ct_reciprocal(ct_tensor *x); /* 1 / x; dx = -d y^2 */
ct_tensor *ct_sin(ct_tensor *x);        /* dx = d cos(x) */
ct_tensor *ct_cos(ct_tensor *x);        /* dx = -d sin(x) */
ct_tensor *ct_tanh(ct_tensor *x);       /* dx = d (1 - y^2) */
ct_tensor *ct_sigmoid(ct_tensor *x);    /* 1 / (1 + exp(-x)); dx = d y (1 - y) */
ct_tensor *ct_relu(ct_tensor *x);       /* max(x, 0); dx = d where y > 0 */
ct_tensor *ct_silu(ct_tensor *x);       /* x s for s = sigmoid(x); dx = d s (1 + x (1 - s)) */
ct_tensor *ct_gelu(ct_tensor *x);       /* x Phi(x), exact: Phi(x) = (1 + erf(x / sqrt 2)) / 2;
                                         * dx = d (Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi)) */
ct_tensor *ct_gelu_tanh(ct_tensor *x);  /* PyTorch's gelu with approximate="tanh": x s for
                                         * s = sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3);
                                         * dx = d (s + x s (1 - s) du/dx) */
ct_tensor *ct_softplus(ct_tensor *x);   /* log(1 + exp(x)); dx = d sigmoid(x) */
ct_tensor *ct_erf(ct_tensor *x);        /* dx = d exp(-x^2) 2 / sqrt(pi) */
ct_tensor *ct_erfc(ct_tensor *x);       /* 1 - erf(x), with all digits for large x;
                                         * dx = -d exp(-x^2) 2 / sqrt(pi) */
ct_tensor *ct_floor(ct_tensor *x);      /* dx = 0 */
ct_tensor *ct_ceil(ct_tensor *x);       /* dx = 0 */
ct_tensor *ct_round(ct_tensor *x);      /* halves to even; dx = 0 */

/* x where x > 0, slope x elsewhere; dx = d, or slope d */
ct_tensor *ct_leaky_relu(ct_tensor *x, double slope);
/* x where x >= 0, alpha (exp(x) - 1) elsewhere; dx = d, or d (y + alpha) */
ct_tensor *ct_elu(ct_tensor *x, double alpha);
/* x limited to low..high (Collobert, 2004: -1 and 1); dx = d where low < x < high, else 0: unlike
 * ct_clamp's, the derivative at the ends is 0. NaN stays NaN, with dx = d. Raises CT_ERR_ARGUMENT if
 * low > high or one of them is NaN. PyTorch's hardtanh. */
ct_tensor *ct_hardtanh(ct_tensor *x, double low, double high);
/* x limited to low..high: numbers; dx = d where low <= x <= high, else 0. NaN stays NaN. -INFINITY
 * and INFINITY set no limit. Raises CT_ERR_ARGUMENT if low > high, if one of them is NaN, or if it
 * is not a value of an integer dtype (see the scalars below). */
ct_tensor *ct_clamp(ct_tensor *x, double low, double high);

/* The gated linear unit (Dauphin et al., 2017): y = a sigmoid(b), where a and b are the first and
 * second half of x along axis. The axis of y has half the size. A negative axis counts from the
 * end. Raises CT_ERR_SHAPE for a wrong axis and for one of an odd size. da = d s, db = d a s (1 -
 * s) for s = sigmoid(b). PyTorch's glu, whose dim is -1 if left out. */
ct_tensor *ct_glu(ct_tensor *x, int axis);

/* ---- two operands ---- */

ct_tensor *ct_add(ct_tensor *a, ct_tensor *b); /* a + b: numbers; da = d, db = d */
ct_tensor *ct_sub(ct_tensor *a, ct_tensor *b); /* a - b: numbers; da = d, db = -d */
ct_tensor *ct_mul(ct_tensor *a, ct_tensor *b); /* a b: numbers; da = d b, db = d a */
ct_tensor *ct_div(ct_tensor *a, ct_tensor *b); /* a / b; da = d / b, db = -d y / b */
/* a^b; da = d b a^(b - 1), and 0 where b = 0, for every a; db = d y log(a), and 0 where a = 0 and
 * b >= 0. The mixed second derivative where b = 0 is 1 / a, in both orders. */
ct_tensor *ct_pow(ct_tensor *a, ct_tensor *b);
/* The larger (smaller) of a and b: numbers; NaN if either is NaN. The gradient goes to the operand
 * that was chosen; equal operands get half each. */
ct_tensor *ct_maximum(ct_tensor *a, ct_tensor *b);
ct_tensor *ct_minimum(ct_tensor *a, ct_tensor *b);

/* ---- a tensor and a scalar, which is converted to x's dtype ----
 *
 * Beside i32 and i64, s must be a whole number that the dtype holds, of a magnitude below 2^53
 * (CT_ERR_ARGUMENT): from there on a double does not hold every whole number. Give a larger one as a
 * tensor, ct_from_data(&n, CT_SCALAR, CT_I64, device). */

ct_tensor *ct_add_scalar(ct_tensor *x, double s);  /* x + s: numbers; dx = d */
ct_tensor *ct_sub_scalar(ct_tensor *x, double s);  /* x - s: numbers; dx = d */
ct_tensor *ct_mul_scalar(ct_tensor *x, double s);  /* s x: numbers; dx = s d */
ct_tensor *ct_div_scalar(ct_tensor *x, double s);  /* x / s; dx = d / s */
ct_tensor *ct_pow_scalar(ct_tensor *x, double p);  /* x^p; dx = d p x^(p - 1) */
ct_tensor *ct_rsub_scalar(ct_tensor *x, double s); /* s - x: numbers; dx = -d */
ct_tensor *ct_rdiv_scalar(ct_tensor *x, double s); /* s / x; dx = -d y / x */
/* s^x; dx = d y log(s), and 0 where s = 0 and x >= 0 */
ct_tensor *ct_rpow_scalar(ct_tensor *x, double s);

#ifdef __cplusplus
}
#endif
#endif

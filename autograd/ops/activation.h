/* SPDX-License-Identifier: MIT */
/* activation.h - activations and logarithms of sums, on each element.
 *
 * f32 and f64; any other dtype raises CT_ERR_DTYPE. The results are new tensors of the innermost
 * scope with x's shape. In the derivatives, d is the gradient of the output and y the output. The
 * names and formulas are PyTorch's. ct_relu, ct_gelu, ct_silu, ct_softplus and others are in
 * elementwise.h. */
#ifndef COTANGENT_AUTOGRAD_OPS_ACTIVATION_H
#define COTANGENT_AUTOGRAD_OPS_ACTIVATION_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x / (1 + |x|) (Bergstra et al., 2009); dx = d / (1 + |x|)^2 */
ct_tensor *ct_softsign(ct_tensor *x);

/* x t for t = tanh(softplus(x)) (Misra, 2019); dx = d (t + x (1 - t^2) sigmoid(x)) */
ct_tensor *ct_mish(ct_tensor *x);

/* (x + 3) / 6 limited to 0..1 (Howard et al., 2019); dx = d / 6 where -3 < x < 3, else 0 */
ct_tensor *ct_hardsigmoid(ct_tensor *x);

/* x hardsigmoid(x); dx = 0 where x <= -3, d where x >= 3, d (x / 3 + 1 / 2) between */
ct_tensor *ct_hardswish(ct_tensor *x);

/* log(sigmoid(x)) = -softplus(-x), without overflow; dx = d sigmoid(-x) */
ct_tensor *ct_log_sigmoid(ct_tensor *x);

/* log(exp(a) + exp(b)) without overflow; a and b broadcast as in ct_add. da = d sigmoid(a - b) and
 * db = d sigmoid(b - a), which are NaN where a and b are the same infinity. */
ct_tensor *ct_logaddexp(ct_tensor *a, ct_tensor *b);

ct_tensor *ct_exp2(ct_tensor *x);  /* 2^x; dx = d y log(2) */
ct_tensor *ct_log2(ct_tensor *x);  /* the logarithm to base 2; dx = d / (x log(2)) */
ct_tensor *ct_log10(ct_tensor *x); /* the logarithm to base 10; dx = d / (x log(10)) */

#ifdef __cplusplus
}
#endif
#endif

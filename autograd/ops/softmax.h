/* SPDX-License-Identifier: MIT */
/* softmax.h - softmax and its logarithm along an axis.
 *
 * dtypes f32 and f64 (CT_ERR_DTYPE). The result has x's shape and belongs to the innermost scope. A
 * negative axis counts from the end; a wrong one raises CT_ERR_SHAPE. d is the gradient of the
 * output, dx that of x; sums run along the axis. Any axis but the last costs two transpositions. */
#ifndef COTANGENT_AUTOGRAD_OPS_SOFTMAX_H
#define COTANGENT_AUTOGRAD_OPS_SOFTMAX_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y = exp(x - max) / sum exp(x - max). dx = y (d - sum(d y)). */
ct_tensor *ct_softmax(ct_tensor *x, int axis);

/* y = x - log sum exp(x), computed without overflow. dx = d - exp(y) sum(d). */
ct_tensor *ct_log_softmax(ct_tensor *x, int axis);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* scan.h - running sums, products and extremes along an axis. The results belong to the innermost
 * scope. */
#ifndef COTANGENT_AUTOGRAD_OPS_SCAN_H
#define COTANGENT_AUTOGRAD_OPS_SCAN_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y[i] = x[0] + ... + x[i] along axis, of x's shape and dtype: f32, f64, i32 or i64 (CT_ERR_DTYPE).
 * A negative axis counts from the end; a wrong one raises CT_ERR_SHAPE. dx = the running sum, from
 * the end, of the gradient of the output. */
ct_tensor *ct_cumsum(ct_tensor *x, int axis);

/* y[i] = log(exp(x[0]) + ... + exp(x[i])) along axis, of x's shape and dtype: f32 or f64
 * (CT_ERR_DTYPE). A negative axis counts from the end; a wrong one raises CT_ERR_SHAPE. The result
 * belongs to the innermost scope. The greatest element so far is subtracted before exp, so nothing
 * overflows unless the result does. An element of -inf adds nothing; y is -inf while all elements
 * so far are -inf. dx[i] = the sum of d[j] exp(x[i] - y[j]) over j >= i, 0 where x[i] is -inf; d is
 * the gradient of the output. No exponential in it, nor in higher derivatives, is above 1.
 * PyTorch's logcumsumexp has a gradient of NaN where y is -inf. */
ct_tensor *ct_logcumsumexp(ct_tensor *x, int axis);

/* y[i] = x[0] ... x[i] along axis, of x's shape and dtype: f32, f64, i32 or i64 (CT_ERR_DTYPE).
 * Integers wrap around. axis and owner as for ct_cumsum. dx[i] = x[0] ... x[i-1] g[i] with
 * g[i] = d[i] + x[i+1] g[i+1], d the gradient of the output: nothing is divided, so a 0 in x is no
 * special case. */
ct_tensor *ct_cumprod(ct_tensor *x, int axis);

/* Optional arguments of ct_linear_scan. Zero-initialise it to use none. */
typedef struct ct_linear_scan_options {
    ct_tensor *initial; /* h before the first step: the shape of the result without axis; NULL: 0 */
    bool reverse;       /* from the last step to the first: h[j] = a[j] h[j+1] + b[j] */
} ct_linear_scan_options;

/* h[j] = a[j] h[j-1] + b[j] along axis: a linear recurrence, of which minGRU, minLSTM and diagonal
 * state-space models consist. a and b broadcast; f32, f64, i32 or i64 of one dtype (CT_ERR_DTYPE) and
 * one device (CT_ERR_DEVICE). f32 is added in double. Integers wrap around. axis and owner as for
 * ct_cumsum; CT_ERR_SHAPE also if initial has another shape.
 *
 * Where a is 0 the sequence starts again. Where a is 1 and b is 0 it stands still: set so past the
 * length of a row, and the last h is that of its last step.
 *
 * With g[j] = d[j] + a[j+1] g[j+1], d the gradient of the output: db = g, da[j] = g[j] h[j-1], dinitial
 * = a[0] g[0]. */
ct_tensor *ct_linear_scan(ct_tensor *a, ct_tensor *b, int axis, ct_linear_scan_options options);

/* The greatest (least) of x[0], ..., x[i] along axis, of x's shape and dtype, as for ct_cumsum. NaN
 * counts as both. If indices is not NULL, *indices receives its position along the axis (i64), the
 * last one of equal elements; NULL after an error. dx = d, added at those positions. */
ct_tensor *ct_cummax(ct_tensor *x, int axis, ct_tensor **indices);
ct_tensor *ct_cummin(ct_tensor *x, int axis, ct_tensor **indices);

#ifdef __cplusplus
}
#endif
#endif

/* scan.h - running sums, products and extremes along an axis. The results belong to the innermost
 * scope. */
#ifndef COTANGENT_AUTOGRAD_OPS_SCAN_H
#define COTANGENT_AUTOGRAD_OPS_SCAN_H

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

/* The greatest (least) of x[0], ..., x[i] along axis, of x's shape and dtype, as for ct_cumsum. NaN
 * counts as both. If indices is not NULL, *indices receives its position along the axis (i64), the
 * last one of equal elements; NULL after an error. dx = d, added at those positions. */
ct_tensor *ct_cummax(ct_tensor *x, int axis, ct_tensor **indices);
ct_tensor *ct_cummin(ct_tensor *x, int axis, ct_tensor **indices);

#ifdef __cplusplus
}
#endif
#endif

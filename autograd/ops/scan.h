/* scan.h - running sums along an axis, and their logarithm. */
#ifndef COTANGENT_AUTOGRAD_OPS_SCAN_H
#define COTANGENT_AUTOGRAD_OPS_SCAN_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y[i] = x[0] + ... + x[i] along axis, of x's shape and dtype: f32, f64, i32 or i64 (CT_ERR_DTYPE).
 * A negative axis counts from the end; a wrong one raises CT_ERR_SHAPE. The result belongs to the
 * innermost scope. dx = the running sum, from the end, of the gradient of the output. */
ct_tensor *ct_cumsum(ct_tensor *x, int axis);

/* y[i] = log(exp(x[0]) + ... + exp(x[i])) along axis, of x's shape and dtype: f32 or f64
 * (CT_ERR_DTYPE). A negative axis counts from the end; a wrong one raises CT_ERR_SHAPE. The result
 * belongs to the innermost scope. The greatest element so far is subtracted before exp, so nothing
 * overflows unless the result does. An element of -inf adds nothing; y is -inf while all elements
 * so far are -inf. dx[i] = the sum of d[j] exp(x[i] - y[j]) over j >= i, 0 where x[i] is -inf; d is
 * the gradient of the output. No exponential in it, nor in higher derivatives, is above 1.
 * PyTorch's logcumsumexp has a gradient of NaN where y is -inf. */
ct_tensor *ct_logcumsumexp(ct_tensor *x, int axis);

#ifdef __cplusplus
}
#endif
#endif

/* scan.h - running sums along an axis. */
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

#ifdef __cplusplus
}
#endif
#endif

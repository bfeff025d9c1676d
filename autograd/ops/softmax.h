/* softmax.h - softmax and its logarithm along an axis; f32, f64. */
#ifndef COTANGENT_AUTOGRAD_OPS_SOFTMAX_H
#define COTANGENT_AUTOGRAD_OPS_SOFTMAX_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* exp(x - max) / sum; dx = y (d - sum(d y)) */
ct_tensor *ct_softmax(ct_tensor *x, int axis);

/* x - log sum exp x; dx = d - exp(y) sum(d) */
ct_tensor *ct_log_softmax(ct_tensor *x, int axis);

#ifdef __cplusplus
}
#endif
#endif

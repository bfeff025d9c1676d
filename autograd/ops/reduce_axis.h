/* reduce_axis.h - reductions along one axis.
 *
 * ct_X_axis(x, axis, keepdim) is ct_X_axes(x, 1, &axis, keepdim): the same values, dtypes, derivatives and
 * errors. A negative axis counts from the end. keepdim keeps the axis with size 1. ct_max_axis and
 * ct_min_axis, which also give the positions, are in reduce.h. */
#ifndef COTANGENT_AUTOGRAD_OPS_REDUCE_AXIS_H
#define COTANGENT_AUTOGRAD_OPS_REDUCE_AXIS_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The sum, mean, product, greatest, smallest, log of the sum of exponentials along axis; whether one or every
 * element along axis is true. */
ct_tensor *ct_sum_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_mean_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_prod_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_amax_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_amin_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_logsumexp_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_any_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_all_axis(ct_tensor *x, int axis, bool keepdim);

/* The variance and its root (correction: see ct_var_axes) and the norm of order p along axis. */
ct_tensor *ct_var_axis(ct_tensor *x, int axis, double correction, bool keepdim);
ct_tensor *ct_std_axis(ct_tensor *x, int axis, double correction, bool keepdim);
ct_tensor *ct_norm_axis(ct_tensor *x, double p, int axis, bool keepdim);

#ifdef __cplusplus
}
#endif
#endif

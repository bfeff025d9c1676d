/* SPDX-License-Identifier: MIT */
/* statistics.h - variance, standard deviation, norms and logsumexp over axes.
 *
 * dtypes: f32 and f64 (CT_ERR_DTYPE). The forms, axis, axes and keepdim are as in reduce.h. The
 * results belong to the innermost scope. d is the gradient of the output broadcast over the reduced
 * axes, dx that of x. */
#ifndef COTANGENT_AUTOGRAD_OPS_STATISTICS_H
#define COTANGENT_AUTOGRAD_OPS_STATISTICS_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The variance: the sum of (x - mean)^2 / divisor, where divisor = max(0, n - correction) and n is
 * the number of elements reduced to one. correction 1 is Bessel's correction and PyTorch's default;
 * 0 gives the population variance. ct_var uses 1. dx = 2 d (x - mean) / divisor. Raises
 * CT_ERR_ARGUMENT if correction is not finite. */
ct_tensor *ct_var(ct_tensor *x);
ct_tensor *ct_var_axis(ct_tensor *x, int axis, double correction, bool keepdim);
ct_tensor *ct_var_axes(ct_tensor *x, int count, const int *axes, double correction, bool keepdim);

/* The standard deviation y, the square root of the variance. dx = d (x - mean) / (divisor y), and 0
 * where y is 0. No intermediate result overflows or underflows unless y does: for (1e20, -1e20) in
 * f32, y is 1.41e20. The same holds for ct_var and ct_norm. */
ct_tensor *ct_std(ct_tensor *x);
ct_tensor *ct_std_axis(ct_tensor *x, int axis, double correction, bool keepdim);
ct_tensor *ct_std_axes(ct_tensor *x, int count, const int *axes, double correction, bool keepdim);

/* The p-norm y = (sum |x|^p)^(1/p). p = INFINITY gives the largest |x|, -INFINITY the smallest, and
 * 0 the number of elements that are not 0. dx = d sign(x) (|x| / y)^(p - 1); it is 0 where x or y
 * is 0, and for p = 0. Raises CT_ERR_ARGUMENT if p is NaN, CT_ERR_SHAPE if p is negative or
 * infinite and a reduced axis has size 0. */
ct_tensor *ct_norm(ct_tensor *x, double p);
ct_tensor *ct_norm_axis(ct_tensor *x, double p, int axis, bool keepdim);
ct_tensor *ct_norm_axes(ct_tensor *x, double p, int count, const int *axes, bool keepdim);

/* y = log(sum exp(x)), computed without overflow. dx = d exp(x - y), and 0 where every x is
 * -INFINITY. Raises CT_ERR_SHAPE if a reduced axis has size 0. */
ct_tensor *ct_logsumexp_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_logsumexp_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

#ifdef __cplusplus
}
#endif
#endif

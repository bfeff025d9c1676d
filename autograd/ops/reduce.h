/* reduce.h - sums, products, extremes, norms and the like over axes.
 *
 * axes lists count axes of x, each at most once, negative ones from the end; the forms without it
 * take all axes and give rank 0. keepdim keeps reduced axes with size 1. CT_ERR_SHAPE for a wrong
 * or repeated axis. dtypes: f32 and f64, unless the line says numbers (also i32, i64). d is the
 * gradient that comes, broadcast over the reduced axes. */
#ifndef COTANGENT_AUTOGRAD_OPS_REDUCE_H
#define COTANGENT_AUTOGRAD_OPS_REDUCE_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

ct_tensor *ct_sum(ct_tensor *x);  /* numbers; of no elements 0; dx = d */
ct_tensor *ct_mean(ct_tensor *x); /* of no elements NaN; dx = d / n */
ct_tensor *ct_prod(ct_tensor *x); /* numbers; of no elements 1; dx = d times the other elements */
ct_tensor *ct_sum_axes(ct_tensor *x, int count, const int *axes, bool keepdim);
ct_tensor *ct_mean_axes(ct_tensor *x, int count, const int *axes, bool keepdim);
ct_tensor *ct_prod_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

/* The greatest (smallest): numbers; NaN if one is. dx = d, in equal shares to all elements that
 * equal it. CT_ERR_SHAPE for an axis of size 0. */
ct_tensor *ct_max(ct_tensor *x);
ct_tensor *ct_min(ct_tensor *x);
ct_tensor *ct_amax_axes(ct_tensor *x, int count, const int *axes, bool keepdim);
ct_tensor *ct_amin_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

/* The same along one axis; *indices (which may be NULL) becomes the positions, i64, as of
 * ct_argmax (ct_argmin). dx = d at those positions alone. */
ct_tensor *ct_max_axis(ct_tensor *x, int axis, bool keepdim, ct_tensor **indices);
ct_tensor *ct_min_axis(ct_tensor *x, int axis, bool keepdim, ct_tensor **indices);

/* The sum of (x - mean)^2, divided by the number of elements less correction (PyTorch's default is
 * 1; 0 for the biased one), but by no less than 0, and its root. dx = 2 d (x - mean) / that
 * divisor; of the root divided by 2 y, and 0 where y is 0. Without axes: correction 1. */
ct_tensor *ct_var(ct_tensor *x);
ct_tensor *ct_std(ct_tensor *x);
ct_tensor *ct_var_axes(ct_tensor *x, int count, const int *axes, double correction, bool keepdim);
ct_tensor *ct_std_axes(ct_tensor *x, int count, const int *axes, double correction, bool keepdim);

/* (sum |x|^p)^(1/p); the greatest |x| for p = INFINITY, the smallest for -INFINITY, how many are not
 * 0 for p = 0. CT_ERR_ARGUMENT for a NaN; CT_ERR_SHAPE for an axis of size 0 where p is below 0 or
 * infinite. dx = d sign(x) (|x| / y)^(p - 1), and 0 where x or y is 0, or p. */
ct_tensor *ct_norm(ct_tensor *x, double p);
ct_tensor *ct_norm_axes(ct_tensor *x, double p, int count, const int *axes, bool keepdim);

/* log sum exp(x), without overflow; dx = d exp(x - y). CT_ERR_SHAPE for an axis of size 0. */
ct_tensor *ct_logsumexp_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

/* Whether one element, or every one, is true: bool in and out, no derivative. */
ct_tensor *ct_any(ct_tensor *x);
ct_tensor *ct_all(ct_tensor *x);
ct_tensor *ct_any_axes(ct_tensor *x, int count, const int *axes, bool keepdim);
ct_tensor *ct_all_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

/* Running sums along axis, of x's shape: numbers; dx = the running sums of d from the end. */
ct_tensor *ct_cumsum(ct_tensor *x, int axis);

/* i64: the first position of the greatest (smallest) along axis; a NaN counts as both.
 * CT_ERR_SHAPE for an axis of size 0. No derivative. */
ct_tensor *ct_argmax(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_argmin(ct_tensor *x, int axis, bool keepdim);

/* x summed over the axes by which it is larger than shape: the reverse of broadcasting. */
ct_tensor *ct_sum_to_shape(ct_tensor *x, ct_shape shape);

#ifdef __cplusplus
}
#endif
#endif

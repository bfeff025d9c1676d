/* reduce.h - sums, means and extremes over axes.
 *
 * axes lists count axes of x, each at most once, negative ones from the end; the ct_*_all forms
 * take all of them and give rank 0. keepdim keeps reduced axes with size 1. CT_ERR_SHAPE for a
 * wrong or repeated axis. */
#ifndef COTANGENT_AUTOGRAD_REDUCE_H
#define COTANGENT_AUTOGRAD_REDUCE_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

ct_tensor *ct_sum(ct_tensor *x);  /* numbers; of no elements 0; dx = d, broadcast */
ct_tensor *ct_mean(ct_tensor *x); /* f32, f64; of no elements NaN */
ct_tensor *ct_sum_axes(ct_tensor *x, int count, const int *axes, bool keepdim);
ct_tensor *ct_mean_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

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

/* SPDX-License-Identifier: MIT */
/* reduce.h - sums, products, extremes, any and all over axes.
 *
 * Each function comes in three forms. The plain form reduces all elements to rank 0; the _axis form
 * reduces one axis; the _axes form reduces the count axes listed in axes, each at most once. A
 * negative axis counts from the end (PyTorch calls an axis dim). keepdim keeps each reduced axis
 * with size 1; otherwise it is removed. A wrong or repeated axis raises CT_ERR_SHAPE. The results
 * belong to the innermost scope.
 *
 * dtypes: f32 and f64; "numbers" allows i32 and i64 too; any other raises CT_ERR_DTYPE. In the
 * derivatives, d is the gradient of the output broadcast over the reduced axes, dx that of x, and n
 * the number of elements reduced to one. */
#ifndef COTANGENT_AUTOGRAD_OPS_REDUCE_H
#define COTANGENT_AUTOGRAD_OPS_REDUCE_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The sum. Numbers, and bool, whose sum is the count of true as i64. 0 if there are no elements.
 * dx = d. */
ct_tensor *ct_sum(ct_tensor *x);
ct_tensor *ct_sum_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_sum_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

/* The mean. NaN if there are no elements. dx = d / n. The mean of bool is the share of true, f32:
 * ct_mean(ct_eq(a, b)) is an accuracy. (PyTorch raises an error.) */
ct_tensor *ct_mean(ct_tensor *x);
ct_tensor *ct_mean_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_mean_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

/* The product. Numbers. 1 if there are no elements. dx = d times the product of the other
 * elements, computed without a division, so it is right for zeros too. */
ct_tensor *ct_prod(ct_tensor *x);
ct_tensor *ct_prod_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_prod_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

/* The largest (smallest) element. Numbers. NaN if an element is NaN. dx = d in equal shares for all
 * elements that equal the result, 0 for the others. Raises CT_ERR_SHAPE if a reduced axis has
 * size 0. */
ct_tensor *ct_max(ct_tensor *x);
ct_tensor *ct_min(ct_tensor *x);
ct_tensor *ct_amax_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_amax_axes(ct_tensor *x, int count, const int *axes, bool keepdim);
ct_tensor *ct_amin_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_amin_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

/* The largest (smallest) element along one axis. *indices, if indices is not NULL, receives its
 * position, as ct_argmax (ct_argmin) returns it, or NULL after an error. dx = d at those positions
 * only. */
ct_tensor *ct_max_axis(ct_tensor *x, int axis, bool keepdim, ct_tensor **indices);
ct_tensor *ct_min_axis(ct_tensor *x, int axis, bool keepdim, ct_tensor **indices);

/* The position, i64, of the first largest (smallest) element along axis. A NaN counts as the
 * largest and as the smallest. Numbers. No derivative. Raises CT_ERR_SHAPE if the axis has size
 * 0. */
ct_tensor *ct_argmax(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_argmin(ct_tensor *x, int axis, bool keepdim);

/* True if any element is true (all elements are true). x is bool, and so is the result. Of no
 * elements, any is false and all is true. No derivative. */
ct_tensor *ct_any(ct_tensor *x);
ct_tensor *ct_all(ct_tensor *x);
ct_tensor *ct_any_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_any_axes(ct_tensor *x, int count, const int *axes, bool keepdim);
ct_tensor *ct_all_axis(ct_tensor *x, int axis, bool keepdim);
ct_tensor *ct_all_axes(ct_tensor *x, int count, const int *axes, bool keepdim);

/* x summed over the axes along which shape would broadcast to x: the reverse of broadcasting, as
 * backward formulas need it. Returns x itself if it has that shape. Numbers. dx = d. Raises
 * CT_ERR_SHAPE if shape does not broadcast to x's shape. */
ct_tensor *ct_sum_to_shape(ct_tensor *x, ct_shape shape);

#ifdef __cplusplus
}
#endif
#endif

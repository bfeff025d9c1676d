/* SPDX-License-Identifier: MIT */
/* sort.h - sorting along an axis.
 *
 * dtypes f32, f64, i32 and i64 (CT_ERR_DTYPE). NaN counts as the largest value. Equal elements keep
 * their order. The results belong to the innermost scope. *indices, if indices is not NULL,
 * receives the position of each element along the axis (i64), or NULL after an error. A negative
 * axis counts from the end; a wrong one raises CT_ERR_SHAPE. dx = the gradient of the output, added
 * back at those positions. */
#ifndef COTANGENT_AUTOGRAD_OPS_SORT_H
#define COTANGENT_AUTOGRAD_OPS_SORT_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The elements of x in ascending (or descending) order along axis; x's shape. */
ct_tensor *ct_sort(ct_tensor *x, int axis, bool descending, ct_tensor **indices);

/* The indices of ct_sort only: i64, x's shape. No derivative. */
ct_tensor *ct_argsort(ct_tensor *x, int axis, bool descending);

/* The k largest (or smallest) elements along axis, the most extreme first; of equal elements, those
 * that come first. x's shape with size k along axis. Raises CT_ERR_ARGUMENT if k is negative or
 * larger than that axis. */
ct_tensor *ct_topk(ct_tensor *x, int64_t k, int axis, bool largest, ct_tensor **indices);

#ifdef __cplusplus
}
#endif
#endif

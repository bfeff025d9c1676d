/* SPDX-License-Identifier: MIT */
/* views.h - views: the same elements in another shape or order, without a copy.
 *
 * A view shares x's storage: writing to one changes the other. Every dtype is allowed. The results
 * belong to the innermost scope. An axis counts from 0, or from the end if negative (-1 is the last
 * axis); PyTorch calls it dim. d is the gradient of the output, dx that of x. A wrong axis raises
 * CT_ERR_SHAPE. */
#ifndef COTANGENT_AUTOGRAD_OPS_VIEWS_H
#define COTANGENT_AUTOGRAD_OPS_VIEWS_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x with another shape, elements in row-major order. One size of shape may be -1; it follows from
 * the others. Returns a view if x's strides allow it, otherwise a copy. dx = d in x's shape. Raises
 * CT_ERR_SHAPE if the number of elements differs. */
ct_tensor *ct_reshape(ct_tensor *x, ct_shape shape);

/* Joins the axes start to end, both included, into one. A scalar gives shape (1). A view or a copy,
 * as ct_reshape. Raises CT_ERR_SHAPE if start comes after end. */
ct_tensor *ct_flatten(ct_tensor *x, int start, int end);

/* Exchanges the axes a and b. dx = d with the same two axes exchanged. */
ct_tensor *ct_transpose(ct_tensor *x, int a, int b);

/* Reorders the axes: axis i of the result is axis axes[i] of x. count must be x's rank, and each
 * axis must occur once (CT_ERR_SHAPE). dx = d with the inverse order. */
ct_tensor *ct_permute(ct_tensor *x, int count, const int *axes);

/* Removes an axis of size 1. Raises CT_ERR_SHAPE if its size is not 1. */
ct_tensor *ct_squeeze(ct_tensor *x, int axis);

/* Inserts an axis of size 1 before axis. axis is in -rank - 1 .. rank; -1 appends it at the end.
 * Raises CT_ERR_SHAPE if x already has CT_MAX_RANK axes. */
ct_tensor *ct_unsqueeze(ct_tensor *x, int axis);

/* x broadcast to shape: axes of size 1 repeat, and new axes may be added in front. A size of -1
 * keeps x's size. The repeated elements share memory. dx = d summed over the repeated axes. Raises
 * CT_ERR_SHAPE if x does not broadcast to shape. */
ct_tensor *ct_expand(ct_tensor *x, ct_shape shape);

/* The elements start, start + step, ... below end along an axis. As in Python, a negative start or
 * end counts from the end of the axis, and both are clamped to it. dx is 0 outside the slice.
 * Raises CT_ERR_ARGUMENT for a step below 1; use ct_flip to reverse an axis. */
ct_tensor *ct_slice(ct_tensor *x, int axis, int64_t start, int64_t end, int64_t step);

/* The length elements from start on along an axis. A negative start counts from the end. dx is 0
 * outside them. Raises CT_ERR_INDEX if they do not lie within the axis. */
ct_tensor *ct_narrow(ct_tensor *x, int axis, int64_t start, int64_t length);

/* The slice at index along an axis; the axis is removed. A negative index counts from the end. dx
 * is 0 outside the slice. Raises CT_ERR_INDEX if index is outside the axis. */
ct_tensor *ct_select(ct_tensor *x, int axis, int64_t index);

/* The elements x[..., i, ..., i + offset, ...] of the axes a and b, as a view without these two
 * axes and with the diagonal as its last one. offset counts from the main diagonal upwards; if it
 * is outside the matrix, the diagonal is empty. dx = d on the diagonal, 0 elsewhere. Raises
 * CT_ERR_SHAPE if the axes are the same. */
ct_tensor *ct_diagonal(ct_tensor *x, int64_t offset, int a, int b);

/* For a matrix x (rank 2): ct_diagonal(x, offset, 0, 1). For a vector x (n): a new matrix with x on
 * that diagonal and 0 elsewhere, square, of n + |offset| rows. Raises CT_ERR_SHAPE for other
 * ranks. */
ct_tensor *ct_diag(ct_tensor *x, int64_t offset);

/* The sum of the main diagonal of a matrix: f32, f64, i32, i64. */
ct_tensor *ct_trace(ct_tensor *x);

#ifdef __cplusplus
}
#endif
#endif

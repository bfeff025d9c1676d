/* SPDX-License-Identifier: MIT */
/* rearrange.h - copies with the elements in other places: flip, roll, pad, repeat, triangles.
 *
 * Every dtype is allowed. The results are copies and belong to the innermost scope. A negative axis
 * counts from the end; a wrong one raises CT_ERR_SHAPE. d is the gradient of the output, dx that of
 * x. */
#ifndef COTANGENT_AUTOGRAD_OPS_REARRANGE_H
#define COTANGENT_AUTOGRAD_OPS_REARRANGE_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reverses the order of the elements along each of count axes. dx = d flipped along the same axes.
 * Raises CT_ERR_SHAPE if an axis is listed twice. */
ct_tensor *ct_flip(ct_tensor *x, int count, const int *axes);

/* Rotates along axis: y[(i + shift) mod n] = x[i]. shift may be negative or larger than n. dx = d
 * rolled by -shift. */
ct_tensor *ct_roll(ct_tensor *x, int64_t shift, int axis);

/* x with margins filled with value. sizes holds count sizes in PyTorch's order: before and after
 * the last axis, before and after the axis in front of it, and so on. dx = d without the margins.
 * Raises CT_ERR_SHAPE if count is odd or more than twice the rank, CT_ERR_ARGUMENT for a negative
 * size. */
ct_tensor *ct_pad(ct_tensor *x, int count, const int64_t *sizes, double value);

/* x repeated times[i] times along axis i of the result. count is the rank of the result; it must be
 * at least x's rank, and additional axes are added in front. A copy, even if every times[i] is 1.
 * dx = d summed over the copies. Raises CT_ERR_SHAPE for a wrong count, CT_ERR_ARGUMENT for a
 * negative times[i]. */
ct_tensor *ct_repeat(ct_tensor *x, int count, const int64_t *times);

/* The lower triangle of each matrix of x (..., m, n): elements with column - row > diagonal become
 * 0. diagonal 0 keeps the main diagonal. dx = the same triangle of d. Raises CT_ERR_SHAPE for rank
 * below 2. */
ct_tensor *ct_tril(ct_tensor *x, int64_t diagonal);

/* The upper triangle: elements with column - row < diagonal become 0. Otherwise like ct_tril. */
ct_tensor *ct_triu(ct_tensor *x, int64_t diagonal);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* search.h - elements that are chosen by their values: masked_select, nonzero, unique, bincount,
 * searchsorted.
 *
 * Except for ct_searchsorted, the size of a result depends on values. These functions wait for an
 * asynchronous device and read its values on the host. The results belong to the innermost scope and
 * are on x's device; positions and counts are i64. d is the gradient of the output. */
#ifndef COTANGENT_AUTOGRAD_OPS_SEARCH_H
#define COTANGENT_AUTOGRAD_OPS_SEARCH_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The elements of x where mask, a bool tensor, is true, in row-major order: (k). x and mask broadcast
 * (CT_ERR_SHAPE). x has any dtype. dx = d at the elements that were selected, 0 elsewhere. */
ct_tensor *ct_masked_select(ct_tensor *x, ct_tensor *mask);

/* The positions of the elements of x that are not 0 (false), in row-major order: (k, rank), i64. NaN is
 * not 0. Any dtype but bf16 (CT_ERR_DTYPE). No derivative. */
ct_tensor *ct_nonzero(ct_tensor *x);

/* The different elements of x in ascending order: (k). f32, f64, i32, i64, bool. Each NaN differs from
 * all others. *inverse receives the position in the result of each element of x, in x's shape, and
 * *counts (k) how often each occurs; both are i64, and NULL after an error. Either pointer may be
 * NULL. No derivative. */
ct_tensor *ct_unique(ct_tensor *x, ct_tensor **inverse, ct_tensor **counts);

/* Counts the numbers 0, 1, ... in x (n), i32 or i64. The result has max + 1 elements, or minlength
 * if that is more. With weights (n), f32 or f64, element i is the sum of the weights where x is i;
 * the result then has their dtype, and dweights = d gathered at x. weights may be NULL; the result
 * is then i64 and has no derivative. Raises CT_ERR_INDEX for a negative element, CT_ERR_ARGUMENT
 * for a negative minlength. */
ct_tensor *ct_bincount(ct_tensor *x, ct_tensor *weights, int64_t minlength);

/* The positions at which values would have to be inserted into sorted, which is in ascending order
 * along its last axis. Each is the number of elements that are below the value; if right is true,
 * the number that are not above it. i64, of values' shape. sorted has rank 1, or the shape of
 * values except for the last size (CT_ERR_SHAPE). f32, f64, i32, i64, the same dtype
 * (CT_ERR_DTYPE). A NaN in values goes to the end; sorted must have none. The order is not checked.
 * No derivative. */
ct_tensor *ct_searchsorted(ct_tensor *sorted, ct_tensor *values, bool right);

#ifdef __cplusplus
}
#endif
#endif

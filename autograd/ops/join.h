/* SPDX-License-Identifier: MIT */
/* join.h - joining tensors, and splitting one.
 *
 * Every dtype is allowed. The results belong to the innermost scope. A negative axis counts from
 * the end. d is the gradient of the output. */
#ifndef COTANGENT_AUTOGRAD_OPS_JOIN_H
#define COTANGENT_AUTOGRAD_OPS_JOIN_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Joins count parts along axis, one after another. All must have the same dtype and device and,
 * except along axis, the same sizes. The gradient of part i is d's range of that part. Raises
 * CT_ERR_ARGUMENT if count is below 1 or above 65536; CT_ERR_SHAPE, CT_ERR_DTYPE or CT_ERR_DEVICE
 * if the parts do not agree. */
ct_tensor *ct_cat(int count, ct_tensor *const *parts, int axis);

/* Joins count parts along a new axis, which is inserted before axis (-1: at the end). All must have
 * the same shape, dtype and device. The gradient of part i is d's slice number i. Errors as for
 * ct_cat, and CT_ERR_SHAPE if the result would have more than CT_MAX_RANK axes. */
ct_tensor *ct_stack(int count, ct_tensor *const *parts, int axis);

/* Shorter forms for a list of tensors: CT_CAT(0, a, b, c). */
#define CT_CAT(axis, ...) ct_cat(CT_TENSORS(__VA_ARGS__), axis)
#define CT_STACK(axis, ...) ct_stack(CT_TENSORS(__VA_ARGS__), axis)

/* Cuts x along axis into count parts of the given sizes, and writes them to parts, which must have
 * room for count. Each part is a view. The sizes must add up to the axis; NULL cuts equal parts.
 * Raises CT_ERR_SHAPE if they do not, or if the axis does not divide into count equal parts;
 * CT_ERR_ARGUMENT if count is below 1 or parts is NULL. After an error every part is NULL. */
ct_status ct_split(ct_tensor *x, int count, const int64_t *sizes, int axis, ct_tensor **parts);

#ifdef __cplusplus
}
#endif
#endif

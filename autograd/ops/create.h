/* SPDX-License-Identifier: MIT */
/* create.h - new tensors with the shape, dtype and device of another.
 *
 * ct_empty, ct_zeros, ct_ones, ct_full, ct_arange and ct_from_data are in tensor/tensor.h, random
 * tensors in tensor/random.h. The results have no history and belong to the innermost scope. */
#ifndef COTANGENT_AUTOGRAD_OPS_CREATE_H
#define COTANGENT_AUTOGRAD_OPS_CREATE_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every element is value, converted to x's dtype. */
ct_tensor *ct_full_like(const ct_tensor *x, double value);

/* Every element is 0. */
ct_tensor *ct_zeros_like(const ct_tensor *x);

/* Every element is 1. */
ct_tensor *ct_ones_like(const ct_tensor *x);

#ifdef __cplusplus
}
#endif
#endif

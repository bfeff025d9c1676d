/* SPDX-License-Identifier: MIT */
/* clip.h - gradient clipping.
 *
 * Both functions change the gradients of the trained parameters of a set. Frozen parameters and
 * parameters without a gradient are skipped. Both do nothing while an error is recorded.
 *
 * CT_ERR_ARGUMENT for a NULL set and for a bound that is not above 0. CT_ERR_NUMERIC for a gradient
 * that is not finite; the message names the first such parameter, no gradient changes, and the
 * recorded error prevents the optimiser's step. On an asynchronous device this error is raised at
 * the next wait (tensor/device.h), names no parameter, and gradients may have changed. */
#ifndef COTANGENT_OPTIM_CLIP_H
#define COTANGENT_OPTIM_CLIP_H

#include <cotangent/autograd/params/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Computes the L2 norm of all gradients together. If it is above max_norm, multiplies every
 * gradient by max_norm / norm (PyTorch divides by norm + 1e-6). Writes the norm before clipping to
 * *norm unless norm is NULL; NaN after an error. An infinite max_norm only measures. CT_ERR_NUMERIC
 * also if the norm itself overflows. */
ct_status ct_clip_grad_norm(ct_params *set, double max_norm, double *norm);

/* Clamps every element of the gradients to [-clip_value, clip_value]. */
ct_status ct_clip_grad_value(ct_params *set, double clip_value);

#ifdef __cplusplus
}
#endif
#endif

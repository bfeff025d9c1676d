/* clip.h - gradient clipping.
 *
 * Both are sinks: they do nothing while an error stands. Frozen parameters, and those without a
 * gradient, count in nothing. CT_ERR_ARGUMENT for a bound that is not above 0. CT_ERR_NUMERIC,
 * naming the first such parameter, for a gradient that is not finite: no gradient changes, and the
 * error keeps the step from being taken. On a GPU it comes with the next wait (tensor/device.h),
 * names no parameter, and gradients may have been brought into the range. */
#ifndef COTANGENT_OPTIM_CLIP_H
#define COTANGENT_OPTIM_CLIP_H

#include <cotangent/autograd/params/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Scales the gradients of all trained parameters of set by max_norm / norm where norm, the L2 norm
 * of all of them together, is above max_norm (PyTorch divides by norm + 1e-6). *norm, if wanted, is
 * the norm before, NaN after an error. An infinite max_norm only measures. CT_ERR_NUMERIC also for
 * a norm that overflows. */
ct_status ct_clip_grad_norm(ct_params *set, double max_norm, double *norm);

/* Brings every element of the gradients into [-clip_value, clip_value]. */
ct_status ct_clip_grad_value(ct_params *set, double clip_value);

#ifdef __cplusplus
}
#endif
#endif

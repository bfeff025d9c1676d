/* clip.h - gradient clipping. */
#ifndef COTANGENT_OPTIM_CLIP_H
#define COTANGENT_OPTIM_CLIP_H

#include <cotangent/autograd/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Scales the gradients of all trained parameters of set by max_norm / norm where norm, the L2 norm
 * of all of them together, is above max_norm. *norm, if wanted, is the norm before. A sink: does
 * nothing while an error stands. CT_ERR_ARGUMENT for a max_norm that is not above 0;
 * CT_ERR_NUMERIC, naming the first such parameter, if the norm is not finite. */
ct_status ct_clip_grad_norm(ct_params *set, double max_norm, double *norm);

#ifdef __cplusplus
}
#endif
#endif

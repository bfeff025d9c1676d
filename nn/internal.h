/* SPDX-License-Identifier: MIT */
/* internal.h - functions that several modules share. (internal) */
#ifndef COTANGENT_NN_INTERNAL_H
#define COTANGENT_NN_INTERNAL_H

#include "tensor/internal.h"

#include <cotangent/nn/loss.h>
#include <cotangent/nn/module.h>
#include <cotangent/nn/recurrent.h>
#include <cotangent/nn/state.h>

/* True if s and its tensors are alive. Otherwise raises an error (for a NULL only if none is
 * recorded) and returns false. For an optional state, call it only if s is not NULL. */
bool cti_state_usable(const char *function, const char *name, const ct_state *s);

/* An owned state of the values of s, which it shares with s if it can; NULL with an error. The caller
 * has checked s. */
ct_state *cti_state_keep(const char *function, const ct_state *s);

/* Materializes p with a shape that follows from x. The error about another shape of p shows x. True for
 * a NULL p; false with an error. */
bool cti_materialize_for(ct_param *p, ct_shape shape, const ct_tensor *x);

/* The value of p, or NULL if p is NULL. */
ct_tensor *cti_value(ct_param *p);

/* True if eps, as an option, is at least 0; else CT_ERR_ARGUMENT. */
bool cti_is_eps(const char *function, double eps);

/* Materializes p (channels), which may be NULL, with the size of axis 1 of x (N, channels, ...).
 * False with an error. If the rank of x is below 2, returns true, and the op raises the error. */
bool cti_materialize_channels(ct_tensor *x, ct_param *p);

/* ct_cross_entropy_with; errors name function. */
ct_tensor *cti_cross_entropy(const char *function, ct_tensor *logits, ct_tensor *targets,
                             ct_cross_entropy_options options);

/* ct_linear_cross_entropy; errors name function. */
ct_tensor *cti_linear_cross_entropy(const char *function, ct_tensor *x, ct_tensor *weight,
                                    ct_tensor *bias, ct_tensor *targets,
                                    const ct_cross_entropy_options *options);

/* True if reduction and label_smoothing are in range; else false with an error. */
bool cti_cross_entropy_options(const char *function, const ct_cross_entropy_options *options);

/* Returns loss reduced over all its elements. */
ct_tensor *cti_loss_reduced(ct_tensor *loss, ct_reduction reduction);

/* True if reduction is the mean, the sum or none; else CT_ERR_ARGUMENT. */
bool cti_loss_check_reduction(const char *function, ct_reduction reduction);

/* True if x and target are f32 or f64 with the same shape, dtype and device, and the reduction is
 * valid; otherwise false with an error, which calls x `name`. */
bool cti_loss_check_pair(const char *function, const char *name, const ct_tensor *x,
                         const ct_tensor *target, ct_reduction reduction);

/* Raises CT_ERR_INDEX for the target at a position; targets has rank 1. */
void cti_raise_target(const char *function, ct_tensor *targets, int64_t position, int64_t classes);

/* Checks that a module's set and name are not NULL. Otherwise returns false, and raises an error
 * unless one is recorded. */
bool cti_module_given(const char *function, const ct_params *params, const char *name);

/* True if p is in [0, 1); else CT_ERR_ARGUMENT. */
bool cti_is_probability(const char *function, const char *name, double p);

/* Returns the self of a module whose forward function is `forward`; NULL, without an error, for
 * another module. */
void *cti_module_self(const ct_module *m, ct_tensor *(*forward)(void *self, ct_tensor *x));

/* recurrent.c: the number of features that r takes; -1 while it is not known. */
int64_t cti_recurrent_input_size(const ct_recurrent *r);

/* size bytes of zeros that the set frees; NULL with an error. */
void *cti_module_data(ct_params *params, size_t size);

#endif

/* internal.h - what several modules share. (internal) */
#ifndef COTANGENT_NN_INTERNAL_H
#define COTANGENT_NN_INTERNAL_H

#include <cotangent/nn/module.h>

/* The value of p, or NULL if p is NULL. */
ct_tensor *cti_value(ct_param *p);

/* x (..., n) normalised over its last axis, times weight (n) plus bias (n), either NULL for none:
 * (x - mean) / sqrt(variance + eps) */
ct_tensor *cti_layer_norm(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, double eps);

/* True if p is in [0, 1); else CT_ERR_ARGUMENT. */
bool cti_is_probability(const char *function, const char *name, double p);

/* size bytes of zeros that the set frees; NULL with an error. */
void *cti_module_data(ct_params *params, size_t size);

#endif

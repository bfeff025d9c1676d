/* SPDX-License-Identifier: MIT */
/* rms_norm.h - the RMSNorm module (Zhang and Sennrich 2019), over the last axis: ct_rms_norm. */
#ifndef COTANGENT_NN_RMS_NORM_H
#define COTANGENT_NN_RMS_NORM_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_nn_rms_norm_options {
    /* the size of the last axis; 0: taken from the first forward or from a loaded file */
    int64_t size;
    double eps;     /* 0: the epsilon of the dtype, FLT_EPSILON or DBL_EPSILON */
    bool no_affine; /* no weight */
} ct_nn_rms_norm_options;

/* Makes an RMSNorm: x (..., size) -> y of the same shape. Registers NAME.weight (size), initially 1.
 * The module belongs to params. CT_ERR_ARGUMENT if size is negative or eps is negative or NaN. */
ct_module *ct_nn_rms_norm(ct_params *params, const char *name, ct_nn_rms_norm_options options);

#ifdef __cplusplus
}
#endif
#endif

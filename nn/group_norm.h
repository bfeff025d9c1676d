/* SPDX-License-Identifier: MIT */
/* group_norm.h - the GroupNorm module (Wu and He 2018): ct_group_norm. */
#ifndef COTANGENT_NN_GROUP_NORM_H
#define COTANGENT_NN_GROUP_NORM_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_nn_group_norm_options {
    int64_t groups;   /* 1 or more */
    int64_t channels; /* 0: taken from the first forward or from a loaded file */
    double eps;       /* default 1e-5 */
    bool no_affine;   /* the module has neither weight nor bias */
} ct_nn_group_norm_options;

/* Makes a GroupNorm: x (N, channels, ...) -> y of the same shape. Registers NAME.weight (channels),
 * initially 1, and NAME.bias (channels), initially 0. The module belongs to params. CT_ERR_ARGUMENT
 * if groups is less than 1 or does not divide channels, channels is negative, or eps is negative or
 * NaN. */
ct_module *ct_nn_group_norm(ct_params *params, const char *name, ct_nn_group_norm_options options);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* layer_norm.h - the LayerNorm module (Ba, Kiros and Hinton 2016), over the last axis:
 * ct_layer_norm. */
#ifndef COTANGENT_NN_LAYER_NORM_H
#define COTANGENT_NN_LAYER_NORM_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_nn_layer_norm_options {
    /* the size of the last axis; 0: taken from the first forward or from a loaded file */
    int64_t size;
    double eps; /* default 1e-5 */
    bool no_bias;
    bool no_affine; /* the module has neither weight nor bias */
} ct_nn_layer_norm_options;

/* Makes a LayerNorm: x (..., size) -> y of the same shape. Registers NAME.weight (size), initially
 * 1, and NAME.bias (size), initially 0. The module belongs to params. CT_ERR_ARGUMENT if size is
 * negative or eps is negative or NaN. */
ct_module *ct_nn_layer_norm(ct_params *params, const char *name, ct_nn_layer_norm_options options);

#ifdef __cplusplus
}
#endif
#endif

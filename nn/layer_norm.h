/* layer_norm.h - layer normalisation (Ba, Kiros, Hinton 2016) over the last axis:
 * y = (x - mean) / sqrt(variance + eps) weight + bias; the variance is over n, not n - 1. */
#ifndef COTANGENT_NN_LAYER_NORM_H
#define COTANGENT_NN_LAYER_NORM_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_nn_layer_norm_options {
    int64_t size; /* of the last axis; 0: settled by the first forward */
    double eps;   /* 1e-5 */
    bool no_bias;
    bool no_affine; /* neither weight nor bias */
} ct_nn_layer_norm_options;

/* x (..., size) -> y of its shape. Registers NAME.weight, begun as 1, and NAME.bias, as 0 (size).
 * Belongs to the set. CT_ERR_ARGUMENT for a negative size or eps. */
ct_module *ct_nn_layer_norm(ct_params *params, const char *name, ct_nn_layer_norm_options options);

#ifdef __cplusplus
}
#endif
#endif

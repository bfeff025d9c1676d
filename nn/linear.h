/* SPDX-License-Identifier: MIT */
/* linear.h - the Linear module: y = x W^T + b. */
#ifndef COTANGENT_NN_LINEAR_H
#define COTANGENT_NN_LINEAR_H

#include <stdbool.h>

#include <cotangent/nn/dialect.h>
#include <cotangent/nn/loss.h>
#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_nn_linear_options {
    int64_t in_features; /* 0: taken from the first forward or from a loaded file */
    int64_t out_features;
    bool no_bias;
    ct_dialect dialect; /* the framework whose initial values are used; default CT_DIALECT_TORCH */
} ct_nn_linear_options;

/* Makes a Linear: x (..., in) -> y (..., out). Registers NAME.weight (out, in) and NAME.bias (out),
 * with the initial values of the dialect; PyTorch's are uniform within 1/sqrt(in). The module
 * belongs to params. CT_ERR_ARGUMENT if out_features is below 1 or in_features is negative. */
ct_module *ct_nn_linear(ct_params *params, const char *name, ct_nn_linear_options options);

/* ct_linear_cross_entropy (loss.h) with the weight and bias of a Linear: the cross-entropy of
 * ct_forward(linear, x), x (..., in), computed without the scores in memory. The result belongs to
 * the innermost scope. CT_ERR_ARGUMENT if linear was not made by ct_nn_linear. */
ct_tensor *ct_nn_linear_cross_entropy(ct_module *linear, ct_tensor *x, ct_tensor *targets,
                                      ct_cross_entropy_options options);

#ifdef __cplusplus
}
#endif
#endif

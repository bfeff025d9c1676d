/* linear.h - y = x W^T + b. */
#ifndef COTANGENT_NN_LINEAR_H
#define COTANGENT_NN_LINEAR_H

#include <stdbool.h>

#include <cotangent/nn/dialect.h>
#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_nn_linear_options {
    int64_t in_features; /* 0: settled by the first forward */
    int64_t out_features;
    bool no_bias;
    ct_dialect dialect; /* whose initial values: CT_DIALECT_TORCH (0), ... */
} ct_nn_linear_options;

/* x (..., in) -> y (..., out). Registers NAME.weight (out, in) and NAME.bias (out), begun as the dialect has it, in
 * PyTorch U(-1/sqrt(in), 1/sqrt(in)) both. Belongs to the set. CT_ERR_ARGUMENT for sizes
 * below 1 (0 for in). */
ct_module *ct_nn_linear(ct_params *params, const char *name, ct_nn_linear_options options);

#ifdef __cplusplus
}
#endif
#endif

/* linear.h - y = x W^T + b. */
#ifndef COTANGENT_NN_LINEAR_H
#define COTANGENT_NN_LINEAR_H

#include <stdbool.h>

#include <cotangent/autograd/params.h>
#include <cotangent/nn/dialect.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_linear ct_linear;

typedef struct ct_linear_options {
    int64_t in_features; /* 0: settled by the first forward */
    int64_t out_features;
    bool no_bias;
    ct_dialect dialect; /* whose initial values: CT_DIALECT_TORCH (0), ... */
    void *reserved[4];
} ct_linear_options;

/* Registers NAME.weight (out, in) and NAME.bias (out), begun as the dialect has it, in
 * PyTorch U(-1/sqrt(in), 1/sqrt(in)) both. Belongs to the set. CT_ERR_ARGUMENT for sizes
 * below 1 (0 for in). */
ct_linear *ct_linear_module(ct_params *params, const char *name, ct_linear_options options);

/* x (..., in) -> y (..., out). */
ct_tensor *ct_linear_forward(ct_linear *l, ct_tensor *x);

#ifdef __cplusplus
}
#endif
#endif

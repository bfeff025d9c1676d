/* SPDX-License-Identifier: MIT */
/* batch_norm.h - the BatchNorm module (Ioffe and Szegedy 2015): ct_batch_norm with parameters. One
 * module for PyTorch's BatchNorm1d, BatchNorm2d and BatchNorm3d. */
#ifndef COTANGENT_NN_BATCH_NORM_H
#define COTANGENT_NN_BATCH_NORM_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_nn_batch_norm_options {
    int64_t channels;      /* 0: taken from the first forward or from a loaded file */
    double momentum;       /* default 0.1, the share of a batch in the running statistics */
    double eps;            /* default 1e-5 */
    bool no_affine;        /* the module has neither weight nor bias */
    bool no_running_stats; /* no buffers: each batch is normalised by its own statistics */
} ct_nn_batch_norm_options;

/* Makes a BatchNorm: x (N, channels, ...) -> y of the same shape. Registers NAME.weight (channels),
 * initially 1, NAME.bias (channels), initially 0, and the buffers NAME.running_mean (channels),
 * initially 0, NAME.running_var (channels), initially 1, and NAME.num_batches_tracked, an i64 of rank
 * 0.
 *
 * While the set trains, a forward normalises by the batch's statistics, updates the running
 * statistics and counts the batch. Only one thread at a time may run it then. While it does not
 * train, or in a scope of ct_scope_begin_inference, a forward uses the running statistics. The
 * module belongs to params. CT_ERR_ARGUMENT if channels is negative, momentum is not in [0, 1], or
 * eps is negative or NaN. */
ct_module *ct_nn_batch_norm(ct_params *params, const char *name, ct_nn_batch_norm_options options);

#ifdef __cplusplus
}
#endif
#endif

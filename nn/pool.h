/* SPDX-License-Identifier: MIT */
/* pool.h - pooling modules, and Flatten. They have no parameters. */
#ifndef COTANGENT_NN_POOL_H
#define COTANGENT_NN_POOL_H

#include <cotangent/autograd/ops/pool.h>
#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Make modules of ct_max_pool2d and ct_avg_pool2d (pool.h of the ops): x (N, C, H, W) -> (N, C, H',
 * W'). The module belongs to params. CT_ERR_ARGUMENT for a kernel below 1; for other options out of
 * range, the forward raises the error. */
ct_module *ct_nn_max_pool2d(ct_params *params, ct_pool_options options);
ct_module *ct_nn_avg_pool2d(ct_params *params, ct_pool_options options);

/* Makes a module of ct_adaptive_avg_pool2d: x (N, C, H, W) -> (N, C, height, width). The module belongs
 * to params. CT_ERR_ARGUMENT if a size is below 1. */
ct_module *ct_nn_adaptive_avg_pool2d(ct_params *params, int64_t height, int64_t width);

/* Makes a module that joins all axes but the first: x (N, ...) -> (N, all others). The module belongs to
 * params. */
ct_module *ct_nn_flatten(ct_params *params);

#ifdef __cplusplus
}
#endif
#endif

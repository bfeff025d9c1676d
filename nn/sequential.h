/* SPDX-License-Identifier: MIT */
/* sequential.h - chains of modules.
 *
 *     ct_module *net = ct_nn_sequential(params, 3, (ct_module *[]){
 *         ct_nn_embedding(params, "embedding", (ct_nn_embedding_options){ .rows = 28, .size = 16
 *         }),
 *         ct_nn_dropout(params, 0.1),
 *         ct_nn_linear(params, "linear", linear_options) });
 *     ct_tensor *logits = ct_forward(net, ids); */
#ifndef COTANGENT_NN_SEQUENTIAL_H
#define COTANGENT_NN_SEQUENTIAL_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes a chain: the output of each module is the input of the next. With count 0, y is x. The
 * modules must belong to params, and so does the chain. CT_ERR_ARGUMENT if a module is NULL or
 * count is negative. */
ct_module *ct_nn_sequential(ct_params *params, int count, ct_module *const *modules);

#ifdef __cplusplus
}
#endif
#endif

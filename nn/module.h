/* SPDX-License-Identifier: MIT */
/* module.h - modules with one tensor in and one tensor out.
 *
 * Linear, Embedding, Dropout, LayerNorm, Sequential and modules of your own are all ct_module;
 * ct_forward runs any of them. A module registers its parameters in a ct_params set under PyTorch's
 * dotted names, belongs to that set, and is freed with it. */
#ifndef COTANGENT_NN_MODULE_H
#define COTANGENT_NN_MODULE_H

#include <cotangent/autograd/params/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A module of any kind. It belongs to a parameter set and is freed with it. */
typedef struct ct_module ct_module;

/* Runs m on x. Returns a tensor of the innermost scope, or NULL with an error. The module decides
 * which shapes and dtypes x may have. */
ct_tensor *ct_forward(ct_module *m, ct_tensor *x);

/* Makes a module of your own. forward gets self on every call and returns NULL after an error. The
 * library does not free self; to free it together with the set, call ct_params_own. self may be
 * NULL. The module belongs to params. CT_ERR_ARGUMENT if params or forward is NULL. */
ct_module *ct_nn_module(ct_params *params, void *self,
                        ct_tensor *(*forward)(void *self, ct_tensor *x));

/* Makes a module from an op of one tensor, such as ct_relu. The module belongs to params.
 * CT_ERR_ARGUMENT if params or op is NULL. */
ct_module *ct_nn_op(ct_params *params, ct_tensor *(*op)(ct_tensor *x));

#ifdef __cplusplus
}
#endif
#endif

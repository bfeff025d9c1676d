/* SPDX-License-Identifier: MIT */
/* module_list.h - a list of modules, like nn.ModuleList. Its items have PyTorch's names:
 *
 *     ct_module_list *layers = ct_nn_module_list(params, "layers");
 *     for (int i = 0; i < 4; i++)     "layers.0.weight", "layers.0.bias", "layers.1.weight", ...
 *         ct_module_list_append(
 *             layers, ct_nn_linear(params, ct_module_list_next(layers), options));
 *
 *     for (int i = 0; i < ct_module_list_count(layers); i++)
 *         x = ct_add(x, ct_forward(ct_module_list_get(layers, i), x));
 *
 * A list does not run its modules. ct_nn_sequential makes a chain that runs them. */
#ifndef COTANGENT_NN_MODULE_LIST_H
#define COTANGENT_NN_MODULE_LIST_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A list. It belongs to a parameter set and is freed with it. */
typedef struct ct_module_list ct_module_list;

/* Makes an empty list, which the set frees. CT_ERR_ARGUMENT if name is empty, begins or ends
 * with a dot, or has more than 200 bytes. */
ct_module_list *ct_nn_module_list(ct_params *params, const char *name);

/* The name for the next module to append, such as "layers.3". For an item of several modules,
 * use ct_params_sub(params, name) with this name. The string is valid until the next call for
 * this list. NULL if l is NULL. */
const char *ct_module_list_next(ct_module_list *l);

/* Appends m, which must belong to the same set. CT_ERR_ARGUMENT if m is NULL. */
ct_status ct_module_list_append(ct_module_list *l, ct_module *m);

/* The number of modules; 0 if l is NULL. */
int ct_module_list_count(const ct_module_list *l);

/* Returns module i, which belongs to its set. -1 is the last module. CT_ERR_INDEX if i is out of
 * range. */
ct_module *ct_module_list_get(const ct_module_list *l, int i);

#ifdef __cplusplus
}
#endif
#endif

/* sequential.h - modules of one tensor in and one out, and chains of them.
 *
 *     ct_module *net = ct_sequential(params, 3, (ct_module *[]){
 *         ct_embedding_module(params, "embedding",
 *                             (ct_embedding_options){ .rows = 28, .size = 16 }),
 *         ct_dropout_module(params, 0.1),
 *         ct_as_module(params, ct_linear_module(params, "linear", linear_options)) });
 *     ct_tensor *logits = ct_module_forward(net, ids); */
#ifndef COTANGENT_NN_SEQUENTIAL_H
#define COTANGENT_NN_SEQUENTIAL_H

#include <stdbool.h>

#include <cotangent/autograd/params.h>
#include <cotangent/nn/linear.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_module ct_module;

/* x -> y; NULL after an error. */
ct_tensor *ct_module_forward(ct_module *m, ct_tensor *x);

/* One of one's own: forward gets self, which whoever made it owns. Belongs to the set. */
ct_module *ct_module_of(ct_params *params, void *self,
                        ct_tensor *(*forward)(void *self, ct_tensor *x));

/* A Linear, an op (ct_relu, ct_tanh...), a chain of count modules as a module. Each belongs to the
 * set. NULL for a NULL among them. CT_ERR_ARGUMENT for a negative count; of none y is x. */
ct_module *ct_as_module(ct_params *params, ct_linear *linear);
ct_module *ct_op_module(ct_params *params, ct_tensor *(*op)(ct_tensor *x));
ct_module *ct_sequential(ct_params *params, int count, ct_module *const *modules);

#ifdef __cplusplus
}
#endif
#endif

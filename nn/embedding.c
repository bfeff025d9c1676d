/* embedding.c - the Embedding module. */
#include "tensor/internal.h"

#include "nn/internal.h"

#include <cotangent/autograd/ops/index.h>
#include <cotangent/nn/embedding.h>
#include <cotangent/nn/init.h>

static ct_tensor *embedding_forward(void *self, ct_tensor *ids)
{
    return ct_embedding(ct_param_value(self), ids);
}

ct_module *ct_nn_embedding(ct_params *params, const char *name, ct_nn_embedding_options o)
{
    static const char *const me = "ct_nn_embedding";
    ct_params *mine;
    ct_param *weight;

    if (!cti_module_given(me, params, name) || !cti_at_least(me, "rows", o.rows, 1) ||
        !cti_at_least(me, "size", o.size, 1))
        return NULL;
    mine = ct_params_sub(params, name);
    weight = ct_params_add(mine, "weight", CT_SHAPE(o.rows, o.size), ct_init_normal(0, 1));
    return weight ? ct_nn_module(params, weight, embedding_forward) : NULL;
}

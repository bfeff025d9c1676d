/* SPDX-License-Identifier: MIT */
/* layer_norm.c - the LayerNorm module. */
#include "nn/internal.h"

#include <cotangent/autograd/ops/normalise.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/layer_norm.h>

typedef struct layer_norm {
    ct_param *weight, *bias; /* NULL if the module does not have it */
    double eps;
} layer_norm;

static ct_tensor *layer_norm_forward(void *self, ct_tensor *x)
{
    layer_norm *l = self;

    if (!cti_materialize_for(l->weight, CT_SHAPE(ct_size(x, -1)), x) ||
        !cti_materialize_for(l->bias, CT_SHAPE(ct_size(x, -1)), x))
        return NULL;
    return ct_layer_norm(x, cti_value(l->weight), cti_value(l->bias), l->eps);
}

ct_module *ct_nn_layer_norm(ct_params *params, const char *name, ct_nn_layer_norm_options o)
{
    static const char *const me = "ct_nn_layer_norm";
    ct_shape shape = CT_SHAPE(o.size ? o.size : -1);
    ct_params *mine;
    layer_norm *l;

    if (!cti_module_given(me, params, name) || !cti_at_least(me, "size", o.size, 0) ||
        !cti_is_eps(me, o.eps))
        return NULL;
    mine = ct_params_sub(params, name);
    l = mine ? cti_module_data(params, sizeof *l) : NULL;
    if (!l)
        return NULL;
    l->eps = cti_option(o.eps, 1e-5);
    if (!o.no_affine)
        l->weight = ct_params_add(mine, "weight", shape, ct_init_constant(1));
    if (!o.no_affine && !o.no_bias)
        l->bias = ct_params_add(mine, "bias", shape, ct_init_constant(0));
    return ct_ok() ? ct_nn_module(params, l, layer_norm_forward) : NULL;
}

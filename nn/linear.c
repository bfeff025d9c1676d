/* linear.c - the Linear module. */
#include "tensor/internal.h"

#include "tensor/host.h"

#include <cotangent/autograd/matmul.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/linear.h>

#include <math.h>

struct ct_linear {
    int64_t out;
    ct_dialect dialect;
    ct_param *weight, *bias; /* bias NULL for none */
};

static ct_init weight_init(ct_dialect dialect, double bound)
{
    switch (dialect) {
    case CT_GLUON:
        return ct_init_uniform(-0.07, 0.07);
    case CT_KERAS:
        return ct_init_xavier_uniform(1);
    case CT_FLAX:
        return ct_init_lecun_normal();
    default:
        return ct_init_uniform(-bound, bound);
    }
}

/* The bounds depend on in, so both wait for it. */
static ct_status settle(ct_linear *l, int64_t in)
{
    double bound = in > 0 ? 1 / sqrt((double)in) : 0;

    if (!ct_param_is_settled(l->weight)) {
        ct_param_set_init(l->weight, weight_init(l->dialect, bound));
        ct_param_settle(l->weight, CT_SHAPE(l->out, in));
    }
    if (l->bias && !ct_param_is_settled(l->bias)) {
        ct_param_set_init(l->bias, l->dialect == CT_TORCH ? ct_init_uniform(-bound, bound)
                                                          : ct_init_constant(0));
        ct_param_settle(l->bias, CT_SHAPE(l->out));
    }
    return ct_error();
}

ct_linear *ct_linear_module(ct_params *params, const char *name, ct_linear_options options)
{
    static const char *const me = "ct_linear_module";
    ct_params *mine;
    ct_linear *l;

    if (!params)
        return NULL;
    if (options.out_features < 1 || options.in_features < 0) {
        ct_raise(CT_ERR_ARGUMENT, me, "in_features %lld, out_features %lld",
                 (long long)options.in_features, (long long)options.out_features);
        return NULL;
    }
    mine = ct_params_sub(params, name);
    l = mine ? cti_calloc(1, sizeof *l) : NULL;
    if (!l) {
        if (mine)
            cti_out_of_memory(me, sizeof *l);
        return NULL;
    }
    if (ct_params_own(params, l, cti_release) != CT_OK)
        return NULL;
    l->out = options.out_features;
    l->dialect = options.dialect;
    l->weight = ct_params_add(mine, "weight", CT_SHAPE(l->out, -1), ct_init_constant(0));
    if (!options.no_bias)
        l->bias = ct_params_add(mine, "bias", CT_SHAPE(-1), ct_init_constant(0));
    if (!l->weight || (!l->bias && !options.no_bias))
        return NULL;
    return options.in_features == 0 || settle(l, options.in_features) == CT_OK ? l : NULL;
}

ct_tensor *ct_linear_forward(ct_linear *l, ct_tensor *x)
{
    if (!l || !x)
        return NULL;
    if (!ct_param_is_settled(l->weight) || (l->bias && !ct_param_is_settled(l->bias)))
        if (settle(l, ct_dim(x, -1)) != CT_OK)
            return NULL;
    return ct_linear_apply(x, ct_param_value(l->weight), l->bias ? ct_param_value(l->bias) : NULL);
}

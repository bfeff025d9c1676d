/* SPDX-License-Identifier: MIT */
/* linear.c - the Linear module. */
#include "tensor/internal.h"

#include "nn/internal.h"

#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/linear.h>

#include <math.h>

typedef struct linear {
    int64_t out;
    ct_dialect dialect;
    ct_param *weight, *bias; /* bias is NULL if no_bias is set */
} linear;

/* The initialiser of the weight or the bias. In PyTorch's dialect both are uniform within bound. */
static ct_init linear_init(ct_dialect dialect, double bound, bool bias)
{
    if (bias && dialect != CT_DIALECT_TORCH)
        return ct_init_constant(0);
    switch (dialect) {
    case CT_DIALECT_GLUON:
        return ct_init_uniform(-0.07, 0.07);
    case CT_DIALECT_KERAS:
        return ct_init_xavier_uniform(1);
    case CT_DIALECT_FLAX:
        return ct_init_lecun_normal();
    default:
        return ct_init_uniform(-bound, bound);
    }
}

/* PyTorch's bound is 1/sqrt(in), where in is the input size of the weight. It may be unknown until
 * the first forward. */
static ct_status linear_fill(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    const linear *l = init->context;
    bool bias = ct_rank(t) == 1;
    int64_t in = bias ? ct_param_shape(l->weight).dim[1] : ct_size(t, 1);
    ct_init begin = linear_init(l->dialect, in > 0 ? 1 / sqrt((double)in) : 0, bias);

    return begin.fill(&begin, t, g);
}

/* The weight must be materialized first, because the initial values of the bias depend on its
 * shape. */
static ct_status linear_settle(linear *l, int64_t in)
{
    ct_status status = ct_param_materialize(l->weight, CT_SHAPE(l->out, in));

    return status == CT_OK && l->bias ? ct_param_materialize(l->bias, CT_SHAPE(l->out)) : status;
}

/* Gives a lazy weight the size of the last axis of x. */
static bool linear_ready(linear *l, const ct_tensor *x)
{
    return !(ct_param_is_lazy(l->weight) || (l->bias && ct_param_is_lazy(l->bias))) ||
           linear_settle(l, ct_size(x, -1)) == CT_OK;
}

static ct_tensor *linear_forward(void *self, ct_tensor *x)
{
    linear *l = self;

    if (!linear_ready(l, x))
        return NULL;
    return ct_linear(x, ct_param_value(l->weight), l->bias ? ct_param_value(l->bias) : NULL);
}

ct_module *ct_nn_linear(ct_params *params, const char *name, ct_nn_linear_options options)
{
    static const char *const me = "ct_nn_linear";
    ct_init init = { .fill = linear_fill };
    ct_params *mine;
    linear *l;
    int64_t in;

    if (!cti_module_given(me, params, name) ||
        !cti_at_least(me, "out_features", options.out_features, 1) ||
        !cti_at_least(me, "in_features", options.in_features, 0))
        return NULL;
    mine = ct_params_sub(params, name);
    l = mine ? cti_module_data(params, sizeof *l) : NULL;
    if (!l)
        return NULL;
    l->out = options.out_features;
    l->dialect = options.dialect;
    init.context = l;
    in = options.in_features ? options.in_features : -1;
    l->weight = ct_params_add(mine, "weight", CT_SHAPE(l->out, in), init);
    if (!options.no_bias)
        l->bias = ct_params_add(mine, "bias", CT_SHAPE(options.in_features ? l->out : -1), init);
    return l->weight && (l->bias || options.no_bias) ? ct_nn_module(params, l, linear_forward)
                                                     : NULL;
}

ct_tensor *ct_nn_linear_cross_entropy(ct_module *linear, ct_tensor *x, ct_tensor *targets,
                                      ct_cross_entropy_options options)
{
    static const char *const me = "ct_nn_linear_cross_entropy";
    struct linear *l;

    if (!cti_given(me, "linear", linear) || !cti_usable(me, x) || !cti_usable(me, targets))
        return NULL;
    l = cti_module_self(linear, linear_forward);
    if (!l) {
        ct_raise(CT_ERR_ARGUMENT, me, "linear was not made by ct_nn_linear");
        return NULL;
    }
    return linear_ready(l, x) ? cti_linear_cross_entropy(me, x, ct_param_value(l->weight),
                                                         cti_value(l->bias), targets, &options)
                              : NULL;
}

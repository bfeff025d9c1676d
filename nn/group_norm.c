/* SPDX-License-Identifier: MIT */
/* group_norm.c - the GroupNorm module. */
#include "nn/internal.h"

#include <cotangent/autograd/ops/normalise.h>
#include <cotangent/nn/group_norm.h>
#include <cotangent/nn/init.h>

typedef struct group_norm {
    ct_param *weight, *bias; /* NULL if no_affine is set */
    int64_t groups;
    double eps;
} group_norm;

static ct_tensor *group_norm_forward(void *self, ct_tensor *x)
{
    group_norm *m = self;

    if (!cti_materialize_channels(x, m->weight) || !cti_materialize_channels(x, m->bias))
        return NULL;
    return ct_group_norm(x, m->groups, cti_value(m->weight), cti_value(m->bias), m->eps);
}

ct_module *ct_nn_group_norm(ct_params *params, const char *name, ct_nn_group_norm_options o)
{
    static const char *const me = "ct_nn_group_norm";
    ct_shape shape = CT_SHAPE(o.channels ? o.channels : -1);
    ct_params *mine;
    group_norm *m;

    if (!cti_module_given(me, params, name) || !cti_at_least(me, "groups", o.groups, 1) ||
        !cti_at_least(me, "channels", o.channels, 0) || !cti_is_eps(me, o.eps))
        return NULL;
    if (o.channels % o.groups) {
        ct_raise(CT_ERR_ARGUMENT, me, "groups is %lld; it must divide the %lld channels",
                 (long long)o.groups, (long long)o.channels);
        return NULL;
    }
    mine = ct_params_sub(params, name);
    m = mine ? cti_module_data(params, sizeof *m) : NULL;
    if (!m)
        return NULL;
    m->groups = o.groups;
    m->eps = cti_option(o.eps, 1e-5);
    if (!o.no_affine) {
        m->weight = ct_params_add(mine, "weight", shape, ct_init_constant(1));
        m->bias = ct_params_add(mine, "bias", shape, ct_init_constant(0));
    }
    return ct_ok() ? ct_nn_module(params, m, group_norm_forward) : NULL;
}

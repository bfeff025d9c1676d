/* SPDX-License-Identifier: MIT */
/* rms_norm.c - the RMSNorm module. */
#include "nn/internal.h"

#include <cotangent/autograd/ops/normalise.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/rms_norm.h>

#include <float.h>

typedef struct rms_norm {
    ct_param *weight; /* NULL if no_affine is set */
    double eps;       /* the option's value; 0 means the epsilon of the dtype */
} rms_norm;

static ct_tensor *rms_norm_forward(void *self, ct_tensor *x)
{
    rms_norm *m = self;

    if (m->weight && ct_param_materialize(m->weight, CT_SHAPE(ct_size(x, -1))) != CT_OK)
        return NULL;
    return ct_rms_norm(x, cti_value(m->weight),
                       cti_option(m->eps, x->dtype == CT_F64 ? DBL_EPSILON : FLT_EPSILON));
}

ct_module *ct_nn_rms_norm(ct_params *params, const char *name, ct_nn_rms_norm_options o)
{
    static const char *const me = "ct_nn_rms_norm";
    ct_params *mine;
    rms_norm *m;

    if (!cti_module_given(me, params, name) || !cti_at_least(me, "size", o.size, 0) ||
        !cti_is_eps(me, o.eps))
        return NULL;
    mine = ct_params_sub(params, name);
    m = mine ? cti_module_data(params, sizeof *m) : NULL;
    if (!m)
        return NULL;
    m->eps = o.eps;
    if (!o.no_affine)
        m->weight =
            ct_params_add(mine, "weight", CT_SHAPE(o.size ? o.size : -1), ct_init_constant(1));
    return ct_ok() ? ct_nn_module(params, m, rms_norm_forward) : NULL;
}

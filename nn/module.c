/* SPDX-License-Identifier: MIT */
/* module.c - modules with one tensor in and one tensor out. */
#include "nn/internal.h"

#include "autograd/internal.h"
#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <cotangent/nn/module.h>

struct ct_module {
    void *self;
    ct_tensor *(*forward)(void *self, ct_tensor *x);
};

typedef struct op_call {
    ct_tensor *(*op)(ct_tensor *x);
} op_call;

bool cti_module_given(const char *function, const ct_params *params, const char *name)
{
    return cti_given(function, "params", params) && cti_given(function, "name", name);
}

bool cti_is_probability(const char *function, const char *name, double p)
{
    if (p >= 0 && p < 1)
        return true;
    ct_raise(CT_ERR_ARGUMENT, function, "%s is %g; it must be in [0, 1)", name, p);
    return false;
}

bool cti_is_eps(const char *function, double eps)
{
    if (eps >= 0 || eps == CT_ZERO)
        return true;
    ct_raise(CT_ERR_ARGUMENT, function, "eps is %g; it must be at least 0", eps);
    return false;
}

bool cti_materialize_channels(ct_tensor *x, ct_param *p)
{
    return !p || ct_rank(x) < 2 || ct_param_materialize(p, CT_SHAPE(ct_size(x, 1))) == CT_OK;
}

void *cti_module_data(ct_params *params, size_t size)
{
    void *data = cti_calloc(1, size);

    if (!data)
        cti_out_of_memory("ct_module", size);
    else if (ct_params_own(params, data, cti_release) != CT_OK)
        data = NULL;
    return data;
}

void *cti_module_self(const ct_module *m, ct_tensor *(*forward)(void *self, ct_tensor *x))
{
    return m->forward == forward ? m->self : NULL;
}

bool cti_materialize_for(ct_param *p, ct_shape shape, const ct_tensor *x)
{
    ct_shape known = ct_param_shape(p);

    if (!p || ct_param_is_lazy(p) || cti_param_fits(p, &shape))
        return !p || ct_param_materialize(p, shape) == CT_OK;
    ct_raise(CT_ERR_SHAPE, "ct_forward", "x %s requires %s of the shape %s; its shape is %s",
             cti_describe(x).s, ct_param_name(p), cti_shape_text(&shape).s,
             cti_shape_text(&known).s);
    return false;
}

ct_tensor *cti_value(ct_param *p)
{
    return p ? ct_param_value(p) : NULL;
}

ct_module *ct_nn_module(ct_params *params, void *self,
                        ct_tensor *(*forward)(void *self, ct_tensor *x))
{
    ct_module *m;

    if (!cti_given("ct_nn_module", "params", params) ||
        !cti_given("ct_nn_module", "forward", (const void *)forward))
        return NULL;
    m = cti_module_data(params, sizeof *m);
    if (m)
        *m = (ct_module){ self, forward };
    return m;
}

ct_tensor *ct_forward(ct_module *m, ct_tensor *x)
{
    return cti_given("ct_forward", "m", m) && cti_usable("ct_forward", x) ? m->forward(m->self, x)
                                                                          : NULL;
}

static ct_tensor *module_op_forward(void *self, ct_tensor *x)
{
    return ((op_call *)self)->op(x);
}

ct_module *ct_nn_op(ct_params *params, ct_tensor *(*op)(ct_tensor *x))
{
    op_call *call;

    if (!cti_given("ct_nn_op", "params", params) || !cti_given("ct_nn_op", "op", (const void *)op))
        return NULL;
    call = cti_module_data(params, sizeof *call);
    if (!call)
        return NULL;
    call->op = op;
    return ct_nn_module(params, call, module_op_forward);
}

/* sequential.c - modules of one tensor in and one out, and chains of them. */
#include "nn/cell.h"

#include "tensor/host.h"
#include "tensor/internal.h"

#include <cotangent/nn/sequential.h>

struct ct_module {
    void *self;
    ct_tensor *(*forward)(void *self, ct_tensor *x);
};

typedef struct chain {
    int count;
    ct_module *module[];
} chain;

typedef struct op_call {
    ct_tensor *(*op)(ct_tensor *x);
} op_call;

void *cti_module_data(ct_params *params, size_t size)
{
    void *data = cti_calloc(1, size);

    if (!data)
        cti_out_of_memory("ct_module", size);
    else if (ct_params_own(params, data, cti_release) != CT_OK)
        data = NULL;
    return data;
}

ct_module *ct_module_of(ct_params *params, void *self,
                        ct_tensor *(*forward)(void *self, ct_tensor *x))
{
    ct_module *m;

    if (!params)
        return NULL;
    if (!forward) {
        ct_raise(CT_ERR_ARGUMENT, "ct_module_of", "forward is NULL");
        return NULL;
    }
    m = cti_module_data(params, sizeof *m);
    if (m)
        *m = (ct_module){ self, forward };
    return m;
}

ct_tensor *ct_module_forward(ct_module *m, ct_tensor *x)
{
    return m && x ? m->forward(m->self, x) : NULL;
}

static ct_tensor *linear_forward(void *self, ct_tensor *x)
{
    return ct_linear_forward(self, x);
}

ct_module *ct_as_module(ct_params *params, ct_linear *linear)
{
    return linear ? ct_module_of(params, linear, linear_forward) : NULL;
}

static ct_tensor *op_forward(void *self, ct_tensor *x)
{
    return ((op_call *)self)->op(x);
}

ct_module *ct_op_module(ct_params *params, ct_tensor *(*op)(ct_tensor *x))
{
    op_call *call;

    if (!params)
        return NULL;
    if (!op) {
        ct_raise(CT_ERR_ARGUMENT, "ct_op_module", "op is NULL");
        return NULL;
    }
    call = cti_module_data(params, sizeof *call);
    if (!call)
        return NULL;
    call->op = op;
    return ct_module_of(params, call, op_forward);
}

static ct_tensor *chain_forward(void *self, ct_tensor *x)
{
    const chain *c = self;

    for (int i = 0; i < c->count; i++)
        x = ct_module_forward(c->module[i], x);
    return x;
}

ct_module *ct_sequential(ct_params *params, int count, ct_module *const *modules)
{
    chain *c;

    if (!params)
        return NULL;
    if (count < 0) {
        ct_raise(CT_ERR_ARGUMENT, "ct_sequential", "%d modules", count);
        return NULL;
    }
    for (int i = 0; i < count; i++)
        if (!modules[i])
            return NULL;
    c = cti_module_data(params, sizeof *c + (size_t)count * sizeof *c->module);
    if (!c)
        return NULL;
    c->count = count;
    for (int i = 0; i < count; i++)
        c->module[i] = modules[i];
    return ct_module_of(params, c, chain_forward);
}

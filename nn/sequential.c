/* sequential.c - chains of modules. */
#include "tensor/internal.h"

#include "nn/internal.h"

#include <cotangent/nn/sequential.h>

typedef struct chain {
    int count;
    ct_module *module[];
} chain;

static ct_tensor *sequential_forward(void *self, ct_tensor *x)
{
    const chain *c = self;

    for (int i = 0; i < c->count; i++)
        x = ct_forward(c->module[i], x);
    return x;
}

ct_module *ct_nn_sequential(ct_params *params, int count, ct_module *const *modules)
{
    chain *c;

    if (!params || !cti_at_least("ct_nn_sequential", "count", count, 0))
        return NULL;
    for (int i = 0; i < count; i++)
        if (!modules[i])
            return NULL;
    c = cti_module_data(params, sizeof *c + (size_t)count * sizeof *c->module);
    if (!c)
        return NULL;
    c->count = count;
    for (int i = 0; i < count; i++)
        c->module[i] = modules[i];
    return ct_nn_module(params, c, sequential_forward);
}

/* SPDX-License-Identifier: MIT */
/* sequential.c - chains of modules. */
#include "tensor/internal.h"

#include "nn/internal.h"

#include <cotangent/nn/sequential.h>

#include <stdio.h>

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
    static const char *const me = "ct_nn_sequential";
    chain *c;

    if (!cti_given(me, "params", params) || !cti_at_least(me, "count", count, 0) ||
        !cti_given_array(me, "modules", count, modules))
        return NULL;
    for (int i = 0; i < count; i++) {
        char entry[32];

        snprintf(entry, sizeof entry, "modules[%d]", i);
        if (!cti_given(me, entry, modules[i]))
            return NULL;
    }
    c = cti_module_data(params, sizeof *c + (size_t)count * sizeof *c->module);
    if (!c)
        return NULL;
    c->count = count;
    for (int i = 0; i < count; i++)
        c->module[i] = modules[i];
    return ct_nn_module(params, c, sequential_forward);
}

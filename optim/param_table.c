/* SPDX-License-Identifier: MIT */
/* param_table.c - the table of parameters that optimisers and clipping give to the device. */
#include "optim/internal.h"

bool cti_param_table_make(const char *function, const ct_params *set, cti_param_table *t)
{
    int count = ct_params_count(set), i;

    t->set = set;
    t->count = 0;
    t->memory = cti_storage_new(CT_CPU, (size_t)count * (sizeof *t->segment + sizeof *t->at) + 1);
    if (!t->memory) {
        ct_raise(CT_ERR_MEMORY, function, "out of memory (a table of %d parameters)", count);
        return false;
    }
    t->segment = t->memory->data;
    t->at = (int *)(void *)(t->segment + count);
    for (i = 0; i < count; i++) {
        ct_param *p = ct_params_at(set, i);
        ct_tensor *w, *g;

        if (!cti_params_trains(set, i) || ct_param_is_lazy(p))
            continue;
        w = cti_param_own(p);
        g = cti_leaf_grad(w);
        if (!g)
            continue;
        t->segment[t->count] = (cti_segment){
            .value = cti_data(w), .grad = cti_data(g), .n = w->numel, .dtype = w->dtype
        };
        t->at[t->count++] = i;
    }
    return true;
}

void cti_param_table_free(cti_param_table *t)
{
    cti_storage_unref(t->memory);
}

ct_param *cti_param_table_param(const cti_param_table *t, int i)
{
    return ct_params_at(t->set, t->at[i]);
}

ct_tensor *cti_param_table_grad(const cti_param_table *t, int i)
{
    return cti_leaf_grad(cti_param_own(cti_param_table_param(t, i)));
}

void cti_param_table_scale_grads(const cti_param_table *t, double factor)
{
    const double affine[2] = { factor, 0 };

    for (int i = 0; i < t->count; i++) {
        ct_tensor *g = cti_param_table_grad(t, i);

        cti_elementwise(CTI_EW_affine, g, 1, (const ct_tensor *[]){ g }, affine);
    }
}

/* param_table.c - the table of segments that optimisers and clipping hand to the device. */
#include "optim/internal.h"

bool cti_table_make(const char *function, const ct_params *set, cti_table *t)
{
    int count = ct_params_count(set), i;

    t->count = 0;
    t->memory = cti_storage_new(CT_CPU, (size_t)count * (sizeof *t->segment + sizeof *t->at) + 1);
    if (!t->memory) {
        ct_raise(CT_ERR_MEMORY, function, "no memory for a table of %d parameters", count);
        return false;
    }
    t->segment = t->memory->data;
    t->at = (int *)(void *)(t->segment + count);
    for (i = 0; i < count; i++) {
        ct_param *p = ct_params_at(set, i);
        ct_tensor *w, *g;

        if (!ct_param_is_trained(p) || ct_param_is_lazy(p))
            continue;
        w = ct_param_value(p);
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

void cti_table_free(cti_table *t)
{
    cti_storage_unref(t->memory);
}

ct_tensor *cti_table_grad(const ct_params *set, const cti_table *t, int i)
{
    return cti_leaf_grad(ct_param_value(ct_params_at(set, t->at[i])));
}

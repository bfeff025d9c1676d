/* SPDX-License-Identifier: MIT */
/* embedding.c - the Embedding module. */
#include "tensor/internal.h"

#include "nn/internal.h"

#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/embedding.h>
#include <cotangent/nn/init.h>

typedef struct embedding {
    ct_param *weight;
    bool has_padding;
    int64_t padding; /* the row padding_idx */
} embedding;

static ct_tensor *embedding_forward(void *self, ct_tensor *ids)
{
    const embedding *e = self;
    ct_tensor *weight = ct_param_value(e->weight);

    return e->has_padding ? ct_embedding_padded(weight, ids, e->padding)
                          : ct_embedding(weight, ids);
}

/* Initialises with normal values, and with 0 in the row padding_idx. The values of the other rows
 * do not depend on padding_idx. */
static ct_status embedding_fill(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    const embedding *e = init->context;
    ct_status status = ct_normal_into(t, 0, 1, g);

    return status == CT_OK && e->has_padding ? ct_fill(ct_select(t, 0, e->padding), 0) : status;
}

static bool embedding_check_padding(const char *me, const ct_nn_embedding_options *o)
{
    if (!o->has_padding_idx && o->padding_idx != 0)
        ct_raise(CT_ERR_ARGUMENT, me, "padding_idx is %lld; it requires has_padding_idx",
                 (long long)o->padding_idx);
    else if (o->padding_idx < -o->rows || o->padding_idx >= o->rows)
        ct_raise(CT_ERR_ARGUMENT, me, "padding_idx is %lld; it must be in %lld..%lld",
                 (long long)o->padding_idx, (long long)-o->rows, (long long)o->rows - 1);
    return ct_ok();
}

ct_module *ct_nn_embedding(ct_params *params, const char *name, ct_nn_embedding_options o)
{
    static const char *const me = "ct_nn_embedding";
    ct_init init = { .fill = embedding_fill };
    ct_params *mine;
    embedding *e;

    if (!cti_module_given(me, params, name) || !cti_at_least(me, "rows", o.rows, 1) ||
        !cti_at_least(me, "size", o.size, 1) || !embedding_check_padding(me, &o))
        return NULL;
    mine = ct_params_sub(params, name);
    e = mine ? cti_module_data(params, sizeof *e) : NULL;
    if (!e)
        return NULL;
    e->has_padding = o.has_padding_idx;
    e->padding = o.padding_idx < 0 ? o.padding_idx + o.rows : o.padding_idx;
    init.context = e;
    e->weight = ct_params_add(mine, "weight", CT_SHAPE(o.rows, o.size), init);
    return e->weight ? ct_nn_module(params, e, embedding_forward) : NULL;
}

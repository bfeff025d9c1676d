/* SPDX-License-Identifier: MIT */
/* deferred_losses.c - losses and norms that stay on an asynchronous device until several are read
 * at once, so that a training step does not wait for the device. */
#include "tensor/internal.h"

#include "train/internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/views.h>

bool cti_deferred_wanted(const cti_run *r, bool training)
{
    int i;

    if (r->world)
        return false; /* the losses of all shards are added up in each step */
    for (i = 0; training && i < r->trainer->callback_count; i++)
        if (r->trainer->callbacks[i].step)
            return false; /* the callback receives each loss */
    return cti_backend_of(ct_params_device(r->model->params))->async != NULL;
}

void cti_deferred_add(cti_deferred *l, ct_tensor *loss, double tokens, int64_t step)
{
    ct_tensor *kept = ct_ok() ? ct_keep(loss) : NULL;

    if (!kept)
        return;
    l->loss[l->count] = kept;
    l->step[l->count] = step;
    l->tokens[l->count++] = tokens;
}

void cti_deferred_add_norm(cti_deferred *l, ct_tensor *norm)
{
    ct_tensor *kept = ct_ok() ? ct_keep(norm) : NULL;

    if (kept)
        l->norm[l->norm_count++] = kept;
}

/* Reads count tensors of one element with one transfer. */
static bool deferred_read_all(ct_tensor *const *t, int count, double *out)
{
    ct_scope s = cti_scope_push();
    ct_tensor *row[CTI_DEFERRED];
    int i;
    bool good;

    for (i = 0; i < count; i++)
        row[i] = ct_cast(ct_reshape(t[i], CT_SCALAR), CT_F64);
    good = ct_to_host(ct_stack(count, row, 0), out, (size_t)count * sizeof *out) == CT_OK;
    cti_scope_pop(s);
    return good;
}

int cti_deferred_read(cti_deferred *l, double *losses, double *norms)
{
    int count = l->count;

    if (!count || !ct_ok() || !deferred_read_all(l->loss, count, losses) ||
        (norms && l->norm_count && !deferred_read_all(l->norm, l->norm_count, norms)))
        count = 0;
    cti_deferred_drop(l);
    return count;
}

void cti_deferred_drop(cti_deferred *l)
{
    while (l->count)
        ct_free(l->loss[--l->count]);
    while (l->norm_count)
        ct_free(l->norm[--l->norm_count]);
}

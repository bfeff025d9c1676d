/* SPDX-License-Identifier: MIT */
/* average.c - an exponential moving average of a run's weights. */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "tensor/hooks.h"
#include "train/internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>

bool cti_average_make_room(cti_average *a, const char *function, int count)
{
    while (a->count < count) {
        if (!cti_grow(function, (void **)&a->of, &a->room, (size_t)a->count, sizeof *a->of))
            return false;
        a->of[a->count++] = NULL;
    }
    return true;
}

/* Averages an entry; one that is no longer trained has no average. */
static void average_update_entry(cti_run *r, int i)
{
    ct_tensor **average = &r->average.of[i], *w;
    ct_param *p = ct_params_at(r->model->params, i);

    if (!ct_param_is_trained(p) || ct_param_is_lazy(p)) {
        ct_free(*average);
        *average = NULL;
        return;
    }
    w = cti_param_own(p);
    if (*average)
        ct_copy_into(*average, ct_add(*average, ct_mul_scalar(ct_sub(w, *average),
                                                              1 - r->trainer->ema_decay)));
    else
        *average = ct_keep(ct_clone(w));
}

void cti_average_update(cti_run *r)
{
    ct_scope s;

    if (!(r->trainer->ema_decay > 0) || !ct_ok() ||
        !cti_average_make_room(&r->average, r->function, ct_params_count(r->model->params)))
        return;
    s = ct_scope_begin_no_grad();
    for (int i = 0; i < r->average.count && ct_ok(); i++)
        average_update_entry(r, i);
    (void)!ct_scope_end(s); /* the error stays recorded */
}

bool cti_average_bind(cti_run *r)
{
    ct_params *set = r->model->params;
    ct_tensor **values;
    int count = 0;

    if (!r->average.count || !ct_ok())
        return ct_ok();
    values = cti_scope_alloc(r->function, (size_t)ct_params_count(set) * sizeof(ct_tensor *));
    for (int i = 0; i < ct_params_count(set) && values; i++)
        if (ct_param_is_trained(ct_params_at(set, i)))
            values[count++] = cti_average_get(&r->average, i);
    return values && (!count || ct_params_bind(set, count, values) == CT_OK);
}

void cti_average_install(cti_run *r)
{
    ct_scope s = ct_scope_begin_no_grad();

    for (int i = 0; i < r->average.count && ct_ok(); i++)
        if (r->average.of[i])
            ct_copy_into(cti_param_own(ct_params_at(r->model->params, i)), r->average.of[i]);
    (void)!ct_scope_end(s); /* the error stays recorded */
}

ct_tensor *cti_average_get(const cti_average *a, int i)
{
    return i < a->count ? a->of[i] : NULL;
}

void cti_average_free(cti_average *a)
{
    for (int i = 0; i < a->count; i++)
        ct_free(a->of[i]);
    cti_release(a->of);
    *a = (cti_average){ NULL, 0, 0 };
}

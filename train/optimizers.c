/* SPDX-License-Identifier: MIT */
/* optimizers.c - the optimisers of a run. While one of several is trained, the parameters of the others are
 * frozen: backward computes no gradients for them. */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "optim/internal.h"
#include "train/internal.h"

/* ---- creation ---- */

/* Whether set has an entry with p's value. */
static bool optimizers_have(const ct_params *set, const ct_param *p)
{
    for (int i = 0; i < ct_params_count(set); i++)
        if (cti_param_real(ct_params_at(set, i)) == cti_param_real(p))
            return true;
    return false;
}

/* Checks that no parameter belongs to optimiser k and to an earlier one; false with an error. */
static bool optimizers_check_parameters(const cti_run *r, int k)
{
    const ct_params *set = r->optimizer[k]->set;

    for (int j = 0; j < k; j++)
        for (int i = 0; i < ct_params_count(set); i++) {
            const ct_param *p = ct_params_at(set, i);

            if (!ct_param_is_trained(cti_param_real(p)) ||
                !optimizers_have(r->optimizer[j]->set, p))
                continue;
            ct_raise(CT_ERR_ARGUMENT, r->function, "%.200s belongs to the optimisers %d and %d",
                     ct_param_name(p), j, k);
            return false;
        }
    return true;
}

static bool optimizers_check(const cti_run *r)
{
    for (int k = 0; k < r->optimizer_count; k++) {
        if (!r->optimizer[k]) {
            ct_raise(CT_ERR_ARGUMENT, r->function, "configure_several wrote no optimiser %d", k);
            return false;
        }
        if (r->every[k] < 1 || (k == 0 && r->every[k] != 1)) {
            ct_raise(CT_ERR_ARGUMENT, r->function, "every[%d] is %lld; it must be %s1", k,
                     (long long)r->every[k], k ? "at least " : "");
            return false;
        }
        if (!optimizers_check_parameters(r, k))
            return false;
    }
    return true;
}

bool cti_optimizers_begin(cti_run *r)
{
    const ct_model *m = r->model;

    for (int k = 0; k < CT_OPTIMIZERS; k++)
        r->every[k] = 1;
    if (!m->configure_several) {
        r->optimizer[0] = m->configure_optimizers(m->self);
        r->optimizer_count = 1;
        if (!r->optimizer[0] && ct_ok())
            ct_raise(CT_ERR_ARGUMENT, r->function, "configure_optimizers returned NULL");
        return ct_ok();
    }
    r->optimizer_count = m->configure_several(m->self, r->optimizer, r->every);
    if (ct_ok() && (r->optimizer_count < 1 || r->optimizer_count > CT_OPTIMIZERS))
        ct_raise(CT_ERR_ARGUMENT, r->function, "configure_several returned %d; it must be in 1..%d",
                 r->optimizer_count, CT_OPTIMIZERS);
    return ct_ok() && optimizers_check(r);
}

/* ---- calls of one optimiser ---- */

cti_frozen cti_optimizers_freeze(const cti_run *r, int k)
{
    cti_frozen f = { NULL, 0 };
    size_t count = 0;
    ct_param **list;

    if (r->optimizer_count < 2 || !ct_ok())
        return f;
    for (int j = 0; j < r->optimizer_count; j++)
        count += j == k ? 0 : (size_t)ct_params_count(r->optimizer[j]->set);
    f.memory = cti_storage_new(CT_CPU, (count + 1) * sizeof *list); /* from the pool */
    if (!f.memory) {
        cti_out_of_memory(r->function, (count + 1) * sizeof *list);
        return f;
    }
    list = f.memory->data;
    for (int j = 0; j < r->optimizer_count; j++)
        for (int i = 0; j != k && i < ct_params_count(r->optimizer[j]->set); i++) {
            ct_param *p = ct_params_at(r->optimizer[j]->set, i);

            if (!ct_param_is_trained(p) || !cti_params_stands(r->optimizer[j]->set, i))
                continue;
            cti_param_freeze(p, true);
            list[f.count++] = p;
        }
    return f;
}

void cti_optimizers_release(cti_frozen *f)
{
    ct_param **list = f->memory ? f->memory->data : NULL;

    for (int i = 0; i < f->count; i++)
        cti_param_freeze(list[i], false);
    if (f->memory)
        cti_storage_unref(f->memory);
    *f = (cti_frozen){ NULL, 0 };
}

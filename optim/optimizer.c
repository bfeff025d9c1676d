/* optimizer.c - SGD. */
#include "optim/segments.h"

#include "tensor/host.h"

#include <cotangent/optim/optimizer.h>

#include <math.h>

struct ct_optimizer {
    ct_params *set;
    ct_sgd_options sgd;
    ct_tensor **momentum; /* of each parameter of the set; owned, NULL until first used */
    int room;
};

ct_optimizer *ct_sgd_new(ct_params *set, ct_sgd_options o)
{
    ct_optimizer *opt;

    if (!set)
        return NULL;
    if (!(o.lr >= 0 && isfinite(o.lr)) || !(o.momentum >= 0 && isfinite(o.momentum)) ||
        !(o.weight_decay >= 0 && isfinite(o.weight_decay)) || !isfinite(o.dampening) ||
        (o.nesterov && (o.momentum == 0 || o.dampening != 0))) {
        ct_raise(CT_ERR_ARGUMENT, "ct_sgd_new",
                 "lr %g, momentum %g, dampening %g, weight_decay %g%s", o.lr, o.momentum,
                 o.dampening, o.weight_decay, o.nesterov ? ", nesterov" : "");
        return NULL;
    }
    opt = cti_calloc(1, sizeof *opt);
    if (!opt) {
        cti_out_of_memory("ct_sgd_new", sizeof *opt);
        return NULL;
    }
    opt->set = set;
    opt->sgd = o;
    return opt;
}

void ct_optimizer_free(ct_optimizer *o)
{
    int i;

    if (!o)
        return;
    for (i = 0; i < o->room; i++)
        ct_free(o->momentum[i]);
    cti_release(o->momentum);
    cti_release(o);
}

double ct_optimizer_lr(const ct_optimizer *o)
{
    return o ? o->sgd.lr : NAN;
}

ct_status ct_optimizer_set_lr(ct_optimizer *o, double lr)
{
    if (!o || !(lr >= 0 && isfinite(lr)))
        return ct_raise(CT_ERR_ARGUMENT, "ct_optimizer_set_lr", "lr %g", lr);
    o->sgd.lr = lr;
    return CT_OK;
}

/* A slot for each parameter that the set has by now. */
static bool make_room(ct_optimizer *o)
{
    int count = ct_params_count(o->set), i;
    ct_tensor **more;

    if (count <= o->room)
        return true;
    more = cti_calloc((size_t)count, sizeof *more);
    if (!more) {
        cti_out_of_memory("ct_optimizer_step", (size_t)count * sizeof *more);
        return false;
    }
    for (i = 0; i < o->room; i++)
        more[i] = o->momentum[i];
    cti_release(o->momentum);
    o->momentum = more;
    o->room = count;
    return true;
}

static ct_tensor *zeros_like_kept(const ct_tensor *w)
{
    ct_scope s = cti_scope_push();
    ct_tensor *z = ct_keep(ct_zeros(w->shape, w->dtype, w->device));

    cti_scope_pop(s);
    return z;
}

static void apply(ct_optimizer *o, cti_segment *table, const int *at, int n)
{
    const cti_update u = { .rule = CTI_SGD, .scale = 1, .momentum = o->sgd.momentum,
                           .dampening = o->sgd.dampening, .nesterov = o->sgd.nesterov };
    const cti_backend *be = cti_backend_of(ct_params_device(o->set));
    int i;

    for (i = 0; i < n; i++) {
        table[i].lr = o->sgd.lr;
        table[i].weight_decay = o->sgd.weight_decay;
        table[i].state[0] = o->momentum[at[i]] ? cti_ptr(o->momentum[at[i]]) : NULL;
    }
    be->update(&u, table, n);
    for (i = 0; i < n; i++) {
        ct_tensor *w = ct_param_value(ct_params_at(o->set, at[i]));

        cti_written(w);
        ct_clear_grad(w);
    }
}

ct_status ct_optimizer_step(ct_optimizer *o)
{
    static const char *const me = "ct_optimizer_step";
    cti_segment *table;
    int *at, n, i;

    if (!cti_sink_allowed())
        return ct_error();
    if (!o)
        return ct_raise(CT_ERR_ARGUMENT, me, "the optimiser is NULL");
    if (!make_room(o))
        return ct_error();
    n = cti_segments(me, o->set, &table, &at);
    for (i = 0; i < n && o->sgd.momentum != 0; i++)
        if (!o->momentum[at[i]]) {
            table[i].first = true;
            o->momentum[at[i]] = zeros_like_kept(ct_param_value(ct_params_at(o->set, at[i])));
        }
    if (n >= 0 && ct_ok())
        apply(o, table, at, n);
    if (n >= 0)
        cti_release(table);
    return ct_error();
}

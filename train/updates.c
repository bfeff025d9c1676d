/* SPDX-License-Identifier: MIT */
/* updates.c - a training step of ct_fit: an update of each optimiser, from one batch or several. */
#include "tensor/internal.h"

#include "autograd/find_nonfinite.h"
#include "data/internal.h"
#include "optim/internal.h"
#include "train/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>

#include <math.h>

static const char *const me = "ct_fit";

/* ---- an update ---- */

/* Raises CT_ERR_NUMERIC for the gradient of p. loss: NULL unless the scope of its step is open, so
 * that the op can be found. */
static void update_raise_gradient(ct_tensor *loss, const ct_param *p, const char *when)
{
    cti_origin o = { "" };

    if (loss)
        o = cti_find_nonfinite_backward(loss, cti_param_own((ct_param *)p));
    if (ct_ok())
        ct_raise(CT_ERR_NUMERIC, me, "the gradient of %.200s is not finite in %s%s",
                 ct_param_name(p), when, o.s);
}

/* An update of one optimiser, from the batches so far. The gradients in the set are those of the sum
 * over these batches of loss count / first. With equal counts nothing is multiplied. */
typedef struct trainer_update {
    int optimizer;
    int64_t batches;
    double first, count; /* the count of the first batch, and of all */
    double nats;         /* the sum of loss times count, unless losses are deferred */
    bool done;           /* the parameters were updated */
} trainer_update;

static void update_backward(trainer_update *u, ct_tensor *loss, double count)
{
    if (!ct_ok())
        return;
    if (!u->batches++)
        u->first = count;
    u->count += count;
    ct_backward(count == u->first ? loss : ct_mul_scalar(loss, count / u->first));
}

/* Clips the gradients and updates the parameters. loss: the last batch's, NULL if its scope has ended.
 * Returns the norm of the gradients, on their device; NULL with an error. */
static ct_tensor *update_finish(cti_run *r, trainer_update *u, ct_tensor *loss, const char *when)
{
    const ct_trainer *trainer = r->trainer;
    double bound = trainer->gradient_clip_val > 0 ? trainer->gradient_clip_val : INFINITY;
    ct_tensor *norm = ct_zeros(CT_SCALAR, CT_F64, ct_params_device(r->model->params));
    ct_optimizer *o = r->optimizer[u->optimizer];
    const ct_param *bad;
    cti_param_table table; /* clipping and the optimiser share it */

    u->done = true;
    if (!ct_ok() ||
        !cti_param_table_make(me, r->optimizer_count > 1 ? o->set : r->model->params, &table))
        return NULL;
    if (u->batches > 1 && !r->world) /* a world divides by the count */
        cti_param_table_scale_grads(&table, u->first / u->count);
    bad = cti_clip_grad_norm(me, &table, bound, norm, r->result.steps + 1);
    if (bad)
        update_raise_gradient(loss, bad, when);
    if (ct_ok() && u->optimizer == 0)
        r->result.lr = ct_optimizer_lr(o);
    cti_optimizer_step(o, &table);
    cti_param_table_free(&table);
    if (o->schedule && trainer->schedule_interval == CT_INTERVAL_STEP)
        ct_schedule_step(o->schedule);
    return ct_ok() ? norm : NULL;
}

static void update_add_norm(cti_run *r, double norm)
{
    r->epoch.norm = norm;
    r->epoch.tally.updates++;
    r->epoch.tally.norms += norm;
    r->epoch.tally.clipped +=
        r->trainer->gradient_clip_val > 0 && norm > r->trainer->gradient_clip_val;
}

void cti_updates_read_deferred(cti_run *r)
{
    cti_deferred *d = &r->epoch.deferred;
    double losses[CTI_DEFERRED], norms[CTI_DEFERRED];
    int norm_count = d->norm_count, n = cti_deferred_read(d, losses, norms), i;

    for (i = 0; i < n && ct_ok(); i++)
        cti_step_add_deferred(r, &r->epoch.tally, d->step[i], losses[i], d->tokens[i]);
    for (i = 0; n && i < norm_count && ct_ok(); i++)
        update_add_norm(r, norms[i]);
}

/* Adds the norm of an update. */
static void update_count_norm(cti_run *r, ct_tensor *norm)
{
    if (!norm || !ct_ok())
        return;
    if (cti_deferred_wanted(r, true))
        cti_deferred_add_norm(&r->epoch.deferred, norm);
    else
        update_add_norm(r, ct_item(norm));
}

double cti_updates_batches(const cti_run *r)
{
    return r->epoch.tally.batches + r->epoch.deferred.count;
}

/* A step over the shards of the batch. last: of the update. False with an error. */
static bool update_sharded(cti_run *r, trainer_update *u, ct_batch *batch, bool last,
                           cti_fit_step *step)
{
    cti_moment when = cti_step_moment(r, cti_updates_batches(r) + 1, r->result.steps + 1);
    ct_tensor *norm;

    *step = (cti_fit_step){ .call = r->model->training_step,
                            .when = when.s,
                            .training = true,
                            .optimizer = u->optimizer,
                            .more = !last,
                            .metrics = &r->epoch.metrics };
    if (u->optimizer == 0 && ct_loader_continues(r->train))
        step->states = cti_fit_states(r);
    if (!cti_fit_sharded(r, step, batch))
        return false;
    r->stop_agreed = r->stop_agreed || step->stop;
    u->batches++;
    u->count += step->count;
    u->nats += step->loss * step->count;
    norm = last ? update_finish(r, u, NULL, when.s) : NULL;
    if (u->optimizer == 0)
        update_count_norm(r, norm);
    return ct_ok();
}

/* The call of the step for the first optimiser, on the next batch, in a world. */
static void update_first_sharded(cti_run *r, trainer_update *u, ct_batch *batch, bool last)
{
    cti_fit_step step;

    if (!update_sharded(r, u, batch, last, &step))
        return;
    cti_step_add_loss(r, &r->epoch.tally, step.loss, step.count);
    r->epoch.timed_tokens += (double)batch->tokens;
    r->result.tokens += batch->tokens;
}

/* The call of the step for the first optimiser, on the next batch. last: of the update. */
static void update_first_call(cti_run *r, trainer_update *u, ct_batch *batch, bool last)
{
    int64_t number = r->result.steps + 1;
    cti_moment when = cti_step_moment(r, cti_updates_batches(r) + 1, number);
    ct_state *next = NULL;
    ct_step s = { .batch = batch,
                  .state = batch->continues ? r->state : NULL,
                  .next = ct_loader_continues(r->train) ? &next : NULL };
    bool later = cti_deferred_wanted(r, true);
    ct_tensor *loss;
    double value = NAN;

    loss = cti_step_loss(r, r->model->training_step, &s, when.s, later ? NULL : &value);
    cti_metrics_add(r, &r->epoch.metrics, &s);
    update_backward(u, loss, s.count);
    if (later)
        cti_deferred_add(&r->epoch.deferred, loss, s.count, number);
    if (last)
        update_count_norm(r, update_finish(r, u, loss, when.s));
    cti_step_carry(&r->state, next, batch->continues);
    if (!ct_ok())
        return;
    if (!later) {
        cti_step_add_loss(r, &r->epoch.tally, value, s.count);
        u->nats += value * s.count;
    }
    r->epoch.timed_tokens += (double)batch->tokens;
    r->result.tokens += batch->tokens;
}

void cti_updates_end_scope(const cti_run *r, ct_scope scope)
{
    if (ct_scope_end(scope) != CT_OK)
        ct_params_zero_grad(r->model->params); /* backward may have added to them */
}

/* Takes the next batch of an update and calls the step for the first optimiser; false at the end of the
 * epoch and after an error. With further optimisers the batch stays for them in the innermost scope. */
static bool update_first_batch(cti_run *r, trainer_update *u, ct_batch *batch, int64_t most)
{
    const bool stays = r->optimizer_count > 1;
    ct_scope scope;
    bool more, last;

    if (r->epoch.deferred.count == CTI_DEFERRED)
        cti_updates_read_deferred(r);
    if (!stays)
        scope = ct_scope_begin();
    more = ct_loader_next(r->train, batch);
    if (more)
        cti_step_move_batch(r, batch);
    if (stays)
        scope = ct_scope_begin();
    last = u->batches + 1 == most || cti_loader_at_end(r->train);
    if (more && r->world)
        update_first_sharded(r, u, batch, last);
    else if (more)
        update_first_call(r, u, batch, last);
    cti_updates_end_scope(r, scope);
    return more && ct_ok();
}

/* The update of an optimiser after the first, from the same batches, in a world. */
static void update_further_sharded(cti_run *r, int k, ct_batch *batch, int64_t batches)
{
    trainer_update u = { .optimizer = k };
    cti_frozen frozen = cti_optimizers_freeze(r, k);

    for (int64_t i = 0; i < batches && ct_ok(); i++) {
        ct_scope scope = ct_scope_begin();
        cti_fit_step step;

        if (update_sharded(r, &u, &batch[i], i + 1 == batches, &step))
            cti_metrics_add_numbers(r, &r->epoch.metrics, r->given_metrics + k - 1,
                                    (const double[]){ step.loss * step.count, step.count });
        cti_updates_end_scope(r, scope);
    }
    cti_optimizers_release(&frozen);
}

/* The update of an optimiser after the first, from the same batches. */
static void update_further(cti_run *r, int k, const ct_batch *batch, int64_t batches)
{
    trainer_update u = { .optimizer = k };
    cti_frozen frozen = cti_optimizers_freeze(r, k);

    for (int64_t i = 0; i < batches && ct_ok(); i++) {
        cti_moment when = cti_step_moment(r, cti_updates_batches(r) - (double)(batches - 1 - i),
                                          r->result.steps + 1);
        ct_step s = { .batch = &batch[i], .optimizer = k };
        ct_scope scope = ct_scope_begin();
        double value;
        ct_tensor *loss = cti_step_loss(r, r->model->training_step, &s, when.s,
                                        cti_deferred_wanted(r, true) ? NULL : &value);

        if (ct_ok())
            cti_metrics_add_loss(r, &r->epoch.metrics, &s, loss);
        update_backward(&u, loss, s.count);
        if (i + 1 == batches)
            update_finish(r, &u, loss, when.s);
        cti_updates_end_scope(r, scope);
    }
    cti_optimizers_release(&frozen);
}

/* The most batches of an update. */
static int64_t update_accumulate(const cti_run *r)
{
    int64_t n = r->trainer->accumulate, all = ct_loader_batches(r->train);

    return n <= 1 ? 1 : n < all ? n : all;
}

bool cti_updates_step(cti_run *r, double *loss)
{
    const int64_t most = update_accumulate(r), kept = r->optimizer_count > 1 ? most : 1;
    trainer_update u = { .optimizer = 0 };
    cti_frozen frozen = cti_optimizers_freeze(r, 0);
    ct_batch *batch = cti_scope_alloc(me, (size_t)kept * sizeof *batch);

    r->stop_agreed = false;
    while (batch && !u.done && update_first_batch(r, &u, &batch[u.batches % kept], most))
        ;
    if (u.batches && !u.done && r->world)
        cti_fit_finish_gradients(r);
    if (u.batches && !u.done) /* a stream that ended before its batches() said */
        update_count_norm(r, update_finish(r, &u, NULL, "the last step of the epoch"));
    cti_optimizers_release(&frozen);
    for (int k = 1; k < r->optimizer_count && u.batches && ct_ok(); k++)
        if (r->result.steps % r->every[k] == 0 && r->world)
            update_further_sharded(r, k, batch, u.batches);
        else if (r->result.steps % r->every[k] == 0)
            update_further(r, k, batch, u.batches);
    if (!u.batches || !ct_ok())
        return false;
    cti_average_update(r);
    *loss = u.nats / u.count;
    r->result.steps++;
    r->saved = false;
    return ct_ok();
}

/* SPDX-License-Identifier: MIT */
/* validation.c - a pass over a loader without training: of ct_fit after an epoch, and of ct_evaluate. */
#include "tensor/internal.h"

#include "train/internal.h"

#include <cotangent/nn/state.h>

#include <math.h>

/* A pass over val in progress. */
typedef struct validation_pass {
    cti_tally tally;
    cti_deferred later;
    cti_metric_sums metrics;
    ct_state *state;
    ct_state **states; /* in a world, of each shard of this rank */
} validation_pass;

/* A step over the shards of the batch. */
static void validation_run_sharded(cti_run *r, validation_pass *v, ct_batch *batch)
{
    cti_moment when = cti_step_moment(r, v->tally.batches + 1, 0);
    cti_fit_step step = { .call = r->model->validation_step ? r->model->validation_step
                                                            : r->model->training_step,
                          .when = when.s,
                          .states = ct_loader_continues(r->val) ? v->states : NULL,
                          .metrics = &v->metrics };

    cti_step_move_batch(r, batch);
    if (cti_fit_sharded(r, &step, batch))
        cti_step_add_loss(r, &v->tally, step.loss, step.count);
    r->stopped = r->stopped || step.stop;
}

static void validation_run_step(cti_run *r, validation_pass *v, ct_batch *batch)
{
    ct_model_step step =
        r->model->validation_step ? r->model->validation_step : r->model->training_step;
    cti_moment when = cti_step_moment(r, v->tally.batches + v->later.count + 1, 0);
    ct_state *next = NULL;
    ct_step s = { .batch = batch,
                  .state = batch->continues ? v->state : NULL,
                  .next = ct_loader_continues(r->val) ? &next : NULL };
    bool later = cti_deferred_wanted(r, false);
    ct_tensor *loss;
    double value = NAN;

    cti_step_move_batch(r, batch);
    loss = cti_step_loss(r, step, &s, when.s, later ? NULL : &value);
    cti_metrics_add(r, &v->metrics, &s);
    cti_step_carry(&v->state, next, batch->continues);
    if (later)
        cti_deferred_add(&v->later, loss, s.count, 0);
    else
        cti_step_add_loss(r, &v->tally, value, s.count);
}

static void validation_read_deferred(const cti_run *r, cti_deferred *l, cti_tally *t)
{
    double losses[CTI_DEFERRED];
    int n = cti_deferred_read(l, losses, NULL), i;

    for (i = 0; i < n && ct_ok(); i++)
        cti_step_add_deferred(r, t, 0, losses[i], l->tokens[i]);
}

/* Runs one step of validation; false at its end, at a stop and after an error. */
static bool validation_next_step(cti_run *r, validation_pass *v)
{
    ct_scope scope = ct_scope_begin_inference();
    ct_batch batch;
    bool more = ct_loader_next(r->val, &batch), good;

    if (more && r->world)
        validation_run_sharded(r, v, &batch);
    else if (more)
        validation_run_step(r, v, &batch);
    if (!r->world)
        r->stopped = r->stopped || (r->train && cti_stop_asked());
    good = ct_scope_end(scope) == CT_OK && !r->stopped;
    if (good && (!more || v->later.count == CTI_DEFERRED))
        validation_read_deferred(r, &v->later, &v->tally);
    return good && more && ct_ok();
}

void cti_validation_run(cti_run *r)
{
    validation_pass v = { .state = NULL };

    if (r->world)
        v.states = cti_fit_states_new(r);
    if (ct_loader_begin(r->val) == CT_OK)
        while (validation_next_step(r, &v))
            ;
    if (!r->stopped && ct_ok()) {
        cti_metrics_read(r, &v.metrics, r->result.validation_metrics);
        r->result.validation_loss = v.tally.nats / v.tally.tokens;
        r->result.validation_bits = cti_step_bits(r, r->result.validation_loss);
        r->result.validation_perplexity = cti_step_perplexity(r, &v.tally);
    }
    ct_state_free(v.state);
    if (r->world)
        cti_fit_states_free(r, v.states);
    cti_deferred_drop(&v.later);
    cti_metrics_drop(&v.metrics);
}

/* What ct_evaluate lacks, or NULL. */
static const char *evaluate_missing(const ct_model *model, const ct_loader *loader)
{
    return !model                                             ? "model"
           : !model->params                                   ? "model's params"
           : !model->validation_step && !model->training_step ? "model's validation_step"
           : !loader                                          ? "loader"
                                                              : NULL;
}

ct_status ct_evaluate(const ct_model *model, ct_loader *loader, const ct_metric *const *metrics,
                      double *loss, double *values)
{
    const ct_trainer trainer = { .metrics = metrics };
    const char *missing = evaluate_missing(model, loader);
    cti_run r = { .function = "ct_evaluate",
                  .trainer = &trainer,
                  .model = model,
                  .val = loader,
                  .perplexity = CT_PERPLEXITY_NONE,
                  .result = { .validation_loss = NAN } };

    if (missing && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, r.function, "%s is NULL", missing);
    if (ct_ok() && cti_monitor_begin(&r) && cti_fit_world_begin(&r, NULL))
        cti_validation_run(&r);
    cti_fit_world_end(&r);
    if (loss)
        *loss = r.result.validation_loss;
    for (int i = 0; values && i < r.metric_count; i++)
        values[i] = r.result.validation_metrics[i];
    return ct_error();
}

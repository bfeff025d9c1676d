/* trainer.c - the fit loop: steps, epochs, and when a run ends. */
#include "tensor/internal.h"

#include "autograd/find_nonfinite.h"
#include "data/internal.h"
#include "optim/internal.h"
#include "train/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/nn/state.h>

#include <math.h>
#include <stdio.h>

static const char *const me = "ct_fit";

/* ---- what a step counts ---- */

static double trainer_perplexity(const cti_run *r, const cti_tally *t)
{
    switch (r->perplexity) {
    case CT_PERPLEXITY_TOKENS:
        return exp(t->nats / t->tokens);
    case CT_PERPLEXITY_BATCHES:
        return t->exps / t->batches;
    default:
        return NAN;
    }
}

/* Bits per token, if the losses are nats per token. */
static double trainer_bits(const cti_run *r, double loss)
{
    return r->perplexity == CT_PERPLEXITY_NONE ? NAN : loss / log(2);
}

static void trainer_add_loss(const cti_run *r, cti_tally *t, double loss, double tokens)
{
    t->nats += loss * tokens;
    if (r->perplexity == CT_PERPLEXITY_BATCHES)
        t->exps += exp(loss);
    t->tokens += tokens;
    t->batches++;
}

static void trainer_add_norm(cti_run *r, double norm)
{
    r->epoch.tally.norms += norm;
    r->epoch.tally.clipped +=
        r->trainer->gradient_clip_val > 0 && norm > r->trainer->gradient_clip_val;
}

/* "epoch 2, batch 3 (step 8)" */
typedef struct trainer_when {
    char s[100];
} trainer_when;

/* Of a batch of the current epoch. step: 0 in validation. */
static trainer_when trainer_moment(const cti_run *r, double batch, int64_t step)
{
    trainer_when m;
    int n;

    if (!r->train) /* ct_evaluate */
        n = snprintf(m.s, sizeof m.s, "batch %.0f", batch);
    else
        n = snprintf(m.s, sizeof m.s, "epoch %lld, batch %.0f", (long long)r->result.epochs + 1,
                     batch);
    if (step)
        snprintf(m.s + n, sizeof m.s - (size_t)n, " (step %lld)", (long long)step);
    return m;
}

/* ---- values that are not finite ---- */

/* Raises CT_ERR_NUMERIC for a loss. batch: NULL unless the scope of its step is open, so that the
 * op can be found. */
static void trainer_raise_loss(const cti_run *r, bool training, const ct_batch *batch, double loss,
                               const char *when)
{
    const ct_param *p = cti_find_nonfinite_param(r->model->params);
    cti_origin o = { "" };

    if (p)
        snprintf(o.s, sizeof o.s, "; %.200s is not finite", ct_param_name(p));
    else if (batch)
        o = cti_find_nonfinite_input("x", batch->x);
    if (!o.s[0] && batch)
        o = cti_find_nonfinite_input("y", batch->y);
    if (!o.s[0] && batch)
        o = cti_find_nonfinite_forward();
    ct_raise(CT_ERR_NUMERIC, r->function, "the %s loss is %g in %s%s",
             training ? "training" : "validation", isnan(loss) ? NAN : loss, when, o.s);
}

/* Raises CT_ERR_NUMERIC for the gradient of loss with respect to p. */
static void trainer_raise_gradient(ct_tensor *loss, const ct_param *p, const char *when)
{
    cti_origin o = { "" };

    if (loss)
        o = cti_find_nonfinite_backward(loss, cti_param_own((ct_param *)p));

    if (ct_ok())
        ct_raise(CT_ERR_NUMERIC, me, "the gradient of %.200s is not finite in %s%s",
                 ct_param_name(p), when, o.s);
}

/* ---- a step ---- */

/* Moves the batch to the device of the model. */
static void trainer_move_batch(const cti_run *r, ct_batch *batch)
{
    ct_device device = ct_params_device(r->model->params);

    if (batch->x && ct_tensor_device(batch->x) != device) {
        batch->x = ct_to(batch->x, device);
        batch->y = ct_to(batch->y, device);
    }
}

void cti_run_carry(ct_state **state, const ct_state *next, bool continues)
{
    if (!next || !ct_ok())
        return;
    if (continues && *state) {
        ct_state_carry(*state, next);
        return;
    }
    ct_state_free(*state);
    *state = ct_state_copy_new(next);
}

/* Updates the parameters of optimiser k from their gradients, those of loss, or of the shards if it is
 * NULL. Returns the norm of the gradients, on their device; NULL with an error. */
static ct_tensor *trainer_update(cti_run *r, int k, ct_tensor *loss, const char *when)
{
    const ct_trainer *trainer = r->trainer;
    double bound = trainer->gradient_clip_val > 0 ? trainer->gradient_clip_val : INFINITY;
    ct_tensor *norm = ct_zeros(CT_SCALAR, CT_F64, ct_params_device(r->model->params));
    ct_optimizer *o = r->optimizer[k];
    const ct_param *bad;
    cti_param_table table; /* clipping and the optimiser share it */

    if ((!r->world && ct_backward(loss) != CT_OK) || !ct_ok() ||
        !cti_param_table_make(me, r->optimizer_count > 1 ? o->set : r->model->params, &table))
        return NULL;
    bad = cti_clip_grad_norm(me, &table, bound, norm, r->result.steps + 1);
    if (bad)
        trainer_raise_gradient(loss, bad, when);
    if (ct_ok() && k == 0)
        r->result.lr = ct_optimizer_lr(o);
    cti_optimizer_step(o, &table);
    cti_param_table_free(&table);
    if (o->schedule && trainer->schedule_interval == CT_INTERVAL_STEP)
        ct_schedule_step(o->schedule);
    return ct_ok() ? norm : NULL;
}

/* Whether the results of a step can be used; false with an error. */
static bool trainer_check_step(const cti_run *r, const ct_step *s, const ct_tensor *loss,
                               const char *when)
{
    if (!loss && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, r->function, "the model's step returned NULL in %s", when);
    if (ct_ok() && !(s->count > 0 && s->count < INFINITY))
        ct_raise(CT_ERR_ARGUMENT, r->function,
                 "the model's step set count to %g in %s; it must be finite and above 0", s->count,
                 when);
    return ct_ok();
}

ct_tensor *cti_run_loss(cti_run *r, ct_model_step step, ct_step *s, const char *when, double *value)
{
    ct_tensor *loss;

    s->count = (double)s->batch->tokens;
    s->epoch = r->result.epochs;
    s->step = r->result.steps;
    loss = step(r->model->self, s);
    if (!trainer_check_step(r, s, loss, when) || !value)
        return loss;
    *value = ct_item(loss);
    if (ct_ok() && !isfinite(*value))
        trainer_raise_loss(r, step == r->model->training_step && ct_grad_enabled(), s->batch,
                           *value, when);
    return loss;
}

/* A step over the shards of the batch, for optimiser k. Returns the norm as trainer_update does. */
static ct_tensor *trainer_sharded_update(cti_run *r, int k, ct_batch *batch, const char *when,
                                         cti_fit_step *step)
{
    *step = (cti_fit_step){ .call = r->model->training_step,
                            .when = when,
                            .training = true,
                            .optimizer = k,
                            .metrics = &r->epoch.metrics };
    if (k == 0 && ct_loader_continues(r->train))
        step->states = cti_fit_states(r);
    if (!cti_fit_sharded(r, step, batch))
        return NULL;
    r->stop_agreed = r->stop_agreed || step->stop;
    if (k)
        cti_metrics_add_numbers(r, &r->epoch.metrics, r->given_metrics + k - 1,
                                (const double[]){ step->loss * step->count, step->count });
    return trainer_update(r, k, NULL, when);
}

/* The calls of the step for the optimisers after the first, each in a scope of its own. */
static void trainer_further_steps(cti_run *r, ct_batch *batch, const char *when)
{
    cti_fit_step sharded;

    for (int k = 1; k < r->optimizer_count && ct_ok(); k++) {
        ct_step s = { .batch = batch, .optimizer = k };
        cti_frozen frozen = cti_optimizers_freeze(r, k);
        ct_scope scope = ct_scope_begin();
        bool later = cti_deferred_wanted(r, true);
        ct_tensor *loss = NULL;
        double value;

        if (ct_ok() && r->world && r->result.steps % r->every[k] == 0) {
            trainer_sharded_update(r, k, batch, when, &sharded);
        } else if (ct_ok() && r->result.steps % r->every[k] == 0) {
            loss = cti_run_loss(r, r->model->training_step, &s, when, later ? NULL : &value);
            if (ct_ok())
                cti_metrics_add_loss(r, &r->epoch.metrics, &s, loss);
            trainer_update(r, k, loss, when);
        }
        if (ct_scope_end(scope) != CT_OK)
            ct_params_zero_grad(r->model->params);
        cti_optimizers_release(&frozen);
    }
}

/* Counts a step that was done. */
static void trainer_count_step(cti_run *r, const ct_batch *batch)
{
    r->epoch.timed_tokens += (double)batch->tokens;
    r->result.steps++;
    r->result.tokens += batch->tokens;
    r->saved = false;
}

/* A training step over the shards of the batch. */
static void trainer_sharded_step(cti_run *r, ct_batch *batch, double *value, double *norm)
{
    trainer_when when = trainer_moment(r, r->epoch.tally.batches + 1, r->result.steps + 1);
    cti_frozen frozen = cti_optimizers_freeze(r, 0);
    cti_fit_step step;
    ct_tensor *there;
    ct_scope scope;

    r->stop_agreed = false;
    trainer_move_batch(r, batch);
    scope = ct_scope_begin();
    there = trainer_sharded_update(r, 0, batch, when.s, &step);
    *value = step.loss;
    *norm = there ? ct_item(there) : NAN;
    if (ct_scope_end(scope) != CT_OK)
        ct_params_zero_grad(r->model->params);
    cti_optimizers_release(&frozen);
    trainer_further_steps(r, batch, when.s);
    if (!ct_ok())
        return;
    trainer_add_loss(r, &r->epoch.tally, *value, step.count);
    trainer_add_norm(r, *norm);
    trainer_count_step(r, batch);
}

static void trainer_training_step(cti_run *r, ct_batch *batch, double *value, double *norm)
{
    trainer_when when = trainer_moment(r, r->epoch.tally.batches + r->epoch.deferred.count + 1,
                                       r->result.steps + 1);
    ct_state *next = NULL;
    ct_step s = { .batch = batch,
                  .state = batch->continues ? r->state : NULL,
                  .next = ct_loader_continues(r->train) ? &next : NULL };
    bool later = cti_deferred_wanted(r, true);
    cti_frozen frozen = cti_optimizers_freeze(r, 0);
    ct_tensor *loss, *there;
    ct_scope scope;

    trainer_move_batch(r, batch);
    scope = ct_scope_begin(); /* of the first optimiser's call */
    loss = cti_run_loss(r, r->model->training_step, &s, when.s, later ? NULL : value);
    cti_metrics_add(r, &r->epoch.metrics, &s);
    there = trainer_update(r, 0, loss, when.s);
    cti_run_carry(&r->state, next, batch->continues);
    if (later)
        cti_deferred_add(&r->epoch.deferred, loss, there, s.count);
    else
        *norm = ct_item(there);
    if (ct_scope_end(scope) != CT_OK)
        ct_params_zero_grad(r->model->params); /* backward may have added to them */
    cti_optimizers_release(&frozen);
    trainer_further_steps(r, batch, when.s);
    if (!ct_ok())
        return;
    if (!later) {
        trainer_add_loss(r, &r->epoch.tally, *value, s.count);
        trainer_add_norm(r, *norm);
    }
    trainer_count_step(r, batch);
}

/* Adds the deferred loss of a step; a loss that is not finite is an error. */
static void trainer_add_deferred(const cti_run *r, cti_tally *t, int64_t step, double loss,
                                 double tokens)
{
    trainer_when when = trainer_moment(r, t->batches + 1, step);

    if (isfinite(loss))
        trainer_add_loss(r, t, loss, tokens);
    else
        trainer_raise_loss(r, step > 0, NULL, loss, when.s);
}

/* Reads the deferred losses, which waits for the device, and adds them. */
static void trainer_read_deferred(cti_run *r)
{
    double losses[CTI_DEFERRED], norms[CTI_DEFERRED];
    int n = cti_deferred_read(&r->epoch.deferred, losses, norms), i;

    for (i = 0; i < n && ct_ok(); i++) {
        trainer_add_deferred(r, &r->epoch.tally, r->result.steps - n + 1 + i, losses[i],
                             r->epoch.deferred.tokens[i]);
        trainer_add_norm(r, norms[i]);
    }
}

static void validation_read_deferred(const cti_run *r, cti_deferred *l, cti_tally *t)
{
    double losses[CTI_DEFERRED];
    int n = cti_deferred_read(l, losses, NULL), i;

    for (i = 0; i < n && ct_ok(); i++)
        trainer_add_deferred(r, t, 0, losses[i], l->tokens[i]);
}

/* ---- an epoch ---- */

/* Epochs so far, with the part of the current one. */
static double trainer_epochs_done(const cti_run *r)
{
    double batches = r->epoch.tally.batches + r->epoch.deferred.count;
    double part = r->epoch.underway ? batches / (double)ct_loader_batches(r->train) : 0;

    return (double)r->result.epochs + part;
}

/* Fills in result as after the last step of the epoch. */
static void trainer_sum_up(const cti_run *r, ct_fit_result *result)
{
    const cti_tally *t = &r->epoch.tally;

    result->loss = t->nats / t->tokens;
    result->bits = trainer_bits(r, result->loss);
    result->perplexity = trainer_perplexity(r, t);
    result->gradient_norm = t->norms / t->batches;
    result->clipped = t->clipped / t->batches;
    result->seconds = r->epoch.seconds;
    result->tokens_per_second =
        r->epoch.timed_tokens / (r->epoch.seconds > 0 ? r->epoch.seconds : 1e-9);
}

static void trainer_show_step(cti_run *r, double loss, double norm)
{
    const ct_fit_step step = { .epoch = r->result.epochs + 1,
                               .step = r->result.steps,
                               .batch = (int64_t)r->epoch.tally.batches,
                               .batches = ct_loader_batches(r->train),
                               .loss = loss,
                               .gradient_norm = norm,
                               .lr = r->result.lr };
    ct_fit_result so_far = r->result;

    for (int i = 0; i < r->trainer->callback_count && ct_ok(); i++) {
        const ct_callback *c = &r->trainer->callbacks[i];

        if (c->step && !c->step(c->context, &step))
            r->stopped = true;
    }
    if (r->shown.progress.live) {
        trainer_sum_up(r, &so_far);
        so_far.metric_count = 0; /* they are read at the end of the epoch */
        cti_progress_step(&r->shown.progress, trainer_epochs_done(r), &so_far, &r->history);
    }
}

static bool trainer_save_due(const cti_run *r)
{
    const ct_trainer *t = r->trainer;

    return ct_ok() && t->checkpoint && t->checkpoint_steps > 0 &&
           r->result.steps % t->checkpoint_steps == 0;
}

/* Whether the run stops after this step. In a world all ranks stop at the same one: what this rank asks
 * for now goes with the next sum. */
static void trainer_take_stop(cti_run *r)
{
    if (!r->world) {
        r->stopped = r->stopped || cti_stop_asked();
        return;
    }
    if (r->stopped)
        cti_fit_world_ask_stop(r);
    r->stopped = r->stop_agreed;
}

/* Runs one step of the epoch; false at its end, at a stop and after an error. */
static bool trainer_next_step(cti_run *r)
{
    double began = cti_now(), loss = NAN, norm = NAN;
    ct_scope step = ct_scope_begin();
    ct_batch batch;
    bool more = ct_loader_next(r->train, &batch);

    if (more && r->world)
        trainer_sharded_step(r, &batch, &loss, &norm);
    else if (more)
        trainer_training_step(r, &batch, &loss, &norm);
    if (ct_scope_end(step) != CT_OK)
        ct_params_zero_grad(
            r->model->params); /* backward may have added to them before the error */
    if (!more || r->epoch.deferred.count == CTI_DEFERRED || trainer_save_due(r))
        trainer_read_deferred(r);
    r->epoch.seconds += cti_now() - began;
    if (!more || !ct_ok())
        return false;
    if (!r->epoch.deferred.count)
        trainer_show_step(r, loss, norm);
    trainer_take_stop(r);
    if (r->stopped)
        trainer_read_deferred(r);
    if (trainer_save_due(r))
        cti_fit_checkpoint(r, r->trainer->checkpoint);
    return ct_ok() && !r->stopped;
}

/* Trains for an epoch, or for the rest of a resumed one. */
static void trainer_train_epoch(cti_run *r)
{
    if (!r->epoch.underway) {
        r->epoch.tally = (cti_tally){ 0 };
        cti_metrics_drop(&r->epoch.metrics);
        r->epoch.seconds = r->epoch.timed_tokens = 0;
        ct_loader_begin(r->train);
        r->epoch.underway = ct_ok();
    }
    ct_params_train(r->model->params, true);
    while (ct_ok() && trainer_next_step(r))
        ;
}

/* A pass over val in progress. */
typedef struct trainer_validation {
    cti_tally tally;
    cti_deferred later;
    cti_metric_sums metrics;
    ct_state *state;
    ct_state **states; /* in a world, of each shard of this rank */
} trainer_validation;

/* A step over the shards of the batch. */
static void validation_run_sharded(cti_run *r, trainer_validation *v, ct_batch *batch)
{
    trainer_when when = trainer_moment(r, v->tally.batches + 1, 0);
    cti_fit_step step = { .call = r->model->validation_step ? r->model->validation_step
                                                            : r->model->training_step,
                          .when = when.s,
                          .states = ct_loader_continues(r->val) ? v->states : NULL,
                          .metrics = &v->metrics };

    trainer_move_batch(r, batch);
    if (cti_fit_sharded(r, &step, batch))
        trainer_add_loss(r, &v->tally, step.loss, step.count);
    r->stopped = r->stopped || step.stop;
}

static void validation_run_step(cti_run *r, trainer_validation *v, ct_batch *batch)
{
    ct_model_step step =
        r->model->validation_step ? r->model->validation_step : r->model->training_step;
    trainer_when when = trainer_moment(r, v->tally.batches + v->later.count + 1, 0);
    ct_state *next = NULL;
    ct_step s = { .batch = batch,
                  .state = batch->continues ? v->state : NULL,
                  .next = ct_loader_continues(r->val) ? &next : NULL };
    bool later = cti_deferred_wanted(r, false);
    ct_tensor *loss;
    double value = NAN;

    trainer_move_batch(r, batch);
    loss = cti_run_loss(r, step, &s, when.s, later ? NULL : &value);
    cti_metrics_add(r, &v->metrics, &s);
    cti_run_carry(&v->state, next, batch->continues);
    if (later)
        cti_deferred_add(&v->later, loss, NULL, s.count);
    else
        trainer_add_loss(r, &v->tally, value, s.count);
}

/* Runs one step of validation; false at its end, at a stop and after an error. */
static bool validation_next_step(cti_run *r, trainer_validation *v)
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

/* A pass over val. Writes the loss and metrics of validation to the result if it is complete. */
static void validation_run(cti_run *r)
{
    trainer_validation v = { .state = NULL };

    if (r->world)
        v.states = cti_fit_states_new(r);
    if (ct_loader_begin(r->val) == CT_OK)
        while (validation_next_step(r, &v))
            ;
    if (!r->stopped && ct_ok()) {
        cti_metrics_read(r, &v.metrics, r->result.validation_metrics);
        r->result.validation_loss = v.tally.nats / v.tally.tokens;
        r->result.validation_bits = trainer_bits(r, r->result.validation_loss);
        r->result.validation_perplexity = trainer_perplexity(r, &v.tally);
    }
    ct_state_free(v.state);
    if (r->world)
        cti_fit_states_free(r, v.states);
    cti_deferred_drop(&v.later);
    cti_metrics_drop(&v.metrics);
}

/* The validation of an epoch. A pass that is stopped changes nothing; a resumed run repeats it. */
static void trainer_validate(cti_run *r)
{
    ct_generator *g = ct_params_generator(r->model->params), before = *g;

    if (!r->val)
        return;
    validation_run(r);
    if (r->stopped || !ct_ok()) {
        *g = before;
        ct_loader_seek(r->val, r->val_cursor);
        return;
    }
    r->val_cursor = ct_loader_tell(r->val);
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
        validation_run(&r);
    cti_fit_world_end(&r);
    if (loss)
        *loss = r.result.validation_loss;
    for (int i = 0; values && i < r.metric_count; i++)
        values[i] = r.result.validation_metrics[i];
    return ct_error();
}

/* ---- after an epoch ---- */

/* Compares the epoch's monitored value with the best one, and writes the best checkpoint if it is
 * better. */
static void trainer_compare(cti_run *r)
{
    double value;
    bool best;

    if (!cti_monitor_value(r, &value))
        return;
    best = cti_monitor_better(&r->monitor, value, r->result.best_value, 0);
    if (best) {
        r->result.best_value = value;
        r->result.best_loss = r->val ? r->result.validation_loss : r->result.loss;
        r->result.best_perplexity = r->val ? r->result.validation_perplexity : r->result.perplexity;
        r->result.best_epoch = r->result.epochs;
    }
    if (cti_monitor_better(&r->monitor, value, r->patience.best, r->trainer->min_delta)) {
        r->patience.best = value;
        r->patience.epochs = 0;
    } else {
        r->patience.epochs++;
    }
    for (int k = 0; k < r->optimizer_count; k++) {
        ct_schedule *s = r->optimizer[k]->schedule;

        if (!s)
            continue;
        ct_schedule_observe(s, value);
        if (r->trainer->schedule_interval == CT_INTERVAL_EPOCH)
            ct_schedule_step(s);
    }
    if (best && r->trainer->best && ct_ok())
        cti_fit_checkpoint(r, r->trainer->best);
}

static bool trainer_is_over(const cti_run *r)
{
    return r->result.epochs >= r->trainer->max_epochs ||
           (r->trainer->patience > 0 && r->patience.epochs >= r->trainer->patience);
}

/* The files that show the run, and the checkpoint. */
static void trainer_record_epoch(cti_run *r)
{
    const ct_trainer *t = r->trainer;
    int64_t every = t->checkpoint_epochs > 0 ? t->checkpoint_epochs : 1;

    if (!ct_ok() || !cti_history_add(&r->history, &r->result))
        return;
    trainer_compare(r);
    if (!ct_ok() || cti_csv_add(&r->shown.csv, &r->history) != CT_OK ||
        cti_tensorboard_add(&r->shown.tensorboard, &r->history) != CT_OK)
        return;
    if (t->svg && cti_progress_due(r->result.epochs, t->max_epochs))
        cti_history_plot(&r->history, t->svg);
    r->saved = false;
    if (t->checkpoint && r->result.epochs % every == 0 && ct_ok())
        r->saved = cti_fit_checkpoint(r, t->checkpoint) == CT_OK;
}

static void trainer_finish_epoch(cti_run *r)
{
    r->result.epochs++;
    trainer_sum_up(r, &r->result);
    cti_metrics_read(r, &r->epoch.metrics, r->result.metrics);
    r->epoch.underway = false;
    trainer_record_epoch(r);
    for (int i = 0; i < r->trainer->callback_count && ct_ok(); i++) {
        const ct_callback *c = &r->trainer->callbacks[i];

        if (c->epoch && !c->epoch(c->context, &r->result))
            r->stopped = true;
    }
    if (r->world)
        r->stopped = cti_fit_world_stops(r, r->stopped);
    if (ct_ok())
        cti_progress_epoch(&r->shown.progress, &r->result, trainer_is_over(r) || r->stopped);
}

/* ---- a run ---- */

/* Checks the arguments, and moves the model to the trainer's device. */
static ct_status trainer_check(const ct_trainer *trainer, const ct_model *model,
                               const ct_loader *train)
{
    const char *missing = !trainer                ? "trainer"
                          : !model                ? "model"
                          : !model->params        ? "model's params"
                          : !model->training_step ? "model's training_step"
                          : !model->configure_optimizers && !model->configure_several
                              ? "model's configure_optimizers"
                          : !train ? "train"
                                   : NULL;

    if (missing)
        return ct_raise(CT_ERR_ARGUMENT, me, "%s is NULL", missing);
    if (!cti_at_least(me, "max_epochs", trainer->max_epochs, 1))
        return ct_error();
    if (!(trainer->gradient_clip_val >= 0))
        return ct_raise(CT_ERR_ARGUMENT, me, "gradient_clip_val is %g; it must be at least 0",
                        trainer->gradient_clip_val);
    if ((unsigned)trainer->perplexity > CT_PERPLEXITY_NONE)
        return ct_raise(CT_ERR_ARGUMENT, me, "perplexity is %d; it must be in 0..%d",
                        (int)trainer->perplexity, (int)CT_PERPLEXITY_NONE);
    if (!(trainer->min_delta >= 0))
        return ct_raise(CT_ERR_ARGUMENT, me, "min_delta is %g; it must be at least 0",
                        trainer->min_delta);
    if (trainer->device != CT_CPU && trainer->device != ct_params_device(model->params))
        return ct_params_to(model->params, trainer->device);
    return CT_OK;
}

/* What CT_PERPLEXITY_AUTO stands for. */
static ct_perplexity trainer_perplexity_kind(const ct_trainer *trainer, const ct_loader *train)
{
    if (trainer->perplexity != CT_PERPLEXITY_AUTO)
        return trainer->perplexity;
    return cti_loader_has_tokens(train) ? CT_PERPLEXITY_TOKENS : CT_PERPLEXITY_NONE;
}

/* False with an error. */
static bool trainer_begin(cti_run *r)
{
    const ct_trainer *t = r->trainer;
    bool resumed = t->resume != NULL;

    if (!cti_optimizers_begin(r) || !cti_monitor_begin(r))
        return false;
    ct_params_zero_grad(r->model->params);
    r->val_cursor = ct_loader_tell(r->val);
    if (!ct_ok() || !cti_monitor_fits(r) ||
        ((t->checkpoint || t->best || resumed) && !cti_run_describe(r)))
        return false;
    if ((resumed && cti_checkpoint_read(r, t->resume) != CT_OK) || !cti_fit_world_ready(r) ||
        cti_csv_open(&r->shown.csv, t->csv, &r->history, resumed) != CT_OK ||
        cti_tensorboard_open(&r->shown.tensorboard, t->tensorboard, &r->history, resumed) != CT_OK)
        return false;
    if (t->out)
        ct_params_print(r->model->params, t->out);
    cti_progress_begin(&r->shown.progress, t, trainer_epochs_done(r));
    return true;
}

/* Runs until the end, a stop or an error. */
static void trainer_run(cti_run *r)
{
    r->stopped = r->world ? cti_fit_world_stops(r, false) : cti_stop_asked();
    while (ct_ok() && !r->stopped && !trainer_is_over(r)) {
        trainer_train_epoch(r);
        if (ct_ok() && !r->stopped)
            trainer_validate(r);
        if (ct_ok() && !r->stopped)
            trainer_finish_epoch(r);
    }
}

/* Writes the last checkpoint and curve, and frees what the run owns. */
static void trainer_end(cti_run *r)
{
    cti_progress_end(&r->shown.progress);
    if (ct_ok()) {
        r->result.end = r->stopped                                  ? CT_FIT_END_STOPPED
                        : r->result.epochs < r->trainer->max_epochs ? CT_FIT_END_PATIENCE
                                                                    : CT_FIT_END_FINISHED;
        if (r->trainer->checkpoint && !r->saved && r->result.steps > 0)
            cti_fit_checkpoint(r, r->trainer->checkpoint);
        if (r->trainer->svg && ct_ok())
            cti_history_plot(&r->history, r->trainer->svg);
    }
    cti_csv_close(&r->shown.csv);
    cti_tensorboard_close(&r->shown.tensorboard);
    cti_run_forget_description(r);
    cti_history_free(&r->history);
    cti_deferred_drop(&r->epoch.deferred);
    cti_metrics_drop(&r->epoch.metrics);
    ct_state_free(r->state);
    cti_fit_world_end(r);
    for (int k = 0; k < CT_OPTIMIZERS; k++)
        ct_optimizer_free(r->optimizer[k]);
}

ct_status ct_fit(const ct_trainer *trainer, const ct_model *model, ct_loader *train, ct_loader *val,
                 ct_fit_result *result)
{
    cti_run r = { .function = me,
                  .trainer = trainer,
                  .model = model,
                  .train = train,
                  .val = val,
                  .patience = { .best = NAN },
                  .shown = { .csv = { .fd = -1 }, .tensorboard = { .fd = -1 } } };

    r.result = (ct_fit_result){ .loss = NAN,
                                .perplexity = NAN,
                                .bits = NAN,
                                .validation_loss = NAN,
                                .validation_perplexity = NAN,
                                .validation_bits = NAN,
                                .gradient_norm = NAN,
                                .clipped = NAN,
                                .lr = NAN,
                                .tokens_per_second = NAN,
                                .seconds = NAN,
                                .best_value = NAN,
                                .best_loss = NAN,
                                .best_perplexity = NAN };
    if (ct_ok() && trainer_check(trainer, model, train) == CT_OK) {
        r.perplexity = trainer_perplexity_kind(trainer, train);
        if (cti_fit_world_begin(&r, trainer->world) && trainer_begin(&r))
            trainer_run(&r);
        trainer_end(&r);
    }
    if (result)
        *result = r.result;
    return ct_error();
}

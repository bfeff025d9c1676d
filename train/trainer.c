/* SPDX-License-Identifier: MIT */
/* trainer.c - the fit loop: epochs, comparison, output and the end of a run. updates.c has the training
 * step, validation.c the pass over the validation data. */
#include "tensor/internal.h"

#include "data/internal.h"
#include "optim/internal.h"
#include "train/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/nn/state.h>

#include <math.h>
#include <stdio.h>

static const char *const me = "ct_fit";

/* ---- an epoch ---- */

/* The epochs done, with a fraction for the current one. */
static double trainer_epochs_done(const cti_run *r)
{
    double batches = r->epoch.underway ? cti_updates_batches(r) : 0;

    return (double)r->result.epochs + batches / (double)ct_loader_batches(r->train);
}

/* Writes the results of the epoch so far. */
static void trainer_sum_up(const cti_run *r, ct_fit_result *result)
{
    const cti_tally *t = &r->epoch.tally;

    result->loss = t->nats / t->tokens;
    result->bits = cti_step_bits(r, result->loss);
    result->perplexity = cti_step_perplexity(r, t);
    result->gradient_norm = t->norms / t->updates;
    result->clipped = t->clipped / t->updates;
    result->seconds = r->epoch.seconds;
    result->tokens_per_second =
        r->epoch.timed_tokens / (r->epoch.seconds > 0 ? r->epoch.seconds : 1e-9);
}

/* Prints the model's summary: before the first step if all sizes are known, otherwise after it. */
static void trainer_show_summary(cti_run *r, bool stepped)
{
    const ct_params *params = r->model->params;

    for (int i = 0; !stepped && i < ct_params_count(params); i++)
        if (ct_param_is_lazy(ct_params_at(params, i)))
            return;
    if (!r->shown.summary)
        ct_params_print(params, r->trainer->out);
    r->shown.summary = true;
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

/* Runs one training step of the epoch; false at its end, at a stop and after an error. */
static bool trainer_next_step(cti_run *r)
{
    double began = cti_now(), loss = NAN;
    ct_scope step = ct_scope_begin();
    bool more = cti_updates_step(r, &loss);

    cti_updates_end_scope(r, step);
    if (!more || r->epoch.deferred.count == CTI_DEFERRED || trainer_save_due(r))
        cti_updates_read_deferred(r);
    r->epoch.seconds += cti_now() - began;
    if (!more || !ct_ok())
        return false;
    trainer_show_summary(r, true);
    if (!r->epoch.deferred.count)
        trainer_show_step(r, loss, r->epoch.norm);
    trainer_take_stop(r);
    if (r->stopped)
        cti_updates_read_deferred(r);
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

/* Validates after an epoch. If the pass is stopped, generator and loader return to where they were, and a
 * resumed run repeats the pass. */
static void trainer_validate(cti_run *r)
{
    ct_generator *g = ct_params_generator(r->model->params), before = *g;
    ct_scope s;

    if (!r->val)
        return;
    s = ct_scope_begin();
    if (cti_average_bind(r))
        cti_validation_run(r);
    (void)!ct_scope_end(s); /* the error is returned by ct_fit */
    if (r->stopped || !ct_ok()) {
        *g = before;
        ct_loader_seek(r->val, r->val_cursor);
        return;
    }
    r->val_cursor = ct_loader_tell(r->val);
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

/* Writes the output files and the checkpoint. */
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
                               const ct_loader *train, const ct_loader *val)
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
    if (train == val)
        return ct_raise(CT_ERR_ARGUMENT, me,
                        "train and val are the same loader; each needs a position of its own: make "
                        "a second loader of the same data");
    if (!cti_at_least(me, "max_epochs", trainer->max_epochs, 1))
        return ct_error();
    if (!(trainer->gradient_clip_val >= 0))
        return ct_raise(CT_ERR_ARGUMENT, me, "gradient_clip_val is %g; it must be at least 0",
                        trainer->gradient_clip_val);
    if ((unsigned)trainer->perplexity > CT_PERPLEXITY_NONE)
        return ct_raise(CT_ERR_ARGUMENT, me, "perplexity is %d; it must be in 0..%d",
                        (int)trainer->perplexity, (int)CT_PERPLEXITY_NONE);
    if (!cti_at_least(me, "accumulate", trainer->accumulate, 0))
        return ct_error();
    if (!(trainer->ema_decay >= 0 && trainer->ema_decay < 1))
        return ct_raise(CT_ERR_ARGUMENT, me,
                        "ema_decay is %g; it must be at least 0 and less than 1",
                        trainer->ema_decay);
    if (!(trainer->min_delta >= 0))
        return ct_raise(CT_ERR_ARGUMENT, me, "min_delta is %g; it must be at least 0",
                        trainer->min_delta);
    if (trainer->device != CT_CPU && trainer->device != ct_params_device(model->params))
        return ct_params_to(model->params, trainer->device);
    return CT_OK;
}

/* Resolves CT_PERPLEXITY_AUTO. */
static ct_perplexity trainer_perplexity_kind(const ct_trainer *trainer, const ct_loader *train)
{
    if (trainer->perplexity != CT_PERPLEXITY_AUTO)
        return trainer->perplexity;
    return cti_loader_has_tokens(train) ? CT_PERPLEXITY_TOKENS : CT_PERPLEXITY_NONE;
}

/* Makes the optimisers, resumes and opens the output files; false with an error. */
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
    if ((resumed && cti_run_load(r, t->resume) != CT_OK) || !cti_fit_world_ready(r) ||
        cti_csv_open(&r->shown.csv, t->csv, &r->history, resumed) != CT_OK ||
        cti_tensorboard_open(&r->shown.tensorboard, t->tensorboard, &r->history, resumed) != CT_OK)
        return false;
    r->shown.summary = !t->out;
    trainer_show_summary(r, false);
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
        cti_average_install(r);
    }
    cti_average_free(&r->average);
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
    if (ct_ok() && trainer_check(trainer, model, train, val) == CT_OK) {
        r.perplexity = trainer_perplexity_kind(trainer, train);
        if (cti_fit_world_begin(&r, trainer->world) && trainer_begin(&r))
            trainer_run(&r);
        trainer_end(&r);
    }
    if (result)
        *result = r.result;
    return ct_error();
}

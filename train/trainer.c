/* trainer.c - the fit loop: steps, epochs, and when a run ends. */
#include "tensor/internal.h"

#include "optim/internal.h"
#include "train/internal.h"

#include <cotangent/autograd/ops/arrange.h>
#include <cotangent/autograd/autograd.h>
#include <cotangent/nn/state.h>

#include <math.h>
#include <stdio.h>

static const char *const me = "ct_fit";

/* ---- what a step counts ---- */

static double perplexity(const cti_tally *t, ct_perplexity kind)
{
    return kind == CT_PERPLEXITY_BATCHES ? t->exps / t->batches : exp(t->nats / t->tokens);
}

static void count(cti_tally *t, double loss, double tokens)
{
    t->nats += loss * tokens;
    t->exps += exp(loss);
    t->tokens += tokens;
    t->batches++;
}

static void count_norm(cti_run *r, double norm)
{
    r->tally.norms += norm;
    r->tally.clipped += r->trainer->gradient_clip_val > 0 && norm > r->trainer->gradient_clip_val;
}

/* "epoch 2, batch 3 (step 8)" */
typedef struct moment {
    char s[100];
} moment;

/* Of a batch of the epoch at work; step: 0 in validation. */
static moment at(const cti_run *r, double batch, int64_t step)
{
    moment m;
    int n =
        snprintf(m.s, sizeof m.s, "epoch %lld, batch %.0f", (long long)r->result.epochs + 1, batch);

    if (step)
        snprintf(m.s + n, sizeof m.s - (size_t)n, " (step %lld)", (long long)step);
    return m;
}

/* ---- a step ---- */

/* The batch, where the model is. */
static void move(const cti_run *r, ct_batch *batch)
{
    ct_device device = ct_params_device(r->model->params);

    if (batch->x && ct_tensor_device(batch->x) != device) {
        batch->x = ct_to(batch->x, device);
        batch->y = ct_to(batch->y, device);
    }
}

/* Keeps next for the next step, in *state. */
static void carry(ct_state **state, const ct_state *next, bool continues)
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

/* Moves the parameters along the gradients of loss. The norm of these, on their device; NULL after
 * an error. */
static ct_tensor *update(cti_run *r, ct_tensor *loss, const char *when)
{
    const ct_trainer *trainer = r->trainer;
    double bound = trainer->gradient_clip_val > 0 ? trainer->gradient_clip_val : INFINITY;
    ct_tensor *norm = ct_zeros(CT_SCALAR, CT_F64, ct_params_device(r->model->params));
    const ct_param *bad;

    ct_backward(loss);
    bad = cti_clip_grad_norm(me, r->model->params, bound, norm, r->result.steps + 1);
    if (bad)
        cti_raise_gradient(loss, bad, when);
    if (ct_ok())
        r->result.lr = ct_optimizer_lr(r->optimizer);
    ct_optimizer_step(r->optimizer);
    if (r->optimizer->schedule && trainer->schedule_interval == CT_INTERVAL_STEP)
        ct_schedule_step(r->optimizer->schedule);
    return ct_ok() ? norm : NULL;
}

/* The loss of a batch, as a number too unless value is NULL; one that is not finite is an error. */
static ct_tensor *loss_of(cti_run *r, ct_model_step step, const ct_batch *batch,
                          const ct_state *state, ct_state **next, const char *when, double *value)
{
    ct_tensor *loss = step(r->model->self, batch, batch->continues ? state : NULL, next);

    if (!loss && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, me, "the model's step returned NULL in %s", when);
    if (!value)
        return loss;
    *value = ct_item(loss);
    if (ct_ok() && !isfinite(*value))
        cti_raise_loss(r->model->params, step == r->model->training_step && ct_grad_enabled(), true,
                       *value, when);
    return loss;
}

static void training_step(cti_run *r, ct_batch *batch, double *value, double *norm)
{
    moment when = at(r, r->tally.batches + r->later.count + 1, r->result.steps + 1);
    ct_state *next = NULL, **wanted = ct_loader_continues(r->train) ? &next : NULL;
    bool later = cti_later_wanted(r, true);
    ct_tensor *loss, *there;

    move(r, batch);
    loss =
        loss_of(r, r->model->training_step, batch, r->state, wanted, when.s, later ? NULL : value);
    there = update(r, loss, when.s);
    carry(&r->state, next, batch->continues);
    if (later)
        cti_later_add(&r->later, loss, there, (double)batch->tokens);
    else
        *norm = ct_item(there);
    if (!ct_ok())
        return;
    if (!later) {
        count(&r->tally, *value, (double)batch->tokens);
        count_norm(r, *norm);
    }
    r->timed += (double)batch->tokens;
    r->result.steps++;
    r->result.tokens += batch->tokens;
    r->saved = false;
}

/* Counts the loss of a step that is over; one that is not finite is an error. */
static void count_later(const cti_run *r, cti_tally *t, int64_t step, double loss, double tokens)
{
    moment when = at(r, t->batches + 1, step);

    if (isfinite(loss))
        count(t, loss, tokens);
    else
        cti_raise_loss(r->model->params, step > 0, false, loss, when.s);
}

/* Waits for the losses that were not asked for yet, and counts them. */
static void catch_up(cti_run *r)
{
    double losses[CTI_LATER], norms[CTI_LATER];
    int n = cti_later_read(&r->later, losses, norms), i;

    for (i = 0; i < n && ct_ok(); i++) {
        count_later(r, &r->tally, r->result.steps - n + 1 + i, losses[i], r->later.tokens[i]);
        count_norm(r, norms[i]);
    }
}

static void catch_up_validation(const cti_run *r, cti_later *l, cti_tally *t)
{
    double losses[CTI_LATER];
    int n = cti_later_read(l, losses, NULL), i;

    for (i = 0; i < n && ct_ok(); i++)
        count_later(r, t, 0, losses[i], l->tokens[i]);
}

/* ---- an epoch ---- */

/* Epochs so far, with the part of the one at work. */
static double epochs_done(const cti_run *r)
{
    double batches = r->tally.batches + r->later.count;
    double part = r->underway ? batches / (double)ct_loader_batches(r->train) : 0;

    return (double)r->result.epochs + part;
}

/* Into result, as after the epoch's last step. */
static void sum_up(const cti_run *r, ct_fit_result *result)
{
    const cti_tally *t = &r->tally;

    result->loss = t->nats / t->tokens;
    result->bits = result->loss / log(2);
    result->perplexity = perplexity(t, r->trainer->perplexity);
    result->gradient_norm = t->norms / t->batches;
    result->clipped = t->clipped / t->batches;
    result->seconds = r->seconds;
    result->tokens_per_second = r->timed / (r->seconds > 0 ? r->seconds : 1e-9);
}

static void show_step(cti_run *r, double loss, double norm)
{
    const ct_fit_step step = { .epoch = r->result.epochs + 1,
                               .step = r->result.steps,
                               .batch = (int64_t)r->tally.batches,
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
    if (r->board.live) {
        sum_up(r, &so_far);
        cti_board_step(&r->board, epochs_done(r), &so_far, &r->history);
    }
}

static bool save_due(const cti_run *r)
{
    const ct_trainer *t = r->trainer;

    return ct_ok() && t->checkpoint && t->checkpoint_steps > 0 &&
           r->result.steps % t->checkpoint_steps == 0;
}

/* One more step of the epoch; false at its end, at a stop and after an error. */
static bool next_step(cti_run *r)
{
    double began = cti_now(), loss = NAN, norm = NAN;
    ct_scope step = ct_scope_begin();
    ct_batch batch;
    bool more = ct_loader_next(r->train, &batch);

    if (more)
        training_step(r, &batch, &loss, &norm);
    if (ct_scope_end(step) != CT_OK)
        ct_params_zero_grad(r->model->params); /* what backward added before the error */
    if (!more || r->later.count == CTI_LATER || save_due(r))
        catch_up(r);
    r->seconds += cti_now() - began;
    if (!more || !ct_ok())
        return false;
    if (!r->later.count)
        show_step(r, loss, norm);
    r->stopped = r->stopped || cti_stop_asked();
    if (r->stopped)
        catch_up(r);
    if (save_due(r))
        cti_checkpoint_write(r, r->trainer->checkpoint);
    return ct_ok() && !r->stopped;
}

/* Trains for an epoch, or for what is left of one. */
static void run_training(cti_run *r)
{
    if (!r->underway) {
        r->tally = (cti_tally){ 0 };
        r->seconds = r->timed = 0;
        ct_loader_begin(r->train);
        r->underway = ct_ok();
    }
    ct_params_train(r->model->params, true);
    while (ct_ok() && next_step(r))
        ;
}

/* A pass over val that is under way. */
typedef struct validation {
    cti_tally tally;
    cti_later later;
    ct_state *state;
} validation;

static void validation_step(cti_run *r, validation *v, ct_batch *batch)
{
    ct_model_step step =
        r->model->validation_step ? r->model->validation_step : r->model->training_step;
    moment when = at(r, v->tally.batches + v->later.count + 1, 0);
    ct_state *next = NULL, **wanted = ct_loader_continues(r->val) ? &next : NULL;
    bool later = cti_later_wanted(r, false);
    ct_tensor *loss;
    double value = NAN;

    move(r, batch);
    loss = loss_of(r, step, batch, v->state, wanted, when.s, later ? NULL : &value);
    carry(&v->state, next, batch->continues);
    if (later)
        cti_later_add(&v->later, loss, NULL, (double)batch->tokens);
    else
        count(&v->tally, value, (double)batch->tokens);
}

/* One more step of validation; false at its end, at a stop and after an error. */
static bool next_validation_step(cti_run *r, validation *v)
{
    ct_scope scope = ct_scope_begin_inference();
    ct_batch batch;
    bool more = ct_loader_next(r->val, &batch), good;

    if (more)
        validation_step(r, v, &batch);
    r->stopped = r->stopped || cti_stop_asked();
    good = ct_scope_end(scope) == CT_OK && !r->stopped;
    if (good && (!more || v->later.count == CTI_LATER))
        catch_up_validation(r, &v->later, &v->tally);
    return good && more && ct_ok();
}

/* A pass over val. One that is stopped leaves no trace: it is to be made again. */
static void run_validation(cti_run *r)
{
    ct_generator *g = ct_params_generator(r->model->params), before = *g;
    validation v = { .state = NULL };

    if (!r->val)
        return;
    if (ct_loader_begin(r->val) == CT_OK)
        while (next_validation_step(r, &v))
            ;
    ct_state_free(v.state);
    cti_later_drop(&v.later);
    if (r->stopped || !ct_ok()) {
        *g = before;
        ct_loader_seek(r->val, r->val_cursor);
        return;
    }
    r->val_cursor = ct_loader_tell(r->val);
    r->result.validation_loss = v.tally.nats / v.tally.tokens;
    r->result.validation_bits = r->result.validation_loss / log(2);
    r->result.validation_perplexity = perplexity(&v.tally, r->trainer->perplexity);
}

/* ---- after an epoch ---- */

/* Notes whether the epoch was the best; writes it if so. */
static void compare(cti_run *r)
{
    double p = r->val ? r->result.validation_perplexity : r->result.perplexity;
    bool best = !(p >= r->result.best_perplexity); /* the first is: that is NaN before it */

    if (best) {
        r->result.best_perplexity = p;
        r->result.best_epoch = r->result.epochs;
    }
    if (!(p >= r->awaited - r->trainer->min_delta)) {
        r->awaited = p;
        r->waited = 0;
    } else {
        r->waited++;
    }
    if (r->optimizer->schedule) {
        ct_schedule_observe(r->optimizer->schedule, p);
        if (r->trainer->schedule_interval == CT_INTERVAL_EPOCH)
            ct_schedule_step(r->optimizer->schedule);
    }
    if (best && r->trainer->best && ct_ok())
        cti_checkpoint_write(r, r->trainer->best);
}

static bool is_over(const cti_run *r)
{
    return r->result.epochs >= r->trainer->max_epochs ||
           (r->trainer->patience > 0 && r->waited >= r->trainer->patience);
}

/* The files that show the run, and the checkpoint. */
static void record(cti_run *r)
{
    const ct_trainer *t = r->trainer;
    int64_t every = t->checkpoint_epochs > 0 ? t->checkpoint_epochs : 1;

    if (!ct_ok() || !cti_history_add(&r->history, &r->result))
        return;
    compare(r);
    if (!ct_ok() || cti_csv_add(&r->csv, &r->history) != CT_OK ||
        cti_events_add(&r->events, &r->history) != CT_OK)
        return;
    if (t->svg && cti_board_due(r->result.epochs, t->max_epochs))
        cti_history_plot(&r->history, t->svg);
    r->saved = false;
    if (t->checkpoint && r->result.epochs % every == 0 && ct_ok())
        r->saved = cti_checkpoint_write(r, t->checkpoint) == CT_OK;
}

static void finish_epoch(cti_run *r)
{
    r->result.epochs++;
    sum_up(r, &r->result);
    r->underway = false;
    record(r);
    for (int i = 0; i < r->trainer->callback_count && ct_ok(); i++) {
        const ct_callback *c = &r->trainer->callbacks[i];

        if (c->epoch && !c->epoch(c->context, &r->result))
            r->stopped = true;
    }
    if (ct_ok())
        cti_board_epoch(&r->board, &r->result, is_over(r) || r->stopped);
}

/* ---- a run ---- */

/* Checks the arguments, and moves the model to the trainer's device. */
static ct_status check(const ct_trainer *trainer, const ct_model *model, const ct_loader *train)
{
    if (!trainer || !model || !model->params || !model->training_step ||
        !model->configure_optimizers || !train || trainer->max_epochs < 1)
        return ct_raise(CT_ERR_ARGUMENT, me,
                        "a trainer (max_epochs %lld), a model (parameters, training_step, "
                        "configure_optimizers) and a loader are needed",
                        trainer ? (long long)trainer->max_epochs : 0);
    if (!(trainer->gradient_clip_val >= 0) || !(trainer->min_delta >= 0))
        return ct_raise(CT_ERR_ARGUMENT, me, "gradient_clip_val %g or min_delta %g is below 0",
                        trainer->gradient_clip_val, trainer->min_delta);
    if (trainer->device != CT_CPU && trainer->device != ct_params_device(model->params))
        return ct_params_to(model->params, trainer->device);
    return CT_OK;
}

/* False with an error. */
static bool begin(cti_run *r)
{
    const ct_trainer *t = r->trainer;
    bool resumed = t->resume != NULL;

    r->optimizer = r->model->configure_optimizers(r->model->self);
    if (!r->optimizer && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, me, "configure_optimizers returned NULL");
    ct_params_zero_grad(r->model->params);
    r->val_cursor = ct_loader_tell(r->val);
    if (!ct_ok() || (resumed && cti_checkpoint_read(r, t->resume) != CT_OK) ||
        cti_csv_open(&r->csv, t->csv, &r->history, resumed) != CT_OK ||
        cti_events_open(&r->events, t->tensorboard, &r->history, resumed) != CT_OK)
        return false;
    if (t->out)
        ct_params_print(r->model->params, t->out);
    cti_board_begin(&r->board, t->out, t->plain, t->max_epochs, epochs_done(r));
    return true;
}

/* Until it ends, stops or fails. */
static void run(cti_run *r)
{
    r->stopped = cti_stop_asked();
    while (ct_ok() && !r->stopped && !is_over(r)) {
        run_training(r);
        if (ct_ok() && !r->stopped)
            run_validation(r);
        if (ct_ok() && !r->stopped)
            finish_epoch(r);
    }
}

/* The last checkpoint and curve, and what the run held. */
static void end(cti_run *r)
{
    cti_board_end(&r->board);
    if (ct_ok()) {
        r->result.end = r->stopped                                  ? CT_FIT_END_STOPPED
                        : r->result.epochs < r->trainer->max_epochs ? CT_FIT_END_PATIENCE
                                                                    : CT_FIT_END_FINISHED;
        if (r->trainer->checkpoint && !r->saved && r->result.steps > 0)
            cti_checkpoint_write(r, r->trainer->checkpoint);
        if (r->trainer->svg && ct_ok())
            cti_history_plot(&r->history, r->trainer->svg);
    }
    cti_csv_close(&r->csv);
    cti_events_close(&r->events);
    cti_checkpoint_end(r);
    cti_history_free(&r->history);
    cti_later_drop(&r->later);
    ct_state_free(r->state);
    ct_optimizer_free(r->optimizer);
}

ct_status ct_fit(const ct_trainer *trainer, const ct_model *model, ct_loader *train, ct_loader *val,
                 ct_fit_result *result)
{
    cti_run r = { .trainer = trainer,
                  .model = model,
                  .train = train,
                  .val = val,
                  .awaited = NAN,
                  .csv = { .fd = -1 },
                  .events = { .fd = -1 } };

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
                                .best_perplexity = NAN };
    if (ct_ok() && check(trainer, model, train) == CT_OK) {
        if (begin(&r))
            run(&r);
        end(&r);
    }
    if (result)
        *result = r.result;
    return ct_error();
}

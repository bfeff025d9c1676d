/* SPDX-License-Identifier: MIT */
/* model_step.c - a call of a model's step: its batch, its loss, the state that it carries; and the sums over
 * the batches of an epoch. Training (updates.c) and validation (validation.c) share it. */
#include "tensor/internal.h"

#include "autograd/find_nonfinite.h"
#include "train/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/nn/state.h>

#include <math.h>
#include <stdio.h>

/* ---- sums ---- */

double cti_step_perplexity(const cti_run *r, const cti_tally *t)
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

double cti_step_bits(const cti_run *r, double loss)
{
    return r->perplexity == CT_PERPLEXITY_NONE ? NAN : loss / log(2);
}

void cti_step_add_loss(const cti_run *r, cti_tally *t, double loss, double tokens)
{
    t->nats += loss * tokens;
    if (r->perplexity == CT_PERPLEXITY_BATCHES)
        t->exps += exp(loss);
    t->tokens += tokens;
    t->batches++;
}

/* ---- a place in the run ---- */

cti_moment cti_step_moment(const cti_run *r, double batch, int64_t step)
{
    cti_moment m;
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

/* ---- a loss ---- */

/* Raises CT_ERR_NUMERIC for a loss. batch: NULL unless the scope of its step is open, so that the op can
 * be found. */
static void step_raise_loss(const cti_run *r, bool training, const ct_batch *batch, double loss,
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

void cti_step_add_deferred(const cti_run *r, cti_tally *t, int64_t step, double loss, double tokens)
{
    cti_moment when = cti_step_moment(r, t->batches + 1, step);

    if (isfinite(loss))
        cti_step_add_loss(r, t, loss, tokens);
    else
        step_raise_loss(r, step > 0, NULL, loss, when.s);
}

/* ---- a call ---- */

void cti_step_move_batch(const cti_run *r, ct_batch *batch)
{
    ct_device device = ct_params_device(r->model->params);
    ct_tensor **moved;
    bool there = true;

    for (int i = 0; i < batch->field_count; i++)
        there = there && ct_tensor_device(batch->fields[i]) == device;
    if (there)
        return;
    moved = cti_scope_alloc(r->function, (size_t)batch->field_count * sizeof *batch->fields);
    for (int i = 0; i < batch->field_count && moved; i++) {
        moved[i] = ct_to(batch->fields[i], device);
        if (batch->x == batch->fields[i])
            batch->x = moved[i];
        if (batch->y == batch->fields[i])
            batch->y = moved[i];
    }
    if (moved)
        batch->fields = moved;
}

void cti_step_carry(ct_state **state, const ct_state *next, bool continues)
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

/* Whether the results of a step can be used; false with an error. */
static bool step_check(const cti_run *r, const ct_step *s, const ct_tensor *loss, const char *when)
{
    if (!loss && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, r->function, "the model's step returned NULL in %s", when);
    if (ct_ok() && !(s->count > 0 && s->count < INFINITY))
        ct_raise(CT_ERR_ARGUMENT, r->function,
                 "the model's step set count to %g in %s; it must be finite and above 0", s->count,
                 when);
    return ct_ok();
}

ct_tensor *cti_step_loss(cti_run *r, ct_model_step step, ct_step *s, const char *when,
                         double *value)
{
    ct_tensor *loss;

    s->count = (double)s->batch->tokens;
    s->epoch = r->result.epochs;
    s->step = r->result.steps;
    loss = step(r->model->self, s);
    if (!step_check(r, s, loss, when) || !value)
        return loss;
    *value = ct_item(loss);
    if (ct_ok() && !isfinite(*value))
        step_raise_loss(r, step == r->model->training_step && ct_grad_enabled(), s->batch, *value,
                        when);
    return loss;
}

/* SPDX-License-Identifier: MIT */
/* run_checkpoint.c - the checkpoint of a run of ct_fit: that of a loop (checkpoint.c) with the loaders of
 * training and of validation, and with sections of its own:
 *
 *     section     tensors                      what
 *     average     training.average             i64 (entries of the set), if the weights are averaged:
 *                                              1 for an entry whose average is in the model's
 *                                              section
 *                 training.weights.NAME        its weights, from which the run resumes
 *     progress    training.counts              i64: saved_counts
 *                 training.numbers             f64: saved_numbers
 *     history     training.history             f64 (epochs, columns): of history.h, those before
 *                                              the clock
 *     metrics     training.metrics             f64: the sums of each metric over the epoch so far, if
 *                                              there are metrics */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "tensor/hooks.h"
#include "train/checkpoint_sections.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/join.h>

#include <math.h>
#include <string.h>

static const char *const me = "ct_fit";

#define PREFIX CTI_CHECKPOINT_PREFIX

typedef struct saved_counts {
    int64_t epochs, steps, tokens, best_epoch;
    int64_t patience;
    int64_t underway; /* 0 or 1 */
} saved_counts;

typedef struct saved_numbers {
    cti_tally tally;
    double patience, best_value, lr;
} saved_numbers;

/* Each of these is stored as an array of its fields. */
#define FIELDS(type) ((int64_t)(sizeof(type) / 8))
_Static_assert(sizeof(saved_counts) == 6 * 8 && sizeof(saved_numbers) == 10 * 8, "padding");

/* What a run's sections have read. */
typedef struct run_staged {
    saved_counts counts;
    saved_numbers numbers;
    cti_history history;
    ct_fit_result last; /* after the last epoch of the history */
    cti_metric_sums metrics;
    cti_average average, weights; /* the weights beside the averages */
} run_staged;

/* ---- average ---- */

#define WEIGHTS PREFIX "weights."

static void run_average_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    const cti_run *r = c->run;
    const int count = ct_params_count(r->model->params);
    ct_tensor *t = r->trainer->ema_decay > 0 ? ct_empty(CT_SHAPE(count), CT_I64, CT_CPU) : NULL;
    int64_t *averaged = t ? (int64_t *)(void *)cti_data(t) : NULL;

    for (int i = 0; i < count && averaged; i++) {
        ct_param *p = ct_params_at(r->model->params, i);

        averaged[i] = cti_average_get(&r->average, i) != NULL;
        if (averaged[i])
            cti_named_tensors_add(l, WEIGHTS, cti_name_in(r->model->params, p), cti_param_own(p));
    }
    cti_named_tensors_add(l, PREFIX, "average", t);
}

/* Reads the average and the weights of entry i; false with an error. */
static bool run_average_read(cti_staged *s, int i)
{
    run_staged *own = s->own;
    const ct_params *set = s->checkpoint->parts.params;
    const char *name = cti_name_in(set, ct_params_at(set, i));
    ct_shape shape =
        ct_safetensors_shape(s->claims.file, ct_safetensors_find(s->claims.file, name));
    const char *const prefix[] = { "", WEIGHTS };
    ct_tensor **const to[] = { &own->average.of[i], &own->weights.of[i] };

    for (int k = 0; k < 2; k++) {
        ct_tensor *t = cti_claims_tensor(&s->claims, prefix[k], name, shape, ct_params_dtype(set),
                                         ct_params_device(set));

        *to[k] = t ? ct_keep(t) : NULL;
        if (!*to[k])
            return false;
    }
    return true;
}

static bool run_average_judge(cti_staged *s)
{
    cti_run *r = s->checkpoint->run;
    run_staged *own = s->own;
    const int count = ct_params_count(s->checkpoint->parts.params);
    const ct_tensor *t;
    const int64_t *averaged;

    if (!(r->trainer->ema_decay > 0))
        return true;
    t = cti_claims_tensor(&s->claims, PREFIX, "average", CT_SHAPE(count), CT_I64, CT_CPU);
    if (!t || !cti_average_make_room(&own->average, me, count) ||
        !cti_average_make_room(&own->weights, me, count))
        return false;
    averaged = (const int64_t *)(const void *)cti_data(t);
    for (int i = 0; i < count; i++) {
        if (averaged[i] != 0 && averaged[i] != 1)
            return cti_staged_refuse(s, "average");
        if (averaged[i] && !run_average_read(s, i))
            return false;
    }
    return true;
}

/* The model was loaded, with the averages. */
static void run_average_apply(cti_staged *s)
{
    cti_run *r = s->checkpoint->run;
    run_staged *own = s->own;

    for (int i = 0; i < own->weights.count; i++)
        if (own->weights.of[i])
            ct_copy_into(cti_param_own(ct_params_at(s->checkpoint->parts.params, i)),
                         own->weights.of[i]);
    r->average = own->average;
    own->average = (cti_average){ NULL, 0, 0 };
}

/* ---- progress ---- */

static void run_progress_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    const cti_run *r = c->run;
    const ct_fit_result *result = &r->result;
    const saved_counts counts = { .epochs = result->epochs,
                                  .steps = result->steps,
                                  .tokens = result->tokens,
                                  .best_epoch = result->best_epoch,
                                  .patience = r->patience.epochs,
                                  .underway = r->epoch.underway };
    const saved_numbers numbers = { .tally = r->epoch.tally,
                                    .patience = r->patience.best,
                                    .best_value = result->best_value,
                                    .lr = result->lr };

    cti_named_tensors_add(l, PREFIX, "counts",
                          ct_from_data(&counts, CT_SHAPE(FIELDS(saved_counts)), CT_I64, CT_CPU));
    cti_named_tensors_add(l, PREFIX, "numbers",
                          ct_from_data(&numbers, CT_SHAPE(FIELDS(saved_numbers)), CT_F64, CT_CPU));
}

static bool run_progress_counts_fit(const saved_counts *c)
{
    return c->epochs >= 0 && c->steps >= c->epochs && c->tokens >= 0 && c->patience >= 0 &&
           c->patience < c->epochs + (c->epochs == 0) && c->best_epoch >= (c->epochs > 0) &&
           c->best_epoch <= c->epochs && (c->underway == 0 || c->underway == 1);
}

static bool run_progress_numbers_fit(const saved_counts *c, const saved_numbers *x)
{
    const cti_tally *t = &x->tally;
    bool compared = c->epochs > 0;

    return isfinite(t->nats) && t->exps >= 0 && t->tokens >= 0 && isfinite(t->tokens) &&
           t->norms >= 0 && isfinite(t->norms) && t->clipped >= 0 && t->clipped <= t->updates &&
           t->updates <= t->batches && t->updates <= (double)c->steps && isfinite(t->batches) &&
           isfinite(x->patience) == compared && isfinite(x->best_value) == compared &&
           (c->steps > 0 ? x->lr >= 0 : isnan(x->lr));
}

/* Whether the positions and the carried state are those of this moment of the run. */
static bool run_progress_parts_fit(cti_staged *s, const saved_counts *c, const saved_numbers *x)
{
    const ct_loader *train = s->checkpoint->parts.loaders[0];

    if (c->underway && x->tally.batches != (double)s->cursor[0].batch)
        return cti_staged_refuse(s, "cursor");
    return !s->state[0] || (c->underway && ct_loader_continues(train)) ||
           cti_staged_refuse(s, "state.shapes");
}

static bool run_progress_judge(cti_staged *s)
{
    run_staged *own = s->own;

    if (!cti_staged_numbers(s, "counts", CT_SHAPE(FIELDS(saved_counts)), CT_I64, &own->counts) ||
        !cti_staged_numbers(s, "numbers", CT_SHAPE(FIELDS(saved_numbers)), CT_F64, &own->numbers))
        return false;
    if (!run_progress_counts_fit(&own->counts))
        return cti_staged_refuse(s, "counts");
    if (!run_progress_numbers_fit(&own->counts, &own->numbers))
        return cti_staged_refuse(s, "numbers");
    return run_progress_parts_fit(s, &own->counts, &own->numbers);
}

static void run_progress_apply(cti_staged *s)
{
    cti_run *r = s->checkpoint->run;
    run_staged *own = s->own;
    const saved_counts *c = &own->counts;
    const saved_numbers *x = &own->numbers;

    r->result.epochs = c->epochs;
    r->result.steps = c->steps;
    r->result.tokens = c->tokens;
    r->result.best_epoch = c->best_epoch;
    r->result.best_value = x->best_value;
    r->result.lr = x->lr;
    r->patience = (cti_patience){ .epochs = c->patience, .best = x->patience };
    r->epoch.underway = c->underway;
    r->epoch.tally = x->tally;
}

/* ---- history ---- */

static void run_history_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    const cti_run *r = c->run;
    const cti_history *h = &r->history;
    const int columns = cti_history_clock(h);
    ct_tensor *t = ct_empty(CT_SHAPE(h->count, columns), CT_F64, CT_CPU);
    double *x = t ? (double *)(void *)cti_data(t) : NULL;

    for (int64_t i = 0; x && i < h->count; i++)
        for (int k = 0; k < columns; k++)
            *x++ = h->row[i][cti_history_column_at(h, k)];
    cti_named_tensors_add(l, PREFIX, "history", t);
}

/* Adds a row to the staged history; false with an error. */
static bool run_history_add_row(cti_staged *s, const double *x)
{
    run_staged *own = s->own;
    ct_fit_result *row = &own->last;

    row->epochs = (int64_t)x[CTI_EPOCH];
    row->steps = (int64_t)x[CTI_STEP];
    row->tokens = (int64_t)x[CTI_TOKENS];
    row->loss = x[CTI_LOSS];
    row->perplexity = x[CTI_PERPLEXITY];
    row->bits = x[CTI_BITS];
    row->validation_loss = x[CTI_VAL_LOSS];
    row->validation_perplexity = x[CTI_VAL_PERPLEXITY];
    row->validation_bits = x[CTI_VAL_BITS];
    row->gradient_norm = x[CTI_NORM];
    row->clipped = x[CTI_CLIPPED];
    row->lr = x[CTI_LR];
    for (int i = 0; i < row->metric_count; i++) {
        row->metrics[i] = x[CTI_CLOCK + 2 * i];
        row->validation_metrics[i] = x[CTI_CLOCK + 2 * i + 1];
    }
    return cti_history_add(&own->history, row);
}

static bool run_history_judge(cti_staged *s)
{
    cti_run *r = s->checkpoint->run;
    run_staged *own = s->own;
    const saved_counts *c = &own->counts;
    const int columns = cti_history_clock(&r->history);
    const ct_tensor *t = cti_claims_tensor(&s->claims, PREFIX, "history",
                                           CT_SHAPE(c->epochs, columns), CT_F64, CT_CPU);
    const double *x = t ? (const double *)(const void *)cti_data(t) : NULL;
    double steps = 0, tokens = 0;

    if (!t)
        return false;
    own->last = r->result;
    own->history.metrics = r->history.metrics;
    memcpy(own->history.metric, r->history.metric, sizeof own->history.metric);
    for (int64_t i = 0; i < c->epochs; i++, x += columns) {
        if (x[CTI_EPOCH] != (double)i + 1 || !(x[CTI_STEP] > steps) || !(x[CTI_TOKENS] >= tokens) ||
            !(x[CTI_STEP] <= (double)c->steps) || !(x[CTI_TOKENS] <= (double)c->tokens) ||
            !isfinite(x[CTI_LOSS]) || isfinite(x[CTI_VAL_LOSS]) != (r->val != NULL))
            return cti_staged_refuse(s, "history");
        steps = x[CTI_STEP];
        tokens = x[CTI_TOKENS];
        if (!run_history_add_row(s, x))
            return false;
    }
    return true;
}

/* The history, and the result of its last epoch beside what run_progress_apply has set. */
static void run_history_apply(cti_staged *s)
{
    cti_run *run = s->checkpoint->run;
    run_staged *own = s->own;
    const bool val = run->val != NULL;
    ct_fit_result *r = &run->result, now = *r;

    *r = own->last;
    if (now.best_epoch) {
        const double *row = own->history.row[now.best_epoch - 1];

        r->best_loss = row[val ? CTI_VAL_LOSS : CTI_LOSS];
        r->best_perplexity = row[val ? CTI_VAL_PERPLEXITY : CTI_PERPLEXITY];
    }
    r->epochs = now.epochs;
    r->steps = now.steps;
    r->tokens = now.tokens;
    r->best_epoch = now.best_epoch;
    r->best_value = now.best_value;
    r->lr = now.lr;
    run->history = own->history;
    own->history = (cti_history){ 0 };
}

/* ---- metrics ---- */

/* All sums, one metric after another. */
static int64_t run_metric_sums(const cti_run *r)
{
    int64_t count = 0;

    for (int i = 0; i < r->metric_count; i++)
        count += r->metric[i]->sums;
    return count;
}

static void run_metrics_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    const cti_run *r = c->run;
    ct_tensor *part[CT_METRICS];

    for (int i = 0; i < r->metric_count; i++)
        part[i] = r->epoch.metrics.of[i] ? ct_to(r->epoch.metrics.of[i], CT_CPU)
                                         : ct_zeros(CT_SHAPE(r->metric[i]->sums), CT_F64, CT_CPU);
    if (r->metric_count)
        cti_named_tensors_add(l, PREFIX, "metrics", ct_cat(r->metric_count, part, 0));
}

static bool run_metrics_judge(cti_staged *s)
{
    cti_run *r = s->checkpoint->run;
    run_staged *own = s->own;
    const int64_t count = run_metric_sums(r);
    const ct_tensor *t;
    const double *x;

    if (!count)
        return true;
    t = cti_claims_tensor(&s->claims, PREFIX, "metrics", CT_SHAPE(count), CT_F64, CT_CPU);
    if (!t)
        return false;
    x = (const double *)(const void *)cti_data(t);
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            return cti_staged_refuse(s, "metrics");
    for (int i = 0; i < r->metric_count; i++) {
        const int sums = r->metric[i]->sums;

        own->metrics.of[i] = ct_keep(
            ct_from_data(x, CT_SHAPE(sums), CT_F64, ct_params_device(s->checkpoint->parts.params)));
        x += sums;
    }
    return ct_ok();
}

static void run_metrics_apply(cti_staged *s)
{
    cti_run *r = s->checkpoint->run;
    run_staged *own = s->own;
    cti_metrics_drop(&r->epoch.metrics);
    r->epoch.metrics = own->metrics;
    own->metrics = (cti_metric_sums){ { NULL } };
}

/* ---- the whole ---- */

static const cti_checkpoint_section sections[] = {
    { "average", run_average_write, run_average_judge, run_average_apply },
    { "progress", run_progress_write, run_progress_judge, run_progress_apply },
    { "history", run_history_write, run_history_judge, run_history_apply },
    { "metrics", run_metrics_write, run_metrics_judge, run_metrics_apply },
    { NULL, NULL, NULL, NULL },
};

/* The checkpoint of a run. loaders and state are the caller's memory. */
static cti_checkpoint run_checkpoint(cti_run *r, ct_loader *loaders[2], ct_state **state)
{
    loaders[0] = r->train;
    loaders[1] = r->val;
    return (cti_checkpoint){ .function = me,
                             .parts = { .params = r->model->params,
                                        .optimizers = r->optimizer,
                                        .optimizer_count = r->optimizer_count,
                                        .loaders = loaders,
                                        .loader_count = 2,
                                        .states = state,
                                        .state_count = 1,
                                        .hyperparameters = r->trainer->hyperparameters,
                                        .model_json = r->trainer->model_json },
                             .run = r,
                             .sections = sections };
}

const char *cti_run_describe(cti_run *r)
{
    ct_loader *loaders[2];
    const cti_checkpoint c = run_checkpoint(r, loaders, &r->state);

    if (!r->description)
        r->description = cti_checkpoint_describe(&c);
    return r->description;
}

void cti_run_forget_description(cti_run *r)
{
    cti_release(r->description);
    r->description = NULL;
}

bool cti_run_has_state(const cti_run *r)
{
    const cti_epoch *e = &r->epoch;

    return e->underway && e->tally.batches < (double)ct_loader_batches(r->train);
}

ct_status cti_run_save(cti_run *r, const char *path)
{
    const ct_loader_cursor cursor[2] = { ct_loader_tell(r->train), r->val_cursor };
    ct_state *state = cti_run_has_state(r) ? r->state : NULL;
    ct_loader *loaders[2];
    cti_checkpoint c = run_checkpoint(r, loaders, &state);

    c.cursor = cursor;
    return cti_run_describe(r) ? cti_checkpoint_save(&c, path, r->description) : ct_error();
}

ct_status cti_run_load(cti_run *r, const char *path)
{
    ct_loader *loaders[2];
    const cti_checkpoint c = run_checkpoint(r, loaders, &r->state);
    run_staged own = { .history = { 0 } };

    if (cti_run_describe(r) && cti_checkpoint_load(&c, path, r->description, &own) == CT_OK)
        r->val_cursor = ct_loader_tell(r->val);
    cti_average_free(&own.average);
    cti_average_free(&own.weights);
    cti_history_free(&own.history);
    cti_metrics_drop(&own.metrics);
    return ct_error();
}

/* checkpoint.c - a run in one safetensors file, which consists of sections. Each section is written
 * and judged by its owner; the table at the end of this file lists them:
 *
 *     section     tensors                      what
 *     model       (the model's own names)      parameters and buffers, so that the file is also a
 *                                              model's; every name of a tied value
 *     average     training.average             i64 (entries of the set), if the weights are averaged:
 *                                              1 for an entry whose average is in the model's
 *                                              section
 *                 training.weights.NAME        its weights, from which the run resumes
 *     progress    training.counts              i64: saved_counts
 *                 training.numbers             f64: saved_numbers
 *     history     training.history             f64 (epochs, columns): of history.h, those before
 *                                              the clock
 *     metrics     training.metrics             f64: the sums of each metric over the epoch so far, if
 *                                              there are metrics
 *     loaders     training.cursor              i64 (2, 3): positions of the loader of training and
 *                                              of validation (ct_loader_cursor; zeros for none)
 *     generator   training.generator           i64 (3): the set's: seed, stream, position
 *     optimizer   training.optimizer.NAME      rates, schedule and state (optim/internal.h); of a further
 *                 training.optimizer_K.NAME    optimiser K
 *     state       training.state.shapes        i64 (n, 2 + CT_MAX_RANK): dtype, rank and sizes of
 *                                              each tensor of the state
 *                 training.state.I             the recurrent state that the next batch continues
 *                                              from; n = 0: none
 *
 * The metadata have the section configuration: "cotangent.training", which describes the run
 * (resume_check.c), and "cotangent.model", as the trainer was given it. The file has no time of day
 * and no number of threads: the same steps give the same bytes.
 *
 * A file is judged as a whole before anything changes: the configuration must be that of the run, no
 * section may lack a tensor, every tensor must have the right dtype, shape and values, and no
 * tensor may be left over. */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "data/internal.h"
#include "optim/internal.h"
#include "tensor/claimed_tensors.h"
#include "tensor/dtypes.h"
#include "tensor/named_tensors.h"
#include "train/internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/tensor/safetensors.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const me = "ct_fit";

#define PREFIX CTI_CHECKPOINT_PREFIX

/* A run while it is read: nothing of it is in the run yet. */
typedef struct checkpoint_staged {
    cti_run *run;
    cti_claims claims;
    struct saved_counts *counts;
    struct saved_numbers *numbers;
    ct_loader_cursor cursor[2];
    ct_generator generator;
    cti_history history;
    cti_metric_sums metrics;
    ct_fit_result last; /* after the last epoch of the history */
    cti_optimizer_staged *optimizer[CT_OPTIMIZERS];
    cti_average average, weights; /* the weights beside the averages */
    ct_state *state;
} checkpoint_staged;

typedef struct checkpoint_section {
    const char *name;

    /* Adds the section's tensors to the list. */
    void (*write)(const cti_run *r, cti_named_tensors *l);

    /* Claims and reads them, and judges them without changing the run. False with CT_ERR_FORMAT,
     * which names the tensor. */
    bool (*judge)(checkpoint_staged *s);

    /* Gives them to the run; cannot fail. NULL for the model, which is loaded before. */
    void (*apply)(checkpoint_staged *s);
} checkpoint_section;

/* Copies the elements, of 8 bytes each, of a section's one tensor to a struct of as many; false with
 * an error. */
static bool checkpoint_read_fields(checkpoint_staged *s, const char *name, ct_shape shape,
                                   ct_dtype dtype, void *to)
{
    const ct_tensor *t = cti_claims_tensor(&s->claims, PREFIX, name, shape, dtype, CT_CPU);

    if (t)
        memcpy(to, cti_data(t), (size_t)t->numel * 8);
    return t != NULL;
}

static bool checkpoint_refuse_values(const checkpoint_staged *s, const char *name)
{
    return cti_claims_refuse(&s->claims, PREFIX, name, "has values that are not valid");
}

/* ---- model ---- */

static void checkpoint_model_write(const cti_run *r, cti_named_tensors *l)
{
    ct_params *params = r->model->params;

    for (int i = 0; i < ct_params_count(params); i++) {
        ct_param *p = ct_params_at(params, i);
        ct_tensor *average = cti_average_get(&r->average, i);

        cti_named_tensors_add(l, "", cti_run_param_name(r, p),
                              average ? average : cti_param_own(p));
    }
}

/* cti_resume_check has compared names, shapes and dtypes. */
static bool checkpoint_model_judge(checkpoint_staged *s)
{
    const ct_params *params = s->run->model->params;

    for (int i = 0; i < ct_params_count(params); i++) {
        const char *name = cti_run_param_name(s->run, ct_params_at(params, i));

        if (cti_claims_find(&s->claims, "", name) < 0)
            return cti_claims_refuse(&s->claims, "", name, "is missing");
    }
    return true;
}

/* ---- average ---- */

#define WEIGHTS PREFIX "weights."

static void checkpoint_average_write(const cti_run *r, cti_named_tensors *l)
{
    const int count = ct_params_count(r->model->params);
    ct_tensor *t = r->trainer->ema_decay > 0 ? ct_empty(CT_SHAPE(count), CT_I64, CT_CPU) : NULL;
    int64_t *averaged = t ? (int64_t *)(void *)cti_data(t) : NULL;

    for (int i = 0; i < count && averaged; i++) {
        ct_param *p = ct_params_at(r->model->params, i);

        averaged[i] = cti_average_get(&r->average, i) != NULL;
        if (averaged[i])
            cti_named_tensors_add(l, WEIGHTS, cti_run_param_name(r, p), cti_param_own(p));
    }
    cti_named_tensors_add(l, PREFIX, "average", t);
}

/* Reads the average and the weights of entry i; false with an error. */
static bool checkpoint_average_read(checkpoint_staged *s, int i)
{
    const ct_params *set = s->run->model->params;
    const char *name = cti_run_param_name(s->run, ct_params_at(set, i));
    ct_shape shape =
        ct_safetensors_shape(s->claims.file, ct_safetensors_find(s->claims.file, name));
    const char *const prefix[] = { "", WEIGHTS };
    ct_tensor **const to[] = { &s->average.of[i], &s->weights.of[i] };

    for (int k = 0; k < 2; k++) {
        ct_tensor *t = cti_claims_tensor(&s->claims, prefix[k], name, shape, ct_params_dtype(set),
                                         ct_params_device(set));

        *to[k] = t ? ct_keep(t) : NULL;
        if (!*to[k])
            return false;
    }
    return true;
}

static bool checkpoint_average_judge(checkpoint_staged *s)
{
    const int count = ct_params_count(s->run->model->params);
    const ct_tensor *t;
    const int64_t *averaged;

    if (!(s->run->trainer->ema_decay > 0))
        return true;
    t = cti_claims_tensor(&s->claims, PREFIX, "average", CT_SHAPE(count), CT_I64, CT_CPU);
    if (!t || !cti_average_make_room(&s->average, me, count) ||
        !cti_average_make_room(&s->weights, me, count))
        return false;
    averaged = (const int64_t *)(const void *)cti_data(t);
    for (int i = 0; i < count; i++) {
        if (averaged[i] != 0 && averaged[i] != 1)
            return checkpoint_refuse_values(s, "average");
        if (averaged[i] && !checkpoint_average_read(s, i))
            return false;
    }
    return true;
}

/* The model was loaded, with the averages. */
static void checkpoint_average_apply(checkpoint_staged *s)
{
    for (int i = 0; i < s->weights.count; i++)
        if (s->weights.of[i])
            ct_copy_into(cti_param_own(ct_params_at(s->run->model->params, i)), s->weights.of[i]);
    s->run->average = s->average;
    s->average = (cti_average){ NULL, 0, 0 };
}

/* ---- progress ---- */

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
_Static_assert(sizeof(ct_loader_cursor) == 3 * 8 && sizeof(ct_generator) == 3 * 8, "padding");

static void checkpoint_progress_write(const cti_run *r, cti_named_tensors *l)
{
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

static bool checkpoint_progress_counts_fit(const saved_counts *c)
{
    return c->epochs >= 0 && c->steps >= c->epochs && c->tokens >= 0 && c->patience >= 0 &&
           c->patience < c->epochs + (c->epochs == 0) && c->best_epoch >= (c->epochs > 0) &&
           c->best_epoch <= c->epochs && (c->underway == 0 || c->underway == 1);
}

static bool checkpoint_progress_numbers_fit(const saved_counts *c, const saved_numbers *x)
{
    const cti_tally *t = &x->tally;
    bool compared = c->epochs > 0;

    return isfinite(t->nats) && t->exps >= 0 && t->tokens >= 0 && isfinite(t->tokens) &&
           t->norms >= 0 && isfinite(t->norms) && t->clipped >= 0 && t->clipped <= t->updates &&
           t->updates <= t->batches && t->updates <= (double)c->steps && isfinite(t->batches) &&
           isfinite(x->patience) == compared && isfinite(x->best_value) == compared &&
           (c->steps > 0 ? x->lr >= 0 : isnan(x->lr));
}

static bool checkpoint_progress_judge(checkpoint_staged *s)
{
    if (!checkpoint_read_fields(s, "counts", CT_SHAPE(FIELDS(saved_counts)), CT_I64, s->counts) ||
        !checkpoint_read_fields(s, "numbers", CT_SHAPE(FIELDS(saved_numbers)), CT_F64, s->numbers))
        return false;
    if (!checkpoint_progress_counts_fit(s->counts))
        return checkpoint_refuse_values(s, "counts");
    return checkpoint_progress_numbers_fit(s->counts, s->numbers) ||
           checkpoint_refuse_values(s, "numbers");
}

static void checkpoint_progress_apply(checkpoint_staged *s)
{
    const saved_counts *c = s->counts;
    const saved_numbers *x = s->numbers;
    cti_run *r = s->run;

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

static void checkpoint_history_write(const cti_run *r, cti_named_tensors *l)
{
    const cti_history *h = &r->history;
    const int columns = cti_history_clock(h);
    ct_tensor *t = ct_empty(CT_SHAPE(h->count, columns), CT_F64, CT_CPU);
    double *x = t ? (double *)(void *)cti_data(t) : NULL;

    for (int64_t i = 0; x && i < h->count; i++)
        for (int c = 0; c < columns; c++)
            *x++ = h->row[i][cti_history_column_at(h, c)];
    cti_named_tensors_add(l, PREFIX, "history", t);
}

/* Adds a row to the staged history; false with an error. */
static bool checkpoint_history_add_row(checkpoint_staged *s, const double *x)
{
    ct_fit_result *row = &s->last;

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
    return cti_history_add(&s->history, row);
}

static bool checkpoint_history_judge(checkpoint_staged *s)
{
    const saved_counts *c = s->counts;
    const int columns = cti_history_clock(&s->run->history);
    const ct_tensor *t = cti_claims_tensor(&s->claims, PREFIX, "history",
                                           CT_SHAPE(c->epochs, columns), CT_F64, CT_CPU);
    const double *x = t ? (const double *)(const void *)cti_data(t) : NULL;
    double steps = 0, tokens = 0;

    if (!t)
        return false;
    s->last = s->run->result;
    s->history.metrics = s->run->history.metrics;
    memcpy(s->history.metric, s->run->history.metric, sizeof s->history.metric);
    for (int64_t i = 0; i < c->epochs; i++, x += columns) {
        if (x[CTI_EPOCH] != (double)i + 1 || !(x[CTI_STEP] > steps) || !(x[CTI_TOKENS] >= tokens) ||
            !(x[CTI_STEP] <= (double)c->steps) || !(x[CTI_TOKENS] <= (double)c->tokens) ||
            !isfinite(x[CTI_LOSS]) || isfinite(x[CTI_VAL_LOSS]) != (s->run->val != NULL))
            return checkpoint_refuse_values(s, "history");
        steps = x[CTI_STEP];
        tokens = x[CTI_TOKENS];
        if (!checkpoint_history_add_row(s, x))
            return false;
    }
    return true;
}

/* The history, and the result of its last epoch beside what checkpoint_progress_apply has set. */
static void checkpoint_history_apply(checkpoint_staged *s)
{
    const bool val = s->run->val != NULL;
    ct_fit_result *r = &s->run->result, now = *r;

    *r = s->last;
    if (now.best_epoch) {
        const double *row = s->history.row[now.best_epoch - 1];

        r->best_loss = row[val ? CTI_VAL_LOSS : CTI_LOSS];
        r->best_perplexity = row[val ? CTI_VAL_PERPLEXITY : CTI_PERPLEXITY];
    }
    r->epochs = now.epochs;
    r->steps = now.steps;
    r->tokens = now.tokens;
    r->best_epoch = now.best_epoch;
    r->best_value = now.best_value;
    r->lr = now.lr;
    s->run->history = s->history;
    s->history = (cti_history){ 0 };
}

/* ---- metrics ---- */

/* All sums, one metric after another. */
static int64_t checkpoint_metric_sums(const cti_run *r)
{
    int64_t count = 0;

    for (int i = 0; i < r->metric_count; i++)
        count += r->metric[i]->sums;
    return count;
}

static void checkpoint_metrics_write(const cti_run *r, cti_named_tensors *l)
{
    ct_tensor *part[CT_METRICS];

    for (int i = 0; i < r->metric_count; i++)
        part[i] = r->epoch.metrics.of[i] ? ct_to(r->epoch.metrics.of[i], CT_CPU)
                                         : ct_zeros(CT_SHAPE(r->metric[i]->sums), CT_F64, CT_CPU);
    if (r->metric_count)
        cti_named_tensors_add(l, PREFIX, "metrics", ct_cat(r->metric_count, part, 0));
}

static bool checkpoint_metrics_judge(checkpoint_staged *s)
{
    const int64_t count = checkpoint_metric_sums(s->run);
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
            return checkpoint_refuse_values(s, "metrics");
    for (int i = 0; i < s->run->metric_count; i++) {
        const int sums = s->run->metric[i]->sums;

        s->metrics.of[i] = ct_keep(
            ct_from_data(x, CT_SHAPE(sums), CT_F64, ct_params_device(s->run->model->params)));
        x += sums;
    }
    return ct_ok();
}

static void checkpoint_metrics_apply(checkpoint_staged *s)
{
    cti_metrics_drop(&s->run->epoch.metrics);
    s->run->epoch.metrics = s->metrics;
    s->metrics = (cti_metric_sums){ { NULL } };
}

/* ---- loaders ---- */

static void checkpoint_loaders_write(const cti_run *r, cti_named_tensors *l)
{
    const ct_loader_cursor cursor[2] = { ct_loader_tell(r->train), r->val_cursor };

    cti_named_tensors_add(l, PREFIX, "cursor",
                          ct_from_data(cursor, CT_SHAPE(2, 3), CT_I64, CT_CPU));
}

static bool checkpoint_loaders_judge(checkpoint_staged *s)
{
    const ct_loader_cursor none = { 0, 0, 0 }, *val = &s->cursor[1];

    if (!checkpoint_read_fields(s, "cursor", CT_SHAPE(2, 3), CT_I64, s->cursor))
        return false;
    if (!cti_loader_fits(s->run->train, s->cursor[0]) ||
        (s->counts->underway && s->numbers->tally.batches != (double)s->cursor[0].batch) ||
        (s->run->val ? !cti_loader_fits(s->run->val, *val) : memcmp(val, &none, sizeof none) != 0))
        return checkpoint_refuse_values(s, "cursor");
    return true;
}

static void checkpoint_loaders_apply(checkpoint_staged *s)
{
    s->run->val_cursor = s->cursor[1];
    ct_loader_seek(s->run->train, s->cursor[0]);
    if (s->run->val)
        ct_loader_seek(s->run->val, s->cursor[1]);
}

/* ---- generator ---- */

static void checkpoint_generator_write(const cti_run *r, cti_named_tensors *l)
{
    const ct_generator *generator = ct_params_generator(r->model->params);

    cti_named_tensors_add(l, PREFIX, "generator",
                          ct_from_data(generator, CT_SHAPE(3), CT_I64, CT_CPU));
}

static bool checkpoint_generator_judge(checkpoint_staged *s)
{
    return checkpoint_read_fields(s, "generator", CT_SHAPE(3), CT_I64, &s->generator);
}

static void checkpoint_generator_apply(checkpoint_staged *s)
{
    *ct_params_generator(s->run->model->params) = s->generator;
}

/* ---- optimizer ---- */

/* What the names of the tensors of optimiser k begin with. */
typedef struct optimizer_prefix {
    char s[40];
} optimizer_prefix;

static optimizer_prefix checkpoint_optimizer_prefix(int k)
{
    optimizer_prefix p = { PREFIX "optimizer." };

    if (k)
        snprintf(p.s, sizeof p.s, PREFIX "optimizer_%d.", k);
    return p;
}

static void checkpoint_optimizer_write(const cti_run *r, cti_named_tensors *l)
{
    for (int k = 0; k < r->optimizer_count; k++)
        cti_optimizer_state_write(r->optimizer[k], checkpoint_optimizer_prefix(k).s, l);
}

static bool checkpoint_optimizer_judge(checkpoint_staged *s)
{
    for (int k = 0; k < s->run->optimizer_count; k++) {
        const optimizer_prefix prefix = checkpoint_optimizer_prefix(k);
        const cti_optimizer_names names = { prefix.s, cti_params_prefix(s->run->model->params) };

        s->optimizer[k] = cti_optimizer_state_judge(s->run->optimizer[k], &s->claims, &names);
        if (!s->optimizer[k])
            return false;
    }
    return true;
}

static void checkpoint_optimizer_apply(checkpoint_staged *s)
{
    for (int k = 0; k < s->run->optimizer_count; k++) {
        cti_optimizer_state_apply(s->run->optimizer[k], s->optimizer[k]);
        s->optimizer[k] = NULL;
    }
}

/* ---- state ---- */

#define MOST_STATES 64

/* How a tensor of the state is described, so that one that is missing is missed. */
typedef struct saved_shape {
    int64_t dtype, rank, dim[CT_MAX_RANK];
} saved_shape;

bool cti_checkpoint_has_state(const cti_run *r)
{
    const cti_epoch *e = &r->epoch;

    return e->underway && e->tally.batches < (double)ct_loader_batches(r->train);
}

static void checkpoint_state_write(const cti_run *r, cti_named_tensors *l)
{
    int count = cti_checkpoint_has_state(r) ? ct_state_count(r->state) : 0;
    saved_shape shapes[MOST_STATES + 1] = { { 0 } };
    char number[24];

    for (int i = 0; i < count; i++) {
        const ct_tensor *t = ct_state_get(r->state, i);

        shapes[i].dtype = t->dtype;
        shapes[i].rank = t->shape.rank;
        for (int k = 0; k < t->shape.rank; k++)
            shapes[i].dim[k] = t->shape.dim[k];
        snprintf(number, sizeof number, "%d", i);
        cti_named_tensors_add(l, PREFIX "state.", number, ct_state_get(r->state, i));
    }
    cti_named_tensors_add(
        l, PREFIX "state.", "shapes",
        ct_from_data(shapes, CT_SHAPE(count, FIELDS(saved_shape)), CT_I64, CT_CPU));
}

/* The shape that was saved; false if there is no such shape. */
static bool checkpoint_state_shape(const saved_shape *saved, ct_shape *shape)
{
    bool good = saved->dtype >= 0 && saved->dtype < CTI_DTYPE_COUNT && saved->rank >= 0 &&
                saved->rank <= CT_MAX_RANK;

    *shape = CT_SCALAR;
    shape->rank = good ? (int)saved->rank : 0;
    for (int k = 0; k < shape->rank; k++) {
        shape->dim[k] = saved->dim[k];
        good = good && saved->dim[k] >= 0;
    }
    return good;
}

/* Reads the tensors; false with an error. */
static bool checkpoint_state_read(checkpoint_staged *s, const saved_shape *shapes, int count)
{
    ct_tensor *part[MOST_STATES];
    char number[24];
    ct_shape shape;

    for (int i = 0; i < count; i++) {
        if (!checkpoint_state_shape(&shapes[i], &shape))
            return checkpoint_refuse_values(s, "state.shapes");
        snprintf(number, sizeof number, "%d", i);
        part[i] =
            cti_claims_tensor(&s->claims, PREFIX "state.", number, shape, (ct_dtype)shapes[i].dtype,
                              ct_params_device(s->run->model->params));
        if (!part[i])
            return false;
    }
    s->state = count ? ct_state_new(count, part) : NULL;
    return ct_ok();
}

static bool checkpoint_state_judge(checkpoint_staged *s)
{
    const ct_tensor *t = cti_claims_tensor(&s->claims, PREFIX "state.", "shapes",
                                           CT_SHAPE(-1, FIELDS(saved_shape)), CT_I64, CT_CPU);

    if (!t)
        return false;
    if (t->shape.dim[0] > MOST_STATES ||
        (t->shape.dim[0] > 0 && !(s->counts->underway && ct_loader_continues(s->run->train))))
        return checkpoint_refuse_values(s, "state.shapes");
    return checkpoint_state_read(s, (const saved_shape *)(const void *)cti_data(t),
                                 (int)t->shape.dim[0]);
}

static void checkpoint_state_apply(checkpoint_staged *s)
{
    ct_state_free(s->run->state);
    s->run->state = s->state;
    s->state = NULL;
}

/* ---- the table ---- */

/* In the order in which they are judged. */
static const checkpoint_section sections[] = {
    { "model", checkpoint_model_write, checkpoint_model_judge, NULL },
    { "average", checkpoint_average_write, checkpoint_average_judge, checkpoint_average_apply },
    { "progress", checkpoint_progress_write, checkpoint_progress_judge, checkpoint_progress_apply },
    { "history", checkpoint_history_write, checkpoint_history_judge, checkpoint_history_apply },
    { "metrics", checkpoint_metrics_write, checkpoint_metrics_judge, checkpoint_metrics_apply },
    { "loaders", checkpoint_loaders_write, checkpoint_loaders_judge, checkpoint_loaders_apply },
    { "generator", checkpoint_generator_write, checkpoint_generator_judge,
      checkpoint_generator_apply },
    { "optimizer", checkpoint_optimizer_write, checkpoint_optimizer_judge,
      checkpoint_optimizer_apply },
    { "state", checkpoint_state_write, checkpoint_state_judge, checkpoint_state_apply },
};
#define SECTIONS (sizeof sections / sizeof *sections)

static void checkpoint_write_list(cti_run *r, const char *path, const cti_named_tensors *l)
{
    ct_metadata metadata[3] = { { "cotangent.training", cti_run_describe(r) } };

    if (r->trainer->model_json)
        metadata[1] = (ct_metadata){ "cotangent.model", r->trainer->model_json };
    if (metadata[0].value)
        cti_named_tensors_write(l, path, metadata);
}

ct_status cti_checkpoint_write(cti_run *r, const char *path)
{
    cti_named_tensors list = { .function = me };
    ct_scope s = ct_scope_begin_no_grad();

    for (size_t i = 0; i < SECTIONS && ct_ok(); i++)
        sections[i].write(r, &list);
    if (ct_ok())
        checkpoint_write_list(r, path, &list);
    cti_named_tensors_free(&list);
    return ct_scope_end(s);
}

/* Reads the file and judges it as a whole. The model is loaded last, all of it or nothing; what is
 * left to do cannot fail. False with an error. */
static bool checkpoint_judge(checkpoint_staged *s)
{
    const ct_load_options any = { .non_strict = true };

    if (!cti_claims_begin(&s->claims))
        return false;
    for (size_t i = 0; i < SECTIONS; i++)
        if (!sections[i].judge(s))
            return false;
    return cti_claims_complete(&s->claims) &&
           cti_params_load_file(s->run->model->params, s->claims.file, s->claims.path, any) ==
               CT_OK;
}

ct_status cti_checkpoint_read(cti_run *r, const char *path)
{
    saved_counts counts;
    saved_numbers numbers;
    checkpoint_staged s = {
        .run = r,
        .claims = { .function = me, .path = path, .file = ct_safetensors_open(path) },
        .counts = &counts,
        .numbers = &numbers
    };
    ct_scope scope = ct_scope_begin_no_grad();

    if (s.claims.file && cti_resume_check(r, s.claims.file, path) == CT_OK && checkpoint_judge(&s))
        for (size_t i = 0; i < SECTIONS; i++)
            if (sections[i].apply)
                sections[i].apply(&s);
    ct_state_free(s.state);
    for (int k = 0; k < CT_OPTIMIZERS; k++)
        cti_optimizer_staged_free(s.optimizer[k]);
    cti_average_free(&s.average);
    cti_average_free(&s.weights);
    cti_history_free(&s.history);
    cti_metrics_drop(&s.metrics);
    cti_claims_end(&s.claims);
    ct_safetensors_close(s.claims.file);
    return ct_scope_end(scope);
}

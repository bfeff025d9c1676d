/* checkpoint.c - a run in one safetensors file. Weights have their own names, so that the file is
 * also a model's. The other tensors are:
 *
 *     training.optimizer.NAME   what the optimiser remembers (ct_optimizer_state_name)
 *     training.state.I          the recurrent state carried to the next batch
 *     training.generator        i64 (3): the set's: seed, stream, position
 *     training.cursor           i64 (2, 3): the positions of the loaders (ct_loader_cursor)
 *     training.counts           i64: saved_counts
 *     training.numbers          f64: saved_numbers
 *     training.history          f64 (epochs, columns): of history.h, those without a clock
 *
 * The metadata have "cotangent.training", which describes the run (resume_check.c), and
 * "cotangent.model", as the trainer was given it. The file has no time of day and no number of
 * threads: the same steps give the same bytes. */
#include "tensor/internal.h"

#include "optim/internal.h"
#include "tensor/named_tensors.h"
#include "train/internal.h"

#include <cotangent/autograd/params/state_dict.h>
#include <cotangent/tensor/safetensors.h>

#include <jansson.h>
#include <stdio.h>
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
    double patience, best_perplexity, lr;
} saved_numbers;

/* Each of these is stored as an array of its fields. */
#define FIELDS(type) ((int64_t)(sizeof(type) / 8))
_Static_assert(sizeof(saved_counts) == 6 * 8 && sizeof(saved_numbers) == 9 * 8, "padding");
_Static_assert(sizeof(ct_loader_cursor) == 3 * 8 && sizeof(ct_generator) == 3 * 8, "padding");

/* ---- writing ---- */

static void checkpoint_add_params(cti_named_tensors *l, const cti_run *r)
{
    ct_params *params = r->model->params;

    for (int i = 0; i < ct_params_count(params); i++) {
        ct_param *p = ct_params_at(params, i);

        cti_named_tensors_add(l, "", cti_run_param_name(r, p), ct_param_value(p));
    }
}

static void checkpoint_add_optimizer(cti_named_tensors *l, ct_optimizer *o)
{
    int count = ct_optimizer_state_count(o);

    for (int i = 0; i < count; i++)
        cti_named_tensors_add(l, PREFIX "optimizer.", ct_optimizer_state_name(o, i),
                              ct_optimizer_state_tensor(o, i));
}

/* The recurrent state, if the next batch continues from it. */
static void checkpoint_add_state(cti_named_tensors *l, const cti_run *r)
{
    const cti_epoch *e = &r->epoch;
    bool more = e->underway && e->tally.batches < (double)ct_loader_batches(r->train);
    int count = more ? ct_state_count(r->state) : 0;
    char number[24];

    for (int i = 0; i < count; i++) {
        snprintf(number, sizeof number, "%d", i);
        cti_named_tensors_add(l, PREFIX "state.", number, ct_state_get(r->state, i));
    }
}

static ct_tensor *checkpoint_history(const cti_history *h)
{
    ct_tensor *t = ct_empty(CT_SHAPE(h->count, CTI_CLOCK), CT_F64, CT_CPU);
    double *x = t ? (double *)(void *)cti_data(t) : NULL;

    for (int64_t i = 0; x && i < h->count; i++)
        memcpy(x + i * CTI_CLOCK, h->row[i], CTI_CLOCK * sizeof *x);
    return t;
}

static void checkpoint_add_run(cti_named_tensors *l, const cti_run *r)
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
                                    .best_perplexity = result->best_perplexity,
                                    .lr = result->lr };
    const ct_loader_cursor cursor[2] = { ct_loader_tell(r->train), r->val_cursor };
    const ct_generator *generator = ct_params_generator(r->model->params);

    cti_named_tensors_add(l, PREFIX, "generator",
                          ct_from_data(generator, CT_SHAPE(3), CT_I64, CT_CPU));
    cti_named_tensors_add(l, PREFIX, "cursor",
                          ct_from_data(cursor, CT_SHAPE(2, 3), CT_I64, CT_CPU));
    cti_named_tensors_add(l, PREFIX, "counts",
                          ct_from_data(&counts, CT_SHAPE(FIELDS(saved_counts)), CT_I64, CT_CPU));
    cti_named_tensors_add(l, PREFIX, "numbers",
                          ct_from_data(&numbers, CT_SHAPE(FIELDS(saved_numbers)), CT_F64, CT_CPU));
    cti_named_tensors_add(l, PREFIX, "history", checkpoint_history(&r->history));
}

static int checkpoint_add_json(const char *bytes, size_t size, void *buffer)
{
    cti_buffer_add(buffer, bytes, size);
    return 0;
}

static void checkpoint_write_list(cti_run *r, const char *path, const cti_named_tensors *l)
{
    json_t *description = cti_run_describe(r);
    cti_buffer json = { 0 };
    ct_metadata metadata[3] = { { "cotangent.training", NULL } };

    if (!description)
        return;
    if (json_dump_callback(description, checkpoint_add_json, &json, JSON_SORT_KEYS) != 0 ||
        json.failed) {
        cti_out_of_memory(me, json.size);
    } else {
        metadata[0].value = json.bytes;
        if (r->trainer->model_json)
            metadata[1] = (ct_metadata){ "cotangent.model", r->trainer->model_json };
        cti_named_tensors_write(l, path, metadata);
    }
    cti_buffer_free(&json);
}

ct_status cti_checkpoint_write(cti_run *r, const char *path)
{
    cti_named_tensors list = { .function = me };
    ct_scope s = ct_scope_begin_no_grad();

    checkpoint_add_params(&list, r);
    checkpoint_add_optimizer(&list, r->optimizer);
    checkpoint_add_state(&list, r);
    checkpoint_add_run(&list, r);
    if (ct_ok())
        checkpoint_write_list(r, path, &list);
    cti_named_tensors_free(&list);
    return ct_scope_end(s);
}

/* ---- reading ---- */

static ct_status checkpoint_malformed(const char *path, const char *what)
{
    return ct_raise(CT_ERR_FORMAT, me, "%.300s: %s is not valid", path, what);
}

/* The tensor of a name, with this shape (its first size -1: any) and dtype, on the CPU; NULL with
 * an error. */
static const ct_tensor *checkpoint_tensor(ct_safetensors *f, const char *path, const char *name,
                                          ct_shape shape, ct_dtype dtype)
{
    const ct_tensor *t = ct_safetensors_get(f, name, CT_CPU);

    if (t && shape.dim[0] < 0)
        shape.dim[0] = t->shape.dim[0];
    if (t && (t->dtype != dtype || !cti_same_shape(&t->shape, &shape))) {
        checkpoint_malformed(path, name);
        return NULL;
    }
    return t;
}

/* Copies the elements of such a tensor to a struct of as many; false with an error. */
static bool checkpoint_fields(const ct_tensor *t, void *to)
{
    if (t)
        memcpy(to, cti_data(t), (size_t)t->numel * 8);
    return t != NULL;
}

static void checkpoint_read_optimizer(cti_run *r, ct_safetensors *f)
{
    static const char prefix[] = PREFIX "optimizer.";
    ct_device device = ct_params_device(r->model->params);

    for (int i = 0; i < ct_safetensors_count(f) && ct_ok(); i++) {
        const char *name = ct_safetensors_name(f, i);

        if (strncmp(name, prefix, sizeof prefix - 1) == 0) {
            const ct_tensor *t = ct_safetensors_load(f, i, device);
            ct_status status =
                t ? ct_optimizer_state_load(r->optimizer, name + sizeof prefix - 1, t) : ct_error();

            if (status != CT_OK)
                return;
        }
    }
}

static void checkpoint_read_state(cti_run *r, ct_safetensors *f)
{
    ct_tensor *part[64];
    char name[40];
    int n = 0;

    for (; n < 64; n++) {
        snprintf(name, sizeof name, PREFIX "state.%d", n);
        if (ct_safetensors_find(f, name) < 0)
            break;
        part[n] = ct_safetensors_get(f, name, ct_params_device(r->model->params));
        if (!part[n])
            return;
    }
    if (n)
        r->state = ct_state_new(n, part);
}

static void checkpoint_read_history(cti_run *r, ct_safetensors *f, const char *path)
{
    const ct_tensor *t =
        checkpoint_tensor(f, path, PREFIX "history", CT_SHAPE(-1, CTI_CLOCK), CT_F64);
    const double *x = t ? (const double *)(const void *)cti_data(t) : NULL;
    ct_fit_result *to = &r->result;

    if (t && t->shape.dim[0] != r->result.epochs)
        checkpoint_malformed(path, PREFIX "history");
    for (int64_t i = 0; t && ct_ok() && i < t->shape.dim[0]; i++, x += CTI_CLOCK) {
        ct_fit_result row = *to;

        row.epochs = (int64_t)x[CTI_EPOCH];
        row.steps = (int64_t)x[CTI_STEP];
        row.tokens = (int64_t)x[CTI_TOKENS];
        row.loss = x[CTI_LOSS];
        row.perplexity = x[CTI_PERPLEXITY];
        row.bits = x[CTI_BITS];
        row.validation_loss = x[CTI_VAL_LOSS];
        row.validation_perplexity = x[CTI_VAL_PERPLEXITY];
        row.validation_bits = x[CTI_VAL_BITS];
        row.gradient_norm = x[CTI_NORM];
        row.clipped = x[CTI_CLIPPED];
        row.lr = x[CTI_LR];
        if (!cti_history_add(&r->history, &row))
            return;
        row.steps = to->steps;
        row.tokens = to->tokens;
        row.lr = to->lr;
        row.epochs = to->epochs;
        *to = row; /* after the last one: the last epoch's */
    }
}

static bool checkpoint_counts_fit(const saved_counts *c, const saved_numbers *x,
                                  const ct_loader_cursor *train)
{
    return c->epochs >= 0 && c->steps >= 0 && c->tokens >= 0 && c->best_epoch >= 0 &&
           c->best_epoch <= c->epochs && c->patience >= 0 &&
           (c->underway == 0 || (c->underway == 1 && x->tally.batches == (double)train->batch));
}

static void checkpoint_set_run(cti_run *r, const saved_counts *c, const saved_numbers *x)
{
    r->result.epochs = c->epochs;
    r->result.steps = c->steps;
    r->result.tokens = c->tokens;
    r->result.best_epoch = c->best_epoch;
    r->result.best_perplexity = x->best_perplexity;
    r->result.lr = x->lr;
    r->patience = (cti_patience){ .epochs = c->patience, .best = x->patience };
    r->epoch.underway = c->underway;
    r->epoch.tally = x->tally;
}

static void checkpoint_read_run(cti_run *r, ct_safetensors *f, const char *path)
{
    const ct_shape counts_shape = CT_SHAPE(FIELDS(saved_counts));
    const ct_shape numbers_shape = CT_SHAPE(FIELDS(saved_numbers));
    saved_counts counts;
    saved_numbers numbers;
    ct_loader_cursor cursor[2];
    ct_generator generator;

    if (!checkpoint_fields(checkpoint_tensor(f, path, PREFIX "generator", CT_SHAPE(3), CT_I64),
                           &generator) ||
        !checkpoint_fields(checkpoint_tensor(f, path, PREFIX "cursor", CT_SHAPE(2, 3), CT_I64),
                           cursor) ||
        !checkpoint_fields(checkpoint_tensor(f, path, PREFIX "counts", counts_shape, CT_I64),
                           &counts) ||
        !checkpoint_fields(checkpoint_tensor(f, path, PREFIX "numbers", numbers_shape, CT_F64),
                           &numbers))
        return;
    if (!checkpoint_counts_fit(&counts, &numbers, &cursor[0])) {
        checkpoint_malformed(path, PREFIX "counts");
        return;
    }
    checkpoint_set_run(r, &counts, &numbers);
    r->val_cursor = cursor[1];
    ct_loader_seek(r->train, cursor[0]);
    if (r->val)
        ct_loader_seek(r->val, r->val_cursor);
    *ct_params_generator(r->model->params) = generator;
}

ct_status cti_checkpoint_read(cti_run *r, const char *path)
{
    ct_safetensors *f = ct_safetensors_open(path);
    ct_scope s = ct_scope_begin_no_grad();
    ct_status status = f ? cti_resume_check(r, f, path) : ct_error();

    if (status == CT_OK)
        status = ct_params_load(r->model->params, path, (ct_load_options){ .non_strict = true });
    if (status == CT_OK)
        checkpoint_read_run(r, f, path);
    if (ct_ok())
        checkpoint_read_history(r, f, path);
    if (ct_ok())
        checkpoint_read_optimizer(r, f);
    if (ct_ok())
        checkpoint_read_state(r, f);
    ct_safetensors_close(f);
    return ct_scope_end(s);
}

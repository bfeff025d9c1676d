/* SPDX-License-Identifier: MIT */
/* world_fit.c - ct_fit and ct_evaluate in a world: steps by shards, decisions of all ranks, and
 * checkpoints. Only rank 0 prints and writes files. */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "data/internal.h"
#include "tensor/hooks.h"
#include "tensor/text.h"
#include "train/internal.h"
#include "train/world_internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/data/text.h>
#include <cotangent/tensor/device.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(CTI_SUM_FIT >= CT_METRICS * CT_METRIC_SUMS + 2 * CT_OPTIMIZERS, "room for metrics");

typedef struct cti_fit_world {
    ct_world *w;
    bool own;
    bool stop;          /* true if this rank will ask for a stop at the next sum */
    ct_trainer trainer; /* a copy of the trainer without output, for ranks other than 0 */
    ct_state **state;   /* the carried state of each shard of this rank */
    ct_state *gathered; /* the value of r->state while a checkpoint is written */
} cti_fit_world;

/* ---- starting ---- */

static bool fit_has_ranks(const cti_run *r)
{
    return r->world && r->world->w->ranks > 1;
}

/* Turns off the output of a rank other than 0. The rank still takes part in checkpoints, because
 * it sends its states to rank 0. */
static void fit_hide(cti_run *r)
{
    cti_fit_world *f = r->world;

    f->trainer = *r->trainer;
    f->trainer.out = NULL;
    f->trainer.csv = f->trainer.svg = f->trainer.tensorboard = NULL;
    r->trainer = &f->trainer;
}

bool cti_fit_world_begin(cti_run *r, ct_world *given)
{
    ct_world *w = given;
    cti_fit_world *f;

    if (!w) {
        w = ct_world_new((ct_world_options){ 0 });
        if (!w)
            return false;
        if (w->shards == 1) { /* one shard uses the plain loop */
            ct_world_free(w);
            return true;
        }
    } else if (w->shards == 1) {
        return true;
    }
    f = cti_calloc(1, sizeof *f);
    if (f)
        f->state = cti_calloc((size_t)(w->end - w->first), sizeof(ct_state *));
    if (!f || !f->state) {
        cti_out_of_memory(r->function, sizeof *f);
        cti_release(f);
        if (!given)
            ct_world_free(w);
        return false;
    }
    f->w = w;
    f->own = !given;
    r->world = f;
    if (w->rank > 0)
        fit_hide(r);
    return true;
}

static void fit_drop_states(cti_fit_world *f)
{
    for (int i = 0; i < f->w->end - f->w->first; i++) {
        ct_state_free(f->state[i]);
        f->state[i] = NULL;
    }
}

void cti_fit_world_end(cti_run *r)
{
    cti_fit_world *f = r->world;

    if (!f)
        return;
    cti_world_tell_error(f->w);
    fit_drop_states(f);
    cti_release(f->state);
    if (f->own)
        ct_world_free(f->w);
    cti_release(f);
    r->world = NULL;
}

int cti_fit_shards(const cti_run *r)
{
    return r->world ? r->world->w->shards : 1;
}

/* ---- the same run on all ranks ---- */

bool cti_params_digest(ct_params *set, char hex[65])
{
    ct_scope s = ct_scope_begin_no_grad();
    char digests[2][65] = { "", "" };

    for (int i = 0; i < ct_params_count(set) && ct_ok(); i++) {
        ct_param *p = ct_params_at(set, i);
        ct_tensor *t;

        if (ct_param_is_lazy(p) || !cti_params_stands(set, i))
            continue;
        t = ct_to(cti_param_own(p), CT_CPU);
        t = t ? cti_contiguous(t) : NULL;
        if (!t)
            break;
        ct_sha256_hex(cti_data(t), (size_t)t->numel * ct_dtype_size(t->dtype), digests[1]);
        /* The digest covers the values before and this one. */
        ct_sha256_hex(digests, sizeof digests, digests[0]);
    }
    cti_scope_pop(s);
    memcpy(hex, digests[0], 65);
    return ct_ok();
}

static bool fit_same_parameters(cti_run *r)
{
    ct_world *w = r->world ? r->world->w : NULL;
    char own[65], *all;

    if (!fit_has_ranks(r) || !ct_ok() || !cti_params_digest(r->model->params, own))
        return ct_ok();
    all = malloc((size_t)w->ranks * sizeof own);
    if (!all) {
        cti_out_of_memory(r->function, (size_t)w->ranks * sizeof own);
        return false;
    }
    cti_world_gather(w, r->function, own, sizeof own, all);
    for (int k = 1; k < w->ranks && ct_ok(); k++)
        if (memcmp(all, all + (size_t)k * sizeof own, sizeof own) != 0)
            ct_raise(CT_ERR_WORLD, r->function,
                     "the parameters of rank %d differ from those of rank 0 after %lld steps", k,
                     (long long)r->result.steps);
    cti_world_release(w, all);
    return ct_ok();
}

/* Returns a text of rank 0 on all ranks; the caller frees it. NULL with an error. */
static char *fit_first_text(ct_world *w, const char *function, const char *text)
{
    int64_t size = (int64_t)strlen(text);
    char *first = NULL;

    if (!cti_world_spread(w, function, &size, sizeof size))
        return NULL;
    first = calloc(1, (size_t)size + 1);
    if (!first) {
        cti_out_of_memory(function, (size_t)size + 1);
        return NULL;
    }
    if (w->rank == 0)
        memcpy(first, text, (size_t)size);
    return !size || cti_world_spread(w, function, first, (size_t)size) ? first : NULL;
}

/* Returns the 60 bytes of text around byte `at`, in quotes. */
static cti_quoted fit_excerpt(const char *text, size_t at)
{
    char part[61];
    const size_t from = at > 20 ? at - 20 : 0;

    snprintf(part, sizeof part, "%s", text + from);
    return cti_quote(part);
}

/* Compares a text with that of rank 0. Returns false with an error. */
static bool fit_compare_text(cti_run *r, const char *what, const char *text)
{
    ct_world *w = r->world->w;
    char *first = fit_first_text(w, r->function, text);
    size_t at = 0;

    if (!first)
        return false;
    while (text[at] && text[at] == first[at])
        at++;
    if (text[at] != first[at])
        ct_raise(CT_ERR_WORLD, r->function, "%s of rank %d has %s, and that of rank 0 has %s", what,
                 w->rank, fit_excerpt(text, at).s, fit_excerpt(first, at).s);
    free(first);
    return ct_ok();
}

/* Describes the other options and values that must be equal on all ranks. The description of the
 * run lacks them. */
static void fit_describe_trainer(const cti_run *r, char text[400])
{
    const ct_trainer *t = r->trainer;
    const char *device = ct_device_name(ct_params_device(r->model->params));

    snprintf(
        text, 400,
        "epochs %lld, patience %lld, min_delta %g, checkpoint %d each %lld epochs, %lld steps, "
        "best %d, resumed %d, device %.*s, generator %llx %llx %llx, parameters %d, batches %lld",
        (long long)t->max_epochs, (long long)t->patience, t->min_delta, t->checkpoint != NULL,
        (long long)t->checkpoint_epochs, (long long)t->checkpoint_steps, t->best != NULL,
        /* the ranks of a machine have GPUs of different numbers */
        t->resume != NULL, (int)strcspn(device, ":"), device,
        (unsigned long long)ct_params_generator(r->model->params)->seed,
        (unsigned long long)ct_params_generator(r->model->params)->stream,
        (unsigned long long)ct_params_generator(r->model->params)->position,
        ct_params_count(r->model->params), (long long)ct_loader_batches(r->train));
}

/* The description without the processor, which may differ between ranks (ct_world_new prints
 * it). */
static char *fit_description(cti_run *r)
{
    const char *all = cti_run_describe(r), *from, *to;
    char *text = all ? malloc(strlen(all) + 1) : NULL;

    if (all && !text)
        cti_out_of_memory(r->function, strlen(all) + 1);
    if (!text)
        return NULL;
    from = strstr(all, "\"processor\"");
    to = from ? strstr(from, ",\"optimizer") : NULL;
    if (!to)
        from = to = all;
    snprintf(text, strlen(all) + 1, "%.*s%s", (int)(from - all), all, to);
    return text;
}

/* Gives each shard its rows of the state of a checkpoint. */
static void fit_scatter_state(cti_run *r)
{
    cti_fit_world *f = r->world;
    const ct_world *w = f->w;
    ct_tensor *part[64];
    ct_scope s = ct_scope_begin_no_grad();
    const int count = ct_state_count(r->state);

    for (int k = w->first; k < w->end && ct_ok(); k++) {
        int64_t rows = 0;

        for (int i = 0; i < count && ct_ok(); i++) {
            ct_tensor *t = ct_state_get(r->state, i);
            const int64_t all = ct_rank(t) > 1 ? ct_size(t, 1) : 0;
            const int64_t from = k * all / w->shards;

            rows = (k + 1) * all / w->shards - from;
            part[i] = rows ? ct_narrow(t, 1, from, rows) : NULL;
        }
        if (rows && ct_ok())
            f->state[k - w->first] = ct_state_new(count, part);
    }
    cti_scope_pop(s);
    ct_state_free(r->state);
    r->state = NULL;
}

/* Checks that a batch has a row for each shard. Returns false with an error. */
static bool fit_check_rows(const cti_run *r)
{
    const ct_loader *l = r->train;
    /* a stream and a zip do not know their rows, so most_rows is 0 */
    const int64_t rows = l->most_rows > 0 ? l->most_rows : INT64_MAX;

    if (rows >= r->world->w->shards)
        return true;
    ct_raise(CT_ERR_ARGUMENT, r->function,
             "the batches have %lld rows, which cannot be cut into %d shards", (long long)rows,
             r->world->w->shards);
    return false;
}

bool cti_fit_world_ready(cti_run *r)
{
    char text[400], *description;
    bool same;

    if (!r->world)
        return true;
    if (!fit_check_rows(r))
        return false;
    if (!cti_gpu_meet(r->world->w, r->function, ct_params_device(r->model->params)))
        return false;
    if (fit_has_ranks(r)) {
        description = fit_description(r);
        fit_describe_trainer(r, text);
        same = description && fit_compare_text(r, "the run", text) &&
               fit_compare_text(r, "the run", description) &&
               fit_compare_text(r, "the model",
                                r->trainer->model_json ? r->trainer->model_json : "") &&
               fit_same_parameters(r);
        free(description);
        if (!same)
            return false;
    }
    if (r->state)
        fit_scatter_state(r);
    return ct_ok();
}

/* ---- checkpoints ---- */

/* The description of a shard's state, which a rank sends before the state. It has the sizes of
 * each tensor. */
typedef struct fit_state_shape {
    int32_t count, unused;
    struct {
        int32_t dtype, rank;
        int64_t dim[CT_MAX_RANK];
    } tensor[64];
} fit_state_shape;

static void fit_describe_state(const ct_state *s, fit_state_shape *shape)
{
    memset(shape, 0, sizeof *shape);
    shape->count = ct_state_count(s);
    for (int i = 0; i < shape->count; i++) {
        const ct_tensor *t = ct_state_get(s, i);

        shape->tensor[i].dtype = (int32_t)t->dtype;
        shape->tensor[i].rank = t->shape.rank;
        memcpy(shape->tensor[i].dim, t->shape.dim, sizeof t->shape.dim);
    }
}

/* The rank that has a shard. */
static int fit_rank_of(const ct_world *w, int shard)
{
    int r = 0;

    while (cti_world_first_shard(r + 1, w->ranks, w->shards) <= shard)
        r++;
    return r;
}

/* Gets the tensors of a shard's state on rank 0. If another rank has the shard, receives them
 * from it. Returns false with an error. */
static bool fit_collect(cti_run *r, int shard, int count, ct_tensor **part)
{
    ct_world *w = r->world->w;
    const int from = fit_rank_of(w, shard);
    fit_state_shape shape;

    if (from == 0) {
        for (int i = 0; i < count; i++)
            part[i] = ct_to(ct_state_get(r->world->state[shard - w->first], i), CT_CPU);
        return ct_ok();
    }
    if (!cti_world_receive(w, r->function, &shape, sizeof shape, from, CTI_TAG_GATHER) ||
        !cti_world_wait(w, r->function))
        return false;
    for (int i = 0; i < count && i < shape.count && i < 64; i++) {
        ct_shape s = { .rank = shape.tensor[i].rank };

        memcpy(s.dim, shape.tensor[i].dim, sizeof s.dim);
        part[i] = cti_new(r->function, s, (ct_dtype)shape.tensor[i].dtype, CT_CPU);
        if (!part[i] ||
            !cti_world_receive(w, r->function, cti_data(part[i]),
                               (size_t)part[i]->numel * ct_dtype_size(part[i]->dtype), from,
                               CTI_TAG_GATHER) ||
            !cti_world_wait(w, r->function))
            return false;
    }
    return ct_ok();
}

/* Sends the state of a shard of this rank to rank 0. Returns false with an error. */
static bool fit_send_state(cti_run *r, const ct_state *state)
{
    ct_world *w = r->world->w;
    fit_state_shape shape;
    bool good;

    fit_describe_state(state, &shape);
    good = cti_world_send(w, r->function, &shape, sizeof shape, 0, CTI_TAG_GATHER) &&
           cti_world_wait(w, r->function);
    for (int i = 0; i < shape.count && good; i++) {
        ct_tensor *t = ct_to(ct_state_get(state, i), CT_CPU);

        t = t ? cti_contiguous(t) : NULL;
        good = t &&
               cti_world_send(w, r->function, cti_data(t),
                              (size_t)t->numel * ct_dtype_size(t->dtype), 0, CTI_TAG_GATHER) &&
               cti_world_wait(w, r->function);
    }
    return good;
}

/* Makes the whole state on rank 0 from the states of the shards, in their order. */
static void fit_gather_state(cti_run *r)
{
    cti_fit_world *f = r->world;
    ct_world *w = f->w;
    const int count = ct_state_count(f->state[0]);
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor **part = cti_scope_alloc(r->function, (size_t)w->shards * 64 * sizeof *part);
    ct_tensor *whole[64], *column[CTI_WORLD_SHARDS];

    if (part && w->rank > 0) {
        for (int k = 0; k < w->end - w->first && f->state[k]; k++)
            if (!fit_send_state(r, f->state[k]))
                break;
    } else if (part && count) {
        for (int k = 0; k < w->shards && ct_ok(); k++)
            fit_collect(r, k, count, part + (size_t)k * 64);
        for (int i = 0; i < count && ct_ok(); i++) {
            for (int k = 0; k < w->shards; k++)
                column[k] = part[(size_t)k * 64 + (size_t)i];
            whole[i] = ct_cat(w->shards, column, 1);
        }
        f->gathered = ct_ok() ? ct_state_new(count, whole) : NULL;
    }
    cti_scope_pop(s);
}

ct_status cti_fit_checkpoint(cti_run *r, const char *path)
{
    cti_fit_world *f = r->world;

    if (!f)
        return cti_run_save(r, path);
    if (!fit_same_parameters(r))
        return ct_error();
    if (cti_run_has_state(r))
        fit_gather_state(r);
    if (f->w->rank == 0 && ct_ok()) {
        r->state = f->gathered;
        cti_run_save(r, path);
        r->state = NULL;
    }
    ct_state_free(f->gathered);
    f->gathered = NULL;
    if (!ct_ok())
        cti_world_tell_error(f->w);
    else if (f->w->link)
        /* Waits until rank 0 has written the file or has sent its error. */
        cti_world_meet(f->w, r->function);
    return ct_error();
}

/* ---- decisions of all ranks ---- */

void cti_fit_world_ask_stop(cti_run *r)
{
    r->world->stop = true;
}

bool cti_fit_world_stops(cti_run *r, bool here)
{
    cti_fit_world *f = r->world;
    char own, all[CTI_WORLD_SHARDS];
    bool any = false;

    own = here || f->stop || (r->train && cti_stop_asked());
    f->stop = false;
    if (!f->w->link)
        return own;
    if (!ct_ok() || !cti_world_gather(f->w, r->function, &own, 1, all))
        return own;
    for (int k = 0; k < f->w->ranks; k++)
        any = any || all[k];
    return any;
}

/* ---- a step ---- */

/* The number i of the current shard, after those of the user. The metrics use these numbers. */
static double *fit_number(cti_fit_world *f, int i)
{
    return cti_world_number(f->w, CTI_SUM_USER + i);
}

/* Writes the sums of the metrics of a shard to its numbers. */
static void fit_add_metrics(cti_run *r, const ct_step *s)
{
    cti_metric_sums sums = { { NULL } };
    int at = 0;

    cti_metrics_add(r, &sums, s);
    for (int i = 0; i < r->given_metrics && ct_ok(); i++) {
        const int n = r->metric[i]->sums;

        ct_to_host(sums.of[i], fit_number(r->world, at), (size_t)n * sizeof(double));
        at += n;
    }
    cti_metrics_drop(&sums);
}

/* Adds the sums over all shards to the sums of the epoch. */
static void fit_take_metrics(cti_run *r, cti_metric_sums *sums)
{
    int at = 0;

    for (int i = 0; i < r->given_metrics && ct_ok(); i++) {
        const int n = r->metric[i]->sums;

        cti_metrics_add_numbers(r, sums, i, fit_number(r->world, at));
        at += n;
    }
}

/* Runs one shard: forward and, in training, backward. */
static void fit_run_shard(cti_run *r, const cti_fit_step *step, ct_batch *part)
{
    cti_fit_world *f = r->world;
    ct_state **state = step->states ? &step->states[f->w->step.current - f->w->first] : NULL;
    ct_state *next = NULL;
    ct_step s = { .batch = part,
                  .state = state && part->continues ? *state : NULL,
                  .next = state ? &next : NULL,
                  .optimizer = step->optimizer };
    ct_scope scope = ct_scope_begin();
    double value = NAN;
    ct_tensor *loss = cti_step_loss(r, step->call, &s, step->when, &value);

    if (step->optimizer == 0)
        fit_add_metrics(r, &s);
    if (step->training) {
        ct_world_backward(f->w, loss, s.count);
    } else if (ct_ok()) {
        *cti_world_number(f->w, CTI_SUM_COUNT) = s.count;
        *cti_world_number(f->w, CTI_SUM_LOSS) = s.count * value;
    }
    if (state)
        cti_step_carry(state, next, part->continues);
    if (ct_scope_end(scope) != CT_OK)
        ct_params_zero_grad(r->model->params);
}

bool cti_fit_sharded(cti_run *r, cti_fit_step *step, ct_batch *batch)
{
    cti_fit_world *f = r->world;
    ct_params *params = r->model->params;
    ct_batch part;
    double loss;

    f->w->step.stop = f->stop || (r->train && cti_stop_asked());
    f->stop = false;
    f->w->step.forward_only = !step->training;
    f->w->step.more = step->more;
    while (ct_world_shard(f->w, params, batch, &part))
        fit_run_shard(r, step, &part);
    if (ct_world_reduce(f->w, &loss) != CT_OK)
        return false;
    step->loss = loss;
    step->count = *cti_world_number(f->w, CTI_SUM_COUNT);
    step->stop = f->w->step.stop;
    f->w->step.stop = false;
    if (step->optimizer == 0 && step->metrics)
        fit_take_metrics(r, step->metrics);
    return ct_ok();
}

void cti_fit_finish_gradients(cti_run *r)
{
    cti_world_finish_gradients(r->world->w, r->model->params);
}

ct_state **cti_fit_states(cti_run *r)
{
    return r->world->state;
}

ct_state **cti_fit_states_new(cti_run *r)
{
    const size_t count = (size_t)(r->world->w->end - r->world->w->first);
    ct_state **states = cti_calloc(count, sizeof(ct_state *));

    if (!states)
        cti_out_of_memory(r->function, count * sizeof(ct_state *));
    return states;
}

void cti_fit_states_free(cti_run *r, ct_state **states)
{
    for (int i = 0; states && i < r->world->w->end - r->world->w->first; i++)
        ct_state_free(states[i]);
    cti_release(states);
}

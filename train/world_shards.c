/* SPDX-License-Identifier: MIT */
/* world_shards.c - the shards of a batch: their rows, random streams, gradients and running
 * statistics. */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "tensor/hooks.h"
#include "train/internal.h"
#include "train/world_internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The positions of the random stream that one step may use. */
#define SHARD_DRAWS ((uint64_t)1 << 34)

/* True if the world has one shard on one rank. Its step is a plain step: nothing is copied, and
 * the bits are equal to those of a loop without a world. */
static bool shards_are_one(const ct_world *w)
{
    return w->shards == 1 && w->ranks == 1;
}

static void shards_free_alone(void *world)
{
    ct_world *w = world;

    cti_sum_free(&w->sum);
    cti_release(w);
}

/* Returns w. If w is NULL, returns the world of the thread, which has one rank and one shard, or
 * NULL with an error. That world is too large for a thread-local variable, because a library
 * that dlopen loads has little room for those variables. */
static ct_world *shards_world(const char *function, ct_world *w)
{
    ct_thread *th = cti_thread();

    if (w || th->world)
        return w ? w : th->world;
    w = cti_calloc(1, sizeof *w);
    if (!w) {
        cti_out_of_memory(function, sizeof *w);
        return NULL;
    }
    *w = (ct_world){ .ranks = 1, .shards = 1, .end = 1 };
    w->step.current = -1;
    th->world_free = shards_free_alone;
    return th->world = w;
}

/* ---- the elements of a step ----
 *
 * The doubles are the numbers, the number of shards in which each trained parameter has a
 * gradient, the buffers that are not f32, and the gradients in f64. The floats are the gradients
 * and the buffers in f32; they stay on the GPU if the GPUs of the ranks add them up. */

typedef enum shards_role { SHARDS_NOTHING, SHARDS_GRADIENT, SHARDS_BUFFER } shards_role;

static shards_role shards_role_of(const ct_world *w, int i)
{
    const ct_params *set = w->step.params;
    const ct_param *p = ct_params_at((ct_params *)set, i);

    if (w->step.forward_only || ct_param_is_lazy(p))
        return SHARDS_NOTHING;
    if (cti_params_trains(set, i))
        return SHARDS_GRADIENT;
    return cti_param_is_buffer(p) && cti_params_stands(set, i) ? SHARDS_BUFFER : SHARDS_NOTHING;
}

/* A walk over the entries of the set. It keeps the positions of their elements in the vector. */
typedef struct shards_walk {
    ct_world *w;
    cti_sum_memory vector;
    /* The next position of each kind; given: the next count of gradients. */
    int64_t doubles, floats, gpu_floats, given;
    double count, shards; /* for reading sums: the divisors of gradients and of buffers */
} shards_walk;

static int shards_gradients(const ct_world *w)
{
    int n = 0;

    for (int i = 0; i < ct_params_count(w->step.params); i++)
        n += shards_role_of(w, i) == SHARDS_GRADIENT;
    return n;
}

/* True if the elements of t are added up in the memory of the GPU. */
static bool shards_on_gpu(const ct_world *w, const ct_tensor *t)
{
    return w->gpu.sums && t->dtype == CT_F32 && t->device == w->gpu.device;
}

/* The position of the elements of t. */
static int64_t *shards_position(shards_walk *k, const ct_tensor *t)
{
    if (shards_on_gpu(k->w, t))
        return &k->gpu_floats;
    return t->dtype == CT_F32 ? &k->floats : &k->doubles;
}

static shards_walk shards_begin_walk(ct_world *w, cti_sum_memory vector)
{
    return (shards_walk){ .w = w,
                          .vector = vector,
                          .given = CTI_SUM_NUMBERS,
                          .doubles = CTI_SUM_NUMBERS + shards_gradients(w) };
}

static double *shards_double(const shards_walk *k, int64_t i)
{
    int64_t run;

    return cti_sum_doubles(&k->w->sum.layout, k->vector.bytes, i, &run);
}

/* Starts the sum of a step, unless it has started. It must run after the first shard, when no
 * entry is lazy. */
static void shards_measure(ct_world *w)
{
    ct_params *set = w->step.params;
    shards_walk k = shards_begin_walk(w, (cti_sum_memory){ NULL, NULL });

    if (w->step.measured)
        return;
    w->step.measured = true;
    if (!w->step.forward_only)
        cti_gpu_meet(w, "ct_world_reduce", ct_params_device(set));
    for (int i = 0; i < ct_params_count(set); i++) {
        const ct_tensor *t;

        if (shards_role_of(w, i) == SHARDS_NOTHING)
            continue;
        t = cti_param_own(ct_params_at(set, i));
        *shards_position(&k, t) += t->numel;
    }
    cti_sum_begin(w, k.doubles, k.floats, k.gpu_floats);
}

/* ---- into a vector ---- */

/* Writes the elements of t, which is f32 or f64 in host memory, to the vector. If t is NULL,
 * writes zeros. */
static void shards_put(shards_walk *k, const ct_tensor *t, int64_t numel, bool f32)
{
    const cti_sum_layout *l = &k->w->sum.layout;
    const size_t size = f32 ? sizeof(float) : sizeof(double);
    const char *from = t ? cti_data(t) : NULL;

    for (int64_t run, i = 0; i < numel; i += run) {
        char *to = f32 ? (char *)cti_sum_floats(l, k->vector.bytes, k->floats, &run)
                       : (char *)cti_sum_doubles(l, k->vector.bytes, k->doubles, &run);

        run = run < numel - i ? run : numel - i;
        if (from)
            memcpy(to, from + (size_t)i * size, (size_t)run * size);
        else
            memset(to, 0, (size_t)run * size);
        *(f32 ? &k->floats : &k->doubles) += run;
    }
}

/* Returns t in host memory, contiguous, as f32 or f64. */
static ct_tensor *shards_on_host(ct_tensor *t)
{
    ct_tensor *here = t->device == CT_CPU ? t : ct_to(t, CT_CPU);

    if (here && here->dtype != CT_F32 && here->dtype != CT_F64)
        here = ct_cast(here, CT_F64);
    return here ? ct_contiguous(here) : NULL;
}

static void shards_put_entry(shards_walk *k, int i)
{
    const ct_params *set = k->w->step.params;
    ct_tensor *value = cti_param_own(ct_params_at((ct_params *)set, i)), *from = value;
    const shards_role role = shards_role_of(k->w, i);
    ct_scope s;

    if (role == SHARDS_NOTHING)
        return;
    s = ct_scope_begin_no_grad();
    if (role == SHARDS_GRADIENT) {
        from = ct_tensor_grad(value); /* a view, because the handle of the gradient has ended */
        *shards_double(k, k->given++) = from != NULL;
    }
    if (shards_on_gpu(k->w, value)) {
        cti_gpu_put(value->device, cti_sum_gpu_floats(&k->vector, k->gpu_floats),
                    from ? cti_contiguous(from) : NULL, value->numel);
        k->gpu_floats += value->numel;
    } else {
        if (from)
            from = shards_on_host(from);
        shards_put(k, from, value->numel, value->dtype == CT_F32);
    }
    cti_scope_pop(s);
}

/* Adds the shards without rows that come before shard number `end`. */
static void shards_add_empty(ct_world *w, int end)
{
    shards_measure(w);
    while (w->step.added < end)
        cti_sum_add(w, w->step.added++, (cti_sum_memory){ NULL, NULL });
}

/* Adds the finished shard to the sum, and clears its gradients. */
static void shards_flush(ct_world *w)
{
    cti_world_step *s = &w->step;
    shards_walk k;
    cti_sum_memory vector;

    shards_add_empty(w, s->current);
    if (!ct_ok())
        return;
    vector = cti_sum_vector(w, "ct_world_reduce");
    if (!vector.bytes)
        return;
    k = shards_begin_walk(w, vector);
    for (int i = 0; i < CTI_SUM_NUMBERS; i++)
        *shards_double(&k, i) = s->own[i];
    for (int i = 0; i < ct_params_count(s->params); i++)
        shards_put_entry(&k, i);
    if (!s->forward_only)
        ct_params_zero_grad(s->params);
    cti_sum_add(w, s->current, vector);
    s->added++;
}

/* ---- out of the sum ---- */

/* to = from / by, rounded from double. If `by` is a float, a division of floats has the same bits:
 * double has more than twice the bits of float, so that rounding twice is rounding once (Figueroa
 * 1995). It takes half the time. */
static void shards_divide_floats(float *restrict to, const float *restrict from, int64_t n,
                                 double by)
{
    const float narrow = (float)by;

    if ((double)narrow == by)
        for (int64_t i = 0; i < n; i++)
            to[i] = from[i] / narrow;
    else
        for (int64_t i = 0; i < n; i++)
            to[i] = (float)((double)from[i] / by);
}

static void shards_divide_doubles(double *restrict to, const double *restrict from, int64_t n,
                                  double by)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i] / by;
}

/* Writes the next numel sums, divided by `by`, to host memory of this dtype. */
static void shards_get(shards_walk *k, char *to, int64_t numel, bool f32, double by)
{
    const cti_sum_layout *l = &k->w->sum.layout;

    for (int64_t run, i = 0; i < numel; i += run) {
        const float *f = f32 ? cti_sum_floats(l, k->vector.bytes, k->floats, &run) : NULL;
        const double *d = f32 ? NULL : cti_sum_doubles(l, k->vector.bytes, k->doubles, &run);

        run = run < numel - i ? run : numel - i;
        if (f32)
            shards_divide_floats((float *)(void *)to + i, f, run, by);
        else
            shards_divide_doubles((double *)(void *)to + i, d, run, by);
        *(f32 ? &k->floats : &k->doubles) += run;
    }
}

/* Writes the next elements of the vector, divided by `by`, to t, which is on the GPU. */
static void shards_get_on_gpu(shards_walk *k, ct_tensor *t, double by)
{
    cti_gpu_get("ct_world_reduce", t, cti_sum_gpu_floats(&k->vector, k->gpu_floats), by);
    k->gpu_floats += t->numel;
}

static void shards_get_gradient(shards_walk *k, const ct_tensor *value)
{
    const bool f32 = value->dtype == CT_F32, given = *shards_double(k, k->given++) > 0;
    ct_tensor *g = given ? cti_leaf_make_grad(value) : NULL, *here;

    if (!given) {
        *shards_position(k, value) += value->numel;
        return;
    }
    if (shards_on_gpu(k->w, value)) {
        if (g)
            shards_get_on_gpu(k, g, k->count);
        return;
    }
    here = g && g->device != CT_CPU ? cti_new("ct_world_reduce", g->shape, g->dtype, CT_CPU) : g;
    if (!here)
        return;
    shards_get(k, cti_data(here), value->numel, f32, k->count);
    if (here != g)
        cti_copy_across("ct_world_reduce", g, here);
}

static void shards_skip(shards_walk *k, shards_role role, const ct_tensor *value)
{
    *shards_position(k, value) += value->numel;
    k->given += role == SHARDS_GRADIENT;
}

/* Sets a buffer to its mean over the shards. For a count, which is equal in all shards, the mean
 * is the count. */
static void shards_get_buffer(shards_walk *k, ct_tensor *value)
{
    const bool f32 = value->dtype == CT_F32, stays = shards_on_gpu(k->w, value);
    ct_tensor *mean = cti_new("ct_world_reduce", value->shape, f32 ? CT_F32 : CT_F64,
                              stays ? value->device : CT_CPU);

    if (!mean)
        return;
    if (stays)
        shards_get_on_gpu(k, mean, k->shards);
    else
        shards_get(k, cti_data(mean), value->numel, f32, k->shards);
    if (!f32 && value->dtype != CT_F64)
        mean = ct_cast(ct_round(mean), value->dtype);
    if (value->device != CT_CPU && !stays)
        mean = ct_to(mean, value->device);
    if (mean)
        cti_carry_into("ct_world_reduce", value, mean);
}

/* Writes the results of a sum to the parameters or the buffers. */
static void shards_spread(ct_world *w, cti_sum_memory sum, shards_role what)
{
    cti_world_step *s = &w->step;
    shards_walk k = shards_begin_walk(w, sum);
    ct_scope scope = ct_scope_begin_no_grad();

    k.count = *shards_double(&k, CTI_SUM_COUNT);
    k.shards = *shards_double(&k, CTI_SUM_SHARDS);
    for (int i = 0; i < ct_params_count(s->params) && ct_ok(); i++) {
        const shards_role role = shards_role_of(w, i);
        ct_tensor *value = role ? cti_param_own(ct_params_at(s->params, i)) : NULL;

        if (role == SHARDS_GRADIENT && what == role)
            shards_get_gradient(&k, value);
        else if (role == SHARDS_BUFFER && what == role)
            shards_get_buffer(&k, value);
        else if (role)
            shards_skip(&k, role, value);
    }
    cti_scope_pop(scope);
}

/* Takes the numbers and the buffers of a sum. If the update has more batches, keeps the
 * gradients for the next step. Otherwise writes the gradients of all batches of the update to
 * the parameters. */
static void shards_take(ct_world *w, cti_sum_memory sum)
{
    cti_world_step *s = &w->step;
    const shards_walk k = shards_begin_walk(w, sum);

    for (int i = 0; i < CTI_SUM_NUMBERS; i++)
        s->own[i] = *shards_double(&k, i);
    s->loss = s->own[CTI_SUM_LOSS] / s->own[CTI_SUM_COUNT];
    if (s->forward_only)
        return;
    shards_spread(w, sum, SHARDS_BUFFER);
    if (s->more || w->sum.total.bytes)
        cti_sum_to_total(w);
    if (s->more)
        return;
    shards_spread(w, w->sum.total.bytes ? w->sum.total : sum, SHARDS_GRADIENT);
    cti_sum_drop_total(w);
}

void cti_world_finish_gradients(ct_world *w, ct_params *params)
{
    if (!w->sum.total.bytes || !ct_ok())
        return;
    w->step.params = params;
    shards_spread(w, w->sum.total, SHARDS_GRADIENT);
    w->step.params = NULL;
    cti_sum_drop_total(w);
}

/* ---- buffers of a shard ---- */

/* Keeps the values of the buffers before the step. Returns false with an error. */
static bool buffers_keep(ct_world *w)
{
    cti_world_step *s = &w->step;
    const int count = ct_params_count(s->params);
    bool any = false;
    ct_scope scope;

    for (int i = 0; i < count; i++)
        any = any || cti_param_is_buffer(ct_params_at(s->params, i));
    if (!any || s->forward_only)
        return true;
    s->before = cti_calloc((size_t)count, sizeof(ct_tensor *));
    if (!s->before) {
        cti_out_of_memory("ct_world_shard", (size_t)count * sizeof(ct_tensor *));
        return false;
    }
    s->entries = count;
    scope = ct_scope_begin_no_grad();
    for (int i = 0; i < count && ct_ok(); i++)
        if (shards_role_of(w, i) == SHARDS_BUFFER)
            s->before[i] = ct_keep(ct_clone(cti_param_own(ct_params_at(s->params, i))));
    cti_scope_pop(scope);
    return ct_ok();
}

/* Gives the buffers their values before the step. A buffer that was lazy at that time gets its
 * initial values. */
static void buffers_restore(const ct_world *w)
{
    const cti_world_step *s = &w->step;
    ct_scope scope = ct_scope_begin_no_grad();

    for (int i = 0; i < s->entries && ct_ok(); i++) {
        ct_param *p = ct_params_at(s->params, i);

        if (shards_role_of(w, i) == SHARDS_BUFFER)
            cti_carry_into("ct_world_shard", cti_param_own(p),
                           s->before[i] ? s->before[i] : cti_param_initial(p));
    }
    cti_scope_pop(scope);
}

static void buffers_drop(cti_world_step *s)
{
    for (int i = 0; i < s->entries; i++)
        ct_free(s->before[i]);
    cti_release(s->before);
    s->before = NULL;
    s->entries = 0;
}

/* ---- the rows of a shard ---- */

static ct_tensor *shards_rows_of(const ct_batch *b, ct_tensor *t, int64_t from, int64_t rows)
{
    if (!cti_usable_as("ct_world_shard", "a field of b", t))
        return NULL;
    if (t->shape.rank < 1 || t->shape.dim[0] != b->rows) {
        ct_raise(CT_ERR_SHAPE, "ct_world_shard",
                 "b has %lld rows, and its field is %s: it cannot be cut into shards",
                 (long long)b->rows, cti_describe(t).s);
        return NULL;
    }
    return ct_narrow(t, 0, from, rows);
}

/* The sum of the lengths t, which must be (rows), i32 and on the CPU; otherwise -1. */
static int64_t shards_lengths(const ct_tensor *t)
{
    int64_t sum = 0;

    if (t->dtype != CT_I32 || t->shape.rank != 1 || t->device != CT_CPU || !t->contiguous)
        return -1;
    for (int64_t i = 0; i < t->numel; i++)
        sum += ((const int32_t *)(const void *)cti_data(t))[i];
    return sum;
}

/* The number of tokens of rows `from` to `to` - 1. */
static int64_t shards_tokens(const ct_batch *b, const ct_batch *part, int64_t from, int64_t to)
{
    for (int i = 0; i < b->field_count; i++) {
        const size_t n = strlen(b->names[i]);

        if (n > 8 && strcmp(b->names[i] + n - 8, "_lengths") == 0 &&
            shards_lengths(b->fields[i]) == b->tokens)
            return shards_lengths(part->fields[i]);
    }
    if (b->tokens % b->rows == 0)
        return b->tokens / b->rows * (to - from);
    return b->tokens * to / b->rows - b->tokens * from / b->rows;
}

/* Fills in *part with the rows of a shard. Returns false with an error. */
static bool shards_cut(const ct_world *w, const ct_batch *b, int shard, ct_batch *part)
{
    const int64_t from = shard * b->rows / w->shards, to = (shard + 1) * b->rows / w->shards;
    ct_tensor **fields = NULL;

    *part = *b;
    part->rows = to - from;
    if (b->field_count) {
        fields = cti_scope_alloc("ct_world_shard", (size_t)b->field_count * sizeof(ct_tensor *));
        if (!fields)
            return false;
        part->fields = fields;
    } else {
        part->x = b->x ? shards_rows_of(b, b->x, from, to - from) : NULL;
        part->y = b->y ? shards_rows_of(b, b->y, from, to - from) : NULL;
    }
    for (int i = 0; i < b->field_count; i++) {
        fields[i] = shards_rows_of(b, b->fields[i], from, to - from);
        if (!fields[i])
            return false;
        if (strcmp(b->names[i], "x") == 0)
            part->x = fields[i];
        if (strcmp(b->names[i], "y") == 0)
            part->y = fields[i];
    }
    part->tokens = shards_tokens(b, part, from, to);
    return ct_ok();
}

/* ---- a step ---- */

/* Ends the step. The next step draws other random numbers. */
static void shards_end(ct_world *w)
{
    cti_world_step *s = &w->step;

    if (s->params && !shards_are_one(w)) {
        s->generator.position += SHARD_DRAWS;
        *ct_params_generator(s->params) = s->generator;
    }
    buffers_drop(s);
    s->params = NULL;
    s->batch = NULL;
    s->current = -1;
    s->forward_only = s->more = false;
}

static bool shards_begin(ct_world *w, ct_params *params, const ct_batch *b)
{
    cti_world_step *s = &w->step;

    if (b->rows < 1) {
        ct_raise(CT_ERR_ARGUMENT, "ct_world_shard", "b has no rows");
        return false;
    }
    *s = (cti_world_step){ .params = params,
                           .batch = b,
                           .rows = b->rows,
                           .next = w->first,
                           .added = w->first,
                           .current = -1,
                           .stop = s->stop,
                           .forward_only = s->forward_only,
                           .more = s->more,
                           .generator = *ct_params_generator(params),
                           .loss = NAN };
    return shards_are_one(w) || buffers_keep(w);
}

/* Adds the shard in progress to the sum. */
static void shards_finish_current(ct_world *w)
{
    if (w->step.current >= 0 && ct_ok() && !shards_are_one(w))
        shards_flush(w);
    if (ct_ok())
        w->step.current = -1;
}

/* The next shard of this rank that has rows, or -1. */
static int shards_next(ct_world *w)
{
    cti_world_step *s = &w->step;

    while (s->next < w->end && ct_ok()) {
        const int shard = s->next++;

        if ((shard + 1) * s->rows / w->shards > shard * s->rows / w->shards)
            return shard;
    }
    return -1;
}

static void shards_prepare(ct_world *w, int shard)
{
    cti_world_step *s = &w->step;
    char name[40];

    snprintf(name, sizeof name, "shard %d", shard);
    memset(s->own, 0, sizeof s->own);
    s->own[CTI_SUM_SHARDS] = 1;
    s->current = shard;
    w->counts.shards++;
    if (shards_are_one(w))
        return;
    buffers_restore(w);
    *ct_params_generator(s->params) = ct_generator_stream(s->generator, name);
    ct_params_generator(s->params)->position = s->generator.position;
}

bool ct_world_shard(ct_world *world, ct_params *params, const ct_batch *b, ct_batch *part)
{
    static const char *const me = "ct_world_shard";
    ct_world *w = shards_world(me, world);
    int shard;

    if (part)
        memset(part, 0, sizeof *part);
    if (!cti_sink_allowed() || !cti_given(me, "params", params) || !cti_given(me, "b", b) ||
        !cti_given(me, "part", part) || !w || !cti_world_usable(w, me))
        return false;
    if (w->step.params && (w->step.params != params || w->step.batch != b)) {
        ct_raise(CT_ERR_ARGUMENT, me, "the shards of another batch are not reduced yet");
        return false;
    }
    if (!w->step.params && !shards_begin(w, params, b))
        return false;
    shards_finish_current(w);
    shard = shards_next(w);
    if (shard < 0 || !ct_ok())
        return false;
    if (shards_are_one(w))
        *part = *b;
    else if (!shards_cut(w, b, shard, part))
        return false;
    w->counts.rows += (uint64_t)part->rows;
    shards_prepare(w, shard);
    return ct_ok();
}

int ct_world_current_shard(const ct_world *w)
{
    return w && w->step.current > 0 ? w->step.current : 0;
}

double *cti_world_number(ct_world *w, int i)
{
    return &w->step.own[i];
}

/* Checks that a shard is in progress. Returns false with an error if not. */
static bool shards_are_open(const char *function, const ct_world *w)
{
    if (!cti_sink_allowed())
        return false;
    if (w->step.params && w->step.current >= 0)
        return true;
    ct_raise(CT_ERR_ARGUMENT, function, "no shard is in progress; call ct_world_shard first");
    return false;
}

ct_status ct_world_backward(ct_world *world, ct_tensor *mean_loss, double count)
{
    static const char *const me = "ct_world_backward";
    ct_world *w = shards_world(me, world);
    double *own = w ? w->step.own : NULL;

    if (!w || !cti_usable(me, mean_loss) || !shards_are_open(me, w))
        return ct_error();
    if (!(count > 0 && count < INFINITY))
        return ct_raise(CT_ERR_ARGUMENT, me, "count is %g; it must be finite and above 0", count);
    if (mean_loss->numel != 1)
        return ct_raise(CT_ERR_SHAPE, me, "mean_loss is %s; it must have one element",
                        cti_describe(mean_loss).s);
    if (own[CTI_SUM_COUNT] > 0)
        return ct_raise(CT_ERR_ARGUMENT, me, "the shard has been given its loss before");
    w->step.loss = ct_item(mean_loss);
    own[CTI_SUM_COUNT] = count;
    own[CTI_SUM_LOSS] = count * w->step.loss;
    if (shards_are_one(w))
        return ct_backward(mean_loss);
    return ct_backward_with(mean_loss,
                            ct_full(mean_loss->shape, count, mean_loss->dtype, mean_loss->device));
}

ct_status ct_world_add(ct_world *world, int i, double value)
{
    ct_world *w = shards_world("ct_world_add", world);

    if (!w || !shards_are_open("ct_world_add", w))
        return ct_error();
    if (i < 0 || i >= CT_WORLD_NUMBERS)
        return ct_raise(CT_ERR_ARGUMENT, "ct_world_add", "i is %d; it must be in 0..%d", i,
                        CT_WORLD_NUMBERS - 1);
    w->step.own[i] += value;
    return CT_OK;
}

double ct_world_sum(const ct_world *w, int i)
{
    if (!w)
        w = cti_thread()->world;
    if (i < 0 || i >= CT_WORLD_NUMBERS)
        return NAN;
    return w ? w->step.own[i] : 0;
}

/* Checks that all shards of this rank are done. Returns false with an error. */
static bool shards_are_done(const char *function, ct_world *w)
{
    if (ct_ok() && !w->step.params)
        ct_raise(CT_ERR_ARGUMENT, function, "no batch was cut; call ct_world_shard first");
    if (ct_ok() && w->step.next < w->end)
        ct_raise(CT_ERR_ARGUMENT, function, "shard %d was not computed", w->step.next);
    if (ct_ok() && w->step.current >= 0)
        shards_finish_current(w);
    return ct_ok();
}

static void shards_sum(const char *function, ct_world *w)
{
    cti_sum_memory sum;

    shards_add_empty(w, w->end);
    if (!ct_ok())
        return;
    sum = cti_sum_all(w, function, &w->step.stop);
    if (sum.bytes)
        shards_take(w, sum);
    else if (ct_ok())
        ct_raise(CT_ERR_ARGUMENT, function, "no shard has rows");
}

ct_status ct_world_reduce(ct_world *world, double *loss)
{
    static const char *const me = "ct_world_reduce";
    ct_world *w = shards_world(me, world);

    cti_sink_allowed();
    if (loss)
        *loss = NAN;
    if (!w)
        return ct_error();
    if (shards_are_done(me, w) && !shards_are_one(w))
        shards_sum(me, w);
    if (!ct_ok()) {
        cti_world_tell_error(w);
        cti_sum_drop_total(w);
    }
    shards_end(w);
    if (loss && ct_ok())
        *loss = w->step.loss;
    return ct_error();
}

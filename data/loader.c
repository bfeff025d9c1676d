/* loader.c - windows, the sequential and the random iterator.
 *
 * All three cut a batch the same way: row r of x is T ids from some place on, row r of y the T
 * that begin one later. They differ in the place (row_start) and in what an epoch draws. */
#include "tensor/internal.h"

#include <cotangent/data/loader.h>

#include "tensor/host.h"

#include <stdio.h>
#include <string.h>

typedef enum kind { WINDOWS, SEQUENTIAL, RANDOM } kind;

struct ct_loader {
    const ct_corpus *corpus;
    kind kind;
    int64_t batch, steps;
    int64_t first;         /* windows: number of the part's first */
    ct_device device;
    ct_generator stream;   /* the loader's own; an epoch draws from a stream below it */
    int64_t fixed;         /* the offset set, or -1 */

    int64_t epoch;         /* begun so far */
    int64_t offset;        /* of the current epoch */
    int64_t rows;          /* in all batches of an epoch; sequential: columns of a row */
    int64_t batches, next; /* of an epoch; the number of the one to give */
    int64_t *order;        /* of the rows, for those that shuffle; else NULL */
    int32_t *x, *y;        /* a batch on its way to the device */
};

static const char *const names[] = { "ct_windows_new", "ct_sequences_new", "ct_sequences_new" };

/* ---- an epoch ---- */

/* Rows and batches at the loader's offset. */
static void measure(ct_loader *l)
{
    int64_t tokens = ct_corpus_size(l->corpus) - l->offset - 1;

    if (l->kind == WINDOWS) {
        l->batches = (l->rows - 1) / l->batch + 1;
    } else if (l->kind == SEQUENTIAL) {
        l->rows = tokens / l->batch;
        l->batches = l->rows / l->steps;
    } else {
        l->rows = tokens / l->steps;
        l->batches = l->rows / l->batch;
    }
}

/* Offsets that an epoch chooses from: 0 .. offsets - 1. */
static int64_t offsets(const ct_loader *l)
{
    return l->kind == SEQUENTIAL ? l->steps + 1 : l->kind == RANDOM ? l->steps : 1;
}

/* Each epoch has a stream of its own, so that none depends on what the ones before drew. */
static void draw(ct_loader *l)
{
    ct_generator g;
    char name[40];
    int64_t i;

    snprintf(name, sizeof name, "epoch %lld", (long long)l->epoch);
    g = ct_generator_named(l->stream, name);
    l->offset = (int64_t)ct_random_below(&g, (uint64_t)offsets(l));
    if (l->fixed >= 0)
        l->offset = l->fixed;
    measure(l);
    if (!l->order)
        return;
    for (i = 0; i < l->rows; i++)
        l->order[i] = i;
    ct_shuffle(l->order, l->rows, &g);
}

ct_status ct_loader_begin(ct_loader *l)
{
    if (!cti_sink_allowed())
        return ct_error();
    if (!l)
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_begin", "l is NULL");
    draw(l);
    l->epoch++;
    l->next = 0;
    return CT_OK;
}

/* ---- a batch ---- */

/* Where row r of the next batch begins, as an index into the ids. */
static int64_t row_start(const ct_loader *l, int64_t r)
{
    int64_t row = l->next * l->batch + r;

    if (l->kind == SEQUENTIAL)
        return l->offset + r * l->rows + l->next * l->steps;
    if (l->order)
        row = l->order[row];
    return l->kind == WINDOWS ? l->first + row : l->offset + row * l->steps;
}

/* Rows of the next batch: the last one of windows may be smaller. */
static int64_t batch_rows(const ct_loader *l)
{
    int64_t left = l->rows - l->next * l->batch;

    return l->kind == WINDOWS && left < l->batch ? left : l->batch;
}

bool ct_loader_next(ct_loader *l, ct_batch *batch)
{
    int64_t rows, r;
    ct_shape shape;

    if (batch)
        memset(batch, 0, sizeof *batch);
    if (!cti_sink_allowed())
        return false;
    if (!l || !batch || !l->epoch) {
        ct_raise(CT_ERR_ARGUMENT, "ct_loader_next", "%s",
                 !l ? "l is NULL" : !batch ? "batch is NULL" : "no epoch was begun");
        return false;
    }
    if (l->next == l->batches)
        return false;
    rows = batch_rows(l);
    for (r = 0; r < rows; r++) {
        const int32_t *ids = ct_corpus_ids(l->corpus) + row_start(l, r);
        size_t bytes = (size_t)l->steps * sizeof *ids;

        memcpy(l->x + r * l->steps, ids, bytes);
        memcpy(l->y + r * l->steps, ids + 1, bytes);
    }
    shape = CT_SHAPE(rows, l->steps);
    batch->x = ct_from_data(l->x, shape, CT_I32, l->device);
    batch->y = ct_from_data(l->y, shape, CT_I32, l->device);
    if (!batch->x || !batch->y)
        return false;
    batch->tokens = rows * l->steps;
    batch->continues = l->kind == SEQUENTIAL && l->next > 0;
    l->next++;
    return true;
}

/* ---- making one ---- */

void ct_loader_free(ct_loader *l)
{
    if (!l)
        return;
    cti_release(l->order);
    cti_release(l->x);
    cti_release(l->y);
    cti_release(l);
}

static bool check_sizes(const char *function, const ct_corpus *corpus, int64_t batch, int64_t steps)
{
    if (!corpus) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, function, "corpus is NULL");
        return false;
    }
    if (batch >= 1 && steps >= 1)
        return true;
    ct_raise(CT_ERR_ARGUMENT, function, "batch_size %lld, steps %lld: below 1", (long long)batch,
             (long long)steps);
    return false;
}

/* A copy of draft, whose sizes fit the corpus, with its buffers: order for so many rows. */
static ct_loader *new_loader(const ct_loader *draft, int64_t order_rows)
{
    const char *function = names[draft->kind];
    size_t rows = (size_t)draft->batch;
    ct_loader *l = cti_calloc(1, sizeof *l);

    if (draft->kind == WINDOWS && draft->rows < draft->batch)
        rows = (size_t)draft->rows;
    if (l) {
        *l = *draft;
        if (rows <= SIZE_MAX / (size_t)l->steps) {
            l->x = cti_calloc(rows * (size_t)l->steps, sizeof *l->x);
            l->y = cti_calloc(rows * (size_t)l->steps, sizeof *l->y);
        }
        if (order_rows)
            l->order = cti_calloc((size_t)order_rows, sizeof *l->order);
    }
    if (!l || !l->x || !l->y || (order_rows && !l->order)) {
        ct_raise(CT_ERR_MEMORY, function, "out of memory (batches of %zu x %lld)", rows,
                 (long long)draft->steps);
        ct_loader_free(l);
        return NULL;
    }
    l->fixed = -1;
    measure(l);
    return l;
}

ct_loader *ct_windows_new(const ct_corpus *corpus, ct_windows_options o)
{
    ct_loader draft = { .corpus = corpus, .kind = WINDOWS, .batch = o.batch_size, .steps = o.steps,
                        .first = o.first, .rows = o.count, .device = o.device };
    const char *function = names[WINDOWS];
    int64_t windows;

    if (!check_sizes(function, corpus, o.batch_size, o.steps))
        return NULL;
    if (o.first < 0 || o.count < 1) {
        ct_raise(CT_ERR_ARGUMENT, function, "first %lld is below 0, or count %lld below 1",
                 (long long)o.first, (long long)o.count);
        return NULL;
    }
    windows = ct_corpus_size(corpus) - o.steps; /* one starts at each token that has a last one */
    if (o.first >= windows) {
        ct_raise(CT_ERR_SHAPE, function,
                 "%lld tokens are too short for a window of %lld + 1 from token %lld on",
                 (long long)ct_corpus_size(corpus), (long long)o.steps, (long long)o.first);
        return NULL;
    }
    if (draft.rows > windows - o.first)
        draft.rows = windows - o.first;
    draft.stream = ct_generator_named(ct_generator_seed(o.seed), "loader.windows");
    return new_loader(&draft, o.shuffle ? draft.rows : 0);
}

ct_loader *ct_sequences_new(const ct_corpus *corpus, ct_sequences_options o)
{
    ct_loader draft = { .corpus = corpus, .kind = o.random ? RANDOM : SEQUENTIAL,
                        .batch = o.batch_size, .steps = o.steps, .device = o.device };
    int64_t size = ct_corpus_size(corpus);
    double need;

    if (!check_sizes(names[draft.kind], corpus, o.batch_size, o.steps))
        return NULL;
    /* a batch, its last row's one token more, and the largest offset; as a double, since the sizes
     * may be absurd */
    need = (double)o.batch_size * (double)o.steps + 1 + (double)o.steps - (o.random ? 1 : 0);
    if ((double)size < need) {
        ct_raise(CT_ERR_SHAPE, names[draft.kind],
                 "%lld tokens are too short for a batch of %lld x %lld: it takes %.0f",
                 (long long)size, (long long)o.batch_size, (long long)o.steps, need);
        return NULL;
    }
    draft.stream = ct_generator_named(ct_generator_seed(o.seed),
                                      o.random ? "loader.random" : "loader.sequential");
    return new_loader(&draft, o.random ? (size - 1) / o.steps : 0);
}

/* ---- access ---- */

int64_t ct_loader_batches(const ct_loader *l)
{
    return l ? l->batches : 0;
}

int64_t ct_loader_tokens(const ct_loader *l)
{
    if (!l)
        return 0;
    return l->steps * (l->kind == WINDOWS ? l->rows : l->batches * l->batch);
}

ct_status ct_loader_set_offset(ct_loader *l, int64_t offset)
{
    if (!l && !ct_ok())
        return ct_error();
    if (!l)
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_set_offset", "l is NULL");
    if (l->kind == WINDOWS)
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_set_offset", "windows have no offset");
    if (offset < -1 || offset >= offsets(l))
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_set_offset", "offset %lld is not in 0..%lld",
                        (long long)offset, (long long)offsets(l) - 1);
    l->fixed = offset;
    return CT_OK;
}

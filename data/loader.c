/* loader.c - windows, the sequential and the random iterator; tensor_loader.c has loaders of
 * numbers. All build a batch in the same way: row r of x is a piece of the data from some index,
 * and row r of y is a piece at a fixed distance from it. Of a corpus these are T ids, and the T ids
 * that begin one later. The loaders differ in the index (loader_row_start) and in what an epoch
 * draws. */
#include "tensor/internal.h"

#include "data/internal.h"
#include "tensor/hooks.h"

#include <stdio.h>
#include <string.h>

/* ---- an epoch ---- */

/* Rows and batches at the loader's offset. */
static void loader_measure(ct_loader *l)
{
    int64_t tokens = l->size - l->offset - 1;

    if (l->cut == CTI_WINDOWS) {
        l->batches = (l->rows - 1) / l->batch + 1;
    } else if (l->cut == CTI_SEQUENTIAL) {
        l->rows = tokens / l->batch;
        l->batches = l->rows / l->steps;
    } else {
        l->rows = tokens / l->steps;
        l->batches = l->rows / l->batch;
    }
}

/* The number of offsets that an epoch draws from: 0 to this - 1. */
static int64_t loader_offsets(const ct_loader *l)
{
    return l->cut == CTI_SEQUENTIAL ? l->steps + 1 : l->cut == CTI_RANDOM ? l->steps : 1;
}

/* Each epoch has a random stream of its own, so that it does not depend on the draws of earlier
 * epochs. offset: the offset, or -1 to draw it. */
static void loader_draw(ct_loader *l, int64_t offset)
{
    ct_generator g;
    char name[40];
    int64_t i;

    snprintf(name, sizeof name, "epoch %lld", (long long)l->epoch);
    g = ct_generator_stream(l->stream, name);
    l->offset = (int64_t)ct_random_below(&g, (uint64_t)loader_offsets(l));
    if (offset >= 0)
        l->offset = offset;
    loader_measure(l);
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
    loader_draw(l, l->fixed);
    l->epoch++;
    l->next = 0;
    l->ahead[0].batch = l->ahead[1].batch = -1;
    return CT_OK;
}

/* ---- a batch ---- */

/* The index of the first id of row r of a batch. */
static int64_t loader_row_start(const ct_loader *l, int64_t batch, int64_t r)
{
    int64_t row = batch * l->batch + r;

    if (l->cut == CTI_SEQUENTIAL)
        return l->offset + r * l->rows + batch * l->steps;
    if (l->order)
        row = l->order[row];
    return l->cut == CTI_WINDOWS ? l->first + row : l->offset + row * l->steps;
}

/* The last batch of windows may be smaller. */
int64_t cti_loader_rows(const ct_loader *l, int64_t batch)
{
    int64_t left = l->rows - batch * l->batch;

    return l->cut == CTI_WINDOWS && left < l->batch ? left : l->batch;
}

void cti_loader_gather(const ct_loader *l, cti_side *side, int64_t batch, int64_t rows)
{
    int64_t r;

    for (r = 0; r < rows; r++)
        memcpy(side->buffer + (size_t)r * side->row_bytes,
               side->from + (size_t)loader_row_start(l, batch, r) * side->unit, side->row_bytes);
}

/* x or y of the next batch, (rows, ...) */
static ct_tensor *loader_side(const ct_loader *l, cti_side *side, int64_t rows)
{
    cti_loader_gather(l, side, l->next, rows);
    side->shape.dim[0] = rows;
    return ct_from_data(side->buffer, side->shape, side->dtype, l->device);
}

static bool loader_next_here(ct_loader *l, ct_batch *batch, int64_t rows)
{
    batch->x = loader_side(l, &l->x, rows);
    batch->y = loader_side(l, &l->y, rows);
    return batch->x && batch->y;
}

bool ct_loader_next(ct_loader *l, ct_batch *batch)
{
    const cti_backend *be;
    int64_t rows;

    if (batch)
        memset(batch, 0, sizeof *batch);
    if (!cti_sink_allowed())
        return false;
    if (!l || !batch || !l->epoch) {
        ct_raise(CT_ERR_ARGUMENT, "ct_loader_next", "%s",
                 !l       ? "l is NULL"
                 : !batch ? "batch is NULL"
                          : "ct_loader_begin was not called");
        return false;
    }
    if (l->next == l->batches)
        return false;
    be = cti_backend_of(l->device);
    if (!be) {
        ct_raise(CT_ERR_DEVICE, "ct_loader_next", "there is no device %d", l->device);
        return false;
    }
    rows = cti_loader_rows(l, l->next);
    if (be->async ? !cti_ahead_next(l, batch) : !loader_next_here(l, batch, rows))
        return false;
    batch->tokens = rows * l->row_tokens;
    batch->continues = l->cut == CTI_SEQUENTIAL && l->next > 0;
    l->next++;
    return true;
}

/* ---- making one ---- */

void ct_loader_free(ct_loader *l)
{
    if (!l)
        return;
    cti_ahead_free(l);
    cti_release(l->order);
    cti_release(l->x.buffer);
    cti_release(l->y.buffer);
    cti_release(l->values[0]);
    cti_release(l->values[1]);
    cti_release(l);
}

static bool loader_buffer(cti_side *side, int64_t rows)
{
    if (side->row_bytes && (size_t)rows > SIZE_MAX / side->row_bytes)
        return false;
    side->buffer = cti_calloc((size_t)rows, side->row_bytes ? side->row_bytes : 1);
    return side->buffer != NULL;
}

ct_loader *cti_loader_new(const ct_loader *draft, int64_t order_rows)
{
    ct_loader *l = cti_calloc(1, sizeof *l);
    int64_t rows = draft->batch;

    if (draft->cut == CTI_WINDOWS && draft->rows < rows)
        rows = draft->rows;
    if (l) {
        *l = *draft;
        l->x.buffer = l->y.buffer = NULL;
        l->most_rows = rows;
        if (order_rows)
            l->order = cti_calloc((size_t)order_rows, sizeof *l->order);
    } else {
        cti_release(draft->values[0]);
        cti_release(draft->values[1]);
    }
    if (!l || (order_rows && !l->order) || !loader_buffer(&l->x, rows) ||
        !loader_buffer(&l->y, rows)) {
        ct_raise(CT_ERR_MEMORY, draft->function, "out of memory (batches of %lld x %lld)",
                 (long long)rows, (long long)draft->steps);
        ct_loader_free(l);
        return NULL;
    }
    l->fixed = -1;
    loader_measure(l);
    return l;
}

/* ---- of a corpus ---- */

static bool loader_check_sizes(const char *function, const ct_corpus *corpus, int64_t batch,
                               int64_t steps)
{
    if (!corpus) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, function, "corpus is NULL");
        return false;
    }
    return cti_at_least(function, "batch_size", batch, 1) &&
           cti_at_least(function, "steps", steps, 1);
}

/* A loader over the ids of a corpus: x and y are (B, T), y shifted by one id. */
static ct_loader *loader_from_corpus(ct_loader *draft, const ct_corpus *corpus, uint64_t seed,
                                     const char *stream, int64_t order_rows)
{
    const int32_t *ids = ct_corpus_ids(corpus);

    draft->size = ct_corpus_size(corpus);
    draft->row_tokens = draft->steps;
    draft->stream = ct_generator_stream(ct_generator_from_seed(seed), stream);
    draft->x = (cti_side){ .from = (const char *)ids,
                           .unit = sizeof *ids,
                           .row_bytes = (size_t)draft->steps * sizeof *ids,
                           .shape = CT_SHAPE(0, draft->steps),
                           .dtype = CT_I32 };
    draft->y = draft->x;
    draft->y.from = (const char *)(ids + 1);
    return cti_loader_new(draft, order_rows);
}

ct_loader *ct_loader_windows_new(const ct_corpus *corpus, ct_loader_windows_options o)
{
    ct_loader draft = { .function = "ct_loader_windows_new",
                        .kind = "windows",
                        .cut = CTI_WINDOWS,
                        .batch = o.batch_size,
                        .steps = o.steps,
                        .first = o.first,
                        .rows = o.count,
                        .device = o.device };
    int64_t windows;

    if (!loader_check_sizes(draft.function, corpus, o.batch_size, o.steps))
        return NULL;
    if (!cti_at_least(draft.function, "first", o.first, 0) ||
        !cti_at_least(draft.function, "count", o.count, 0))
        return NULL;
    windows =
        ct_corpus_size(corpus) - o.steps; /* one begins at each token that enough tokens follow */
    if (o.first >= windows) {
        ct_raise(CT_ERR_SHAPE, draft.function,
                 "%lld tokens are too few for a window of %lld + 1 from token %lld",
                 (long long)ct_corpus_size(corpus), (long long)o.steps, (long long)o.first);
        return NULL;
    }
    if (draft.rows == 0 || draft.rows > windows - o.first)
        draft.rows = windows - o.first;
    return loader_from_corpus(&draft, corpus, o.seed, "loader.windows", o.shuffle ? draft.rows : 0);
}

ct_loader *ct_loader_sequences_new(const ct_corpus *corpus, ct_loader_sequences_options o)
{
    ct_loader draft = { .function = "ct_loader_sequences_new",
                        .kind = o.random ? "random" : "sequential",
                        .cut = o.random ? CTI_RANDOM : CTI_SEQUENTIAL,
                        .batch = o.batch_size,
                        .steps = o.steps,
                        .device = o.device };
    int64_t size = ct_corpus_size(corpus);
    double need;

    if (!loader_check_sizes(draft.function, corpus, o.batch_size, o.steps))
        return NULL;
    /* a batch, one more token for its last row, and the largest offset; as a double, since the
     * product may overflow an integer */
    need = (double)o.batch_size * (double)o.steps + 1 + (double)o.steps - (o.random ? 1 : 0);
    if ((double)size < need) {
        ct_raise(CT_ERR_SHAPE, draft.function,
                 "%lld tokens are too few for a batch of %lld x %lld, which needs %.0f",
                 (long long)size, (long long)o.batch_size, (long long)o.steps, need);
        return NULL;
    }
    return loader_from_corpus(&draft, corpus, o.seed,
                              o.random ? "loader.random" : "loader.sequential",
                              o.random ? (size - 1) / o.steps : 0);
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
    return l->row_tokens * (l->cut == CTI_WINDOWS ? l->rows : l->batches * l->batch);
}

bool cti_loader_has_tokens(const ct_loader *l)
{
    return l && !l->values[0];
}

bool ct_loader_continues(const ct_loader *l)
{
    return l && l->cut == CTI_SEQUENTIAL;
}

/* ---- for checkpoints ---- */

ct_loader_cursor ct_loader_tell(const ct_loader *l)
{
    return l ? (ct_loader_cursor){ l->epoch, l->next, l->offset } : (ct_loader_cursor){ 0, 0, 0 };
}

bool cti_loader_fits(const ct_loader *l, ct_loader_cursor at)
{
    ct_loader there = *l;

    if (at.epoch < 0 || at.batch < 0 || at.offset < 0 || at.offset >= loader_offsets(l))
        return false;
    there.offset = at.offset;
    loader_measure(&there);
    return at.batch <= (at.epoch ? there.batches : 0);
}

ct_status ct_loader_seek(ct_loader *l, ct_loader_cursor at)
{
    static const char *const me = "ct_loader_seek";

    if (!cti_sink_allowed())
        return ct_error();
    if (!l)
        return ct_raise(CT_ERR_ARGUMENT, me, "l is NULL");
    if (!cti_loader_fits(l, at))
        return ct_raise(CT_ERR_ARGUMENT, me,
                        "epoch %lld, batch %lld, offset %lld is not a position of this loader",
                        (long long)at.epoch, (long long)at.batch, (long long)at.offset);
    l->epoch = at.epoch;
    if (at.epoch) {
        l->epoch--;
        loader_draw(l, at.offset);
        l->epoch++;
    }
    l->next = at.batch;
    l->ahead[0].batch = l->ahead[1].batch = -1;
    return CT_OK;
}

/* The bytes that the rows of one side are taken from. */
static size_t loader_extent(const ct_loader *l, const cti_side *side, const char **from)
{
    *from = side->from;
    if (l->cut != CTI_WINDOWS)
        return (size_t)(l->size - (side == &l->y)) * side->unit;
    *from += (size_t)l->first * side->unit;
    return (size_t)(l->rows - 1) * side->unit + side->row_bytes;
}

/* "i32 [*,35]": a side's rows, of which a batch has any number. */
static void loader_describe_side(const cti_side *side, cti_buffer *b)
{
    cti_buffer_print(b, "%s [*", ct_dtype_name(side->dtype));
    for (int i = 1; i < side->shape.rank; i++)
        cti_buffer_print(b, ",%lld", (long long)side->shape.dim[i]);
    cti_buffer_print(b, "]");
}

void cti_loader_describe(const ct_loader *l, cti_entries *e)
{
    char hex[2][65], both[65];

    for (int i = 0; i < 2; i++) {
        const char *from;
        size_t bytes = loader_extent(l, i ? &l->y : &l->x, &from);

        ct_sha256_hex(from, bytes, hex[i]);
    }
    ct_sha256_hex(hex, sizeof hex, both);
    cti_buffer_print(cti_entries_add(e, "kind"), "%s", l->kind);
    cti_buffer_print(cti_entries_add(e, "batch_size"), "%lld", (long long)l->batch);
    cti_buffer_print(cti_entries_add(e, "steps"), "%lld", (long long)l->steps);
    if (l->cut == CTI_WINDOWS) {
        cti_buffer_print(cti_entries_add(e, "first"), "%lld", (long long)l->first);
        cti_buffer_print(cti_entries_add(e, "count"), "%lld", (long long)l->rows);
    } else {
        cti_buffer_print(cti_entries_add(e, "offset"), "%lld", (long long)l->fixed);
    }
    loader_describe_side(&l->x, cti_entries_add(e, "x"));
    loader_describe_side(&l->y, cti_entries_add(e, "y"));
    cti_buffer_print(cti_entries_add(e, "shuffle"), l->order ? "true" : "false");
    cti_buffer_print(cti_entries_add(e, "seed"), "%llu", (unsigned long long)l->stream.seed);
    cti_buffer_print(cti_entries_add(e, "stream"), "%016llx", (unsigned long long)l->stream.stream);
    cti_buffer_print(cti_entries_add(e, "data"), "%s", strcmp(hex[0], hex[1]) ? both : hex[0]);
}

ct_status ct_loader_set_offset(ct_loader *l, int64_t offset)
{
    if (!l && !ct_ok())
        return ct_error();
    if (!l)
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_set_offset", "l is NULL");
    if (l->cut == CTI_WINDOWS)
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_set_offset",
                        "a loader of windows has no offset");
    if (offset < -1 || offset >= loader_offsets(l))
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_set_offset",
                        "offset is %lld; it must be in -1..%lld", (long long)offset,
                        (long long)loader_offsets(l) - 1);
    l->fixed = offset;
    return CT_OK;
}

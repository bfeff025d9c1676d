/* SPDX-License-Identifier: MIT */
/* loader.c - the common part of all loaders (epochs, batches, positions), and the loader of any
 * dataset. A loader is a dataset and an order of its samples. text_loader.c and tensor_loader.c
 * make datasets of texts and of tensors, and loaders for these. */
#include "tensor/internal.h"

#include "data/internal.h"
#include "tensor/byte_order.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- an epoch ---- */

/* Computes the numbers of rows and batches for the loader's offset. */
static void loader_measure(ct_loader *l)
{
    int64_t tokens;

    if (l->cut == CTI_STREAM || l->cut == CTI_ZIP)
        return;
    tokens = l->data->count + l->steps - l->offset - 1; /* the tokens after the offset, without the
                                                         * last one */

    if (l->cut == CTI_ROWS) {
        l->batches = l->drop_last ? l->rows / l->batch : (l->rows - 1) / l->batch + 1;
    } else if (l->cut == CTI_SEQUENTIAL) {
        l->rows = tokens / l->batch;
        l->batches = l->rows / l->steps;
    } else {
        l->rows = tokens / l->steps;
        l->batches = l->rows / l->batch;
    }
}

/* Returns the number n of possible offsets; an epoch draws one from 0 to n - 1. */
static int64_t loader_offsets(const ct_loader *l)
{
    return l->cut == CTI_SEQUENTIAL ? l->steps + 1 : l->cut == CTI_RANDOM ? l->steps : 1;
}

/* Draws the offset and order of an epoch. Each epoch has its own random stream, so that it does not
 * depend on the draws of earlier epochs. offset is -1 if it must be drawn. False with an error; the
 * epoch then has no batches. */
static bool loader_draw(ct_loader *l, int64_t offset)
{
    ct_generator g;
    char name[40];

    if (l->cut == CTI_STREAM)
        return cti_stream_begin(l, l->epoch);
    if (l->cut == CTI_ZIP)
        return cti_zip_go(l, l->epoch + 1, 0);
    if (l->workers)
        cti_workers_pause(l->workers);
    l->ahead[0].batch = l->ahead[1].batch = -1;
    snprintf(name, sizeof name, "epoch %lld", (long long)l->epoch);
    g = ct_generator_stream(l->stream, name);
    l->offset = (int64_t)ct_random_below(&g, (uint64_t)loader_offsets(l));
    if (offset >= 0)
        l->offset = offset;
    loader_measure(l);
    if (cti_loader_order(l, &g))
        return true;
    l->batches = 0;
    return false;
}

ct_status ct_loader_begin(ct_loader *l)
{
    if (!cti_sink_allowed())
        return ct_error();
    if (!l)
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_begin", "l is NULL");
    if (ct_loader_stop(l) != CT_OK)
        return ct_error();
    l->next = 0;
    if (!loader_draw(l, l->fixed))
        return ct_error();
    l->epoch++;
    if (l->workers)
        cti_workers_resume(l->workers, 0);
    return CT_OK;
}

/* ---- a batch ---- */

int64_t cti_loader_sample(const ct_loader *l, int64_t batch, int64_t r)
{
    int64_t row;

    if (l->cut == CTI_SEQUENTIAL)
        return l->offset + r * l->rows + batch * l->steps;
    row = (l->blocks ? l->blocks[batch] : batch) * l->batch + r;
    if (l->order)
        row = l->order[row];
    return l->cut == CTI_ROWS ? row : l->offset + row * l->steps;
}

/* The last batch of rows may be smaller. */
int64_t cti_loader_rows(const ct_loader *l, int64_t batch)
{
    int64_t left = l->rows - batch * l->batch;

    return l->cut == CTI_ROWS && left < l->batch ? left : l->batch;
}

const cti_load *cti_loader_take(ct_loader *l, int64_t batch)
{
    if (l->workers)
        return cti_workers_take(l->workers, batch);
    return cti_load_fill(&l->here, l, batch) ? &l->here : NULL;
}

void cti_loader_give_back(ct_loader *l, const cti_load *c)
{
    if (c != &l->here)
        cti_workers_give_back(l->workers);
}

/* The arrays to which the fields and names of a batch point. The batch's scope frees them. */
typedef struct loader_fields {
    ct_tensor *tensor[CTI_MAX_BATCH_FIELDS];
    const char *name[CTI_MAX_BATCH_FIELDS];
    char text[CTI_MAX_BATCH_FIELDS][CTI_LENGTHS_NAME];
} loader_fields;

bool cti_loader_give(const ct_loader *l, ct_batch *batch, ct_tensor *const *tensors)
{
    loader_fields *f = cti_scope_alloc("ct_loader_next", sizeof *f);

    if (!f)
        return false;
    for (int i = 0; i < l->entry_count; i++) {
        f->tensor[i] = tensors[i];
        f->name[i] = strcpy(f->text[i], l->entry[i].name);
        if (strcmp(f->name[i], "x") == 0)
            batch->x = tensors[i];
        if (strcmp(f->name[i], "y") == 0)
            batch->y = tensors[i];
    }
    batch->field_count = l->entry_count;
    batch->fields = f->tensor;
    batch->names = f->name;
    return true;
}

/* Returns the next batch on the CPU or on a synchronous device. */
static bool loader_next_here(ct_loader *l, ct_batch *batch)
{
    const cti_load *c = cti_loader_take(l, l->next);
    ct_tensor *tensors[CTI_MAX_BATCH_FIELDS];
    bool good = c != NULL;

    for (int i = 0; i < l->entry_count && good; i++) {
        ct_shape shape;
        ct_dtype dtype;
        const void *from = cti_loader_entry(l, c, i, &shape, &dtype);

        tensors[i] = ct_from_data(from, shape, dtype, l->device);
        good = tensors[i] != NULL;
    }
    if (good) {
        batch->rows = c->rows;
        batch->tokens = c->tokens;
    }
    if (c)
        cti_loader_give_back(l, c);
    return good && cti_loader_give(l, batch, tensors);
}

/* Returns the next batch in the innermost scope. */
static bool loader_next(ct_loader *l, ct_batch *batch)
{
    const cti_backend *be;

    if (l->next == l->batches)
        return false;
    be = cti_backend_of(l->device);
    if (!be) {
        ct_raise(CT_ERR_DEVICE, "ct_loader_next",
                 "device %d does not exist; use CT_CPU or ct_device_from_name", l->device);
        return false;
    }
    if (l->cut == CTI_STREAM ? !cti_stream_next(l, batch)
        : l->cut == CTI_ZIP  ? !cti_zip_next(l, batch)
        : be->async          ? !cti_ahead_next(l, batch)
                             : !loader_next_here(l, batch)) {
        memset(batch, 0, sizeof *batch);
        return false;
    }
    batch->continues = ct_loader_continues(l) && l->next > 0;
    l->next++;
    return true;
}

/* Clears *batch. False with an error if no further batch may be returned. */
static bool loader_may_go_on(const char *function, ct_loader *l, ct_batch *batch)
{
    if (batch)
        memset(batch, 0, sizeof *batch);
    if (!cti_sink_allowed())
        return false;
    if (!l || !batch || !l->epoch)
        ct_raise(CT_ERR_ARGUMENT, function, "%s",
                 !l       ? "l is NULL"
                 : !batch ? "batch is NULL"
                          : "ct_loader_begin was not called");
    return ct_ok();
}

bool ct_loader_next(ct_loader *l, ct_batch *batch)
{
    return loader_may_go_on("ct_loader_next", l, batch) && loader_next(l, batch);
}

ct_status ct_loader_stop(ct_loader *l)
{
    if (!l)
        return ct_ok() ? ct_raise(CT_ERR_ARGUMENT, "ct_loader_stop", "l is NULL") : ct_error();
    if (!l->in_scope)
        return CT_OK;
    l->in_scope = false;
    return cti_scope_is_open(l->scope) ? ct_scope_end(l->scope) : CT_OK;
}

bool ct_loader_step(ct_loader *l, ct_batch *batch)
{
    if (l)
        ct_loader_stop(l);
    if (!loader_may_go_on("ct_loader_step", l, batch))
        return false;
    l->scope = ct_scope_begin();
    l->in_scope = true;
    if (loader_next(l, batch))
        return true;
    ct_loader_stop(l);
    return false;
}

/* ---- making one ---- */

void ct_loader_free(ct_loader *l)
{
    if (!l)
        return;
    if (l->in_scope && cti_scope_is_open(l->scope))
        cti_scope_pop(l->scope);
    cti_workers_free(l->workers);
    cti_ahead_free(l);
    cti_load_free(&l->here);
    cti_stream_free(l->stream_writer);
    cti_zip_free(l->zip);
    ct_dataset_free(l->data);
    cti_release(l->sums);
    cti_release(l->order);
    cti_release(l->blocks);
    cti_release(l->sorted);
    cti_release(l);
}

/* Lists the tensors of a batch: the fields, and then the lengths of the sequences. */
static void loader_entries(ct_loader *l)
{
    const ct_dataset *d = l->data;

    for (int k = 0; k < d->field_count; k++) {
        cti_entry_of_batch *e = &l->entry[l->entry_count++];

        *e = (cti_entry_of_batch){ .field = k };
        strcpy(e->name, d->name[k]);
    }
    for (int k = 0; k < d->field_count; k++)
        if (cti_field_is_sequence(&d->field[k])) {
            cti_entry_of_batch *e = &l->entry[l->entry_count++];

            *e = (cti_entry_of_batch){ .field = k, .lengths = true };
            snprintf(e->name, sizeof e->name, "%s_lengths", d->name[k]);
        }
}

/* Allocates the memory of a loader; false if memory runs out. */
static bool loader_make_room(ct_loader *l, int64_t order_rows)
{
    int64_t sorted = l->rows;

    if (!cti_load_init(&l->here, l->data, l->most_rows))
        return false;
    if (order_rows && !(l->order = cti_calloc((size_t)order_rows, sizeof *l->order)))
        return false;
    if (!l->bucket)
        return true;
    if (l->bucket <= l->rows / l->batch)
        sorted = l->bucket * l->batch;
    l->blocks = cti_calloc((size_t)l->batches, sizeof *l->blocks);
    l->sorted = cti_calloc((size_t)sorted, sizeof *l->sorted);
    return l->blocks && l->sorted;
}

ct_loader *cti_loader_new(const ct_loader *draft, int64_t order_rows)
{
    ct_loader *l = cti_calloc(1, sizeof *l);
    int64_t rows = draft->batch;

    if (draft->cut == CTI_ROWS && draft->rows < rows)
        rows = draft->rows;
    if (l) {
        *l = *draft;
        l->most_rows = rows;
        l->fixed = -1;
        loader_entries(l);
        loader_measure(l);
    } else {
        ct_dataset_free(draft->data);
        cti_release(draft->sums);
    }
    if (!l || !loader_make_room(l, order_rows)) {
        ct_raise(CT_ERR_MEMORY, draft->function, "out of memory (batches of %lld x %lld)",
                 (long long)rows, (long long)draft->steps);
        ct_loader_free(l);
        return NULL;
    }
    return l;
}

/* ---- of a dataset ---- */

static bool loader_check_options(const char *function, const ct_dataset *d,
                                 const ct_loader_options *o)
{
    if (!cti_at_least(function, "batch_size", o->batch_size, 1) ||
        !cti_at_least(function, "samples", o->samples, 0) ||
        !cti_at_least(function, "bucket", o->bucket, 0) ||
        !cti_at_least(function, "workers", o->workers, 0) ||
        !cti_at_least(function, "prefetch", o->prefetch, 0))
        return false;
    if (o->samples && !o->weights) {
        ct_raise(CT_ERR_ARGUMENT, function, "samples is %lld, but there are no weights",
                 (long long)o->samples);
        return false;
    }
    if (o->workers > 64 || o->prefetch > 1024) {
        ct_raise(CT_ERR_ARGUMENT, function, "%s is %d; it must be in 0..%d",
                 o->workers > 64 ? "workers" : "prefetch",
                 o->workers > 64 ? o->workers : o->prefetch, o->workers > 64 ? 64 : 1024);
        return false;
    }
    if (!d->count) {
        ct_raise(CT_ERR_SHAPE, function, "the dataset %.100s has no samples", d->table->name);
        return false;
    }
    return true;
}

/* Finds the sequence that o->count names, and checks that a bucket has a sequence to sort by. */
static bool loader_check_sequences(ct_loader *draft, const ct_loader_options *o)
{
    const ct_dataset *d = draft->data;
    bool any = false;

    for (int k = 0; k < d->field_count; k++)
        any = any || cti_field_is_sequence(&d->field[k]);
    draft->counted = ct_dataset_field(d, o->count);
    if (o->count && (draft->counted < 0 || !cti_field_is_sequence(&d->field[draft->counted]))) {
        ct_raise(CT_ERR_ARGUMENT, draft->function,
                 "count is %s; it must name a field that is a sequence", cti_quote(o->count).s);
        return false;
    }
    if (o->bucket && !any) {
        ct_raise(CT_ERR_ARGUMENT, draft->function, "bucket is %lld, but no field is a sequence",
                 (long long)o->bucket);
        return false;
    }
    return true;
}

/* Sets draft->sums from the weights; false with an error. */
static bool loader_take_weights(ct_loader *draft, const ct_loader_options *o)
{
    double sum = 0;

    if (!o->weights)
        return true;
    draft->sums = cti_calloc((size_t)draft->data->count, sizeof *draft->sums);
    if (!draft->sums) {
        cti_out_of_memory(draft->function, (size_t)draft->data->count * sizeof *draft->sums);
        return false;
    }
    for (int64_t i = 0; i < draft->data->count; i++) {
        double w = o->weights[i];

        if (!(w >= 0) || !isfinite(w)) {
            ct_raise(CT_ERR_ARGUMENT, draft->function,
                     "weights[%lld] is %g; it must be at least 0 and finite", (long long)i, w);
            return false;
        }
        draft->sums[i] = sum += w;
    }
    if (!(sum > 0) || !isfinite(sum)) {
        ct_raise(CT_ERR_ARGUMENT, draft->function,
                 "the weights sum to %g; the sum must be finite and above 0", sum);
        return false;
    }
    draft->rows = o->samples ? o->samples : draft->data->count;
    return true;
}

/* Checks the options and completes the draft; false with an error. */
static bool loader_draft(ct_loader *draft, const ct_loader_options *o)
{
    if (!loader_check_options(draft->function, draft->data, o) ||
        !loader_check_sequences(draft, o) || !loader_take_weights(draft, o))
        return false;
    if (o->drop_last && draft->rows < o->batch_size) {
        ct_raise(CT_ERR_SHAPE, draft->function,
                 "%lld samples are too few for a batch of %lld, and drop_last is set",
                 (long long)draft->rows, (long long)o->batch_size);
        return false;
    }
    if (draft->rows > PTRDIFF_MAX / (int64_t)sizeof(cti_lengthy)) {
        cti_out_of_memory(draft->function, SIZE_MAX);
        return false;
    }
    return true;
}

ct_loader *ct_loader_new(ct_dataset *d, ct_loader_options o)
{
    static const char *const me = "ct_loader_new";
    ct_loader draft = { .function = me,
                        .kind = "dataset",
                        .batch = o.batch_size,
                        .steps = 1,
                        .row_tokens = 1,
                        .drop_last = o.drop_last,
                        .shuffle = o.shuffle,
                        .bucket = o.bucket,
                        .rows = ct_dataset_count(d),
                        .device = o.device };
    ct_loader *l;

    if (!cti_given(me, "d", d))
        return NULL;
    draft.data = d;
    if (!loader_draft(&draft, &o)) {
        cti_release(draft.sums);
        return NULL;
    }
    draft.stream = ct_generator_stream(ct_generator_from_seed(o.seed), "loader.rows");
    cti_dataset_ref(d);
    l = cti_loader_new(&draft, o.shuffle || o.weights || o.bucket ? draft.rows : 0);
    if (l && o.workers)
        l->workers = cti_workers_new(l, o.workers, o.prefetch ? o.prefetch : 2 * o.workers);
    return l;
}

/* ---- access ---- */

int64_t ct_loader_batches(const ct_loader *l)
{
    return l ? l->batches : 0;
}

/* Returns the sum of the lengths of a sequence in all batches of the epoch; 0 if length fails. */
static int64_t loader_counted(const ct_loader *l)
{
    int64_t sum = 0;

    for (int64_t b = 0; b < l->batches && l->epoch; b++)
        for (int64_t r = 0; r < cti_loader_rows(l, b); r++) {
            int64_t n = cti_dataset_length(l->data, cti_loader_sample(l, b, r), l->counted);

            if (n < 0)
                return 0;
            sum += n;
        }
    return sum;
}

int64_t ct_loader_tokens(const ct_loader *l)
{
    if (!l)
        return 0;
    if (l->cut == CTI_STREAM || l->cut == CTI_ZIP)
        return 0;
    if (l->counted >= 0)
        return loader_counted(l);
    return l->row_tokens * (l->cut == CTI_ROWS && !l->drop_last ? l->rows : l->batches * l->batch);
}

bool cti_loader_has_tokens(const ct_loader *l)
{
    return l && l->has_tokens;
}

bool cti_loader_at_end(const ct_loader *l)
{
    return l->next == l->batches;
}

bool ct_loader_continues(const ct_loader *l)
{
    return l && (l->cut == CTI_SEQUENTIAL || l->continues);
}

/* ---- for checkpoints ---- */

ct_loader_cursor ct_loader_tell(const ct_loader *l)
{
    return l ? (ct_loader_cursor){ l->epoch, l->next, l->offset } : (ct_loader_cursor){ 0, 0, 0 };
}

/* Returns the most batches of an epoch that begins at an offset. */
static int64_t loader_batches_from(const ct_loader *l, int64_t offset)
{
    ct_loader there = *l;

    if (l->cut == CTI_STREAM)
        return cti_stream_batches(l);
    if (l->cut == CTI_ZIP)
        return cti_zip_most_batches(l);
    there.offset = offset;
    loader_measure(&there);
    return there.batches;
}

int64_t cti_loader_most_batches(const ct_loader *l)
{
    return loader_batches_from(l, 0);
}

bool cti_loader_fits(const ct_loader *l, ct_loader_cursor at)
{
    if (at.epoch < 0 || at.batch < 0 || at.offset < 0 || at.offset >= loader_offsets(l))
        return false;
    return at.batch <= (at.epoch ? loader_batches_from(l, at.offset) : 0);
}

static ct_status loader_refuse_cursor(const char *function, const ct_loader *l, ct_loader_cursor at)
{
    const bool outside = at.offset < 0 || at.offset >= loader_offsets(l);
    char range[60] = "epoch must be at least 0";

    if (outside)
        snprintf(range, sizeof range, "offset must be in 0..%lld",
                 (long long)loader_offsets(l) - 1);
    else if (at.epoch >= 0)
        snprintf(range, sizeof range, "batch must be in 0..%lld",
                 (long long)(at.epoch ? loader_batches_from(l, at.offset) : 0));
    return ct_raise(CT_ERR_ARGUMENT, function,
                    "epoch %lld, batch %lld, offset %lld is not a position of this loader: %s",
                    (long long)at.epoch, (long long)at.batch, (long long)at.offset, range);
}

bool cti_loader_go(ct_loader *l, int64_t epoch, int64_t batch, int64_t offset)
{
    bool good = true;

    l->next = 0;
    l->epoch = epoch;
    if (l->cut == CTI_ZIP) {
        good = cti_zip_go(l, epoch, batch);
    } else if (epoch) {
        l->epoch--;
        good = loader_draw(l, offset < 0 ? l->fixed : offset) &&
               (l->cut != CTI_STREAM || cti_stream_skip(l, batch));
        l->epoch++;
    }
    if (good && batch > l->batches) {
        ct_raise(CT_ERR_ARGUMENT, "ct_loader_seek", "batch is %lld; epoch %lld has %lld batches",
                 (long long)batch, (long long)epoch, (long long)l->batches);
        l->batches = 0;
        good = false;
    }
    if (!good)
        return false;
    l->next = batch;
    if (l->workers && l->epoch)
        cti_workers_resume(l->workers, l->next);
    return true;
}

ct_status ct_loader_seek(ct_loader *l, ct_loader_cursor at)
{
    static const char *const me = "ct_loader_seek";

    if (!cti_sink_allowed())
        return ct_error();
    if (!l)
        return ct_raise(CT_ERR_ARGUMENT, me, "l is NULL");
    if (!cti_loader_fits(l, at))
        return loader_refuse_cursor(me, l, at);
    if (ct_loader_stop(l) != CT_OK)
        return ct_error();
    return cti_loader_go(l, at.epoch, at.batch, at.offset) ? CT_OK : ct_error();
}

/* Describes a field of a batch: "i32 [*,35]", where * is the number of rows. */
static void loader_describe_field(const ct_field *f, cti_buffer *b)
{
    cti_buffer_print(b, "%s [*", ct_dtype_name(f->dtype));
    for (int i = 0; i < f->shape.rank; i++)
        if (f->shape.dim[i] < 0)
            cti_buffer_print(b, ",*");
        else
            cti_buffer_print(b, ",%lld", (long long)f->shape.dim[i]);
    cti_buffer_print(b, "]");
    if (cti_field_is_sequence(f)) {
        cti_buffer_print(b, " pad ");
        cti_buffer_number(b, f->pad);
    }
}

/* Describes the options of the order, for the comparison on resume. */
static void loader_describe_order(const ct_loader *l, cti_entries *e)
{
    char hex[65] = "";

    cti_buffer_print(cti_entries_add(e, "dataset"), "%.100s", l->data->table->name);
    cti_buffer_print(cti_entries_add(e, "samples"), "%lld", (long long)l->rows);
    cti_buffer_print(cti_entries_add(e, "drop_last"), l->drop_last ? "true" : "false");
    cti_buffer_print(cti_entries_add(e, "bucket"), "%lld", (long long)l->bucket);
    cti_buffer_print(cti_entries_add(e, "count"), "%s",
                     l->counted < 0 ? "" : l->data->name[l->counted]);
    if (l->sums)
        cti_sha256_elements(l->sums, sizeof *l->sums, (size_t)l->data->count, hex);
    cti_buffer_print(cti_entries_add(e, "weights"), "%s", hex);
}

void cti_loader_describe(const ct_loader *l, cti_entries *e)
{
    char hex[65];

    if (l->cut == CTI_STREAM || l->cut == CTI_ZIP) {
        (l->cut == CTI_ZIP ? cti_zip_describe : cti_stream_describe)(l, e);
        return;
    }
    cti_buffer_print(cti_entries_add(e, "kind"), "%s", l->kind);
    cti_buffer_print(cti_entries_add(e, "batch_size"), "%lld", (long long)l->batch);
    cti_buffer_print(cti_entries_add(e, "steps"), "%lld", (long long)l->steps);
    if (strcmp(l->kind, "dataset") == 0) {
        loader_describe_order(l, e);
    } else if (l->cut == CTI_ROWS) {
        cti_buffer_print(cti_entries_add(e, "first"), "%lld", (long long)l->first);
        cti_buffer_print(cti_entries_add(e, "count"), "%lld", (long long)l->rows);
    } else {
        cti_buffer_print(cti_entries_add(e, "offset"), "%lld", (long long)l->fixed);
    }
    for (int k = 0; k < l->data->field_count; k++)
        loader_describe_field(&l->data->field[k], cti_entries_add(e, "%s", l->data->name[k]));
    cti_buffer_print(cti_entries_add(e, "shuffle"), l->shuffle ? "true" : "false");
    cti_buffer_print(cti_entries_add(e, "seed"), "%llu", (unsigned long long)l->stream.seed);
    cti_buffer_print(cti_entries_add(e, "stream"), "%016llx", (unsigned long long)l->stream.stream);
    if (cti_dataset_digest(l->data, hex))
        cti_buffer_print(cti_entries_add(e, "data"), "%s", hex);
}

ct_status ct_loader_set_offset(ct_loader *l, int64_t offset)
{
    if (!l && !ct_ok())
        return ct_error();
    if (!l)
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_set_offset", "l is NULL");
    if (l->cut != CTI_SEQUENTIAL && l->cut != CTI_RANDOM)
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_set_offset",
                        "only the sequential and the random iterator have an offset");
    if (offset < -1 || offset >= loader_offsets(l))
        return ct_raise(CT_ERR_ARGUMENT, "ct_loader_set_offset",
                        "offset is %lld; it must be in -1..%lld", (long long)offset,
                        (long long)loader_offsets(l) - 1);
    l->fixed = offset;
    return CT_OK;
}

/* SPDX-License-Identifier: MIT */
/* stream.c - loaders of streams: the user's functions write whole batches, and samples have no
 * numbers. */
#include "tensor/internal.h"

#include "data/internal.h"
#include "tensor/dtypes.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <stdio.h>
#include <string.h>

/* A field of the batch that next writes. */
typedef struct stream_field {
    ct_dtype dtype;
    ct_shape shape;
    char *bytes;
    size_t room;
} stream_field;

struct ct_batch_writer {
    ct_loader *l; /* the loader, whose entries are the fields */
    const ct_stream_table *table;
    void *self;
    stream_field field[CT_MAX_FIELDS];
    int64_t tokens;  /* -1: the number of rows */
    int64_t batches; /* the number of batches of an epoch that the table returned */
};

static const char *const stream_making = "ct_loader_stream_new";

/* ---- a batch ---- */

static bool stream_check_field(const char *function, const ct_batch_writer *w, const char *name,
                               const ct_shape *shape)
{
    const ct_loader *l = w->l;

    if (strlen(name) > CTI_FIELD_NAME || !*name || l->entry_count == CT_MAX_FIELDS) {
        ct_raise(CT_ERR_ARGUMENT, function, "field %s: %s", cti_quote(name).s,
                 *name && strlen(name) <= CTI_FIELD_NAME ? "a batch can have at most 16 fields"
                                                         : "a name must have 1 to 63 bytes");
        return false;
    }
    for (int i = 0; i < l->entry_count; i++)
        if (strcmp(l->entry[i].name, name) == 0) {
            ct_raise(CT_ERR_ARGUMENT, function, "field %s appears twice", cti_quote(name).s);
            return false;
        }
    if (shape->rank < 1 || shape->dim[0] < 1 ||
        (l->entry_count && shape->dim[0] != w->field[0].shape.dim[0])) {
        ct_raise(CT_ERR_SHAPE, function,
                 "field %s is %s; it must be (rows, ...) with the rows of the first field, %lld",
                 cti_quote(name).s, cti_shape_text(shape).s,
                 (long long)(l->entry_count ? w->field[0].shape.dim[0] : 1));
        return false;
    }
    return true;
}

void *ct_batch_field(ct_batch_writer *w, const char *name, ct_dtype dtype, ct_shape shape)
{
    static const char *const me = "ct_batch_field";
    stream_field *f;
    size_t bytes;
    int64_t n;

    if (!cti_given(me, "w", w) || !cti_given(me, "name", name))
        return NULL;
    if ((unsigned)dtype >= CTI_DTYPE_COUNT) {
        ct_raise(CT_ERR_DTYPE, me, "dtype is %d; it must be in 0..%d", (int)dtype,
                 CTI_DTYPE_COUNT - 1);
        return NULL;
    }
    n = cti_shape_check(me, &shape, dtype);
    if (n < 0 || !stream_check_field(me, w, name, &shape))
        return NULL;
    f = &w->field[w->l->entry_count];
    bytes = (size_t)n * ct_dtype_size(dtype) + 1; /* at least 1, so that the buffer is not NULL */
    if (f->room < bytes) {
        cti_release(f->bytes);
        f->bytes = cti_calloc(1, bytes);
        f->room = f->bytes ? bytes : 0;
    }
    if (!f->bytes) {
        cti_out_of_memory(me, bytes);
        return NULL;
    }
    f->dtype = dtype;
    f->shape = shape;
    w->l->entry[w->l->entry_count] = (cti_entry_of_batch){ .field = w->l->entry_count };
    strcpy(w->l->entry[w->l->entry_count++].name, name);
    return f->bytes;
}

ct_status ct_batch_set_tokens(ct_batch_writer *w, int64_t tokens)
{
    static const char *const me = "ct_batch_set_tokens";

    if (!cti_given(me, "w", w) || !cti_at_least(me, "tokens", tokens, 0))
        return ct_error();
    w->tokens = tokens;
    return CT_OK;
}

/* Calls the user's next. Returns 1; 0 at the end of the epoch; -1 with an error. */
static int stream_write(ct_batch_writer *w)
{
    bool more;

    w->l->entry_count = 0;
    w->tokens = -1;
    more = w->table->next(w->self, w);
    if (!ct_ok())
        return -1;
    if (more && !w->l->entry_count) {
        ct_raise(CT_ERR_ARGUMENT, "ct_loader_next", "%.100s: next wrote no field", w->table->name);
        return -1;
    }
    return more;
}

bool cti_stream_next(ct_loader *l, ct_batch *batch)
{
    ct_batch_writer *w = l->stream_writer;
    ct_tensor *tensors[CT_MAX_FIELDS];
    int found = stream_write(w);

    if (found != 1) {
        if (found == 0) /* the epoch is shorter than batches() returned */
            l->batches = l->next;
        return false;
    }
    for (int i = 0; i < l->entry_count; i++) {
        tensors[i] =
            ct_from_data(w->field[i].bytes, w->field[i].shape, w->field[i].dtype, l->device);
        if (!tensors[i])
            return false;
    }
    batch->rows = w->field[0].shape.dim[0];
    batch->tokens = w->tokens < 0 ? batch->rows : w->tokens;
    return cti_loader_give(l, batch, tensors);
}

/* ---- epochs ---- */

int64_t cti_stream_batches(const ct_loader *l)
{
    return l->stream_writer->batches;
}

/* Gets the number of batches of an epoch; false with an error. */
static bool stream_measure(ct_loader *l)
{
    ct_batch_writer *w = l->stream_writer;

    w->batches = w->table->batches(w->self);
    if (ct_ok() && w->batches < 1)
        ct_raise(CT_ERR_ARGUMENT, l->function,
                 "%.100s: batches returned %lld; it must return at least 1", w->table->name,
                 (long long)w->batches);
    l->batches = ct_ok() ? w->batches : 0;
    return ct_ok();
}

bool cti_stream_begin(ct_loader *l, int64_t epoch)
{
    const ct_batch_writer *w = l->stream_writer;

    l->batches = 0;
    if (w->table->begin(w->self, epoch) == CT_OK && ct_ok())
        return stream_measure(l);
    if (ct_ok())
        ct_raise(CT_ERR_ARGUMENT, "ct_loader_begin",
                 "%.100s: begin returned an error without raising one", w->table->name);
    return false;
}

bool cti_stream_skip(ct_loader *l, int64_t batches)
{
    for (int64_t i = 0; i < batches; i++) {
        int found = stream_write(l->stream_writer);

        if (found == 0)
            ct_raise(CT_ERR_ARGUMENT, "ct_loader_seek", "%.100s: the epoch has only %lld batches",
                     l->stream_writer->table->name, (long long)i);
        if (found != 1)
            return false;
    }
    return true;
}

void cti_stream_describe(const ct_loader *l, cti_entries *e)
{
    const ct_batch_writer *w = l->stream_writer;
    char hex[65] = "";

    cti_buffer_print(cti_entries_add(e, "kind"), "%s", l->kind);
    cti_buffer_print(cti_entries_add(e, "stream"), "%.100s", w->table->name);
    if (w->table->digest && w->table->digest(w->self, hex) == CT_OK)
        hex[64] = '\0';
    cti_buffer_print(cti_entries_add(e, "data"), "%s", hex);
}

/* ---- making and freeing ---- */

void cti_stream_free(ct_batch_writer *w)
{
    if (!w)
        return;
    if (w->table->free)
        w->table->free(w->self);
    for (int i = 0; i < CT_MAX_FIELDS; i++)
        cti_release(w->field[i].bytes);
    cti_release(w);
}

static bool stream_check_table(const ct_stream_table *table)
{
    if (!cti_given(stream_making, "table", table))
        return false;
    if (table->name && table->begin && table->next && table->batches)
        return true;
    ct_raise(CT_ERR_ARGUMENT, stream_making, "table->%s is NULL",
             !table->name    ? "name"
             : !table->begin ? "begin"
             : !table->next  ? "next"
                             : "batches");
    return false;
}

ct_loader *ct_loader_stream_new(const ct_stream_table *table, void *self, ct_device device)
{
    ct_batch_writer *w = NULL;
    ct_loader *l = NULL;

    if (stream_check_table(table)) {
        l = cti_calloc(1, sizeof *l);
        w = l ? cti_calloc(1, sizeof *w) : NULL;
        if (!w)
            cti_out_of_memory(stream_making, l ? sizeof *w : sizeof *l);
    }
    if (!w) {
        cti_release(l);
        if (table && table->free)
            table->free(self);
        return NULL;
    }
    *w = (ct_batch_writer){ .l = l, .table = table, .self = self };
    *l = (ct_loader){ .function = stream_making,
                      .kind = "stream",
                      .cut = CTI_STREAM,
                      .counted = -1,
                      .fixed = -1,
                      .continues = table->continues,
                      .device = device,
                      .stream_writer = w };
    if (stream_measure(l))
        return l;
    ct_loader_free(l);
    return NULL;
}

/* SPDX-License-Identifier: MIT */
/* load.c - fills a batch in host memory: gets its samples from the dataset, and pads sequences. */
#include "tensor/internal.h"

#include "data/internal.h"
#include "tensor/hooks.h"
#include "tensor/dtypes.h"

#include <string.h>

/* Makes room for `bytes` bytes of field k. False if memory runs out. */
static bool load_room(cti_load *c, int k, size_t bytes)
{
    char *more;

    bytes += !bytes; /* at least 1, so that the buffer is not NULL */
    if (c->room[k] >= bytes)
        return true;
    more = cti_calloc(1, bytes);
    if (!more)
        return false;
    cti_release(c->bytes[k]);
    c->bytes[k] = more;
    c->room[k] = bytes;
    return true;
}

bool cti_load_init(cti_load *c, const ct_dataset *d, int64_t rows)
{
    *c = (cti_load){ .batch = -1 };
    for (int k = 0; k < d->field_count; k++) {
        size_t bytes;

        if (cti_field_is_sequence(&d->field[k])) { /* the rows get memory when their lengths are
                                                    * known */
            c->lengths[k] = cti_calloc((size_t)rows, sizeof *c->lengths[k]);
            if (!c->lengths[k])
                return false;
            continue;
        }
        if (__builtin_mul_overflow((size_t)rows, d->bytes[k], &bytes) || !load_room(c, k, bytes))
            return false;
    }
    return true;
}

void cti_load_free(cti_load *c)
{
    for (int k = 0; k < CT_MAX_FIELDS; k++) {
        cti_release(c->bytes[k]);
        cti_release(c->lengths[k]);
    }
    *c = (cti_load){ .batch = -1 };
}

/* ---- sequences ---- */

/* Gets the lengths of sequence k for all rows, and makes room for the sequences. */
static bool load_lengths(cti_load *c, const ct_loader *l, int k)
{
    const ct_dataset *d = l->data;
    size_t bytes;

    c->longest[k] = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        int64_t n = cti_dataset_length(d, cti_loader_sample(l, c->batch, r), k);

        if (n < 0)
            return false;
        if (n > INT32_MAX) {
            ct_raise(CT_ERR_SHAPE, cti_dataset_function(), "a sequence of %lld entries is too long",
                     (long long)n);
            return false;
        }
        c->lengths[k][r] = (int32_t)n;
        c->longest[k] = n > c->longest[k] ? n : c->longest[k];
        if (k == l->counted)
            c->tokens += n;
    }
    if (!__builtin_mul_overflow((size_t)(c->rows * c->longest[k]), d->bytes[k], &bytes) &&
        load_room(c, k, bytes))
        return true;
    cti_out_of_memory(cti_dataset_function(), bytes);
    return false;
}

/* Writes x, which is a value of dtype, as the bytes of one element. */
static void load_element(ct_dtype dtype, double x, char bytes[8])
{
    const float f = (float)x;
    const int32_t i = dtype == CT_I32 ? (int32_t)x : 0;
    const int64_t n = dtype == CT_I64 ? (int64_t)x : 0;
    uint32_t word;

    switch (dtype) {
    case CT_F32:
        memcpy(bytes, &f, sizeof f);
        break;
    case CT_F64:
        memcpy(bytes, &x, sizeof x);
        break;
    case CT_I32:
        memcpy(bytes, &i, sizeof i);
        break;
    case CT_I64:
        memcpy(bytes, &n, sizeof n);
        break;
    case CT_BOOL:
        bytes[0] = x != 0;
        break;
    case CT_BF16: /* the upper half of a float */
        memcpy(&word, &f, sizeof word);
        word >>= 16;
        memcpy(bytes, &word, 2);
        break;
    }
}

/* Fills each row of sequence k with the padding value after its end. */
static void load_pad(cti_load *c, const ct_dataset *d, int k)
{
    size_t size = ct_dtype_size(d->field[k].dtype), row = (size_t)c->longest[k] * d->bytes[k];
    char element[8] = { 0 };

    load_element(d->field[k].dtype, d->field[k].pad, element);
    for (int64_t r = 0; r < c->rows; r++) {
        char *at = c->bytes[k] + (size_t)r * row + (size_t)c->lengths[k][r] * d->bytes[k];
        const char *end = c->bytes[k] + (size_t)(r + 1) * row;

        for (; at < end; at += size)
            memcpy(at, element, size);
    }
}

/* ---- a batch ---- */

bool cti_load_fill(cti_load *c, const ct_loader *l, int64_t batch)
{
    const ct_dataset *d = l->data;
    void *to[CT_MAX_FIELDS];

    c->batch = batch;
    c->rows = cti_loader_rows(l, batch);
    c->tokens = l->counted < 0 ? c->rows * l->row_tokens : 0;
    for (int k = 0; k < d->field_count; k++)
        if (c->lengths[k] && !load_lengths(c, l, k))
            return false;
    for (int64_t r = 0; r < c->rows; r++) {
        for (int k = 0; k < d->field_count; k++) {
            size_t row = d->bytes[k] * (c->lengths[k] ? (size_t)c->longest[k] : 1);

            to[k] = c->bytes[k] + (size_t)r * row;
        }
        if (!cti_dataset_get(d, cti_loader_sample(l, batch, r), to))
            return false;
    }
    for (int k = 0; k < d->field_count; k++)
        if (c->lengths[k])
            load_pad(c, d, k);
    return true;
}

const void *cti_loader_entry(const ct_loader *l, const cti_load *c, int entry, ct_shape *shape,
                             ct_dtype *dtype)
{
    int k = l->entry[entry].field;
    const ct_field *f = &l->data->field[k];

    if (l->entry[entry].lengths) {
        *shape = (ct_shape){ .rank = 1, .dim = { c->rows } };
        *dtype = CT_I32;
        return c->lengths[k];
    }
    *shape = (ct_shape){ .rank = f->shape.rank + 1, .dim = { c->rows } };
    memcpy(shape->dim + 1, f->shape.dim, (size_t)f->shape.rank * sizeof shape->dim[0]);
    if (c->lengths[k])
        shape->dim[1] = c->longest[k];
    *dtype = f->dtype;
    return c->bytes[k];
}

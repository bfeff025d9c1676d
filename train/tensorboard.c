/* SPDX-License-Identifier: MIT */
/* tensorboard.c - files of events, as TensorBoard reads them. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "train/append_file.h"
#include "tensor/buffer.h"
#include "train/tensorboard.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char *const me = "ct_fit";

/* ---- bytes ---- */

uint32_t cti_crc32c(const void *bytes, size_t size)
{
    const unsigned char *s = bytes;
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < size; i++) {
        crc ^= s[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0); /* the polynomial, reversed */
    }
    return ~crc;
}

uint32_t cti_masked_crc32c(const void *bytes, size_t size)
{
    uint32_t crc = cti_crc32c(bytes, size);

    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

/* count bytes, little endian */
static void tensorboard_put_integer(cti_buffer *b, uint64_t x, int count)
{
    for (int i = 0; i < count; i++)
        cti_buffer_add(b, &(unsigned char){ (unsigned char)(x >> 8 * i) }, 1);
}

static uint64_t tensorboard_get_integer(const unsigned char *s, int count)
{
    uint64_t x = 0;

    for (int i = 0; i < count; i++)
        x |= (uint64_t)s[i] << 8 * i;
    return x;
}

/* ---- Protocol Buffers: a field is a key (its number and wire type), then its value ---- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void tensorboard_put_varint(cti_buffer *b, uint64_t x)
{
    for (; x >= 0x80; x >>= 7)
        tensorboard_put_integer(b, x | 0x80, 1);
    tensorboard_put_integer(b, x, 1);
}

static void tensorboard_put_key(cti_buffer *b, int field, int kind)
{
    tensorboard_put_varint(b, (uint64_t)(field << 3 | kind));
}

static void tensorboard_put_bytes(cti_buffer *b, int field, const void *bytes, size_t size)
{
    tensorboard_put_key(b, field, BYTES);
    tensorboard_put_varint(b, size);
    cti_buffer_add(b, bytes, size);
}

static void tensorboard_put_double(cti_buffer *b, int field, double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof bits);
    tensorboard_put_key(b, field, FIXED64);
    tensorboard_put_integer(b, bits, 8);
}

static void tensorboard_put_float(cti_buffer *b, int field, float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    tensorboard_put_key(b, field, FIXED32);
    tensorboard_put_integer(b, bits, 4);
}

static bool tensorboard_get_varint(const unsigned char **s, const unsigned char *end, uint64_t *x)
{
    *x = 0;
    for (int shift = 0; *s < end && shift < 64; shift += 7) {
        unsigned char byte = *(*s)++;

        *x |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* Reads the step of an event; 0 if it has none. False if the bytes are not a valid message. */
static bool tensorboard_get_step(const unsigned char *s, size_t size, uint64_t *step)
{
    const unsigned char *end = s + size;
    uint64_t key, x = 0;

    *step = 0;
    while (s < end) {
        size_t skip;

        if (!tensorboard_get_varint(&s, end, &key) ||
            ((key & 7) == VARINT && !tensorboard_get_varint(&s, end, &x)) ||
            ((key & 7) == BYTES && !tensorboard_get_varint(&s, end, &x)))
            return false;
        if (key == (2 << 3 | VARINT))
            *step = x;
        skip = (key & 7) == FIXED64 ? 8 : (key & 7) == FIXED32 ? 4 : (key & 7) == BYTES ? x : 0;
        if (skip > (size_t)(end - s))
            return false;
        s += skip;
    }
    return true;
}

/* ---- records and events ---- */

static void tensorboard_put_record(cti_buffer *file, const cti_buffer *data)
{
    size_t begin = file->size;

    tensorboard_put_integer(file, data->size, 8);
    if (!file->failed)
        tensorboard_put_integer(file, cti_masked_crc32c(file->bytes + begin, 8), 4);
    cti_buffer_add(file, data->bytes, data->size);
    if (!file->failed)
        tensorboard_put_integer(file, cti_masked_crc32c(data->bytes, data->size), 4);
    file->failed = file->failed || data->failed;
}

/* The size of the record at the start of size bytes; 0 if the record is incomplete. */
static size_t tensorboard_record_size(const unsigned char *s, size_t size)
{
    uint64_t n;

    if (size < 16 || tensorboard_get_integer(s + 8, 4) != cti_masked_crc32c(s, 8))
        return 0;
    n = tensorboard_get_integer(s, 8);
    if (n > size - 16 || tensorboard_get_integer(s + 12 + n, 4) != cti_masked_crc32c(s + 12, n))
        return 0;
    return 16 + n;
}

static double tensorboard_wall_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void tensorboard_put_version(cti_buffer *file)
{
    static const char version[] = "brain.Event:2";
    cti_buffer event = { 0 };

    tensorboard_put_double(&event, 1, tensorboard_wall_time());
    tensorboard_put_bytes(&event, 3, version, sizeof version - 1);
    tensorboard_put_record(file, &event);
    cti_buffer_free(&event);
}

static void tensorboard_put_scalar(cti_buffer *summary, const char *tag, double x)
{
    cti_buffer value = { 0 };

    tensorboard_put_bytes(&value, 1, tag, strlen(tag));
    tensorboard_put_float(&value, 2, (float)x);
    tensorboard_put_bytes(summary, 1, value.bytes, value.size);
    summary->failed = summary->failed || value.failed;
    cti_buffer_free(&value);
}

/* The metrics of a row, with tags such as "validation/accuracy". */
static void tensorboard_put_metrics(cti_buffer *summary, const cti_history *h, const double *row)
{
    for (int i = 0; i < 2 * h->metrics; i++) {
        double x = row[CTI_METRIC + i];
        char tag[100];

        snprintf(tag, sizeof tag, "%s/%.64s", i % 2 ? "validation" : "train", h->metric[i / 2]);
        if (!isnan(x))
            tensorboard_put_scalar(summary, tag, x);
    }
}

static void tensorboard_put_row(cti_buffer *file, const cti_history *h, const double *row)
{
    static const char *const tags[CTI_COLUMNS] = { [CTI_EPOCH] = "epoch",
                                                   [CTI_TOKENS] = "train/tokens",
                                                   [CTI_LOSS] = "train/loss",
                                                   [CTI_PERPLEXITY] = "train/perplexity",
                                                   [CTI_BITS] = "train/bits",
                                                   [CTI_VAL_LOSS] = "validation/loss",
                                                   [CTI_VAL_PERPLEXITY] = "validation/perplexity",
                                                   [CTI_VAL_BITS] = "validation/bits",
                                                   [CTI_NORM] = "train/grad_norm",
                                                   [CTI_CLIPPED] = "train/clipped",
                                                   [CTI_LR] = "train/lr",
                                                   [CTI_RATE] = "train/tokens_per_second" };
    cti_buffer event = { 0 }, summary = { 0 };

    for (int c = 0; c < CTI_COLUMNS; c++)
        if (tags[c] && !isnan(row[c]))
            tensorboard_put_scalar(&summary, tags[c], row[c]);
    tensorboard_put_metrics(&summary, h, row);
    tensorboard_put_double(&event, 1, tensorboard_wall_time());
    tensorboard_put_key(&event, 2, VARINT);
    tensorboard_put_varint(&event, (uint64_t)row[CTI_STEP]);
    tensorboard_put_bytes(&event, 5, summary.bytes, summary.size);
    event.failed = event.failed || summary.failed;
    tensorboard_put_record(file, &event);
    cti_buffer_free(&summary);
    cti_buffer_free(&event);
}

/* ---- the file ---- */

/* Makes the folders in front of the file name of a path. If that fails, opening the file reports it. */
static void tensorboard_make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
}

/* The part of the old file that was not compared yet. */
typedef struct tensorboard_rest {
    const unsigned char *at;
    size_t size;
} tensorboard_rest;

/* Copies the record of a row from the old file, which has the time of the event. Skips records of earlier
 * steps. False if the old file has no such record. */
static bool tensorboard_put_old(cti_buffer *file, tensorboard_rest *old, const double *row)
{
    uint64_t step, wanted = (uint64_t)row[CTI_STEP];
    size_t n;

    while ((n = tensorboard_record_size(old->at, old->size)) > 0) {
        bool message = tensorboard_get_step(old->at + 12, n - 16, &step);

        if (message && step > wanted)
            return false;
        if (message && step == wanted)
            cti_buffer_add(file, old->at, n);
        old->at += n;
        old->size -= n;
        if (message && step == wanted)
            return true;
    }
    return false;
}

static ct_status tensorboard_write_rows(cti_tensorboard *e, const cti_history *h, bool resumed)
{
    tensorboard_rest old = { NULL, 0 };
    char *bytes = resumed ? cti_read_old(me, e->path, &old.size) : NULL;
    cti_buffer b = { 0 };

    old.at = (const unsigned char *)bytes;
    tensorboard_put_version(&b);
    for (int64_t i = 0; i < h->count; i++)
        if (!tensorboard_put_old(&b, &old, h->row[i]))
            tensorboard_put_row(&b, h, h->row[i]);
    if (ct_ok() && cti_buffer_save(&b, me, e->path) == CT_OK)
        e->fd = cti_append_open(me, e->path);
    cti_buffer_free(&b);
    cti_release(bytes);
    return ct_error();
}

ct_status cti_tensorboard_open(cti_tensorboard *e, const char *folder, const cti_history *h,
                               bool resumed)
{
    static const char file[] = "/events.out.tfevents.cotangent";
    size_t n;

    *e = (cti_tensorboard){ NULL, -1 };
    if (!folder)
        return CT_OK;
    n = strlen(folder);
    e->path = cti_calloc(n + sizeof file, 1);
    if (!e->path) {
        cti_out_of_memory(me, n);
        return ct_error();
    }
    memcpy(e->path, folder, n);
    memcpy(e->path + n, file, sizeof file);
    tensorboard_make_folders(e->path);
    return tensorboard_write_rows(e, h, resumed);
}

ct_status cti_tensorboard_add(cti_tensorboard *e, const cti_history *h)
{
    cti_buffer b = { 0 };

    if (e->fd < 0)
        return CT_OK;
    tensorboard_put_row(&b, h, h->row[h->count - 1]);
    cti_append(me, e->path, e->fd, &b);
    cti_buffer_free(&b);
    return ct_error();
}

void cti_tensorboard_close(cti_tensorboard *e)
{
    cti_append_close(e->fd);
    cti_release(e->path);
    *e = (cti_tensorboard){ NULL, -1 };
}

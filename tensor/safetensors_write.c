/* SPDX-License-Identifier: MIT */
/* safetensors_write.c - writing files of named tensors. */
#include "tensor/safetensors_format.h"

#include "tensor/internal.h"

#include "tensor/atomic_file.h"
#include "tensor/buffer.h"
#include "tensor/hooks.h"
#include "tensor/json.h"
#include "tensor/read_file.h"
#include "tensor/stream_internal.h"
#include "tensor/text.h"

#include <cotangent/tensor/safetensors.h>

#include <stdlib.h>
#include <string.h>

static const char *const safetensors_writing = "ct_safetensors_write";

static bool safetensors_refuse_argument(const char *what, const char *text, const char *why)
{
    ct_raise(CT_ERR_ARGUMENT, safetensors_writing, "%s %s %s", what, cti_quote(text).s, why);
    return false;
}

static int safetensors_by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Refuses equal texts among n texts, which it sorts in place. */
static bool safetensors_check_unique(const char *what, const char **texts, size_t n)
{
    qsort(texts, n, sizeof *texts, safetensors_by_text);
    for (size_t i = 1; i < n; i++)
        if (strcmp(texts[i - 1], texts[i]) == 0)
            return safetensors_refuse_argument(what, texts[i], "appears twice");
    return true;
}

static size_t safetensors_bytes(const ct_tensor *t)
{
    return (size_t)t->numel * ct_dtype_size(t->dtype);
}

/* A file that is being written. In the payload, tensors with larger elements come first; otherwise
 * the given order is kept. The reference implementation does the same. So each tensor is aligned to
 * the size of its elements. */
typedef struct safetensors_writer {
    int count;
    const char *const *names;
    ct_tensor *const *tensors;
    const ct_metadata *metadata;
    cti_atomic_file file;
    const ct_writer *to; /* the destination; NULL: file */
} safetensors_writer;

/* Calls sink with the bytes of each tensor, in the order of the payload. False if sink fails. */
static bool safetensors_each_tensor(safetensors_writer *j, cti_byte_sink *sink, void *context)
{
    size_t size;
    int i;

    for (size = 8; size; size /= 2)
        for (i = 0; i < j->count; i++)
            if (ct_dtype_size(j->tensors[i]->dtype) == size &&
                !cti_each_bytes_of_file(j->tensors[i], sink, context))
                return false;
    return true;
}

static bool safetensors_hash_bytes(void *context, const void *bytes, size_t size)
{
    sha256_update(context, size, bytes);
    return true;
}

static bool safetensors_write_bytes(void *context, const void *bytes, size_t size)
{
    safetensors_writer *j = context;

    return j->to ? cti_stream_write(j->to, safetensors_writing, bytes, size)
                 : cti_atomic_write(&j->file, bytes, size);
}

/* ---- the header ---- */

/* {"header_sha256": zeros, "payload_sha256": digest, the user's pairs, "format": "pt"} */
static void safetensors_add_metadata(cti_buffer *b, const ct_metadata *m, const char *digest)
{
    bool format = false;

    cti_buffer_add(b, HEADER_START, sizeof HEADER_START - 1);
    cti_buffer_print(b, "%0*d\",\"%s\":\"%s\"", DIGEST_DIGITS, 0, PAYLOAD_DIGEST_KEY, digest);
    for (; m && m->key; m++) {
        cti_buffer_add(b, ",", 1);
        cti_json_add_text(b, m->key);
        cti_buffer_add(b, ":", 1);
        cti_json_add_text(b, m->value);
        format |= strcmp(m->key, "format") == 0;
    }
    if (!format)
        cti_buffer_print(b, ",\"format\":\"pt\"");
    cti_buffer_add(b, "}", 1);
}

/* "NAME": {"dtype", "shape", "data_offsets": [at, at + bytes]} */
static void safetensors_add_entry(cti_buffer *b, const char *name, const ct_tensor *t, uint64_t at)
{
    cti_buffer_add(b, ",", 1);
    cti_json_add_text(b, name);
    cti_buffer_print(b, ":{\"dtype\":\"%s\",\"shape\":[", cti_dtype_file_name(t->dtype));
    for (int i = 0; i < t->shape.rank; i++)
        cti_buffer_print(b, "%s%lld", i ? "," : "", (long long)t->shape.dim[i]);
    cti_buffer_print(b, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                     (unsigned long long)(at + safetensors_bytes(t)));
}

/* The header without its own digest, padded with spaces so that the payload begins at a multiple
 * of 8. */
static void safetensors_add_header(safetensors_writer *j, cti_buffer *b, const char *digest)
{
    uint64_t at = 0;
    size_t size;
    int i;

    safetensors_add_metadata(b, j->metadata, digest);
    for (size = 8; size; size /= 2)
        for (i = 0; i < j->count; i++)
            if (ct_dtype_size(j->tensors[i]->dtype) == size) {
                safetensors_add_entry(b, j->names[i], j->tensors[i], at);
                at += safetensors_bytes(j->tensors[i]);
            }
    cti_buffer_add(b, "}", 1);
    cti_buffer_add(b, "        ", (8 - b->size % 8) % 8);
}

/* Fills b with the header. False with an error. */
static bool safetensors_make_header(safetensors_writer *j, cti_buffer *b)
{
    struct sha256_ctx sha;
    char digest[DIGEST_DIGITS + 1];

    sha256_init(&sha);
    if (!safetensors_each_tensor(j, safetensors_hash_bytes, &sha))
        return false;
    cti_sha256_text(&sha, digest);
    safetensors_add_header(j, b, digest);
    if (b->failed)
        ct_raise(CT_ERR_MEMORY, safetensors_writing, "out of memory for the header");
    else if (b->size > HEADER_LIMIT)
        ct_raise(CT_ERR_ARGUMENT, safetensors_writing,
                 "the header would take %zu bytes; the most is %u", b->size, HEADER_LIMIT);
    else {
        cti_header_digest(b->bytes, b->size, digest);
        memcpy(b->bytes + sizeof HEADER_START - 1, digest, DIGEST_DIGITS);
        return true;
    }
    return false;
}

/* ---- arguments ---- */

/* Checks each key and value. Sets *n to the number of keys. */
static bool safetensors_check_metadata(const ct_metadata *m, size_t *n)
{
    for (*n = 0; m && m->key; m++, ++*n) {
        if (strcmp(m->key, HEADER_DIGEST_KEY) == 0 || strcmp(m->key, PAYLOAD_DIGEST_KEY) == 0)
            return safetensors_refuse_argument("the key", m->key, "is reserved");
        if (!m->value)
            return safetensors_refuse_argument("the key", m->key, "has no value");
        if (!cti_is_utf8(m->key) || !cti_is_utf8(m->value))
            return safetensors_refuse_argument("the key", m->key, "or its value is not UTF-8");
    }
    return true;
}

/* Refuses names and keys that occur twice. */
static bool safetensors_check_twice(const safetensors_writer *j, size_t keys)
{
    size_t count = (size_t)j->count, n = count > keys ? count : keys;
    const char **texts = cti_calloc(n, sizeof *texts);
    bool ok;

    if (!texts) {
        cti_out_of_memory(safetensors_writing, n * sizeof *texts);
        return false;
    }
    if (count > 0)
        memcpy(texts, j->names, count * sizeof *texts);
    ok = safetensors_check_unique("the name", texts, count);
    for (size_t i = 0; i < keys; i++)
        texts[i] = j->metadata[i].key;
    ok = ok && safetensors_check_unique("the key", texts, keys);
    cti_release(texts);
    return ok;
}

static bool safetensors_check_arguments(const safetensors_writer *j)
{
    size_t keys;
    int i;

    if (j->count < 0) {
        ct_raise(CT_ERR_ARGUMENT, safetensors_writing, "count is %d; it must be at least 0",
                 j->count);
        return false;
    }
    if (!cti_given_array(safetensors_writing, "names", j->count, j->names) ||
        !cti_usable_all(safetensors_writing, "tensors", j->count, j->tensors))
        return false;
    for (i = 0; i < j->count; i++) {
        if (!j->names[i]) {
            ct_raise(CT_ERR_ARGUMENT, safetensors_writing, "names[%d] is NULL", i);
            return false;
        }
        if (!cti_is_utf8(j->names[i]))
            return safetensors_refuse_argument("the name", j->names[i], "is not UTF-8");
        if (strcmp(j->names[i], METADATA) == 0)
            return safetensors_refuse_argument("the name", j->names[i], "is reserved");
    }
    return safetensors_check_metadata(j->metadata, &keys) && safetensors_check_twice(j, keys);
}

/* Writes the length of the header, the header and the payload. */
static bool safetensors_write_parts(safetensors_writer *j, const cti_buffer *header)
{
    uint8_t length[LENGTH_BYTES];

    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)((uint64_t)header->size >> 8 * i);
    return safetensors_write_bytes(j, length, sizeof length) &&
           safetensors_write_bytes(j, header->bytes, header->size) &&
           safetensors_each_tensor(j, safetensors_write_bytes, j);
}

static bool safetensors_write_file(safetensors_writer *j, const char *path)
{
    cti_buffer header = { 0 };
    bool ok = safetensors_make_header(j, &header) &&
              cti_atomic_begin(&j->file, safetensors_writing, path);

    if (ok && !safetensors_write_parts(j, &header)) {
        cti_atomic_abort(&j->file);
        ok = false;
    }
    cti_buffer_free(&header);
    return ok && cti_atomic_commit(&j->file);
}

static bool safetensors_write_stream(safetensors_writer *j)
{
    cti_buffer header = { 0 };
    bool ok = safetensors_make_header(j, &header) && safetensors_write_parts(j, &header);

    cti_buffer_free(&header);
    return ok;
}

ct_status ct_safetensors_write(const char *path, int count, const char *const *names,
                               ct_tensor *const *tensors, const ct_metadata *metadata)
{
    safetensors_writer j = {
        .count = count, .names = names, .tensors = tensors, .metadata = metadata
    };

    if (!cti_sink_allowed())
        return ct_error();
    return cti_given(safetensors_writing, "path", path) && safetensors_check_arguments(&j) &&
                   safetensors_write_file(&j, path)
               ? CT_OK
               : ct_error();
}

ct_status ct_safetensors_write_to(ct_writer writer, int count, const char *const *names,
                                  ct_tensor *const *tensors, const ct_metadata *metadata)
{
    safetensors_writer j = {
        .count = count, .names = names, .tensors = tensors, .metadata = metadata, .to = &writer
    };

    if (!cti_sink_allowed())
        return ct_error();
    return cti_given("ct_safetensors_write_to", "write of the writer",
                     (const void *)writer.write) &&
                   safetensors_check_arguments(&j) && safetensors_write_stream(&j)
               ? CT_OK
               : ct_error();
}

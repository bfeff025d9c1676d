/* safetensors_write.c - writing files of named tensors. */
#include "tensor/safetensors_format.h"

#include "tensor/internal.h"

#include "tensor/atomic_file.h"
#include "tensor/hooks.h"
#include "tensor/read_file.h"
#include "tensor/text.h"

#include <cotangent/tensor/safetensors.h>

#include <jansson.h>
#include <string.h>

static const char *const safetensors_writing = "ct_safetensors_write";

static bool safetensors_refuse_argument(const char *what, const char *text, const char *why)
{
    ct_raise(CT_ERR_ARGUMENT, safetensors_writing, "%s %s %s", what, cti_quote(text).s, why);
    return false;
}

/* Sets object[key] = value and takes value over, even on failure. False with an error. */
static bool safetensors_put(json_t *object, const char *what, const char *key, json_t *value)
{
    bool twice = value && object && json_object_get(object, key);

    if (twice)
        safetensors_refuse_argument(what, key, "appears twice");
    else if (!value || !object || json_object_set_new(object, key, json_incref(value)) != 0)
        cti_out_of_memory(safetensors_writing, strlen(key));
    json_decref(value);
    return value && ct_ok();
}

/* The metadata with the digest. After an error, the pairs so far; NULL if memory runs out. */
static json_t *safetensors_make_metadata(const ct_metadata *m, const char *digest)
{
    json_t *object = json_object();
    bool ok = safetensors_put(object, "the key", DIGEST_KEY, json_string(digest));

    for (; ok && m && m->key; m++) {
        if (strcmp(m->key, DIGEST_KEY) == 0)
            ok = safetensors_refuse_argument("the key", m->key, "is reserved");
        else if (!m->value)
            ok = safetensors_refuse_argument("the key", m->key, "has no value");
        else if (!cti_is_utf8(m->key) || !cti_is_utf8(m->value))
            ok = safetensors_refuse_argument("the key", m->key, "or its value is not UTF-8");
        else
            ok = safetensors_put(object, "the key", m->key, json_string(m->value));
    }
    if (ok && !json_object_get(object, "format"))
        safetensors_put(object, "the key", "format", json_string("pt"));
    return object;
}

static size_t safetensors_bytes(const ct_tensor *t)
{
    return (size_t)t->numel * ct_dtype_size(t->dtype);
}

/* {"dtype", "shape", "data_offsets": [at, at + bytes]} */
static json_t *safetensors_make_entry(const ct_tensor *t, uint64_t at)
{
    json_t *shape = json_array();
    int i;

    for (i = 0; shape && i < t->shape.rank; i++)
        if (json_array_append_new(shape, json_integer(t->shape.dim[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", cti_dtype_file_name(t->dtype), "shape", shape,
                     "data_offsets", (json_int_t)at, (json_int_t)(at + safetensors_bytes(t)));
}

/* A file that is being written. The payload has the tensors with the largest elements first, and in
 * the given order otherwise, as the reference implementation does: so each is aligned to its
 * elements. */
typedef struct safetensors_writer {
    int count;
    const char *const *names;
    ct_tensor *const *tensors;
    const ct_metadata *metadata;
    cti_atomic_file file;
} safetensors_writer;

/* Calls sink with the bytes of each tensor, in the order of the payload. False if sink fails. */
static bool safetensors_each_tensor(safetensors_writer *j,
                                    bool (*sink)(void *context, const void *bytes, size_t size),
                                    void *context)
{
    size_t size;
    int i;

    for (size = 8; size; size /= 2)
        for (i = 0; i < j->count; i++)
            if (ct_dtype_size(j->tensors[i]->dtype) == size &&
                !cti_each_bytes(j->tensors[i], sink, context))
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
    return cti_atomic_write(context, bytes, size);
}

/* The header; NULL with an error. */
static json_t *safetensors_make_header(safetensors_writer *j)
{
    json_t *header = json_object();
    struct sha256_ctx sha;
    char digest[65];
    uint64_t at = 0;
    size_t size;
    bool ok;
    int i;

    sha256_init(&sha);
    ok = safetensors_each_tensor(j, safetensors_hash_bytes, &sha);
    cti_sha256_text(&sha, digest);
    ok = ok && safetensors_put(header, "the name", METADATA,
                               safetensors_make_metadata(j->metadata, digest));
    for (size = 8; size; size /= 2)
        for (i = 0; ok && i < j->count; i++)
            if (ct_dtype_size(j->tensors[i]->dtype) == size) {
                ok = safetensors_put(header, "the name", j->names[i],
                                     safetensors_make_entry(j->tensors[i], at));
                at += safetensors_bytes(j->tensors[i]);
            }
    if (ok)
        return header;
    json_decref(header);
    return NULL;
}

/* The text of the header and its length *n, padded with spaces so that the payload begins at a
 * multiple of 8. To be freed by cti_release; NULL with an error. */
static char *safetensors_header_text(safetensors_writer *j, size_t *n)
{
    json_t *header = safetensors_make_header(j);
    size_t written;
    char *text;

    if (!header)
        return NULL;
    written = json_dumpb(header, NULL, 0, JSON_COMPACT); /* 0 if memory runs out */
    *n = (written + 7) / 8 * 8;
    text = written && *n <= HEADER_LIMIT ? cti_calloc(1, *n) : NULL;
    if (*n > HEADER_LIMIT)
        ct_raise(CT_ERR_ARGUMENT, safetensors_writing,
                 "the header would take %zu bytes; the most is %u", *n, HEADER_LIMIT);
    else if (!text || json_dumpb(header, text, *n, JSON_COMPACT) != written) {
        cti_out_of_memory(safetensors_writing, *n);
        cti_release(text);
        text = NULL;
    }
    if (text)
        memset(text + written, ' ', *n - written);
    json_decref(header);
    return text;
}

static bool safetensors_check_arguments(const char *path, const safetensors_writer *j)
{
    int i;

    if (!cti_given(safetensors_writing, "path", path))
        return false;
    if (j->count < 0) {
        ct_raise(CT_ERR_ARGUMENT, safetensors_writing, "count is negative");
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
    return true;
}

static bool safetensors_write_file(safetensors_writer *j, const char *path)
{
    size_t n;
    char *text = safetensors_header_text(j, &n);
    uint8_t length[LENGTH_BYTES];
    bool ok;
    int i;

    if (!text)
        return false;
    for (i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)((uint64_t)n >> 8 * i);
    ok = cti_atomic_begin(&j->file, safetensors_writing, path);
    if (ok && !(cti_atomic_write(&j->file, length, sizeof length) &&
                cti_atomic_write(&j->file, text, n) &&
                safetensors_each_tensor(j, safetensors_write_bytes, &j->file))) {
        cti_atomic_abort(&j->file);
        ok = false;
    }
    cti_release(text);
    return ok && cti_atomic_commit(&j->file);
}

ct_status ct_safetensors_write(const char *path, int count, const char *const *names,
                               ct_tensor *const *tensors, const ct_metadata *metadata)
{
    safetensors_writer j = {
        .count = count, .names = names, .tensors = tensors, .metadata = metadata
    };

    if (!cti_sink_allowed())
        return ct_error();
    return safetensors_check_arguments(path, &j) && safetensors_write_file(&j, path) ? CT_OK
                                                                                     : ct_error();
}

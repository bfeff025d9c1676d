/* SPDX-License-Identifier: MIT */
/* safetensors_read.c - reading files of named tensors.
 *
 * A file may come from an untrusted source, so everything in it is checked. The digest of the
 * header is checked first, if there is one. The header is then parsed within bounds (tensor/json.h)
 * and checked against the rules of the format and the size of the file. Only then is memory for a
 * tensor requested. */
#include "tensor/safetensors_format.h"

#include "tensor/internal.h"

#include "tensor/blob_internal.h"
#include "tensor/hooks.h"
#include "tensor/json.h"
#include "tensor/read_file.h"
#include "tensor/text.h"

#include <cotangent/tensor/safetensors.h>

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KEY_LIMIT 1000000
#define VALUE_LIMIT (4 * KEY_LIMIT) /* 160 MB */
#define AXIS_LIMIT 64
#define DEPTH_LIMIT 3 /* { name: { shape: [ */
#define PIECE ((size_t)1 << 18)

/* The dtypes of the format; those of this library come first. Tensors of the others can be listed
 * but not loaded. */
typedef struct safetensors_kind {
    const char *name;
    unsigned bits;
    int dtype; /* a ct_dtype, or -1 */
} safetensors_kind;

static const safetensors_kind safetensors_kinds[] = {
#define OUR_KIND(NAME, type, name, safetensors, ...)                                               \
    [CT_##NAME] = { safetensors, 8 * sizeof(type), CT_##NAME },
    CTI_DTYPES(OUR_KIND)
#undef OUR_KIND
        { "F16", 16, -1 },
    { "I16", 16, -1 },
    { "I8", 8, -1 },
    { "U8", 8, -1 },
    { "U16", 16, -1 },
    { "U32", 32, -1 },
    { "U64", 64, -1 },
    { "F8_E4M3", 8, -1 },
    { "F8_E5M2", 8, -1 },
    { "F8_E8M0", 8, -1 },
    { "F8_E4M3FNUZ", 8, -1 },
    { "F8_E5M2FNUZ", 8, -1 },
    { "F6_E2M3", 6, -1 },
    { "F6_E3M2", 6, -1 },
    { "F4", 4, -1 },
    { "C64", 64, -1 },
};

#define SAFETENSORS_KINDS (sizeof safetensors_kinds / sizeof *safetensors_kinds)

typedef struct safetensors_entry {
    const cti_json *json; /* the tensor's member of the header; its key is the name */
    const safetensors_kind *kind;
    ct_shape shape;
    uint64_t begin, end;
} safetensors_entry;

/* A file in memory. The open file and each tensor over the memory hold a reference. */
typedef struct safetensors_map {
    atomic_int refs;
    void *base;
    size_t size;
} safetensors_map;

struct ct_safetensors {
    cti_read_file file;
    safetensors_map *map; /* or NULL */
    cti_json *header;
    const cti_json *metadata; /* or NULL */
    safetensors_entry *entry;
    int count;
    uint64_t payload;     /* the offset of the payload in the file */
    bool header_verified; /* the header has a digest, and it matches */
    bool payload_verified;
};

static const char *const safetensors_opening = "ct_safetensors_open";

/* ---- one tensor of the header ---- */

/* Raises an error about a tensor of the header; returns false. */
static bool safetensors_refuse(const ct_safetensors *f, const cti_json *tensor, const char *why)
{
    return cti_malformed(&f->file, safetensors_opening, LENGTH_BYTES + (uint64_t)tensor->offset,
                         "tensor %s: %s", cti_quote(tensor->key).s, why);
}

static const safetensors_kind *safetensors_find_kind(const char *name)
{
    size_t i;

    for (i = 0; name && i < SAFETENSORS_KINDS; i++)
        if (strcmp(safetensors_kinds[i].name, name) == 0)
            return &safetensors_kinds[i];
    return NULL;
}

/* True if list is an array of integers, none of them negative. */
static bool safetensors_is_sizes(const cti_json *list)
{
    if (!cti_json_is(list, CTI_JSON_ARRAY))
        return false;
    for (const cti_json *v = list->first; v; v = v->next)
        if (v->type != CTI_JSON_INTEGER || v->integer < 0)
            return false;
    return true;
}

/* Fills *shape and *bytes from a list of sizes. False if the number of bytes overflows or is not
 * whole. The product of the other sizes must not overflow even if one size is 0, because strides
 * are products of sizes. */
static bool safetensors_measure(const cti_json *list, const safetensors_kind *k, ct_shape *shape,
                                uint64_t *bytes)
{
    uint64_t bits = k->bits;
    int64_t dim[AXIS_LIMIT];
    int n = 0;
    bool zero = false;

    for (const cti_json *v = list->first; v; v = v->next) {
        dim[n++] = v->integer;
        zero |= v->integer == 0;
    }
    *shape = ct_shape_from_sizes(n, dim);
    for (int i = 0; i < n; i++)
        if (dim[i] && __builtin_mul_overflow(bits, (uint64_t)dim[i], &bits))
            return false;
    *bytes = zero ? 0 : bits / 8;
    return zero || bits % 8 == 0;
}

/* Fills e from a member of the header; false with an error. */
static bool safetensors_parse_entry(const ct_safetensors *f, const cti_json *value,
                                    safetensors_entry *e)
{
    const cti_json *dtype = cti_json_get(value, "dtype"), *shape = cti_json_get(value, "shape"),
                   *offsets = cti_json_get(value, "data_offsets");
    uint64_t bytes;
    char why[300];

    if (!dtype || !shape || !offsets || value->count != 3)
        return safetensors_refuse(f, value, "is not an object of dtype, shape and data_offsets");
    e->json = value;
    e->kind = safetensors_find_kind(cti_json_text(dtype));
    if (!e->kind) {
        if (!cti_json_text(dtype))
            return safetensors_refuse(f, value, "its dtype is not a string");
        snprintf(why, sizeof why, "its dtype %s is unknown", cti_quote(cti_json_text(dtype)).s);
        return safetensors_refuse(f, value, why);
    }
    if (!safetensors_is_sizes(shape))
        return safetensors_refuse(f, value, "its shape is not a list of integers from 0 up");
    if (!safetensors_is_sizes(offsets) || offsets->count != 2)
        return safetensors_refuse(f, value, "its data_offsets are not two integers from 0 up");
    if (!safetensors_measure(shape, e->kind, &e->shape, &bytes)) {
        snprintf(why, sizeof why, "%s%s is too large, or not a whole number of bytes",
                 e->kind->name, cti_shape_text(&e->shape).s);
        return safetensors_refuse(f, value, why);
    }
    e->begin = (uint64_t)offsets->first->integer;
    e->end = (uint64_t)offsets->first->next->integer;
    if (e->end < e->begin || e->end - e->begin != bytes) {
        snprintf(why, sizeof why, "its data_offsets are [%llu,%llu], and %s%s takes %llu bytes",
                 (unsigned long long)e->begin, (unsigned long long)e->end, e->kind->name,
                 cti_shape_text(&e->shape).s, (unsigned long long)bytes);
        return safetensors_refuse(f, value, why);
    }
    return true;
}

/* ---- the header ---- */

/* Verifies the digest of the header, if the header begins with one. */
static bool safetensors_verify_header(ct_safetensors *f, const char *text, size_t n)
{
    char got[DIGEST_DIGITS + 1], want[DIGEST_DIGITS + 1] = "";

    if (!cti_header_has_digest(text, n))
        return true;
    memcpy(want, text + sizeof HEADER_START - 1, DIGEST_DIGITS);
    cti_header_digest(text, n, got);
    if (memcmp(got, want, DIGEST_DIGITS) != 0)
        return cti_malformed(&f->file, safetensors_opening, LENGTH_BYTES,
                             "the header is damaged: its SHA-256 is %s; the metadata say %s", got,
                             cti_quote(want).s);
    f->header_verified = true;
    return true;
}

/* Refuses a file with only one of the two digests, because ct_safetensors_write writes both and
 * other programs write neither. */
static bool safetensors_check_digests(const ct_safetensors *f)
{
    uint64_t offset = LENGTH_BYTES + (f->metadata ? (uint64_t)f->metadata->offset : 0);
    bool header = ct_safetensors_metadata(f, HEADER_DIGEST_KEY) != NULL,
         payload = ct_safetensors_metadata(f, PAYLOAD_DIGEST_KEY) != NULL;

    if (!f->header_verified && (header || payload))
        return cti_malformed(&f->file, safetensors_opening, offset,
                             "the header is damaged, or another program wrote the file: %s is in "
                             "the metadata, and the header does not begin with " HEADER_DIGEST_KEY,
                             header ? HEADER_DIGEST_KEY : PAYLOAD_DIGEST_KEY);
    if (f->header_verified && !payload)
        return cti_malformed(&f->file, safetensors_opening, offset,
                             "the metadata have no " PAYLOAD_DIGEST_KEY);
    return true;
}

static bool safetensors_parse_metadata(ct_safetensors *f, const cti_json *metadata)
{
    uint64_t offset = LENGTH_BYTES + (uint64_t)metadata->offset;

    if (metadata->type != CTI_JSON_OBJECT)
        return cti_malformed(&f->file, safetensors_opening, offset, METADATA " is not an object");
    for (const cti_json *v = metadata->first; v; v = v->next)
        if (v->type != CTI_JSON_STRING)
            return cti_malformed(&f->file, safetensors_opening, offset,
                                 METADATA ": the value of %s is not text", cti_quote(v->key).s);
    f->metadata = metadata;
    return true;
}

static int safetensors_by_offset(const void *a, const void *b)
{
    const safetensors_entry *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->json->key, y->json->key);
}

/* Checks that the tensors, in order of their offsets, fill the payload exactly. */
static bool safetensors_check_layout(const ct_safetensors *f)
{
    uint64_t size = f->file.size - f->payload, at = 0;
    char why[300];
    int i;

    for (i = 0; i < f->count; i++) {
        const safetensors_entry *e = &f->entry[i];

        if (e->begin > at)
            snprintf(why, sizeof why, "begins at %llu of the payload, which leaves a gap from %llu",
                     (unsigned long long)e->begin, (unsigned long long)at);
        else if (e->begin < at)
            snprintf(why, sizeof why, "begins at %llu of the payload, within tensor %s",
                     (unsigned long long)e->begin, cti_quote(f->entry[i - 1].json->key).s);
        else if (e->end > size)
            snprintf(why, sizeof why, "ends at %llu of the payload, which has %llu bytes",
                     (unsigned long long)e->end, (unsigned long long)size);
        else {
            at = e->end;
            continue;
        }
        return safetensors_refuse(f, e->json, why);
    }
    if (at < size)
        return cti_malformed(&f->file, safetensors_opening, f->payload + at,
                             "%llu bytes belong to no tensor", (unsigned long long)(size - at));
    return true;
}

static bool safetensors_parse_tensors(ct_safetensors *f)
{
    size_t room = f->header->count;

    f->entry = cti_calloc(room, sizeof *f->entry);
    if (!f->entry) {
        cti_out_of_memory(safetensors_opening, room * sizeof *f->entry);
        return false;
    }
    for (const cti_json *v = f->header->first; v; v = v->next)
        if (strcmp(v->key, METADATA) == 0 ? !safetensors_parse_metadata(f, v)
                                          : !safetensors_parse_entry(f, v, &f->entry[f->count++]))
            return false;
    qsort(f->entry, (size_t)f->count, sizeof *f->entry, safetensors_by_offset);
    return safetensors_check_digests(f) && safetensors_check_layout(f);
}

static bool safetensors_parse_header(ct_safetensors *f, const char *text, size_t n)
{
    static const cti_json_limits limits = {
        .depth = DEPTH_LIMIT, .keys = KEY_LIMIT, .elements = AXIS_LIMIT, .values = VALUE_LIMIT
    };
    cti_json_error error;

    if (n == 0 || text[0] != '{')
        return cti_malformed(&f->file, safetensors_opening, LENGTH_BYTES,
                             "not a safetensors file: the header does not begin with '{'");
    if (!safetensors_verify_header(f, text, n))
        return false;
    f->header = cti_json_read(text, n, limits, &error);
    if (f->header)
        return safetensors_parse_tensors(f);
    if (error.memory)
        cti_out_of_memory(safetensors_opening, error.memory);
    else
        cti_malformed(&f->file, safetensors_opening, LENGTH_BYTES + (uint64_t)error.offset,
                      "the header %s", error.what);
    return false;
}

/* The format of a file that begins with these bytes; NULL if it is not known. A safetensors file
 * cannot begin like this, because its header would be too long. */
static const char *safetensors_foreign_kind(const uint8_t bytes[LENGTH_BYTES])
{
    static const struct {
        const char *start, *kind;
    } kinds[] = { { "PK\3\4", "a ZIP archive (PyTorch's .pt files are)" },
                  { "\x93NUMPY", "an array of NumPy" },
                  { "\x1f\x8b", "a gzip file" },
                  { "GGUF", "a GGUF file" } };
    size_t n;
    int i;

    for (i = 0; i < (int)(sizeof kinds / sizeof *kinds); i++)
        if (memcmp(bytes, kinds[i].start, strlen(kinds[i].start)) == 0)
            return kinds[i].kind;
    for (i = 0; i < LENGTH_BYTES; i += (int)n) {
        n = cti_utf8_length((const char *)bytes + i, LENGTH_BYTES - (size_t)i);
        if (n == 0 && i > LENGTH_BYTES - 4)
            break; /* the last character continues after the 8 bytes */
        if (n == 0 || bytes[i] == 0x7f || (bytes[i] < 0x20 && !strchr("\t\n\r", bytes[i])) ||
            bytes[i] == 0)
            return NULL;
    }
    return "a text file";
}

/* The length of the header, checked against that of the file; -1 with an error. */
static int64_t safetensors_header_length(ct_safetensors *f)
{
    uint8_t bytes[LENGTH_BYTES];
    const char *kind;
    uint64_t n = 0;
    int i;

    if (f->file.size < LENGTH_BYTES) {
        cti_malformed(&f->file, safetensors_opening, f->file.size,
                      "not a safetensors file: it ends before the header's length (8 bytes)");
        return -1;
    }
    if (!cti_read_at(&f->file, safetensors_opening, 0, bytes, LENGTH_BYTES))
        return -1;
    for (i = LENGTH_BYTES - 1; i >= 0; i--)
        n = n << 8 | bytes[i];
    if (n > HEADER_LIMIT && (kind = safetensors_foreign_kind(bytes)))
        cti_malformed(&f->file, safetensors_opening, 0, "not a safetensors file: it is %s", kind);
    else if (n > HEADER_LIMIT)
        cti_malformed(&f->file, safetensors_opening, 0,
                      "not a safetensors file: the header's length is %llu, above %u",
                      (unsigned long long)n, HEADER_LIMIT);
    else if (n > f->file.size - LENGTH_BYTES)
        cti_malformed(&f->file, safetensors_opening, 0,
                      "not a safetensors file: the header's length is %llu, but %llu bytes follow",
                      (unsigned long long)n, (unsigned long long)(f->file.size - LENGTH_BYTES));
    else
        return (int64_t)n;
    return -1;
}

static bool safetensors_read_header(ct_safetensors *f)
{
    int64_t n = safetensors_header_length(f);
    char *text;
    bool ok;

    if (n < 0)
        return false;
    text = cti_calloc(1, (size_t)n + 1);
    if (!text) {
        cti_out_of_memory(safetensors_opening, (size_t)n + 1);
        return false;
    }
    f->payload = LENGTH_BYTES + (uint64_t)n;
    ok = cti_read_at(&f->file, safetensors_opening, LENGTH_BYTES, text, (size_t)n) &&
         safetensors_parse_header(f, text, (size_t)n);
    cti_release(text);
    return ok;
}

static void safetensors_map_unref(void *data, void *context)
{
    safetensors_map *m = context;

    (void)data;
    if (!cti_last_ref(&m->refs))
        return;
    if (m->base)
        munmap(m->base, m->size);
    cti_release(m);
}

/* Maps the whole file; false with an error. */
static bool safetensors_make_map(ct_safetensors *f)
{
    f->map = cti_calloc(1, sizeof *f->map);
    if (!f->map) {
        cti_out_of_memory(safetensors_opening, sizeof *f->map);
        return false;
    }
    atomic_store(&f->map->refs, 1);
    f->map->size = (size_t)f->file.size;
    return cti_read_map(&f->file, safetensors_opening, &f->map->base);
}

static ct_safetensors *safetensors_open(const char *path, const ct_reader *reader, bool map)
{
    ct_safetensors *f = cti_calloc(1, sizeof *f);

    if (!f) {
        cti_out_of_memory(safetensors_opening, sizeof *f);
        return NULL;
    }
    if (!(reader ? cti_read_open_reader(&f->file, safetensors_opening, reader)
                 : cti_read_open(&f->file, safetensors_opening, path))) {
        cti_read_close(&f->file);
        cti_release(f);
        return NULL;
    }
    if (safetensors_read_header(f) && (!map || safetensors_make_map(f)))
        return f;
    ct_safetensors_close(f);
    return NULL;
}

ct_safetensors *ct_safetensors_open(const char *path)
{
    return safetensors_open(path, NULL, false);
}

ct_safetensors *ct_safetensors_open_mapped(const char *path)
{
    return safetensors_open(path, NULL, true);
}

ct_safetensors *ct_safetensors_open_reader(ct_reader reader)
{
    return safetensors_open(NULL, &reader, false);
}

ct_safetensors *ct_safetensors_open_memory(const void *bytes, size_t size)
{
    ct_reader reader = ct_memory_reader(bytes, size);

    return cti_given("ct_safetensors_open_memory", "bytes", bytes)
               ? safetensors_open(NULL, &reader, false)
               : NULL;
}

void ct_safetensors_close(ct_safetensors *f)
{
    if (!f)
        return;
    if (f->map)
        safetensors_map_unref(NULL, f->map);
    cti_read_close(&f->file);
    cti_release(f->header);
    cti_release(f->entry);
    cti_release(f);
}

/* ---- the contents ---- */

static const safetensors_entry *safetensors_entry_at(const ct_safetensors *f, int i)
{
    return f && i >= 0 && i < f->count ? &f->entry[i] : NULL;
}

int ct_safetensors_count(const ct_safetensors *f)
{
    return f ? f->count : 0;
}

const char *ct_safetensors_name(const ct_safetensors *f, int i)
{
    const safetensors_entry *e = safetensors_entry_at(f, i);

    return e ? e->json->key : NULL;
}

ct_shape ct_safetensors_shape(const ct_safetensors *f, int i)
{
    const safetensors_entry *e = safetensors_entry_at(f, i);

    return e ? e->shape : CT_SCALAR;
}

const char *ct_safetensors_dtype(const ct_safetensors *f, int i)
{
    const safetensors_entry *e = safetensors_entry_at(f, i);

    return e ? e->kind->name : NULL;
}

int ct_safetensors_find(const ct_safetensors *f, const char *name)
{
    int i;

    for (i = 0; f && name && i < f->count; i++)
        if (strcmp(f->entry[i].json->key, name) == 0)
            return i;
    return -1;
}

const char *ct_safetensors_metadata(const ct_safetensors *f, const char *key)
{
    return f && key ? cti_json_text(cti_json_get(f->metadata, key)) : NULL;
}

/* ---- loading ---- */

/* Computes the SHA-256 of the payload, piece by piece; false with an error. */
static bool safetensors_payload_digest(ct_safetensors *f, const char *function, char hex[65])
{
    uint64_t at = f->payload;
    uint8_t *piece = cti_calloc(1, PIECE);
    struct sha256_ctx sha;
    bool ok = true;

    if (!piece) {
        cti_out_of_memory(function, PIECE);
        return false;
    }
    sha256_init(&sha);
    while (ok && at < f->file.size) {
        size_t n = f->file.size - at < PIECE ? (size_t)(f->file.size - at) : PIECE;

        ok = cti_read_at(&f->file, function, at, piece, n);
        if (ok)
            sha256_update(&sha, n, piece);
        at += n;
    }
    cti_sha256_text(&sha, hex);
    cti_release(piece);
    return ok;
}

/* At the first load, checks the payload against its digest, if the metadata have it. */
static bool safetensors_verify(ct_safetensors *f, const char *function)
{
    const char *want = ct_safetensors_metadata(f, PAYLOAD_DIGEST_KEY);
    char got[65];

    if (want && !f->payload_verified) {
        if (!safetensors_payload_digest(f, function, got))
            return false;
        if (strcmp(got, want) != 0)
            return cti_malformed(&f->file, function, f->payload,
                                 "the payload is damaged: its SHA-256 is %s; the metadata say %s",
                                 got, want);
    }
    f->payload_verified = true;
    return true;
}

/* Returns a tensor over the mapped file. */
static ct_tensor *safetensors_load_mapped(ct_safetensors *f, const char *function,
                                          const safetensors_entry *e)
{
    cti_blob b = { .data = (char *)f->map->base + f->payload + e->begin,
                   .shape = e->shape,
                   .dtype = (ct_dtype)e->kind->dtype,
                   .writable = true, /* the mapping is private */
                   .deleter = safetensors_map_unref,
                   .context = f->map };
    ct_tensor *t;

    cti_row_major(&b.shape, b.stride);
    t = cti_blob_new(function, &b);
    if (t)
        atomic_fetch_add(&f->map->refs, 1);
    return t;
}

/* True if a tensor can use the bytes of entry e in place: they must be aligned and in the order of
 * memory. Bools are copied instead, because copying checks them. */
static bool safetensors_lies_well(const ct_safetensors *f, const safetensors_entry *e,
                                  ct_device device)
{
    return f->map && device == CT_CPU && e->end > e->begin && e->kind->dtype != CT_BOOL &&
           !CTI_SWAPS_FILES &&
           (f->payload + e->begin) % ct_dtype_size((ct_dtype)e->kind->dtype) == 0;
}

static ct_tensor *safetensors_load(ct_safetensors *f, const char *function, int i, ct_device device)
{
    const safetensors_entry *e = &f->entry[i];

    if (e->kind->dtype < 0) {
        ct_raise(CT_ERR_DTYPE, function,
                 "%.400s: tensor %s has the dtype %s, which is not supported", f->file.path,
                 cti_quote(e->json->key).s, e->kind->name);
        return NULL;
    }
    if (e->shape.rank > CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, function, "%.400s: tensor %s has the rank %d, above %d",
                 f->file.path, cti_quote(e->json->key).s, e->shape.rank, CT_MAX_RANK);
        return NULL;
    }
    if (!safetensors_verify(f, function))
        return NULL;
    if (safetensors_lies_well(f, e, device))
        return safetensors_load_mapped(f, function, e);
    return cti_read_tensor(&f->file, function, f->payload + e->begin, e->shape,
                           (ct_dtype)e->kind->dtype, device);
}

ct_tensor *ct_safetensors_load(ct_safetensors *f, int i, ct_device device)
{
    if (!cti_given("ct_safetensors_load", "f", f))
        return NULL;
    if (safetensors_entry_at(f, i))
        return safetensors_load(f, "ct_safetensors_load", i, device);
    ct_raise(CT_ERR_ARGUMENT, "ct_safetensors_load",
             "%.400s: there is no tensor %d; the number of tensors is %d, counted from 0",
             f->file.path, i, f->count);
    return NULL;
}

ct_tensor *ct_safetensors_get(ct_safetensors *f, const char *name, ct_device device)
{
    static const char *const me = "ct_safetensors_get";
    int i = ct_safetensors_find(f, name);

    if (!cti_given(me, "f", f) || !cti_given(me, "name", name))
        return NULL;
    if (i >= 0)
        return safetensors_load(f, me, i, device);
    ct_raise(CT_ERR_ARGUMENT, me, "%.400s: the file has no tensor %s", f->file.path,
             cti_quote(name).s);
    return NULL;
}

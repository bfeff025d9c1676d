/* SPDX-License-Identifier: MIT */
/* idx.c - the format of MNIST (yann.lecun.com/exdb/mnist): big endian.
 *
 *     0 0 type axes      4 bytes; type 8 is bytes
 *     size ...           4 bytes for each axis
 *     elements           row-major */
#include "tensor/internal.h"

#include <cotangent/data/dataset_files.h>

#include "data/internal.h"
#include "tensor/hooks.h"
#include "tensor/read_file.h"

#include <string.h>

#ifdef CT_HAVE_ZLIB
#include <zlib.h>
#endif

static const char *const idx_making = "ct_dataset_idx_new";

/* A file in memory. */
typedef struct idx_file {
    ct_shape shape;
    uint8_t *bytes; /* the whole file; the elements start at offset begin */
    size_t size, begin;
} idx_file;

typedef struct idx {
    idx_file images, labels;
    size_t row; /* the number of elements of an image */
} idx;

/* Reads the file into f. */
static bool idx_read_bytes(idx_file *f, const char *path)
{
    cti_read_file in;
    bool good = false;

    if (!cti_read_open(&in, idx_making, path))
        return false;
    f->size = (size_t)in.size;
    f->bytes = f->size == in.size ? cti_calloc(1, f->size + 1) : NULL;
    if (!f->bytes)
        cti_out_of_memory(idx_making, f->size + 1);
    else
        good = cti_read_at(&in, idx_making, 0, f->bytes, f->size);
    cti_read_close(&in);
    return good;
}

/* Returns the length of the file according to its header; UINT64_MAX if it overflows or if the
 * bytes do not contain the whole header. */
static uint64_t idx_claims(const uint8_t *b, size_t size)
{
    uint64_t n = 1;

    if (size < 4 || size < 4 + 4 * (size_t)b[3])
        return UINT64_MAX;
    for (int i = 0; i < b[3]; i++) {
        const uint8_t *s = b + 4 + 4 * i;
        uint64_t dim = (uint64_t)s[0] << 24 | (uint64_t)s[1] << 16 | (uint64_t)s[2] << 8 | s[3];

        if (__builtin_mul_overflow(n, dim, &n) || n > INT64_MAX)
            return UINT64_MAX;
    }
    return n + 4 + 4 * (uint64_t)b[3];
}

/* Reads the shape from the header, and checks that the file has exactly its elements. */
static bool idx_parse(idx_file *f, const char *path)
{
    const uint8_t *b = f->bytes;
    uint64_t claims = idx_claims(b, f->size);

    if (f->size < 4 || b[0] || b[1] || b[2] != 8 || !b[3] || b[3] > CT_MAX_RANK) {
        ct_raise(CT_ERR_FORMAT, idx_making,
                 "%.400s: is not an IDX file of unsigned bytes with 1 to %d axes", path,
                 CT_MAX_RANK);
        return false;
    }
    if (claims == UINT64_MAX) {
        ct_raise(CT_ERR_FORMAT, idx_making, "%.400s: its header is cut or has too large sizes",
                 path);
        return false;
    }
    if (claims != f->size) {
        ct_raise(CT_ERR_FORMAT, idx_making,
                 "%.400s: has %zu bytes; by its header it must have %llu", path, f->size,
                 (unsigned long long)claims);
        return false;
    }
    f->begin = 4 + 4 * (size_t)b[3];
    f->shape.rank = b[3];
    for (int i = 0; i < f->shape.rank; i++) {
        const uint8_t *s = b + 4 + 4 * i;

        f->shape.dim[i] = (int64_t)s[0] << 24 | s[1] << 16 | s[2] << 8 | s[3];
    }
    return true;
}

#ifdef CT_HAVE_ZLIB
/* Doubles the output buffer if it is full. */
static bool idx_grow(uint8_t **out, size_t *room, size_t used)
{
    uint8_t *more;

    if (used < *room)
        return true;
    more = cti_realloc(*out, *room, *room ? 2 * *room : 65536);
    if (!more) {
        cti_out_of_memory(idx_making, *room ? 2 * *room : 65536);
        return false;
    }
    *room = *room ? 2 * *room : 65536;
    *out = more;
    return true;
}

/* Replaces compressed bytes by the decompressed ones. */
static bool idx_inflate(idx_file *f, const char *path)
{
    z_stream z = { .next_in = f->bytes, .avail_in = (uInt)f->size };
    uint8_t *out = NULL;
    size_t room = 0, used = 0;
    int state = Z_OK;

    if (f->size > UINT32_MAX || inflateInit2(&z, 15 + 16) != Z_OK) { /* 16: gzip */
        ct_raise(CT_ERR_MEMORY, idx_making, "%.400s: cannot be decompressed", path);
        return false;
    }
    while (state == Z_OK && idx_grow(&out, &room, used)) {
        z.next_out = out + used;
        z.avail_out = room - used > INT32_MAX ? INT32_MAX : (uInt)(room - used);
        state = inflate(&z, Z_NO_FLUSH);
        used = (size_t)(z.next_out - out);
        if (state == Z_OK && used > idx_claims(out, used)) /* stop before a small file fills the
                                                            * memory */
            state = Z_DATA_ERROR;
    }
    inflateEnd(&z);
    if (state != Z_STREAM_END) {
        if (ct_ok())
            ct_raise(CT_ERR_FORMAT, idx_making, "%.400s: the compressed data are damaged", path);
        cti_release(out);
        return false;
    }
    cti_release(f->bytes);
    f->bytes = out;
    f->size = used;
    return true;
}
#else
static bool idx_inflate(idx_file *f, const char *path)
{
    (void)f;
    ct_raise(CT_ERR_ARGUMENT, idx_making, "%.400s: is compressed, and this build has no zlib",
             path);
    return false;
}
#endif

static bool idx_read(idx_file *f, const char *path)
{
    if (!idx_read_bytes(f, path))
        return false;
    if (f->size >= 2 && f->bytes[0] == 0x1f && f->bytes[1] == 0x8b && !idx_inflate(f, path))
        return false;
    return idx_parse(f, path);
}

/* ---- the dataset ---- */

static ct_status idx_get(void *self, int64_t i, void *const *field)
{
    const idx *d = self;
    const uint8_t *image = d->images.bytes + d->images.begin + (size_t)i * d->row;

    for (size_t k = 0; k < d->row; k++)
        ((float *)field[0])[k] = (float)image[k] / 255.0f;
    if (d->labels.bytes)
        *(int32_t *)field[1] = d->labels.bytes[d->labels.begin + (size_t)i];
    return CT_OK;
}

static ct_status idx_digest(void *self, char hex[65])
{
    const idx *d = self;
    char each[2][65] = { "", "" };

    ct_sha256_hex(d->images.bytes, d->images.size, each[0]);
    if (d->labels.bytes)
        ct_sha256_hex(d->labels.bytes, d->labels.size, each[1]);
    ct_sha256_hex(each, sizeof each, hex);
    return CT_OK;
}

static void idx_free(void *self)
{
    idx *d = self;

    cti_release(d->images.bytes);
    cti_release(d->labels.bytes);
    cti_release(d);
}

static const ct_dataset_table idx_table = {
    .name = "idx", .get = idx_get, .digest = idx_digest, .free = idx_free
};

/* Reads both files and checks that they have the same number of samples. */
static bool idx_open(idx *d, const char *images, const char *labels)
{
    const ct_shape *x = &d->images.shape, *y = &d->labels.shape;

    if (!idx_read(&d->images, images) || (labels && !idx_read(&d->labels, labels)))
        return false;
    d->row = 1;
    for (int i = 1; i < x->rank; i++)
        d->row *= (size_t)x->dim[i];
    if (!labels || (y->rank == 1 && y->dim[0] == x->dim[0]))
        return true;
    ct_raise(CT_ERR_SHAPE, idx_making,
             "images are %s and labels are %s; they must be (N, ...) and (N)", cti_shape_text(x).s,
             cti_shape_text(y).s);
    return false;
}

ct_dataset *ct_dataset_idx_new(const char *images, const char *labels)
{
    ct_field fields[2] = { { .name = "x", .dtype = CT_F32 }, { .name = "y", .dtype = CT_I32 } };
    idx *d;

    if (!cti_given(idx_making, "images", images))
        return NULL;
    d = cti_calloc(1, sizeof *d);
    if (!d) {
        cti_out_of_memory(idx_making, sizeof *d);
        return NULL;
    }
    if (!idx_open(d, images, labels)) {
        idx_free(d);
        return NULL;
    }
    fields[0].shape = ct_shape_from_sizes(d->images.shape.rank - 1, d->images.shape.dim + 1);
    return cti_dataset_new(idx_making, &idx_table, d, d->images.shape.dim[0], labels ? 2 : 1,
                           fields);
}

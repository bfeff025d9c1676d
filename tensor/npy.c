/* npy.c - NumPy's files: "\x93NUMPY", version (2 bytes), the header's length (2 bytes, from version
 * 2.0 on 4), the header, {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, ended by a
 * newline, then the elements. */
#include "tensor/internal.h"

#include "tensor/atomic_file.h"
#include "tensor/hooks.h"
#include "tensor/read_file.h"

#include <cotangent/tensor/npy.h>

#include <stdio.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6
#define HEADER_LIMIT ((size_t)1 << 16)

static const char *const reading = "ct_npy_read";

static const struct kind {
    const char *descr;
    ct_dtype dtype;
} kinds[] = {
    { "<f4", CT_F32 }, { "<f8", CT_F64 }, { "<i4", CT_I32 }, { "<i8", CT_I64 }, { "|b1", CT_BOOL }
};

#define KINDS (sizeof kinds / sizeof *kinds)

/* The header, as it is read. */
typedef struct parser {
    cti_read_file file;
    char *text; /* the header, NUL-terminated */
    size_t length, at;
    uint64_t begin; /* the header's offset in the file */

    char descr[32];
    bool fortran;
    ct_shape shape;
    bool seen[3]; /* descr, fortran_order, shape */
} parser;

/* ---- a dictionary of Python's ---- */

static bool refuse(const parser *p, const char *why)
{
    return cti_malformed(&p->file, reading, p->begin + p->at, "%s", why);
}

static void skip_space(parser *p)
{
    p->at += strspn(p->text + p->at, " \t\r\n");
}

/* Passes over c, and the space around it; false if something else is there. */
static bool take(parser *p, char c)
{
    skip_space(p);
    if (p->text[p->at] != c)
        return false;
    p->at++;
    skip_space(p);
    return true;
}

static bool take_word(parser *p, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(p->text + p->at, word, n) != 0)
        return false;
    p->at += n;
    return true;
}

/* 'text' or "text", without escapes. */
static bool parse_string(parser *p, char *out, size_t room)
{
    const char *from = p->text + p->at, *end;

    if (*from != '\'' && *from != '"')
        return refuse(p, "a string is expected");
    end = strchr(from + 1, *from);
    if (!end || (size_t)(end - from) > room || memchr(from, '\\', (size_t)(end - from)))
        return refuse(p, "a string without end, too long, or with a backslash");
    memcpy(out, from + 1, (size_t)(end - from - 1));
    out[end - from - 1] = '\0';
    p->at += (size_t)(end - from) + 1;
    return true;
}

static bool parse_size(parser *p, int64_t *out)
{
    size_t from = p->at;
    int64_t n = 0;

    for (; p->text[p->at] >= '0' && p->text[p->at] <= '9'; p->at++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, p->text[p->at] - '0', &n))
            return refuse(p, "a size too large");
    *out = n;
    return p->at > from || refuse(p, "a size is expected: an integer from 0 up");
}

/* (), (3,), (2, 3), (2, 3,) */
static bool parse_shape(parser *p)
{
    int64_t dim[CT_MAX_RANK];
    bool comma = true;
    int rank = 0;

    if (!take(p, '('))
        return refuse(p, "'(' is expected");
    while (!take(p, ')')) {
        if (!comma)
            return refuse(p, "',' or ')' is expected");
        if (rank == CT_MAX_RANK) {
            ct_raise(CT_ERR_SHAPE, reading, "%.400s: has a rank above %d", p->file.path,
                     CT_MAX_RANK);
            return false;
        }
        if (!parse_size(p, &dim[rank++]))
            return false;
        comma = take(p, ',');
    }
    if (rank == 1 && !comma)
        return refuse(p, "a tuple of one is written (n,)");
    p->shape = ct_shape_from_sizes(rank, dim);
    return true;
}

static bool parse_order(parser *p)
{
    p->fortran = take_word(p, "True");
    return p->fortran || take_word(p, "False") || refuse(p, "True or False is expected");
}

static bool parse_item(parser *p)
{
    static const char *const keys[] = { "descr", "fortran_order", "shape" };
    size_t from = p->at;
    char key[16];
    int k;

    if (!parse_string(p, key, sizeof key))
        return false;
    for (k = 0; k < 3 && strcmp(keys[k], key) != 0; k++)
        ;
    if (k == 3 || p->seen[k]) {
        p->at = from;
        return refuse(p, k == 3 ? "a key that is not descr, fortran_order or shape"
                                : "a key is there twice");
    }
    p->seen[k] = true;
    if (!take(p, ':'))
        return refuse(p, "':' is expected");
    if (k == 0)
        return parse_string(p, p->descr, sizeof p->descr);
    return k == 1 ? parse_order(p) : parse_shape(p);
}

static bool parse_header(parser *p)
{
    bool comma = true;

    if (!take(p, '{'))
        return refuse(p, "'{' is expected");
    while (!take(p, '}')) {
        if (!comma)
            return refuse(p, "',' or '}' is expected");
        if (!parse_item(p))
            return false;
        comma = take(p, ',');
    }
    if (p->at != p->length)
        return refuse(p, "the header goes on after '}'");
    return (p->seen[0] && p->seen[1] && p->seen[2]) ||
           refuse(p, "the header has not all of descr, fortran_order and shape");
}

/* ---- the file ---- */

/* Magic, version and the header's length; the header is then in p->text. */
static bool read_header(parser *p)
{
    uint8_t b[MAGIC_BYTES + 6] = { 0 };
    uint64_t size = p->file.size, n;

    if (size < MAGIC_BYTES + 4)
        return cti_malformed(&p->file, reading, size, "the file ends before its header's length");
    if (!cti_read_at(&p->file, reading, 0, b, size < sizeof b ? (size_t)size : sizeof b))
        return false;
    if (memcmp(b, MAGIC, MAGIC_BYTES) != 0)
        return cti_malformed(&p->file, reading, 0, "the file does not begin as a NPY file does");
    if ((b[6] != 1 && b[6] != 2) || b[7] != 0)
        return cti_malformed(&p->file, reading, 6, "the version is %d.%d, not 1.0 or 2.0", b[6],
                             b[7]);
    p->begin = b[6] == 1 ? 10 : 12;
    n = b[8] | (uint64_t)b[9] << 8;
    if (b[6] == 2)
        n |= (uint64_t)b[10] << 16 | (uint64_t)b[11] << 24;
    if (size < p->begin || n > size - p->begin || n > HEADER_LIMIT)
        return cti_malformed(&p->file, reading, 8,
                             "the header's length is %llu, but %llu bytes follow (and %zu is "
                             "the most)",
                             (unsigned long long)n,
                             (unsigned long long)(size < p->begin ? 0 : size - p->begin),
                             HEADER_LIMIT);
    p->length = (size_t)n;
    p->text = cti_calloc(1, p->length + 1);
    if (!p->text)
        cti_out_of_memory(reading, p->length + 1);
    return p->text && cti_read_at(&p->file, reading, p->begin, p->text, p->length);
}

static const struct kind *find_kind(const parser *p)
{
    size_t i;

    for (i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].descr, p->descr) == 0)
            return &kinds[i];
    ct_raise(CT_ERR_DTYPE, reading, "%.400s: has the dtype %s, not <f4, <f8, <i4, <i8 or |b1",
             p->file.path, cti_quote(p->descr).s);
    return NULL;
}

/* The bytes that follow the header are those of the shape. Sizes beside one of 0 count too: strides
 * are made of them. */
static bool check_size(const parser *p, ct_dtype dtype)
{
    uint64_t payload = p->begin + p->length, bytes = ct_dtype_size(dtype);
    bool zero = false;
    int i;

    for (i = 0; i < p->shape.rank; i++) {
        zero |= p->shape.dim[i] == 0;
        if (p->shape.dim[i] &&
            (__builtin_mul_overflow(bytes, (uint64_t)p->shape.dim[i], &bytes) || bytes > INT64_MAX))
            return cti_malformed(&p->file, reading, p->begin, "the shape %s is too large",
                                 cti_shape_text(&p->shape).s);
    }
    bytes = zero ? 0 : bytes;
    return bytes == p->file.size - payload ||
           cti_malformed(&p->file, reading, payload, "%s%s takes %llu bytes, but %llu follow",
                         ct_dtype_name(dtype), cti_shape_text(&p->shape).s,
                         (unsigned long long)bytes, (unsigned long long)(p->file.size - payload));
}

/* In Fortran's order the elements are, row-major, those of the transpose. */
static ct_tensor *read_transposed(parser *p, ct_dtype dtype, ct_device device)
{
    int rank = p->shape.rank, i;
    ct_shape reversed = p->shape;
    int64_t stride[CT_MAX_RANK];
    ct_tensor *t;

    for (i = 0; i < rank; i++)
        reversed.dim[i] = p->shape.dim[rank - 1 - i];
    t = cti_read_tensor(&p->file, reading, p->begin + p->length, reversed, dtype, device);
    if (!t)
        return NULL;
    for (i = 0; i < rank; i++)
        stride[i] = t->stride[rank - 1 - i];
    t = cti_view(reading, t, p->shape, stride, t->offset);
    return t ? cti_contiguous(t) : NULL;
}

ct_tensor *ct_npy_read(const char *path, ct_device device)
{
    parser p = { .text = NULL };
    ct_tensor *t = NULL;
    const struct kind *kind = NULL;

    if (!cti_read_open(&p.file, reading, path))
        return NULL;
    if (read_header(&p) && parse_header(&p))
        kind = find_kind(&p);
    if (kind && check_size(&p, kind->dtype))
        t = p.fortran ? read_transposed(&p, kind->dtype, device)
                      : cti_read_tensor(&p.file, reading, p.begin + p.length, p.shape, kind->dtype,
                                        device);
    cti_release(p.text);
    cti_read_close(&p.file);
    return t;
}

/* ---- writing ---- */

static bool write_bytes(void *context, const void *bytes, size_t size)
{
    return cti_atomic_write(context, bytes, size);
}

/* Magic to newline in head, which has room for any shape; the length is a multiple of 64, as NumPy
 * has it. */
static size_t make_header(const ct_tensor *t, const char *descr, char head[512])
{
    size_t n = MAGIC_BYTES + 4, end;
    int i;

    memset(head, ' ', 512);
    n += (size_t)sprintf(head + n, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (i = 0; i < t->shape.rank; i++)
        n += (size_t)sprintf(head + n, i ? ", %lld" : "%lld", (long long)t->shape.dim[i]);
    n += (size_t)sprintf(head + n, t->shape.rank == 1 ? ",), }" : "), }");
    head[n] = ' ';
    end = (n + 1 + 63) / 64 * 64;
    head[end - 1] = '\n';
    memcpy(head, MAGIC "\1\0", MAGIC_BYTES + 2);
    head[8] = (char)(end - MAGIC_BYTES - 4);
    head[9] = 0; /* no tensor's shape takes a header of 256 */
    return end;
}

ct_status ct_npy_write(const char *path, ct_tensor *t)
{
    static const char *const me = "ct_npy_write";
    cti_atomic_file f;
    char head[512];
    size_t n, k;

    if (!cti_sink_allowed())
        return ct_error();
    if (!cti_given(me, "path", path) || !cti_usable(me, t))
        return ct_error();
    for (k = 0; k < KINDS && kinds[k].dtype != t->dtype; k++)
        ;
    if (k == KINDS)
        return ct_raise(CT_ERR_DTYPE, me, "NumPy has no dtype for t %s", cti_describe(t).s);
    n = make_header(t, kinds[k].descr, head);
    if (!cti_atomic_begin(&f, me, path))
        return ct_error();
    if (cti_atomic_write(&f, head, n) && cti_each_bytes(t, write_bytes, &f))
        return cti_atomic_commit(&f) ? CT_OK : ct_error();
    cti_atomic_abort(&f);
    return ct_error();
}

/* SPDX-License-Identifier: MIT */
/* npy.c - files of one tensor in NumPy's format.
 *
 *     "\x93NUMPY"   magic
 *     2 bytes       version: 1.0 or 2.0
 *     2 or 4 bytes  length of the header, little endian (4 from version 2.0 on)
 *     header        {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } and a newline
 *     elements      in row-major order, or column-major if fortran_order is True
 * The header is a Python literal. The parser below accepts only dictionaries of this form. */
#include "tensor/internal.h"

#include "tensor/atomic_file.h"
#include "tensor/hooks.h"
#include "tensor/npy_header.h"
#include "tensor/read_file.h"
#include "tensor/text.h"

#include <cotangent/tensor/npy.h>

#include <stdio.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6
#define HEADER_LIMIT ((size_t)1 << 16)

static const char *const npy_reading = "ct_npy_read";

/* NumPy's name of each dtype; NULL if NumPy does not have the dtype. */
static const char *const npy_descrs[CTI_DTYPE_COUNT] = {
#define NPY_DESCR(NAME, type, name, safetensors, npy, use) [CT_##NAME] = npy,
    CTI_DTYPES(NPY_DESCR)
#undef NPY_DESCR
};

/* The header while it is parsed, and the values found in it. */
typedef struct npy_parser {
    cti_read_file file;
    char *text; /* the header, NUL-terminated */
    size_t length, at;
    uint64_t begin; /* the header's offset in the file */

    char descr[32];
    bool fortran;
    ct_shape shape;
    bool seen[3]; /* whether descr, fortran_order and shape have been read */
} npy_parser;

/* ---- the header ---- */

static bool npy_refuse(const npy_parser *p, const char *why)
{
    return cti_malformed(&p->file, npy_reading, p->begin + p->at, "%s", why);
}

static void npy_skip_space(npy_parser *p)
{
    p->at += strspn(p->text + p->at, " \t\r\n");
}

/* Skips c and the white space before and after it; false if the next character is not c. */
static bool npy_take(npy_parser *p, char c)
{
    npy_skip_space(p);
    if (p->text[p->at] != c)
        return false;
    p->at++;
    npy_skip_space(p);
    return true;
}

static bool npy_take_word(npy_parser *p, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(p->text + p->at, word, n) != 0)
        return false;
    p->at += n;
    return true;
}

/* Parses 'text' or "text"; escapes are refused. */
static bool npy_parse_string(npy_parser *p, char *out, size_t room)
{
    const char *from = p->text + p->at, *end;

    if (*from != '\'' && *from != '"')
        return npy_refuse(p, "a string is expected");
    end = strchr(from + 1, *from);
    if (!end || (size_t)(end - from) > room || memchr(from, '\\', (size_t)(end - from)))
        return npy_refuse(p, "the string has no end, is too long or has a backslash");
    memcpy(out, from + 1, (size_t)(end - from - 1));
    out[end - from - 1] = '\0';
    p->at += (size_t)(end - from) + 1;
    return true;
}

static bool npy_parse_size(npy_parser *p, int64_t *out)
{
    size_t from = p->at;
    int64_t n = 0;

    for (; p->text[p->at] >= '0' && p->text[p->at] <= '9'; p->at++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, p->text[p->at] - '0', &n))
            return npy_refuse(p, "a size is too large");
    *out = n;
    return p->at > from || npy_refuse(p, "a size is expected: an integer from 0 up");
}

/* Parses (), (3,), (2, 3) or (2, 3,). */
static bool npy_parse_shape(npy_parser *p)
{
    int64_t dim[CT_MAX_RANK];
    bool comma = true;
    int rank = 0;

    if (!npy_take(p, '('))
        return npy_refuse(p, "'(' is expected");
    while (!npy_take(p, ')')) {
        if (!comma)
            return npy_refuse(p, "',' or ')' is expected");
        if (rank == CT_MAX_RANK) {
            ct_raise(CT_ERR_SHAPE, npy_reading, "%.400s: has a rank above %d", p->file.path,
                     CT_MAX_RANK);
            return false;
        }
        if (!npy_parse_size(p, &dim[rank++]))
            return false;
        comma = npy_take(p, ',');
    }
    if (rank == 1 && !comma)
        return npy_refuse(p, "a tuple of one size must be written (n,)");
    p->shape = ct_shape_from_sizes(rank, dim);
    return true;
}

static bool npy_parse_order(npy_parser *p)
{
    p->fortran = npy_take_word(p, "True");
    return p->fortran || npy_take_word(p, "False") || npy_refuse(p, "True or False is expected");
}

static bool npy_parse_item(npy_parser *p)
{
    static const char *const keys[] = { "descr", "fortran_order", "shape" };
    size_t from = p->at;
    char key[16];
    int k;

    if (!npy_parse_string(p, key, sizeof key))
        return false;
    for (k = 0; k < 3 && strcmp(keys[k], key) != 0; k++)
        ;
    if (k == 3 || p->seen[k]) {
        p->at = from;
        return npy_refuse(p, k == 3 ? "a key is not descr, fortran_order or shape"
                                    : "a key appears twice");
    }
    p->seen[k] = true;
    if (!npy_take(p, ':'))
        return npy_refuse(p, "':' is expected");
    if (k == 0)
        return npy_parse_string(p, p->descr, sizeof p->descr);
    return k == 1 ? npy_parse_order(p) : npy_parse_shape(p);
}

static bool npy_parse_header(npy_parser *p)
{
    bool comma = true;

    if (!npy_take(p, '{'))
        return npy_refuse(p, "'{' is expected");
    while (!npy_take(p, '}')) {
        if (!comma)
            return npy_refuse(p, "',' or '}' is expected");
        if (!npy_parse_item(p))
            return false;
        comma = npy_take(p, ',');
    }
    if (p->at != p->length)
        return npy_refuse(p, "the header continues after '}'");
    return (p->seen[0] && p->seen[1] && p->seen[2]) ||
           npy_refuse(p, "the header lacks descr, fortran_order or shape");
}

/* ---- the file ---- */

/* Checks magic, version and length, and reads the header into p->text. False with an error. */
static bool npy_read_header(npy_parser *p)
{
    uint8_t b[MAGIC_BYTES + 6] = { 0 };
    uint64_t size = p->file.size, n;

    if (size < MAGIC_BYTES + 4)
        return cti_malformed(&p->file, npy_reading, size,
                             "the file ends before its header's length");
    if (!cti_read_at(&p->file, npy_reading, 0, b, size < sizeof b ? (size_t)size : sizeof b))
        return false;
    if (memcmp(b, MAGIC, MAGIC_BYTES) != 0)
        return cti_malformed(&p->file, npy_reading, 0,
                             "not an NPY file: its first bytes are wrong");
    if ((b[6] != 1 && b[6] != 2) || b[7] != 0)
        return cti_malformed(&p->file, npy_reading, 6, "the version is %d.%d, not 1.0 or 2.0", b[6],
                             b[7]);
    p->begin = b[6] == 1 ? 10 : 12;
    n = b[8] | (uint64_t)b[9] << 8;
    if (b[6] == 2)
        n |= (uint64_t)b[10] << 16 | (uint64_t)b[11] << 24;
    if (size < p->begin || n > size - p->begin || n > HEADER_LIMIT)
        return cti_malformed(&p->file, npy_reading, 8,
                             "the header's length is %llu, but %llu bytes follow (the most is %zu)",
                             (unsigned long long)n,
                             (unsigned long long)(size < p->begin ? 0 : size - p->begin),
                             HEADER_LIMIT);
    p->length = (size_t)n;
    p->text = cti_calloc(1, p->length + 1);
    if (!p->text)
        cti_out_of_memory(npy_reading, p->length + 1);
    return p->text && cti_read_at(&p->file, npy_reading, p->begin, p->text, p->length);
}

/* The dtype of the header's descr, or -1 with an error. Sets the byte order of the file: ">f4" is "<f4"
 * with the other one. */
static int npy_dtype(npy_parser *p)
{
    bool big = p->descr[0] == '>';

    for (int d = 0; d < CTI_DTYPE_COUNT; d++)
        if (npy_descrs[d] && npy_descrs[d][0] == (big ? '<' : p->descr[0]) &&
            strcmp(npy_descrs[d] + 1, p->descr + 1) == 0) {
            p->file.big_endian = big;
            return d;
        }
    ct_raise(CT_ERR_DTYPE, npy_reading,
             "%.400s: has the dtype %s; it must be <f4, <f8, <i4, <i8, the same with >, or |b1",
             p->file.path, cti_quote(p->descr).s);
    return -1;
}

/* Checks that exactly the bytes of the shape follow the header. The product of the other sizes must
 * not overflow even if one size is 0, because strides are products of sizes. */
static bool npy_check_size(const npy_parser *p, ct_dtype dtype)
{
    uint64_t payload = p->begin + p->length, bytes = ct_dtype_size(dtype);
    bool zero = false;
    int i;

    for (i = 0; i < p->shape.rank; i++) {
        zero |= p->shape.dim[i] == 0;
        if (p->shape.dim[i] &&
            (__builtin_mul_overflow(bytes, (uint64_t)p->shape.dim[i], &bytes) || bytes > INT64_MAX))
            return cti_malformed(&p->file, npy_reading, p->begin, "the shape %s is too large",
                                 cti_shape_text(&p->shape).s);
    }
    bytes = zero ? 0 : bytes;
    return bytes == p->file.size - payload ||
           cti_malformed(&p->file, npy_reading, payload, "%s%s takes %llu bytes, but %llu follow",
                         ct_dtype_name(dtype), cti_shape_text(&p->shape).s,
                         (unsigned long long)bytes, (unsigned long long)(p->file.size - payload));
}

/* Column-major elements are the row-major elements of the transpose. */
static ct_tensor *npy_read_transposed(npy_parser *p, ct_dtype dtype, ct_device device)
{
    int rank = p->shape.rank, i;
    ct_shape reversed = p->shape;
    int64_t stride[CT_MAX_RANK];
    ct_tensor *t;

    for (i = 0; i < rank; i++)
        reversed.dim[i] = p->shape.dim[rank - 1 - i];
    t = cti_read_tensor(&p->file, npy_reading, p->begin + p->length, reversed, dtype, device);
    if (!t)
        return NULL;
    for (i = 0; i < rank; i++)
        stride[i] = t->stride[rank - 1 - i];
    t = cti_view(npy_reading, t, p->shape, stride, t->offset);
    return t ? cti_contiguous(t) : NULL;
}

ct_tensor *ct_npy_read(const char *path, ct_device device)
{
    npy_parser p = { .text = NULL };
    ct_tensor *t = NULL;
    int dtype = -1;

    if (!cti_read_open(&p.file, npy_reading, path))
        return NULL;
    if (npy_read_header(&p) && npy_parse_header(&p))
        dtype = npy_dtype(&p);
    if (dtype >= 0 && npy_check_size(&p, (ct_dtype)dtype))
        t = p.fortran ? npy_read_transposed(&p, (ct_dtype)dtype, device)
                      : cti_read_tensor(&p.file, npy_reading, p.begin + p.length, p.shape,
                                        (ct_dtype)dtype, device);
    cti_release(p.text);
    cti_read_close(&p.file);
    return t;
}

bool cti_npy_inspect(const char *path, cti_npy_header *h)
{
    npy_parser p = { .text = NULL };
    int dtype = -1;
    bool good = false;

    if (!cti_read_open(&p.file, npy_reading, path))
        return false;
    if (npy_read_header(&p) && npy_parse_header(&p))
        dtype = npy_dtype(&p);
    if (dtype >= 0 && npy_check_size(&p, (ct_dtype)dtype)) {
        *h = (cti_npy_header){ .shape = p.shape,
                               .dtype = (ct_dtype)dtype,
                               .fortran = p.fortran,
                               .big_endian = p.file.big_endian,
                               .begin = p.begin + p.length,
                               .bytes = p.file.size - p.begin - p.length };
        good = true;
    }
    cti_release(p.text);
    cti_read_close(&p.file);
    return good;
}

/* ---- writing ---- */

static bool npy_write_bytes(void *context, const void *bytes, size_t size)
{
    return cti_atomic_write(context, bytes, size);
}

/* Writes all bytes before the elements to head and returns their number, a multiple of 64 as in
 * NumPy. head is large enough for every shape. */
static size_t npy_make_header(const ct_tensor *t, const char *descr, char head[512])
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
    head[9] = 0; /* with CT_MAX_RANK axes, the length stays below 256 */
    return end;
}

ct_status ct_npy_write(const char *path, ct_tensor *t)
{
    static const char *const me = "ct_npy_write";
    cti_atomic_file f;
    char head[512];
    size_t n;

    if (!cti_sink_allowed())
        return ct_error();
    if (!cti_given(me, "path", path) || !cti_usable(me, t))
        return ct_error();
    if (!npy_descrs[t->dtype])
        return ct_raise(CT_ERR_DTYPE, me, "NumPy has no dtype for t %s", cti_describe(t).s);
    n = npy_make_header(t, npy_descrs[t->dtype], head);
    if (!cti_atomic_begin(&f, me, path))
        return ct_error();
    if (cti_atomic_write(&f, head, n) && cti_each_bytes_of_file(t, npy_write_bytes, &f))
        return cti_atomic_commit(&f) ? CT_OK : ct_error();
    cti_atomic_abort(&f);
    return ct_error();
}

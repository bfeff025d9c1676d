/* SPDX-License-Identifier: MIT */
/* copy.c - copies and conversions between all dtypes; fills and ranges. */
#include "tensor/cpu/strided.h"

#include "tensor/convert.h"
#include "tensor/parallel.h"

#include <string.h>

/* ---- one number as an element ---- */

void cti_cpu_store(void *p, ct_dtype dtype, double v)
{
    float f;
    int32_t i;
    int64_t l;
    uint16_t half;

    switch (dtype) {
    case CT_F32:
        f = (float)v;
        memcpy(p, &f, sizeof f);
        break;
    case CT_F64:
        memcpy(p, &v, sizeof v);
        break;
    case CT_I32:
        i = cti_i32_of(v);
        memcpy(p, &i, sizeof i);
        break;
    case CT_I64:
        l = cti_i64_of(v);
        memcpy(p, &l, sizeof l);
        break;
    case CT_BOOL:
        *(char *)p = v != 0;
        break;
    case CT_BF16:
        half = cti_bf16_of_double(v);
        memcpy(p, &half, sizeof half);
        break;
    }
}

/* ---- conversions ---- */

/* One run of n elements; strides in bytes. */
typedef void (*copy_loop)(int64_t n, char *d, int64_t ds, const char *s, int64_t ss);

/* CONVERSION(from, to, the element x as a `to`). There must be one for each ordered pair of
 * dtypes. */
#define CONVERSIONS(CONVERSION)                                                                    \
    CONVERSION(F32, F64, x)                                                                        \
    CONVERSION(F32, I32, cti_i32_of((double)x))                                                    \
    CONVERSION(F32, I64, cti_i64_of((double)x))                                                    \
    CONVERSION(F32, BOOL, x != 0)                                                                  \
    CONVERSION(F32, BF16, cti_bf16_of(x))                                                          \
    CONVERSION(F64, F32, (float)x)                                                                 \
    CONVERSION(F64, I32, cti_i32_of(x))                                                            \
    CONVERSION(F64, I64, cti_i64_of(x))                                                            \
    CONVERSION(F64, BOOL, x != 0)                                                                  \
    CONVERSION(F64, BF16, cti_bf16_of_double(x))                                                   \
    CONVERSION(I32, F32, (float)x)                                                                 \
    CONVERSION(I32, F64, x)                                                                        \
    CONVERSION(I32, I64, x)                                                                        \
    CONVERSION(I32, BOOL, x != 0)                                                                  \
    CONVERSION(I32, BF16, cti_bf16_of_double(x))                                                   \
    CONVERSION(I64, F32, (float)x)                                                                 \
    CONVERSION(I64, F64, (double)x)                                                                \
    CONVERSION(I64, I32, cti_i32_of_i64(x))                                                        \
    CONVERSION(I64, BOOL, x != 0)                                                                  \
    CONVERSION(I64, BF16, cti_bf16_of_i64(x))                                                      \
    CONVERSION(BOOL, F32, x)                                                                       \
    CONVERSION(BOOL, F64, x)                                                                       \
    CONVERSION(BOOL, I32, x)                                                                       \
    CONVERSION(BOOL, I64, x)                                                                       \
    CONVERSION(BOOL, BF16, cti_bf16_of((float)x))                                                  \
    CONVERSION(BF16, F32, cti_float_of_bf16(x))                                                    \
    CONVERSION(BF16, F64, (double)cti_float_of_bf16(x))                                            \
    CONVERSION(BF16, I32, cti_i32_of((double)cti_float_of_bf16(x)))                                \
    CONVERSION(BF16, I64, cti_i64_of((double)cti_float_of_bf16(x)))                                \
    CONVERSION(BF16, BOOL, (x & 0x7fff) != 0)

/* F32_type, ... */
#define ELEMENT_TYPE(name, type, ...) typedef type name##_type;
CTI_DTYPES(ELEMENT_TYPE)
#undef ELEMENT_TYPE

/* Adjacent elements have a loop of their own, which vectorises. */
#define CONVERSION_LOOP(from, to, expr)                                                            \
    static void copy_##from##_to_##to(int64_t n, char *d, int64_t ds, const char *s, int64_t ss)   \
    {                                                                                              \
        int64_t i;                                                                                 \
        from##_type x;                                                                             \
        to##_type y;                                                                               \
        if (ds == sizeof y && ss == sizeof x) {                                                    \
            for (i = 0; i < n; i++) {                                                              \
                memcpy(&x, s + i * (int64_t)sizeof x, sizeof x);                                   \
                y = (expr);                                                                        \
                memcpy(d + i * (int64_t)sizeof y, &y, sizeof y);                                   \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (i = 0; i < n; i++) {                                                                  \
            memcpy(&x, s + i * ss, sizeof x);                                                      \
            y = (expr);                                                                            \
            memcpy(d + i * ds, &y, sizeof y);                                                      \
        }                                                                                          \
    }
CONVERSIONS(CONVERSION_LOOP)

/* conversions[source][destination]; NULL for the same dtype */
static const copy_loop conversions[CTI_DTYPE_COUNT][CTI_DTYPE_COUNT] = {
#define CONVERSION_ENTRY(from, to, expr) [CT_##from][CT_##to] = copy_##from##_to_##to,
    CONVERSIONS(CONVERSION_ENTRY)
#undef CONVERSION_ENTRY
};

#define CONVERSION_ONE(from, to, expr) +1
_Static_assert(CONVERSIONS(CONVERSION_ONE) == CTI_DTYPE_COUNT * (CTI_DTYPE_COUNT - 1),
               "each dtype is converted to each other");
#undef CONVERSION_ONE

/* ---- copies ---- */

/* Copies n elements of `size` bytes within one dtype. */
static void copy_same(int64_t n, char *d, int64_t ds, const char *s, int64_t ss, size_t size)
{
    if (ds == (int64_t)size && ss == ds)
        memcpy(d, s, (size_t)n * size);
    else
        cti_cpu_path_get()->move[size](n, d, ds, s, ss);
}

typedef struct copy_job {
    cti_walk w; /* array 0 is dst */
    const cti_array *dst, *src;
    int transposes; /* see copy_transposes */
} copy_job;

/* Units of a piece, from u on, that are neighbours along the last axis but one. */
static int64_t copy_neighbours(const cti_walk *w, const cti_unit *u, int64_t left)
{
    int64_t n = w->rank > 1 ? w->dim[w->rank - 2] - u->at[w->rank - 2] : 1;

    return n < left ? n : left;
}

/* Whether one array is adjacent along the last axis and the other along the axis before it, and which:
 * 0 the destination, 1 the source, -1 neither. */
static int copy_transposes(const copy_job *j)
{
    const int64_t size = (int64_t)ct_dtype_size(j->dst->dtype);
    int last = j->w.rank - 1, k;

    for (k = 0; k < 2 && last > 0 && j->w.tiled && j->src->dtype == j->dst->dtype; k++)
        if (j->w.step[k][last] == size && j->w.step[1 - k][last - 1] == size &&
            cti_cpu_path_get()->transpose[size])
            return k;
    return -1;
}

/* Copies units that are neighbours along the last axis but one. */
static void copy_units(const copy_job *j, int64_t units, int64_t n, char *d, const char *s)
{
    const int last = j->w.rank - 1, before = last ? last - 1 : 0;
    const int64_t *to = j->w.step[0], *from = j->w.step[1];
    const size_t size = ct_dtype_size(j->dst->dtype);
    const copy_loop convert = conversions[j->src->dtype][j->dst->dtype];
    int64_t i;

    if (j->transposes >= 0) {
        if (j->transposes == 0)
            cti_cpu_path_get()->transpose[size](units, n, d, to[before], s, from[last]);
        else
            cti_cpu_path_get()->transpose[size](n, units, d, to[last], s, from[before]);
        return;
    }
    for (i = 0; i < units; i++, d += to[before], s += from[before])
        if (convert)
            convert(n, d, to[last], s, from[last]);
        else
            copy_same(n, d, to[last], s, from[last], size);
}

static void copy_piece(void *context, int64_t piece)
{
    const copy_job *j = context;
    int64_t unit = piece * j->w.per_piece, end = cti_walk_end(&j->w, piece), units;
    /* Successive units are neighbours along the last axis but one. */
    bool whole = j->w.tiled || j->w.units == j->w.runs;
    cti_unit u;

    for (; unit < end; unit += units) {
        cti_walk_begin(&j->w, 2, unit, &u);
        units = whole ? copy_neighbours(&j->w, &u, end - unit) : 1;
        copy_units(j, units, u.n, (char *)j->dst->data + u.offset[0],
                   (const char *)j->src->data + u.offset[1]);
    }
}

void cti_cpu_copy(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src)
{
    copy_job j = { .dst = dst, .src = src };
    int64_t pieces;
    int i;

    j.w.rank = rank;
    for (i = 0; i < rank; i++) {
        j.w.dim[i] = dim[i];
        j.w.step[0][i] = dst->stride[i] * (int64_t)ct_dtype_size(dst->dtype);
        j.w.step[1][i] = src->stride[i] * (int64_t)ct_dtype_size(src->dtype);
    }
    pieces = cti_walk_cut(&j.w, 2);
    j.transposes = pieces ? copy_transposes(&j) : -1;
    cti_parallel(pieces, copy_piece, &j);
}

/* A synchronous device returns faults at once, so the fault word is never set. */
void cti_cpu_carry(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src)
{
    cti_cpu_copy(rank, dim, dst, src);
}

/* ---- fills ---- */

void cti_cpu_fill(void *data, ct_dtype dtype, int64_t n, double value)
{
    size_t size = ct_dtype_size(dtype), done;
    char *p = data;

    if (n == 0)
        return;
    cti_cpu_store(p, dtype, value);
    for (done = 1; done < (size_t)n; done *= 2)
        memcpy(p + done * size, p, (done * 2 <= (size_t)n ? done : (size_t)n - done) * size);
}

void cti_cpu_arange(const cti_arange_args *a)
{
    size_t size = ct_dtype_size(a->dtype);
    int64_t i;

    for (i = 0; i < a->n; i++)
        cti_cpu_store((char *)a->out + (size_t)i * size, a->dtype, a->start + (double)i * a->step);
}

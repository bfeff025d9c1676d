/* scan.c - running sums, recurrences and extremes along n of (outer, n, inner). f32 adds in double;
 * integers wrap. If n or inner is 0, the kernels return at once, because outer may be very
 * large. */
#include "tensor/cpu/cpu.h"
#include "tensor/cpu/math.h"

#include "tensor/parallel.h"

#include <string.h>

#define CUMSUM(type, acc_type)                                                                     \
    do {                                                                                           \
        const type *x = (const type *)a->in + at * a->n * a->inner + column;                       \
        type *y = (type *)a->out + at * a->n * a->inner + column;                                  \
        acc_type acc = 0;                                                                          \
        for (j = 0; j < a->n; j++) {                                                               \
            int64_t k = (a->reverse ? a->n - 1 - j : j) * a->inner;                                \
            acc += (acc_type)x[k];                                                                 \
            y[k] = (type)acc;                                                                      \
        }                                                                                          \
    } while (0)

/* Computes all columns of one outer index. */
static void cumsum_piece(void *context, int64_t at)
{
    const cti_cumsum_args *a = context;
    int64_t column, j;

    for (column = 0; column < a->inner; column++)
        switch (a->dtype) {
        case CT_F32:
            CUMSUM(float, double);
            break;
        case CT_F64:
            CUMSUM(double, double);
            break;
        case CT_I32:
            CUMSUM(int32_t, uint32_t);
            break;
        case CT_I64:
            CUMSUM(int64_t, uint64_t);
            break;
        case CT_BOOL:
        case CT_BF16:
            break;
        }
}

void cti_cpu_cumsum(const cti_cumsum_args *a)
{
    if (a->n && a->inner)
        cti_parallel(a->outer, cumsum_piece, (void *)a);
}

/* ---- logcumsumexp: f32 or f64, in double ---- */

static double scan_load(ct_dtype dtype, const void *data, int64_t i)
{
    return dtype == CT_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void scan_store(ct_dtype dtype, void *data, int64_t i, double v)
{
    if (dtype == CT_F32)
        ((float *)data)[i] = (float)v;
    else
        ((double *)data)[i] = v;
}

/* log(1 + r) for r >= 0 from cti_log, whose bits are the same on all processors. The last factor
 * corrects the rounding of 1 + r. */
static double scan_log1p(double r)
{
    double u = 1 + r;

    return u == 1 ? r : cti_log(u) * (r / (u - 1));
}

/* Computes one column, which begins at index `at`. most is the greatest element so far. The sum of
 * exp(x - most) is 1 + rest; the 1 is kept separate, so that a small rest is not lost to
 * rounding. */
static void logcumsumexp_column(const cti_cumsum_args *a, int64_t at)
{
    double most = -INFINITY, rest = -1;
    int64_t j;

    for (j = 0; j < a->n; j++, at += a->inner) {
        double v = scan_load(a->dtype, a->in, at);

        if (v > most) {
            rest = (1 + rest) * cti_exp(most - v);
            most = v;
        } else {
            /* the difference of equal infinities would be NaN */
            rest += v == most ? 1 : cti_exp(v - most);
        }
        scan_store(a->dtype, a->out, at, most + scan_log1p(rest));
    }
}

static void logcumsumexp_piece(void *context, int64_t at)
{
    const cti_cumsum_args *a = context;
    int64_t column;

    for (column = 0; column < a->inner; column++)
        logcumsumexp_column(a, at * a->n * a->inner + column);
}

void cti_cpu_logcumsumexp(const cti_cumsum_args *a)
{
    if (a->n && a->inner)
        cti_parallel(a->outer, logcumsumexp_piece, (void *)a);
}

/* exp(p - q) for p <= q, and 0 for p = -inf */
static double scan_weight(double p, double q)
{
    return p == -INFINITY ? 0 : cti_exp(p - q);
}

static void logcumsumexp_backward_column(const cti_logcumsumexp_backward_args *a, int64_t first)
{
    double sum = 0, before = 0; /* y of the previous element in the order of the loop */
    int64_t k;

    for (k = 0; k < a->n; k++) {
        int64_t at = first + (a->transposed ? k : a->n - 1 - k) * a->inner;
        double d = scan_load(a->dtype, a->d, at), y = scan_load(a->dtype, a->y, at);
        double w = scan_weight(scan_load(a->dtype, a->x, at), y);

        if (a->transposed)
            sum = (k ? scan_weight(before, y) * sum : 0) + w * d;
        else
            sum = (k ? scan_weight(y, before) * sum : 0) + d;
        scan_store(a->dtype, a->out, at, a->transposed ? sum : w * sum);
        before = y;
    }
}

static void logcumsumexp_backward_piece(void *context, int64_t at)
{
    const cti_logcumsumexp_backward_args *a = context;
    int64_t column;

    for (column = 0; column < a->inner; column++)
        logcumsumexp_backward_column(a, at * a->n * a->inner + column);
}

void cti_cpu_logcumsumexp_backward(const cti_logcumsumexp_backward_args *a)
{
    if (a->n && a->inner)
        cti_parallel(a->outer, logcumsumexp_backward_piece, (void *)a);
}

/* ---- linear recurrences ----
 *
 * A piece is a tile of columns of one outer index, so that memory is read row by row. Full blocks of a row
 * have a constant width, for which compilers make vector code. */

enum { SCAN_TILE = 512, SCAN_BLOCK = 64 };

static int64_t scan_tiles(int64_t inner)
{
    return (inner + SCAN_TILE - 1) / SCAN_TILE;
}

/* Element j of column 0 of a tile, in the order of the loop. */
static int64_t scan_row(int64_t n, int64_t inner, bool reverse, int64_t j)
{
    return (reverse ? n - 1 - j : j) * inner;
}

/* NAME: the tile whose first element is number `first` of the arrays, and number `column` of initial. */
#define LINEAR_SCAN(name, type, wide)                                                              \
    static inline void name##_row(int n, const type *restrict a, const type *restrict b,           \
                                  wide *restrict h, type *restrict out)                            \
    {                                                                                              \
        for (int i = 0; i < n; i++) {                                                              \
            h[i] = (wide)a[i] * h[i] + (wide)b[i];                                                 \
            out[i] = (type)h[i];                                                                   \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name(const cti_linear_scan_args *s, int64_t first, int64_t column, int width)      \
    {                                                                                              \
        const type *initial = s->initial, *a = s->a, *b = s->b;                                    \
        type *out = s->out;                                                                        \
        wide h[SCAN_TILE];                                                                         \
        int64_t j;                                                                                 \
        int i, k;                                                                                  \
                                                                                                   \
        for (i = 0; i < width; i++)                                                                \
            h[i] = initial ? (wide)initial[column + i] : 0;                                        \
        for (j = 0; j < s->n; j++) {                                                               \
            const int64_t at = first + scan_row(s->n, s->inner, s->reverse, j);                    \
                                                                                                   \
            for (k = 0; k + SCAN_BLOCK <= width; k += SCAN_BLOCK)                                  \
                name##_row(SCAN_BLOCK, a + at + k, b + at + k, h + k, out + at + k);               \
            name##_row(width - k, a + at + k, b + at + k, h + k, out + at + k);                    \
        }                                                                                          \
    }

LINEAR_SCAN(linear_scan_f32, float, double)
LINEAR_SCAN(linear_scan_f64, double, double)
LINEAR_SCAN(linear_scan_i32, int32_t, uint32_t)
LINEAR_SCAN(linear_scan_i64, int64_t, uint64_t)

static void linear_scan_piece(void *context, int64_t piece)
{
    const cti_linear_scan_args *s = context;
    const int64_t tiles = scan_tiles(s->inner), from = piece % tiles * SCAN_TILE;
    const int64_t first = piece / tiles * s->n * s->inner + from;
    const int64_t column = piece / tiles * s->inner + from;
    const int width = s->inner - from < SCAN_TILE ? (int)(s->inner - from) : SCAN_TILE;

    switch (s->dtype) {
    case CT_F32:
        linear_scan_f32(s, first, column, width);
        break;
    case CT_F64:
        linear_scan_f64(s, first, column, width);
        break;
    case CT_I32:
        linear_scan_i32(s, first, column, width);
        break;
    case CT_I64:
        linear_scan_i64(s, first, column, width);
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
}

void cti_cpu_linear_scan(const cti_linear_scan_args *a)
{
    if (a->n && a->inner)
        cti_parallel(a->outer * scan_tiles(a->inner), linear_scan_piece, (void *)a);
}

/* Runs against the order of the forward scan; next: a of the step that was just run. */
#define LINEAR_SCAN_BACKWARD(name, type)                                                           \
    static inline void name##_row(int n, const type *restrict a, const type *restrict d,           \
                                  double *restrict g, type *restrict next, type *restrict rounded) \
    {                                                                                              \
        for (int i = 0; i < n; i++) {                                                              \
            g[i] = (double)next[i] * g[i] + (double)d[i];                                          \
            next[i] = a[i];                                                                        \
            rounded[i] = (type)g[i];                                                               \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static inline void name##_product(int n, const type *restrict a, const type *restrict b,       \
                                      type *restrict out)                                          \
    {                                                                                              \
        for (int i = 0; i < n; i++)                                                                \
            out[i] = a[i] * b[i];                                                                  \
    }                                                                                              \
                                                                                                   \
    static void name(const cti_linear_scan_backward_args *s, int64_t first, int64_t column,        \
                     int width)                                                                    \
    {                                                                                              \
        static const type zeros[SCAN_TILE];                                                        \
        const type *initial = s->initial, *a = s->a, *d = s->d;                                    \
        const int64_t step = s->reverse ? s->inner : -s->inner;                                    \
        type next[SCAN_TILE], rounded[SCAN_TILE];                                                  \
        double g[SCAN_TILE];                                                                       \
        int64_t j;                                                                                 \
        int k;                                                                                     \
                                                                                                   \
        memset(g, 0, (size_t)width * sizeof *g);                                                   \
        memset(next, 0, (size_t)width * sizeof *next);                                             \
        for (j = s->n - 1; j >= 0; j--) {                                                          \
            const int64_t at = first + scan_row(s->n, s->inner, s->reverse, j);                    \
            const type *before = j         ? (const type *)s->h + at + step                        \
                                 : initial ? initial + column                                      \
                                           : zeros;                                                \
                                                                                                   \
            for (k = 0; k + SCAN_BLOCK <= width; k += SCAN_BLOCK)                                  \
                name##_row(SCAN_BLOCK, a + at + k, d + at + k, g + k, next + k, rounded + k);      \
            name##_row(width - k, a + at + k, d + at + k, g + k, next + k, rounded + k);           \
            if (s->db)                                                                             \
                memcpy((type *)s->db + at, rounded, (size_t)width * sizeof(type));                 \
            for (k = 0; s->da && k + SCAN_BLOCK <= width; k += SCAN_BLOCK)                         \
                name##_product(SCAN_BLOCK, rounded + k, before + k, (type *)s->da + at + k);       \
            if (s->da)                                                                             \
                name##_product(width - k, rounded + k, before + k, (type *)s->da + at + k);        \
        }                                                                                          \
        if (s->dinitial)                                                                           \
            name##_product(width, rounded, next, (type *)s->dinitial + column);                    \
    }

LINEAR_SCAN_BACKWARD(linear_scan_backward_f32, float)
LINEAR_SCAN_BACKWARD(linear_scan_backward_f64, double)

static void linear_scan_backward_piece(void *context, int64_t piece)
{
    const cti_linear_scan_backward_args *s = context;
    const int64_t tiles = scan_tiles(s->inner), from = piece % tiles * SCAN_TILE;
    const int64_t first = piece / tiles * s->n * s->inner + from;
    const int64_t column = piece / tiles * s->inner + from;
    const int width = s->inner - from < SCAN_TILE ? (int)(s->inner - from) : SCAN_TILE;

    if (s->dtype == CT_F32)
        linear_scan_backward_f32(s, first, column, width);
    else
        linear_scan_backward_f64(s, first, column, width);
}

void cti_cpu_linear_scan_backward(const cti_linear_scan_backward_args *a)
{
    if (a->n && a->inner)
        cti_parallel(a->outer * scan_tiles(a->inner), linear_scan_backward_piece, (void *)a);
}

/* ---- running extremes ---- */

/* x != x detects a NaN and is false for integers */
#define RUNNING_EXTREME(type)                                                                      \
    do {                                                                                           \
        const type *x = (const type *)a->in + at * a->n * a->inner + column;                       \
        int64_t *out = a->out + at * a->n * a->inner + column, best = 0, j;                        \
        type most = x[0];                                                                          \
        for (j = 0; j < a->n; j++) {                                                               \
            type v = x[j * a->inner];                                                              \
            if (v != v || (most == most && (a->least ? v <= most : v >= most))) {                  \
                best = j;                                                                          \
                most = v;                                                                          \
            }                                                                                      \
            out[j * a->inner] = best;                                                              \
        }                                                                                          \
    } while (0)

static void running_extreme_piece(void *context, int64_t at)
{
    const cti_running_extreme_args *a = context;
    int64_t column;

    for (column = 0; column < a->inner; column++)
        switch (a->dtype) {
        case CT_F32:
            RUNNING_EXTREME(float);
            break;
        case CT_F64:
            RUNNING_EXTREME(double);
            break;
        case CT_I32:
            RUNNING_EXTREME(int32_t);
            break;
        case CT_I64:
            RUNNING_EXTREME(int64_t);
            break;
        case CT_BOOL:
        case CT_BF16:
            break;
        }
}

void cti_cpu_running_extreme(const cti_running_extreme_args *a)
{
    if (a->n && a->inner)
        cti_parallel(a->outer, running_extreme_piece, (void *)a);
}

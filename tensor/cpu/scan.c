/* SPDX-License-Identifier: MIT */
/* scan.c - running sums, recurrences and extremes along n of (outer, n, inner). f32 adds in double;
 * integers wrap. If n or inner is 0, the kernels return at once, because outer may be very
 * large.
 *
 * A scan is a chain of operations of which each waits for the one before. So many chains run beside each
 * other, in the vectors that the compiler makes of rows of SCAN_BLOCK elements:
 *
 *     inner > 1     A piece is a tile of columns of one outer index; memory is read row by row.
 *     inner = 1     A piece is SCAN_BLOCK rows. Chunks of their columns are transposed into a tile and
 *                   back (scan_side). A few rows are scanned as columns of width 1.
 *
 * The order of the operations of a chain is the same everywhere, and no path fuses them. */
#include "tensor/cpu/cpu.h"
#include "tensor/cpu/math.h"

#include "tensor/parallel.h"

#include <string.h>

enum {
    SCAN_TILE = 512,   /* the columns of a piece */
    SCAN_BLOCK = 32,   /* the elements of a row that loops of constant width compute */
    SCAN_COLUMNS = 64, /* the columns of a chunk of rows */
    SCAN_LEAST = 12    /* fewer rows are not transposed */
};

/* ---- pieces ---- */

/* A part of a scan: `width` columns of an outer index, or, if side is set, `width` whole rows. */
typedef struct scan_part {
    int64_t first;  /* the number of its first element in (outer, n, inner) */
    int64_t column; /* the number of its first chain in (outer, inner) */
    int width;
    bool side;
} scan_part;

static int64_t scan_pieces(int64_t outer, int64_t inner)
{
    return inner == 1 ? (outer + SCAN_BLOCK - 1) / SCAN_BLOCK
                      : outer * ((inner + SCAN_TILE - 1) / SCAN_TILE);
}

/* Returns the part of a piece that begins at chain number `done` of the piece. Its width is 0 if all chains
 * of the piece are done. */
static scan_part scan_part_of(const int64_t shape[3], int64_t piece, int64_t done)
{
    const int64_t outer = shape[0], n = shape[1], inner = shape[2];
    int64_t tiles = (inner + SCAN_TILE - 1) / SCAN_TILE, from, left;
    scan_part p = { 0 };

    if (inner == 1) {
        left = outer - piece * SCAN_BLOCK;
        left = (left < SCAN_BLOCK ? left : SCAN_BLOCK) - done;
        p.side = left >= SCAN_LEAST && n <= INT32_MAX;
        p.width = left <= 0 ? 0 : p.side ? (int)left : 1;
        p.column = piece * SCAN_BLOCK + done;
        p.first = p.column * n;
        return p;
    }
    from = piece % tiles * SCAN_TILE;
    left = inner - from < SCAN_TILE ? inner - from : SCAN_TILE;
    p.width = done ? 0 : (int)left;
    p.first = piece / tiles * n * inner + from;
    p.column = piece / tiles * inner + from;
    return p;
}

/* Element j of column 0 of a tile, in the order of the loop. */
static int64_t scan_row(int64_t n, int64_t inner, bool reverse, int64_t j)
{
    return (reverse ? n - 1 - j : j) * inner;
}

/* ---- rows beside each other ----
 *
 * A chunk of columns of some rows of n elements. The tile of a chunk has SCAN_BLOCK elements for each
 * column. */
typedef struct scan_side {
    int64_t n, done, from;
    int rows, count;
    bool reverse; /* the chunks come from the end */
    size_t size;
} scan_side;

/* Goes to the next chunk. Returns false if there is none. */
static bool side_next(scan_side *s)
{
    s->done += s->count;
    s->count = s->n - s->done < SCAN_COLUMNS ? (int)(s->n - s->done) : SCAN_COLUMNS;
    s->from = s->reverse ? s->n - s->done - s->count : s->done;
    return s->count > 0;
}

/* The first element of tile row j, in the order of the loop. */
static int side_row(const scan_side *s, int j)
{
    return (s->reverse ? s->count - 1 - j : j) * SCAN_BLOCK;
}

/* Copies count columns from column `from` on into a tile; in is the first row. */
static void side_load(const scan_side *s, int64_t from, int count, const void *in, void *tile)
{
    const int64_t size = (int64_t)s->size;

    if (s->rows < SCAN_BLOCK)
        memset(tile, 0, s->size * SCAN_BLOCK * (size_t)count);
    cti_cpu_path_get()->transpose[s->size](count, s->rows, tile, SCAN_BLOCK * size,
                                           (const char *)in + from * size, s->n * size);
}

static void side_take(const scan_side *s, const void *in, void *tile)
{
    side_load(s, s->from, s->count, in, tile);
}

/* Copies a tile to its place in the rows of out. */
static void side_put(const scan_side *s, const void *tile, void *out)
{
    const int64_t size = (int64_t)s->size;

    cti_cpu_path_get()->transpose[s->size](s->rows, s->count, (char *)out + s->from * size,
                                           s->n * size, tile, SCAN_BLOCK * size);
}

/* ---- running sums ---- */

#define CUMSUM(name, type, wide)                                                                   \
    static inline void name##_row(int n, const type *restrict x, wide *restrict h,                 \
                                  type *restrict out)                                              \
    {                                                                                              \
        for (int i = 0; i < n; i++) {                                                              \
            h[i] += (wide)x[i];                                                                    \
            out[i] = (type)h[i];                                                                   \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name##_columns(const cti_cumsum_args *a, const scan_part *p)                       \
    {                                                                                              \
        type sums[SCAN_TILE]; /* out may be in */                                                  \
        wide h[SCAN_TILE] = { 0 };                                                                 \
        int64_t j;                                                                                 \
        int k;                                                                                     \
                                                                                                   \
        for (j = 0; j < a->n; j++) {                                                               \
            const int64_t at = p->first + scan_row(a->n, a->inner, a->reverse, j);                 \
            const type *x = (const type *)a->in + at;                                              \
                                                                                                   \
            for (k = 0; k + SCAN_BLOCK <= p->width; k += SCAN_BLOCK)                               \
                name##_row(SCAN_BLOCK, x + k, h + k, sums + k);                                    \
            name##_row(p->width - k, x + k, h + k, sums + k);                                      \
            memcpy((type *)a->out + at, sums, (size_t)p->width * sizeof(type));                    \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name(const cti_cumsum_args *a, const scan_part *p)                                 \
    {                                                                                              \
        type x[SCAN_COLUMNS * SCAN_BLOCK], y[SCAN_COLUMNS * SCAN_BLOCK];                           \
        wide h[SCAN_BLOCK] = { 0 };                                                                \
        scan_side s = {                                                                            \
            .n = a->n, .rows = p->width, .reverse = a->reverse, .size = sizeof(type)               \
        };                                                                                         \
                                                                                                   \
        if (!p->side)                                                                              \
            name##_columns(a, p);                                                                  \
        while (p->side && side_next(&s)) {                                                         \
            side_take(&s, (const type *)a->in + p->first, x);                                      \
            for (int j = 0; j < s.count; j++)                                                      \
                name##_row(SCAN_BLOCK, x + side_row(&s, j), h, y + side_row(&s, j));               \
            side_put(&s, y, (type *)a->out + p->first);                                            \
        }                                                                                          \
    }

CUMSUM(cumsum_f32, float, double)
CUMSUM(cumsum_f64, double, double)
CUMSUM(cumsum_i32, int32_t, uint32_t)
CUMSUM(cumsum_i64, int64_t, uint64_t)

static void cumsum_piece(void *context, int64_t piece)
{
    const cti_cumsum_args *a = context;
    const int64_t shape[] = { a->outer, a->n, a->inner };
    scan_part p = scan_part_of(shape, piece, 0);

    for (int done = 0; p.width; p = scan_part_of(shape, piece, done += p.width))
        switch (a->dtype) {
        case CT_F32:
            cumsum_f32(a, &p);
            break;
        case CT_F64:
            cumsum_f64(a, &p);
            break;
        case CT_I32:
            cumsum_i32(a, &p);
            break;
        case CT_I64:
            cumsum_i64(a, &p);
            break;
        case CT_BOOL:
        case CT_BF16:
            break;
        }
}

void cti_cpu_cumsum(const cti_cumsum_args *a)
{
    if (a->n && a->inner)
        cti_parallel(scan_pieces(a->outer, a->inner), cumsum_piece, (void *)a);
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

/* ---- linear recurrences ---- */

/* NAME: a part of a scan. _row and _times: h = a h + b, and h = a h, for elements beside each other.
 * _line: a row of a tile; b may be NULL. */
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
    static inline void name##_times(int n, const type *restrict a, wide *restrict h,               \
                                    type *restrict out)                                            \
    {                                                                                              \
        for (int i = 0; i < n; i++) {                                                              \
            h[i] *= (wide)a[i];                                                                    \
            out[i] = (type)h[i];                                                                   \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name##_line(int width, const type *a, const type *b, wide *h, type *out)           \
    {                                                                                              \
        int k;                                                                                     \
                                                                                                   \
        for (k = 0; b && k + SCAN_BLOCK <= width; k += SCAN_BLOCK)                                 \
            name##_row(SCAN_BLOCK, a + k, b + k, h + k, out + k);                                  \
        for (; !b && k + SCAN_BLOCK <= width; k += SCAN_BLOCK)                                     \
            name##_times(SCAN_BLOCK, a + k, h + k, out + k);                                       \
        if (b)                                                                                     \
            name##_row(width - k, a + k, b + k, h + k, out + k);                                   \
        else                                                                                       \
            name##_times(width - k, a + k, h + k, out + k);                                        \
    }                                                                                              \
                                                                                                   \
    static void name##_side(const cti_linear_scan_args *l, const scan_part *p, wide *h)            \
    {                                                                                              \
        type a[SCAN_COLUMNS * SCAN_BLOCK], b[SCAN_COLUMNS * SCAN_BLOCK];                           \
        type out[SCAN_COLUMNS * SCAN_BLOCK];                                                       \
        scan_side s = {                                                                            \
            .n = l->n, .rows = p->width, .reverse = l->reverse, .size = sizeof(type)               \
        };                                                                                         \
                                                                                                   \
        while (side_next(&s)) {                                                                    \
            side_take(&s, (const type *)l->a + p->first, a);                                       \
            if (l->b)                                                                              \
                side_take(&s, (const type *)l->b + p->first, b);                                   \
            for (int j = 0; j < s.count; j++) {                                                    \
                const int at = side_row(&s, j);                                                    \
                                                                                                   \
                name##_line(SCAN_BLOCK, a + at, l->b ? b + at : NULL, h, out + at);                \
            }                                                                                      \
            side_put(&s, out, (type *)l->out + p->first);                                          \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name(const cti_linear_scan_args *l, const scan_part *p)                            \
    {                                                                                              \
        const type *initial = l->initial, *a = l->a, *b = l->b;                                    \
        wide h[SCAN_TILE] = { 0 };                                                                 \
                                                                                                   \
        for (int i = 0; initial && i < p->width; i++)                                              \
            h[i] = (wide)initial[p->column + i];                                                   \
        if (p->side)                                                                               \
            name##_side(l, p, h);                                                                  \
        for (int64_t j = 0; !p->side && j < l->n; j++) {                                           \
            const int64_t at = p->first + scan_row(l->n, l->inner, l->reverse, j);                 \
                                                                                                   \
            name##_line(p->width, a + at, b ? b + at : NULL, h, (type *)l->out + at);              \
        }                                                                                          \
    }

LINEAR_SCAN(linear_scan_f32, float, double)
LINEAR_SCAN(linear_scan_f64, double, double)
LINEAR_SCAN(linear_scan_i32, int32_t, uint32_t)
LINEAR_SCAN(linear_scan_i64, int64_t, uint64_t)

static void linear_scan_piece(void *context, int64_t piece)
{
    const cti_linear_scan_args *s = context;
    const int64_t shape[] = { s->outer, s->n, s->inner };
    scan_part p = scan_part_of(shape, piece, 0);

    for (int done = 0; p.width; p = scan_part_of(shape, piece, done += p.width))
        switch (s->dtype) {
        case CT_F32:
            linear_scan_f32(s, &p);
            break;
        case CT_F64:
            linear_scan_f64(s, &p);
            break;
        case CT_I32:
            linear_scan_i32(s, &p);
            break;
        case CT_I64:
            linear_scan_i64(s, &p);
            break;
        case CT_BOOL:
        case CT_BF16:
            break;
        }
}

void cti_cpu_linear_scan(const cti_linear_scan_args *a)
{
    if (a->n && a->inner)
        cti_parallel(scan_pieces(a->outer, a->inner), linear_scan_piece, (void *)a);
}

/* Copies h before each step of a chunk into a tile; s has the order of the backward scan. */
static void side_before(const scan_side *s, const void *h, const void *initial, char *tile)
{
    const size_t row = s->size * SCAN_BLOCK;
    const bool back = s->reverse; /* the forward scan went forward */
    const bool begins = back ? s->from == 0 : s->from + s->count == s->n;
    char *edge = back ? tile : tile + (size_t)(s->count - 1) * row;
    const int64_t from = back ? s->from - !begins : s->from + 1;

    side_load(s, from, s->count - begins, h, tile + (back && begins ? row : 0));
    if (begins)
        memset(edge, 0, row);
    if (begins && initial)
        memcpy(edge, initial, s->size * (size_t)s->rows);
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
    static void name##_side(const cti_linear_scan_backward_args *l, const scan_part *p)            \
    {                                                                                              \
        enum { TILE = SCAN_COLUMNS * SCAN_BLOCK };                                                 \
        type a[TILE], d[TILE], before[TILE], db[TILE], next[SCAN_BLOCK] = { 0 };                   \
        double g[SCAN_BLOCK] = { 0 };                                                              \
        scan_side s = {                                                                            \
            .n = l->n, .rows = p->width, .reverse = !l->reverse, .size = sizeof(type)              \
        };                                                                                         \
        int j;                                                                                     \
                                                                                                   \
        while (side_next(&s)) {                                                                    \
            side_take(&s, (const type *)l->a + p->first, a);                                       \
            side_take(&s, (const type *)l->d + p->first, d);                                       \
            for (j = 0; j < s.count; j++) {                                                        \
                const int at = side_row(&s, j);                                                    \
                                                                                                   \
                name##_row(SCAN_BLOCK, a + at, d + at, g, next, db + at);                          \
            }                                                                                      \
            if (l->db)                                                                             \
                side_put(&s, db, (type *)l->db + p->first);                                        \
            if (!l->da)                                                                            \
                continue;                                                                          \
            side_before(&s, (const type *)l->h + p->first,                                         \
                        l->initial ? (const type *)l->initial + p->column : NULL, (char *)before); \
            for (j = 0; j < s.count; j++)                                                          \
                name##_product(SCAN_BLOCK, db + j * SCAN_BLOCK, before + j * SCAN_BLOCK,           \
                               d + j * SCAN_BLOCK);                                                \
            side_put(&s, d, (type *)l->da + p->first);                                             \
        }                                                                                          \
        for (j = 0; l->dinitial && j < p->width; j++)                                              \
            ((type *)l->dinitial)[p->column + j] = (type)g[j] * next[j];                           \
    }                                                                                              \
                                                                                                   \
    static void name(const cti_linear_scan_backward_args *s, const scan_part *p)                   \
    {                                                                                              \
        static const type zeros[SCAN_TILE];                                                        \
        const type *initial = s->initial, *a = s->a, *d = s->d;                                    \
        const int64_t step = s->reverse ? s->inner : -s->inner;                                    \
        type next[SCAN_TILE] = { 0 }, rounded[SCAN_TILE];                                          \
        double g[SCAN_TILE] = { 0 };                                                               \
        int64_t j;                                                                                 \
        int k;                                                                                     \
                                                                                                   \
        for (j = s->n - 1; j >= 0; j--) {                                                          \
            const int64_t at = p->first + scan_row(s->n, s->inner, s->reverse, j);                 \
            const type *before = j         ? (const type *)s->h + at + step                        \
                                 : initial ? initial + p->column                                   \
                                           : zeros;                                                \
                                                                                                   \
            for (k = 0; k + SCAN_BLOCK <= p->width; k += SCAN_BLOCK)                               \
                name##_row(SCAN_BLOCK, a + at + k, d + at + k, g + k, next + k, rounded + k);      \
            name##_row(p->width - k, a + at + k, d + at + k, g + k, next + k, rounded + k);        \
            if (s->db)                                                                             \
                memcpy((type *)s->db + at, rounded, (size_t)p->width * sizeof(type));              \
            for (k = 0; s->da && k + SCAN_BLOCK <= p->width; k += SCAN_BLOCK)                      \
                name##_product(SCAN_BLOCK, rounded + k, before + k, (type *)s->da + at + k);       \
            if (s->da)                                                                             \
                name##_product(p->width - k, rounded + k, before + k, (type *)s->da + at + k);     \
        }                                                                                          \
        if (s->dinitial)                                                                           \
            name##_product(p->width, rounded, next, (type *)s->dinitial + p->column);              \
    }

LINEAR_SCAN_BACKWARD(linear_scan_backward_f32, float)
LINEAR_SCAN_BACKWARD(linear_scan_backward_f64, double)

static void linear_scan_backward_piece(void *context, int64_t piece)
{
    const cti_linear_scan_backward_args *s = context;
    const int64_t shape[] = { s->outer, s->n, s->inner };
    scan_part p = scan_part_of(shape, piece, 0);

    for (int done = 0; p.width; p = scan_part_of(shape, piece, done += p.width))
        if (s->dtype == CT_F32 && p.side)
            linear_scan_backward_f32_side(s, &p);
        else if (s->dtype == CT_F32)
            linear_scan_backward_f32(s, &p);
        else if (p.side)
            linear_scan_backward_f64_side(s, &p);
        else
            linear_scan_backward_f64(s, &p);
}

void cti_cpu_linear_scan_backward(const cti_linear_scan_backward_args *a)
{
    if (a->n && a->inner)
        cti_parallel(scan_pieces(a->outer, a->inner), linear_scan_backward_piece, (void *)a);
}

/* ---- the derivative of products ----
 *
 * Chunks of at most SCAN_COLUMNS steps and SCAN_BLOCK columns, for any inner. The products before each chunk
 * are computed first; then the chunks from the last on, with the product of what comes after. */

enum { PROD_CHUNKS = CTI_PROD_MOST / SCAN_COLUMNS };

static scan_part prod_part_of(const cti_prod_backward_args *a, int64_t piece)
{
    const int64_t blocks = (a->inner + SCAN_BLOCK - 1) / SCAN_BLOCK;
    const int64_t outer = piece / blocks, from = piece % blocks * SCAN_BLOCK;
    scan_part p = { .first = outer * a->n * a->inner + from, .column = outer * a->inner + from };

    if (a->inner == 1)
        p = (scan_part){ .first = piece * SCAN_BLOCK * a->n, .column = piece * SCAN_BLOCK };
    p.side = a->inner == 1;
    p.width = (int)(p.side ? a->outer - p.column : a->inner - from);
    p.width = p.width < SCAN_BLOCK ? p.width : SCAN_BLOCK;
    return p;
}

/* Copies the chunk of s into a tile, or from it if store is set; x is the element of p. */
static void prod_move(const scan_side *s, int64_t inner, bool store, char *x, char *tile)
{
    const size_t bytes = s->size * (size_t)s->rows;
    int j;

    if (inner == 1 && store)
        side_put(s, tile, x);
    else if (inner == 1)
        side_take(s, x, tile);
    else if (!store && s->rows < SCAN_BLOCK)
        memset(tile, 0, s->size * SCAN_BLOCK * (size_t)s->count);
    for (j = 0; inner > 1 && j < s->count; j++) {
        char *row = x + (s->from + j) * inner * (int64_t)s->size;
        char *to = tile + (size_t)j * s->size * SCAN_BLOCK;

        memcpy(store ? row : to, store ? to : row, bytes);
    }
}

#define PROD_BACKWARD(name, type)                                                                  \
    static inline void name##_before(const type *restrict x, double *restrict h,                   \
                                     double *restrict out)                                         \
    {                                                                                              \
        for (int i = 0; i < SCAN_BLOCK; i++) {                                                     \
            out[i] = h[i];                                                                         \
            h[i] *= (double)x[i];                                                                  \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static inline void name##_after(const type *restrict x, const double *restrict before,         \
                                    double *restrict g, type *restrict out)                        \
    {                                                                                              \
        for (int i = 0; i < SCAN_BLOCK; i++) {                                                     \
            out[i] = (type)(before[i] * g[i]);                                                     \
            g[i] *= (double)x[i];                                                                  \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name(const cti_prod_backward_args *a, const scan_part *p)                          \
    {                                                                                              \
        enum { TILE = SCAN_COLUMNS * SCAN_BLOCK };                                                 \
        type x[TILE], out[TILE];                                                                   \
        double before[TILE], start[PROD_CHUNKS * SCAN_BLOCK], g[SCAN_BLOCK] = { 0 };               \
        double h[SCAN_BLOCK];                                                                      \
        scan_side s = { .n = a->n, .rows = p->width, .size = sizeof(type) };                       \
        char *in = (char *)((type *)a->x + p->first), *to = (char *)((type *)a->dx + p->first);    \
        int chunk, j;                                                                              \
                                                                                                   \
        for (j = 0; j < SCAN_BLOCK; j++)                                                           \
            h[j] = 1;                                                                              \
        for (chunk = 0; side_next(&s); chunk++) {                                                  \
            memcpy(start + chunk * SCAN_BLOCK, h, sizeof h);                                       \
            if (s.from + s.count < a->n) {                                                         \
                prod_move(&s, a->inner, false, in, (char *)x);                                     \
                for (j = 0; j < s.count; j++)                                                      \
                    name##_before(x + j * SCAN_BLOCK, h, before);                                  \
            }                                                                                      \
        }                                                                                          \
        for (j = 0; j < p->width; j++)                                                             \
            g[j] = (double)((const type *)a->d)[p->column + j];                                    \
        while (chunk-- > 0) {                                                                      \
            s.from = (int64_t)chunk * SCAN_COLUMNS;                                                \
            s.count = (int)(a->n - s.from < SCAN_COLUMNS ? a->n - s.from : SCAN_COLUMNS);          \
            prod_move(&s, a->inner, false, in, (char *)x);                                         \
            for (j = 0; j < s.count; j++)                                                          \
                name##_before(x + j * SCAN_BLOCK, start + chunk * SCAN_BLOCK,                      \
                              before + j * SCAN_BLOCK);                                            \
            while (j-- > 0)                                                                        \
                name##_after(x + j * SCAN_BLOCK, before + j * SCAN_BLOCK, g,                       \
                             out + j * SCAN_BLOCK);                                                \
            prod_move(&s, a->inner, true, to, (char *)out);                                        \
        }                                                                                          \
    }

PROD_BACKWARD(prod_backward_f32, float)
PROD_BACKWARD(prod_backward_f64, double)

static void prod_backward_piece(void *context, int64_t piece)
{
    const cti_prod_backward_args *a = context;
    const scan_part p = prod_part_of(a, piece);

    if (a->dtype == CT_F32)
        prod_backward_f32(a, &p);
    else
        prod_backward_f64(a, &p);
}

void cti_cpu_prod_backward(const cti_prod_backward_args *a)
{
    const int64_t many = a->inner == 1 ? a->outer : a->inner;
    const int64_t blocks = (many + SCAN_BLOCK - 1) / SCAN_BLOCK;

    if (a->n && a->inner)
        cti_parallel(a->inner == 1 ? blocks : a->outer * blocks, prod_backward_piece, (void *)a);
}

/* ---- running extremes ---- */

static void side_put_int64_t(const scan_side *s, const int64_t *tile, int64_t *out)
{
    side_put(s, tile, out);
}

static void side_put_int32_t(const scan_side *s, const int32_t *tile, int64_t *out)
{
    int32_t rows[SCAN_BLOCK * SCAN_COLUMNS];
    int r, i, k;

    cti_cpu_path_get()->transpose[4](s->rows, s->count, (char *)rows, SCAN_COLUMNS * 4,
                                     (const char *)tile, SCAN_BLOCK * 4);
    out += s->from;
    for (r = 0; r < s->rows; r++, out += s->n) {
        const int32_t *row = rows + r * SCAN_COLUMNS;

        for (i = 0; i + 4 <= s->count; i += 4)
            for (k = 0; k < 4; k++)
                out[i + k] = row[i + k];
        for (; i < s->count; i++)
            out[i] = row[i];
    }
}

/* x != x detects a NaN and is false for integers. Compilers make no vectors of choices by comparisons that
 * may trap, so the vectors are written out. */
#define RUNNING_EXTREME(name, type, place)                                                         \
    typedef type name##_vector __attribute__((vector_size(16), aligned(sizeof(type)), may_alias)); \
    typedef place name##_mask __attribute__((vector_size(16), aligned(sizeof(type)), may_alias));  \
                                                                                                   \
    static inline void name##_row(bool least, place j, const type *x, type *most, place *best,     \
                                  place *out)                                                      \
    {                                                                                              \
        for (int i = 0; i < SCAN_BLOCK; i += (int)(16 / sizeof(type))) {                           \
            const name##_vector v = *(const name##_vector *)(x + i);                               \
            const name##_vector m = *(const name##_vector *)(most + i);                            \
            const name##_mask b = *(const name##_mask *)(best + i);                                \
            const name##_mask t = (name##_mask)(least ? v <= m : v >= m) | (name##_mask)(v != v);  \
            const name##_mask now = (t & j) | (~t & b);                                            \
                                                                                                   \
            *(name##_vector *)(most + i) =                                                         \
                (name##_vector)(((name##_mask)v & t) | ((name##_mask)m & ~t));                     \
            *(name##_mask *)(best + i) = now;                                                      \
            *(name##_mask *)(out + i) = now;                                                       \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name##_side(const cti_running_extreme_args *a, const scan_part *p)                 \
    {                                                                                              \
        type x[SCAN_COLUMNS * SCAN_BLOCK], most[SCAN_BLOCK];                                       \
        place y[SCAN_COLUMNS * SCAN_BLOCK], best[SCAN_BLOCK] = { 0 };                              \
        scan_side s = { .n = a->n, .rows = p->width, .size = sizeof(type) };                       \
                                                                                                   \
        while (side_next(&s)) {                                                                    \
            side_take(&s, (const type *)a->in + p->first, x);                                      \
            if (s.from == 0)                                                                       \
                memcpy(most, x, sizeof most);                                                      \
            for (int j = 0; j < s.count; j++)                                                      \
                name##_row(a->least, (place)(s.from + j), x + j * SCAN_BLOCK, most, best,          \
                           y + j * SCAN_BLOCK);                                                    \
            side_put_##place(&s, y, a->out + p->first);                                            \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name##_columns(const cti_running_extreme_args *a, const scan_part *p)              \
    {                                                                                              \
        const type *x = (const type *)a->in + p->first;                                            \
        type most[SCAN_TILE];                                                                      \
        int64_t best[SCAN_TILE], *out = a->out + p->first, j;                                      \
                                                                                                   \
        memcpy(most, x, (size_t)p->width * sizeof *x);                                             \
        for (j = 0; j < a->n; j++, x += a->inner, out += a->inner)                                 \
            for (int i = 0; i < p->width; i++) {                                                   \
                if ((a->least ? x[i] <= most[i] : x[i] >= most[i]) || x[i] != x[i] || j == 0) {    \
                    best[i] = j;                                                                   \
                    most[i] = x[i];                                                                \
                }                                                                                  \
                out[i] = best[i];                                                                  \
            }                                                                                      \
    }

RUNNING_EXTREME(extreme_f32, float, int32_t)
RUNNING_EXTREME(extreme_f64, double, int64_t)
RUNNING_EXTREME(extreme_i32, int32_t, int32_t)
RUNNING_EXTREME(extreme_i64, int64_t, int64_t)

#define RUN_EXTREME(name) (p.side ? name##_side : name##_columns)(a, &p)

static void running_extreme_piece(void *context, int64_t piece)
{
    const cti_running_extreme_args *a = context;
    const int64_t shape[] = { a->outer, a->n, a->inner };
    scan_part p = scan_part_of(shape, piece, 0);

    for (int done = 0; p.width; p = scan_part_of(shape, piece, done += p.width))
        switch (a->dtype) {
        case CT_F32:
            RUN_EXTREME(extreme_f32);
            break;
        case CT_F64:
            RUN_EXTREME(extreme_f64);
            break;
        case CT_I32:
            RUN_EXTREME(extreme_i32);
            break;
        case CT_I64:
            RUN_EXTREME(extreme_i64);
            break;
        case CT_BOOL:
        case CT_BF16:
            break;
        }
}

void cti_cpu_running_extreme(const cti_running_extreme_args *a)
{
    if (a->n && a->inner)
        cti_parallel(scan_pieces(a->outer, a->inner), running_extreme_piece, (void *)a);
}

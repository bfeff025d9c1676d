/* cpu.c - the CPU's kernel table: picks the code path, walks strides, cuts work into pieces.
 *
 * Pieces depend on shapes alone, never on the number of threads. */
#include "tensor/cpu/cpu.h"

#include "tensor/convert.h"
#include "tensor/philox.h"
#include "tensor/hooks.h"
#include "tensor/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 16384  /* elements of one piece of elementwise work */
#define NORM_RUNS 64 /* partial sums of a norm, at most */

/* ---- code paths ---- */

static atomic_bool portable;

void ct_set_portable(bool wanted)
{
    atomic_store_explicit(&portable, wanted, memory_order_relaxed);
}

bool ct_portable(void)
{
    return atomic_load_explicit(&portable, memory_order_relaxed);
}

const cti_cpu_path *cti_cpu_path_get(void)
{
    static _Atomic(const cti_cpu_path *) chosen;
    const cti_cpu_path *path = atomic_load_explicit(&chosen, memory_order_acquire);
    const char *wish;

    if (ct_portable())
        return &cti_cpu_path_base;
    if (path)
        return path;
    wish = getenv("COTANGENT_CPU_PATH");
    path = &cti_cpu_path_base;
#ifdef CT_HAVE_AVX2_PATH
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        !(wish && strcmp(wish, "base") == 0))
        path = &cti_cpu_path_avx2;
#endif
#ifdef CT_HAVE_AVX512_PATH
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        path != &cti_cpu_path_base && !(wish && strcmp(wish, "avx2") == 0))
        path = &cti_cpu_path_avx512;
#endif
    (void)wish;
    atomic_store_explicit(&chosen, path, memory_order_release);
    return path;
}

const cti_bf16_path *cti_bf16_path_get(void)
{
#ifdef CT_HAVE_BF16_PATH
    enum { UNKNOWN, HAS, HAS_NOT };
    static atomic_int known;
    int it = atomic_load_explicit(&known, memory_order_relaxed);

    if (it == UNKNOWN) {
        const char *wish = getenv("COTANGENT_CPU_PATH");
        bool unwanted = wish && strcmp(wish, "avx512") == 0;

        it = __builtin_cpu_supports("avx512bf16") && !unwanted ? HAS : HAS_NOT;
        atomic_store_explicit(&known, it, memory_order_relaxed);
    }
    if (it == HAS && cti_cpu_path_get() == &cti_cpu_path_avx512)
        return &cti_bf16_path_avx512;
#endif
    return NULL;
}

/* ---- memory ---- */

static void *cpu_allocate(size_t bytes)
{
    return cti_memory_calls.allocate(64, bytes);
}

static void cpu_release(void *data, size_t bytes)
{
    (void)bytes;
    cti_memory_calls.release(data);
}

static void cpu_upload(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

static ct_status cpu_download(void *to, const void *from, size_t bytes, cti_fault *fault)
{
    (void)fault;
    memcpy(to, from, bytes);
    return CT_OK;
}

static void cpu_select(int ordinal)
{
    (void)ordinal;
}

/* ---- one number in another dtype ---- */

static void store_double(char *p, ct_dtype dtype, double v)
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
        *p = v != 0;
        break;
    case CT_BF16:
        half = cti_bf16_of_double(v);
        memcpy(p, &half, sizeof half);
        break;
    }
}

/* ---- walking several strided arrays at once ---- */

typedef struct walk {
    int rank;
    int64_t dim[CT_MAX_RANK];
    int64_t step[4][CT_MAX_RANK]; /* bytes */
} walk;

/* Drops axes of size 1 and joins axes that are contiguous in all arrays. False if a size is 0. */
static bool walk_simplify(walk *w, int arrays)
{
    int r = 0, i, k;

    for (i = 0; i < w->rank; i++) {
        bool joins = r > 0;

        if (w->dim[i] == 0)
            return false;
        if (w->dim[i] == 1)
            continue;
        for (k = 0; k < arrays && joins; k++)
            joins = w->step[k][r - 1] == w->step[k][i] * w->dim[i];
        if (joins) {
            w->dim[r - 1] *= w->dim[i];
        } else {
            w->dim[r] = w->dim[i];
            r++;
        }
        for (k = 0; k < arrays; k++)
            w->step[k][r - 1] = w->step[k][i];
    }
    if (r == 0) {
        w->dim[0] = 1;
        for (k = 0; k < arrays; k++)
            w->step[k][0] = 0;
        r = 1;
    }
    w->rank = r;
    return true;
}

/* Byte offsets of run number run, the last axis being the run. */
static void walk_at(const walk *w, int arrays, int64_t run, int64_t *offset)
{
    int i, k;

    for (k = 0; k < arrays; k++)
        offset[k] = 0;
    for (i = w->rank - 2; i >= 0; i--) {
        int64_t at = run % w->dim[i];

        run /= w->dim[i];
        for (k = 0; k < arrays; k++)
            offset[k] += at * w->step[k][i];
    }
}

typedef struct job {
    walk w;
    int64_t runs, length, split; /* runs of length elements, each cut into split parts */
    int64_t units;               /* runs * split */
    int64_t per_piece;           /* units in a piece */
    const cti_ew *e;
    cti_loop loop;
    double param[2];
    size_t size[4];
    /* copies */
    const cti_array *dst, *src;
} job;

static void job_cut(job *j)
{
    int64_t length = j->w.dim[j->w.rank - 1];
    int i;

    j->runs = 1;
    for (i = 0; i < j->w.rank - 1; i++)
        j->runs *= j->w.dim[i];
    j->length = length;
    j->split = (length + PIECE - 1) / PIECE;
    j->units = j->runs * j->split;
    j->per_piece = j->split > 1 ? 1 : (PIECE + length - 1) / length;
}

static int64_t job_pieces(const job *j)
{
    return (j->units + j->per_piece - 1) / j->per_piece;
}

static void elementwise_piece(void *context, int64_t piece)
{
    const job *j = context;
    int64_t u = piece * j->per_piece, end = u + j->per_piece;
    int last = j->w.rank - 1, arrays = j->e->inputs + 1, k;

    for (end = end < j->units ? end : j->units; u < end; u++) {
        int64_t offset[4], first = u % j->split * PIECE, n = j->length - first, step[4] = { 0 };
        char *p[4] = { 0 };

        n = n < PIECE ? n : PIECE;
        walk_at(&j->w, arrays, u / j->split, offset);
        for (k = 0; k < arrays; k++) {
            char *base = k ? (char *)j->e->in[k - 1] : j->e->out;

            p[k] = base + offset[k] + first * j->w.step[k][last];
            step[k] = j->w.step[k][last] / (int64_t)j->size[k];
        }
        j->loop(n, p[0], step[0], p[1], step[1], p[2], step[2], p[3], step[3], j->param);
    }
}

static bool gives_bool(cti_ew_op op)
{
    return (op >= CTI_EW_eq && op <= CTI_EW_logical_xor);
}

static cti_loop loop_of(cti_ew_op op, ct_dtype dtype)
{
    const cti_cpu_path *path = cti_cpu_path_get();

    switch (dtype) {
    case CT_F32:
        return path->f32[op];
    case CT_F64:
        return path->f64[op];
    case CT_I32:
        return path->i32[op];
    case CT_I64:
        return path->i64[op];
    case CT_BOOL:
        return path->b8[op];
    case CT_BF16:
        return op == CTI_EW_where ? path->where16 : NULL;
    }
    return NULL;
}

/* A number as an element of dtype: out of its range, the nearest end. */
static double as_element(double v, ct_dtype dtype)
{
    if (dtype != CT_I32 && dtype != CT_I64)
        return v;
    return dtype == CT_I32 ? cti_i32_of(v) : v >= 0x1p63 ? 0x1p63 - 1024 : (double)cti_i64_of(v);
}

/* One piece of adjacent elements: nothing to walk. */
static bool is_one_run(const cti_ew *e)
{
    int k;

    if (e->rank != 1 || e->dim[0] > PIECE || e->out_stride[0] != 1)
        return false;
    for (k = 0; k < e->inputs; k++)
        if (e->in_stride[k][0] != 1)
            return false;
    return true;
}

static void cpu_elementwise(const cti_ew *e)
{
    job j;
    int arrays = e->inputs + 1, i, k;

    for (i = 0; i < 2; i++)
        j.param[i] = as_element(e->param[i], e->dtype);
    j.loop = loop_of(e->op, e->dtype);
    if (is_one_run(e)) {
        j.loop(e->dim[0], e->out, 1, e->in[0], 1, e->inputs > 1 ? e->in[1] : NULL, 1,
               e->inputs > 2 ? e->in[2] : NULL, 1, j.param);
        return;
    }
    j.e = e;
    j.w.rank = e->rank;
    j.size[0] = gives_bool(e->op) ? 1 : ct_dtype_size(e->dtype);
    for (k = 1; k < arrays; k++)
        j.size[k] = e->op == CTI_EW_where && k == 1 ? 1 : ct_dtype_size(e->dtype);
    for (i = 0; i < e->rank; i++) {
        j.w.dim[i] = e->dim[i];
        for (k = 0; k < arrays; k++)
            j.w.step[k][i] = (k ? e->in_stride[k - 1][i] : e->out_stride[i]) * (int64_t)j.size[k];
    }
    if (!walk_simplify(&j.w, arrays))
        return;
    job_cut(&j);
    cti_parallel(job_pieces(&j), elementwise_piece, &j);
}

/* ---- copies and conversions ---- */

/* One run of n elements, x to y; strides in bytes. Adjacent elements have a loop of their own,
 * which vectorises. */
#define CONVERT(name, from, to, expr)                                                              \
    static void name(int64_t n, char *d, int64_t ds, const char *s, int64_t ss)                    \
    {                                                                                              \
        int64_t i;                                                                                 \
        from x;                                                                                    \
        to y;                                                                                      \
        if (ds == sizeof(to) && ss == sizeof(from)) {                                              \
            for (i = 0; i < n; i++) {                                                              \
                memcpy(&x, s + i * (int64_t)sizeof(from), sizeof x);                               \
                y = (expr);                                                                        \
                memcpy(d + i * (int64_t)sizeof(to), &y, sizeof y);                                 \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (i = 0; i < n; i++) {                                                                  \
            memcpy(&x, s + i * ss, sizeof x);                                                      \
            y = (expr);                                                                            \
            memcpy(d + i * ds, &y, sizeof y);                                                      \
        }                                                                                          \
    }
CONVERT(f32_to_f64, float, double, x)
CONVERT(f32_to_i32, float, int32_t, cti_i32_of((double)x))
CONVERT(f32_to_i64, float, int64_t, cti_i64_of((double)x))
CONVERT(f32_to_bool, float, uint8_t, x != 0)
CONVERT(f32_to_bf16, float, uint16_t, cti_bf16_of(x))
CONVERT(f64_to_f32, double, float, (float)x)
CONVERT(f64_to_i32, double, int32_t, cti_i32_of(x))
CONVERT(f64_to_i64, double, int64_t, cti_i64_of(x))
CONVERT(f64_to_bool, double, uint8_t, x != 0)
CONVERT(f64_to_bf16, double, uint16_t, cti_bf16_of_double(x))
CONVERT(i32_to_f32, int32_t, float, (float)x)
CONVERT(i32_to_f64, int32_t, double, x)
CONVERT(i32_to_i64, int32_t, int64_t, x)
CONVERT(i32_to_bool, int32_t, uint8_t, x != 0)
CONVERT(i32_to_bf16, int32_t, uint16_t, cti_bf16_of_double(x))
CONVERT(i64_to_f32, int64_t, float, (float)x)
CONVERT(i64_to_f64, int64_t, double, (double)x)
CONVERT(i64_to_i32, int64_t, int32_t, cti_i32_of_i64(x))
CONVERT(i64_to_bool, int64_t, uint8_t, x != 0)
CONVERT(i64_to_bf16, int64_t, uint16_t, cti_bf16_of_i64(x))
CONVERT(bool_to_f32, uint8_t, float, x)
CONVERT(bool_to_f64, uint8_t, double, x)
CONVERT(bool_to_i32, uint8_t, int32_t, x)
CONVERT(bool_to_i64, uint8_t, int64_t, x)
CONVERT(bool_to_bf16, uint8_t, uint16_t, cti_bf16_of((float)x))
CONVERT(bf16_to_f32, uint16_t, float, cti_float_of_bf16(x))
CONVERT(bf16_to_f64, uint16_t, double, (double)cti_float_of_bf16(x))
CONVERT(bf16_to_i32, uint16_t, int32_t, cti_i32_of((double)cti_float_of_bf16(x)))
CONVERT(bf16_to_i64, uint16_t, int64_t, cti_i64_of((double)cti_float_of_bf16(x)))
CONVERT(bf16_to_bool, uint16_t, uint8_t, (x & 0x7fff) != 0)

typedef void (*copy_loop)(int64_t n, char *d, int64_t ds, const char *s, int64_t ss);

/* by source, by destination */
static const copy_loop conversions[6][6] = {
    { NULL, f32_to_f64, f32_to_i32, f32_to_i64, f32_to_bool, f32_to_bf16 },
    { f64_to_f32, NULL, f64_to_i32, f64_to_i64, f64_to_bool, f64_to_bf16 },
    { i32_to_f32, i32_to_f64, NULL, i32_to_i64, i32_to_bool, i32_to_bf16 },
    { i64_to_f32, i64_to_f64, i64_to_i32, NULL, i64_to_bool, i64_to_bf16 },
    { bool_to_f32, bool_to_f64, bool_to_i32, bool_to_i64, NULL, bool_to_bf16 },
    { bf16_to_f32, bf16_to_f64, bf16_to_i32, bf16_to_i64, bf16_to_bool, NULL },
};

#define MOVE(type)                                                                                 \
    for (i = 0; i < n; i++)                                                                        \
        memcpy(d + i * ds, s + i * ss, sizeof(type));                                              \
    break

/* The same dtype: n elements of size bytes. */
static void move_run(int64_t n, char *d, int64_t ds, const char *s, int64_t ss, size_t size)
{
    int64_t i;

    if (ds == (int64_t)size && ss == ds) {
        memcpy(d, s, (size_t)n * size);
        return;
    }
    switch (size) {
    case 1:
        MOVE(uint8_t);
    case 2:
        MOVE(uint16_t);
    case 4:
        MOVE(uint32_t);
    default:
        MOVE(uint64_t);
    }
}

static void copy_piece(void *context, int64_t piece)
{
    const job *j = context;
    int64_t u = piece * j->per_piece, end = u + j->per_piece;
    int last = j->w.rank - 1;
    copy_loop convert = conversions[j->src->dtype][j->dst->dtype];

    for (end = end < j->units ? end : j->units; u < end; u++) {
        int64_t offset[2], first = u % j->split * PIECE, n = j->length - first;
        const int64_t ds = j->w.step[0][last], ss = j->w.step[1][last];
        const char *s;
        char *d;

        walk_at(&j->w, 2, u / j->split, offset);
        d = (char *)j->dst->data + offset[0] + first * ds;
        s = (const char *)j->src->data + offset[1] + first * ss;
        n = n < PIECE ? n : PIECE;
        if (convert)
            convert(n, d, ds, s, ss);
        else
            move_run(n, d, ds, s, ss, ct_dtype_size(j->dst->dtype));
    }
}

static void cpu_copy(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src)
{
    job j;
    int i;

    j.w.rank = rank;
    j.dst = dst;
    j.src = src;
    for (i = 0; i < rank; i++) {
        j.w.dim[i] = dim[i];
        j.w.step[0][i] = dst->stride[i] * (int64_t)ct_dtype_size(dst->dtype);
        j.w.step[1][i] = src->stride[i] * (int64_t)ct_dtype_size(src->dtype);
    }
    if (!walk_simplify(&j.w, 2))
        return;
    job_cut(&j);
    cti_parallel(job_pieces(&j), copy_piece, &j);
}

/* ---- fills ---- */

static void cpu_fill(void *data, ct_dtype dtype, int64_t n, double value)
{
    size_t size = ct_dtype_size(dtype), done;
    char *p = data;

    if (n == 0)
        return;
    store_double(p, dtype, value);
    for (done = 1; done < (size_t)n; done *= 2)
        memcpy(p + done * size, p, (done * 2 <= (size_t)n ? done : (size_t)n - done) * size);
}

static void cpu_arange(void *data, ct_dtype dtype, int64_t n, double start, double step)
{
    size_t size = ct_dtype_size(dtype);
    int64_t i;

    for (i = 0; i < n; i++)
        store_double((char *)data + (size_t)i * size, dtype, start + (double)i * step);
}

/* ---- random numbers: element i of an f32 takes word i, of an f64 words 2 i and 2 i + 1 ---- */

typedef struct draw {
    void *data;
    ct_dtype dtype;
    int64_t n;
    double a, b;
    const cti_position *from;
    bool normal;
} draw;

#define DRAW_BLOCKS 1024

static void draw_piece(void *context, int64_t piece)
{
    const draw *d = context;
    uint64_t block = cti_first_block(d->from);
    int64_t per = d->dtype == CT_F64 ? 2 : 4, i = piece * DRAW_BLOCKS * per, k;
    int64_t end = i + DRAW_BLOCKS * per < d->n ? i + DRAW_BLOCKS * per : d->n;

    for (; i < end; i += per) {
        uint32_t w[4];
        int64_t m = end - i < per ? end - i : per;

        cti_philox(d->from->seed, d->from->stream, block + (uint64_t)(i / per), w);
        if (d->dtype == CT_F64) {
            double out[2];

            cti_draw_f64(d->normal, d->a, d->b, w, out);
            for (k = 0; k < m; k++)
                ((double *)d->data)[i + k] = out[k];
        } else {
            float out[4];

            cti_draw_f32(d->normal, d->a, d->b, w, out);
            for (k = 0; k < m; k++)
                ((float *)d->data)[i + k] = out[k];
        }
    }
}

static void run_draw(draw *d)
{
    int64_t per = DRAW_BLOCKS * (d->dtype == CT_F64 ? 2 : 4);

    cti_parallel((d->n + per - 1) / per, draw_piece, d);
}

static void cpu_uniform(void *data, ct_dtype dtype, int64_t n, double low, double high,
                        const cti_position *from)
{
    draw d = { data, dtype, n, low, high, from, false };

    run_draw(&d);
}

static void cpu_normal(void *data, ct_dtype dtype, int64_t n, double mean, double std,
                       const cti_position *from)
{
    draw d = { data, dtype, n, mean, std, from, true };

    run_draw(&d);
}

/* ---- reductions ---- */

typedef struct reduction {
    cti_reduce_op op;
    ct_dtype dtype;
    int64_t outer, n, inner, columns; /* columns of inner in a piece */
    const char *in;
    char *out;
} reduction;

/* Whether a comes after b; a NaN comes after all numbers. */
#define AFTER(a, b) ((a) > (b) || ((a) != (a) && !((b) != (b))))

#define REDUCE(type, acc_type)                                                                     \
    do {                                                                                           \
        const type *x = (const type *)r->in + at * r->n * r->inner + column;                       \
        int64_t best = 0;                                                                          \
        acc_type acc = r->op == CTI_PROD || r->op == CTI_ALL ? 1 : 0;                              \
        type extreme = r->n ? x[0] : 0;                                                            \
        for (j = 0; j < r->n; j++) {                                                               \
            type v = x[j * r->inner];                                                              \
            switch (r->op) {                                                                       \
            case CTI_SUM:                                                                          \
                acc += (acc_type)v;                                                                \
                break;                                                                             \
            case CTI_PROD:                                                                         \
                acc *= (acc_type)v;                                                                \
                break;                                                                             \
            case CTI_MAX:                                                                          \
            case CTI_ARGMAX:                                                                       \
                if (AFTER(v, extreme)) {                                                           \
                    extreme = v;                                                                   \
                    best = j;                                                                      \
                }                                                                                  \
                break;                                                                             \
            case CTI_MIN:                                                                          \
            case CTI_ARGMIN:                                                                       \
                if (v < extreme || (v != v && extreme == extreme)) {                               \
                    extreme = v;                                                                   \
                    best = j;                                                                      \
                }                                                                                  \
                break;                                                                             \
            case CTI_ANY:                                                                          \
                acc = acc || v;                                                                    \
                break;                                                                             \
            case CTI_ALL:                                                                          \
                acc = acc && v;                                                                    \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
        if (r->op == CTI_ARGMAX || r->op == CTI_ARGMIN)                                            \
            ((int64_t *)r->out)[at * r->inner + column] = best;                                    \
        else if (r->op == CTI_MAX || r->op == CTI_MIN)                                             \
            ((type *)r->out)[at * r->inner + column] = extreme;                                    \
        else                                                                                       \
            ((type *)r->out)[at * r->inner + column] = (type)acc;                                  \
    } while (0)

static void reduce_one(const reduction *r, int64_t at, int64_t column)
{
    int64_t j;

    switch (r->dtype) {
    case CT_F32:
        REDUCE(float, double);
        break;
    case CT_F64:
        REDUCE(double, double);
        break;
    case CT_I32:
        REDUCE(int32_t, uint32_t);
        break;
    case CT_I64:
        REDUCE(int64_t, uint64_t);
        break;
    default:
        REDUCE(uint8_t, uint8_t);
    }
}

/* A piece is one outer index and a group of columns. */
static void reduce_piece(void *context, int64_t piece)
{
    const reduction *r = context;
    int64_t groups = (r->inner + r->columns - 1) / r->columns, at = piece / groups;
    int64_t column = piece % groups * r->columns, end = column + r->columns;
    size_t size = ct_dtype_size(r->dtype);

    end = end < r->inner ? end : r->inner;
    if (r->op == CTI_SUM && cti_is_float(r->dtype)) {
        const cti_row_loops *rows = cti_cpu_rows_of(r->dtype);
        const char *in = r->in + (size_t)(at * r->n * r->inner + column) * size;
        char *out = r->out + (size_t)(at * r->inner + column) * size;

        if (r->inner == 1)
            store_double(out, r->dtype, rows->sum(r->n, in));
        else
            rows->sum_rows(r->n, r->inner, end - column, in, out);
        return;
    }
    for (; column < end; column++)
        reduce_one(r, at, column);
}

static void cpu_reduce(cti_reduce_op op, ct_dtype dtype, int64_t outer, int64_t n, int64_t inner,
                       const void *in, void *out)
{
    reduction r = { op, dtype, outer, n, inner, 64, in, out };

    if (outer && inner)
        cti_parallel(outer * ((inner + r.columns - 1) / r.columns), reduce_piece, &r);
}

/* ---- rows by index ---- */

bool cti_cpu_are_indices(ct_dtype dtype, int64_t count, int64_t rows, const void *index,
                         int64_t *bad)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        int64_t k = cti_cpu_index_at(index, dtype, i);

        if (k < 0 || k >= rows) {
            *bad = i;
            return false;
        }
    }
    return true;
}

static ct_status cpu_gather_rows(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                                 int64_t rows, const void *src, const void *index, void *out,
                                 cti_fault *fault)
{
    size_t bytes = (size_t)width * ct_dtype_size(dtype);
    int64_t i;

    if (!cti_cpu_are_indices(index_dtype, count, rows, index, &fault->position))
        return CT_ERR_INDEX;
    for (i = 0; i < count; i++)
        memcpy((char *)out + (size_t)i * bytes,
               (const char *)src + (size_t)cti_cpu_index_at(index, index_dtype, i) * bytes, bytes);
    return CT_OK;
}

static ct_status cpu_scatter_add_rows(ct_dtype dtype, ct_dtype index_dtype, int64_t count,
                                      int64_t width, int64_t rows, void *dst, const void *index,
                                      const void *src, cti_fault *fault)
{
    const cti_row_loops *loops = cti_cpu_rows_of(dtype);
    size_t bytes = (size_t)width * ct_dtype_size(dtype);
    int64_t i;

    if (!cti_cpu_are_indices(index_dtype, count, rows, index, &fault->position))
        return CT_ERR_INDEX;
    for (i = 0; i < count; i++)
        loops->add_row(width, (char *)dst + (size_t)cti_cpu_index_at(index, index_dtype, i) * bytes,
                       (const char *)src + (size_t)i * bytes);
    return CT_OK;
}

#define PUT_ONES(type)                                                                             \
    for (i = 0; i < count; i++)                                                                    \
        memcpy(o + (i * width + cti_cpu_index_at(index, index_dtype, i)) * (int64_t)sizeof(type),  \
               one, sizeof(type));                                                                 \
    break

static ct_status cpu_one_hot(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                             const void *index, void *out, cti_fault *fault)
{
    size_t size = ct_dtype_size(dtype);
    char one[8], *o = out;
    int64_t i;

    if (!cti_cpu_are_indices(index_dtype, count, width, index, &fault->position))
        return CT_ERR_INDEX;
    store_double(one, dtype, 1);
    memset(out, 0, (size_t)count * (size_t)width * size);
    switch (size) {
    case 1:
        PUT_ONES(uint8_t);
    case 4:
        PUT_ONES(uint32_t);
    default:
        PUT_ONES(uint64_t);
    }
    return CT_OK;
}

/* ---- softmax and cross-entropy ---- */

typedef struct row_job {
    ct_dtype dtype, index_dtype;
    int64_t rows, n, per_piece;
    const char *in;
    char *out;
    bool logarithm;
    const void *target;
    int64_t ignore;
    double smoothing;
    char *loss, *lse;
    const char *dloss;
    int64_t dloss_step;
} row_job;

static void run_rows(row_job *j, void (*piece)(void *, int64_t))
{
    if (j->rows == 0 || j->n == 0)
        return;
    j->per_piece = (PIECE / 2 + j->n - 1) / j->n;
    cti_parallel((j->rows + j->per_piece - 1) / j->per_piece, piece, j);
}

static int64_t last_row(const row_job *j, int64_t piece)
{
    int64_t end = (piece + 1) * j->per_piece;

    return end < j->rows ? end : j->rows;
}

static void softmax_piece(void *context, int64_t piece)
{
    const row_job *j = context;
    const cti_row_loops *loops = cti_cpu_rows_of(j->dtype);
    size_t bytes = (size_t)j->n * ct_dtype_size(j->dtype);
    int64_t i;

    for (i = piece * j->per_piece; i < last_row(j, piece); i++)
        loops->softmax(j->logarithm, j->n, j->in + (size_t)i * bytes, j->out + (size_t)i * bytes);
}

static void cpu_softmax(ct_dtype dtype, bool logarithm, int64_t rows, int64_t n, const void *in,
                        void *out)
{
    row_job j = {
        .dtype = dtype, .rows = rows, .n = n, .in = in, .out = out, .logarithm = logarithm
    };

    run_rows(&j, softmax_piece);
}

#define LOSS_ROWS 64

/* Targets at .. at + count - 1, -1 for those that are ignored. */
static void targets_at(const row_job *j, int64_t at, int64_t count, int64_t *target)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        target[i] = cti_cpu_index_at(j->target, j->index_dtype, at + i);
        if (target[i] == j->ignore)
            target[i] = -1;
    }
}

static void cross_entropy_piece(void *context, int64_t piece)
{
    const row_job *j = context;
    size_t size = ct_dtype_size(j->dtype);
    int64_t end = last_row(j, piece), target[LOSS_ROWS], at;

    for (at = piece * j->per_piece; at < end; at += LOSS_ROWS) {
        int64_t count = end - at < LOSS_ROWS ? end - at : LOSS_ROWS;

        targets_at(j, at, count, target);
        cti_cpu_rows_of(j->dtype)->cross_entropy(count, j->n, j->in + (size_t)(at * j->n) * size,
                                                 target, j->smoothing, j->loss + (size_t)at * size,
                                                 j->lse + (size_t)at * size);
    }
}

static ct_status cpu_cross_entropy(ct_dtype dtype, ct_dtype index_dtype, int64_t rows, int64_t n,
                                   const void *in, const void *target, int64_t ignore,
                                   double smoothing, void *loss, void *lse, cti_fault *fault)
{
    row_job j = { .dtype = dtype,
                  .index_dtype = index_dtype,
                  .rows = rows,
                  .n = n,
                  .in = in,
                  .target = target,
                  .ignore = ignore,
                  .smoothing = smoothing,
                  .loss = loss,
                  .lse = lse };
    int64_t i;

    for (i = 0; i < rows; i++) {
        int64_t k = cti_cpu_index_at(target, index_dtype, i);

        if (k != ignore && (k < 0 || k >= n)) {
            fault->position = i;
            return CT_ERR_INDEX;
        }
    }
    run_rows(&j, cross_entropy_piece);
    return CT_OK;
}

static void cross_entropy_backward_piece(void *context, int64_t piece)
{
    const row_job *j = context;
    size_t size = ct_dtype_size(j->dtype);
    int64_t end = last_row(j, piece), target[LOSS_ROWS], at;

    for (at = piece * j->per_piece; at < end; at += LOSS_ROWS) {
        int64_t count = end - at < LOSS_ROWS ? end - at : LOSS_ROWS;

        targets_at(j, at, count, target);
        cti_cpu_rows_of(j->dtype)->cross_entropy_backward(
            count, j->n, j->in + (size_t)(at * j->n) * size, target, j->smoothing,
            j->lse + (size_t)at * size, j->dloss + (size_t)(at * j->dloss_step) * size,
            j->dloss_step, j->out + (size_t)(at * j->n) * size);
    }
}

static void cpu_cross_entropy_backward(ct_dtype dtype, ct_dtype index_dtype, int64_t rows,
                                       int64_t n, const void *in, const void *target,
                                       int64_t ignore, double smoothing, const void *lse,
                                       const void *dloss, int64_t dloss_step, void *din)
{
    row_job j = { .dtype = dtype,
                  .index_dtype = index_dtype,
                  .rows = rows,
                  .n = n,
                  .in = in,
                  .out = din,
                  .target = target,
                  .ignore = ignore,
                  .smoothing = smoothing,
                  .lse = (char *)lse,
                  .dloss = dloss,
                  .dloss_step = dloss_step };

    run_rows(&j, cross_entropy_backward_piece);
}

/* ---- optimisers ---- */

/* The segments, one after another, are cut into runs of length elements; a run may span several
 * segments. */
typedef struct table_job {
    const cti_segment *segments;
    int count;
    int64_t length;
    const cti_update *update;
    double partial[NORM_RUNS];
} table_job;

static int64_t table_total(const cti_segment *segments, int count)
{
    int64_t total = 0;
    int i;

    for (i = 0; i < count; i++)
        total += segments[i].n;
    return total;
}

/* Calls visit for each stretch of a segment that lies in run number run. */
static void table_run(table_job *j, int64_t run,
                      void (*visit)(table_job *j, int64_t run, const cti_segment *s, int64_t at,
                                    int64_t n))
{
    int64_t from = run * j->length, to = from + j->length, start = 0;
    int i;

    for (i = 0; i < j->count && start < to; i++) {
        const cti_segment *s = &j->segments[i];
        int64_t at = from > start ? from - start : 0;
        int64_t end = s->n < to - start ? s->n : to - start;

        if (at < end)
            visit(j, run, s, at, end - at);
        start += s->n;
    }
}

static void add_squares(table_job *j, int64_t run, const cti_segment *s, int64_t at, int64_t n)
{
    const char *g = (const char *)s->grad + (size_t)at * ct_dtype_size(s->dtype);

    j->partial[run] += cti_cpu_rows_of(s->dtype)->sum_squares(n, g);
}

static void norm_piece(void *context, int64_t piece)
{
    table_run(context, piece, add_squares);
}

static void cpu_norm_squared(const cti_segment *segments, int count, double *out)
{
    table_job j = { .segments = segments, .count = count };
    int64_t total = table_total(segments, count), i;
    double sum = 0;

    j.length = (total + NORM_RUNS - 1) / NORM_RUNS;
    j.length = j.length < PIECE ? PIECE : j.length;
    cti_parallel((total + j.length - 1) / j.length, norm_piece, &j);
    for (i = 0; i < NORM_RUNS; i++)
        sum += j.partial[i];
    *out = sum;
}

static void scale(const cti_segment *s, double factor)
{
    cti_ew e = { .op = CTI_EW_affine,
                 .dtype = s->dtype,
                 .inputs = 1,
                 .rank = 1,
                 .dim = { s->n },
                 .out = (void *)s->grad,
                 .out_stride = { 1 },
                 .in = { s->grad },
                 .in_stride = { { 1 } },
                 .param = { factor, 0 } };

    cpu_elementwise(&e);
}

static ct_status cpu_clip_norm(const cti_segment *segments, int count, double max_norm,
                               double *norm, cti_fault *fault)
{
    double total;
    int i;

    cpu_norm_squared(segments, count, &total);
    total = sqrt(total);
    if (norm)
        *norm = total;
    fault->position = 0;
    if (!isfinite(total))
        return CT_ERR_NUMERIC;
    for (i = 0; i < count && total > max_norm; i++)
        scale(&segments[i], max_norm / total);
    return CT_OK;
}

static void update_stretch(table_job *j, int64_t run, const cti_segment *s, int64_t at, int64_t n)
{
    (void)run;
    cti_cpu_rows_of(s->dtype)->update[j->update->rule](at, n, j->update, s);
}

static void update_piece(void *context, int64_t piece)
{
    table_run(context, piece, update_stretch);
}

static void cpu_update(const cti_update *u, const cti_segment *segments, int count)
{
    table_job j = { .segments = segments, .count = count, .length = PIECE, .update = u };

    cti_parallel((table_total(segments, count) + PIECE - 1) / PIECE, update_piece, &j);
}

const cti_backend cti_cpu_backend = {
    .version = CTI_BACKEND_VERSION,
    .size = sizeof(cti_backend),
    .name = "cpu",
    .select = cpu_select,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .upload = cpu_upload,
    .download = cpu_download,
    .copy = cpu_copy,
    .carry = cpu_copy,
    .fill = cpu_fill,
    .arange = cpu_arange,
    .uniform = cpu_uniform,
    .normal = cpu_normal,
    .elementwise = cpu_elementwise,
    .gemm = cti_cpu_gemm,
    .reduce = cpu_reduce,
    .gather_rows = cpu_gather_rows,
    .scatter_add_rows = cpu_scatter_add_rows,
    .one_hot = cpu_one_hot,
    .cumsum = cti_cpu_cumsum,
    .gather = cti_cpu_gather,
    .scatter_add = cti_cpu_scatter_add,
    .sort = cti_cpu_sort,
    .dropout = cti_cpu_dropout,
    .multinomial = cti_cpu_multinomial,
    .softmax = cpu_softmax,
    .cross_entropy = cpu_cross_entropy,
    .cross_entropy_backward = cpu_cross_entropy_backward,
    .sequence = cti_cpu_sequence,
    .sequence_backward = cti_cpu_sequence_backward,
    .norm_squared = cpu_norm_squared,
    .clip_norm = cpu_clip_norm,
    .update = cpu_update,
};

/* scan.c - running sums, recurrences and extremes along n of (outer, n, inner). f32 adds in double; integers wrap. If n or inner
 * is 0, there is nothing to do: outer may be huge. */
#include "tensor/cpu/cpu.h"
#include "tensor/cpu/math.h"

#include "tensor/parallel.h"

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

/* ---- linear recurrences ---- */

#define LINEAR_SCAN(type, acc_type)                                                                \
    do {                                                                                           \
        int64_t first = at * s->n * s->inner + column, j;                                          \
        acc_type h = 0;                                                                            \
        for (j = 0; j < s->n; j++) {                                                               \
            int64_t k = first + (s->reverse ? s->n - 1 - j : j) * s->inner;                        \
            h = (acc_type)((const type *)s->a)[k] * h + (acc_type)((const type *)s->b)[k];         \
            ((type *)s->out)[k] = (type)h;                                                         \
        }                                                                                          \
    } while (0)

static void linear_scan_piece(void *context, int64_t at)
{
    const cti_linear_scan_args *s = context;
    int64_t column;

    for (column = 0; column < s->inner; column++)
        switch (s->dtype) {
        case CT_F32:
            LINEAR_SCAN(float, double);
            break;
        case CT_F64:
            LINEAR_SCAN(double, double);
            break;
        case CT_I32:
            LINEAR_SCAN(int32_t, uint32_t);
            break;
        case CT_I64:
            LINEAR_SCAN(int64_t, uint64_t);
            break;
        case CT_BOOL:
        case CT_BF16:
            break;
        }
}

void cti_cpu_linear_scan(const cti_linear_scan_args *a)
{
    if (a->n && a->inner)
        cti_parallel(a->outer, linear_scan_piece, (void *)a);
}

/* ---- running extremes ---- */

/* x != x tells a NaN, and is false of integers */
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

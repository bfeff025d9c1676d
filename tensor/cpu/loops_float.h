/* loops_float.h - elementwise and row loops for f32 and f64; included by kernels.c after
 * loops_number.h, with T, FN, M and K defined. (internal, no guard) */

#define RUN3(fn, expr)                                                                            \
    static void fn(LOOP_ARGS)                                                                     \
    {                                                                                             \
        T *o = out;                                                                               \
        const T *xs = a, *ys = b, *zs = c;                                                        \
        int64_t i;                                                                                \
        UNUSED;                                                                                   \
        if (so == 1 && sa == 1 && sb == 1 && sc == 1) {                                           \
            INDEPENDENT                                                                           \
            for (i = 0; i < n; i++) {                                                             \
                T x = xs[i], y = ys[i], z = zs[i];                                                \
                o[i] = (expr);                                                                    \
            }                                                                                     \
            return;                                                                               \
        }                                                                                         \
        for (i = 0; i < n; i++) {                                                                 \
            T x = xs[i * sa], y = ys[i * sb], z = zs[i * sc];                                     \
            o[i * so] = (expr);                                                                   \
        }                                                                                         \
    }

#define NUMBER1(name, expr)
#define NUMBER2(name, expr)
#define FLOAT1(name, expr) RUN1(FN(name), T, expr)
#define FLOAT2(name, expr) RUN2(FN(name), T, expr)
#define FLOAT3(name, expr) RUN3(FN(name), expr)
#define COMPARE(name, expr)
#define TEST(name, expr) RUN1(FN(name), uint8_t, expr)
#define LOGIC1(name, expr)
#define LOGIC2(name, expr)
#define SELECT(name, expr)
#include "tensor/formulas.h"

#define LANES 16
#define BLOCK 1024
#define CTI_LSE_BLOCK 512 /* elements that log_sum_exp holds */

/* Sixteen partial sums within a block, blocks in double: the order depends on n alone. */
static double FN(sum)(int64_t n, const void *in)
{
    const T *x = in;
    double total = 0;
    int64_t i, j;

    for (i = 0; i < n; i += BLOCK) {
        T lane[LANES] = { 0 };
        int64_t m = n - i < BLOCK ? n - i : BLOCK;

        for (j = 0; j + LANES <= m; j += LANES)
            for (int l = 0; l < LANES; l++)
                lane[l] += x[i + j + l];
        for (int l = 0; l < LANES; l++)
            total += (double)lane[l];
        for (; j < m; j++)
            total += (double)x[i + j];
    }
    return total;
}

static double FN(sum_squares)(int64_t n, const void *in)
{
    const T *x = in;
    double total = 0;
    int64_t i, j;

    for (i = 0; i < n; i += BLOCK) {
        double lane[LANES] = { 0 };
        int64_t m = n - i < BLOCK ? n - i : BLOCK;

        for (j = 0; j + LANES <= m; j += LANES)
            for (int l = 0; l < LANES; l++)
                lane[l] += (double)x[i + j + l] * (double)x[i + j + l];
        for (int l = 0; l < LANES; l++)
            total += lane[l];
        for (; j < m; j++)
            total += (double)x[i + j] * (double)x[i + j];
    }
    return total;
}

/* Columns are taken 64 at a time, each with a sum in double. */
static void FN(sum_rows)(int64_t n, int64_t stride, int64_t width, const void *in, void *out)
{
    const T *x = in;
    T *o = out;
    int64_t i, j, k;

    for (i = 0; i < width; i += 64) {
        double total[64] = { 0 };
        int64_t m = width - i < 64 ? width - i : 64;

        for (j = 0; j < n; j++) {
            const T *row = x + j * stride + i;

            if (m == 64)
                for (k = 0; k < 64; k++)
                    total[k] += (double)row[k];
            else
                for (k = 0; k < m; k++)
                    total[k] += (double)row[k];
        }
        for (k = 0; k < m; k++)
            o[i + k] = (T)total[k];
    }
}

/* The greatest of n, n > 0; NaN if one is. */
static T FN(row_max)(int64_t n, const T *x)
{
    T lane[LANES], most = x[0], odd = 0;
    int64_t i = 0;
    int l;

    if (n >= LANES) {
        for (l = 0; l < LANES; l++)
            lane[l] = x[l];
        for (i = LANES; i + LANES <= n; i += LANES)
            for (l = 0; l < LANES; l++)
                lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
        for (l = 0; l < LANES; l++)
            most = lane[l] > most ? lane[l] : most;
    }
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (i = 0; i < n; i++) /* 0, or NaN if there is a NaN or an infinity */
        odd += x[i] * 0;
    if (odd != odd)
        for (i = 0; i < n; i++)
            most = x[i] != x[i] ? x[i] : most;
    return most;
}

static void FN(softmax)(bool logarithm, int64_t n, const void *in, void *out)
{
    const T *x = in;
    T *o = out;
    T most = FN(row_max)(n, x), total = 0;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        o[i] = M(exp)(x[i] - most);
    total = (T)FN(sum)(n, o);
    if (logarithm) {
        T l = M(log)(total);

        INDEPENDENT
        for (i = 0; i < n; i++)
            o[i] = (x[i] - most) - l; /* most + l would lose the digits of l */
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++)
            o[i] = o[i] / total;
    }
}

/* Rows of n: lse[i], and sum[i] if wanted. Short rows are taken several at a time, so that the
 * exponentials fill vectors. */
static void FN(log_sum_exp)(int64_t rows, int64_t n, const void *in, double *lse, double *sum)
{
    const T *x = in;
    T e[CTI_LSE_BLOCK];
    int64_t i, j, at = 0, m, few = n < CTI_LSE_BLOCK ? CTI_LSE_BLOCK / n : 1;
    T most[CTI_LSE_BLOCK];
    double total;

    for (at = 0; at < rows; at += few) {
        int64_t count = rows - at < few ? rows - at : few;

        if (n > CTI_LSE_BLOCK) { /* one long row, in blocks */
            most[0] = FN(row_max)(n, x + at * n);
            for (total = 0, i = 0; i < n; i += CTI_LSE_BLOCK) {
                m = n - i < CTI_LSE_BLOCK ? n - i : CTI_LSE_BLOCK;
                INDEPENDENT
                for (j = 0; j < m; j++)
                    e[j] = M(exp)(x[at * n + i + j] - most[0]);
                total += FN(sum)(m, e);
            }
            lse[at] = isinf(most[0]) ? (double)most[0] : (double)most[0] + log(total);
            continue;
        }
        for (i = 0; i < count; i++) {
            most[i] = FN(row_max)(n, x + (at + i) * n);
            INDEPENDENT
            for (j = 0; j < n; j++)
                e[i * n + j] = x[(at + i) * n + j] - most[i];
        }
        INDEPENDENT
        for (j = 0; j < count * n; j++)
            e[j] = M(exp)(e[j]);
        for (i = 0; i < count; i++)
            lse[at + i] = isinf(most[i]) ? (double)most[i]
                                         : (double)most[i] + log(FN(sum)(n, e + i * n));
    }
    for (i = 0; sum && i < rows; i++)
        sum[i] = FN(sum)(n, x + i * n);
}

static void FN(softmax_minus)(int64_t n, const void *in, double lse, double base, double g,
                              void *out)
{
    const T *x = in;
    T *o = out;
    T l = (T)lse, shift = (T)base, scale = (T)g;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        o[i] = scale * (M(exp)(x[i] - l) - shift);
}

static void FN(add_row)(int64_t n, void *dst, const void *src)
{
    T *d = dst;
    const T *s = src;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        d[i] += s[i];
}

#undef RUN1
#undef RUN2
#undef RUN3

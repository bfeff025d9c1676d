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

/* The sums of WIDTH columns, in double. */
#define SUM_COLUMNS(name, WIDTH)                                                                  \
    static void name(int64_t n, int64_t stride, const T *x, T *o)                                 \
    {                                                                                             \
        double total[WIDTH] = { 0 };                                                              \
        int64_t j;                                                                                \
        int k;                                                                                    \
        for (j = 0; j < n; j++)                                                                   \
            for (k = 0; k < WIDTH; k++)                                                           \
                total[k] += (double)x[j * stride + k];                                            \
        for (k = 0; k < WIDTH; k++)                                                               \
            o[k] = (T)total[k];                                                                   \
    }
SUM_COLUMNS(FN(sum_64_columns), 64)
SUM_COLUMNS(FN(sum_16_columns), 16)
SUM_COLUMNS(FN(sum_4_columns), 4)
SUM_COLUMNS(FN(sum_column), 1)
#undef SUM_COLUMNS

static void FN(sum_rows)(int64_t n, int64_t stride, int64_t width, const void *in, void *out)
{
    const T *x = in;
    T *o = out;
    int64_t i = 0;

    for (; i + 64 <= width; i += 64)
        FN(sum_64_columns)(n, stride, x + i, o + i);
    for (; i + 16 <= width; i += 16)
        FN(sum_16_columns)(n, stride, x + i, o + i);
    for (; i + 4 <= width; i += 4)
        FN(sum_4_columns)(n, stride, x + i, o + i);
    for (; i < width; i++)
        FN(sum_column)(n, stride, x + i, o + i);
}

/* The greatest of n, n > 0; NaN if one is. */
static T FN(row_max)(int64_t n, const T *x)
{
    T lane[LANES], most = x[0];
    int64_t i;
    int l, half, odd = 0;

    if (n >= LANES) {
        for (l = 0; l < LANES; l++) /* the last ones, some of which may come again */
            lane[l] = x[n - LANES + l];
        for (i = 0; i + LANES <= n; i += LANES)
            for (l = 0; l < LANES; l++)
                lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
        for (half = LANES / 2; half > 0; half /= 2)
            for (l = 0; l < half; l++)
                lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
        most = lane[0];
    } else {
        for (i = 1; i < n; i++)
            most = x[i] > most ? x[i] : most;
    }
    for (i = 0; i < n; i++)
        odd |= x[i] != x[i];
    return odd ? (T)NAN : most;
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

static void FN(add_row)(int64_t n, void *dst, const void *src)
{
    T *d = dst;
    const T *s = src;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        d[i] += s[i];
}

static void FN(add_bias)(int64_t rows, int64_t width, const void *x, int64_t ldx, const void *bias,
                         void *out, int64_t ldo)
{
    const T *b = bias;
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        const T *from = (const T *)x + r * ldx;
        T *to = (T *)out + r * ldo;

        if (b) {
            INDEPENDENT
            for (i = 0; i < width; i++)
                to[i] = from[i] + b[i];
        } else {
            memcpy(to, from, (size_t)width * sizeof(T));
        }
    }
}

static void FN(start_rows)(int64_t rows, int64_t width, const void *bias, void *out, int64_t ldo)
{
    int64_t r;

    for (r = 0; r < rows; r++) {
        T *to = (T *)out + r * ldo;

        if (bias)
            memcpy(to, bias, (size_t)width * sizeof(T));
        else
            memset(to, 0, (size_t)width * sizeof(T));
    }
}

#undef RUN1
#undef RUN2
#undef RUN3

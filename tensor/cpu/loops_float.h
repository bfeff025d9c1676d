/* loops_float.h - elementwise and row loops for f32 and f64; included by kernels.c after
 * loops_number.h, with T, FN, M and K defined. (internal, no guard) */

#define RUN3(fn, expr)                                                                             \
    static void fn(LOOP_ARGS)                                                                      \
    {                                                                                              \
        T *o = out;                                                                                \
        const T *xs = a, *ys = b, *zs = c;                                                         \
        int64_t i;                                                                                 \
        UNUSED;                                                                                    \
        if (so == 1 && sa == 1 && sb == 1 && sc == 1) {                                            \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++) {                                                              \
                T x = xs[i], y = ys[i], z = zs[i];                                                 \
                o[i] = (expr);                                                                     \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (i = 0; i < n; i++) {                                                                  \
            T x = xs[i * sa], y = ys[i * sb], z = zs[i * sc];                                      \
            o[i * so] = (expr);                                                                    \
        }                                                                                          \
    }

/* The derivative of gelu: Phi(x) + x phi(x), for the distribution Phi and the density phi of the
 * standard normal. x is limited, so that the result at infinity is the limit and not NaN. */
static inline T FN(gelu_slope)(T x)
{
    T t = x < K(-1e4) ? K(-1e4) : x > K(1e4) ? K(1e4) : x;

    return K(0.5) * (1 + M(erf)(x * K(0.70710678118654752440))) +
           t * (K(0.39894228040143267794) * M(exp)(K(-0.5) * t * t));
}

#define FLOAT1(name, expr) RUN1(FN(name), T, expr)
#define FLOAT2(name, expr) RUN2(FN(name), T, expr)
#define FLOAT3(name, expr) RUN3(FN(name), expr)
#define TEST(name, expr) RUN1(FN(name), uint8_t, expr)
#include "tensor/formulas.h"

/* q x^p for common exponents p */
#define CTI_POWER(name, exponent, formula) RUN1(FN(name), T, q *(formula))
CTI_POWERS
#undef CTI_POWER

#define LANES 16
#define BLOCK 1024

/* The sum of n elements. Each block has LANES partial sums of type T; the blocks are added in
 * double. The order of the additions depends on n alone. */
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

static void FN(sum_each)(int64_t rows, int64_t n, const void *in, void *out)
{
    int64_t r;

    for (r = 0; r < rows; r++)
        ((T *)out)[r] = (T)FN(sum)(n, (const T *)in + r * n);
}

#define FEW_ROWS 8

/* A register full of elements, at any address that is aligned to T. */
typedef T FN(vector) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
#define IN_VECTOR ((int)(sizeof(FN(vector)) / sizeof(T)))

/* The sums of the columns of four vectors, which begin at columns at[0] to at[3]. Groups of
 * FEW_ROWS rows are added in T, the groups in double. */
static void FN(sum_vectors)(int64_t n, int64_t stride, const T *x, const int64_t *at, T *o)
{
    double total[4 * IN_VECTOR] = { 0 };
    int64_t j, end;
    int k;

    for (j = 0; j < n;) {
        FN(vector) few[4] = { { 0 } };

        for (end = j + FEW_ROWS < n ? j + FEW_ROWS : n; j < end; j++)
            for (k = 0; k < 4; k++)
                few[k] += *(const FN(vector) *)(x + j * stride + at[k]);
        for (k = 0; k < 4 * IN_VECTOR; k++)
            total[k] += (double)((const T *)few)[k];
    }
    for (k = 0; k < 4 * IN_VECTOR; k++)
        o[at[k / IN_VECTOR] + k % IN_VECTOR] = (T)total[k];
}

/* If width is not a multiple of a vector, the last vector overlaps the one before, so that it does
 * not read beyond the row. */
static void FN(sum_rows)(int64_t n, int64_t stride, int64_t width, const void *in, void *out)
{
    const T *x = in;
    T *o = out;
    int64_t i, j, at[4];
    int k;

    for (i = 0; i < width && width >= IN_VECTOR; i += 4 * IN_VECTOR) {
        for (k = 0; k < 4; k++)
            at[k] = i + (k + 1) * IN_VECTOR <= width ? i + k * IN_VECTOR : width - IN_VECTOR;
        FN(sum_vectors)(n, stride, x, at, o);
    }
    for (; i < width; i++) {
        double total = 0;

        for (j = 0; j < n; j++)
            total += (double)x[j * stride + i];
        o[i] = (T)total;
    }
}
#undef FEW_ROWS

/* The greatest of n elements, n > 0; NaN if there is a NaN. */
static T FN(row_max)(int64_t n, const T *x)
{
    T lane[LANES], most = x[0];
    int64_t i;
    int l, half, odd = 0;

    if (n >= LANES) {
        for (l = 0; l < LANES; l++) /* begin with the last elements; the loop below may visit some
                                     * of them again */
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

/* o = exp(x - most). o must not be x, because the last vector overlaps the one before if n is not a
 * multiple of LANES. */
static void FN(exp_row)(int64_t n, T most, const T *x, T *o)
{
    int64_t i, whole = n < LANES ? n : n - n % LANES;
    int l;

    INDEPENDENT
    for (i = 0; i < whole; i++)
        o[i] = M(exp)(x[i] - most);
    if (whole < n) {
        INDEPENDENT
        for (l = 0; l < LANES; l++)
            o[n - LANES + l] = M(exp)(x[n - LANES + l] - most);
    }
}

static void FN(softmax)(bool logarithm, int64_t n, const void *in, void *out)
{
    const T *x = in;
    T *o = out;
    T most = FN(row_max)(n, x), total;
    int64_t i;

    FN(exp_row)(n, most, x, o);
    total = (T)FN(sum)(n, o);
    if (logarithm) {
        T l = M(log)(total);

        INDEPENDENT
        for (i = 0; i < n; i++)
            o[i] = (x[i] - most) - l; /* x - (most + l) would lose digits of l */
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

static void FN(gather_rows)(int64_t rows, int64_t width, const void *table, const int64_t *row,
                            const void *bias, void *out)
{
    int64_t r;

    for (r = 0; r < rows; r++)
        (FN(add_bias))(1, width, (const T *)table + row[r] * width, width, bias,
                       (T *)out + r * width, width);
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

/* The words of WORD_BLOCKS blocks are computed at a time, in a loop that vectorises. */
#define WORD_BLOCKS 16

static void FN(dropout)(const cti_dropout_args *a, uint64_t block, uint32_t below, int64_t n,
                        const void *in, void *out)
{
    const T *x = in;
    T *o = out;
    const T scale = (T)(1 / (1 - a->p));
    int64_t i, m;
    int k;

    for (i = 0; i < n; i += 4 * WORD_BLOCKS, block += WORD_BLOCKS) {
        uint32_t word[4 * WORD_BLOCKS];

        INDEPENDENT
        for (k = 0; k < WORD_BLOCKS; k++) {
            uint32_t w[4];

            cti_philox(a->from.seed, a->from.stream, block + (uint64_t)k, w);
            word[4 * k] = w[0];
            word[4 * k + 1] = w[1];
            word[4 * k + 2] = w[2];
            word[4 * k + 3] = w[3];
        }
        m = n - i < 4 * WORD_BLOCKS ? n - i : 4 * WORD_BLOCKS;
        INDEPENDENT
        for (k = 0; k < (int)m; k++) {
            T y = x[i + k] * scale;
            o[i + k] = word[k] < below ? 0 : y;
        }
    }
}
#undef WORD_BLOCKS

/* The greatest of n elements times sign, n > 0; NaN if there is a NaN. */
static T FN(extreme_of)(T sign, int64_t n, const T *x)
{
    T lane[LANES], most = sign * x[0];
    int64_t i;
    int l, half, odd = 0;

    if (n >= LANES) {
        for (l = 0; l < LANES; l++) /* begin with the last elements; the loop below may visit some
                                     * of them again */
            lane[l] = sign * x[n - LANES + l];
        for (i = 0; i + LANES <= n; i += LANES)
            for (l = 0; l < LANES; l++)
                lane[l] = sign * x[i + l] > lane[l] ? sign * x[i + l] : lane[l];
        for (half = LANES / 2; half > 0; half /= 2)
            for (l = 0; l < half; l++)
                lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
        most = lane[0];
    } else {
        for (i = 1; i < n; i++)
            most = sign * x[i] > most ? sign * x[i] : most;
    }
    for (i = 0; i < n; i++)
        odd |= x[i] != x[i];
    return odd ? (T)NAN : most;
}

static void FN(extreme)(bool least, int64_t rows, int64_t n, const void *in, void *out,
                        int64_t *place)
{
    const T sign = least ? -1 : 1;
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        const T *x = (const T *)in + r * n;
        T most = sign * FN(extreme_of)(sign, n, x);

        if (place) {
            for (i = 0; x[i] != most && !(x[i] != x[i] && most != most); i++)
                ;
            place[r] = i;
        } else {
            ((T *)out)[r] = most;
        }
    }
}

/* Of equal elements the first is taken, which matters for 0 and -0. */
static void FN(extreme_rows)(bool least, int64_t n, int64_t stride, int64_t width, const void *in,
                             void *out)
{
    const T *x = in;
    T most[ROW_COLUMNS];
    const T sign = least ? -1 : 1;
    int64_t i, j;

    for (i = 0; i < width; i++)
        most[i] = sign * x[i];
    for (j = 1; j < n; j++)
        for (i = 0; i < width; i++) {
            T v = sign * x[j * stride + i];
            most[i] = v > most[i] || v != v ? v : most[i];
        }
    for (i = 0; i < width; i++)
        ((T *)out)[i] = sign * most[i];
}

#undef RUN1
#undef RUN2
#undef RUN3

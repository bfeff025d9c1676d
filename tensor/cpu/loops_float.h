/* SPDX-License-Identifier: MIT */
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
        if (so == 1 && sa == 1 && sb == 1 && sc == 0 && n > 0) {                                   \
            T z = zs[0];                                                                           \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++) {                                                              \
                T x = xs[i], y = ys[i];                                                            \
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

/* As many elements as fill a register, anywhere in memory. LANES partial results of a row are in
 * LANE_VECTORS of them; an array of elements in their place is not kept in registers. */
typedef T FN(vector) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
typedef __typeof__((FN(vector)){ 0 } > (FN(vector)){ 0 }) FN(mask);
typedef __typeof__(_Generic((T)0, float : (int32_t)0, double : (int64_t)0)) FN(integer);
typedef FN(integer) FN(places)
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
static const FN(integer)
    FN(lane_numbers)[LANES] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
#define IN_VECTOR ((int)(sizeof(FN(vector)) / sizeof(T)))
#define LANE_VECTORS (LANES / IN_VECTOR)
#define UNROLL_LANES _Pragma("GCC unroll 16")

CTI_IN_LOOP FN(vector) FN(load)(const T *x)
{
    return *(const FN(vector) *)x;
}

/* The lanes' sum in double, one after another. */
CTI_IN_LOOP double FN(add_lanes)(double total, const FN(vector) * lane)
{
    const T *each = (const T *)lane;

    UNROLL_LANES
    for (int l = 0; l < LANES; l++)
        total += (double)each[l];
    return total;
}

/* An element, or its square. */
CTI_IN_LOOP FN(vector) FN(term)(bool square, const T *x)
{
    FN(vector) v = FN(load)(x);

    if (square)
        v *= v;
    return v;
}

/* Sixteen partial sums within a block, blocks in double: the order depends on n alone. */
CTI_IN_LOOP double FN(sum_terms)(bool square, int64_t n, const T *x)
{
    double total = 0;
    int64_t i, j;

    for (i = 0; i < n; i += BLOCK) {
        FN(vector) lane[LANE_VECTORS] = { { 0 } };
        int64_t m = n - i < BLOCK ? n - i : BLOCK;

        for (j = 0; j + LANES <= m; j += LANES)
            UNROLL_LANES
        for (int v = 0; v < LANE_VECTORS; v++)
            lane[v] += FN(term)(square, x + i + j + v * IN_VECTOR);
        total = FN(add_lanes)(total, lane);
        for (; j < m; j++)
            total += square ? (double)x[i + j] * (double)x[i + j] : (double)x[i + j];
    }
    return total;
}

static double FN(sum)(int64_t n, const void *in)
{
    return FN(sum_terms)(false, n, in);
}

/* Vectors of doubles, and as many elements of T. */
typedef T FN(some)
    __attribute__((vector_size(VECTOR_BYTES / 8 * sizeof(T)), aligned(sizeof(T)), may_alias));
#define DOUBLE_VECTORS (LANES * 8 / VECTOR_BYTES)
#define IN_DOUBLES (VECTOR_BYTES / 8)

/* Elements as doubles. */
CTI_IN_LOOP vector_f64 FN(load_doubles)(const T *x)
{
    return __builtin_convertvector(*(const FN(some) *)x, vector_f64);
}

static double FN(sum_squares)(int64_t n, const void *in)
{
    const T *x = in;
    double total = 0;
    int64_t i, j;

    for (i = 0; i < n; i += BLOCK) {
        vector_f64 lane[DOUBLE_VECTORS] = { { 0 } };
        int64_t m = n - i < BLOCK ? n - i : BLOCK;

        for (j = 0; j + LANES <= m; j += LANES)
            UNROLL_LANES
        for (int v = 0; v < DOUBLE_VECTORS; v++) {
            vector_f64 e = FN(load_doubles)(x + i + j + v * IN_DOUBLES);

            lane[v] += e * e;
        }
        UNROLL_LANES
        for (int l = 0; l < LANES; l++)
            total += lane[l / IN_DOUBLES][l % IN_DOUBLES];
        for (; j < m; j++)
            total += (double)x[i + j] * (double)x[i + j];
    }
    return total;
}

/* Sixteen partial products in double, then by halves down to a vector. */
CTI_IN_LOOP vector_f64 FN(product_lanes)(int64_t n, const T *x)
{
    vector_f64 lane[DOUBLE_VECTORS];
    int64_t i;
    int v, half;

    UNROLL_LANES
    for (v = 0; v < DOUBLE_VECTORS; v++)
        lane[v] = (vector_f64){ 0 } + 1.0;
    for (i = 0; i + LANES <= n; i += LANES)
        UNROLL_LANES
    for (v = 0; v < DOUBLE_VECTORS; v++)
        lane[v] *= FN(load_doubles)(x + i + v * IN_DOUBLES);
    UNROLL_LANES
    for (half = DOUBLE_VECTORS / 2; half > 0; half /= 2)
        UNROLL_LANES
    for (v = 0; v < half; v++)
        lane[v] *= lane[v + half];
    return lane[0];
}

/* The products of IN_DOUBLES rows, each made like one of a single row, in vectors of a product of each. */
static void FN(product_beside)(int64_t n, const T *x, T *out)
{
    vector_f64 row[IN_DOUBLES], total;
    int64_t i;
    int r;

    for (r = 0; r < IN_DOUBLES; r++)
        row[r] = FN(product_lanes)(n, x + r * n);
    total = multiply_each_f64(row);
    for (i = n / LANES * LANES; i < n; i++) {
        FN(some) e = { 0 };

        UNROLL_LANES
        for (r = 0; r < IN_DOUBLES; r++)
            e[r] = x[r * n + i];
        total *= __builtin_convertvector(e, vector_f64);
    }
    *(FN(some) *)out = __builtin_convertvector(total, FN(some));
}

static void FN(prod_each)(int64_t rows, int64_t n, const void *in, void *out)
{
    const T *x = in;
    int64_t r = 0, i;

    for (; r + IN_DOUBLES <= rows; r += IN_DOUBLES)
        FN(product_beside)(n, x + r * n, (T *)out + r);
    for (; r < rows; r++) {
        double total = multiply_f64(FN(product_lanes)(n, x + r * n));

        for (i = n / LANES * LANES; i < n; i++)
            total *= (double)x[r * n + i];
        ((T *)out)[r] = (T)total;
    }
}

#define SUM_ROWS 8

/* The sums of SUM_ROWS rows of n <= BLOCK, an element of each row beside the others: the order of
 * FN(sum). */
CTI_IN_LOOP void FN(sum_beside)(bool square, int64_t n, const T *x, T *out)
{
    T lane[SUM_ROWS][LANES];
    vector_f64 total[SUM_ROWS / IN_DOUBLES] = { { 0 } }, wide;
    int64_t whole = n / LANES * LANES, i;
    int r, v, k;

    for (r = 0; r < SUM_ROWS; r++) {
        FN(vector) l[LANE_VECTORS] = { { 0 } };

        for (i = 0; i < whole; i += LANES)
            UNROLL_LANES
        for (v = 0; v < LANE_VECTORS; v++)
            l[v] += FN(term)(square, x + r * n + i + v * IN_VECTOR);
        UNROLL_LANES
        for (v = 0; v < LANE_VECTORS; v++)
            *(FN(vector) *)(lane[r] + v * IN_VECTOR) = l[v];
    }
    for (i = 0; i < LANES + n - whole; i++) {
        const T *from = i < LANES ? lane[0] + i : x + whole + i - LANES;
        int64_t step = i < LANES ? LANES : n;

        UNROLL_LANES
        for (v = 0; v < SUM_ROWS / IN_DOUBLES; v++) {
            FN(some) e;

            UNROLL_LANES
            for (k = 0; k < IN_DOUBLES; k++)
                e[k] = from[(v * IN_DOUBLES + k) * step];
            wide = __builtin_convertvector(e, vector_f64);
            if (square && i >= LANES)
                wide *= wide;
            total[v] += wide;
        }
    }
    for (r = 0; r < SUM_ROWS; r++)
        out[r] = (T)total[r / IN_DOUBLES][r % IN_DOUBLES];
}

CTI_IN_LOOP void FN(sum_each_term)(bool square, int64_t rows, int64_t n, const T *x, T *out)
{
    int64_t r = 0;

    for (; n <= BLOCK && r + SUM_ROWS <= rows; r += SUM_ROWS)
        FN(sum_beside)(square, n, x + r * n, out + r);
    for (; r < rows; r++)
        out[r] = (T)FN(sum_terms)(square, n, x + r * n);
}

static void FN(sum_each)(int64_t rows, int64_t n, const void *in, void *out)
{
    FN(sum_each_term)(false, rows, n, in, out);
}

static void FN(squares_each)(int64_t rows, int64_t n, const void *in, void *out)
{
    FN(sum_each_term)(true, rows, n, in, out);
}
#undef SUM_ROWS

#define FEW_ROWS 8

/* The sums of the columns of four vectors, which begin at columns at[]: of a few rows at a time,
 * then in double. */
CTI_IN_LOOP void FN(sum_vectors)(bool square, int64_t n, int64_t stride, const T *x,
                                 const int64_t *at, T *o)
{
    double total[4 * IN_VECTOR] = { 0 };
    int64_t j, end;
    int k;

    for (j = 0; j < n;) {
        FN(vector) few[4] = { { 0 } };

        for (end = j + FEW_ROWS < n ? j + FEW_ROWS : n; j < end; j++)
            for (k = 0; k < 4; k++)
                few[k] += FN(term)(square, x + j * stride + at[k]);
        for (k = 0; k < 4 * IN_VECTOR; k++)
            total[k] += (double)((const T *)few)[k];
    }
    for (k = 0; k < 4 * IN_VECTOR; k++)
        o[at[k / IN_VECTOR] + k % IN_VECTOR] = (T)total[k];
}

/* If width is not a multiple of a vector, the last vector overlaps the one before, so that it does
 * not read beyond the row. */
CTI_IN_LOOP void FN(sum_rows_of_terms)(bool square, int64_t n, int64_t stride, int64_t width,
                                       const T *x, T *o)
{
    int64_t i, j, at[4];
    int k;

    for (i = 0; i < width && width >= IN_VECTOR; i += 4 * IN_VECTOR) {
        for (k = 0; k < 4; k++)
            at[k] = i + (k + 1) * IN_VECTOR <= width ? i + k * IN_VECTOR : width - IN_VECTOR;
        FN(sum_vectors)(square, n, stride, x, at, o);
    }
    for (; i < width; i++) {
        double total = 0;

        for (j = 0; j < n; j++) {
            double v = (double)x[j * stride + i];

            total += square ? v * v : v;
        }
        o[i] = (T)total;
    }
}

static void FN(sum_rows)(int64_t n, int64_t stride, int64_t width, const void *in, void *out)
{
    FN(sum_rows_of_terms)(false, n, stride, width, in, out);
}

static void FN(squares_rows)(int64_t n, int64_t stride, int64_t width, const void *in, void *out)
{
    FN(sum_rows_of_terms)(true, n, stride, width, in, out);
}
#undef FEW_ROWS

/* Of each element that of a which is greater than b's, or a NaN; else b's. */
CTI_IN_LOOP FN(vector) FN(greater)(FN(vector) a, FN(vector) b)
{
    FN(mask) m = (a > b) | (a != a);

    return (FN(vector))(((FN(mask))a & m) | ((FN(mask))b & ~m));
}

/* Element i ^ half in the place of element i. */
CTI_IN_LOOP FN(vector) FN(swap)(FN(vector) v, int half)
{
#if defined(__clang__)
    FN(vector) to;

    for (int i = 0; i < IN_VECTOR; i++)
        to[i] = v[i ^ half];
    return to;
#else
    return __builtin_shuffle(v, *(const FN(places) *)FN(lane_numbers) ^ half);
#endif
}

/* The greatest of sign times n elements, n > 0; NaN if one is. Of zeros of both signs either. */
CTI_IN_LOOP T FN(extreme_of)(T sign, int64_t n, const T *x)
{
    FN(vector) lane[LANE_VECTORS];
    T most = sign * x[0];
    int64_t i;
    int v, half;

    if (n < LANES) {
        for (i = 1; i < n; i++)
            most = sign * x[i] > most || x[i] != x[i] ? sign * x[i] : most;
        return most;
    }
    UNROLL_LANES
    for (v = 0; v < LANE_VECTORS; v++) /* the last ones, some of which may come again */
        lane[v] = sign * FN(load)(x + n - LANES + v * IN_VECTOR);
    for (i = 0; i + LANES <= n; i += LANES)
        UNROLL_LANES
    for (v = 0; v < LANE_VECTORS; v++)
        lane[v] = FN(greater)(sign * FN(load)(x + i + v * IN_VECTOR), lane[v]);
    UNROLL_LANES
    for (half = LANE_VECTORS / 2; half > 0; half /= 2)
        UNROLL_LANES
    for (v = 0; v < half; v++)
        lane[v] = FN(greater)(lane[v + half], lane[v]);
    UNROLL_LANES
    for (half = IN_VECTOR / 2; half > 0; half /= 2)
        lane[0] = FN(greater)(FN(swap)(lane[0], half), lane[0]);
    return lane[0][0];
}

static T FN(row_max)(int64_t n, const T *x)
{
    return FN(extreme_of)(1, n, x);
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

#define SOFTMAX_ROWS 16 /* whose logarithms are taken at once */

/* rows up to SOFTMAX_ROWS */
static void FN(softmax_few)(bool logarithm, int64_t rows, int64_t n, const T *x, T *o)
{
    T most[SOFTMAX_ROWS], total[SOFTMAX_ROWS];
    int64_t r, i;

    for (r = 0; r < SOFTMAX_ROWS; r++)
        total[r] = 1;
    for (r = 0; r < rows; r++) {
        most[r] = FN(row_max)(n, x + r * n);
        FN(exp_row)(n, most[r], x + r * n, o + r * n);
    }
    FN(sum_each)(rows, n, o, total);
    if (logarithm) {
        INDEPENDENT
        for (r = 0; r < SOFTMAX_ROWS; r++)
            total[r] = M(log)(total[r]);
    }
    for (r = 0; r < rows; r++, x += n, o += n) {
        const T m = most[r], l = total[r];

        if (logarithm) {
            INDEPENDENT
            for (i = 0; i < n; i++)
                o[i] = (x[i] - m) - l; /* m + l would lose the digits of l */
        } else {
            INDEPENDENT
            for (i = 0; i < n; i++)
                o[i] = o[i] / l;
        }
    }
}

static void FN(softmax)(bool logarithm, int64_t rows, int64_t n, const void *in, void *out)
{
    int64_t r, few;

    for (r = 0; r < rows; r += few) {
        few = rows - r < SOFTMAX_ROWS ? rows - r : SOFTMAX_ROWS;
        FN(softmax_few)(logarithm, few, n, (const T *)in + r * n, (T *)out + r * n);
    }
}
#undef SOFTMAX_ROWS

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

        philox_words(a->from.seed, a->from.stream, block, word);
        m = n - i < 4 * WORD_BLOCKS ? n - i : 4 * WORD_BLOCKS;
        INDEPENDENT
        for (k = 0; k < (int)m; k++) {
            T y = x[i + k] * scale;
            o[i + k] = word[k] < below ? 0 : y;
        }
    }
}

static void FN(extreme)(bool least, int64_t rows, int64_t n, const void *in, void *out,
                        int64_t *place)
{
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        const T *x = (const T *)in + r * n;
        T most = least ? -FN(extreme_of)(-1, n, x) : FN(extreme_of)(1, n, x);

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

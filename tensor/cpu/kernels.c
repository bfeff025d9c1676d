/* SPDX-License-Identifier: MIT */
/* kernels.c - the CPU's loops. Compiled once per code path (CT_CPU_PATH: base, avx2, avx512); the
 * compiler makes the vector code. */
#include "tensor/cpu/cpu.h"

#include "tensor/cpu/math.h"
#include "tensor/cpu/power.h"
#include "tensor/cpu/trigonometry.h"
#include "tensor/division.h"
#include "tensor/philox.h"

#include <float.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* bytes of a vector register; the compiler turns wider vectors into scalar code */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#define LOOP_ARGS                                                                                  \
    int64_t n, void *out, int64_t so, const void *a, int64_t sa, const void *b, int64_t sb,        \
        const void *c, int64_t sc, const double *param
#define UNUSED (void)a, (void)sa, (void)b, (void)sb, (void)c, (void)sc, (void)param

/* Each vector type may be anywhere in memory: of two that differ in that alone, gcc takes either. */
typedef double vector_f64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));

/* The product of the elements. */
static inline double multiply_f64(vector_f64 v)
{
    double total = v[0];
    int i, half;

#if defined(__clang__)
    (void)half;
    for (i = 1; i < VECTOR_BYTES / 8; i++)
        total *= v[i];
#else
    typedef int64_t places __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
    static const int64_t numbers[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };

    (void)i;
    _Pragma("GCC unroll 4") for (half = VECTOR_BYTES / 16; half > 0; half /= 2) v *=
        __builtin_shuffle(v, *(const places *)numbers ^ half);
    total = v[0];
#endif
    return total;
}

/* Element r: the product of the elements of row[r], in the order of multiply_f64. Each step multiplies the
 * halves of two vectors, so that vectors stay full. */
static inline vector_f64 multiply_each_f64(vector_f64 *row)
{
#if defined(__clang__)
    vector_f64 total;

    for (int r = 0; r < VECTOR_BYTES / 8; r++)
        total[r] = multiply_f64(row[r]);
    return total;
#else
    typedef int64_t places __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
    static const int64_t numbers[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const places k = *(const places *)numbers;
    int half, r;

    _Pragma("GCC unroll 4") for (half = VECTOR_BYTES / 16; half > 0; half /= 2)
    {
        const places low = (k & -half) * 2 + (k & (half - 1)), high = low + half;

        _Pragma("GCC unroll 4") for (r = 0; r < half; r++) row[r] =
            __builtin_shuffle(row[2 * r], row[2 * r + 1], low) *
            __builtin_shuffle(row[2 * r], row[2 * r + 1], high);
    }
    return row[0];
#endif
}

/* ---- transpositions ---- */

typedef uint32_t four_u32 __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint64_t two_u64 __attribute__((vector_size(16), aligned(8), may_alias));
typedef uint32_t one_u32 __attribute__((aligned(1), may_alias));
typedef uint64_t one_u64 __attribute__((aligned(1), may_alias));

#if defined(__clang__)
#define SHUFFLE(type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(type, a, b, ...) __builtin_shuffle(a, b, (type){ __VA_ARGS__ })
#endif

/* 4 x 4 elements */
CTI_IN_LOOP void transpose_block_4(char *d, int64_t ds, const char *s, int64_t ss)
{
    four_u32 a = *(const four_u32 *)s, b = *(const four_u32 *)(s + ss);
    four_u32 c = *(const four_u32 *)(s + 2 * ss), e = *(const four_u32 *)(s + 3 * ss);
    four_u32 ab = SHUFFLE(four_u32, a, b, 0, 4, 1, 5), ce = SHUFFLE(four_u32, c, e, 0, 4, 1, 5);

    *(four_u32 *)d = SHUFFLE(four_u32, ab, ce, 0, 1, 4, 5);
    *(four_u32 *)(d + ds) = SHUFFLE(four_u32, ab, ce, 2, 3, 6, 7);
    ab = SHUFFLE(four_u32, a, b, 2, 6, 3, 7);
    ce = SHUFFLE(four_u32, c, e, 2, 6, 3, 7);
    *(four_u32 *)(d + 2 * ds) = SHUFFLE(four_u32, ab, ce, 0, 1, 4, 5);
    *(four_u32 *)(d + 3 * ds) = SHUFFLE(four_u32, ab, ce, 2, 3, 6, 7);
}

/* 2 x 2 elements */
CTI_IN_LOOP void transpose_block_8(char *d, int64_t ds, const char *s, int64_t ss)
{
    two_u64 a = *(const two_u64 *)s, b = *(const two_u64 *)(s + ss);

    *(two_u64 *)d = SHUFFLE(two_u64, a, b, 0, 2);
    *(two_u64 *)(d + ds) = SHUFFLE(two_u64, a, b, 1, 3);
}

/* Whole blocks, then the rest of the columns and of the rows. */
#define TRANSPOSE(size, block, one)                                                                \
    static void transpose_##size(int64_t rows, int64_t columns, char *d, int64_t ds,               \
                                 const char *s, int64_t ss)                                        \
    {                                                                                              \
        int64_t tall = rows / (block) * (block), wide = columns / (block) * (block), r, c;         \
        for (r = 0; r < tall; r += (block))                                                        \
            for (c = 0; c < wide; c += (block))                                                    \
                transpose_block_##size(d + r * ds + c * (size), ds, s + c * ss + r * (size), ss);  \
        for (r = 0; r < rows; r++)                                                                 \
            for (c = r < tall ? wide : 0; c < columns; c++)                                        \
                *(one *)(d + r * ds + c * (size)) = *(const one *)(s + c * ss + r * (size));       \
    }
TRANSPOSE(4, 4, one_u32)
TRANSPOSE(8, 2, one_u64)

/* ---- random words ---- */

typedef uint64_t vector_u64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
typedef uint64_t pair_of_words __attribute__((may_alias, aligned(4)));
#define WORD_LANES (VECTOR_BYTES / 8)
#define WORD_BLOCKS 16 /* Philox blocks at a time */

/* The products of the lower halves. */
static inline vector_u64 multiply_u32(vector_u64 a, vector_u64 b)
{
#if defined(__AVX512F__)
    return (vector_u64)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (vector_u64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__) && !defined(__AVX__)
    return (vector_u64)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & UINT32_MAX) * (b & UINT32_MAX);
#endif
}

/* The lower halves of first and second, as two words that follow each other in memory. */
static inline vector_u64 two_words(vector_u64 first, vector_u64 second)
{
#ifdef WORDS_BIGENDIAN
    return first << 32 | (second & UINT32_MAX);
#else
    return (first & UINT32_MAX) | second << 32;
#endif
}

/* The words of cti_philox of WORD_BLOCKS blocks. Each lane is a block; only the lower halves of the
 * lanes count. */
static void philox_words(uint64_t seed, uint64_t stream, uint64_t block, uint32_t *word)
{
    const vector_u64 zero = { 0 };
    pair_of_words *pair = (pair_of_words *)(void *)word;
    int at, round, i;

    for (at = 0; at < WORD_BLOCKS; at += WORD_LANES) {
        vector_u64 c0, c1, c2 = zero + stream, c3 = zero + (stream >> 32), k0 = zero + seed;
        vector_u64 k1 = zero + (seed >> 32);

        for (i = 0; i < WORD_LANES; i++)
            c0[i] = block + (uint64_t)(at + i);
        c1 = c0 >> 32;
        for (round = 0; round < 10; round++) {
            vector_u64 p = multiply_u32(c0, zero + 0xD2511F53u);
            vector_u64 q = multiply_u32(c2, zero + 0xCD9E8D57u);

            c0 = (q >> 32) ^ c1 ^ k0;
            c1 = q;
            c2 = (p >> 32) ^ c3 ^ k1;
            c3 = p;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        c0 = two_words(c0, c1);
        c2 = two_words(c2, c3);
        for (i = 0; i < WORD_LANES; i++) {
            pair[2 * (at + i)] = c0[i];
            pair[2 * (at + i) + 1] = c2[i];
        }
    }
}

/* f32 */
#define T float
#define FN(name) name##_f32
#define M(name) M_f32_##name
#define K(x) ((float)(x))
#define M_f32_exp cti_expf
#define M_f32_softplus cti_softplusf
#define M_f32_tanh cti_tanhf
#define M_f32_sigmoid cti_sigmoidf
#define M_f32_expm1 cti_expm1f
#define M_f32_log cti_logf
#define M_f32_log1p cti_log1pf
#define M_f32_largest FLT_MAX
#define M_f32_sqrt sqrtf
#define M_f32_fabs fabsf
#define M_f32_sin cti_sinf
#define M_f32_cos cti_cosf
#define M_f32_tan cti_tanf
#define M_f32_asin cti_asinf
#define M_f32_acos cti_acosf
#define M_f32_atan cti_atanf
#define M_f32_sinh cti_sinhf
#define M_f32_cosh cti_coshf
#define M_f32_asinh cti_asinhf
#define M_f32_acosh cti_acoshf
#define M_f32_atanh cti_atanhf
#define M_f32_exp2 cti_exp2f
#define M_f32_log2 cti_log2f
#define M_f32_log10 cti_log10f
#define M_f32_atan2 cti_atan2f
#define M_f32_erf cti_erff
#define M_f32_erfc cti_erfcf
#define M_f32_floor floorf
#define M_f32_ceil ceilf
#define M_f32_rint rintf
#define M_f32_pow cti_powf
#define M_f32_remainder cti_remainder_f32
#define M_f32_floor_divide cti_floor_divide_f32
#define M_f32_times_pow cti_times_powf
#define M_f32_pow_slope cti_pow_slopef
#define M_f32_pow_log cti_pow_logf
#define M_f32_gelu_slope gelu_slope_f32
#include "tensor/cpu/loops_number.h"
#include "tensor/cpu/loops_float.h"
#include "tensor/cpu/loops_loss.h"
#include "tensor/cpu/loops_attention.h"
#include "tensor/cpu/loops_norm.h"
#include "tensor/cpu/loops_recurrent.h"
#include "tensor/cpu/loops_optim.h"
#include "tensor/cpu/loops_gemm.h"
#include "tensor/cpu/loops_conv.h"
#undef T
#undef FN
#undef M
#undef K

/* f64 */
#define T double
#define FN(name) name##_f64
#define M(name) M_f64_##name
#define K(x) (x)
#define M_f64_exp cti_exp
#define M_f64_softplus cti_softplus
#define M_f64_tanh tanh
#define M_f64_sigmoid cti_sigmoid
#define M_f64_expm1 expm1
#define M_f64_log cti_log
#define M_f64_log1p log1p
#define M_f64_largest DBL_MAX
#define M_f64_sqrt sqrt
#define M_f64_fabs fabs
#define M_f64_sin sin
#define M_f64_cos cos
#define M_f64_tan tan
#define M_f64_asin asin
#define M_f64_acos acos
#define M_f64_atan atan
#define M_f64_sinh sinh
#define M_f64_cosh cosh
#define M_f64_asinh asinh
#define M_f64_acosh acosh
#define M_f64_atanh atanh
#define M_f64_exp2 exp2
#define M_f64_log2 log2
#define M_f64_log10 log10
#define M_f64_atan2 atan2
#define M_f64_erf erf
#define M_f64_erfc erfc
#define M_f64_floor floor
#define M_f64_ceil ceil
#define M_f64_rint rint
#define M_f64_pow pow
#define M_f64_remainder cti_remainder_f64
#define M_f64_floor_divide cti_floor_divide_f64
#define M_f64_times_pow cti_times_pow
#define M_f64_pow_slope cti_pow_slope
#define M_f64_pow_log cti_pow_log
#define M_f64_gelu_slope gelu_slope_f64
#include "tensor/cpu/loops_number.h"
#include "tensor/cpu/loops_float.h"
#include "tensor/cpu/loops_loss.h"
#include "tensor/cpu/loops_attention.h"
#include "tensor/cpu/loops_norm.h"
#include "tensor/cpu/loops_recurrent.h"
#include "tensor/cpu/loops_optim.h"
#include "tensor/cpu/loops_gemm.h"
#include "tensor/cpu/loops_conv.h"
#undef T
#undef FN
#undef M
#undef K

/* i32, i64: arithmetic wraps, as unsigned arithmetic does */
#define T int32_t
#define FN(name) name##_i32
#define M(name) cti_##name##_i32
#define K(x) (x)
#include "tensor/cpu/loops_number.h"
#undef T
#undef FN
#undef M
#define T int64_t
#define FN(name) name##_i64
#define M(name) cti_##name##_i64
#include "tensor/cpu/loops_number.h"
#undef T
#undef FN
#undef M
#undef K

/* bool */
#define T uint8_t
#define COMPARE(name, expr) RUN2(name##_b8, uint8_t, expr)
#define LOGIC1(name, expr)                                                                         \
    static void name##_b8(LOOP_ARGS)                                                               \
    {                                                                                              \
        uint8_t *o = out;                                                                          \
        const uint8_t *xs = a;                                                                     \
        int64_t i;                                                                                 \
        UNUSED;                                                                                    \
        for (i = 0; i < n; i++) {                                                                  \
            uint8_t x = xs[i * sa];                                                                \
            o[i * so] = (expr);                                                                    \
        }                                                                                          \
    }
#define LOGIC2(name, expr)                                                                         \
    static void name##_b8(LOOP_ARGS)                                                               \
    {                                                                                              \
        uint8_t *o = out;                                                                          \
        const uint8_t *xs = a, *ys = b;                                                            \
        int64_t i;                                                                                 \
        UNUSED;                                                                                    \
        for (i = 0; i < n; i++) {                                                                  \
            uint8_t x = xs[i * sa], y = ys[i * sb];                                                \
            o[i * so] = (expr);                                                                    \
        }                                                                                          \
    }
#include "tensor/formulas.h"
#undef T

/* where moves elements of 1, 2, 4 or 8 bytes. Adjacent elements and one constant operand have
 * separate loops, which vectorise. */
#define WHERE(fn, type)                                                                            \
    static void fn(LOOP_ARGS)                                                                      \
    {                                                                                              \
        type *o = out;                                                                             \
        const uint8_t *cs = a;                                                                     \
        const type *xs = b, *ys = c;                                                               \
        int64_t i;                                                                                 \
        UNUSED;                                                                                    \
        if (so == 1 && sa == 1 && sb == 1 && sc == 1) {                                            \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++) {                                                              \
                type x = xs[i], y = ys[i];                                                         \
                o[i] = cs[i] ? x : y;                                                              \
            }                                                                                      \
        } else if (so == 1 && sa == 1 && sb == 0 && sc == 1 && n > 0) {                            \
            const type x = xs[0];                                                                  \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++) {                                                              \
                type y = ys[i];                                                                    \
                o[i] = cs[i] ? x : y;                                                              \
            }                                                                                      \
        } else if (so == 1 && sa == 1 && sb == 1 && sc == 0 && n > 0) {                            \
            const type y = ys[0];                                                                  \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++) {                                                              \
                type x = xs[i];                                                                    \
                o[i] = cs[i] ? x : y;                                                              \
            }                                                                                      \
        } else {                                                                                   \
            for (i = 0; i < n; i++)                                                                \
                o[i * so] = cs[i * sa] ? xs[i * sb] : ys[i * sc];                                  \
        }                                                                                          \
    }
WHERE(where_1, uint8_t)
WHERE(where_2, uint16_t)
WHERE(where_4, uint32_t)
WHERE(where_8, uint64_t)

/* ---- quotients and remainders of floats ---- */

#define DIVISION_BLOCK 256

/* fmod(a, b) of m <= DIVISION_BLOCK elements: a - n b for the whole number n next to a / b, which is
 * exact in double, and b added where it does not have a's sign. False if a quotient is too large for
 * that, or an element is not finite or b is 0. A b_step of 0: one b for all. */
static bool division_fmod(int64_t m, const float *a, const float *b, int64_t b_step, float *r)
{
    const double round = 6755399441055744.0; /* 1.5 * 2^52 */
    int32_t far = 0;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < m; i++) {
        double x = (double)a[i], y = (double)b[i * b_step], q = x / y, n = (q + round) - round;
        double left = x - n * y, more = left + __builtin_copysign(y, x);

        left = left * __builtin_copysign(1.0, x) < 0.0 ? more : left;
        r[i] = copysignf((float)left, a[i]);
        far |= !(q < 268435456.0 && q > -268435456.0 && y < 1e39 && y > -1e39);
    }
    return !far;
}

/* The sign of the remainder becomes b's; see division.h. */
static void division_remainder(int64_t m, const float *b, int64_t b_step, const float *r, float *o)
{
    int64_t i;

    INDEPENDENT
    for (i = 0; i < m; i++) {
        float y = b[i * b_step], v = r[i], more = v + y;

        o[i] = v * copysignf(1.0f, y) < 0.0f ? more : v;
    }
}

static void division_floor_divide(int64_t m, const float *a, const float *b, int64_t b_step,
                                  const float *r, float *o)
{
    int64_t i;

    INDEPENDENT
    for (i = 0; i < m; i++) {
        float x = a[i], y = b[i * b_step], v = r[i], q = (x - v) / y, less = q - 1.0f, whole, more;

        q = v * copysignf(1.0f, y) < 0.0f ? less : q;
        whole = floorf(q);
        more = whole + 1.0f;
        less = q - whole;
        more = less > 0.5f ? more : whole;
        whole = copysignf(q, x / y);
        o[i] = q == 0.0f ? whole : more;
    }
}

#define DIVISION(name, ...)                                                                        \
    static void name##_blocks(LOOP_ARGS)                                                           \
    {                                                                                              \
        const float *x = a, *y = b;                                                                \
        float *o = out, r[DIVISION_BLOCK];                                                         \
        int64_t i, m;                                                                              \
        if (so != 1 || sa != 1 || (sb != 1 && sb != 0)) {                                          \
            name##_f32(n, out, so, a, sa, b, sb, c, sc, param);                                    \
            return;                                                                                \
        }                                                                                          \
        for (i = 0; i < n; i += m, x += m, y += m * sb, o += m) {                                  \
            m = n - i < DIVISION_BLOCK ? n - i : DIVISION_BLOCK;                                   \
            if (division_fmod(m, x, y, sb, r))                                                     \
                division_##name(__VA_ARGS__, y, sb, r, o);                                         \
            else                                                                                   \
                name##_f32(m, o, 1, x, 1, y, sb, c, sc, param);                                    \
        }                                                                                          \
    }
DIVISION(remainder, m)
DIVISION(floor_divide, m, x)

/* n elements of 1, 2, 4 or 8 bytes, ds and ss bytes apart, anywhere in memory. Backward runs and one
 * element for all have loops of their own. */
#define MOVE(fn, type)                                                                             \
    static void fn(int64_t n, char *d, int64_t ds, const char *s, int64_t ss)                      \
    {                                                                                              \
        typedef type element __attribute__((aligned(1), may_alias));                               \
        const int64_t size = (int64_t)sizeof(type);                                                \
        int64_t i;                                                                                 \
        if (ds == size && ss == -size) {                                                           \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++)                                                                \
                ((element *)d)[i] = ((const element *)s)[-i];                                      \
        } else if (ds == size && ss == 0 && n > 0) {                                               \
            const type x = *(const element *)s;                                                    \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++)                                                                \
                ((element *)d)[i] = x;                                                             \
        } else {                                                                                   \
            for (i = 0; i < n; i++)                                                                \
                *(element *)(d + i * ds) = *(const element *)(s + i * ss);                         \
        }                                                                                          \
    }
MOVE(move_1, uint8_t)
MOVE(move_2, uint16_t)
MOVE(move_4, uint32_t)
MOVE(move_8, uint64_t)

/* True if all n indices, taken as unsigned numbers, are below limit. */
static bool below_i64(int64_t n, uint64_t limit, const void *index)
{
    const int64_t *p = index;
    uint64_t wrong = 0;
    int64_t i;

    for (i = 0; i < n; i++)
        wrong |= (uint64_t)p[i] >= limit;
    return !wrong;
}

static bool below_i32(int64_t n, uint64_t limit, const void *index)
{
    const int32_t *p = index;
    const uint32_t most = limit <= INT32_MAX ? (uint32_t)limit : (uint32_t)INT32_MAX + 1;
    uint32_t wrong = 0;
    int64_t i;

    for (i = 0; i < n; i++)
        wrong |= (uint32_t)p[i] >= most;
    return !wrong;
}

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define NAME2(x) #x
#define NAME(x) NAME2(x)

/* ---- the table ---- */

#define RULE_f32(NAME, name) [CTI_##NAME] = CTI_TRAINING(name##_f32),
#define RULE_f64(NAME, name) [CTI_##NAME] = CTI_TRAINING(name##_f64),

#define ROW_LOOPS(type)                                                                            \
    {                                                                                              \
        .sum_rows = sum_rows_##type, .sum = sum_##type,                                            \
        .sum_squares = CTI_TRAINING(sum_squares_##type), .squares_rows = squares_rows_##type,      \
        .squares_each = squares_each_##type, .softmax = softmax_##type,                            \
        .log_sum_exp = log_sum_exp_##type, .cross_entropy = cross_entropy_##type,                  \
        .cross_entropy_backward = CTI_TRAINING(cross_entropy_backward_##type),                     \
        .cross_entropy_tile = cross_entropy_tile_##type, .add_row = add_row_##type,                \
        .normalise = normalise_##type,                                                             \
        .normalise_backward = CTI_TRAINING(normalise_backward_##type),                             \
        .add_bias = add_bias_##type, .gather_rows = gather_rows_##type, .attend = attend_##type,   \
        .attend_finish = attend_finish_##type,                                                     \
        .attend_backward = CTI_TRAINING(attend_backward_##type),                                   \
        .attend_dots = attend_dots_##type, .start_rows = start_rows_##type,                        \
        .dropout = dropout_##type, .extreme_rows = extreme_rows_##type, .extreme = extreme_##type, \
        .sum_each = sum_each_##type, .prod_each = prod_each_##type, .activate = activate_##type,   \
        .activate_backward = CTI_TRAINING(activate_backward_##type), .lstm = lstm_##type,          \
        .lstm_backward = CTI_TRAINING(lstm_backward_##type), .gru = gru_##type,                    \
        .gru_backward = CTI_TRAINING(gru_backward_##type), .gemm = gemm_##type,                    \
        .gemm_row = gemm_row_##type, .conv = conv_##type,                                          \
        .conv_weight = CTI_TRAINING(conv_weight_##type), .conv_store = conv_store_##type,          \
        .conv_load = conv_load_##type, .conv_gather = conv_gather_##type, .update = {              \
            CTI_UPDATE_RULES(RULE_##type)                                                          \
        }                                                                                          \
    }

/* clang-format off */
const cti_cpu_path PASTE(cti_cpu_path_, CT_CPU_PATH) = {
    .name = NAME(CT_CPU_PATH),
    .micro = &PASTE(cti_micro_, CT_CPU_PATH),
    .vector_bytes = VECTOR_BYTES,
    .f32 = {
#define ENTRY(name, expr) [CTI_EW_##name] = name##_f32,
#define SLOPE(name, expr) [CTI_EW_##name] = CTI_TRAINING(name##_f32),
#define NUMBER ENTRY
#define FLOAT ENTRY
#define COMPARE ENTRY
#define TEST ENTRY
#include "tensor/formulas.h"
#undef ENTRY
        [CTI_EW_where] = where_4 },
    .f64 = {
#define ENTRY(name, expr) [CTI_EW_##name] = name##_f64,
#define SLOPE(name, expr) [CTI_EW_##name] = CTI_TRAINING(name##_f64),
#define NUMBER ENTRY
#define FLOAT ENTRY
#define COMPARE ENTRY
#define TEST ENTRY
#include "tensor/formulas.h"
#undef ENTRY
        [CTI_EW_where] = where_8 },
    .i32 = {
#define ENTRY(name, expr) [CTI_EW_##name] = name##_i32,
#define NUMBER ENTRY
#define COMPARE ENTRY
#include "tensor/formulas.h"
#undef ENTRY
        [CTI_EW_where] = where_4 },
    .i64 = {
#define ENTRY(name, expr) [CTI_EW_##name] = name##_i64,
#define NUMBER ENTRY
#define COMPARE ENTRY
#include "tensor/formulas.h"
#undef ENTRY
        [CTI_EW_where] = where_8 },
    .b8 = {
#define ENTRY(name, expr) [CTI_EW_##name] = name##_b8,
#define COMPARE ENTRY
#define LOGIC ENTRY
#include "tensor/formulas.h"
#undef ENTRY
        [CTI_EW_where] = where_1 },
    .where16 = where_2,
    .remainder_f32 = remainder_blocks,
    .floor_divide_f32 = floor_divide_blocks,
    .below_i64 = below_i64,
    .below_i32 = below_i32,
    .move = { [1] = move_1, [2] = move_2, [4] = move_4, [8] = move_8 },
    .transpose = { [4] = transpose_4, [8] = transpose_8 },
#define CTI_POWER(name, exponent, formula) name##_f32,
    .power_f32 = { CTI_POWERS },
#undef CTI_POWER
#define CTI_POWER(name, exponent, formula) name##_f64,
    .power_f64 = { CTI_POWERS },
#undef CTI_POWER
    .rows_f32 = ROW_LOOPS(f32),
    .rows_f64 = ROW_LOOPS(f64),
};
/* clang-format on */

/* kernels.c - the CPU's loops. Compiled once per code path (CT_CPU_PATH: base, avx2, avx512); the
 * compiler makes the vector code. */
#include "tensor/cpu/cpu.h"

#include "tensor/cpu/math.h"
#include "tensor/cpu/power.h"
#include "tensor/division.h"
#include "tensor/philox.h"

#include <float.h>

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
#define M_f32_sin cti_sinf
#define M_f32_cos cti_cosf
#define M_f32_tan tanf
#define M_f32_asin asinf
#define M_f32_acos acosf
#define M_f32_atan atanf
#define M_f32_sinh sinhf
#define M_f32_cosh coshf
#define M_f32_asinh asinhf
#define M_f32_acosh acoshf
#define M_f32_atanh atanhf
#define M_f32_exp2 exp2f
#define M_f32_log2 log2f
#define M_f32_log10 log10f
#define M_f32_atan2 atan2f
#define M_f32_erf cti_erff
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

/* Copies n elements of 1, 2, 4 or 8 bytes, ds and ss bytes apart; they need not be aligned. Runs in
 * reverse order and copies of one element to all have separate loops. */
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

#define RULE_f32(NAME, name) [CTI_##NAME] = name##_f32,
#define RULE_f64(NAME, name) [CTI_##NAME] = name##_f64,

#define ROW_LOOPS(type)                                                                            \
    {                                                                                              \
        .sum_rows = sum_rows_##type, .sum = sum_##type, .sum_squares = sum_squares_##type,         \
        .softmax = softmax_##type, .log_sum_exp = log_sum_exp_##type,                              \
        .cross_entropy = cross_entropy_##type,                                                     \
        .cross_entropy_backward = cross_entropy_backward_##type,                                   \
        .cross_entropy_tile = cross_entropy_tile_##type, .add_row = add_row_##type,                \
        .normalise = normalise_##type, .normalise_backward = normalise_backward_##type,            \
        .add_bias = add_bias_##type, .gather_rows = gather_rows_##type,                            \
        .start_rows = start_rows_##type, .dropout = dropout_##type,                                \
        .extreme_rows = extreme_rows_##type, .extreme = extreme_##type,                            \
        .sum_each = sum_each_##type, .activate = activate_##type,                                  \
        .activate_backward = activate_backward_##type, .lstm = lstm_##type,                        \
        .lstm_backward = lstm_backward_##type, .gru = gru_##type,                                  \
        .gru_backward = gru_backward_##type, .gemm = gemm_##type, .gemm_row = gemm_row_##type,     \
        .conv = conv_##type, .conv_weight = conv_weight_##type, .conv_store = conv_store_##type,   \
        .conv_load = conv_load_##type, .update = {                                                 \
            CTI_UPDATE_RULES(RULE_##type)                                                          \
        }                                                                                          \
    }

/* clang-format off */
const cti_cpu_path PASTE(cti_cpu_path_, CT_CPU_PATH) = {
    .name = NAME(CT_CPU_PATH),
    .vector_bytes = VECTOR_BYTES,
    .f32 = {
#define ENTRY(name, expr) [CTI_EW_##name] = name##_f32,
#define NUMBER ENTRY
#define FLOAT ENTRY
#define COMPARE ENTRY
#define TEST ENTRY
#include "tensor/formulas.h"
#undef ENTRY
        [CTI_EW_where] = where_4 },
    .f64 = {
#define ENTRY(name, expr) [CTI_EW_##name] = name##_f64,
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
    .below_i64 = below_i64,
    .below_i32 = below_i32,
    .move = { [1] = move_1, [2] = move_2, [4] = move_4, [8] = move_8 },
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

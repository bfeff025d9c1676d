/* SPDX-License-Identifier: MIT */
/* kernels_elementwise.c - elementwise loops against plain formulas, and walks over strides. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tests/test_kernels.h"

/* ---- every elementwise op ---- */

/* x - y floor(x / y) */
static real remainder_down(real x, real y)
{
    real r = fmodl(x, y);

    return r * y < 0 || (r != 0 && signbit(r) != signbit(y)) ? r + y : r;
}

/* floor(x / y); for an infinite y, 0 or -1 */
static real quotient_down(real x, real y)
{
    real r = remainder_down(x, y);

    if (y == 0)
        return x / y;
    return isfinite(x) && isinf(y) ? -(real)(r != x) : roundl((x - r) / y);
}

/* The derivatives of inverse functions, times x; 0, the limit, for infinite y */
static real inverse_slope(int op, real x, real y)
{
    real plus = 1 + y * y, minus = (1 - y) * (1 + y), beyond = (y - 1) * (y + 1);

    switch (op) {
    case CTI_EW_atan_backward:
        return x / plus;
    case CTI_EW_atan_bend:
        return isinf(y) ? x * 0 : -2 * x * y / (plus * plus);
    case CTI_EW_atanh_backward:
        return fabsl(y) > 1 ? (real)NAN : x / minus;
    case CTI_EW_atanh_bend:
        return fabsl(y) > 1 ? (real)NAN : 2 * x * y / (minus * minus);
    case CTI_EW_asinh_backward:
        return x / sqrtl(plus);
    case CTI_EW_asinh_bend:
        return isinf(y) ? x * 0 : -x * y / (plus * sqrtl(plus));
    case CTI_EW_acosh_backward:
        return y < 1 ? (real)NAN : x / sqrtl(beyond);
    case CTI_EW_acosh_bend:
        return y < 1 ? (real)NAN : isinf(y) ? x * 0 : -x * y / (beyond * sqrtl(beyond));
    case CTI_EW_asin_backward:
        return x / sqrtl(minus);
    case CTI_EW_asin_bend:
        return x * y / (minus * sqrtl(minus));
    case CTI_EW_atan2_slope:
        return isnan(x) || isnan(y)                         ? x + y
               : isinf(x) || isinf(y) || (x == 0 && y == 0) ? 0
                                                            : y / (x * x + y * y);
    default:
        ck_abort_msg("op %d has no reference", op);
    }
}

/* The formulas, written independently of formulas.h. */
static real reference(cti_ew_op op, real x, real y, real z, real p, real q)
{
    switch (op) {
    case CTI_EW_neg:
        return -x;
    case CTI_EW_abs:
        return fabsl(x);
    case CTI_EW_sign:
        return isnan(x) ? x : (x > 0) - (x < 0);
    case CTI_EW_square:
        return x * x;
    case CTI_EW_affine:
        return p * x + q;
    case CTI_EW_add:
        return x + y;
    case CTI_EW_sub:
        return x - y;
    case CTI_EW_mul:
        return x * y;
    case CTI_EW_maximum:
        return isnan(x) || isnan(y) ? (real)NAN : fmaxl(x, y);
    case CTI_EW_minimum:
        return isnan(x) || isnan(y) ? (real)NAN : fminl(x, y);
    case CTI_EW_remainder:
        return remainder_down(x, y);
    case CTI_EW_floor_divide:
        return quotient_down(x, y);
    case CTI_EW_exp:
        return expl(x);
    case CTI_EW_expm1:
        return expm1l(x);
    case CTI_EW_log:
        return logl(x);
    case CTI_EW_log1p:
        return log1pl(x);
    case CTI_EW_sqrt:
        return sqrtl(x);
    case CTI_EW_rsqrt:
        return 1 / sqrtl(x);
    case CTI_EW_reciprocal:
        return 1 / x;
    case CTI_EW_sin:
        return sinl(x);
    case CTI_EW_cos:
        return cosl(x);
    case CTI_EW_tan:
        return tanl(x);
    case CTI_EW_asin:
        return asinl(x);
    case CTI_EW_acos:
        return acosl(x);
    case CTI_EW_atan:
        return atanl(x);
    case CTI_EW_sinh:
        return sinhl(x);
    case CTI_EW_cosh:
        return coshl(x);
    case CTI_EW_asinh:
        return asinhl(x);
    case CTI_EW_acosh:
        return acoshl(x);
    case CTI_EW_atanh:
        return atanhl(x);
    case CTI_EW_exp2:
        return exp2l(x);
    case CTI_EW_log2:
        return log2l(x);
    case CTI_EW_log10:
        return log10l(x);
    case CTI_EW_softsign:
        return isinf(x) ? copysignl(1, x) : x / (1 + fabsl(x));
    case CTI_EW_mish:
        return x > 100 ? x : x < -1e4L ? 0 : x * tanhl(log1pl(expl(x)));
    case CTI_EW_hardsigmoid:
        return isnan(x) ? x : fminl(fmaxl(x + 3, 0), 6) / 6;
    case CTI_EW_hardswish:
        return isnan(x) || x > 3 ? x : x < -3 ? 0 : x * (x + 3) / 6;
    case CTI_EW_log_sigmoid:
        return isnan(x) ? x : fminl(x, 0) - log1pl(expl(-fabsl(x)));
    case CTI_EW_atan2:
        return atan2l(x, y);
    case CTI_EW_logaddexp:
        return isnan(x) || isnan(y)   ? (real)NAN
               : isinf(x) || isinf(y) ? fmaxl(x, y)
                                      : fmaxl(x, y) + log1pl(expl(-fabsl(x - y)));
    case CTI_EW_hardsigmoid_backward:
        return -3 < y && y < 3 ? x / 6 : 0;
    case CTI_EW_hardswish_backward:
        return y >= 3 || isnan(y) ? x : y > -3 ? x * (y / 3 + 0.5L) : 0;
    case CTI_EW_tanh:
        return tanhl(x);
    case CTI_EW_sigmoid:
        return 1 / (1 + expl(-x));
    case CTI_EW_relu:
        return isnan(x) ? x : fmaxl(x, 0);
    case CTI_EW_leaky_relu:
        return signbit(x) ? p * x : x;
    case CTI_EW_elu:
        return signbit(x) ? p * expm1l(x) : x;
    case CTI_EW_gelu:
        return x * (0.5L * erfcl(-x * sqrtl(0.5L)));
    case CTI_EW_gelu_tanh:
        return x / (1 + expl(-2 * sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x)));
    case CTI_EW_silu:
        return x * (1 / (1 + expl(-x)));
    case CTI_EW_softplus:
        return isnan(x) ? x : fmaxl(x, 0) + log1pl(expl(-fabsl(x)));
    case CTI_EW_erf:
        return erfl(x);
    case CTI_EW_erfc:
        return erfcl(x);
    case CTI_EW_floor:
        return floorl(x);
    case CTI_EW_ceil:
        return ceill(x);
    case CTI_EW_round:
        return nearbyintl(x);
    case CTI_EW_hardtanh:
    case CTI_EW_clamp:
        return isnan(x) ? x : fminl(fmaxl(x, p), q);
    case CTI_EW_pow_scalar:
        return powl(x, p);
    case CTI_EW_scaled_pow:
        return q * powl(x, p);
    case CTI_EW_scalar_div_slope:
        return -p / (x * x);
    case CTI_EW_scalar_pow:
        return powl(p, x);
    case CTI_EW_scalar_div:
        return p / x;
    case CTI_EW_div_scalar:
        return x / p;
    case CTI_EW_div:
        return x / y;
    case CTI_EW_pow:
        return powl(x, y);
    case CTI_EW_tanh_backward:
        return x * (1 - y * y);
    case CTI_EW_sigmoid_backward:
        return x * (y * (1 - y));
    case CTI_EW_relu_backward:
        return y > 0 ? x : 0;
    case CTI_EW_leaky_relu_backward:
        return y > 0 ? x : p * x;
    case CTI_EW_gelu_tanh_backward: {
        real a = 2 * sqrtl(2 / acosl(-1)), b = 0.044715L * a;
        real sigmoid = 1 / (1 + expl(-y * (a + b * y * y)));

        return x * sigmoid * (1 + y / (1 + expl(y * (a + b * y * y))) * (a + 3 * b * y * y));
    }
    case CTI_EW_hardtanh_backward:
        return y <= p || y >= q ? 0 : x;
    case CTI_EW_clamp_backward:
        return p <= y && y <= q ? x : 0;
    case CTI_EW_elu_backward:
        return y < 0 ? x * p * expl(y) : x;
    case CTI_EW_elu_bend:
        return y < 0 ? x * p * expl(y) : 0;
    case CTI_EW_tail_mul:
        return (isnan(x) ? x : fminl(fmaxl(x, -1e4L), 1e4L)) * y;
    case CTI_EW_gelu_backward: /* the limits at infinity */
        return x * (0.5L * erfcl(-y * sqrtl(0.5L)) +
                    (isinf(y) ? 0 : y * expl(-y * y / 2) * 0.398942280401432677939946L));
    case CTI_EW_pow_base:
        if (x < 0 && isfinite(y) && y - 1 == y) /* y is even, y - 1 odd */
            return -y * powl(x, y);
        /* the limit 0 for an infinite exponent */
        return y == 0 || (isinf(y) && powl(x, y - 1) == 0) ? 0 : y * powl(x, y - 1);
    case CTI_EW_pow_exponent:
        return (x == 0 && y >= 0) || (x > 0 && powl(x, y) == 0) ? 0 : powl(x, y) * logl(x);
    case CTI_EW_fma:
        return x * y + z;
    case CTI_EW_softmax_backward:
        return y * (x - z);
    case CTI_EW_silu_backward:
        return x / (1 + expl(-y)) * (1 + y / (1 + expl(y)));
    case CTI_EW_eq:
        return x == y;
    case CTI_EW_ne:
        return !(x == y);
    case CTI_EW_lt:
        return isless(x, y);
    case CTI_EW_le:
        return islessequal(x, y);
    case CTI_EW_gt:
        return isgreater(x, y);
    case CTI_EW_ge:
        return isgreaterequal(x, y);
    case CTI_EW_isfinite:
        return isfinite(x) != 0;
    case CTI_EW_isnan:
        return isnan(x) != 0;
    case CTI_EW_isinf:
        return isinf(x) != 0;
    case CTI_EW_logical_not:
        return x == 0;
    case CTI_EW_logical_and:
        return x != 0 && y != 0;
    case CTI_EW_logical_or:
        return x != 0 || y != 0;
    case CTI_EW_logical_xor:
        return (x != 0) != (y != 0);
    case CTI_EW_where:
        return x != 0 ? y : z;
    default:
        return inverse_slope(op, x, y);
    }
}

static const char *const op_names[] = {
#define X(name, expr) #name,
#include "tensor/formulas.h"
#undef X
};

static bool gives_bool(cti_ew_op op)
{
    return op >= CTI_EW_eq && op <= CTI_EW_logical_xor;
}

static bool is_select(cti_ew_op op)
{
    return op == CTI_EW_where;
}

static int inputs_of(cti_ew_op op)
{
    static const int inputs[] = {
#define NUMBER1(name, expr) 1,
#define NUMBER2(name, expr) 2,
#define FLOAT1(name, expr) 1,
#define FLOAT2(name, expr) 2,
#define FLOAT3(name, expr) 3,
#define COMPARE(name, expr) 2,
#define TEST(name, expr) 1,
#define LOGIC1(name, expr) 1,
#define LOGIC2(name, expr) 2,
#define SELECT(name, expr) 3,
#include "tensor/formulas.h"
    };

    return inputs[op];
}

static bool is_inverse_slope(cti_ew_op op)
{
    return op >= CTI_EW_atan_backward && op <= CTI_EW_asin_bend;
}

/* Returns the tolerance: a few units of the last place of the result and of the largest
 * intermediate result. */
static real tolerance(cti_ew_op op, ct_dtype dtype, const real *in, real want)
{
    real eps = dtype == CT_F32 ? 0x1p-23L : 0x1p-52L, scale = fabsl(want), tiny;

    if (gives_bool(op) || is_select(op))
        return 0;
    if (op == CTI_EW_fma || op == CTI_EW_tanh_backward)
        scale += fabsl(in[0] * in[1]) + fabsl(in[2]) + fabsl(in[0]);
    if (op == CTI_EW_softmax_backward)
        scale += fabsl(in[1]) * (fabsl(in[0]) + fabsl(in[2]));
    if (op == CTI_EW_silu_backward) /* 1 minus a sigmoid near 1 */
        scale += fabsl(in[0]) * (1 + fabsl(in[1]));
    if (op == CTI_EW_logaddexp) /* near 0 the terms cancel */
        scale += 1;
    if (op == CTI_EW_mish) /* the reciprocal of a sum of two exponentials */
        scale *= 2;
    if (op == CTI_EW_hardswish_backward || op == CTI_EW_hardsigmoid)
        scale += fabsl(in[0]);
    if (op == CTI_EW_gelu_tanh_backward) /* the exponent is rounded */
        scale += fabsl(in[0]) * (1 + fabsl(in[1]));
    if (op == CTI_EW_affine || op == CTI_EW_gelu || op == CTI_EW_gelu_tanh || op == CTI_EW_elu)
        scale += fabsl(in[0]) + 1;
    if (op == CTI_EW_gelu_backward) /* 1 + erf for erf near -1 */
        scale += fabsl(in[0]);
    if (op == CTI_EW_pow_base) /* the exponent y - 1 is rounded */
        scale *= 1 + (1 + fabsl(in[1])) * fabsl(logl(fabsl(in[0])));
    tiny = dtype == CT_F32 ? 0x1p-147L : 0x1p-1070L;
    if (op == CTI_EW_pow_base || op == CTI_EW_pow_exponent) /* a factor of a subnormal power */
        tiny *= 1 + fabsl(op == CTI_EW_pow_base ? in[1] : logl(fabsl(in[0])));
    if (op == CTI_EW_elu_backward || op == CTI_EW_elu_bend) /* times a subnormal exp */
        tiny *= 1 + fabsl(in[0]);
    if (is_inverse_slope(op) && in[0] != 0) { /* products of several, one of which is subnormal */
        tiny *= 1 + fabsl(want / in[0]);
        scale *= 3;
    }
    return 4 * eps * scale + tiny;
}

static void check_element(const char *what, cti_ew_op op, ct_dtype dtype, const real *in, real got,
                          const double *param)
{
    real want = reference(op, in[0], in[1], in[2], param[0], param[1]);

    if (dtype == CT_F32 && !gives_bool(op) && !isnan(want))
        want = fabsl(want) < 0x1.ffffffp127L ? want : copysignl(INFINITY, want);
    else if (dtype == CT_F64 && !gives_bool(op) && !isnan(want))
        want = fabsl(want) < 0x1.fffffffffffff8p1023L ? want : copysignl(INFINITY, want);
    if ((isnan(want) && isnan(got)) || got == want)
        return;
    if (!(fabsl(got - want) <= tolerance(op, dtype, in, want)))
        ck_abort_msg("%s %s %s(%Lg, %Lg, %Lg; %g, %g): got %.20Lg, expected %.20Lg", what,
                     ct_dtype_name(dtype), op_names[op], in[0], in[1], in[2], param[0], param[1],
                     got, want);
}

/* True if the op divides integers, so that no divisor may be 0. */
static bool is_division(cti_ew_op op)
{
    return op == CTI_EW_remainder || op == CTI_EW_floor_divide;
}

/* Draws a value. Special values are drawn only for ops whose plain formula handles them: in plain
 * formulas gelu and silu of -inf are -inf times 0, which is NaN. */
static real draw_value(ct_generator *g, ct_dtype dtype, cti_ew_op op, bool select_condition)
{
    static const double special[] = { 0.0,       -0.0, INFINITY, -INFINITY, NAN,  0x1p-149,
                                      -0x1p-140, 1,    -1,       0.5,       1.5,  2.5,
                                      -0.5,      88.5, -88.5,    1e30,      -1e30 };
    double v = (ct_random_uniform(g) + ct_random_uniform(g) - 1) * 8;

    if (select_condition || dtype == CT_BOOL)
        return ct_random_below(g, 2);
    if (dtype == CT_I32 || dtype == CT_I64)
        return floorl(v * 4) + (floorl(v * 4) == 0 && is_division(op));
    if (ct_random_below(g, 8) == 0 && op != CTI_EW_gelu && op != CTI_EW_gelu_tanh &&
        op != CTI_EW_gelu_tanh_backward && op != CTI_EW_silu && op != CTI_EW_sigmoid_backward &&
        op != CTI_EW_tanh_backward && op != CTI_EW_gelu_backward && op != CTI_EW_silu_backward &&
        op != CTI_EW_softmax_backward)
        v = special[ct_random_below(g, sizeof special / sizeof *special)];
    return dtype == CT_F32 ? (real)(float)v : (real)v;
}

/* Runs a loop once. A stride of 0 means a constant operand; in_place means that out is the first
 * operand. */
static void run_loop(const char *what, cti_loop loop, cti_ew_op op, ct_dtype dtype, int64_t n,
                     const int64_t *step, int in_place, ct_generator *g)
{
    enum { ROOM = 400 };
    static _Alignas(64) char data[4][ROOM * 8];
    static real kept[3][ROOM];
    double param[2] = { (double)ct_random_below(g, 1 << 18) * 0x1p-17 - 1, 0 }; /* exact in f32 */
    ct_dtype in_dtype[3] = { dtype, dtype, dtype };
    ct_dtype out_dtype = gives_bool(op) ? CT_BOOL : dtype;
    void *out = in_place ? data[in_place] : data[0];
    int64_t i, out_step = in_place ? step[in_place] : step[0];
    int k, inputs = inputs_of(op);

    param[1] = param[0] + (double)ct_random_below(g, 1 << 17) * 0x1p-17;
    if (dtype != CT_F32 && dtype != CT_F64) {
        param[0] = 3;
        param[1] = -2;
    }
    if (is_select(op))
        in_dtype[0] = CT_BOOL;
    for (k = 0; k < 3; k++)
        for (i = 0; i <= n * step[k + 1]; i++) {
            kept[k][i] = draw_value(g, in_dtype[k], op, is_select(op) && k == 0);
            element_store(data[k + 1], in_dtype[k], i, kept[k][i]);
        }
    memset(data[0], 0x5a, sizeof data[0]);
    loop(n, out, out_step, data[1], step[1], inputs > 1 ? data[2] : NULL, step[2],
         inputs > 2 ? data[3] : NULL, step[3], param);
    for (i = 0; i < n; i++) {
        real in[3] = { 0 };

        for (k = 0; k < inputs; k++)
            in[k] = kept[k][i * step[k + 1]];
        check_element(what, op, dtype, in, element_load(out, out_dtype, i * out_step), param);
    }
    if (!in_place) /* nothing is written after the end or between elements */
        for (i = 0; i < ROOM; i++)
            if ((i >= n * out_step || i % out_step) &&
                ((uint8_t *)out)[(size_t)i * ct_dtype_size(out_dtype)] != 0x5a)
                ck_abort_msg("%s %s writes where it must not", what, op_names[op]);
}

static void run_loops(const char *path, cti_loop loop, cti_ew_op op, ct_dtype dtype,
                      ct_generator *g)
{
    static const int64_t lengths[] = { 0, 1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 64, 67, 100 };
    static const int64_t steps[][4] = { { 1, 1, 1, 1 }, { 1, 1, 0, 1 }, { 1, 0, 1, 1 },
                                        { 1, 0, 0, 0 }, { 2, 1, 1, 3 }, { 1, 3, 2, 1 },
                                        { 3, 2, 0, 2 }, { 1, 1, 1, 0 }, { 1, 1, 2, 1 },
                                        { 2, 1, 0, 1 }, { 2, 0, 1, 1 } };
    size_t i, k;

    ck_assert_msg(loop != NULL, "%s: no loop for %s %s", path, ct_dtype_name(dtype), op_names[op]);
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (k = 0; k < sizeof steps / sizeof *steps; k++)
            run_loop(path, loop, op, dtype, lengths[i], steps[k], 0, g);
        if (!gives_bool(op) && !is_select(op))
            run_loop(path, loop, op, dtype, lengths[i], steps[0], 1, g);
        if (!gives_bool(op) && inputs_of(op) > 1)
            run_loop(path, loop, op, dtype, lengths[i], steps[0], 2, g);
    }
}

START_TEST(elementwise_loops)
{
    ct_generator g = ct_generator_from_seed(11);
    int k, op;

    for (k = 0; k < path_count; k++)
        for (op = 0; op < CTI_EW_COUNT; op++) {
            const cti_cpu_path *p = paths[k];
            bool logic = op >= CTI_EW_logical_not && op <= CTI_EW_logical_xor;
            bool compares = op >= CTI_EW_eq && op <= CTI_EW_ge;
            bool number = op <= CTI_EW_floor_divide || compares || is_select((cti_ew_op)op);

            if (!logic) {
                run_loops(p->name, p->f32[op], (cti_ew_op)op, CT_F32, &g);
                run_loops(p->name, p->f64[op], (cti_ew_op)op, CT_F64, &g);
            }
            if (number) {
                run_loops(p->name, p->i32[op], (cti_ew_op)op, CT_I32, &g);
                run_loops(p->name, p->i64[op], (cti_ew_op)op, CT_I64, &g);
            }
            if (logic || compares || is_select((cti_ew_op)op))
                run_loops(p->name, p->b8[op], (cti_ew_op)op, CT_BOOL, &g);
        }
}
END_TEST

/* Numbers for integer ops are clamped to the range of the dtype, and NaN becomes 0. */
START_TEST(integer_parameters)
{
    int32_t a = -1, o = 0;
    int64_t b = 0, q = 0;
    cti_ew e = { .op = CTI_EW_affine,
                 .dtype = CT_I32,
                 .inputs = 1,
                 .out = &o,
                 .in = { &a },
                 .param = { 1, 1e12 } };

    cti_cpu_backend.elementwise(&e);
    ck_assert_int_eq(o, INT32_MAX - 1);
    e.param[1] = -7.9;
    cti_cpu_backend.elementwise(&e);
    ck_assert_int_eq(o, -8);
    e.dtype = CT_I64;
    e.out = &q;
    e.in[0] = &b;
    e.param[1] = -INFINITY;
    cti_cpu_backend.elementwise(&e);
    ck_assert(q == INT64_MIN);
    e.param[1] = 1e300; /* the largest double below 2^63 */
    cti_cpu_backend.elementwise(&e);
    ck_assert(q == INT64_MAX - 1023);
    e.param[1] = 0x1p63;
    cti_cpu_backend.elementwise(&e);
    ck_assert(q == INT64_MAX - 1023);
    e.param[1] = 0x1p63 - 1024;
    cti_cpu_backend.elementwise(&e);
    ck_assert(q == INT64_MAX - 1023);
    e.param[1] = (double)NAN;
    cti_cpu_backend.elementwise(&e);
    ck_assert(q == 0);
}
END_TEST

START_TEST(integers_wrap)
{
    int k;

    for (k = 0; k < path_count; k++) {
        int32_t a[3] = { INT32_MIN, INT32_MAX, -7 }, b[3] = { -1, 1, 3 }, o[3];
        int64_t c[2] = { INT64_MIN, INT64_MAX }, d[2] = { -1, 2 }, q[2];
        const double none[2] = { 0 };

        paths[k]->i32[CTI_EW_neg](3, o, 1, a, 1, NULL, 0, NULL, 0, none);
        ck_assert(o[0] == INT32_MIN && o[1] == -INT32_MAX && o[2] == 7);
        paths[k]->i32[CTI_EW_add](3, o, 1, a, 1, b, 1, NULL, 0, none);
        ck_assert(o[0] == INT32_MAX && o[1] == INT32_MIN && o[2] == -4);
        paths[k]->i32[CTI_EW_mul](3, o, 1, a, 1, b, 1, NULL, 0, none);
        ck_assert(o[0] == INT32_MIN && o[1] == INT32_MAX && o[2] == -21);
        paths[k]->i64[CTI_EW_add](2, q, 1, c, 1, d, 1, NULL, 0, none);
        ck_assert(q[0] == INT64_MAX && q[1] == INT64_MIN + 1);
        paths[k]->i64[CTI_EW_square](2, q, 1, c, 1, NULL, 0, NULL, 0, none);
        ck_assert(q[0] == 0 && q[1] == 1);
    }
}
END_TEST

/* ---- walking strides: any rank, broadcast, permuted ---- */

typedef struct strided {
    int64_t stride[CT_MAX_RANK];
    int64_t room; /* the distance in elements from the first element to the end */
} strided;

/* Makes a layout of dim: axes in random order, gaps, and (for inputs) axes of stride 0. */
static strided random_layout(ct_generator *g, int rank, const int64_t *dim, bool input)
{
    strided s = { .room = 1 };
    int64_t order[CT_MAX_RANK], step = 1 + (int64_t)ct_random_below(g, 2);
    int i;

    for (i = 0; i < rank; i++)
        order[i] = i;
    if (ct_random_below(g, 2))
        ct_shuffle(order, rank, g);
    for (i = rank - 1; i >= 0; i--) {
        int axis = (int)order[i];

        if (input && ct_random_below(g, 4) == 0)
            continue;
        s.stride[axis] = step;
        s.room += step * (dim[axis] > 0 ? dim[axis] - 1 : 0);
        step *= (dim[axis] > 0 ? dim[axis] : 1) + (int64_t)(ct_random_below(g, 4) == 0);
    }
    return s;
}

static int64_t place(int rank, const int64_t *dim, const int64_t *stride, int64_t at)
{
    int64_t offset = 0;
    int i;

    for (i = rank - 1; i >= 0; i--) {
        offset += at % dim[i] * stride[i];
        at /= dim[i];
    }
    return offset;
}

static int64_t random_dims(ct_generator *g, int rank, int64_t most, int64_t *dim)
{
    int64_t n = 1;
    int i;

    for (i = 0; i < rank; i++) {
        dim[i] = 1 + (int64_t)ct_random_below(g, (uint64_t)most);
        if (ct_random_below(g, 40) == 0)
            dim[i] = 0;
        n *= dim[i];
    }
    return n;
}

static void walk_case(ct_generator *g, int rank, int64_t most)
{
    static const cti_ew_op ops[] = { CTI_EW_sub, CTI_EW_fma, CTI_EW_where, CTI_EW_lt, CTI_EW_neg };
    cti_ew e = { .op = ops[ct_random_below(g, 5)], .dtype = CT_F64, .rank = rank };
    strided layout[4];
    void *data[4];
    int64_t n = random_dims(g, rank, most, e.dim), i;
    int k;

    e.inputs = inputs_of(e.op);
    for (k = 0; k <= e.inputs; k++) {
        ct_dtype dtype = is_select(e.op) && k == 1 ? CT_BOOL : CT_F64;

        layout[k] = random_layout(g, rank, e.dim, k > 0);
        data[k] = calloc((size_t)layout[k].room, sizeof(double));
        for (i = 0; k && i < layout[k].room; i++)
            element_store(data[k], dtype, i, draw_value(g, dtype, e.op, dtype == CT_BOOL));
        memcpy(k ? e.in_stride[k - 1] : e.out_stride, layout[k].stride, sizeof e.out_stride);
        if (k)
            e.in[k - 1] = data[k];
        else
            e.out = data[k];
    }
    cti_cpu_backend.elementwise(&e);
    for (i = 0; i < n; i++) {
        real in[3] = { 0 };

        for (k = 0; k < e.inputs; k++)
            in[k] = element_load(data[k + 1], is_select(e.op) && k == 0 ? CT_BOOL : CT_F64,
                                 place(rank, e.dim, layout[k + 1].stride, i));
        check_element("walk", e.op, CT_F64, in,
                      element_load(data[0], gives_bool(e.op) ? CT_BOOL : CT_F64,
                                   place(rank, e.dim, layout[0].stride, i)),
                      e.param);
    }
    for (k = 0; k <= e.inputs; k++)
        free(data[k]);
}

START_TEST(walks)
{
    ct_generator g = ct_generator_from_seed(12);
    int i;

    for (i = 0; i < harness_count(600, 20000); i++)
        walk_case(&g, (int)ct_random_below(&g, 6), 5);
    for (i = 0; i < harness_count(30, 300); i++) /* shapes with tiles: transpositions, and a short
                                                  * last axis */
        walk_case(&g, 2 + i % 2, i % 2 ? 40 : 150);
    for (i = 0; i < harness_count(4, 40); i++) /* several pieces, one of them short */
        walk_case(&g, 1 + i % 2, i % 2 ? 300 : 60000);
}
END_TEST

/* Copies between layouts; some axes of the source have negative strides. */
static void copy_case(ct_generator *g, ct_dtype dtype, int rank, int64_t most)
{
    int64_t dim[CT_MAX_RANK], n = random_dims(g, rank, most, dim), i, first = 0;
    strided to = random_layout(g, rank, dim, false), from = random_layout(g, rank, dim, true);
    cti_array d = { .dtype = dtype }, s = { .dtype = dtype };
    char *in = calloc((size_t)from.room, 8), *out = calloc((size_t)to.room, 8);

    for (i = 0; i < from.room; i++)
        element_store(in, dtype, i, dtype == CT_BOOL ? i % 3 == 1 : (real)i);
    for (i = 0; i < rank; i++)
        if (n > 0 && ct_random_below(g, 3) == 0) {
            first += (dim[i] - 1) * from.stride[i];
            from.stride[i] = -from.stride[i];
        }
    memcpy(d.stride, to.stride, sizeof d.stride);
    memcpy(s.stride, from.stride, sizeof s.stride);
    d.data = out;
    s.data = in + first * (int64_t)ct_dtype_size(dtype);
    cti_cpu_backend.copy(rank, dim, &d, &s);
    for (i = 0; i < n; i++) {
        real want = element_load(in, dtype, first + place(rank, dim, from.stride, i));

        ck_assert(element_load(out, dtype, place(rank, dim, to.stride, i)) == want);
    }
    free(in);
    free(out);
}

START_TEST(copies)
{
    static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_BOOL };
    ct_generator g = ct_generator_from_seed(13);
    int i;

    for (i = 0; i < harness_count(600, 20000); i++)
        copy_case(&g, dtypes[i % 3], (int)ct_random_below(&g, 6), 5);
    for (i = 0; i < harness_count(30, 300); i++)
        copy_case(&g, dtypes[i % 3], 1 + i % 3, i % 3 == 2 ? 40 : 150);
}
END_TEST

void kernels_elementwise_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "elementwise");

    tcase_add_test(tc, elementwise_loops);
    tcase_add_test(tc, integers_wrap);
    tcase_add_test(tc, integer_parameters);
    tcase_add_test(tc, walks);
    tcase_add_test(tc, copies);
}

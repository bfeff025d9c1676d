/* test_kernels.c - the CPU's kernels, every code path that this processor can run, against plain
 * loops in long double: odd lengths, strides, constants, in place, special values.
 *
 * Check writes to a file at every assertion, so the inner loops have an if instead. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tensor/hooks.h"

#include <cotangent/tensor/build_info.h>
#include <cotangent/tensor/config.h>

#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
#include <cblas.h>
#endif

static const cti_cpu_path *paths[3];
static int path_count;

static void find_paths(void)
{
    paths[path_count++] = &cti_cpu_path_base;
#ifdef CT_HAVE_AVX2_PATH
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        paths[path_count++] = &cti_cpu_path_avx2;
#endif
#ifdef CT_HAVE_AVX512_PATH
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        paths[path_count++] = &cti_cpu_path_avx512;
#endif
}

/* The path that the library takes is the wished one, as far as the processor goes. */
START_TEST(wished_path)
{
    const char *wish = getenv("COTANGENT_CPU_PATH");
    const char *name = cti_cpu_path_get()->name;
    int i;

    printf("code path: %s of", name);
    for (i = 0; i < path_count; i++)
        printf(" %s", paths[i]->name);
    printf("\n");
    for (i = 0; i < path_count; i++)
        if (wish && strcmp(wish, paths[i]->name) == 0)
            ck_assert_str_eq(name, wish);
    if (!wish)
        ck_assert_str_eq(name, paths[path_count - 1]->name);
}
END_TEST

/* ---- the functions of math.h, over all floats ---- */

static float float_of(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* |got - want| in units of the last place of a float near want; huge if only one is a NaN. What is
 * beyond the largest float counts as 2^128. */
static double ulps(float got, double want)
{
    double g = isinf(got) ? copysign(0x1p128, got) : (double)got, diff;
    int e;

    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : 1e30;
    if (fabs(want) > 0x1p128)
        want = copysign(0x1p128, want);
    diff = fabs(g - want);
    if (diff == 0)
        return 0;
    e = (int)(bits_of((float)want) >> 23 & 255);
    e = e < 1 ? 1 : e > 254 ? 254 : e;
    return diff / ((double)float_of((uint32_t)e << 23) * 0x1p-23);
}

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static const struct {
    const char *name;
    cti_ew_op op;
    double (*reference)(double);
    double most;  /* ulps, as math.h says */
    double least; /* below it 0 is right too */
} functions[] = {
    { "exp", CTI_EW_exp, exp, 1.1, -INFINITY },
    { "tanh", CTI_EW_tanh, tanh, 2.51, -INFINITY },
    { "sigmoid", CTI_EW_sigmoid, sigmoid, 2.5, -88.7 },
    { "log", CTI_EW_log, log, 1, -INFINITY },
};

START_TEST(accuracy)
{
    enum { BLOCK = 4096 };
    static float in[BLOCK], out[BLOCK];
    static double want[BLOCK];
    double worst[3] = { 0 };
    float where[3] = { 0 };
    uint64_t step = (uint64_t)harness_count(1021, 1), at;
    int i, k, n;

    for (at = 0; at < 1ull << 32;) {
        for (n = 0; n < BLOCK && at < 1ull << 32; n++, at += step) {
            in[n] = float_of((uint32_t)at);
            want[n] = functions[_i].reference((double)in[n]);
        }
        for (k = 0; k < path_count; k++) {
            paths[k]->f32[functions[_i].op](n, out, 1, in, 1, NULL, 0, NULL, 0, (double[2]){ 0 });
            for (i = 0; i < n; i++) {
                bool zero = in[i] < functions[_i].least && out[i] == 0;
                double error = zero ? 0 : ulps(out[i], want[i]);

                if (error > worst[k]) {
                    worst[k] = error;
                    where[k] = in[i];
                }
            }
        }
    }
    for (k = 0; k < path_count; k++) {
        printf("%s, %s: at most %.3f ulp, at %a\n", functions[_i].name, paths[k]->name, worst[k],
               (double)where[k]);
        ck_assert_msg(worst[k] <= functions[_i].most, "%s, %s: %g ulp at %a", functions[_i].name,
                      paths[k]->name, worst[k], (double)where[k]);
    }
}
END_TEST

/* exp and log of doubles, against long double, in ulps */
START_TEST(double_accuracy)
{
    ct_generator g = ct_generator_from_seed(3);
    int k, i, n = harness_count(20000, 5000000);

    for (k = 0; k < path_count; k++)
        for (i = 0; i < n; i++) {
            double u = ct_random_uniform(&g), in[2] = { 1455 * u - 745, 0 }, out[2];
            long double want[2];
            int j;

            in[1] = i % 2 ? exp(1400 * u - 700) : 0.5 + u;
            want[0] = expl((long double)in[0]);
            want[1] = logl((long double)in[1]);
            paths[k]->f64[CTI_EW_exp](1, &out[0], 1, &in[0], 1, NULL, 0, NULL, 0, in);
            paths[k]->f64[CTI_EW_log](1, &out[1], 1, &in[1], 1, NULL, 0, NULL, 0, in);
            for (j = 0; j < 2; j++) {
                double near_want = fabs((double)want[j]);
                long double ulp = nextafter(near_want, INFINITY) - near_want;

                if (!(isinf(near_want) || fabsl(out[j] - want[j]) <= 1.05L * ulp))
                    ck_abort_msg("%s, %s of %a: %a, expected %La", paths[k]->name,
                                 j ? "log" : "exp", in[j], out[j], want[j]);
            }
        }
}
END_TEST

START_TEST(double_specials)
{
    static const double exps[][2] = {
        { INFINITY, INFINITY }, { -INFINITY, 0 }, { 0, 1 }, { 710, INFINITY }, { -746, 0 }
    };
    static const double logs[][2] = { { INFINITY, INFINITY }, { 0, -INFINITY }, { 1, 0 } };
    double nan = NAN, out, in;
    size_t i;
    int k;

    for (k = 0; k < path_count; k++) {
        cti_loop e = paths[k]->f64[CTI_EW_exp], l = paths[k]->f64[CTI_EW_log];

        for (i = 0; i < sizeof exps / sizeof *exps; i++) {
            e(1, &out, 1, &exps[i][0], 1, NULL, 0, NULL, 0, &nan);
            ck_assert_msg(out == exps[i][1], "exp %g = %g", exps[i][0], out);
        }
        for (i = 0; i < sizeof logs / sizeof *logs; i++) {
            l(1, &out, 1, &logs[i][0], 1, NULL, 0, NULL, 0, &nan);
            ck_assert_msg(out == logs[i][1], "log %g = %g", logs[i][0], out);
        }
        for (in = 5e-324; in < 1e-300; in *= 37) { /* subnormal ones too */
            l(1, &out, 1, &in, 1, NULL, 0, NULL, 0, &nan);
            expect_close("log", out, (double)logl((long double)in), 2e-13);
        }
        e(1, &out, 1, &nan, 1, NULL, 0, NULL, 0, &nan);
        ck_assert(isnan(out));
        l(1, &out, 1, &nan, 1, NULL, 0, NULL, 0, &nan);
        ck_assert(isnan(out));
        in = -1;
        l(1, &out, 1, &in, 1, NULL, 0, NULL, 0, &nan);
        ck_assert(isnan(out));
    }
}
END_TEST

START_TEST(special_values)
{
    static const float tiny = 0x1p-149f;
    int k;

    for (k = 0; k < path_count; k++) {
        static const float in[] = { 0.0f, -0.0f, INFINITY, -INFINITY, NAN, 0x1p-149f, -0x1p-149f };
        float e[7], t[7], s[7], l[7];
        const double none[2] = { 0 };

        paths[k]->f32[CTI_EW_exp](7, e, 1, in, 1, NULL, 0, NULL, 0, none);
        paths[k]->f32[CTI_EW_tanh](7, t, 1, in, 1, NULL, 0, NULL, 0, none);
        paths[k]->f32[CTI_EW_sigmoid](7, s, 1, in, 1, NULL, 0, NULL, 0, none);
        paths[k]->f32[CTI_EW_log](7, l, 1, in, 1, NULL, 0, NULL, 0, none);
        ck_assert(l[0] == -INFINITY && l[1] == -INFINITY && l[2] == INFINITY && isnan(l[3]));
        ck_assert(isnan(l[4]) && isnan(l[6]) && fabsf(l[5] + 103.278929f) < 1e-5f);
        ck_assert(e[0] == 1 && e[1] == 1 && e[2] == INFINITY && e[3] == 0 && isnan(e[4]));
        ck_assert(!signbit(e[3]) && e[5] == 1 && e[6] == 1);
        ck_assert(t[0] == 0 && !signbit(t[0]) && t[1] == 0 && signbit(t[1]));
        ck_assert(t[2] == 1 && t[3] == -1 && isnan(t[4]) && t[5] == tiny && t[6] == -tiny);
        ck_assert(s[0] == 0.5f && s[1] == 0.5f && s[2] == 1 && s[3] == 0 && isnan(s[4]));
        ck_assert(s[5] == 0.5f && s[6] == 0.5f);
    }
}
END_TEST

/* ---- every elementwise op ---- */

typedef long double real;

/* written here anew, on purpose not from formulas.h */
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
    case CTI_EW_silu:
        return x * (1 / (1 + expl(-x)));
    case CTI_EW_softplus:
        return isnan(x) ? x : fmaxl(x, 0) + log1pl(expl(-fabsl(x)));
    case CTI_EW_erf:
        return erfl(x);
    case CTI_EW_floor:
        return floorl(x);
    case CTI_EW_ceil:
        return ceill(x);
    case CTI_EW_round:
        return nearbyintl(x);
    case CTI_EW_clamp:
        return isnan(x) ? x : fminl(fmaxl(x, p), q);
    case CTI_EW_pow_scalar:
        return powl(x, p);
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
    case CTI_EW_clamp_backward:
        return p <= y && y <= q ? x : 0;
    case CTI_EW_pow_base:
        return y == 0 ? 0 : y * powl(x, y - 1);
    case CTI_EW_pow_exponent:
        return x == 0 && y >= 0 ? 0 : powl(x, y) * logl(x);
    case CTI_EW_fma:
        return x * y + z;
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
        ck_abort_msg("op %d has no reference", op);
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

/* Differences that steps of the formula may make: a few units of the last place of the result, and
 * of the largest intermediate. */
static real tolerance(cti_ew_op op, ct_dtype dtype, const real *in, real want)
{
    real eps = dtype == CT_F32 ? 0x1p-23L : 0x1p-52L, scale = fabsl(want), tiny;

    if (gives_bool(op) || is_select(op))
        return 0;
    if (op == CTI_EW_fma || op == CTI_EW_tanh_backward)
        scale += fabsl(in[0] * in[1]) + fabsl(in[2]) + fabsl(in[0]);
    if (op == CTI_EW_affine || op == CTI_EW_gelu || op == CTI_EW_elu)
        scale += fabsl(in[0]) + 1;
    if (op == CTI_EW_pow_base && fabsl(in[1]) < eps) /* the power alone may overflow */
        return INFINITY;
    if (op == CTI_EW_pow_base) /* the exponent y - 1 is rounded */
        scale *= 1 + fabsl(in[1] * logl(fabsl(in[0])));
    tiny = dtype == CT_F32 ? 0x1p-147L : 0x1p-1070L;
    if (op == CTI_EW_pow_base || op == CTI_EW_pow_exponent) /* a factor of a subnormal power */
        tiny *= 1 + fabsl(op == CTI_EW_pow_base ? in[1] : logl(fabsl(in[0])));
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

/* gelu and silu of -inf are -inf 0, NaN, as in the formula; powers of special values are C's */
static real draw_value(ct_generator *g, ct_dtype dtype, cti_ew_op op, bool select_condition)
{
    static const double special[] = { 0.0,       -0.0, INFINITY, -INFINITY, NAN,  0x1p-149,
                                      -0x1p-140, 1,    -1,       0.5,       1.5,  2.5,
                                      -0.5,      88.5, -88.5,    1e30,      -1e30 };
    double v = (ct_random_uniform(g) + ct_random_uniform(g) - 1) * 8;

    if (select_condition || dtype == CT_BOOL)
        return ct_random_below(g, 2);
    if (dtype == CT_I32 || dtype == CT_I64)
        return floorl(v * 4);
    if (ct_random_below(g, 8) == 0 && op != CTI_EW_gelu && op != CTI_EW_silu &&
        op != CTI_EW_sigmoid_backward && op != CTI_EW_tanh_backward)
        v = special[ct_random_below(g, sizeof special / sizeof *special)];
    return dtype == CT_F32 ? (real)(float)v : (real)v;
}

/* One run of a loop: strides of 0 are constants; in place: out is the first operand. */
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
    if (!in_place) /* nothing is written behind the end, nor between */
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
            bool number = op <= CTI_EW_minimum || (op >= CTI_EW_eq && op <= CTI_EW_ge) ||
                          is_select((cti_ew_op)op);

            if (!logic) {
                run_loops(p->name, p->f32[op], (cti_ew_op)op, CT_F32, &g);
                run_loops(p->name, p->f64[op], (cti_ew_op)op, CT_F64, &g);
            }
            if (number) {
                run_loops(p->name, p->i32[op], (cti_ew_op)op, CT_I32, &g);
                run_loops(p->name, p->i64[op], (cti_ew_op)op, CT_I64, &g);
            }
            if (logic || is_select((cti_ew_op)op))
                run_loops(p->name, p->b8[op], (cti_ew_op)op, CT_BOOL, &g);
        }
}
END_TEST

/* Numbers beside integers are clamped to their range, a NaN is 0. */
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
    int64_t room; /* elements from the first to behind the last */
} strided;

/* A layout of dim: axes in random order, gaps, and (for inputs) axes of stride 0. */
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
    for (i = 0; i < harness_count(4, 40); i++) /* several pieces, one of them short */
        walk_case(&g, 1 + i % 2, i % 2 ? 300 : 60000);
}
END_TEST

/* ---- rows ---- */

typedef struct rows_case {
    const cti_row_loops *loops;
    const char *path;
    ct_dtype dtype;
    real eps;
    int64_t n;
    real x[3000];
    _Alignas(64) char in[3000 * 8], out[3000 * 8], other[3000 * 8];
} rows_case;

static void near(const rows_case *c, const char *what, real got, real want, real scale)
{
    if ((isnan(got) && isnan(want)) || got == want)
        return;
    if (!(fabsl(got - want) <= scale))
        ck_abort_msg("%s, %s %s of %lld: got %.20Lg, expected %.20Lg", what, c->path,
                     ct_dtype_name(c->dtype), (long long)c->n, got, want);
}

static void rows_sums(rows_case *c)
{
    real sum = 0, squares = 0, size = 0;
    int64_t i;

    for (i = 0; i < c->n; i++) {
        sum += c->x[i];
        squares += c->x[i] * c->x[i];
        size += fabsl(c->x[i]);
    }
    near(c, "sum", c->loops->sum(c->n, c->in), sum, 8 * c->eps * size);
    near(c, "sum_squares", c->loops->sum_squares(c->n, c->in), squares, 0x1p-45L * squares);
}

/* Loss and gradient of rows with targets, one of them ignored, by their formulas. */
static void rows_loss(rows_case *c, int64_t width, double smoothing, int64_t g_step)
{
    int64_t rows = c->n / width, target[64] = { 0 }, i, k;
    double loss[64], most[64], lse[64], g[64];

    rows = rows < 64 ? rows : 64;
    for (i = 0; i < rows; i++) {
        target[i] = i % 5 == 3 ? -1 : i * 7 % width;
        element_store(g, c->dtype, i, 0.5L + (real)i / 8);
    }
    c->loops->cross_entropy(rows, width, c->in, target, smoothing, loss, most, lse);
    c->loops->cross_entropy_backward(rows, width, c->in, target, smoothing, most, lse, g, g_step,
                                     c->out);
    for (i = 0; i < rows; i++) {
        const real *x = c->x + i * width, dloss = element_load(g, c->dtype, i * g_step);
        real total = 0, sum = 0, want_lse, want = 0;

        for (k = 0; k < width; k++) {
            total += expl(x[k]);
            sum += x[k];
        }
        want_lse = logl(total);
        if (target[i] >= 0)
            want = want_lse - (1 - (real)smoothing) * x[target[i]] - smoothing * sum / width;
        near(c, "lse", element_load(most, c->dtype, i) + element_load(lse, c->dtype, i), want_lse,
             16 * c->eps);
        near(c, "loss", element_load(loss, c->dtype, i), want, 32 * c->eps);
        for (k = 0; k < width; k++) {
            want = expl(x[k] - want_lse) - smoothing / width - (k == target[i]) * (1 - smoothing);
            near(c, "dx", element_load(c->out, c->dtype, i * width + k),
                 target[i] < 0 ? 0 : dloss * want, 64 * c->eps * dloss);
        }
    }
}

/* Several rows at once are as each alone. */
static void rows_several(rows_case *c, int64_t width)
{
    int64_t rows = c->n / width, i;
    size_t size = ct_dtype_size(c->dtype);
    double most[4096], all[4096], one_most, one;

    rows = rows < 4096 ? rows : 4096;
    c->loops->log_sum_exp(rows, width, c->in, most, all);
    for (i = 0; i < rows; i++) {
        c->loops->log_sum_exp(1, width, (const char *)c->in + (size_t)(i * width) * size, &one_most,
                              &one);
        near(c, "most of several rows", element_load(most, c->dtype, i),
             element_load(&one_most, c->dtype, 0), 0);
        near(c, "log_sum_exp of several rows", element_load(all, c->dtype, i),
             element_load(&one, c->dtype, 0), 0);
    }
}

static void rows_softmax(rows_case *c)
{
    real most = c->x[0], total = 0, lse;
    double got_most, got;
    int64_t i;

    for (i = 0; i < c->n; i++)
        most = fmaxl(most, c->x[i]);
    for (i = 0; i < c->n; i++)
        total += expl(c->x[i] - most);
    lse = most + logl(total);
    c->loops->log_sum_exp(1, c->n, c->in, &got_most, &got);
    near(c, "most", element_load(&got_most, c->dtype, 0), most, 0);
    near(c, "log_sum_exp", element_load(&got, c->dtype, 0), logl(total),
         8 * c->eps * (1 + fabsl(logl(total))));
    for (i = 0; i < 5; i++) { /* short rows stand side by side */
        static const int64_t widths[] = { 0, 127, 128, 129, 300 };
        int64_t width = i ? widths[i] : 1 + c->n % 61;

        rows_several(c, width);
        rows_loss(c, width, 0, 0);
        rows_loss(c, width, 0, 1);
        rows_loss(c, width, 0.125, 1);
    }
    c->loops->softmax(false, c->n, c->in, c->out);
    for (i = 0; i < c->n; i++)
        near(c, "softmax", element_load(c->out, c->dtype, i), expl(c->x[i] - lse),
             16 * c->eps * expl(c->x[i] - lse) * (1 + fabsl(c->x[i] - most)) + 1e-44L);
    c->loops->softmax(true, c->n, c->in, c->out);
    for (i = 0; i < c->n; i++)
        near(c, "log_softmax", element_load(c->out, c->dtype, i), c->x[i] - lse,
             8 * c->eps * (1 + fabsl(c->x[i] - lse)));
}

static void rows_update(rows_case *c, bool momentum, bool nesterov)
{
    const double lr = 0.125, scale = 0.5, decay = 0.25, mu = 0.75, dampening = 0.5;
    const cti_update u = { .rule = CTI_SGD,
                           .nesterov = nesterov,
                           .scale = scale,
                           .momentum = mu,
                           .dampening = dampening };
    const cti_segment s = { .value = c->out,
                            .grad = c->in,
                            .state = { momentum ? c->other : NULL },
                            .n = c->n,
                            .dtype = c->dtype,
                            .lr = lr,
                            .weight_decay = decay,
                            .shrink = 1 };
    int64_t i;

    for (i = 0; i < c->n; i++) {
        element_store(c->out, c->dtype, i, c->x[c->n - 1 - i]);
        element_store(c->other, c->dtype, i, 0.5L * c->x[i]);
    }
    c->loops->update[CTI_SGD](0, c->n, &u, &s);
    for (i = 0; i < c->n; i++) {
        real w = c->x[c->n - 1 - i], t = scale * c->x[i] + decay * w;
        real m = mu * (c->dtype == CT_F32 ? (real)(float)(0.5L * c->x[i]) : 0.5L * c->x[i]) +
                 (1 - dampening) * t;
        real step = !momentum ? t : nesterov ? t + mu * m : m;
        real size = fabsl(w) + fabsl(c->x[i]);

        near(c, "sgd", element_load(c->out, c->dtype, i), w - lr * step, 8 * c->eps * size);
        if (momentum)
            near(c, "sgd's momentum", element_load(c->other, c->dtype, i), m, 8 * c->eps * size);
    }
}

/* A step of the other rules, from element at on, by their formulas. */
static void rows_rule(rows_case *c, int variant, int64_t at)
{
    static const cti_update_rule rules[] = { CTI_ADAM,    CTI_ADAM,    CTI_RMSPROP,
                                             CTI_RMSPROP, CTI_RMSPROP, CTI_ADAGRAD };
    const double lr = 0.125, scale = 0.5, decay = 0.25, mu = 0.75, b1 = 0.5, b2 = 0.75;
    const double eps = 0.125, shrink = 0.875, root = 0.5;
    const cti_update_rule rule = rules[variant];
    const cti_update u = {
        .rule = rule, .scale = scale, .momentum = mu, .beta1 = b1, .beta2 = b2, .eps = eps
    };
    static _Alignas(64) char state[3][3000 * 8];
    bool third = variant == 1 || variant == 3, second = rule == CTI_ADAM || variant >= 3;
    const cti_segment s = { .value = c->out,
                            .grad = c->in,
                            .n = c->n,
                            .dtype = c->dtype,
                            .lr = lr,
                            .state = { state[0], second ? state[1] : NULL,
                                       third ? state[2] : NULL },
                            .weight_decay = decay,
                            .shrink = shrink,
                            .root = root };
    int64_t i;

    for (i = 0; i < c->n; i++) { /* exact in f32 */
        element_store(c->out, c->dtype, i, 1 + i % 7);
        element_store(state[0], c->dtype, i, 0.25L + (real)(i % 5) / 8);
        element_store(state[1], c->dtype, i, 2 + i % 3);
        element_store(state[2], c->dtype, i, (real)(i % 4) / 8);
    }
    c->loops->update[rule](at, c->n - at, &u, &s);
    for (i = 0; i < c->n; i++) {
        real w = 1 + i % 7, s0 = 0.25L + (real)(i % 5) / 8, s1 = 2 + i % 3, s2 = (real)(i % 4) / 8;
        real t = scale * c->x[i] + decay * w, step, want, size = (1 + fabsl(c->x[i])) * (1 + w);
        real n0 = s0, n1 = s1, n2 = s2;

        if (rule == CTI_ADAM) {
            n0 = s0 + (1 - b1) * (t - s0);
            n1 = b2 * s1 + (1 - b2) * t * t;
            n2 = third ? fmaxl(s2, n1) : s2;
            step = n0 / (sqrtl(third ? n2 : n1) / root + eps);
        } else if (rule == CTI_RMSPROP) {
            n0 = b2 * s0 + (1 - b2) * t * t;
            n2 = third ? s2 + (1 - b2) * (t - s2) : s2;
            step = t / (sqrtl(fmaxl(n0 - (third ? n2 * n2 : 0), 0)) + eps);
            n1 = second ? mu * s1 + step : s1;
            step = second ? n1 : step;
        } else {
            n0 = s0 + t * t;
            step = t / (sqrtl(n0) + eps);
        }
        want = (rule == CTI_ADAM ? shrink * w : w) - lr * step;
        size *= size;
        near(c, "value", element_load(c->out, c->dtype, i), i < at ? w : want, 64 * c->eps * size);
        near(c, "state 0", element_load(state[0], c->dtype, i), i < at ? s0 : n0,
             64 * c->eps * size);
        near(c, "state 1", element_load(state[1], c->dtype, i), i < at ? s1 : n1,
             64 * c->eps * size);
        near(c, "state 2", element_load(state[2], c->dtype, i), i < at ? s2 : n2,
             64 * c->eps * size);
    }
}

static void rows_columns(rows_case *c)
{
    int64_t width = 1 + c->n % 150, height = c->n / width, stride = width, i, j;

    c->loops->sum_rows(height, stride, width, c->in, c->out);
    for (i = 0; i < width; i++) {
        real sum = 0, size = 0;

        for (j = 0; j < height; j++) {
            sum += c->x[j * stride + i];
            size += fabsl(c->x[j * stride + i]);
        }
        near(c, "sum_rows", element_load(c->out, c->dtype, i), sum,
             2 * c->eps * (size + fabsl(sum)));
    }
    memcpy(c->out, c->in, sizeof c->out);
    c->loops->add_row(c->n, c->out, c->in);
    for (i = 0; i < c->n; i++)
        near(c, "add_row", element_load(c->out, c->dtype, i), 2 * c->x[i], 0);
}

START_TEST(row_loops)
{
    static const int64_t lengths[] = { 1,  2,   3,   15,  16,   17,   63,   64,
                                       65, 200, 255, 257, 1000, 1024, 1025, 2999 };
    static rows_case c;
    ct_generator g = ct_generator_from_seed(13);
    size_t l;
    int k, d;
    int64_t i;

    for (k = 0; k < path_count; k++)
        for (d = 0; d < 2; d++)
            for (l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                c.path = paths[k]->name;
                c.dtype = d ? CT_F64 : CT_F32;
                c.loops = d ? &paths[k]->rows_f64 : &paths[k]->rows_f32;
                c.eps = d ? 0x1p-52L : 0x1p-23L;
                c.n = lengths[l];
                for (i = 0; i < c.n; i++) {
                    element_store(c.in, c.dtype, i, (ct_random_uniform(&g) - 0.5) * 12);
                    c.x[i] = element_load(c.in, c.dtype, i);
                }
                rows_sums(&c);
                rows_softmax(&c);
                rows_columns(&c);
                rows_update(&c, false, false);
                rows_update(&c, true, false);
                rows_update(&c, true, true);
                for (i = 0; i < 6; i++)
                    rows_rule(&c, (int)i, c.n > 20 ? 5 : 0);
            }
}
END_TEST

/* Large offsets, infinities and NaN go through softmax as the formula has it. */
START_TEST(softmax_specials)
{
    float most, lse;
    int k;

    for (k = 0; k < path_count; k++) {
        const cti_row_loops *l = &paths[k]->rows_f32;
        float far[3] = { 10000.0f, 10001.0f, 9999.0f }, out[3];
        float masked[3] = { -INFINITY, 1.0f, 1.0f }, none[2] = { -INFINITY, -INFINITY };
        float nan[2] = { 1.0f, NAN }, most_of_all[2] = { 1.0f, INFINITY };

        l->softmax(true, 3, far, out);
        expect_close("log_softmax far from 0", (double)out[1], -0.40760596444438013, 1e-6);
        l->softmax(false, 3, masked, out);
        ck_assert(out[0] == 0 && out[1] == 0.5f && out[2] == 0.5f);
        l->softmax(true, 3, masked, out);
        ck_assert(out[0] == -INFINITY);
        expect_close("log 1/2", (double)out[1], log(0.5), 1e-6);
        l->softmax(false, 2, none, out);
        ck_assert(isnan(out[0]) && isnan(out[1]));
        l->softmax(false, 2, nan, out);
        ck_assert(isnan(out[0]) && isnan(out[1]));
        l->log_sum_exp(1, 2, none, &most, &lse);
        ck_assert(most + lse == -INFINITY);
        l->log_sum_exp(1, 2, nan, &most, &lse);
        ck_assert(isnan(most + lse));
        l->log_sum_exp(1, 2, most_of_all, &most, &lse);
        ck_assert(most + lse == INFINITY);
        l->cross_entropy(1, 3, masked, (int64_t[]){ 1 }, 0, out, &most,
                         &lse); /* a mask takes no part */
        expect_close("loss", (double)out[0], log(2), 1e-6);
        expect_close("lse", (double)most + (double)lse, 1 + log(2), 1e-6);
    }
}
END_TEST

/* ---- reductions ---- */

static real reduce_reference(cti_reduce_op op, int64_t n, int64_t step, const void *in,
                             ct_dtype dtype, int64_t from)
{
    real acc = op == CTI_PROD || op == CTI_ALL ? 1 : 0,
         best = n ? element_load(in, dtype, from) : 0;
    int64_t i, at = 0;

    for (i = 0; i < n; i++) {
        real v = element_load(in, dtype, from + i * step);
        bool better = op == CTI_MAX || op == CTI_ARGMAX ? v > best : v < best;

        if (!isnan(best) && (isnan(v) || better)) {
            best = v;
            at = i;
        }
        acc = op == CTI_PROD  ? acc * v
              : op == CTI_ANY ? acc || v
              : op == CTI_ALL ? acc && v
                              : acc + v;
    }
    if (op == CTI_ARGMAX || op == CTI_ARGMIN)
        return at;
    return op == CTI_MAX || op == CTI_MIN ? best : acc;
}

static void reduce_case(cti_reduce_op op, ct_dtype dtype, int64_t outer, int64_t n, int64_t inner,
                        ct_generator *g)
{
    bool index = op == CTI_ARGMAX || op == CTI_ARGMIN, floats = dtype == CT_F32 || dtype == CT_F64;
    ct_dtype out_dtype = index ? CT_I64 : dtype;
    int64_t count = outer * n * inner, i;
    void *in = calloc((size_t)count + 1, 8), *out = calloc((size_t)(outer * inner) + 1, 8);

    for (i = 0; i < count; i++) {
        real v = dtype == CT_BOOL ? ct_random_below(g, 2) : (real)(ct_random_uniform(g) * 6 - 3);

        if (!floats)
            v = floorl(v);
        if (floats && op != CTI_SUM && ct_random_below(g, 60) == 0)
            v = (real)NAN;
        element_store(in, dtype, i, v);
    }
    cti_cpu_backend.reduce(&(cti_reduce_args){
        .op = op, .dtype = dtype, .outer = outer, .n = n, .inner = inner, .in = in, .out = out });
    for (i = 0; i < outer * inner; i++) {
        real want = reduce_reference(op, n, inner, in, dtype, i / inner * n * inner + i % inner);
        real got = element_load(out, out_dtype, i);
        real slack = floats && !index
                         ? (fabsl(want) + 3 * (real)n) * (dtype == CT_F32 ? 0x1p-22L : 0x1p-50L)
                         : 0;

        if (!(isnan(got) && isnan(want)) && !(fabsl(got - want) <= slack))
            ck_abort_msg("reduction %d of %s (%lld, %lld, %lld) at %lld: got %Lg, expected %Lg", op,
                         ct_dtype_name(dtype), (long long)outer, (long long)n, (long long)inner,
                         (long long)i, got, want);
    }
    free(in);
    free(out);
}

START_TEST(reductions)
{
    static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64 };
    static const int64_t sizes[][3] = { { 1, 1, 1 },   { 3, 5, 1 },  { 2, 7, 3 },
                                        { 0, 4, 2 },   { 4, 3, 0 },  { 1, 2500, 1 },
                                        { 2, 40, 65 }, { 5, 1, 64 }, { 1, 33, 131 } };
    ct_generator g = ct_generator_from_seed(14);
    size_t i, d;
    int op;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (op = CTI_SUM; op <= CTI_ARGMIN; op++)
            for (d = 0; d < 4; d++)
                if (op != CTI_PROD || sizes[i][1] < 20)
                    reduce_case((cti_reduce_op)op, dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2],
                                &g);
        reduce_case(CTI_ANY, CT_BOOL, sizes[i][0], sizes[i][1], sizes[i][2], &g);
        reduce_case(CTI_ALL, CT_BOOL, sizes[i][0], sizes[i][1], sizes[i][2], &g);
    }
    reduce_case(CTI_SUM, CT_F32, 3, 0, 2, &g);
    reduce_case(CTI_PROD, CT_F32, 3, 0, 2, &g);
    reduce_case(CTI_ALL, CT_BOOL, 3, 0, 2, &g);
}
END_TEST

/* ---- gemm ---- */

static void random_matrix(ct_generator *g, void *p, ct_dtype dtype, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        element_store(p, dtype, i, ct_random_uniform(g) * 2 - 1);
}

/* C = alpha op(A) op(B) + beta C, batch times, in padded rows; what is between rows stays; in some, a
 * bias in the place of C. bare: alpha is 1, beta 0 or 1, and A has no padding. */
static void gemm_case(ct_generator *g, ct_dtype dtype, const int64_t *size_of, bool bare)
{
    static const double scales[] = { 0, 1, -0.5, 2 };
    const int64_t m = size_of[0], n = size_of[1], k = size_of[2], batch = size_of[3];
    cti_gemm p = {
        .dtype = dtype, .trans_a = ct_random_below(g, 2), .m = m, .n = n, .k = k, .batch = batch
    };
    int64_t rows_a, rows_b, size_a, size_b, size_c, i, j, l, b;
    real *before, eps = dtype == CT_F32 ? 0x1p-23L : 0x1p-52L;
    double bias[512];
    void *pa, *pb;

    p.trans_b = ct_random_below(g, 2);
    p.alpha = scales[1 + ct_random_below(g, bare ? 1 : 3)];
    p.beta = scales[ct_random_below(g, bare ? 2 : 4)];
    p.lda = (p.trans_a ? m : k) + (int64_t)ct_random_below(g, bare ? 1 : 4);
    p.ldb = (p.trans_b ? k : n) + (int64_t)ct_random_below(g, 4);
    p.ldc = n + (int64_t)ct_random_below(g, 4);
    p.lda += !p.lda;
    p.ldb += !p.ldb;
    p.ldc += !p.ldc;
    if (batch == 1 && p.beta == 0 && ct_random_below(g, 2)) {
        random_matrix(g, bias, dtype, n);
        p.bias = bias;
    }
    rows_a = p.trans_a ? k : m;
    rows_b = p.trans_b ? n : k;
    p.a_step = ct_random_below(g, 3) ? rows_a * p.lda : 0; /* 0: the same A for all */
    p.b_step = ct_random_below(g, 3) ? rows_b * p.ldb : 0;
    p.c_step = m * p.ldc;
    size_a = batch * rows_a * p.lda + 1;
    size_b = batch * rows_b * p.ldb + 1;
    size_c = batch * p.c_step + 1;
    p.a = pa = malloc((size_t)size_a * 8);
    p.b = pb = malloc((size_t)size_b * 8);
    p.c = malloc((size_t)size_c * 8);
    before = malloc((size_t)size_c * sizeof *before);
    random_matrix(g, pa, dtype, size_a);
    random_matrix(g, pb, dtype, size_b);
    random_matrix(g, p.c, dtype, size_c);
    if (p.beta == 0) /* C's old values do not count, not even a NaN */
        element_store(p.c, dtype, 0, (real)NAN);
    for (i = 0; i < size_c; i++)
        before[i] = element_load(p.c, dtype, i);
    cti_cpu_gemm(&p);
    for (b = 0; b < batch; b++)
        for (i = 0; i < m; i++)
            for (j = 0; j < p.ldc; j++) {
                int64_t at = b * p.c_step + i * p.ldc + j;
                real sum = 0, size = 1, want = before[at], got = element_load(p.c, dtype, at);

                for (l = 0; l < k && j < n; l++) {
                    real x = element_load(
                        p.a, dtype, b * p.a_step + (p.trans_a ? l * p.lda + i : i * p.lda + l));
                    real y = element_load(
                        p.b, dtype, b * p.b_step + (p.trans_b ? j * p.ldb + l : l * p.ldb + j));

                    sum += x * y;
                    size += fabsl(x * y);
                }
                if (j < n)
                    want = p.alpha * sum + (p.bias        ? element_load(bias, dtype, j)
                                            : p.beta == 0 ? 0
                                                          : p.beta * before[at]);
                if (j < n ? !(fabsl(got - want) <= 8 * eps * size)
                          : !(got == want || (isnan(got) && isnan(want))))
                    ck_abort_msg("gemm %s m %lld n %lld k %lld trans %d %d alpha %g beta %g%s at "
                                 "(%lld, %lld): got %Lg, expected %Lg",
                                 ct_dtype_name(dtype), (long long)m, (long long)n, (long long)k,
                                 p.trans_a, p.trans_b, p.alpha, p.beta, p.bias ? " bias" : "",
                                 (long long)i, (long long)j, got, want);
            }
    free(pa);
    free(pb);
    free(p.c);
    free(before);
}

START_TEST(gemm)
{
    static const int64_t sizes[][4] = { { 1, 1, 1, 1 },   { 3, 4, 5, 1 },   { 5, 1, 7, 2 },
                                        { 1, 9, 3, 3 },   { 0, 4, 3, 1 },   { 4, 0, 3, 2 },
                                        { 4, 3, 0, 2 },   { 4, 3, 2, 0 },   { 17, 31, 33, 1 },
                                        { 64, 28, 9, 2 }, { 257, 5, 3, 1 }, { 600, 3, 17, 2 },
                                        { 6, 9, 520, 1 } };
    ct_generator g = ct_generator_from_seed(15);
    size_t i;
    int round;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (round = 0; round < harness_count(6, 60); round++) {
            ct_set_portable(round % 2);
            gemm_case(&g, CT_F32, sizes[i], false);
            gemm_case(&g, CT_F64, sizes[i], false);
        }
    ct_set_portable(false);
}
END_TEST

/* The portable product adds in the order of k, to the last bit. */
START_TEST(portable_gemm)
{
    enum { M = 7, N = 19, K = 300 };
    static float a[M * K], b[K * N], c[M * N];
    ct_generator g = ct_generator_from_seed(16);
    cti_gemm p = { .dtype = CT_F32,
                   .m = M,
                   .n = N,
                   .k = K,
                   .batch = 1,
                   .alpha = 0.75,
                   .a = a,
                   .b = b,
                   .c = c,
                   .lda = K,
                   .ldb = N,
                   .ldc = N };
    int i, j, k;

    random_matrix(&g, a, CT_F32, M * K);
    random_matrix(&g, b, CT_F32, K * N);
    ct_set_portable(true);
    cti_cpu_gemm(&p);
    ct_set_portable(false);
    for (i = 0; i < M; i++)
        for (j = 0; j < N; j++) {
            volatile float sum = 0, term; /* volatile: rounded at each step */

            for (k = 0; k < K; k++) {
                term = 0.75f * a[i * K + k];
                term = term * b[k * N + j];
                sum = sum + term;
            }
            ck_assert_msg(c[i * N + j] == sum, "(%d, %d): %a, expected %a", i, j,
                          (double)c[i * N + j], (double)sum);
        }
}
END_TEST

/* Whole and partial tiles of rows, panels of columns and chunks of k; rows a page apart. */
START_TEST(gemm_packed)
{
    static const int64_t sizes[][4] = { { 64, 32, 128, 1 },  { 65, 33, 129, 1 },
                                        { 130, 100, 70, 1 }, { 1024, 40, 150, 1 },
                                        { 63, 70, 300, 1 },  { 20, 300, 20, 1 },
                                        { 300, 1, 257, 1 },  { 70, 64, 1, 1 },
                                        { 129, 28, 40, 1 } };
    ct_generator g = ct_generator_from_seed(16);
    size_t i;
    int round;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (round = 0; round < harness_count(4, 40); round++) {
            gemm_case(&g, CT_F32, sizes[i], true);
            gemm_case(&g, CT_F64, sizes[i], true);
        }
}
END_TEST

static double bf16_of(double v)
{
    uint32_t bits = bits_of((float)v);

    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    return (double)float_of(bits);
}

/* ---- the processor's own products in bf16, played by plain loops where the tests say so ---- */

static bool plays_bf16;

static uint32_t pair_of(float even, float odd)
{
    return bits_of((float)bf16_of((double)even)) >> 16 |
           (bits_of((float)bf16_of((double)odd)) & 0xffff0000u);
}

/* (m, pairs), or of A^T (pairs, m) */
static void plain_pack_a(bool trans, int64_t m, int64_t k, const float *a, int64_t lda,
                         uint32_t *out)
{
    int64_t i, p, pairs = cti_bf16_pairs(k), along = trans ? lda : 1, across = trans ? 1 : lda;

    for (i = 0; i < m; i++)
        for (p = 0; p < pairs; p++) {
            const float *x = a + i * across + 2 * p * along;

            out[trans ? p * m + i : i * pairs + p] = pair_of(*x, 2 * p + 1 < k ? x[along] : 0);
        }
}

static int64_t plain_words_of_b(int64_t k, int64_t n)
{
    return n * cti_bf16_pairs(k);
}

/* (n, pairs) */
static void plain_pack_b(bool trans, int64_t k, int64_t n, const float *b, int64_t ldb,
                         uint32_t *out)
{
    plain_pack_a(!trans, n, k, b, ldb, out);
    if (!trans) { /* that was (pairs, n) */
        int64_t j, p, pairs = cti_bf16_pairs(k);
        uint32_t *turned = malloc((size_t)(n * pairs) * sizeof *turned);

        for (j = 0; j < n; j++)
            for (p = 0; p < pairs; p++)
                turned[j * pairs + p] = out[p * n + j];
        memcpy(out, turned, (size_t)(n * pairs) * sizeof *turned);
        free(turned);
    }
}

static void plain_multiply(const cti_bf16_product *m, const uint32_t *a, const uint32_t *b,
                           float *c)
{
    int64_t i, j, p, pairs = cti_bf16_pairs(m->k);

    for (i = 0; i < m->m; i++)
        for (j = 0; j < m->n; j++) {
            double sum = m->accumulate ? (double)c[i * m->ldc + j] : 0;

            for (p = 0; p < pairs; p++) {
                uint32_t x = a[i * m->step_i + p * m->step_p], y = b[j * pairs + p];

                sum += (double)float_of(x << 16) * (double)float_of(y << 16) +
                       (double)float_of(x & 0xffff0000u) * (double)float_of(y & 0xffff0000u);
            }
            c[i * m->ldc + j] = (float)sum;
        }
}

static const cti_bf16_path plain_bf16 = { plain_pack_a, plain_words_of_b, plain_pack_b,
                                          plain_multiply };

const cti_bf16_path *__real_cti_bf16_path_get(void);
const cti_bf16_path *__wrap_cti_bf16_path_get(void);

const cti_bf16_path *__wrap_cti_bf16_path_get(void)
{
    return plays_bf16 ? &plain_bf16 : __real_cti_bf16_path_get();
}

/* In bf16 a product is that of the rounded operands, in f32; by the processor's instructions where
 * it has them. What C was before, or a bias, is not rounded. */
static void gemm_bf16_case(ct_generator *g, int64_t m, int64_t n, int64_t k, int64_t batch)
{
    cti_gemm p = { .dtype = CT_F32,
                   .trans_a = ct_random_below(g, 2),
                   .m = m,
                   .n = n,
                   .k = k,
                   .batch = batch,
                   .alpha = ct_random_below(g, 4) ? 1 : -0.5,
                   .beta = (double)ct_random_below(g, 3) / 2,
                   .ldc = n + 3,
                   .bf16 = true };
    int64_t b, i, j, l;
    float *x, *y, *c, *bias = malloc((size_t)n * sizeof *bias);

    p.trans_b = ct_random_below(g, 2);
    p.lda = (p.trans_a ? m : k) + (int64_t)ct_random_below(g, 4);
    p.ldb = (p.trans_b ? k : n) + (int64_t)ct_random_below(g, 4);
    p.a_step = ct_random_below(g, 2) ? (p.trans_a ? k : m) * p.lda : 0;
    p.b_step = ct_random_below(g, 2) ? (p.trans_b ? n : k) * p.ldb : 0;
    p.a = x = malloc((size_t)(batch * (p.trans_a ? k : m) * p.lda) * sizeof *x);
    p.b = y = malloc((size_t)(batch * (p.trans_b ? n : k) * p.ldb) * sizeof *y);
    p.c_step = m * p.ldc;
    p.c = malloc((size_t)(batch * p.c_step) * sizeof(float));
    c = malloc((size_t)(batch * p.c_step) * sizeof(float));
    random_matrix(g, x, CT_F32, batch * (p.trans_a ? k : m) * p.lda);
    random_matrix(g, y, CT_F32, batch * (p.trans_b ? n : k) * p.ldb);
    random_matrix(g, c, CT_F32, batch * p.c_step);
    random_matrix(g, bias, CT_F32, n);
    memcpy(p.c, c, (size_t)(batch * p.c_step) * sizeof(float));
    if (p.beta == 0 && ct_random_below(g, 2))
        p.bias = bias;
    cti_cpu_gemm(&p);
    for (b = 0; b < batch; b++)
        for (i = 0; i < m; i++)
            for (j = 0; j < p.ldc; j++) {
                double before = (double)c[b * p.c_step + i * p.ldc + j];
                double got = (double)((float *)p.c)[b * p.c_step + i * p.ldc + j];
                double want = p.beta * before + (p.bias && j < n ? (double)bias[j] : 0), sum = 0;

                if (j >= n) {
                    ck_assert(got == before);
                    continue;
                }

                for (l = 0; l < k; l++)
                    sum +=
                        bf16_of(
                            (double)x[b * p.a_step + (p.trans_a ? l * p.lda + i : i * p.lda + l)]) *
                        bf16_of(
                            (double)y[b * p.b_step + (p.trans_b ? j * p.ldb + l : l * p.ldb + j)]);
                want += p.alpha * sum;
                if (!(fabs(got - want) <= 1e-6 * (double)(k + 1)))
                    ck_abort_msg("m %lld n %lld k %lld: got %g, expected %g", (long long)m,
                                 (long long)n, (long long)k, got, want);
            }
    free(x);
    free(y);
    free(c);
    free(bias);
    free(p.c);
}

START_TEST(gemm_bf16)
{
    ct_generator g = ct_generator_from_seed(17);
    int round;

    plays_bf16 = _i;
    for (round = 0; round < harness_count(6, 60); round++) {
        gemm_bf16_case(&g, 3, 4, 5, 2);
        gemm_bf16_case(&g, 70, 40, 33, 1);
        gemm_bf16_case(&g, 1, 20, 30, 3);
        gemm_bf16_case(&g, 6 + (int64_t)ct_random_below(&g, 7), 64, 1 + 2 * round, 1);
        gemm_bf16_case(&g, 67, 65 + (int64_t)ct_random_below(&g, 70), 16, 2);
    }
    gemm_bf16_case(&g, 5, 33, 1025, 1);
    gemm_bf16_case(&g, 14, 16, 2050, 1);
    gemm_bf16_case(&g, 130, 129, 67, 2); /* three pieces of each, the last short */
    gemm_bf16_case(&g, 64, 64, 64, 3);
    gemm_bf16_case(&g, 128, 2, 131, 1);
}
END_TEST

START_TEST(scratch_of_sequences)
{
    static const int gates[] = { 1, 1, 4, 3 };
    int k;

    for (k = 0; k < 4; k++) {
        cti_sequence s = { .kind = (cti_cell_kind)k, .batch = 5, .hidden = 7 };
        int64_t width = gates[k] * 7;

        ck_assert_int_eq(cti_gates_of(s.kind), gates[k]);
        ck_assert_int_eq(cti_sequence_scratch(&s), width * 7 + 5 * (width + 7));
        s.index = gates;
        ck_assert_int_eq(cti_sequence_scratch(&s), width * 7 + 5 * (2 * width + 7));
    }
}
END_TEST

/* A ReLU layer's step in bf16, and back, rounds the state, the gradient and the weights. */
START_TEST(sequence_bf16)
{
    enum { B = 37, H = 37 }; /* three tiles of rows, the last short */
    static float x[B * H], w[H * H], h[2 * B * H], dy[B * H], dx[B * H], dh0[B * H];
    static float scratch[H * H + B * (H + H)];
    cti_sequence s = { .kind = CTI_CELL_RELU,
                       .dtype = CT_F32,
                       .steps = 1,
                       .batch = B,
                       .hidden = H,
                       .x = x,
                       .w = w,
                       .h = h,
                       .scratch = scratch,
                       .dy = dy,
                       .dx = dx,
                       .dh0 = dh0,
                       .bf16 = true };
    ct_generator g = ct_generator_from_seed(18);
    int b, i, j;

    plays_bf16 = _i;
    ck_assert(sizeof scratch == (size_t)cti_sequence_scratch(&s) * sizeof *scratch);
    random_matrix(&g, x, CT_F32, B * H);
    random_matrix(&g, w, CT_F32, H * H);
    random_matrix(&g, h, CT_F32, B * H);
    random_matrix(&g, dy, CT_F32, B * H);
    cti_cpu_sequence(&s);
    cti_cpu_sequence_backward(&s);
    for (b = 0; b < B; b++)
        for (i = 0; i < H; i++) {
            double sum = (double)x[b * H + i], back = 0;

            for (j = 0; j < H; j++) {
                double d = h[(B + b) * H + j] > 0 ? (double)dy[b * H + j] : 0;

                sum += bf16_of((double)h[b * H + j]) * bf16_of((double)w[i * H + j]);
                back += bf16_of(d) * bf16_of((double)w[j * H + i]);
            }
            expect_close("h", (double)h[(B + b) * H + i], sum > 0 ? sum : 0, 1e-4);
            expect_close("dh0", (double)dh0[b * H + i], back, 1e-4);
        }
}
END_TEST

static cti_memory_table usual_memory;
static long asked, refused_at;

static void *refuse_one(size_t alignment, size_t bytes)
{
    return ++asked == refused_at ? NULL : usual_memory.allocate(alignment, bytes);
}

enum { ROOM_M = 70, ROOM_N = 40, ROOM_K = 90, ROOM_STEPS = 5 };

/* C = A B^T or A^T B, by the way that the number says. */
static void product_of_way(int way, const float *a, const float *b, float *c)
{
    bool trans = way & 1;
    cti_gemm p = { .dtype = CT_F32,
                   .trans_a = !trans,
                   .trans_b = trans,
                   .m = ROOM_M,
                   .n = ROOM_N,
                   .k = ROOM_K,
                   .batch = 1,
                   .alpha = 1,
                   .a = a,
                   .b = b,
                   .c = c,
                   .lda = trans ? ROOM_K : ROOM_M,
                   .ldb = trans ? ROOM_K : ROOM_N,
                   .ldc = ROOM_N,
                   .bf16 = way >= 2 };

    plays_bf16 = way >= 4;
    cti_cpu_gemm(&p);
    plays_bf16 = false;
}

/* Where there is no memory for a copy of an operand, the product is made without it. */
START_TEST(products_without_memory)
{
    static float a[ROOM_M * ROOM_K], b[ROOM_N * ROOM_K], c[ROOM_M * ROOM_N];
    ct_generator g = ct_generator_from_seed(19);
    int i, j, k;

    random_matrix(&g, a, CT_F32, ROOM_M * ROOM_K);
    random_matrix(&g, b, CT_F32, ROOM_N * ROOM_K);
    usual_memory = cti_memory_calls;
    cti_memory_calls.allocate = refuse_one;
    for (refused_at = 1; refused_at == 1 || asked >= refused_at; refused_at++) {
        for (i = 0; i < ROOM_M * ROOM_N; i++)
            c[i] = NAN;
        asked = 0;
        product_of_way(_i, a, b, c);
        for (i = 0; i < ROOM_M; i++)
            for (j = 0; j < ROOM_N; j++) {
                double want = 0;

                for (k = 0; k < ROOM_K; k++)
                    want += _i & 1 ? (double)a[i * ROOM_K + k] * (double)b[j * ROOM_K + k]
                                   : (double)a[k * ROOM_M + i] * (double)b[k * ROOM_N + j];
                expect_close("product", (double)c[i * ROOM_N + j], want, _i >= 2 ? 0.1 : 1e-4);
            }
    }
    cti_memory_calls = usual_memory;
    ck_assert(_i < 2 || refused_at > 2);
}
END_TEST

/* The same of whole sequences: their weights are not packed then. */
START_TEST(sequences_without_memory)
{
    enum { B = 20, H = 12 };
    static float x[ROOM_STEPS * B * H], w[H * H], h[(ROOM_STEPS + 1) * B * H];
    static float dx[ROOM_STEPS * B * H], dh0[B * H], kept[2][B * H], scratch[H * H + B * (H + H)];
    cti_sequence s = { .kind = CTI_CELL_TANH,
                       .dtype = CT_F32,
                       .steps = ROOM_STEPS,
                       .batch = B,
                       .hidden = H,
                       .x = x,
                       .w = w,
                       .h = h,
                       .scratch = scratch,
                       .dy = x,
                       .dx = dx,
                       .dh0 = dh0,
                       .bf16 = _i > 0 };
    ct_generator g = ct_generator_from_seed(20);
    int i;

    plays_bf16 = _i == 2;
    random_matrix(&g, x, CT_F32, ROOM_STEPS * B * H);
    random_matrix(&g, w, CT_F32, H * H);
    random_matrix(&g, h, CT_F32, B * H);
    usual_memory = cti_memory_calls;
    cti_memory_calls.allocate = refuse_one;
    for (refused_at = 0; refused_at == 0 || asked >= refused_at; refused_at++) {
        asked = 0;
        cti_cpu_sequence(&s);
        cti_cpu_sequence_backward(&s);
        if (refused_at == 0) {
            memcpy(kept[0], h + ROOM_STEPS * B * H, sizeof kept[0]);
            memcpy(kept[1], dh0, sizeof kept[1]);
        }
        for (i = 0; i < B * H; i++) {
            double tolerance = _i ? 0.2 : 1e-4;

            expect_close("h", (double)h[ROOM_STEPS * B * H + i], (double)kept[0][i], tolerance);
            expect_close("dh0", (double)dh0[i], (double)kept[1][i], tolerance);
        }
    }
    cti_memory_calls = usual_memory;
    ck_assert_int_gt(refused_at, 2);
}
END_TEST

/* bf16 is refused until emulation is asked for, and says so, where no instructions do it. */
START_TEST(precision)
{
    ct_matmul_precision left =
        cti_bf16_path_get() ? CT_MATMUL_PRECISION_BF16 : CT_MATMUL_PRECISION_F32;

    ck_assert(ct_get_matmul_precision() == CT_MATMUL_PRECISION_F32);
    if (cti_bf16_path_get()) {
        ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) == CT_OK);
        ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_F32) == CT_OK);
        ck_assert_str_eq(ct_build_get_info().bf16, "AVX512-BF16");
    } else {
        ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_set_matmul_precision", "ct_set_bf16_emulation");
        ck_assert_str_eq(ct_build_get_info().bf16, "emulated where allowed");
    }
    ct_error_clear();
    ck_assert(ct_set_matmul_precision((ct_matmul_precision)3) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_set_matmul_precision", "precision 3");
    ct_error_clear();
    ct_set_bf16_emulation(true);
    ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) == CT_OK);
    ck_assert(ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16);
    ct_set_bf16_emulation(true); /* once more changes nothing */
    ck_assert(ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16);
    ct_set_bf16_emulation(false);
    ck_assert(ct_get_matmul_precision() == left);
}
END_TEST

/* Row strides that no int of a BLAS holds; one row, so that no such memory is needed. */
START_TEST(gemm_large_stride)
{
    const int64_t large = (int64_t)1 << 32;
    float a[4] = { 1, 2, 3, 4 }, b[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, c[2];
    int i;

    for (i = 0; i < 8; i++) {
        bool one = i & 4; /* one row of B, as well */
        cti_gemm p = { .dtype = CT_F32,
                       .m = 1,
                       .n = 2,
                       .k = one ? 1 : 4,
                       .batch = 1,
                       .alpha = 1,
                       .a = a,
                       .b = b,
                       .c = c,
                       .lda = i & 1 ? large : 4,
                       .ldb = one ? large : 2,
                       .ldc = i & 2 ? large : 2 };

        c[0] = c[1] = 0;
        cti_cpu_gemm(&p);
        ck_assert_msg(c[0] == (one ? 1.0f : 50.0f) && c[1] == (one ? 2.0f : 60.0f),
                      "case %d: %g, %g", i, (double)c[0], (double)c[1]);
    }
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
    { /* and where one was used, it is left with one thread */
        cti_gemm p = { .dtype = CT_F32,
                       .m = 1,
                       .n = 2,
                       .k = 4,
                       .batch = 1,
                       .alpha = 1,
                       .a = a,
                       .b = b,
                       .c = c,
                       .lda = 4,
                       .ldb = 2,
                       .ldc = 2 };

        openblas_set_num_threads(2);
        cti_multiply(&p, 1, a, b, c);
        ck_assert(c[0] == 50 && c[1] == 60);
        ck_assert_int_eq(openblas_get_num_threads(), ct_portable() ? 2 : 1);
    }
#endif
}
END_TEST

/* ---- packed operands ---- */

static bool compiles(void)
{
    cti_small_gemm g = { .dtype = CT_F32, .m = 8, .n = 8, .k = 8, .lda = 8, .ldb = 8, .ldc = 8 };

    return cti_small_gemm_init(&g);
}

/* What has a kernel of its own: products of all sizes but 0 and those too large. */
START_TEST(small_products)
{
    static const struct {
        int m, n, k;
        bool kernel;
    } cases[] = {
        { 1, 1, 1, true },        { 0, 8, 8, false },       { 8, 0, 8, false },
        { 8, 8, 0, false },       { 64, 32, 70, true },     { 512, 512, 512, true },
        { 512, 513, 512, false }, { 513, 512, 512, false }, { 512, 512, 513, false },
    };
    double a[12], b[20], c[15], want;
    size_t i;
    int way, r, s, k;

    for (i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        cti_small_gemm g = { .dtype = i % 2 ? CT_F64 : CT_F32,
                             .m = cases[i / 2].m,
                             .n = cases[i / 2].n,
                             .k = cases[i / 2].k,
                             .lda = 1024,
                             .ldb = 1024,
                             .ldc = 1024 };
        bool kernel = cases[i / 2].kernel && compiles();

        ck_assert_msg(cti_small_gemm_init(&g) == kernel && !g.kernel == !kernel, "case %zu", i);
        ct_set_portable(true);
        ck_assert(!cti_small_gemm_init(&g) && !g.kernel);
        ct_set_portable(false);
    }
    for (way = 0; way < 16; way++) { /* with and without one: (3, 4) by (4, 5) */
        ct_dtype dtype = way & 1 ? CT_F64 : CT_F32;
        bool trans_a = way & 2, add = way & 4;
        cti_small_gemm g = { .dtype = dtype,
                             .m = 3,
                             .n = 5,
                             .k = 4,
                             .lda = trans_a ? 3 : 4,
                             .ldb = 5,
                             .ldc = 5,
                             .trans_a = trans_a,
                             .accumulate = add };

        if (way & 8)
            cti_small_gemm_init(&g);
        for (k = 0; k < 20; k++) {
            if (k < 12)
                element_store(a, dtype, k, k - 5);
            element_store(b, dtype, k, 2 * k - 11);
            if (k < 15)
                element_store(c, dtype, k, k);
        }
        cti_small_gemm_run(&g, a, b, c);
        for (r = 0; r < 3; r++)
            for (s = 0; s < 5; s++) {
                want = add ? r * 5 + s : 0;
                for (k = 0; k < 4; k++)
                    want += ((trans_a ? k * 3 + r : r * 4 + k) - 5) * (2 * (k * 5 + s) - 11);
                expect_close("small product", (double)element_load(c, dtype, r * 5 + s), want, 0);
            }
    }
}
END_TEST

/* Element (i, j) of B where it lies among the packed: chunks of rows, of panels of columns. */
static int64_t packed_at(const cti_packed *p, int64_t i, int64_t j)
{
    int64_t columns = cti_packed_columns(p), chunk = i / p->chunk, panel = j / p->width;
    int64_t rows = p->k - chunk * p->chunk < p->chunk ? p->k - chunk * p->chunk : p->chunk;
    int64_t width = p->n - panel * p->width <= p->width ? p->last : p->width;

    return chunk * p->chunk * columns + panel * p->width * rows + i % p->chunk * width +
           j % p->width;
}

static void pack_case(ct_dtype dtype, int64_t k, int64_t n, int64_t chunk, bool pad, bool trans)
{
    int64_t size = (int64_t)ct_dtype_size(dtype), ld = (trans ? k : n) + 3, i, j, used;
    int64_t panel = 4 * cti_cpu_path_get()->vector_bytes / size;
    int64_t width = compiles() && panel < n ? panel : n,
            left = width && n % width ? n % width : width;
    int64_t last =
        pad && compiles() && chunk >= k ? (left + panel / 4 - 1) / (panel / 4) * (panel / 4) : left;
    cti_packed p = cti_packed_layout(dtype, k, n, chunk);
    char *b = malloc((size_t)((trans ? n : k) * ld * size + 1)), *room, *seen;

    if (pad)
        cti_packed_pad(&p);
    ck_assert_msg(p.dtype == dtype && p.k == k && p.n == n && p.width == width && p.last == last &&
                      p.chunk == (compiles() && chunk < k ? chunk : k) && !p.data,
                  "layout of %lld by %lld", (long long)k, (long long)n);
    ck_assert_int_eq(cti_packed_columns(&p), n - left + last);
    used = k * cti_packed_columns(&p);
    room = malloc((size_t)(used * size) + 8);
    seen = calloc((size_t)used + 1, 1);
    memset(room, 0x5a, (size_t)(used * size) + 8);
    for (i = 0; i < (trans ? n : k) * ld; i++)
        element_store(b, dtype, i, i + 1);
    cti_pack(&p, trans, b, ld, room);
    ck_assert_ptr_eq(p.data, room);
    for (i = 0; i < k; i++)
        for (j = 0; j < n; j++) {
            int64_t at = packed_at(&p, i, j);

            if (element_load(room, dtype, at) != (trans ? j * ld + i : i * ld + j) + 1)
                ck_abort_msg("(%lld, %lld) of %lld by %lld", (long long)i, (long long)j,
                             (long long)k, (long long)n);
            seen[at] = 1;
        }
    for (i = 0; i < used; i++)
        ck_assert(seen[i] || element_load(room, dtype, i) == 0);
    for (i = used * size; i < used * size + 8; i++)
        ck_assert_int_eq(room[i], 0x5a);
    free(b);
    free(room);
    free(seen);
}

START_TEST(packing)
{
    static const int64_t sizes[][3] = { { 5, 7, 5 },     { 16, 32, 16 },   { 17, 33, 17 },
                                        { 33, 100, 16 }, { 64, 16, 32 },   { 130, 15, 128 },
                                        { 3, 70, 128 },  { 128, 65, 128 }, { 1, 1, 1 },
                                        { 0, 5, 8 },     { 5, 0, 8 } };
    size_t i;
    int way;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (way = 0; way < 16; way++) {
            ct_set_portable(way & 8);
            pack_case(way & 1 ? CT_F64 : CT_F32, sizes[i][0], sizes[i][1], sizes[i][2], way & 2,
                      way & 4);
        }
    ct_set_portable(false);
}
END_TEST

/* The parts of a product, each with its kernel; and rows of A that are a page apart are gathered. */
static void product_case(const int64_t *c, ct_dtype dtype, bool trans, bool add, bool bias)
{
    int64_t k = c[0], n = c[1], chunk = c[2], m = c[3], lda = c[4], ldc = n + 1;
    cti_packed b = cti_packed_layout(dtype, k, n, chunk);
    cti_product p;
    int i, j;

    if (!add)
        cti_packed_pad(&b);
    p = (cti_product){ .b = &b,
                       .m = m,
                       .lda = lda,
                       .ldc = ldc,
                       .bias = bias ? &b : NULL,
                       .trans_a = trans,
                       .accumulate = add };
    cti_product_init(&p);
    ck_assert(p.b == &b && p.m == m && p.lda == lda && p.ldc == ldc && p.trans_a == trans &&
              p.accumulate == add && !p.bias == !bias);
    ck_assert_int_eq(p.gather, compiles() && trans && m <= 64 && b.chunk <= 128 &&
                                   lda * (int64_t)ct_dtype_size(dtype) % 4096 == 0);
    for (i = 0; i < 2; i++)
        for (j = 0; j < 2; j++) {
            const cti_small_gemm *g = &p.part[i][j];
            int64_t left = b.width && n % b.width ? n % b.width : b.width;
            bool aside = j && b.last != left;

            ck_assert(g->dtype == dtype && g->m == m && g->n == (j ? b.last : b.width));
            ck_assert_int_eq(g->k, i == 0 ? b.chunk : b.chunk ? k % b.chunk : 0);
            ck_assert_int_eq(g->lda, p.gather ? m : lda);
            ck_assert(g->ldb == g->n && g->ldc == (aside ? g->n : ldc));
            ck_assert(g->trans_a == trans);
            ck_assert_int_eq(g->accumulate, !aside && (add || bias || b.chunk < k));
            ck_assert_int_eq(g->kernel != NULL, compiles() && g->m && g->n && g->k);
        }
}

START_TEST(products)
{
    static const int64_t cases[][5] = {
        /* k, n, chunk, m, lda */
        { 130, 70, 128, 64, 1024 }, { 130, 70, 128, 64, 512 },  { 130, 70, 128, 64, 1025 },
        { 130, 70, 128, 65, 1024 }, { 128, 32, 128, 64, 2048 }, { 129, 33, 129, 64, 1024 },
        { 127, 33, 128, 3, 1024 },  { 40, 40, 20, 0, 1024 },    { 0, 40, 128, 8, 1024 },
    };
    size_t i;
    int way;

    for (i = 0; i < sizeof cases / sizeof *cases; i++)
        for (way = 0; way < 32; way++) {
            ct_set_portable(way & 16);
            product_case(cases[i], way & 1 ? CT_F64 : CT_F32, way & 2, way & 4, way & 8);
        }
    ct_set_portable(false);
}
END_TEST

/* Which products are made of packed operands: those of a size for which that is quicker. */
START_TEST(packed_or_not)
{
#ifdef CT_HAVE_BLAS
    enum { FEW = 64 };
#else
    enum { FEW = 4 };
#endif
    const int64_t large = (int64_t)1 << 32;
    const struct {
        bool yes;
        int64_t m, n, k;
        bool trans_a, trans_b;
        cti_gemm but; /* what else is special: 0 where it is as usual */
    } cases[] = {
        { true, 64, 40, 70, false, false, { 0 } },
        { true, 64, 40, 70, true, true, { 0 } },
        { true, 64, 1024, 3, false, false, { 0 } },
        { false, 64, 1025, 3, false, false, { 0 } },
        { true, 64, 3, 1024, false, false, { 0 } },
        { false, 64, 3, 1025, false, false, { 0 } },
        { true, 64, 3, 1025, true, false, { 0 } },
        { true, 1024, 3, 3, true, false, { 0 } },
        { false, 1025, 3, 3, true, false, { 0 } },
        { true, 1025, 3, 3, false, false, { 0 } },
        { true, 63, 256, 128, false, false, { 0 } },
        { false, 63, 257, 128, false, false, { 0 } },
        { true, 63, 257, 129, false, false, { 0 } },
        { true, 64, 257, 128, false, false, { 0 } },
        { false, 1, 20, 20, false, true, { 0 } },
        { FEW < 63, 63, 20, 129, false, true, { 0 } },
        { true, FEW, 20, 129, false, true, { 0 } },
        { false, FEW - 1, 20, 129, false, true, { 0 } },
        { true, 1, 20, 20, false, false, { 0 } },
        { true, 5, 20, 20, true, false, { 0 } },
        { false, 64, 40, 70, false, false, { .batch = 2 } },
        { false, 64, 40, 70, false, false, { .alpha = 2 } },
        { false, 64, 40, 70, false, false, { .beta = 0.5 } },
        { true, 64, 40, 70, false, false, { .beta = 1 } },
        { true, 20, 40, 70, false, false, { .beta = 1 } },
        { false, 1, 40, 70, false, false, { .lda = large } },
        { false, 64, 40, 1, false, false, { .ldb = large } },
        { false, 1, 40, 70, false, false, { .ldc = large } },
    };
    static float a[70 * 1200], b[70 * 1200], c[1200 * 1200];
    ct_generator g = ct_generator_from_seed(21);
    size_t i;
    int way;

    random_matrix(&g, a, CT_F32, 70 * 1200);
    random_matrix(&g, b, CT_F32, 70 * 1200);
    for (i = 0; i < sizeof cases / sizeof *cases; i++)
        for (way = 0; way < 2; way++) {
            cti_gemm p = cases[i].but;
            int64_t at, l;

            p.dtype = CT_F32;
            p.m = cases[i].m;
            p.n = cases[i].n;
            p.k = cases[i].k;
            p.trans_a = cases[i].trans_a;
            p.trans_b = cases[i].trans_b;
            p.batch += !p.batch;
            p.alpha += !p.alpha;
            p.lda += p.lda ? 0 : p.trans_a ? p.m : p.k;
            p.ldb += p.ldb ? 0 : p.trans_b ? p.k : p.n;
            p.ldc += p.ldc ? 0 : p.n;
            p.a = a;
            p.b = b;
            p.c = c;
            memset(c, 0, sizeof c);
            ct_set_portable(way);
            ck_assert_msg(cti_gemm_packed(&p) == (cases[i].yes && compiles() && !way), "case %zu",
                          i);
            if (!cases[i].yes || !compiles())
                continue;
            for (at = 0; at < p.m * p.n; at++) {
                double want = 0;

                for (l = 0; l < p.k; l++)
                    want += (double)a[p.trans_a ? l * p.lda + at / p.n : at / p.n * p.lda + l] *
                            (double)b[p.trans_b ? at % p.n * p.ldb + l : l * p.ldb + at % p.n];
                if (!(fabs((double)c[at] - want) <= 1e-4))
                    ck_abort_msg("case %zu: %g, expected %g", i, (double)c[at], want);
            }
        }
    ct_set_portable(false);
}
END_TEST

/* ---- tables of segments: norms and updates, by runs that cross from segment to segment ---- */

START_TEST(segments)
{
    enum { MOST = 1100004 };
    static const int64_t cuts[][4] = { { 1, 0, 0, 0 },           { 16384, 0, 0, 0 },
                                       { 16383, 2, 0, 0 },       { 5, 16379, 1, 32768 },
                                       { 1, 700000, 3, 400000 }, { 1048576, 1, 0, 0 } };
    static float value[MOST], grad[MOST];
    static double wide_value[MOST], wide_grad[MOST];
    const cti_update u = { .rule = CTI_SGD, .scale = 1 };
    ct_generator g = ct_generator_from_seed(22);
    size_t i;
    int64_t k;

    for (i = 0; i < 2 * sizeof cuts / sizeof *cuts; i++) { /* f32 and f64 by turns */
        cti_segment s[4];
        int64_t at = 0;
        double want = 0, norm = -1, squared;
        cti_fault fault = { 0, 7 };
        int j;

        for (j = 0; j < 4; j++) {
            bool wide = (j + i) % 2;

            s[j] = (cti_segment){ .value = wide ? (void *)(wide_value + at) : value + at,
                                  .grad = wide ? (void *)(wide_grad + at) : grad + at,
                                  .n = cuts[i / 2][j],
                                  .dtype = wide ? CT_F64 : CT_F32,
                                  .lr = 0.5,
                                  .shrink = 1 };
            for (k = at; k < at + s[j].n; k++) {
                double v = ct_random_uniform(&g) + 0.5;

                value[k] = 1;
                wide_value[k] = 1;
                grad[k] = (float)v;
                wide_grad[k] = v;
                want += wide ? v * v : (double)grad[k] * (double)grad[k];
            }
            at += s[j].n;
        }
        cti_cpu_backend.norm_squared(s, 4, &squared);
        expect_close("norm squared", squared, want, 1e-9 * want);
        ck_assert(cti_cpu_backend.clip_norm(
                      &(cti_clip_norm_args){
                          .segments = s, .count = 4, .max_norm = 2 * sqrt(want), .norm = &norm },
                      &fault) == CT_OK);
        expect_close("norm", norm, sqrt(want), 1e-9 * want);
        ck_assert_int_eq(fault.position, 0);
        cti_cpu_backend.norm_squared(s, 4, &squared);
        expect_close("not clipped", squared, want, 1e-9 * want);
        ck_assert(cti_cpu_backend.clip_norm(
                      &(cti_clip_norm_args){
                          .segments = s, .count = 4, .max_norm = sqrt(want) / 4, .norm = NULL },
                      &fault) == CT_OK);
        cti_cpu_backend.norm_squared(s, 4, &squared);
        expect_close("clipped", squared, want / 16, 1e-6 * want);
        cti_cpu_backend.update(&u, s, 4);
        for (j = 0, at = 0; j < 4; at += s[j++].n)
            for (k = at; k < at + s[j].n; k++) {
                double v = s[j].dtype == CT_F32 ? (double)value[k] : wide_value[k];
                double d = s[j].dtype == CT_F32 ? (double)grad[k] : wide_grad[k];

                if (!(fabs(v - (1 - 0.5 * d)) <= 1e-6))
                    ck_abort_msg("element %lld of table %zu: %g", (long long)k, i, v);
            }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tc;

    find_paths();
    tc = harness_case(suite, "math");
    tcase_add_test(tc, wished_path);
    tcase_add_loop_test(tc, accuracy, 0, 4);
    tcase_add_test(tc, double_accuracy);
    tcase_add_test(tc, double_specials);
    tcase_add_test(tc, special_values);
    tc = harness_case(suite, "elementwise");
    tcase_add_test(tc, elementwise_loops);
    tcase_add_test(tc, integers_wrap);
    tcase_add_test(tc, integer_parameters);
    tcase_add_test(tc, walks);
    tc = harness_case(suite, "rows");
    tcase_add_test(tc, row_loops);
    tcase_add_test(tc, softmax_specials);
    tcase_add_test(tc, reductions);
    tc = harness_case(suite, "gemm");
    tcase_add_test(tc, gemm);
    tcase_add_test(tc, gemm_packed);
    tcase_add_loop_test(tc, gemm_bf16, 0, 2);
    tcase_add_test(tc, scratch_of_sequences);
    tcase_add_loop_test(tc, sequence_bf16, 0, 2);
    tcase_add_loop_test(tc, products_without_memory, 0, 6);
    tcase_add_loop_test(tc, sequences_without_memory, 0, 3);
    tcase_add_test(tc, precision);
    tcase_add_test(tc, portable_gemm);
    tcase_add_test(tc, gemm_large_stride);
    tc = harness_case(suite, "packed");
    tcase_add_test(tc, small_products);
    tcase_add_test(tc, packing);
    tcase_add_test(tc, products);
    tcase_add_test(tc, packed_or_not);
    tc = harness_case(suite, "segments");
    tcase_add_test(tc, segments);
    return harness_run(suite);
}

/* SPDX-License-Identifier: MIT */
/* test_kernels.c - the CPU's kernels, on every code path that this processor supports, compared
 * with plain loops in long double: odd lengths, strides, constants, in place, special values.
 *
 * Check writes to a file at every assertion, so inner loops use an if instead. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tests/test_kernels.h"

const cti_cpu_path *paths[3];
int path_count;

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

/* The library uses the requested path, if the processor supports it. */
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

float float_of(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

uint32_t bits_of(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Returns |got - want| in units of the last place of a float near want; huge if only one is NaN.
 * Numbers beyond the largest float count as 2^128. */
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

static double softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static double log_sigmoid(double x)
{
    return -softplus(-x);
}

static double power(double x)
{
    return pow(x, 2.75);
}

static double inverse_power(double x)
{
    return pow(x, -7);
}

static double exponent(double x)
{
    return pow(1.125, x);
}

static const struct {
    const char *name;
    cti_ew_op op;
    double (*reference)(double);
    double most;  /* the largest error in ulps, from math.h */
    double least; /* results below this may be 0 */
    double param;
} functions[] = {
    { "exp", CTI_EW_exp, exp, 1.1, -INFINITY, 0 },
    { "tanh", CTI_EW_tanh, tanh, 2.51, -INFINITY, 0 },
    { "sigmoid", CTI_EW_sigmoid, sigmoid, 2.5, -88.7, 0 },
    { "log", CTI_EW_log, log, 1, -INFINITY, 0 },
    { "log1p", CTI_EW_log1p, log1p, 1, -INFINITY, 0 },
    { "expm1", CTI_EW_expm1, expm1, 1.5, -INFINITY, 0 },
    { "erf", CTI_EW_erf, erf, 1.4, -INFINITY, 0 },
    { "erfc", CTI_EW_erfc, erfc, 4.5, -INFINITY, 0 },
    { "sin", CTI_EW_sin, sin, 1.65, -INFINITY, 0 },
    { "cos", CTI_EW_cos, cos, 1.65, -INFINITY, 0 },
    { "tan", CTI_EW_tan, tan, 1.5, -INFINITY, 0 },
    { "asin", CTI_EW_asin, asin, 1.5, -INFINITY, 0 },
    { "acos", CTI_EW_acos, acos, 1.1, -INFINITY, 0 },
    { "atan", CTI_EW_atan, atan, 1.2, -INFINITY, 0 },
    { "sinh", CTI_EW_sinh, sinh, 1.65, -INFINITY, 0 },
    { "cosh", CTI_EW_cosh, cosh, 1.65, -INFINITY, 0 },
    { "asinh", CTI_EW_asinh, asinh, 0.95, -INFINITY, 0 },
    { "acosh", CTI_EW_acosh, acosh, 0.95, -INFINITY, 0 },
    { "atanh", CTI_EW_atanh, atanh, 1.4, -INFINITY, 0 },
    { "exp2", CTI_EW_exp2, exp2, 1.1, -INFINITY, 0 },
    { "log2", CTI_EW_log2, log2, 0.9, -INFINITY, 0 },
    { "log10", CTI_EW_log10, log10, 0.9, -INFINITY, 0 },
    { "softplus", CTI_EW_softplus, softplus, 1.65, -87, 0 },
    { "log_sigmoid", CTI_EW_log_sigmoid, log_sigmoid, 1.65, -INFINITY, 0 },
    { "x^2.75", CTI_EW_pow_scalar, power, 0.51, -INFINITY, 2.75 },
    { "x^-7", CTI_EW_pow_scalar, inverse_power, 0.51, -INFINITY, -7 },
    { "1.125^x", CTI_EW_scalar_pow, exponent, 0.51, -INFINITY, 1.125 },
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
            paths[k]->f32[functions[_i].op](n, out, 1, in, 1, NULL, 0, NULL, 0,
                                            (double[2]){ functions[_i].param });
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
        for (in = 5e-324; in < 1e-300; in *= 37) { /* also subnormal numbers */
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

/* ---- gemm ---- */

void random_matrix(ct_generator *g, void *p, ct_dtype dtype, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        element_store(p, dtype, i, ct_random_uniform(g) * 2 - 1);
}

/* ---- tables of segments: norms and updates, in runs that span several segments ---- */

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

    for (i = 0; i < 2 * sizeof cuts / sizeof *cuts; i++) { /* f32 and f64 alternate */
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
    tcase_add_loop_test(tc, accuracy, 0, (int)(sizeof functions / sizeof *functions));
    tcase_add_test(tc, double_accuracy);
    tcase_add_test(tc, double_specials);
    tcase_add_test(tc, special_values);
    tc = harness_case(suite, "segments");
    tcase_add_test(tc, segments);
    kernels_elementwise_cases(suite);
    kernels_rows_cases(suite);
    kernels_gemm_cases(suite);
    kernels_layer_cases(suite);
    kernels_layer_bf16_cases(suite);
    kernels_stack_cases(suite);
    kernels_packed_cases(suite);
    return harness_run(suite);
}

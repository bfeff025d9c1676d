/* SPDX-License-Identifier: MIT */
/* tensor_random.c - random numbers: known answers, distributions, streams. */
#include "tests/harness.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/autograd/ops/views.h>

#include "tensor/cpu/cpu.h"
#include "tests/test_tensor.h"

/* ---- random numbers ---- */

/* Random123's known answers for philox4x32-10: the counter is (block, stream), the key the seed. */
START_TEST(philox)
{
    static const struct {
        uint64_t seed, stream, block;
        uint32_t want[4];
    } known[] = {
        { 0, 0, 0, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { UINT64_MAX, UINT64_MAX, UINT64_MAX, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        /* digits of pi: counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 */
        { 0x299f31d0a4093822,
          0x0370734413198a2e,
          0x85a308d3243f6a88,
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    uint32_t out[4];
    size_t i;

    for (i = 0; i < sizeof known / sizeof *known; i++) {
        ct_philox(known[i].seed, known[i].stream, known[i].block, out);
        ck_assert_msg(memcmp(out, known[i].want, sizeof out) == 0,
                      "vector %zu: %08x %08x %08x %08x", i, out[0], out[1], out[2], out[3]);
    }
}
END_TEST

/* Returns the distance of the k-th moment of n values from `want`, in standard deviations. */
static double moment_error(const double *v, int n, int k, double want, double variance)
{
    double sum = 0;
    int i;

    for (i = 0; i < n; i++)
        sum += pow(v[i], k);
    return (sum / n - want) / sqrt(variance / n);
}

static void check_moment(const char *what, double sigmas)
{
    if (!(fabs(sigmas) <= 4))
        ck_abort_msg("%s is %g standard deviations off", what, sigmas);
}

START_TEST(distributions)
{
    enum { N = 100000 };
    ct_dtype dtype = _i ? CT_F64 : CT_F32;
    ct_generator g = ct_generator_from_seed(33);
    double *v = values_of(ct_rand(CT_SHAPE(N), dtype, CT_CPU, &g));
    double cross = 0, extreme = 0;
    int i, tails = 0;

    for (i = 0; i < N; i++)
        if (!(v[i] >= 0 && v[i] < 1))
            ck_abort_msg("uniform %g", v[i]);
    check_moment("the mean of uniforms", moment_error(v, N, 1, 0.5, 1.0 / 12));
    check_moment("their square", moment_error(v, N, 2, 1.0 / 3, 4.0 / 45));
    check_moment("their cube", moment_error(v, N, 3, 0.25, 9.0 / 112));
    for (i = 1; i < N; i++)
        cross += (v[i] - 0.5) * (v[i - 1] - 0.5);
    check_moment("the correlation of neighbours", cross * 12 / sqrt(N));
    free(v);

    v = values_of(ct_randn(CT_SHAPE(N), dtype, CT_CPU, &g));
    check_moment("the mean of normals", moment_error(v, N, 1, 0, 1));
    check_moment("their square", moment_error(v, N, 2, 1, 2));
    check_moment("their cube", moment_error(v, N, 3, 0, 15));
    check_moment("their fourth power", moment_error(v, N, 4, 3, 96));
    cross = 0;
    for (i = 0; i < N; i++) {
        tails += fabs(v[i]) > 2;
        extreme = fmax(extreme, fabs(v[i]));
        cross += i % 2 ? v[i] * v[i - 1] : 0;
    }
    check_moment("the correlation of pairs", cross / sqrt(N / 2));
    check_moment("the share beyond 2", (tails - N * 0.0455002639) / sqrt(N * 0.0434299899));
    ck_assert(extreme > 3.9 && extreme < 6);
    free(v);
}
END_TEST

/* Computes the numbers from four words: f32 uses one word for each number, f64 two. Two uniforms
 * give two normals. */
static void drawn_by_formula(bool normal, bool f64, double a, double b, const uint32_t w[4],
                             double out[4])
{
    const double two_pi = 6.28318530717958647693;
    double u[4];
    int i;

    for (i = 0; i < 4; i++)
        u[i] = f64 ? (double)(((uint64_t)w[i & 2] << 32 | w[i | 1]) >> 11) * 0x1p-53
                   : (double)(w[i] >> 8) * 0x1p-24;
    if (f64) {
        u[1] = u[2];
        u[0] += normal ? 0x1p-53 : 0;
        out[0] = normal ? a + b * sqrt(-2 * log(u[0])) * cos(two_pi * u[1]) : a + (b - a) * u[0];
        out[1] = normal ? a + b * sqrt(-2 * log(u[0])) * sin(two_pi * u[1]) : a + (b - a) * u[1];
        return;
    }
    for (i = 0; i < 4; i += 2) {
        double r = sqrt(-2 * log(u[i] + 0x1p-24));

        out[i] = normal ? a + b * r * cos(two_pi * u[i + 1]) : a + (b - a) * u[i];
        out[i + 1] = normal ? a + b * r * sin(two_pi * u[i + 1]) : a + (b - a) * u[i + 1];
    }
}

START_TEST(draws_word_for_word)
{
    const bool normal = _i & 1, f64 = _i & 2;
    const int per = f64 ? 2 : 4, counts[] = { 1, 2, 3, 4, 5, 7, 8, 1023, 2049, 4097 };
    size_t k;
    int i;

    for (k = 0; k < sizeof counts / sizeof *counts; k++) {
        ct_generator g = { 0x123456789abcdef0u + k, 0xfedcba9876543210u, 4 * 77 };
        ct_tensor *t = ct_empty(CT_SHAPE(counts[k]), f64 ? CT_F64 : CT_F32, CT_CPU);
        double *v, want[4];
        uint32_t w[4];

        if (normal)
            ck_assert(ct_normal_into(t, 3, 2, &g) == CT_OK);
        else
            ck_assert(ct_uniform_into(t, -3, 2, &g) == CT_OK);
        v = values_of(t);
        for (i = 0; i < counts[k]; i++) {
            if (i % per == 0) {
                ct_philox(g.seed, g.stream, 77 + (uint64_t)(i / per), w);
                drawn_by_formula(normal, f64, normal ? 3 : -3, 2, w, want);
            }
            expect_close("draw", v[i], want[i % per], f64 ? 1e-14 : 1e-6);
        }
        ck_assert_uint_eq(g.position, 4 * (77 + (uint64_t)(counts[k] + per - 1) / (unsigned)per));
        free(v);
    }
    { /* also for a generator that begins within a block */
        ct_generator g = { 1, 2, 5 };
        uint32_t w[4], next[4];

        ct_philox(1, 2, 1, w);
        ct_philox(1, 2, 2, next);
        ck_assert(ct_random_uniform(&g) == (double)(((uint64_t)w[1] << 32 | w[2]) >> 11) * 0x1p-53);
        ck_assert(ct_random_uniform(&g) ==
                  (double)(((uint64_t)w[3] << 32 | next[0]) >> 11) * 0x1p-53);
        ck_assert_uint_eq(ct_random_below(&g, 1000003),
                          ((uint64_t)next[1] << 32 | next[2]) % 1000003);
        g = ct_generator_stream((ct_generator){ 9, 0, 6 }, "foobar"); /* the published hash of
                                                                       * FNV-1a */
        ck_assert(g.seed == 9 && g.stream == 0x85944171f73967e8u && g.position == 0);
    }
}
END_TEST

/* No draw reaches the upper bound, whatever its sign. Between two neighbouring floats all draws are
 * the lower one; in an interval of a few floats, all of them occur. */
START_TEST(draws_stay_below)
{
    static const struct {
        ct_dtype dtype;
        double low, high, below; /* the greatest number of the dtype below high */
    } cases[] = {
        { CT_F64, 1, 1 + 0x1p-52, 1 },
        { CT_F64, -1 - 0x1p-52, -1, -1 - 0x1p-52 },
        { CT_F64, 1, 1 + 0x1p-50, 1 + 0x3p-52 },
        { CT_F64, -1 - 0x1p-50, -1, -1 - 0x1p-52 },
        { CT_F64, -0x1p-1074, 0, -0x1p-1074 },
        { CT_F64, 0, 0x1p-1074, 0 },
        { CT_F32, -1 - 0x1p-23, -1, -1 - 0x1p-23 },
        { CT_F32, -1 - 0x1p-21, -1, -1 - 0x1p-23 },
        { CT_F32, -0x1p-149, 0, -0x1p-149 },
        { CT_F32, 0, 0x1p-149, 0 },
        { CT_F32, 2, 2 + 0x1p-21, 2 + 0x1p-22 },
    };
    ct_generator g = ct_generator_from_seed(37);
    ct_tensor *t;
    size_t k;
    int i;

    for (i = 0; i < 2; i++) { /* an interval with one number gives that number */
        t = ct_empty(CT_SHAPE(5), i ? CT_F64 : CT_F32, CT_CPU);
        ck_assert(ct_uniform_into(t, -3, -3, &g) == CT_OK);
        expect_values("one number", t, (double[]){ -3, -3, -3, -3, -3 }, 5, 0);
    }

    for (k = 0; k < sizeof cases / sizeof *cases; k++) {
        bool reached = false;
        double *v;

        t = ct_empty(CT_SHAPE(500), cases[k].dtype, CT_CPU);
        ck_assert(ct_uniform_into(t, cases[k].low, cases[k].high, &g) == CT_OK);
        v = values_of(t);
        for (i = 0; i < 500; i++) {
            if (!(v[i] >= cases[k].low && v[i] <= cases[k].below))
                ck_abort_msg("case %zu: uniform %a", k, v[i]);
            reached |= v[i] == cases[k].below;
        }
        ck_assert_msg(reached, "case %zu", k);
        free(v);
    }
}
END_TEST

START_TEST(parameters)
{
    static const double ends[][2] = { { -DBL_MAX, DBL_MAX },  { -INFINITY, 0 }, { 0, INFINITY },
                                      { INFINITY, INFINITY }, { NAN, 1 },       { 0, NAN } };
    ct_generator g = ct_generator_from_seed(34), before;
    ct_tensor *t = ct_empty(CT_SHAPE(4000), CT_F32, CT_CPU), *m;
    double *v;
    int i;

    ck_assert(ct_uniform_into(t, 1, 1 + 0x1p-22, &g) == CT_OK); /* rounding must not reach high */
    v = values_of(t);
    for (i = 0; i < 4000; i++)
        if (!(v[i] == 1 || v[i] == 1 + 0x1p-23))
            ck_abort_msg("uniform %.17g", v[i]);
    free(v);
    ck_assert(ct_uniform_into(t, 3, 3, &g) == CT_OK && ct_item(ct_select(t, 0, 5)) == 3);
    ck_assert(ct_normal_into(t, -2, 0, &g) == CT_OK && ct_item(ct_select(t, 0, 5)) == -2);
    before = g;
    ck_assert(ct_uniform_into(t, 1, 0, &g) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_uniform_into", "finite");
    for (i = 0; i < LENGTH(ends); i++) {
        ck_assert_msg(ct_uniform_into(t, ends[i][0], ends[i][1], &g) == CT_ERR_ARGUMENT,
                      "low %g, high %g", ends[i][0], ends[i][1]);
        ct_error_clear();
    }
    ck_assert(ct_normal_into(t, 0, -1, &g) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "std is -1");
    ck_assert(ct_normal_into(t, NAN, 1, &g) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "mean is nan");
    ck_assert(ct_normal_into(t, 0, INFINITY, &g) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "std is inf");
    ck_assert(ct_normal_into(NULL, 0, 1, &g) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "t is NULL");
    ck_assert(ct_normal_into(t, 0, 1, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "g is NULL");
    ck_assert(ct_rand(CT_SHAPE(2), CT_I32, CT_CPU, &g) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_rand", "f32 or f64");
    ck_assert(memcmp(&g, &before, sizeof g) == 0); /* a failed call draws nothing */

    m = ct_zeros(CT_SHAPE(3, 4), CT_F32, CT_CPU); /* a view gets the same numbers as a contiguous
                                                   * tensor of its shape */
    ck_assert(ct_normal_into(ct_transpose(m, 0, 1), 0, 1, &g) == CT_OK);
    v = values_of(ct_randn(CT_SHAPE(4, 3), CT_F32, CT_CPU, &before));
    expect_values("drawn into a view", ct_transpose(m, 0, 1), v, 12, 0);
    ck_assert(memcmp(&g, &before, sizeof g) == 0);
    free(v);
}
END_TEST

/* A draw depends on seed, stream and position alone. */
START_TEST(streams)
{
    ct_generator root = ct_generator_from_seed(35), a = ct_generator_stream(root, "a.weight"), b, c;
    ct_tensor *first, *second;
    double *one, *two;
    uint32_t block[4];
    int i;

    ck_assert(root.seed == 35 && root.stream == 0 && root.position == 0);
    b = ct_generator_stream(root, "b.weight");
    ck_assert(a.stream != b.stream && a.stream != root.stream && a.position == 0);
    ck_assert(ct_generator_stream(a, "x").stream != ct_generator_stream(b, "x").stream);
    c = a;
    one = values_of(ct_rand(CT_SHAPE(1000), CT_F32, CT_CPU, &a));
    ct_rand(CT_SHAPE(77), CT_F64, CT_CPU, &b);
    expect_values("whatever else was drawn", ct_rand(CT_SHAPE(1000), CT_F32, CT_CPU, &c), one, 1000,
                  0);
    free(one);

    ck_assert_uint_eq(a.position, 1000);
    ck_assert_uint_eq(b.position, 156); /* 2 x 77 rounded up to a multiple of 4 */
    a = (ct_generator){ 1, 2, 3 };      /* a draw begins at the next whole block */
    b = (ct_generator){ 1, 2, 4 };
    one = values_of(first = ct_rand(CT_SHAPE(6), CT_F32, CT_CPU, &a));
    two = values_of(second = ct_rand(CT_SHAPE(6), CT_F32, CT_CPU, &b));
    ck_assert(first && second && memcmp(one, two, 6 * sizeof *one) == 0 && a.position == 12);
    free(one);
    free(two);
    a = (ct_generator){ 1, 2, 2 };
    ct_philox(1, 2, 0, block);
    for (i = 2; i < 4; i++)
        ck_assert_uint_eq(ct_random_u32(&a), block[i]);
    ct_philox(1, 2, 1, block);
    ck_assert_uint_eq(ct_random_u32(&a), block[0]);
}
END_TEST

START_TEST(host_draws)
{
    enum { N = 60000, WAYS = 6 };
    ct_generator g = ct_generator_from_seed(36), before;
    int64_t order[500];
    int count[WAYS] = { 0 }, i, places[4] = { 0 };
    bool seen[500] = { false };
    double chi = 0;

    ck_assert_uint_eq(ct_random_below(&g, 0), 0);
    ck_assert_uint_eq(ct_random_below(&g, 1), 0);
    for (i = 0; i < N; i++)
        count[ct_random_below(&g, WAYS)]++;
    for (i = 0; i < WAYS; i++)
        chi += (count[i] - N / WAYS) * (double)(count[i] - N / WAYS) / (N / WAYS);
    ck_assert_msg(chi < 25.7, "chi squared of 5 degrees: %g", chi); /* exceeded once in 10,000
                                                                     * tests */
    for (i = 0; i < N; i++) { /* a plain remainder would draw the lower half twice as often */
        uint64_t r = ct_random_below(&g, (uint64_t)3 << 62);

        if (r >= (uint64_t)3 << 62)
            ck_abort_msg("out of range");
        places[r >> 62]++;
    }
    for (i = 0; i < 3; i++)
        check_moment("a third", (places[i] - N / 3) / sqrt(N * 2.0 / 9));
    for (i = 0; i < 1000; i++) {
        double u = ct_random_uniform(&g);

        if (!(u >= 0 && u < 1))
            ck_abort_msg("uniform %g", u);
    }

    for (i = 0; i < 500; i++)
        order[i] = i;
    ct_shuffle(order, 500, &g);
    for (i = 0; i < 500; i++) {
        if (order[i] < 0 || order[i] >= 500 || seen[order[i]])
            ck_abort_msg("no permutation");
        seen[order[i]] = true;
    }
    memset(count, 0, sizeof count);
    for (i = 0; i < N; i++) { /* all 6 orders of 3 numbers are equally likely */
        int64_t three[3] = { 0, 1, 2 };

        ct_shuffle(three, 3, &g);
        count[three[0] * 2 + (three[1] > three[2])]++;
    }
    chi = 0;
    for (i = 0; i < WAYS; i++)
        chi += (count[i] - N / WAYS) * (double)(count[i] - N / WAYS) / (N / WAYS);
    ck_assert_msg(chi < 25.7, "chi squared of shuffles: %g", chi);
    before = g;
    ct_shuffle(order, 0, &g);
    ct_shuffle(order, 1, &g);
    ck_assert(memcmp(&g, &before, sizeof g) == 0);
    ct_shuffle(order, 500, &g);
    ck_assert_uint_eq(g.position, before.position + 2 * 499); /* two words for each number but the
                                                               * first */
}
END_TEST

/* A number that would make a remainder more likely is drawn again. */
START_TEST(drawn_again)
{
    int seed, again = 0;

    for (seed = 0; seed < 20; seed++) {
        ct_generator g = ct_generator_from_seed((uint64_t)seed);
        uint32_t w[4];
        uint64_t first, second;

        ct_philox(g.seed, 0, 0, w);
        first = (uint64_t)w[0] << 32 | w[1];
        second = (uint64_t)w[2] << 32 | w[3];
        if (first < (uint64_t)1 << 63 || second >= first)
            continue;
        ck_assert_uint_eq(ct_random_below(&g, first), second);
        ck_assert_uint_eq(g.position, 4);
        g = ct_generator_from_seed((uint64_t)seed);
        ck_assert_uint_eq(ct_random_below(&g, first + 1), first);
        again++;
    }
    ck_assert_int_gt(again, 2);
}
END_TEST

void tensor_random_cases(Suite *suite)
{
    TCase *tc = scoped_case(suite, "random");

    tcase_add_test(tc, philox);
    tcase_add_loop_test(tc, distributions, 0, 2);
    tcase_add_test(tc, parameters);
    tcase_add_loop_test(tc, draws_word_for_word, 0, 4);
    tcase_add_test(tc, draws_stay_below);
    tcase_add_test(tc, streams);
    tcase_add_test(tc, host_draws);
    tcase_add_test(tc, drawn_again);
}

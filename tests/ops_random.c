/* SPDX-License-Identifier: MIT */
/* ops_random.c - random integers, Bernoulli and multinomial draws: distribution, positions, errors. */
#include "tests/test_ops.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include <cotangent.h>

/* Fails unless the counts agree with the shares: chi-square must be at most five standard
 * deviations above its mean. A share of 0 must have no draws. */
static void expect_shares(const char *what, const double *count, const double *share, int cells)
{
    double n = 0, chi = 0;
    int free_cells = -1, i;

    for (i = 0; i < cells; i++)
        n += count[i];
    for (i = 0; i < cells; i++) {
        double want = n * share[i];

        if (share[i] == 0) {
            ck_assert_msg(count[i] == 0, "%s: %g draws of cell %d, whose share is 0", what,
                          count[i], i);
            continue;
        }
        chi += (count[i] - want) * (count[i] - want) / want;
        free_cells++;
    }
    ck_assert_msg(chi <= free_cells + 5 * sqrt(2.0 * free_cells), "%s: chi-square %g of %d cells",
                  what, chi, free_cells);
}

/* ---- integers ---- */

START_TEST(integers_are_uniform)
{
    const int n = 100000;
    const double tenth[] = { 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1 };
    const double third[] = { 1 / 3., 1 / 3., 1 / 3. };
    ct_generator g = ct_generator_from_seed(21);
    ct_scope s = ct_scope_begin();
    double count[10] = { 0 }, part[3] = { 0 };
    double *v = values_of(ct_randint(-3, 7, CT_SHAPE(n), CT_I32, DEVICE, &g));
    int64_t *big = malloc((size_t)n * sizeof *big);
    int i;

    for (i = 0; i < n; i++) {
        ck_assert(v[i] >= -3 && v[i] < 7);
        count[(int)v[i] + 3]++;
    }
    expect_shares("-3..6", count, tenth, 10);
    /* a quarter of the 2^64 words must be drawn again; otherwise the first third of the range would
     * come in half of the draws */
    ck_assert(ct_to_host(ct_randint(INT64_MIN, INT64_MAX / 2 + 1, CT_SHAPE(n), CT_I64, DEVICE, &g),
                         big, (size_t)n * sizeof *big) == CT_OK);
    for (i = 0; i < n; i++) {
        ck_assert(big[i] <= INT64_MAX / 2);
        part[((uint64_t)big[i] + (1ull << 63)) >> 62]++;
    }
    expect_shares("three quarters of all", part, third, 3);
    free(v);
    free(big);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(integers_depend_on_their_position)
{
    ct_generator g = ct_generator_from_seed(22), few = g, threads = g;
    const int64_t n = 20001;
    ct_scope s = ct_scope_begin();
    ct_tensor *all = ct_randint(INT64_MIN, INT64_MAX / 2, CT_SHAPE(n), CT_I64, DEVICE, &g);
    ct_tensor *first = ct_randint(INT64_MIN, INT64_MAX / 2, CT_SHAPE(5), CT_I64, DEVICE, &few);
    int before = ct_num_threads();

    ck_assert_uint_eq(g.position, (2 * (uint64_t)n + 3) / 4 * 4);
    ck_assert_uint_eq(few.position, 12);
    ck_assert(ct_equal(first, ct_narrow(all, 0, 0, 5)));
    ct_set_num_threads(before == 1 ? 3 : 1);
    ck_assert(
        ct_equal(all, ct_randint(INT64_MIN, INT64_MAX / 2, CT_SHAPE(n), CT_I64, DEVICE, &threads)));
    ct_set_num_threads(before);
    EXPECT(ct_randint(INT32_MAX, INT32_MAX + 1ll, CT_SHAPE(2), CT_I32, DEVICE, &g), INT32_MAX,
           INT32_MAX);
    EXPECT(ct_randint(INT32_MIN, INT32_MIN + 1ll, CT_SHAPE(1), CT_I32, DEVICE, &g), INT32_MIN);
    ck_assert_int_eq(ct_numel(ct_randint(0, 9, CT_SHAPE(0, 2), CT_I64, DEVICE, &g)), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(integers_refuse)
{
    ct_generator g = ct_generator_from_seed(23);
    ct_scope s = ct_scope_begin();

    REFUSED(CT_ERR_ARGUMENT, "ct_randint", "low is 3 and high is 3",
            ct_randint(3, 3, CT_SHAPE(2), CT_I64, DEVICE, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_randint", "high is 2147483649",
            ct_randint(0, INT32_MAX + 2ll, CT_SHAPE(2), CT_I32, DEVICE, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_randint", "low is -2147483649",
            ct_randint(INT32_MIN - 1ll, 0, CT_SHAPE(2), CT_I32, DEVICE, &g));
    REFUSED(CT_ERR_DTYPE, "ct_randint", "f32[2]",
            ct_randint(0, 2, CT_SHAPE(2), CT_F32, DEVICE, &g));
    REFUSED(CT_ERR_SHAPE, "ct_randint", "-1", ct_randint(0, 2, CT_SHAPE(-1), CT_I64, DEVICE, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_randint", "g is NULL",
            ct_randint(0, 2, CT_SHAPE(2), CT_I64, DEVICE, NULL));
    ck_assert_uint_eq(g.position, 0); /* nothing was drawn */
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- like another tensor ---- */

START_TEST(draws_like_a_tensor)
{
    ct_generator g = ct_generator_from_seed(24), again = g;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(CT_SHAPE(3, 5), CT_F32, DEVICE), *k = ct_cast(x, CT_I64);

    ck_assert(ct_equal(ct_rand_like(x, &g), ct_rand(CT_SHAPE(3, 5), CT_F32, DEVICE, &again)));
    ck_assert(ct_equal(ct_randn_like(x, &g), ct_randn(CT_SHAPE(3, 5), CT_F32, DEVICE, &again)));
    ck_assert_uint_eq(g.position, again.position);
    REFUSED(CT_ERR_DTYPE, "ct_rand_like", "x i64[3,5]", ct_rand_like(k, &g));
    REFUSED(CT_ERR_DTYPE, "ct_randn_like", "x i64[3,5]", ct_randn_like(k, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_rand_like", "g is NULL", ct_rand_like(x, NULL));
    REFUSED(CT_ERR_ARGUMENT, "ct_randn_like", "g is NULL", ct_randn_like(x, NULL));
    EXPECT_NO_VALUE(ct_rand_like(NULL, &g));
    EXPECT_NO_VALUE(ct_randn_like(NULL, &g));
    ck_assert_uint_eq(g.position, again.position);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(bernoulli_follows_p)
{
    const int n = 60000;
    ct_generator g = ct_generator_from_seed(25), again = g;
    ct_scope s = ct_scope_begin();
    ct_tensor *p = ct_expand(ct_cast(F64(0, 0.3, 1, 1e-9), CT_F32), CT_SHAPE(n, 4));
    ct_tensor *y = ct_bernoulli(p, &g), *sums = ct_sum_axis(y, 0, false);
    double *v = values_of(sums);

    ck_assert(ct_tensor_dtype(y) == CT_F32);
    ck_assert(ct_equal(y, ct_cast(ct_bernoulli(ct_cast(p, CT_F64), &again), CT_F32)));
    ck_assert_uint_eq(g.position, (uint64_t)n * 8);
    ck_assert(v[0] == 0 && v[2] == n && v[3] <= 1);
    expect_close("0.3", v[1], 0.3 * n, 5 * sqrt(0.21 * n));
    EXPECT(ct_sum(ct_logical_or(ct_eq_scalar(y, 0), ct_eq_scalar(y, 1))), 4.0 * n);
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(bernoulli_refuses)
{
    ct_generator g = ct_generator_from_seed(26);
    ct_scope s = ct_scope_begin();

    REFUSED(CT_ERR_NUMERIC, "ct_bernoulli", "f64[2]", ct_bernoulli(F64(0.5, 1.5), &g));
    REFUSED(CT_ERR_NUMERIC, "ct_bernoulli", "f64[2]", ct_bernoulli(F64(-0.1, 0.5), &g));
    REFUSED(CT_ERR_NUMERIC, "ct_bernoulli", "f64[1]", ct_bernoulli(F64((double)NAN), &g));
    REFUSED(CT_ERR_DTYPE, "ct_bernoulli", "p i64[1]", ct_bernoulli(I64(1), &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_bernoulli", "g is NULL", ct_bernoulli(F64(1), NULL));
    EXPECT_NO_VALUE(ct_bernoulli(NULL, &g));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- multinomial ---- */

enum { WIDE = 3000 };

/* Weights for several chains of running sums. Every seventh is 0, also the first and the last of a
 * chain. */
static ct_tensor *wide_weights(double *share)
{
    double w[WIDE], sum = 0;
    int i;

    for (i = 0; i < WIDE; i++) {
        w[i] = i % 7 == 0 || i % 1024 == 0 || i % 1024 == 1023 || i == WIDE - 1 ? 0 : 1 + i % 5;
        sum += w[i];
    }
    for (i = 0; i < WIDE; i++)
        share[i] = w[i] / sum;
    return ct_from_data(w, CT_SHAPE(WIDE), CT_F64, DEVICE);
}

START_TEST(multinomial_of_wide_rows)
{
    const int64_t n = 120000;
    static double share[WIDE], count[WIDE];
    ct_generator g = ct_generator_from_seed(27), again = g;
    ct_scope s = ct_scope_begin();
    ct_tensor *w = wide_weights(share), *y = ct_multinomial(w, n, true, &g);
    double *v = values_of(y);
    int before = ct_num_threads();
    int64_t i;

    for (i = 0; i < n; i++)
        count[(int)v[i]]++;
    expect_shares("3,000 weights", count, share, WIDE);
    ct_set_num_threads(before == 1 ? 3 : 1);
    ck_assert(ct_equal(y, ct_multinomial(w, n, true, &again)));
    ct_set_num_threads(before);
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Draws two of four, in order: i with probability w_i / W, then j with w_j / (W - w_i). */
START_TEST(multinomial_without_replacement_follows_the_weights)
{
    const int64_t rows = 4000;
    const double w[] = { 1, 4, 2, 3 };
    ct_generator g = ct_generator_from_seed(28);
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_expand(F64(1, 4, 2, 3), CT_SHAPE(rows, 4));
    double *v = values_of(ct_multinomial(t, 2, false, &g));
    double count[16] = { 0 }, share[16] = { 0 };
    int64_t i, j;

    ck_assert_uint_eq(g.position, (uint64_t)rows * 8);
    for (i = 0; i < rows; i++)
        count[(int)v[2 * i] * 4 + (int)v[2 * i + 1]]++;
    for (i = 0; i < 4; i++)
        for (j = 0; j < 4; j++)
            share[i * 4 + j] = i == j ? 0 : w[i] / 10 * w[j] / (10 - w[i]);
    expect_shares("pairs", count, share, 16);
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(multinomial_without_replacement_of_wide_rows)
{
    static double share[WIDE], seen[WIDE];
    ct_generator g = ct_generator_from_seed(29), again = g;
    ct_scope s = ct_scope_begin();
    ct_tensor *w = wide_weights(share), *y;
    int before = ct_num_threads(), positive = 0, i;
    double *v;

    for (i = 0; i < WIDE; i++)
        positive += share[i] > 0;
    y = ct_multinomial(w, positive, false, &g);
    v = values_of(y);
    for (i = 0; i < positive; i++) {
        ck_assert(share[(int)v[i]] > 0 && !seen[(int)v[i]]);
        seen[(int)v[i]] = 1;
    }
    ct_set_num_threads(before == 1 ? 3 : 1);
    ck_assert(ct_equal(y, ct_multinomial(w, positive, false, &again)));
    ct_set_num_threads(before);
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[3000]",
            ct_multinomial(w, positive + 1, false, &g));
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(multinomial_of_extreme_weights)
{
    const double inf = (double)INFINITY, least = 0x1p-1074;
    ct_generator g = ct_generator_from_seed(30);
    ct_scope s = ct_scope_begin();
    ct_tensor *tiny = F64(0, least, 0, 3 * least, 0), *y;
    double *v;
    int i;

    EXPECT(ct_multinomial(F64(0, 0, least, 0), 5, true, &g), 2, 2, 2, 2, 2);
    EXPECT(ct_multinomial(F64(1e308, 0), 1, false, &g), 0);
    y = ct_multinomial(tiny, 50, true, &g);
    v = values_of(y);
    for (i = 0; i < 50; i++)
        ck_assert(v[i] == 1 || v[i] == 3);
    free(v);
    EXPECT(ct_sum(ct_multinomial(tiny, 2, false, &g)), 4);
    /* a weight that does not change the running sum can be drawn only without replacement */
    EXPECT(ct_multinomial(F64(1, 1e-300), 2, false, &g), 0, 1);
    EXPECT(ct_sum(ct_multinomial(F64(1e308, 1.5e308), 2, false, &g)), 1);
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[2]",
            ct_multinomial(F64(1e308, 1.5e308), 1, true, &g)); /* the sum overflows */
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[2]", ct_multinomial(F64(1, inf), 1, true, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[2]", ct_multinomial(F64(1, inf), 1, false, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[2]",
            ct_multinomial(F64((double)NAN, 1), 1, false, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[2]", ct_multinomial(F64(1, -1), 1, false, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_multinomial", "k is 3; without replacement ... at most 2",
            ct_multinomial(F64(1, 1), 3, false, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[1,0]",
            ct_multinomial(ct_zeros(CT_SHAPE(1, 0), CT_F64, DEVICE), 1, true, &g));
    ck_assert_int_eq(
        ct_numel(ct_multinomial(ct_zeros(CT_SHAPE(0, 3), CT_F64, DEVICE), 2, false, &g)), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void ops_random_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "draws");

    tcase_add_test(tc, integers_are_uniform);
    tcase_add_test(tc, integers_depend_on_their_position);
    tcase_add_test(tc, integers_refuse);
    tcase_add_test(tc, draws_like_a_tensor);
    tcase_add_test(tc, bernoulli_follows_p);
    tcase_add_test(tc, bernoulli_refuses);
    tcase_add_test(tc, multinomial_of_wide_rows);
    tcase_add_test(tc, multinomial_without_replacement_follows_the_weights);
    tcase_add_test(tc, multinomial_without_replacement_of_wide_rows);
    tcase_add_test(tc, multinomial_of_extreme_weights);
}

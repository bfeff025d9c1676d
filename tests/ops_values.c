/* SPDX-License-Identifier: MIT */
/* ops_values.c - values of ops that derivatives do not test, random ops, and losses at the limits
 * of their domains. */
#include "tests/cases.h"
#include "tests/harness.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

#include <cotangent.h>

#include "tests/test_ops.h"

/* ---- values that derivatives do not test ---- */

static ct_tensor *leaf(ct_tensor *t)
{
    return ct_set_requires_grad(t, true);
}

/* Returns the gradient of <y, dy> with respect to x. */
static ct_tensor *gradient(ct_tensor *y, ct_tensor *x, ct_tensor *dy)
{
    ct_tensor *g = NULL;

    ck_assert_msg(ct_grad(1, &y, 1, &x, dy ? &dy : NULL, false, &g) == CT_OK, "%s",
                  ct_error_message());
    return g;
}

START_TEST(extremes_give_values_and_indices)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(ct_reshape(F64(3, 7, 7, 5, 5, -1), CT_SHAPE(2, 3))), *k, *y;
    const ct_shape kept = CT_SHAPE(2, 1);
    const int both[] = { 0, 1 };

    EXPECT(ct_max_axis(x, 1, false, &k), 7, 5);
    EXPECT(k, 1, 0); /* the position of the first of equal elements */
    ck_assert_int_eq(ct_tensor_dtype(k), CT_I64);
    y = ct_max_axis(x, -1, true, &k);
    ck_assert(cti_same_shape(&y->shape, &kept) && cti_same_shape(&k->shape, &kept));
    EXPECT(gradient(y, x, ct_ones_like(y)), 0, 1, 0, 1, 0, 0);
    EXPECT(ct_min_axis(x, 0, false, &k), 3, 5, -1);
    EXPECT(k, 0, 1, 1);
    /* functions without positions share the gradient among equal elements */
    EXPECT(gradient(ct_max(x), x, NULL), 0, 0.5, 0.5, 0, 0, 0);
    y = ct_amax_axes(x, 1, both + 1, false);
    EXPECT(y, 7, 5);
    EXPECT(gradient(y, x, F64(2, 6)), 0, 1, 1, 3, 3, 0);
    EXPECT(ct_amin_axes(x, 2, both, true), -1);
    EXPECT(ct_max(F64(1, NAN, 2)), NAN);
    EXPECT(ct_max_axis(F64(1, NAN, NAN), 0, false, &k), NAN);
    EXPECT(k, 1);
    EXPECT(ct_max(I64(-3, 4, 2)), 4);
    EXPECT(ct_min_axis(I64(-3, 4, -5), 0, false, NULL), -5);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(products_have_derivatives_at_zero)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(F64(2, 0, 3)), *z = leaf(F64(0, 5, 0)), *y, *g, *h;
    ct_tensor *one = leaf(F64(4)), *five = leaf(F64(1, 2, 0, 4, 5));

    EXPECT(gradient(ct_prod(x), x, NULL), 0, 6, 0);
    EXPECT(gradient(ct_prod(z), z, NULL), 0, 0, 0);
    EXPECT(gradient(ct_prod(one), one, NULL), 1);
    EXPECT(gradient(ct_prod(five), five, NULL), 0, 0, 40, 0, 0);
    y = ct_prod(z); /* d2 y / dz0 dz2 = z1 */
    ck_assert(ct_grad(1, &y, 1, &z, NULL, true, &g) == CT_OK);
    h = gradient(g, z, F64(1, 0, 0));
    EXPECT(h, 0, 0, 5);
    EXPECT(ct_prod(ct_zeros(CT_SHAPE(0), CT_F32, DEVICE)), 1);
    EXPECT(ct_prod(I64(3, -4)), -12);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* d/da a^b = b a^(b-1), which is 0 where b = 0; d/db a^b = a^b log a, which is 0 where a = 0 and b
 * >= 0. */
START_TEST(powers_have_derivatives_at_zero)
{
    static const double a[] = { 0, 0, 0, 0, 2, 1 }, b[] = { 0, 1, 2, 0.5, 0, 0 };
    static const double da[] = { 0, 1, 0, INFINITY, 0, 0 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_from_data(a, CT_SHAPE(6), CT_F64, DEVICE), true);
    ct_tensor *y = ct_set_requires_grad(ct_from_data(b, CT_SHAPE(6), CT_F64, DEVICE), true);

    ck_assert(ct_backward(ct_sum(ct_pow(x, y))) == CT_OK);
    expect_values("da", ct_tensor_grad(x), da, 6, 1e-15);
    expect_values("db", ct_tensor_grad(y), (double[]){ 0, 0, 0, 0, 0.69314718055994531, 0 }, 6,
                  1e-15);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Checks da, and the mixed second derivative in both orders. */
static void check_pow(double a, double b, double da, double mixed, ct_dtype dtype)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(ct_cast(F64(a), dtype)), *y = leaf(ct_cast(F64(b), dtype)), *p, *g;

    p = ct_sum(ct_pow(x, y));
    ck_assert(ct_grad(1, &p, 1, &x, NULL, true, &g) == CT_OK);
    expect_close("da", ct_item(g), da, 0);
    g = ct_sum(g);
    expect_close("da, then db", ct_item(gradient(g, y, NULL)), mixed, 0);
    ck_assert(ct_grad(1, &p, 1, &y, NULL, true, &g) == CT_OK);
    g = ct_sum(g);
    expect_close("db, then da", ct_item(gradient(g, x, NULL)), mixed, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(powers_are_flat_at_exponent_zero)
{
    int d;

    for (d = 0; d < 2; d++) {
        ct_dtype dtype = d ? CT_F64 : CT_F32;
        ct_scope s = ct_scope_begin();
        ct_tensor *x = leaf(ct_cast(F64(-2, -0.0, 0, 1e-40, 1, 3, INFINITY), dtype)), *y, *g;

        check_pow(-2, 0, 0, -0.5, dtype);
        check_pow(4, 0, 0, 0.25, dtype);
        check_pow(INFINITY, 0, 0, 0, dtype);
        check_pow(d ? 0x1p-1070 : 0x1p-140, 0, 0, INFINITY, dtype);
        check_pow(NAN, 0, 0, NAN, dtype);
        check_pow(0, 0, 0, INFINITY, dtype);
        check_pow(0, 2, 0, 0, dtype);
        check_pow(1, 3, 3, 1, dtype);
        y = ct_sum(ct_rpow_scalar(x, 0));
        ck_assert(ct_grad(1, &y, 1, &x, NULL, true, &g) == CT_OK);
        EXPECT(g, -INFINITY, 0, 0, 0, 0, 0, 0);
        EXPECT(gradient(ct_sum(g), x, NULL), INFINITY, 0, 0, 0, 0, 0, 0);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
}
END_TEST

/* The gradient goes to the NaN, because it was chosen. */
START_TEST(extremes_follow_a_nan)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = leaf(F64(NAN, 1, 1, 2)), *b = leaf(F64(1, NAN, 1, 3));

    EXPECT(gradient(ct_sum(ct_maximum(a, b)), a, NULL), 1, 0, 0.5, 0);
    EXPECT(gradient(ct_sum(ct_maximum(a, b)), b, NULL), 0, 1, 0.5, 1);
    EXPECT(gradient(ct_sum(ct_minimum(a, b)), a, NULL), 1, 0, 0.5, 1);
    EXPECT(gradient(ct_sum(ct_minimum(a, b)), b, NULL), 0, 1, 0.5, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(roots_are_flat_where_they_are_zero)
{
    static const double norms[] = { 1, 2, 1.5, 3, 0.5, 0, -1 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(ct_zeros(CT_SHAPE(3), CT_F64, DEVICE)), *same = leaf(F64(2, 2, 2));
    ct_tensor *some = leaf(F64(0, -4, 0, 9));
    int k;

    for (k = 0; k < 7; k++) {
        EXPECT(ct_norm(x, norms[k]), 0);
        EXPECT(gradient(ct_norm(x, norms[k]), x, NULL), 0, 0, 0);
    }
    EXPECT(ct_norm(some, 0), 2);
    EXPECT(gradient(ct_norm(some, 0), some, NULL), 0, 0, 0, 0);
    EXPECT(ct_norm(some, 0.5), 25);
    EXPECT(gradient(ct_norm(some, 0.5), some, NULL), 0, -2.5, 0, 5.0 / 3);
    EXPECT(ct_norm(some, -1), 0);
    EXPECT(gradient(ct_norm(some, -1), some, NULL), 0, 0, 0, 0);
    EXPECT(ct_norm(F64(3, -1, 2), -INFINITY), 1);
    EXPECT(ct_norm(F64((double)NAN, 1, 0), 0), 2); /* a NaN counts as not 0 */
    EXPECT(ct_std(same), 0);
    EXPECT(gradient(ct_std(same), same, NULL), 0, 0, 0);
    EXPECT(ct_var(F64(1)), NAN); /* 0 / 0, as in PyTorch */
    EXPECT(ct_var_axes(F64(1, 3), 1, (int[]){ 0 }, 5, false), INFINITY);
    EXPECT(ct_norm(F64(3, -4, 0), INFINITY), 4);
    EXPECT(ct_norm(ct_zeros(CT_SHAPE(0), CT_F64, DEVICE), 2), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A mean divides by n. Multiplying by 1 / n, which is rounded, would not give 1 for some n. */
START_TEST(means_of_ones_are_one)
{
    /* with a product, 41 would be wrong in f32 and 49 in f64 */
    const int step = harness_rounds(8, 1), most = harness_rounds(100, 2000);
    int n, d;

    for (n = 1; n <= most; n += step)
        for (d = 0; d < 2; d++) {
            ct_scope s = ct_scope_begin();
            ct_tensor *x = leaf(ct_ones(CT_SHAPE(n), d ? CT_F64 : CT_F32, DEVICE)), *g;
            double mean = ct_item(ct_mean(x)), share;

            ck_assert_msg(mean == 1, "the mean of %d ones is %.17g", n, mean);
            g = gradient(ct_mean(x), x, NULL);
            share = ct_item(ct_select(g, 0, n - 1));
            ck_assert_msg(share == (d ? 1.0 / n : (double)(1.0f / (float)n)), "1 / %d is %.17g", n,
                          share);
            ck_assert(ct_item(ct_mse_loss(x, ct_zeros_like(x), CT_REDUCTION_MEAN)) == 1);
            ck_assert(ct_item(ct_select(ct_div_scalar(ct_mul_scalar(x, n), n), 0, 0)) == 1);
            if (n > 1)
                ck_assert(ct_item(ct_var(x)) == 0);
            ck_assert(ct_scope_end(s) == CT_OK);
        }
}
END_TEST

START_TEST(logsumexp_does_not_overflow)
{
    const int axis = 0;
    ct_scope s = ct_scope_begin();
    ct_tensor *none = leaf(F64(-INFINITY, -INFINITY)),
              *y = ct_logsumexp_axes(none, 1, &axis, false);
    ct_tensor *some = leaf(F64(0, -INFINITY));

    EXPECT(y, -INFINITY);
    EXPECT(gradient(y, none, NULL), 0, 0);
    EXPECT(gradient(ct_logsumexp_axes(some, 1, &axis, false), some, NULL), 1, 0);
    expect_close("large", ct_item(ct_logsumexp_axes(F64(1000, 1000), 1, &axis, false)),
                 1000 + log(2), 1e-12);
    expect_close("small", ct_item(ct_logsumexp_axes(F64(-1000, -1000), 1, &axis, false)),
                 -1000 + log(2), 1e-12);
    EXPECT(ct_logsumexp_axes(F64(1, INFINITY), 1, &axis, false), INFINITY);
    EXPECT(ct_logsumexp_axes(F64(1, NAN), 1, &axis, false), NAN);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

#define NEAR(t, ...)                                                                               \
    expect_values(#t, t, (double[]){ __VA_ARGS__ },                                                \
                  sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), 1e-12)

/* y[i] = log(exp(x[0]) + ... + exp(x[i])), for x whose exp is 0 or infinite, for prefixes of -inf,
 * and for elements that are much smaller than the greatest. */
START_TEST(logcumsumexp_does_not_overflow)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(F64(-1000, 1000, 1000, -1000, 2000)), *y = ct_logcumsumexp(x, 0);
    ct_tensor *none = leaf(F64(-INFINITY, -INFINITY, 3, -INFINITY, 3)), *z, *g, *h;

    NEAR(y, -1000, 1000, 1000 + log(2), 1000 + log(2), 2000);
    NEAR(gradient(y, x, F64(1, 8, 4, -6, 2)), 1, 7, -1, 0, 2);
    z = ct_logcumsumexp(none, 0);
    NEAR(z, -INFINITY, -INFINITY, 3, 3, 3 + log(2));
    NEAR(gradient(z, none, F64(1, 1, 1, 1, 4)), 0, 0, 4, 0, 2);
    NEAR(ct_logcumsumexp(F64(1, INFINITY, 2, INFINITY), 0), 1, INFINITY, INFINITY, INFINITY);
    NEAR(ct_logcumsumexp(F64(1, (double)NAN, 2), 0), 1, NAN, NAN);
    NEAR(ct_logcumsumexp(F64(0, -50), 0), 0, exp(-50));
    NEAR(ct_logcumsumexp(F64(-50, 0), 0), -50, exp(-50));
    y = ct_logcumsumexp(x, 0); /* d2 y[2] / dx[1] dx[2] is -1/4; none of its terms may overflow */
    ck_assert(ct_grad(1, &y, 1, &x, &(ct_tensor *){ F64(0, 0, 1, 0, 0) }, true, &g) == CT_OK);
    h = gradient(g, x, F64(0, 1, 0, 0, 0));
    NEAR(h, 0, 0.25, -0.25, 0, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* The loss y[1]^2 / 2 at y[1] = 0 has a gradient of 0, but a second derivative that is not 0. */
START_TEST(logcumsumexp_of_a_gradient_of_zero)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(F64(-log(2), -log(2), 1)), *y, *g;

    y = ct_mul_scalar(ct_square(ct_select(ct_logcumsumexp(x, 0), 0, 1)), 0.5);
    ck_assert(ct_grad(1, &y, 1, &x, NULL, true, &g) == CT_OK);
    NEAR(g, 0, 0, 0);
    NEAR(gradient(g, x, F64(1, 0, 0)), 0.25, 0.25, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(any_and_all)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *b = ct_reshape(ct_cast(I64(0, 1, 1, 0, 0, 0), CT_BOOL), CT_SHAPE(3, 2));
    ct_tensor *none = ct_zeros(CT_SHAPE(2, 0), CT_BOOL, DEVICE);
    const int axes[] = { 1, 0 };

    EXPECT(ct_any(b), 1);
    EXPECT(ct_all(b), 0);
    EXPECT(ct_any_axes(b, 1, axes, false), 1, 1, 0);
    EXPECT(ct_all_axes(ct_slice(b, 0, 0, 2, 1), 1, axes + 1, false), 0, 0);
    EXPECT(ct_all_axes(b, 2, axes, true), 0);
    EXPECT(ct_any_axes(none, 1, axes, false), 0, 0);
    EXPECT(ct_all_axes(none, 1, axes, false), 1, 1);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(sorting_is_stable)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = F64(2, NAN, 1, 2, -0.0, 0, NAN, 1), *k;

    EXPECT(ct_sort(x, 0, false, &k), 0, 0, 1, 1, 2, 2, NAN, NAN);
    EXPECT(k, 4, 5, 2, 7, 0, 3, 1, 6);
    EXPECT(ct_argsort(x, 0, true), 1, 6, 0, 3, 2, 7, 4, 5);
    EXPECT(ct_topk(x, 3, 0, true, &k), NAN, NAN, 2);
    EXPECT(k, 1, 6, 0);
    EXPECT(ct_topk(x, 3, 0, false, &k), 0, 0, 1);
    EXPECT(k, 4, 5, 2);
    ck_assert_int_eq(ct_numel(ct_topk(x, 0, 0, false, &k)), 0);
    EXPECT(ct_sort(ct_cast(I64(3, -1, 3, 2), CT_I32), -1, true, &k), 3, 3, 2, -1);
    EXPECT(k, 0, 2, 3, 1);
    EXPECT(ct_sort(I64(INT64_C(1) << 40, -(INT64_C(1) << 40)), 0, false, NULL), -0x1p40, 0x1p40);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(long_rows_are_sorted)
{
    ct_generator g = ct_generator_from_seed(_i);
    ct_scope s = ct_scope_begin();
    int64_t n = 1 + (int64_t)ct_random_below(&g, 1000), i, last = -1;
    ct_tensor *x = ct_floor(ct_mul_scalar(ct_rand(CT_SHAPE(n), CT_F32, DEVICE, &g), 50)), *k;
    double *v = values_of(ct_sort(x, 0, _i % 2, &k)), *at = values_of(k), *was = values_of(x);
    int64_t most = (int64_t)ct_random_below(&g, (uint64_t)(n < 64 ? n : 64) + 1);
    char *seen = calloc((size_t)n, 1);

    for (i = 0; i < n; i++) {
        bool tie = i > 0 && v[i] == v[i - 1];

        ck_assert(i == 0 || tie || (v[i] < v[i - 1]) == (_i % 2));
        ck_assert(!tie || at[i] > (double)last);
        last = (int64_t)at[i];
        ck_assert(!seen[last]++);
        ck_assert(was[last] == v[i]);
    }
    ck_assert_ptr_nonnull(ct_topk(x, most, 0, _i % 2, &k)); /* a small k uses another algorithm */
    expect_values("topk", k, at, (size_t)most, 0);
    free(v);
    free(at);
    free(was);
    free(seen);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* |x| computed as sqrt(x^2), whose derivative at 0 is 0 / 0, NaN */
static ct_tensor *bad_abs(int count, ct_tensor *const *in, void *context)
{
    (void)count;
    (void)context;
    return ct_sqrt(ct_square(in[0]));
}

START_TEST(gradcheck_sees_a_nan_among_right_derivatives)
{
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s = ct_scope_begin();
    ct_tensor *good = leaf(F64(1, -2)), *bad = leaf(F64(0, 1, -2));

    ck_assert(ct_gradcheck(bad_abs, 1, &good, NULL, &g, 0, 0));
    ck_assert(!ct_gradcheck(bad_abs, 1, &bad, NULL, &g, 0, 0));
    ck_assert_int_eq(ct_error(), CT_ERR_NUMERIC);
    ct_error_clear();
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- random ops ---- */

START_TEST(dropout_drops_and_scales)
{
    const int64_t n = 40001;
    const double p = 0.3;
    ct_generator g = ct_generator_from_seed(7), again = g, later;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(ct_ones(CT_SHAPE(n), CT_F64, DEVICE)), *y = ct_dropout(x, p, &g);
    double *v = values_of(y), *w, *d;
    int64_t dropped = 0, i;

    later = g;
    ck_assert_int_eq(g.position, (uint64_t)(n + 3) / 4 * 4);
    for (i = 0; i < n; i++) {
        ck_assert(v[i] == 0 || v[i] == 1 / (1 - p));
        dropped += v[i] == 0;
    }
    /* within 5 standard deviations */
    expect_close("share", (double)dropped, p * (double)n, 5 * sqrt((double)n * p * (1 - p)));
    ck_assert(ct_set_num_threads(3) == CT_OK);
    w = values_of(ct_dropout(x, p, &again));
    ck_assert(ct_set_num_threads(1) == CT_OK);
    ck_assert_mem_eq(v, w, (size_t)n * sizeof *v); /* the same elements are dropped */
    d = values_of(gradient(y, x, ct_ones_like(x)));
    ck_assert_mem_eq(v, d, (size_t)n * sizeof *v);
    free(w);
    w = values_of(ct_dropout(x, p, &later));
    ck_assert_mem_ne(v, w, (size_t)n * sizeof *v);
    free(v);
    free(w);
    free(d);
    EXPECT(ct_dropout(F64(1, 2, 3), 0, &g), 1, 2, 3);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(dropout_of_f32_takes_the_same_places)
{
    ct_generator g = ct_generator_from_seed(3), again = g;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_full(CT_SHAPE(5, 7), 3, CT_F32, DEVICE);
    double *v = values_of(ct_dropout(x, 0.5, &g));
    double *w = values_of(ct_dropout(ct_cast(x, CT_F64), 0.5, &again));

    ck_assert_mem_eq(v, w, 35 * sizeof *v);
    free(v);
    free(w);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Random ops use whole blocks of four words: one word for each element that may be dropped, two for
 * each position that is drawn. */
START_TEST(draws_take_whole_blocks)
{
    ct_scope s = ct_scope_begin();
    uint64_t at;
    int n;

    for (at = 0; at <= 5; at++)
        for (n = 0; n <= 9; n++) {
            const uint64_t first = (at + 3) / 4 * 4;
            ct_tensor *x = ct_ones(CT_SHAPE(n), CT_F64, DEVICE), *w, *y;
            ct_generator g = ct_generator_from_seed(3), whole = ct_generator_from_seed(3);

            g.position = at;
            whole.position = first;
            y = ct_dropout(x, 0.5, &g);
            ck_assert(same_bytes(y, ct_dropout(x, 0.5, &whole)));
            ck_assert_uint_eq(g.position, first + ((uint64_t)n + 3) / 4 * 4);
            w = ct_ones(CT_SHAPE(n, 5), CT_F64, DEVICE);
            g.position = at;
            whole.position = first;
            y = ct_multinomial(w, 3, true, &g);
            ck_assert(same_bytes(y, ct_multinomial(w, 3, true, &whole)));
            ck_assert_uint_eq(g.position, first + ((uint64_t)n * 6 + 3) / 4 * 4);
            ck_assert_uint_eq(whole.position, g.position);
            REFUSED(CT_ERR_ARGUMENT, "ct_dropout", "p is 1", ct_dropout(x, 1, &g));
            ck_assert_uint_eq(whole.position, g.position); /* refused calls draw nothing */
        }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(multinomial_follows_the_weights)
{
    const int64_t n = 20000;
    const double share[] = { 0.1, 0, 0.6, 0.3 };
    ct_generator g = ct_generator_from_seed(5), again = g;
    ct_scope s = ct_scope_begin();
    ct_tensor *w = ct_cast(F64(1, 0, 6, 3), CT_F32);
    double *v = values_of(ct_multinomial(w, n, true, &g)), count[4] = { 0 };
    double *u = values_of(ct_multinomial(w, n, true, &again));
    int64_t i;

    ck_assert_mem_eq(u, v, (size_t)n * sizeof *v);
    ck_assert_int_eq(g.position, 2 * (uint64_t)n);
    for (i = 0; i < n; i++)
        count[(int)v[i]]++;
    for (i = 0; i < 4; i++)
        expect_close("share", count[i], share[i] * (double)n,
                     5 * sqrt((double)n * share[i] * (1 - share[i])));
    free(v);
    free(u);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(multinomial_draws_are_independent)
{
    const int n = 8000;
    ct_generator g = ct_generator_from_seed(9);
    ct_scope s = ct_scope_begin();
    double *v = values_of(ct_multinomial(ct_ones(CT_SHAPE(16), CT_F64, DEVICE), n, true, &g));
    int gap, i;

    for (gap = 1; gap <= 4; gap++) { /* the share of equal pairs is 1 in 16 */
        double same = 0;

        for (i = 0; i + gap < n; i++)
            same += v[i] == v[i + gap];
        expect_close("pairs", same, n / 16.0, 6 * sqrt(n * 15 / 256.0));
    }
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(multinomial_without_replacement_repeats_none)
{
    ct_generator g = ct_generator_from_seed(6);
    ct_scope s = ct_scope_begin();
    ct_tensor *w = F64(1, 0, 6, 3, 1), *rows = ct_expand(w, CT_SHAPE(500, 5));
    double *v = values_of(ct_multinomial(rows, 4, false, &g)), first = 0;
    int i, j;

    for (i = 0; i < 500; i++) {
        int seen = 0;

        for (j = 0; j < 4; j++)
            seen |= 1 << (int)v[4 * i + j];
        ck_assert_int_eq(seen, 1 | 4 | 8 | 16);
        first += v[4 * i] == 2;
    }
    expect_close("first", first, 500 * 6 / 11.0, 5 * sqrt(500 * 6 * 5 / 121.0));
    free(v);
    EXPECT(w, 1, 0, 6, 3, 1); /* the weights are not changed */
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- losses at the limits of their domains ---- */

/* Cross-entropy and logsumexp of {c, c + 1, c - 2}: neither loss - c nor gradient depends on c. The
 * values are from 200-bit arithmetic. */
static void check_offset(double c, ct_dtype dtype)
{
    const double p[3] = { 0.25949646034241911748, 0.70538451269824115833, 0.035119026959339724188 };
    const double turn[3] = { 0.19215804741217441972, -0.18304478422555577114,
                             -0.0091132631866186485824 }; /* the derivatives of p[0] */
    const double near = dtype == CT_F32 ? 2e-6 : 1e-14;
    static const int axis = 1;
    ct_scope s = ct_scope_begin();
    ct_tensor *x =
        leaf(ct_cast(ct_reshape(F64(c, c + 1, c - 2, c, c + 1, c - 2), CT_SHAPE(2, 3)), dtype));
    ct_tensor *target = I64(0, -100), *weight = ct_cast(F64(1, 1, 1), dtype), *loss, *g, *h;
    int weighted, smooth, reduction, i;

    for (i = 0; i < 12; i++) {
        weighted = i / 6;
        smooth = i / 3 % 2;
        reduction = i % 3;
        loss =
            ct_cross_entropy_with(x, target,
                                  (ct_cross_entropy_options){ .reduction = (ct_reduction)reduction,
                                                              .label_smoothing = smooth ? 0.1 : 0,
                                                              .has_ignore_index = true,
                                                              .ignore_index = -100,
                                                              .weight = weighted ? weight : NULL });
        if (reduction == CT_REDUCTION_NONE)
            loss = ct_sum(loss);
        expect_close("loss", ct_item(loss), smooth ? 1.3823455501015197188 : 1.3490122167681863854,
                     near);
        ck_assert(ct_grad(1, &loss, 1, &x, NULL, true, &g) == CT_OK);
        h = ct_sum(ct_select(ct_select(g, 0, 0), 0, 0));
        expect_values("gradient", ct_select(g, 0, 0),
                      smooth ? (double[]){ p[0] - 0.9 - 0.1 / 3, p[1] - 0.1 / 3, p[2] - 0.1 / 3 }
                             : (double[]){ p[0] - 1, p[1], p[2] },
                      3, near);
        EXPECT(ct_select(g, 0, 1), 0, 0, 0); /* ignored */
        expect_values("second derivative", ct_select(gradient(h, x, NULL), 0, 0), turn, 3, near);
    }
    loss = ct_sum(ct_logsumexp_axes(x, 1, &axis, false));
    expect_values("logsumexp", ct_select(gradient(loss, x, NULL), 0, 1), p, 3, near);
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(an_offset_of_the_scores_changes_nothing)
{
    static const double f32[] = { 0, 1e4, -1e4, 1e5, 1e6, 1e7 }, f64[] = { 0, 1e4, 1e15, -1e15 };
    size_t i;

    for (i = 0; i < sizeof f32 / sizeof *f32; i++)
        check_offset(f32[i], CT_F32);
    for (i = 0; i < sizeof f64 / sizeof *f64; i++)
        check_offset(f64[i], CT_F64);
}
END_TEST

/* All targets are ignored, with a weight and smoothing: the loss is the mean of no elements, and no
 * logit gets a gradient. */
START_TEST(ignored_targets_have_no_gradient)
{
    int i;

    for (i = 0; i < 8; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = leaf(ct_reshape(F64(1, 2, 3, 4), CT_SHAPE(2, 2))), *g, *loss;
        ct_cross_entropy_options o = { .reduction = i & 4 ? CT_REDUCTION_SUM : CT_REDUCTION_MEAN,
                                       .label_smoothing = i & 1 ? 0.1 : 0,
                                       .has_ignore_index = true,
                                       .ignore_index = -100,
                                       .weight = i & 2 ? F64(1, 2) : NULL };

        loss = ct_cross_entropy_with(x, I64(-100, -100), o);
        EXPECT(loss, i & 4 ? 0 : NAN);
        ck_assert(ct_grad(1, &loss, 1, &x, NULL, true, &g) == CT_OK);
        EXPECT(g, 0, 0, 0, 0);
        EXPECT(gradient(ct_sum(g), x, NULL), 0, 0, 0, 0);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
}
END_TEST

START_TEST(losses_stay_finite)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(F64(1000, -1000, 1000, -1000, 0)), *t = F64(1, 0, 0, 1, 1);
    ct_tensor *y = ct_bce_with_logits(x, t, (ct_bce_options){ .reduction = CT_REDUCTION_NONE }), *g,
              *two, *last;
    ct_cross_entropy_options skip = { .has_ignore_index = true, .ignore_index = -100 };

    expect_values("bce", y, (double[]){ 0, 0, 1000, 1000, log(2) }, 5, 1e-12);
    g = gradient(y, x, ct_ones_like(x));
    EXPECT(g, 0, 0, 1, -1, -0.5);
    two = leaf(ct_reshape(F64(-1, -2, -3, -4), CT_SHAPE(2, 2)));
    last = ct_nll_loss(two, I64(-100, 1), skip);
    EXPECT(last, 4);
    EXPECT(gradient(last, two, NULL), 0, 0, 0, -1);
    EXPECT(ct_nll_loss(two, I64(-100, -100), skip), NAN); /* the mean of no elements */
    skip.reduction = CT_REDUCTION_SUM;
    EXPECT(ct_nll_loss(two, I64(-100, -100), skip), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void ops_values_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "values");

    tcase_add_test(tc, extremes_give_values_and_indices);
    tcase_add_test(tc, products_have_derivatives_at_zero);
    tcase_add_test(tc, powers_have_derivatives_at_zero);
    tcase_add_test(tc, powers_are_flat_at_exponent_zero);
    tcase_add_test(tc, extremes_follow_a_nan);
    tcase_add_test(tc, roots_are_flat_where_they_are_zero);
    tcase_add_test(tc, means_of_ones_are_one);
    tcase_add_test(tc, logsumexp_does_not_overflow);
    tcase_add_test(tc, logcumsumexp_does_not_overflow);
    tcase_add_test(tc, logcumsumexp_of_a_gradient_of_zero);
    tcase_add_test(tc, any_and_all);
    tcase_add_test(tc, sorting_is_stable);
    tcase_add_loop_test(tc, long_rows_are_sorted, 0, harness_count(8, 100));
    tcase_add_test(tc, gradcheck_sees_a_nan_among_right_derivatives);
    tcase_add_test(tc, dropout_drops_and_scales);
    tcase_add_test(tc, dropout_of_f32_takes_the_same_places);
    tcase_add_test(tc, draws_take_whole_blocks);
    tcase_add_test(tc, multinomial_follows_the_weights);
    tcase_add_test(tc, multinomial_draws_are_independent);
    tcase_add_test(tc, multinomial_without_replacement_repeats_none);
    tcase_add_test(tc, losses_stay_finite);
    tcase_add_test(tc, an_offset_of_the_scores_changes_nothing);
    tcase_add_test(tc, ignored_targets_have_no_gradient);
}

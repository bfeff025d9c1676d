/* SPDX-License-Identifier: MIT */
/* ops_numbers.c - tensors and numbers: integers, quotients, comparisons, choices, whole tensors. */
#include "tests/test_ops.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include <cotangent.h>

#define I32(...) ct_cast(I64(__VA_ARGS__), CT_I32)

/* Fails unless the elements of t, i64, equal these numbers exactly; not all are exact as
 * doubles. */
static void expect_i64(const char *what, ct_tensor *t, const int64_t *want, int64_t count)
{
    int64_t got[8], i;

    ck_assert_msg(t != NULL, "%s: %s", what, ct_error_message());
    ck_assert_int_eq(ct_numel(t), count);
    ck_assert(ct_tensor_dtype(t) == CT_I64 && count <= 8);
    ck_assert(ct_to_host(t, got, (size_t)count * sizeof *got) == CT_OK);
    for (i = 0; i < count; i++)
        ck_assert_msg(got[i] == want[i], "%s: element %lld is %lld, not %lld", what, (long long)i,
                      (long long)got[i], (long long)want[i]);
}
#define EXPECT_I64(t, ...)                                                                         \
    expect_i64(#t, t, (int64_t[]){ __VA_ARGS__ },                                                  \
               sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))

/* ---- arithmetic ---- */

START_TEST(integers_take_numbers)
{
    const int64_t big = (1ll << 53) - 1;
    ct_scope s = ct_scope_begin();
    ct_tensor *k = I64(-3, 0, 7, big), *i = I32(-3, 0, 7, INT32_MIN);

    EXPECT_I64(ct_add_scalar(k, 2), -1, 2, 9, big + 2);
    EXPECT_I64(ct_sub_scalar(k, -2), -1, 2, 9, big + 2);
    EXPECT_I64(ct_mul_scalar(k, -3), 9, 0, -21, -3 * big);
    EXPECT_I64(ct_rsub_scalar(k, 1), 4, 1, -6, 1 - big);
    EXPECT_I64(ct_add_scalar(k, (double)big), big - 3, big, big + 7, 2 * big);
    EXPECT_I64(ct_mul_scalar(I64(1ll << 62, INT64_MIN), 2), INT64_MIN, 0); /* wraps */
    EXPECT_I64(ct_add_scalar(I64(INT64_MAX), 1), INT64_MIN);
    EXPECT(ct_add_scalar(i, 5), 2, 5, 12, INT32_MIN + 5);
    EXPECT(ct_add_scalar(i, INT32_MIN), INT32_MAX - 2, INT32_MIN, INT32_MIN + 7, 0);
    EXPECT(ct_sub_scalar(i, INT32_MIN), INT32_MAX - 2, INT32_MIN, INT32_MIN + 7, 0);
    EXPECT(ct_rsub_scalar(i, INT32_MAX), INT32_MIN + 2, INT32_MAX, INT32_MAX - 7, -1);
    EXPECT(ct_mul_scalar(i, INT32_MIN), INT32_MIN, 0, INT32_MIN, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(integers_refuse_other_numbers)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *k = I64(1, 2), *i = I32(1, 2);

    REFUSED(CT_ERR_ARGUMENT, "ct_add_scalar", "s is 2.5; for i64", ct_add_scalar(k, 2.5));
    REFUSED(CT_ERR_ARGUMENT, "ct_sub_scalar", "whole number", ct_sub_scalar(k, 0x1p53));
    REFUSED(CT_ERR_ARGUMENT, "ct_mul_scalar", "s is -9007199254740992", ct_mul_scalar(k, -0x1p53));
    REFUSED(CT_ERR_ARGUMENT, "ct_rsub_scalar", "s is nan", ct_rsub_scalar(k, (double)NAN));
    REFUSED(CT_ERR_ARGUMENT, "ct_add_scalar", "for i32 ... -2147483648..2147483647",
            ct_add_scalar(i, 0x1p31));
    REFUSED(CT_ERR_ARGUMENT, "ct_mul_scalar", "s is -2147483649", ct_mul_scalar(i, -0x1p31 - 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_remainder_scalar", "s is inf",
            ct_remainder_scalar(k, (double)INFINITY));
    REFUSED(CT_ERR_DTYPE, "ct_add_scalar", "bool", ct_add_scalar(ct_gt(k, k), 1));
    REFUSED(CT_ERR_DTYPE, "ct_div_scalar", "f32 or f64", ct_div_scalar(k, 2));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(integers_are_clamped)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *k = I64(INT64_MIN, -1, 5, INT64_MAX);

    EXPECT_I64(ct_clamp(k, 0, 3), 0, 0, 3, 3);
    EXPECT_I64(ct_clamp(k, -(double)INFINITY, 3), INT64_MIN, -1, 3, 3);
    EXPECT_I64(ct_clamp(k, 0, (double)INFINITY), 0, 0, 5, INT64_MAX);
    EXPECT_I64(ct_clamp(k, -(double)INFINITY, (double)INFINITY), INT64_MIN, -1, 5, INT64_MAX);
    ck_assert_ptr_ne(ct_clamp(k, -(double)INFINITY, (double)INFINITY), k);
    EXPECT(ct_clamp(I32(-7, 7), -2, 2), -2, 2);
    REFUSED(CT_ERR_ARGUMENT, "ct_clamp", "low is 0.5", ct_clamp(k, 0.5, 3));
    REFUSED(CT_ERR_ARGUMENT, "ct_clamp", "high is 2.5", ct_clamp(k, 0, 2.5));
    REFUSED(CT_ERR_ARGUMENT, "ct_clamp", "low is 3 and high is 2", ct_clamp(k, 3, 2));
    REFUSED(CT_ERR_ARGUMENT, "ct_clamp", "no i64", ct_clamp(k, (double)INFINITY, (double)INFINITY));
    REFUSED(CT_ERR_ARGUMENT, "ct_clamp", "no i64",
            ct_clamp(k, -(double)INFINITY, -(double)INFINITY));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- quotients rounded down ---- */

/* Python's and PyTorch's values, for each pair of signs. */
START_TEST(quotients_round_down)
{
    const double inf = (double)INFINITY;
    ct_scope s = ct_scope_begin();
    ct_tensor *a = I64(7, -7, 7, -7, 6, -6), *b = I64(3, 3, -3, -3, 3, -3);
    ct_tensor *x = F64(7, -7, 7, -7, 1, -1, 1), *y = F64(3, 3, -3, -3, 0.1, inf, -inf);

    EXPECT_I64(ct_floor_divide(a, b), 2, -3, -3, 2, 2, 2);
    EXPECT_I64(ct_remainder(a, b), 1, 2, -2, -1, 0, 0);
    EXPECT(ct_floor_divide(ct_cast(a, CT_I32), ct_cast(b, CT_I32)), 2, -3, -3, 2, 2, 2);
    EXPECT(ct_remainder(ct_cast(a, CT_I32), ct_cast(b, CT_I32)), 1, 2, -2, -1, 0, 0);
    EXPECT(ct_floor_divide(x, y), 2, -3, -3, 2, 9, -1, -1); /* 1 // 0.1 is 9 */
    EXPECT(ct_remainder(x, y), 1, 2, -2, -1, fmod(1, 0.1), inf, -inf);
    EXPECT_I64(ct_floor_divide_scalar(a, -2), -4, 3, -4, 3, -3, 3);
    EXPECT_I64(ct_remainder_scalar(a, -2), -1, -1, -1, -1, 0, 0);
    EXPECT(ct_floor_divide(F64(1, -1, 0), F64(0, 0, 0)), inf, -inf, (double)NAN);
    EXPECT(ct_remainder(F64(1, 2), F64(0, inf)), (double)NAN, 2);
    ck_assert(signbit(ct_item(ct_floor_divide(F64(-0.0), F64(2)))));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(quotients_of_integers_do_not_trap)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *k = I64(INT64_MIN, INT64_MAX), *i = I32(INT32_MIN, INT32_MAX);

    EXPECT_I64(ct_floor_divide_scalar(k, -1), INT64_MIN, -INT64_MAX);
    EXPECT_I64(ct_remainder_scalar(k, -1), 0, 0);
    EXPECT_I64(ct_floor_divide(k, I64(-1, -1)), INT64_MIN, -INT64_MAX);
    EXPECT(ct_floor_divide_scalar(i, -1), INT32_MIN, -INT32_MAX);
    EXPECT(ct_remainder(i, I32(-1)), 0, 0);
    EXPECT_I64(ct_remainder(k, I64(INT64_MAX, INT64_MIN)), INT64_MAX - 1, -1);
    REFUSED(CT_ERR_NUMERIC, "ct_remainder", "element 1 of b i64[2]", ct_remainder(k, I64(1, 0)));
    REFUSED(CT_ERR_NUMERIC, "ct_floor_divide", "element 0 of b i32[2]",
            ct_floor_divide(i, I32(0, 0)));
    REFUSED(CT_ERR_ARGUMENT, "ct_remainder_scalar", "s is 0", ct_remainder_scalar(k, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_floor_divide_scalar", "s is 0", ct_floor_divide_scalar(i, 0));
    REFUSED(CT_ERR_DTYPE, "ct_remainder", "b i32[2] ... dtype", ct_remainder(k, i));
    REFUSED(CT_ERR_SHAPE, "ct_floor_divide", "broadcast", ct_floor_divide(k, I64(1, 2, 3)));
    EXPECT_NO_VALUE(ct_remainder(NULL, k));
    EXPECT_NO_VALUE(ct_floor_divide_scalar(NULL, 1));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- comparisons ---- */

/* Returns the six comparisons of x with s as bits, in the order of the names below. They must agree
 * with an exact comparison in C. */
static int compared(ct_tensor *x, double s)
{
    ct_tensor *(*const compare[])(ct_tensor *,
                                  double) = { ct_eq_scalar, ct_ne_scalar, ct_lt_scalar,
                                              ct_le_scalar, ct_gt_scalar, ct_ge_scalar };
    int bits = 0, k;

    for (k = 0; k < 6; k++)
        bits |= (ct_item(compare[k](x, s)) != 0) << k;
    return bits;
}

/* Compares an integer with a double exactly, and returns the same bits. A long double has too few digits
 * on armhf, where it is a double. */
static int compared_in_c(int64_t x, double s)
{
    double whole = floor(s);
    int order;

    if (isnan(s))
        return 1 << 1;
    if (s >= 0x1p63 || s < -0x1p63)
        order = s > 0 ? -1 : 1;
    else if (x != (int64_t)whole)
        order = x < (int64_t)whole ? -1 : 1;
    else
        order = whole < s ? -1 : 0;
    return (order == 0) | (order != 0) << 1 | (order < 0) << 2 | (order <= 0) << 3 |
           (order > 0) << 4 | (order >= 0) << 5;
}

START_TEST(comparisons_with_numbers_are_exact)
{
    static const int64_t values[] = {
        INT64_MIN, INT64_MIN + 1, -(1ll << 53) - 1, INT32_MIN,       -3,       -1, 0, 1, 2, 3,
        7,         INT32_MAX,     (1ll << 53),      (1ll << 53) + 1, INT64_MAX
    };
    static const double numbers[] = { -INFINITY, -1e30,  -0x1p63, -0x1p53,  -0x1p31 - 1,
                                      -0x1p31,   -2.5,   -1,      -0.5,     -0.0,
                                      0.5,       1,      2.5,     3,        0x1p31,
                                      0x1p53,    0x1p63, 1e30,    INFINITY, NAN };
    size_t i, k;

    for (i = 0; i < sizeof values / sizeof *values; i++)
        for (k = 0; k < sizeof numbers / sizeof *numbers; k++) {
            int64_t v = values[i];
            int want = compared_in_c(v, numbers[k]);
            ct_scope s = ct_scope_begin();

            ck_assert_msg(compared(I64(v), numbers[k]) == want, "i64 %lld and %g", (long long)v,
                          numbers[k]);
            if (v >= INT32_MIN && v <= INT32_MAX)
                ck_assert_msg(compared(I32(v), numbers[k]) == want, "i32 %lld and %g", (long long)v,
                              numbers[k]);
            if (v == 0 || v == 1)
                ck_assert_msg(compared(ct_cast(I64(v), CT_BOOL), numbers[k]) == want,
                              "bool %lld and %g", (long long)v, numbers[k]);
            if (v >= -3 && v <= 7) {
                ck_assert_msg(compared(F64((double)v), numbers[k]) == want, "f64 %lld and %g",
                              (long long)v, numbers[k]);
                ck_assert_msg(compared(ct_cast(F64((double)v), CT_F32), numbers[k]) == want,
                              "f32 %lld and %g", (long long)v, numbers[k]);
            }
            ck_assert(ct_scope_end(s) == CT_OK);
        }
}
END_TEST

START_TEST(comparisons_at_other_values)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = F64(1, (double)NAN, (double)INFINITY), *t = ct_cast(I64(0, 1, 1), CT_BOOL);
    ct_tensor *u = ct_cast(I64(0, 0, 1), CT_BOOL), *f = ct_full(CT_SHAPE(2), 0.1, CT_F32, DEVICE);

    EXPECT(ct_gt_scalar(x, 1), 0, 0, 1);
    EXPECT(ct_ne_scalar(x, 1), 0, 1, 1);
    EXPECT(ct_eq_scalar(f, 0.1), 1, 1); /* the number is rounded to f32, as the elements are */
    EXPECT(ct_eq(t, u), 1, 0, 1);
    EXPECT(ct_ne(t, u), 0, 1, 0);
    EXPECT(ct_lt(u, t), 0, 1, 0);
    EXPECT(ct_ge(u, t), 1, 0, 1);
    EXPECT(ct_gt_scalar(ct_zeros(CT_SHAPE(2, 1), CT_I32, DEVICE), -1e10), 1, 1);
    ck_assert_int_eq(ct_numel(ct_lt_scalar(ct_zeros(CT_SHAPE(0, 3), CT_I64, DEVICE), 1e30)), 0);
    EXPECT(ct_isinf(F64(1, (double)NAN, (double)INFINITY, -(double)INFINITY, DBL_MAX)), 0, 0, 1, 1,
           0);
    EXPECT(ct_isinf(ct_cast(F64(-(double)INFINITY, 0), CT_F32)), 1, 0);
    REFUSED(CT_ERR_DTYPE, "ct_gt_scalar", "bf16", ct_gt_scalar(ct_cast(x, CT_BF16), 1));
    REFUSED(CT_ERR_DTYPE, "ct_isinf", "f32 or f64", ct_isinf(t));
    EXPECT_NO_VALUE(ct_le_scalar(NULL, 1));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- choices ---- */

START_TEST(choices_take_numbers)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *c = ct_cast(I64(1, 0, 1), CT_BOOL), *x = ct_set_requires_grad(F64(1, 2, 3), true);
    ct_tensor *k = I64(4, 5, 6), *y;

    y = ct_where_scalar(c, x, -1);
    EXPECT(y, 1, -1, 3);
    ck_assert(ct_backward_with(y, F64(7, 8, 9)) == CT_OK);
    EXPECT(ct_tensor_grad(x), 7, 0, 9);
    EXPECT(ct_rwhere_scalar(c, -1, x), -1, 2, -1);
    EXPECT_I64(ct_where_scalar(c, k, 0), 4, 0, 6);
    EXPECT_I64(ct_rwhere_scalar(c, (double)((1ll << 53) - 1), k), (1ll << 53) - 1, 5,
               (1ll << 53) - 1);
    EXPECT(ct_where_scalar(c, c, 1), 1, 1, 1);
    EXPECT(ct_where_scalars(c, 1, -1, CT_I32), 1, -1, 1);
    EXPECT(ct_where_scalars(c, 0.5, (double)INFINITY, CT_F32), 0.5, (double)INFINITY, 0.5);
    EXPECT(ct_cast(ct_where_scalars(c, 0.5, 2, CT_BF16), CT_F32), 0.5, 2, 0.5);
    REFUSED(CT_ERR_ARGUMENT, "ct_where_scalar", "b is 0.5; for i64", ct_where_scalar(c, k, 0.5));
    REFUSED(CT_ERR_ARGUMENT, "ct_rwhere_scalar", "a is 2; for bool ... 0..1",
            ct_rwhere_scalar(c, 2, c));
    REFUSED(CT_ERR_ARGUMENT, "ct_where_scalars", "b is 1e+30; for i32",
            ct_where_scalars(c, 1, 1e30, CT_I32));
    REFUSED(CT_ERR_DTYPE, "ct_where_scalars", "condition ... bool",
            ct_where_scalars(k, 1, 2, CT_F32));
    REFUSED(CT_ERR_SHAPE, "ct_where_scalar", "broadcast", ct_where_scalar(c, F64(1, 2), 0));
    EXPECT_NO_VALUE(ct_where_scalar(NULL, x, 1));
    EXPECT_NO_VALUE(ct_rwhere_scalar(c, 1, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(values_that_are_not_finite_are_replaced)
{
    const double inf = (double)INFINITY, nan = (double)NAN;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(F64(1, nan, inf, -inf, -2), true), *y;

    y = ct_nan_to_num(x, 5, 6, -7);
    EXPECT(y, 1, 5, 6, -7, -2);
    ck_assert(ct_backward_with(y, F64(1, 2, 3, 4, 5)) == CT_OK);
    EXPECT(ct_tensor_grad(x), 1, 0, 0, 0, 5);
    EXPECT(ct_nan_to_num(x, inf, inf, -inf), 1, inf, inf, -inf, -2);
    EXPECT(ct_nan_to_num(ct_cast(ct_detach(x), CT_F32), 0, FLT_MAX, -FLT_MAX), 1, 0, FLT_MAX,
           -FLT_MAX, -2);
    REFUSED(CT_ERR_DTYPE, "ct_nan_to_num", "f32 or f64", ct_nan_to_num(I64(1), 0, 0, 0));
    EXPECT_NO_VALUE(ct_nan_to_num(NULL, 0, 0, 0));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- sums of bools ---- */

START_TEST(bools_are_counted)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *b = ct_reshape(ct_cast(I64(1, 0, 1, 1, 1, 0), CT_BOOL), CT_SHAPE(2, 3));

    EXPECT_I64(ct_sum(b), 4);
    EXPECT_I64(ct_sum_axis(b, 0, false), 2, 1, 1);
    EXPECT(ct_mean(b), (double)(4.0f / 6));
    EXPECT(ct_mean_axis(b, 1, false), (double)(2.0f / 3), (double)(2.0f / 3));
    ck_assert(ct_tensor_dtype(ct_mean(b)) == CT_F32);
    EXPECT_I64(ct_sum(ct_ones(CT_SHAPE(300, 5), CT_BOOL, DEVICE)), 1500);
    EXPECT_I64(ct_sum(ct_ones(CT_SHAPE(0), CT_BOOL, DEVICE)), 0);
    ck_assert(isnan(ct_item(ct_mean(ct_ones(CT_SHAPE(0), CT_BOOL, DEVICE)))));
    REFUSED(CT_ERR_DTYPE, "ct_sum", "bf16", ct_sum(ct_zeros(CT_SHAPE(2), CT_BF16, DEVICE)));
    REFUSED(CT_ERR_DTYPE, "ct_mean", "i64", ct_mean(I64(1, 2)));
    REFUSED(CT_ERR_DTYPE, "ct_sum_to_shape", "bool", ct_sum_to_shape(b, CT_SHAPE(3)));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- two tensors as a whole ---- */

START_TEST(tensors_are_compared_as_a_whole)
{
    const double inf = (double)INFINITY, nan = (double)NAN;
    static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64, CT_BOOL, CT_BF16 };
    ct_scope s = ct_scope_begin();
    ct_tensor *a = F64(1, 0, 1, 0), *b = F64(1, 0, 1, 1), *t;
    size_t i;

    for (i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        ct_tensor *x = ct_cast(a, dtypes[i]), *y = ct_cast(b, dtypes[i]);

        ck_assert(ct_equal(x, x) && ct_equal(x, ct_clone(x)) && !ct_equal(x, y));
        ck_assert(ct_allclose(x, x, 0, 0, false) && !ct_allclose(x, y, 0.5, 0.25, false));
        ck_assert(ct_allclose(x, y, 0, 1, false));
        ck_assert(!ct_equal(x, ct_narrow(x, 0, 0, 3)));
    }
    ck_assert(!ct_equal(F64(nan), F64(nan)) && ct_equal(F64(0.0), F64(-0.0)));
    ck_assert(!ct_allclose(F64(nan), F64(nan), 1, 1, false));
    ck_assert(ct_allclose(F64(nan, 1), F64(nan, 1), 0, 0, true));
    ck_assert(!ct_allclose(F64(nan, nan), F64(nan, 1), 1, 1, true));
    ck_assert(ct_allclose(F64(inf, -inf), F64(inf, -inf), 0, 0, false));
    ck_assert(!ct_allclose(F64(inf), F64(-inf), 1, 1, false));
    ck_assert(!ct_allclose(F64(1), F64(inf), 1, 1, false));
    ck_assert(ct_allclose(F64(1.1), F64(1), 0.11, 0, false)); /* rtol is relative to b */
    ck_assert(!ct_allclose(F64(1), F64(1.2), 0.15, 0, false));
    ck_assert(ct_allclose(F64(1.2), F64(1.1), 0.15, 0, false));
    ck_assert(!ct_allclose(I64(1ll << 60), I64((1ll << 60) + 2), 0, 1, false));
    ck_assert(ct_allclose(I64(1ll << 60), I64((1ll << 60) + 2), 0, 2, false));
    ck_assert(!ct_allclose(I64(INT64_MIN), I64(INT64_MAX), 0.5, 0, false));
    ck_assert(ct_allclose(F64(2, 2), F64(2), 0, 0, false)); /* broadcasts */
    t = ct_transpose(ct_reshape(b, CT_SHAPE(2, 2)), 0, 1);
    ck_assert(ct_equal(t, ct_contiguous(t)) && !ct_equal(t, ct_reshape(b, CT_SHAPE(2, 2))));
    ck_assert(ct_equal(ct_zeros(CT_SHAPE(0, 3), CT_F32, DEVICE),
                       ct_ones(CT_SHAPE(0, 3), CT_F32, DEVICE)));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(comparisons_as_a_whole_refuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = F64(1, 2), *f = ct_cast(x, CT_F32);

    REFUSED(CT_ERR_DTYPE, "ct_allclose", "b f32[2]", ct_allclose(x, f, 0, 0, false));
    REFUSED(CT_ERR_DTYPE, "ct_equal", "b f32[2]", ct_equal(x, f));
    REFUSED(CT_ERR_SHAPE, "ct_allclose", "broadcast", ct_allclose(x, F64(1, 2, 3), 0, 0, false));
    REFUSED(CT_ERR_ARGUMENT, "ct_allclose", "rtol is -1", ct_allclose(x, x, -1, 0, false));
    REFUSED(CT_ERR_ARGUMENT, "ct_allclose", "atol is nan",
            ct_allclose(x, x, 0, (double)NAN, false));
    REFUSED(CT_ERR_ARGUMENT, "ct_equal", "a is NULL", ct_equal(NULL, x));
    REFUSED(CT_ERR_ARGUMENT, "ct_allclose", "b is NULL", ct_allclose(x, NULL, 0, 0, false));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void ops_numbers_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "numbers");

    tcase_add_test(tc, integers_take_numbers);
    tcase_add_test(tc, integers_refuse_other_numbers);
    tcase_add_test(tc, integers_are_clamped);
    tcase_add_test(tc, quotients_round_down);
    tcase_add_test(tc, quotients_of_integers_do_not_trap);
    tcase_add_test(tc, comparisons_with_numbers_are_exact);
    tcase_add_test(tc, comparisons_at_other_values);
    tcase_add_test(tc, choices_take_numbers);
    tcase_add_test(tc, values_that_are_not_finite_are_replaced);
    tcase_add_test(tc, bools_are_counted);
    tcase_add_test(tc, tensors_are_compared_as_a_whole);
    tcase_add_test(tc, comparisons_as_a_whole_refuse);
}

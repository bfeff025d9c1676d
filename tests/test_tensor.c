/* test_tensor.c - shapes, creation, access, casts and copies of any strides, printing, random
 * numbers. */
#include "tests/harness.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/rearrange.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/build_info.h>
#include <cotangent/tensor/device.h>

#include "tensor/cpu/cpu.h"

static const ct_dtype all_dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64, CT_BOOL, CT_BF16 };

static ct_scope scope;

static void open_scope(void)
{
    harness_setup();
    scope = ct_scope_begin();
}

static void close_scope(void)
{
    expect_ok();
    ck_assert(ct_scope_end(scope) == CT_OK || ct_ok());
    harness_teardown();
}

/* ---- shapes and handles ---- */

START_TEST(shapes)
{
    ct_shape nine = ct_shape_from_sizes(9, (int64_t[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1 });
    ct_tensor *t;
    int axis;

    ck_assert(ct_zeros(nine, CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_zeros", "rank 9");
    ck_assert(ct_empty(ct_shape_from_sizes(-1, NULL), CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_empty", "rank -1");
    ck_assert(ct_ones(CT_SHAPE(2, -3), CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_ones", "negative");
    ck_assert(ct_full(CT_SHAPE(INT64_MAX, 2), 1, CT_BOOL, CT_CPU) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_full", "too large");
    ck_assert(ct_zeros(CT_SHAPE(INT64_MAX / 4 + 1), CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_zeros", "too large");
    ck_assert(ct_zeros(CT_SHAPE(0, INT64_MAX, INT64_MAX), CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_zeros", "too large");
    ck_assert(ct_zeros(CT_SCALAR, (ct_dtype)17, CT_CPU) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_zeros", "dtype 17");
    ct_error_clear();
    ck_assert_ptr_null(ct_zeros(CT_SHAPE(1), (ct_dtype)(CT_BF16 + 1), CT_CPU));
    expect_error(CT_ERR_DTYPE, "ct_zeros", "dtype 6");
    ck_assert(ct_zeros(CT_SCALAR, CT_F32, 3) == NULL);
    expect_error(CT_ERR_DEVICE, "ct_zeros", "device 3");
    ck_assert(ct_device_from_name("abacus") == -1);
    expect_error(CT_ERR_DEVICE, "ct_device_from_name", "device \"abacus\"");
    ck_assert(ct_device_from_name("cpu") == CT_CPU);
    ck_assert_str_eq(ct_device_name(CT_CPU), "cpu");
    ck_assert_str_eq(ct_device_name(7), "?");

    nine = ct_shape_from_sizes(2, (int64_t[]){ 4, 5, 6 });
    for (axis = 0; axis < 8; axis++) /* the others are 0 */
        ck_assert_int_eq(nine.dim[axis], axis < 2 ? 4 + axis : 0);
    t = ct_zeros(CT_SHAPE(3, 0, 5), CT_F64, CT_CPU);
    ck_assert(ct_numel(t) == 0 && ct_rank(t) == 3 && ct_size(t, -1) == 5 && ct_is_contiguous(t));
    ck_assert(ct_to_host(t, NULL, 0) == CT_OK);
    ck_assert(ct_fill(t, 1) == CT_OK);
    t = ct_zeros(ct_shape_from_sizes(8, (int64_t[]){ 1, 2, 1, 2, 1, 2, 1, 2 }), CT_I32, CT_CPU);
    ck_assert(ct_numel(t) == 16 && ct_stride(t, 1) == 8 && ct_stride(t, -1) == 1);
    ck_assert(ct_size(t, 8) == -1 && ct_size(t, -9) == -1 && ct_stride(t, 8) == 0);
    ck_assert(ct_stride(t, -9) == 0 && ct_fill(t, 3) == CT_OK);
    for (axis = 0; axis < 8; axis++) {
        ck_assert(ct_size(t, axis) == 1 + axis % 2 && ct_size(t, axis - 8) == 1 + axis % 2);
        ck_assert(ct_stride(t, axis) == 16 >> (axis + 1) / 2 &&
                  ct_stride(t, axis - 8) == ct_stride(t, axis));
    }
}
END_TEST

/* A message holds some 140 characters of a shape, whole sizes: so many digits of seven of them, and
 * the eighth only if there is one more character. */
START_TEST(long_shapes)
{
    static const struct {
        int64_t seventh;
        const char *text;
    } cases[] = {
        { INT64_MAX, "9223372036854775807]" },
        { 100000000000000, "100000000000000]" },
        { 99999999999999, "99999999999999,3]" },
    };
    const int64_t most = INT64_MAX;
    char want[300];
    size_t i;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        ct_shape s = { 8, { most, most, most, most, most, most, cases[i].seventh, 3 } };

        ck_assert_ptr_null(ct_zeros(s, CT_F32, CT_CPU));
        snprintf(want, sizeof want, "[%lld,%lld,%lld,%lld,%lld,%lld,%s ... large", (long long)most,
                 (long long)most, (long long)most, (long long)most, (long long)most,
                 (long long)most, cases[i].text);
        expect_error(CT_ERR_SHAPE, "ct_zeros", want);
    }
}
END_TEST

/* What is contiguous is known as such, and not copied. */
START_TEST(contiguity)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_arange(0, 24, 1, CT_F32, CT_CPU), *t = ct_reshape(x, CT_SHAPE(2, 3, 4));
    const struct {
        ct_tensor *t;
        bool contiguous;
    } cases[] = {
        { t, true },
        { ct_narrow(t, 0, 1, 1), true },
        { ct_narrow(ct_reshape(x, CT_SHAPE(6, 4)), 0, 2, 3), true },
        { ct_select(t, 0, 1), true },
        { ct_select(t, 1, 1), false },
        { ct_narrow(t, 1, 0, 2), false },
        { ct_narrow(t, 2, 0, 3), false },
        { ct_narrow(ct_select(t, 0, 0), 0, 1, 2), true },
        { ct_unsqueeze(t, 1), true },
        { ct_transpose(t, 0, 1), false },
        { ct_transpose(ct_reshape(x, CT_SHAPE(1, 24)), 0, 1), true },
        { ct_transpose(ct_unsqueeze(t, 1), 0, 1), true },
        { ct_expand(ct_narrow(x, 0, 0, 1), CT_SHAPE(3)), false },
        { ct_slice(x, 0, 0, 24, 2), false },
        { ct_reshape(x, CT_SHAPE(24, 1)), true },
        { ct_narrow(ct_transpose(t, 0, 1), 0, 0, 0), true },
        { ct_narrow(ct_transpose(t, 1, 2), 2, 3, 0), true },
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        ct_tensor *c = ct_contiguous(cases[i].t);

        ck_assert_msg(ct_is_contiguous(cases[i].t) == cases[i].contiguous, "view %zu", i);
        ck_assert_msg(ct_is_contiguous(c) && (c == cases[i].t) == cases[i].contiguous,
                      "view %zu is copied, or not", i);
    }
    expect_ok();
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(of_null)
{
    ck_assert(ct_rank(NULL) == 0 && ct_size(NULL, 0) == 0 && ct_numel(NULL) == 0);
    ck_assert(ct_tensor_shape(NULL).rank == 0 && !ct_is_contiguous(NULL) &&
              ct_stride(NULL, 0) == 0);
    expect_ok();
    ck_assert(isnan(ct_item(NULL)));
    expect_error(CT_ERR_ARGUMENT, "ct_item", "t is NULL");
    EXPECT_NO_VALUE(ct_data(NULL));
    EXPECT_NO_VALUE(ct_mutable_data(NULL));
    ck_assert(ct_to_host(NULL, NULL, 0) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_to_host", "t is NULL");
    ck_assert(ct_fill(NULL, 0) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fill", "t is NULL");
    ck_assert(ct_copy_into(ct_scalar(1, CT_F32), NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_copy_into", "src is NULL");
    ct_zeros(CT_SHAPE(-1), CT_F32, CT_CPU); /* after an error NULL raises nothing more */
    ck_assert(ct_fill(NULL, 0) == CT_ERR_SHAPE);
    ct_error_clear();
}
END_TEST

START_TEST(dtypes)
{
    static const char *const names[] = { "f32", "f64", "i32", "i64", "bool", "bf16" };
    static const size_t sizes[] = { 4, 8, 4, 8, 1, 2 };
    int i;

    for (i = 0; i < 6; i++) {
        ck_assert_str_eq(ct_dtype_name(all_dtypes[i]), names[i]);
        ck_assert_uint_eq(ct_dtype_size(all_dtypes[i]), sizes[i]);
        ck_assert(ct_item(ct_scalar(1, all_dtypes[i])) == 1);
        ck_assert(ct_tensor_dtype(ct_scalar(1, all_dtypes[i])) == all_dtypes[i]);
    }
    ck_assert_str_eq(ct_dtype_name((ct_dtype)6), "?");
    ck_assert_uint_eq(ct_dtype_size((ct_dtype)-1), 0);
}
END_TEST

/* ---- creation ---- */

START_TEST(ranges)
{
    static const double endless[][3] = {
        { 0, INFINITY, 1 },   { NAN, 1, 1 },       { 0, 1, INFINITY }, { 0, -1, INFINITY },
        { INFINITY, 0, 1 },   { -INFINITY, 0, 1 }, { 0, NAN, 1 },      { 0, 1, NAN },
        { -INFINITY, 0, -1 }, { 0, 9e18, 1 },
    };
    ct_tensor *t;
    size_t i;

    expect_values("arange", ct_arange(1, 2.5, 0.5, CT_F32, CT_CPU), (double[]){ 1, 1.5, 2 }, 3, 0);
    expect_values("arange down", ct_arange(3, 0, -1, CT_I64, CT_CPU), (double[]){ 3, 2, 1 }, 3, 0);
    ck_assert(ct_numel(ct_arange(0, 5, -1, CT_I32, CT_CPU)) == 0);
    ck_assert(ct_arange(0, 5, 0, CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_arange", "step");
    for (i = 0; i < sizeof endless / sizeof *endless; i++) {
        ck_assert_msg(!ct_arange(endless[i][0], endless[i][1], endless[i][2], CT_F32, CT_CPU),
                      "range %zu", i);
        expect_error(CT_ERR_ARGUMENT, "ct_arange", "finite");
    }
    ck_assert(ct_linspace(0, INFINITY, 2, CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_linspace", "finite");
    ck_assert(ct_arange(0, 3, 1, CT_BOOL, CT_CPU) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_arange", "bool");
    ck_assert(ct_arange(0, 3, 1, CT_BF16, CT_CPU) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_arange", "bf16");

    expect_values("linspace", ct_linspace(-1, 1, 5, CT_F64, CT_CPU),
                  (double[]){ -1, -0.5, 0, 0.5, 1 }, 5, 0);
    t = ct_linspace(0.1, 0.7, 38, CT_F64, CT_CPU); /* 0.1 + 37 step is not 0.7 */
    ck_assert(((const double *)ct_data(t))[0] == 0.1 && ((const double *)ct_data(t))[37] == 0.7);
    expect_values("linspace of 1", ct_linspace(3, 9, 1, CT_F32, CT_CPU), (double[]){ 3 }, 1, 0);
    ck_assert(ct_numel(ct_linspace(3, 9, 0, CT_F32, CT_CPU)) == 0);
    ck_assert(ct_linspace(0, 1, -2, CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_linspace", "n -2");

    expect_values("eye", ct_eye(3, CT_I32, CT_CPU), (double[]){ 1, 0, 0, 0, 1, 0, 0, 0, 1 }, 9, 0);
    ck_assert(ct_numel(ct_eye(0, CT_F32, CT_CPU)) == 0);
    ck_assert(ct_eye(-1, CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_eye", "shape");
}
END_TEST

START_TEST(fills)
{
    static const int64_t sizes[] = { 1, 2, 3, 7, 64, 1001 };
    size_t i, d;
    int64_t k;

    for (d = 0; d < 5; d++)
        for (i = 0; i < 6; i++) {
            double *v = values_of(ct_full(CT_SHAPE(sizes[i]), 1, all_dtypes[d], CT_CPU));

            for (k = 0; k < sizes[i]; k++)
                if (v[k] != 1)
                    ck_abort_msg("element %lld of %lld", (long long)k, (long long)sizes[i]);
            free(v);
        }
    ck_assert(ct_item(ct_full(CT_SCALAR, 1e12, CT_I32, CT_CPU)) == INT32_MAX);
    ck_assert(ct_item(ct_full(CT_SCALAR, NAN, CT_I64, CT_CPU)) == 0);
    ck_assert(ct_item(ct_full(CT_SCALAR, -7, CT_BOOL, CT_CPU)) == 1);
    ck_assert(ct_item(ct_full(CT_SCALAR, 1.00390625, CT_BF16, CT_CPU)) == 1); /* a tie, to even */
    ck_assert(ct_from_data(NULL, CT_SHAPE(2), CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_from_data", "data is NULL");
    ck_assert(ct_from_data(NULL, CT_SHAPE(0), CT_F32, CT_CPU) != NULL);
}
END_TEST

/* ---- access ---- */

START_TEST(reading)
{
    ct_tensor *t = ct_arange(0, 6, 1, CT_F32, CT_CPU), *m = ct_reshape(t, CT_SHAPE(2, 3));
    float out[6];

    ck_assert(isnan(ct_item(m)));
    expect_error(CT_ERR_SHAPE, "ct_item", "element");
    ck_assert(ct_to_host(m, out, 20) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_to_host", "not 20");
    ck_assert(ct_to_host(m, NULL, 24) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_to_host", "buffer is NULL");
    m = ct_transpose(m, 0, 1);
    ck_assert(ct_to_host(m, out, 24) == CT_OK);
    ck_assert(out[0] == 0 && out[1] == 3 && out[2] == 1 && out[5] == 5);
    ck_assert(ct_data(m) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_data", "contiguous");
    ck_assert(ct_mutable_data(m) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_mutable_data", "contiguous");
    ck_assert(ct_item(ct_select(ct_select(m, 0, 2), 0, 1)) == 5);
    ((float *)ct_mutable_data(t))[4] = 40;
    ck_assert(ct_to_host(m, out, 24) == CT_OK && out[3] == 40);
}
END_TEST

START_TEST(writing)
{
    ct_tensor *t = ct_arange(0, 6, 1, CT_F32, CT_CPU), *leaf, *y;
    const double shifted[] = { 0, 0, 1, 2, 3, 4 }, back[] = { 1, 2, 3, 4, 4, 4 };

    ck_assert(ct_copy_into(ct_narrow(t, 0, 1, 5), ct_narrow(t, 0, 0, 5)) == CT_OK); /* overlap */
    expect_values("shifted up", t, shifted, 6, 0);
    t = ct_arange(0, 5, 1, CT_F32, CT_CPU);
    ck_assert(ct_copy_into(t, t) == CT_OK);
    ck_assert(ct_copy_into(ct_narrow(t, 0, 0, 4), ct_narrow(t, 0, 1, 4)) == CT_OK);
    expect_values("shifted down", t, back, 5, 0);
    t = ct_reshape(ct_arange(0, 4, 1, CT_I32, CT_CPU), CT_SHAPE(2, 2));
    ck_assert(ct_copy_into(t, ct_transpose(t, 0, 1)) == CT_OK);
    expect_values("transposed in place", t, (double[]){ 0, 2, 1, 3 }, 4, 0);
    ck_assert(ct_fill(ct_select(t, 1, 0), 9) == CT_OK);
    expect_values("column filled", t, (double[]){ 9, 2, 9, 3 }, 4, 0);

    ck_assert(ct_copy_into(t, ct_select(t, 0, 0)) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_copy_into", "shape");
    ck_assert(ct_copy_into(t, ct_zeros(CT_SHAPE(2, 2), CT_I64, CT_CPU)) == CT_ERR_DTYPE);
    expect_error(CT_ERR_DTYPE, "ct_copy_into", "src ... dtype");
    t = ct_expand(ct_zeros(CT_SHAPE(1, 3), CT_F32, CT_CPU), CT_SHAPE(4, 3));
    ck_assert(ct_fill(ct_narrow(t, 0, 1, 1), 2) == CT_OK); /* one of them, or none */
    ck_assert(ct_fill(ct_narrow(t, 1, 1, 0), 2) == CT_OK);
    expect_values("all of them", ct_narrow(t, 0, 3, 1), (double[]){ 2, 2, 2 }, 3, 0);
    ck_assert(ct_fill(t, 1) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_fill", "expanded");
    ck_assert(ct_copy_into(t, ct_ones(CT_SHAPE(4, 3), CT_F32, CT_CPU)) == CT_ERR_SHAPE);
    ct_error_clear();

    leaf = ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), true);
    ck_assert(ct_fill(leaf, 2) == CT_ERR_GRAD);
    expect_error(CT_ERR_GRAD, "ct_fill", "leaf");
    y = ct_square(leaf);
    ck_assert(ct_mutable_data(y) == NULL);
    expect_error(CT_ERR_GRAD, "ct_mutable_data", "history");
    ct_set_grad_enabled(false);
    ck_assert(ct_fill(leaf, 2) == CT_OK);
    ct_set_grad_enabled(true);
    ck_assert(ct_backward_with(y, ct_ones(CT_SHAPE(2), CT_F32, CT_CPU)) == CT_ERR_GRAD);
    expect_error(CT_ERR_GRAD, "ct_square", "modified");
}
END_TEST

/* ---- casts ---- */

/* bfloat16 by search among the two neighbours: nearest, ties to the even one */
static uint16_t bf16_reference(long double v)
{
    uint16_t low = 0, high = 0x7f80, sign = signbit(v) ? 0x8000 : 0;
    long double a = fabsl(v), below, above, limit = 0x1p128L;

    if (isnan(v))
        return 0x7fc0;
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        uint32_t bits = (uint32_t)middle << 16;
        float f;

        memcpy(&f, &bits, sizeof f);
        if ((long double)f <= a)
            low = middle;
        else
            high = middle;
    }
    {
        uint32_t bits = (uint32_t)low << 16, next = (uint32_t)high << 16;
        float f, g;

        memcpy(&f, &bits, sizeof f);
        memcpy(&g, &next, sizeof g);
        below = f;
        above = isinf(g) ? limit : g;
    }
    if (a >= limit)
        return sign | 0x7f80;
    if (a - below < above - a)
        return sign | low;
    if (a - below > above - a)
        return sign | high;
    return sign | (low & 1 ? high : low);
}

/* What v becomes: rounded to nearest even, truncated, clamped. */
static long double cast_reference(long double v, ct_dtype to)
{
    uint16_t half;
    int64_t whole;

    switch (to) {
    case CT_F32:
        return (float)v;
    case CT_F64:
        return (double)v;
    case CT_I32:
        return isnan(v) ? 0 : fminl(fmaxl(truncl(v), INT32_MIN), INT32_MAX);
    case CT_I64:
        whole = isnan(v) ? 0 : v >= 0x1p63L ? INT64_MAX : v < -0x1p63L ? INT64_MIN : (int64_t)v;
        return whole;
    case CT_BOOL:
        return v != 0;
    default:
        half = bf16_reference(v);
        return element_load(&half, CT_BF16, 0);
    }
}

static const double edges[] = {
    0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, DBL_MAX,
    0x1.ffffffp127, 0x1.fefffffffffffp127, 0x1.ffp127, 0x1p-149, 0x1p-150, 0x1.8p-150, 0x1p-133,
    0x1.8p-134, 0x1p-134, DBL_MIN, 2147483647, 2147483648.0, -2147483648.0, -2147483649.0,
    2147483646.5, -2147483648.5, 0x1p63, -0x1p63, 0x1.fffffffffffffp62, 1e300, 16777217,
    /* ties of bf16, and what lies just beside them: rounding twice goes wrong */
    0x1.01p0, 0x1.03p0, 0x1.0100000000001p0, 0x1.00fffffffffffp0, 0x1.0300000000001p0,
    0x1.02fffffffffffp0, -0x1.0100000000001p0, 0x1.01p-130, 0x1.0100000000001p-127,
    /* ties of f32 */
    0x1.000001p0, 0x1.000003p0, 0x1.0000010000001p0
};

static const int64_t integers[] = { 0,
                                    1,
                                    -1,
                                    INT32_MAX,
                                    INT32_MIN,
                                    (int64_t)INT32_MAX + 1,
                                    (int64_t)INT32_MIN - 1,
                                    INT64_MAX,
                                    INT64_MIN,
                                    ((int64_t)1 << 62) + ((int64_t)1 << 54) + 1,
                                    ((int64_t)1 << 62) + ((int64_t)1 << 54),
                                    -((int64_t)1 << 62) - ((int64_t)1 << 54) - 1,
                                    ((int64_t)1 << 60) + ((int64_t)1 << 36) + 1,
                                    257,
                                    259,
                                    16777217,
                                    ((int64_t)1 << 40) + ((int64_t)1 << 32) + 1 };

static ct_tensor *edge_tensor(ct_dtype dtype)
{
    int64_t n = sizeof edges / sizeof *edges, m = sizeof integers / sizeof *integers, i;
    uint16_t halves[1 << 12];
    int32_t narrow[sizeof integers / sizeof *integers];
    float floats[sizeof edges / sizeof *edges];

    switch (dtype) {
    case CT_F64:
        return ct_from_data(edges, CT_SHAPE(n), CT_F64, CT_CPU);
    case CT_F32:
        for (i = 0; i < n; i++)
            floats[i] = (float)edges[i];
        return ct_from_data(floats, CT_SHAPE(n), CT_F32, CT_CPU);
    case CT_I64:
        return ct_from_data(integers, CT_SHAPE(m), CT_I64, CT_CPU);
    case CT_I32:
        for (i = 0; i < m; i++)
            narrow[i] = (int32_t)integers[i];
        return ct_from_data(narrow, CT_SHAPE(m), CT_I32, CT_CPU);
    case CT_BOOL:
        return ct_from_data((uint8_t[]){ 0, 1, 1 }, CT_SHAPE(3), CT_BOOL, CT_CPU);
    default: /* every 16th, from all exponents */
        for (i = 0; i < 1 << 12; i++)
            halves[i] = (uint16_t)(i * 16 + i % 16);
        return ct_from_data(halves, CT_SHAPE(1 << 12), CT_BF16, CT_CPU);
    }
}

static void check_cast(const ct_tensor *x, ct_dtype to, const ct_tensor *y)
{
    size_t n = (size_t)ct_numel(x), i;
    char *in = malloc(n * 8), *out = malloc(n * 8);

    ck_assert(ct_tensor_dtype(y) == to && (size_t)ct_numel(y) == n);
    ck_assert(ct_to_host(x, in, n * ct_dtype_size(ct_tensor_dtype(x))) == CT_OK);
    ck_assert(ct_to_host(y, out, n * ct_dtype_size(to)) == CT_OK);
    for (i = 0; i < n; i++) {
        long double from = element_load(in, ct_tensor_dtype(x), (int64_t)i);
        long double want = cast_reference(from, to), got = element_load(out, to, (int64_t)i);

        if (isnan(want) ? !isnan(got)
                        : !(got == want && (to == CT_I32 || to == CT_I64 || to == CT_BOOL ||
                                            signbit(got) == signbit(want))))
            ck_abort_msg("%s to %s: %La became %La, expected %La",
                         ct_dtype_name(ct_tensor_dtype(x)), ct_dtype_name(to), from, got, want);
    }
    free(in);
    free(out);
}

START_TEST(casts)
{
    ct_generator g = ct_generator_from_seed(31);
    volatile long double one = 1;
    bool wide = one + 0x1p-63L != one; /* not under valgrind: i64 has no reference */
    size_t from, to;
    int64_t i;

    for (from = 0; from < 6; from++)
        for (to = 0; to < 6; to++) {
            ct_tensor *x;

            if (!wide && (all_dtypes[from] == CT_I64 || all_dtypes[to] == CT_I64))
                continue;
            x = edge_tensor(all_dtypes[from]);

            check_cast(x, all_dtypes[to], ct_cast(x, all_dtypes[to]));
            x = ct_slice(x, 0, 0, ct_numel(x), 2); /* strided */
            check_cast(x, all_dtypes[to], ct_cast(x, all_dtypes[to]));
        }
    {
        ct_tensor *x = ct_empty(CT_SHAPE(harness_count(20000, 2000000)), CT_F64, CT_CPU);
        double *p = ct_mutable_data(x);

        for (i = 0; i < ct_numel(x); i++) { /* near ties, at all scales */
            double v = 1 + (double)ct_random_below(&g, 256) / 256 +
                       ldexp((double)ct_random_below(&g, 3) - 1, -(int)ct_random_below(&g, 53));

            p[i] = ldexp(v, (int)ct_random_below(&g, 290) - 160);
        }
        check_cast(x, CT_BF16, ct_cast(x, CT_BF16));
        check_cast(x, CT_F32, ct_cast(x, CT_F32));
        x = ct_cast(x, CT_F32);
        check_cast(x, CT_BF16, ct_cast(x, CT_BF16));
    }
}
END_TEST

/* Every bf16 comes back from f32 and f64 as it was. */
START_TEST(bf16_round_trip)
{
    static uint16_t all[1 << 16], back[1 << 16];
    ct_tensor *x;
    int d, i;

    for (i = 0; i < 1 << 16; i++)
        all[i] = (uint16_t)i;
    x = ct_from_data(all, CT_SHAPE(1 << 16), CT_BF16, CT_CPU);
    for (d = 0; d < 2; d++) {
        ck_assert(ct_to_host(ct_cast(ct_cast(x, all_dtypes[d]), CT_BF16), back, sizeof back) ==
                  CT_OK);
        for (i = 0; i < 1 << 16; i++)
            if ((all[i] & 0x7fff) > 0x7f80 ? (back[i] & 0x7fff) <= 0x7f80 : back[i] != all[i])
                ck_abort_msg("%#x came back as %#x", all[i], back[i]);
    }
}
END_TEST

/* ---- copies of any strides, between any two dtypes ---- */

/* A view of a fresh tensor with random axes order, steps and offset. */
static ct_tensor *random_view(ct_generator *g, int rank, const int64_t *dim, ct_dtype dtype)
{
    int64_t order[CT_MAX_RANK];
    ct_shape base = { .rank = rank };
    int axes[CT_MAX_RANK], i;
    ct_tensor *t;

    for (i = 0; i < rank; i++)
        order[i] = i;
    ct_shuffle(order, rank, g);
    for (i = 0; i < rank; i++)
        base.dim[i] = dim[order[i]] * 2 + 3;
    t = ct_zeros(base, dtype, CT_CPU);
    for (i = 0; i < rank; i++) {
        int64_t step = 1 + (int64_t)ct_random_below(g, 2), n = dim[order[i]];
        int64_t start = (int64_t)ct_random_below(g, 3);

        t = ct_slice(t, i, start, start + n * step, step);
    }
    for (i = 0; i < rank; i++)
        axes[order[i]] = i;
    return ct_permute(t, rank, axes);
}

START_TEST(strided_copies)
{
    ct_generator g = ct_generator_from_seed(32);
    int round, i;

    for (round = 0; round < harness_count(200, 5000); round++) {
        ct_scope s = ct_scope_begin();
        int rank = (int)ct_random_below(&g, 5);
        ct_dtype from = all_dtypes[ct_random_below(&g, 6)], to = all_dtypes[ct_random_below(&g, 6)];
        ct_shape shape = { .rank = rank };
        ct_tensor *x, *y, *flat;

        for (i = 0; i < rank; i++)
            shape.dim[i] = (int64_t)ct_random_below(&g, round % 20 ? 6 : 12) + (round % 9 != 0);
        flat = ct_cast(ct_mul_scalar(ct_randn(shape, CT_F32, CT_CPU, &g), 3), from);
        x = random_view(&g, rank, shape.dim, from);
        y = random_view(&g, rank, shape.dim, to);
        ck_assert(ct_copy_into(x, flat) == CT_OK);
        check_cast(flat, from, x);
        cti_copy(y, x);
        check_cast(flat, to, y);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
}
END_TEST

/* ---- printing ---- */

static void expect_print(ct_tensor *t, const char *want)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    ct_print(t, f);
    fclose(f);
    ck_assert_str_eq(text, want);
    free(text);
}

/* A comma is never the mark of a number. */
START_TEST(printing_in_a_comma_locale)
{
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ps_AF" };
    size_t i = 0, count = sizeof names / sizeof *names;

    while (i < count && !setlocale(LC_NUMERIC, names[i]))
        i++;
    if (i == count)
        printf("skipped: no locale with a decimal comma is installed\n");
    expect_print(ct_from_data((double[]){ 1.5, 1e-7 }, CT_SHAPE(2), CT_F64, CT_CPU),
                 "f64[2] cpu [1.5, 1e-07]\n");
    setlocale(LC_NUMERIC, "C");
}
END_TEST

START_TEST(printing)
{
    ct_tensor *m = ct_reshape(ct_arange(1, 7, 1, CT_F32, CT_CPU), CT_SHAPE(2, 3));

    expect_print(m, "f32[2,3] cpu [[1, 2, 3], [4, 5, 6]]\n");
    expect_print(ct_transpose(m, 0, 1), "f32[3,2] cpu [[1, 4], [2, 5], [3, 6]]\n");
    expect_print(ct_scalar(0.1, CT_F64), "f64[] cpu 0.1\n");
    expect_print(ct_scalar(1.0 / 3, CT_BF16), "bf16[] cpu 0.334\n");
    expect_print(ct_scalar(-5, CT_I32), "i32[] cpu -5\n");
    expect_print(ct_zeros(CT_SHAPE(2, 0), CT_I64, CT_CPU), "i64[2,0] cpu [[], []]\n");
    expect_print(ct_from_data((uint8_t[]){ 1, 0 }, CT_SHAPE(2), CT_BOOL, CT_CPU),
                 "bool[2] cpu [true, false]\n");
    expect_print(
        ct_from_data((float[]){ NAN, INFINITY, -INFINITY, -0.0f }, CT_SHAPE(4), CT_F32, CT_CPU),
        "f32[4] cpu [nan, inf, -inf, -0]\n");
    expect_print(ct_arange(0, 8, 1, CT_I32, CT_CPU), "i32[8] cpu [0, 1, 2, 3, 4, 5, 6, 7]\n");
    expect_print(ct_arange(0, 9, 1, CT_I64, CT_CPU), "i64[9] cpu [0, 1, 2, ..., 6, 7, 8]\n");
    expect_print(ct_reshape(ct_arange(0, 200, 1, CT_I32, CT_CPU), CT_SHAPE(20, 10)),
                 "i32[20,10] cpu [[0, 1, 2, ..., 7, 8, 9], [10, 11, 12, ..., 17, 18, 19], "
                 "[20, 21, 22, ..., 27, 28, 29], ..., [170, 171, 172, ..., 177, 178, 179], "
                 "[180, 181, 182, ..., 187, 188, 189], [190, 191, 192, ..., 197, 198, 199]]\n");
    expect_print(NULL, "NULL\n");
}
END_TEST

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

/* The k-th moment about 0 of n values, in units of its standard deviation from want. */
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

/* What a draw is, word for word: f32 takes a word each, f64 two; of each four words two normals of
 * f32, two words each, or two of f64. */
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
    { /* and of one's own */
        ct_generator g = { 1, 2, 5 };
        uint32_t w[4], next[4];

        ct_philox(1, 2, 1, w);
        ct_philox(1, 2, 2, next);
        ck_assert(ct_random_uniform(&g) == (double)(((uint64_t)w[1] << 32 | w[2]) >> 11) * 0x1p-53);
        ck_assert(ct_random_uniform(&g) ==
                  (double)(((uint64_t)w[3] << 32 | next[0]) >> 11) * 0x1p-53);
        ck_assert_uint_eq(ct_random_below(&g, 1000003),
                          ((uint64_t)next[1] << 32 | next[2]) % 1000003);
        g = ct_generator_stream((ct_generator){ 9, 0, 6 }, "foobar"); /* as FNV-1a is published */
        ck_assert(g.seed == 9 && g.stream == 0x85944171f73967e8u && g.position == 0);
    }
}
END_TEST

/* No draw reaches the upper bound, whatever its sign: between neighbours all draws are the lower
 * one, and where the interval is a few numbers wide all of those come. */
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

    for (i = 0; i < 2; i++) { /* where there is but one number, it is that */
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

/* Moving elements about is for every dtype: the same as of their f64 values. */
START_TEST(moves_of_any_dtype)
{
    static const int64_t at[] = { 3, 0, 1, 3, 2, 2, 0, 1 };
    ct_generator g = ct_generator_from_seed(38);
    ct_tensor *index = ct_from_data(at, CT_SHAPE(4, 2), CT_I64, CT_CPU),
              *x = ct_mul_scalar(ct_randn(CT_SHAPE(4, 2), CT_F64, CT_CPU, &g), 3), *mask, *rows;
    size_t d;
    int axis;

    mask = ct_gt(x, ct_zeros(CT_SHAPE(4, 2), CT_F64, CT_CPU));
    rows = ct_select(index, 1, 0);
    for (d = 0; d < 6; d++) {
        ct_dtype dtype = all_dtypes[d];
        ct_tensor *a = ct_cast(x, dtype), *b = ct_flip(a, 1, (int[]){ 0 });
        ct_tensor *wide = ct_cast(a, CT_F64), *wide_b = ct_cast(b, CT_F64);
        const struct {
            const char *what;
            ct_tensor *got, *want;
        } cases[] = {
            { "where", ct_where(mask, a, b), ct_where(mask, wide, wide_b) },
            { "gather", ct_gather(a, 0, index), ct_gather(wide, 0, index) },
            { "rows", ct_index_select(a, 0, rows), ct_index_select(wide, 0, rows) },
            { "take", ct_take(a, index), ct_take(wide, index) },
            { "strided", ct_contiguous(ct_transpose(a, 0, 1)),
              ct_contiguous(ct_transpose(wide, 0, 1)) },
            { "one-hot", dtype == CT_BF16 ? a : ct_one_hot_as(index, 5, dtype),
              dtype == CT_BF16 ? wide : ct_one_hot_as(index, 5, CT_F64) }, /* it has none */
        };
        size_t k;

        for (k = 0; k < sizeof cases / sizeof *cases; k++) {
            double *want = values_of(cases[k].want);

            ck_assert_msg(cases[k].got && ct_tensor_dtype(cases[k].got) == dtype, "%s of %s: %s",
                          cases[k].what, ct_dtype_name(dtype), ct_error_message());
            expect_values(cases[k].what, ct_cast(cases[k].got, CT_F64), want,
                          (size_t)ct_numel(cases[k].want), 0);
            free(want);
        }
        if (dtype == CT_BOOL || dtype == CT_BF16)
            continue;
        for (axis = 0; axis < 2; axis++) { /* sums of integers are exact, as of few floats' bits */
            ct_tensor *i = axis ? ct_cast(mask, CT_I64) : index;
            ct_tensor *to = ct_scatter_add(b, axis, i, a),
                      *want = ct_cast(ct_scatter_add(wide_b, axis, i, wide), dtype);
            double *v = values_of(want);

            expect_values("scatter_add", to, v, 8, dtype == CT_F32 ? 1e-5 : 0);
            free(v);
        }
    }
}
END_TEST

/* Memory from which code may be run, but for files and the kernel's. */
static int executable_memory(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[1000], flags[5];
    unsigned long node;
    int n = 0;

    while (f && fgets(line, sizeof line, f))
        n += sscanf(line, "%*s %4s %*s %*s %lu", flags, &node) == 2 && flags[2] == 'x' && !node &&
             !strchr(line, '[');
    if (f)
        fclose(f);
    return n;
}

static char *about_text(void)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    ct_build_print(f);
    fclose(f);
    return text;
}

START_TEST(about)
{
    static const char *const paths[] = { "base", "avx2", "avx512" };
    ct_build_info a;
    char want[2000];
    char *text;

    setenv("COTANGENT_CPU_PATH", paths[_i], 1);
    setenv("COTANGENT_PLUGIN_DIR", "/nowhere", 1);
    a = ct_build_get_info();
    if (_i == 0) {
        int before = executable_memory();

        ck_assert_str_eq(a.code_path, "base");
        cti_may_generate_code(); /* what it tries is not left */
        ck_assert_int_eq(executable_memory(), before);
    }
#if defined(__x86_64__) && defined(CT_HAVE_AVX2_PATH)
    if (_i == 1 && !ct_portable())
        ck_assert_str_eq(a.code_path, __builtin_cpu_supports("avx2") ? "avx2" : "base");
#endif
    ck_assert(strstr(a.code_paths, "base") == a.code_paths && strstr(a.code_paths, a.code_path));
    ck_assert_str_eq(ct_version(), PACKAGE_VERSION);
    ck_assert(strlen(a.blas) > 5);
#ifdef CT_HAVE_LIBXSMM
    ck_assert(strncmp(a.libxsmm, CT_LIBXSMM_VERSION, strlen(CT_LIBXSMM_VERSION)) == 0);
    ck_assert_str_eq(a.libxsmm + strlen(CT_LIBXSMM_VERSION),
                     strcmp(a.code_path, "base") == 0 ? ", off: not used on the code path base"
                     : cti_may_generate_code()
                         ? ""
                         : ", off: code may not be generated at run time here");
#else
    ck_assert_str_eq(a.libxsmm, "none");
#endif
    snprintf(want, sizeof want,
             "cotangent %s\nBLAS: %s\nLIBXSMM: %s\ncode path: %s (of %s)\n"
             "products in bf16: %s\nlibutf8proc: %s\ndevices: cpu",
             ct_version(), a.blas, a.libxsmm, a.code_path, a.code_paths, a.bf16, a.unicode);
    text = about_text();
    ck_assert_msg(strncmp(text, want, strlen(want)) == 0, "%s", text);
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
    free(text);
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
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "std -1");
    ck_assert(ct_normal_into(t, NAN, 1, &g) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "mean nan");
    ck_assert(ct_normal_into(t, 0, INFINITY, &g) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "std inf");
    ck_assert(ct_normal_into(NULL, 0, 1, &g) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "t is NULL");
    ck_assert(ct_normal_into(t, 0, 1, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_normal_into", "g is NULL");
    ck_assert(ct_rand(CT_SHAPE(2), CT_I32, CT_CPU, &g) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_rand", "f32 or f64");
    ck_assert(memcmp(&g, &before, sizeof g) == 0); /* errors draw nothing */

    m = ct_zeros(CT_SHAPE(3, 4), CT_F32, CT_CPU); /* a view draws as a tensor of its shape does */
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
    ck_assert_uint_eq(b.position, 156); /* 2 x 77 up to a multiple of 4 */
    a = (ct_generator){ 1, 2, 3 };      /* begins at the next whole block */
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
    ck_assert_msg(chi < 25.7, "chi squared of 5 degrees: %g", chi); /* 1 in 10,000 */
    for (i = 0; i < N; i++) { /* where a remainder alone would favour the lower half by 2 : 1 */
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
    for (i = 0; i < N; i++) { /* all 6 orders of 3 come up alike */
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
    ck_assert_uint_eq(g.position, before.position + 2 * 499); /* two words for each but the first */
}
END_TEST

/* What a remainder would favour is drawn again: n itself, where n is above half of all. */
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

static TCase *scoped_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, open_scope, close_scope);
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void)
{
    Suite *suite = suite_create("tensor");
    TCase *tc;

    tc = scoped_case(suite, "handles");
    tcase_add_test(tc, shapes);
    tcase_add_test(tc, long_shapes);
    tcase_add_test(tc, of_null);
    tcase_add_test(tc, contiguity);
    tcase_add_test(tc, dtypes);
    tcase_add_test(tc, ranges);
    tcase_add_test(tc, fills);
    tcase_add_test(tc, reading);
    tcase_add_test(tc, writing);
    tcase_add_test(tc, printing);
    tcase_add_test(tc, printing_in_a_comma_locale);
    tcase_add_loop_test(tc, about, 0, 3);
    tc = scoped_case(suite, "casts");
    tcase_add_test(tc, casts);
    tcase_add_test(tc, bf16_round_trip);
    tcase_add_test(tc, strided_copies);
    tcase_add_test(tc, moves_of_any_dtype);
    tc = scoped_case(suite, "random");
    tcase_add_test(tc, philox);
    tcase_add_loop_test(tc, distributions, 0, 2);
    tcase_add_test(tc, parameters);
    tcase_add_loop_test(tc, draws_word_for_word, 0, 4);
    tcase_add_test(tc, draws_stay_below);
    tcase_add_test(tc, streams);
    tcase_add_test(tc, host_draws);
    tcase_add_test(tc, drawn_again);
    return harness_run(suite);
}

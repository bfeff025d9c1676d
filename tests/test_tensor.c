/* SPDX-License-Identifier: MIT */
/* test_tensor.c - shapes, creation, access, casts and copies of any strides, printing, random
 * numbers. */
#include "tests/comma_locale.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/build_info.h>
#include <cotangent/tensor/device.h>

#include "tensor/cpu/cpu.h"
#include "tests/test_tensor.h"

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
    for (axis = 0; axis < 8; axis++) /* unused sizes are 0 */
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

/* A message has room for about 140 characters of a shape, in whole sizes: seven sizes of this many
 * digits, and an eighth only if there is room for one more character. */
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

/* A contiguous tensor is recognised and not copied. */
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
    expect_error(CT_ERR_SHAPE, "ct_linspace", "n is -2");

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
    ck_assert(ct_item(ct_full(CT_SCALAR, 1.00390625, CT_BF16, CT_CPU)) == 1); /* halfway: rounds to
                                                                               * even */
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
    expect_error(CT_ERR_ARGUMENT, "ct_to_host", "has 20");
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
    ck_assert(ct_fill(ct_narrow(t, 0, 1, 1), 2) == CT_OK); /* one column, or none */
    ck_assert(ct_fill(ct_narrow(t, 1, 1, 0), 2) == CT_OK);
    expect_values("all of them", ct_narrow(t, 0, 3, 1), (double[]){ 2, 2, 2 }, 3, 0);
    ck_assert(ct_fill(t, 1) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_fill", "expanded");
    ck_assert(ct_copy_into(t, ct_ones(CT_SHAPE(4, 3), CT_F32, CT_CPU)) == CT_ERR_SHAPE);
    ct_error_clear();

    if (CT_INFERENCE_ONLY)
        return; /* there are no leaves that require a gradient */
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
    if (!comma_locale_begin())
        return;
    expect_print(ct_from_data((double[]){ 1.5, 1e-7 }, CT_SHAPE(2), CT_F64, CT_CPU),
                 "f64[2] cpu [1.5, 1e-07]\n");
    comma_locale_end();
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

/* Returns the number of executable mappings that are neither files nor the kernel's. */
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
        cti_may_generate_code(); /* its trial mapping is removed */
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

TCase *scoped_case(Suite *suite, const char *name)
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
    tensor_casts_cases(suite);
    tensor_random_cases(suite);
    return harness_run(suite);
}

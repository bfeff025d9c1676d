/* SPDX-License-Identifier: MIT */
/* ops_search.c - elements chosen by value, scatters, diagonals, running products and extremes:
 * values that PyTorch's numbers do not cover, and errors. */
#include "tests/test_ops.h"

#include <math.h>
#include <stdint.h>

#include <cotangent.h>

START_TEST(unique_values)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_reshape(F64(2, -1, 2, 0, -1, 2), CT_SHAPE(2, 3)), *inverse, *counts;
    ct_tensor *b = ct_cast(F64(1, 0, 1), CT_BOOL);

    EXPECT(ct_unique(x, &inverse, &counts), -1, 0, 2);
    EXPECT(inverse, 2, 0, 2, 1, 0, 2);
    ck_assert(ct_size(inverse, 0) == 2 && ct_size(inverse, 1) == 3);
    EXPECT(counts, 2, 1, 3);
    EXPECT(ct_unique(ct_transpose(x, 0, 1), NULL, &counts), -1, 0, 2);
    EXPECT(counts, 2, 1, 3);
    EXPECT(ct_unique(F64(-0.0, 0), NULL, &counts), 0);
    EXPECT(counts, 2);
    EXPECT(ct_unique(I64(INT64_MAX, INT64_MAX - 1), NULL, &counts), (double)INT64_MAX,
           (double)INT64_MAX);
    EXPECT(ct_unique(F64(NAN, 1, NAN), &inverse, NULL), 1, NAN, NAN);
    EXPECT(inverse, 1, 0, 2);
    EXPECT(ct_unique(b, &inverse, &counts), 0, 1);
    EXPECT(inverse, 1, 0, 1);
    ck_assert(ct_tensor_dtype(ct_unique(b, NULL, NULL)) == CT_BOOL);
    ck_assert(ct_numel(ct_unique(ct_zeros(CT_SHAPE(0, 3), CT_F32, DEVICE), &inverse, NULL)) == 0);
    ck_assert(ct_size(inverse, 1) == 3);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(elements_that_are_set)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_reshape(F64(0, NAN, -0.0, 3), CT_SHAPE(2, 2)), *y;

    EXPECT(ct_nonzero(x), 0, 1, 1, 1);
    y = ct_nonzero(ct_ones(CT_SCALAR, CT_F32, DEVICE));
    ck_assert(ct_rank(y) == 2 && ct_size(y, 0) == 1 && ct_size(y, 1) == 0);
    y = ct_nonzero(ct_zeros(CT_SHAPE(3), CT_I32, DEVICE));
    ck_assert(ct_size(y, 0) == 0 && ct_size(y, 1) == 1);
    y = ct_masked_select(x, ct_zeros(CT_SHAPE(2, 2), CT_BOOL, DEVICE));
    ck_assert(ct_rank(y) == 1 && ct_numel(y) == 0);
    EXPECT(ct_masked_select(F64(1, 2), ct_ones(CT_SHAPE(2, 1), CT_BOOL, DEVICE)), 1, 2, 1, 2);
    EXPECT(ct_bincount(ct_zeros(CT_SHAPE(0), CT_I64, DEVICE), NULL, 2), 0, 0);
    EXPECT(ct_searchsorted(F64(1, 2, 2), F64(NAN, 2, -INFINITY, INFINITY), false), 3, 1, 0, 3);
    EXPECT(ct_searchsorted(F64(1, 2, 2), F64(NAN, 2, 0), true), 3, 3, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Of several elements for one index the last one is kept, and only it gets the gradient. */
START_TEST(scatter_of_repeated_indices)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(F64(1, 2, 3), true), *index = I64(2, 0, 2), *y, *g;
    ct_tensor *src = ct_set_requires_grad(F64(10, 20, 30), true), *dy = F64(5, 6, 7);

    y = ct_scatter(x, 0, index, src);
    EXPECT(y, 20, 2, 30);
    ck_assert(ct_grad(1, &y, 1, &x, &dy, false, &g) == CT_OK);
    EXPECT(g, 0, 6, 0);
    ck_assert(ct_grad(1, &y, 1, &src, &dy, false, &g) == CT_OK);
    EXPECT(g, 0, 5, 7);
    EXPECT(ct_index_copy(ct_cast(F64(0, 0), CT_BOOL), 0, I64(1), ct_cast(F64(1), CT_BOOL)), 0, 1);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(running_products_and_extremes)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(F64(2, 0, 3, 0), true), *y = ct_cumprod(x, 0), *g, *at;
    ct_tensor *dy = F64(1, 1, 1, 1);

    EXPECT(y, 2, 0, 0, 0);
    ck_assert(ct_grad(1, &y, 1, &x, &dy, false, &g) == CT_OK);
    EXPECT(g, 1, 8, 0, 0);
    EXPECT(ct_cumprod(I64(INT64_MAX, 2), 0), (double)INT64_MAX, -2);
    EXPECT(ct_cummax(F64(1, 3, 3, 2, NAN, 5), 0, &at), 1, 3, 3, 3, NAN, NAN);
    EXPECT(at, 0, 1, 2, 2, 4, 4);
    EXPECT(ct_cummin(F64(3, 1, 1, -INFINITY, NAN), 0, &at), 3, 1, 1, -INFINITY, NAN);
    EXPECT(at, 0, 1, 2, 3, 4);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* 0 in a begins again; 1 in a and 0 in b stands still; integers wrap; from the end. */
START_TEST(linear_scans)
{
    const ct_linear_scan_options back = { .reverse = true };
    ct_linear_scan_options o = { 0 };
    ct_scope s = ct_scope_begin();
    ct_tensor *a = F64(2, 0, 1, 0.5), *b = F64(1, 3, 0, 1);

    o.initial = ct_full(CT_SCALAR, 10, CT_F64, DEVICE);
    EXPECT(ct_linear_scan(a, b, 0, (ct_linear_scan_options){ 0 }), 1, 3, 3, 2.5);
    EXPECT(ct_linear_scan(a, b, 0, o), 21, 3, 3, 2.5);
    EXPECT(ct_linear_scan(a, b, -1, back), 7, 3, 1, 1);
    EXPECT(ct_linear_scan(F64(2), b, 0, (ct_linear_scan_options){ 0 }), 1, 5, 10, 21);
    EXPECT(ct_linear_scan(I64(1, 2), I64(INT64_MAX, 1), 0, (ct_linear_scan_options){ 0 }),
           (double)INT64_MAX, -1);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* The kernels run tiles of columns. Bit 0 of _i: f32; bit 1: reverse; bit 2: initial. Values against a loop over
 * steps of ops, and the kernel's gradients against those composed of ops. */
START_TEST(linear_scans_of_many_columns)
{
    static const int64_t widths[] = { 1, 63, 64, 65, 200, 512, 600 };
    const ct_dtype dtype = _i & 1 ? CT_F32 : CT_F64;
    const double tolerance = _i & 1 ? 1e-5 : 1e-14;
    ct_generator g = ct_generator_from_seed(4);

    for (int k = 0; k < LENGTH(widths); k++) {
        ct_scope s = ct_scope_begin();
        const ct_shape shape = CT_SHAPE(2, 5, widths[k]), flat = CT_SHAPE(2, widths[k]);
        ct_tensor *in[3] = { random_normal(&g, shape, dtype), random_normal(&g, shape, dtype),
                             random_normal(&g, flat, dtype) };
        ct_tensor *h = _i & 4 ? in[2] : ct_zeros(flat, dtype, DEVICE), *step[5], *y, *dy;
        ct_tensor *fused[3], *composed[3];
        const int count = _i & 4 ? 3 : 2;

        for (int i = 0; i < 3; i++)
            ct_set_requires_grad(in[i], true);
        for (int j = _i & 2 ? 4 : 0; j >= 0 && j < 5; j += _i & 2 ? -1 : 1)
            step[j] = h = ct_add(ct_mul(ct_select(in[0], 1, j), h), ct_select(in[1], 1, j));
        y = ct_linear_scan(
            in[0], in[1], 1,
            (ct_linear_scan_options){ .initial = _i & 4 ? in[2] : NULL, .reverse = _i & 2 });
        expect_same("h", y, ct_stack(5, step, 1), tolerance);
        dy = random_normal(&g, shape, dtype);
        ck_assert(ct_grad(1, &y, count, in, &dy, false, fused) == CT_OK);
        ck_assert(ct_grad(1, &y, count, in, &dy, true, composed) == CT_OK);
        for (int i = 0; i < count; i++)
            expect_same_bits("a gradient", fused[i], composed[i]);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
}
END_TEST

/* How the scans of rows are tested, by number. x has gradients where the dtype has. */
static ct_tensor *scan_of(int op, ct_tensor *x, int axis)
{
    ct_linear_scan_options o = { .reverse = op == 5 };
    ct_tensor *at, *y;

    if (op == 0 || op == 1)
        return op ? ct_cumprod(x, axis) : ct_cumsum(x, axis);
    if (op == 2 || op == 3) {
        y = op == 2 ? ct_cummax(x, axis, &at) : ct_cummin(x, axis, &at);
        return ct_add(y, ct_cast(at, ct_tensor_dtype(y)));
    }
    o.initial = op == 4 ? NULL : ct_select(x, axis, 0);
    return ct_linear_scan(x, ct_neg(x), axis, o);
}

/* Rows are scanned beside each other: the bits are those of columns, also at the borders of the blocks of
 * rows and columns. _i: the dtype. */
START_TEST(scans_of_rows)
{
    static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64 };
    static const int64_t rows[] = { 1, 11, 12, 31, 32, 33, 71 }, sizes[] = { 1, 63, 64, 65, 131 };
    ct_generator g = ct_generator_from_seed(9);

    for (int k = 0; k < LENGTH(rows) * LENGTH(sizes) * 6; k++) {
        const int op = k % 6;
        const int64_t r = rows[k / 6 % LENGTH(rows)], n = sizes[k / 6 / LENGTH(rows)];
        ct_scope s = ct_scope_begin();
        ct_tensor *x = random_normal(&g, CT_SHAPE(r, n), CT_F32), *y, *z, *dy, *dx, *dz;

        if (_i < 2 && op > 1 && op < 4 && n > 2)
            ct_copy_into(ct_select(ct_select(x, 0, r / 2), 0, n / 2),
                         ct_full(CT_SCALAR, (double)NAN, CT_F32, DEVICE));
        x = ct_cast(_i < 2 ? x : ct_mul_scalar(x, 3), dtypes[_i]);
        ct_set_requires_grad(x, _i < 2);
        y = scan_of(op, x, 1);
        z = ct_transpose(scan_of(op, ct_contiguous(ct_transpose(x, 0, 1)), 0), 0, 1);
        expect_same_bits("y", y, z);
        if (_i < 2) {
            dy = random_normal(&g, CT_SHAPE(r, n), dtypes[_i]);
            ck_assert(ct_grad(1, &y, 1, &x, &dy, false, &dx) == CT_OK);
            ck_assert(ct_grad(1, &z, 1, &x, &dy, false, &dz) == CT_OK);
            expect_same_bits("dx", dx, dz);
        }
        ck_assert(ct_scope_end(s) == CT_OK);
    }
}
END_TEST

/* The kernel's gradient of a product against the one composed of ops, at the borders of its blocks. */
START_TEST(gradients_of_products)
{
    static const int64_t shapes[][3] = {
        { 1, 1, 1 },   { 33, 64, 1 }, { 32, 65, 1 }, { 2, 130, 1 },
        { 2, 63, 31 }, { 1, 5, 33 },  { 3, 70, 64 }, { 2, 4097, 1 }
    };
    const ct_dtype dtype = _i ? CT_F32 : CT_F64;
    ct_generator g = ct_generator_from_seed(3);

    for (int k = 0; k < LENGTH(shapes); k++) {
        ct_scope s = ct_scope_begin();
        const ct_shape shape = CT_SHAPE(shapes[k][0], shapes[k][1], shapes[k][2]);
        ct_tensor *x = random_normal(&g, shape, dtype), *y, *dy, *fused, *composed;

        x = ct_add_scalar(ct_mul_scalar(x, 0.01), 1);
        if (k % 2)
            ct_copy_into(ct_select(x, 1, shapes[k][1] / 2),
                         ct_zeros(CT_SHAPE(shapes[k][0], shapes[k][2]), dtype, DEVICE));
        ct_set_requires_grad(x, true);
        y = ct_prod_axis(x, 1, false);
        dy = random_normal(&g, ct_tensor_shape(y), dtype);
        ck_assert(ct_grad(1, &y, 1, &x, &dy, false, &fused) == CT_OK);
        ck_assert(ct_grad(1, &y, 1, &x, &dy, true, &composed) == CT_OK);
        expect_same("dx", fused, composed, _i ? 1e-5 : 1e-13);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
}
END_TEST

START_TEST(diagonals)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_reshape(F64(1, 2, 3, 4, 5, 6), CT_SHAPE(2, 3)), *y = ct_diag(F64(7, 8), -1);

    EXPECT(ct_diagonal(x, 1, 0, 1), 2, 6);
    EXPECT(ct_diagonal(x, 1, 1, 0), 4);
    ck_assert(ct_numel(ct_diagonal(x, 3, 0, 1)) == 0 && ct_numel(ct_diagonal(x, -2, 0, 1)) == 0);
    EXPECT(y, 0, 0, 0, 7, 0, 0, 0, 8, 0);
    EXPECT(ct_trace(x), 6);
    ck_assert(ct_numel(ct_diag(ct_zeros(CT_SHAPE(0), CT_F32, DEVICE), 2)) == 4);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(search_misuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE),
              *v = ct_ones(CT_SHAPE(3), CT_F32, DEVICE);
    ct_tensor *mask = ct_ones(CT_SHAPE(2), CT_BOOL, DEVICE), *half = ct_cast(v, CT_BF16), *at = x;
    ct_tensor *d = ct_cast(v, CT_F64);
    ct_linear_scan_options scan = { 0 };

    REFUSED(CT_ERR_DTYPE, "ct_masked_select", "mask ... bool", ct_masked_select(x, x));
    REFUSED(CT_ERR_SHAPE, "ct_masked_select", "mask ... broadcast", ct_masked_select(x, mask));
    REFUSED(CT_ERR_DTYPE, "ct_nonzero", "bf16", ct_nonzero(half));
    REFUSED(CT_ERR_DTYPE, "ct_unique", "i64", ct_unique(half, &at, NULL));
    ck_assert_ptr_null(at);
    REFUSED(CT_ERR_DTYPE, "ct_bincount", "x ... i64", ct_bincount(v, NULL, 0));
    REFUSED(CT_ERR_INDEX, "ct_bincount", "element 1 ... -2", ct_bincount(I64(0, -2), NULL, 0));
    REFUSED(CT_ERR_SHAPE, "ct_bincount", "size", ct_bincount(I64(0, 2), v, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_bincount", "minlength is -1", ct_bincount(I64(0), NULL, -1));
    REFUSED(CT_ERR_SHAPE, "ct_searchsorted", "sorted", ct_searchsorted(x, v, false));
    REFUSED(CT_ERR_DTYPE, "ct_searchsorted", "values", ct_searchsorted(v, d, false));
    REFUSED(CT_ERR_INDEX, "ct_scatter", "index 3", ct_scatter(v, 0, I64(0, 3), v));
    REFUSED(CT_ERR_SHAPE, "ct_scatter", "index", ct_scatter(v, 0, I64(0, 1, 2, 1), v));
    REFUSED(CT_ERR_INDEX, "ct_index_copy", "index 2", ct_index_copy(x, 0, I64(0, 2), x));
    REFUSED(CT_ERR_SHAPE, "ct_index_copy", "source", ct_index_copy(x, 1, I64(0), x));
    REFUSED(CT_ERR_SHAPE, "ct_diagonal", "both", ct_diagonal(x, 0, 1, -1));
    REFUSED(CT_ERR_ARGUMENT, "ct_diagonal", "offset", ct_diagonal(x, INT64_MIN, 0, 1));
    REFUSED(CT_ERR_SHAPE, "ct_diagonal", "axis 1", ct_diagonal(v, 0, 0, 1));
    REFUSED(CT_ERR_SHAPE, "ct_diag", "rank", ct_diag(ct_ones(CT_SCALAR, CT_F32, DEVICE), 0));
    REFUSED(CT_ERR_SHAPE, "ct_trace", "rank 2", ct_trace(v));
    REFUSED(CT_ERR_DTYPE, "ct_cumprod", "i64", ct_cumprod(mask, 0));
    REFUSED(CT_ERR_SHAPE, "ct_cummax", "axis 1", ct_cummax(v, 1, NULL));
    REFUSED(CT_ERR_DTYPE, "ct_linear_scan", "i64", ct_linear_scan(mask, v, 0, scan));
    REFUSED(CT_ERR_DTYPE, "ct_linear_scan", "b", ct_linear_scan(v, d, 0, scan));
    REFUSED(CT_ERR_SHAPE, "ct_linear_scan", "broadcast",
            ct_linear_scan(ct_narrow(v, 0, 0, 2), v, 0, scan));
    REFUSED(CT_ERR_SHAPE, "ct_linear_scan", "axis 2", ct_linear_scan(x, v, 2, scan));
    scan.initial = v;
    REFUSED(CT_ERR_SHAPE, "ct_linear_scan", "options.initial ... [2]",
            ct_linear_scan(x, v, 1, scan));
    scan.initial = d;
    REFUSED(CT_ERR_DTYPE, "ct_linear_scan", "options.initial", ct_linear_scan(x, v, 0, scan));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void ops_search_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "search");

    tcase_add_test(tc, unique_values);
    tcase_add_test(tc, elements_that_are_set);
    tcase_add_test(tc, scatter_of_repeated_indices);
    tcase_add_test(tc, running_products_and_extremes);
    tcase_add_test(tc, linear_scans);
    tcase_add_loop_test(tc, linear_scans_of_many_columns, 0, 8);
    tcase_add_loop_test(tc, scans_of_rows, 0, 4);
    tcase_add_loop_test(tc, gradients_of_products, 0, 2);
    tcase_add_test(tc, diagonals);
    tcase_add_test(tc, search_misuse);
}

/* SPDX-License-Identifier: MIT */
/* ops_arrangements.c - products and arrangements of any shape, stride and dtype. */
#include "tests/cases.h"
#include "tests/harness.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_ops.h"

/* ---- arrangements of other dtypes, and views ---- */

/* More matrices than are searched for a constant step: 70 x 70, with either factor repeated. */
START_TEST(products_of_many_matrices)
{
    ct_generator g = ct_generator_from_seed(13);
    ct_scope s = ct_scope_begin();
    ct_tensor *few = ct_randn(CT_SHAPE(70, 1, 1, 2), CT_F64, DEVICE, &g);
    ct_tensor *many = ct_randn(CT_SHAPE(70, 70, 2, 1), CT_F64, DEVICE, &g);
    double *a = values_of(few), *b = values_of(many), want[4900];
    int i;

    for (i = 0; i < 4900; i++)
        want[i] = a[i / 70 * 2] * b[2 * i] + a[i / 70 * 2 + 1] * b[2 * i + 1];
    expect_values("repeated on the left", ct_matmul(few, many), want, 4900, 1e-12);
    expect_values("on the right", ct_matmul(ct_transpose(many, 2, 3), ct_transpose(few, 2, 3)),
                  want, 4900, 1e-12);
    free(a);
    free(b);
    few = ct_randn(CT_SHAPE(2, 3), CT_F64, DEVICE, &g); /* with the largest rank */
    many = ct_randn(CT_SHAPE(3, 2), CT_F64, DEVICE, &g);
    a = values_of(ct_matmul(few, many));
    expect_values("of rank 8",
                  ct_matmul(ct_reshape(few, CT_SHAPE(1, 1, 1, 1, 1, 1, 2, 3)),
                            ct_reshape(many, CT_SHAPE(1, 1, 1, 1, 1, 1, 3, 2))),
                  a, 4, 1e-15);
    free(a);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* One element more than a whole number of pieces: the last piece must not be missed. */
START_TEST(one_more_than_whole_pieces)
{
    static const int64_t pieces[] = { 1, 64, 256, 512, 1024, 4096, 8192, 16384, 32768 };
    ct_generator g = ct_generator_from_seed(15);
    size_t k;
    int64_t i;

    for (k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        const int64_t n = pieces[k] + 1;
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_randn(CT_SHAPE(n), CT_F64, DEVICE, &g), *two, *m;
        double *v = values_of(x), *w, sum = 0, squares = 0, norm;
        ct_params *set = ct_params_new((ct_params_options){ .dtype = CT_F64, .device = DEVICE });
        ct_optimizer *sgd;

        for (i = 0; i < n; i++) {
            sum += v[i];
            squares += v[i] * v[i];
        }
        expect_close("sum", ct_item(ct_sum(x)), sum, 1e-9);
        expect_close(
            "least",
            ct_item(ct_min(ct_slice(
                ct_cat(2, (ct_tensor *[]){ x, ct_full(CT_SHAPE(1), -99, CT_F64, DEVICE) }, 0), 0, 0,
                n + 1, 1))),
            -99, 0);
        w = values_of(ct_mul_scalar(ct_add(x, x), 0.5)); /* elementwise */
        ck_assert(memcmp(v, w, (size_t)n * sizeof *v) == 0);
        free(w);
        two = ct_stack(2, (ct_tensor *[]){ x, ct_neg(x) }, 1); /* (n, 2), for rows and for a wide
                                                              * product */
        w = values_of(ct_contiguous(ct_transpose(two, 0, 1)));
        ck_assert(memcmp(v, w, (size_t)n * sizeof *v) == 0);
        free(w);
        expect_close("softmax of the last row",
                     ct_item(ct_select(ct_select(ct_softmax(two, 1), 0, n - 1), 0, 0)),
                     1 / (1 + exp(-2 * v[n - 1])), 1e-12);
        expect_close("sum of the last row",
                     ct_item(ct_select(ct_sum_axes(two, 1, (int[]){ 1 }, false), 0, n - 1)), 0, 0);
        expect_close("column", ct_item(ct_select(ct_sum_axes(two, 1, (int[]){ 0 }, false), 0, 1)),
                     -sum, 1e-9);
        m = ct_matmul(two, ct_from_data((double[]){ 2, 3, 1, 1 }, CT_SHAPE(2, 2), CT_F64, DEVICE));
        for (i = 0; i < n; i += i < n - 3 ? n / 3 + 1 : 1)
            expect_close("product", ct_item(ct_select(ct_select(m, 0, i), 0, 1)), 2 * v[i], 1e-12);
        expect_close("the last product", ct_item(ct_select(ct_select(m, 0, n - 1), 0, 0)), v[n - 1],
                     1e-12);

        ct_params_add(set, "x", CT_SHAPE(n), ct_init_constant(0)); /* for the norm and the update */
        sgd = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
        ct_backward_with(ct_param_value(ct_params_get(set, "x")), x);
        ck_assert(ct_clip_grad_norm(set, 1e30, &norm) == CT_OK);
        expect_close("norm", norm, sqrt(squares), 1e-9);
        ck_assert(ct_optimizer_step(sgd) == CT_OK);
        w = values_of(ct_neg(ct_param_value(ct_params_get(set, "x"))));
        ck_assert(memcmp(v, w, (size_t)n * sizeof *v) == 0);
        free(w);
        ct_optimizer_free(sgd);
        ct_params_free(set);
        w = values_of(ct_dropout(ct_ones(CT_SHAPE(n), CT_F32, DEVICE), 0.5, &g));
        for (i = 0; i < n; i++)
            if (w[i] != 0 && w[i] != 2)
                ck_abort_msg("dropout made %g of element %lld of %lld", w[i], (long long)i,
                             (long long)n);
        free(w);
        free(v);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
}
END_TEST

/* Makes a batch of matrices (..., rows, columns) whose axes may be 1, missing, expanded, permuted
 * or strided. *values receives the values of the whole batch, with all axes broadcast. */
static ct_tensor *some_matrices(ct_generator *g, ct_shape batch, int64_t rows, int64_t columns,
                                double **values)
{
    ct_shape own = batch, whole = batch;
    int i, lead = (int)ct_random_below(g, (uint64_t)batch.rank + 1);
    ct_tensor *t;

    for (i = 0; i < batch.rank; i++)
        if (ct_random_below(g, 3) == 0)
            own.dim[i] = 1;
    for (i = 0; i < batch.rank - lead; i++)
        own.dim[i] = own.dim[i + lead];
    own.rank -= lead;
    own.dim[own.rank++] = ct_random_below(g, 2) ? rows : -rows;
    own.dim[own.rank++] = columns;
    i = own.rank - 2;
    if (own.dim[i] < 0) { /* transposed */
        own.dim[i] = columns;
        own.dim[i + 1] = rows;
        t = ct_transpose(ct_randn(own, CT_F64, DEVICE, g), -1, -2);
    } else {
        own.dim[i] = 2 * rows; /* every second row */
        t = ct_slice(ct_randn(own, CT_F64, DEVICE, g), i, 0, 2 * rows, 2);
    }
    if (own.rank > 3 && ct_random_below(g, 2)) {
        own = ct_tensor_shape(t);
        t = ct_clone(ct_transpose(t, 0, 1));
        t = ct_transpose(t, 0, 1);
    }
    whole.dim[whole.rank++] = rows;
    whole.dim[whole.rank++] = columns;
    *values = values_of(ct_contiguous(ct_expand(t, whole)));
    if (ct_random_below(g, 3) == 0) { /* an expanded axis instead of one of size 1 */
        own = ct_tensor_shape(t);
        for (i = 1; i <= own.rank - 2; i++)
            own.dim[own.rank - 2 - i] = batch.dim[batch.rank - i];
        t = ct_expand(t, own);
    }
    return t;
}

START_TEST(products_of_any_batches)
{
    ct_generator g = ct_generator_from_seed(12);
    int round, i;

    for (round = 0; round < harness_count(harness_rounds(10, 120), 2000); round++) {
        ct_scope s = ct_scope_begin();
        ct_shape batch = { .rank = 1 + (int)ct_random_below(&g, 3) };
        int64_t m = 1 + (int64_t)ct_random_below(&g, 4), n = 1 + (int64_t)ct_random_below(&g, 4);
        int64_t k = (int64_t)ct_random_below(&g, 5), count = 1, r, c, l;
        double *a, *b, *want, sum;
        ct_tensor *x, *y, *z;

        for (i = 0; i < batch.rank; i++) {
            batch.dim[i] = 1 + (int64_t)ct_random_below(&g, 3);
            count *= batch.dim[i];
        }
        k += round % 11 != 0;
        x = some_matrices(&g, batch, m, k, &a);
        y = some_matrices(&g, batch, k, n, &b);
        want = calloc((size_t)(count * m * n) + 1, sizeof *want);
        for (i = 0; i < count; i++)
            for (r = 0; r < m; r++)
                for (c = 0; c < n; c++) {
                    for (l = 0, sum = 0; l < k; l++)
                        sum += a[(i * m + r) * k + l] * b[(i * k + l) * n + c];
                    want[(i * m + r) * n + c] = sum;
                }
        z = ct_matmul(x, y);
        ck_assert_msg(z != NULL, "%s", ct_error_message());
        batch.dim[batch.rank++] = m;
        batch.dim[batch.rank++] = n;
        z = ct_expand(z, batch); /* both operands may be narrower than the batch */
        expect_values("product", z, want, (size_t)(count * m * n), 1e-12);
        free(a);
        free(b);
        free(want);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
}
END_TEST

START_TEST(arrangements_take_any_dtype)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *b = ct_cast(I64(1, 0, 0), CT_BOOL), *h = ct_cast(F64(1, 2, 3), CT_BF16);
    ct_tensor *m = ct_reshape(ct_arange(1, 7, 1, CT_I32, DEVICE), CT_SHAPE(2, 3));
    const int axes[] = { 0, -1 };

    EXPECT(ct_flip(b, 1, axes), 0, 0, 1);
    EXPECT(ct_cast(ct_flip(h, 1, axes), CT_F32), 3, 2, 1);
    EXPECT(ct_flip(m, 2, axes), 6, 5, 4, 3, 2, 1);
    EXPECT(ct_flip(m, 0, NULL), 1, 2, 3, 4, 5, 6);
    EXPECT(ct_roll(m, -4, 1), 2, 3, 1, 5, 6, 4);
    EXPECT(ct_tril(m, 0), 1, 0, 0, 4, 5, 0);
    EXPECT(ct_triu(m, INT64_MAX), 0, 0, 0, 0, 0, 0);
    EXPECT(ct_triu(m, INT64_MIN), 1, 2, 3, 4, 5, 6);
    EXPECT(ct_pad(b, 2, (int64_t[]){ 1, 2 }, 1), 1, 1, 0, 0, 1, 1);
    EXPECT(ct_repeat(I64(1, 2), 2, (int64_t[]){ 2, 2 }), 1, 2, 1, 2, 1, 2, 1, 2);
    EXPECT(ct_gather(b, 0, I64(0, 0, 2, 0)), 1, 1, 0, 1);
    EXPECT(ct_take(m, I64(5, 0)), 6, 1);
    EXPECT(ct_scatter_add(I64(1, 1), 0, I64(1, 1, 0), I64(5, 6, 7)), 8, 12);
    EXPECT(ct_cumsum(m, 0), 1, 2, 3, 5, 7, 9);
    EXPECT(ct_outer(I64(1, 2), I64(3, 4)), 3, 4, 6, 8);
    EXPECT(ct_full_like(m, 7), 7, 7, 7, 7, 7, 7);
    ck_assert_int_eq(ct_tensor_dtype(ct_zeros_like(b)), CT_BOOL);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* About as many parts as have lengths in the stack buffer, of different lengths; each part gets its
 * own range of the gradient. */
START_TEST(many_parts_of_a_cat)
{
    static const int counts[] = { 255, 256, 257, 600 };
    ct_scope s = ct_scope_begin();
    ct_tensor *parts[600], *y;
    int64_t length = 0;
    int i;

    for (i = 0; i < counts[_i]; i++) {
        parts[i] = ct_set_requires_grad(ct_zeros(CT_SHAPE(i % 4), CT_F64, DEVICE), i % 3 != 1);
        length += i % 4;
    }
    y = ct_cat(counts[_i], parts, 0);
    ck_assert_int_eq(ct_numel(y), length);
    ck_assert(ct_backward_with(y, ct_arange(0, (double)length, 1, CT_F64, DEVICE)) == CT_OK);
    for (i = 0, length = 0; i < counts[_i]; length += i++ % 4) {
        const double d = (double)length;

        if (i % 3 == 1)
            ck_assert_ptr_null(ct_tensor_grad(parts[i]));
        else
            expect_values("part", ct_tensor_grad(parts[i]), (double[]){ d, d + 1, d + 2 },
                          (size_t)(i % 4), 0);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(a_repeat_is_no_view)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = F64(1, 2), *y = ct_repeat(x, 1, (int64_t[]){ 1 });

    ck_assert(ct_fill(x, 9) == CT_OK);
    EXPECT(y, 1, 2);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Makes a view (4, 6, 4) with random strides. */
static ct_tensor *strange_view(ct_generator *g)
{
    ct_tensor *x = ct_randn(CT_SHAPE(4, 6, 4), CT_F64, DEVICE, g);
    int k;

    for (k = 0; k < 3; k++) {
        int axis = (int)ct_random_below(g, (uint64_t)ct_rank(x));

        switch (ct_random_below(g, 6)) {
        case 0:
            x = ct_transpose(x, axis, 0);
            break;
        case 1:
            x = ct_narrow(x, axis, 0, 1 + ct_size(x, axis) / 2);
            break;
        case 2:
            x = ct_slice(x, axis, 0, ct_size(x, axis), 2);
            break;
        case 3:
            x = ct_rank(x) < 5 ? ct_unsqueeze(x, axis) : x;
            break;
        case 4:
            x = ct_rank(x) > 1 ? ct_select(x, axis, 0) : x;
            break;
        default:
            break;
        }
    }
    return x;
}

/* Returns a random shape of n elements. */
static ct_shape random_factors(int64_t n, ct_generator *g)
{
    ct_shape shape = CT_SCALAR;

    while (shape.rank < 5 && (n > 1 || ct_random_below(g, 2))) {
        int64_t d = 1 + (int64_t)ct_random_below(g, (uint64_t)n);

        d = shape.rank == 4 ? n : d;
        while (n % d)
            d--;
        shape.dim[shape.rank++] = d;
        n /= d;
    }
    return shape;
}

/* Returns the offset of element number i, from the strides; NULL strides mean row-major. */
static int64_t place_of(const ct_shape *shape, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    int k;

    for (k = shape->rank - 1; k >= 0; k--) {
        at += i % shape->dim[k] * stride[k];
        i /= shape->dim[k];
    }
    return at;
}

/* True if x can be viewed in this shape. Tries the strides that one step along each axis
 * requires. */
static bool can_be_view(const ct_tensor *x, const ct_shape *shape)
{
    int64_t stride[CT_MAX_RANK], step = 1, i;
    int k;

    for (k = shape->rank - 1; k >= 0; k--) {
        stride[k] = shape->dim[k] > 1 ? place_of(&x->shape, x->stride, step) : 0;
        step *= shape->dim[k];
    }
    for (i = 0; i < x->numel; i++)
        if (place_of(shape, stride, i) != place_of(&x->shape, x->stride, i))
            return false;
    return true;
}

START_TEST(a_reshape_is_a_view_where_it_can_be)
{
    ct_generator g = ct_generator_from_seed(8);
    int rounds = harness_count(2000, 50000), views = 0, copies = 0, round;

    for (round = 0; round < rounds; round++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = strange_view(&g), *y = ct_reshape(x, random_factors(ct_numel(x), &g));
        bool view = y && y->storage == x->storage;
        double *a, *b;

        ck_assert_msg(y && view == can_be_view(x, &y->shape), "round %d: %s is %s: %s", round,
                      cti_describe(x).s, view ? "a view" : "copied", ct_error_message());
        views += view;
        copies += !view;
        a = values_of(ct_contiguous(x));
        b = values_of(ct_contiguous(y));
        ck_assert_mem_eq(a, b, (size_t)ct_numel(x) * sizeof *a);
        free(a);
        free(b);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    ck_assert(views > rounds / 5 && copies > rounds / 5);
}
END_TEST

START_TEST(parts_of_a_split_are_views)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = F64(1, 2, 3, 4, 5, 6), *parts[3];

    ck_assert(ct_split(x, 3, NULL, 0, parts) == CT_OK);
    EXPECT(parts[2], 5, 6);
    ck_assert(ct_split(x, 3, (int64_t[]){ 1, 0, 5 }, -1, parts) == CT_OK);
    ck_assert_int_eq(ct_numel(parts[1]), 0);
    ck_assert(ct_fill(parts[0], 9) == CT_OK);
    EXPECT(x, 9, 2, 3, 4, 5, 6);
    ck_assert(ct_to(x, DEVICE) == x);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void ops_arrangements_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "values");

    tcase_add_test(tc, products_of_any_batches);
    tcase_add_test(tc, products_of_many_matrices);
    tcase_add_test(tc, one_more_than_whole_pieces);
    tcase_add_test(tc, arrangements_take_any_dtype);
    tcase_add_loop_test(tc, many_parts_of_a_cat, 0, 4);
    tcase_add_test(tc, a_repeat_is_no_view);
    tcase_add_test(tc, a_reshape_is_a_view_where_it_can_be);
    tcase_add_test(tc, parts_of_a_split_are_views);
}

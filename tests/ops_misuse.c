/* SPDX-License-Identifier: MIT */
/* ops_misuse.c - invalid arguments of ops. */
#include "tests/harness.h"
#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_ops.h"

/* ---- misuse ---- */

static const int no_axis[] = { 0, 5 }, twice[] = { 1, -1 }, first[] = { 0 };

/* Shapes that differ in one axis, at any position, and with different ranks. */
START_TEST(broadcasts_refuse)
{
    static const int64_t whole[] = { 2, 3, 4, 5 };
    int rank, less, axis;

    for (rank = 1; rank <= 4; rank++)
        for (less = 0; less < rank; less++)
            for (axis = less; axis < rank; axis++) {
                ct_scope s = ct_scope_begin();
                ct_shape a = ct_shape_from_sizes(rank, whole),
                         b = ct_shape_from_sizes(rank - less, whole + less);
                ct_tensor *x, *y;
                char word[100];

                b.dim[axis - less] = 7;
                x = ct_zeros(a, CT_F32, DEVICE);
                y = ct_zeros(b, CT_F32, DEVICE);
                snprintf(word, sizeof word, "broadcast ... axis %d: %d vs 7", axis,
                         (int)whole[axis]);
                REFUSED(CT_ERR_SHAPE, "ct_add", word, ct_add(x, y));
                snprintf(word, sizeof word, "broadcast ... axis %d: 7 vs %d", axis,
                         (int)whole[axis]);
                REFUSED(CT_ERR_SHAPE, "ct_maximum", word, ct_maximum(y, x));
                ck_assert(ct_where(ct_ones(CT_SCALAR, CT_BOOL, DEVICE), x, y) == NULL);
                ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
                ct_error_clear();
                ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
            }
}
END_TEST

/* The _axis form gives the same bits as the _axes form with one axis. */
START_TEST(one_axis)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(3);

    for (int axis = -3; axis < 3; axis++)
        for (int keep = 0; keep < 2; keep++) {
            ct_tensor *x = ct_randn(CT_SHAPE(2, 5, 3), CT_F64, DEVICE, &g);
            ct_tensor *b = ct_gt(x, ct_zeros_like(x));
            ct_tensor *pairs[][2] = {
                { ct_sum_axis(x, axis, keep), ct_sum_axes(x, 1, &axis, keep) },
                { ct_mean_axis(x, axis, keep), ct_mean_axes(x, 1, &axis, keep) },
                { ct_prod_axis(x, axis, keep), ct_prod_axes(x, 1, &axis, keep) },
                { ct_amax_axis(x, axis, keep), ct_amax_axes(x, 1, &axis, keep) },
                { ct_amin_axis(x, axis, keep), ct_amin_axes(x, 1, &axis, keep) },
                { ct_logsumexp_axis(x, axis, keep), ct_logsumexp_axes(x, 1, &axis, keep) },
                { ct_any_axis(b, axis, keep), ct_any_axes(b, 1, &axis, keep) },
                { ct_all_axis(b, axis, keep), ct_all_axes(b, 1, &axis, keep) },
                { ct_var_axis(x, axis, 0.5, keep), ct_var_axes(x, 1, &axis, 0.5, keep) },
                { ct_std_axis(x, axis, 0.5, keep), ct_std_axes(x, 1, &axis, 0.5, keep) },
                { ct_norm_axis(x, 3, axis, keep), ct_norm_axes(x, 3, 1, &axis, keep) },
            };

            for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
                ck_assert(pairs[i][0] && pairs[i][1]);
                ck_assert_int_eq(ct_rank(pairs[i][0]), keep ? 3 : 2);
                ck_assert_msg(same_bytes(pairs[i][0], pairs[i][1]), "number %zu", i);
            }
        }
    REFUSED(CT_ERR_SHAPE, "ct_sum_axis", "axis 3",
            ct_sum_axis(ct_zeros(CT_SHAPE(2, 5, 3), CT_F64, DEVICE), 3, false));
    EXPECT_NO_VALUE(ct_sum_axis(NULL, 0, false));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(reductions_refuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *i = ct_cast(x, CT_I64), *k = x;
    ct_tensor *b = ct_cast(x, CT_BOOL), *none = ct_ones(CT_SHAPE(2, 0), CT_F64, DEVICE);

    REFUSED(CT_ERR_SHAPE, "ct_prod_axes", "axis 5", ct_prod_axes(x, 2, no_axis, false));
    REFUSED(CT_ERR_SHAPE, "ct_prod_axes", "twice", ct_prod_axes(x, 2, twice, false));
    REFUSED(CT_ERR_DTYPE, "ct_prod", "i64", ct_prod(b));
    REFUSED(CT_ERR_DTYPE, "ct_max", "i64", ct_max(b));
    REFUSED(CT_ERR_SHAPE, "ct_max", "size 0", ct_max(none));
    REFUSED(CT_ERR_SHAPE, "ct_min", "size 0", ct_min(none));
    REFUSED(CT_ERR_SHAPE, "ct_amax_axes", "axis 5", ct_amax_axes(x, 2, no_axis, true));
    REFUSED(CT_ERR_SHAPE, "ct_amin_axes", "size 0", ct_amin_axes(none, 1, twice, true));
    REFUSED(CT_ERR_SHAPE, "ct_max_axis", "axis 2", ct_max_axis(x, 2, false, &k));
    ck_assert_ptr_null(k);
    REFUSED(CT_ERR_SHAPE, "ct_min_axis", "size 0", ct_min_axis(none, 1, false, NULL));
    REFUSED(CT_ERR_DTYPE, "ct_var", "f32 or f64", ct_var(i));
    REFUSED(CT_ERR_DTYPE, "ct_std", "f32 or f64", ct_std(i));
    REFUSED(CT_ERR_ARGUMENT, "ct_var_axes", "correction is nan",
            ct_var_axes(x, 1, first, (double)NAN, false));
    REFUSED(CT_ERR_SHAPE, "ct_std_axes", "axis -1 of f32[2,3]", ct_std_axes(x, 2, twice, 1, false));
    REFUSED(CT_ERR_ARGUMENT, "ct_norm", "p is nan", ct_norm(x, (double)NAN));
    REFUSED(CT_ERR_SHAPE, "ct_norm", "axis 1 of x f64[2,0]", ct_norm(none, -0.5));
    REFUSED(CT_ERR_DTYPE, "ct_norm", "x bool[2,3] cpu must be f32 or f64", ct_norm(b, 2));
    REFUSED(CT_ERR_ARGUMENT, "ct_norm_axes", "p is nan",
            ct_norm_axes(x, (double)NAN, 1, first, false));
    REFUSED(CT_ERR_SHAPE, "ct_norm_axes", "axis 1 of x f64[2,0]",
            ct_norm_axes(none, INFINITY, 1, twice, false));
    REFUSED(CT_ERR_SHAPE, "ct_logsumexp_axes", "axis 1 of x f64[2,0]",
            ct_logsumexp_axes(none, 1, twice, false));
    REFUSED(CT_ERR_DTYPE, "ct_logsumexp_axes", "x i64[2,3]", ct_logsumexp_axes(i, 1, first, false));
    REFUSED(CT_ERR_DTYPE, "ct_any", "x f32[2,3]", ct_any(x));
    REFUSED(CT_ERR_DTYPE, "ct_all", "x i64[2,3]", ct_all(i));
    REFUSED(CT_ERR_SHAPE, "ct_any_axes", "axis 5 is not an axis of bool[2,3] cpu",
            ct_any_axes(b, 2, no_axis, false));
    REFUSED(CT_ERR_SHAPE, "ct_all_axes", "axis -1 of bool[2,3] cpu is listed twice",
            ct_all_axes(b, 2, twice, false));
    REFUSED(CT_ERR_SHAPE, "ct_cumsum", "axis -3 is not an axis of f32[2,3]", ct_cumsum(x, -3));
    REFUSED(CT_ERR_DTYPE, "ct_cumsum", "x bool[2,3] cpu must be f32, f64, i32 or i64",
            ct_cumsum(b, 0));
    REFUSED(CT_ERR_SHAPE, "ct_logcumsumexp", "axis 2 is not", ct_logcumsumexp(x, 2));
    REFUSED(CT_ERR_DTYPE, "ct_logcumsumexp", "x i64[2,3]", ct_logcumsumexp(i, 0));
    EXPECT_NO_VALUE(ct_prod(NULL));
    EXPECT_NO_VALUE(ct_amax_axes(NULL, 0, NULL, false));
    EXPECT_NO_VALUE(ct_var_axes(NULL, 0, NULL, 1, false));
    EXPECT_NO_VALUE(ct_norm(NULL, 0));
    EXPECT_NO_VALUE(ct_logsumexp_axes(NULL, 0, NULL, false));
    EXPECT_NO_VALUE(ct_any(NULL));
    EXPECT_NO_VALUE(ct_cumsum(NULL, 0));
    EXPECT_NO_VALUE(ct_logcumsumexp(NULL, 0));
    k = x;
    EXPECT_NO_VALUE(ct_max_axis(NULL, 0, false, &k));
    ck_assert_ptr_null(k);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Sizes that are too large for BLAS, in tensors without elements, and the largest allowed size.
 * Where addresses have 32 bits, no tensor has such a size. */
START_TEST(products_that_are_too_large)
{
    const int64_t most = INT32_MAX, more = most + 1;
    ct_scope s = ct_scope_begin();
    int i;

    if (PTRDIFF_MAX == INT32_MAX) {
        REFUSED(CT_ERR_SHAPE, "ct_zeros", "overflows", ct_zeros(CT_SHAPE(0, most), CT_F32, DEVICE));
        ck_assert(ct_scope_end(s) == CT_OK);
        return;
    }

#define NOTHING(rows, columns) ct_zeros(CT_SHAPE(rows, columns), CT_F32, DEVICE)
    REFUSED(CT_ERR_SHAPE, "ct_matmul", "too large", ct_matmul(NOTHING(0, more), NOTHING(more, 0)));
    REFUSED(CT_ERR_SHAPE, "ct_matmul", "too large", ct_matmul(NOTHING(0, 0), NOTHING(0, more)));
    REFUSED(CT_ERR_SHAPE, "ct_linear", "too large",
            ct_linear(NOTHING(0, more), NOTHING(0, more), NULL));
    REFUSED(CT_ERR_SHAPE, "ct_linear", "too large",
            ct_linear(NOTHING(0, 0), NOTHING(more, 0), NULL));
    for (i = 0; i < 2; i++) { /* the number of rows is not limited */
        ck_assert(ct_matmul(NOTHING(i ? more : 0, i ? 0 : most), NOTHING(i ? 0 : most, 0)));
        ck_assert(ct_matmul(NOTHING(0, 0), NOTHING(0, most)));
        ck_assert(ct_linear(NOTHING(i ? more : 0, i ? 0 : most), NOTHING(0, i ? 0 : most), NULL));
        ck_assert(ct_linear(NOTHING(0, 0), NOTHING(most, 0), NULL));
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(vectors_refuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = ct_ones(CT_SHAPE(3), CT_F32, DEVICE), *b = ct_ones(CT_SHAPE(4), CT_F32, DEVICE);
    ct_tensor *m = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *d = ct_cast(a, CT_F64);

    REFUSED(CT_ERR_SHAPE, "ct_dot", "length", ct_dot(a, b));
    REFUSED(CT_ERR_SHAPE, "ct_dot", "rank 1", ct_dot(m, a));
    REFUSED(CT_ERR_DTYPE, "ct_dot", "b ... dtype", ct_dot(a, d));
    REFUSED(CT_ERR_DTYPE, "ct_dot", "f32 or f64", ct_dot(ct_cast(a, CT_I32), ct_cast(a, CT_I32)));
    REFUSED(CT_ERR_SHAPE, "ct_outer", "rank 1", ct_outer(a, m));
    REFUSED(CT_ERR_DTYPE, "ct_outer", "b ... dtype", ct_outer(d, a));
    m = ct_ones(CT_SHAPE(1, 3), CT_F32, DEVICE); /* a matrix with the same number of elements, which
                                                  * would broadcast */
    REFUSED(CT_ERR_SHAPE, "ct_dot", "a f32[3]", ct_dot(a, m));
    REFUSED(CT_ERR_SHAPE, "ct_dot", "a f32[1,3]", ct_dot(m, a));
    REFUSED(CT_ERR_SHAPE, "ct_outer", "a f32[1,3]", ct_outer(m, a));
    REFUSED(CT_ERR_SHAPE, "ct_outer", "a f32[3]", ct_outer(a, m));
    EXPECT_NO_VALUE(ct_dot(NULL, a));
    EXPECT_NO_VALUE(ct_outer(a, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(arrangements_refuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *parts[3] = { x, x, x };
    ct_tensor *v = ct_ones(CT_SHAPE(3), CT_F32, DEVICE);

    ck_assert(ct_split(x, 2, NULL, 1, parts) == CT_ERR_SHAPE);
    ck_assert(!parts[0] && !parts[1] && parts[2] == x);
    expect_error(CT_ERR_SHAPE, "ct_split", "split ... 2");
    ck_assert(ct_split(x, 3, (int64_t[]){ 1, 1, 2 }, -1, parts) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_split", "split ... 3");
    ck_assert(ct_split(x, 3, (int64_t[]){ 4, -1, 0 }, 1, parts) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_split", "split ... 3");
    ck_assert(ct_split(x, 0, NULL, 1, parts) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_split", "count is 0");
    ck_assert(ct_split(x, 1, NULL, 1, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_split", "parts is NULL");
    ck_assert(ct_split(NULL, 1, NULL, 1, parts) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_split", "x is NULL");
    ck_assert(ct_split(x, 1, NULL, 2, parts) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_split", "axis 2");
    REFUSED(CT_ERR_SHAPE, "ct_flip", "twice", ct_flip(x, 2, twice));
    REFUSED(CT_ERR_SHAPE, "ct_flip", "axis 5", ct_flip(x, 2, no_axis));
    REFUSED(CT_ERR_SHAPE, "ct_roll", "axis 2", ct_roll(x, 1, 2));
    REFUSED(CT_ERR_SHAPE, "ct_pad", "count is 3", ct_pad(x, 3, (int64_t[]){ 1, 1, 1 }, 0));
    REFUSED(CT_ERR_SHAPE, "ct_pad", "count is 4", ct_pad(v, 4, (int64_t[]){ 1, 1, 1, 1 }, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_pad", "sizes[1] is -1", ct_pad(v, 2, (int64_t[]){ 1, -1 }, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_pad", "is 9223372036854775807",
            ct_pad(v, 2, (int64_t[]){ INT64_MAX, 0 }, 0));
    REFUSED(CT_ERR_SHAPE, "ct_repeat", "count is 1", ct_repeat(x, 1, (int64_t[]){ 2 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_repeat", "times[1] is -2", ct_repeat(x, 2, (int64_t[]){ 1, -2 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_repeat", "too large",
            ct_repeat(x, 2, (int64_t[]){ INT64_MAX, 1 }));
    REFUSED(CT_ERR_SHAPE, "ct_repeat", "too large",
            ct_repeat(x, 2, (int64_t[]){ INT64_C(1) << 60, 3 }));
    REFUSED(CT_ERR_SHAPE, "ct_tril", "x f32[3]", ct_tril(v, 0));
    REFUSED(CT_ERR_SHAPE, "ct_triu", "x f32[3]", ct_triu(v, 0));
    REFUSED(CT_ERR_DEVICE, "ct_to", "x f32[2,3]", ct_to(x, 77));
    EXPECT_NO_VALUE(ct_flip(NULL, 0, NULL));
    EXPECT_NO_VALUE(ct_roll(NULL, 0, 0));
    EXPECT_NO_VALUE(ct_pad(NULL, 0, NULL, 0));
    EXPECT_NO_VALUE(ct_repeat(NULL, 0, NULL));
    EXPECT_NO_VALUE(ct_tril(NULL, 0));
    EXPECT_NO_VALUE(ct_to(NULL, 77));
    EXPECT_NO_VALUE(ct_full_like(NULL, 0));
    EXPECT_NO_VALUE(ct_zeros_like(NULL));
    EXPECT_NO_VALUE(ct_ones_like(NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Shapes for ct_reshape: the number of elements of the tensor, the shape, and the size that -1
 * becomes (0 if the shape has no -1); invalid shapes are refused. */
START_TEST(shapes_asked_for)
{
    static const struct {
        int64_t numel;
        ct_shape asked;
        bool refused;
        int64_t open;
    } cases[] = {
        { 6, { 1, { 6 } }, false, 0 },
        { 6, { 1, { -1 } }, false, 6 },
        { 6, { 2, { -1, 6 } }, false, 1 },
        { 6, { 3, { 3, -1, 2 } }, false, 1 },
        { 6, { 8, { 1, 1, 1, 1, 1, 1, 2, -1 } }, false, 3 },
        { 1, { 0, { 0 } }, false, 0 },
        { 1, { 2, { -1, 1 } }, false, 1 },
        { 0, { 1, { 0 } }, false, 0 },
        { 0, { 3, { 4, 0, 7 } }, false, 0 },
        { 0, { 1, { -1 } }, false, 0 },
        { 0, { 2, { 5, -1 } }, false, 0 },
        { 0, { 2, { 0, INT64_MAX } }, false, 0 },
        { 6, { 0, { 0 } }, true, 0 },
        { 6, { 1, { 7 } }, true, 0 },
        { 6, { 2, { 4, -1 } }, true, 0 },
        { 6, { 2, { 12, -1 } }, true, 0 },
        { 6, { 2, { -1, -1 } }, true, 0 },
        { 6, { 2, { -2, -3 } }, true, 0 },
        { 6, { 2, { -2, 3 } }, true, 0 },
        { 6, { 2, { 0, -1 } }, true, 0 },
        { 6, { 2, { INT64_MAX, 2 } }, true, 0 },
        { 6, { 3, { INT64_C(1) << 32, INT64_C(1) << 32, -1 } }, true, 0 },
        { 6, { -1, { 0 } }, true, 0 },
        { 6, { 9, { 1, 1, 1, 1, 1, 1, 1, 6 } }, true, 0 },
        { 1, { -1, { 0 } }, true, 0 },
        { 0, { 2, { 0, -1 } }, true, 0 },
        { 0, { 2, { -2, 0 } }, true, 0 },
        { 0, { 3, { -1, -1, 0 } }, true, 0 },
        { 0, { 3, { INT64_MAX, 2, 0 } }, true, 0 },
    };
    size_t i;
    int k;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_ones(CT_SHAPE(cases[i].numel), CT_F32, DEVICE);
        ct_tensor *y = ct_reshape(x, cases[i].asked);

        ck_assert_msg(!y == cases[i].refused, "case %d", (int)i);
        if (cases[i].refused) {
            ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
            ct_error_clear();
        } else {
            ck_assert_int_eq(ct_rank(y), cases[i].asked.rank);
            for (k = 0; k < cases[i].asked.rank; k++)
                ck_assert_int_eq(ct_size(y, k), cases[i].asked.dim[k] == -1
                                                    ? cases[i].open
                                                    : cases[i].asked.dim[k]);
        }
        ck_assert(ct_scope_end(s) == ct_error() || cases[i].refused);
    }
}
END_TEST

START_TEST(indexing_refuses)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *k = I64(0, 2, 1), *v = F64(1, 2);
    ct_tensor *kk = ct_reshape(k, CT_SHAPE(1, 3)), *b = ct_cast(x, CT_BOOL);

    REFUSED(CT_ERR_INDEX, "ct_gather", "index 2", ct_gather(v, 0, k));
    REFUSED(CT_ERR_INDEX, "ct_gather", "index -1", ct_gather(v, 0, I64(-1)));
    REFUSED(CT_ERR_SHAPE, "ct_gather", "index ... rank", ct_gather(x, -1, k));
    REFUSED(CT_ERR_SHAPE, "ct_gather", "index ... rank",
            ct_gather(x, 1, ct_reshape(k, CT_SHAPE(3, 1))));
    REFUSED(CT_ERR_DTYPE, "ct_gather", "i32 or i64", ct_gather(v, 0, v));
    REFUSED(CT_ERR_SHAPE, "ct_gather", "axis 2", ct_gather(x, 2, kk));
    REFUSED(CT_ERR_INDEX, "ct_scatter_add", "index 2", ct_scatter_add(x, 0, kk, x));
    REFUSED(CT_ERR_SHAPE, "ct_scatter_add", "index ... rank",
            ct_scatter_add(x, 1, kk, ct_narrow(x, 1, 0, 2)));
    REFUSED(CT_ERR_DTYPE, "ct_scatter_add", "src ... dtype",
            ct_scatter_add(x, 1, kk, ct_cast(x, CT_F64)));
    REFUSED(CT_ERR_DTYPE, "ct_scatter_add", "x bool[2,3] cpu must be f32, f64, i32 or i64",
            ct_scatter_add(b, 1, kk, b));
    REFUSED(CT_ERR_INDEX, "ct_take", "index 2 at position 1 of i64[3]", ct_take(v, k));
    REFUSED(CT_ERR_DTYPE, "ct_take", "indices f64[2]", ct_take(x, v));
    REFUSED(CT_ERR_INDEX, "ct_index_add", "index 2 at position 1 of i64[3]",
            ct_index_add(v, 0, k, F64(1, 2, 3)));
    REFUSED(CT_ERR_SHAPE, "ct_index_add", "x f64[2]", ct_index_add(v, 0, k, v));
    REFUSED(CT_ERR_DTYPE, "ct_index_add", "x i64[3]", ct_index_add(k, 0, k, k));
    EXPECT_NO_VALUE(ct_gather(NULL, 0, k));
    EXPECT_NO_VALUE(ct_scatter_add(x, 0, kk, NULL));
    EXPECT_NO_VALUE(ct_take(x, NULL));
    EXPECT_NO_VALUE(ct_index_add(NULL, 0, k, x));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(sorting_and_draws_refuse)
{
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *b = ct_cast(x, CT_BOOL), *k = x;
    ct_tensor *w = ct_reshape(F64(1, 2, 0, 3, -1, 1), CT_SHAPE(2, 3));

    REFUSED(CT_ERR_DTYPE, "ct_sort", "i64", ct_sort(b, 0, false, &k));
    ck_assert_ptr_null(k);
    REFUSED(CT_ERR_SHAPE, "ct_sort", "axis 2", ct_sort(x, 2, false, NULL));
    REFUSED(CT_ERR_SHAPE, "ct_argsort", "axis -3", ct_argsort(x, -3, false));
    REFUSED(CT_ERR_ARGUMENT, "ct_topk", "k is 4", ct_topk(x, 4, -1, true, NULL));
    REFUSED(CT_ERR_ARGUMENT, "ct_topk", "k is -1", ct_topk(x, -1, 0, true, NULL));
    REFUSED(CT_ERR_ARGUMENT, "ct_dropout", "p is 1", ct_dropout(x, 1, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_dropout", "p is nan", ct_dropout(x, (double)NAN, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_dropout", "g is NULL", ct_dropout(x, 0.5, NULL));
    REFUSED(CT_ERR_DTYPE, "ct_dropout", "f32 or f64", ct_dropout(b, 0.5, &g));
    ck_assert_int_eq(g.position, 0); /* nothing was drawn */
    REFUSED(CT_ERR_ARGUMENT, "ct_multinomial", "k is 0", ct_multinomial(w, 0, true, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_multinomial", "g is NULL", ct_multinomial(w, 1, true, NULL));
    REFUSED(CT_ERR_SHAPE, "ct_multinomial", "rank 1",
            ct_multinomial(ct_scalar(1, CT_F64), 1, true, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[2,3]", ct_multinomial(w, 1, true, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[1,3]",
            ct_multinomial(ct_narrow(w, 0, 0, 1), 3, false, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[2]", ct_multinomial(F64(0, 0), 1, true, &g));
    REFUSED(CT_ERR_DTYPE, "ct_multinomial", "f32 or f64", ct_multinomial(b, 1, true, &g));
    k = x;
    EXPECT_NO_VALUE(ct_sort(NULL, 0, false, &k));
    ck_assert_ptr_null(k);
    EXPECT_NO_VALUE(ct_argsort(NULL, 0, false));
    EXPECT_NO_VALUE(ct_topk(NULL, 1, 0, true, NULL));
    EXPECT_NO_VALUE(ct_dropout(NULL, 0.5, &g));
    EXPECT_NO_VALUE(ct_multinomial(NULL, 1, true, &g));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(losses_refuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *d = ct_cast(x, CT_F64);
    ct_tensor *v = ct_ones(CT_SHAPE(3), CT_F32, DEVICE), *t = I64(0, 3);
    ct_cross_entropy_options plain = { 0 }, smooth = { .label_smoothing = 0.1 };
    ct_cross_entropy_options skip = { .has_ignore_index = true, .ignore_index = 1 };
    ct_cross_entropy_options wrong = { .reduction = (ct_reduction)7 };
    ct_cross_entropy_options short_weight = { .weight = ct_ones(CT_SHAPE(2), CT_F32, DEVICE) };
    ct_cross_entropy_options double_weight = { .weight = ct_cast(v, CT_F64) };
    ct_cross_entropy_options weight = { .weight = v };

    REFUSED(CT_ERR_SHAPE, "ct_mse_loss", "shape", ct_mse_loss(x, v, CT_REDUCTION_MEAN));
    REFUSED(CT_ERR_DTYPE, "ct_l1_loss", "target ... dtype", ct_l1_loss(x, d, CT_REDUCTION_MEAN));
    REFUSED(CT_ERR_ARGUMENT, "ct_huber_loss", "delta is 0",
            ct_huber_loss(x, x, 0, CT_REDUCTION_SUM));
    REFUSED(CT_ERR_ARGUMENT, "ct_mse_loss", "reduction is 7", ct_mse_loss(x, x, (ct_reduction)7));
    REFUSED(CT_ERR_SHAPE, "ct_bce_with_logits", "shape",
            ct_bce_with_logits(x, v, (ct_bce_options){ .reduction = CT_REDUCTION_NONE }));
    REFUSED(CT_ERR_DTYPE, "ct_l1_loss", "f32 or f64", ct_l1_loss(t, t, CT_REDUCTION_SUM));
    REFUSED(CT_ERR_SHAPE, "ct_cross_entropy", "f32[3]", ct_cross_entropy(x, v));
    REFUSED(CT_ERR_DTYPE, "ct_cross_entropy", "targets ... dtype", ct_cross_entropy(x, d));
    REFUSED(CT_ERR_ARGUMENT, "ct_cross_entropy_with", "has_ignore_index",
            ct_cross_entropy_with(x, x, skip));
    REFUSED(CT_ERR_ARGUMENT, "ct_cross_entropy_with", "reduction is 7",
            ct_cross_entropy_with(x, x, wrong));
    REFUSED(CT_ERR_ARGUMENT, "ct_nll_loss", "label_smoothing", ct_nll_loss(x, t, smooth));
    REFUSED(CT_ERR_ARGUMENT, "ct_nll_loss", "reduction is 7", ct_nll_loss(x, t, wrong));
    REFUSED(CT_ERR_INDEX, "ct_nll_loss", "index 3", ct_nll_loss(x, t, plain));
    REFUSED(CT_ERR_SHAPE, "ct_nll_loss", "targets ... classes", ct_nll_loss(x, I64(1), plain));
    REFUSED(CT_ERR_SHAPE, "ct_cross_entropy_with", "weight ... class",
            ct_cross_entropy_with(x, I64(0, 1), short_weight));
    REFUSED(CT_ERR_SHAPE, "ct_cross_entropy_with", "weight ... class",
            ct_cross_entropy_with(x, x, short_weight));
    REFUSED(CT_ERR_DTYPE, "ct_nll_loss", "weight ... dtype",
            ct_nll_loss(x, I64(0, 1), double_weight));
    REFUSED(CT_ERR_INDEX, "ct_cross_entropy_with", "target 3", ct_cross_entropy_with(x, t, weight));
    REFUSED(CT_ERR_SHAPE, "ct_bce_with_logits", "broadcast",
            ct_bce_with_logits(x, x, (ct_bce_options){ .pos_weight = short_weight.weight }));
    REFUSED(CT_ERR_DTYPE, "ct_bce_with_logits", "weight ... dtype",
            ct_bce_with_logits(x, x, (ct_bce_options){ .weight = double_weight.weight }));
    EXPECT_NO_VALUE(ct_bce_with_logits(x, NULL, (ct_bce_options){ .reduction = CT_REDUCTION_SUM }));
    EXPECT_NO_VALUE(ct_mse_loss(NULL, x, CT_REDUCTION_MEAN));
    EXPECT_NO_VALUE(ct_huber_loss(x, NULL, -1, CT_REDUCTION_MEAN));
    EXPECT_NO_VALUE(ct_nll_loss(NULL, t, plain));
    EXPECT_NO_VALUE(ct_bce_with_logits(NULL, x, (ct_bce_options){ .reduction = CT_REDUCTION_SUM }));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(losses_of_distances)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *d = ct_cast(x, CT_F64);
    ct_tensor *v = ct_ones(CT_SHAPE(3), CT_F32, DEVICE), *one = ct_ones(CT_SCALAR, CT_F32, DEVICE);
    ct_tensor *t = I64(1, -1), *b = ct_cast(t, CT_BOOL);
    ct_reduction mean = CT_REDUCTION_MEAN, batch = CT_REDUCTION_BATCHMEAN;
    ct_kl_div_options kl = { 0 };
    ct_gaussian_nll_options normal = { 0 }, negative = { .eps = -1 };
    ct_triplet_margin_options triplet = { 0 }, p = { .p = -1 }, nan = { .eps = NAN };

    REFUSED(CT_ERR_ARGUMENT, "ct_smooth_l1_loss", "beta is -1", ct_smooth_l1_loss(x, x, -1, mean));
    REFUSED(CT_ERR_ARGUMENT, "ct_l1_loss", "reduction is 3", ct_l1_loss(x, x, batch));
    REFUSED(CT_ERR_SHAPE, "ct_kl_div", "shape", ct_kl_div(x, v, kl));
    REFUSED(CT_ERR_SHAPE, "ct_gaussian_nll_loss", "var f32[3]",
            ct_gaussian_nll_loss(x, x, v, normal));
    REFUSED(CT_ERR_DTYPE, "ct_gaussian_nll_loss", "var", ct_gaussian_nll_loss(x, x, d, normal));
    REFUSED(CT_ERR_ARGUMENT, "ct_gaussian_nll_loss", "eps is -1",
            ct_gaussian_nll_loss(x, x, x, negative));
    REFUSED(CT_ERR_SHAPE, "ct_cosine_similarity", "axis 2", ct_cosine_similarity(x, v, 2, 1e-8));
    REFUSED(CT_ERR_SHAPE, "ct_cosine_similarity", "broadcast",
            ct_cosine_similarity(x, ct_ones(CT_SHAPE(2), CT_F32, DEVICE), 0, 1e-8));
    REFUSED(CT_ERR_ARGUMENT, "ct_cosine_similarity", "eps", ct_cosine_similarity(x, x, 1, NAN));
    REFUSED(CT_ERR_SHAPE, "ct_cosine_embedding_loss", "target i64[2]",
            ct_cosine_embedding_loss(v, v, t, 0, mean));
    REFUSED(CT_ERR_DTYPE, "ct_cosine_embedding_loss", "target bool[2]",
            ct_cosine_embedding_loss(x, x, b, 0, mean));
    REFUSED(CT_ERR_SHAPE, "ct_cosine_embedding_loss", "a f32[]",
            ct_cosine_embedding_loss(one, one, t, 0, mean));
    REFUSED(CT_ERR_ARGUMENT, "ct_cosine_embedding_loss", "margin is nan",
            ct_cosine_embedding_loss(x, x, t, NAN, mean));
    REFUSED(CT_ERR_SHAPE, "ct_margin_ranking_loss", "b f32[3]",
            ct_margin_ranking_loss(x, v, x, 0, mean));
    REFUSED(CT_ERR_SHAPE, "ct_triplet_margin_loss", "negative f32[3]",
            ct_triplet_margin_loss(x, x, v, triplet));
    REFUSED(CT_ERR_SHAPE, "ct_triplet_margin_loss", "anchor f32[]",
            ct_triplet_margin_loss(one, one, one, triplet));
    REFUSED(CT_ERR_ARGUMENT, "ct_triplet_margin_loss", "p is -1",
            ct_triplet_margin_loss(x, x, x, p));
    REFUSED(CT_ERR_ARGUMENT, "ct_triplet_margin_loss", "eps", ct_triplet_margin_loss(x, x, x, nan));
    EXPECT_NO_VALUE(ct_triplet_margin_loss(x, NULL, x, triplet));
    EXPECT_NO_VALUE(ct_gaussian_nll_loss(x, x, NULL, normal));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(einsum)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *d = ct_cast(x, CT_F64);
    ct_tensor *two[2] = { x, x }, *other[2] = { x, d }, *none[2] = { x, NULL };
    ct_tensor *wide[2] = { ct_ones(CT_SHAPE(1, 1, 1, 1, 1), CT_F32, DEVICE), NULL };

    wide[1] = wide[0];
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "only letters", ct_einsum("i1", 1, &x));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "fewer terms", ct_einsum("ij", 2, two));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "more terms", ct_einsum("ij,jk", 1, &x));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "without", ct_einsum("ij-", 1, &x));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "after", ct_einsum("ij->i,j", 1, &x));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "twice", ct_einsum("ij->ii", 1, &x));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "not in an operand", ct_einsum("ij->k", 1, &x));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "more than 8 letters", ct_einsum("abcdefghi", 1, &x));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "more than 8 axes", ct_einsum("abcde,fghij", 2, wide));
    REFUSED(CT_ERR_SHAPE, "ct_einsum", "has 1 letters", ct_einsum("i", 1, &x));
    REFUSED(CT_ERR_SHAPE, "ct_einsum", "has 3 letters", ct_einsum("i...jk", 1, &x));
    REFUSED(CT_ERR_SHAPE, "ct_einsum", "must have size 3", ct_einsum("ij,ji", 2, two));
    REFUSED(CT_ERR_SHAPE, "ct_einsum", "must have size 2", ct_einsum("ii", 1, &x));
    REFUSED(CT_ERR_DTYPE, "ct_einsum", "operand", ct_einsum("ij,ij", 2, other));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "NULL", ct_einsum("ij,ij", 2, none));
    REFUSED(CT_ERR_ARGUMENT, "ct_einsum", "count is 0", ct_einsum("ij", 0, two));
    EXPECT(ct_einsum(" b a -> a ", 1, &x), 2, 2, 2);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(ctc)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_log_softmax(ct_zeros(CT_SHAPE(3, 2, 4), CT_F64, DEVICE), -1);
    ct_tensor *t = ct_reshape(I64(1, 1, 2, 0), CT_SHAPE(2, 2)), *n = I64(2, 1), *all = I64(3, 3);
    ct_tensor *y, *g, *h;
    ct_ctc_options o = { .reduction = CT_REDUCTION_NONE }, last = { .blank = 4 }, zero = o;

    REFUSED(CT_ERR_ARGUMENT, "ct_ctc_loss", "input_lengths[1] is 4",
            ct_ctc_loss(x, t, I64(3, 4), n, o));
    REFUSED(CT_ERR_ARGUMENT, "ct_ctc_loss", "target_lengths[0] is -1",
            ct_ctc_loss(x, t, all, I64(-1, 1), o));
    REFUSED(CT_ERR_ARGUMENT, "ct_ctc_loss", "target_lengths[1] is 3",
            ct_ctc_loss(x, t, all, I64(1, 3), o));
    REFUSED(CT_ERR_SHAPE, "ct_ctc_loss", "input_lengths", ct_ctc_loss(x, t, I64(3), n, o));
    REFUSED(CT_ERR_INDEX, "ct_ctc_loss", "target 0 at position 3 ... blank",
            ct_ctc_loss(x, t, all, I64(2, 2), o));
    REFUSED(CT_ERR_INDEX, "ct_ctc_loss", "target 4 at position 0",
            ct_ctc_loss(x, I64(4, 1), all, I64(1, 1), o));
    REFUSED(CT_ERR_SHAPE, "ct_ctc_loss", "add up to 3", ct_ctc_loss(x, I64(1, 1, 1, 1), all, n, o));
    REFUSED(CT_ERR_SHAPE, "ct_ctc_loss", "steps", ct_ctc_loss(ct_select(x, 1, 0), t, all, n, o));
    REFUSED(CT_ERR_ARGUMENT, "ct_ctc_loss", "blank is 4", ct_ctc_loss(x, t, all, n, last));
    REFUSED(CT_ERR_DTYPE, "ct_ctc_loss", "targets", ct_ctc_loss(x, x, all, n, o));
    EXPECT_NO_VALUE(ct_ctc_loss(x, t, NULL, n, o));
    /* equal labels need a blank between them, so two steps are too few for 1 1 */
    x = ct_set_requires_grad(ct_detach(x), true);
    y = ct_ctc_loss(x, I64(1, 1, 2), I64(2, 1), n, o);
    EXPECT(ct_isfinite(y), 0, 1);
    zero.zero_infinity = true;
    EXPECT(ct_isfinite(ct_ctc_loss(x, I64(1, 1, 2), I64(2, 1), n, zero)), 1, 1);
    h = ct_ones(CT_SHAPE(2), CT_F64, DEVICE);
    ck_assert(ct_grad(1, &y, 1, &x, &h, false, &g) == CT_OK);
    EXPECT(ct_isnan(ct_select(ct_select(g, 2, 0), 1, 0)), 1, 1, 0);
    EXPECT(ct_select(ct_select(g, 1, 1), 0, 0), 0, 0, -1, 0);
    /* no second derivative */
    y = ct_sum(ct_ctc_loss(x, t, all, n, o));
    ck_assert(ct_grad(1, &y, 1, &x, NULL, true, &g) == CT_OK);
    y = ct_sum(g);
    ck_assert(ct_grad(1, &y, 1, &x, NULL, false, &h) == CT_ERR_GRAD);
    expect_error(CT_ERR_GRAD, "ct_ctc_loss", "derivative by log_probs");
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Each op whose result has more axes than an input. Shapes with a rank above 8 are in
 * tests/test_arguments.c. */
START_TEST(no_rank_above_the_limit)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *deep = ct_zeros(CT_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), CT_F32, DEVICE);
    ct_tensor *parts[] = { deep, deep }, *k = ct_cast(deep, CT_I64);
    int64_t times[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };

    ck_assert_int_eq(ct_rank(deep), CT_MAX_RANK);
    REFUSED(CT_ERR_SHAPE, "ct_unsqueeze", "rank 8", ct_unsqueeze(deep, -1));
    REFUSED(CT_ERR_SHAPE, "ct_stack", "rank 8", ct_stack(2, parts, 3));
    REFUSED(CT_ERR_SHAPE, "ct_repeat", "in 8..8", ct_repeat(deep, 9, times));
    REFUSED(CT_ERR_SHAPE, "ct_one_hot", "rank below 8", ct_one_hot(k, 2));
    REFUSED(CT_ERR_SHAPE, "ct_one_hot_as", "rank below 8", ct_one_hot_as(k, 2, CT_BOOL));
    REFUSED(CT_ERR_SHAPE, "ct_embedding", "0..8",
            ct_embedding(ct_zeros(CT_SHAPE(2, 3), CT_F32, DEVICE), k));
    REFUSED(CT_ERR_SHAPE, "ct_full", "rank 9 ... 0..8",
            ct_full(ct_shape_from_sizes(9, times), 1, CT_F32, DEVICE));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Numbers with which sizes or strides would overflow. */
START_TEST(positions_at_the_edges)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = F64(0, 1, 2, 3), *m = ct_reshape(x, CT_SHAPE(2, 2)), *y;
    const int64_t most = PTRDIFF_MAX;
    ct_tensor *empty = ct_zeros(CT_SHAPE(0, most), CT_BOOL, DEVICE);

    EXPECT(ct_slice(x, 0, INT64_MIN, INT64_MAX, INT64_MAX), 0);
    EXPECT(ct_slice(x, 0, 1, INT64_MAX, INT64_MAX - 1), 1);
    EXPECT(ct_slice(ct_slice(m, 1, 1, 2, INT64_MAX), 0, 0, 2, 1), 1, 3);
    y = ct_slice(m, 0, 1, 2, INT64_MAX);
    ck_assert(ct_is_contiguous(ct_reshape(y, CT_SHAPE(2))));
    EXPECT(ct_roll(x, INT64_MIN + 1, 0), 3, 0, 1, 2);
    ck_assert_int_eq(ct_size(ct_roll(empty, most - 1, 1), 1), most);
    ck_assert_int_eq(ct_size(ct_slice(empty, 1, 0, most, most - 1), 1), 2);
    REFUSED(CT_ERR_SHAPE, "ct_eye", "too large", ct_eye(INT64_MAX, CT_F32, DEVICE));
    REFUSED(CT_ERR_SHAPE, "ct_eye", "negative", ct_eye(INT64_MIN, CT_F32, DEVICE));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void ops_misuse_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "misuse");

    tcase_add_test(tc, einsum);
    tcase_add_test(tc, ctc);
    tcase_add_test(tc, losses_of_distances);
    tcase_add_test(tc, broadcasts_refuse);
    tcase_add_test(tc, one_axis);
    tcase_add_test(tc, reductions_refuse);
    tcase_add_test(tc, vectors_refuse);
    tcase_add_test(tc, arrangements_refuse);
    tcase_add_test(tc, shapes_asked_for);
    tcase_add_test(tc, indexing_refuses);
    tcase_add_test(tc, sorting_and_draws_refuse);
    tcase_add_test(tc, losses_refuse);
    tcase_add_test(tc, products_that_are_too_large);
    tcase_add_test(tc, no_rank_above_the_limit);
    tcase_add_test(tc, positions_at_the_edges);
}

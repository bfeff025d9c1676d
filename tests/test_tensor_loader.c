/* SPDX-License-Identifier: MIT */
/* test_tensor_loader.c - loaders of numbers: every batch is what the header says, bad input,
 * allocations that fail. Each value is its position in the data, so that a batch shows where it
 * came from. */
#include <stdint.h>
#include <stdlib.h>

#include <cotangent.h>

#include "tensor/internal.h"
#include "tests/files.h"
#include "tests/harness.h"

static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64 };

/* Returns 0, 1, 2, ... with a shape; if strided, as a view that is not contiguous. */
static ct_tensor *counted(ct_shape shape, ct_dtype dtype, bool strided)
{
    int64_t n = 1;
    ct_tensor *t;
    int i;

    for (i = 0; i < shape.rank; i++)
        n *= shape.dim[i];
    t = ct_arange(0, (double)n, 1, dtype, DEVICE);
    if (strided) /* every second element of twice as many */
        t = ct_select(ct_stack(2, (ct_tensor *[]){ t, ct_neg(t) }, 1), 1, 0);
    t = ct_reshape(t, shape);
    return t;
}

/* What a loader should return. Row r of an epoch in order is index first + r. Its x is the x_width
 * values from index x_unit on, its y the y_width values from index y_unit + y_offset on. */
typedef struct wanted {
    int64_t rows, batch, first, tokens;
    int64_t x_unit, x_width, y_unit, y_width, y_offset;
    ct_shape x_shape, y_shape; /* axis 0 is the batch */
    ct_dtype dtype;
    bool shuffle;
} wanted;

/* Returns the index of row r of a batch, found from its y, and checks that y is consecutive
 * values. */
static int64_t index_of(const wanted *w, const double *x, const double *y, int64_t r)
{
    int64_t index = (int64_t)(y[r * w->y_width] - (double)w->y_offset) / w->y_unit, i;

    for (i = 0; i < w->x_width; i++)
        if (!(x[r * w->x_width + i] == (double)(index * w->x_unit + i)))
            ck_abort_msg("row %d: x[%d] is %g", (int)r, (int)i, x[r * w->x_width + i]);
    for (i = 0; i < w->y_width; i++)
        if (!(y[r * w->y_width + i] == (double)(index * w->y_unit + w->y_offset + i)))
            ck_abort_msg("row %d: y[%d] is %g", (int)r, (int)i, y[r * w->y_width + i]);
    return index;
}

/* Checks one epoch and writes its indices to order, which has w->rows elements. */
static void check_epoch(ct_loader *l, wanted *w, int64_t *order)
{
    int64_t done = 0, batches = 0, r;
    ct_scope s = ct_scope_begin();
    bool *seen = calloc((size_t)w->rows, 1);
    ct_batch b;

    ck_assert_int_eq(ct_loader_begin(l), CT_OK);
    while (ct_loader_next(l, &b)) {
        int64_t rows = w->rows - done < w->batch ? w->rows - done : w->batch;
        double *x = values_of(b.x), *y = values_of(b.y);

        w->x_shape.dim[0] = w->y_shape.dim[0] = rows;
        ck_assert(cti_same_shape(&b.x->shape, &w->x_shape));
        ck_assert(cti_same_shape(&b.y->shape, &w->y_shape));
        ck_assert(ct_tensor_dtype(b.x) == w->dtype && ct_tensor_dtype(b.y) == w->dtype);
        ck_assert(b.tokens == rows * w->tokens && !b.continues);
        for (r = 0; r < rows; r++) {
            int64_t row = (order[done + r] = index_of(w, x, y, r)) - w->first;

            if (row < 0 || row >= w->rows || seen[row] || (!w->shuffle && row != done + r))
                ck_abort_msg("row %d of %d is index %d", (int)(done + r), (int)w->rows, (int)row);
            seen[row] = true;
        }
        done += rows;
        batches++;
        free(x);
        free(y);
    }
    expect_ok();
    ck_assert_int_eq(done, w->rows);
    ck_assert_int_eq(batches, ct_loader_batches(l));
    ck_assert_int_eq(ct_loader_tokens(l), w->rows * w->tokens);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    free(seen);
}

/* Checks two epochs of a loader and of an equal one: as expected, the same in both, and in a new
 * order each. */
static void check_loader(ct_loader *l, ct_loader *twin, wanted *w)
{
    size_t bytes = (size_t)w->rows * sizeof(int64_t);
    int64_t *order = malloc(bytes), *other = malloc(bytes), *second = malloc(bytes);

    ck_assert_msg(l && twin, "%s", ct_error_message());
    check_epoch(l, w, order);
    check_epoch(twin, w, other);
    ck_assert_mem_eq(order, other, bytes);
    check_epoch(l, w, second);
    if (w->shuffle && w->rows > 12)
        ck_assert_mem_ne(order, second, bytes);
    ct_loader_free(l);
    ct_loader_free(twin);
    free(order);
    free(other);
    free(second);
}

static int64_t between(ct_generator *g, int64_t low, int64_t high)
{
    return low + (int64_t)ct_random_below(g, (uint64_t)(high - low + 1));
}

START_TEST(series_at_random)
{
    ct_generator g = ct_generator_from_seed(11);
    int cases = harness_count(150, 3000), k;

    for (k = 0; k < cases; k++) {
        int64_t n = between(&g, 2, 80), channels = between(&g, 0, 3), width = channels + !channels;
        int64_t steps = between(&g, 1, n - 1), ahead = between(&g, 1, n - steps);
        int64_t targets = between(&g, 1, steps + ahead), windows = n - steps - ahead + 1;
        ct_loader_series_options o = { .batch_size = between(&g, 1, windows + 3),
                                       .steps = steps,
                                       .targets = targets == 1 && k % 2 ? 0 : targets,
                                       .ahead = ahead == 1 && k % 2 ? 0 : ahead,
                                       .first = between(&g, 0, windows - 1),
                                       .shuffle = k % 3 == 0,
                                       .seed = (uint64_t)k };
        wanted w = { .batch = o.batch_size,
                     .first = o.first,
                     .tokens = targets,
                     .x_unit = width,
                     .y_unit = width,
                     .x_width = steps * width,
                     .y_width = targets * width,
                     .y_offset = (steps + ahead - targets) * width,
                     .shuffle = o.shuffle,
                     .dtype = dtypes[k % LENGTH(dtypes)] };
        ct_scope s = ct_scope_begin();
        ct_tensor *series = counted(channels ? CT_SHAPE(n, channels) : CT_SHAPE(n), w.dtype, k % 2);
        ct_loader *l, *twin;

        o.count = between(&g, 0, windows + 2);
        w.rows = o.count && o.count < windows - o.first ? o.count : windows - o.first;
        w.x_shape = channels ? CT_SHAPE(0, steps, channels) : CT_SHAPE(0, steps);
        w.y_shape = channels ? CT_SHAPE(0, targets, channels) : CT_SHAPE(0, targets);
        l = ct_loader_series_new(series, o);
        twin = ct_loader_series_new(series, o);
        ck_assert_int_eq(ct_scope_end(s), CT_OK); /* the loaders have copies */
        check_loader(l, twin, &w);
    }
}
END_TEST

START_TEST(rows_at_random)
{
    ct_generator g = ct_generator_from_seed(12);
    int cases = harness_count(150, 3000), k;

    for (k = 0; k < cases; k++) {
        int64_t n = between(&g, 1, 60), a = between(&g, 1, 3), c = between(&g, 1, 4);
        ct_loader_tensors_options o = { .batch_size = between(&g, 1, n + 3),
                                        .first = between(&g, 0, n - 1),
                                        .count = between(&g, 0, n + 2),
                                        .shuffle = k % 3 == 0,
                                        .seed = (uint64_t)k };
        wanted w = { .batch = o.batch_size,
                     .first = o.first,
                     .tokens = 1,
                     .x_unit = a * c,
                     .x_width = a * c,
                     .y_unit = k % 4 ? c : 1,
                     .y_width = k % 4 ? c : 1,
                     .x_shape = CT_SHAPE(0, a, c),
                     .y_shape = k % 4 ? CT_SHAPE(0, c) : CT_SHAPE(0),
                     .shuffle = o.shuffle,
                     .dtype = dtypes[k % LENGTH(dtypes)] };
        ct_scope s = ct_scope_begin();
        ct_tensor *x = counted(CT_SHAPE(n, a, c), w.dtype, k % 2);
        ct_tensor *y = counted(k % 4 ? CT_SHAPE(n, c) : CT_SHAPE(n), w.dtype, k % 2);
        ct_loader *l = ct_loader_tensors_new(x, y, o), *twin = ct_loader_tensors_new(x, y, o);

        w.rows = o.count && o.count < n - o.first ? o.count : n - o.first;
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
        check_loader(l, twin, &w);
    }
}
END_TEST

/* d2l's features and labels: x[i..i+3] and x[i+4]. */
START_TEST(autoregressive)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *series = ct_from_data((float[]){ 3, 1, 4, 1, 5, 9, 2 }, CT_SHAPE(7), CT_F32, DEVICE);
    ct_loader *l = ct_loader_series_new(
        series, (ct_loader_series_options){ .batch_size = 2, .steps = 4, .device = DEVICE });
    ct_batch b;

    ck_assert_int_eq(ct_loader_batches(l), 2);
    ck_assert_int_eq(ct_loader_begin(l), CT_OK);
    ck_assert(ct_loader_next(l, &b));
    expect_values("x", b.x, (double[]){ 3, 1, 4, 1, 1, 4, 1, 5 }, 8, 0);
    expect_values("y", b.y, (double[]){ 5, 9 }, 2, 0);
    ck_assert(ct_loader_next(l, &b));
    expect_values("x", b.x, (double[]){ 4, 1, 5, 9 }, 4, 0);
    expect_values("y", b.y, (double[]){ 2 }, 1, 0);
    ck_assert(!ct_loader_next(l, &b));
    ck_assert_int_eq(ct_loader_set_offset(l, 1), CT_ERR_ARGUMENT);
    ct_error_clear();
    ct_loader_free(l);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

START_TEST(bad_series)
{
    static const struct {
        ct_loader_series_options o;
        ct_status status;
        const char *word;
    } cases[] = {
        { { .batch_size = 0, .steps = 4 }, CT_ERR_ARGUMENT, "batch_size is 0" },
        { { .batch_size = 2, .steps = 4, .first = -1 }, CT_ERR_ARGUMENT, "first is -1" },
        { { .batch_size = 2, .steps = 4, .count = -5 }, CT_ERR_ARGUMENT, "count is -5" },
        { { .batch_size = 2, .steps = 0 }, CT_ERR_ARGUMENT, "steps is 0" },
        { { .batch_size = 2, .steps = 4, .targets = -1 }, CT_ERR_ARGUMENT, "targets is -1" },
        { { .batch_size = 2, .steps = 4, .ahead = INT64_MIN },
          CT_ERR_ARGUMENT,
          "ahead is -9223372036854775808" },
        { { .batch_size = 2, .steps = 4, .targets = 6 }, CT_ERR_ARGUMENT, "targets is 6" },
        { { .batch_size = 2, .steps = 10 }, CT_ERR_SHAPE, "window of 10" },
        { { .batch_size = 2, .steps = 11 }, CT_ERR_SHAPE, "window of 11" },
        { { .batch_size = 2, .steps = 4, .ahead = 7 }, CT_ERR_SHAPE, "7 ahead" },
        { { .batch_size = 2, .steps = INT64_MAX, .ahead = INT64_MAX },
          CT_ERR_SHAPE,
          "window of 9223372036854775807" },
        { { .batch_size = 2, .steps = 4, .first = 6 }, CT_ERR_SHAPE, "first is 6" },
    };
    ct_scope s = ct_scope_begin();
    ct_tensor *series = counted(CT_SHAPE(10), CT_F32, false);
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ck_assert_ptr_null(ct_loader_series_new(series, cases[i].o));
        expect_error(cases[i].status, "ct_loader_series_new", cases[i].word);
    }
    ck_assert_ptr_null(ct_loader_series_new(NULL, cases[0].o));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_series_new", "series is NULL");
    ck_assert_ptr_null(ct_loader_series_new(counted(CT_SHAPE(2, 3, 4), CT_F32, false), cases[0].o));
    expect_error(CT_ERR_SHAPE, "ct_loader_series_new", "series f32[2,3,4]");
    ck_assert_ptr_null(ct_loader_series_new(ct_scalar(1, CT_F32), cases[0].o));
    expect_error(CT_ERR_SHAPE, "ct_loader_series_new", "series f32[]");
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

START_TEST(bad_rows)
{
    const ct_loader_tensors_options o = { .batch_size = 2 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = counted(CT_SHAPE(5, 2), CT_F32, false), *y = counted(CT_SHAPE(5), CT_F32, false);
    ct_tensor *none = ct_empty(CT_SHAPE(0, 2), CT_F32, DEVICE), *empty, *failed;
    ct_loader *l;
    ct_batch b;

    ck_assert_ptr_null(ct_loader_tensors_new(NULL, y, o));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_tensors_new", "x is NULL");
    ck_assert_ptr_null(ct_loader_tensors_new(x, NULL, o));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_tensors_new", "y is NULL");
    ck_assert_ptr_null(ct_loader_tensors_new(x, ct_scalar(1, CT_F32), o));
    expect_error(CT_ERR_SHAPE, "ct_loader_tensors_new", "f32[]");
    ck_assert_ptr_null(ct_loader_tensors_new(x, counted(CT_SHAPE(4), CT_F32, false), o));
    expect_error(CT_ERR_SHAPE, "ct_loader_tensors_new", "f32[4]");
    ck_assert_ptr_null(ct_loader_tensors_new(none, none, o));
    expect_error(CT_ERR_SHAPE, "ct_loader_tensors_new", "first is 0");
    ck_assert_ptr_null(
        ct_loader_tensors_new(x, y, (ct_loader_tensors_options){ .batch_size = 2, .first = 5 }));
    expect_error(CT_ERR_SHAPE, "ct_loader_tensors_new", "first is 5");
    ck_assert_ptr_null(ct_loader_tensors_new(
        x, y, (ct_loader_tensors_options){ .device = DEVICE, .batch_size = -2 }));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_tensors_new", "batch_size is -2");

    /* rows without elements count as rows */
    empty = ct_empty(CT_SHAPE(5, 0), CT_F32, DEVICE);
    l = ct_loader_tensors_new(empty, y, o);
    ck_assert(ct_loader_begin(l) == CT_OK && ct_loader_next(l, &b));
    ck_assert(ct_size(b.x, 0) == 2 && ct_size(b.x, 1) == 0);
    ct_loader_free(l);

    failed = ct_add(x, y); /* a failed result is accepted, and the first error stays */
    ck_assert(!ct_loader_tensors_new(failed, y, o) &&
              !ct_loader_series_new(failed, (ct_loader_series_options){ 0 }));
    ck_assert_int_eq(ct_scope_end(s), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_add", "broadcast");
}
END_TEST

/* Makes both loaders and takes a batch of each. */
static ct_status whole_way(void)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = counted(CT_SHAPE(40), CT_F32, false);
    ct_loader *loaders[] = {
        ct_loader_series_new(t,
                             (ct_loader_series_options){
                                 .batch_size = 8, .steps = 4, .shuffle = true, .device = DEVICE }),
        ct_loader_tensors_new(
            t, t,
            (ct_loader_tensors_options){ .device = DEVICE, .batch_size = 8, .shuffle = true }),
    };
    ct_batch b;
    int i;

    for (i = 0; i < LENGTH(loaders); i++) {
        ck_assert((loaders[i] != NULL) >= ct_ok());
        if (loaders[i])
            ct_loader_begin(loaders[i]);
        ck_assert(loaders[i] == NULL || ct_loader_next(loaders[i], &b) == ct_ok());
        ct_loader_free(loaders[i]);
    }
    return ct_scope_end(s);
}

START_TEST(allocation_fails)
{
    int k, failed = 0;

    for (k = 0; k < 600; k++) /* the thread's memory is made now; debug builds free handles late */
        ck_assert_int_eq(whole_way(), CT_OK);
    for (k = 1;; k++) {
        ct_status status;

        ct_memory_trim();
        fail_allocation(k);
        status = whole_way();
        if (allocations_seen < k)
            break;
        failed += status == CT_ERR_MEMORY;
        ck_assert(status == CT_OK || status == CT_ERR_MEMORY);
        ct_error_clear();
    }
    fail_nothing();
    ck_assert_int_ge(failed, 9);
    expect_ok();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("series");
    TCase *tc = harness_case(suite, "series");

    tcase_add_test(tc, series_at_random);
    tcase_add_test(tc, rows_at_random);
    tcase_add_test(tc, autoregressive);
    tcase_add_test(tc, bad_series);
    tcase_add_test(tc, bad_rows);
    tcase_add_test(tc, allocation_fails);
    return harness_run(suite);
}

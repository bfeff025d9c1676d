/* SPDX-License-Identifier: MIT */
/* dataset_loader.c - the loader of any dataset: orders, loops of the user, positions, workers,
 * errors. */
#include "tensor/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_dataset.h"

#include "tensor/parallel.h"

START_TEST(orders)
{
    static const struct {
        ct_loader_options o;
        int64_t batches, rows;
    } cases[] = {
        { { .batch_size = 4 }, 6, 23 },
        { { .batch_size = 4, .drop_last = true }, 5, 20 },
        { { .batch_size = 4, .shuffle = true, .seed = 9 }, 6, 23 },
        { { .batch_size = 4, .shuffle = true, .drop_last = true }, 5, 20 },
        { { .batch_size = 100 }, 1, 23 },
        { { .batch_size = 1, .shuffle = true }, 23, 23 },
    };
    numbers n;
    ct_dataset *d = numbers_new(&n, 23);

    for (int c = 0; c < LENGTH(cases); c++) {
        ct_loader *l = ct_loader_new(d, cases[c].o), *twin = ct_loader_new(d, cases[c].o);
        int64_t ids[3][1000], moved = 0;
        bool seen[23] = { false };

        ck_assert_int_eq(ct_loader_batches(l), cases[c].batches);
        ck_assert_int_eq(ct_loader_tokens(l), cases[c].rows);
        ck_assert(!ct_loader_continues(l));
        ck_assert_int_eq(epoch_of(l, "y", 10, ids[0]), cases[c].rows);
        ck_assert_int_eq(epoch_of(l, "y", 10, ids[1]), cases[c].rows);
        ck_assert(ct_loader_begin(twin) == CT_OK); /* an epoch does not depend on the epochs
                                                    * before */
        epoch_of(twin, "y", 10, ids[2]);
        ck_assert(memcmp(ids[1], ids[2], (size_t)cases[c].rows * sizeof ids[0][0]) == 0);
        for (int64_t i = 0; i < cases[c].rows; i++) {
            ck_assert(ids[0][i] >= 0 && ids[0][i] < 23 && !seen[ids[0][i]]);
            seen[ids[0][i]] = true;
            moved += ids[0][i] != i;
        }
        ck_assert(cases[c].o.shuffle ? moved > 15 : moved == 0);
        ck_assert((memcmp(ids[0], ids[1], 20 * sizeof ids[0][0]) != 0) == cases[c].o.shuffle);
        ct_loader_free(l);
        ct_loader_free(twin);
    }
    ct_dataset_free(d);
    ck_assert(n.freed == 1);
}
END_TEST

/* The loader of tensors shuffles in the same order as ct_loader_new. */
START_TEST(order_of_tensors)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_arange(0, 50, 1, CT_F32, CT_CPU);
    ct_dataset *d = ct_dataset_tensors_new(1, (const char *const[]){ "x" }, &x);
    ct_loader *a = ct_loader_new(
        d, (ct_loader_options){ .batch_size = 8, .shuffle = true, .seed = 3, .device = DEVICE });
    ct_loader *b = ct_loader_tensors_new(
        x, x, (ct_loader_tensors_options){ .batch_size = 8, .shuffle = true, .seed = 3 });
    int64_t one[1000], other[1000];

    ck_assert_int_eq(epoch_of(a, "x", 1, one), 50);
    ck_assert_int_eq(epoch_of(b, "y", 1, other), 50);
    ck_assert(memcmp(one, other, 50 * sizeof one[0]) == 0);
    ct_loader_free(a);
    ct_loader_free(b);
    ct_dataset_free(d);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(weights)
{
    double w[10] = { 0, 1, 2, 3, 4, 0, 0, 10, 0, 0 };
    numbers n;
    ct_dataset *d = numbers_new(&n, 10);
    ct_loader *l = ct_loader_new(
        d, (ct_loader_options){ .batch_size = 32, .weights = w, .samples = 1000, .seed = 2 });
    int64_t ids[1000], times[10] = { 0 };

    w[0] = 1e9; /* the loader uses its own copy */
    for (int epoch = 0; epoch < 10; epoch++) {
        ck_assert_int_eq(epoch_of(l, "y", 10, ids), 1000);
        for (int i = 0; i < 1000; i++)
            times[ids[i]]++;
    }
    w[0] = 0;
    for (int i = 0; i < 10; i++) { /* 500 w expected; within five standard deviations */
        double want = 500 * w[i], most = 5 * sqrt(want * (1 - w[i] / 20));

        ck_assert_msg(fabs((double)times[i] - want) <= most, "%d: %d times", i, (int)times[i]);
    }
    ct_loader_free(l);
    l = ct_loader_new(d, (ct_loader_options){ .batch_size = 3, .weights = w });
    ck_assert_int_eq(epoch_of(l, "y", 10, ids), 10);
    ct_loader_free(l);
    ct_dataset_free(d);
}
END_TEST

START_TEST(bad_options)
{
    static const double negative[4] = { 1, -1, 1, 1 }, zero[4] = { 0 };
    static const double infinite[4] = { 1, 1, INFINITY, 1 };
    static const struct {
        ct_loader_options o;
        ct_status status;
        const char *word;
    } cases[] = {
        { { .batch_size = 0 }, CT_ERR_ARGUMENT, "batch_size is 0" },
        { { .batch_size = 1, .samples = 5 }, CT_ERR_ARGUMENT, "samples is 5 ... no weights" },
        { { .batch_size = 1, .samples = -5 }, CT_ERR_ARGUMENT, "samples is -5" },
        { { .batch_size = 1, .bucket = -1 }, CT_ERR_ARGUMENT, "bucket is -1" },
        { { .batch_size = 1, .bucket = 2 }, CT_ERR_ARGUMENT, "no field is a sequence" },
        { { .batch_size = 1, .workers = -1 }, CT_ERR_ARGUMENT, "workers is -1" },
        { { .batch_size = 1, .workers = 65 }, CT_ERR_ARGUMENT, "workers is 65" },
        { { .batch_size = 1, .prefetch = 2000 }, CT_ERR_ARGUMENT, "prefetch is 2000" },
        { { .batch_size = 1, .weights = negative }, CT_ERR_ARGUMENT, "weights[1] is -1" },
        { { .batch_size = 1, .weights = infinite }, CT_ERR_ARGUMENT, "weights[2] is inf" },
        { { .batch_size = 1, .weights = zero }, CT_ERR_ARGUMENT, "sum to 0" },
        { { .batch_size = 1, .count = "x" }, CT_ERR_ARGUMENT, "count is \"x\"" },
        { { .batch_size = 1, .count = "z" }, CT_ERR_ARGUMENT, "count is \"z\"" },
        { { .batch_size = 5, .drop_last = true }, CT_ERR_SHAPE, "4 samples ... batch of 5" },
    };
    numbers n;
    ct_dataset *d = numbers_new(&n, 4), *none;

    for (int c = 0; c < LENGTH(cases); c++) {
        ck_assert_ptr_null(ct_loader_new(d, cases[c].o));
        expect_error(cases[c].status, "ct_loader_new", cases[c].word);
    }
    ct_dataset_free(d);
    none = numbers_new(&n, 0);
    ck_assert_ptr_null(ct_loader_new(none, (ct_loader_options){ .batch_size = 1 }));
    expect_error(CT_ERR_SHAPE, "ct_loader_new", "numbers has no samples");
    ct_dataset_free(none);
    ck_assert(n.freed == 1);
}
END_TEST

/* ---- a user's loop ---- */

START_TEST(own_loop)
{
    numbers n;
    ct_dataset *d = numbers_new(&n, 10);
    ct_loader *l = ct_loader_new(d, (ct_loader_options){ .batch_size = 4 });
    ct_loader *inner = ct_loader_new(d, (ct_loader_options){ .batch_size = 5 });
    ct_tensor *before = NULL;
    int rows = 0, inner_rows = 0;
    ct_batch b, c;

    ct_dataset_free(d); /* the loaders keep it alive */
    ck_assert(!ct_loader_step(l, &b));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_step", "ct_loader_begin");
    ck_assert(ct_loader_begin(l) == CT_OK);
    for (; ct_loader_step(l, &b); before = b.x) { /* each batch is dead after the next call */
        if (before) {
            ck_assert(!ct_neg(before));
            expect_error(CT_ERR_SCOPE, "ct_neg", "dead");
        }
        rows += (int)b.rows;
        ck_assert(ct_loader_begin(inner) == CT_OK);
        while (ct_loader_step(inner, &c)) {
            ck_assert(ct_add(b.x, b.x) != NULL); /* loops nest */
            inner_rows += (int)c.rows;
        }
    }
    expect_ok();
    ck_assert(rows == 10 && inner_rows == 30);
    ck_assert_int_eq(cti_thread()->depth, 0);

    /* a loop that is left early */
    ck_assert(ct_loader_begin(l) == CT_OK && ct_loader_step(l, &b));
    ck_assert_int_eq(cti_thread()->depth, 1);
    ck_assert(ct_loader_stop(l) == CT_OK && ct_loader_stop(l) == CT_OK);
    ck_assert_int_eq(cti_thread()->depth, 0);
    ck_assert(ct_loader_step(l, &b) && b.rows == 4); /* continues with the next batch */
    expect_values("y", b.y, (double[]){ 40, 50, 60, 70 }, 4, 0);
    ck_assert(ct_loader_begin(l) == CT_OK); /* this ends the scope too */
    ck_assert_int_eq(cti_thread()->depth, 0);
    ck_assert(ct_loader_step(l, &b));
    ct_loader_free(l);
    ck_assert_int_eq(cti_thread()->depth, 0);
    ct_loader_free(inner);
    ck_assert(n.freed == 1);
}
END_TEST

/* An error in the body ends the loop with no scope open. A scope of an inner loop that an outer
 * scope has already ended is not ended again. */
START_TEST(own_loop_errors)
{
    numbers n;
    ct_dataset *d = numbers_new(&n, 10);
    ct_loader *l = ct_loader_new(d, (ct_loader_options){ .batch_size = 4 });
    int steps = 0;
    ct_scope s;
    ct_batch b;

    ck_assert(ct_loader_begin(l) == CT_OK);
    while (ct_loader_step(l, &b) && ++steps)
        ct_raise(CT_ERR_NUMERIC, "step", "the loss is not finite");
    ck_assert(steps == 1 && cti_thread()->depth == 0 && b.x == NULL);
    ck_assert(ct_loader_stop(l) == CT_OK);
    expect_error(CT_ERR_NUMERIC, "step", "finite");
    harness_forgets = true;
    s = ct_scope_begin();
    ck_assert(ct_loader_step(l, &b));
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert(ct_loader_step(l, &b) && b.rows == 2);
    ck_assert(ct_loader_stop(l) == CT_OK);
    expect_ok();
    ct_loader_free(l);
    ct_dataset_free(d);
}
END_TEST

/* ---- positions ---- */

START_TEST(seek)
{
    static const double w[23] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3,
                                  4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5 };
    const ct_loader_options kinds[] = {
        { .batch_size = 4 },
        { .batch_size = 4, .shuffle = true, .seed = 7 },
        { .batch_size = 4, .weights = w, .samples = 31, .seed = 7, .device = DEVICE },
        { .batch_size = 4, .shuffle = true, .workers = 3, .device = DEVICE },
    };
    numbers n;
    ct_dataset *d = numbers_new(&n, 23);

    for (int kind = 0; kind < LENGTH(kinds); kind++) {
        ct_loader *l = ct_loader_new(d, kinds[kind]), *m = ct_loader_new(d, kinds[kind]);

        for (int64_t epoch = 1; epoch < 3; epoch++) {
            ck_assert(ct_loader_begin(l) == CT_OK);
            for (int64_t batch = 0; batch < ct_loader_batches(l); batch++) {
                ct_scope s = ct_scope_begin();
                ct_loader_cursor at = ct_loader_tell(l);
                double *want, *got;
                ct_batch a, b;

                ck_assert(at.epoch == epoch && at.batch == batch && at.offset == 0);
                ck_assert(ct_loader_next(l, &a));
                ck_assert(ct_loader_seek(m, at) == CT_OK && ct_loader_next(m, &b));
                want = values_of(a.y), got = values_of(b.y);
                ck_assert(a.rows == b.rows &&
                          memcmp(want, got, (size_t)a.rows * sizeof *want) == 0);
                free(want), free(got);
                ck_assert(ct_scope_end(s) == CT_OK);
            }
        }
        ck_assert(ct_loader_seek(m, (ct_loader_cursor){ 1, 100, 0 }) == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_loader_seek", "batch 100");
        ct_loader_free(l);
        ct_loader_free(m);
    }
    ct_dataset_free(d);
}
END_TEST

/* ---- workers ---- */

/* Reads the values of two epochs. Between them, an epoch is begun and left early. */
static void run_workers(ct_dataset *d, int workers, int prefetch, int64_t *ids)
{
    ct_loader *l = ct_loader_new(d, (ct_loader_options){ .batch_size = 7,
                                                         .shuffle = true,
                                                         .seed = 4,
                                                         .workers = workers,
                                                         .prefetch = prefetch,
                                                         .device = DEVICE });
    ct_batch b;

    ck_assert(l != NULL);
    ck_assert_int_eq(epoch_of(l, "y", 10, ids), 300);
    ck_assert(ct_loader_begin(l) == CT_OK && ct_loader_step(l, &b)); /* this epoch is not
                                                                      * completed */
    ck_assert_int_eq(epoch_of(l, "y", 10, ids + 300), 300);
    ct_loader_free(l);
}

START_TEST(workers_give_the_same)
{
    static const int counts[][2] = { { 1, 0 }, { 2, 0 }, { 5, 0 }, { 3, 1 }, { 2, 64 } };
    numbers n;
    ct_dataset *d = numbers_new(&n, 300);
    static int64_t want[1300], got[1300];

    run_workers(d, 0, 0, want);
    for (int i = 0; i < LENGTH(counts); i++) {
        memset(got, 0, sizeof got);
        run_workers(d, counts[i][0], counts[i][1], got);
        ck_assert(memcmp(want, got, sizeof got) == 0);
    }
    ct_dataset_free(d);
}
END_TEST

static int handled;

static void count_errors(ct_status status, const char *message, void *context)
{
    (void)status, (void)message, (void)context;
    handled++;
}

/* The error of a worker is raised once, with its text, on the thread that waits. Afterwards the
 * loader continues with the batch that failed. */
START_TEST(errors_of_get)
{
    numbers n;
    ct_dataset *d = numbers_new(&n, 40);

    ct_error_set_handler(count_errors, NULL);
    for (int workers = 0; workers < 4; workers++) {
        ct_loader *l = ct_loader_new(
            d, (ct_loader_options){ .batch_size = 4, .workers = workers, .device = DEVICE });
        int64_t rows = 0;
        ct_batch b;

        n.fails_at = 22;
        n.silent = false;
        handled = 0;
        ck_assert(ct_loader_begin(l) == CT_OK);
        while (ct_loader_step(l, &b))
            rows += b.rows;
        ck_assert_int_eq(ct_error(), CT_ERR_IO);
        ck_assert(strstr(ct_error_message(), "test_dataset.c:"));
        ck_assert(strstr(ct_error_message(), "numbers_get: sample 22 is lost"));
        ck_assert_int_eq(handled, 1);
        ck_assert(rows == 20 || (DEVICE != CT_CPU && rows == 16)); /* on a GPU the loader is one
                                                                    * batch ahead */
        ct_error_clear();

        n.silent = true;
        ck_assert(!ct_loader_step(l, &b));
        ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
        ck_assert(strstr(ct_error_message(), "numbers: get returned an error without raising one"));
        ct_error_clear();
        n.fails_at = -1;
        while (ct_loader_step(l, &b))
            rows += b.rows;
        ck_assert_int_eq(rows, 40);
        expect_ok();
        ct_loader_free(l);
    }
    ct_dataset_free(d);
}
END_TEST

/* If no thread can be started, the loader still works. */
static int no_thread(pthread_t *thread, const pthread_attr_t *a, void *(*start)(void *),
                     void *argument)
{
    (void)thread, (void)a, (void)start, (void)argument;
    return EAGAIN;
}

START_TEST(no_threads)
{
    numbers n;
    ct_dataset *d = numbers_new(&n, 40);
    ct_loader *l;
    int64_t ids[1000];

    cti_thread_create = no_thread;
    l = ct_loader_new(d, (ct_loader_options){ .batch_size = 4, .workers = 2 });
    cti_thread_create = pthread_create;
    ck_assert_int_eq(epoch_of(l, "y", 10, ids), 40);
    ct_loader_free(l);
    ct_dataset_free(d);
}
END_TEST

/* ---- streams ---- */

/* A stream: each epoch has five batches of 1 to 5 rows of random numbers. */
typedef struct draws {
    ct_generator g;
    int64_t batch;
    int freed, ends, fault; /* ends: the number of batches in an epoch; fault: the kind of fault in
                             * batch 2 */
} draws;

static ct_status draws_begin(void *self, int64_t epoch)
{
    draws *d = self;

    d->g = ct_generator_from_seed(100 + (uint64_t)epoch);
    d->batch = 0;
    return d->fault == 9 ? CT_ERR_IO : CT_OK;
}

static bool draws_next(void *self, ct_batch_writer *w)
{
    draws *d = self;
    int64_t rows = d->batch + 1;
    int32_t *y;
    float *x;

    if (d->batch == d->ends)
        return false;
    if (d->fault && d->batch == 2) {
        if (d->fault == 1)
            return ct_raise(CT_ERR_IO, "draws_next", "the line is cut") == CT_OK;
        if (d->fault == 2)
            return true; /* a batch without a field */
        ct_batch_field(w, "x", CT_F32, CT_SHAPE(2));
        if (d->fault == 3)
            ct_batch_field(w, "y", CT_F32, CT_SHAPE(3));
        if (d->fault == 4)
            ct_batch_field(w, "x", CT_F32, CT_SHAPE(2));
        if (d->fault == 5)
            ct_batch_field(w, "y", CT_F32, CT_SCALAR);
        return true;
    }
    x = ct_batch_field(w, "x", CT_F32, CT_SHAPE(rows, 2));
    y = ct_batch_field(w, "y", CT_I32, CT_SHAPE(rows));
    for (int64_t i = 0; x && y && i < rows; i++) {
        x[2 * i] = (float)ct_random_uniform(&d->g);
        x[2 * i + 1] = (float)d->batch;
        y[i] = (int32_t)i;
    }
    d->batch++;
    return ct_batch_set_tokens(w, 10 * rows) == CT_OK;
}

static int64_t draws_batches(void *self)
{
    return ((draws *)self)->fault == 8 ? 0 : 5;
}

static void draws_free(void *self)
{
    ((draws *)self)->freed++;
}

static const ct_stream_table draws_table = { .name = "draws",
                                             .begin = draws_begin,
                                             .next = draws_next,
                                             .batches = draws_batches,
                                             .free = draws_free,
                                             .continues = true };

START_TEST(stream)
{
    draws a = { .ends = -1 }, b = { .ends = -1 };
    ct_loader *l = ct_loader_stream_new(&draws_table, &a, DEVICE);
    ct_loader *m = ct_loader_stream_new(&draws_table, &b, DEVICE);
    double first[2] = { 0 };

    ck_assert(ct_loader_batches(l) == 5 && ct_loader_tokens(l) == 0 && ct_loader_continues(l));
    for (int epoch = 0; epoch < 2; epoch++) {
        ck_assert(ct_loader_begin(l) == CT_OK);
        for (int64_t k = 0; k < 5; k++) {
            ct_loader_cursor at = ct_loader_tell(l);
            ct_scope s = ct_scope_begin();
            ct_batch p, q;
            double *x;

            ck_assert(ct_loader_next(l, &p) && p.rows == k + 1 && p.tokens == 10 * (k + 1));
            ck_assert(p.continues == (k > 0) && p.field_count == 2 && ct_size(p.x, 1) == 2);
            ck_assert(ct_loader_seek(m, at) == CT_OK && ct_loader_next(m, &q));
            x = values_of(p.x);
            expect_values("x", q.x, x, (size_t)(2 * p.rows), 0);
            ck_assert(x[1] == (double)k);
            if (k == 0)
                first[epoch] = x[0];
            free(x);
            ck_assert(ct_scope_end(s) == CT_OK);
        }
        ck_assert(!ct_loader_next(l, &(ct_batch){ 0 }));
    }
    ck_assert(first[0] != first[1]);
    ct_loader_free(l);
    ct_loader_free(m);
    ck_assert(a.freed == 1 && b.freed == 1);
}
END_TEST

START_TEST(stream_bad)
{
    static const struct {
        ct_status status;
        const char *word;
    } faults[] = { { CT_ERR_IO, "the line is cut" },
                   { CT_ERR_ARGUMENT, "next wrote no field" },
                   { CT_ERR_SHAPE, "f32[3]" },
                   { CT_ERR_ARGUMENT, "appears twice" },
                   { CT_ERR_SHAPE, "must be (rows, ...)" } };
    ct_stream_table incomplete = draws_table;
    draws d = { .ends = 3 };
    ct_loader *l = ct_loader_stream_new(&draws_table, &d, DEVICE);
    int batches = 0;
    ct_batch b;

    ck_assert(ct_loader_begin(l) == CT_OK);
    while (ct_loader_step(l, &b)) /* the epoch ends before the promised number of batches */
        batches++;
    expect_ok();
    ck_assert(batches == 3 && ct_loader_batches(l) == 3);
    d.ends = -1;
    for (int k = 0; k < LENGTH(faults); k++) {
        d.fault = k + 1;
        ck_assert(ct_loader_begin(l) == CT_OK);
        for (batches = 0; ct_loader_step(l, &b); batches++)
            ;
        ck_assert_msg(batches == 2 && ct_error() == faults[k].status &&
                          (k == 2 || k == 4 || strstr(ct_error_message(), faults[k].word)),
                      "%s", ct_error_message());
        ct_error_clear();
    }
    d.fault = 9;
    ck_assert(ct_loader_begin(l) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_begin", "draws: begin returned an error without");
    ct_loader_free(l);
    ck_assert(d.freed == 1);

    d.fault = 8;
    ck_assert(!ct_loader_stream_new(&draws_table, &d, DEVICE) && d.freed == 2);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_stream_new", "batches returned 0");
    incomplete.next = NULL;
    ck_assert(!ct_loader_stream_new(&incomplete, &d, DEVICE) && d.freed == 3);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_stream_new", "next is NULL");
}
END_TEST

void dataset_loader_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "loader");

    tcase_add_test(tc, orders);
    tcase_add_test(tc, order_of_tensors);
    tcase_add_test(tc, weights);
    tcase_add_test(tc, bad_options);
    tcase_add_test(tc, own_loop);
    tcase_add_test(tc, own_loop_errors);
    tcase_add_test(tc, seek);
    tcase_add_test(tc, workers_give_the_same);
    tcase_add_test(tc, errors_of_get);
    tcase_add_test(tc, no_threads);
    tcase_add_test(tc, stream);
    tcase_add_test(tc, stream_bad);
}

/* SPDX-License-Identifier: MIT */
/* test_storage.c - the pool, and memory that fails. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tests/harness.h"
#include "tests/counted.h"

/* ---- the pool, and memory that fails ---- */

/* One step: x (8, 6), w (6, 5), w -= 0.1 dw; then the gradient is cleared. */
static void training_step(ct_tensor *w, ct_generator *g)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_randn(CT_SHAPE(8, 6), CT_F32, CT_CPU, g);

    ck_assert(ct_backward(ct_mean(ct_square(ct_tanh(ct_matmul(x, w))))) == CT_OK);
    ct_set_grad_enabled(false);
    ck_assert(ct_copy_into(w, ct_sub(w, ct_mul_scalar(ct_tensor_grad(w), 0.1))) == CT_OK);
    ct_tensor_zero_grad(w);
    ck_assert(ct_scope_end(s) == CT_OK);
}

/* After the first steps, a step requests no memory from the system. */
/* There are four sizes of buffer for each power of two, from 64 bytes up. */
START_TEST(sizes_of_buffers)
{
    static const int64_t sizes[][2] = {
        { 1, 64 },
        { 63, 64 },
        { 64, 64 },
        { 65, 80 },
        { 80, 80 },
        { 81, 96 },
        { 96, 96 },
        { 97, 112 },
        { 112, 112 },
        { 113, 128 },
        { 128, 128 },
        { 129, 160 },
        { 160, 160 },
        { 161, 192 },
        { 224, 224 },
        { 225, 256 },
        { 256, 256 },
        { 257, 320 },
        { 1000, 1024 },
        { 1024, 1024 },
        { 1025, 1280 },
        { 1 << 20, 1 << 20 },
        { (1 << 20) + 1, 5 << 18 },
    };
    ct_scope s = ct_scope_begin();
    size_t i;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t before = ct_memory_get_stats().live_bytes;
        ct_scope inner = ct_scope_begin();

        ck_assert(ct_empty(CT_SHAPE(sizes[i][0]), CT_BOOL, CT_CPU) != NULL);
        ck_assert_msg(ct_memory_get_stats().live_bytes - before == (size_t)sizes[i][1],
                      "%lld bytes take %zu", (long long)sizes[i][0],
                      ct_memory_get_stats().live_bytes - before);
        ck_assert(ct_scope_end(inner) == CT_OK);
        ck_assert_uint_eq(ct_memory_get_stats().live_bytes, before);
    }
    ct_memory_trim();
    ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, 0);
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) { /* a buffer is found again by its size
                                                          * alone */
        ct_memory_stats before;
        ct_scope inner = ct_scope_begin();

        ct_empty(CT_SHAPE(sizes[i][1]), CT_BOOL, CT_CPU);
        ck_assert(ct_scope_end(inner) == CT_OK);
        before = ct_memory_get_stats();
        inner = ct_scope_begin();
        ct_empty(CT_SHAPE(sizes[i][0]), CT_BOOL, CT_CPU);
        ck_assert_uint_eq(ct_memory_get_stats().system_allocations, before.system_allocations);
        ck_assert_uint_eq(ct_memory_get_stats().idle_bytes,
                          before.idle_bytes - (size_t)sizes[i][1]);
        ck_assert(ct_scope_end(inner) == CT_OK);
        ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, before.idle_bytes);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(steady_state)
{
    ct_generator g = ct_generator_from_seed(4);
    ct_scope s = ct_scope_begin();
    ct_tensor *w =
        ct_set_requires_grad(ct_keep(ct_randn(CT_SHAPE(6, 5), CT_F32, CT_CPU, &g)), true);
    ct_memory_stats stats;
    long before;
    int i;

    ck_assert(ct_scope_end(s) == CT_OK);
    harness_fill_handles();
    ct_memory_trim();
    for (i = 0; i < 3; i++)
        training_step(w, &g);
    stats = ct_memory_get_stats();
    before = calls;
    for (i = 0; i < 20; i++)
        training_step(w, &g);
    ck_assert_int_eq(calls, before);
    ck_assert_uint_eq(ct_memory_get_stats().system_allocations, stats.system_allocations);
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, stats.live_bytes);
    ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, stats.idle_bytes);
    ck_assert_uint_eq(ct_memory_get_stats().peak_bytes, stats.peak_bytes);
    ck_assert_uint_gt(stats.peak_bytes, stats.live_bytes);
    ct_memory_trim();
    ct_memory_trim();
    ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, 0);
    training_step(w, &g);
    ck_assert_uint_gt(ct_memory_get_stats().system_allocations, stats.system_allocations);
    ct_free(w);
}
END_TEST

static const char *pool_wish;

static void wish_pool(void)
{
    if (pool_wish)
        setenv("COTANGENT_POOL", pool_wish, 1);
    else
        unsetenv("COTANGENT_POOL");
}

static void wish_none(void)
{
    pool_wish = "0";
    wish_pool();
}

static void wish_other(void)
{
    pool_wish = "00";
    wish_pool();
}

/* With COTANGENT_POOL=0 the pool keeps no idle buffer; with another value, or unset, it keeps
 * all. */
START_TEST(kept_idle)
{
    bool keeps = !pool_wish || strcmp(pool_wish, "0") != 0;
    ct_scope s;
    long before = 0, asked = 0;
    int round;

    for (round = 0; round < 4; round++) {
        s = ct_scope_begin();
        ct_ones(CT_SHAPE(100), CT_F32, CT_CPU);
        ct_tanh(ct_set_requires_grad(ct_ones(CT_SHAPE(50), CT_F32, CT_CPU), true));
        ck_assert(ct_scope_end(s) == CT_OK);
        if (round > 1) {
            ck_assert_int_eq(outstanding, before);
            ck_assert_int_eq(calls - asked > 1, !keeps); /* except for the data of a leaf */
            ck_assert_int_eq(ct_memory_get_stats().idle_bytes > 0, keeps);
        }
        before = outstanding;
        asked = calls;
    }
}
END_TEST

START_TEST(idle_buffers_released)
{
    ct_scope s;

    s = ct_scope_begin();
    ck_assert(ct_zeros(CT_SHAPE(1 << 20), CT_F32, CT_CPU) != NULL);
    ck_assert(ct_scope_end(s) == CT_OK);
    budget = used + (1 << 20); /* 4 MiB idle, 1 MiB left */
    s = ct_scope_begin();
    ck_assert_msg(ct_zeros(CT_SHAPE(3 << 18), CT_F32, CT_CPU) != NULL, "%s", ct_error_message());
    ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, 0);
    ck_assert(ct_zeros(CT_SHAPE(1 << 20), CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_MEMORY, "ct_zeros", "out of memory");
    budget = 0;
    ck_assert(ct_zeros(CT_SHAPE(1 << 20), CT_F32, CT_CPU) != NULL);
    ck_assert(ct_scope_end(s) == CT_ERR_MEMORY || ct_ok());
    ct_memory_trim();
}
END_TEST

/* Requests for the largest sizes that do not overflow fail for lack of memory; one element more
 * overflows. */
START_TEST(largest_sizes)
{
    static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_BOOL, CT_BF16 };
    ct_scope s = ct_scope_begin();
    size_t i;

    budget = used + (1 << 20);
    for (i = 0; i < 4; i++) {
        int64_t most = (int64_t)(PTRDIFF_MAX / ct_dtype_size(dtypes[i]));
        const ct_shape fit[] = { CT_SHAPE(most), CT_SHAPE(most / 7, 7), CT_SHAPE(1, most, 1) };
        const ct_shape large[] = { CT_SHAPE(most + (i != 2), 1 + (i == 2)),
                                   CT_SHAPE(most / 7 + 1, 7), CT_SHAPE(2, 1, most) };
        int k;

        for (k = 0; k < 3; k++) {
            ck_assert_ptr_null(ct_empty(fit[k], dtypes[i], CT_CPU));
            ck_assert_int_eq(ct_error(), CT_ERR_MEMORY);
            ct_error_clear();
            ck_assert_ptr_null(ct_empty(large[k], dtypes[i], CT_CPU));
            ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
            ct_error_clear();
        }
    }
    budget = 0;
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
}
END_TEST

static void refuse_memory(void)
{
    fail_once = false;
    fail_from = 0;
}

/* Writes in place request memory only if they need it, and write nothing if the request fails. */
START_TEST(writes_without_memory)
{
    static const double values[] = { 0, 1, 2, 3, 4, 5 };
    ct_generator g = ct_generator_from_seed(5), before = g;
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_reshape(ct_arange(0, 6, 1, CT_F32, CT_CPU), CT_SHAPE(2, 3)), *other, *turned;
    ct_status all, self, apart, drawn;

    other = ct_reshape(ct_arange(6, 12, 1, CT_F32, CT_CPU), CT_SHAPE(3, 2));
    turned = ct_transpose(t, 0, 1);
    ct_memory_trim();
    refuse_memory();
    all = ct_fill(other, 7);
    self = ct_copy_into(turned, turned);
    apart = ct_copy_into(other, turned);
    fail_from = -1;
    ck_assert(all == CT_OK && self == CT_OK && apart == CT_OK);
    expect_values("apart", other, (double[]){ 0, 3, 1, 4, 2, 5 }, 6, 0);

    other = ct_narrow(t, 1, 0, 2);
    refuse_memory();
    all = ct_fill(turned, 7);
    ct_error_clear();
    self = ct_copy_into(other, ct_narrow(t, 1, 1, 2));
    ct_error_clear();
    drawn = ct_uniform_into(turned, 0, 1, &g);
    fail_from = -1;
    ct_error_clear();
    ck_assert(all == CT_ERR_MEMORY && self == CT_ERR_MEMORY && drawn == CT_ERR_MEMORY);
    expect_values("untouched", t, values, 6, 0);
    ck_assert(memcmp(&g, &before, sizeof g) == 0);
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
}
END_TEST

/* Runs on a thread without pools. Without memory for the pool's lists, a buffer has exactly the
 * requested size and is freed at once, unless that size is a size of the pool. */
static void *take_without_lists(void *unused)
{
    static const int64_t sizes[] = { 64, 65, 80, 81 };
    long k;

    ct_memory_trim(); /* nothing to free */
    for (k = 0; k < 4; k++) {
        bool whole = sizes[k] % 16 == 0;
        ct_scope s = ct_scope_begin();

        cti_pool_free(cti_thread());
        calls = 0;
        fail_once = true;
        fail_from = 2; /* after the request for the pool */
        ck_assert(ct_empty(CT_SHAPE(sizes[k]), CT_BOOL, CT_CPU) != NULL);
        fail_from = -1;
        ck_assert_uint_eq(ct_memory_get_stats().live_bytes, sizes[k]);
        ck_assert(ct_scope_end(s) == CT_OK);
        ck_assert_uint_eq(ct_memory_get_stats().live_bytes, 0);
        ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, whole ? sizes[k] : 0);
    }
    return unused;
}

START_TEST(lists_without_memory)
{
    harness_on_thread(take_without_lists, NULL);
}
END_TEST

typedef struct sweep {
    double want;
    long failed_at;
    bool failed; /* an allocation was refused */
} sweep;

/* Runs on a new thread, whose pools are empty. */
static void *sweep_thread(void *context)
{
    sweep *w = context;
    ct_status status;
    double value;

    pthread_mutex_lock(&counting);
    calls = 0;
    fail_from = w->failed_at;
    pthread_mutex_unlock(&counting);
    value = program(&status);
    w->failed = calls >= fail_from;
    fail_from = -1;
    if (status != CT_OK || !w->failed)
        ck_assert_msg(status == (w->failed ? CT_ERR_MEMORY : CT_OK), "call %ld: %s", w->failed_at,
                      ct_error_message());
    else /* only the request for a buffer is repeated */
        ck_assert_msg(fail_once && value == w->want, "call %ld failed unnoticed", w->failed_at);
    if (status != CT_OK)
        ck_assert_msg(ct_error() == CT_ERR_MEMORY && strstr(ct_error_message(), "out of memory"),
                      "call %ld: %s", w->failed_at, ct_error_message());
    ct_error_clear();
    value = program(&status);
    ck_assert_msg(status == CT_OK && value == w->want, "after call %ld failed: %g, %s",
                  w->failed_at, value, ct_error_message());
    return NULL;
}

static void *fill_handles(void *unused)
{
    harness_fill_handles();
    return unused;
}

/* Fails the k-th request for memory, or all from the k-th on, for every k. */
START_TEST(failing_memory)
{
    ct_status status;
    sweep w = { .want = program(&status) };
    long before;

    ck_assert(status == CT_OK && isfinite(w.want));
    ct_memory_trim();
    fail_once = _i == 0;
    harness_on_thread(fill_handles, NULL); /* slabs stay, so later threads need no new ones */
    before = outstanding;
    do {
        w.failed_at++;
        harness_on_thread(sweep_thread, &w);
        ck_assert_msg(outstanding == before, "%ld blocks are lost after call %ld failed",
                      outstanding - before, w.failed_at);
    } while (w.failed);
    ck_assert_int_gt(w.failed_at, 20);
}
END_TEST

/* A scope that could not begin: ct_scope_end returns the error and ends no other scope. */
static void *begin_without_memory(void *unused)
{
    ct_scope open[65];
    ct_tensor *out;
    int k;

    (void)unused;
    pthread_mutex_lock(&counting);
    calls = 0;
    fail_once = false;
    fail_from = 1;
    pthread_mutex_unlock(&counting);
    open[0] = ct_scope_begin();
    fail_from = -1;
    ck_assert(open[0].id == 0 && open[0].depth == 0);
    ck_assert(ct_scope_return(open[0], NULL, &out) == CT_ERR_MEMORY && !out);
    ck_assert(ct_scope_end(open[0]) == CT_ERR_MEMORY);
    expect_error(CT_ERR_MEMORY, "ct_scope_begin", "out of memory");
    for (k = 0; k < 64; k++)
        open[k] = ct_scope_begin();
    ck_assert(ct_zeros(CT_SHAPE(2), CT_F32, CT_CPU) != NULL);
    pthread_mutex_lock(&counting);
    fail_from = calls;
    pthread_mutex_unlock(&counting);
    open[64] = ct_scope_begin(); /* the list of scopes is full */
    fail_from = -1;
    ck_assert(open[64].id == 0 && open[64].depth == 0);
    ck_assert(ct_error() == CT_ERR_MEMORY);
    ct_error_clear();
    ck_assert(ct_scope_end(open[64]) == CT_ERR_MEMORY && ct_ok()); /* also after ct_error_clear */
    for (k = 63; k >= 0; k--) {
        ck_assert_uint_eq(open[k].depth, k + 1);
        ck_assert(ct_scope_end(open[k]) == CT_OK);
    }
    return NULL;
}

START_TEST(scopes_that_do_not_begin)
{
    harness_on_thread(begin_without_memory, NULL);
}
END_TEST

/* ---- the cases ---- */

static void idle_case(Suite *suite, const char *name, void (*wish)(void))
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, wish, NULL);
    tcase_add_checked_fixture(tc, harness_setup, harness_teardown);
    tcase_add_test(tc, kept_idle);
    suite_add_tcase(suite, tc);
}

int main(void)
{
    Suite *suite = suite_create("storage");
    TCase *tc;

    count_calls();
    tc = harness_case(suite, "memory");
    tcase_add_test(tc, sizes_of_buffers);
    tcase_add_test(tc, steady_state);
    tcase_add_test(tc, idle_buffers_released);
    tcase_add_test(tc, largest_sizes);
    tcase_add_test(tc, writes_without_memory);
    tcase_add_test(tc, lists_without_memory);
    tcase_add_loop_test(tc, failing_memory, 0, 2);
    tcase_add_test(tc, scopes_that_do_not_begin);
    idle_case(suite, "pool", wish_pool);
    idle_case(suite, "pool", wish_other);
    idle_case(suite, "pool", wish_none);
    harness_pooled = true;
    return harness_run(suite);
}

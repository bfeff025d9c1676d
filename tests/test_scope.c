/* SPDX-License-Identifier: MIT */
/* test_scope.c - lifetimes and errors: scopes, kept tensors, messages and their places. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/internal.h"
#include "tensor/internal.h"
#include "tests/harness.h"
#include "tests/counted.h"

/* ---- scopes ---- */

START_TEST(nesting)
{
    size_t live = ct_memory_get_stats().live_bytes;
    ct_scope a = ct_scope_begin(), b, c;
    ct_tensor *x = ct_ones(CT_SHAPE(100), CT_F32, CT_CPU);

    b = ct_scope_begin();
    ct_ones(CT_SHAPE(100), CT_F32, CT_CPU);
    c = ct_scope_begin();
    ct_ones(CT_SHAPE(100), CT_F32, CT_CPU);
    ck_assert_uint_gt(ct_memory_get_stats().live_bytes, live + 1200);
    harness_forgets = true;
    ck_assert(ct_scope_end(b) == CT_OK); /* also ends the forgotten c */
    harness_forgets = false;
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, live + 448);
    ck_assert(ct_scope_end(c) == CT_ERR_SCOPE);
    expect_error(CT_ERR_SCOPE, "ct_scope_end", "ended");
    ck_assert(ct_item(ct_sum(x)) == 100);
    ck_assert(ct_scope_end(a) == CT_OK);
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, live);
    ck_assert(ct_scope_end(a) == CT_ERR_SCOPE);
    expect_error(CT_ERR_SCOPE, "ct_scope_end", "ended");
}
END_TEST

/* The handle of an ended scope does not end a new scope at the same depth. */
START_TEST(stale_mark)
{
    ct_scope a = ct_scope_begin(), b;

    ck_assert(ct_scope_end(a) == CT_OK);
    b = ct_scope_begin();
    ck_assert(ct_scope_end(a) == CT_ERR_SCOPE);
    expect_error(CT_ERR_SCOPE, "ct_scope_end", "ended");
    ck_assert(ct_zeros(CT_SCALAR, CT_F32, CT_CPU) != NULL);
    ck_assert(ct_scope_end(b) == CT_OK);
}
END_TEST

static void *end_elsewhere(void *scope)
{
    ck_assert(ct_scope_end(*(ct_scope *)scope) == CT_ERR_SCOPE);
    expect_error(CT_ERR_SCOPE, "ct_scope_end", "opened");
    return NULL;
}

START_TEST(wrong_thread)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU);

    harness_on_thread(end_elsewhere, &s);
    expect_ok(); /* each thread has its own error */
    ck_assert(ct_item(ct_sum(x)) == 3);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

static pthread_key_t late;
static bool late_worked;

/* Runs when a thread ends; at the second run the library's data of the thread are already freed. */
static void work_late(void *round)
{
    ct_scope s;
    ct_tensor *x;

    if (!strcmp(round, "first")) {
        pthread_setspecific(late, "second");
        return;
    }
    s = ct_scope_begin();
    x = ct_set_requires_grad(ct_ones(CT_SHAPE(3), CT_F32, CT_CPU), true);
    ct_backward(ct_sum(x));
    late_worked = ct_tensor_grad(x) != NULL;
    late_worked &= ct_scope_end(s) == CT_OK;
}

static void *leave_work(void *unused)
{
    ct_scope s = ct_scope_begin();

    ct_ones(CT_SHAPE(3), CT_F32, CT_CPU);
    pthread_setspecific(late, "first");
    return ct_scope_end(s) == CT_OK ? unused : NULL;
}

/* A destructor of a thread's data may use the library after the library's destructor has run. */
START_TEST(work_at_a_threads_end)
{

    late_worked = false;
    ck_assert(pthread_key_create(&late, work_late) == 0);
    harness_on_thread(leave_work, NULL);
    ck_assert(late_worked);
    pthread_key_delete(late);
}
END_TEST

START_TEST(no_scope)
{
    ck_assert(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU) == NULL);
    expect_error(CT_ERR_SCOPE, "ct_ones", "scope");
}
END_TEST

START_TEST(returning)
{
    ct_scope outer = ct_scope_begin(), inner = ct_scope_begin(), deep;
    ct_tensor *t, *out, *kept;
    size_t live;

    ck_assert(ct_scope_return(inner, ct_full(CT_SHAPE(4), 2, CT_F32, CT_CPU), &out) == CT_OK);
    ck_assert(ct_item(ct_sum(out)) == 8);

    inner = ct_scope_begin(); /* out of a forgotten inner scope */
    deep = ct_scope_begin();
    t = ct_full(CT_SHAPE(4), 3, CT_F32, CT_CPU);
    ck_assert(ct_scope_return(inner, t, &out) == CT_OK && out == t);
    ck_assert(ct_item(ct_sum(out)) == 12);
    ck_assert(ct_scope_end(deep) == CT_ERR_SCOPE);
    ct_error_clear();

    t = ct_full(CT_SHAPE(4), 3, CT_F32, CT_CPU);
    inner = ct_scope_begin(); /* a tensor of another scope */
    live = ct_memory_get_stats().live_bytes;
    ct_zeros(CT_SHAPE(1000), CT_F32, CT_CPU);
    ck_assert(ct_scope_return(inner, t, &out) == CT_ERR_SCOPE && !out);
    expect_error(CT_ERR_SCOPE, "ct_scope_return", "belong");
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, live); /* the scope has still ended */
    inner = ct_scope_begin();
    kept = ct_keep(ct_zeros(CT_SHAPE(2), CT_F32, CT_CPU));
    ck_assert(ct_scope_return(inner, kept, &out) == CT_ERR_SCOPE && !out);
    expect_error(CT_ERR_SCOPE, "ct_scope_return", "belong");
    ct_free(kept);

    inner = ct_scope_begin();
    ck_assert(ct_scope_return(inner, NULL, &out) == CT_ERR_ARGUMENT && !out);
    expect_error(CT_ERR_ARGUMENT, "ct_scope_return", "t is NULL");
    ck_assert(ct_scope_return(inner, t, &out) == CT_ERR_SCOPE && !out);
    expect_error(CT_ERR_SCOPE, "ct_scope_return", "ended");

    inner = ct_scope_begin(); /* no tensor after an error */
    t = ct_zeros(CT_SHAPE(2), CT_F32, CT_CPU);
    ct_zeros(CT_SHAPE(-2), CT_F32, CT_CPU);
    ck_assert(ct_scope_return(inner, t, &out) == CT_ERR_SHAPE && !out);
    ct_error_clear();
    ck_assert(ct_scope_end(outer) == CT_OK);

    outer = ct_scope_begin();
    t = ct_zeros(CT_SHAPE(2), CT_F32, CT_CPU);
    ck_assert(ct_scope_return(outer, t, &out) == CT_ERR_SCOPE && !out);
    expect_error(CT_ERR_SCOPE, "ct_scope_return", "ct_keep");
}
END_TEST

START_TEST(returning_history)
{
    ct_scope outer = ct_scope_begin(), inner = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), true), *out, *leaf;

    ck_assert(ct_scope_return(inner, ct_tanh(x), &out) == CT_ERR_SCOPE && !out);
    expect_error(CT_ERR_SCOPE, "ct_scope_return", "history");
    inner = ct_scope_begin();
    leaf = ct_set_requires_grad(ct_full(CT_SHAPE(2), 0.5, CT_F32, CT_CPU), true);
    ck_assert(ct_backward(ct_sum(ct_square(leaf))) == CT_OK);
    ck_assert(ct_scope_return(inner, leaf, &out) == CT_OK); /* a leaf keeps its gradient */
    expect_values("gradient", ct_tensor_grad(out), (double[]){ 1, 1 }, 2, 0);
    inner = ct_scope_begin();
    ck_assert(ct_scope_return(inner, ct_detach(ct_tanh(leaf)), &out) == CT_OK);
    ck_assert(!ct_tensor_requires_grad(out));
    expect_close("tanh", ct_item(ct_sum(out)), 2 * tanh(0.5), 1e-6);
    ck_assert(ct_scope_end(outer) == CT_OK);
}
END_TEST

START_TEST(recording_mode)
{
    ct_scope a = ct_scope_begin_no_grad(), b;

    ck_assert(!ct_grad_enabled());
    b = ct_scope_begin();
    ck_assert(!ct_grad_enabled());
    ct_set_grad_enabled(true);
    ck_assert(ct_scope_end(b) == CT_OK);
    ck_assert(!ct_grad_enabled());
    ck_assert(ct_scope_end(a) == CT_OK);
    ck_assert(ct_grad_enabled());
}
END_TEST

START_TEST(keep_and_free)
{
    size_t live = ct_memory_get_stats().live_bytes;
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_full(CT_SHAPE(2, 3), 5, CT_F32, CT_CPU), *k = ct_keep(t);
    ct_tensor *row = ct_keep(ct_select(t, 0, 1));

    ck_assert(ct_fill(t, 7) == CT_OK);
    ct_free(NULL);
    ct_free(t);
    expect_error(CT_ERR_SCOPE, "ct_free", "t f32[2,3]");
    EXPECT_NO_VALUE(ct_keep(NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, live + 64); /* one buffer for both */
    ck_assert(((const float *)ct_data(k))[5] == 7);
    ct_free(k);
    ck_assert(((const float *)ct_data(row))[2] == 7);
    ct_free(row);
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, live);
    ct_free(row);
    expect_error(CT_ERR_SCOPE, "ct_free", "freed");
}
END_TEST

/* Rows gathered by index are computed when they are first read; until then the tensor keeps the
 * indices. */
START_TEST(rows_put_off)
{
    static const int64_t at[] = { 2, 0, 2 };
    ct_scope s = ct_scope_begin();
    ct_tensor *index = ct_from_data(at, CT_SHAPE(3), CT_I64, CT_CPU), *rows[3], *got[2], *table;
    ct_tensor *none = ct_from_data(NULL, CT_SHAPE(0), CT_I64, CT_CPU);
    int i;

    table = ct_reshape(ct_arange(0, 12, 1, CT_F32, CT_CPU), CT_SHAPE(3, 4));
    for (i = 0; i < 3; i++) {
        rows[i] = i == 2 ? ct_one_hot(index, 4) : cti_lazy_gather(table, index);
        ck_assert(rows[i] && atomic_load(&rows[i]->storage->indices) != NULL);
        ck_assert_int_eq(cti_lazy_rows_get(rows[i], &got[0], &got[1]), i < 2);
    }
    ck_assert(ct_item(ct_select(ct_select(got[0], 0, 2), 0, 1)) == 9);
    ck_assert(ct_item(ct_select(got[1], 0, 0)) == 2 && ct_numel(got[1]) == 3);
    ck_assert(!cti_lazy_rows_get(ct_narrow(rows[0], 0, 0, 2), &got[0], &got[1]));
    ck_assert(!cti_lazy_rows_get(ct_transpose(rows[0], 0, 1), &got[0], &got[1]));
    ck_assert(cti_lazy_rows_get(ct_unsqueeze(rows[0], 0), &got[0], &got[1]));
    expect_values("rows", rows[0], (double[]){ 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11 }, 12, 0);
    expect_values("one-hot", rows[2], (double[]){ 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0 }, 12, 0);
    for (i = 0; i < 3; i++) /* read or not */
        ck_assert_int_eq(atomic_load(&rows[i]->storage->indices) != NULL, i == 1);
    ck_assert(!cti_lazy_rows_get(rows[0], &got[0], &got[1]));
    for (i = 0; i < 2; i++) { /* an empty result is computed at once */
        rows[i] = i ? ct_one_hot(none, 4) : cti_lazy_gather(table, none);
        ck_assert(rows[i] && ct_numel(rows[i]) == 0 && !atomic_load(&rows[i]->storage->indices));
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A tensor that a history uses lives until the history ends. */
START_TEST(freed_under_history)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(3), CT_F32, CT_CPU), true);
    ct_tensor *k = ct_keep(ct_full(CT_SHAPE(3), 4, CT_F32, CT_CPU)), *loss;

    loss = ct_sum(ct_mul(x, k));
    ct_free(k);
    ct_free(k);
    expect_error(CT_ERR_SCOPE, "ct_free", "freed");
    ct_full(CT_SHAPE(3), 9, CT_F32, CT_CPU); /* would reuse the buffer if it were free */
    ck_assert(ct_backward(loss) == CT_OK);
    expect_values("gradient", ct_tensor_grad(x), (double[]){ 4, 4, 4 }, 3, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- errors ---- */

typedef struct seen {
    int calls;
    ct_status status;
    char message[200];
} seen;

static void see(ct_status status, const char *message, void *context)
{
    seen *s = context;

    s->calls++;
    s->status = status;
    snprintf(s->message, sizeof s->message, "%s", message);
}

START_TEST(first_sticks)
{
    seen s = { 0 };
    char site[100];
    ct_scope scope = ct_scope_begin();
    int line;

    ct_error_set_handler(see, &s);
    line = __LINE__ + 1;
    ct_ones(CT_SHAPE(-1), CT_F32, CT_CPU);
    ct_ones(CT_SCALAR, CT_F32, 9);
    ct_error_set_handler(NULL, NULL);
    snprintf(site, sizeof site, "test_scope.c:%d: ct_ones: shape [-1] has a negative size (axis 0)",
             line);
    ck_assert_int_eq(s.calls, 1);
    ck_assert(s.status == CT_ERR_SHAPE && ct_error() == CT_ERR_SHAPE && !ct_ok());
    ck_assert_msg(strstr(s.message, site) != NULL, "%s is not in %s", site, s.message);
    ck_assert_str_eq(ct_error_message(), s.message);
    ck_assert(ct_scope_end(scope) == CT_ERR_SHAPE);
    ct_error_clear();
    ck_assert(ct_ok() && ct_error() == CT_OK);
    ck_assert_str_eq(ct_error_message(), "");
}
END_TEST

/* Adds a tensor that does not broadcast with the gradient, or one that makes it larger. */
static int hook_line;

static ct_tensor *add_in_hook(ct_tensor *gradient, void *context)
{
    hook_line = __LINE__ + 1;
    return ct_add(gradient, ct_ones(CT_SHAPE(*(int *)context), CT_F32, CT_CPU));
}

/* The error of a wrong call in a hook names that call's place. After the hook, messages of backward
 * name the running op again. */
START_TEST(place_in_backward)
{
    int sizes[] = { 7, 2 };

    for (int i = 0; i < 2; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(i ? 1 : 3), CT_F32, CT_CPU), true), *y;
        char site[100];
        int line = __LINE__ + 2;

        y = ct_square(x);
        ct_register_hook(y, add_in_hook, &sizes[i], NULL);
        ck_assert(ct_backward(ct_sum(y)) == CT_ERR_SHAPE);
        ck_assert(*ct_site() == NULL);
        if (sizes[i] == 7)
            snprintf(site, sizeof site, "test_scope.c:%d: ct_add: a f32", hook_line);
        else
            snprintf(site, sizeof site, "test_scope.c:%d: ct_square: a hook returned", line);
        ck_assert_msg(strstr(ct_error_message(), site) != NULL, "%s is not in %s", site,
                      ct_error_message());
        ct_error_clear();
        ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
    }
}
END_TEST

START_TEST(scopes_report)
{
    ct_scope outer = ct_scope_begin(), s;
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SCALAR, CT_F32, CT_CPU), true);

    ct_ones(CT_SHAPE(-1), CT_F32, CT_CPU);
    s = ct_scope_begin(); /* no error in this scope */
    ck_assert(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU) != NULL);
    ck_assert(ct_scope_end(s) == CT_OK);
    s = ct_scope_begin(); /* a later error is not recorded, but the scope's end reports one */
    ct_ones(CT_SCALAR, CT_F32, 9);
    ck_assert(ct_scope_end(s) == CT_ERR_SHAPE);
    s = ct_scope_begin(); /* so it does for a refused backward */
    ck_assert(ct_backward(ct_square(x)) == CT_ERR_SHAPE);
    ck_assert(ct_scope_end(s) == CT_ERR_SHAPE);
    ck_assert(ct_tensor_grad(x) == NULL);
    ct_error_clear();
    s = ct_scope_begin(); /* it does not for a cleared error, but does for the next one */
    ct_ones(CT_SHAPE(-1), CT_F32, CT_CPU);
    ct_error_clear();
    ct_ones(CT_SCALAR, CT_F32, 9);
    ck_assert(ct_scope_end(s) == CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_ones", "device 9");
    s = ct_scope_begin();
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert(ct_scope_end(outer) == CT_OK);
}
END_TEST

START_TEST(raising)
{
    char *text = malloc(5000);
    ct_status s;

    memset(text, 'x', 4999);
    text[4999] = '\0';
    ck_assert(ct_raise(CT_OK, "f", "nothing") == CT_OK && ct_ok());
    ck_assert(ct_raise(CT_ERR_FORMAT, "f", "a %s b", text) == CT_ERR_FORMAT);
    ck_assert_uint_eq(strlen(ct_error_message()), 1023);
    ct_error_clear();
    ct_raise(CT_ERR_FORMAT, text, "too late");
    ck_assert_uint_eq(strlen(ct_error_message()), 1023);
    ct_error_clear();
    free(text);
    for (s = CT_OK; s <= CT_ERR_UNSUPPORTED; s++)
        ck_assert_msg(strncmp(ct_status_name(s), "CT_", 3) == 0 && !strchr(ct_status_name(s), '?'),
                      "status %d", s);
    ck_assert_str_eq(ct_status_name(CT_ERR_NUMERIC), "CT_ERR_NUMERIC");
    ck_assert_str_eq(ct_status_name(CT_ERR_UNSUPPORTED), "CT_ERR_UNSUPPORTED");
    ck_assert_str_eq(ct_status_name((ct_status)(CT_ERR_UNSUPPORTED + 1)), "CT_ERR_?");
    ck_assert_str_eq(ct_status_name((ct_status)99), "CT_ERR_?");
    ck_assert_str_eq(ct_status_name((ct_status)-1), "CT_ERR_?");
}
END_TEST

static void fail_with_exit(void)
{
    ct_scope s = ct_scope_begin();

    ct_exit_on_error();
    ct_linspace(0, 1, -1, CT_F32, CT_CPU);
    (void)!ct_scope_end(s);
    exit(77);
}

static void fail_with_print(void)
{
    ct_scope s = ct_scope_begin();

    ct_error_set_handler(ct_error_print, NULL);
    ct_linspace(0, 1, -1, CT_F32, CT_CPU);
    ct_linspace(0, 1, -1, CT_F32, CT_CPU);
    exit(ct_scope_end(s) == CT_ERR_SHAPE ? 5 : 6);
}

START_TEST(exit_on_error)
{
    char out[2000];
    const char *text = ": ct_linspace: n is -1; it must be at least 0\n";

    ck_assert_int_eq(in_child(fail_with_exit, out, sizeof out), 1);
    ck_assert_msg(strstr(out, text) && strchr(out, '\n') == out + strlen(out) - 1, "%s", out);
    ck_assert_int_eq(in_child(fail_with_print, out, sizeof out), 5);
    ck_assert_msg(strstr(out, text) && strchr(out, '\n') == out + strlen(out) - 1, "%s", out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scope");
    TCase *tc;

    count_calls();
    tc = harness_case(suite, "scopes");
    tcase_add_test(tc, nesting);
    tcase_add_test(tc, stale_mark);
    tcase_add_test(tc, wrong_thread);
    tcase_add_test(tc, work_at_a_threads_end);
    tcase_add_test(tc, no_scope);
    tcase_add_test(tc, returning);
    tcase_add_test(tc, returning_history);
    tcase_add_test(tc, recording_mode);
    tcase_add_test(tc, keep_and_free);
    tcase_add_test(tc, rows_put_off);
    tcase_add_test(tc, freed_under_history);
    tc = harness_case(suite, "errors");
    tcase_add_test(tc, first_sticks);
    tcase_add_test(tc, place_in_backward);
    tcase_add_test(tc, scopes_report);
    tcase_add_test(tc, raising);
    tcase_add_test(tc, exit_on_error);
    harness_pooled = true;
    return harness_run(suite);
}

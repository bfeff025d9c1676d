/* test_scope.c - lifetimes and errors: scopes, kept tensors, the pool, failing memory, threads.
 *
 * Includes <cotangent.h>, as a program does: messages begin with the FILE:LINE of the call. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "autograd/internal.h"
#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tensor/parallel.h"
#include "tests/harness.h"

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
    ck_assert(ct_scope_end(b) == CT_OK); /* c, forgotten, goes too */
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

/* An old mark at a depth that a new scope has taken is not that scope's. */
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
    expect_ok(); /* errors are each thread's own */
    ck_assert(ct_item(ct_sum(x)) == 3);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

static pthread_key_t late;
static bool late_worked;

/* Runs when a thread ends; the second time the library's own data of the thread are gone. */
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

/* A destructor of a thread's data may use the library after the library's has run. */
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

    inner = ct_scope_begin(); /* from a forgotten inner one */
    deep = ct_scope_begin();
    t = ct_full(CT_SHAPE(4), 3, CT_F32, CT_CPU);
    ck_assert(ct_scope_return(inner, t, &out) == CT_OK && out == t);
    ck_assert(ct_item(ct_sum(out)) == 12);
    ck_assert(ct_scope_end(deep) == CT_ERR_SCOPE);
    ct_error_clear();

    t = ct_full(CT_SHAPE(4), 3, CT_F32, CT_CPU);
    inner = ct_scope_begin(); /* of another owner */
    live = ct_memory_get_stats().live_bytes;
    ct_zeros(CT_SHAPE(1000), CT_F32, CT_CPU);
    ck_assert(ct_scope_return(inner, t, &out) == CT_ERR_SCOPE && !out);
    expect_error(CT_ERR_SCOPE, "ct_scope_return", "belong");
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, live); /* it has ended all the same */
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

    inner = ct_scope_begin(); /* an error on the way: no handle */
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
    ck_assert(ct_scope_return(inner, leaf, &out) == CT_OK); /* a leaf takes its gradient along */
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

/* Rows by index are not written before somebody looks; until then it is known which they are. */
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
    for (i = 0; i < 3; i++) /* looked at, or not */
        ck_assert_int_eq(atomic_load(&rows[i]->storage->indices) != NULL, i == 1);
    ck_assert(!cti_lazy_rows_get(rows[0], &got[0], &got[1]));
    for (i = 0; i < 2; i++) { /* of nothing there is nothing to put off */
        rows[i] = i ? ct_one_hot(none, 4) : cti_lazy_gather(table, none);
        ck_assert(rows[i] && ct_numel(rows[i]) == 0 && !atomic_load(&rows[i]->storage->indices));
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* What open history still uses lives until that history ends. */
START_TEST(freed_under_history)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(3), CT_F32, CT_CPU), true);
    ct_tensor *k = ct_keep(ct_full(CT_SHAPE(3), 4, CT_F32, CT_CPU)), *loss;

    loss = ct_sum(ct_mul(x, k));
    ct_free(k);
    ct_free(k);
    expect_error(CT_ERR_SCOPE, "ct_free", "freed");
    ct_full(CT_SHAPE(3), 9, CT_F32, CT_CPU); /* would take the buffer */
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

/* Adds a tensor of a size: one that does not broadcast with the gradient, or one that makes it
 * larger. */
static int hook_line;
static ct_tensor *add_in_hook(ct_tensor *gradient, void *context)
{
    hook_line = __LINE__ + 1;
    return ct_add(gradient, ct_ones(CT_SHAPE(*(int *)context), CT_F32, CT_CPU));
}

/* A wrong call in a hook is named with its own place. After the hook, the engine's messages name
 * the op whose turn it is again. */
START_TEST(place_in_backward)
{
    int sizes[] = { 7, 2 };

    for (int i = 0; i < 2; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(i ? 1 : 3), CT_F32, CT_CPU), true), *y;
        char site[100];
        int line = __LINE__ + 2;

        y = ct_square(x);
        ct_register_hook(y, add_in_hook, &sizes[i]);
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
    s = ct_scope_begin(); /* nothing comes up in it */
    ck_assert(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU) != NULL);
    ck_assert(ct_scope_end(s) == CT_OK);
    s = ct_scope_begin(); /* a later error is dropped, but counts */
    ct_ones(CT_SCALAR, CT_F32, 9);
    ck_assert(ct_scope_end(s) == CT_ERR_SHAPE);
    s = ct_scope_begin(); /* a refused sink too */
    ck_assert(ct_backward(ct_square(x)) == CT_ERR_SHAPE);
    ck_assert(ct_scope_end(s) == CT_ERR_SHAPE);
    ck_assert(ct_tensor_grad(x) == NULL);
    ct_error_clear();
    s = ct_scope_begin(); /* one that was cleared does not, the next does */
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
    for (s = CT_OK; s <= CT_ERR_NUMERIC; s++)
        ck_assert_msg(strncmp(ct_status_name(s), "CT_", 3) == 0 && !strchr(ct_status_name(s), '?'),
                      "status %d", s);
    ck_assert_str_eq(ct_status_name(CT_ERR_NUMERIC), "CT_ERR_NUMERIC");
    ck_assert_str_eq(ct_status_name((ct_status)(CT_ERR_NUMERIC + 1)), "CT_ERR_?");
    ck_assert_str_eq(ct_status_name((ct_status)99), "CT_ERR_?");
    ck_assert_str_eq(ct_status_name((ct_status)-1), "CT_ERR_?");
}
END_TEST

/* Runs program in a forked process; its exit status, and what it wrote to stderr. */
static int in_child(void (*program)(void), char *out, size_t room)
{
    int pipes[2], status;
    size_t n = 0;
    ssize_t got;
    pid_t pid;

    fflush(NULL);
    ck_assert(pipe(pipes) == 0);
    pid = fork();
    ck_assert(pid >= 0);
    if (pid == 0) {
        close(pipes[0]);
        dup2(pipes[1], STDERR_FILENO);
        alarm(20);
        program();
        exit(0);
    }
    close(pipes[1]);
    while (n < room - 1 && (got = read(pipes[0], out + n, room - 1 - n)) > 0)
        n += (size_t)got;
    out[n] = '\0';
    close(pipes[0]);
    ck_assert(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

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

/* ---- the pool, and memory that fails ---- */

static cti_memory_table system_calls;
static long calls, outstanding, fail_from = -1;
static bool fail_once;
static size_t budget, used; /* budget 0: no limit */
#define FRONT 64            /* bytes in front of a block, which hold its size */
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

static void *counted_allocate(size_t alignment, size_t bytes)
{
    bool fails;
    char *p;

    if (alignment > FRONT)
        abort();
    pthread_mutex_lock(&counting);
    calls++;
    fails = fail_from >= 0 && (fail_once ? calls == fail_from : calls >= fail_from);
    fails |= budget && used + bytes > budget;
    pthread_mutex_unlock(&counting);
    p = fails ? NULL : system_calls.allocate(FRONT, bytes + FRONT);
    if (!p)
        return NULL;
    memcpy(p, &bytes, sizeof bytes);
    pthread_mutex_lock(&counting);
    outstanding++;
    used += bytes;
    pthread_mutex_unlock(&counting);
    return p + FRONT;
}

static void counted_release(void *block)
{
    char *p = (char *)block - FRONT;
    size_t bytes;

    memcpy(&bytes, p, sizeof bytes);
    pthread_mutex_lock(&counting);
    outstanding--;
    used -= bytes;
    pthread_mutex_unlock(&counting);
    system_calls.release(p);
}

/* For the whole program: a block must come from where it goes. */
static void count_calls(void)
{
    system_calls = cti_memory_calls;
    cti_memory_calls = (cti_memory_table){ counted_allocate, counted_release };
}

/* A bit of everything: leaves, views, ops, history, a backward pass, in-place writes, kept tensors.
 * The value is 0 or NaN after an error. */
static double program(ct_status *status)
{
    ct_generator g = ct_generator_from_seed(3);
    ct_scope s = ct_scope_begin(), inner;
    ct_tensor *w = ct_set_requires_grad(ct_randn(CT_SHAPE(6, 5), CT_F32, CT_CPU, &g), true);
    ct_tensor *x = ct_rand(CT_SHAPE(4, 6), CT_F32, CT_CPU, &g), *y, *kept, *moved = NULL, *parts[2];
    ct_status error;
    double value;

    y = ct_tanh(ct_matmul(ct_transpose(ct_contiguous(ct_transpose(x, 0, 1)), 0, 1), w));
    parts[0] = ct_slice(y, 1, 0, 4, 2);
    parts[1] = ct_narrow(y, 1, 3, 2);
    y = ct_log_softmax(ct_add(ct_cat(2, parts, 1), ct_full(CT_SHAPE(4), 0.5, CT_F32, CT_CPU)), -1);
    (void)!ct_backward(ct_mean(y));
    inner = ct_scope_begin();
    error = ct_scope_return(inner, ct_cast(ct_tensor_grad(w), CT_F64), &moved);
    kept = ct_keep(moved);
    if (kept && error == CT_OK)
        (void)!ct_copy_into(ct_select(kept, 0, 0), ct_select(moved, 0, 1));
    value = ct_item(ct_sum(kept)) + ct_item(ct_sum(ct_eye(3, CT_F64, CT_CPU)));
    ct_free(kept);
    *status = ct_scope_end(s);
    return value;
}

/* x (8, 6), w (6, 5): w -= 0.1 dw, and the gradient is forgotten */
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

/* Once each size has been seen, a step asks the system for nothing. */
/* Buffers are of sizes four to a power of two, from 64 bytes up. */
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
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) { /* and are found again by size alone */
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

/* COTANGENT_POOL=0 keeps nothing that is idle; another value, or none, all. */
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
            ck_assert_int_eq(calls - asked > 1, !keeps); /* but for what a leaf has */
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

/* The largest sizes that do not overflow are asked for, in vain; one element more overflows. */
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

/* Writes in place ask for memory only where they must, and write nothing where there is none. */
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

/* On a thread that has none yet: without memory for the pool's lists a buffer is of its own
 * size, and goes back at once, but for one whose size is that of its class. */
static void *take_without_lists(void *unused)
{
    static const int64_t sizes[] = { 64, 65, 80, 81 };
    long k;

    ct_memory_trim(); /* of nothing */
    for (k = 0; k < 4; k++) {
        bool whole = sizes[k] % 16 == 0;
        ct_scope s = ct_scope_begin();

        cti_pool_free(cti_thread());
        calls = 0;
        fail_once = true;
        fail_from = 2; /* behind the pool itself */
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

/* On a thread of its own, whose pools are empty. */
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
    else /* only a buffer is asked for twice */
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
    harness_on_thread(fill_handles, NULL); /* slabs stay; later threads need no more */
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

/* A scope that could not begin is none: its end says why, and ends no other. */
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
    ck_assert(ct_scope_end(open[64]) == CT_ERR_MEMORY && ct_ok()); /* after the error, too */
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

/* ---- threads ---- */

typedef struct handover {
    pthread_barrier_t barrier;
    ct_tensor *kept, *history;
    ct_memory_stats made, held, freed;
} handover;

static void *make_and_wait(void *context)
{
    handover *h = context;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_full(CT_SHAPE(1 << 18), 2, CT_F32, CT_CPU);

    h->kept = ct_keep(x);
    h->history = ct_square(ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), true));
    h->made = ct_memory_get_stats();
    pthread_barrier_wait(&h->barrier); /* the other thread looks at both */
    pthread_barrier_wait(&h->barrier);
    (void)!ct_scope_end(s);
    h->held = ct_memory_get_stats();
    pthread_barrier_wait(&h->barrier); /* and frees what was kept */
    pthread_barrier_wait(&h->barrier);
    h->freed = ct_memory_get_stats();
    return NULL;
}

START_TEST(handed_over)
{
    handover h = { 0 };
    ct_memory_stats before = ct_memory_get_stats(), after;
    pthread_t thread;
    ct_scope s;

    pthread_barrier_init(&h.barrier, NULL, 2);
    ck_assert(pthread_create(&thread, NULL, make_and_wait, &h) == 0);
    pthread_barrier_wait(&h.barrier);
    s = ct_scope_begin();
    ck_assert(ct_item(ct_sum(h.kept)) == 1 << 19);
    ck_assert(ct_tanh(h.history) == NULL);
    expect_error(CT_ERR_SCOPE, "ct_tanh", "history");
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
    pthread_barrier_wait(&h.barrier);
    pthread_barrier_wait(&h.barrier);
    ct_free(h.kept);
    pthread_barrier_wait(&h.barrier);
    pthread_join(thread, NULL);
    after = ct_memory_get_stats();
    ck_assert_uint_eq(h.made.live_bytes, (1 << 20) + 2 * 64);
    ck_assert_uint_eq(h.held.live_bytes, 1 << 20);
    ck_assert_uint_eq(h.freed.live_bytes, 0);
    ck_assert_uint_eq(after.live_bytes, before.live_bytes);
    ck_assert_uint_lt(after.idle_bytes, before.idle_bytes + (1 << 21));
    pthread_barrier_destroy(&h.barrier);
}
END_TEST

/* Made on a thread that has ended; freed where there may be no pool yet. */
static void *make_and_leave(void *kept)
{
    ct_scope s = ct_scope_begin();

    *(ct_tensor **)kept = ct_keep(ct_full(CT_SHAPE(1000), 3, CT_F32, CT_CPU));
    (void)s; /* forgotten: the end of the thread ends it */
    return NULL;
}

static void *just_free(void *kept)
{
    ct_free(kept);
    return NULL;
}

START_TEST(outlives_its_thread)
{
    ct_tensor *kept = NULL;
    long before;

    harness_on_thread(make_and_leave, &kept); /* makes a slab of handles, which stays */
    ct_free(kept);
    ct_memory_trim();
    before = outstanding;
    harness_on_thread(make_and_leave, &kept);
    ck_assert(((const float *)ct_data(kept))[999] == 3);
    ck_assert(outstanding > before);
    harness_on_thread(just_free, kept);
    ck_assert_int_eq(outstanding, before);
}
END_TEST

/* One number from the bits of what large ops give. */
static uint64_t fingerprint(void)
{
    ct_generator g = ct_generator_from_seed(21);
    ct_scope s = ct_scope_begin();
    uint64_t hash = 0xcbf29ce484222325u;
    ct_tensor *a = ct_randn(CT_SHAPE(600, 90), CT_F32, CT_CPU, &g), *out[8];
    ct_tensor *b = ct_rand(CT_SHAPE(90, 70), CT_F32, CT_CPU, &g);
    int k;

    out[0] = a;
    out[1] = ct_tanh(ct_add(a, ct_select(b, 1, 0)));
    out[2] = ct_sum(a);
    out[3] = ct_sum_axes(a, 1, (int[]){ 0 }, false);
    out[4] = ct_matmul(a, b);
    out[5] = ct_softmax(a, 1);
    out[6] = ct_contiguous(ct_transpose(a, 0, 1));
    out[7] = ct_cast(ct_randn(CT_SHAPE(30001), CT_F64, CT_CPU, &g), CT_F32);
    for (k = 0; k < 8; k++) {
        const unsigned char *p = ct_data(out[k]);
        size_t n = (size_t)ct_numel(out[k]) * 4;

        ck_assert_msg(p != NULL, "%s", ct_error_message());
        while (n--)
            hash = (hash ^ *p++) * 0x100000001b3u;
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    return hash;
}

START_TEST(same_bits)
{
    static const int threads[] = { 2, 3, 8, 1 };
    uint64_t one = fingerprint();
    size_t i;

    for (i = 0; i < 4; i++) {
        ck_assert(ct_set_num_threads(threads[i]) == CT_OK);
        ck_assert_int_eq(ct_num_threads(), threads[i]);
        ck_assert_msg(fingerprint() == one, "other bits with %d threads", threads[i]);
    }
    ck_assert(ct_set_num_threads(0) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_set_num_threads", "0");
    ck_assert(ct_set_num_threads(257) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_set_num_threads", "257");
    ck_assert_int_eq(ct_num_threads(), 1);
}
END_TEST

/* As many as there are processors for this process, by its affinity and its group's quota; 8 at
 * most. */
static int usual_threads(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    double granted, period;
    int n = 8;
#ifdef CPU_COUNT
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < n)
        n = CPU_COUNT(&set);
#else
    n = 1;
#endif
    if (f && fscanf(f, "%lf %lf", &granted, &period) == 2 && ceil(granted / period) < n)
        n = (int)ceil(granted / period);
    if (f)
        fclose(f);
    return n < 1 ? 1 : n;
}

/* Each in a process of its own, as the environment is asked once. */
START_TEST(threads_of_environment)
{
    static const char *const wish[] = { "3", "256", "1", "0", "257", "many", NULL };

    if (wish[_i])
        setenv("COTANGENT_NUM_THREADS", wish[_i], 1);
    else
        unsetenv("COTANGENT_NUM_THREADS");
    if (_i < 3)
        ck_assert_int_eq(ct_num_threads(), atoi(wish[_i]));
    else
        ck_assert_int_eq(ct_num_threads(), usual_threads());
    ck_assert(ct_set_num_threads(2) == CT_OK);
    ck_assert_int_eq(ct_num_threads(), 2);
}
END_TEST

START_TEST(processors_granted)
{
    static const struct {
        const char *text;
        int granted;
    } cases[] = {
        { "max 100000", 256 },
        { "100000 100000", 1 },
        { "100001 100000", 2 },
        { "200000 100000", 2 },
        { "1 100000", 1 },
        { "0 100000", 256 },
        { "-5 100000", 256 },
        { "100000 0", 256 },
        { "100000 -1", 256 },
        { "100000", 256 },
        { "", 256 },
        { "25500000 100000", 255 },
        { "25500001 100000", 256 },
        { "25600001 100000", 256 },
        { "25600000 100000", 256 },
        { "99900000 100000", 256 },
        { "3 1", 3 },
        { "1 1", 1 },
    };
    char path[] = "/tmp/cotangent-quota-XXXXXX";
    int fd = mkstemp(path);
    size_t i;

    ck_assert(fd >= 0);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].text);
        int before, after;

        ck_assert(ftruncate(fd, 0) == 0 && pwrite(fd, cases[i].text, n, 0) == (ssize_t)n);
        before = dup(0);
        ck_assert_msg(cti_processors_granted(path) == cases[i].granted, "\"%s\": %d", cases[i].text,
                      cti_processors_granted(path));
        after = dup(0);
        ck_assert_int_eq(after, before + 1); /* the file was closed */
        close(before);
        close(after);
    }
    close(fd);
    unlink(path);
    ck_assert_int_eq(cti_processors_granted(path), 256);
}
END_TEST

static void *fingerprint_thread(void *out)
{
    *(uint64_t *)out = fingerprint();
    return NULL;
}

/* Several callers share the workers; who finds them busy works alone. */
START_TEST(callers_share)
{
    uint64_t one = fingerprint(), got[4] = { 0 };
    pthread_t thread[4];
    int i, round;

    ct_set_num_threads(3);
    for (round = 0; round < harness_count(3, 50); round++) {
        for (i = 0; i < 4; i++)
            ck_assert(pthread_create(&thread[i], NULL, fingerprint_thread, &got[i]) == 0);
        for (i = 0; i < 4; i++) {
            pthread_join(thread[i], NULL);
            ck_assert(got[i] == one);
        }
    }
    ct_set_num_threads(1);
}
END_TEST

typedef struct tally {
    atomic_int seen[1000];
} tally;

static void tally_piece(void *context, int64_t piece)
{
    atomic_fetch_add(&((tally *)context)->seen[piece], 1);
}

/* A piece that is itself parallel. */
static void nested_piece(void *context, int64_t piece)
{
    (void)piece;
    cti_parallel(10, tally_piece, context);
}

static int refuse_thread(pthread_t *thread, const pthread_attr_t *attributes,
                         void *(*start)(void *), void *argument)
{
    static int left = 1;

    return left-- > 0 ? pthread_create(thread, attributes, start, argument) : EAGAIN;
}

START_TEST(pieces)
{
    static tally t;
    int round, i;

    memset(&t, 0, sizeof t);
    if (_i) /* one worker starts, no other */
        cti_thread_create = refuse_thread;
    ct_set_num_threads(4);
    for (round = 0; round < harness_count(200, 5000); round++)
        cti_parallel(1000, tally_piece, &t);
    for (i = 0; i < 1000; i++)
        if (t.seen[i] != round)
            ck_abort_msg("piece %d ran %d times of %d", i, t.seen[i], round);
    cti_parallel(0, tally_piece, &t);
    cti_parallel(30, nested_piece, &t);
    for (i = 0; i < 10; i++)
        ck_assert_int_eq(t.seen[i], round + 30);
    ck_assert_int_eq(t.seen[10], round);
    ct_set_num_threads(1);
    cti_thread_create = pthread_create;
}
END_TEST

/* ---- who takes part, and when ---- */

#define TEAM 4

/* Pieces that wait until so many of them are at hand, each on a thread of its own. */
typedef struct meeting {
    int expected;
    atomic_int here, others; /* of them not on the owner's thread */
    atomic_int open_signals; /* on those: signals that they would take */
    pthread_t owner;
} meeting;

static void meet(void *context, int64_t piece)
{
    meeting *m = context;
    sigset_t mask;
    int i;

    (void)piece;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (!pthread_equal(pthread_self(), m->owner)) {
        atomic_fetch_add(&m->others, 1);
        m->open_signals += !sigismember(&mask, SIGINT) + !sigismember(&mask, SIGUSR1);
    }
    atomic_fetch_add(&m->here, 1);
    for (i = 0; i < 5000 && atomic_load(&m->here) < m->expected; i++)
        usleep(1000);
}

/* Nobody is ever late by it. */
static uint64_t stopped_clock(void)
{
    return 0;
}

/* All the threads that are wanted join, whether they look for work or sleep, and no other. */
START_TEST(all_join)
{
    static const int threads[] = { 2, 3, TEAM, 3, 2 };
    sigset_t before, after;
    size_t i;
    int round;

    cti_parallel_clock = stopped_clock;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (i = 0; i < sizeof threads / sizeof *threads; i++)
        for (round = 0; round < 3; round++) {
            meeting m = { .expected = threads[i], .owner = pthread_self() };

            ct_set_num_threads(threads[i]);
            cti_parallel(threads[i], meet, &m);
            ck_assert_int_eq(m.here, threads[i]);
            ck_assert_msg(m.others == threads[i] - 1, "%d of %d joined", m.others, threads[i] - 1);
            ck_assert_int_eq(m.open_signals, 0); /* those are for the program's threads */
            if (round)
                usleep(3000); /* they sleep */
        }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (round = 1; round < 32; round++)
        ck_assert_int_eq(sigismember(&after, round), sigismember(&before, round));
    ct_set_num_threads(1);
    { /* of one piece, or by one thread, the owner runs all */
        meeting m = { .expected = 1, .owner = pthread_self() };

        cti_parallel(5, meet, &m);
        ct_set_num_threads(2);
        cti_parallel(1, meet, &m);
        ck_assert(m.here == 6 && m.others == 0);
    }
    ck_assert(ct_set_num_threads(256) == CT_OK && ct_num_threads() == 256);
    ct_set_num_threads(1);
    cti_parallel_clock = cti_nanoseconds;
}
END_TEST

static void *(*start_of_worker)(void *);

static void *start_late(void *number)
{
    usleep(3000);
    return start_of_worker(number);
}

static int create_late(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                       void *argument)
{
    start_of_worker = start;
    return pthread_create(thread, attributes, start_late, argument);
}

static void nothing_much(void *context, int64_t piece)
{
    (void)context;
    (void)piece;
}

/* A worker that misses its first job sleeps, and is woken for the next. */
START_TEST(late_one_joins)
{
    meeting m = { .expected = 2, .owner = pthread_self() };

    cti_parallel_clock = stopped_clock;
    cti_thread_create = create_late;
    ct_set_num_threads(2);
    cti_parallel(2, nothing_much, NULL);
    usleep(10000);
    cti_parallel(2, meet, &m);
    ck_assert(m.here == 2 && m.others == 1);
    ct_set_num_threads(1);
    cti_thread_create = pthread_create;
    cti_parallel_clock = cti_nanoseconds;
}
END_TEST

static atomic_int workers_seen;

static void note_worker(void *context, int64_t piece)
{
    static _Thread_local bool noted;

    (void)piece;
    if (!pthread_equal(pthread_self(), *(pthread_t *)context) && !noted) {
        noted = true;
        atomic_fetch_add(&workers_seen, 1);
    }
    usleep(1000);
}

/* Workers of a time when more were wanted stay away. */
START_TEST(no_more_join)
{
    pthread_t owner = pthread_self();
    meeting m = { .expected = TEAM, .owner = owner };

    cti_parallel_clock = stopped_clock;
    ct_set_num_threads(TEAM);
    cti_parallel(TEAM, meet, &m);
    ck_assert_int_eq(m.others, TEAM - 1);
    ct_set_num_threads(2);
    cti_parallel(20, note_worker, &owner);
    ck_assert_int_le(workers_seen, 1);
    ct_set_num_threads(1);
    cti_parallel_clock = cti_nanoseconds;
}
END_TEST

static uint64_t clock_at[3];
static int clock_asked;

static uint64_t told_clock(void)
{
    ck_assert_int_lt(clock_asked, 3);
    return clock_at[clock_asked++];
}

/* A job of two threads that begins, has its last piece drawn, and ends at these times. True if
 * it was the owner's alone: then nobody asks what time it is at its end. */
static bool runs_alone(uint64_t begun, uint64_t worked, uint64_t waited)
{
    /* where both are to run pieces, they meet */
    meeting m = { .expected = worked + waited ? 2 : 1, .owner = pthread_self() };

    clock_at[0] = begun;
    clock_at[1] = begun + worked;
    clock_at[2] = begun + worked + waited;
    clock_asked = 0;
    ct_set_num_threads(2);
    cti_parallel(2, meet, &m);
    ct_set_num_threads(1);
    ck_assert(clock_asked == 1 || clock_asked == 3);
    ck_assert_int_eq(m.here, 2);
    return clock_asked == 1;
}

/* Where the owner waits for a worker much longer than the work takes, it works alone for a
 * while. */
START_TEST(rests)
{
    enum { LATE = 20000, FIRST = 1000000, LONGEST = 500000000 };
    uint64_t now = 1000, rest = FIRST;
    int i;

    cti_parallel_clock = told_clock;
    ck_assert(!runs_alone(now, 5000, LATE + 2500)); /* not late yet */
    now += LATE + 7500;
    ck_assert(!runs_alone(now, 5000, LATE + 2500));
    now += LATE + 7500;
    for (i = 0; i < 12; i++) { /* late again and again */
        ck_assert(!runs_alone(now, 7000, LATE + 3501));
        now += LATE + 10501;
        ck_assert_msg(runs_alone(now + rest / 2, 0, 0), "rest %d", i);
        ck_assert_msg(runs_alone(now + rest - 1, 0, 0), "rest %d", i);
        now += rest;
        rest = 2 * rest < LONGEST ? 2 * rest : LONGEST;
    }
    ck_assert_uint_eq(rest, LONGEST);
    for (i = 0; i < 3; i++) { /* an eighth less for each job that is in time */
        ck_assert(!runs_alone(now, 7000, 0));
        now += 7000;
        rest -= rest / 8;
    }
    ck_assert(!runs_alone(now, 0, LATE + 1));
    now += LATE + 1;
    rest = 2 * rest < LONGEST ? 2 * rest : LONGEST;
    ck_assert(runs_alone(now + rest - 1, 0, 0));
    now += rest;
    for (i = 0; i < 60; i++) { /* until it is as at first */
        ck_assert(!runs_alone(now, 7000, 0));
        now += 7000;
        rest -= rest / 8;
    }
    ck_assert_uint_lt(rest, FIRST);
    ck_assert(!runs_alone(now, 0, LATE + 1));
    now += LATE + 1;
    ck_assert(runs_alone(now + FIRST - 1, 0, 0));
    ck_assert(!runs_alone(now + FIRST, 1, 0));
    cti_parallel_clock = cti_nanoseconds;
}
END_TEST

static int refuse_threads(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument)
{
    (void)thread, (void)attributes, (void)start, (void)argument;
    return EAGAIN;
}

/* Nobody is late where the owner ran all pieces. */
START_TEST(rests_for_nobody)
{
    int i;

    cti_thread_create = refuse_threads;
    cti_parallel_clock = told_clock;
    ct_set_num_threads(2);
    for (i = 0; i < 3; i++) {
        clock_at[0] = 1000 + (uint64_t)i;
        clock_at[1] = clock_at[0];
        clock_at[2] = clock_at[0] + 1000000;
        clock_asked = 0;
        cti_parallel(2, nothing_much, NULL);
        ck_assert_int_eq(clock_asked, 3);
    }
    ct_set_num_threads(1);
    cti_parallel_clock = cti_nanoseconds;
    cti_thread_create = pthread_create;
}
END_TEST

START_TEST(clock_goes_on)
{
    struct timespec t[2];
    uint64_t before, now, after;
    int i;

    for (i = 0; i < 3; i++) {
        clock_gettime(CLOCK_MONOTONIC, &t[0]);
        now = cti_nanoseconds();
        clock_gettime(CLOCK_MONOTONIC, &t[1]);
        before = (uint64_t)t[0].tv_sec * 1000000000u + (uint64_t)t[0].tv_nsec;
        after = (uint64_t)t[1].tv_sec * 1000000000u + (uint64_t)t[1].tv_nsec;
        ck_assert(before <= now && now <= after);
        usleep(100);
    }
}
END_TEST

static uint64_t expected_fingerprint;

static void work_after_fork(void)
{
    if (fingerprint() != expected_fingerprint)
        _exit(9);
}

START_TEST(forked)
{
#ifdef __SANITIZE_THREAD__
    printf("skipped: ThreadSanitizer has no threads after a fork\n");
    (void)work_after_fork;
#else
    char out[4000];
    int status;

    ct_set_num_threads(4);
    expected_fingerprint = fingerprint();
    status = in_child(work_after_fork, out, sizeof out);
    ck_assert_msg(status == 0, "status %d: %s", status, out);
    ck_assert(fingerprint() == expected_fingerprint);
    ct_set_num_threads(1);
#endif
}
END_TEST

/* A process that forks at any time: its child has no workers, no job and no lock; it starts
 * anew. */

static atomic_int created;

static int count_thread(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                        void *argument)
{
    atomic_fetch_add(&created, 1);
    return pthread_create(thread, attributes, start, argument);
}

static void slow_piece(void *context, int64_t piece)
{
    usleep(2000);
    tally_piece(context, piece);
}

static void work_anew(void)
{
    static tally t;
    int round, i;

    memset(&t, 0, sizeof t);
    created = 0;
    cti_thread_create = count_thread;
    for (round = 1; round <= 6; round++) {
        cti_parallel(5, slow_piece, &t);
        for (i = 0; i < 5; i++)
            if (t.seen[i] != round)
                _exit(9);
        usleep(2000); /* workers fall asleep */
    }
    if (created != 2)
        _exit(10);
#ifdef __SANITIZE_ADDRESS__
    _exit(0); /* its end looks for leaks, and for a thread that was not forked */
#endif
}

static char child_said[4000];
static int child_status;
static pthread_t caller;

static int fork_in_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument)
{
    if (child_status < 0)
        child_status = in_child(work_anew, child_said, sizeof child_said);
    return pthread_create(thread, attributes, start, argument);
}

static void fork_in_worker(void *context, int64_t piece)
{
    static atomic_int one;

    (void)context;
    (void)piece;
    if (pthread_equal(pthread_self(), caller) || atomic_exchange(&one, 1)) {
        usleep(5000);
        return;
    }
    usleep(20000); /* the caller waits */
    child_status = in_child(work_anew, child_said, sizeof child_said);
}

START_TEST(forked_at_any_time)
{
#ifdef __SANITIZE_THREAD__
    printf("skipped: ThreadSanitizer has no threads after a fork\n");
    (void)fork_in_create, (void)fork_in_worker, (void)caller;
#else
    static tally t;
    int i;

    memset(&t, 0, sizeof t);
    caller = pthread_self();
    child_status = -1;
    ct_set_num_threads(3);
    if (_i == 1) /* the pool is locked */
        cti_thread_create = fork_in_create;
    for (i = 0; i < 3; i++) {
        cti_parallel(10, slow_piece, &t);
        usleep(2000);
    }
    if (_i == 0) /* workers sleep */
        child_status = in_child(work_anew, child_said, sizeof child_said);
    for (i = 0; i < 100 && child_status < 0; i++) /* the owner waits, one works */
        cti_parallel(3, fork_in_worker, NULL);
    ck_assert_msg(child_status == 0, "status %d: %s", child_status, child_said);
    cti_parallel(10, slow_piece, &t);
    for (i = 0; i < 10; i++)
        ck_assert_int_eq(t.seen[i], 4);
    cti_thread_create = pthread_create;
    ct_set_num_threads(1);
#endif
}
END_TEST

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
    tc = harness_case(suite, "threads");
    tcase_add_test(tc, handed_over);
    tcase_add_test(tc, outlives_its_thread);
    tcase_add_test(tc, same_bits);
    tcase_add_loop_test(tc, threads_of_environment, 0, 7);
    tcase_add_test(tc, processors_granted);
    tcase_add_test(tc, callers_share);
    tcase_add_loop_test(tc, pieces, 0, 2);
    tcase_add_test(tc, all_join);
    tcase_add_test(tc, late_one_joins);
    tcase_add_test(tc, no_more_join);
    tcase_add_test(tc, rests);
    tcase_add_test(tc, rests_for_nobody);
    tcase_add_test(tc, clock_goes_on);
    tcase_add_test(tc, forked);
    tcase_add_loop_test(tc, forked_at_any_time, 0, 3);
    harness_pooled = true;
    return harness_run(suite);
}

/* SPDX-License-Identifier: MIT */
/* counted.c - memory that is counted and can fail, and child processes; see counted.h. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tests/harness.h"
#include "tests/counted.h"

/* ---- errors ---- */

int in_child(void (*program)(void), char *out, size_t room)
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

/* ---- the pool, and memory that fails ---- */

static cti_memory_table system_calls;
long calls, outstanding, fail_from = -1;
bool fail_once;
size_t budget, used; /* budget 0: no limit */

#define FRONT 64 /* the bytes before a block, which hold its size */

pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

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

void count_calls(void)
{
    system_calls = cti_memory_calls;
    cti_memory_calls = (cti_memory_table){ counted_allocate, counted_release };
}

double program(ct_status *status)
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

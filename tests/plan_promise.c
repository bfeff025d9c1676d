/* SPDX-License-Identifier: MIT */
/* plan_promise.c - checks that a planned step does not allocate, free, lock, or make a system
 * call. */
#include "tests/test_plan.h"

#include "tests/harness.h"
#include "tests/plan_models.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <malloc.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/seccomp.h>
#include <sys/prctl.h>
#endif

#include <cotangent.h>

static _Thread_local bool counting;
static _Thread_local int calls;

/* These replace the functions of the C library for the whole process. The sanitizers have their
 * own replacements. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_MEMORY 1
#define INTERPOSED(type, name, parameters, arguments)                                              \
    type __libc_##name parameters;                                                                 \
    type name parameters                                                                           \
    {                                                                                              \
        calls += counting;                                                                         \
        return __libc_##name arguments;                                                            \
    }
INTERPOSED(void *, malloc, (size_t n), (n))
INTERPOSED(void *, calloc, (size_t n, size_t m), (n, m))
INTERPOSED(void *, realloc, (void *p, size_t n), (p, n))
INTERPOSED(void *, memalign, (size_t a, size_t n), (a, n))
void __libc_free(void *p);
void free(void *p)
{
    calls += counting;
    __libc_free(p);
}
int posix_memalign(void **p, size_t a, size_t n)
{
    *p = memalign(a, n);
    return *p ? 0 : 12;
}
void *aligned_alloc(size_t a, size_t n)
{
    return memalign(a, n);
}
#else
#define COUNTS_MEMORY 0
#endif

/* The linker replaces the functions of the C library by these (--wrap). */
#define WRAPPED(name)                                                                              \
    int __real_##name(pthread_mutex_t *m);                                                         \
    int __wrap_##name(pthread_mutex_t *m);                                                         \
    int __wrap_##name(pthread_mutex_t *m)                                                          \
    {                                                                                              \
        calls += counting;                                                                         \
        return __real_##name(m);                                                                   \
    }
WRAPPED(pthread_mutex_lock)
WRAPPED(pthread_mutex_trylock)

/* Runs n steps; false after an error. */
static bool run_steps(ct_plan *p, const plan_model *m, int n)
{
    ct_generator g = ct_generator_from_seed(3);

    for (int i = 0; i < n; i++) {
        plan_model_draw(m, &g, ct_plan_input(p, 0));
        if (ct_plan_run(p) != CT_OK)
            return false;
    }
    return true;
}

static ct_plan *plan_of(plan_model *m)
{
    ct_state *begin;
    ct_plan_options o = plan_model_options(m, &begin);
    ct_plan *p = ct_plan_new_function(m->params, plan_model_step, m, o);

    ct_state_free(begin);
    ck_assert_msg(p != NULL, "%s: %s", m->what, ct_error_message());
    return p;
}

START_TEST(allocates_and_locks_nothing)
{
    int n = harness_count(20, 200);

    ct_set_num_threads(4);
    for (int i = 0; i < n; i++) {
        plan_model m = plan_model_new((uint64_t)(1000 + i), 1);
        ct_plan *p = plan_of(&m);
        bool good;

        calls = 0;
        counting = true;
        good = run_steps(p, &m, 3);
        counting = false;
        ck_assert_msg(good && calls == 0, "%s: %d calls", m.what, calls);
        ct_plan_free(p);
        plan_model_free(&m);
    }
    calls = 0;
    counting = true;
    ct_memory_trim();
    ct_free(ct_keep(NULL));
    counting = false;
    expect_error(CT_ERR_ARGUMENT, "ct_keep", "NULL");
    ck_assert(!COUNTS_MEMORY || calls > 0); /* the counter works */
}
END_TEST

typedef struct other_thread {
    ct_plan *p;
    plan_model *m;
    bool good;
    int calls;
} other_thread;

static void *on_other_thread(void *context)
{
    other_thread *o = context;

    counting = true;
    o->good = ct_plan_run(o->p) == CT_OK && ct_plan_run(o->p) == CT_OK;
    counting = false;
    o->calls = calls;
    return NULL;
}

/* The same is checked on a thread that never called the library. */
START_TEST(allocates_nothing_on_a_new_thread)
{
    plan_model m = plan_model_new(5, 1);
    other_thread o = { plan_of(&m), &m, false, 0 };
    pthread_t thread;

    ck_assert(pthread_create(&thread, NULL, on_other_thread, &o) == 0);
    pthread_join(thread, NULL);
    ck_assert(o.good && o.calls == 0);
    ct_plan_free(o.p);
    plan_model_free(&m);
}
END_TEST

#ifdef __linux__
/* Runs steps in a child under strict seccomp. Any system call except read, write, exit and
 * sigreturn kills it. */
static int strict_child(ct_plan *p, const plan_model *m, int n, bool plant)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        bool good;

        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
            syscall(SYS_exit, 77);
        good = run_steps(p, m, n);
        if (plant)
            getppid();
        syscall(SYS_exit, good ? 0 : 1);
    }
    ck_assert(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

START_TEST(makes_no_system_call)
{
    int n = harness_count(4, 10), steps = harness_count(20000, 1000000);

    for (int i = 0; i < n; i++) {
        plan_model m = plan_model_new((uint64_t)(2000 + i), 1);
        ct_plan *p = plan_of(&m);
        int status = strict_child(p, &m, i ? 100 : steps, false);

        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            fprintf(stderr, "skipped: this system has no strict seccomp\n");
        } else {
            ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %#x", m.what,
                          (unsigned)status);
            /* Shows that the test detects a system call. */
            ck_assert(WIFSIGNALED(strict_child(p, &m, 1, true)));
        }
        ct_plan_free(p);
        plan_model_free(&m);
    }
}
END_TEST
#endif

void plan_promise_cases(Suite *s)
{
    TCase *t = harness_case(s, "promise");

    tcase_set_timeout(t, 300);
    tcase_add_test(t, allocates_and_locks_nothing);
    tcase_add_test(t, allocates_nothing_on_a_new_thread);
#ifdef __linux__
    tcase_add_test(t, makes_no_system_call);
#endif
}

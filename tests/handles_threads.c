/* SPDX-License-Identifier: MIT */
/* handles_threads.c - handles that are passed between threads, and inference on several threads. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tests/harness.h"
#include "tests/test_handles.h"

/* ---- threads ---- */

typedef struct handover {
    ct_tensor *kept, *dead;
    int line;
} handover;

static void *free_elsewhere(void *context)
{
    handover *h = context;

    h->line = __LINE__ + 1;
    ct_free(h->kept);
    ck_assert(ct_numel(h->dead) == 0);
    ck_assert_int_eq(ct_error(), CT_ERR_SCOPE);
    return NULL;
}

/* A kept tensor may be freed on another thread; every thread recognises dead handles. */
START_TEST(freed_on_another_thread)
{
    ct_scope s = ct_scope_begin();
    handover h = { .dead = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU) };
    int i;

    h.kept = ct_keep(h.dead);
    ck_assert(ct_scope_end(s) == CT_OK);
    harness_on_thread(free_elsewhere, &h);
    for (i = 0; i < 3; i++)
        make_others(NULL, 300);
    ck_assert(ct_numel(h.kept) == 0);
    expect_dead("ct_numel: t is a dead tensor: it was freed at ", h.line, "ct_free");
    ct_free(h.kept);
    expect_dead("ct_free: t is a dead tensor: it was freed at ", h.line, "ct_free");
}
END_TEST

static void *leave_scope_open(void *context)
{
    ct_scope s = ct_scope_begin();

    *(ct_tensor **)context = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    (void)s; /* the end of the thread ends the scope */
    return NULL;
}

START_TEST(died_with_its_thread)
{
    ct_tensor *dead = NULL;

    harness_on_thread(leave_scope_open, &dead);
    ck_assert(ct_numel(dead) == 0);
    expect_error(CT_ERR_SCOPE, "ct_numel", "t is a dead tensor: its scope ended");
}
END_TEST

static void *make_hundred(void *unused)
{
    make_others(NULL, 100);
    return unused;
}

/* Many short threads do not need more and more memory. Handles of ended threads are reused: unused
 * ones at once, and dead ones when more than 4,096 are waiting. */
START_TEST(many_short_threads)
{
    long before, after;
    int i;

    memory_before = cti_memory_calls;
    for (i = 0; i < 200; i++)
        harness_on_thread(make_hundred, NULL);
    cti_memory_calls.allocate = counted_allocate;
    harness_on_thread(make_hundred, NULL);
    before = memory_calls;
    harness_on_thread(make_hundred, NULL);
    after = memory_calls - before;
    for (i = 0; i < 100; i++)
        harness_on_thread(make_hundred, NULL);
    ck_assert_int_eq(memory_calls - before, 101 * after);
    cti_memory_calls = memory_before;
}
END_TEST

/* Threads keep, pass on and free tensors at the same time. */
#define MAILS 64

static _Atomic(ct_tensor *) mail[MAILS];

static void *exchange(void *seed)
{
    unsigned at = (unsigned)(size_t)seed;
    int i;

    for (i = 0; i < 3000; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *t = ct_full(CT_SHAPE(2), i, CT_F32, CT_CPU), *other;

        at = at * 1664525u + 1013904223u;
        other = atomic_exchange(&mail[(at >> 16) % MAILS], ct_keep(ct_add(t, t)));
        if (other) {
            ck_assert(ct_item(ct_sum(other)) >= 0);
            ct_free(other);
        }
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    return NULL;
}

START_TEST(handles_travel)
{
    pthread_t thread[4];
    size_t i;

    for (i = 0; i < 4; i++)
        ck_assert(pthread_create(&thread[i], NULL, exchange, (void *)(i + 1)) == 0);
    for (i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    for (i = 0; i < MAILS; i++)
        ct_free(mail[i]);
    expect_ok();
}
END_TEST

static atomic_bool stop_making;

static void *make_slabs(void *unused)
{
    while (!atomic_load(&stop_making))
        harness_on_thread(make_hundred, NULL);
    return unused;
}

/* A fork while another thread holds the mutex; the child does not have that thread. */
START_TEST(fork_among_slabs)
{
#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__
    printf("skipped: the sanitizers' own locks may be held in the child of a fork\n");
    (void)make_slabs;
#else
    pthread_t thread;
    int i, status;

    ck_assert(pthread_create(&thread, NULL, make_slabs, NULL) == 0);
    for (i = 0; i < 30; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            alarm(20);
            make_others(NULL, 500);
            _exit(ct_ok() ? 7 : 8);
        }
        ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %d", status);
    }
    atomic_store(&stop_making, true);
    pthread_join(thread, NULL);
#endif
}
END_TEST

/* ---- inference ---- */

static bool is_training_elsewhere;

static void *look_at_training(void *set)
{
    is_training_elsewhere = ct_params_is_training(set) && ct_grad_enabled();
    return NULL;
}

START_TEST(inference_is_the_threads)
{
    ct_params *set = ct_params_new((ct_params_options){ .seed = 1 });
    ct_module *dropout = ct_nn_dropout(set, 0.5);
    ct_scope outer = ct_scope_begin(), s, inner;
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(1000), CT_F32, CT_CPU), true), *y;

    ck_assert(ct_params_is_training(set));
    s = ct_scope_begin_inference();
    ck_assert(!ct_params_is_training(set) && !ct_grad_enabled());
    harness_on_thread(look_at_training, set);
    ck_assert(is_training_elsewhere);
    y = ct_forward(dropout, x);
    ck_assert(ct_item(ct_sum(y)) == 1000 && !ct_tensor_requires_grad(ct_square(x)));
    inner = ct_scope_begin(); /* inner scopes are for inference too */
    ck_assert(!ct_params_is_training(set) && !ct_grad_enabled());
    ck_assert(ct_scope_end(inner) == CT_OK);
    inner = ct_scope_begin_no_grad();
    ck_assert(!ct_params_is_training(set));
    ck_assert(ct_scope_end(inner) == CT_OK);
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert(ct_params_is_training(set) && ct_grad_enabled());
    s = ct_scope_begin_no_grad(); /* only recording is off */
    ck_assert(ct_params_is_training(set) && !ct_grad_enabled());
    ck_assert(ct_item(ct_sum(ct_forward(dropout, x))) != 1000);
    ck_assert(ct_scope_end(s) == CT_OK);
    s = ct_scope_begin_inference(); /* the outer scope ends it */
    harness_forgets = true;
    ck_assert(ct_scope_end(outer) == CT_OK);
    harness_forgets = false;
    (void)s;
    ck_assert(ct_params_is_training(set) && ct_grad_enabled());
    ct_params_train(set, false);
    ck_assert(!ct_params_is_training(set));
    ct_params_free(set);
}
END_TEST

/* Eight threads generate from one model with dropout; each text is that of a single thread. */
static ct_lm *shared_model;

static const char *right_text;
static atomic_int wrong_texts;

static void *generate(void *unused)
{
    int i;

    for (i = 0; i < 20; i++) {
        char *text = ct_lm_generate_text(
            shared_model, (ct_lm_generate_options){ .prefix = "the t", .count = 12 });

        if (!text || strcmp(text, right_text) != 0)
            atomic_fetch_add(&wrong_texts, 1);
        harness_free(text);
    }
    ct_error_clear();
    return unused;
}

START_TEST(threads_generate)
{
    static const char sample[] = "the time traveller for so it will be convenient";
    ct_text *text = ct_text_new_from_bytes(sample, sizeof sample - 1, "sample");
    ct_corpus *corpus = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_NONE });
    pthread_t thread[8];
    char *right;
    int i;

    ct_set_num_threads(1);
    shared_model = ct_lm_new(
        corpus, (ct_lm_options){
                    .cell = CT_LM_CELL_GRU, .hidden_size = 24, .num_layers = 2, .dropout = 0.5 });
    ck_assert_msg(shared_model != NULL, "%s", ct_error_message());
    ck_assert(ct_params_is_training(ct_lm_params(shared_model)));
    right_text = right = ct_lm_generate_text(
        shared_model, (ct_lm_generate_options){ .prefix = "the t", .count = 12 });
    ck_assert(right_text != NULL);
    for (i = 0; i < 8; i++)
        ck_assert(pthread_create(&thread[i], NULL, generate, NULL) == 0);
    for (i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
    ck_assert_int_eq(atomic_load(&wrong_texts), 0);
    ck_assert(ct_params_is_training(ct_lm_params(shared_model)));
    harness_free(right);
    ct_lm_free(shared_model);
    ct_corpus_free(corpus);
    ct_text_free(text);
}
END_TEST

void handles_threads_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "threads");

    tcase_add_test(tc, freed_on_another_thread);
    tcase_add_test(tc, died_with_its_thread);
    tcase_add_test(tc, many_short_threads);
    tcase_add_test(tc, handles_travel);
    tcase_add_test(tc, fork_among_slabs);
    tc = harness_case(suite, "inference");
    tcase_add_test(tc, inference_is_the_threads);
    tcase_add_test(tc, threads_generate);
}

/* SPDX-License-Identifier: MIT */
/* devices_threads.c - captured steps on a GPU while other threads use it. */
#include <pthread.h>
#include <stdio.h>

#include <cotangent.h>

#include "tests/harness.h"
#include "tests/test_devices.h"

#define OTHERS 4

/* Two of the threads capture a step. While one of them records, all other threads work: their
 * results are right, and the graph does not contain their work. */
typedef struct crew {
    pthread_barrier_t turn;
    ct_tensor *shared; /* a tensor that another thread frees during a capture */
} crew;

typedef struct member {
    crew *crew;
    pthread_t thread;
    int number, calls;
    ct_tensor *w;
    double got[3];
} member;

static void crew_step(void *context)
{
    member *m = context;

    ct_copy_into(m->w, ct_matmul(m->w, m->w));
    if (++m->calls == 3) { /* the run that is recorded */
        pthread_barrier_wait(&m->crew->turn);
        pthread_barrier_wait(&m->crew->turn);
    }
    ct_copy_into(m->w, ct_add_scalar(m->w, 1));
}

/* The work of a thread while another one records: it makes tensors, computes, uploads, reads and
 * frees. */
static double crew_work(member *m)
{
    float values[4] = { 1, 2, 3, (float)m->number };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_from_data(values, CT_SHAPE(2, 2), CT_F32, gpu);
    ct_tensor *y = ct_matmul(x, ct_ones(CT_SHAPE(2, 2), CT_F32, gpu));
    double sum = ct_item(ct_sum(ct_add(y, ct_zeros(CT_SHAPE(2, 2), CT_F32, gpu))));

    if (m->number == OTHERS - 1 && m->crew->shared) {
        ct_free(m->crew->shared);
        m->crew->shared = NULL;
    }
    ct_memory_trim();
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    return sum;
}

static void crew_capture(member *m)
{
    ct_capture *captured = ct_capture_new(gpu, crew_step, m);
    int i;

    for (i = 0; i < 3; i++)
        ck_assert_msg(ct_capture_run(captured) == CT_OK, "%s", ct_error_message());
    ck_assert(ct_capture_is_ready(captured));
    for (i = 0; i < 3; i++)
        ck_assert_msg(ct_capture_run(captured) == CT_OK, "%s", ct_error_message());
    ct_capture_free(captured);
}

static void *crew_member(void *context)
{
    member *m = context;
    ct_scope s = ct_scope_begin();
    int turn;

    m->w = ct_zeros(CT_SHAPE(2, 2), CT_F32, gpu);
    for (turn = 0; turn < 2; turn++) {
        if (m->number == turn) {
            crew_capture(m);
        } else {
            pthread_barrier_wait(&m->crew->turn);
            m->got[turn] = crew_work(m);
            pthread_barrier_wait(&m->crew->turn);
        }
        pthread_barrier_wait(&m->crew->turn);
    }
    m->got[2] = ct_item(ct_sum(m->w));
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    return NULL;
}

/* Returns the result of six runs of w = w w + 1, starting with zeros (2, 2): the elements are 1, 3,
 * 19, 723, ... */
static double crew_result(void)
{
    double w = 0;
    int i;

    for (i = 0; i < 6; i++)
        w = (float)(2 * w * w) + 1;
    return 4 * w;
}

START_TEST(others_work_during_a_capture)
{
    crew c = { 0 };
    member m[OTHERS];
    ct_scope s;
    int i;

    choose_device(_i);
    s = ct_scope_begin();
    c.shared = ct_keep(ct_ones(CT_SHAPE(1000), CT_F32, gpu));
    ck_assert(pthread_barrier_init(&c.turn, NULL, OTHERS) == 0);
    for (i = 0; i < OTHERS; i++) {
        m[i] = (member){ .crew = &c, .number = i };
        ck_assert(pthread_create(&m[i].thread, NULL, crew_member, &m[i]) == 0);
    }
    for (i = 0; i < OTHERS; i++)
        ck_assert(pthread_join(m[i].thread, NULL) == 0);
    for (i = 0; i < OTHERS; i++) {
        expect_close("w", m[i].got[2], i < 2 ? crew_result() : 0, 1e-6);
        expect_close("during the first", m[i].got[0], i == 0 ? 0 : 2 * (6 + i), 0);
        expect_close("during the second", m[i].got[1], i == 1 ? 0 : 2 * (6 + i), 0);
    }
    pthread_barrier_destroy(&c.turn);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Both threads record at the same time. */
static void *crew_at_once(void *context)
{
    member *m = context;
    ct_scope s = ct_scope_begin();

    m->w = ct_zeros(CT_SHAPE(2, 2), CT_F32, gpu);
    crew_capture(m);
    m->got[2] = ct_item(ct_sum(m->w));
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    return NULL;
}

START_TEST(two_threads_capture_at_once)
{
    crew c = { 0 };
    member m[2];
    int i;

    choose_device(_i);
    ck_assert(pthread_barrier_init(&c.turn, NULL, 2) == 0);
    for (i = 0; i < 2; i++) {
        m[i] = (member){ .crew = &c, .number = i };
        ck_assert(pthread_create(&m[i].thread, NULL, crew_at_once, &m[i]) == 0);
    }
    for (i = 0; i < 2; i++) {
        ck_assert(pthread_join(m[i].thread, NULL) == 0);
        expect_close("w", m[i].got[2], crew_result(), 1e-6);
    }
    pthread_barrier_destroy(&c.turn);
}
END_TEST

void devices_threads_cases(Suite *suite, int rounds)
{
    TCase *tc = harness_case(suite, "threads");

    tcase_add_loop_test(tc, others_work_during_a_capture, 0, rounds);
    tcase_add_loop_test(tc, two_threads_capture_at_once, 0, rounds);
}

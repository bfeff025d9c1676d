/* SPDX-License-Identifier: MIT */
/* threads_steps.c - steps whose blocks are shared by threads (tensor/parallel_steps.c). */
#include <cotangent.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "tensor/parallel.h"
#include "tests/harness.h"
#include "tests/test_threads.h"

enum { STEPS = 6 }; /* of a call */

/* What the blocks of one call have done. */
typedef struct steps_record {
    pthread_barrier_t barrier; /* of all blocks of a step */
    atomic_int runs[STEPS][CTI_STEPS_BLOCKS];
    pthread_t ran[STEPS][CTI_STEPS_BLOCKS];
    atomic_int done, early; /* blocks; those that began before the step before was done */
    int blocks;
} steps_record;

static void steps_note(steps_record *r, int64_t step, int64_t block)
{
    if (atomic_load(&r->done) < step * r->blocks)
        atomic_fetch_add(&r->early, 1);
    atomic_fetch_add(&r->runs[step][block], 1);
    r->ran[step][block] = pthread_self();
}

static void steps_run(steps_record *r, int blocks,
                      void (*run)(void *context, int64_t step, int64_t block))
{
    cti_shared_steps steps = { STEPS, blocks, run, r };
    int s, b;

    memset(r, 0, sizeof *r);
    r->blocks = blocks;
    pthread_barrier_init(&r->barrier, NULL, (unsigned)blocks);
    cti_parallel_steps(&steps);
    pthread_barrier_destroy(&r->barrier);
    ck_assert_int_eq(atomic_load(&r->early), 0);
    ck_assert_int_eq(atomic_load(&r->done), STEPS * blocks);
    for (s = 0; s < STEPS; s++)
        for (b = 0; b < blocks; b++)
            ck_assert_int_eq(atomic_load(&r->runs[s][b]), 1);
}

/* All blocks of a step wait for each other, so each needs a thread. */
static void steps_together(void *context, int64_t step, int64_t block)
{
    steps_record *r = context;

    steps_note(r, step, block);
    pthread_barrier_wait(&r->barrier);
    atomic_fetch_add(&r->done, 1);
}

static const int steps_threads[] = { 2, 8, 16, CTI_STEPS_BLOCKS };

/* With as many blocks as threads, each thread runs one block of each step, and the same one. */
START_TEST(steps_own_blocks)
{
    int threads = steps_threads[_i], s, a, b;
    static steps_record r;

    ck_assert(ct_set_num_threads(threads) == CT_OK);
    steps_run(&r, threads, steps_together);
    for (s = 0; s < STEPS; s++)
        for (a = 0; a < threads; a++) {
            ck_assert(pthread_equal(r.ran[s][a], r.ran[0][a]));
            for (b = 0; b < a; b++)
                ck_assert(!pthread_equal(r.ran[s][a], r.ran[s][b]));
        }
}
END_TEST

/* Block 0 of each step waits for all other blocks of the step. */
static void steps_late(void *context, int64_t step, int64_t block)
{
    steps_record *r = context;

    steps_note(r, step, block);
    while (block == 0 && atomic_load(&r->done) < (step + 1) * r->blocks - 1)
        sched_yield();
    atomic_fetch_add(&r->done, 1);
}

/* A thread that is late delays the block that it holds. The other thread runs all other blocks. */
START_TEST(steps_late_thread)
{
    static steps_record r;
    int s, b;

    ck_assert(ct_set_num_threads(2) == CT_OK);
    steps_run(&r, 8, steps_late);
    for (s = 0; s < STEPS; s++)
        for (b = 2; b < 8; b++)
            ck_assert(pthread_equal(r.ran[s][b], r.ran[s][1]));
}
END_TEST

static void steps_alone(void *context, int64_t step, int64_t block)
{
    steps_record *r = context;

    steps_note(r, step, block);
    atomic_fetch_add(&r->done, 1);
}

/* Any number of blocks; one thread, and threads that need not come. */
START_TEST(steps_any_blocks)
{
    static steps_record r;
    int threads, blocks;

    for (threads = 1; threads <= 5; threads += 2)
        for (blocks = 1; blocks <= CTI_STEPS_BLOCKS; blocks += blocks < 9 ? 1 : 11) {
            ck_assert(ct_set_num_threads(threads) == CT_OK);
            steps_run(&r, blocks, steps_alone);
        }
}
END_TEST

void threads_steps_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "steps");

    tcase_add_loop_test(tc, steps_own_blocks, 0, LENGTH(steps_threads));
    tcase_add_test(tc, steps_late_thread);
    tcase_add_test(tc, steps_any_blocks);
}

/* SPDX-License-Identifier: MIT */
/* parallel_steps.c - steps that follow each other, each cut into blocks.
 *
 * The threads of one job share the blocks of a step. A block has the number of the step that takes it
 * next, so that two threads never take it for the same step. A thread takes the blocks of its own
 * range first, because what these blocks read in the step before is in its cache. Then it takes
 * blocks that others have not begun, from the end of the range before its own.
 *
 * A step ends when its blocks are done, not when the threads have arrived. So a thread without a
 * processor delays the one block that it holds, and a thread that never starts delays nothing.
 *
 * Memory order: `done` counts finished blocks. It is increased with release, and a step is begun
 * after an acquire load has seen all blocks of the step before. So a block sees what all blocks of
 * the step before have written. */
#include "tensor/parallel.h"

#include <cotangent/tensor/config.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#define LINE 64    /* bytes of a cache line */
#define SPINS 4000 /* loop turns before a waiting thread gives its processor away */

typedef struct steps_job {
    const cti_shared_steps *s;
    int64_t threads;
    struct {
        _Alignas(LINE) atomic_llong next; /* the step that takes the block next */
    } block[CTI_STEPS_BLOCKS];
    _Alignas(LINE) atomic_llong done; /* finished blocks of all steps */
} steps_job;

static int64_t steps_done(steps_job *j)
{
    return atomic_load_explicit(&j->done, memory_order_acquire) / j->s->blocks;
}

/* Runs a block of a step, unless another thread has taken it. */
static void steps_try(steps_job *j, int64_t step, int64_t block)
{
    long long expected = step;

    if (atomic_load_explicit(&j->block[block].next, memory_order_relaxed) != step ||
        !atomic_compare_exchange_strong_explicit(&j->block[block].next, &expected, step + 1,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    j->s->run(j->s->context, step, block);
    atomic_fetch_add_explicit(&j->done, 1, memory_order_acq_rel);
}

/* Waits until the step is done. */
static void steps_wait(steps_job *j, int64_t step)
{
    int64_t turns;

    for (turns = 0; steps_done(j) <= step; turns++)
        if (turns < SPINS)
            cti_relax();
        else
            sched_yield();
}

/* What one thread does: all steps that are not done when it begins. */
static void steps_thread(void *context, int64_t number)
{
    steps_job *j = context;
    int64_t blocks = j->s->blocks, step, i;
    int64_t first = blocks * number / j->threads, end = blocks * (number + 1) / j->threads;

    for (step = steps_done(j); step < j->s->steps; step++) {
        for (i = first; i < end; i++)
            steps_try(j, step, i);
        for (i = first - 1; i >= 0; i--)
            steps_try(j, step, i);
        for (i = blocks - 1; i >= end; i--)
            steps_try(j, step, i);
        steps_wait(j, step);
    }
}

void cti_parallel_steps(const cti_shared_steps *s)
{
    int64_t threads = ct_num_threads(), i;
    steps_job j;

    j.s = s;
    j.threads = threads < s->blocks ? threads : s->blocks;
    atomic_init(&j.done, 0);
    for (i = 0; i < s->blocks; i++)
        atomic_init(&j.block[i].next, 0);
    cti_parallel(j.threads, steps_thread, &j);
}

/* SPDX-License-Identifier: MIT */
/* parallel.h - work cut into pieces by shape; the number of threads does not change the pieces. (internal) */
#ifndef COTANGENT_TENSOR_PARALLEL_H
#define COTANGENT_TENSOR_PARALLEL_H

#include <pthread.h>
#include <stdint.h>

/* For loops that wait: tells the processor so. */
static inline void cti_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Calls run(context, i) for every i in 0..pieces-1, on up to ct_num_threads threads, and returns
 * when all are done. A caller that finds the workers busy runs its pieces itself. */
void cti_parallel(int64_t pieces, void (*run)(void *context, int64_t piece), void *context);

/* The most blocks of a step. */
#define CTI_STEPS_BLOCKS 64

/* Steps that follow each other, each of blocks that may run at the same time. */
typedef struct cti_shared_steps {
    int64_t steps, blocks; /* blocks: of each step, in 1..CTI_STEPS_BLOCKS */
    void (*run)(void *context, int64_t step, int64_t block);
    void *context;
} cti_shared_steps;

/* Calls s->run for every block of every step, on up to ct_num_threads() threads. No block of a step
 * begins before all blocks of the step before are done. A thread runs the blocks of its own range
 * first: with P threads, thread p has the blocks from blocks p / P on. */
void cti_parallel_steps(const cti_shared_steps *s);

/* pthread_create; tests make it fail. */
extern int (*cti_thread_create)(pthread_t *thread, const pthread_attr_t *attributes,
                                void *(*start)(void *), void *argument);

/* The clock, cti_nanoseconds; tests replace it. */
extern uint64_t (*cti_parallel_clock)(void);

#endif

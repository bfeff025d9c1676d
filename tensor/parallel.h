/* parallel.h - work cut into pieces by shape; the number of threads does not change the pieces. (internal) */
#ifndef COTANGENT_TENSOR_PARALLEL_H
#define COTANGENT_TENSOR_PARALLEL_H

#include <pthread.h>
#include <stdint.h>

/* Calls run(context, i) for every i in 0..pieces-1, on up to ct_num_threads threads, and returns
 * when all are done. A caller that finds the workers busy runs its pieces itself. */
void cti_parallel(int64_t pieces, void (*run)(void *context, int64_t piece), void *context);

/* pthread_create; tests make it fail. */
extern int (*cti_thread_create)(pthread_t *thread, const pthread_attr_t *attributes,
                                void *(*start)(void *), void *argument);

/* The clock, cti_nanoseconds; tests replace it. */
extern uint64_t (*cti_parallel_clock)(void);

#endif

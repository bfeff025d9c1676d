/* SPDX-License-Identifier: MIT */
/* counted.h - for test_scope, test_storage and test_threads: memory that is counted and can fail,
 * and child processes. */
#ifndef TESTS_COUNTED_H
#define TESTS_COUNTED_H

#include <pthread.h>

#include "tests/harness.h"

/* Runs program in a forked process. Returns its exit status, and writes its output to stderr to
 * `out`. */
int in_child(void (*program)(void), char *out, size_t room);

extern long calls, outstanding, fail_from;
extern bool fail_once;
extern size_t budget, used;
extern pthread_mutex_t counting;

/* Call it once for the whole program, because a block must be freed by the allocator that made
 * it. */
void count_calls(void);

/* Uses leaves, views, ops, history, a backward pass, in-place writes and kept tensors. Returns a
 * number, which is 0 or NaN after an error. */
double program(ct_status *status);

#endif

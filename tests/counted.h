/* counted.h - what test_scope, test_storage and test_threads share: memory that is counted and fails,
 * and child processes. */
#ifndef TESTS_COUNTED_H
#define TESTS_COUNTED_H

#include <pthread.h>

#include "tests/harness.h"

/* Runs program in a forked process; its exit status, and what it wrote to stderr. */
int in_child(void (*program)(void), char *out, size_t room);

extern long calls, outstanding, fail_from;
extern bool fail_once;
extern size_t budget, used;
extern pthread_mutex_t counting;

/* Call it once for the whole program, because a block must be freed by the allocator that made
 * it. */
void count_calls(void);

/* Uses a bit of everything: leaves, views, ops, history, a backward pass, in-place writes, kept
 * tensors. Returns a value that is 0 or NaN after an error. */
double program(ct_status *status);

#endif

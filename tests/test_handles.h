/* test_handles.h - what the sources of test_handles share. */
#ifndef TESTS_TEST_HANDLES_H
#define TESTS_TEST_HANDLES_H

#include <string.h>

#include "tensor/hooks.h"
#include "tests/harness.h"

void handles_threads_cases(Suite *suite);

/* The recorded error must be CT_ERR_SCOPE, with `front` and then a place in the test's file and the
 * function that was called there. Clears it. */
#define expect_dead(front, line, function) expect_dead_at(__FILE__, front, line, function)

void expect_dead_at(const char *file, const char *front, int line, const char *function);

/* As many handles as a training step of a small model makes: tensors of few sizes, and states. */
void make_others(ct_recurrent *g, int count);

extern cti_memory_table memory_before;
extern long memory_calls, memory_fails_from;

void *counted_allocate(size_t alignment, size_t bytes);

#endif

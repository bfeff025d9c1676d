/* SPDX-License-Identifier: MIT */
/* test_handles.h - for the sources of test_handles. */
#ifndef TESTS_TEST_HANDLES_H
#define TESTS_TEST_HANDLES_H

#include <string.h>

#include "tensor/hooks.h"
#include "tests/harness.h"

void handles_threads_cases(Suite *suite);

/* Checks that the recorded error is CT_ERR_SCOPE, and that its message has `front`, the place where
 * the handle died and the function that ended it. Clears the error. */
#define expect_dead(front, line, function) expect_dead_at(__FILE__, front, line, function)

void expect_dead_at(const char *file, const char *front, int line, const char *function);

/* Makes and ends handles as the training steps of a small model do: tensors of few sizes, and
 * states. */
void make_others(ct_recurrent *g, int count);

extern cti_memory_table memory_before;
extern long memory_calls, memory_fails_from;

void *counted_allocate(size_t alignment, size_t bytes);

#endif

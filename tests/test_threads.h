/* SPDX-License-Identifier: MIT */
/* test_threads.h - the cases of test_threads in other files. */
#ifndef TESTS_TEST_THREADS_H
#define TESTS_TEST_THREADS_H

#include <check.h>

void threads_model_cases(Suite *suite);
void threads_steps_cases(Suite *suite);

#endif

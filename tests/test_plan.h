/* SPDX-License-Identifier: MIT */
/* test_plan.h - what the files of test_plan share. */
#ifndef TESTS_TEST_PLAN_H
#define TESTS_TEST_PLAN_H

#include <check.h>

/* The cases of plan_promise.c. */
void plan_promise_cases(Suite *s);

#endif

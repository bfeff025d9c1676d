/* SPDX-License-Identifier: MIT */
/* test_params.h - for the sources of test_params. */
#ifndef TESTS_TEST_PARAMS_H
#define TESTS_TEST_PARAMS_H

#include "tests/harness.h"

void params_memory_cases(Suite *suite);

#endif

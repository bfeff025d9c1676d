/* test_params.h - what the sources of test_params share. */
#ifndef TESTS_TEST_PARAMS_H
#define TESTS_TEST_PARAMS_H

#include "tests/harness.h"

void params_memory_cases(Suite *suite);

#endif

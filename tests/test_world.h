/* test_world.h - what the sources of test_world share. */
#ifndef TESTS_TEST_WORLD_H
#define TESTS_TEST_WORLD_H

#include "tests/harness.h"

void world_fit_cases(Suite *suite);

#endif

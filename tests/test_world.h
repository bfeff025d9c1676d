/* test_world.h - for the sources of test_world: cases and helpers. */
#ifndef TESTS_TEST_WORLD_H
#define TESTS_TEST_WORLD_H

#include "tests/harness.h"

void world_fit_cases(Suite *suite);

#endif

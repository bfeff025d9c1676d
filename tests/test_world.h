/* SPDX-License-Identifier: MIT */
/* test_world.h - the cases of the sources of test_world. */
#ifndef TESTS_TEST_WORLD_H
#define TESTS_TEST_WORLD_H

#include "tests/harness.h"

void world_fit_cases(Suite *suite);
void world_lm_cases(Suite *suite);

#endif

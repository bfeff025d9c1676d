/* SPDX-License-Identifier: MIT */
/* test_loss.h - for the sources of test_loss. */
#ifndef TESTS_TEST_LOSS_H
#define TESTS_TEST_LOSS_H

#include <check.h>

void loss_linear_cases(Suite *suite);

#endif

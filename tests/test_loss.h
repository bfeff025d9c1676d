/* test_loss.h - the parts of the test program of losses. */
#ifndef TESTS_TEST_LOSS_H
#define TESTS_TEST_LOSS_H

#include <check.h>

void loss_linear_cases(Suite *suite);

#endif

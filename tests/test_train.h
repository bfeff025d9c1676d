/* SPDX-License-Identifier: MIT */
/* test_train.h - for the sources of test_train. */
#ifndef TESTS_TEST_TRAIN_H
#define TESTS_TEST_TRAIN_H

#include "tests/harness.h"

void train_numbers_cases(Suite *suite);
void train_metrics_cases(Suite *suite);
void train_optimizers_cases(Suite *suite);
void train_updates_cases(Suite *suite);
void train_torch_cases(Suite *suite);

#endif

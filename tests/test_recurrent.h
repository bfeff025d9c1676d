/* SPDX-License-Identifier: MIT */
/* test_recurrent.h - for the sources of test_recurrent. */
#ifndef TESTS_TEST_RECURRENT_H
#define TESTS_TEST_RECURRENT_H

#include "tests/harness.h"

void recurrent_dropout_cases(Suite *suite);
void recurrent_errors_cases(Suite *suite);
void recurrent_layer_cases(Suite *suite);
void recurrent_no_steps_cases(Suite *suite);
void recurrent_training_cases(Suite *suite);
void recurrent_wrapped_cases(Suite *suite);

typedef ct_recurrent *(*maker)(ct_params *, const char *, ct_nn_recurrent_options);

#endif

/* SPDX-License-Identifier: MIT */
/* test_nn.h - for the sources of test_nn. */
#ifndef TESTS_TEST_NN_H
#define TESTS_TEST_NN_H

#include "tests/harness.h"
#include "tensor/internal.h"

void nn_rnn_cases(Suite *suite);
void nn_cells_cases(Suite *suite);
void nn_norms_cases(Suite *suite);
void nn_attention_cases(Suite *suite);
void nn_conv_cases(Suite *suite);
void nn_decoder_cases(Suite *suite);
void nn_modules_cases(Suite *suite);

void expect_param(const ct_params *set, int at, const char *name, ct_shape shape);

/* Checks that all values of the parameter are in [-bound, bound) and spread over this range. */
void expect_uniform(ct_params *set, const char *name, double bound);
ct_tensor *twice(void *self, ct_tensor *x);

#endif

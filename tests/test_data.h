/* SPDX-License-Identifier: MIT */
/* test_data.h - for the sources of test_data: corpora. */
#ifndef TESTS_TEST_DATA_H
#define TESTS_TEST_DATA_H

#include "tests/harness.h"

void data_loaders_cases(Suite *suite);

ct_text *text_of(const char *s);

#endif

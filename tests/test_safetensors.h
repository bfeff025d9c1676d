/* SPDX-License-Identifier: MIT */
/* test_safetensors.h - for the sources of test_safetensors. */
#ifndef TESTS_TEST_SAFETENSORS_H
#define TESTS_TEST_SAFETENSORS_H

#include "tests/harness.h"

void safetensors_malformed_cases(Suite *suite);
void safetensors_write_cases(Suite *suite);
void safetensors_json_cases(Suite *suite);

/* Writes the file x: the header's length, the header with " in place of ', and a payload of
 * zeros. */
void write_header(const char *header, size_t length, size_t payload);

#endif

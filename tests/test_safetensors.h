/* test_safetensors.h - what the sources of test_safetensors share. */
#ifndef TESTS_TEST_SAFETENSORS_H
#define TESTS_TEST_SAFETENSORS_H

#include "tests/harness.h"

void safetensors_malformed_cases(Suite *suite);
void safetensors_write_cases(Suite *suite);
void safetensors_json_cases(Suite *suite);

/* Writes x: the header's length, the header (' stands for "), and a payload of zeros. */
void write_header(const char *header, size_t length, size_t payload);

#endif

/* SPDX-License-Identifier: MIT */
/* test_tensor.h - for the sources of test_tensor. */
#ifndef TESTS_TEST_TENSOR_H
#define TESTS_TEST_TENSOR_H

#include "tests/harness.h"
#include "tensor/cpu/cpu.h"

void tensor_casts_cases(Suite *suite);
void tensor_random_cases(Suite *suite);

static const ct_dtype all_dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64, CT_BOOL, CT_BF16 };

TCase *scoped_case(Suite *suite, const char *name);

#endif

/* SPDX-License-Identifier: MIT */
/* test_kernels.h - for the sources of test_kernels: the code paths of this processor, numbers. */
#ifndef TESTS_TEST_KERNELS_H
#define TESTS_TEST_KERNELS_H

#include "tests/harness.h"

#include <stdint.h>

#include "tensor/cpu/cpu.h"

void kernels_elementwise_cases(Suite *suite);
void kernels_rows_cases(Suite *suite);
void kernels_gemm_cases(Suite *suite);
void kernels_layer_cases(Suite *suite);
void kernels_packed_cases(Suite *suite);

extern const cti_cpu_path *paths[3];
extern int path_count;

float float_of(uint32_t bits);
uint32_t bits_of(float f);

typedef long double real;

void random_matrix(ct_generator *g, void *p, ct_dtype dtype, int64_t n);

#endif

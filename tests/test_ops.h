/* SPDX-License-Identifier: MIT */
/* test_ops.h - for the sources of test_ops. */
#ifndef TESTS_TEST_OPS_H
#define TESTS_TEST_OPS_H

#include "tests/harness.h"

void ops_parity_cases(Suite *suite);
void ops_values_cases(Suite *suite);
void ops_arrangements_cases(Suite *suite);
void ops_misuse_cases(Suite *suite);
void ops_numbers_cases(Suite *suite);
void ops_random_cases(Suite *suite);
void ops_search_cases(Suite *suite);
void ops_zero_sizes_cases(Suite *suite);

#define F64(...)                                                                                   \
    ct_from_data((double[]){ __VA_ARGS__ },                                                        \
                 CT_SHAPE((int64_t)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double))), CT_F64,  \
                 DEVICE)
#define I64(...)                                                                                   \
    ct_from_data((int64_t[]){ __VA_ARGS__ },                                                       \
                 CT_SHAPE((int64_t)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))),        \
                 CT_I64, DEVICE)

/* Fails unless t's elements are exactly these. */
#define EXPECT(t, ...)                                                                             \
    expect_values(#t, t, (double[]){ __VA_ARGS__ },                                                \
                  sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), 0)

#endif

/* SPDX-License-Identifier: MIT */
/* test_engine.h - for the sources of test_engine: leaves, vectors, comparisons. */
#ifndef TESTS_TEST_ENGINE_H
#define TESTS_TEST_ENGINE_H

#include "tests/harness.h"

void engine_hooks_cases(Suite *suite);
void engine_history_cases(Suite *suite);
void engine_activation_checkpoint_cases(Suite *suite);
void engine_tools_cases(Suite *suite);
void engine_functional_cases(Suite *suite);

/* Makes an f64 leaf of the innermost scope. */
ct_tensor *leaf_of(int count, const double *values);

#define LEAF(...)                                                                                  \
    leaf_of((int)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), (double[]){ __VA_ARGS__ })

ct_tensor *vector(int count, const double *values);

#define VECTOR(...)                                                                                \
    vector((int)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), (double[]){ __VA_ARGS__ })
#define EXPECT(t, ...)                                                                             \
    expect_values(#t, t, (double[]){ __VA_ARGS__ },                                                \
                  sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), 1e-12)

void end_scope(ct_scope s);

/* Ends a scope whose errors have been checked and cleared. */
void leave(ct_scope s);
ct_tensor *random_leaf(ct_generator *g, ct_shape shape);
ct_tensor *underived(ct_tensor *x);
ct_tensor *times(ct_tensor *gradient, void *context); /* a hook that multiplies by the double at
                                                       * context */

extern const ct_op both_op;

void both(ct_tensor *x, ct_tensor *y[2]);

enum { PICTURE = 65536 };

/* Writes t's history as DOT to text. */
void dot_of(ct_tensor *t, char *text);

#endif

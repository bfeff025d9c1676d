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
void kernels_layer_bf16_cases(Suite *suite);
void kernels_stack_cases(Suite *suite);
void kernels_packed_cases(Suite *suite);

extern const cti_cpu_path *paths[3];
extern int path_count;

float float_of(uint32_t bits);
uint32_t bits_of(float f);

/* v rounded to a float and then to bf16 */
double bf16_of(double v);

typedef long double real;

void random_matrix(ct_generator *g, void *p, ct_dtype dtype, int64_t n);

/* ---- recurrent layers (kernels_layer.c) ---- */

enum { LAYER_STEPS = 5, LAYER_INPUT = 19, LAYER_ARRAYS = 10 };

/* The numbers of one call of a recurrent layer. out: h, c, dx, dw_ih, dw_hh, db_ih, db_hh, dh0, dc0,
 * gates. */
typedef struct layer_numbers {
    cti_layer l;
    bool no_bias;
    float *x, *w_ih, *w_hh, *b_ih, *b_hh, *dy, *dh_last, *dc_last, *h0, *c0;
    int64_t *index;
    float *out[LAYER_ARRAYS];
    int64_t size[LAYER_ARRAYS];
} layer_numbers;

void layer_numbers_make(layer_numbers *n, cti_cell_kind kind, int64_t hidden, int64_t batch);
void layer_numbers_unmake(layer_numbers *n);

/* The same with another size of the input than LAYER_INPUT. Without one-hot x it may be any. */
void layer_numbers_make_with(layer_numbers *n, cti_cell_kind kind, int64_t input, int64_t hidden,
                             int64_t batch);

/* Fills in the call of a layer, and clears its results. */
void layer_numbers_call(layer_numbers *n, bool one_hot, bool reverse);

/* Checks that all results have the same bits. */
void expect_layer_numbers(const layer_numbers *a, const layer_numbers *b, const char *what);

/* Runs the layer forward and backward. Returns false if this processor has no such kernels. */
bool layer_numbers_run(layer_numbers *n, bool one_hot, bool reverse);

/* The processor's rounding mode and its treatment of subnormal numbers; 0 where they are not known. */
unsigned layer_float_mode(void);

#endif

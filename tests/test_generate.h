/* SPDX-License-Identifier: MIT */
/* test_generate.h - for the sources of test_generate: small models. */
#ifndef TESTS_TEST_GENERATE_H
#define TESTS_TEST_GENERATE_H

#include "tests/harness.h"

#include <cotangent.h>

void generate_search_cases(Suite *suite);
void generate_errors_cases(Suite *suite);
void generate_torch_cases(Suite *suite);

enum { VOCAB = 6 };

typedef enum kind {
    GRU,              /* only a step */
    GRU_READ,         /* reads rows of different lengths at once */
    TRANSFORMER,      /* only a step, with a cache */
    TRANSFORMER_READ, /* reads rows of one length at once */
    KINDS
} kind;

typedef struct model {
    ct_params *params;
    ct_module *embedding, *linear;
    ct_recurrent *gru;
    ct_transformer *layers;
    ct_decoder decoder;
} model;

/* Makes *m, whose decoder points to it. vocab 0: VOCAB. */
void model_init(model *m, kind k, int64_t vocab);
void model_free(model *m);

/* The logits of the whole sequence at once, without states: ids (1, T) -> (1, T, vocab). */
ct_tensor *model_forward(const model *m, ct_tensor *ids);

/* ct_generation_new without an error. */
ct_generation *generated(const ct_decoder *d, int count, const ct_generation_row *rows,
                         ct_generation_options o);

/* Row of a is row of b, in every bit. */
void expect_same_row(const char *what, const ct_generation *a, int row_a, const ct_generation *b,
                     int row_b);

#endif

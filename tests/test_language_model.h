/* SPDX-License-Identifier: MIT */
/* test_language_model.h - for the sources of test_language_model: small models. */
#ifndef TESTS_TEST_LANGUAGE_MODEL_H
#define TESTS_TEST_LANGUAGE_MODEL_H

#include "tensor/internal.h"
#include "tests/harness.h"

#include <string.h>

#include <cotangent/train/language_model.h>

void language_model_files_cases(Suite *suite);

/* Makes a model with weights so large that its tokens differ in probability. */
ct_lm *model_of(ct_clean clean, ct_token_kind tokens, ct_lm_options o);
ct_lm *small(void);

static const struct arrangement {
    ct_clean clean;
    ct_token_kind tokens;
    ct_lm_options options;
} arrangements[] = {
    { CT_CLEAN_TEXT, CT_TOKEN_KIND_CHAR, { .cell = CT_LM_CELL_RNN, .hidden_size = 7 } },
    { CT_CLEAN_LINES,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_LSTM, .hidden_size = 6, .num_layers = 3 } },
    { CT_CLEAN_NONE,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_GRU, .hidden_size = 5, .dropout = 0.5 } },
    { CT_CLEAN_NONE,
      CT_TOKEN_KIND_BYTE,
      { .cell = CT_LM_CELL_GRU, .hidden_size = 8, .embedding_size = 3, .dropout = 0.25 } },
    { CT_CLEAN_LINES,
      CT_TOKEN_KIND_WORD,
      { .cell = CT_LM_CELL_LSTM, .hidden_size = 8, .embedding_size = 8, .tied = true } },
    { CT_CLEAN_NONE,
      CT_TOKEN_KIND_WORD,
      { .cell = CT_LM_CELL_RNN,
        .hidden_size = 4,
        .embedding_size = 5,
        .nonlinearity = CT_NONLINEARITY_RELU } },
    { CT_CLEAN_TEXT,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_LSTM,
        .hidden_size = 9,
        .layer_norm = true,
        .recurrent_dropout = 0.5,
        .num_layers = 2,
        .dropout = 0.125 } },
    { CT_CLEAN_TEXT,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_RNN, .hidden_size = 6, .dialect = CT_DIALECT_GLUON } },
    { CT_CLEAN_TEXT,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_LSTM, .hidden_size = 6, .dialect = CT_DIALECT_KERAS } },
    { CT_CLEAN_TEXT,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_GRU, .hidden_size = 6, .dialect = CT_DIALECT_FLAX } },
};

/* Makes random ids (b, t) of the vocabulary, in the innermost scope. */
ct_tensor *some_ids(const ct_lm *m, int64_t b, int64_t t);

#endif

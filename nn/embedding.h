/* SPDX-License-Identifier: MIT */
/* embedding.h - the Embedding module: y = weight[ids]. */
#ifndef COTANGENT_NN_EMBEDDING_H
#define COTANGENT_NN_EMBEDDING_H

#include <stdbool.h>

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_nn_embedding_options {
    int64_t rows; /* the rows of the table; ids are in 0..rows - 1 */
    int64_t size; /* the size of a row */

    /* The row padding_idx is initially 0 and gets no gradient. A negative padding_idx counts from
     * the end. */
    bool has_padding_idx;
    int64_t padding_idx;
} ct_nn_embedding_options;

/* Makes an Embedding: ids of any shape S, i32 or i64, -> y of shape S + (size). Registers
 * NAME.weight (rows, size), initially normal with mean 0 and standard deviation 1 as in PyTorch.
 * The module belongs to params. CT_ERR_ARGUMENT if rows or size is below 1, if padding_idx is not in
 * -rows..rows - 1, or if it is set without has_padding_idx. Its forward raises CT_ERR_INDEX if an id is
 * not in 0..rows - 1. As in PyTorch, a loaded file or ct_params_init may change the row
 * padding_idx; it still gets no gradient. */
ct_module *ct_nn_embedding(ct_params *params, const char *name, ct_nn_embedding_options options);

#ifdef __cplusplus
}
#endif
#endif

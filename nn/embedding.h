/* embedding.h - rows of a table by index: y = weight[ids]. */
#ifndef COTANGENT_NN_EMBEDDING_H
#define COTANGENT_NN_EMBEDDING_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_nn_embedding_options {
    int64_t rows; /* of the table: ids are 0..rows - 1 */
    int64_t size; /* of a row */
} ct_nn_embedding_options;

/* ids S, i32 or i64 -> y S + (size). Registers NAME.weight (rows, size), begun normal (0, 1) as in
 * PyTorch. Belongs to the set. CT_ERR_ARGUMENT for sizes below 1; CT_ERR_INDEX for an id out of
 * range. */
ct_module *ct_nn_embedding(ct_params *params, const char *name, ct_nn_embedding_options options);

#ifdef __cplusplus
}
#endif
#endif

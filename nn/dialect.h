/* SPDX-License-Identifier: MIT */
/* dialect.h - the framework whose defaults a module uses: PyTorch, MXNet Gluon, Keras or Flax.
 *
 *     |                        | torch           | gluon    | keras          | flax               |
 *     |------------------------|-----------------|----------|----------------|--------------------|
 *     | RNN activation         | tanh            | relu     | tanh           | tanh               |
 *     | input weights          | U(1/sqrt(H))    | U(0.07)  | glorot uniform | lecun normal       |
 *     | recurrent weights      | U(1/sqrt(H))    | U(0.07)  | orthogonal     | orthogonal by gate |
 *     | biases                 | U(1/sqrt(H))    | 0        | 0, forget 1    | 0                  |
 *     | Linear weights         | U(1/sqrt(in))   | U(0.07)  | glorot uniform | lecun normal       |
 *     | Linear bias            | U(1/sqrt(in))   | 0        | 0              | 0                  |
 *     | biases: RNN, LSTM, GRU | 2, 2, 2         | 2, 2, 2  | 1, 1, 2        | 1, 1, 1 + b_hn     |
 *
 * U(a) is the uniform distribution on [-a, a), and H the hidden size. All rows but the first and
 * the last give initial values. A Keras GRU with reset_before has one bias. Names, layouts and the
 * order of gates are PyTorch's in every dialect. A module with one bias has bias_ih and no bias_hh;
 * Flax's LSTM has bias_hh and no bias_ih. b_hn is the parameter bias_hn_l0 (hidden). */
#ifndef COTANGENT_NN_DIALECT_H
#define COTANGENT_NN_DIALECT_H

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ct_dialect {
    CT_DIALECT_TORCH,
    CT_DIALECT_GLUON,
    CT_DIALECT_KERAS,
    CT_DIALECT_FLAX
} ct_dialect;

/* Returns the name of a dialect, such as "torch"; "?" if dialect is not one of the enumeration. */
const char *ct_dialect_name(ct_dialect dialect);

/* Returns the dialect with a name ("keras"). Returns -1, without an error, if there is none or name
 * is NULL. */
int ct_dialect_from_name(const char *name);

#ifdef __cplusplus
}
#endif
#endif

/* dialect.h - whose defaults a module begins with: PyTorch's, MXNet Gluon's, Keras's or Flax's.
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
 * U(a) is uniform in [-a, a). A GRU of Keras that resets before the product has 1 bias. Names,
 * layouts and the order of gates are PyTorch's in every dialect; a missing second bias is left out
 * (bias_hh; Flax's LSTM has bias_hh alone), and b_hn is bias_hn_l0 (hidden). */
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

const char *ct_dialect_name(ct_dialect dialect); /* "torch"; "?" for what is none */

/* The dialect of a name ("keras"), or -1 without an error. */
int ct_dialect_from_name(const char *name);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* min_rnn.h - minGRU and minLSTM (Feng et al. 2024, "Were RNNs All We Needed?", sections 3.1 and
 * 3.2). Their gates depend on x alone, so a whole sequence is one linear recurrence
 * (ct_linear_scan).
 *
 *     minGRU:   z = sigmoid(x W_z^T + b_z)      n = x W_n^T + b_n
 *               h' = (1 - z) h + z n                            y = h'
 *
 *     minLSTM:  f = sigmoid(x W_f^T + b_f)      i = sigmoid(x W_i^T + b_i)      n = x W_n^T + b_n
 *               h' = f / (f + i) h + i / (f + i) n              y = h'
 *
 * The scan computes the direct form. Its factors are below 1, and f32 is added in double. So the
 * paper's parallel form with logarithms and positive n is not needed. Single steps
 * (ct_recurrent_step, for generation) round h to f32 after each step. In f64 they have the same
 * results as a whole sequence. */
#ifndef COTANGENT_NN_MIN_RNN_H
#define COTANGENT_NN_MIN_RNN_H

#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Make a minGRU and a minLSTM. They belong to params, and their state is one tensor h. Each
 * registers for each layer k
 *     NAME.weight_ih_lk (G hidden, in)      gates z, n (G = 2), or f, i, n (G = 3)
 *     NAME.bias_ih_lk (G hidden)            unless no_bias is set
 * and, for the backward direction, the same names with the suffix _reverse. Initial values are
 * uniform within 1/sqrt(hidden). CT_ERR_ARGUMENT as for ct_nn_recurrent. These modules also do
 * not support the options of other kinds, recurrent_dropout, layer_norm, and dialects other than
 * PyTorch's. */
ct_recurrent *ct_nn_min_gru(ct_params *params, const char *name, ct_nn_recurrent_options options);
ct_recurrent *ct_nn_min_lstm(ct_params *params, const char *name, ct_nn_recurrent_options options);

/* The cells of both modules, for ct_nn_recurrent_cell and for cells that contain them. They are
 * constants and must not be freed. */
const ct_cell *ct_cell_min_gru(void);
const ct_cell *ct_cell_min_lstm(void);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* gru.h - the GRU module (Cho et al. 2014).
 *
 *     r = sigmoid(x W_ir^T + b_ir + h W_hr^T + b_hr)
 *     z = sigmoid(x W_iz^T + b_iz + h W_hz^T + b_hz)
 *     n = tanh(x W_in^T + b_in + r (h W_hn^T + b_hn))
 *     n = tanh(x W_in^T + b_in + (r h) W_hn^T + b_hn)        with reset_before
 *     h' = (1 - z) n + z h                                   y = h'
 *
 * Weights and biases hold the gates r, z, n in this order. With layer_norm each product is
 * normalised over all three gates and scaled, as in rnn.h. With reset_before too, the product of h
 * (for r and z) and that of r h (for n) are normalised separately, each with its rows of ln_hh. */
#ifndef COTANGENT_NN_GRU_H
#define COTANGENT_NN_GRU_H

#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef ct_nn_recurrent_options ct_nn_gru_options;

/* Makes a GRU. It belongs to params, and its state is one tensor h. Registers for each layer k
 *     NAME.weight_ih_lk (3 hidden, in)
 *     NAME.weight_hh_lk (3 hidden, hidden)
 *     NAME.bias_ih_lk, NAME.bias_hh_lk (3 hidden)      unless no_bias is set
 *     NAME.bias_hn_lk (hidden)                         in Flax's dialect, instead of bias_hh
 *     NAME.ln_ih_lk, NAME.ln_hh_lk (3 hidden)          with layer_norm; initially 1
 * and otherwise the same as ct_nn_rnn. CT_ERR_ARGUMENT as for ct_nn_rnn. */
ct_recurrent *ct_nn_gru(ct_params *params, const char *name, ct_nn_gru_options options);

/* Makes a single GRU cell for ct_recurrent_step. Its parameters have no suffix: NAME.weight_ih. The
 * module belongs to params. CT_ERR_ARGUMENT as for ct_nn_gru and ct_nn_recurrent_cell. */
ct_recurrent *ct_nn_gru_cell(ct_params *params, const char *name, ct_nn_gru_options options);

#ifdef __cplusplus
}
#endif
#endif

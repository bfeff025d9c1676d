/* SPDX-License-Identifier: MIT */
/* lstm.h - the LSTM module (Hochreiter and Schmidhuber 1997; forget gates: Gers et al. 2000).
 *
 *     (i, f, g, o) = x W_ih^T + b_ih + h W_hh^T + b_hh       the four gates, in this order
 *     c' = sigmoid(f) c + sigmoid(i) tanh(g)
 *     h' = sigmoid(o) tanh(c')                               y = h'
 *
 * With proj_size h' is multiplied by W_hr^T. With layer_norm (Ba, Kiros and Hinton 2016) each
 * product is normalised over all four gates and scaled, as in rnn.h, and h' = sigmoid(o) tanh(ln_c
 * n(c') + bias_c); the state c' itself is not normalised. */
#ifndef COTANGENT_NN_LSTM_H
#define COTANGENT_NN_LSTM_H

#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef ct_nn_recurrent_options ct_nn_lstm_options;

/* Makes an LSTM. It belongs to params, and its state is (h, c). Registers for each layer k
 *     NAME.weight_ih_lk (4 hidden, in)
 *     NAME.weight_hh_lk (4 hidden, hidden or proj_size)
 *     NAME.bias_ih_lk, NAME.bias_hh_lk (4 hidden)      unless no_bias is set
 *     NAME.weight_hr_lk (proj_size, hidden)            with proj_size
 *     NAME.ln_ih_lk, NAME.ln_hh_lk (4 hidden)          with layer_norm; initially 1
 *     NAME.ln_c_lk, NAME.bias_c_lk (hidden)            with layer_norm; initially 1 and 0
 * and otherwise the same as ct_nn_rnn. CT_ERR_ARGUMENT as for ct_nn_rnn, and if proj_size is not
 * below hidden_size or forget_bias is set without has_forget_bias. */
ct_recurrent *ct_nn_lstm(ct_params *params, const char *name, ct_nn_lstm_options options);

/* Makes a single LSTM cell for ct_recurrent_step. Its parameters have no suffix: NAME.weight_ih.
 * The module belongs to params. CT_ERR_ARGUMENT as for ct_nn_lstm and ct_nn_recurrent_cell. */
ct_recurrent *ct_nn_lstm_cell(ct_params *params, const char *name, ct_nn_lstm_options options);

#ifdef __cplusplus
}
#endif
#endif

/* lstm.h - the LSTM module (Hochreiter, Schmidhuber 1997; with forget gates, Gers et al. 2000).
 *
 *     i, f, g, o = x W_ih^T + b_ih + h W_hh^T + b_hh, four parts in this order
 *     c' = sigmoid(f) c + sigmoid(i) tanh(g)
 *     h' = sigmoid(o) tanh(c'), with proj_size (sigmoid(o) tanh(c')) W_hr^T;   y = h'
 *
 * With layer_norm (Ba, Kiros, Hinton 2016) each product is normalised over all four gates and
 * scaled, as in rnn.h, and h' = sigmoid(o) tanh(ln_c n(c') + bias_c); c' goes on as it is. */
#ifndef COTANGENT_NN_LSTM_H
#define COTANGENT_NN_LSTM_H

#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef ct_nn_recurrent_options ct_nn_lstm_options;

/* Registers, for each layer k, NAME.weight_ih_lk (4 hidden, in), NAME.weight_hh_lk (4 hidden,
 * hidden or proj), NAME.bias_ih_lk and NAME.bias_hh_lk (4 hidden), with proj_size
 * NAME.weight_hr_lk (proj, hidden), with layer_norm NAME.ln_ih_lk and NAME.ln_hh_lk (4 hidden),
 * NAME.ln_c_lk and NAME.bias_c_lk (hidden); else as ct_nn_rnn. Its state is (h, c). CT_ERR_ARGUMENT
 * also for a proj_size that is not below hidden_size. */
ct_recurrent *ct_nn_lstm(ct_params *params, const char *name, ct_nn_lstm_options options);

/* One cell, for ct_recurrent_step: names without _l0. */
ct_recurrent *ct_nn_lstm_cell(ct_params *params, const char *name, ct_nn_lstm_options options);

#ifdef __cplusplus
}
#endif
#endif

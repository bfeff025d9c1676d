/* rnn.h - the RNN module (Elman 1990): h' = act(x W_ih^T + b_ih + h W_hh^T + b_hh), y = h'.
 *
 * With layer_norm each product is normalised over its last axis (eps 1e-5) and scaled:
 * h' = act(ln_ih n(x W_ih^T) + b_ih + ln_hh n(h W_hh^T) + b_hh), n as in layer_norm.h. */
#ifndef COTANGENT_NN_RNN_H
#define COTANGENT_NN_RNN_H

#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef ct_nn_recurrent_options ct_nn_rnn_options;

/* Registers, for each layer k, NAME.weight_ih_lk (hidden, in), NAME.weight_hh_lk (hidden, hidden),
 * NAME.bias_ih_lk and NAME.bias_hh_lk (hidden), with layer_norm NAME.ln_ih_lk and NAME.ln_hh_lk
 * (hidden); with the suffix _reverse for the backward direction; begun as the dialect has it, in
 * PyTorch U(-1/sqrt(hidden), 1/sqrt(hidden)). Its state is one tensor h. Belongs to params.
 * CT_ERR_ARGUMENT as for ct_nn_recurrent, and for options of other kinds. */
ct_recurrent *ct_nn_rnn(ct_params *params, const char *name, ct_nn_rnn_options options);

/* One cell, for ct_recurrent_step: names without _l0. */
ct_recurrent *ct_nn_rnn_cell(ct_params *params, const char *name, ct_nn_rnn_options options);

#ifdef __cplusplus
}
#endif
#endif

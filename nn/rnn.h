/* SPDX-License-Identifier: MIT */
/* rnn.h - the RNN module (Elman 1990).
 *
 *     h' = act(x W_ih^T + b_ih + h W_hh^T + b_hh)      y = h'
 *
 * act is tanh or relu (option nonlinearity). With layer_norm each product is normalised over its
 * last axis, with eps 1e-5, and scaled; n is the normalisation of layer_norm.h:
 *
 *     h' = act(ln_ih n(x W_ih^T) + b_ih + ln_hh n(h W_hh^T) + b_hh) */
#ifndef COTANGENT_NN_RNN_H
#define COTANGENT_NN_RNN_H

#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef ct_nn_recurrent_options ct_nn_rnn_options;

/* Makes an RNN. It belongs to params, and its state is one tensor h. Registers for each layer k
 *     NAME.weight_ih_lk (hidden, in)
 *     NAME.weight_hh_lk (hidden, hidden)
 *     NAME.bias_ih_lk, NAME.bias_hh_lk (hidden)       unless no_bias is set
 *     NAME.ln_ih_lk, NAME.ln_hh_lk (hidden)           with layer_norm; initially 1
 * and, for the backward direction, the same names with the suffix _reverse. Other dialects than
 * PyTorch's may have fewer biases. Initial values are those of the dialect (dialect.h); PyTorch's
 * are uniform within 1/sqrt(hidden). CT_ERR_ARGUMENT as for ct_nn_recurrent, and if an option of
 * another kind is set. */
ct_recurrent *ct_nn_rnn(ct_params *params, const char *name, ct_nn_rnn_options options);

/* Makes a single RNN cell for ct_recurrent_step. Its parameters have no suffix: NAME.weight_ih. The
 * module belongs to params. CT_ERR_ARGUMENT as for ct_nn_rnn and ct_nn_recurrent_cell. */
ct_recurrent *ct_nn_rnn_cell(ct_params *params, const char *name, ct_nn_rnn_options options);

#ifdef __cplusplus
}
#endif
#endif

/* gru.h - the GRU module (Cho et al. 2014).
 *
 *     r = sigmoid(x W_ir^T + b_ir + h W_hr^T + b_hr)
 *     z = sigmoid(x W_iz^T + b_iz + h W_hz^T + b_hz)
 *     n = tanh(x W_in^T + b_in + r (h W_hn^T + b_hn)), with reset_before
 *         tanh(x W_in^T + b_in + (r h) W_hn^T + b_hn)
 *     h' = (1 - z) n + z h;   y = h'
 *
 * Weights and biases hold the gates r, z, n one after another. With layer_norm each product is
 * normalised over all three gates and scaled, as in rnn.h; with reset_before the two of h, for r
 * and z, and of r h, for n, are normalised each by itself, and scaled by its rows of ln_hh. */
#ifndef COTANGENT_NN_GRU_H
#define COTANGENT_NN_GRU_H

#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef ct_nn_recurrent_options ct_nn_gru_options;

/* Registers, for each layer k, NAME.weight_ih_lk (3 hidden, in), NAME.weight_hh_lk (3 hidden,
 * hidden), NAME.bias_ih_lk and NAME.bias_hh_lk (3 hidden; Flax's second is NAME.bias_hn_lk,
 * hidden), with layer_norm NAME.ln_ih_lk and NAME.ln_hh_lk (3 hidden); else as ct_nn_rnn. Its
 * state is h. */
ct_recurrent *ct_nn_gru(ct_params *params, const char *name, ct_nn_gru_options options);

/* One cell, for ct_recurrent_step: names without _l0. */
ct_recurrent *ct_nn_gru_cell(ct_params *params, const char *name, ct_nn_gru_options options);

#ifdef __cplusplus
}
#endif
#endif

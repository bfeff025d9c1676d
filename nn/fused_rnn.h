/* fused_rnn.h - RNN, LSTM and GRU over a whole sequence in one op. (internal) */
#ifndef COTANGENT_NN_FUSED_RNN_H
#define COTANGENT_NN_FUSED_RNN_H

#include <cotangent/nn/recurrent.h>

/* The sequence function of the cells of cell.h: self is a cti_cell, x (T, B, G H) is the
 * contribution of the input to the gates, at->lengths is (B) i64 or NULL. Returns y (T, B, H), the
 * h after each step. Replaces state[0], h (B, H), and for an LSTM state[1], c, by the states after
 * the last step. Values and derivatives are those of the cell's steps, up to rounding. Returns NULL
 * without an error for a cell with recurrent dropout, layer norm, a projection, b_hn or
 * reset_before. */
ct_tensor *cti_fused_rnn(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                         const ct_cell_step *at);

#endif

/* fused_rnn.h - recurrent layers over a whole sequence in one op. (internal) */
#ifndef COTANGENT_NN_FUSED_RNN_H
#define COTANGENT_NN_FUSED_RNN_H

#include "autograd/internal.h"

#include <cotangent/nn/recurrent.h>

/* One step of the same cell by ordinary ops: ct_cell's step. */
typedef ct_tensor *(*cti_cell_step)(void *self, ct_tensor *x, ct_tensor *const *state,
                                    ct_tensor **next, const ct_cell_step *at);

/* One layer in one direction: x (T, B, G H), what the input adds to the gates; w (G H, H), bias
 * (G H) or NULL; lengths (B) i64 or NULL; state[0] h (B, H) and, for an LSTM, state[1] c. Returns y
 * (T, B, H), the state after each step, and puts that after the last step into state. The same values and derivatives as making the steps one by
 * one by step, of the cell self, which second derivatives do. */
ct_tensor *cti_sequence_forward(cti_cell_kind kind, bool reverse, ct_tensor *x, ct_tensor *w,
                                ct_tensor *bias, ct_tensor *lengths, ct_tensor **state,
                                cti_cell_step step, void *self);

#endif

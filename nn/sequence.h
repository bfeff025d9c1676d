/* sequence.h - recurrent layers over a whole sequence in one op. (internal) */
#ifndef COTANGENT_NN_SEQUENCE_H
#define COTANGENT_NN_SEQUENCE_H

#include "autograd/internal.h"

/* One layer in one direction: x (T, B, G H), what the input adds to the gates; w (G H, H), bias
 * (G H) or NULL; state[0] h (B, H) and, for an LSTM, state[1] c. Returns y (T, B, H) and puts the
 * state after the last step into state. The same values as stepping the cell, and the same
 * derivatives; a second derivative steps the cell again. */
ct_tensor *cti_sequence_forward(cti_cell_kind kind, bool reverse, ct_tensor *x, ct_tensor *w,
                                ct_tensor *bias, ct_tensor **state);

#endif

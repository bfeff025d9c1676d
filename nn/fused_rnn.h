/* SPDX-License-Identifier: MIT */
/* fused_rnn.h - RNN, LSTM and GRU over a whole sequence in one op. (internal) */
#ifndef COTANGENT_NN_FUSED_RNN_H
#define COTANGENT_NN_FUSED_RNN_H

#include "nn/cell.h"

#include <cotangent/autograd/op.h>
#include <cotangent/nn/recurrent.h>

/* The sequence function of the cells of cell.h: self is a cti_cell, x (T, B, G H) is the
 * contribution of the input to the gates, at->lengths is (B) i64 or NULL. Returns y (T, B, H), the
 * h after each step. Replaces state[0], h (B, H), and for an LSTM state[1], c, by the states after
 * the last step. Values and derivatives are those of the cell's steps, up to rounding. Returns NULL
 * without an error for a cell with recurrent dropout, layer norm, a projection, b_hn or
 * reset_before. */
ct_tensor *cti_fused_rnn(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                         const ct_cell_step *at);

/* One layer in one direction. */
typedef struct cti_fused_cell {
    void *self; /* a cti_cell */
    ct_tensor **state;
    bool reverse;
    ct_tensor *y; /* the result; of stacked layers, only of the last */
} cti_fused_cell;

/* Like cti_fused_rnn, but for layers with their input, which are computed at the same time: x (T, B, I) is
 * the input. They are the directions of a layer, one or two; or, if `stacked`, up to CTI_MOST_STACKED
 * layers of one direction, each of which has the y of the one before as its input. Also returns false
 * without an error on a device without such a kernel, for a dtype other than f32, for few steps or rows,
 * with lengths, and for a narrow RNN whose x is one-hot; in bf16 also if bf16 is emulated, and for layers
 * so small that cti_fused_rnn is faster; and for stacked layers of which a later one needs history but
 * the first does not. */
bool cti_fused_layer(int count, bool stacked, cti_fused_cell *cells, ct_tensor *x,
                     const ct_cell_step *at);

/* Returns false if cti_fused_layer returns false for an input such as x, whatever the cells. */
bool cti_fused_layer_takes(const ct_tensor *x);

/* ---- what both ops share ---- */

typedef struct cti_fused_attributes {
    cti_cell *cell; /* its functions recompute the steps for second derivatives */
    bool reverse, has_lengths;
    bool one_hot; /* a layer: the kernel reads the indices of x instead of its values */
    bool bf16;    /* a layer: the precision of its products, forward and backward */
} cti_fused_attributes;

#define CTI_FUSED_RESULTS 3 /* y and the states after the last step: the first outputs of each op */

/* The numbers of an op's inputs, and of its first output. Those that it does not have are -1. */
typedef struct cti_fused_op {
    int x, w_ih, b_ih, w_hh, b_hh, h, c, lengths, y;
} cti_fused_op;

/* Computes gradients that have history: runs the steps of `count` stacked layers again with ordinary ops
 * and differentiates these. If op has w_ih, x is the input of the layer. Each layer after the first has no
 * x, because it reads y of the layer before. */
void cti_fused_stepwise_backward(ct_node *n, ct_tensor *const *dout, int count,
                                 const cti_fused_attributes *a, const cti_fused_op *op);

/* Returns false for a cell that only step-by-step code can run. */
bool cti_fused_can_run(const cti_cell *c, const ct_cell_step *at);

#endif

/* SPDX-License-Identifier: MIT */
/* lstm.c - the LSTM cell and module. */
#include "nn/cell.h"
#include "nn/fused_rnn.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/normalise.h>
#include <cotangent/nn/lstm.h>

/* x (B, 4 hidden) from cti_cell_project, h (B, R), c (B, hidden) -> h', c' */
static ct_tensor *lstm_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                            const ct_cell_step *at)
{
    const cti_cell *cell = self;
    ct_tensor *gates = ct_add(x, cti_cell_recur(cell, state[0], at));
    ct_tensor *i = ct_sigmoid(cti_cell_gate(cell, gates, 0));
    ct_tensor *f = ct_sigmoid(cti_cell_gate(cell, gates, 1));
    ct_tensor *g = ct_tanh(cti_cell_gate(cell, gates, 2));
    ct_tensor *o = ct_sigmoid(cti_cell_gate(cell, gates, 3));
    ct_tensor *c = ct_add(ct_mul(f, state[1]), ct_mul(i, g)), *shown = c, *h;

    if (cell->ln_c)
        shown = ct_layer_norm(c, ct_param_value(cell->ln_c), ct_param_value(cell->b_c), CTI_LN_EPS);
    h = ct_mul(o, ct_tanh(shown));
    if (cell->w_hr)
        h = ct_linear(h, ct_param_value(cell->w_hr), NULL);
    next[0] = h;
    next[1] = c;
    return h;
}

static const cti_cell_type lstm_type = {
    .table = { .name = "LSTM",
               .size = sizeof(cti_cell),
               .states = 2,
               .init = cti_cell_init,
               .state_size = cti_cell_state_size,
               .step = lstm_step,
               .project = cti_cell_project,
               .sequence = cti_fused_rnn,
               .lengths = true },
    .kind = CTI_CELL_LSTM,
};

const ct_cell *ct_cell_lstm(void)
{
    return &lstm_type.table;
}

ct_recurrent *ct_nn_lstm(ct_params *params, const char *name, ct_nn_lstm_options options)
{
    return cti_cell_module("ct_nn_lstm", params, name, &lstm_type, &options, false);
}

ct_recurrent *ct_nn_lstm_cell(ct_params *params, const char *name, ct_nn_lstm_options options)
{
    return cti_cell_module("ct_nn_lstm_cell", params, name, &lstm_type, &options, true);
}

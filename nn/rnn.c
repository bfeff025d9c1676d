/* SPDX-License-Identifier: MIT */
/* rnn.c - the RNN cell and module. */
#include "nn/cell.h"
#include "nn/fused_rnn.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/nn/rnn.h>

/* x (B, hidden) from cti_cell_project, h (B, hidden) -> h' */
static ct_tensor *rnn_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                           const ct_cell_step *at)
{
    const cti_cell *c = self;
    ct_tensor *sum = ct_add(x, cti_cell_recur(c, state[0], at));

    return *next = c->kind == CTI_CELL_RELU ? ct_relu(sum) : ct_tanh(sum);
}

static const cti_cell_type rnn_type = {
    .table = { .name = "RNN",
               .size = sizeof(cti_cell),
               .states = 1,
               .init = cti_cell_init,
               .state_size = cti_cell_state_size,
               .step = rnn_step,
               .project = cti_cell_project,
               .sequence = cti_fused_rnn,
               .lengths = true },
    .kind = CTI_CELL_TANH,
};

const ct_cell *ct_cell_rnn(void)
{
    return &rnn_type.table;
}

ct_recurrent *ct_nn_rnn(ct_params *params, const char *name, ct_nn_rnn_options options)
{
    return cti_cell_module("ct_nn_rnn", params, name, &rnn_type, &options, false);
}

ct_recurrent *ct_nn_rnn_cell(ct_params *params, const char *name, ct_nn_rnn_options options)
{
    return cti_cell_module("ct_nn_rnn_cell", params, name, &rnn_type, &options, true);
}

/* rnn.c - the RNN cell and module. */
#include "nn/cell.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/nn/rnn.h>

static ct_status rnn_init(void *self, const ct_cell_place *at)
{
    return cti_cell_init(self, at, 1);
}

/* x (B, hidden) as projected, h (B, hidden) -> h' */
static ct_tensor *rnn_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                           const ct_cell_step *at)
{
    const cti_cell *c = self;
    ct_tensor *sum = ct_add(x, cti_cell_recur(c, state[0], at));

    return *next = c->relu ? ct_relu(sum) : ct_tanh(sum);
}

static ct_tensor *rnn_sequence(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                               const ct_cell_step *at)
{
    return cti_cell_sequence(self, x, state, reverse, at, rnn_step);
}

static const ct_cell rnn = { .name = "RNN",
                             .size = sizeof(cti_cell),
                             .states = 1,
                             .init = rnn_init,
                             .state_size = cti_cell_state_size,
                             .step = rnn_step,
                             .project = cti_cell_project,
                             .sequence = rnn_sequence,
                             .lengths = true };

ct_recurrent *ct_nn_rnn(ct_params *params, const char *name, ct_nn_rnn_options options)
{
    return cti_options_fit("ct_nn_rnn", &options, CTI_NONLINEARITY)
               ? ct_nn_recurrent(params, name, &rnn, options)
               : NULL;
}

ct_recurrent *ct_nn_rnn_cell(ct_params *params, const char *name, ct_nn_rnn_options options)
{
    return cti_options_fit("ct_nn_rnn_cell", &options, CTI_NONLINEARITY)
               ? ct_nn_recurrent_cell(params, name, &rnn, options)
               : NULL;
}

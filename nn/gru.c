/* gru.c - the GRU cell and module. */
#include "nn/cell.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/gru.h>

static ct_status gru_init(void *self, const ct_cell_place *at)
{
    return cti_cell_init(self, at, 3);
}

/* The rows of a parameter for count gates from the gate first on; NULL for none. */
static ct_tensor *rows(const cti_cell *c, ct_param *p, int first, int count)
{
    return p ? ct_narrow(ct_param_value(p), 0, first * c->hidden, count * c->hidden) : NULL;
}

/* h times the rows of W_hh for some gates, normalised, with those of b_hh: (B, R) -> (B, count
 * hidden) */
static ct_tensor *recur_gates(const cti_cell *c, ct_tensor *h, int first, int count,
                              const ct_cell_step *at)
{
    ct_tensor *w = rows(c, c->w_hh, first, count), *b = rows(c, c->b_hh, first, count);

    h = ct_cell_drop(at, h);
    if (!c->ln_hh)
        return ct_linear(h, w, b);
    return cti_layer_norm(ct_linear(h, w, NULL), rows(c, c->ln_hh, first, count), b, CTI_LN_EPS);
}

/* h' = (1 - z) n + z h = n + z (h - n) */
static ct_tensor *mix(ct_tensor *z, ct_tensor *n, ct_tensor *h)
{
    return ct_add(n, ct_mul(z, ct_sub(h, n)));
}

static ct_tensor *reset_after(const cti_cell *c, ct_tensor *x, ct_tensor *h, const ct_cell_step *at)
{
    ct_tensor *hh = cti_cell_recur(c, h, at), *hn = cti_gate(c, hh, 1, 2), *r, *z, *n;

    if (c->b_hn)
        hn = ct_add(hn, ct_param_value(c->b_hn));
    r = ct_sigmoid(ct_add(cti_gate(c, x, 1, 0), cti_gate(c, hh, 1, 0)));
    z = ct_sigmoid(ct_add(cti_gate(c, x, 1, 1), cti_gate(c, hh, 1, 1)));
    n = ct_tanh(ct_add(cti_gate(c, x, 1, 2), ct_mul(r, hn)));
    return mix(z, n, h);
}

static ct_tensor *reset_before(const cti_cell *c, ct_tensor *x, ct_tensor *h,
                               const ct_cell_step *at)
{
    ct_tensor *hh = recur_gates(c, h, 0, 2, at), *r, *z, *n;

    r = ct_sigmoid(ct_add(cti_gate(c, x, 1, 0), cti_gate(c, hh, 1, 0)));
    z = ct_sigmoid(ct_add(cti_gate(c, x, 1, 1), cti_gate(c, hh, 1, 1)));
    n = ct_tanh(ct_add(cti_gate(c, x, 1, 2), recur_gates(c, ct_mul(r, h), 2, 1, at)));
    return mix(z, n, h);
}

/* x (B, 3 hidden) as projected, h (B, hidden) -> h' */
static ct_tensor *gru_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                           const ct_cell_step *at)
{
    const cti_cell *c = self;

    return *next = (c->reset_before ? reset_before : reset_after)(c, x, state[0], at);
}

static ct_tensor *gru_sequence(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                               const ct_cell_step *at)
{
    return cti_cell_sequence(self, x, state, reverse, at, gru_step);
}

static const ct_cell gru = { .name = "GRU",
                             .size = sizeof(cti_cell),
                             .states = 1,
                             .init = gru_init,
                             .state_size = cti_cell_state_size,
                             .step = gru_step,
                             .project = cti_cell_project,
                             .sequence = gru_sequence,
                             .lengths = true };

ct_recurrent *ct_nn_gru(ct_params *params, const char *name, ct_nn_gru_options options)
{
    return cti_options_fit("ct_nn_gru", &options, CTI_RESET_BEFORE)
               ? ct_nn_recurrent(params, name, &gru, options)
               : NULL;
}

ct_recurrent *ct_nn_gru_cell(ct_params *params, const char *name, ct_nn_gru_options options)
{
    return cti_options_fit("ct_nn_gru_cell", &options, CTI_RESET_BEFORE)
               ? ct_nn_recurrent_cell(params, name, &gru, options)
               : NULL;
}

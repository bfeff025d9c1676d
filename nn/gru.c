/* SPDX-License-Identifier: MIT */
/* gru.c - the GRU cell and module. */
#include "nn/cell.h"
#include "nn/fused_rnn.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/normalise.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/gru.h>

/* Returns the rows of p for `count` gates, from gate number `first` on; NULL if p is NULL. */
static ct_tensor *gru_rows(const cti_cell *c, ct_param *p, int first, int count)
{
    return p ? ct_narrow(ct_param_value(p), 0, first * c->hidden, count * c->hidden) : NULL;
}

/* Like cti_cell_recur, but for `count` gates from gate number `first` on: (B, hidden) -> (B, count
 * hidden). */
static ct_tensor *gru_recur(const cti_cell *c, ct_tensor *h, int first, int count,
                            const ct_cell_step *at)
{
    ct_tensor *w = gru_rows(c, c->w_hh, first, count), *b = gru_rows(c, c->b_hh, first, count);

    h = ct_cell_drop(at, h);
    if (!c->ln_hh)
        return ct_linear(h, w, b);
    return ct_layer_norm(ct_linear(h, w, NULL), gru_rows(c, c->ln_hh, first, count), b, CTI_LN_EPS);
}

/* h' = (1 - z) n + z h = n + z (h - n) */
static ct_tensor *gru_mix(ct_tensor *z, ct_tensor *n, ct_tensor *h)
{
    return ct_add(n, ct_mul(z, ct_sub(h, n)));
}

static ct_tensor *gru_reset_after(const cti_cell *c, ct_tensor *x, ct_tensor *h,
                                  const ct_cell_step *at)
{
    ct_tensor *hh = cti_cell_recur(c, h, at), *hn = cti_cell_gate(c, hh, 2), *r, *z, *n;

    if (c->b_hn)
        hn = ct_add(hn, ct_param_value(c->b_hn));
    r = ct_sigmoid(ct_add(cti_cell_gate(c, x, 0), cti_cell_gate(c, hh, 0)));
    z = ct_sigmoid(ct_add(cti_cell_gate(c, x, 1), cti_cell_gate(c, hh, 1)));
    n = ct_tanh(ct_add(cti_cell_gate(c, x, 2), ct_mul(r, hn)));
    return gru_mix(z, n, h);
}

static ct_tensor *gru_reset_before(const cti_cell *c, ct_tensor *x, ct_tensor *h,
                                   const ct_cell_step *at)
{
    ct_tensor *hh = gru_recur(c, h, 0, 2, at), *r, *z, *n;

    r = ct_sigmoid(ct_add(cti_cell_gate(c, x, 0), cti_cell_gate(c, hh, 0)));
    z = ct_sigmoid(ct_add(cti_cell_gate(c, x, 1), cti_cell_gate(c, hh, 1)));
    n = ct_tanh(ct_add(cti_cell_gate(c, x, 2), gru_recur(c, ct_mul(r, h), 2, 1, at)));
    return gru_mix(z, n, h);
}

/* x (B, 3 hidden) from cti_cell_project, h (B, hidden) -> h' */
static ct_tensor *gru_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                           const ct_cell_step *at)
{
    const cti_cell *c = self;

    return *next = (c->reset_before ? gru_reset_before : gru_reset_after)(c, x, state[0], at);
}

static const cti_cell_type gru_type = {
    .table = { .name = "GRU",
               .size = sizeof(cti_cell),
               .states = 1,
               .init = cti_cell_init,
               .state_size = cti_cell_state_size,
               .step = gru_step,
               .project = cti_cell_project,
               .sequence = cti_fused_rnn,
               .lengths = true },
    .kind = CTI_CELL_GRU,
};

const ct_cell *ct_cell_gru(void)
{
    return &gru_type.table;
}

ct_recurrent *ct_nn_gru(ct_params *params, const char *name, ct_nn_gru_options options)
{
    return cti_cell_module("ct_nn_gru", params, name, &gru_type, &options, false);
}

ct_recurrent *ct_nn_gru_cell(ct_params *params, const char *name, ct_nn_gru_options options)
{
    return cti_cell_module("ct_nn_gru_cell", params, name, &gru_type, &options, true);
}

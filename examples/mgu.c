/* SPDX-License-Identifier: MIT */
/* mgu.c - a user's recurrent module, the minimal gated unit (Zhou et al. 2016):
 *     f = sigmoid(x W_f^T + h U_f^T + b_f)
 *     n = tanh(x W_n^T + (f h) U_n^T + b_n)
 *     h' = (1 - f) h + f n */
#include "mgu.h"

#include <math.h>

typedef struct cell {
    ct_param *w, *u_f, *u_n, *b; /* w (2 hidden, in) holds W_f, then W_n; b (2 hidden) */
    int64_t hidden;
} cell;

static ct_status mgu_init(void *self, const ct_cell_place *at)
{
    cell *c = self;
    int64_t h = c->hidden = at->options->hidden_size;
    ct_init uniform = ct_init_uniform(-1 / sqrt((double)h), 1 / sqrt((double)h));

    c->w = ct_cell_param(at, "weight_ih", CT_SHAPE(2 * h, at->input_size), uniform);
    c->u_f = ct_cell_param(at, "weight_hf", CT_SHAPE(h, h), uniform);
    c->u_n = ct_cell_param(at, "weight_hn", CT_SHAPE(h, h), uniform);
    c->b = ct_cell_param(at, "bias", CT_SHAPE(2 * h), ct_init_constant(0));
    return ct_error();
}

/* x (T, B, in) -> (T, B, 2 hidden): the products with x, for all steps at once */
static ct_tensor *mgu_project(void *self, ct_tensor *x, const ct_cell_step *at)
{
    cell *c = self;

    (void)at;
    return ct_linear(x, ct_param_value(c->w), ct_param_value(c->b));
}

/* x (B, 2 hidden) from mgu_project, h (B, hidden) -> h' */
static ct_tensor *mgu_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                           const ct_cell_step *at)
{
    cell *c = self;
    ct_tensor *h = state[0], *f, *n;

    f = ct_linear(ct_cell_drop(at, h), ct_param_value(c->u_f), NULL);
    f = ct_sigmoid(ct_add(ct_narrow(x, 1, 0, c->hidden), f));
    n = ct_linear(ct_cell_drop(at, ct_mul(f, h)), ct_param_value(c->u_n), NULL);
    n = ct_tanh(ct_add(ct_narrow(x, 1, c->hidden, c->hidden), n));
    return next[0] = ct_add(h, ct_mul(f, ct_sub(n, h)));
}

ct_recurrent *mgu(ct_params *params, const char *name, ct_nn_recurrent_options options)
{
    static const ct_cell table = { .name = "MGU",
                                   .size = sizeof(cell),
                                   .states = 1,
                                   .init = mgu_init,
                                   .step = mgu_step,
                                   .project = mgu_project };

    return ct_nn_recurrent(params, name, &table, options);
}

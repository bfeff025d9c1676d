/* SPDX-License-Identifier: MIT */
/* min_rnn.c - minGRU and minLSTM: h' = a h + b, where a and b depend on x alone.
 *
 *     minGRU:   a = 1 - z = sigmoid(-k_z)           b = sigmoid(k_z) n
 *     minLSTM:  a = f / (f + i) = sigmoid(l)        b = sigmoid(-l) n      l = log f - log i */
#include "nn/cell.h"
#include "nn/steps.h"

#include <cotangent/autograd/ops/activation.h>
#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/scan.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/min_rnn.h>

#include <math.h>

typedef struct min_cell {
    bool lstm;
    int64_t hidden;
    ct_param *weight, *bias; /* bias is NULL with no_bias */
} min_cell;

/* Checks the options. Those that these cells do not have raise an error. */
static bool min_check_options(const char *me, const ct_nn_recurrent_options *o)
{
    const struct {
        bool is_set;
        const char *name;
    } options[] = { { o->nonlinearity != CT_NONLINEARITY_DEFAULT, "nonlinearity" },
                    { o->layer_norm, "layer_norm" },
                    { o->reset_before, "reset_before" },
                    { o->proj_size != 0, "proj_size" },
                    { o->has_forget_bias, "has_forget_bias" },
                    { o->forget_bias != 0, "forget_bias" },
                    { o->recurrent_dropout != 0, "recurrent_dropout" },
                    { o->dialect != CT_DIALECT_TORCH, "dialect" } };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].is_set) {
            ct_raise(CT_ERR_ARGUMENT, me, "%s is set; a minGRU or minLSTM does not have it",
                     options[i].name);
            return false;
        }
    return true;
}

static ct_status min_init(void *self, const ct_cell_place *at)
{
    min_cell *c = self;
    const int64_t hidden = at->options->hidden_size;
    const double bound = 1 / sqrt((double)hidden);
    const ct_init uniform = ct_init_uniform(-bound, bound);
    int gates;

    if (!min_check_options(cti_recurrent_maker(at->module), at->options))
        return ct_error();
    c->lstm = at->cell == ct_cell_min_lstm();
    gates = c->lstm ? 3 : 2;
    c->hidden = hidden;
    c->weight = ct_cell_param(at, "weight_ih", CT_SHAPE(gates * hidden, at->input_size), uniform);
    if (!at->options->no_bias)
        c->bias = ct_cell_param(at, "bias_ih", CT_SHAPE(gates * hidden), uniform);
    return ct_error();
}

static ct_tensor *min_project(void *self, ct_tensor *x, const ct_cell_step *at)
{
    const min_cell *c = self;

    (void)at;
    return ct_linear(x, ct_param_value(c->weight), cti_value(c->bias));
}

/* a and b of x (..., G hidden), which min_project returned */
static void min_factors(const min_cell *c, ct_tensor *x, ct_tensor **a, ct_tensor **b)
{
    ct_tensor *k = ct_narrow(x, -1, 0, c->hidden), *n, *l;

    n = ct_narrow(x, -1, c->lstm ? 2 * c->hidden : c->hidden, c->hidden);
    l = c->lstm ? ct_sub(ct_log_sigmoid(k), ct_log_sigmoid(ct_narrow(x, -1, c->hidden, c->hidden)))
                : ct_neg(k);
    *a = ct_sigmoid(l);
    *b = ct_mul(ct_sigmoid(c->lstm ? ct_neg(l) : k), n);
}

static ct_tensor *min_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                           const ct_cell_step *at)
{
    ct_tensor *a, *b;

    (void)at;
    min_factors(self, x, &a, &b);
    return next[0] = ct_add(ct_mul(a, state[0]), b);
}

/* After the end of a row, a is 1 and b is 0, so that h does not change. */
static ct_tensor *min_sequence(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                               const ct_cell_step *at)
{
    ct_linear_scan_options o = { .initial = state[0], .reverse = reverse };
    ct_tensor *a, *b, *active, *h;

    min_factors(self, x, &a, &b);
    if (at->lengths) {
        active = cti_active_steps(at->lengths, ct_size(x, 0));
        a = ct_where(active, a, ct_full(CT_SCALAR, 1, x->dtype, x->device));
        b = ct_where(active, b, ct_full(CT_SCALAR, 0, x->dtype, x->device));
    }
    h = a && b ? ct_linear_scan(a, b, 0, o) : NULL;
    if (h)
        state[0] = ct_select(h, 0, reverse ? 0 : -1);
    return h;
}

#define MIN_CELL(label)                                                                            \
    {                                                                                              \
        .name = label, .size = sizeof(min_cell), .states = 1, .init = min_init, .step = min_step,  \
        .project = min_project, .sequence = min_sequence, .lengths = true                          \
    }

static const ct_cell min_gru = MIN_CELL("minGRU");
static const ct_cell min_lstm = MIN_CELL("minLSTM");

const ct_cell *ct_cell_min_gru(void)
{
    return &min_gru;
}

const ct_cell *ct_cell_min_lstm(void)
{
    return &min_lstm;
}

ct_recurrent *ct_nn_min_gru(ct_params *params, const char *name, ct_nn_recurrent_options options)
{
    return cti_recurrent_new("ct_nn_min_gru", params, name, ct_cell_min_gru(), &options, false);
}

ct_recurrent *ct_nn_min_lstm(ct_params *params, const char *name, ct_nn_recurrent_options options)
{
    return cti_recurrent_new("ct_nn_min_lstm", params, name, ct_cell_min_lstm(), &options, false);
}

/* cell.c - what the cells of RNN, LSTM and GRU share. */
#include "nn/cell.h"

#include "tensor/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/init.h>

#include <math.h>

/* ---- initial values ---- */

/* Uniform in [a, b), a if they are equal; but d, the forget gate's, for the second of four
 * parts. */
static ct_status fill_forget(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    ct_status status = ct_uniform_into(t, init->a, init->b, g);
    int64_t part = ct_size(t, 0) / 4;

    return status == CT_OK ? ct_fill(ct_narrow(t, 0, part, part), init->d) : status;
}

static double bound_of(const ct_cell_place *at)
{
    return at->options->dialect == CT_DIALECT_TORCH ? 1 / sqrt((double)at->options->hidden_size)
                                                    : 0;
}

static ct_init input_init(const ct_cell_place *at)
{
    double bound = bound_of(at);

    switch (at->options->dialect) {
    case CT_DIALECT_GLUON:
        return ct_init_uniform(-0.07, 0.07);
    case CT_DIALECT_KERAS:
        return ct_init_xavier_uniform(1);
    case CT_DIALECT_FLAX:
        return ct_init_lecun_normal();
    default:
        return ct_init_uniform(-bound, bound);
    }
}

static ct_init recurrent_init(const ct_cell_place *at, int gates)
{
    switch (at->options->dialect) {
    case CT_DIALECT_KERAS: /* its (H, G H) is our (G H, H), transposed: orthogonal as a whole */
        return ct_init_orthogonal(1);
    case CT_DIALECT_FLAX:
        return ct_init_orthogonal_parts(1, gates);
    default:
        return input_init(at);
    }
}

/* first: of the forget gate's two biases the one that holds what it begins as */
static ct_init bias_init(const ct_cell_place *at, int gates, bool first)
{
    const ct_nn_recurrent_options *o = at->options;
    double bound = bound_of(at), forget = o->has_forget_bias ? o->forget_bias : 1;

    if (gates == 4 && (o->has_forget_bias || o->dialect == CT_DIALECT_KERAS))
        return (ct_init){ .fill = fill_forget, .a = -bound, .b = bound, .d = first ? forget : 0 };
    return ct_init_uniform(-bound, bound);
}

/* ---- parameters ---- */

cti_biases cti_biases_of(ct_dialect dialect, int gates, bool reset_before)
{
    const bool gru = gates == 3, flax = dialect == CT_DIALECT_FLAX;
    cti_biases has = { .ih = !(flax && gates == 4) };

    has.hh = dialect == CT_DIALECT_TORCH || dialect == CT_DIALECT_GLUON ||
             (dialect == CT_DIALECT_KERAS && gru && !reset_before) || (flax && gates == 4);
    has.hn = flax && gru && !reset_before;
    return has;
}

static void add_norms(cti_cell *c, const ct_cell_place *at)
{
    const ct_init one = ct_init_constant(1), zero = ct_init_constant(0);
    int64_t wide = c->gates * c->hidden;

    c->ln_ih = ct_cell_param(at, "ln_ih", CT_SHAPE(wide), one);
    c->ln_hh = ct_cell_param(at, "ln_hh", CT_SHAPE(wide), one);
    if (c->gates == 4) {
        c->ln_c = ct_cell_param(at, "ln_c", CT_SHAPE(c->hidden), one);
        c->b_c = ct_cell_param(at, "bias_c", CT_SHAPE(c->hidden), zero);
    }
}

ct_status cti_cell_init(cti_cell *c, const ct_cell_place *at, int gates)
{
    const ct_nn_recurrent_options *o = at->options;
    int64_t h = o->hidden_size, r = o->proj_size ? o->proj_size : h, wide = gates * h;
    cti_biases has = { false, false, false };

    if (!o->no_bias)
        has = cti_biases_of(o->dialect, gates, o->reset_before);
    c->gates = gates;
    c->hidden = h;
    c->proj = o->proj_size;
    c->reset_before = o->reset_before;
    c->relu = o->nonlinearity == CT_NONLINEARITY_RELU ||
              (!o->nonlinearity && o->dialect == CT_DIALECT_GLUON);
    c->w_ih = ct_cell_param(at, "weight_ih", CT_SHAPE(wide, at->input_size), input_init(at));
    c->w_hh = ct_cell_param(at, "weight_hh", CT_SHAPE(wide, r), recurrent_init(at, gates));
    if (has.ih)
        c->b_ih = ct_cell_param(at, "bias_ih", CT_SHAPE(wide), bias_init(at, gates, true));
    if (has.hh)
        c->b_hh = ct_cell_param(at, "bias_hh", CT_SHAPE(wide), bias_init(at, gates, !has.ih));
    if (has.hn)
        c->b_hn = ct_cell_param(at, "bias_hn", CT_SHAPE(h), ct_init_constant(0));
    if (c->proj)
        c->w_hr = ct_cell_param(at, "weight_hr", CT_SHAPE(r, h), input_init(at));
    if (o->layer_norm)
        add_norms(c, at);
    return ct_error();
}

/* ---- products ---- */

int64_t cti_cell_state_size(const void *self, int i)
{
    const cti_cell *c = self;

    return i == 0 && c->proj ? c->proj : c->hidden;
}

/* x W^T + b, normalised before b is added if there is a gain: (..., in) -> (..., G H) */
static ct_tensor *product(ct_tensor *x, ct_param *w, ct_param *gain, ct_param *b)
{
    if (!gain)
        return ct_linear(x, ct_param_value(w), cti_value(b));
    return cti_layer_norm(ct_linear(x, ct_param_value(w), NULL), ct_param_value(gain), cti_value(b),
                          CTI_LN_EPS);
}

ct_tensor *cti_cell_project(void *self, ct_tensor *x, const ct_cell_step *at)
{
    const cti_cell *c = self;

    (void)at;
    return product(x, c->w_ih, c->ln_ih, c->b_ih);
}

ct_tensor *cti_cell_recur(const cti_cell *c, ct_tensor *h, const ct_cell_step *at)
{
    return product(ct_cell_drop(at, h), c->w_hh, c->ln_hh, c->b_hh);
}

ct_tensor *cti_cell_sequence(cti_cell *c, ct_tensor *x, ct_tensor **state, bool reverse,
                             const ct_cell_step *at, cti_cell_step step)
{
    cti_cell_kind kind = c->gates == 4   ? CTI_CELL_LSTM
                         : c->gates == 3 ? CTI_CELL_GRU
                         : c->relu       ? CTI_CELL_RELU
                                         : CTI_CELL_TANH;

    if (at->drop || c->ln_hh || c->w_hr || c->b_hn || c->reset_before)
        return NULL;
    return cti_sequence_forward(kind, reverse, x, ct_param_value(c->w_hh), cti_value(c->b_hh),
                                at->lengths, state, step, c);
}

ct_tensor *cti_gate(const cti_cell *c, ct_tensor *t, int axis, int i)
{
    return ct_narrow(t, axis, i * c->hidden, c->hidden);
}

/* ---- options ---- */

bool cti_options_fit(const char *function, const ct_nn_recurrent_options *o, unsigned allowed)
{
    const char *wrong = NULL;

    if (o->nonlinearity && !(allowed & CTI_NONLINEARITY))
        wrong = "nonlinearity is an RNN's";
    else if (o->nonlinearity && o->nonlinearity != CT_NONLINEARITY_TANH &&
             o->nonlinearity != CT_NONLINEARITY_RELU)
        wrong = "nonlinearity is none of the enumeration";
    else if (o->reset_before && !(allowed & CTI_RESET_BEFORE))
        wrong = "reset_before is a GRU's";
    else if (o->proj_size && !(allowed & CTI_PROJ))
        wrong = "proj_size is an LSTM's";
    else if (o->proj_size < 0 || (o->proj_size && o->proj_size >= o->hidden_size))
        wrong = "proj_size is not in 1..hidden_size - 1";
    else if ((o->has_forget_bias || o->forget_bias != 0) && !(allowed & CTI_FORGET))
        wrong = "forget_bias is an LSTM's";
    else if (!o->has_forget_bias && o->forget_bias != 0)
        wrong = "forget_bias needs has_forget_bias";
    if (wrong)
        ct_raise(CT_ERR_ARGUMENT, function, "%s", wrong);
    return !wrong;
}

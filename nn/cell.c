/* SPDX-License-Identifier: MIT */
/* cell.c - functions that the cells of RNN, LSTM and GRU share. */
#include "nn/cell.h"

#include "tensor/internal.h"

#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/normalise.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/init.h>

#include <math.h>

/* ---- initial values ---- */

/* An LSTM's bias i f g o: init->d for the forget gate, the others uniform in [a, b). */
static ct_status cell_fill_forget(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    ct_status status = ct_uniform_into(t, init->a, init->b, g);
    int64_t part = ct_size(t, 0) / 4;

    return status == CT_OK ? ct_fill(ct_narrow(t, 0, part, part), init->d) : status;
}

/* Returns the bound of PyTorch's uniform distribution; 0 in the other dialects, whose biases are
 * initially 0. */
static double cell_bound(const ct_nn_recurrent_options *o)
{
    return o->dialect == CT_DIALECT_TORCH ? 1 / sqrt((double)o->hidden_size) : 0;
}

static ct_init cell_input_init(const ct_nn_recurrent_options *o)
{
    switch (o->dialect) {
    case CT_DIALECT_GLUON:
        return ct_init_uniform(-0.07, 0.07);
    case CT_DIALECT_KERAS:
        return ct_init_xavier_uniform(1);
    case CT_DIALECT_FLAX:
        return ct_init_lecun_normal();
    default:
        return ct_init_uniform(-cell_bound(o), cell_bound(o));
    }
}

static ct_init cell_recurrent_init(const ct_nn_recurrent_options *o, int gates)
{
    switch (o->dialect) {
    /* Keras's matrix (H, G H) is the transpose of this one (G H, H), and is orthogonal as a
     * whole */
    case CT_DIALECT_KERAS:
        return ct_init_orthogonal(1);
    case CT_DIALECT_FLAX:
        return ct_init_orthogonal_parts(1, gates);
    default:
        return cell_input_init(o);
    }
}

/* If `first` is true, this bias has the initial value of the forget gate; the second of two biases
 * has 0 for this gate. */
static ct_init cell_bias_init(const ct_nn_recurrent_options *o, cti_cell_kind kind, bool first)
{
    const double bound = cell_bound(o), forget = o->has_forget_bias ? o->forget_bias : 1;

    if (kind != CTI_CELL_LSTM || !(o->has_forget_bias || o->dialect == CT_DIALECT_KERAS))
        return ct_init_uniform(-bound, bound);
    return (ct_init){ .fill = cell_fill_forget, .a = -bound, .b = bound, .d = first ? forget : 0 };
}

/* ---- options ---- */

/* Options that one kind has, and no other. */
static bool cell_has_own_options_only(const char *me, const ct_nn_recurrent_options *o,
                                      cti_cell_kind kind)
{
    const struct {
        bool is_set;
        const char *name;
        cti_cell_kind kind;
        const char *whose;
    } options[] = {
        { o->nonlinearity != CT_NONLINEARITY_DEFAULT, "nonlinearity", CTI_CELL_TANH, "an RNN" },
        { o->reset_before, "reset_before", CTI_CELL_GRU, "a GRU" },
        { o->proj_size != 0, "proj_size", CTI_CELL_LSTM, "an LSTM" },
        { o->has_forget_bias, "has_forget_bias", CTI_CELL_LSTM, "an LSTM" },
        { o->forget_bias != 0, "forget_bias", CTI_CELL_LSTM, "an LSTM" },
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].is_set && options[i].kind != kind) {
            ct_raise(CT_ERR_ARGUMENT, me, "%s is set; only %s has it", options[i].name,
                     options[i].whose);
            return false;
        }
    return true;
}

static bool cell_check_options(const char *me, const ct_nn_recurrent_options *o, cti_cell_kind kind)
{
    if (!cell_has_own_options_only(me, o, kind))
        return false;
    if ((unsigned)o->nonlinearity > CT_NONLINEARITY_RELU)
        ct_raise(CT_ERR_ARGUMENT, me, "nonlinearity is %d; it must be in 0..%d",
                 (int)o->nonlinearity, (int)CT_NONLINEARITY_RELU);
    else if (o->hidden_size > 0 && (o->proj_size < 0 || o->proj_size >= o->hidden_size))
        ct_raise(CT_ERR_ARGUMENT, me,
                 "proj_size is %lld; it must be in 0..hidden_size - 1, 0..%lld",
                 (long long)o->proj_size, (long long)o->hidden_size - 1);
    else if (!o->has_forget_bias && o->forget_bias != 0)
        ct_raise(CT_ERR_ARGUMENT, me, "forget_bias is %g; it requires has_forget_bias",
                 o->forget_bias);
    return ct_ok();
}

/* ---- parameters ---- */

cti_biases cti_cell_biases(ct_dialect dialect, cti_cell_kind kind, bool reset_before)
{
    enum { RNN, LSTM, GRU, GRU_BEFORE, COLUMNS };
    static const cti_biases input = { .ih = true }, state = { .hh = true },
                            both = { .ih = true, .hh = true }, split = { .ih = true, .hn = true };
    /* clang-format off */
    const cti_biases *const table[][COLUMNS] = {
        /*                       RNN     LSTM    GRU     GRU that resets before */
        [CT_DIALECT_TORCH] = { &both,  &both,  &both,  &both },
        [CT_DIALECT_GLUON] = { &both,  &both,  &both,  &both },
        [CT_DIALECT_KERAS] = { &input, &input, &both,  &input },
        [CT_DIALECT_FLAX]  = { &input, &state, &split, &input },
    };
    /* clang-format on */
    int column = kind == CTI_CELL_LSTM ? LSTM : RNN;

    if (kind == CTI_CELL_GRU)
        column = reset_before ? GRU_BEFORE : GRU;
    return *table[dialect][column];
}

/* An RNN's kind depends on the nonlinearity. */
static cti_cell_kind cell_kind(cti_cell_kind kind, const ct_nn_recurrent_options *o)
{
    if (kind != CTI_CELL_TANH)
        return kind;
    if (o->nonlinearity == CT_NONLINEARITY_DEFAULT)
        return o->dialect == CT_DIALECT_GLUON ? CTI_CELL_RELU : CTI_CELL_TANH;
    return o->nonlinearity == CT_NONLINEARITY_RELU ? CTI_CELL_RELU : CTI_CELL_TANH;
}

static void cell_add_biases(cti_cell *c, const ct_cell_place *at, int64_t wide)
{
    const ct_nn_recurrent_options *o = at->options;
    const cti_biases has = cti_cell_biases(o->dialect, c->kind, o->reset_before);

    if (has.ih)
        c->b_ih = ct_cell_param(at, "bias_ih", CT_SHAPE(wide), cell_bias_init(o, c->kind, true));
    if (has.hh)
        c->b_hh = ct_cell_param(at, "bias_hh", CT_SHAPE(wide), cell_bias_init(o, c->kind, !has.ih));
    if (has.hn)
        c->b_hn = ct_cell_param(at, "bias_hn", CT_SHAPE(c->hidden), ct_init_constant(0));
}

static void cell_add_norms(cti_cell *c, const ct_cell_place *at, int64_t wide)
{
    const ct_init one = ct_init_constant(1), zero = ct_init_constant(0);

    c->ln_ih = ct_cell_param(at, "ln_ih", CT_SHAPE(wide), one);
    c->ln_hh = ct_cell_param(at, "ln_hh", CT_SHAPE(wide), one);
    if (c->kind == CTI_CELL_LSTM) {
        c->ln_c = ct_cell_param(at, "ln_c", CT_SHAPE(c->hidden), one);
        c->b_c = ct_cell_param(at, "bias_c", CT_SHAPE(c->hidden), zero);
    }
}

ct_status cti_cell_init(void *self, const ct_cell_place *at)
{
    cti_cell *c = self;
    const ct_nn_recurrent_options *o = at->options;
    const int64_t h = o->hidden_size, r = o->proj_size ? o->proj_size : h;
    const cti_cell_kind own = ((const cti_cell_type *)(const void *)at->cell)->kind;
    int64_t gates, wide;

    if (!cell_check_options(cti_recurrent_maker(at->module), o, own))
        return ct_error();
    c->table = at->cell;
    c->kind = cell_kind(own, o);
    c->hidden = h;
    c->proj = o->proj_size;
    c->reset_before = o->reset_before;
    gates = cti_gates_of(c->kind);
    wide = gates * h;
    c->w_ih = ct_cell_param(at, "weight_ih", CT_SHAPE(wide, at->input_size), cell_input_init(o));
    c->w_hh = ct_cell_param(at, "weight_hh", CT_SHAPE(wide, r), cell_recurrent_init(o, (int)gates));
    if (!o->no_bias)
        cell_add_biases(c, at, wide);
    if (c->proj)
        c->w_hr = ct_cell_param(at, "weight_hr", CT_SHAPE(r, h), cell_input_init(o));
    if (o->layer_norm)
        cell_add_norms(c, at, wide);
    return ct_error();
}

int64_t cti_cell_state_size(const void *self, int i)
{
    const cti_cell *c = self;

    return i == 0 && c->proj ? c->proj : c->hidden;
}

/* ---- products ---- */

/* x W^T + b: (..., in) -> (..., G H). If gain is not NULL, the product is normalised before b is
 * added. */
static ct_tensor *cell_product(ct_tensor *x, ct_param *w, ct_param *gain, ct_param *b)
{
    if (!gain)
        return ct_linear(x, ct_param_value(w), cti_value(b));
    return ct_layer_norm(ct_linear(x, ct_param_value(w), NULL), ct_param_value(gain), cti_value(b),
                         CTI_LN_EPS);
}

ct_tensor *cti_cell_project(void *self, ct_tensor *x, const ct_cell_step *at)
{
    const cti_cell *c = self;

    (void)at;
    return cell_product(x, c->w_ih, c->ln_ih, c->b_ih);
}

ct_tensor *cti_cell_recur(const cti_cell *c, ct_tensor *h, const ct_cell_step *at)
{
    return cell_product(ct_cell_drop(at, h), c->w_hh, c->ln_hh, c->b_hh);
}

ct_tensor *cti_cell_gate(const cti_cell *c, ct_tensor *t, int i)
{
    return ct_narrow(t, 1, i * c->hidden, c->hidden);
}

/* ---- modules ---- */

ct_recurrent *cti_cell_module(const char *function, ct_params *params, const char *name,
                              const cti_cell_type *type, const ct_nn_recurrent_options *options,
                              bool alone)
{
    return cti_module_given(function, params, name) &&
                   cell_check_options(function, options, type->kind)
               ? cti_recurrent_new(function, params, name, &type->table, options, alone)
               : NULL;
}

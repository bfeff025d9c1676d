/* rnn.c - the RNN cell and module. */
#include "tensor/internal.h"

#include "tensor/host.h"

#include <cotangent/autograd/elementwise.h>
#include <cotangent/autograd/matmul.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/rnn.h>

#include <math.h>
#include <stdio.h>

typedef struct rnn_cell {
    int64_t hidden;
    bool relu;
    ct_param *w_ih, *w_hh, *b_ih, *b_hh; /* biases NULL for none */
} rnn_cell;

static int64_t rnn_size(const void *self)
{
    return ((const rnn_cell *)self)->hidden;
}

static int64_t rnn_state_size(const void *self, int i)
{
    (void)i;
    return rnn_size(self);
}

static ct_tensor *value_or_none(ct_param *p)
{
    return p ? ct_param_value(p) : NULL;
}

/* x (T, B, in) -> (T, B, hidden) */
static ct_tensor *rnn_project(void *self, ct_tensor *x, void *call)
{
    rnn_cell *c = self;

    (void)call;
    if (!ct_param_is_settled(c->w_ih) &&
        ct_param_settle(c->w_ih, CT_SHAPE(c->hidden, ct_dim(x, -1))) != CT_OK)
        return NULL;
    return ct_linear_apply(x, ct_param_value(c->w_ih), value_or_none(c->b_ih));
}

/* x, h (B, hidden) -> h' */
static ct_tensor *rnn_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                           void *call)
{
    rnn_cell *c = self;
    ct_tensor *sum;

    (void)call;
    sum = ct_add(x, ct_linear_apply(state[0], ct_param_value(c->w_hh), value_or_none(c->b_hh)));
    *next = c->relu ? ct_relu(sum) : ct_tanh(sum);
    return *next;
}

static const ct_cell rnn = { .name = "RNN", .states = 1, .state_size = rnn_state_size,
                             .output_size = rnn_size, .step = rnn_step, .project = rnn_project };

/* One parameter of layer k: "weight_ih_l0", "bias_hh_l1_reverse". */
static ct_param *add(ct_params *mine, const char *what, int k, int direction, ct_shape shape,
                     int64_t hidden)
{
    double bound = 1 / sqrt((double)hidden);
    char name[64];

    snprintf(name, sizeof name, "%s_l%d%s", what, k, direction ? "_reverse" : "");
    return ct_params_add(mine, name, shape, ct_init_uniform(-bound, bound));
}

static rnn_cell *cell_new(ct_params *mine, int k, int direction, int64_t in,
                          const ct_rnn_options *o)
{
    int64_t h = o->hidden_size;
    rnn_cell *c = cti_calloc(1, sizeof *c);

    if (!c) {
        cti_out_of_memory("ct_rnn", sizeof *c);
        return NULL;
    }
    if (ct_params_own(mine, c, cti_release) != CT_OK)
        return NULL;
    c->hidden = h;
    c->relu = o->nonlinearity == CT_RELU;
    c->w_ih = add(mine, "weight_ih", k, direction, CT_SHAPE(h, in ? in : -1), h);
    c->w_hh = add(mine, "weight_hh", k, direction, CT_SHAPE(h, h), h);
    if (!o->no_bias) {
        c->b_ih = add(mine, "bias_ih", k, direction, CT_SHAPE(h), h);
        c->b_hh = add(mine, "bias_hh", k, direction, CT_SHAPE(h), h);
    }
    if (!c->w_ih || !c->w_hh || (!o->no_bias && (!c->b_ih || !c->b_hh)))
        return NULL;
    return c;
}

ct_recurrent *ct_rnn(ct_params *params, const char *name, ct_rnn_options o)
{
    int layers = o.num_layers ? o.num_layers : 1, directions = o.bidirectional ? 2 : 1, k, d;
    ct_recurrent *r;
    ct_params *mine;
    void **selves;

    if (!params)
        return NULL;
    if (o.hidden_size < 1 || o.input_size < 0 || layers < 1 || layers > 4096 ||
        (o.nonlinearity != CT_TANH && o.nonlinearity != CT_RELU)) {
        ct_raise(CT_ERR_ARGUMENT, "ct_rnn",
                 "hidden_size %lld (1 or more), input_size %lld (0 or more), num_layers %d (0 to "
                 "4096) or nonlinearity %d does not do",
                 (long long)o.hidden_size, (long long)o.input_size, o.num_layers,
                 (int)o.nonlinearity);
        return NULL;
    }
    mine = ct_params_sub(params, name);
    selves = mine ? cti_calloc((size_t)layers * (size_t)directions, sizeof *selves) : NULL;
    if (!selves) {
        if (mine)
            cti_out_of_memory("ct_rnn", (size_t)layers * sizeof *selves);
        return NULL;
    }
    for (k = 0; k < layers && ct_ok(); k++)
        for (d = 0; d < directions && ct_ok(); d++)
            selves[k * directions + d] =
                cell_new(mine, k, d, k ? o.hidden_size * directions : o.input_size, &o);
    r = ct_ok() ? ct_recurrent_of(params, &rnn, layers, directions, selves) : NULL;
    cti_release(selves);
    return r;
}

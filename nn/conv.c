/* SPDX-License-Identifier: MIT */
/* conv.c - the modules of convolution. */
#include "tensor/internal.h"

#include "nn/internal.h"

#include <cotangent/nn/conv.h>
#include <cotangent/nn/init.h>

#include <math.h>

typedef ct_tensor *conv_op(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, ct_conv_options o);

typedef struct conv {
    conv_op *op;
    ct_conv_options options;
    ct_shape shape; /* the shape of the weight; -1 if in_channels is not known yet */
    int64_t groups, out;
    bool transposed;
    ct_dialect dialect;
    ct_param *weight, *bias; /* bias is NULL if no_bias is set */
} conv;

/* Returns the number of elements of the weight for one index of axis 0. */
static int64_t conv_fan_in(const ct_shape *weight)
{
    int64_t fan = 1;
    int i;

    for (i = 1; i < weight->rank; i++)
        fan *= weight->dim[i];
    return fan;
}

/* PyTorch initialises the weight with kaiming_uniform for a = sqrt(5), which is uniform within 1 /
 * sqrt(fan in), as the bias is. */
static ct_status conv_fill(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    const conv *m = init->context;
    bool bias = ct_rank(t) == 1;
    ct_shape weight = bias ? ct_param_shape(m->weight) : ct_tensor_shape(t);
    int64_t fan = conv_fan_in(&weight);
    double bound = fan > 0 ? 1 / sqrt((double)fan) : 0;
    ct_init begin = ct_init_uniform(-bound, bound);

    if (m->dialect != CT_DIALECT_TORCH && bias)
        begin = ct_init_constant(0);
    else if (m->dialect == CT_DIALECT_GLUON)
        begin = ct_init_uniform(-0.07, 0.07);
    else if (m->dialect == CT_DIALECT_KERAS)
        begin = ct_init_xavier_uniform(1);
    else if (m->dialect == CT_DIALECT_FLAX)
        begin = ct_init_lecun_normal();
    return begin.fill(&begin, t, g);
}

/* Gives a lazy weight the channels of x. The weight is materialized before the bias, because the
 * initial values of the bias depend on its shape. */
static bool conv_ready(conv *m, const ct_tensor *x)
{
    ct_shape shape = m->shape;

    if (!ct_param_is_lazy(m->weight) && !(m->bias && ct_param_is_lazy(m->bias)))
        return true;
    if (ct_rank(x) != shape.rank || ct_size(x, 1) % m->groups)
        return true; /* the op raises the error */
    shape.dim[m->transposed ? 0 : 1] = m->transposed ? ct_size(x, 1) : ct_size(x, 1) / m->groups;
    return ct_param_materialize(m->weight, shape) == CT_OK &&
           (!m->bias || ct_param_materialize(m->bias, CT_SHAPE(m->out)) == CT_OK);
}

static ct_tensor *conv_forward(void *self, ct_tensor *x)
{
    conv *m = self;

    if (!conv_ready(m, x))
        return NULL;
    return m->op(x, ct_param_value(m->weight), cti_value(m->bias), m->options);
}

/* ---- the constructors ---- */

typedef struct conv_kind {
    const char *me;
    conv_op *op;
    int axes;
    bool transposed;
} conv_kind;

/* Checks the options and fills kernel, an array of two. False with an error. */
static bool conv_check(const conv_kind *k, const ct_nn_conv_options *o, int64_t *kernel)
{
    const char *me = k->me;
    int64_t groups = o->groups ? o->groups : 1;
    int i;

    if (!cti_at_least(me, "out_channels", o->out_channels, 1) ||
        !cti_at_least(me, "in_channels", o->in_channels, 0) ||
        !cti_at_least(me, "groups", groups, 1))
        return false;
    for (i = 0; i < 2; i++) {
        kernel[i] = i && !o->kernel[1] ? o->kernel[0] : o->kernel[i];
        if (!cti_at_least(me, "kernel", kernel[i], 1) ||
            !cti_at_least(me, "stride", o->stride[i], 0) ||
            !cti_at_least(me, "padding", o->padding[i], CT_NO_PADDING) ||
            !cti_at_least(me, "dilation", o->dilation[i], 0) ||
            !cti_at_least(me, "output_padding", o->output_padding[i], CT_NO_PADDING))
            return false;
    }
    if (o->out_channels % groups || o->in_channels % groups) {
        ct_raise(CT_ERR_ARGUMENT, me,
                 "groups is %lld; it must divide in_channels %lld and out_channels %lld",
                 (long long)groups, (long long)o->in_channels, (long long)o->out_channels);
        return false;
    }
    return true;
}

static ct_shape conv_weight_shape(const conv_kind *k, const ct_nn_conv_options *o,
                                  const int64_t *kernel)
{
    int64_t groups = o->groups ? o->groups : 1;
    int64_t in = !o->in_channels ? -1 : k->transposed ? o->in_channels : o->in_channels / groups;
    int64_t out = k->transposed ? o->out_channels / groups : o->out_channels;
    ct_shape shape = { .rank = k->axes + 2 };

    shape.dim[0] = k->transposed ? in : out;
    shape.dim[1] = k->transposed ? out : in;
    shape.dim[2] = kernel[0];
    if (k->axes == 2)
        shape.dim[3] = kernel[1];
    return shape;
}

static ct_module *conv_make(const conv_kind *k, ct_params *params, const char *name,
                            const ct_nn_conv_options *o)
{
    ct_init init = { .fill = conv_fill };
    int64_t kernel[2];
    ct_params *mine;
    conv *m;
    int i;

    if (!cti_module_given(k->me, params, name) || !conv_check(k, o, kernel))
        return NULL;
    mine = ct_params_sub(params, name);
    m = mine ? cti_module_data(params, sizeof *m) : NULL;
    if (!m)
        return NULL;
    *m = (conv){ .op = k->op,
                 .shape = conv_weight_shape(k, o, kernel),
                 .groups = o->groups ? o->groups : 1,
                 .out = o->out_channels,
                 .transposed = k->transposed,
                 .dialect = o->dialect };
    m->options.groups = o->groups;
    for (i = 0; i < 2; i++) {
        m->options.stride[i] = o->stride[i];
        m->options.padding[i] = o->padding[i];
        m->options.dilation[i] = o->dilation[i];
        m->options.output_padding[i] = o->output_padding[i];
    }
    init.context = m;
    m->weight = ct_params_add(mine, "weight", m->shape, init);
    if (!o->no_bias)
        m->bias = ct_params_add(mine, "bias", CT_SHAPE(o->in_channels ? m->out : -1), init);
    return m->weight && (m->bias || o->no_bias) ? ct_nn_module(params, m, conv_forward) : NULL;
}

ct_module *ct_nn_conv2d(ct_params *params, const char *name, ct_nn_conv_options options)
{
    static const conv_kind kind = { "ct_nn_conv2d", ct_conv2d, 2, false };

    return conv_make(&kind, params, name, &options);
}

ct_module *ct_nn_conv1d(ct_params *params, const char *name, ct_nn_conv_options options)
{
    static const conv_kind kind = { "ct_nn_conv1d", ct_conv1d, 1, false };

    return conv_make(&kind, params, name, &options);
}

ct_module *ct_nn_conv_transpose2d(ct_params *params, const char *name, ct_nn_conv_options options)
{
    static const conv_kind kind = { "ct_nn_conv_transpose2d", ct_conv_transpose2d, 2, true };

    return conv_make(&kind, params, name, &options);
}

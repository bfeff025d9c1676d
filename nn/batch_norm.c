/* SPDX-License-Identifier: MIT */
/* batch_norm.c - the BatchNorm module. */
#include "nn/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/normalise.h>
#include <cotangent/nn/batch_norm.h>
#include <cotangent/nn/init.h>

enum { WEIGHT, BIAS, MEAN, VARIANCE, BATCHES, BATCH_NORM_ENTRIES };

typedef struct batch_norm {
    ct_params *params;
    ct_param *entry[BATCH_NORM_ENTRIES]; /* NULL if the module does not have it */
    double momentum, eps;                /* the values of the options */
} batch_norm;

static ct_tensor *batch_norm_value(const batch_norm *m, int i)
{
    return cti_value(m->entry[i]);
}

/* Adds 1 to num_batches_tracked. */
static void batch_norm_count(const batch_norm *m)
{
    ct_tensor *count = batch_norm_value(m, BATCHES);
    bool was = ct_set_grad_enabled(false);

    cti_carry_into("ct_nn_batch_norm", count, ct_add(count, ct_ones_like(count)));
    ct_set_grad_enabled(was);
}

static ct_tensor *batch_norm_forward(void *self, ct_tensor *x)
{
    batch_norm *m = self;
    bool training = ct_params_is_training(m->params);
    ct_batch_norm_options o = { .training = training || !m->entry[MEAN],
                                .momentum = m->momentum,
                                .eps = m->eps };
    ct_tensor *y;
    int i;

    for (i = 0; i < BATCHES; i++)
        if (!cti_materialize_channels(x, m->entry[i]))
            return NULL;
    o.weight = batch_norm_value(m, WEIGHT);
    o.bias = batch_norm_value(m, BIAS);
    o.running_mean = batch_norm_value(m, MEAN);
    o.running_var = batch_norm_value(m, VARIANCE);
    y = ct_batch_norm(x, o);
    if (y && training && m->entry[BATCHES])
        batch_norm_count(m);
    return y;
}

static void batch_norm_register(batch_norm *m, ct_params *mine, const ct_nn_batch_norm_options *o)
{
    ct_shape shape = CT_SHAPE(o->channels ? o->channels : -1);

    if (!o->no_affine) {
        m->entry[WEIGHT] = ct_params_add(mine, "weight", shape, ct_init_constant(1));
        m->entry[BIAS] = ct_params_add(mine, "bias", shape, ct_init_constant(0));
    }
    if (o->no_running_stats)
        return;
    m->entry[MEAN] = ct_params_add_buffer(mine, "running_mean", shape, ct_init_constant(0));
    m->entry[VARIANCE] = ct_params_add_buffer(mine, "running_var", shape, ct_init_constant(1));
    m->entry[BATCHES] = ct_params_add_buffer_as(mine, "num_batches_tracked", CT_SCALAR, CT_I64,
                                                ct_init_constant(0));
}

ct_module *ct_nn_batch_norm(ct_params *params, const char *name, ct_nn_batch_norm_options o)
{
    static const char *const me = "ct_nn_batch_norm";
    double momentum = cti_option(o.momentum, 0.1);
    ct_params *mine;
    batch_norm *m;

    if (!cti_module_given(me, params, name) || !cti_at_least(me, "channels", o.channels, 0) ||
        !cti_is_eps(me, o.eps))
        return NULL;
    if (!(momentum >= 0 && momentum <= 1)) {
        ct_raise(CT_ERR_ARGUMENT, me, "momentum is %g; it must be in [0, 1]", momentum);
        return NULL;
    }
    mine = ct_params_sub(params, name);
    m = mine ? cti_module_data(params, sizeof *m) : NULL;
    if (!m)
        return NULL;
    m->params = params;
    m->momentum = o.momentum;
    m->eps = o.eps;
    batch_norm_register(m, mine, &o);
    return ct_ok() ? ct_nn_module(params, m, batch_norm_forward) : NULL;
}

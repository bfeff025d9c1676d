/* SPDX-License-Identifier: MIT */
/* cases_normalise.c - rows for autograd/ops/normalise.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* i[0] and i[1]: weight and bias, the last inputs, are left out; p[0]: eps */
static void draw_affine(op_draw *d, ct_shape shape)
{
    op_uniform(d, shape, -2, 2)->unused = (d->i[0] = op_chance(d, 0.3)) != 0;
    op_uniform(d, shape, -2, 2)->unused = (d->i[1] = op_chance(d, 0.3)) != 0;
    d->p[0] = op_between(d, 0.1, 1);
}

static ct_tensor *affine_weight(ct_tensor *const *in, const op_draw *d)
{
    return d->i[0] ? NULL : in[1];
}

static ct_tensor *affine_bias(ct_tensor *const *in, const op_draw *d)
{
    return d->i[1] ? NULL : in[2];
}

/* x of rank 1 or more, and weight and bias with the sizes of its last one or two axes (the last one
 * if both are left out) */
static void draw_layer_norm(op_draw *d)
{
    ct_shape x = op_shape(d, 1, 4);
    int axes = x.rank > 1 && op_chance(d, 0.3) ? 2 : 1;

    op_uniform(d, x, -2, 2);
    draw_affine(d, ct_shape_from_sizes(axes, x.dim + x.rank - axes));
}

static ct_tensor *call_layer_norm(ct_tensor *const *in, const op_draw *d)
{
    return ct_layer_norm(in[0], affine_weight(in, d), affine_bias(in, d), d->p[0]);
}

static void draw_rms_norm(op_draw *d)
{
    draw_layer_norm(d);
    d->in[2].unused = true;
}

static ct_tensor *call_rms_norm(ct_tensor *const *in, const op_draw *d)
{
    return ct_rms_norm(in[0], affine_weight(in, d), d->p[0]);
}

/* x (N, C, ...); i[2]: groups, which divide C */
static void draw_group_norm(op_draw *d)
{
    ct_shape x = op_shape(d, 2, 4);
    int64_t groups = 1 + op_below(d, 4);

    if (x.dim[1] % groups)
        groups = x.dim[1];
    op_uniform(d, x, -2, 2);
    draw_affine(d, CT_SHAPE(x.dim[1]));
    d->i[2] = groups;
}

static ct_tensor *call_group_norm(ct_tensor *const *in, const op_draw *d)
{
    return ct_group_norm(in[0], d->i[2], affine_weight(in, d), affine_bias(in, d), d->p[0]);
}

/* x (N, C, ...), N 2 or more: a channel needs two values */
static void draw_batch_norm(op_draw *d)
{
    ct_shape x = op_shape_share(d, 2, 4, 2);
    int i;

    x.dim[0] = x.dim[0] < 2 ? 2 : x.dim[0];
    for (i = 2; i < x.rank; i++)
        x.dim[i] = x.dim[i] ? x.dim[i] : 1;
    op_uniform(d, x, -2, 2);
    draw_affine(d, CT_SHAPE(x.dim[1]));
}

static ct_tensor *call_batch_norm(ct_tensor *const *in, const op_draw *d)
{
    return ct_batch_norm(in[0], (ct_batch_norm_options){ .training = true,
                                                         .weight = affine_weight(in, d),
                                                         .bias = affine_bias(in, d),
                                                         .eps = d->p[0] });
}

/* x, running statistics, which are constants, weight and bias. */
static void draw_batch_norm_running(op_draw *d)
{
    ct_shape x = op_shape(d, 2, 4);

    op_uniform(d, x, -2, 2);
    op_uniform(d, CT_SHAPE(x.dim[1]), -2, 2)->constant = true;
    op_uniform(d, CT_SHAPE(x.dim[1]), 0.2, 2)->constant = true;
    draw_affine(d, CT_SHAPE(x.dim[1]));
}

static ct_tensor *call_batch_norm_running(ct_tensor *const *in, const op_draw *d)
{
    return ct_batch_norm(in[0], (ct_batch_norm_options){ .running_mean = in[1],
                                                         .running_var = in[2],
                                                         .weight = affine_weight(in + 2, d),
                                                         .bias = affine_bias(in + 2, d),
                                                         .eps = d->p[0] });
}

const op_row normalise_rows[] = {
    { "ct_layer_norm", draw_layer_norm, .call = call_layer_norm, .optional = 1 },
    { "ct_rms_norm", draw_rms_norm, .call = call_rms_norm, .optional = 1 },
    { "ct_group_norm", draw_group_norm, .call = call_group_norm, .optional = 1 },
    { "ct_batch_norm", draw_batch_norm, .call = call_batch_norm, .optional = 1 },
    { "ct_batch_norm:running", draw_batch_norm_running, .call = call_batch_norm_running,
      .optional = 3 },
    { 0 },
};

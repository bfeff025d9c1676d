/* SPDX-License-Identifier: MIT */
/* cases_conv.c - rows for autograd/ops/conv.h and autograd/ops/pool.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* ---- the options: i[0] and i[1] strides, i[2] and i[3] paddings, i[4] and i[5] dilations, i[6]
 * groups, i[7] output padding ---- */

static void draw_options(op_draw *d)
{
    int i;

    for (i = 0; i < 2; i++) {
        d->i[i] = 1 + op_below(d, 3);
        d->i[2 + i] = op_below(d, 2);
        d->i[4 + i] = 1 + op_below(d, 2);
    }
    d->i[6] = 1 + op_chance(d, 0.3);
    d->i[7] = op_chance(d, 0.4);
}

static int64_t padding(const op_draw *d, int i)
{
    return d->i[2 + i] ? d->i[2 + i] : CT_NO_PADDING;
}

static ct_conv_options conv_options(const op_draw *d, bool transposed)
{
    ct_conv_options o = { .stride = { d->i[0], d->i[1] },
                          .padding = { padding(d, 0), padding(d, 1) },
                          .dilation = { d->i[4], d->i[5] },
                          .groups = d->i[6] };

    if (transposed && d->i[7] && d->i[0] + d->i[4] > 2) /* must be below the stride or the
                                                         * dilation */
        o.output_padding[0] = 1;
    if (o.output_padding[0] && d->i[1] + d->i[5] == 2)
        o.output_padding[1] = CT_NO_PADDING;
    return o;
}

/* True if no input has more elements than allowed; otherwise the inputs are drawn again. */
static bool fits(op_draw *d)
{
    bool fit = true;
    int i, k;

    for (i = 0; i < d->count; i++) {
        int64_t n = 1;

        for (k = 0; k < d->in[i].shape.rank; k++)
            n *= d->in[i].shape.dim[k];
        fit &= n <= d->most;
    }
    if (!fit)
        d->count = 0;
    return fit;
}

/* Returns a size that is large enough for the kernel. */
static int64_t size_for(op_draw *d, int i, int64_t kernel)
{
    int64_t span = (kernel - 1) * d->i[4 + i] + 1 - 2 * d->i[2 + i];

    return (span > 1 ? span : 1) + op_below(d, 3);
}

/* Draws x, weight and sometimes a bias, with `axes` spatial axes. */
static void draw_conv_once(op_draw *d, int axes, bool transposed)
{
    bool small = d->most < 64;
    ct_shape x, w;
    int64_t in, out;
    int i;

    draw_options(d);
    in = small ? 1 : 1 + op_below(d, 2);
    out = small ? 1 : 1 + op_below(d, 2);
    x = CT_SHAPE(d->zero ? 0 : 1 + op_below(d, 2), d->i[6] * in);
    w = transposed ? CT_SHAPE(d->i[6] * in, out) : CT_SHAPE(d->i[6] * out, in);
    x.rank = w.rank = axes + 2;
    for (i = 0; i < axes; i++) {
        w.dim[2 + i] = 1 + op_below(d, small ? 2 : 3);
        x.dim[2 + i] = size_for(d, i, w.dim[2 + i]);
        if (transposed) /* the result must not be empty */
            x.dim[2 + i] = 2 + d->i[2 + i] + op_below(d, 2);
    }
    op_uniform(d, x, -2, 2);
    op_uniform(d, w, -2, 2);
    if (op_chance(d, 0.5))
        op_uniform(d, CT_SHAPE(d->i[6] * out), -2, 2);
}

static void draw_conv(op_draw *d, int axes, bool transposed)
{
    do
        draw_conv_once(d, axes, transposed);
    while (!fits(d));
}

static void draw_conv2d(op_draw *d)
{
    draw_conv(d, 2, false);
}

static void draw_conv1d(op_draw *d)
{
    draw_conv(d, 1, false);
}

static void draw_transpose2d(op_draw *d)
{
    draw_conv(d, 2, true);
}

static void draw_transpose1d(op_draw *d)
{
    draw_conv(d, 1, true);
}

static ct_tensor *bias(ct_tensor *const *in, const op_draw *d)
{
    return d->count == 3 ? in[2] : NULL;
}

static ct_tensor *call_conv2d(ct_tensor *const *in, const op_draw *d)
{
    return ct_conv2d(in[0], in[1], bias(in, d), conv_options(d, false));
}

static ct_tensor *call_conv1d(ct_tensor *const *in, const op_draw *d)
{
    return ct_conv1d(in[0], in[1], bias(in, d), conv_options(d, false));
}

static ct_tensor *call_transpose2d(ct_tensor *const *in, const op_draw *d)
{
    return ct_conv_transpose2d(in[0], in[1], bias(in, d), conv_options(d, true));
}

static ct_tensor *call_transpose1d(ct_tensor *const *in, const op_draw *d)
{
    return ct_conv_transpose1d(in[0], in[1], bias(in, d), conv_options(d, true));
}

/* ---- windows: i[6] and i[7] the kernel; fold: p[0] and p[1] the size ---- */

static ct_window_options window_options(const op_draw *d)
{
    return (ct_window_options){ .kernel = { d->i[6], d->i[7] },
                                .stride = { d->i[0], d->i[1] },
                                .padding = { padding(d, 0), padding(d, 1) },
                                .dilation = { d->i[4], d->i[5] } };
}

static ct_shape draw_images(op_draw *d)
{
    draw_options(d);
    d->i[6] = 1 + op_below(d, 3);
    d->i[7] = 1 + op_below(d, 3);
    return CT_SHAPE(d->zero ? 0 : 1 + op_below(d, 2), 1 + op_below(d, d->most < 64 ? 1 : 2),
                    size_for(d, 0, d->i[6]), size_for(d, 1, d->i[7]));
}

static void draw_unfold(op_draw *d)
{
    do
        op_uniform(d, draw_images(d), -2, 2);
    while (!fits(d));
}

static ct_tensor *call_unfold(ct_tensor *const *in, const op_draw *d)
{
    return ct_unfold(in[0], window_options(d));
}

static void draw_fold_once(op_draw *d)
{
    ct_shape s = draw_images(d);
    int64_t windows = 1;
    int i;

    for (i = 0; i < 2; i++) {
        d->p[i] = (double)s.dim[2 + i];
        windows *=
            (s.dim[2 + i] + 2 * d->i[2 + i] - (d->i[6 + i] - 1) * d->i[4 + i] - 1) / d->i[i] + 1;
    }
    op_uniform(d, CT_SHAPE(s.dim[0], s.dim[1] * d->i[6] * d->i[7], windows), -2, 2);
}

static void draw_fold(op_draw *d)
{
    do
        draw_fold_once(d);
    while (!fits(d));
}

static ct_tensor *call_fold(ct_tensor *const *in, const op_draw *d)
{
    return ct_fold(in[0], (int64_t)d->p[0], (int64_t)d->p[1], window_options(d));
}

/* ---- pools: the kernel as windows; p[0] ceil_mode, p[1] exclude_pad. Sequences use [1] ---- */

static ct_pool_options pool_options(const op_draw *d, int axes, bool max)
{
    int at = axes == 1, i;
    ct_pool_options o = { .ceil_mode = d->p[0] != 0, .exclude_pad = d->p[1] != 0 };

    for (i = 0; i < axes; i++) {
        o.kernel[i] = d->i[6 + at + i];
        o.stride[i] = d->i[at + i];
        o.padding[i] = d->i[2 + at + i] ? d->i[2 + at + i] : CT_NO_PADDING;
        o.dilation[i] = max ? d->i[4 + at + i] : 1;
    }
    return o;
}

static ct_shape draw_pool(op_draw *d, int axes)
{
    ct_shape s;
    int i;

    draw_options(d);
    d->p[0] = op_chance(d, 0.4);
    d->p[1] = op_chance(d, 0.5);
    s = CT_SHAPE(d->zero ? 0 : 1 + op_below(d, 2), 1 + op_below(d, d->most < 64 ? 1 : 2));
    s.rank = axes + 2;
    for (i = 2 - axes; i < 2; i++) {
        d->i[6 + i] = 1 + op_below(d, 3);
        d->i[2 + i] = d->i[6 + i] > 1 ? d->i[2 + i] : 0;
        s.dim[axes + i] = size_for(d, i, d->i[6 + i]) + d->i[2 + i];
    }
    return s;
}

static void draw_max_pool2d(op_draw *d)
{
    do
        op_distinct(d, draw_pool(d, 2));
    while (!fits(d));
}

static void draw_max_pool1d(op_draw *d)
{
    do
        op_distinct(d, draw_pool(d, 1));
    while (!fits(d));
}

static void draw_avg_pool2d(op_draw *d)
{
    do
        op_uniform(d, draw_pool(d, 2), -2, 2);
    while (!fits(d));
}

static void draw_avg_pool1d(op_draw *d)
{
    do
        op_uniform(d, draw_pool(d, 1), -2, 2);
    while (!fits(d));
}

static ct_tensor *call_max_pool2d(ct_tensor *const *in, const op_draw *d)
{
    return ct_max_pool2d(in[0], pool_options(d, 2, true), NULL);
}

static ct_tensor *call_max_pool1d(ct_tensor *const *in, const op_draw *d)
{
    return ct_max_pool1d(in[0], pool_options(d, 1, true), NULL);
}

static ct_tensor *call_avg_pool2d(ct_tensor *const *in, const op_draw *d)
{
    return ct_avg_pool2d(in[0], pool_options(d, 2, false));
}

static ct_tensor *call_avg_pool1d(ct_tensor *const *in, const op_draw *d)
{
    return ct_avg_pool1d(in[0], pool_options(d, 1, false));
}

/* i[0] and i[1] the sizes of the result */
static void draw_adaptive(op_draw *d)
{
    d->i[0] = 1 + op_below(d, 4);
    d->i[1] = 1 + op_below(d, 4);
    do
        op_uniform(
            d,
            CT_SHAPE(d->zero ? 0 : 1 + op_below(d, 2), 1, 1 + op_below(d, 5), 1 + op_below(d, 5)),
            -2, 2);
    while (!fits(d));
}

static void draw_adaptive1d(op_draw *d)
{
    d->i[0] = 1 + op_below(d, 5);
    do
        op_uniform(d, CT_SHAPE(d->zero ? 0 : 1 + op_below(d, 2), 2, 1 + op_below(d, 6)), -2, 2);
    while (!fits(d));
}

static ct_tensor *call_adaptive(ct_tensor *const *in, const op_draw *d)
{
    return ct_adaptive_avg_pool2d(in[0], d->i[0], d->i[1]);
}

static ct_tensor *call_adaptive1d(ct_tensor *const *in, const op_draw *d)
{
    return ct_adaptive_avg_pool1d(in[0], d->i[0]);
}

const op_row conv_rows[] = {
    { "ct_conv2d", draw_conv2d, .call = call_conv2d, .optional = 2 },
    { "ct_conv1d", draw_conv1d, .call = call_conv1d, .optional = 2 },
    { "ct_conv_transpose2d", draw_transpose2d, .call = call_transpose2d, .optional = 2 },
    { "ct_conv_transpose1d", draw_transpose1d, .call = call_transpose1d, .optional = 2 },
    { "ct_unfold", draw_unfold, .call = call_unfold },
    { "ct_fold", draw_fold, .call = call_fold },
    { "ct_max_pool2d", draw_max_pool2d, .call = call_max_pool2d },
    { "ct_max_pool1d", draw_max_pool1d, .call = call_max_pool1d },
    { "ct_avg_pool2d", draw_avg_pool2d, .call = call_avg_pool2d },
    { "ct_avg_pool1d", draw_avg_pool1d, .call = call_avg_pool1d },
    { "ct_adaptive_avg_pool2d", draw_adaptive, .call = call_adaptive },
    { "ct_adaptive_avg_pool1d", draw_adaptive1d, .call = call_adaptive1d },
    { 0 },
};

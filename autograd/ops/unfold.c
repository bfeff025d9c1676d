/* SPDX-License-Identifier: MIT */
/* unfold.c - the windows of a convolution as columns.
 *
 *     unfold:  y[n,c,r,s,p,q] = x[n,c,p stride + r dilation - padding,...], 0 outside;  dx = fold of d
 *     fold:    the transpose: x[...] = the sum of all y[...] that come from it;         dx = unfold of d
 * The windows are a strided view of the padded x, so unfold is one strided copy, and fold is one
 * strided sum for each element of the kernel. Both work on any device. */
#include "autograd/ops/conv_internal.h"

#include <cotangent/autograd/ops/conv.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/views.h>

/* ---- sizes ---- */

/* Returns entry i of an option. A [1] of 0 takes the value of [0]; then 0 means the default. For
 * sequences, the rows have the default. */
static int64_t window_value(const cti_window_options *o, const int64_t *given, int i, int64_t usual)
{
    int64_t v = 0;

    if (given && o->axes == 2)
        v = i == 1 && given[1] == 0 ? given[0] : given[i];
    else if (given && i == 1)
        v = given[0];
    return v ? v : usual;
}

bool cti_window_read(const char *me, const cti_window_options *o, cti_conv *c)
{
    int i;

    for (i = 0; i < 2; i++) {
        c->kernel[i] = window_value(o, o->kernel, i, o->axes == 1 && i == 0);
        c->stride[i] = window_value(o, o->stride, i, 1);
        c->dilation[i] = window_value(o, o->dilation, i, 1);
        c->padding[i] = window_value(o, o->padding, i, 0);
        if (c->padding[i] == CT_NO_PADDING)
            c->padding[i] = 0;
        if (!cti_at_least(me, "kernel", c->kernel[i], 1) ||
            !cti_at_least(me, "stride", c->stride[i], 1) ||
            !cti_at_least(me, "dilation", c->dilation[i], 1) ||
            !cti_at_least(me, "padding", c->padding[i], 0))
            return false;
    }
    return true;
}

/* Computes the size that a dilated kernel spans; false if it, or the padded size, overflows. */
static bool window_spans(const cti_conv *c, int i, int64_t *span)
{
    const int64_t most = INT64_MAX / 8;

    if (c->kernel[i] - 1 > most / c->dilation[i] || c->padding[i] > most || c->size[i] > most ||
        c->stride[i] > most)
        return false;
    *span = (c->kernel[i] - 1) * c->dilation[i] + 1;
    return true;
}

bool cti_window_result(const char *me, const ct_tensor *x, bool ceil_mode, cti_conv *c)
{
    int i;

    for (i = 0; i < 2; i++) {
        int64_t room = 0, span;

        if (!window_spans(c, i, &span)) {
            ct_raise(CT_ERR_SHAPE, me,
                     "the sizes overflow: kernel %lld, dilation %lld, padding %lld",
                     (long long)c->kernel[i], (long long)c->dilation[i], (long long)c->padding[i]);
            return false;
        }
        room = c->size[i] + 2 * c->padding[i] - span;
        if (room < 0) {
            ct_raise(CT_ERR_SHAPE, me,
                     "the kernel spans %lld elements; x %s with padding %lld has only %lld",
                     (long long)span, cti_describe(x).s, (long long)c->padding[i],
                     (long long)(c->size[i] + 2 * c->padding[i]));
            return false;
        }
        c->result[i] = (room + (ceil_mode ? c->stride[i] - 1 : 0)) / c->stride[i] + 1;
        if (ceil_mode && (c->result[i] - 1) * c->stride[i] >= c->size[i] + c->padding[i])
            c->result[i]--;
    }
    return true;
}

bool cti_window_size(const char *me, const ct_tensor *x, const int64_t *more, cti_conv *c)
{
    int i;

    for (i = 0; i < 2; i++) {
        int64_t span;

        c->size[i] = 0;
        if (!window_spans(c, i, &span) || c->result[i] > INT64_MAX / 8 / c->stride[i]) {
            ct_raise(CT_ERR_SHAPE, me, "the sizes overflow: stride %lld, kernel %lld, padding %lld",
                     (long long)c->stride[i], (long long)c->kernel[i], (long long)c->padding[i]);
            return false;
        }
        c->size[i] = (c->result[i] - 1) * c->stride[i] - 2 * c->padding[i] + span + more[i];
        if (c->result[i] < 1 || c->size[i] < 1) {
            ct_raise(CT_ERR_SHAPE, me, "x %s would give a result of size %lld on axis %d",
                     cti_describe(x).s, (long long)(c->result[i] < 1 ? 0 : c->size[i]), i + 2);
            return false;
        }
    }
    return true;
}

/* ---- copies between x and its windows ---- */

/* Returns the size of the padded x up to the end of the last window. */
static int64_t window_reach(const cti_conv *c, int i)
{
    int64_t reach = (c->result[i] - 1) * c->stride[i] + (c->kernel[i] - 1) * c->dilation[i] + 1;
    int64_t least = c->padding[i] + c->size[i];

    return reach > least ? reach : least;
}

/* Returns the part of the padded x that holds x. */
static ct_tensor *window_inside(const char *me, const cti_conv *c, const ct_tensor *padded)
{
    ct_shape shape = padded->shape;
    const int64_t *stride = padded->stride;

    shape.dim[2] = c->size[0];
    shape.dim[3] = c->size[1];
    return cti_view(me, padded, shape, stride,
                    c->padding[0] * stride[2] + c->padding[1] * stride[3]);
}

/* Returns zeros (images, channels, reach, reach). */
static ct_tensor *window_padded(const char *me, const cti_conv *c, const ct_tensor *like)
{
    return cti_filled(
        me,
        CT_SHAPE(like->shape.dim[0], like->shape.dim[1], window_reach(c, 0), window_reach(c, 1)), 0,
        like->dtype, like->device);
}

/* Returns all windows of the padded x as a view (images, channels, kernel, result), in which an
 * element may occur several times. */
static ct_tensor *window_all(const char *me, const cti_conv *c, const ct_tensor *padded,
                             const ct_shape *shape)
{
    const int64_t *p = padded->stride;
    int64_t stride[] = { p[0],
                         p[1],
                         c->dilation[0] * p[2],
                         c->dilation[1] * p[3],
                         c->stride[0] * p[2],
                         c->stride[1] * p[3] };

    return cti_view(me, padded, *shape, stride, 0);
}

ct_tensor *cti_unfold(const char *me, const cti_conv *c, const ct_tensor *x)
{
    ct_shape shape = CT_SHAPE(x->shape.dim[0], x->shape.dim[1], c->kernel[0], c->kernel[1],
                              c->result[0], c->result[1]);
    ct_tensor *y = cti_new(me, shape, x->dtype, x->device), *padded, *inside, *windows;
    ct_scope s;

    if (!y || y->numel == 0)
        return y;
    s = cti_scope_push();
    padded = window_padded(me, c, x);
    inside = padded ? window_inside(me, c, padded) : NULL;
    windows = inside ? window_all(me, c, padded, &shape) : NULL;
    if (windows && x->numel)
        cti_copy(inside, x);
    if (windows)
        cti_copy(y, windows);
    cti_scope_pop(s);
    return windows ? y : NULL;
}

/* Adds the columns of one kernel element to the padded x. */
static bool window_add(const char *me, const cti_conv *c, const ct_tensor *columns, int64_t row,
                       int64_t column, const ct_tensor *padded)
{
    ct_shape shape =
        CT_SHAPE(padded->shape.dim[0], padded->shape.dim[1], c->result[0], c->result[1]);
    const int64_t *p = padded->stride, *q = columns->stride;
    int64_t to[] = { p[0], p[1], c->stride[0] * p[2], c->stride[1] * p[3] };
    int64_t from[] = { q[0], q[1], q[4], q[5] };
    ct_tensor *sum = cti_view(me, padded, shape, to,
                              row * c->dilation[0] * p[2] + column * c->dilation[1] * p[3]);
    ct_tensor *part =
        sum ? cti_view(me, columns, shape, from, columns->offset + row * q[2] + column * q[3])
            : NULL;
    const ct_tensor *in[] = { sum, part };

    if (part)
        cti_elementwise(CTI_EW_add, sum, 2, in, NULL);
    return part != NULL;
}

ct_tensor *cti_fold(const char *me, const cti_conv *c, const ct_tensor *columns)
{
    ct_shape shape = CT_SHAPE(columns->shape.dim[0], columns->shape.dim[1], c->size[0], c->size[1]);
    ct_tensor *x = cti_new(me, shape, columns->dtype, columns->device), *padded, *inside;
    int64_t row, column;
    ct_scope s;

    if (!x || x->numel == 0)
        return x;
    s = cti_scope_push();
    padded = window_padded(me, c, columns);
    for (row = 0; padded && row < c->kernel[0]; row++)
        for (column = 0; padded && columns->numel && column < c->kernel[1]; column++)
            if (!window_add(me, c, columns, row, column, padded))
                padded = NULL;
    inside = padded ? window_inside(me, c, padded) : NULL;
    if (inside)
        cti_copy(x, inside);
    cti_scope_pop(s);
    return inside ? x : NULL;
}

/* ---- the ops ---- */

static ct_tensor *unfold_run(const cti_conv *c, ct_tensor *x);
static ct_tensor *fold_run(const cti_conv *c, ct_tensor *x);

static void unfold_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, fold_run(ct_node_attributes(n), dout[0]));
}

static void fold_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, unfold_run(ct_node_attributes(n), dout[0]));
}

static const ct_op unfold_op = {
    .name = "ct_unfold", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(unfold_grad)
};
static const ct_op fold_op = {
    .name = "ct_fold", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(fold_grad)
};

static ct_tensor *unfold_run(const cti_conv *c, ct_tensor *x)
{
    int64_t rows = c->in * c->kernel[0] * c->kernel[1], windows = c->result[0] * c->result[1];
    ct_tensor *y = cti_unfold("ct_unfold", c, x);

    y = y ? ct_reshape(y, CT_SHAPE(c->images, rows, windows)) : NULL;
    return cti_record1_with(&unfold_op, x, y, c, sizeof *c);
}

static ct_tensor *fold_run(const cti_conv *c, ct_tensor *x)
{
    ct_shape shape =
        CT_SHAPE(c->images, c->in, c->kernel[0], c->kernel[1], c->result[0], c->result[1]);
    bool was = ct_set_grad_enabled(false);
    ct_tensor *columns = x ? ct_reshape(x, shape) : NULL, *y;

    y = columns ? cti_fold("ct_fold", c, columns) : NULL;
    ct_set_grad_enabled(was);
    return cti_record1_with(&fold_op, x, y, c, sizeof *c);
}

static bool window_options_read(const char *me, const ct_window_options *o, cti_conv *c)
{
    return cti_window_read(
        me, &(cti_window_options){ o->kernel, o->stride, o->padding, o->dilation, 2 }, c);
}

ct_tensor *ct_unfold(ct_tensor *x, ct_window_options o)
{
    static const char *const me = "ct_unfold";
    cti_conv c = { .groups = 1 };

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x))
        return NULL;
    if (x->shape.rank != 4) {
        ct_raise(CT_ERR_SHAPE, me, "x %s must have rank 4 (N, C, H, W)", cti_describe(x).s);
        return NULL;
    }
    c.images = x->shape.dim[0];
    c.in = x->shape.dim[1];
    c.size[0] = x->shape.dim[2];
    c.size[1] = x->shape.dim[3];
    if (!window_options_read(me, &o, &c) || !cti_window_result(me, x, false, &c))
        return NULL;
    return unfold_run(&c, x);
}

ct_tensor *ct_fold(ct_tensor *x, int64_t height, int64_t width, ct_window_options o)
{
    static const char *const me = "ct_fold";
    cti_conv c = { .groups = 1, .size = { height, width } };
    int64_t kernel;

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x) ||
        !cti_at_least(me, "height", height, 1) || !cti_at_least(me, "width", width, 1) ||
        !window_options_read(me, &o, &c) || !cti_window_result(me, x, false, &c))
        return NULL;
    kernel = c.kernel[0] <= INT64_MAX / c.kernel[1] ? c.kernel[0] * c.kernel[1] : 0;
    if (x->shape.rank != 3 || !kernel || x->shape.dim[1] % kernel != 0 ||
        c.result[0] > INT64_MAX / c.result[1] || x->shape.dim[2] != c.result[0] * c.result[1]) {
        ct_raise(
            CT_ERR_SHAPE, me,
            "x %s must be (N, C %lld, %lld x %lld): the elements of the kernel and the windows",
            cti_describe(x).s, (long long)kernel, (long long)c.result[0], (long long)c.result[1]);
        return NULL;
    }
    c.images = x->shape.dim[0];
    c.in = x->shape.dim[1] / kernel;
    return fold_run(&c, x);
}

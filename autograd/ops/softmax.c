/* SPDX-License-Identifier: MIT */
/* softmax.c - softmax and its logarithm along an axis.
 *
 *     softmax:      y = exp(x - max) / sum exp(x - max);   dx = y (d - sum(d y))
 *     log_softmax:  y = x - max - log sum exp(x - max);    dx = d - exp(y) sum(d) */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/views.h>

static void softmax_backward(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    ct_tensor *y = ct_node_output(n, 0), *d = dout[0];
    ct_tensor *total = ct_sum_axes(ct_mul(d, y), 1, axis, true);

    ct_node_add_grad(n, 0, ct_mul(y, ct_sub(d, total)));
}

/* y (d - total) in one kernel */
static void softmax_fused_backward(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    ct_tensor *y = ct_node_output(n, 0), *d = dout[0];
    ct_tensor *total = ct_sum_axes(ct_mul(d, y), 1, axis, true);
    ct_tensor *dx = total ? cti_new("ct_softmax", y->shape, y->dtype, y->device) : NULL;

    total = dx ? ct_expand(total, y->shape) : NULL;
    if (!total)
        return;
    cti_elementwise(CTI_EW_softmax_backward, dx, 3, (const ct_tensor *[]){ d, y, total }, NULL);
    ct_node_add_grad(n, 0, dx);
}

static void log_softmax_backward(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    ct_tensor *y = ct_node_output(n, 0), *d = dout[0];
    ct_tensor *total = ct_sum_axes(d, 1, axis, true);

    ct_node_add_grad(n, 0, ct_sub(d, ct_mul(ct_exp(y), total)));
}

static const ct_op softmax_op = { .name = "ct_softmax",
                                  .inputs = 1,
                                  .outputs = 1,
                                  .saves = CT_SAVE_OUTPUTS,
                                  .backward = CTI_TRAINING(softmax_backward),
                                  .fused_backward = CTI_TRAINING(softmax_fused_backward) };
static const ct_op log_softmax_op = { .name = "ct_log_softmax",
                                      .inputs = 1,
                                      .outputs = 1,
                                      .saves = CT_SAVE_OUTPUTS,
                                      .backward = CTI_TRAINING(log_softmax_backward) };

/* The kernel works on the last axis; any other axis is transposed there and back. */
static ct_tensor *softmax_last_axis(const ct_op *op, bool logarithm, ct_tensor *x)
{
    ct_tensor *c, *y;
    int axis = x->shape.rank - 1;
    int64_t n = x->shape.dim[axis];

    y = cti_new(op->name, x->shape, x->dtype, x->device);
    c = y ? cti_contiguous(x) : NULL;
    if (!c)
        return NULL;
    cti_backend_of(x->device)->softmax(&(cti_softmax_args){ .dtype = x->dtype,
                                                            .logarithm = logarithm,
                                                            .rows = n ? x->numel / n : 0,
                                                            .n = n,
                                                            .in = cti_data(c),
                                                            .out = cti_data(y) });
    return cti_record1_with(op, x, y, &axis, sizeof axis);
}

static ct_tensor *softmax_along(const ct_op *op, bool logarithm, ct_tensor *x, int axis)
{
    if (!cti_usable(op->name, x) || !cti_want_float(op->name, "x", x))
        return NULL;
    axis = cti_axis(op->name, x, axis);
    if (axis < 0)
        return NULL;
    if (axis == x->shape.rank - 1)
        return softmax_last_axis(op, logarithm, x);
    x = ct_transpose(x, axis, -1);
    return x ? ct_transpose(softmax_last_axis(op, logarithm, x), axis, -1) : NULL;
}

ct_tensor *ct_softmax(ct_tensor *x, int axis)
{
    return softmax_along(&softmax_op, false, x, axis);
}

ct_tensor *ct_log_softmax(ct_tensor *x, int axis)
{
    return softmax_along(&log_softmax_op, true, x, axis);
}

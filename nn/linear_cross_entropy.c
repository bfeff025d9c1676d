/* SPDX-License-Identifier: MIT */
/* linear_cross_entropy.c - cross-entropy of a linear layer's scores, without the scores in memory.
 *
 * With N rows x (N, in), weight W (C, in), bias b (C) and the scores s = x W^T + b
 *     ds = d (softmax(s) - target) / count        0 for rows that are ignored
 *     dx = ds W      dW = ds^T x      db = sum of the rows of ds
 * The kernel computes the loss and, if required, all three gradients for d = 1 in one pass over x
 * (as Liger Kernel does on GPUs: Hsu et al., 2024). Backward multiplies the gradients by d. */
#include "autograd/internal.h"

#include "nn/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/loss.h>

enum { IN_X, IN_WEIGHT, IN_TARGETS, IN_BIAS, IN_COUNT };

/* The attributes of the op. */
typedef struct fused_loss {
    const char *me; /* the function's name for messages */
    double smoothing;
    int64_t ignore; /* INT64_MIN: no target is ignored */
    bool mean, has_bias;
    /* for each input, the number of the output that holds its gradient for d = 1; 0: no output */
    int gradient[IN_COUNT];
    bool taken; /* the engine has received these outputs and may have written to them */
} fused_loss;

/* The tensors in `in` are contiguous; x is (N, in), targets (N). Writes the losses to rows (N), and
 * the gradients that are not NULL. Returns false if the device has no such kernel, or with the
 * error of a target. */
static bool fused_loss_run(const fused_loss *o, ct_tensor *const *in, ct_tensor *rows,
                           ct_tensor *const *gradient)
{
    const ct_tensor *x = in[IN_X], *w = in[IN_WEIGHT], *t = in[IN_TARGETS], *b = in[IN_BIAS];
    cti_linear_cross_entropy_args a = { .dtype = x->dtype,
                                        .index_dtype = t->dtype,
                                        .rows = t->numel,
                                        .n = w->shape.dim[0],
                                        .k = w->shape.dim[1],
                                        .x = cti_data(x),
                                        .weight = cti_data(w),
                                        .bias = b ? cti_data(b) : NULL,
                                        .target = cti_data(t),
                                        .ignore = o->ignore,
                                        .smoothing = o->smoothing,
                                        .mean = o->mean,
                                        .loss = cti_data(rows) };
    cti_fault fault = cti_fault_at(x->device, CTI_FAULT_TARGET, o->me, a.n);
    ct_status status;

    a.dx = gradient[IN_X] ? cti_data(gradient[IN_X]) : NULL;
    a.dweight = gradient[IN_WEIGHT] ? cti_data(gradient[IN_WEIGHT]) : NULL;
    a.dbias = gradient[IN_BIAS] ? cti_data(gradient[IN_BIAS]) : NULL;
    a.gradients = a.dx || a.dweight || a.dbias;
    status = cti_backend_of(x->device)->linear_cross_entropy(&a, &fault);
    if (status == CT_ERR_INDEX)
        cti_raise_target(o->me, in[IN_TARGETS], fault.position, a.n);
    return status == CT_OK;
}

/* ---- derivatives ---- */

/* The gradient of the scores for d = 1, computed by ops: softmax(s) minus the targets as
 * probabilities. */
static ct_tensor *fused_loss_slope(const fused_loss *o, ct_tensor *x, ct_tensor *w, ct_tensor *b,
                                   ct_tensor *targets)
{
    int64_t classes = w->shape.dim[0];
    ct_tensor *ignore = ct_full(CT_SCALAR, (double)o->ignore, targets->dtype, targets->device);
    ct_tensor *counted = ct_ne(targets, ignore);
    /* ignored targets become class 0, which is a valid index */
    ct_tensor *index = ct_mul(targets, ct_cast(counted, targets->dtype));
    ct_tensor *target = ct_mul_scalar(ct_one_hot_as(index, classes, x->dtype), 1 - o->smoothing);
    ct_tensor *slope;

    counted = ct_cast(counted, x->dtype);
    target = ct_add_scalar(target, o->smoothing / (double)classes);
    slope = ct_sub(ct_softmax(ct_linear(x, w, b), -1), target);
    slope = ct_mul(slope, ct_unsqueeze(counted, -1));
    return o->mean ? ct_div(slope, ct_maximum(ct_sum(counted), ct_ones_like(ct_sum(counted))))
                   : slope;
}

static void fused_loss_backward(ct_node *n, ct_tensor *const *dout)
{
    const fused_loss *o = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, IN_X), *w = ct_node_input(n, IN_WEIGHT);
    ct_tensor *b = o->has_bias ? ct_node_input(n, IN_BIAS) : NULL, *ds;
    ct_tensor *targets = ct_node_input(n, IN_TARGETS);
    const int rows = 0;

    if (!x || !w || !targets || (o->has_bias && !b))
        return;
    ds = ct_mul(fused_loss_slope(o, x, w, b, targets), dout[0]);
    if (ct_node_needs_grad(n, IN_X))
        ct_node_add_grad(n, IN_X, ct_matmul(ds, w));
    if (ct_node_needs_grad(n, IN_WEIGHT))
        ct_node_add_grad(n, IN_WEIGHT, ct_matmul(ct_transpose(ds, 0, 1), x));
    if (o->has_bias && ct_node_needs_grad(n, IN_BIAS))
        ct_node_add_grad(n, IN_BIAS, ct_sum_axes(ds, 1, &rows, false));
}

/* Computes the gradients again. Needed if the same history is differentiated twice, because the
 * first pass used those of the forward pass. */
static bool fused_loss_again(ct_node *n, const fused_loss *o, ct_tensor **gradient)
{
    ct_tensor *in[IN_COUNT] = { NULL }, *rows;
    int i;

    for (i = 0; i < (o->has_bias ? IN_COUNT : IN_BIAS); i++) {
        in[i] = cti_contiguous(ct_node_input(n, i));
        if (!in[i])
            return false;
        if (o->gradient[i])
            gradient[i] = cti_new(o->me, in[i]->shape, in[i]->dtype, in[i]->device);
        if (o->gradient[i] && !gradient[i])
            return false;
    }
    rows = cti_new(o->me, in[IN_TARGETS]->shape, in[IN_X]->dtype, in[IN_X]->device);
    return rows && fused_loss_run(o, in, rows, gradient);
}

static void fused_loss_fused_backward(ct_node *n, ct_tensor *const *dout)
{
    fused_loss *o = (fused_loss *)ct_node_attributes(n); /* the copy that the node owns */
    ct_tensor *gradient[IN_COUNT] = { NULL };
    bool one = dout[0]->device == CT_CPU && ct_item(dout[0]) == 1;
    int i;

    if (o->taken && !fused_loss_again(n, o, gradient))
        return;
    for (i = 0; i < IN_COUNT; i++) {
        if (!o->gradient[i])
            continue;
        if (!o->taken)
            gradient[i] = ct_detach(ct_node_output(n, o->gradient[i]));
        ct_node_add_grad(n, i, one ? gradient[i] : ct_mul(gradient[i], dout[0]));
    }
    o->taken |= one;
}

static const ct_op fused_op = { .name = "ct_linear_cross_entropy",
                                .inputs = -1,
                                .outputs = -1,
                                .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                .backward = CTI_TRAINING(fused_loss_backward),
                                .fused_backward = CTI_TRAINING(fused_loss_fused_backward) };

/* ---- forward ---- */

/* Returns the sum or the mean of the losses of the rows. */
static ct_tensor *fused_loss_reduce(const fused_loss *o, ct_tensor *rows, ct_tensor *targets)
{
    ct_tensor *sum = ct_sum(rows), *ignore;

    if (!o->mean)
        return sum;
    if (o->ignore == INT64_MIN)
        return ct_div_scalar(sum, (double)ct_numel(targets));
    ignore = ct_full(CT_SCALAR, (double)o->ignore, targets->dtype, targets->device);
    return ct_div(sum, ct_sum(ct_cast(ct_ne(targets, ignore), rows->dtype)));
}

/* `in` holds x (N, in), weight, targets (N) and bias (or NULL), all contiguous. Returns NULL
 * without an error if the device has no such kernel. */
static ct_tensor *fused_loss_forward(fused_loss *o, ct_tensor *const *in)
{
    ct_tensor *out[IN_COUNT] = { NULL }, *gradient[IN_COUNT] = { NULL }, *rows;
    bool recorded = cti_will_record(IN_COUNT, in), was;
    int outputs = 1, i;

    rows = cti_new(o->me, in[IN_TARGETS]->shape, in[IN_X]->dtype, in[IN_X]->device);
    for (i = 0; rows && i < IN_COUNT; i++) {
        if (!recorded || !in[i] || !in[i]->requires_grad)
            continue;
        gradient[i] = out[outputs] = cti_new(o->me, in[i]->shape, in[i]->dtype, in[i]->device);
        o->gradient[i] = outputs++;
        if (!gradient[i])
            return NULL;
    }
    if (!rows || !fused_loss_run(o, in, rows, gradient))
        return NULL;
    was = ct_set_grad_enabled(false);
    out[0] = fused_loss_reduce(o, rows, in[IN_TARGETS]);
    ct_set_grad_enabled(was);
    return out[0] && ct_record(&fused_op, o->has_bias ? IN_COUNT : IN_BIAS, in, outputs, out, o,
                               sizeof *o)
               ? out[0]
               : NULL;
}

/* Checks the targets: class indices must have the shape of x without its last axis. */
static bool fused_loss_check_targets(const char *me, const ct_tensor *x, const ct_tensor *targets)
{
    ct_shape shape = x->shape;

    if (cti_is_float(targets->dtype))
        return true; /* class probabilities are checked later, when the shape of the scores is
                      * known */
    shape.rank--;
    if (!cti_want_index(me, "targets", targets) || !cti_same_device(me, "x", x, "targets", targets))
        return false;
    if (cti_same_shape(&shape, &targets->shape))
        return true;
    ct_raise(CT_ERR_SHAPE, me, "targets %s must have the shape of x %s without its last axis",
             cti_describe(targets).s, cti_describe(x).s);
    return false;
}

/* True if the kernel can be used: class indices, one loss as result, no class weights, full
 * precision. */
static bool fused_loss_fits(const ct_tensor *x, const ct_tensor *targets,
                            const ct_cross_entropy_options *options)
{
    return !cti_is_float(targets->dtype) && options->reduction != CT_REDUCTION_NONE &&
           !options->weight && targets->numel > 0 && ct_size(x, -1) > 0 && !cti_one_hot_of(x) &&
           !(x->dtype == CT_F32 && ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16);
}

ct_tensor *cti_linear_cross_entropy(const char *me, ct_tensor *x, ct_tensor *weight,
                                    ct_tensor *bias, ct_tensor *targets,
                                    const ct_cross_entropy_options *options)
{
    fused_loss o = { .me = me,
                     .smoothing = options->label_smoothing,
                     .ignore = options->has_ignore_index ? options->ignore_index : INT64_MIN,
                     .mean = options->reduction == CT_REDUCTION_MEAN,
                     .has_bias = bias != NULL };
    ct_tensor *in[IN_COUNT], *loss;
    int64_t count;

    if (!cti_usable(me, x) || !cti_usable(me, weight) || !cti_optional(me, bias) ||
        !cti_usable(me, targets) || !cti_optional_as(me, "options.weight", options->weight) ||
        !cti_linear_check(me, x, weight, bias) || !cti_cross_entropy_options(me, options) ||
        !fused_loss_check_targets(me, x, targets))
        return NULL;
    if (fused_loss_fits(x, targets, options)) {
        count = targets->numel;
        in[IN_X] = ct_contiguous(ct_reshape(x, CT_SHAPE(count, ct_size(x, -1))));
        in[IN_WEIGHT] = ct_contiguous(weight);
        in[IN_TARGETS] = ct_contiguous(ct_reshape(targets, CT_SHAPE(count)));
        in[IN_BIAS] = bias ? ct_contiguous(bias) : NULL;
        if (!in[IN_X] || !in[IN_WEIGHT] || !in[IN_TARGETS] || (bias && !in[IN_BIAS]))
            return NULL;
        loss = fused_loss_forward(&o, in);
        if (loss || ct_error() != CT_OK)
            return loss;
    }
    return cti_cross_entropy(me, ct_linear(x, weight, bias), targets, *options);
}

ct_tensor *ct_linear_cross_entropy(ct_tensor *x, ct_tensor *weight, ct_tensor *bias,
                                   ct_tensor *targets, ct_cross_entropy_options options)
{
    return cti_linear_cross_entropy("ct_linear_cross_entropy", x, weight, bias, targets, &options);
}

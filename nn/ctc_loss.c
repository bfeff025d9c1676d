/* SPDX-License-Identifier: MIT */
/* ctc_loss.c - connectionist temporal classification.
 *
 * The kernel computes the losses and, if a gradient is required, their derivative in one pass;
 * backward multiplies the derivative by the gradient of the losses. Like PyTorch's, it has no
 * second derivative with respect to the scores. */
#include "autograd/internal.h"

#include "nn/internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/loss.h>

#include <math.h>

/* ---- the op: log_probs (T, B, C) -> loss (B), and grad (T, B, C), its derivative ---- */

/* The op d (B) times grad, with the inputs log_probs, grad and d. It is linear in d. */
static void ctc_slope_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *grad = ct_node_input(n, 1), *d;
    const int axes[] = { 0, 2 };

    if (ct_node_needs_grad(n, 0)) {
        ct_raise(CT_ERR_GRAD, "ct_ctc_loss", "there is no second derivative by log_probs");
        return;
    }
    d = ct_mul(dout[0], grad);
    ct_node_add_grad(n, 2, ct_sum_axes(d, 2, axes, false));
}

static const ct_op ctc_slope_op = { .name = "ct_ctc_loss_backward",
                                    .inputs = 3,
                                    .outputs = 1,
                                    .saves = CT_SAVE_INPUTS,
                                    .backward = CTI_TRAINING(ctc_slope_grad) };

static void ctc_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *in[3] = { ct_node_input(n, 0), ct_node_output(n, 1), dout[0] }, *plain, *y;

    if (!in[0] || !in[1] || !dout[0])
        return;
    in[1] = ct_detach(in[1]);
    plain = ct_detach(dout[0]);
    y = plain ? ct_mul(in[1], ct_reshape(plain, CT_SHAPE(1, ct_size(plain, 0), 1))) : NULL;
    ct_node_add_grad(n, 0, y && ct_record(&ctc_slope_op, 3, in, 1, &y, NULL, 0) ? y : NULL);
}

static const ct_op ctc_op = { .name = "ct_ctc_loss",
                              .inputs = 1,
                              .outputs = 2,
                              .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                              .backward = CTI_TRAINING(ctc_grad) };

/* The operands of the kernel, on the device of the scores. */
typedef struct ctc_call {
    const char *me;
    ct_tensor *log_probs;
    ct_tensor *target;                       /* (B, width), i64 */
    ct_tensor *input_length, *target_length; /* (B), i64 */
    ct_ctc_options options;
} ctc_call;

static const int64_t *ctc_numbers(const ct_tensor *t)
{
    return (const int64_t *)(const void *)cti_data(t);
}

/* Returns the loss of each sequence, (B). */
static ct_tensor *ctc_losses(const ctc_call *c)
{
    ct_tensor *x = c->log_probs, *out[2] = { NULL, NULL }, *dense, *scratch;
    int64_t steps = ct_size(x, 0), batch = ct_size(x, 1), width = ct_size(c->target, 1);
    bool wanted = cti_will_record(1, &x);

    dense = cti_contiguous(x);
    out[0] = cti_new(c->me, CT_SHAPE(batch), x->dtype, x->device);
    out[1] = cti_new(c->me, wanted ? x->shape : CT_SHAPE(0), x->dtype, x->device);
    scratch = cti_new(c->me, CT_SHAPE(batch, 2, steps, 2 * width + 1), CT_F64, x->device);
    if (!dense || !out[0] || !out[1] || !scratch)
        return NULL;
    cti_backend_of(x->device)->ctc(&(cti_ctc_args){ .dtype = x->dtype,
                                                    .zero_infinity = c->options.zero_infinity,
                                                    .steps = steps,
                                                    .batch = batch,
                                                    .classes = ct_size(x, 2),
                                                    .blank = c->options.blank,
                                                    .width = width,
                                                    .log_probs = cti_data(dense),
                                                    .target = ctc_numbers(c->target),
                                                    .input_length = ctc_numbers(c->input_length),
                                                    .target_length = ctc_numbers(c->target_length),
                                                    .scratch = (double *)(void *)cti_data(scratch),
                                                    .loss = cti_data(out[0]),
                                                    .grad = wanted ? cti_data(out[1]) : NULL });
    return ct_record(&ctc_op, 1, &x, 2, out, NULL, 0) ? out[0] : NULL;
}

/* ---- checks: lengths and targets are read on the host ---- */

/* Returns t as a contiguous i64 tensor on the CPU. */
static ct_tensor *ctc_on_host(const char *me, ct_tensor *t)
{
    ct_tensor *wide = ct_cast(ct_detach(t), CT_I64), *host;

    if (!wide || wide->device == CT_CPU)
        return wide ? cti_contiguous(wide) : NULL;
    host = cti_new(me, wide->shape, CT_I64, CT_CPU);
    return host && cti_copy_across(me, host, wide) ? host : NULL;
}

/* Checks that the lengths (B) are in 0..most, and returns them on the CPU. */
static ct_tensor *ctc_lengths(const char *me, const char *name, ct_tensor *t, int64_t batch,
                              int64_t most)
{
    ct_tensor *host;
    int64_t b;

    if (!cti_want_index(me, name, t))
        return NULL;
    if (t->shape.rank != 1 || t->shape.dim[0] != batch) {
        ct_raise(CT_ERR_SHAPE, me, "%s %s must have one length for each of %lld sequences", name,
                 cti_describe(t).s, (long long)batch);
        return NULL;
    }
    host = ctc_on_host(me, t);
    for (b = 0; host && b < batch; b++)
        if (ctc_numbers(host)[b] < 0 || ctc_numbers(host)[b] > most) {
            ct_raise(CT_ERR_ARGUMENT, me, "%s[%lld] is %lld; it must be in 0..%lld", name,
                     (long long)b, (long long)ctc_numbers(host)[b], (long long)most);
            return NULL;
        }
    return host;
}

/* True if the label at a position is a class other than the blank. */
static bool ctc_check_label(const char *me, int64_t label, int64_t position, int64_t classes,
                            int64_t blank)
{
    if (label >= 0 && label < classes && label != blank)
        return true;
    ct_raise(CT_ERR_INDEX, me,
             "target %lld at position %lld must be in 0..%lld and not the blank %lld",
             (long long)label, (long long)position, (long long)classes - 1, (long long)blank);
    return false;
}

/* Checks that the lengths add up to the number of targets. Targets of rank 1 hold the labels of all
 * sequences one after another. */
static bool ctc_check_sum(const char *me, const ct_tensor *targets, const int64_t *length,
                          int64_t batch)
{
    int64_t sum = 0, b;

    for (b = 0; b < batch; b++)
        sum += length[b];
    if (targets->shape.rank == 2 || sum == targets->numel)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "target_lengths add up to %lld; targets %s must have that size",
             (long long)sum, cti_describe(targets).s);
    return false;
}

/* Returns the targets as (B, width) on the CPU, where width is the largest length, but at least 1.
 * Unused elements are 0. */
static ct_tensor *ctc_padded(const ctc_call *c, ct_tensor *targets, const ct_tensor *lengths)
{
    int64_t batch = lengths->numel, from = 0, width = 1, b, k, label, *out;
    const int64_t *length = ctc_numbers(lengths);
    bool rows = targets->shape.rank == 2;
    ct_tensor *host, *y;

    if (!ctc_check_sum(c->me, targets, length, batch))
        return NULL;
    for (b = 0; b < batch; b++)
        width = length[b] > width ? length[b] : width;
    host = ctc_on_host(c->me, targets);
    y = host ? ct_zeros(CT_SHAPE(batch, width), CT_I64, CT_CPU) : NULL;
    if (!y)
        return NULL;
    out = (int64_t *)(void *)cti_data(y);
    for (b = 0; b < batch; from += rows ? targets->shape.dim[1] : length[b], b++)
        for (k = 0; k < length[b]; k++) {
            label = ctc_numbers(host)[from + k];
            if (!ctc_check_label(c->me, label, from + k, ct_size(c->log_probs, 2),
                                 c->options.blank))
                return NULL;
            out[b * width + k] = label;
        }
    return y;
}

/* True if the shapes and options agree; otherwise false with an error. */
static bool ctc_check(const ctc_call *c, const ct_tensor *targets)
{
    const ct_tensor *x = c->log_probs;
    int rank;

    if (!cti_want_float(c->me, "log_probs", x) || !cti_want_index(c->me, "targets", targets) ||
        !cti_loss_check_reduction(c->me, c->options.reduction))
        return false;
    rank = targets->shape.rank;
    if (x->shape.rank != 3 || x->shape.dim[2] < 1 || rank < 1 || rank > 2 ||
        (rank == 2 && targets->shape.dim[0] != x->shape.dim[1])) {
        ct_raise(CT_ERR_SHAPE, c->me,
                 "log_probs %s must be (steps, batch, classes) and targets %s (batch, labels), or "
                 "the labels of all sequences in a row",
                 cti_describe(x).s, cti_describe(targets).s);
        return false;
    }
    if (c->options.blank >= 0 && c->options.blank < x->shape.dim[2])
        return true;
    ct_raise(CT_ERR_ARGUMENT, c->me, "blank is %lld; it must be a class of log_probs %s",
             (long long)c->options.blank, cti_describe(x).s);
    return false;
}

/* Returns the mean of the losses, each divided by its number of labels, or by 1 if it has no
 * labels. */
static ct_tensor *ctc_mean(ct_tensor *loss, ct_tensor *target_length)
{
    ct_tensor *labels = ct_clamp(ct_cast(target_length, loss->dtype), 1, INFINITY);

    return ct_mean(ct_div(loss, labels));
}

ct_tensor *ct_ctc_loss(ct_tensor *log_probs, ct_tensor *targets, ct_tensor *input_lengths,
                       ct_tensor *target_lengths, ct_ctc_options options)
{
    static const char *const me = "ct_ctc_loss";
    ctc_call c = { .me = me, .log_probs = log_probs, .options = options };
    int64_t batch, labels;
    ct_tensor *loss;

    if (!cti_usable_as(me, "log_probs", log_probs) || !cti_usable(me, targets) ||
        !cti_usable(me, input_lengths) || !cti_usable(me, target_lengths) ||
        !cti_same_device(me, "log_probs", log_probs, "targets", targets) ||
        !cti_same_device(me, "log_probs", log_probs, "input_lengths", input_lengths) ||
        !cti_same_device(me, "log_probs", log_probs, "target_lengths", target_lengths) ||
        !ctc_check(&c, targets))
        return NULL;
    batch = log_probs->shape.dim[1];
    labels = targets->shape.dim[targets->shape.rank - 1];
    c.input_length =
        ctc_lengths(me, "input_lengths", input_lengths, batch, log_probs->shape.dim[0]);
    c.target_length =
        c.input_length ? ctc_lengths(me, "target_lengths", target_lengths, batch, labels) : NULL;
    c.target = c.target_length ? ctc_padded(&c, targets, c.target_length) : NULL;
    if (!c.target)
        return NULL;
    c.input_length = ct_to(c.input_length, log_probs->device);
    c.target_length = ct_to(c.target_length, log_probs->device);
    c.target = ct_to(c.target, log_probs->device);
    loss = c.input_length && c.target_length && c.target ? ctc_losses(&c) : NULL;
    if (!loss || options.reduction != CT_REDUCTION_MEAN)
        return cti_loss_reduced(loss, options.reduction);
    return ctc_mean(loss, c.target_length);
}

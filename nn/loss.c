/* SPDX-License-Identifier: MIT */
/* loss.c - losses. Cross-entropy of class indices has a kernel forward and one backward; the other
 * losses are composed from ops, which have derivatives. */
#include "autograd/internal.h"

#include "nn/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/loss.h>

typedef struct ce {
    double smoothing;
    int64_t ignore; /* INT64_MIN to ignore no target */
} ce;

/* dlogits = dloss (softmax(logits) - target), as an op of logits, targets, lse and dloss. The
 * kernel writes lse (2, rows): the greatest score of each row, and the log of the sum of exp(score
 * - greatest). The two are not added, because the sum would lose significant digits. With e the
 * gradient of dlogits, the derivatives of this op are
 *
 *     ddloss = sum e (softmax - target)      dlogits = dloss softmax (e - sum e softmax) */
static ct_tensor *ce_backward(ct_tensor *logits, ct_tensor *targets, ct_tensor *lse,
                              ct_tensor *dloss, const ce *o);

/* (rows, 1): 0 for rows that are ignored, 1 for the others */
static ct_tensor *loss_counted(ct_tensor *targets, const ce *o, ct_dtype dtype)
{
    ct_tensor *ignore = ct_full(CT_SCALAR, (double)o->ignore, targets->dtype, targets->device);

    return ct_unsqueeze(ct_cast(ct_ne(targets, ignore), dtype), -1);
}

/* Returns x (rows, 1) with 0 for rows that are ignored, even where x is not finite. (If all rows
 * are ignored, the gradient of the mean is infinite.) */
static ct_tensor *loss_kept(ct_tensor *x, ct_tensor *targets, const ce *o)
{
    return x ? ct_where(ct_cast(loss_counted(targets, o, x->dtype), CT_BOOL), x,
                        ct_zeros(CT_SCALAR, x->dtype, x->device))
             : NULL;
}

static void ce_backward_grad(ct_node *n, ct_tensor *const *dout)
{
    const ce *o = ct_node_attributes(n);
    ct_tensor *logits = ct_node_input(n, 0), *targets = ct_node_input(n, 1),
              *lse = ct_node_input(n, 2);
    ct_tensor *dloss = ct_node_input(n, 3), *e = dout[0], *p, *inner;
    const int classes = 1; /* the axis of the classes */

    if (!logits || !targets || !dloss)
        return;
    if (ct_node_needs_grad(n, 3)) {
        ct_tensor *ones = ct_ones(dloss->shape, dloss->dtype, dloss->device);
        ct_tensor *slope = ce_backward(logits, targets, lse, ones, o);

        ct_node_add_grad(n, 3, ct_sum_axes(ct_mul(e, slope), 1, &classes, false));
    }
    if (ct_node_needs_grad(n, 0)) {
        p = ct_softmax(logits, classes);
        inner = ct_sum_axes(ct_mul(e, p), 1, &classes, true);
        ct_node_add_grad(n, 0,
                         ct_mul(loss_kept(ct_unsqueeze(dloss, classes), targets, o),
                                ct_mul(p, ct_sub(e, inner))));
    }
}

static const ct_op backward_op = { .name = "ct_cross_entropy_backward",
                                   .inputs = 4,
                                   .outputs = 1,
                                   .saves = CT_SAVE_INPUTS,
                                   .backward = CTI_TRAINING(ce_backward_grad) };

/* Returns the address of the second row of lse, on its device. */
static void *ce_log_sums(const ct_tensor *lse)
{
    return (char *)cti_data(lse) + (size_t)lse->shape.dim[1] * ct_dtype_size(lse->dtype);
}

static ct_tensor *ce_backward(ct_tensor *logits, ct_tensor *targets, ct_tensor *lse,
                              ct_tensor *dloss, const ce *o)
{
    ct_tensor *in[4] = { logits, targets, lse, dloss };
    ct_tensor *y, *x, *d = dloss;
    int64_t step = 1;

    if (!cti_usable(backward_op.name, logits) || !targets || !lse || !dloss)
        return NULL;
    y = cti_new(backward_op.name, logits->shape, logits->dtype, logits->device);
    x = y ? cti_contiguous(logits) : NULL;
    if (dloss->stride[0] == 0)
        step = 0; /* the gradient of a sum is expanded from one value */
    else
        d = cti_contiguous(dloss);
    if (!x || !d)
        return NULL;
    cti_backend_of(y->device)->cross_entropy_backward(
        &(cti_cross_entropy_backward_args){ .dtype = y->dtype,
                                            .index_dtype = targets->dtype,
                                            .rows = y->shape.dim[0],
                                            .n = y->shape.dim[1],
                                            .in = cti_data(x),
                                            .target = cti_data(targets),
                                            .ignore = o->ignore,
                                            .smoothing = o->smoothing,
                                            .most = cti_data(lse),
                                            .lse = ce_log_sums(lse),
                                            .dloss = cti_data(d),
                                            .dloss_step = step,
                                            .din = cti_data(y) });
    return ct_record(&backward_op, 4, in, 1, &y, o, sizeof *o) ? y : NULL;
}

static void ce_rows_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *logits = ct_node_input(n, 0), *targets = ct_node_input(n, 1),
              *lse = ct_node_output(n, 1);

    if (dout[0])
        ct_node_add_grad(n, 0,
                         ce_backward(logits, targets, lse ? ct_detach(lse) : NULL, dout[0],
                                     ct_node_attributes(n)));
}

static const ct_op rows_op = { .name = "ct_cross_entropy",
                               .inputs = 2,
                               .outputs = 2,
                               .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                               .backward = CTI_TRAINING(ce_rows_grad) };

void cti_raise_target(const char *function, ct_tensor *targets, int64_t position, int64_t classes)
{
    ct_raise(CT_ERR_INDEX, function,
             "target %.0f at position %lld is not in 0..%lld (see ignore_index)",
             ct_item(ct_select(targets, 0, position)), (long long)position, (long long)classes - 1);
}

/* Returns the loss of each row. logits (rows, C) and targets (rows) are contiguous. Errors name the
 * function me. */
static ct_tensor *ce_row_losses(const char *me, ct_tensor *logits, ct_tensor *targets, const ce *o)
{
    ct_tensor *in[2] = { logits, targets }, *out[2], *x;
    int64_t rows = logits->shape.dim[0], classes = logits->shape.dim[1];
    cti_cross_entropy_args a;
    cti_fault fault;

    out[0] = cti_new(me, CT_SHAPE(rows), logits->dtype, logits->device);
    out[1] = cti_new(me, CT_SHAPE(2, rows), logits->dtype, logits->device);
    x = cti_contiguous(logits);
    if (!out[0] || !out[1] || !x)
        return NULL;
    fault = cti_fault_at(x->device, CTI_FAULT_TARGET, me, classes);
    a = (cti_cross_entropy_args){ .dtype = x->dtype,
                                  .index_dtype = targets->dtype,
                                  .rows = rows,
                                  .n = classes,
                                  .in = cti_data(x),
                                  .target = cti_data(targets),
                                  .ignore = o->ignore,
                                  .smoothing = o->smoothing,
                                  .loss = cti_data(out[0]),
                                  .most = cti_data(out[1]),
                                  .lse = ce_log_sums(out[1]) };
    if (cti_backend_of(x->device)->cross_entropy(&a, &fault) != CT_OK) {
        cti_raise_target(me, targets, fault.position, classes);
        return NULL;
    }
    return ct_record(&rows_op, 2, in, 2, out, o, sizeof *o) ? out[0] : NULL;
}

/* Checks scores and targets that are class indices. Messages call the scores `name`. */
static bool loss_check_indices(const char *me, const char *name, const ct_tensor *logits,
                               const ct_tensor *targets)
{
    ct_shape shape;

    if (!cti_want_float(me, name, logits) || !cti_want_index(me, "targets", targets) ||
        !cti_same_device(me, name, logits, "targets", targets))
        return false;
    shape = logits->shape;
    shape.rank--;
    if (logits->shape.rank < 1 || logits->shape.dim[shape.rank] < 1)
        ct_raise(CT_ERR_SHAPE, me, "%s %s must have at least one class, on its last axis", name,
                 cti_describe(logits).s);
    else if (!cti_same_shape(&shape, &targets->shape))
        ct_raise(CT_ERR_SHAPE, me,
                 "targets %s must have the shape of %s %s without its last axis, the classes",
                 cti_describe(targets).s, name, cti_describe(logits).s);
    else
        return true;
    return false;
}

/* Sorts the axes of logits, except the last, by falling strides. A transposed view becomes
 * contiguous in this order and need not be copied. */
static void loss_by_stride(const ct_tensor *logits, int *order)
{
    int n = logits->shape.rank - 1, i, k;

    for (i = 0; i < n; i++) {
        for (k = i; k > 0 && logits->stride[order[k - 1]] < logits->stride[i]; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    order[n] = n;
}

/* Permutes the leading axes of both to that order, which changes neither sum nor mean. */
static void loss_reorder(ct_tensor **logits, ct_tensor **targets)
{
    int order[CT_MAX_RANK], rank = (*logits)->shape.rank;

    if ((*logits)->contiguous)
        return;
    loss_by_stride(*logits, order);
    *logits = ct_permute(*logits, rank, order);
    *targets = ct_permute(*targets, rank - 1, order);
}

ct_tensor *cti_loss_reduced(ct_tensor *loss, ct_reduction reduction)
{
    if (reduction == CT_REDUCTION_NONE)
        return loss;
    return reduction == CT_REDUCTION_SUM ? ct_sum(loss) : ct_mean(loss);
}

bool cti_loss_check_reduction(const char *me, ct_reduction reduction)
{
    if (reduction == CT_REDUCTION_MEAN || reduction == CT_REDUCTION_SUM ||
        reduction == CT_REDUCTION_NONE)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "reduction is %d; it must be in 0..%d", (int)reduction,
             (int)CT_REDUCTION_NONE);
    return false;
}

static bool loss_check_smoothing(const char *me, double smoothing)
{
    if (smoothing >= 0 && smoothing <= 1)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "label_smoothing is %g; it must be in 0..1", smoothing);
    return false;
}

/* Checks the weights of the classes, if there are any, and detaches them. */
static bool loss_check_class_weight(const char *me, const char *name, const ct_tensor *scores,
                                    ct_tensor **weight)
{
    const ct_tensor *w = *weight;

    if (!w)
        return true;
    if (!cti_usable_as(me, "weight", w) || !cti_same_dtype(me, name, scores, "weight", w) ||
        !cti_same_device(me, name, scores, "weight", w))
        return false;
    if (w->shape.rank != 1 || w->shape.dim[0] != scores->shape.dim[scores->shape.rank - 1]) {
        ct_raise(CT_ERR_SHAPE, me, "weight %s must have one number for each class of %s %s",
                 cti_describe(w).s, name, cti_describe(scores).s);
        return false;
    }
    *weight = ct_detach(*weight);
    return *weight != NULL;
}

/* Returns the weight of each target, of the targets' shape; 0 for ignored targets. */
static ct_tensor *loss_target_weights(ct_tensor *weight, ct_tensor *targets, const ce *o)
{
    ct_tensor *counts = ct_squeeze(loss_counted(targets, o, weight->dtype), -1);
    ct_tensor *index = ct_mul(targets, ct_cast(counts, targets->dtype)); /* class 0 if ignored */
    ct_tensor *each = ct_index_select(weight, 0, ct_reshape(index, CT_SHAPE(ct_numel(targets))));

    return ct_mul(ct_reshape(each, targets->shape), counts);
}

/* loss = -sum over classes of w ((1 - s) target + s / C) log_softmax(logits) */
static ct_tensor *ce_probability_losses(const char *me, ct_tensor *logits, ct_tensor *targets,
                                        const ct_cross_entropy_options *o)
{
    const int last = -1;
    double s = o->label_smoothing;
    ct_tensor *weight = o->weight;

    if (!cti_same_dtype(me, "logits", logits, "targets", targets) ||
        !cti_same_device(me, "logits", logits, "targets", targets) ||
        !cti_want_float(me, "logits", logits))
        return NULL;
    if (logits->shape.rank < 1 || ct_size(logits, -1) < 1 ||
        !cti_same_shape(&logits->shape, &targets->shape)) {
        ct_raise(CT_ERR_SHAPE, me, "logits %s and targets %s must both be (..., classes)",
                 cti_describe(logits).s, cti_describe(targets).s);
        return NULL;
    }
    if (!loss_check_class_weight(me, "logits", logits, &weight))
        return NULL;
    if (o->has_ignore_index) {
        ct_raise(CT_ERR_ARGUMENT, me,
                 "has_ignore_index is set; targets %s are probabilities, not class indices",
                 cti_describe(targets).s);
        return NULL;
    }
    if (s != 0)
        targets = ct_add_scalar(ct_mul_scalar(targets, 1 - s), s / (double)ct_size(logits, -1));
    if (weight)
        targets = ct_mul(targets, weight);
    return ct_neg(ct_sum_axes(ct_mul(targets, ct_log_softmax(logits, -1)), 1, &last, false));
}

/* Cross-entropy of class indices, over rows: the data that its steps share. */
typedef struct ce_call {
    const char *me; /* the function that errors name */
    ce o;
    bool has_ignored;   /* targets may be ignored */
    ct_tensor *logits;  /* (rows, C) */
    ct_tensor *targets; /* (rows) */
    ct_tensor *weight;  /* (C), or NULL */
    ct_tensor *each;    /* if weight is not NULL: the weight of each target (rows), 0 for ignored
                         * targets */
} ce_call;

/* Multiplies loss (rows), which has no smoothing, by the weight of each target. With smoothing, adds
 * the terms of all classes, -s / C sum w log_softmax. */
static ct_tensor *ce_weighted(const ce_call *c, ct_tensor *loss)
{
    const int classes = 1; /* the axis of the classes */
    double s = c->o.smoothing;
    ct_tensor *all;

    loss = ct_mul(loss, c->each);
    if (s == 0 || !loss)
        return loss;
    all = ct_sum_axes(ct_mul(ct_log_softmax(c->logits, classes), c->weight), 1, &classes, true);
    all = ct_squeeze(loss_kept(all, c->targets, &c->o), classes);
    return ct_sub(ct_mul_scalar(loss, 1 - s),
                  ct_mul_scalar(all, s / (double)ct_size(c->logits, classes)));
}

/* Returns the weighted loss of each row. The kernel supports smoothing but not weights. */
static ct_tensor *ce_index_losses(ce_call *c)
{
    const ce sharp = { 0, c->o.ignore };
    ct_tensor *loss;

    if (!c->weight)
        return ce_row_losses(c->me, c->logits, c->targets, &c->o);
    loss = ce_row_losses(c->me, c->logits, c->targets, &sharp);
    if (!loss)
        return NULL;
    c->each = loss_target_weights(c->weight, c->targets, &c->o);
    return ce_weighted(c, loss);
}

/* Divides the sum of the losses by the sum of the weights of the targets, or by the number of
 * targets that are not ignored. */
static ct_tensor *ce_index_mean(const ce_call *c, ct_tensor *sum)
{
    if (c->each)
        return ct_div(sum, ct_sum(c->each));
    if (!c->has_ignored)
        return ct_div_scalar(sum, (double)ct_numel(c->targets));
    return ct_div(sum, ct_sum(loss_counted(c->targets, &c->o, sum->dtype)));
}

static ct_tensor *ce_of_indices(const char *me, ct_tensor *logits, ct_tensor *targets,
                                const ct_cross_entropy_options *options)
{
    const ct_shape shape = targets->shape;
    const ct_reduction reduction = options->reduction;
    ce_call c = { .me = me,
                  .o = { options->label_smoothing,
                         options->has_ignore_index ? options->ignore_index : INT64_MIN },
                  .has_ignored = options->has_ignore_index,
                  .weight = options->weight };
    ct_tensor *loss;

    if (reduction != CT_REDUCTION_NONE)
        loss_reorder(&logits, &targets);
    c.logits = ct_reshape(logits, CT_SHAPE(ct_numel(targets), ct_size(logits, -1)));
    c.targets = ct_contiguous(ct_reshape(targets, CT_SHAPE(ct_numel(targets))));
    loss = c.logits && c.targets ? ce_index_losses(&c) : NULL;
    if (reduction == CT_REDUCTION_NONE)
        return ct_reshape(loss, shape);
    loss = ct_sum(loss);
    return reduction == CT_REDUCTION_SUM || !loss ? loss : ce_index_mean(&c, loss);
}

bool cti_cross_entropy_options(const char *me, const ct_cross_entropy_options *options)
{
    return cti_loss_check_reduction(me, options->reduction) &&
           loss_check_smoothing(me, options->label_smoothing);
}

ct_tensor *cti_cross_entropy(const char *me, ct_tensor *logits, ct_tensor *targets,
                             ct_cross_entropy_options options)
{
    if (!cti_usable(me, logits) || !cti_usable(me, targets) ||
        !cti_cross_entropy_options(me, &options))
        return NULL;
    if (cti_is_float(targets->dtype))
        return cti_loss_reduced(ce_probability_losses(me, logits, targets, &options),
                                options.reduction);
    if (!loss_check_indices(me, "logits", logits, targets) ||
        !loss_check_class_weight(me, "logits", logits, &options.weight))
        return NULL;
    return ce_of_indices(me, logits, targets, &options);
}

ct_tensor *ct_cross_entropy_with(ct_tensor *logits, ct_tensor *targets,
                                 ct_cross_entropy_options options)
{
    return cti_cross_entropy("ct_cross_entropy", logits, targets, options);
}

ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *targets)
{
    return ct_cross_entropy_with(logits, targets,
                                 (ct_cross_entropy_options){ .reduction = CT_REDUCTION_MEAN });
}

/* ---- nll ---- */

/* Returns -log_probs[target] times the weight of each row, 0 if the row is ignored. *count becomes
 * the divisor of the mean; NULL means the number of rows. */
static ct_tensor *loss_nll_rows(ct_tensor *log_probs, ct_tensor *targets,
                                const ct_cross_entropy_options *options, ct_tensor **count)
{
    ce o = { 0, options->has_ignore_index ? options->ignore_index : INT64_MIN };
    ct_tensor *index = ct_unsqueeze(targets, -1), *counts, *rows;

    *count = NULL;
    if (!options->has_ignore_index && !options->weight)
        return ct_neg(ct_squeeze(cti_gather("ct_nll_loss", log_probs, -1, index), -1));
    counts = loss_counted(targets, &o, log_probs->dtype);   /* (..., 1) */
    index = ct_mul(index, ct_cast(counts, targets->dtype)); /* class 0 where ignored */
    rows = cti_gather("ct_nll_loss", log_probs, -1, index);
    if (!rows)
        return NULL;
    rows = ct_where(ct_cast(counts, CT_BOOL), rows, ct_zeros(CT_SCALAR, rows->dtype, rows->device));
    if (options->weight) {
        counts = ct_unsqueeze(loss_target_weights(options->weight, targets, &o), -1);
        rows = ct_mul(rows, counts);
    }
    *count = ct_sum(counts);
    return *count ? ct_neg(ct_squeeze(rows, -1)) : NULL;
}

ct_tensor *ct_nll_loss(ct_tensor *log_probs, ct_tensor *targets, ct_cross_entropy_options options)
{
    static const char *const me = "ct_nll_loss";
    ct_tensor *rows, *count;

    if (!cti_usable(me, log_probs) || !cti_usable(me, targets) ||
        !cti_optional_as(me, "weight", options.weight) ||
        !cti_loss_check_reduction(me, options.reduction) ||
        !loss_check_indices(me, "log_probs", log_probs, targets) ||
        !loss_check_class_weight(me, "log_probs", log_probs, &options.weight))
        return NULL;
    if (options.label_smoothing != 0) {
        ct_raise(CT_ERR_ARGUMENT, me, "label_smoothing is %g; it must be 0",
                 options.label_smoothing);
        return NULL;
    }
    rows = loss_nll_rows(log_probs, targets, &options, &count);
    if (count && options.reduction == CT_REDUCTION_MEAN)
        return ct_div(ct_sum(rows), count);
    return cti_loss_reduced(rows, options.reduction);
}

/* ---- losses of a difference ---- */

bool cti_loss_check_pair(const char *me, const char *name, const ct_tensor *x,
                         const ct_tensor *target, ct_reduction reduction)
{
    if (!cti_usable(me, x) || !cti_usable(me, target) || !cti_loss_check_reduction(me, reduction) ||
        !cti_want_float(me, name, x) || !cti_same_dtype(me, name, x, "target", target) ||
        !cti_same_device(me, name, x, "target", target))
        return false;
    if (cti_same_shape(&x->shape, &target->shape))
        return true;
    ct_raise(CT_ERR_SHAPE, me, "%s %s and target %s differ in shape", name, cti_describe(x).s,
             cti_describe(target).s);
    return false;
}

ct_tensor *ct_mse_loss(ct_tensor *x, ct_tensor *target, ct_reduction reduction)
{
    if (!cti_loss_check_pair("ct_mse_loss", "x", x, target, reduction))
        return NULL;
    return cti_loss_reduced(ct_square(ct_sub(x, target)), reduction);
}

ct_tensor *ct_l1_loss(ct_tensor *x, ct_tensor *target, ct_reduction reduction)
{
    if (!cti_loss_check_pair("ct_l1_loss", "x", x, target, reduction))
        return NULL;
    return cti_loss_reduced(ct_abs(ct_sub(x, target)), reduction);
}

/* Computed as c (e - c / 2) with c = clamp(e, -delta, delta), which covers both branches. */
ct_tensor *ct_huber_loss(ct_tensor *x, ct_tensor *target, double delta, ct_reduction reduction)
{
    ct_tensor *e, *c;

    if (!cti_loss_check_pair("ct_huber_loss", "x", x, target, reduction))
        return NULL;
    if (!(delta > 0)) {
        ct_raise(CT_ERR_ARGUMENT, "ct_huber_loss", "delta is %g; it must be above 0", delta);
        return NULL;
    }
    e = ct_sub(x, target);
    c = ct_clamp(e, -delta, delta);
    return cti_loss_reduced(ct_mul(c, ct_sub(e, ct_mul_scalar(c, 0.5))), reduction);
}

ct_tensor *ct_smooth_l1_loss(ct_tensor *x, ct_tensor *target, double beta, ct_reduction reduction)
{
    ct_tensor *e, *c;

    if (!cti_loss_check_pair("ct_smooth_l1_loss", "x", x, target, reduction))
        return NULL;
    if (!(beta >= 0)) {
        ct_raise(CT_ERR_ARGUMENT, "ct_smooth_l1_loss", "beta is %g; it must be at least 0", beta);
        return NULL;
    }
    e = ct_sub(x, target);
    if (beta == 0)
        return cti_loss_reduced(ct_abs(e), reduction);
    c = ct_div_scalar(ct_clamp(e, -beta, beta), beta);
    return cti_loss_reduced(ct_mul(c, ct_sub(e, ct_mul_scalar(c, beta / 2))), reduction);
}

/* Checks a weight that broadcasts to logits, if there is one, and detaches it. */
static bool loss_check_weight(const char *me, const char *name, const ct_tensor *logits,
                              ct_tensor **weight)
{
    const ct_tensor *w = *weight;
    ct_shape shape;

    if (!w)
        return true;
    if (!cti_usable_as(me, name, w) || !cti_same_dtype(me, "logits", logits, name, w) ||
        !cti_same_device(me, "logits", logits, name, w))
        return false;
    if (cti_broadcast_shapes(&logits->shape, &w->shape, &shape) >= 0 ||
        !cti_same_shape(&shape, &logits->shape)) {
        ct_raise(CT_ERR_SHAPE, me, "%s %s does not broadcast to logits %s", name, cti_describe(w).s,
                 cti_describe(logits).s);
        return false;
    }
    *weight = ct_detach(*weight);
    return *weight != NULL;
}

/* w ((1 - target) x + (1 + (p - 1) target) log(1 + exp(-x))) */
ct_tensor *ct_bce_with_logits(ct_tensor *logits, ct_tensor *target, ct_bce_options options)
{
    static const char *const me = "ct_bce_with_logits";
    ct_tensor *log_plus, *loss;

    if (!cti_usable(me, logits) || !cti_usable(me, target) ||
        !cti_loss_check_pair(me, "logits", logits, target, options.reduction) ||
        !loss_check_weight(me, "weight", logits, &options.weight) ||
        !loss_check_weight(me, "pos_weight", logits, &options.pos_weight))
        return NULL;
    log_plus = ct_softplus(ct_neg(logits));
    if (options.pos_weight)
        log_plus = ct_mul(log_plus,
                          ct_add_scalar(ct_mul(ct_add_scalar(options.pos_weight, -1), target), 1));
    loss = ct_add(ct_mul(ct_rsub_scalar(target, 1), logits), log_plus);
    if (options.weight)
        loss = ct_mul(loss, options.weight);
    return cti_loss_reduced(loss, options.reduction);
}

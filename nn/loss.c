/* loss.c - losses. Cross-entropy of class indices is fused, one kernel forward and one backward;
 * the others are made of ops, whose derivatives serve. */
#include "autograd/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/shape.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/nn/loss.h>

typedef struct ce {
    double smoothing;
    int64_t ignore;
} ce;

/* dlogits = dloss (softmax(logits) - target), as an op of logits, targets, lse and dloss. Its own
 * derivative, e coming:  ddloss = sum e (softmax - target)
 *                        dlogits = dloss softmax (e - sum e softmax) */
static ct_tensor *cross_entropy_backward(ct_tensor *logits, ct_tensor *targets, ct_tensor *lse,
                                         ct_tensor *dloss, const ce *o);

/* 1 for rows that count, 0 for ignored ones; (rows, 1) */
static ct_tensor *counted(ct_tensor *targets, const ce *o, ct_dtype dtype)
{
    ct_tensor *ignore = ct_full(CT_SCALAR, (double)o->ignore, targets->dtype, targets->device);

    return ct_unsqueeze(ct_cast(ct_ne(targets, ignore), dtype), -1);
}

static void backward_grad(ct_node *n, ct_tensor *const *dout)
{
    const ce *o = ct_node_attributes(n);
    ct_tensor *logits = ct_node_input(n, 0), *targets = ct_node_input(n, 1),
              *lse = ct_node_input(n, 2);
    ct_tensor *dloss = ct_node_input(n, 3), *e = dout[0], *p, *inner;
    const int classes = 1; /* their axis */

    if (!logits || !targets || !dloss)
        return;
    if (ct_node_needs_grad(n, 3)) {
        ct_tensor *ones = ct_ones(dloss->shape, dloss->dtype, dloss->device);
        ct_tensor *slope = cross_entropy_backward(logits, targets, lse, ones, o);

        ct_node_add_grad(n, 3, ct_sum_axes(ct_mul(e, slope), 1, &classes, false));
    }
    if (ct_node_needs_grad(n, 0)) {
        p = ct_softmax(logits, classes);
        inner = ct_sum_axes(ct_mul(e, p), 1, &classes, true);
        ct_node_add_grad(n, 0,
                         ct_mul(ct_mul(ct_unsqueeze(dloss, classes), counted(targets, o, e->dtype)),
                                ct_mul(p, ct_sub(e, inner))));
    }
}

static const ct_op backward_op = { .name = "ct_cross_entropy_backward",
                                   .inputs = 4,
                                   .outputs = 1,
                                   .saves = CT_SAVE_INPUTS,
                                   .backward = backward_grad };

static ct_tensor *cross_entropy_backward(ct_tensor *logits, ct_tensor *targets, ct_tensor *lse,
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
        step = 0; /* one value for all rows, as a sum's derivative is */
    else
        d = cti_contiguous(dloss);
    if (!x || !d)
        return NULL;
    cti_backend_of(y->device)->cross_entropy_backward(
        y->dtype, targets->dtype, y->shape.dim[0], y->shape.dim[1], cti_ptr(x), cti_ptr(targets),
        o->ignore, o->smoothing, cti_ptr(lse), cti_ptr(d), step, cti_ptr(y));
    return ct_record(&backward_op, 4, in, 1, &y, o, sizeof *o) ? y : NULL;
}

static void rows_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *logits = ct_node_input(n, 0), *targets = ct_node_input(n, 1),
              *lse = ct_node_output(n, 1);

    if (dout[0])
        ct_node_add_grad(n, 0,
                         cross_entropy_backward(logits, targets, lse ? ct_detach(lse) : NULL,
                                                dout[0], ct_node_attributes(n)));
}

static const ct_op rows_op = { .name = "ct_cross_entropy",
                               .inputs = 2,
                               .outputs = 2,
                               .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                               .backward = rows_grad };

/* The loss of each row: logits (rows, C), targets (rows), contiguous. */
static ct_tensor *row_losses(ct_tensor *logits, ct_tensor *targets, const ce *o)
{
    ct_tensor *in[2] = { logits, targets }, *out[2], *x;
    int64_t rows = logits->shape.dim[0], classes = logits->shape.dim[1];
    cti_fault fault;

    out[0] = cti_new(rows_op.name, CT_SHAPE(rows), logits->dtype, logits->device);
    out[1] = cti_new(rows_op.name, CT_SHAPE(rows), logits->dtype, logits->device);
    x = cti_contiguous(logits);
    if (!out[0] || !out[1] || !x)
        return NULL;
    fault = cti_fault_at(x->device, CTI_FAULT_TARGET, rows_op.name, classes);
    if (cti_backend_of(x->device)->cross_entropy(
            x->dtype, targets->dtype, rows, classes, cti_ptr(x), cti_ptr(targets), o->ignore,
            o->smoothing, cti_ptr(out[0]), cti_ptr(out[1]), &fault) != CT_OK) {
        ct_raise(CT_ERR_INDEX, rows_op.name, "target %.0f, number %lld, is not in 0..%lld",
                 ct_item(ct_select(targets, 0, fault.position)), (long long)fault.position,
                 (long long)classes - 1);
        return NULL;
    }
    return ct_record(&rows_op, 2, in, 2, out, o, sizeof *o) ? out[0] : NULL;
}

/* logits, or what name calls them, and targets that are indices. */
static bool check(const char *me, const char *name, const ct_tensor *logits,
                  const ct_tensor *targets)
{
    ct_shape shape;

    if (!cti_want_float(me, name, logits) || !cti_want_index(me, "targets", targets) ||
        !cti_same_device(me, name, logits, "targets", targets))
        return false;
    shape = logits->shape;
    shape.rank--;
    if (logits->shape.rank < 1 || !cti_same_shape(&shape, &targets->shape) ||
        logits->shape.dim[shape.rank] < 1) {
        ct_raise(CT_ERR_SHAPE, me, "%s %s (..., classes) and targets %s do not fit", name,
                 cti_describe(logits).s, cti_describe(targets).s);
        return false;
    }
    return true;
}

/* The order of the axes of logits, the last apart, by falling strides: a transposed view becomes
 * contiguous again, and no copy of it is made. */
static void by_stride(const ct_tensor *logits, int *order)
{
    int n = logits->shape.rank - 1, i, k;

    for (i = 0; i < n; i++) {
        for (k = i; k > 0 && logits->stride[order[k - 1]] < logits->stride[i]; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    order[n] = n;
}

/* Both with the same leading axes in that order, which changes neither sum nor mean. */
static void reorder(ct_tensor **logits, ct_tensor **targets)
{
    int order[CT_MAX_RANK], rank = (*logits)->shape.rank;

    if ((*logits)->contiguous)
        return;
    by_stride(*logits, order);
    *logits = ct_permute(*logits, rank, order);
    *targets = ct_permute(*targets, rank - 1, order);
}

/* loss reduced over all its elements. */
static ct_tensor *reduced(ct_tensor *loss, ct_reduction reduction)
{
    if (reduction == CT_REDUCTION_NONE)
        return loss;
    return reduction == CT_REDUCTION_SUM ? ct_sum(loss) : ct_mean(loss);
}

static bool good_reduction(const char *me, ct_reduction reduction)
{
    if (reduction == CT_REDUCTION_MEAN || reduction == CT_REDUCTION_SUM ||
        reduction == CT_REDUCTION_NONE)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "there is no reduction %d", (int)reduction);
    return false;
}

static bool good_smoothing(const char *me, double smoothing)
{
    if (smoothing >= 0 && smoothing <= 1)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "label_smoothing %g is not in 0..1", smoothing);
    return false;
}

/* A weight of each class, where there is one, as a constant: it fits, or an error is raised. */
static bool good_weight(const char *me, const char *name, const ct_tensor *scores,
                        ct_tensor **weight)
{
    const ct_tensor *w = *weight;

    if (!w)
        return true;
    if (!cti_usable_as(me, "weight", w) || !cti_same_dtype(me, name, scores, "weight", w) ||
        !cti_same_device(me, name, scores, "weight", w))
        return false;
    if (w->shape.rank != 1 || w->shape.dim[0] != scores->shape.dim[scores->shape.rank - 1]) {
        ct_raise(CT_ERR_SHAPE, me, "weight %s is not one number for each class of %s %s",
                 cti_describe(w).s, name, cti_describe(scores).s);
        return false;
    }
    *weight = ct_detach(*weight);
    return *weight != NULL;
}

/* The weight (...) of each target (...), 0 where it is ignored. */
static ct_tensor *target_weights(ct_tensor *weight, ct_tensor *targets, const ce *o)
{
    ct_tensor *counts = ct_squeeze(counted(targets, o, weight->dtype), -1);
    ct_tensor *index = ct_mul(targets, ct_cast(counts, targets->dtype)); /* class 0 if ignored */
    ct_tensor *each = ct_index_select(weight, 0, ct_reshape(index, CT_SHAPE(ct_numel(targets))));

    return ct_mul(ct_reshape(each, targets->shape), counts);
}

/* loss = -sum over classes of w ((1 - s) target + s / C) log_softmax(logits) */
static ct_tensor *probability_losses(ct_tensor *logits, ct_tensor *targets,
                                     const ct_cross_entropy_options *o)
{
    static const char *const me = "ct_cross_entropy";
    const int last = -1;
    double s = o->label_smoothing;
    ct_tensor *weight = o->weight;

    if (!cti_same_dtype(me, "logits", logits, "targets", targets) ||
        !cti_same_device(me, "logits", logits, "targets", targets) ||
        !cti_want_float(me, "logits", logits))
        return NULL;
    if (logits->shape.rank < 1 || ct_size(logits, -1) < 1 ||
        !cti_same_shape(&logits->shape, &targets->shape)) {
        ct_raise(CT_ERR_SHAPE, me, "logits %s (..., classes) and targets %s do not fit",
                 cti_describe(logits).s, cti_describe(targets).s);
        return NULL;
    }
    if (!good_weight(me, "logits", logits, &weight))
        return NULL;
    if (o->has_ignore_index) {
        ct_raise(CT_ERR_ARGUMENT, me, "ignore_index %lld for targets %s, which are probabilities",
                 (long long)o->ignore_index, cti_describe(targets).s);
        return NULL;
    }
    if (s != 0)
        targets = ct_add_scalar(ct_mul_scalar(targets, 1 - s), s / (double)ct_size(logits, -1));
    if (weight)
        targets = ct_mul(targets, weight);
    return ct_neg(ct_sum_axes(ct_mul(targets, ct_log_softmax(logits, -1)), 1, &last, false));
}

/* loss, of rows (rows, C) and flat (rows) without smoothing, times each target's weight (0 where it
 * is ignored); the smoothed share is -s / C sum w log_softmax. */
static ct_tensor *weighted(ct_tensor *loss, ct_tensor *rows, ct_tensor *flat, ct_tensor *weight,
                           ct_tensor *each, const ce *o)
{
    const int classes = 1; /* their axis */
    double s = o->smoothing;
    ct_tensor *all;

    loss = ct_mul(loss, each);
    if (s == 0 || !loss)
        return loss;
    all = ct_sum_axes(ct_mul(ct_log_softmax(rows, classes), weight), 1, &classes, false);
    all = ct_mul(all, ct_squeeze(counted(flat, o, rows->dtype), classes));
    return ct_sub(ct_mul_scalar(loss, 1 - s),
                  ct_mul_scalar(all, s / (double)ct_size(rows, classes)));
}

ct_tensor *ct_cross_entropy_with(ct_tensor *logits, ct_tensor *targets,
                                 ct_cross_entropy_options options)
{
    static const char *const me = "ct_cross_entropy";
    ce o = { options.label_smoothing, options.has_ignore_index ? options.ignore_index : INT64_MIN };
    ce sharp = { 0, o.ignore };
    ct_tensor *rows, *flat, *loss, *each = NULL;
    ct_shape shape;

    if (!cti_usable(me, logits) || !cti_usable(me, targets) ||
        !good_reduction(me, options.reduction) || !good_smoothing(me, o.smoothing))
        return NULL;
    if (cti_is_float(targets->dtype))
        return reduced(probability_losses(logits, targets, &options), options.reduction);
    if (!check(me, "logits", logits, targets) ||
        !good_weight(me, "logits", logits, &options.weight))
        return NULL;
    shape = targets->shape;
    if (options.reduction != CT_REDUCTION_NONE)
        reorder(&logits, &targets);
    rows = ct_reshape(logits, CT_SHAPE(ct_numel(targets), ct_size(logits, -1)));
    flat = ct_contiguous(ct_reshape(targets, CT_SHAPE(ct_numel(targets))));
    loss = rows && flat ? row_losses(rows, flat, options.weight ? &sharp : &o) : NULL;
    if (loss && options.weight) {
        each = target_weights(options.weight, flat, &o);
        loss = weighted(loss, rows, flat, options.weight, each, &o);
    }
    if (options.reduction == CT_REDUCTION_NONE)
        return ct_reshape(loss, shape);
    loss = ct_sum(loss);
    if (options.reduction == CT_REDUCTION_SUM || !loss)
        return loss;
    if (each)
        return ct_div(loss, ct_sum(each));
    if (!options.has_ignore_index)
        return ct_div_scalar(loss, (double)ct_numel(targets));
    return ct_div(loss, ct_sum(counted(flat, &o, loss->dtype)));
}

ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *targets)
{
    return ct_cross_entropy_with(logits, targets,
                                 (ct_cross_entropy_options){ .reduction = CT_REDUCTION_MEAN });
}

/* ---- nll ---- */

/* -log_probs[target] of each row, 0 where ignored, times its weight; *count becomes the mean's
 * divisor, or NULL for the number of rows. */
static ct_tensor *nll_rows(ct_tensor *log_probs, ct_tensor *targets,
                           const ct_cross_entropy_options *options, ct_tensor **count)
{
    ce o = { 0, options->has_ignore_index ? options->ignore_index : INT64_MIN };
    ct_tensor *index = ct_unsqueeze(targets, -1), *counts, *rows;

    *count = NULL;
    if (!options->has_ignore_index && !options->weight)
        return ct_neg(ct_squeeze(cti_gather("ct_nll_loss", log_probs, -1, index), -1));
    counts = counted(targets, &o, log_probs->dtype);        /* (..., 1) */
    index = ct_mul(index, ct_cast(counts, targets->dtype)); /* class 0 where ignored */
    rows = cti_gather("ct_nll_loss", log_probs, -1, index);
    if (!rows)
        return NULL;
    rows = ct_where(ct_cast(counts, CT_BOOL), rows, ct_zeros(CT_SCALAR, rows->dtype, rows->device));
    if (options->weight) {
        counts = ct_unsqueeze(target_weights(options->weight, targets, &o), -1);
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
        !good_reduction(me, options.reduction) || !check(me, "log_probs", log_probs, targets) ||
        !good_weight(me, "log_probs", log_probs, &options.weight))
        return NULL;
    if (options.label_smoothing != 0) {
        ct_raise(CT_ERR_ARGUMENT, me, "label_smoothing %g: nll has none", options.label_smoothing);
        return NULL;
    }
    rows = nll_rows(log_probs, targets, &options, &count);
    if (count && options.reduction == CT_REDUCTION_MEAN)
        return ct_div(ct_sum(rows), count);
    return reduced(rows, options.reduction);
}

/* ---- losses of a difference ---- */

static bool same_form(const char *me, const char *name, const ct_tensor *x, const ct_tensor *target,
                      ct_reduction reduction)
{
    if (!cti_usable(me, x) || !cti_usable(me, target) || !good_reduction(me, reduction) ||
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
    if (!same_form("ct_mse_loss", "x", x, target, reduction))
        return NULL;
    return reduced(ct_square(ct_sub(x, target)), reduction);
}

ct_tensor *ct_l1_loss(ct_tensor *x, ct_tensor *target, ct_reduction reduction)
{
    if (!same_form("ct_l1_loss", "x", x, target, reduction))
        return NULL;
    return reduced(ct_abs(ct_sub(x, target)), reduction);
}

/* c (e - c / 2) with c = clamp(e, -delta, delta), which is both branches in one. */
ct_tensor *ct_huber_loss(ct_tensor *x, ct_tensor *target, double delta, ct_reduction reduction)
{
    ct_tensor *e, *c;

    if (!same_form("ct_huber_loss", "x", x, target, reduction))
        return NULL;
    if (!(delta > 0)) {
        ct_raise(CT_ERR_ARGUMENT, "ct_huber_loss", "delta %g is not above 0", delta);
        return NULL;
    }
    e = ct_sub(x, target);
    c = ct_clamp(e, -delta, delta);
    return reduced(ct_mul(c, ct_sub(e, ct_mul_scalar(c, 0.5))), reduction);
}

/* A weight that broadcasts to logits, where there is one, as a constant. */
static bool good_share(const char *me, const char *name, const ct_tensor *logits,
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

    if (!same_form(me, "logits", logits, target, options.reduction) ||
        !good_share(me, "weight", logits, &options.weight) ||
        !good_share(me, "pos_weight", logits, &options.pos_weight))
        return NULL;
    log_plus = ct_softplus(ct_neg(logits));
    if (options.pos_weight)
        log_plus = ct_mul(log_plus,
                          ct_add_scalar(ct_mul(ct_add_scalar(options.pos_weight, -1), target), 1));
    loss = ct_add(ct_mul(ct_rsub_scalar(target, 1), logits), log_plus);
    if (options.weight)
        loss = ct_mul(loss, options.weight);
    return reduced(loss, options.reduction);
}

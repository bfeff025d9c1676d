/* SPDX-License-Identifier: MIT */
/* loss.h - losses.
 *
 * Class scores are on the last axis (PyTorch: axis 1). Every loss returns a tensor of the innermost
 * scope: a scalar for CT_REDUCTION_MEAN and CT_REDUCTION_SUM, one value for each row or element for
 * CT_REDUCTION_NONE. A mean over no elements is NaN. In the formulas of derivatives, d is the
 * gradient of the output. A loss is differentiable with respect to both arguments, class indices
 * excepted.
 *
 * All functions raise CT_ERR_SHAPE, CT_ERR_DTYPE or CT_ERR_DEVICE if the shapes, dtypes or devices
 * of their arguments do not agree, and CT_ERR_ARGUMENT if the reduction is not in the
 * enumeration. */
#ifndef COTANGENT_NN_LOSS_H
#define COTANGENT_NN_LOSS_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ct_reduction {
    CT_REDUCTION_MEAN,
    CT_REDUCTION_SUM,
    CT_REDUCTION_NONE,
    CT_REDUCTION_BATCHMEAN /* ct_kl_div only: the sum divided by the size of axis 0 */
} ct_reduction;

typedef struct ct_cross_entropy_options {
    ct_reduction reduction; /* the mean is over the targets that are not ignored */
    double label_smoothing; /* in [0, 1]: the share that is spread over all classes */
    bool has_ignore_index;  /* targets equal to ignore_index do not contribute to the loss */
    int64_t ignore_index;   /* the class to ignore if has_ignore_index is set; PyTorch's default is
                            * -100 */

    /* (C), with the dtype of the logits: the weight of each class. NULL: all 1. A mean is divided
     * by the sum of the weights of the targets. No gradient flows into it. */
    ct_tensor *weight;
} ct_cross_entropy_options;

/* Cross-entropy in nats: -log(softmax(logits)[target]) for logits (..., C) f32 or f64 and class
 * indices targets (...) i32 or i64. ct_cross_entropy returns the mean.
 *     dlogits = d (softmax(logits) - one_hot(target)) / n
 * CT_ERR_INDEX if a target is not in 0..C-1 and not ignored. CT_ERR_ARGUMENT if label_smoothing is
 * not in [0, 1].
 *
 * Targets with the shape and dtype of logits are class probabilities. The loss of a row is then
 * -sum(targets log(softmax(logits))), and the mean is over all rows; label_smoothing and weight
 * apply too.
 *     dtargets = -d log(softmax(logits)) / n
 * CT_ERR_ARGUMENT if has_ignore_index is set with class probabilities. */
ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *targets);
ct_tensor *ct_cross_entropy_with(ct_tensor *logits, ct_tensor *targets,
                                 ct_cross_entropy_options options);

/* ct_cross_entropy_with(ct_linear(x, weight, bias), targets, options): x (..., in), weight (C, in),
 * bias (C) or NULL, and class indices targets (...) or class probabilities (..., C).
 *
 * On the CPU, a mean or a sum over class indices without class weights is computed in tiles: the
 * scores (..., C) are never in memory as a whole, and the gradients are computed with the loss. This
 * needs less time and less memory than the two functions. Otherwise it calls them. The value is the
 * same up to rounding. Errors are those of ct_linear and ct_cross_entropy_with. */
ct_tensor *ct_linear_cross_entropy(ct_tensor *x, ct_tensor *weight, ct_tensor *bias,
                                   ct_tensor *targets, ct_cross_entropy_options options);

/* Negative log-likelihood: -log_probs[target] for log_probs (..., C), as ct_log_softmax returns
 * them, and class indices targets (...) i32 or i64.
 *     dlog_probs = -d one_hot(target) / n
 * Options and errors are those of ct_cross_entropy_with; CT_ERR_ARGUMENT if label_smoothing is not
 * 0. */
ct_tensor *ct_nll_loss(ct_tensor *log_probs, ct_tensor *targets, ct_cross_entropy_options options);

/* Losses of the difference e = x - target of two f32 or f64 tensors. The shapes must be equal;
 * nothing is broadcast.
 *     mse    e^2                                                    dx = 2 d e
 *     l1     |e|                                                    dx = d sign(e)
 *     huber  e^2 / 2 if |e| <= delta, else delta (|e| - delta / 2)  dx = d clamp(e, -delta, delta)
 *     smooth_l1  huber with delta = beta, divided by beta; l1 if beta is 0
 * dtarget = -dx. CT_ERR_ARGUMENT if delta is not above 0, or beta not at least 0. */
ct_tensor *ct_mse_loss(ct_tensor *x, ct_tensor *target, ct_reduction reduction);
ct_tensor *ct_l1_loss(ct_tensor *x, ct_tensor *target, ct_reduction reduction);
ct_tensor *ct_huber_loss(ct_tensor *x, ct_tensor *target, double delta, ct_reduction reduction);
ct_tensor *ct_smooth_l1_loss(ct_tensor *x, ct_tensor *target, double beta, ct_reduction reduction);

/* weight and pos_weight broadcast to logits, have its dtype and get no gradient. */
typedef struct ct_bce_options {
    ct_reduction reduction; /* the mean is over all elements, whatever their weights */
    ct_tensor *weight;      /* the weight w of each element; NULL: 1 */
    ct_tensor *pos_weight;  /* the weight p of positive targets; NULL: 1 */
} ct_bce_options;

/* Binary cross-entropy, computed without overflow: with s = sigmoid(logits)
 *     -w (p target log(s) + (1 - target) log(1 - s))
 * for logits and target f32 or f64 of one shape. Without weights
 *     dlogits = d (s - target)      dtarget = -d logits */
ct_tensor *ct_bce_with_logits(ct_tensor *logits, ct_tensor *target, ct_bce_options options);

/* ---- losses of distributions ---- */

typedef struct ct_kl_div_options {
    ct_reduction
        reduction;   /* CT_REDUCTION_BATCHMEAN is the divergence itself; see PyTorch's kl_div */
    bool log_target; /* target holds logarithms of probabilities */
} ct_kl_div_options;

/* The Kullback-Leibler divergence of the distribution x from target, element by element:
 *     target (log(target) - x), and 0 where target is 0      dx = -d target
 * x holds logarithms of probabilities, as ct_log_softmax returns them; target has its shape and
 * dtype. With log_target the element is exp(target) (target - x). */
ct_tensor *ct_kl_div(ct_tensor *x, ct_tensor *target, ct_kl_div_options options);

typedef struct ct_gaussian_nll_options {
    ct_reduction reduction;
    bool full;  /* add log(2 pi) / 2, which is constant */
    double eps; /* variances below it count as eps; default 1e-6 */
} ct_gaussian_nll_options;

/* The negative log-likelihood of target under normal distributions with means x and variances var:
 *     (log(v) + (x - target)^2 / v) / 2      for v = max(var, eps)
 * var has x's shape, or x's shape with the last size 1 or without the last axis. As in PyTorch, the
 * gradient of v passes to var unchanged, even where var is below eps. Unlike in PyTorch, a negative
 * variance raises no error; it counts as eps. CT_ERR_ARGUMENT if eps is negative or NaN. */
ct_tensor *ct_gaussian_nll_loss(ct_tensor *x, ct_tensor *target, ct_tensor *var,
                                ct_gaussian_nll_options options);

/* ---- sequences ---- */

typedef struct ct_ctc_options {
    ct_reduction reduction; /* for the mean, each loss is divided by its number of labels first */
    int64_t blank;          /* the class that means "no label" */
    bool zero_infinity;     /* losses of sequences without a path, and their gradients, are 0 */
} ct_ctc_options;

/* Connectionist temporal classification (Graves et al., 2006): minus the log of the probability of
 * the labels, which is the sum of the probabilities of all paths (alignments) that give the labels.
 * log_probs (steps, batch, classes), f32 or f64, as ct_log_softmax returns them; targets (batch,
 * labels), or the labels of all sequences one after another (rank 1); input_lengths and
 * target_lengths (batch) are the numbers of steps and labels of each sequence. Indices are i32 or
 * i64.
 *
 * A sequence with too few steps for its labels has no path (equal labels in a row need a blank
 * between them). Its loss is infinite and its gradient NaN, as in PyTorch; with zero_infinity both
 * are 0. The gradient is the derivative by log_probs; PyTorch's adds exp(log_probs), which
 * ct_log_softmax cancels. There is no second derivative by log_probs (CT_ERR_GRAD).
 *
 * Waits for an asynchronous device, because lengths and targets are checked on the host:
 * CT_ERR_ARGUMENT for a length that is negative or larger than the number of steps or labels, and
 * for a blank that is not in 0..classes - 1; CT_ERR_INDEX for a label that is not in 0..classes - 1
 * or is the blank. */
ct_tensor *ct_ctc_loss(ct_tensor *log_probs, ct_tensor *targets, ct_tensor *input_lengths,
                       ct_tensor *target_lengths, ct_ctc_options options);

/* ---- losses of distances ---- */

/* The cosine of the angle between a and b along axis: a b / (max(|a|, eps) max(|b|, eps)). a and b
 * broadcast; axis is an axis of the broadcast shape, and the result lacks it. PyTorch's defaults
 * are axis 1 and eps 1e-8. The gradient of the maximum passes to the norm unchanged, as in PyTorch.
 * CT_ERR_SHAPE for a wrong axis, CT_ERR_ARGUMENT if eps is negative or NaN. */
ct_tensor *ct_cosine_similarity(ct_tensor *a, ct_tensor *b, int axis, double eps);

/* For rows a and b (..., n) and target (...) of 1 and -1, of their dtype, i32 or i64: with c the
 * cosine of the angle between the rows, 1 - c where target is 1 and max(0, c - margin) where it is
 * -1; 0 for any other target. PyTorch's default for margin is 0. No gradient flows into target. */
ct_tensor *ct_cosine_embedding_loss(ct_tensor *a, ct_tensor *b, ct_tensor *target, double margin,
                                    ct_reduction reduction);

/* max(0, margin - target (a - b)) for a, b and target of one shape and dtype: a must be ranked higher
 * where target is 1, b where it is -1. PyTorch's default for margin is 0. */
ct_tensor *ct_margin_ranking_loss(ct_tensor *a, ct_tensor *b, ct_tensor *target, double margin,
                                  ct_reduction reduction);

typedef struct ct_triplet_margin_options {
    ct_reduction reduction;
    double margin; /* default 1; CT_ZERO means 0 */
    double p;      /* the degree of the norm; default 2 */
    double eps;    /* added to each difference; default 1e-6; CT_ZERO means 0 */
    bool swap;     /* use the distance of positive and negative if it is smaller than that of anchor
                    * and negative (Balntas et al., 2016) */
} ct_triplet_margin_options;

/* max(0, margin + D(anchor, positive) - D(anchor, negative)) for rows (..., n) of one shape and
 * dtype, where D(a, b) = |a - b + eps| in the p-norm (Schroff et al., 2015). CT_ERR_ARGUMENT if margin
 * is negative, p is not above 0, or eps is negative. */
ct_tensor *ct_triplet_margin_loss(ct_tensor *anchor, ct_tensor *positive, ct_tensor *negative,
                                  ct_triplet_margin_options options);

#ifdef __cplusplus
}
#endif
#endif

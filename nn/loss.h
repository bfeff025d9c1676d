/* loss.h - losses. Class scores are on the last axis (PyTorch has them on axis 1). A mean of no
 * elements is NaN. Both arguments of a loss may have history. */
#ifndef COTANGENT_NN_LOSS_H
#define COTANGENT_NN_LOSS_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ct_reduction { CT_REDUCTION_MEAN, CT_REDUCTION_SUM, CT_REDUCTION_NONE } ct_reduction;

typedef struct ct_cross_entropy_options {
    ct_reduction reduction; /* the mean is over targets that are not ignored */
    double label_smoothing; /* 0..1: this share of each target is spread over all classes */
    bool has_ignore_index;  /* targets equal to ignore_index count 0; without it none is */
    int64_t ignore_index;   /* ignored (PyTorch ignores -100) */
    ct_tensor *weight;      /* (C): what a row of each class counts; NULL: 1. Gets no gradient */
} ct_cross_entropy_options;

/* Minus the log of softmax(logits)[target], in nats: logits (..., C) f32 or f64, targets (...) i32
 * or i64, both contiguous or not; rank 0, the mean. dlogits = d (softmax - one_hot(target)) / n.
 * CT_ERR_INDEX for a target out of 0..C-1.
 * Targets of logits' shape and dtype are probabilities of the classes: minus their sum with the log
 * of softmax(logits), with smoothing too; the mean is over the rows. dtargets = -d log_softmax.
 * CT_ERR_ARGUMENT for an ignore_index then. */
ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *targets);
ct_tensor *ct_cross_entropy_with(ct_tensor *logits, ct_tensor *targets,
                                 ct_cross_entropy_options options);

/* Minus log_probs[target]: log_probs (..., C), as of ct_log_softmax, targets (...) i32 or i64.
 * dlog_probs = -d one_hot(target) / n. As cross-entropy otherwise; smoothing is refused
 * (CT_ERR_ARGUMENT). */
ct_tensor *ct_nll_loss(ct_tensor *log_probs, ct_tensor *targets, ct_cross_entropy_options options);

/* Of two tensors of one shape (CT_ERR_SHAPE: nothing is broadcast), f32 or f64, e = x - target:
 *     mse    e^2                                       dx = 2 d e
 *     l1     |e|                                       dx = d sign(e)
 *     huber  e^2 / 2, but delta (|e| - delta / 2) where |e| > delta; dx = d clamp(e, -delta, delta)
 * dtarget = -dx. CT_ERR_ARGUMENT for a delta that is not above 0. */
ct_tensor *ct_mse_loss(ct_tensor *x, ct_tensor *target, ct_reduction reduction);
ct_tensor *ct_l1_loss(ct_tensor *x, ct_tensor *target, ct_reduction reduction);
ct_tensor *ct_huber_loss(ct_tensor *x, ct_tensor *target, double delta, ct_reduction reduction);

typedef struct ct_bce_options {
    ct_reduction reduction; /* the mean is over all elements, whatever they count */
    ct_tensor *weight;      /* what an element counts; NULL: 1 */
    ct_tensor *pos_weight;  /* what a positive answer counts beside a negative one; NULL: 1 */
} ct_bce_options;

/* binary_cross_entropy_with_logits: minus w (p target log s(x) + (1 - target) log(1 - s(x))), s the
 * sigmoid, without overflow; shapes as above. weight w and pos_weight p broadcast to logits (else
 * CT_ERR_SHAPE), are of its dtype and get no gradient. Without them dx = d (s(x) - target),
 * dtarget = -d x. */
ct_tensor *ct_bce_with_logits(ct_tensor *logits, ct_tensor *target, ct_bce_options options);

#ifdef __cplusplus
}
#endif
#endif

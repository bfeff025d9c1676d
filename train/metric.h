/* SPDX-License-Identifier: MIT */
/* metric.h - metrics: each sums values over the batches of an epoch, and computes one number from
 * the sums.
 *
 *     static const ct_metric *const *metrics = (const ct_metric *[]){ ct_metric_accuracy(), NULL };
 *
 *     static ct_tensor *training_step(void *self, ct_step *s)
 *     {
 *         s->prediction = forward(self, s->batch->x);
 *         s->target = s->batch->y;
 *         return ct_cross_entropy(s->prediction, s->target);
 *     }
 *
 *     ct_trainer trainer = { .metrics = metrics, .monitor = "val_accuracy", .patience = 5, ... };
 *
 * ct_fit shows and stores each metric beside the loss. The metrics of the library are such structs,
 * too. */
#ifndef COTANGENT_TRAIN_METRIC_H
#define COTANGENT_TRAIN_METRIC_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CT_METRICS 8     /* the maximum number of metrics of a trainer */
#define CT_METRIC_SUMS 8 /* the maximum number of sums of a metric */

/* A metric. It must stay valid while it is used; make it static. */
typedef struct ct_metric {
    const char
        *name; /* letters, digits and '_': "accuracy" is shown as train_accuracy, val_accuracy */
    bool maximize; /* larger values are better */
    int sums;      /* 1 to CT_METRIC_SUMS; they are 0 at the start of an epoch */

    /* Returns the amounts that a batch adds to the sums: a tensor (sums) f64 of the innermost
     * scope, on the device of prediction; NULL after raising an error. prediction and target are
     * those of the step. Nothing is recorded while it runs. If it only calls ops, the trainer does
     * not wait for a GPU. */
    ct_tensor *(*update)(const void *self, ct_tensor *prediction, ct_tensor *target);

    /* Computes the metric from the sums; NaN if it is not defined. */
    double (*value)(const void *self, const double *sums);
    const void *self; /* for update and value; may be NULL */
} ct_metric;

/* ---- metrics of the library ----
 *
 * Metrics of classes: prediction (..., classes) has scores, f32 or f64, and target (...) has ids,
 * i32 or i64; the predicted class is that with the largest score. Metrics of numbers: prediction
 * and target have the same shape and the same dtype, f32 or f64; sums are f64. CT_ERR_SHAPE and
 * CT_ERR_DTYPE for others. */

/* Accuracy: the share of targets that were predicted. ct_metric_accuracy_ignoring leaves targets
 * with the id ignore out, such as padding. Returns NaN without targets. */
const ct_metric *ct_metric_accuracy(void);
ct_metric ct_metric_accuracy_ignoring(int ignore);

/* F1 of class 1 against all others: 2 tp / (2 tp + fp + fn), where tp, fp and fn are the numbers of
 * true positives, false positives and false negatives; 0 if they are 0 (as in scikit-learn's
 * f1_score). ct_metric_f1_class is F1 of the class `positive`. */
const ct_metric *ct_metric_f1(void);
ct_metric ct_metric_f1_class(int positive);

/* exp of the mean negative log-likelihood of the targets, for scores that are logits. Its name is
 * "ppl", since ct_fit already shows a perplexity that it computes from the loss. */
const ct_metric *ct_metric_perplexity(void);

/* Of numbers: the mean absolute error, the mean squared error, and R2, the coefficient of
 * determination: 1 - sum (target - prediction)^2 / sum (target - mean of the targets)^2 over all
 * elements; NaN if the targets do not differ. */
const ct_metric *ct_metric_mae(void);
const ct_metric *ct_metric_mse(void);
const ct_metric *ct_metric_r2(void);

/* ---- BLEU ---- */

/* A sequence of ids. */
typedef struct ct_ids {
    const int32_t *ids;
    int64_t size;
} ct_ids;

/* BLEU of count sequences, each with one reference (Papineni et al., 2002): the geometric mean of
 * the precisions of 1- to 4-grams, clipped and summed over all sequences, times the brevity
 * penalty; in 0..1, without smoothing: 0 if no 4-gram agrees. ct_fit does not compute it; call it
 * yourself. NaN with CT_ERR_ARGUMENT for a count below 1, a negative size, and NULL ids with a size
 * above 0. */
double ct_bleu(int count, const ct_ids *hypotheses, const ct_ids *references);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* metric.c - the metrics of the library: accuracy, F1, perplexity, MAE, MSE, R2; and BLEU. */
#include "tensor/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/nn/loss.h>
#include <cotangent/train/metric.h>

#include <math.h>
#include <string.h>

/* Some metrics store a number in their pointer self. */
static const void *metric_self(int number)
{
    return (const void *)(intptr_t)number;
}

static double metric_self_number(const void *self)
{
    return (double)(intptr_t)self;
}

/* ---- sums ---- */

/* Returns the sum of the elements of x, in f64. */
static ct_tensor *metric_sum(ct_tensor *x)
{
    return ct_sum(ct_cast(x, CT_F64));
}

static ct_tensor *metric_number(const ct_tensor *like, double x)
{
    return ct_full(CT_SCALAR, x, CT_F64, ct_tensor_device(like));
}

/* ---- classes ---- */

/* True if target has one id for each row of scores of prediction; otherwise false with an error. */
static bool metric_check_classes(const char *name, const ct_tensor *prediction,
                                 const ct_tensor *target)
{
    ct_shape rows;

    if (!cti_usable(name, prediction) || !cti_usable(name, target))
        return false;
    rows = prediction->shape;
    rows.rank--;
    if (target->dtype != CT_I32 && target->dtype != CT_I64)
        ct_raise(CT_ERR_DTYPE, name, "target %s must be i32 or i64", cti_describe(target).s);
    else if (rows.rank < 0 || rows.dim[rows.rank] < 1 || !cti_same_shape(&rows, &target->shape))
        ct_raise(CT_ERR_SHAPE, name,
                 "target %s must have the shape of prediction %s without its last axis",
                 cti_describe(target).s, cti_describe(prediction).s);
    else
        return true;
    return false;
}

/* Returns the class with the largest score for each row, i64. */
static ct_tensor *metric_class(ct_tensor *prediction)
{
    return ct_cast(ct_argmax(prediction, -1, false), CT_I64);
}

static ct_tensor *accuracy_update(const void *self, ct_tensor *prediction, ct_tensor *target)
{
    (void)self;
    if (!metric_check_classes("ct_metric_accuracy", prediction, target))
        return NULL;
    return CT_STACK(0, metric_sum(ct_eq(metric_class(prediction), ct_cast(target, CT_I64))),
                    metric_number(target, (double)ct_numel(target)));
}

/* Leaves out the targets whose id is the number self. */
static ct_tensor *accuracy_ignoring_update(const void *self, ct_tensor *prediction,
                                           ct_tensor *target)
{
    ct_tensor *ids, *right, *counted;

    if (!metric_check_classes("ct_metric_accuracy", prediction, target))
        return NULL;
    ids = ct_cast(target, CT_I64);
    right = ct_eq(metric_class(prediction), ids);
    counted = ct_ne_scalar(ids, metric_self_number(self));
    return CT_STACK(0, metric_sum(ct_logical_and(right, counted)), metric_sum(counted));
}

/* Returns total / count, for the two sums total and count. */
static double metric_mean(const void *self, const double *sums)
{
    (void)self;
    return sums[1] > 0 ? sums[0] / sums[1] : NAN;
}

const ct_metric *ct_metric_accuracy(void)
{
    static const ct_metric metric = { .name = "accuracy",
                                      .maximize = true,
                                      .sums = 2,
                                      .update = accuracy_update,
                                      .value = metric_mean };

    return &metric;
}

ct_metric ct_metric_accuracy_ignoring(int ignore)
{
    ct_metric metric = *ct_metric_accuracy();

    metric.update = accuracy_ignoring_update;
    metric.self = metric_self(ignore);
    return metric;
}

static ct_tensor *f1_update(const void *self, ct_tensor *prediction, ct_tensor *target)
{
    const double positive = metric_self_number(self);
    ct_tensor *said, *is;

    if (!metric_check_classes("ct_metric_f1", prediction, target))
        return NULL;
    said = ct_eq_scalar(metric_class(prediction), positive);
    is = ct_eq_scalar(ct_cast(target, CT_I64), positive);
    return CT_STACK(0, metric_sum(ct_logical_and(said, is)), metric_sum(said), metric_sum(is));
}

/* The sums are tp, the predicted positives tp + fp, and the actual positives tp + fn. */
static double f1_value(const void *self, const double *sums)
{
    (void)self;
    return sums[1] + sums[2] > 0 ? 2 * sums[0] / (sums[1] + sums[2]) : 0;
}

const ct_metric *ct_metric_f1(void)
{
    static const ct_metric metric = { .self = (const void *)1, /* the positive class */
                                      .name = "f1",
                                      .maximize = true,
                                      .sums = 3,
                                      .update = f1_update,
                                      .value = f1_value };

    return &metric;
}

ct_metric ct_metric_f1_class(int positive)
{
    ct_metric metric = *ct_metric_f1();

    metric.self = metric_self(positive);
    return metric;
}

static ct_tensor *perplexity_update(const void *self, ct_tensor *prediction, ct_tensor *target)
{
    const ct_cross_entropy_options sum = { .reduction = CT_REDUCTION_SUM };

    (void)self;
    if (!metric_check_classes("ct_metric_perplexity", prediction, target))
        return NULL;
    return CT_STACK(0, metric_sum(ct_cross_entropy_with(prediction, target, sum)),
                    metric_number(target, (double)ct_numel(target)));
}

static double perplexity_value(const void *self, const double *sums)
{
    return exp(metric_mean(self, sums));
}

const ct_metric *ct_metric_perplexity(void)
{
    static const ct_metric metric = {
        .name = "ppl", .sums = 2, .update = perplexity_update, .value = perplexity_value
    };

    return &metric;
}

/* ---- numbers ---- */

/* Returns target - prediction in f64; NULL with an error. */
static ct_tensor *metric_error(const char *name, ct_tensor *prediction, ct_tensor *target)
{
    if (!cti_usable(name, prediction) || !cti_usable(name, target) ||
        !cti_same_dtype(name, "prediction", prediction, "target", target))
        return NULL;
    if (cti_same_shape(&prediction->shape, &target->shape))
        return ct_sub(ct_cast(target, CT_F64), ct_cast(prediction, CT_F64));
    ct_raise(CT_ERR_SHAPE, name, "prediction %s and target %s differ in shape",
             cti_describe(prediction).s, cti_describe(target).s);
    return NULL;
}

static ct_tensor *mae_update(const void *self, ct_tensor *prediction, ct_tensor *target)
{
    ct_tensor *error = metric_error("ct_metric_mae", prediction, target);

    (void)self;
    return error ? CT_STACK(0, ct_sum(ct_abs(error)), metric_number(error, (double)ct_numel(error)))
                 : NULL;
}

const ct_metric *ct_metric_mae(void)
{
    static const ct_metric metric = {
        .name = "mae", .sums = 2, .update = mae_update, .value = metric_mean
    };

    return &metric;
}

static ct_tensor *mse_update(const void *self, ct_tensor *prediction, ct_tensor *target)
{
    ct_tensor *error = metric_error("ct_metric_mse", prediction, target);

    (void)self;
    return error ? CT_STACK(0, ct_sum(ct_square(error)),
                            metric_number(error, (double)ct_numel(error)))
                 : NULL;
}

const ct_metric *ct_metric_mse(void)
{
    static const ct_metric metric = {
        .name = "mse", .sums = 2, .update = mse_update, .value = metric_mean
    };

    return &metric;
}

static ct_tensor *r2_update(const void *self, ct_tensor *prediction, ct_tensor *target)
{
    ct_tensor *error = metric_error("ct_metric_r2", prediction, target), *t;

    (void)self;
    if (!error)
        return NULL;
    t = ct_cast(target, CT_F64);
    return CT_STACK(0, ct_sum(ct_square(error)), ct_sum(t), ct_sum(ct_square(t)),
                    metric_number(error, (double)ct_numel(error)));
}

static double r2_value(const void *self, const double *sums)
{
    double spread = sums[2] - sums[1] * sums[1] / sums[3];

    (void)self;
    return spread > 0 ? 1 - sums[0] / spread : NAN;
}

const ct_metric *ct_metric_r2(void)
{
    static const ct_metric metric = {
        .name = "r2", .maximize = true, .sums = 4, .update = r2_update, .value = r2_value
    };

    return &metric;
}

/* ---- BLEU ---- */

#define BLEU_GRAMS 4

/* Counts how often an n-gram occurs in s, at positions from `first` on. */
static int64_t bleu_occurrences(const ct_ids *s, const int32_t *gram, int n, int64_t first)
{
    int64_t count = 0;

    for (int64_t i = first; i + n <= s->size; i++)
        count += memcmp(s->ids + i, gram, (size_t)n * sizeof *gram) == 0;
    return count;
}

/* Counts the n-grams of the hypothesis that occur in the reference, each at most as often as it
 * occurs in the reference. */
static int64_t bleu_matches(const ct_ids *h, const ct_ids *r, int n)
{
    int64_t matches = 0;

    for (int64_t i = 0; i + n <= h->size; i++) {
        const int32_t *gram = h->ids + i;
        int64_t later = bleu_occurrences(h, gram, n, i); /* occurrences from position i on,
                                                          * including this one */

        /* If the reference has the n-gram m times, the last m occurrences in the hypothesis
         * match. */
        matches += later <= bleu_occurrences(r, gram, n, 0);
    }
    return matches;
}

static bool bleu_check(const char *name, const char *list, int count, const ct_ids *ids)
{
    for (int i = 0; i < count; i++) {
        if (ids[i].size >= 0 && (ids[i].ids || ids[i].size == 0))
            continue;
        if (ids[i].size < 0)
            ct_raise(CT_ERR_ARGUMENT, name, "%s[%d].size is %lld; it must be at least 0", list, i,
                     (long long)ids[i].size);
        else
            ct_raise(CT_ERR_ARGUMENT, name, "%s[%d].ids is NULL, but its size is %lld", list, i,
                     (long long)ids[i].size);
        return false;
    }
    return true;
}

double ct_bleu(int count, const ct_ids *hypotheses, const ct_ids *references)
{
    static const char *const me = "ct_bleu";
    double logs = 0, said = 0, wanted = 0;

    if (!cti_given(me, "hypotheses", hypotheses) || !cti_given(me, "references", references) ||
        !cti_at_least(me, "count", count, 1) || !bleu_check(me, "hypotheses", count, hypotheses) ||
        !bleu_check(me, "references", count, references))
        return NAN;
    for (int n = 1; n <= BLEU_GRAMS; n++) {
        double matches = 0, grams = 0;

        for (int i = 0; i < count; i++) {
            matches += (double)bleu_matches(&hypotheses[i], &references[i], n);
            grams += hypotheses[i].size >= n ? (double)(hypotheses[i].size - n + 1) : 0;
        }
        if (matches == 0)
            return 0;
        logs += log(matches / grams) / BLEU_GRAMS;
    }
    for (int i = 0; i < count; i++) {
        said += (double)hypotheses[i].size;
        wanted += (double)references[i].size;
    }
    return exp(logs + (said < wanted ? 1 - wanted / said : 0));
}

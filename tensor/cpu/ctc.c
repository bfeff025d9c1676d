/* SPDX-License-Identifier: MIT */
/* ctc.c - connectionist temporal classification: a sequence for each piece. backend.h has the
 * formulas. */
#include "tensor/cpu/cpu.h"
#include "tensor/cpu/math.h"

#include "tensor/parallel.h"

/* One sequence. */
typedef struct ctc_sequence {
    const cti_ctc_args *a;
    int64_t b, steps, labels; /* labels: the length of the extended sequence */
    const int64_t *target;
    double *alpha, *beta; /* (steps, labels) */
} ctc_sequence;

static double ctc_load(const cti_ctc_args *a, const void *data, int64_t i)
{
    return a->dtype == CT_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void ctc_store(const cti_ctc_args *a, void *data, int64_t i, double v)
{
    if (a->dtype == CT_F32)
        ((float *)data)[i] = (float)v;
    else
        ((double *)data)[i] = v;
}

/* Returns label s of the extended sequence. */
static int64_t ctc_label(const ctc_sequence *q, int64_t s)
{
    return s % 2 ? q->target[s / 2] : q->a->blank;
}

static double ctc_log_prob(const ctc_sequence *q, int64_t t, int64_t label)
{
    return ctc_load(q->a, q->a->log_probs, (t * q->a->batch + q->b) * q->a->classes + label);
}

/* log(exp(x) + exp(y)), also if one or both are -inf */
static double ctc_add(double x, double y)
{
    double most = x > y ? x : y, least = x > y ? y : x;

    if (least == -INFINITY)
        return most;
    return most + cti_log(1 + cti_exp(least - most));
}

/* Returns the log of the sum over the states of row from which a path may go to state s. step is 1
 * for alpha (lower states) and -1 for beta (higher states). */
static double ctc_reach(const ctc_sequence *q, const double *row, int64_t s, int step)
{
    int64_t one = s - step, two = s - 2 * step;
    double sum = row[s];

    if (one >= 0 && one < q->labels)
        sum = ctc_add(sum, row[one]);
    if (s % 2 && two >= 0 && two < q->labels && ctc_label(q, s) != ctc_label(q, two))
        sum = ctc_add(sum, row[two]);
    return sum;
}

/* Computes alpha, from the first step on. */
static void ctc_forward(const ctc_sequence *q)
{
    int64_t t, s;

    for (s = 0; s < q->labels; s++)
        q->alpha[s] = s < 2 ? ctc_log_prob(q, 0, ctc_label(q, s)) : -INFINITY;
    for (t = 1; t < q->steps; t++)
        for (s = 0; s < q->labels; s++)
            q->alpha[t * q->labels + s] = ctc_log_prob(q, t, ctc_label(q, s)) +
                                          ctc_reach(q, q->alpha + (t - 1) * q->labels, s, 1);
}

/* Computes beta, from the last step on. */
static void ctc_backward(const ctc_sequence *q)
{
    int64_t last = q->steps - 1, t, s;

    for (s = 0; s < q->labels; s++)
        q->beta[last * q->labels + s] =
            s >= q->labels - 2 ? ctc_log_prob(q, last, ctc_label(q, s)) : -INFINITY;
    for (t = last - 1; t >= 0; t--)
        for (s = 0; s < q->labels; s++)
            q->beta[t * q->labels + s] = ctc_log_prob(q, t, ctc_label(q, s)) +
                                         ctc_reach(q, q->beta + (t + 1) * q->labels, s, -1);
}

static double ctc_loss(const ctc_sequence *q)
{
    const double *row;

    if (q->steps == 0)
        return q->labels == 1 ? 0 : INFINITY;
    ctc_forward(q);
    row = q->alpha + (q->steps - 1) * q->labels;
    return -(q->labels > 1 ? ctc_add(row[q->labels - 1], row[q->labels - 2]) : row[0]);
}

/* Computes the gradient of step t. */
static void ctc_step_gradient(const ctc_sequence *q, int64_t t, double loss)
{
    const cti_ctc_args *a = q->a;
    int64_t at = (t * a->batch + q->b) * a->classes, s;
    bool none = loss == INFINITY;

    for (s = 0; s < a->classes; s++)
        ctc_store(a, a->grad, at + s, none && !a->zero_infinity && t < q->steps ? (double)NAN : 0);
    for (s = 0; s < q->labels && !none && t < q->steps; s++) {
        double alpha = q->alpha[t * q->labels + s], beta = q->beta[t * q->labels + s];
        int64_t c = ctc_label(q, s);

        if (alpha == -INFINITY || beta == -INFINITY)
            continue;
        ctc_store(a, a->grad, at + c,
                  ctc_load(a, a->grad, at + c) -
                      cti_exp(alpha + beta - ctc_log_prob(q, t, c) + loss));
    }
}

static void ctc_piece(void *context, int64_t b)
{
    const cti_ctc_args *a = context;
    int64_t room = a->steps * (2 * a->width + 1), t;
    ctc_sequence q = { .a = a,
                       .b = b,
                       .steps = a->input_length[b],
                       .labels = 2 * a->target_length[b] + 1,
                       .target = a->target + b * a->width,
                       .alpha = a->scratch + b * 2 * room,
                       .beta = a->scratch + (b * 2 + 1) * room };
    double loss = ctc_loss(&q);

    ctc_store(a, a->loss, b, loss == INFINITY && a->zero_infinity ? 0 : loss);
    if (!a->grad)
        return;
    if (q.steps && loss != INFINITY)
        ctc_backward(&q);
    for (t = 0; t < a->steps; t++)
        ctc_step_gradient(&q, t, loss);
}

void cti_cpu_ctc(const cti_ctc_args *a)
{
    cti_parallel(a->batch, ctc_piece, (void *)a);
}

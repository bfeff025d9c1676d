/* SPDX-License-Identifier: MIT */
/* cases_loss.c - rows for nn/loss.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* logits (..., C) and targets (...); i[0]: reduction, i[1]: an index is ignored, i[2]: that index;
 * p[0]: smoothing. A mean needs at least one target that is not ignored. */
static void draw_cross_entropy(op_draw *d)
{
    ct_shape logits, targets;

    d->i[0] = op_below(d, 3);
    d->zero &= d->i[0] != CT_REDUCTION_MEAN;
    logits = op_shape(d, 1, 4);
    logits.dim[logits.rank - 1] += logits.dim[logits.rank - 1] == 0;
    targets = ct_shape_from_sizes(logits.rank - 1, logits.dim);
    op_uniform(d, logits, -2, 2);
    op_index(d, targets, logits.dim[logits.rank - 1]);
    d->i[1] = d->i[0] != CT_REDUCTION_MEAN && op_chance(d, 0.5);
    d->i[2] = op_below(d, logits.dim[logits.rank - 1]);
    d->p[0] = op_chance(d, 0.5) ? op_between(d, 0, 1) : 0;
}

/* Like draw_cross_entropy, with a positive weight for each class. */
static void draw_weighted(op_draw *d)
{
    draw_cross_entropy(d);
    op_uniform(d, CT_SHAPE(d->in[0].shape.dim[d->in[0].shape.rank - 1]), 0.5, 2)->constant = true;
}

static ct_tensor *call_cross_entropy(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_cross_entropy(in[0], in[1]);
}

static ct_tensor *call_cross_entropy_with(ct_tensor *const *in, const op_draw *d)
{
    ct_cross_entropy_options o = { .reduction = (ct_reduction)d->i[0],
                                   .label_smoothing = d->p[0],
                                   .has_ignore_index = d->i[1] != 0,
                                   .ignore_index = d->i[2],
                                   .weight = d->count > 2 ? in[2] : NULL };

    return ct_cross_entropy_with(in[0], in[1], o);
}

/* targets are class probabilities, which get gradients too */
static void draw_probabilities(op_draw *d)
{
    ct_shape s;

    d->i[0] = op_below(d, 3);
    d->zero &= d->i[0] != CT_REDUCTION_MEAN;
    s = op_shape(d, 1, 4);
    s.dim[s.rank - 1] += s.dim[s.rank - 1] == 0;
    op_uniform(d, s, -2, 2);
    op_uniform(d, s, 0, 1);
    d->p[0] = op_chance(d, 0.5) ? op_between(d, 0, 1) : 0;
}

static void draw_weighted_probabilities(op_draw *d)
{
    draw_probabilities(d);
    op_uniform(d, CT_SHAPE(d->in[0].shape.dim[d->in[0].shape.rank - 1]), 0.5, 2)->constant = true;
}

static void draw_nll(op_draw *d)
{
    draw_cross_entropy(d);
    d->p[0] = 0;
}

static void draw_weighted_nll(op_draw *d)
{
    draw_weighted(d);
    d->p[0] = 0;
}

static ct_tensor *call_nll(ct_tensor *const *in, const op_draw *d)
{
    ct_cross_entropy_options o = { .reduction = (ct_reduction)d->i[0],
                                   .has_ignore_index = d->i[1] != 0,
                                   .ignore_index = d->i[2],
                                   .weight = d->count > 2 ? in[2] : NULL };

    return ct_nll_loss(in[0], in[1], o);
}

/* two inputs of one shape, without equal elements; i[0]: reduction; p[0]: delta */
static void draw_difference(op_draw *d)
{
    ct_shape s;

    d->i[0] = op_below(d, 3);
    d->zero &= d->i[0] != CT_REDUCTION_MEAN;
    s = op_shape(d, 0, 5);
    op_distinct(d, s);
    op_distinct(d, s);
    d->p[0] = op_between(d, 0.2, 2);
}

static ct_tensor *call_mse(ct_tensor *const *in, const op_draw *d)
{
    return ct_mse_loss(in[0], in[1], (ct_reduction)d->i[0]);
}

static ct_tensor *call_l1(ct_tensor *const *in, const op_draw *d)
{
    return ct_l1_loss(in[0], in[1], (ct_reduction)d->i[0]);
}

static ct_tensor *call_huber(ct_tensor *const *in, const op_draw *d)
{
    return ct_huber_loss(in[0], in[1], d->p[0], (ct_reduction)d->i[0]);
}

static ct_tensor *call_bce(ct_tensor *const *in, const op_draw *d)
{
    return ct_bce_with_logits(in[0], in[1], (ct_bce_options){ .reduction = (ct_reduction)d->i[0] });
}

/* also weight and pos_weight, which may be narrower; i[1], i[2]: they are left out */
static void draw_bce(op_draw *d)
{
    int k;

    draw_difference(d);
    d->i[1] = op_chance(d, 0.3);
    d->i[2] = op_chance(d, 0.3);
    for (k = 1; k <= 2; k++) {
        op_input *weight = op_uniform(d, op_narrower(d, d->in[0].shape), 0.5, 2);

        weight->constant = true;
        weight->unused = d->i[k];
    }
}

static ct_tensor *call_bce_with(ct_tensor *const *in, const op_draw *d)
{
    ct_bce_options o = { .reduction = (ct_reduction)d->i[0],
                         .weight = d->i[1] ? NULL : in[2],
                         .pos_weight = d->i[2] ? NULL : in[3] };

    return ct_bce_with_logits(in[0], in[1], o);
}

/* x (..., in), weight (C, in), targets (...), and a bias in half of them; the options of
 * draw_cross_entropy. Up to 150 classes, so that the loops for short and for long rows run. */
static void draw_linear_cross_entropy(op_draw *d)
{
    ct_shape x;
    int64_t classes, most;

    d->i[0] = op_below(d, 3);
    d->zero &= d->i[0] != CT_REDUCTION_MEAN;
    x = op_shape(d, 1, 4);
    most = d->most / (x.dim[x.rank - 1] > 1 ? x.dim[x.rank - 1] : 1);
    classes = op_chance(d, 0.1) ? 150 : 6;
    classes = 1 + op_below(d, classes < most ? classes : most);
    op_uniform(d, x, -2, 2);
    op_uniform(d, CT_SHAPE(classes, x.dim[x.rank - 1]), -2, 2);
    op_index(d, ct_shape_from_sizes(x.rank - 1, x.dim), classes);
    if (op_chance(d, 0.5))
        op_uniform(d, CT_SHAPE(classes), -2, 2);
    d->i[1] = d->i[0] != CT_REDUCTION_MEAN && op_chance(d, 0.5);
    d->i[2] = op_below(d, classes);
    d->p[0] = op_chance(d, 0.5) ? op_between(d, 0, 1) : 0;
}

static ct_tensor *call_linear_cross_entropy(ct_tensor *const *in, const op_draw *d)
{
    ct_cross_entropy_options o = { .reduction = (ct_reduction)d->i[0],
                                   .label_smoothing = d->p[0],
                                   .has_ignore_index = d->i[1] != 0,
                                   .ignore_index = d->i[2] };

    return ct_linear_cross_entropy(in[0], in[1], d->count > 3 ? in[3] : NULL, in[2], o);
}

/* ---- distributions and distances: i[0]: reduction ---- */

static ct_shape draw_reduction(op_draw *d, int low)
{
    d->i[0] = op_below(d, 3);
    d->zero &= d->i[0] != CT_REDUCTION_MEAN;
    return op_shape(d, low, 4);
}

static ct_tensor *call_smooth_l1(ct_tensor *const *in, const op_draw *d)
{
    return ct_smooth_l1_loss(in[0], in[1], d->p[0], (ct_reduction)d->i[0]);
}

/* i[1]: log_target */
static void draw_kl(op_draw *d)
{
    ct_shape s = draw_reduction(d, 1);

    d->i[1] = op_below(d, 2);
    if (d->i[0] == CT_REDUCTION_NONE && s.dim[0] > 0 && op_chance(d, 0.5))
        d->i[0] = CT_REDUCTION_BATCHMEAN;
    op_uniform(d, s, -2, -0.1);
    op_uniform(d, s, d->i[1] ? -2 : 0.1, d->i[1] ? 0 : 1);
}

static ct_tensor *call_kl(ct_tensor *const *in, const op_draw *d)
{
    ct_kl_div_options o = { .reduction = (ct_reduction)d->i[0], .log_target = d->i[1] != 0 };

    return ct_kl_div(in[0], in[1], o);
}

/* i[1]: full; p[0]: eps */
static void draw_gaussian(op_draw *d)
{
    ct_shape s = draw_reduction(d, 1), v = s;

    d->i[1] = op_below(d, 2);
    d->p[0] = op_chance(d, 0.5) ? op_between(d, 0.01, 0.1) : 0;
    op_uniform(d, s, -2, 2);
    op_uniform(d, s, -2, 2);
    if (op_chance(d, 0.5))
        v.dim[v.rank - 1] = 1;
    if (v.dim[v.rank - 1] == 1 && op_chance(d, 0.5))
        v.rank--;
    op_uniform(d, v, 0.2, 2);
}

static ct_tensor *call_gaussian(ct_tensor *const *in, const op_draw *d)
{
    ct_gaussian_nll_options o = { .reduction = (ct_reduction)d->i[0],
                                  .full = d->i[1] != 0,
                                  .eps = d->p[0] };

    return ct_gaussian_nll_loss(in[0], in[1], in[2], o);
}

/* i[0]: the axis; the norms are not near 0 */
static void draw_cosine_similarity(op_draw *d)
{
    op_draw_two(d);
    d->in[0].low = 0.2;
    d->in[1].low = 0.2;
    if (d->in[0].shape.rank == 0 && d->in[1].shape.rank == 0)
        d->in[0].shape = d->in[1].shape = CT_SHAPE(2);
    d->i[0] = -1 - op_below(d, d->in[0].shape.rank > d->in[1].shape.rank ? d->in[0].shape.rank
                                                                         : d->in[1].shape.rank);
}

static ct_tensor *call_cosine_similarity(ct_tensor *const *in, const op_draw *d)
{
    return ct_cosine_similarity(in[0], in[1], (int)d->i[0], 1e-8);
}

/* targets 0 and 1 become -1 and 1 in the call */
static void draw_cosine_embedding(op_draw *d)
{
    ct_shape s = draw_reduction(d, 1);

    s.dim[s.rank - 1] += s.dim[s.rank - 1] == 0;
    op_uniform(d, s, 0.2, 2);
    op_uniform(d, s, -2, 2);
    op_index(d, ct_shape_from_sizes(s.rank - 1, s.dim), 2);
    d->p[0] = op_between(d, -0.9, 0.9);
}

static ct_tensor *call_cosine_embedding(ct_tensor *const *in, const op_draw *d)
{
    ct_tensor *target = in[2] ? ct_sub_scalar(ct_mul_scalar(in[2], 2), 1) : NULL;

    return ct_cosine_embedding_loss(in[0], in[1], target, d->p[0], (ct_reduction)d->i[0]);
}

static void draw_ranking(op_draw *d)
{
    ct_shape s = draw_reduction(d, 0);

    op_uniform(d, s, -2, 2);
    op_uniform(d, s, -2, 2);
    op_uniform(d, s, -1, 1);
    d->p[0] = op_between(d, -0.5, 0.5);
}

static ct_tensor *call_ranking(ct_tensor *const *in, const op_draw *d)
{
    return ct_margin_ranking_loss(in[0], in[1], in[2], d->p[0], (ct_reduction)d->i[0]);
}

/* i[1]: swap; p[0]: margin, p[1]: p */
static void draw_triplet(op_draw *d)
{
    ct_shape s;

    d->i[0] = op_below(d, 3);
    d->zero &= d->i[0] != CT_REDUCTION_MEAN;
    s = op_shape_share(d, 1, 4, 2);
    s.dim[s.rank - 1] += 1 + (s.dim[s.rank - 1] == 0);
    op_uniform(d, s, -2, 2);
    op_uniform(d, s, -2, 2);
    op_uniform(d, s, -2, 2);
    d->i[1] = op_below(d, 2);
    d->p[0] = op_chance(d, 0.5) ? op_between(d, 0.5, 2) : 0;
    d->p[1] = op_chance(d, 0.5) ? 3 : 0;
}

static ct_tensor *call_triplet(ct_tensor *const *in, const op_draw *d)
{
    ct_triplet_margin_options o = {
        .reduction = (ct_reduction)d->i[0], .margin = d->p[0], .p = d->p[1], .swap = d->i[1] != 0
    };

    return ct_triplet_margin_loss(in[0], in[1], in[2], o);
}

/* scores (T, B, C), targets (B, S), and the numbers of steps and labels that do not count. i[0]:
 * reduction, i[1]: log-softmax of the scores first, i[2]: zero_infinity. Without zero_infinity each
 * sequence has a path. */
static void draw_ctc(op_draw *d)
{
    int64_t labels = op_below(d, 3), classes = 2 + op_below(d, 2), steps,
            batch = 1 + op_below(d, 2);

    d->i[0] = op_below(d, 3);
    d->i[1] = op_below(d, 2);
    d->i[2] = op_below(d, 2);
    if (d->zero && d->i[0] != CT_REDUCTION_MEAN)
        batch = 0;
    labels = d->most < 60 && labels ? 1 : labels;
    steps = 2 * labels + 1;
    op_uniform(d, CT_SHAPE(steps, batch, d->most < 60 ? 2 : classes), -2, -0.1);
    op_index(d, CT_SHAPE(batch, labels), (d->most < 60 ? 2 : classes) - 1);
    op_index(d, CT_SHAPE(batch), d->i[2] ? steps + 1 : 1);
    op_index(d, CT_SHAPE(batch), d->i[2] ? labels + 1 : 1);
}

static ct_tensor *call_ctc(ct_tensor *const *in, const op_draw *d)
{
    ct_ctc_options o = { .reduction = (ct_reduction)d->i[0], .zero_infinity = d->i[2] != 0 };
    ct_tensor *x = in[0] && d->i[1] ? ct_log_softmax(in[0], -1) : in[0];
    ct_tensor *targets = in[1] ? ct_add_scalar(in[1], 1) : NULL;
    ct_tensor *steps = in[2] ? ct_rsub_scalar(in[2], (double)d->in[0].shape.dim[0]) : NULL;
    ct_tensor *labels = in[3] ? ct_rsub_scalar(in[3], (double)d->in[1].shape.dim[1]) : NULL;

    return ct_ctc_loss(x, targets, steps, labels, o);
}

const op_row loss_rows[] = {
    { "ct_cross_entropy", draw_cross_entropy, .call = call_cross_entropy },
    { "ct_cross_entropy_with", draw_cross_entropy, .call = call_cross_entropy_with },
    { "ct_cross_entropy_with", draw_probabilities, .call = call_cross_entropy_with },
    { "ct_cross_entropy_with", draw_weighted, .call = call_cross_entropy_with, .optional = 2 },
    { "ct_cross_entropy_with", draw_weighted_probabilities, .call = call_cross_entropy_with,
      .optional = 2 },
    { "ct_linear_cross_entropy", draw_linear_cross_entropy, .call = call_linear_cross_entropy,
      .optional = 3 },
    { "ct_nll_loss", draw_nll, .call = call_nll },
    { "ct_nll_loss", draw_weighted_nll, .call = call_nll, .optional = 2 },
    { "ct_mse_loss", draw_difference, .call = call_mse },
    { "ct_l1_loss", draw_difference, .call = call_l1 },
    { "ct_huber_loss", draw_difference, .call = call_huber },
    { "ct_ctc_loss", draw_ctc, .call = call_ctc, .no_second = "it has none, as in PyTorch" },
    { "ct_smooth_l1_loss", draw_difference, .call = call_smooth_l1 },
    { "ct_kl_div", draw_kl, .call = call_kl },
    { "ct_gaussian_nll_loss", draw_gaussian, .call = call_gaussian },
    { "ct_cosine_similarity", draw_cosine_similarity, .call = call_cosine_similarity },
    { "ct_cosine_embedding_loss", draw_cosine_embedding, .call = call_cosine_embedding },
    { "ct_margin_ranking_loss", draw_ranking, .call = call_ranking },
    { "ct_triplet_margin_loss", draw_triplet, .call = call_triplet },
    { "ct_bce_with_logits", draw_difference, .call = call_bce },
    { "ct_bce_with_logits:weights", draw_bce, .call = call_bce_with, .optional = 2 },
    { 0 },
};

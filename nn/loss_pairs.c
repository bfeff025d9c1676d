/* SPDX-License-Identifier: MIT */
/* loss_pairs.c - losses of distributions and of distances, composed from ops. */
#include "autograd/internal.h"

#include "nn/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/statistics.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/loss.h>

#include <math.h>

/* ---- common functions ---- */

static void floor_passes(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, dout[0]);
}

static const ct_op floor_op = {
    .name = "ct_clamp", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(floor_passes)
};

/* Records y, a maximum of x and something else, so that the gradient passes to x unchanged. It keeps
 * a divisor away from 0 and still gives x a gradient. */
static ct_tensor *loss_passes(ct_tensor *x, ct_tensor *y)
{
    return y && ct_record(&floor_op, 1, &x, 1, &y, NULL, 0) ? y : NULL;
}

/* max(x, low), whose gradient passes to x */
static ct_tensor *loss_floor(ct_tensor *x, double low)
{
    return x ? loss_passes(x, ct_clamp(ct_detach(x), low, INFINITY)) : NULL;
}

/* max(0, x) */
static ct_tensor *loss_hinge(ct_tensor *x)
{
    return ct_clamp(x, 0, INFINITY);
}

static bool loss_at_least_0(const char *me, const char *name, double value)
{
    if (value >= 0)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "%s is %g; it must be at least 0", name, value);
    return false;
}

static bool loss_not_nan(const char *me, const char *name, double value)
{
    if (!isnan(value))
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "%s is nan; it must be a number", name);
    return false;
}

/* Checks that t has the shape, dtype and device of x. */
static bool loss_is_like(const char *me, const char *xn, const ct_tensor *x, const char *tn,
                         const ct_tensor *t)
{
    if (!cti_usable_as(me, tn, t) || !cti_same_dtype(me, xn, x, tn, t) ||
        !cti_same_device(me, xn, x, tn, t))
        return false;
    if (cti_same_shape(&x->shape, &t->shape))
        return true;
    ct_raise(CT_ERR_SHAPE, me, "%s %s and %s %s differ in shape", xn, cti_describe(x).s, tn,
             cti_describe(t).s);
    return false;
}

/* Checks that x has at least one axis, over which the loss of a row sums. */
static bool loss_has_rows(const char *me, const char *name, const ct_tensor *x)
{
    if (x->shape.rank > 0)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "%s %s must be (..., n)", name, cti_describe(x).s);
    return false;
}

/* ---- distributions ---- */

static ct_tensor *kl_elements(ct_tensor *x, ct_tensor *target, bool log_target)
{
    ct_tensor *none, *logs;

    if (log_target)
        return ct_mul(ct_exp(target), ct_sub(target, x));
    none = ct_eq_scalar(target, 0);
    logs = ct_log(ct_masked_fill(target, none, 1)); /* 0 log(0) is 0 */
    return ct_sub(ct_mul(target, logs), ct_mul(target, x));
}

ct_tensor *ct_kl_div(ct_tensor *x, ct_tensor *target, ct_kl_div_options options)
{
    bool over_batch = options.reduction == CT_REDUCTION_BATCHMEAN;
    ct_reduction reduction = over_batch ? CT_REDUCTION_SUM : options.reduction;
    ct_tensor *loss;

    if (!cti_loss_check_pair("ct_kl_div", "x", x, target, reduction))
        return NULL;
    loss = cti_loss_reduced(kl_elements(x, target, options.log_target), reduction);
    return over_batch && x->shape.rank ? ct_div_scalar(loss, (double)x->shape.dim[0]) : loss;
}

/* Returns var in a shape that broadcasts to x: if it lacks the last axis, with an axis of size 1 at
 * the end. NULL with an error. */
static ct_tensor *gaussian_variance(const char *me, const ct_tensor *x, ct_tensor *var)
{
    int rank = x->shape.rank, last = rank - 1;
    ct_shape rows = x->shape;

    if (!cti_usable_as(me, "var", var) || !cti_same_dtype(me, "x", x, "var", var) ||
        !cti_same_device(me, "x", x, "var", var))
        return NULL;
    if (cti_same_shape(&x->shape, &var->shape))
        return var;
    if (rank > 0) {
        rows.dim[last] = 1;
        if (cti_same_shape(&rows, &var->shape))
            return var;
        rows.rank--;
        if (cti_same_shape(&rows, &var->shape))
            return ct_unsqueeze(var, -1);
    }
    ct_raise(
        CT_ERR_SHAPE, me,
        "var %s must have the shape of x %s, the same with last size 1, or the same without the "
        "last axis",
        cti_describe(var).s, cti_describe(x).s);
    return NULL;
}

ct_tensor *ct_gaussian_nll_loss(ct_tensor *x, ct_tensor *target, ct_tensor *var,
                                ct_gaussian_nll_options options)
{
    static const char *const me = "ct_gaussian_nll_loss";
    const double half_log_2_pi = 0.91893853320467274178;
    double eps = cti_option(options.eps, 1e-6);
    ct_tensor *loss, *error;

    if (!cti_loss_check_pair(me, "x", x, target, options.reduction) ||
        !loss_at_least_0(me, "eps", eps))
        return NULL;
    var = loss_floor(gaussian_variance(me, x, var), eps);
    if (!var)
        return NULL;
    error = ct_sub(x, target);
    loss = ct_add(ct_log(var), ct_mul(error, ct_div(error, var))); /* the square may overflow */
    loss = ct_mul_scalar(loss, 0.5);
    if (options.full)
        loss = ct_add_scalar(loss, half_log_2_pi);
    return cti_loss_reduced(loss, options.reduction);
}

/* ---- distances ---- */

/* True if the sizes are so far from overflow that their inverses do not underflow, and so far from
 * underflow that they have all their digits. */
static bool cosine_is_ordinary(const ct_tensor *sizes)
{
    bool is_f32 = sizes->dtype == CT_F32;

    return cti_all_within(sizes, is_f32 ? 0x1p-100 : 0x1p-960, is_f32 ? 0x1p100 : 0x1p960);
}

/* x / max(|x|, eps) along axis. Rows of large or small numbers are multiplied by a power of two. */
static ct_tensor *cosine_unit(ct_tensor *x, int axis, double eps)
{
    ct_tensor *norm = x ? ct_norm_axis(x, 2, axis, true) : NULL, *factor, *low;

    if (!norm)
        return NULL;
    if (cosine_is_ordinary(norm))
        return ct_div(x, loss_floor(norm, eps));
    factor = cti_factor_of_rows(x, 1 << axis);
    if (eps > 0 && isfinite(eps)) /* the divisor is about 1 at least */
        factor = ct_clamp(factor, 0, ldexp(1, -ilogb(eps)));
    low = ct_mul_scalar(factor, eps);
    x = ct_mul(x, factor);
    norm = ct_norm_axis(x, 2, axis, true);
    return norm ? ct_div(x, loss_passes(norm, ct_maximum(ct_detach(norm), low))) : NULL;
}

ct_tensor *ct_cosine_similarity(ct_tensor *a, ct_tensor *b, int axis, double eps)
{
    static const char *const me = "ct_cosine_similarity";
    ct_tensor both;

    if (!cti_usable(me, a) || !cti_usable(me, b) || !cti_want_float(me, "a", a) ||
        !cti_same_dtype(me, "a", a, "b", b) || !cti_same_device(me, "a", a, "b", b))
        return NULL;
    both = *a; /* for the message: a tensor with the broadcast shape of a and b */
    if (!cti_broadcast(me, a, b, &both.shape) || (axis = cti_axis(me, &both, axis)) < 0 ||
        !loss_at_least_0(me, "eps", eps))
        return NULL;
    a = ct_expand(a, both.shape);
    b = ct_expand(b, both.shape);
    return ct_sum_axis(ct_mul(cosine_unit(a, axis, eps), cosine_unit(b, axis, eps)), axis, false);
}

/* True if target (...) has one element for each row of a (..., n) and a dtype of numbers. */
static bool cosine_check_target(const char *me, const ct_tensor *a, const ct_tensor *target)
{
    ct_shape rows = a->shape;

    rows.rank--;
    if (!cti_usable_as(me, "target", target) || !cti_same_device(me, "a", a, "target", target))
        return false;
    if (target->dtype != a->dtype && !cti_is_index(target->dtype)) {
        ct_raise(CT_ERR_DTYPE, me, "target %s must be %s, i32 or i64", cti_describe(target).s,
                 ct_dtype_name(a->dtype));
        return false;
    }
    if (cti_same_shape(&rows, &target->shape))
        return true;
    ct_raise(CT_ERR_SHAPE, me, "target %s must have one number for each row of a %s",
             cti_describe(target).s, cti_describe(a).s);
    return false;
}

/* x / sqrt(|x|^2 + 1e-12) for rows x (..., n) of large numbers: the divisor is the norm of the row
 * with one more element, 1e-6. Rows whose norm may overflow are multiplied by a power of two. */
static ct_tensor *cosine_unit_of_row(ct_tensor *x)
{
    ct_tensor *factor = ct_clamp(cti_factor_of_rows(x, 1 << (x->shape.rank - 1)), 0, 1);

    x = ct_mul(x, factor);
    return ct_div(x, ct_norm_axis(CT_CAT(-1, x, ct_mul_scalar(factor, 1e-6)), 2, -1, true));
}

/* The cosine of rows, with 1e-12 added to both squares, as PyTorch does in this loss. */
static ct_tensor *cosine_of_rows(ct_tensor *a, ct_tensor *b)
{
    ct_tensor *aa = ct_add_scalar(ct_sum_axis(ct_square(a), -1, false), 1e-12);
    ct_tensor *bb = ct_add_scalar(ct_sum_axis(ct_square(b), -1, false), 1e-12);
    ct_tensor *squares = ct_mul(aa, bb);

    if (!squares)
        return NULL;
    if (cosine_is_ordinary(squares))
        return ct_div(ct_sum_axis(ct_mul(a, b), -1, false), ct_sqrt(squares));
    return ct_sum_axis(ct_mul(cosine_unit_of_row(a), cosine_unit_of_row(b)), -1, false);
}

ct_tensor *ct_cosine_embedding_loss(ct_tensor *a, ct_tensor *b, ct_tensor *target, double margin,
                                    ct_reduction reduction)
{
    static const char *const me = "ct_cosine_embedding_loss";
    ct_tensor *cosine, *loss;

    if (!cti_usable(me, a) || !cti_loss_check_reduction(me, reduction) ||
        !cti_want_float(me, "a", a) || !loss_is_like(me, "a", a, "b", b) ||
        !loss_has_rows(me, "a", a) || !cosine_check_target(me, a, target) ||
        !loss_not_nan(me, "margin", margin))
        return NULL;
    cosine = cosine_of_rows(a, b);
    loss = ct_where_scalar(ct_eq_scalar(target, -1), loss_hinge(ct_sub_scalar(cosine, margin)), 0);
    loss = ct_where(ct_eq_scalar(target, 1), ct_rsub_scalar(cosine, 1), loss);
    return cti_loss_reduced(loss, reduction);
}

ct_tensor *ct_margin_ranking_loss(ct_tensor *a, ct_tensor *b, ct_tensor *target, double margin,
                                  ct_reduction reduction)
{
    static const char *const me = "ct_margin_ranking_loss";

    if (!cti_usable(me, a) || !cti_loss_check_pair(me, "a", a, target, reduction) ||
        !loss_is_like(me, "a", a, "b", b) || !loss_not_nan(me, "margin", margin))
        return NULL;
    return cti_loss_reduced(loss_hinge(ct_add_scalar(ct_neg(ct_mul(target, ct_sub(a, b))), margin)),
                            reduction);
}

static ct_tensor *triplet_distance(ct_tensor *a, ct_tensor *b, const ct_triplet_margin_options *o)
{
    return ct_norm_axis(ct_add_scalar(ct_sub(a, b), o->eps), o->p, -1, false);
}

/* Fills in the defaults; false with an error if an option is out of range. */
static bool triplet_options(const char *me, ct_triplet_margin_options *o)
{
    o->margin = cti_option(o->margin, 1);
    o->p = o->p == 0 ? 2 : o->p;
    o->eps = cti_option(o->eps, 1e-6);
    if (!loss_at_least_0(me, "margin", o->margin) || !loss_at_least_0(me, "eps", o->eps))
        return false;
    if (o->p > 0)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "p is %g; it must be above 0", o->p);
    return false;
}

ct_tensor *ct_triplet_margin_loss(ct_tensor *anchor, ct_tensor *positive, ct_tensor *negative,
                                  ct_triplet_margin_options options)
{
    static const char *const me = "ct_triplet_margin_loss";
    ct_tensor *near, *far;

    if (!cti_usable(me, anchor) || !cti_loss_check_reduction(me, options.reduction) ||
        !cti_want_float(me, "anchor", anchor) ||
        !loss_is_like(me, "anchor", anchor, "positive", positive) ||
        !loss_is_like(me, "anchor", anchor, "negative", negative) ||
        !loss_has_rows(me, "anchor", anchor) || !triplet_options(me, &options))
        return NULL;
    near = triplet_distance(anchor, positive, &options);
    far = triplet_distance(anchor, negative, &options);
    if (options.swap)
        far = ct_minimum(far, triplet_distance(positive, negative, &options));
    return cti_loss_reduced(loss_hinge(ct_add_scalar(ct_sub(near, far), options.margin)),
                            options.reduction);
}

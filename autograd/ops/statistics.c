/* statistics.c - reductions composed of other ops: variance, standard deviation, norms, logsumexp.
 *
 *     var:        dx = 2 d (x - mean) / divisor
 *     std:        dx = d (x - mean) / (divisor y), and 0 where y is 0
 *     norm:       dx = d sign(x) (|x| / y)^(p - 1), and 0 where x or y is 0
 *                 (p = 2: d x / y; p = 0: 0)
 *     logsumexp:  dx = d exp(x - y), formed as exp(x - most) / sum exp(x - most): y has lost the
 *                 digits that count where a large offset is common to all x */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/statistics.h>
#include <cotangent/autograd/ops/views.h>

#include <math.h>

/* ---- the common part ---- */

/* d / y, and 0 where y is 0. The divisor is 1 there, so that derivatives of every order are 0 too,
 * not NaN. */
static ct_tensor *statistics_divide(ct_tensor *d, ct_tensor *y)
{
    ct_tensor *zero, *one, *flat;

    if (!d)
        return NULL;
    zero = ct_zeros(CT_SCALAR, d->dtype, d->device);
    one = ct_ones(CT_SCALAR, d->dtype, d->device);
    flat = ct_eq(y, zero);
    return ct_where(flat, zero, ct_div(d, ct_where(flat, one, y)));
}

typedef struct statistics_attributes {
    int mask;
    bool root;     /* var: std */
    double number; /* var: the divisor; norm: p */
} statistics_attributes;

/* Computes y = f(x, r) and records it as one op. The intermediate results live in a scope of their
 * own, in which nothing is recorded: only y is kept. */
static ct_tensor *statistics_compose(const char *function, const ct_op *op, ct_tensor *x,
                                     statistics_attributes r, bool keepdim,
                                     ct_tensor *(*f)(ct_tensor *x, const statistics_attributes *r))
{
    ct_shape shape = cti_reduce_shape(&x->shape, r.mask, keepdim);
    ct_tensor *y = cti_new(function, shape, x->dtype, x->device), *v;
    ct_scope s;

    if (!y)
        return NULL;
    s = cti_scope_push();
    v = ct_reshape(f(x, &r), y->shape);
    if (v)
        cti_copy(y, v);
    cti_scope_pop(s);
    return v ? cti_record1_with(op, x, y, &r, sizeof r) : NULL;
}

/* x minus its mean. */
static ct_tensor *statistics_centre(ct_tensor *x, int mask)
{
    return ct_sub(x, cti_reduce_mean("ct_var", x, mask, true));
}

/* ---- var and std ---- */

static ct_tensor *var_forward(ct_tensor *x, const statistics_attributes *r)
{
    ct_tensor *squares = ct_square(statistics_centre(x, r->mask));
    ct_tensor *y = ct_div_scalar(cti_reduce_sum("ct_var", squares, r->mask, false), r->number);

    return r->root ? ct_sqrt(y) : y;
}

static void var_grad(ct_node *n, ct_tensor *const *dout)
{
    const statistics_attributes *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0), *d = dout[0];

    if (!x || !y)
        return;
    d = r->root ? statistics_divide(d, y) : ct_mul_scalar(d, 2);
    ct_node_add_grad(n, 0,
                     ct_mul(cti_reduce_spread(ct_div_scalar(d, r->number), x->shape, r->mask),
                            statistics_centre(x, r->mask)));
}

static const ct_op var_op = { .name = "ct_var",
                              .inputs = 1,
                              .outputs = 1,
                              .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                              .backward = var_grad };
static const ct_op std_op = { .name = "ct_std",
                              .inputs = 1,
                              .outputs = 1,
                              .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                              .backward = var_grad };

static ct_tensor *statistics_var(const char *function, bool root, ct_tensor *x, int mask,
                                 double correction, bool keepdim)
{
    double divisor;

    if (mask < 0 || !cti_want_float(function, "x", x))
        return NULL;
    if (!isfinite(correction)) {
        ct_raise(CT_ERR_ARGUMENT, function, "correction is %g; it must be finite", correction);
        return NULL;
    }
    divisor = fmax(0, (double)cti_reduce_count(&x->shape, mask) - correction);
    return statistics_compose(function, root ? &std_op : &var_op, x,
                              (statistics_attributes){ mask, root, divisor }, keepdim, var_forward);
}

ct_tensor *ct_var(ct_tensor *x)
{
    return cti_usable("ct_var", x) ? statistics_var("ct_var", false, x, cti_reduce_all(x), 1, false)
                                   : NULL;
}

ct_tensor *ct_std(ct_tensor *x)
{
    return cti_usable("ct_std", x) ? statistics_var("ct_std", true, x, cti_reduce_all(x), 1, false)
                                   : NULL;
}

ct_tensor *ct_var_axes(ct_tensor *x, int count, const int *axes, double correction, bool keepdim)
{
    static const char *const me = "ct_var_axes";

    return cti_usable(me, x) ? statistics_var(me, false, x, cti_reduce_mask(me, x, count, axes),
                                              correction, keepdim)
                             : NULL;
}

ct_tensor *ct_var_axis(ct_tensor *x, int axis, double correction, bool keepdim)
{
    return ct_var_axes(x, 1, &axis, correction, keepdim);
}

ct_tensor *ct_std_axes(ct_tensor *x, int count, const int *axes, double correction, bool keepdim)
{
    static const char *const me = "ct_std_axes";

    return cti_usable(me, x) ? statistics_var(me, true, x, cti_reduce_mask(me, x, count, axes),
                                              correction, keepdim)
                             : NULL;
}

ct_tensor *ct_std_axis(ct_tensor *x, int axis, double correction, bool keepdim)
{
    return ct_std_axes(x, 1, &axis, correction, keepdim);
}

/* ---- norm ---- */

static ct_tensor *norm_forward(ct_tensor *x, const statistics_attributes *r)
{
    double p = r->number;
    ct_tensor *terms, *sum;

    if (p == 0)
        terms = ct_cast(ct_ne(x, ct_zeros_like(x)), x->dtype);
    else
        terms = p == 2 ? ct_square(x) : ct_abs(x);
    if (p != 0 && p != 1 && p != 2)
        terms = ct_pow_scalar(terms, p);
    sum = cti_reduce_sum("ct_norm", terms, r->mask, false);
    return p == 0 || p == 1 ? sum : p == 2 ? ct_sqrt(sum) : ct_pow_scalar(sum, 1 / p);
}

/* (|x| / y)^(p - 1). It is 1 where x is 0 (sign(x) makes the derivative 0 there) and 0 where y is
 * 0. */
static ct_tensor *norm_slope(ct_tensor *x, ct_tensor *y, double p)
{
    ct_tensor *one = ct_ones(CT_SCALAR, x->dtype, x->device);
    ct_tensor *zero = ct_zeros(CT_SCALAR, x->dtype, x->device);
    ct_tensor *flat = ct_eq(y, zero), *none = ct_logical_or(ct_eq(x, zero), flat);
    ct_tensor *ratio = ct_div(ct_where(none, one, ct_abs(x)), ct_where(none, one, y));

    return ct_where(flat, zero, ct_pow_scalar(ratio, p - 1));
}

static void norm_grad(ct_node *n, ct_tensor *const *dout)
{
    const statistics_attributes *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0), *d = dout[0], *slope;

    if (!x || !y)
        return;
    if (r->number == 0) {
        ct_node_add_grad(n, 0, ct_zeros_like(x));
    } else if (r->number == 2) {
        ct_node_add_grad(n, 0,
                         ct_mul(x, cti_reduce_spread(statistics_divide(d, y), x->shape, r->mask)));
    } else {
        slope = ct_sign(x);
        if (r->number != 1)
            slope =
                ct_mul(slope, norm_slope(x, cti_reduce_spread(y, x->shape, r->mask), r->number));
        ct_node_add_grad(n, 0, ct_mul(cti_reduce_spread(d, x->shape, r->mask), slope));
    }
}

static const ct_op norm_op = { .name = "ct_norm",
                               .inputs = 1,
                               .outputs = 1,
                               .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                               .backward = norm_grad };

static ct_tensor *statistics_norm(const char *function, ct_tensor *x, double p, int mask,
                                  bool keepdim)
{
    if (mask < 0 || !cti_want_float(function, "x", x))
        return NULL;
    if (isnan(p)) {
        ct_raise(CT_ERR_ARGUMENT, function, "p is nan; it must be a number");
        return NULL;
    }
    if (isinf(p))
        return cti_reduce_extreme(function, p > 0 ? CTI_MAX : CTI_MIN, ct_abs(x), mask, keepdim);
    if (p < 0 && !cti_reduce_has_elements(function, x, mask))
        return NULL;
    return statistics_compose(function, &norm_op, x,
                              (statistics_attributes){ .mask = mask, .number = p }, keepdim,
                              norm_forward);
}

ct_tensor *ct_norm(ct_tensor *x, double p)
{
    return cti_usable("ct_norm", x) ? statistics_norm("ct_norm", x, p, cti_reduce_all(x), false)
                                    : NULL;
}

ct_tensor *ct_norm_axes(ct_tensor *x, double p, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_norm_axes";

    return cti_usable(me, x)
               ? statistics_norm(me, x, p, cti_reduce_mask(me, x, count, axes), keepdim)
               : NULL;
}

ct_tensor *ct_norm_axis(ct_tensor *x, double p, int axis, bool keepdim)
{
    return ct_norm_axes(x, p, 1, &axis, keepdim);
}

/* ---- logsumexp ---- */

/* t, and 0 where t is not finite: the largest x, subtracted so that exp cannot overflow. */
static ct_tensor *logsumexp_shift(ct_tensor *t)
{
    return t ? ct_where(ct_isfinite(t), t, ct_zeros(CT_SCALAR, t->dtype, t->device)) : NULL;
}

static ct_tensor *logsumexp_forward(ct_tensor *x, const statistics_attributes *r)
{
    ct_tensor *most = cti_reduce_extreme("ct_logsumexp_axes", CTI_MAX, x, r->mask, true), *e;

    most = logsumexp_shift(most);
    e = ct_exp(ct_sub(x, most));
    return ct_add(ct_log(cti_reduce_sum("ct_logsumexp_axes", e, r->mask, true)), most);
}

static void logsumexp_grad(ct_node *n, ct_tensor *const *dout)
{
    const statistics_attributes *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *most, *none, *zero, *e, *sum;

    if (!x)
        return;
    zero = ct_zeros(CT_SCALAR, x->dtype, x->device);
    most = cti_reduce_extreme("ct_logsumexp_axes", CTI_MAX, ct_detach(x), r->mask, true);
    none = ct_eq(most, ct_full(CT_SCALAR, -INFINITY, x->dtype, x->device)); /* dx = 0 there */
    e = ct_exp(ct_sub(x, ct_where(none, zero, most)));
    sum = cti_reduce_sum("ct_logsumexp_axes", e, r->mask, true);
    sum = ct_where(ct_isfinite(most), sum, ct_ones(CT_SCALAR, x->dtype, x->device));
    ct_node_add_grad(n, 0, ct_mul(cti_reduce_spread(dout[0], x->shape, r->mask), ct_div(e, sum)));
}

static const ct_op logsumexp_op = { .name = "ct_logsumexp_axes",
                                    .inputs = 1,
                                    .outputs = 1,
                                    .saves = CT_SAVE_INPUTS,
                                    .backward = logsumexp_grad };

ct_tensor *ct_logsumexp_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_logsumexp_axes";
    int mask;

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x))
        return NULL;
    mask = cti_reduce_mask(me, x, count, axes);
    if (mask < 0 || !cti_reduce_has_elements(me, x, mask))
        return NULL;
    return statistics_compose(me, &logsumexp_op, x, (statistics_attributes){ .mask = mask },
                              keepdim, logsumexp_forward);
}

ct_tensor *ct_logsumexp_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_logsumexp_axes(x, 1, &axis, keepdim);
}

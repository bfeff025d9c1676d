/* SPDX-License-Identifier: MIT */
/* statistics.c - reductions composed of other ops: variance, standard deviation, norms, logsumexp.
 *
 *     var:        dx = 2 d (x - mean) / divisor
 *     std:        dx = d (x - mean) / (divisor y), and 0 where y is 0
 *     norm:       dx = d sign(x) (|x| / y)^(p - 1), and 0 where x or y is 0
 *                 (p = 2: d x / y; p = 0: 0)
 *     logsumexp:  dx = d exp(x - y), computed as exp(x - most) / sum exp(x - most), where most
 *                 is the largest x: if all x share a large offset, y has lost the digits that exp(x
 *                 - y) needs */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/statistics.h>
#include <cotangent/autograd/ops/views.h>

#include <math.h>

/* ---- the common part ---- */

/* d / y, and 0 where y is 0. There the divisor is replaced by 1, so that derivatives of every order
 * are 0 instead of NaN. */
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
    bool root;     /* var: true for the standard deviation */
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

/* ---- rows of very large or very small numbers ----
 *
 * Squares overflow and underflow where the root of their sum does not. Rows whose largest |x| is
 * beyond these limits are multiplied by a power of two, and the result is divided by it; for other
 * rows the factor is 1 and no bit changes. On the CPU the results of the plain formula show whether
 * any row needs it. On an asynchronous device, and while a program is recorded, the rows are always
 * multiplied, because the results are not there to be read. */
typedef struct statistics_range {
    double low, high;       /* the limits of the largest |x| of a row */
    double up, down;        /* the factors for rows below and above the limits */
    double least, most;     /* the range in which results of the plain formula are right */
    double smallest, above; /* the range in which a sum of powers is right */
} statistics_range;

static statistics_range statistics_range_of(ct_dtype dtype)
{
    static const statistics_range f32 = { 0x1p-60, 0x1p40, 0x1p100, 0x1p-80,
                                          0x1p-48, 0x1p59, 0x1p-96, 0x1p126 };
    static const statistics_range f64 = { 0x1p-480, 0x1p480, 0x1p700,  0x1p-700,
                                          0x1p-460, 0x1p479, 0x1p-960, 0x1p1022 };

    return dtype == CT_F32 ? f32 : f64;
}

bool cti_all_within(const ct_tensor *y, double low, double high)
{
    const void *values;
    int64_t i;
    int out = 0;

    if (cti_backend_of(y->device)->async || cti_thread()->program || !y->contiguous)
        return false;
    values = cti_data(y);
    if (y->dtype == CT_F32) {
        const float *v = values, least = (float)low, most = (float)high;

        for (i = 0; i < y->numel; i++)
            out |= !((v[i] >= least) & (v[i] <= most));
    } else {
        const double *v = values;

        for (i = 0; i < y->numel; i++)
            out |= !((v[i] >= low) & (v[i] <= high));
    }
    return !out;
}

static ct_tensor *statistics_number(const ct_tensor *like, double v)
{
    return ct_full(CT_SCALAR, v, like->dtype, like->device);
}

/* Returns the largest (or smallest) |x| of each row, without history; the axes are kept. */
static ct_tensor *statistics_extreme(cti_reduce_op op, ct_tensor *x, int mask)
{
    ct_tensor *size = ct_abs(ct_detach(x));

    return size ? cti_reduce_extreme("ct_norm", op, size, mask, true) : NULL;
}

ct_tensor *cti_factor_of_rows(ct_tensor *x, int mask)
{
    statistics_range r = statistics_range_of(x->dtype);
    ct_tensor *most, *small, *large;

    if (x->numel == 0)
        return statistics_number(x, 1);
    most = statistics_extreme(CTI_MAX, x, mask);
    small = ct_logical_and(ct_lt(most, statistics_number(x, r.low)),
                           ct_gt(most, statistics_number(x, 0)));
    large = ct_logical_and(ct_gt(most, statistics_number(x, r.high)), ct_isfinite(most));
    return ct_where(small, statistics_number(x, r.up),
                    ct_where(large, statistics_number(x, r.down), statistics_number(x, 1)));
}

/* Returns x minus its mean. */
static ct_tensor *statistics_centre(ct_tensor *x, int mask)
{
    return x ? ct_sub(x, cti_reduce_mean("ct_var", x, mask, true)) : NULL;
}

/* ---- var and std ---- */

/* Returns the variance of x, computed from x times factor; a NULL factor counts as 1. */
static ct_tensor *var_of(ct_tensor *x, const statistics_attributes *r, ct_tensor *factor)
{
    ct_tensor *squares, *y;

    squares = ct_square(statistics_centre(factor ? ct_mul(x, factor) : x, r->mask));
    y = ct_div_scalar(cti_reduce_sum("ct_var", squares, r->mask, true), r->number);
    if (r->root)
        return factor ? ct_div(ct_sqrt(y), factor) : ct_sqrt(y);
    return factor ? ct_div(ct_div(y, factor), factor) : y;
}

static bool var_is_ordinary(const ct_tensor *y, bool root)
{
    statistics_range r = statistics_range_of(y->dtype);

    return root ? cti_all_within(y, r.least, r.most)
                : cti_all_within(y, r.least * r.least, r.most * r.most);
}

static ct_tensor *var_forward(ct_tensor *x, const statistics_attributes *r)
{
    ct_tensor *y = cti_backend_of(x->device)->async ? NULL : var_of(x, r, NULL);

    if (y && var_is_ordinary(y, r->root))
        return y;
    return var_of(x, r, cti_factor_of_rows(x, r->mask));
}

static ct_tensor *statistics_var(const char *function, bool root, ct_tensor *x, int mask,
                                 double correction, bool keepdim);

static void var_grad(ct_node *n, ct_tensor *const *dout)
{
    const statistics_attributes *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0), *d, *factor = NULL;
    ct_shape kept;

    if (!x || !y)
        return;
    kept = cti_reduce_shape(&x->shape, r->mask, true);
    d = ct_reshape(dout[0], kept);
    if (!var_is_ordinary(y, r->root)) {
        factor = cti_factor_of_rows(x, r->mask);
        x = ct_mul(x, factor);
        if (!x)
            return;
    }
    if (!r->root) {
        d = ct_mul_scalar(d, 2);
    } else if (factor) { /* the std of factor x has the same derivative as that of x */
        double n_of_row = (double)cti_reduce_count(&x->shape, r->mask);

        d = statistics_divide(
            d, statistics_var("ct_std", true, x, r->mask, n_of_row - r->number, true));
    } else {
        d = statistics_divide(d, ct_reshape(y, kept));
    }
    d = ct_mul(ct_expand(ct_div_scalar(d, r->number), x->shape), statistics_centre(x, r->mask));
    ct_node_add_grad(n, 0, r->root || !factor ? d : ct_div(d, factor));
}

static const ct_op var_op = { .name = "ct_var",
                              .inputs = 1,
                              .outputs = 1,
                              .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                              .backward = CTI_TRAINING(var_grad) };
static const ct_op std_op = { .name = "ct_std",
                              .inputs = 1,
                              .outputs = 1,
                              .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                              .backward = CTI_TRAINING(var_grad) };

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

/* Returns the 2-norm of x, computed from x times factor; a NULL factor counts as 1. */
static ct_tensor *norm_euclidean(ct_tensor *x, int mask, ct_tensor *factor)
{
    ct_tensor *y =
        ct_sqrt(cti_reduce_squares("ct_norm", factor ? ct_mul(x, factor) : x, mask, true));

    return factor ? ct_div(y, factor) : y;
}

static bool norm_is_ordinary(const ct_tensor *y)
{
    statistics_range r = statistics_range_of(y->dtype);

    return cti_all_within(y, r.least, r.most);
}

static ct_tensor *norm_sum(ct_tensor *x, const statistics_attributes *r)
{
    return cti_reduce_sum("ct_norm", ct_pow_scalar(x, r->number), r->mask, true);
}

/* For p other than 0, 1 and 2. Where the sum of powers is out of range, |x| is divided by its
 * largest element (its smallest, for a negative p) first. */
static ct_tensor *norm_power(ct_tensor *x, const statistics_attributes *r)
{
    statistics_range range = statistics_range_of(x->dtype);
    double p = r->number;
    ct_tensor *size = ct_abs(x), *sum = norm_sum(size, r), *most, *none, *scaled, *right;

    if (!sum)
        return NULL;
    if (x->numel == 0 || cti_all_within(sum, range.smallest, range.above))
        return ct_pow_scalar(sum, 1 / p);
    most = statistics_extreme(p > 0 ? CTI_MAX : CTI_MIN, x, r->mask);
    none = ct_logical_or(ct_logical_not(ct_isfinite(most)), ct_eq(most, statistics_number(x, 0)));
    scaled = norm_sum(ct_div(size, ct_where(none, statistics_number(x, 1), most)), r);
    scaled = ct_mul(most, ct_pow_scalar(scaled, 1 / p));
    right = ct_logical_and(ct_ge(sum, statistics_number(x, range.smallest)),
                           ct_le(sum, statistics_number(x, range.above)));
    return ct_where(ct_logical_or(right, none), ct_pow_scalar(sum, 1 / p), scaled);
}

static ct_tensor *norm_forward(ct_tensor *x, const statistics_attributes *r)
{
    ct_tensor *y;

    if (r->number == 0)
        return cti_reduce_sum("ct_norm", ct_cast(ct_ne(x, ct_zeros_like(x)), x->dtype), r->mask,
                              false);
    if (r->number == 1)
        return cti_reduce_sum("ct_norm", ct_abs(x), r->mask, false);
    if (r->number != 2)
        return norm_power(x, r);
    y = cti_backend_of(x->device)->async ? NULL : norm_euclidean(x, r->mask, NULL);
    return y && norm_is_ordinary(y) ? y
                                    : norm_euclidean(x, r->mask, cti_factor_of_rows(x, r->mask));
}

static ct_tensor *statistics_norm(const char *function, ct_tensor *x, double p, int mask,
                                  bool keepdim);

/* (|x| / y)^(p - 1). It is 1 where x is 0, since the factor sign(x) makes the derivative 0, and 0
 * where y is 0. */
static ct_tensor *norm_slope(ct_tensor *x, ct_tensor *y, double p)
{
    ct_tensor *one = ct_ones(CT_SCALAR, x->dtype, x->device);
    ct_tensor *zero = ct_zeros(CT_SCALAR, x->dtype, x->device);
    ct_tensor *flat = ct_eq(y, zero), *none = ct_logical_or(ct_eq(x, zero), flat);
    ct_tensor *ratio = ct_div(ct_where(none, one, ct_abs(x)), ct_where(none, one, y));

    return ct_where(flat, zero, ct_pow_scalar(ratio, p - 1));
}

static ct_tensor *statistics_norm(const char *function, ct_tensor *x, double p, int mask,
                                  bool keepdim);

/* Multiplies rows out of range by a factor, which does not change the derivative. y is computed
 * again from these rows, so that it has all its digits even where the result is subnormal. */
static void norm_grad(ct_node *n, ct_tensor *const *dout)
{
    const statistics_attributes *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0), *d, *slope;
    double p = r->number;
    ct_shape kept;

    if (!x || !y)
        return;
    if (p == 0) {
        ct_node_add_grad(n, 0, ct_zeros_like(x));
        return;
    }
    kept = cti_reduce_shape(&x->shape, r->mask, true);
    d = ct_reshape(dout[0], kept);
    if (p == 1) {
        ct_node_add_grad(n, 0, ct_mul(ct_expand(d, x->shape), ct_sign(x)));
        return;
    }
    if (norm_is_ordinary(y)) {
        y = ct_reshape(y, kept);
    } else {
        x = ct_mul(x, cti_factor_of_rows(x, r->mask));
        y = x ? statistics_norm("ct_norm", x, p, r->mask, true) : NULL;
    }
    if (!x || !y)
        return;
    if (p == 2) {
        d = ct_mul(x, ct_expand(statistics_divide(d, y), x->shape));
    } else {
        slope = ct_mul(ct_sign(x), norm_slope(x, ct_expand(y, x->shape), p));
        d = ct_mul(ct_expand(d, x->shape), slope);
    }
    ct_node_add_grad(n, 0, d);
}

static const ct_op norm_op = { .name = "ct_norm",
                               .inputs = 1,
                               .outputs = 1,
                               .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                               .backward = CTI_TRAINING(norm_grad) };

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

/* Returns the shift that is subtracted so that exp cannot overflow: t, the largest x, or 0 where t
 * is not finite. */
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
    none = ct_eq(most, ct_full(CT_SCALAR, -INFINITY, x->dtype, x->device)); /* where dx must be 0 */
    e = ct_exp(ct_sub(x, ct_where(none, zero, most)));
    sum = cti_reduce_sum("ct_logsumexp_axes", e, r->mask, true);
    sum = ct_where(ct_isfinite(most), sum, ct_ones(CT_SCALAR, x->dtype, x->device));
    ct_node_add_grad(n, 0, ct_mul(cti_reduce_spread(dout[0], x->shape, r->mask), ct_div(e, sum)));
}

static const ct_op logsumexp_op = { .name = "ct_logsumexp_axes",
                                    .inputs = 1,
                                    .outputs = 1,
                                    .saves = CT_SAVE_INPUTS,
                                    .backward = CTI_TRAINING(logsumexp_grad) };

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

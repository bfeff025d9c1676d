/* SPDX-License-Identifier: MIT */
/* cases_reduce.c - rows for reduce.h, statistics.h, scan.h and softmax.h of autograd/ops. */
#include "tests/cases.h"

#include <math.h>

#include <cotangent.h>

/* ---- several axes: i[0] their number, i[1...] the axes, i[7] keepdim ---- */

/* Draws some axes of s in any order. An axis of size 0 is drawn only if `empty` is true. */
static void some_axes(op_draw *d, ct_shape s, bool empty)
{
    int64_t order[CT_MAX_RANK];
    int n = 0, k;

    for (k = 0; k < s.rank; k++)
        if (empty || s.dim[k])
            order[n++] = k;
    ct_shuffle(order, n, &d->g);
    d->i[0] = op_below(d, n + 1);
    for (k = 0; k < d->i[0]; k++)
        d->i[1 + k] = op_chance(d, 0.5) ? order[k] - s.rank : order[k];
    d->i[7] = op_chance(d, 0.5);
}

static void draw_axes(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    op_uniform(d, s, -2, 2);
    some_axes(d, s, true);
}

/* Returns the number of elements that are reduced to one. */
static int64_t together(const op_draw *d)
{
    const ct_shape *s = &d->in[0].shape;
    int64_t n = 1;
    int k;

    for (k = 0; k < d->i[0]; k++)
        n *= s->dim[d->i[1 + k] < 0 ? d->i[1 + k] + s->rank : d->i[1 + k]];
    return n;
}

#define OVER_AXES(name)                                                                            \
    static ct_tensor *call_##name(ct_tensor *const *in, const op_draw *d)                          \
    {                                                                                              \
        int axes[CT_MAX_RANK], k;                                                                  \
                                                                                                   \
        for (k = 0; k < d->i[0]; k++)                                                              \
            axes[k] = (int)d->i[1 + k];                                                            \
        return ct_##name(in[0], (int)d->i[0], axes, d->i[7] != 0);                                 \
    }

OVER_AXES(sum_axes)
OVER_AXES(mean_axes)

OVER_AXES(prod_axes)
OVER_AXES(amax_axes)
OVER_AXES(amin_axes)
OVER_AXES(logsumexp_axes)
OVER_AXES(any_axes)
OVER_AXES(all_axes)

/* axes that are not empty, and values without ties */
static void draw_extreme(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    op_distinct(d, s);
    some_axes(d, s, false);
}

static void draw_logsumexp(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    op_uniform(d, s, -2, 2);
    some_axes(d, s, false);
}

static void draw_extreme_of_all(op_draw *d)
{
    d->zero = false;
    op_distinct(d, op_shape(d, 0, 5));
}

static void draw_bools(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    op_bool(d, s);
    some_axes(d, s, true);
}

/* p[0]: the correction, below the number of elements. The std of one element is 0 and has a
 * gradient of 0 */
static void draw_var_axes(op_draw *d)
{
    static const double corrections[] = { 0, 1, 0.5 };

    d->zero = false;
    draw_extreme(d);
    d->p[0] = together(d) > 1 ? corrections[op_below(d, 3)] : 0;
}

static void draw_var(op_draw *d)
{
    ct_shape s;

    d->zero = false;
    s = op_shape_share(d, 1, 5, 2);
    s.dim[0] += s.dim[0] == 1;
    op_distinct(d, s);
}

#define VAR_AXES(name)                                                                             \
    static ct_tensor *call_##name(ct_tensor *const *in, const op_draw *d)                          \
    {                                                                                              \
        int axes[CT_MAX_RANK], k;                                                                  \
                                                                                                   \
        for (k = 0; k < d->i[0]; k++)                                                              \
            axes[k] = (int)d->i[1 + k];                                                            \
        return ct_##name(in[0], (int)d->i[0], axes, d->p[0], d->i[7] != 0);                        \
    }

VAR_AXES(var_axes)
VAR_AXES(std_axes)

/* p[0]: p; p[1]: a number that is added to x, so that no two |x| are equal if p is infinite */
static void draw_norm(op_draw *d)
{
    static const double p[] = { 1, 2, 2, 3, 1.5, INFINITY, -INFINITY, 0, 0.5, -1.5 };
    ct_shape s;

    d->p[0] = p[op_below(d, 10)];
    d->zero &= d->p[0] >= 0;
    if (isinf(d->p[0])) {
        draw_extreme_of_all(d);
        d->p[1] = op_chance(d, 0.5) ? 3 : -3;
        some_axes(d, d->in[0].shape, false);
        return;
    }
    s = op_shape(d, 0, 5);
    if (d->p[0] < 2 && d->p[0] != 1) /* away from 0, where the second derivative is infinite */
        op_uniform(d, s, 0.2, 2);
    else
        op_kink(op_uniform(d, s, -2, 2), 0);
    some_axes(d, s, true);
}

static ct_tensor *norm_input(ct_tensor *x, const op_draw *d)
{
    return d->p[1] != 0 ? ct_add_scalar(x, d->p[1]) : x;
}

static ct_tensor *call_norm(ct_tensor *const *in, const op_draw *d)
{
    return ct_norm(norm_input(in[0], d), d->p[0]);
}

static ct_tensor *call_norm_axes(ct_tensor *const *in, const op_draw *d)
{
    int axes[CT_MAX_RANK], k;

    for (k = 0; k < d->i[0]; k++)
        axes[k] = (int)d->i[1 + k];
    return ct_norm_axes(norm_input(in[0], d), d->p[0], (int)d->i[0], axes, d->i[7] != 0);
}

/* the mean of no elements is NaN */
static void draw_mean_axes(op_draw *d)
{
    d->zero = false;
    draw_axes(d);
}

static void draw_mean(op_draw *d)
{
    d->zero = false;
    op_draw_any(d);
}

/* ---- one axis: i[0], of a size above 0; i[1] keepdim ---- */

static ct_shape shape_with_axis(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);
    int64_t axis = op_below(d, s.rank);

    s.dim[axis] += s.dim[axis] == 0;
    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    d->i[1] = op_chance(d, 0.5);
    return s;
}

static void draw_axis(op_draw *d)
{
    ct_shape s = shape_with_axis(d);

    op_uniform(d, s, -2, 2);
}

static void draw_axis_distinct(op_draw *d)
{
    op_distinct(d, shape_with_axis(d));
}

#define OVER_AXIS(name)                                                                            \
    static ct_tensor *call_##name(ct_tensor *const *in, const op_draw *d)                          \
    {                                                                                              \
        return ct_##name(in[0], (int)d->i[0], d->i[1] != 0);                                       \
    }

OVER_AXIS(sum_axis)
OVER_AXIS(mean_axis)
OVER_AXIS(prod_axis)
OVER_AXIS(amax_axis)
OVER_AXIS(amin_axis)
OVER_AXIS(logsumexp_axis)
OVER_AXIS(any_axis)
OVER_AXIS(all_axis)

static void draw_axis_bool(op_draw *d)
{
    op_bool(d, shape_with_axis(d));
}

/* p[0]: the correction or p; the axis has two elements or more */
static void draw_var_axis(op_draw *d)
{
    static const double corrections[] = { 0, 1, 0.5 };
    ct_shape s;
    int64_t axis;

    d->zero = false;
    s = op_shape_share(d, 1, 5, 2);
    axis = op_below(d, s.rank);
    s.dim[axis] += s.dim[axis] == 1;
    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    d->i[1] = op_chance(d, 0.5);
    op_distinct(d, s);
    d->p[0] = corrections[op_below(d, 3)];
}

static void draw_norm_axis(op_draw *d)
{
    static const double p[] = { 1, 2, 3 };
    ct_shape s = shape_with_axis(d);

    d->p[0] = p[op_below(d, 3)];
    op_kink(op_uniform(d, s, -2, 2), 0);
}

static ct_tensor *call_var_axis(ct_tensor *const *in, const op_draw *d)
{
    return ct_var_axis(in[0], (int)d->i[0], d->p[0], d->i[1] != 0);
}

static ct_tensor *call_std_axis(ct_tensor *const *in, const op_draw *d)
{
    return ct_std_axis(in[0], (int)d->i[0], d->p[0], d->i[1] != 0);
}

static ct_tensor *call_norm_axis(ct_tensor *const *in, const op_draw *d)
{
    return ct_norm_axis(in[0], d->p[0], (int)d->i[0], d->i[1] != 0);
}

static ct_tensor *call_max_axis(ct_tensor *const *in, const op_draw *d)
{
    return ct_max_axis(in[0], (int)d->i[0], d->i[1] != 0, NULL);
}

static ct_tensor *call_min_axis(ct_tensor *const *in, const op_draw *d)
{
    return ct_min_axis(in[0], (int)d->i[0], d->i[1] != 0, NULL);
}

static void draw_cumsum(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);

    op_uniform(d, s, -2, 2);
    d->i[0] = op_below(d, 2 * s.rank) - s.rank;
}

static ct_tensor *call_cumsum(ct_tensor *const *in, const op_draw *d)
{
    return ct_cumsum(in[0], (int)d->i[0]);
}

static ct_tensor *call_cumprod(ct_tensor *const *in, const op_draw *d)
{
    return ct_cumprod(in[0], (int)d->i[0]);
}

/* a and b that broadcast, and h before the first step; i[0]: the axis, i[1]: from the end */
static void draw_linear_scan(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 4), initial = s;
    const int axis = (int)op_below(d, s.rank);

    for (int i = axis; i < s.rank - 1; i++)
        initial.dim[i] = s.dim[i + 1];
    initial.rank--;
    op_uniform(d, d->broadcast ? op_narrower(d, s) : s, -1, 1);
    op_uniform(d, s, -2, 2);
    op_uniform(d, initial, -2, 2)->unused = op_chance(d, 0.5);
    d->i[0] = axis;
    d->i[1] = op_chance(d, 0.5);
    d->i[2] = !d->in[2].unused;
}

static ct_tensor *call_linear_scan(ct_tensor *const *in, const op_draw *d)
{
    ct_linear_scan_options o = { .initial = d->i[2] ? in[2] : NULL, .reverse = d->i[1] != 0 };

    return ct_linear_scan(in[0], in[1], (int)d->i[0], o);
}

static void draw_cummax(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);

    op_distinct(d, s);
    d->i[0] = op_below(d, 2 * s.rank) - s.rank;
}

static ct_tensor *call_cummax(ct_tensor *const *in, const op_draw *d)
{
    return ct_cummax(in[0], (int)d->i[0], NULL);
}

static ct_tensor *call_cummin(ct_tensor *const *in, const op_draw *d)
{
    return ct_cummin(in[0], (int)d->i[0], NULL);
}

static ct_tensor *call_logcumsumexp(ct_tensor *const *in, const op_draw *d)
{
    return ct_logcumsumexp(in[0], (int)d->i[0]);
}

static ct_tensor *call_argmax(ct_tensor *const *in, const op_draw *d)
{
    return ct_argmax(in[0], (int)d->i[0], d->i[1] != 0);
}

static ct_tensor *call_argmin(ct_tensor *const *in, const op_draw *d)
{
    return ct_argmin(in[0], (int)d->i[0], d->i[1] != 0);
}

static ct_tensor *call_softmax(ct_tensor *const *in, const op_draw *d)
{
    return ct_softmax(in[0], (int)d->i[0]);
}

static ct_tensor *call_log_softmax(ct_tensor *const *in, const op_draw *d)
{
    return ct_log_softmax(in[0], (int)d->i[0]);
}

/* ---- to a shape: i[0] its rank, i[1...] its sizes ---- */

static void draw_sum_to_shape(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5), to;
    int k;

    d->broadcast = op_chance(d, 0.9);
    to = op_narrower(d, s);
    op_uniform(d, s, -2, 2);
    d->i[0] = to.rank;
    for (k = 0; k < to.rank; k++)
        d->i[1 + k] = to.dim[k];
}

static ct_tensor *call_sum_to_shape(ct_tensor *const *in, const op_draw *d)
{
    return ct_sum_to_shape(in[0], ct_shape_from_sizes((int)d->i[0], d->i + 1));
}

#define A_POSITION .no_gradient = "its result is a position"
#define A_BOOL .no_gradient = "its result is bool"

const op_row reduce_rows[] = {
    { "ct_sum", op_draw_any, .one = ct_sum },
    { "ct_mean", draw_mean, .one = ct_mean },
    { "ct_sum_axes", draw_axes, .call = call_sum_axes },
    { "ct_mean_axes", draw_mean_axes, .call = call_mean_axes },
    { "ct_sum_axis", draw_axis, .call = call_sum_axis },
    { "ct_mean_axis", draw_axis, .call = call_mean_axis },
    { "ct_prod", op_draw_any, .one = ct_prod },
    { "ct_prod_axes", draw_axes, .call = call_prod_axes },
    { "ct_prod_axis", draw_axis, .call = call_prod_axis },
    { "ct_max", draw_extreme_of_all, .one = ct_max },
    { "ct_min", draw_extreme_of_all, .one = ct_min },
    { "ct_amax_axes", draw_extreme, .call = call_amax_axes },
    { "ct_amin_axes", draw_extreme, .call = call_amin_axes },
    { "ct_amax_axis", draw_axis_distinct, .call = call_amax_axis },
    { "ct_amin_axis", draw_axis_distinct, .call = call_amin_axis },
    { "ct_max_axis", draw_axis_distinct, .call = call_max_axis },
    { "ct_min_axis", draw_axis_distinct, .call = call_min_axis },
    { "ct_var", draw_var, .one = ct_var },
    { "ct_std", draw_var, .one = ct_std },
    { "ct_var_axes", draw_var_axes, .call = call_var_axes },
    { "ct_std_axes", draw_var_axes, .call = call_std_axes },
    { "ct_var_axis", draw_var_axis, .call = call_var_axis },
    { "ct_std_axis", draw_var_axis, .call = call_std_axis },
    { "ct_norm", draw_norm, .call = call_norm },
    { "ct_norm_axes", draw_norm, .call = call_norm_axes },
    { "ct_norm_axis", draw_norm_axis, .call = call_norm_axis },
    { "ct_logsumexp_axes", draw_logsumexp, .call = call_logsumexp_axes },
    { "ct_logsumexp_axis", draw_axis, .call = call_logsumexp_axis },
    { "ct_any", draw_bools, .one = ct_any, A_BOOL },
    { "ct_all", draw_bools, .one = ct_all, A_BOOL },
    { "ct_any_axes", draw_bools, .call = call_any_axes, A_BOOL },
    { "ct_all_axes", draw_bools, .call = call_all_axes, A_BOOL },
    { "ct_any_axis", draw_axis_bool, .call = call_any_axis, A_BOOL },
    { "ct_all_axis", draw_axis_bool, .call = call_all_axis, A_BOOL },
    { "ct_cumsum", draw_cumsum, .call = call_cumsum },
    { "ct_cumprod", draw_cumsum, .call = call_cumprod },
    { "ct_linear_scan", draw_linear_scan, .call = call_linear_scan, .optional = 2 },
    { "ct_cummax", draw_cummax, .call = call_cummax },
    { "ct_cummin", draw_cummax, .call = call_cummin },
    { "ct_logcumsumexp", draw_cumsum, .call = call_logcumsumexp },
    { "ct_argmax", draw_axis, .call = call_argmax, A_POSITION },
    { "ct_argmin", draw_axis, .call = call_argmin, A_POSITION },
    { "ct_sum_to_shape", draw_sum_to_shape, .call = call_sum_to_shape },
    { "ct_softmax", draw_axis, .call = call_softmax },
    { "ct_log_softmax", draw_axis, .call = call_log_softmax },
    { 0 },
};

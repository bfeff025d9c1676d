/* cases_reduce.c - rows for autograd/reduce.h and autograd/softmax.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* ---- several axes: i[0] how many, i[1...] which, i[7] keepdim ---- */

static void draw_axes(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);
    int64_t order[CT_MAX_RANK];
    int k;

    op_uniform(d, s, -2, 2);
    for (k = 0; k < s.rank; k++)
        order[k] = k;
    ct_shuffle(order, s.rank, &d->g);
    d->i[0] = op_below(d, s.rank + 1);
    for (k = 0; k < d->i[0]; k++)
        d->i[1 + k] = op_chance(d, 0.5) ? order[k] - s.rank : order[k];
    d->i[7] = op_chance(d, 0.5);
}

#define OVER_AXES(name)                                                                           \
    static ct_tensor *call_##name(ct_tensor *const *in, const op_draw *d)                         \
    {                                                                                             \
        int axes[CT_MAX_RANK], k;                                                                 \
                                                                                                  \
        for (k = 0; k < d->i[0]; k++)                                                             \
            axes[k] = (int)d->i[1 + k];                                                           \
        return ct_##name(in[0], (int)d->i[0], axes, d->i[7] != 0);                                \
    }

OVER_AXES(sum_axes)
OVER_AXES(mean_axes)

/* the mean of nothing is no number */
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
    return ct_sum_to_shape(in[0], ct_shape_of((int)d->i[0], d->i + 1));
}

#define A_POSITION .no_gradient = "its result is a position"

const op_row reduce_rows[] = {
    { "ct_sum", op_draw_any, .one = ct_sum },
    { "ct_mean", draw_mean, .one = ct_mean },
    { "ct_sum_axes", draw_axes, .call = call_sum_axes },
    { "ct_mean_axes", draw_mean_axes, .call = call_mean_axes },
    { "ct_argmax", draw_axis, .call = call_argmax, A_POSITION },
    { "ct_argmin", draw_axis, .call = call_argmin, A_POSITION },
    { "ct_sum_to_shape", draw_sum_to_shape, .call = call_sum_to_shape },
    { "ct_softmax", draw_axis, .call = call_softmax },
    { "ct_log_softmax", draw_axis, .call = call_log_softmax },
    { 0 },
};

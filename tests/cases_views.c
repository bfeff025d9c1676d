/* SPDX-License-Identifier: MIT */
/* cases_views.c - rows for autograd/ops/views.h. */
#include "tests/cases.h"

#include <cotangent.h>

static int64_t elements(ct_shape s)
{
    int64_t n = 1;
    int i;

    for (i = 0; i < s.rank; i++)
        n *= s.dim[i];
    return n;
}

/* Returns an axis, half of the time counted from the end. */
static int64_t some_axis(op_draw *d, int rank)
{
    int64_t axis = op_below(d, rank);

    return op_chance(d, 0.5) ? axis - rank : axis;
}

static ct_shape options_shape(const op_draw *d)
{
    return ct_shape_from_sizes((int)d->i[0], d->i + 1);
}

/* i[0]: the rank; i[1...]: the new sizes, made by merging and splitting the old ones at random; one
 * may be -1 */
static void draw_reshape(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);
    int64_t left = elements(s);
    int rank = 0;

    op_uniform(d, s, -2, 2);
    if (left == 0) {
        d->i[0] = 2;
        d->i[1] = 0;
        d->i[2] = 7;
        return;
    }
    while (left > 1 && rank < 4) {
        int64_t k = 1 + op_below(d, left);

        while (left % k)
            k--;
        d->i[1 + rank++] = k;
        left /= k;
    }
    if (left > 1 || op_chance(d, 0.3))
        d->i[1 + rank++] = left;
    d->i[0] = rank;
    if (rank && op_chance(d, 0.3))
        d->i[1 + op_below(d, rank)] = -1;
}

static ct_tensor *call_reshape(ct_tensor *const *in, const op_draw *d)
{
    return ct_reshape(in[0], options_shape(d));
}

static void draw_flatten(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    op_uniform(d, s, -2, 2);
    d->i[0] = op_below(d, s.rank);
    d->i[1] = d->i[0] + op_below(d, s.rank - d->i[0]);
    if (op_chance(d, 0.5))
        d->i[1] -= s.rank;
}

static ct_tensor *call_flatten(ct_tensor *const *in, const op_draw *d)
{
    return ct_flatten(in[0], (int)d->i[0], (int)d->i[1]);
}

static void draw_transpose(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);

    op_uniform(d, s, -2, 2);
    d->i[0] = some_axis(d, s.rank);
    d->i[1] = some_axis(d, s.rank);
}

static ct_tensor *call_transpose(ct_tensor *const *in, const op_draw *d)
{
    return ct_transpose(in[0], (int)d->i[0], (int)d->i[1]);
}

static void draw_permute(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);
    int k;

    op_uniform(d, s, -2, 2);
    for (k = 0; k < s.rank; k++)
        d->i[k] = k;
    ct_shuffle(d->i, s.rank, &d->g);
    if (s.rank && op_chance(d, 0.5))
        d->i[0] -= s.rank;
}

static ct_tensor *call_permute(ct_tensor *const *in, const op_draw *d)
{
    int axes[CT_MAX_RANK], k;

    for (k = 0; k < ct_rank(in[0]); k++)
        axes[k] = (int)d->i[k];
    return ct_permute(in[0], ct_rank(in[0]), axes);
}

static void draw_squeeze(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);

    d->i[0] = some_axis(d, s.rank);
    s.dim[d->i[0] < 0 ? d->i[0] + s.rank : d->i[0]] = 1;
    op_uniform(d, s, -2, 2);
}

static ct_tensor *call_squeeze(ct_tensor *const *in, const op_draw *d)
{
    return ct_squeeze(in[0], (int)d->i[0]);
}

static void draw_unsqueeze(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    op_uniform(d, s, -2, 2);
    d->i[0] = some_axis(d, s.rank + 1);
}

static ct_tensor *call_unsqueeze(ct_tensor *const *in, const op_draw *d)
{
    return ct_unsqueeze(in[0], (int)d->i[0]);
}

/* an expand always broadcasts */
static void draw_expand(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);
    int k;

    d->broadcast = op_chance(d, 0.9);
    op_uniform(d, op_narrower(d, s), -2, 2);
    d->i[0] = s.rank;
    for (k = 0; k < s.rank; k++)
        d->i[1 + k] = s.dim[k];
    k = s.rank - 1;
    if (k >= 0 && d->in[0].shape.rank && d->in[0].shape.dim[d->in[0].shape.rank - 1] == s.dim[k])
        d->i[1 + k] = -1;
}

static ct_tensor *call_expand(ct_tensor *const *in, const op_draw *d)
{
    return ct_expand(in[0], options_shape(d));
}

/* i: axis, start, end, step; positions may lie before the start and beyond the end of the axis */
static void draw_slice(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);
    int64_t n;

    op_uniform(d, s, -2, 2);
    d->i[0] = some_axis(d, s.rank);
    n = s.dim[d->i[0] < 0 ? d->i[0] + s.rank : d->i[0]];
    d->i[1] = op_chance(d, 0.5) ? op_below(d, n) : op_below(d, 2 * n + 3) - n - 1;
    d->i[2] = op_chance(d, 0.5) ? n : op_below(d, 2 * n + 3) - n - 1;
    d->i[3] = 1 + op_below(d, 3);
}

static ct_tensor *call_slice(ct_tensor *const *in, const op_draw *d)
{
    return ct_slice(in[0], (int)d->i[0], d->i[1], d->i[2], d->i[3]);
}

static void draw_narrow(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);
    int64_t axis, n;

    op_uniform(d, s, -2, 2);
    axis = op_below(d, s.rank);
    n = s.dim[axis];
    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    d->i[2] = op_below(d, n + 1);
    d->i[1] = op_below(d, n - d->i[2] + 1);
    if (d->i[1] < n && op_chance(d, 0.3))
        d->i[1] -= n;
}

static ct_tensor *call_narrow(ct_tensor *const *in, const op_draw *d)
{
    return ct_narrow(in[0], (int)d->i[0], d->i[1], d->i[2]);
}

static void draw_select(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);
    int64_t axis = op_below(d, s.rank);

    s.dim[axis] += s.dim[axis] == 0;
    op_uniform(d, s, -2, 2);
    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    d->i[1] = op_below(d, s.dim[axis]) - (op_chance(d, 0.3) ? s.dim[axis] : 0);
}

static ct_tensor *call_select(ct_tensor *const *in, const op_draw *d)
{
    return ct_select(in[0], (int)d->i[0], d->i[1]);
}

/* i[0]: the offset, i[1], i[2]: the axes */
static void draw_diagonal(op_draw *d)
{
    ct_shape s = op_shape(d, 2, 5);

    op_uniform(d, s, -2, 2);
    d->i[0] = op_below(d, 7) - 3;
    d->i[1] = op_below(d, s.rank);
    d->i[2] = (d->i[1] + 1 + op_below(d, s.rank - 1)) % s.rank - (op_chance(d, 0.5) ? s.rank : 0);
}

static ct_tensor *call_diagonal(ct_tensor *const *in, const op_draw *d)
{
    return ct_diagonal(in[0], d->i[0], (int)d->i[1], (int)d->i[2]);
}

static void draw_diag(op_draw *d)
{
    op_uniform(d, op_shape(d, 1, 2), -2, 2);
    d->i[0] = op_below(d, 7) - 3;
}

static ct_tensor *call_diag(ct_tensor *const *in, const op_draw *d)
{
    return ct_diag(in[0], d->i[0]);
}

static void draw_matrix(op_draw *d)
{
    op_uniform(d, op_shape(d, 2, 2), -2, 2);
}

const op_row views_rows[] = {
    { "ct_reshape", draw_reshape, .call = call_reshape },
    { "ct_flatten", draw_flatten, .call = call_flatten },
    { "ct_transpose", draw_transpose, .call = call_transpose },
    { "ct_permute", draw_permute, .call = call_permute },
    { "ct_squeeze", draw_squeeze, .call = call_squeeze },
    { "ct_unsqueeze", draw_unsqueeze, .call = call_unsqueeze },
    { "ct_expand", draw_expand, .call = call_expand },
    { "ct_slice", draw_slice, .call = call_slice },
    { "ct_narrow", draw_narrow, .call = call_narrow },
    { "ct_select", draw_select, .call = call_select },
    { "ct_diagonal", draw_diagonal, .call = call_diagonal },
    { "ct_diag", draw_diag, .call = call_diag },
    { "ct_trace", draw_matrix, .one = ct_trace },
    { 0 },
};

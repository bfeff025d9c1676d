/* SPDX-License-Identifier: MIT */
/* cases_join.c - rows for autograd/ops/join.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* ---- cat and stack ---- */

/* Returns an axis, half of the time counted from the end. */
static int64_t some_axis(op_draw *d, int rank)
{
    int64_t axis = op_below(d, rank);

    return op_chance(d, 0.5) ? axis - rank : axis;
}

/* i[0]: the axis; the same tensor may occur twice */
static void draw_cat(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);
    int64_t axis = op_below(d, s.rank);
    int parts = 1 + (int)op_below(d, 4), k;

    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    for (k = 0; k < parts; k++) {
        op_uniform(d, s, -2, 2);
        s.dim[axis] = op_below(d, s.dim[axis] + 1);
    }
    if (d->same && parts > 1) {
        d->in[1].same_as = 0;
        d->in[1].shape = d->in[0].shape;
    }
}

static ct_tensor *call_cat(ct_tensor *const *in, const op_draw *d)
{
    return ct_cat(d->count, in, (int)d->i[0]);
}

static void draw_stack(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);
    int parts = 1 + (int)op_below(d, 4), k;

    d->i[0] = some_axis(d, s.rank + 1);
    for (k = 0; k < parts; k++)
        op_uniform(d, s, -2, 2);
    if (d->same && parts > 1)
        d->in[1].same_as = 0;
}

static ct_tensor *call_stack(ct_tensor *const *in, const op_draw *d)
{
    return ct_stack(d->count, in, (int)d->i[0]);
}

/* ---- split: i[0] the axis, i[1] how many parts, i[2...] their sizes ---- */

static void draw_split(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);
    int64_t axis = op_below(d, s.rank), left = s.dim[axis];
    int k;

    op_uniform(d, s, -2, 2);
    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    d->i[1] = 1 + op_below(d, 4);
    for (k = 0; k < d->i[1]; k++) {
        d->i[2 + k] = k + 1 < d->i[1] ? op_below(d, left + 1) : left;
        left -= d->i[2 + k];
    }
}

/* the parts in reverse order */
static ct_tensor *call_split(ct_tensor *const *in, const op_draw *d)
{
    ct_tensor *parts[4], *back[4];
    int n = (int)d->i[1], k;

    if (ct_split(in[0], n, d->i + 2, (int)d->i[0], parts) != CT_OK)
        return NULL;
    for (k = 0; k < n; k++)
        back[k] = parts[n - 1 - k];
    return ct_cat(n, back, (int)d->i[0]);
}

const op_row join_rows[] = {
    { "ct_cat", draw_cat, .call = call_cat },
    { "ct_stack", draw_stack, .call = call_stack },
    { "ct_split", draw_split, .call = call_split },
    { 0 },
};

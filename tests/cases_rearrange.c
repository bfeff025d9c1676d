/* SPDX-License-Identifier: MIT */
/* cases_rearrange.c - rows for autograd/ops/rearrange.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* ---- flip: a bit of i[0] for each axis; roll: i[0] the axis, i[1] the shift ---- */

static void draw_flip(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    op_uniform(d, s, -2, 2);
    d->i[0] = op_below(d, 1 << s.rank);
}

static ct_tensor *call_flip(ct_tensor *const *in, const op_draw *d)
{
    int axes[CT_MAX_RANK], n = 0, rank = ct_rank(in[0]), k;

    for (k = 0; k < rank; k++)
        if (d->i[0] >> k & 1)
            axes[n++] = k % 2 ? k - rank : k;
    return ct_flip(in[0], n, axes);
}

static void draw_roll(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);

    op_uniform(d, s, -2, 2);
    d->i[0] = op_below(d, 2 * s.rank) - s.rank;
    d->i[1] = op_below(d, 21) - 10;
}

static ct_tensor *call_roll(ct_tensor *const *in, const op_draw *d)
{
    return ct_roll(in[0], d->i[1], (int)d->i[0]);
}

/* ---- pad: i[0] the number of sizes, i[1...] the sizes; p[0] the value ---- */

static void draw_pad(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 3);
    int k;

    op_uniform(d, s, -2, 2);
    d->i[0] = 2 * op_below(d, s.rank + 1);
    for (k = 0; k < d->i[0]; k++)
        d->i[1 + k] = op_below(d, 3);
    d->p[0] = op_between(d, -1, 1);
}

static ct_tensor *call_pad(ct_tensor *const *in, const op_draw *d)
{
    return ct_pad(in[0], (int)d->i[0], d->i + 1, d->p[0]);
}

/* ---- repeat: i[0] the number of axes, i[1...] the repetitions ---- */

static void draw_repeat(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 4);
    int k;

    op_uniform(d, s, -2, 2);
    d->i[0] = s.rank + op_below(d, 2);
    for (k = 0; k < d->i[0]; k++)
        d->i[1 + k] = op_chance(d, 0.05) ? 0 : 1 + op_below(d, 2);
}

static ct_tensor *call_repeat(ct_tensor *const *in, const op_draw *d)
{
    return ct_repeat(in[0], (int)d->i[0], d->i + 1);
}

/* ---- triangles: i[0] the diagonal ---- */

static void draw_triangle(op_draw *d)
{
    op_uniform(d, op_shape(d, 2, 4), -2, 2);
    d->i[0] = op_below(d, 9) - 4;
}

static ct_tensor *call_tril(ct_tensor *const *in, const op_draw *d)
{
    return ct_tril(in[0], d->i[0]);
}

static ct_tensor *call_triu(ct_tensor *const *in, const op_draw *d)
{
    return ct_triu(in[0], d->i[0]);
}

const op_row rearrange_rows[] = {
    { "ct_flip", draw_flip, .call = call_flip },
    { "ct_roll", draw_roll, .call = call_roll },
    { "ct_pad", draw_pad, .call = call_pad },
    { "ct_repeat", draw_repeat, .call = call_repeat },
    { "ct_tril", draw_triangle, .call = call_tril },
    { "ct_triu", draw_triangle, .call = call_triu },
    { 0 },
};

/* SPDX-License-Identifier: MIT */
/* cases_compare.c - rows for autograd/ops/compare.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* ---- draws ---- */

static void draw_two_bools(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    op_bool(d, s);
    op_bool(d, op_narrower(d, s));
}

static void draw_bool(op_draw *d)
{
    op_bool(d, op_shape(d, 0, 5));
}

static void draw_where(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);
    int whole = (int)op_below(d, 3), i;

    for (i = 0; i < 3; i++) {
        ct_shape part = i == whole ? s : op_narrower(d, s);

        if (i == 0)
            op_bool(d, part);
        else
            op_uniform(d, part, -2, 2);
    }
    if (d->same && !d->broadcast)
        d->in[2].same_as = 1;
}

static void draw_masked_fill(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    op_uniform(d, s, -2, 2);
    op_bool(d, op_narrower(d, s));
    d->p[0] = op_between(d, -2, 2);
}

/* p[0]: the number, p[1]: another */
static void draw_number(op_draw *d)
{
    op_draw_any(d);
    d->p[0] = op_between(d, -2, 2);
}

static void draw_where_scalar(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);
    bool narrow_condition = op_chance(d, 0.5);

    op_bool(d, narrow_condition ? op_narrower(d, s) : s);
    op_uniform(d, narrow_condition ? s : op_narrower(d, s), -2, 2);
    d->p[0] = op_between(d, -2, 2);
}

static void draw_where_scalars(op_draw *d)
{
    draw_bool(d);
    d->p[0] = op_between(d, -2, 2);
    d->p[1] = op_between(d, -2, 2);
}

/* ---- calls ---- */

static ct_tensor *call_where(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_where(in[0], in[1], in[2]);
}

static ct_tensor *call_masked_fill(ct_tensor *const *in, const op_draw *d)
{
    return ct_masked_fill(in[0], in[1], d->p[0]);
}

static ct_tensor *call_where_scalar(ct_tensor *const *in, const op_draw *d)
{
    return ct_where_scalar(in[0], in[1], d->p[0]);
}

static ct_tensor *call_rwhere_scalar(ct_tensor *const *in, const op_draw *d)
{
    return ct_rwhere_scalar(in[0], d->p[0], in[1]);
}

static ct_tensor *call_where_scalars(ct_tensor *const *in, const op_draw *d)
{
    return ct_where_scalars(in[0], d->p[0], d->p[1], CT_F64);
}

static ct_tensor *call_nan_to_num(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_nan_to_num(in[0], 1, 2, 3);
}

#define WITH_NUMBER(name)                                                                          \
    static ct_tensor *call_##name(ct_tensor *const *in, const op_draw *d)                          \
    {                                                                                              \
        return ct_##name(in[0], d->p[0]);                                                          \
    }

WITH_NUMBER(eq_scalar)
WITH_NUMBER(ne_scalar)
WITH_NUMBER(lt_scalar)
WITH_NUMBER(le_scalar)
WITH_NUMBER(gt_scalar)
WITH_NUMBER(ge_scalar)

#define GIVES_BOOL .no_gradient = "its result is bool"

const op_row compare_rows[] = {
    { "ct_eq", op_draw_two, .two = ct_eq, GIVES_BOOL },
    { "ct_ne", op_draw_two, .two = ct_ne, GIVES_BOOL },
    { "ct_lt", op_draw_two, .two = ct_lt, GIVES_BOOL },
    { "ct_le", op_draw_two, .two = ct_le, GIVES_BOOL },
    { "ct_gt", op_draw_two, .two = ct_gt, GIVES_BOOL },
    { "ct_ge", op_draw_two, .two = ct_ge, GIVES_BOOL },
    { "ct_isfinite", op_draw_any, .one = ct_isfinite, GIVES_BOOL },
    { "ct_isnan", op_draw_any, .one = ct_isnan, GIVES_BOOL },
    { "ct_isinf", op_draw_any, .one = ct_isinf, GIVES_BOOL },
    { "ct_eq_scalar", draw_number, .call = call_eq_scalar, GIVES_BOOL },
    { "ct_ne_scalar", draw_number, .call = call_ne_scalar, GIVES_BOOL },
    { "ct_lt_scalar", draw_number, .call = call_lt_scalar, GIVES_BOOL },
    { "ct_le_scalar", draw_number, .call = call_le_scalar, GIVES_BOOL },
    { "ct_gt_scalar", draw_number, .call = call_gt_scalar, GIVES_BOOL },
    { "ct_ge_scalar", draw_number, .call = call_ge_scalar, GIVES_BOOL },
    { "ct_logical_not", draw_bool, .one = ct_logical_not, GIVES_BOOL },
    { "ct_logical_and", draw_two_bools, .two = ct_logical_and, GIVES_BOOL },
    { "ct_logical_or", draw_two_bools, .two = ct_logical_or, GIVES_BOOL },
    { "ct_logical_xor", draw_two_bools, .two = ct_logical_xor, GIVES_BOOL },
    { "ct_where", draw_where, .call = call_where },
    { "ct_masked_fill", draw_masked_fill, .call = call_masked_fill },
    { "ct_where_scalar", draw_where_scalar, .call = call_where_scalar },
    { "ct_rwhere_scalar", draw_where_scalar, .call = call_rwhere_scalar },
    { "ct_where_scalars", draw_where_scalars, .call = call_where_scalars,
      .no_gradient = "its input is bool" },
    { "ct_nan_to_num", op_draw_any, .call = call_nan_to_num },
    { 0 },
};

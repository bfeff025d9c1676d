/* cases_elementwise.c - rows for autograd/ops/elementwise.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* ---- draws: a domain, and the kinks in it ---- */

static void away_from_zero(op_draw *d)
{
    op_kink(op_uniform(d, op_shape(d, 0, 5), -2, 2), 0);
}

/* away from the integers, where floor and ceil jump, and from the halves, where round does */
static void between_steps(op_draw *d)
{
    double at = (double)op_below(d, 4) - 2;

    op_kink(op_uniform(d, op_shape(d, 0, 5), at + 0.01, at + 0.99), at + 0.5);
}

static void above_minus_one(op_draw *d)
{
    op_uniform(d, op_shape(d, 0, 5), -0.7, 2);
}

/* 0.3 or more from 0, of either sign */
static void reciprocal_domain(op_draw *d)
{
    bool negative = op_chance(d, 0.5);

    op_uniform(d, op_shape(d, 0, 5), negative ? -2 : 0.3, negative ? -0.3 : 2);
}

static void draw_clamp(op_draw *d)
{
    op_input *x = op_uniform(d, op_shape(d, 0, 5), -2, 2);

    d->p[0] = op_between(d, -1.5, 0);
    d->p[1] = op_chance(d, 0.1) ? d->p[0] : op_between(d, 0, 1.5);
    op_kink(x, d->p[0]);
    op_kink(x, d->p[1]);
}

static void draw_scalar(op_draw *d)
{
    op_draw_any(d);
    d->p[0] = op_between(d, -3, 3);
}

static void draw_slope(op_draw *d)
{
    away_from_zero(d);
    d->p[0] = op_between(d, 0.1, 2);
}

static void draw_rdiv(op_draw *d)
{
    reciprocal_domain(d);
    d->p[0] = op_between(d, -3, 3);
}

/* whole exponents take negative bases too */
static void draw_pow_scalar(op_draw *d)
{
    bool whole = op_chance(d, 0.5);

    if (whole)
        op_draw_any(d);
    else
        op_draw_positive(d);
    d->p[0] = whole ? (double)op_below(d, 4) : op_between(d, -2, 3);
}

static void draw_rpow(op_draw *d)
{
    op_draw_any(d);
    d->p[0] = op_between(d, 0.2, 3);
}

static void draw_div(op_draw *d)
{
    op_draw_two(d);
    if (d->in[1].same_as == 0) {
        d->in[0].low = 0.3;
    } else {
        d->in[1].low = op_chance(d, 0.5) ? 0.3 : -2;
        d->in[1].high = d->in[1].low > 0 ? 2 : -0.3;
    }
}

static void draw_pow(op_draw *d)
{
    op_draw_two(d);
    d->in[0].low = 0.2;
}

/* an axis of an even size */
static void draw_glu(op_draw *d)
{
    ct_shape s = op_shape_share(d, 1, 5, 2);
    int64_t axis = op_below(d, s.rank);

    s.dim[axis] *= 2;
    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    op_uniform(d, s, -2, 2);
}

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

/* ---- calls ---- */

#define WITH_NUMBER(name)                                                                          \
    static ct_tensor *call_##name(ct_tensor *const *in, const op_draw *d)                          \
    {                                                                                              \
        return ct_##name(in[0], d->p[0]);                                                          \
    }

WITH_NUMBER(leaky_relu)
WITH_NUMBER(elu)
WITH_NUMBER(add_scalar)
WITH_NUMBER(sub_scalar)
WITH_NUMBER(mul_scalar)
WITH_NUMBER(div_scalar)
WITH_NUMBER(pow_scalar)
WITH_NUMBER(rsub_scalar)
WITH_NUMBER(rdiv_scalar)
WITH_NUMBER(rpow_scalar)

static ct_tensor *call_hardtanh(ct_tensor *const *in, const op_draw *d)
{
    return ct_hardtanh(in[0], d->p[0], d->p[1]);
}

static ct_tensor *call_clamp(ct_tensor *const *in, const op_draw *d)
{
    return ct_clamp(in[0], d->p[0], d->p[1]);
}

static ct_tensor *call_glu(ct_tensor *const *in, const op_draw *d)
{
    return ct_glu(in[0], (int)d->i[0]);
}

static ct_tensor *call_where(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_where(in[0], in[1], in[2]);
}

static ct_tensor *call_masked_fill(ct_tensor *const *in, const op_draw *d)
{
    return ct_masked_fill(in[0], in[1], d->p[0]);
}

#define GIVES_BOOL .no_gradient = "its result is bool"

const op_row elementwise_rows[] = {
    { "ct_neg", op_draw_any, .one = ct_neg },
    { "ct_abs", away_from_zero, .one = ct_abs },
    { "ct_sign", away_from_zero, .one = ct_sign },
    { "ct_square", op_draw_any, .one = ct_square },
    { "ct_exp", op_draw_any, .one = ct_exp },
    { "ct_expm1", op_draw_any, .one = ct_expm1 },
    { "ct_log", op_draw_positive, .one = ct_log },
    { "ct_log1p", above_minus_one, .one = ct_log1p },
    { "ct_sqrt", op_draw_positive, .one = ct_sqrt },
    { "ct_rsqrt", op_draw_positive, .one = ct_rsqrt },
    { "ct_reciprocal", reciprocal_domain, .one = ct_reciprocal },
    { "ct_sin", op_draw_any, .one = ct_sin },
    { "ct_cos", op_draw_any, .one = ct_cos },
    { "ct_tanh", op_draw_any, .one = ct_tanh },
    { "ct_sigmoid", op_draw_any, .one = ct_sigmoid },
    { "ct_relu", away_from_zero, .one = ct_relu },
    { "ct_silu", op_draw_any, .one = ct_silu },
    { "ct_gelu", op_draw_any, .one = ct_gelu },
    { "ct_gelu_tanh", op_draw_any, .one = ct_gelu_tanh },
    { "ct_softplus", op_draw_any, .one = ct_softplus },
    { "ct_erf", op_draw_any, .one = ct_erf },
    { "ct_floor", between_steps, .one = ct_floor },
    { "ct_ceil", between_steps, .one = ct_ceil },
    { "ct_round", between_steps, .one = ct_round },
    { "ct_leaky_relu", draw_slope, .call = call_leaky_relu },
    { "ct_elu", draw_slope, .call = call_elu },
    { "ct_hardtanh", draw_clamp, .call = call_hardtanh },
    { "ct_clamp", draw_clamp, .call = call_clamp },
    { "ct_glu", draw_glu, .call = call_glu },
    { "ct_add", op_draw_two, .two = ct_add },
    { "ct_sub", op_draw_two, .two = ct_sub },
    { "ct_mul", op_draw_two, .two = ct_mul },
    { "ct_div", draw_div, .two = ct_div },
    { "ct_pow", draw_pow, .two = ct_pow },
    { "ct_maximum", op_draw_two_distinct, .two = ct_maximum },
    { "ct_minimum", op_draw_two_distinct, .two = ct_minimum },
    { "ct_add_scalar", draw_scalar, .call = call_add_scalar },
    { "ct_sub_scalar", draw_scalar, .call = call_sub_scalar },
    { "ct_mul_scalar", draw_scalar, .call = call_mul_scalar },
    { "ct_div_scalar", draw_rpow, .call = call_div_scalar },
    { "ct_pow_scalar", draw_pow_scalar, .call = call_pow_scalar },
    { "ct_rsub_scalar", draw_scalar, .call = call_rsub_scalar },
    { "ct_rdiv_scalar", draw_rdiv, .call = call_rdiv_scalar },
    { "ct_rpow_scalar", draw_rpow, .call = call_rpow_scalar },
    { "ct_eq", op_draw_two, .two = ct_eq, GIVES_BOOL },
    { "ct_ne", op_draw_two, .two = ct_ne, GIVES_BOOL },
    { "ct_lt", op_draw_two, .two = ct_lt, GIVES_BOOL },
    { "ct_le", op_draw_two, .two = ct_le, GIVES_BOOL },
    { "ct_gt", op_draw_two, .two = ct_gt, GIVES_BOOL },
    { "ct_ge", op_draw_two, .two = ct_ge, GIVES_BOOL },
    { "ct_isfinite", op_draw_any, .one = ct_isfinite, GIVES_BOOL },
    { "ct_isnan", op_draw_any, .one = ct_isnan, GIVES_BOOL },
    { "ct_logical_not", draw_bool, .one = ct_logical_not, GIVES_BOOL },
    { "ct_logical_and", draw_two_bools, .two = ct_logical_and, GIVES_BOOL },
    { "ct_logical_or", draw_two_bools, .two = ct_logical_or, GIVES_BOOL },
    { "ct_logical_xor", draw_two_bools, .two = ct_logical_xor, GIVES_BOOL },
    { "ct_where", draw_where, .call = call_where },
    { "ct_masked_fill", draw_masked_fill, .call = call_masked_fill },
    { 0 },
};

/* SPDX-License-Identifier: MIT */
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

/* within the domains of asin, acos and atanh, and away from the poles of tan */
static void inside_one(op_draw *d)
{
    op_uniform(d, op_shape(d, 0, 5), -0.9, 0.9);
}

static void above_one(op_draw *d)
{
    op_uniform(d, op_shape(d, 0, 5), 1.2, 3);
}

/* values on both sides of -3 and 3, where hardsigmoid and hardswish change their slope */
static void around_three(op_draw *d)
{
    op_input *x = op_uniform(d, op_shape(d, 0, 5), -5, 5);

    op_kink(x, -3);
    op_kink(x, 3);
}

static void above_minus_one(op_draw *d)
{
    op_uniform(d, op_shape(d, 0, 5), -0.7, 2);
}

/* values of both signs, at least 0.3 away from 0 */
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

/* with whole exponents, bases may be negative */
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

/* for all elements, a / b is well between two whole numbers, so that the quotient is constant
 * nearby */
static void draw_quotient(op_draw *d, double *low, double *high)
{
    double q = (double)op_below(d, 5) - 2;

    *low = (q > 0 ? q * 1.1 : q) + 0.02;
    *high = (q > -1 ? q + 1 : (q + 1) * 1.1) - 0.02;
}

static void draw_division(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);
    bool negative = op_chance(d, 0.5);
    double low, high;

    draw_quotient(d, &low, &high);
    op_uniform(d, s, negative ? -high : low, negative ? -low : high);
    op_uniform(d, op_narrower(d, s), negative ? -1.1 : 1, negative ? -1 : 1.1);
}

static void draw_division_by(op_draw *d)
{
    double low, high;

    draw_quotient(d, &low, &high);
    op_uniform(d, op_shape(d, 0, 5), low, high);
    d->p[0] = op_between(d, 1, 1.1);
}

static void draw_pow(op_draw *d)
{
    op_draw_two(d);
    d->in[0].low = 0.2;
}

/* a and b are not both near 0 */
static void draw_atan2(op_draw *d)
{
    op_draw_two(d);
    d->in[0].low = 0.2;
}

/* the axis has an even size */
static void draw_glu(op_draw *d)
{
    ct_shape s = op_shape_share(d, 1, 5, 2);
    int64_t axis = op_below(d, s.rank);

    s.dim[axis] *= 2;
    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    op_uniform(d, s, -2, 2);
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
WITH_NUMBER(remainder_scalar)
WITH_NUMBER(floor_divide_scalar)

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
    { "ct_tan", inside_one, .one = ct_tan },
    { "ct_asin", inside_one, .one = ct_asin },
    { "ct_acos", inside_one, .one = ct_acos },
    { "ct_atan", op_draw_any, .one = ct_atan },
    { "ct_sinh", op_draw_any, .one = ct_sinh },
    { "ct_cosh", op_draw_any, .one = ct_cosh },
    { "ct_tanh", op_draw_any, .one = ct_tanh },
    { "ct_asinh", op_draw_any, .one = ct_asinh },
    { "ct_acosh", above_one, .one = ct_acosh },
    { "ct_atanh", inside_one, .one = ct_atanh },
    { "ct_atan2", draw_atan2, .two = ct_atan2 },
    { "ct_exp2", op_draw_any, .one = ct_exp2 },
    { "ct_log2", op_draw_positive, .one = ct_log2 },
    { "ct_log10", op_draw_positive, .one = ct_log10 },
    { "ct_softsign", away_from_zero, .one = ct_softsign },
    { "ct_mish", op_draw_any, .one = ct_mish },
    { "ct_hardsigmoid", around_three, .one = ct_hardsigmoid },
    { "ct_hardswish", around_three, .one = ct_hardswish },
    { "ct_log_sigmoid", op_draw_any, .one = ct_log_sigmoid },
    { "ct_logaddexp", op_draw_two, .two = ct_logaddexp },
    { "ct_sigmoid", op_draw_any, .one = ct_sigmoid },
    { "ct_relu", away_from_zero, .one = ct_relu },
    { "ct_silu", op_draw_any, .one = ct_silu },
    { "ct_gelu", op_draw_any, .one = ct_gelu },
    { "ct_gelu_tanh", op_draw_any, .one = ct_gelu_tanh },
    { "ct_softplus", op_draw_any, .one = ct_softplus },
    { "ct_erf", op_draw_any, .one = ct_erf },
    { "ct_erfc", op_draw_any, .one = ct_erfc },
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
    { "ct_remainder", draw_division, .two = ct_remainder },
    { "ct_floor_divide", draw_division, .two = ct_floor_divide },
    { "ct_remainder_scalar", draw_division_by, .call = call_remainder_scalar },
    { "ct_floor_divide_scalar", draw_division_by, .call = call_floor_divide_scalar },
    { 0 },
};

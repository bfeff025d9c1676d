/* SPDX-License-Identifier: MIT */
/* trigonometry.c - trigonometric and hyperbolic functions and their inverses. derivatives.h explains
 * the lines. */
#include "autograd/ops/derivatives.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/trigonometry.h>

OF_OUTPUT(tan, FLOATS, ct_mul(d, ct_add_scalar(ct_square(y), 1)))
OF_INPUT(sinh, FLOATS, ct_mul(d, ct_cosh(x)))
OF_INPUT(cosh, FLOATS, ct_mul(d, ct_sinh(x)))

/* ---- inverse functions ----
 *
 * They have kernels for their first and second derivatives (tensor/formulas.h), which are accurate
 * where x^2 overflows and where 1 - x^2 loses digits. The third derivative is a polynomial of the
 * first one, v. */

/* d v^2 (p + q v) */
static ct_tensor *inverse_third(ct_tensor *d, ct_tensor *v, double p, double q)
{
    return ct_mul(ct_mul(d, ct_square(v)), ct_add_scalar(ct_mul_scalar(v, q), p));
}

/* d v^3 (p + q v^2) */
static ct_tensor *inverse_root_third(ct_tensor *d, ct_tensor *v, double p, double q)
{
    ct_tensor *square = ct_square(v);

    return ct_mul(ct_mul(ct_mul(d, v), square), ct_add_scalar(ct_mul_scalar(square, q), p));
}

/* The kernels id_backward and id_bend, and third(d, v, p, q) */
#define INVERSE_SLOPE(id, third, p_, q_)                                                           \
    static ct_tensor *id##_backward(ct_tensor *d, ct_tensor *s, const double *p);                  \
    FUSED(id##_bend, id##_bend(e, s, p),                                                           \
          third(ct_mul(e, d), id##_backward(ct_ones_like(s), s, NULL), p_, q_))                    \
    FUSED(id##_backward, id##_backward(e, s, p), id##_bend(ct_mul(e, d), s, p))

INVERSE_SLOPE(atan, inverse_third, 6, -8)
INVERSE_SLOPE(atanh, inverse_third, -6, 8)
INVERSE_SLOPE(asin, inverse_root_third, -2, 3)
INVERSE_SLOPE(asinh, inverse_root_third, 2, -3)
INVERSE_SLOPE(acosh, inverse_root_third, 2, 3)
OF_INPUT(asin, FLOATS, asin_backward(d, x, NULL))
OF_INPUT(acos, FLOATS, ct_neg(asin_backward(d, x, NULL)))
OF_INPUT(atan, FLOATS, atan_backward(d, x, NULL))
OF_INPUT(asinh, FLOATS, asinh_backward(d, x, NULL))
OF_INPUT(acosh, FLOATS, acosh_backward(d, x, NULL))
OF_INPUT(atanh, FLOATS, atanh_backward(d, x, NULL))

PLAIN1(tan)
PLAIN1(asin)
PLAIN1(acos)
PLAIN1(atan)
PLAIN1(sinh)
PLAIN1(cosh)
PLAIN1(asinh)
PLAIN1(acosh)
PLAIN1(atanh)

/* ---- atan2 ----
 *
 * The kernel atan2_slope(a, b) is g = b / r^2, r^2 = a^2 + b^2, the derivative by a. The derivative by
 * b is -h, h = atan2_slope(b, a). The derivatives of g by a and b are -2 g h and
 * (a^2 - b^2) / r^4 = 4 (u v) / (u^2 + v^2)^2 for u = a - b and v = a + b. */
static ct_tensor *atan2_slope(ct_tensor *d, ct_tensor *s, const double *p);

/* a b / (a^2 + b^2)^2. 0 if a or b is 0, also where the other one is so small that its slope is
 * infinite. */
static ct_tensor *atan2_product(ct_tensor *a, ct_tensor *b)
{
    ct_tensor *g = atan2_slope(a, b, NULL), *h = atan2_slope(b, a, NULL), *none = zeros_of(g);

    return ct_where(ct_logical_or(ct_eq(g, none), ct_eq(h, none)), none, ct_mul(g, h));
}

/* (a^2 - b^2) / (a^2 + b^2)^2. 0 if both slopes are, also for two infinities. */
static ct_tensor *atan2_mixed(ct_tensor *a, ct_tensor *b)
{
    ct_tensor *g = atan2_slope(a, b, NULL), *h = atan2_slope(b, a, NULL), *none = zeros_of(g);
    ct_tensor *v = ct_mul_scalar(atan2_product(ct_sub(a, b), ct_add(a, b)), 4);

    return ct_where(ct_logical_and(ct_eq(g, none), ct_eq(h, none)), none, v);
}

/* Returns e v summed to the shape of an operand. */
static ct_tensor *atan2_share(ct_tensor *e, ct_tensor *v, const ct_tensor *of)
{
    return of ? ct_sum_to_shape(ct_mul(e, v), of->shape) : NULL;
}

FUSED(atan2_slope, atan2_share(e, ct_mul_scalar(atan2_product(d, s), -2), d),
      atan2_share(e, atan2_mixed(d, s), s))
OF_TWO(atan2, FLOATS, CT_SAVE_INPUTS, ct_mul(d, atan2_slope(a, b, NULL)),
       ct_neg(ct_mul(d, atan2_slope(b, a, NULL))))

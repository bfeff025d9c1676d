/* trigonometry.c - trigonometric and hyperbolic functions and their inverses. derivatives.h explains
 * the lines. */
#include "autograd/ops/derivatives.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/trigonometry.h>

OF_OUTPUT(tan, FLOATS, ct_mul(d, ct_add_scalar(ct_square(y), 1)))
OF_INPUT(asin, FLOATS, ct_mul(d, ct_rsqrt(ct_rsub_scalar(ct_square(x), 1))))
OF_INPUT(acos, FLOATS, ct_neg(ct_mul(d, ct_rsqrt(ct_rsub_scalar(ct_square(x), 1)))))
OF_INPUT(atan, FLOATS, ct_div(d, ct_add_scalar(ct_square(x), 1)))
OF_INPUT(sinh, FLOATS, ct_mul(d, ct_cosh(x)))
OF_INPUT(cosh, FLOATS, ct_mul(d, ct_sinh(x)))
OF_INPUT(asinh, FLOATS, ct_mul(d, ct_rsqrt(ct_add_scalar(ct_square(x), 1))))
OF_INPUT(acosh, FLOATS, ct_mul(d, ct_rsqrt(ct_sub_scalar(ct_square(x), 1))))
OF_INPUT(atanh, FLOATS, ct_div(d, ct_rsub_scalar(ct_square(x), 1)))

PLAIN1(tan)
PLAIN1(asin)
PLAIN1(acos)
PLAIN1(atan)
PLAIN1(sinh)
PLAIN1(cosh)
PLAIN1(asinh)
PLAIN1(acosh)
PLAIN1(atanh)

/* d part / (a^2 + b^2) */
static ct_tensor *atan2_share(ct_tensor *d, ct_tensor *part, ct_tensor *a, ct_tensor *b)
{
    return ct_div(ct_mul(d, part), ct_add(ct_square(a), ct_square(b)));
}

OF_TWO(atan2, FLOATS, CT_SAVE_INPUTS, atan2_share(d, b, a, b), ct_neg(atan2_share(d, a, a, b)))

/* SPDX-License-Identifier: MIT */
/* trigonometry.h - trigonometric and hyperbolic functions and their inverses, on each element.
 *
 * f32 and f64; any other dtype raises CT_ERR_DTYPE. Angles are in radians. The results are new
 * tensors of the innermost scope with x's shape. Outside its domain a function is NaN. In the
 * derivatives, d is the gradient of the output and y the output. ct_sin, ct_cos and ct_tanh are in
 * elementwise.h. */
#ifndef COTANGENT_AUTOGRAD_OPS_TRIGONOMETRY_H
#define COTANGENT_AUTOGRAD_OPS_TRIGONOMETRY_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

ct_tensor *ct_tan(ct_tensor *x);   /* dx = d (1 + y^2) */
ct_tensor *ct_asin(ct_tensor *x);  /* dx = d / sqrt(1 - x^2) */
ct_tensor *ct_acos(ct_tensor *x);  /* dx = -d / sqrt(1 - x^2) */
ct_tensor *ct_atan(ct_tensor *x);  /* dx = d / (1 + x^2) */
ct_tensor *ct_sinh(ct_tensor *x);  /* dx = d cosh(x) */
ct_tensor *ct_cosh(ct_tensor *x);  /* dx = d sinh(x) */
ct_tensor *ct_asinh(ct_tensor *x); /* dx = d / sqrt(x^2 + 1) */
ct_tensor *ct_acosh(ct_tensor *x); /* for x >= 1; dx = d / sqrt(x^2 - 1) */
ct_tensor *ct_atanh(ct_tensor *x); /* for -1 < x < 1; dx = d / (1 - x^2) */

/* The angle of the point (b, a) from the first axis, in -pi..pi: the arctangent of a / b in the right
 * quadrant. a and b broadcast as in ct_add. With r^2 = a^2 + b^2, da = d b / r^2 and db = -d a / r^2;
 * both are 0 at (0, 0), as in PyTorch, and for infinite a or b. */
ct_tensor *ct_atan2(ct_tensor *a, ct_tensor *b);

#ifdef __cplusplus
}
#endif
#endif

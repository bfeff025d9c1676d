/* SPDX-License-Identifier: MIT */
/* compare.h - comparisons, tests, logic and choices.
 *
 * Two operands broadcast as in NumPy: shapes are aligned at their last axes, and sizes must be
 * equal or 1 (CT_ERR_SHAPE); dtypes and devices must be the same (CT_ERR_DTYPE, CT_ERR_DEVICE).
 * Comparisons take f32, f64, i32, i64 and bool, whose values are 0 and 1; a comment names the
 * dtypes of a function that takes others. Any other dtype raises CT_ERR_DTYPE. The results are new
 * tensors of the innermost scope. In the derivatives, d is the gradient of the output; dx, da and
 * db are those of the operands, summed over the axes that were broadcast. */
#ifndef COTANGENT_AUTOGRAD_OPS_COMPARE_H
#define COTANGENT_AUTOGRAD_OPS_COMPARE_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- comparisons: each element; the result is bool and has no derivative ---- */

ct_tensor *ct_eq(ct_tensor *a, ct_tensor *b); /* a == b; NaN is not equal to anything */
ct_tensor *ct_ne(ct_tensor *a, ct_tensor *b); /* a != b, true for NaN */
ct_tensor *ct_lt(ct_tensor *a, ct_tensor *b); /* a < b, false for NaN */
ct_tensor *ct_le(ct_tensor *a, ct_tensor *b); /* a <= b, false for NaN */
ct_tensor *ct_gt(ct_tensor *a, ct_tensor *b); /* a > b, false for NaN */
ct_tensor *ct_ge(ct_tensor *a, ct_tensor *b); /* a >= b, false for NaN */

/* x and a number. s is rounded to x's dtype if that is f32. If x is an integer or bool, s is not
 * rounded and need not be a value of the dtype: every i32 is below 1e10, and no integer equals 2.5.
 * An int64_t beyond 2^53 is rounded when it becomes a double: give it as a tensor, ct_eq(x,
 * ct_from_data(&n, CT_SCALAR, CT_I64, device)). */
ct_tensor *ct_eq_scalar(ct_tensor *x, double s); /* x == s */
ct_tensor *ct_ne_scalar(ct_tensor *x, double s); /* x != s */
ct_tensor *ct_lt_scalar(ct_tensor *x, double s); /* x < s */
ct_tensor *ct_le_scalar(ct_tensor *x, double s); /* x <= s */
ct_tensor *ct_gt_scalar(ct_tensor *x, double s); /* x > s */
ct_tensor *ct_ge_scalar(ct_tensor *x, double s); /* x >= s */

/* ---- tests and logic: the result is bool and has no derivative ---- */

ct_tensor *ct_isfinite(ct_tensor *x);                  /* f32, f64 */
ct_tensor *ct_isnan(ct_tensor *x);                     /* f32, f64 */
ct_tensor *ct_isinf(ct_tensor *x);                     /* f32, f64; an infinity of either sign */
ct_tensor *ct_logical_not(ct_tensor *x);               /* bool */
ct_tensor *ct_logical_and(ct_tensor *a, ct_tensor *b); /* bool */
ct_tensor *ct_logical_or(ct_tensor *a, ct_tensor *b);  /* bool */
ct_tensor *ct_logical_xor(ct_tensor *a, ct_tensor *b); /* bool; true if they differ */

/* ---- choosing ---- */

/* a where condition is true, b elsewhere. condition is bool; a and b have the same dtype, which may
 * be any. All three broadcast. da = d where condition is true, db = d elsewhere. */
ct_tensor *ct_where(ct_tensor *condition, ct_tensor *a, ct_tensor *b);

/* Like ct_where, but b, a or both are numbers. With an integer dtype, a number must be a whole
 * number that the dtype holds and of a magnitude below 2^53; with bool, 0 or 1
 * (CT_ERR_ARGUMENT). */
ct_tensor *ct_where_scalar(ct_tensor *condition, ct_tensor *a, double b);
ct_tensor *ct_rwhere_scalar(ct_tensor *condition, double a, ct_tensor *b);
ct_tensor *ct_where_scalars(ct_tensor *condition, double a, double b, ct_dtype dtype);

/* The tensor that is value where mask is true and x elsewhere. mask is bool and broadcasts to x
 * (CT_ERR_SHAPE); x has any dtype. dx = d where mask is false, else 0. */
ct_tensor *ct_masked_fill(ct_tensor *x, ct_tensor *mask, double value);

/* x with NaN replaced by nan, infinity by posinf and -infinity by neginf. f32, f64. dx = d where x
 * is finite, else 0. PyTorch's defaults are 0, FLT_MAX and -FLT_MAX (of f64, DBL_MAX and
 * -DBL_MAX). */
ct_tensor *ct_nan_to_num(ct_tensor *x, double nan, double posinf, double neginf);

/* ---- two tensors as a whole: the answer is a C value ----
 *
 * a and b must have the same dtype (CT_ERR_DTYPE), which may be any, and the same device
 * (CT_ERR_DEVICE). Waits for an asynchronous device and copies both from it. After an error the
 * answer is false. */

/* True if |a - b| <= atol + rtol |b| for all elements, in f64; equal infinities are close; two NaNs
 * are close if equal_nan is true. Integers are subtracted exactly. a and b broadcast
 * (CT_ERR_SHAPE), as in PyTorch, whose defaults are rtol 1e-5, atol 1e-8 and false. rtol and atol
 * must be finite and at least 0 (CT_ERR_ARGUMENT). */
bool ct_allclose(const ct_tensor *a, const ct_tensor *b, double rtol, double atol, bool equal_nan);

/* True if the shapes are the same and all elements are equal. NaN equals nothing, -0 equals 0. */
bool ct_equal(const ct_tensor *a, const ct_tensor *b);

#ifdef __cplusplus
}
#endif
#endif

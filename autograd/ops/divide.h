/* SPDX-License-Identifier: MIT */
/* divide.h - quotients rounded down, and their remainders, as Python's // and %.
 *
 *     a = b floor_divide(a, b) + remainder(a, b), and the remainder has the sign of b.
 *
 * dtypes: f32, f64, i32 and i64 (CT_ERR_DTYPE). Operands broadcast, and must have the same dtype and
 * device, as in elementwise.h. The results are new tensors of the innermost scope. In the
 * derivatives, d is the gradient of the output; da and db are those of the operands, summed over the
 * axes that were broadcast.
 *
 * Floats: the quotient agrees with the exact remainder, so ct_floor_divide of 1 and 0.1 gives 9. A
 * division by 0 gives an infinity or NaN, and the remainder NaN. Integers: the quotient of the
 * least integer and -1 wraps around; a divisor of 0 is an error. */
#ifndef COTANGENT_AUTOGRAD_OPS_DIVIDE_H
#define COTANGENT_AUTOGRAD_OPS_DIVIDE_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The quotient: da = 0, db = 0. Raises CT_ERR_NUMERIC if an integer of b is 0. */
ct_tensor *ct_floor_divide(ct_tensor *a, ct_tensor *b);

/* The remainder: da = d, db = -d floor_divide(a, b). Errors as for ct_floor_divide. */
ct_tensor *ct_remainder(ct_tensor *a, ct_tensor *b);

/* Like the two functions above, with a number as divisor. For i32 and i64, s must be a whole number
 * as in ct_add_scalar, and not 0 (CT_ERR_ARGUMENT). dx = 0 for the quotient and d for the
 * remainder. */
ct_tensor *ct_floor_divide_scalar(ct_tensor *x, double s);
ct_tensor *ct_remainder_scalar(ct_tensor *x, double s);

#ifdef __cplusplus
}
#endif
#endif

/* precision.h - the precision in which the CPU takes products of matrices. */
#ifndef COTANGENT_TENSOR_PRECISION_H
#define COTANGENT_TENSOR_PRECISION_H

#include <stdbool.h>

#include <cotangent/tensor/status.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The precision of operands of f32 matrix products from now on, for the whole process: CT_F32, or
 * CT_BF16: each operand is rounded to bf16 (8 bits, to nearest even) as it is packed, sums are f32.
 * Tensors, gradients and files stay f32, f64 products as they are. It holds for ct_matmul, Linear,
 * the recurrent modules (whole sequences or steps) and their derivatives; rows of a weight that a
 * one-hot input only picks out are no product.
 *
 * A processor with AVX512-BF16 has instructions for that (which take subnormal numbers as 0); they
 * serve on the code path avx512. Elsewhere CT_BF16 is CT_ERR_ARGUMENT until emulation is asked for:
 * the same numbers as such instructions give, but for the order of the sums, and slower than f32.
 * CT_ERR_DTYPE for any other dtype. Only the CPU has such products: on another device they are
 * CT_ERR_ARGUMENT. */
ct_status ct_set_matmul_precision(ct_dtype precision);
ct_dtype ct_matmul_precision(void);

/* Whether CT_BF16 may be emulated where the processor has no such instructions; at first it may not.
 * Off sets the precision back to CT_F32 there. */
void ct_set_bf16_emulation(bool on);

#ifdef __cplusplus
}
#endif
#endif

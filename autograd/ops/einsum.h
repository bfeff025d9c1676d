/* SPDX-License-Identifier: MIT */
/* einsum.h - sums of products, with axes that are named by letters. */
#ifndef COTANGENT_AUTOGRAD_OPS_EINSUM_H
#define COTANGENT_AUTOGRAD_OPS_EINSUM_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Einstein summation, as in PyTorch and NumPy. equation has one letter for each axis: first those
 * of the operands, separated by commas, then "->" and those of the result:
 *     ct_einsum("bij,bjk->bik", 2, (ct_tensor *[]){ x, y })     a batched product of matrices
 *     ct_einsum("ii", 1, &x)                                    the trace
 * All axes with the same letter must have the same size, or size 1, which broadcasts. The result is
 * the sum over the letters that it does not have. A letter that occurs twice in one operand selects
 * the diagonal of the two axes. "..." stands for any further axes; they are aligned at the last one
 * and broadcast. Without "->" the result has the axes of "...", then the letters that occur once,
 * in alphabetical order, capitals first. Spaces are ignored.
 *
 * operands: count (1 to 32) tensors, f32 or f64, of one dtype and device (CT_ERR_DTYPE,
 * CT_ERR_DEVICE). They are multiplied from left to right, each pair by ct_matmul, so write the
 * cheap products first; no intermediate result may have more than CT_MAX_RANK axes. The result
 * belongs to the innermost scope and may be a view of a single operand. CT_ERR_ARGUMENT for an
 * equation that cannot be read or has another number of operands than count; CT_ERR_SHAPE if the
 * shape of an operand does not match the equation. */
ct_tensor *ct_einsum(const char *equation, int count, ct_tensor *const *operands);

#ifdef __cplusplus
}
#endif
#endif

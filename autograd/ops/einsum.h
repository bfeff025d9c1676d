/* einsum.h - sums of products that are named by letters. */
#ifndef COTANGENT_AUTOGRAD_OPS_EINSUM_H
#define COTANGENT_AUTOGRAD_OPS_EINSUM_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Einstein's summation, as in PyTorch and NumPy. equation names the axes of each operand by letters,
 * which commas separate, and after "->" those of the result:
 *     ct_einsum("bij,bjk->bik", 2, (ct_tensor *[]){ x, y })     a batched product of matrices
 *     ct_einsum("ii", 1, &x)                                    the trace
 * Axes with one letter have one size, or size 1, which broadcasts. A letter that the result does not
 * have is summed over; one that occurs twice in an operand takes its diagonal. "..." stands for any
 * further axes, which broadcast from the right. Without "->" the result has the axes of "...", then the
 * letters that occur once, in alphabetical order, capitals first. Spaces are ignored.
 *
 * operands: count (1 to 32) tensors, f32 or f64, of one dtype and device (CT_ERR_DTYPE,
 * CT_ERR_DEVICE). They are multiplied from left to right, each pair by ct_matmul, so write the cheap
 * products first; no intermediate result may have more than CT_MAX_RANK axes. The result belongs to the
 * innermost scope and may be a view of a single operand. CT_ERR_ARGUMENT for an equation that cannot be
 * read or names another number of operands; CT_ERR_SHAPE if the operands do not fit it. */
ct_tensor *ct_einsum(const char *equation, int count, ct_tensor *const *operands);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* matmul.h - matrix products.
 *
 * dtypes f32 and f64, the same for all operands (CT_ERR_DTYPE); all on one device (CT_ERR_DEVICE).
 * The results belong to the innermost scope. dC, dy and d are the gradients of the output. */
#ifndef COTANGENT_AUTOGRAD_OPS_MATMUL_H
#define COTANGENT_AUTOGRAD_OPS_MATMUL_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* C = A B for A (..., m, k) and B (..., k, n). The leading dimensions broadcast. As in PyTorch, a
 * vector on the left counts as (1, k) and a vector on the right as (k, 1); that axis is removed
 * from the result. Transposed views are not copied. dA = dC B^T, dB = A^T dC. Raises CT_ERR_SHAPE
 * if an operand has rank 0, or if the sizes k differ. */
ct_tensor *ct_matmul(ct_tensor *a, ct_tensor *b);

/* The sum of a b for two vectors of the same length; rank 0. da = d b, db = d a. Raises
 * CT_ERR_SHAPE for other ranks or lengths that differ. */
ct_tensor *ct_dot(ct_tensor *a, ct_tensor *b);

/* a b^T (m, n) for vectors a (m) and b (n). i32 and i64 too. da = d b, db = d^T a. Raises
 * CT_ERR_SHAPE for other ranks. */
ct_tensor *ct_outer(ct_tensor *a, ct_tensor *b);

/* y = x W^T + b, like PyTorch's functional linear: x (..., in), weight (out, in), bias (out), y
 * (..., out). A NULL bias counts as 0. If x was made by ct_one_hot, rows of W^T are gathered, which
 * is cheaper than the product. dx = dy W, dW = dy^T x, db = dy summed over all but the last axis.
 * Raises CT_ERR_SHAPE if the sizes do not agree. */
ct_tensor *ct_linear(ct_tensor *x, ct_tensor *weight, ct_tensor *bias);

#ifdef __cplusplus
}
#endif
#endif

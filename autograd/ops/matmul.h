/* matmul.h - matrix products. dtypes f32 and f64. */
#ifndef COTANGENT_AUTOGRAD_OPS_MATMUL_H
#define COTANGENT_AUTOGRAD_OPS_MATMUL_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* C = A B for A (..., m, k) and B (..., k, n); leading dimensions broadcast. A vector on the left
 * is (1, k), on the right (k, 1), and the axis goes again (as in PyTorch). Transposed views cost no
 * copy. dA = dC B^T, dB = A^T dC. CT_ERR_SHAPE for rank 0 and for k that differ. */
ct_tensor *ct_matmul(ct_tensor *a, ct_tensor *b);

/* sum a b of two vectors of the same length, rank 0; da = d b, db = d a. */
ct_tensor *ct_dot(ct_tensor *a, ct_tensor *b);

/* a b^T (m, n) of vectors a (m) and b (n): numbers; da = d b, db = d^T a. */
ct_tensor *ct_outer(ct_tensor *a, ct_tensor *b);

/* y = x W^T + b for x (..., in), weight (out, in) and bias (out), which may be NULL without being
 * an error: y (..., out). An x made by ct_one_hot is not multiplied: rows of W^T are gathered.
 * dx = dy W, dW = dy^T x, db = dy summed over all but the last axis. */
ct_tensor *ct_linear(ct_tensor *x, ct_tensor *weight, ct_tensor *bias);

#ifdef __cplusplus
}
#endif
#endif

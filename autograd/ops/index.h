/* SPDX-License-Identifier: MIT */
/* index.h - elements chosen by index.
 *
 * Indices are i32 or i64 (CT_ERR_DTYPE) and never negative. An index out of range raises
 * CT_ERR_INDEX, which names its position. All operands are on one device (CT_ERR_DEVICE). A
 * negative axis counts from the end; a wrong one raises CT_ERR_SHAPE. The results belong to the
 * innermost scope. d is the gradient of the output. If an index occurs several times, its gradients
 * are added. */
#ifndef COTANGENT_AUTOGRAD_OPS_INDEX_H
#define COTANGENT_AUTOGRAD_OPS_INDEX_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The rows of weight at indices: weight (rows, ...), indices of any shape S; the result has shape S
 * followed by weight's other sizes, and weight's dtype. dweight = the rows of d, added at the same
 * indices. Raises CT_ERR_SHAPE if the rank of the result would exceed CT_MAX_RANK. */
ct_tensor *ct_embedding(ct_tensor *weight, ct_tensor *indices);

/* Like ct_embedding, but row padding_idx of weight gets no gradient: d is left out where the index is
 * padding_idx. So the gradient is not the derivative there, as with padding_idx in PyTorch. A negative
 * padding_idx counts from the end. Raises CT_ERR_ARGUMENT if it is not a row of weight. */
ct_tensor *ct_embedding_padded(ct_tensor *weight, ct_tensor *indices, int64_t padding_idx);

/* The slices of x at indices (m) along axis: x's shape with size m along axis. Any dtype. dx = the
 * slices of d, added at the same indices. Raises CT_ERR_SHAPE if indices does not have rank 1. */
ct_tensor *ct_index_select(ct_tensor *x, int axis, ct_tensor *indices);

/* One element for each index, along axis; for axis 1 of 3: y[i,j,k] = x[i,index[i,j,k],k]. index
 * has x's rank and, except along axis, no size larger than x's (CT_ERR_SHAPE). The result has
 * index's shape. Any dtype. dx = d, added where the elements came from. */
ct_tensor *ct_gather(ct_tensor *x, int axis, ct_tensor *index);

/* A copy of x to which src is added at index along axis; for axis 1 of 3: src[i,j,k] is added to
 * y[i,index[i,j,k],k]. x, index and src have the same rank. index is nowhere larger than src and,
 * except along axis, nowhere larger than x (CT_ERR_SHAPE). Elements of src outside index's shape
 * are not used. f32, f64, i32, i64. dx = d, dsrc = d gathered at index. */
ct_tensor *ct_scatter_add(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src);

/* A copy of x in which elements at index along axis are replaced by src; for axis 1 of 3:
 * y[i,index[i,j,k],k] = src[i,j,k]. Shapes as for ct_scatter_add, any dtype. Where an index occurs
 * several times along axis, the last element of src is used, on every device. dx = d, but 0 at
 * index; dsrc = d gathered at index, but 0 for an element that another one replaced (PyTorch:
 * undefined). */
ct_tensor *ct_scatter(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src);

/* A copy of x in which slice indices[i] along axis is slice i of source. Shapes as for ct_index_add,
 * any dtype. Repeated indices and derivatives as for ct_scatter. */
ct_tensor *ct_index_copy(ct_tensor *x, int axis, ct_tensor *indices, ct_tensor *source);

/* The elements of the flattened x at indices; the result has indices' shape. Any dtype. dx = d,
 * added where the elements came from. */
ct_tensor *ct_take(ct_tensor *x, ct_tensor *indices);

/* A copy of x in which slice i of source is added to slice indices[i] along axis. indices (m);
 * source has x's shape with size m along axis (CT_ERR_SHAPE). f32, f64. dx = d, dsource = the
 * slices of d at indices. */
ct_tensor *ct_index_add(ct_tensor *x, int axis, ct_tensor *indices, ct_tensor *source);

/* One-hot rows: indices of shape S give S followed by (classes), with 1 at each index and 0
 * elsewhere. ct_one_hot returns f32; ct_one_hot_as any dtype except bf16 (CT_ERR_DTYPE). The result
 * stores its indices, with which ct_linear and the recurrent modules gather rows instead of
 * multiplying. A write to the result drops the indices; its views do not have them. No derivative.
 * Raises CT_ERR_ARGUMENT if classes is below 1. */
ct_tensor *ct_one_hot(ct_tensor *indices, int64_t classes);
ct_tensor *ct_one_hot_as(ct_tensor *indices, int64_t classes, ct_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif

/* index.h - elements by index. Indices are i32 or i64, never negative; one out of range is
 * CT_ERR_INDEX and names its position. Gradients add up where an index occurs more than once. */
#ifndef COTANGENT_AUTOGRAD_OPS_INDEX_H
#define COTANGENT_AUTOGRAD_OPS_INDEX_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Row indices[i...] of weight for each index: weight (rows, ...), indices any shape S,
 * y S + weight's other sizes. dweight: rows of d added where they came from. */
ct_tensor *ct_embedding(ct_tensor *weight, ct_tensor *indices);

/* x's elements at indices (n) along axis. */
ct_tensor *ct_index_select(ct_tensor *x, int axis, ct_tensor *indices);

/* y[i,j,k] = x[i,index[i,j,k],k], here for axis 1 of 3. index: x's rank, and on the other axes no
 * larger than x (CT_ERR_SHAPE); y: index's shape. x of any dtype. dx: d scattered back. */
ct_tensor *ct_gather(ct_tensor *x, int axis, ct_tensor *index);

/* x, with src[i,j,k] added at [i,index[i,j,k],k], here for axis 1 of 3; x is not changed. Ranks are
 * equal; index is no larger than src, and on the other axes no larger than x; what of src is beyond
 * index is not used. Numbers. dx = d, dsrc = d gathered. */
ct_tensor *ct_scatter_add(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src);

/* Elements of x, flattened, at indices of any shape S; y S. Of any dtype. dx: d added back. */
ct_tensor *ct_take(ct_tensor *x, ct_tensor *indices);

/* x, with slice i of source added to slice indices[i] along axis; x is not changed. indices (m);
 * source: x's shape, but m along axis. f32, f64. dx = d, dsource = d's slices at indices. */
ct_tensor *ct_index_add(ct_tensor *x, int axis, ct_tensor *indices, ct_tensor *source);

/* S + (classes), dtype f32, i32...: 1 at each index of S, else 0. The result remembers its indices:
 * Linear and recurrent modules gather rows by them instead of multiplying. Any write, view or op
 * forgets them. CT_ERR_ARGUMENT for classes below 1. */
ct_tensor *ct_one_hot(ct_tensor *indices, int64_t classes);
ct_tensor *ct_one_hot_as(ct_tensor *indices, int64_t classes, ct_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif

/* index.h - rows by index. Indices are i32 or i64; one out of range is CT_ERR_INDEX and names its
 * position. */
#ifndef COTANGENT_AUTOGRAD_INDEX_H
#define COTANGENT_AUTOGRAD_INDEX_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Row indices[i...] of weight for each index: weight (rows, ...), indices any shape S,
 * y S + weight's other sizes. dweight: rows of d added where they came from. */
ct_tensor *ct_embedding(ct_tensor *weight, ct_tensor *indices);

/* x's elements at indices (n) along axis. */
ct_tensor *ct_index_select(ct_tensor *x, int axis, ct_tensor *indices);

/* S + (classes), dtype f32, i32...: 1 at each index of S, else 0. The result remembers its indices:
 * Linear and recurrent modules gather rows by them instead of multiplying. Any write, view or op
 * forgets them. CT_ERR_ARGUMENT for classes below 1. */
ct_tensor *ct_one_hot(ct_tensor *indices, int64_t classes);
ct_tensor *ct_one_hot_as(ct_tensor *indices, int64_t classes, ct_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif

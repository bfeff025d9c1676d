/* sort.h - sorting along an axis. Numbers (f32, f64, i32, i64); a NaN is the greatest. Equal
 * elements keep their order. Values and indices come together; indices are i64 and may be NULL,
 * where they are not wanted. dx: d put back where the values came from. */
#ifndef COTANGENT_AUTOGRAD_OPS_SORT_H
#define COTANGENT_AUTOGRAD_OPS_SORT_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x's elements in order along axis, of x's shape. */
ct_tensor *ct_sort(ct_tensor *x, int axis, bool descending, ct_tensor **indices);

/* The indices alone: i64, no derivative. */
ct_tensor *ct_argsort(ct_tensor *x, int axis, bool descending);

/* The k greatest (smallest) along axis, the greatest (smallest) first; of equals those that come
 * first. x's shape, but k along axis. CT_ERR_ARGUMENT for a k out of 0..n. */
ct_tensor *ct_topk(ct_tensor *x, int64_t k, int axis, bool largest, ct_tensor **indices);

#ifdef __cplusplus
}
#endif
#endif

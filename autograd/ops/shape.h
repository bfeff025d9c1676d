/* shape.h - ops that rearrange elements. Any dtype; those marked "view" share storage. The gradient
 * of a view is added into the same view of its base's gradient. */
#ifndef COTANGENT_AUTOGRAD_OPS_SHAPE_H
#define COTANGENT_AUTOGRAD_OPS_SHAPE_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The same elements in row-major order under another shape; one size may be -1, and follows from
 * the rest. A view where strides allow it, else a copy. CT_ERR_SHAPE if the counts differ. */
ct_tensor *ct_reshape(ct_tensor *x, ct_shape shape);

/* Axes from start to end, both included, joined into one. */
ct_tensor *ct_flatten(ct_tensor *x, int start, int end);

ct_tensor *ct_transpose(ct_tensor *x, int a, int b); /* two axes exchanged; view */
/* y's axis i is x's axes[i]; view */
ct_tensor *ct_permute(ct_tensor *x, int count, const int *axes);
ct_tensor *ct_squeeze(ct_tensor *x, int axis); /* an axis of size 1 removed; view */
/* one of size 1 inserted before axis (-1: at the end); view */
ct_tensor *ct_unsqueeze(ct_tensor *x, int axis);

/* x broadcast to shape (-1: as in x); view. dx = d summed over the broadcast axes. */
ct_tensor *ct_expand(ct_tensor *x, ct_shape shape);

/* Elements start, start + step, ... below end along an axis; view. Negative start and end count
 * from the end, both are clamped to the axis (as in Python). step < 0 is CT_ERR_ARGUMENT: flip. */
ct_tensor *ct_slice(ct_tensor *x, int axis, int64_t start, int64_t end, int64_t step);
/* length elements from start on; a view. select: one, the axis removed; a view. CT_ERR_INDEX for
 * what is outside the axis. */
ct_tensor *ct_narrow(ct_tensor *x, int axis, int64_t start, int64_t length);
ct_tensor *ct_select(ct_tensor *x, int axis, int64_t index);

/* x itself if contiguous, else a copy. */
ct_tensor *ct_contiguous(ct_tensor *x);
ct_tensor *ct_clone(ct_tensor *x); /* a copy, always */

/* Another dtype; dx = d cast back, between f32 and f64. Float to integer truncates; what does not
 * fit gives the nearest end of the range, NaN 0. */
ct_tensor *ct_cast(ct_tensor *x, ct_dtype dtype);

/* count tensors, of equal shapes but for axis, one after another along it; or of equal shapes,
 * along a new axis. CT_ERR_ARGUMENT for none. */
ct_tensor *ct_cat(int count, ct_tensor *const *parts, int axis);
ct_tensor *ct_stack(int count, ct_tensor *const *parts, int axis);

/* The same of the tensors that are listed: CT_CAT(0, a, b, c). */
#define CT_CAT(axis, ...) ct_cat(CT_TENSORS(__VA_ARGS__), axis)
#define CT_STACK(axis, ...) ct_stack(CT_TENSORS(__VA_ARGS__), axis)

#ifdef __cplusplus
}
#endif
#endif

/* arrange.h - ops that put a tensor's elements elsewhere: parts, mirror images, margins, copies,
 * triangles; tensors like another; devices. Any dtype. */
#ifndef COTANGENT_AUTOGRAD_OPS_ARRANGE_H
#define COTANGENT_AUTOGRAD_OPS_ARRANGE_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* parts[i] = the next sizes[i] elements of x along axis, count of them; views. The sizes come to
 * the axis's; NULL for count equal ones (CT_ERR_SHAPE where they do not). After an error all parts
 * are NULL. */
ct_status ct_split(ct_tensor *x, int count, const int64_t *sizes, int axis, ct_tensor **parts);

/* The order of elements reversed along each of count axes; dx = d flipped. */
ct_tensor *ct_flip(ct_tensor *x, int count, const int *axes);

/* y[(i + shift) mod n] = x[i] along axis; shift may be negative or beyond n. dx = d rolled back. */
ct_tensor *ct_roll(ct_tensor *x, int64_t shift, int axis);

/* x with margins of value. sizes lists count of them, in PyTorch's order: before and after on the
 * last axis, before and after on the last but one, and so on; none negative (CT_ERR_ARGUMENT).
 * dx = d without the margins. */
ct_tensor *ct_pad(ct_tensor *x, int count, const int64_t *sizes, double value);

/* x beside itself: times[i] times along axis i of the result, of which there are count, x's rank or
 * more (new ones in front). dx = d summed over the copies. */
ct_tensor *ct_repeat(ct_tensor *x, int count, const int64_t *times);

/* x (..., m, n) where column - row <= diagonal (tril) or >= diagonal (triu), else 0.
 * dx = d of the same triangle. */
ct_tensor *ct_tril(ct_tensor *x, int64_t diagonal);
ct_tensor *ct_triu(ct_tensor *x, int64_t diagonal);

/* Tensors of x's shape, dtype and device, without history. */
ct_tensor *ct_full_like(const ct_tensor *x, double value);
ct_tensor *ct_zeros_like(const ct_tensor *x);
ct_tensor *ct_ones_like(const ct_tensor *x);

/* x on a device: x itself if it is there, else a copy, whose gradient goes back to x's. What is on
 * an asynchronous device is waited for (tensor/device.h). CT_ERR_DEVICE for one that does not exist. */
ct_tensor *ct_to(ct_tensor *x, ct_device device);

#ifdef __cplusplus
}
#endif
#endif

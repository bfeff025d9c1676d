/* SPDX-License-Identifier: MIT */
/* copy.h - copies of a tensor: contiguous, of another dtype, on another device.
 *
 * The results belong to the innermost scope. d is the gradient of the output, dx that of x. */
#ifndef COTANGENT_AUTOGRAD_OPS_COPY_H
#define COTANGENT_AUTOGRAD_OPS_COPY_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A contiguous copy of x, of the same dtype and device. dx = d. */
ct_tensor *ct_clone(ct_tensor *x);

/* x itself if it is contiguous, otherwise ct_clone(x). */
ct_tensor *ct_contiguous(ct_tensor *x);

/* x converted to dtype; x itself if it has that dtype. From floating point to integer, the fraction
 * is cut off, a value out of range becomes the nearest end of the range, and NaN becomes 0. Between
 * f32 and f64, dx = d converted back; other conversions have no derivative. */
ct_tensor *ct_cast(ct_tensor *x, ct_dtype dtype);

/* x on a device: x itself if it is already on that device, otherwise a copy. dx = d, copied back to
 * x's device. Copying from an asynchronous device waits for its work (tensor/device.h). Raises
 * CT_ERR_DEVICE if the device does not exist. */
ct_tensor *ct_to(ct_tensor *x, ct_device device);

#ifdef __cplusplus
}
#endif
#endif

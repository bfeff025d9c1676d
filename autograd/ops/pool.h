/* SPDX-License-Identifier: MIT */
/* pool.h - pooling over windows of images (N, C, H, W) and sequences (N, C, L).
 *
 * dtypes f32 and f64 (CT_ERR_DTYPE). The results belong to the innermost scope. Options that are
 * arrays are read as in conv.h: a [1] of 0 takes the value of [0], and sequences use only [0].
 * CT_ERR_ARGUMENT for a kernel below 1, negative options and a padding above half the kernel;
 * CT_ERR_SHAPE for wrong ranks and for a kernel that is larger than the padded input. d is the
 * gradient of the output. */
#ifndef COTANGENT_AUTOGRAD_OPS_POOL_H
#define COTANGENT_AUTOGRAD_OPS_POOL_H

#include <stdbool.h>

#include <cotangent/autograd/ops/conv.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Options of the pools. */
typedef struct ct_pool_options {
    int64_t kernel[2];
    int64_t stride[2];   /* default: the kernel */
    int64_t padding[2];  /* on each side, at most half the kernel; CT_NO_PADDING means 0 */
    int64_t dilation[2]; /* only for ct_max_pool; default 1 */
    bool ceil_mode;      /* the number of windows is rounded up instead of down */
    /* only for average pools: elements of the padding are not counted (PyTorch's count_include_pad
     * = False) */
    bool exclude_pad;
} ct_pool_options;

/* The greatest element of each window: (N, C, H, W) -> (N, C, H', W'); the padding is -inf.
 * *indices, if indices is not NULL, receives the position of the element in its plane, row W +
 * column, as i64; NULL after an error. Of equal elements the first counts; a NaN is the greatest.
 * dx = d at these positions, 0 elsewhere. */
ct_tensor *ct_max_pool2d(ct_tensor *x, ct_pool_options options, ct_tensor **indices);
ct_tensor *ct_max_pool1d(ct_tensor *x, ct_pool_options options, ct_tensor **indices);

/* The mean of each window; zeros of the padding count, unless exclude_pad is set. Positions beyond
 * the padding, which only ceil_mode can add, never count. dx = for each element, the sum of d /
 * count over the windows that contain it. Raises CT_ERR_ARGUMENT if dilation is set. */
ct_tensor *ct_avg_pool2d(ct_tensor *x, ct_pool_options options);
ct_tensor *ct_avg_pool1d(ct_tensor *x, ct_pool_options options);

/* (N, C, H, W) -> (N, C, height, width): result row i is the mean of rows i H / height, rounded down, to
 * (i + 1) H / height, rounded up; columns likewise. Raises CT_ERR_ARGUMENT for a size below 1,
 * CT_ERR_SHAPE for an x without elements in a plane. */
ct_tensor *ct_adaptive_avg_pool2d(ct_tensor *x, int64_t height, int64_t width);
ct_tensor *ct_adaptive_avg_pool1d(ct_tensor *x, int64_t length);

#ifdef __cplusplus
}
#endif
#endif

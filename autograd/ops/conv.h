/* SPDX-License-Identifier: MIT */
/* conv.h - convolutions, and the windows that they read.
 *
 * dtypes f32 and f64, the same for all operands (CT_ERR_DTYPE); all on one device (CT_ERR_DEVICE).
 * Images are (N, C, H, W): N images of C channels. Sequences are (N, C, L). The results belong to
 * the innermost scope. As in PyTorch, a convolution does not flip its filter.
 *
 * In options that are arrays of two, [0] is for rows and [1] for columns. If [1] is 0, it takes the
 * value of [0]: { 3 } is 3 x 3. Sequences use only [0]. CT_ERR_ARGUMENT for negative options, a
 * kernel below 1, and groups that do not divide the channels; CT_ERR_SHAPE for wrong ranks, for
 * sizes that do not agree, and for a kernel (dilated) that is larger than the padded input. */
#ifndef COTANGENT_AUTOGRAD_OPS_CONV_H
#define COTANGENT_AUTOGRAD_OPS_CONV_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An explicit padding of 0: { 2, CT_NO_PADDING } pads rows only. */
#define CT_NO_PADDING (-1)

/* Options of the convolutions. */
typedef struct ct_conv_options {
    int64_t stride[2];   /* default 1 */
    int64_t padding[2];  /* zeros on each side; CT_NO_PADDING means 0 */
    int64_t dilation[2]; /* the distance between neighbouring elements of the filter; default 1 */
    /* only for transposed convolutions: added to the size of the result; below the stride or the
     * dilation; CT_NO_PADDING means 0 */
    int64_t output_padding[2];
    int64_t groups; /* the number of groups of channels; default 1 */
} ct_conv_options;

/* y[n,o,p,q] = bias[o] + sum over c,r,s of weight[o,c,r,s] x[n,c,p stride + r dilation - padding,...]
 * for x (N, in, H, W), weight (out, in / groups, kh, kw) and bias (out), which may be NULL. Channels of
 * one group see only those of the same group. y is (N, out, H', W') with
 *     H' = (H + 2 padding - dilation (kh - 1) - 1) / stride + 1      rounded down
 * dx is the transposed convolution of dy, dweight a correlation of x with dy, dbias the sum of dy. */
ct_tensor *ct_conv2d(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, ct_conv_options options);

/* Like ct_conv2d, for sequences: x (N, in, L), weight (out, in / groups, k) -> (N, out, L'). */
ct_tensor *ct_conv1d(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, ct_conv_options options);

/* The transposed convolution, which is the derivative of ct_conv2d by x: for x (N, in, H, W), weight (in,
 * out / groups, kh, kw) and bias (out), which may be NULL, y is (N, out, H', W') with
 *     H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1 */
ct_tensor *ct_conv_transpose2d(ct_tensor *x, ct_tensor *weight, ct_tensor *bias,
                               ct_conv_options options);

/* Like ct_conv_transpose2d, for sequences: x (N, in, L), weight (in, out / groups, k) -> (N, out,
 * L'). */
ct_tensor *ct_conv_transpose1d(ct_tensor *x, ct_tensor *weight, ct_tensor *bias,
                               ct_conv_options options);

/* Options of ct_unfold and ct_fold. */
typedef struct ct_window_options {
    int64_t kernel[2];
    int64_t stride[2];   /* default 1 */
    int64_t padding[2];  /* zeros on each side; CT_NO_PADDING means 0 */
    int64_t dilation[2]; /* default 1 */
} ct_window_options;

/* PyTorch's functional unfold: x (N, C, H, W) -> (N, C kh kw, windows). Column i holds the elements
 * of window i. dx = the fold of d. */
ct_tensor *ct_unfold(ct_tensor *x, ct_window_options options);

/* The transpose of ct_unfold, PyTorch's functional fold: x (N, C kh kw, windows) -> (N, C, height,
 * width). Elements of several windows for the same place are added. dx = the unfold of d. */
ct_tensor *ct_fold(ct_tensor *x, int64_t height, int64_t width, ct_window_options options);

#ifdef __cplusplus
}
#endif
#endif

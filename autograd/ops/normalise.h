/* SPDX-License-Identifier: MIT */
/* normalise.h - layer, RMS, group and batch normalisation.
 *
 * dtypes f32 and f64 (CT_ERR_DTYPE), all arguments alike and on one device. The result has x's
 * shape and belongs to the innermost scope. weight and bias may be NULL. eps must be at least 0
 * (CT_ERR_ARGUMENT); PyTorch's default is 1e-5. Variances divide by n, not by n - 1. With z the
 * normalised values, d the gradient of the output and g = d weight,
 *     dx = (g - mean(g) - z mean(g z)) / sqrt(variance + eps)
 *     dweight = sum of d z, and dbias = sum of d, over all values with the same element of weight
 * where each mean is over the values that are normalised together. On the CPU, layer and RMS norm
 * take one pass over the memory in each direction, and values whose squares overflow or underflow are
 * scaled first; on a GPU they give 0 or NaN. */
#ifndef COTANGENT_AUTOGRAD_OPS_NORMALISE_H
#define COTANGENT_AUTOGRAD_OPS_NORMALISE_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Layer normalisation (Ba, Kiros and Hinton 2016), over the trailing axes of x that weight or bias
 * has, or over the last axis without both: y = (x - mean) / sqrt(variance + eps) weight + bias. x
 * has rank 1 or more. CT_ERR_SHAPE if weight or bias does not have the sizes of the trailing axes. */
ct_tensor *ct_layer_norm(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, double eps);

/* RMS normalisation (Zhang and Sennrich 2019), over the same axes: y = x / sqrt(mean(x^2) + eps)
 * weight. dx = (g - z mean(g z)) / sqrt(mean(x^2) + eps). PyTorch's default for eps is the epsilon of
 * the dtype: FLT_EPSILON or DBL_EPSILON. */
ct_tensor *ct_rms_norm(ct_tensor *x, ct_tensor *weight, double eps);

/* Group normalisation (Wu and He 2018): x (N, C, ...) is normalised over each of `groups` groups of
 * consecutive channels, and multiplied by weight (C) plus bias (C). CT_ERR_ARGUMENT if groups is less
 * than 1 or does not divide C. */
ct_tensor *ct_group_norm(ct_tensor *x, int64_t groups, ct_tensor *weight, ct_tensor *bias,
                         double eps);

typedef struct ct_batch_norm_options {
    ct_tensor *weight; /* (C), or NULL if there is none */
    ct_tensor *bias;   /* likewise */
    /* (C), both or neither. In training they are updated in place, without history; otherwise they
     * are only read. */
    ct_tensor *running_mean;
    ct_tensor *running_var;
    bool training;   /* normalise by the mean and the variance of x */
    double momentum; /* default 0.1. running = (1 - momentum) running + momentum times the batch's
                      * value */
    double eps;      /* default 1e-5 */
} ct_batch_norm_options;

/* Batch normalisation (Ioffe and Szegedy 2015) of each channel of x (N, C, ...), over all other
 * axes. running_var is updated with the unbiased variance, divided by n - 1, as in PyTorch. Without
 * training the running statistics are required and count as constants. CT_ERR_SHAPE if a channel
 * has fewer than two values in training. */
ct_tensor *ct_batch_norm(ct_tensor *x, ct_batch_norm_options options);

#ifdef __cplusplus
}
#endif
#endif

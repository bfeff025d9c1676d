/* SPDX-License-Identifier: MIT */
/* conv.h - the modules of convolution: Conv1d, Conv2d and ConvTranspose2d. */
#ifndef COTANGENT_NN_CONV_H
#define COTANGENT_NN_CONV_H

#include <stdbool.h>

#include <cotangent/autograd/ops/conv.h>
#include <cotangent/nn/dialect.h>
#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In arrays, [0] is for rows and [1] for columns; a [1] of 0 takes the value of [0]. Conv1d uses
 * only [0]. */
typedef struct ct_nn_conv_options {
    int64_t in_channels; /* 0: taken from the first forward or from a loaded file */
    int64_t out_channels;
    int64_t kernel[2];
    int64_t stride[2];         /* default 1 */
    int64_t padding[2];        /* CT_NO_PADDING means 0 */
    int64_t dilation[2];       /* default 1 */
    int64_t output_padding[2]; /* only ConvTranspose2d */
    int64_t groups;            /* default 1 */
    bool no_bias;
    ct_dialect dialect; /* the framework whose initial values are used; default CT_DIALECT_TORCH */
} ct_nn_conv_options;

/* Makes a Conv2d, a module of ct_conv2d (conv.h of the ops): x (N, in, H, W) -> (N, out, H', W').
 * Registers NAME.weight (out, in / groups, kh, kw) and NAME.bias (out). The initial values are
 * those of a Linear with in / groups kh kw inputs, the number of elements that contribute to one
 * result. The module belongs to params. CT_ERR_ARGUMENT if out_channels or the kernel is below 1,
 * if in_channels or another option is negative, and if groups does not divide the channels. */
ct_module *ct_nn_conv2d(ct_params *params, const char *name, ct_nn_conv_options options);

/* Like ct_nn_conv2d, with ct_conv1d: x (N, in, L) -> (N, out, L'); NAME.weight is (out, in /
 * groups, k). */
ct_module *ct_nn_conv1d(ct_params *params, const char *name, ct_nn_conv_options options);

/* Like ct_nn_conv2d, with ct_conv_transpose2d; NAME.weight is (in, out / groups, kh, kw). As in
 * PyTorch, the initial values are those for out / groups kh kw inputs. */
ct_module *ct_nn_conv_transpose2d(ct_params *params, const char *name, ct_nn_conv_options options);

#ifdef __cplusplus
}
#endif
#endif

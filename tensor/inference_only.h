/* SPDX-License-Identifier: MIT */
/* inference_only.h - what a library for inference only leaves out. (internal)
 *
 * configure --enable-inference-only leaves out whole files (Makefile.am) and whole public headers
 * (cotangent.h). In files that stay, tables point at functions that only training calls: derivatives of
 * ops, kernels of derivatives, updates. CTI_TRAINING marks these entries. They are NULL then, and the
 * compiler and the linker leave the functions out. No tensor of such a library requires a gradient
 * (autograd/inference_only.c), so nothing calls an entry that is NULL. */
#ifndef COTANGENT_TENSOR_INFERENCE_ONLY_H
#define COTANGENT_TENSOR_INFERENCE_ONLY_H

#include <stddef.h>

#include <cotangent_features.h>

#define CTI_TRAINING(function) (CT_INFERENCE_ONLY ? NULL : (function))

#endif

/* SPDX-License-Identifier: MIT */
/* conv_internal.h - functions that convolutions, windows and pooling share. (internal) */
#ifndef COTANGENT_AUTOGRAD_OPS_CONV_INTERNAL_H
#define COTANGENT_AUTOGRAD_OPS_CONV_INTERNAL_H

#include "autograd/ops/internal.h"

/* The options of a window along both axes, as the user gave them. */
typedef struct cti_window_options {
    /* arrays of two; a NULL dilation means 1 */
    const int64_t *kernel, *stride, *padding, *dilation;
    int axes; /* the number of axes; if it is 1, [0] is for the columns */
} cti_window_options;

/* Fills kernel, stride, padding and dilation of c with their defaults applied; false with an error. */
bool cti_window_read(const char *function, const cti_window_options *o, cti_conv *c);

/* Computes c->result from c->size; x is for messages. ceil_mode rounds up (pools only), but drops
 * windows that begin in the padding at the end. False with CT_ERR_SHAPE. */
bool cti_window_result(const char *function, const ct_tensor *x, bool ceil_mode, cti_conv *c);

/* Computes c->size from c->result, for a transposed convolution. False with CT_ERR_SHAPE. */
bool cti_window_size(const char *function, const ct_tensor *x, const int64_t *more, cti_conv *c);

/* Computes and records one part of a convolution. `in` has a tensor for each of y, x and w, indexed
 * by cti_conv_part; the one of c->part is the result. bias may be NULL. */
ct_tensor *cti_conv_part_of(const char *function, const cti_conv *c, ct_tensor *const *in,
                            ct_tensor *bias);

/* cti_unfold: x (images, channels, size) -> (images, channels, kernel, result). cti_fold is the
 * transpose: it adds the elements back to their positions. Neither is recorded. NULL with an
 * error. */
ct_tensor *cti_unfold(const char *function, const cti_conv *c, const ct_tensor *x);
ct_tensor *cti_fold(const char *function, const cti_conv *c, const ct_tensor *columns);

#endif

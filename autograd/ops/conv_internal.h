/* conv_internal.h - what convolutions, windows and pooling share. (internal) */
#ifndef COTANGENT_AUTOGRAD_OPS_CONV_INTERNAL_H
#define COTANGENT_AUTOGRAD_OPS_CONV_INTERNAL_H

#include "autograd/ops/internal.h"

/* The options of a window along both axes, as the user gave them. */
typedef struct cti_window_options {
    const int64_t *kernel, *stride, *padding, *dilation; /* of two each; dilation may be NULL: 1 */
    int axes;                                            /* 1: [0] is for the columns */
} cti_window_options;

/* Fills kernel, stride, padding and dilation of c with their defaults applied; false with an error. */
bool cti_window_read(const char *function, const cti_window_options *o, cti_conv *c);

/* Computes result from size; x is for messages. ceil_mode rounds up, as pools may, but drops windows
 * that begin in the margin at the end. False with CT_ERR_SHAPE. */
bool cti_window_result(const char *function, const ct_tensor *x, bool ceil_mode, cti_conv *c);

/* Computes size from result: that of a transposed convolution. False with CT_ERR_SHAPE. */
bool cti_window_size(const char *function, const ct_tensor *x, const int64_t *more, cti_conv *c);

/* The recorded convolution by parts: a tensor for each of y, x and w (the enumerators of cti_conv_part),
 * of which the one of c->part is computed. bias may be NULL. */
ct_tensor *cti_conv_part_of(const char *function, const cti_conv *c, ct_tensor *const *in,
                            ct_tensor *bias);

/* x (images, channels, size) -> (images, channels, kernel, result), and back by adding; neither is
 * recorded. NULL with an error. */
ct_tensor *cti_unfold(const char *function, const cti_conv *c, const ct_tensor *x);
ct_tensor *cti_fold(const char *function, const cti_conv *c, const ct_tensor *columns);

#endif

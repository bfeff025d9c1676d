/* SPDX-License-Identifier: MIT */
/* find_nonfinite.h - finds the op that first produced a value that is not finite. (internal)
 *
 * The scope of the step must be the innermost open scope. */
#ifndef COTANGENT_AUTOGRAD_FIND_NONFINITE_H
#define COTANGENT_AUTOGRAD_FIND_NONFINITE_H

#include <cotangent/autograd/params/params.h>

/* The end of a message: "; first in ct_log (train.c:41)"; empty if the op is not known. */
typedef struct cti_origin {
    char s[240];
} cti_origin;

/* Returns a parameter that has such a value; NULL if there is none. */
const ct_param *cti_find_nonfinite_param(const ct_params *params);

/* Returns "; x of the batch is not finite" if t has such a value. t is x or y of the batch, or
 * NULL. */
cti_origin cti_find_nonfinite_input(const char *name, const ct_tensor *t);

/* Searches the forward pass. */
cti_origin cti_find_nonfinite_forward(void);

/* Searches the backward pass from loss to leaf, which it runs again. */
cti_origin cti_find_nonfinite_backward(ct_tensor *loss, ct_tensor *leaf);

#endif

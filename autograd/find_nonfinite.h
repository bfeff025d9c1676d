/* find_nonfinite.h - which op first gave a value that is not finite. (internal) The scope of the
 * step must be the innermost open scope. */
#ifndef COTANGENT_AUTOGRAD_FIND_NONFINITE_H
#define COTANGENT_AUTOGRAD_FIND_NONFINITE_H

#include <cotangent/autograd/params/params.h>

/* The end of a message: "; first in ct_log (train.c:41)", or empty if the op is not known. */
typedef struct cti_origin {
    char s[240];
} cti_origin;

/* A parameter that has such a value; NULL if none has. */
const ct_param *cti_find_nonfinite_param(const ct_params *params);

/* "; x of the batch is not finite" if t, the batch's x or y or NULL, has such a value. */
cti_origin cti_find_nonfinite_input(const char *name, const ct_tensor *t);

/* The origin in the forward pass. */
cti_origin cti_find_nonfinite_forward(void);

/* The origin in the backward pass from loss to leaf, which runs again. */
cti_origin cti_find_nonfinite_backward(ct_tensor *loss, ct_tensor *leaf);

#endif

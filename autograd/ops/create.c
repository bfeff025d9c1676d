/* SPDX-License-Identifier: MIT */
/* create.c - new tensors with the shape, dtype and device of another. They have no history. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/create.h>

ct_tensor *ct_full_like(const ct_tensor *x, double value)
{
    return cti_usable("ct_full_like", x) ? ct_full(x->shape, value, x->dtype, x->device) : NULL;
}

ct_tensor *ct_zeros_like(const ct_tensor *x)
{
    return cti_usable("ct_zeros_like", x) ? ct_zeros(x->shape, x->dtype, x->device) : NULL;
}

ct_tensor *ct_ones_like(const ct_tensor *x)
{
    return cti_usable("ct_ones_like", x) ? ct_ones(x->shape, x->dtype, x->device) : NULL;
}

/* SPDX-License-Identifier: MIT */
/* copy.c - ops that copy every element in order: clone, contiguous, another dtype, another device.
 *
 * y = x with another layout, dtype or device; dx = d, converted back. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/copy.h>

/* ---- clone ---- */

static void clone_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, dout[0]);
}

static const ct_op clone_op = {
    .name = "ct_clone", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(clone_grad)
};

ct_tensor *ct_clone(ct_tensor *x)
{
    ct_tensor *y;

    if (!cti_usable("ct_clone", x))
        return NULL;
    y = cti_new("ct_clone", x->shape, x->dtype, x->device);
    if (!y)
        return NULL;
    cti_copy(y, x);
    return cti_record1(&clone_op, x, y);
}

ct_tensor *ct_contiguous(ct_tensor *x)
{
    if (!cti_usable("ct_contiguous", x))
        return NULL;
    return x->contiguous ? x : ct_clone(x);
}

/* ---- cast ---- */

static void cast_grad(ct_node *n, ct_tensor *const *dout)
{
    const ct_dtype *from = ct_node_attributes(n);

    ct_node_add_grad(n, 0, ct_cast(dout[0], *from));
}

static const ct_op cast_op = {
    .name = "ct_cast", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(cast_grad)
};

ct_tensor *ct_cast(ct_tensor *x, ct_dtype dtype)
{
    ct_tensor *y;

    if (!cti_usable("ct_cast", x))
        return NULL;
    if (dtype == x->dtype)
        return x;
    y = cti_new("ct_cast", x->shape, dtype, x->device);
    if (!y)
        return NULL;
    cti_copy(y, x);
    if (!cti_is_float(dtype))
        return y;
    return cti_record1_with(&cast_op, x, y, &x->dtype, sizeof x->dtype);
}

/* ---- to: another device ---- */

static void to_grad(ct_node *n, ct_tensor *const *dout)
{
    const ct_device *from = ct_node_attributes(n);

    ct_node_add_grad(n, 0, ct_to(dout[0], *from));
}

static const ct_op to_op = {
    .name = "ct_to", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(to_grad)
};

ct_tensor *ct_to(ct_tensor *x, ct_device device)
{
    ct_tensor *y;

    if (!cti_usable("ct_to", x))
        return NULL;
    if (device == x->device)
        return x;
    if (!cti_backend_of(device)) {
        ct_raise(CT_ERR_DEVICE, "ct_to",
                 "x %s cannot move: device %d does not exist; use CT_CPU or ct_device_from_name",
                 cti_describe(x).s, device);
        return NULL;
    }
    y = cti_new("ct_to", x->shape, x->dtype, device);
    if (!y || !cti_copy_across("ct_to", y, x))
        return NULL;
    return cti_record1_with(&to_op, x, y, &x->device, sizeof x->device);
}

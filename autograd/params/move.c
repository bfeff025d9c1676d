/* SPDX-License-Identifier: MIT */
/* move.c - parameter sets to a device. */
#include "autograd/params/set.h"

#include "tensor/hooks.h"
#include "tensor/text.h"

#include <string.h>

/* Copies t to the device, into the innermost scope. NULL with an error, and for a NULL t. */
static ct_tensor *params_copy_to(const ct_tensor *t, ct_device device)
{
    ct_tensor *y = t ? cti_new("ct_params_to", t->shape, t->dtype, device) : NULL;

    return y && cti_copy_across("ct_params_to", y, t) ? y : NULL;
}

/* Exchanges the memory of t and y, so that t keeps its handle. Increments t's version, because
 * backward must not use values of t that it saved. */
static void params_swap_memory(ct_tensor *t, ct_tensor *y)
{
    ct_storage *mine = t->storage;
    unsigned version = atomic_load(&mine->version) + 1;

    t->storage = y->storage;
    y->storage = mine;
    y->device = t->device;
    y->offset = t->offset;
    t->offset = 0;
    memcpy(t->stride, y->stride, sizeof t->stride);
    t->contiguous = 1;
    t->device = t->storage->device;
    atomic_store(&t->storage->version, version);
}

/* Makes all copies before the first exchange, so that an error changes nothing. copy holds two
 * tensors for each entry: its value and its gradient. */
static void params_move_all(params_root *r, ct_device device, ct_tensor **copy)
{
    int i;

    for (i = 0; i < r->whole->count && ct_ok(); i++) {
        const ct_tensor *value = r->whole->entry[i]->value;

        copy[2 * i] = params_copy_to(value, device);
        copy[2 * i + 1] = params_copy_to(cti_leaf_grad(value), device);
    }
    for (i = 0; i < r->whole->count && ct_ok(); i++) {
        ct_tensor *value = r->whole->entry[i]->value;

        if (copy[2 * i])
            params_swap_memory(value, copy[2 * i]);
        if (copy[2 * i + 1])
            params_swap_memory(cti_leaf_grad(value), copy[2 * i + 1]);
    }
    if (ct_ok())
        r->options.device = device;
}

ct_status ct_params_to(ct_params *set, ct_device device)
{
    static const char *const me = "ct_params_to";
    ct_tensor **copy;
    size_t copies;
    ct_scope s;

    if (!cti_sink_allowed())
        return ct_error();
    if (!cti_given(me, "set", set))
        return ct_error();
    if (set->prefix[0])
        return ct_raise(CT_ERR_ARGUMENT, me, "set is the part %s; only a whole set can be moved",
                        cti_quote(set->prefix).s);
    if (!cti_backend_of(device))
        return ct_raise(CT_ERR_DEVICE, me,
                        "device %d does not exist; use CT_CPU or ct_device_from_name", device);
    if (device == set->root->options.device)
        return CT_OK;
    copies = (size_t)set->count * 2 + 1;
    copy = cti_calloc(copies, sizeof *copy);
    if (!copy) {
        cti_out_of_memory(me, copies * sizeof *copy);
        return ct_error();
    }
    pthread_mutex_lock(&set->root->lock);
    s = cti_scope_push();
    params_move_all(set->root, device, copy);
    cti_scope_pop(s);
    pthread_mutex_unlock(&set->root->lock);
    cti_release(copy);
    return ct_error();
}

/* SPDX-License-Identifier: MIT */
/* dlpack.c - tensors shared with other libraries by DLPack. */
#include "tensor/dlpack_abi.h"

#include "tensor/blob_internal.h"
#include "tensor/hooks.h"

#include <string.h>

/* The library's dtypes as DLPack describes them. */
static const cti_dlpack_dtype dlpack_dtypes[] = {
    [CT_F32] = { CTI_DLPACK_FLOAT, 32, 1 }, [CT_F64] = { CTI_DLPACK_FLOAT, 64, 1 },
    [CT_I32] = { CTI_DLPACK_INT, 32, 1 },   [CT_I64] = { CTI_DLPACK_INT, 64, 1 },
    [CT_BOOL] = { CTI_DLPACK_BOOL, 8, 1 },  [CT_BF16] = { CTI_DLPACK_BFLOAT, 16, 1 },
};

#define DLPACK_DTYPES ((int)(sizeof dlpack_dtypes / sizeof *dlpack_dtypes))

/* ---- export ---- */

/* An exported tensor. It contains the struct that the consumer gets. */
typedef struct dlpack_export {
    union {
        struct DLManagedTensorVersioned versioned;
        struct DLManagedTensor old;
    } is;
    ct_tensor *kept; /* an owned handle, which keeps the memory */
    int64_t shape[CT_MAX_RANK], stride[CT_MAX_RANK];
} dlpack_export;

static void dlpack_export_free(dlpack_export *e)
{
    cti_free("DLPack's deleter", e->kept);
    cti_release(e);
}

static void dlpack_delete(struct DLManagedTensorVersioned *self)
{
    if (self)
        dlpack_export_free(self->context);
}

static void dlpack_delete_old(struct DLManagedTensor *self)
{
    if (self)
        dlpack_export_free(self->context);
}

static bool dlpack_may_export(const char *function, ct_tensor *t, bool writable)
{
    if (!cti_usable(function, t))
        return false;
    if (t->node || t->requires_grad) {
        ct_raise(CT_ERR_GRAD, function, "t %s %s; export ct_detach(t)", cti_describe(t).s,
                 t->node ? "has history" : "requires a gradient");
        return false;
    }
    if (t->device != CT_CPU) {
        ct_raise(CT_ERR_DEVICE, function, "t %s is not on the CPU; use ct_to", cti_describe(t).s);
        return false;
    }
    if (writable && !cti_may_write(function, t))
        return false;
    return cti_capture_allows(t->device, function, "share memory with the host");
}

/* Makes an export and fills the members that both structs have; NULL with an error. */
static dlpack_export *dlpack_export_new(const char *function, ct_tensor *t, bool writable,
                                        cti_dlpack_tensor *d)
{
    dlpack_export *e;

    if (!dlpack_may_export(function, t, writable))
        return NULL;
    e = cti_calloc(1, sizeof *e);
    if (!e) {
        cti_out_of_memory(function, sizeof *e);
        return NULL;
    }
    e->kept = cti_keep(function, t, cti_owner_user);
    if (!e->kept) {
        cti_release(e);
        return NULL;
    }
    memcpy(e->shape, e->kept->shape.dim, sizeof e->shape);
    memcpy(e->stride, e->kept->stride, sizeof e->stride);
    *d = (cti_dlpack_tensor){ .data = cti_data(e->kept),
                              .device = { CTI_DLPACK_CPU, 0 },
                              .rank = e->kept->shape.rank,
                              .dtype = dlpack_dtypes[e->kept->dtype],
                              .shape = e->shape,
                              .strides = e->stride };
    if (writable)
        cti_mark_written(t);
    return e;
}

ct_status ct_to_dlpack(ct_tensor *t, ct_dlpack_options options,
                       struct DLManagedTensorVersioned **out)
{
    static const char *const me = "ct_to_dlpack";
    cti_dlpack_tensor tensor;
    dlpack_export *e;

    if (!cti_given(me, "out", out))
        return ct_error();
    *out = NULL;
    e = dlpack_export_new(me, t, options.writable, &tensor);
    if (!e)
        return ct_error();
    e->is.versioned = (struct DLManagedTensorVersioned){
        .version = { CTI_DLPACK_MAJOR, CTI_DLPACK_MINOR },
        .context = e,
        .deleter = dlpack_delete,
        .flags = (options.writable ? 0u : CTI_DLPACK_READ_ONLY) |
                 (e->kept->storage != t->storage ? CTI_DLPACK_COPIED : 0u),
        .tensor = tensor,
    };
    *out = &e->is.versioned;
    return CT_OK;
}

ct_status ct_to_dlpack_unversioned(ct_tensor *t, struct DLManagedTensor **out)
{
    static const char *const me = "ct_to_dlpack_unversioned";
    cti_dlpack_tensor tensor;
    dlpack_export *e;

    if (!cti_given(me, "out", out))
        return ct_error();
    *out = NULL;
    e = dlpack_export_new(me, t, true, &tensor);
    if (!e)
        return ct_error();
    e->is.old =
        (struct DLManagedTensor){ .tensor = tensor, .context = e, .deleter = dlpack_delete_old };
    *out = &e->is.old;
    return CT_OK;
}

/* ---- import ---- */

/* Returns the dtype of d; -1 with CT_ERR_DTYPE. */
static int dlpack_dtype(const char *function, cti_dlpack_dtype d)
{
    int i;

    for (i = 0; i < DLPACK_DTYPES; i++)
        if (d.code == dlpack_dtypes[i].code && d.bits == dlpack_dtypes[i].bits && d.lanes == 1)
            return i;
    ct_raise(CT_ERR_DTYPE, function,
             "m has the dtype code %d with %d bits and %d lanes; the library has no such dtype",
             d.code, d.bits, d.lanes);
    return -1;
}

/* Fills b from d; false with an error. cti_blob_new makes the remaining checks. */
static bool dlpack_read(const char *function, const cti_dlpack_tensor *d, cti_blob *b)
{
    int dtype = dlpack_dtype(function, d->dtype);

    if (dtype < 0)
        return false;
    if (d->device.type != CTI_DLPACK_CPU) {
        ct_raise(CT_ERR_DEVICE, function,
                 "m is on the device type %d of DLPack; it must be %d, the CPU",
                 (int)d->device.type, CTI_DLPACK_CPU);
        return false;
    }
    b->dtype = (ct_dtype)dtype;
    b->shape = (ct_shape){ .rank = d->rank };
    if (!cti_rank_check(function, &b->shape) ||
        !cti_given_array(function, "shape of m", d->rank, d->shape))
        return false;
    b->shape = ct_shape_from_sizes(d->rank, d->shape);
    if (cti_shape_check(function, &b->shape, b->dtype) < 0)
        return false;
    cti_row_major(&b->shape, b->stride);
    if (d->strides && d->rank > 0)
        memcpy(b->stride, d->strides, (size_t)d->rank * sizeof *b->stride);
    b->data = d->data ? (char *)d->data + d->byte_offset : NULL;
    return true;
}

static void dlpack_end(void *data, void *context)
{
    struct DLManagedTensorVersioned *m = context;

    (void)data;
    if (m->deleter)
        m->deleter(m);
}

static void dlpack_end_old(void *data, void *context)
{
    struct DLManagedTensor *m = context;

    (void)data;
    if (m->deleter)
        m->deleter(m);
}

ct_tensor *ct_from_dlpack(struct DLManagedTensorVersioned *m)
{
    static const char *const me = "ct_from_dlpack";
    cti_blob b = { .deleter = dlpack_end, .context = m };

    if (!cti_given(me, "m", m))
        return NULL;
    if (m->version.major != CTI_DLPACK_MAJOR) {
        ct_raise(CT_ERR_ARGUMENT, me, "m is of version %u.%u of DLPack; it must be %u",
                 (unsigned)m->version.major, (unsigned)m->version.minor, CTI_DLPACK_MAJOR);
        return NULL;
    }
    if (!dlpack_read(me, &m->tensor, &b))
        return NULL;
    b.writable = !(m->flags & CTI_DLPACK_READ_ONLY);
    return cti_blob_new(me, &b);
}

ct_tensor *ct_from_dlpack_unversioned(struct DLManagedTensor *m)
{
    static const char *const me = "ct_from_dlpack_unversioned";
    cti_blob b = { .writable = true, .deleter = dlpack_end_old, .context = m };

    if (!cti_given(me, "m", m) || !dlpack_read(me, &m->tensor, &b))
        return NULL;
    return cti_blob_new(me, &b);
}

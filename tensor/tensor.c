/* SPDX-License-Identifier: MIT */
/* tensor.c - dtypes and shapes of tensors, checks of arguments, handles, views. */
#include "tensor/internal.h"

#include "tensor/hooks.h"

#include <stdio.h>
#include <string.h>

#include <cotangent/tensor/device.h>

/* ---- shapes ---- */

ct_shape ct_shape_from_sizes(int rank, const int64_t *dim)
{
    ct_shape s;
    int i;

    memset(&s, 0, sizeof s);
    if (!cti_given_array("ct_shape_from_sizes", "dim", rank, dim))
        return s;
    s.rank = rank;
    for (i = 0; i < rank && i < CT_MAX_RANK; i++)
        s.dim[i] = dim[i];
    return s;
}

cti_text cti_shape_text(const ct_shape *shape)
{
    cti_text out;
    size_t n = 0;
    int i;

    out.s[n++] = '[';
    for (i = 0; i < shape->rank && i < CT_MAX_RANK && n < sizeof out.s - 24; i++)
        n += (size_t)snprintf(out.s + n, sizeof out.s - n, i ? ",%lld" : "%lld",
                              (long long)shape->dim[i]);
    snprintf(out.s + n, sizeof out.s - n, "]");
    return out;
}

cti_text cti_describe(const ct_tensor *t)
{
    cti_text out;

    if (!t)
        snprintf(out.s, sizeof out.s, "NULL");
    else
        snprintf(out.s, sizeof out.s, "%s%.120s %s", ct_dtype_name(t->dtype),
                 cti_shape_text(&t->shape).s, ct_device_name(t->device));
    return out;
}

bool cti_rank_check(const char *function, const ct_shape *shape)
{
    if (shape->rank >= 0 && shape->rank <= CT_MAX_RANK)
        return true;
    ct_raise(CT_ERR_SHAPE, function, "rank %d is not in 0..%d", shape->rank, CT_MAX_RANK);
    return false;
}

int64_t cti_shape_check(const char *function, const ct_shape *shape, ct_dtype dtype)
{
    size_t element = ct_dtype_size(dtype);
    int64_t n = 1, limit;
    bool zero = false;
    int i;

    if (!element) {
        ct_raise(CT_ERR_DTYPE, function, "dtype %d does not exist; it must be in 0..%d", (int)dtype,
                 CTI_DTYPE_COUNT - 1);
        return -1;
    }
    if (!cti_rank_check(function, shape))
        return -1;
    limit = (int64_t)(PTRDIFF_MAX / (ptrdiff_t)element);
    for (i = 0; i < shape->rank; i++) {
        if (shape->dim[i] < 0) {
            ct_raise(CT_ERR_SHAPE, function, "shape %s has a negative size (axis %d)",
                     cti_shape_text(shape).s, i);
            return -1;
        }
        zero |= shape->dim[i] == 0;
    }
    /* a size of 0 counts as 1, because the strides must not overflow either */
    for (i = 0; i < shape->rank; i++) {
        int64_t size = shape->dim[i] ? shape->dim[i] : 1;

        if (n > limit / size) {
            ct_raise(CT_ERR_SHAPE, function, "shape %s is too large: its size overflows",
                     cti_shape_text(shape).s);
            return -1;
        }
        n *= size;
    }
    return zero ? 0 : n;
}

void cti_row_major(const ct_shape *shape, int64_t *stride)
{
    int64_t step = 1;
    int i;

    for (i = shape->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= shape->dim[i] ? shape->dim[i] : 1;
    }
}

int cti_axis(const char *function, const ct_tensor *t, int axis)
{
    int rank = t->shape.rank;

    if (axis >= -rank && axis < rank)
        return axis < 0 ? axis + rank : axis;
    ct_raise(CT_ERR_SHAPE, function, "axis %d is not an axis of %s", axis, cti_describe(t).s);
    return -1;
}

/* ---- checks that ops share ---- */

bool cti_refuse_tensor(const char *function, const char *name, const ct_tensor *t)
{
    if (t)
        cti_handle_raise_dead(function, name, "tensor", &t->handle, t->owner != NULL,
                              "use ct_keep or ct_scope_return to keep a value");
    else
        cti_refuse_null(function, name);
    return false;
}

bool cti_refuse_null(const char *function, const char *name)
{
    if (cti_ok())
        ct_raise(CT_ERR_ARGUMENT, function, "%s is NULL", name);
    return false;
}

static bool refuse_entry(const char *function, const char *name, int i, const ct_tensor *t)
{
    char entry[64];

    snprintf(entry, sizeof entry, "%s[%d]", name, i);
    return cti_refuse_tensor(function, entry, t);
}

bool cti_usable_all(const char *function, const char *name, int count, ct_tensor *const *tensors)
{
    int i;

    if (!cti_given_array(function, name, count, tensors))
        return false;
    for (i = 0; i < count; i++)
        if (!tensors[i] || cti_is_dead(tensors[i]))
            return refuse_entry(function, name, i, tensors[i]);
    return true;
}

bool cti_optional_all(const char *function, const char *name, int count, ct_tensor *const *tensors)
{
    int i;

    if (!cti_given_array(function, name, count, tensors))
        return false;
    for (i = 0; i < count; i++)
        if (tensors[i] && cti_is_dead(tensors[i]))
            return refuse_entry(function, name, i, tensors[i]);
    return true;
}

bool cti_refuse_dtypes(const char *function, const char *an, const ct_tensor *a, const char *bn,
                       const ct_tensor *b)
{
    ct_raise(CT_ERR_DTYPE, function, "%s %s and %s %s differ in dtype; use ct_cast", an,
             cti_describe(a).s, bn, cti_describe(b).s);
    return false;
}

bool cti_refuse_devices(const char *function, const char *an, const ct_tensor *a, const char *bn,
                        const ct_tensor *b)
{
    ct_raise(CT_ERR_DEVICE, function, "%s %s and %s %s are on different devices; use ct_to", an,
             cti_describe(a).s, bn, cti_describe(b).s);
    return false;
}

bool cti_want_float(const char *function, const char *name, const ct_tensor *t)
{
    if (cti_is_float(t->dtype))
        return true;
    ct_raise(CT_ERR_DTYPE, function, "%s %s must be f32 or f64", name, cti_describe(t).s);
    return false;
}

bool cti_want_index(const char *function, const char *name, const ct_tensor *t)
{
    if (cti_is_index(t->dtype))
        return true;
    ct_raise(CT_ERR_DTYPE, function, "%s %s must be i32 or i64", name, cti_describe(t).s);
    return false;
}

/* ---- handles ---- */

const char cti_owner_user[] = "the caller";
const char cti_owner_params[] = "a parameter set";
const char cti_owner_state[] = "an owned state";

/* Makes a handle with one reference and no storage. */
static ct_tensor *tensor_alloc(const char *function)
{
    ct_tensor *t = cti_handle_take(function, &cti_thread()->handles[CTI_HANDLE_TENSOR],
                                   CTI_HANDLE_TENSOR, sizeof *t);

    if (!t)
        return NULL;
    atomic_store_explicit(&t->refs, 1, memory_order_relaxed);
    t->storage = NULL;
    t->offset = 0;
    t->owner = NULL;
    t->requires_grad = false;
    t->node = NULL; /* node_at and node_scope are read only if node is not NULL */
    t->leaf = NULL;
    t->indices = NULL;
    return t;
}

void cti_unref(ct_tensor *t)
{
    ct_thread *th;

    if (!cti_last_ref(&t->refs))
        return;
    if (t->storage)
        cti_storage_unref(t->storage);
    if (t->leaf)
        t->leaf->free(t->leaf);
    if (t->indices)
        cti_unref(t->indices);
    t->storage = NULL;
    t->leaf = NULL;
    t->indices = NULL;
    th = cti_thread();
    if (!cti_is_dead(t)) /* only the library refers to it, but a hook of the program may have kept
                          * its address */
        cti_handle_die(&t->handle, "a call of the library", th->site);
    cti_handle_retire(&th->handles[CTI_HANDLE_TENSOR], &t->handle);
}

/* Makes a handle of the innermost scope, without storage. */
static ct_tensor *tensor_of_scope(const char *function)
{
    ct_tensor *t = tensor_alloc(function);

    if (t && !cti_push_live(function, t)) {
        cti_unref(t);
        return NULL;
    }
    return t;
}

ct_tensor *cti_new(const char *function, ct_shape shape, ct_dtype dtype, ct_device device)
{
    int64_t n = cti_shape_check(function, &shape, dtype);
    ct_storage *s;
    ct_tensor *t;

    if (n < 0)
        return NULL;
    if (!cti_backend_of(device)) {
        ct_raise(CT_ERR_DEVICE, function,
                 "device %d does not exist; use CT_CPU or ct_device_from_name", device);
        return NULL;
    }
    s = cti_storage_new(device, (size_t)n * ct_dtype_size(dtype));
    if (!s)
        return NULL;
    t = tensor_of_scope(function);
    if (!t) {
        cti_storage_unref(s);
        return NULL;
    }
    t->storage = s;
    t->shape = shape;
    t->numel = n;
    t->dtype = dtype;
    t->device = device;
    t->contiguous = true;
    cti_row_major(&shape, t->stride);
    return t;
}

static bool strides_are_dense(const ct_shape *shape, const int64_t *stride)
{
    int64_t step = 1;
    int i;

    for (i = shape->rank - 1; i >= 0; i--) {
        if (shape->dim[i] != 1 && stride[i] != step)
            return false;
        step *= shape->dim[i];
    }
    return true;
}

ct_tensor *cti_view(const char *function, const ct_tensor *t, ct_shape shape, const int64_t *stride,
                    int64_t offset)
{
    ct_tensor *v = tensor_of_scope(function);
    int i;

    if (!v)
        return NULL;
    cti_storage_ref(t->storage);
    v->storage = t->storage;
    v->shape = shape;
    v->offset = offset;
    v->dtype = t->dtype;
    v->device = t->device;
    v->numel = 1;
    for (i = 0; i < shape.rank; i++) {
        v->numel *= shape.dim[i];
        v->stride[i] = stride[i];
    }
    v->contiguous = v->numel == 0 || strides_are_dense(&shape, stride);
    return v;
}

ct_tensor *cti_new_over(const char *function, ct_storage *s, const ct_shape *shape,
                        const int64_t *stride, ct_dtype dtype)
{
    ct_tensor *t = tensor_of_scope(function);
    int i;

    if (!t) {
        cti_storage_unref(s);
        return NULL;
    }
    t->storage = s;
    t->shape = *shape;
    t->dtype = dtype;
    t->device = s->device;
    t->numel = 1;
    for (i = 0; i < shape->rank; i++) {
        t->numel *= shape->dim[i];
        t->stride[i] = stride[i];
    }
    t->contiguous = t->numel == 0 || strides_are_dense(shape, stride);
    return t;
}

ct_tensor *cti_alias(ct_tensor *t)
{
    ct_tensor *v = cti_view("ct_tensor", t, t->shape, t->stride, t->offset);

    if (!v)
        return NULL;
    v->node = t->node;
    v->output = t->output;
    v->node_scope = t->node_scope;
    v->node_at = t->node_at;
    v->requires_grad = t->requires_grad;
    return v;
}

static ct_tensor *tensor_keep_copy(const char *function, const ct_tensor *t, const char *owner)
{
    ct_scope s = cti_scope_push();
    ct_tensor *c = cti_new(function, t->shape, t->dtype, t->device), *k = NULL;

    if (c) {
        cti_copy(c, t);
        k = cti_keep(function, c, owner);
    }
    cti_scope_pop(s);
    return k;
}

ct_tensor *cti_keep(const char *function, const ct_tensor *t, const char *owner)
{
    ct_tensor *k;

    if (t->storage->foreign & CTI_FOREIGN_BORROWED)
        return tensor_keep_copy(function, t, owner);
    k = tensor_alloc(function);
    if (!k)
        return NULL;
    cti_storage_ref(t->storage);
    k->storage = t->storage;
    k->offset = t->offset;
    k->numel = t->numel;
    k->shape = t->shape;
    memcpy(k->stride, t->stride, sizeof k->stride);
    k->dtype = t->dtype;
    k->device = t->device;
    k->contiguous = t->contiguous;
    k->owner = owner;
    return k;
}

ct_tensor *ct_keep(ct_tensor *t)
{
    return cti_usable("ct_keep", t) ? cti_keep("ct_keep", t, cti_owner_user) : NULL;
}

void cti_free(const char *function, ct_tensor *t)
{
    if (!t)
        return;
    cti_handle_die(&t->handle, function, cti_thread()->site);
    cti_unref(t);
}

void ct_free(ct_tensor *t)
{
    static const char *const me = "ct_free";

    if (!t || !cti_usable(me, t))
        return;
    if (t->owner != cti_owner_user) {
        ct_raise(CT_ERR_SCOPE, me, "t %s belongs to %s, which frees it", cti_describe(t).s,
                 t->owner ? t->owner : "a scope");
        return;
    }
    cti_free(me, t);
}

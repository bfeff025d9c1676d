/* SPDX-License-Identifier: MIT */
/* access.c - properties of tensors, reading of values, copies, in-place writes. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/program.h"

#include <math.h>
#include <string.h>

int ct_rank(const ct_tensor *t)
{
    return cti_present("ct_rank", t) ? t->shape.rank : 0;
}

int64_t ct_size(const ct_tensor *t, int axis)
{
    if (!cti_present("ct_size", t))
        return 0;
    if (axis < -t->shape.rank || axis >= t->shape.rank)
        return -1;
    return t->shape.dim[axis < 0 ? axis + t->shape.rank : axis];
}

ct_shape ct_tensor_shape(const ct_tensor *t)
{
    return cti_present("ct_tensor_shape", t) ? t->shape : CT_SCALAR;
}

int64_t ct_numel(const ct_tensor *t)
{
    return cti_present("ct_numel", t) ? t->numel : 0;
}

ct_dtype ct_tensor_dtype(const ct_tensor *t)
{
    return cti_present("ct_tensor_dtype", t) ? t->dtype : CT_F32;
}

ct_device ct_tensor_device(const ct_tensor *t)
{
    return cti_present("ct_tensor_device", t) ? t->device : CT_CPU;
}

bool ct_is_contiguous(const ct_tensor *t)
{
    return cti_present("ct_is_contiguous", t) && t->contiguous;
}

int64_t ct_stride(const ct_tensor *t, int axis)
{
    if (!cti_present("ct_stride", t) || axis < -t->shape.rank || axis >= t->shape.rank)
        return 0;
    return t->stride[axis < 0 ? axis + t->shape.rank : axis];
}

static void copy_by(ct_tensor *dst, const ct_tensor *src, bool carry)
{
    const cti_backend *be = cti_backend_of(dst->device);
    cti_array d = { .data = cti_data(dst), .dtype = dst->dtype };
    cti_array s = { .data = cti_data(src), .dtype = src->dtype };

    memcpy(d.stride, dst->stride, sizeof d.stride);
    memcpy(s.stride, src->stride, sizeof s.stride);
    (carry ? be->carry : be->copy)(dst->shape.rank, dst->shape.dim, &d, &s);
}

void cti_copy(ct_tensor *dst, const ct_tensor *src)
{
    copy_by(dst, src, false);
}

ct_tensor *cti_contiguous(const ct_tensor *t)
{
    ct_tensor *c;

    if (t->contiguous)
        return (ct_tensor *)t;
    c = cti_new("ct_contiguous", t->shape, t->dtype, t->device);
    if (c)
        cti_copy(c, t);
    return c;
}

/* Copies through host memory, for two devices that are not the CPU. src and dst are contiguous. */
static bool by_host(const char *function, ct_tensor *dst, const ct_tensor *src, size_t bytes)
{
    void *host = cti_calloc(1, bytes);
    bool good;

    if (!host)
        cti_out_of_memory(function, bytes);
    good = host && cti_to_host(src->device, host, cti_data(src), bytes);
    if (good)
        cti_backend_of(dst->device)->upload(cti_data(dst), host, bytes);
    cti_release(host);
    return good;
}

bool cti_copy_across(const char *function, ct_tensor *dst, const ct_tensor *src)
{
    size_t bytes = (size_t)src->numel * ct_dtype_size(src->dtype);
    ct_scope s;
    const ct_tensor *c;
    bool good = true;

    if (dst->device == src->device || !bytes) {
        cti_copy(dst, src);
        return true;
    }
    if (!cti_capture_allows(dst->device, function, "take data from the host"))
        return false;
    s = cti_scope_push();
    c = cti_contiguous(src);
    if (!c)
        good = false;
    else if (c->device == CT_CPU)
        cti_backend_of(dst->device)->upload(cti_data(dst), cti_data(c), bytes);
    else if (dst->device == CT_CPU)
        good = cti_to_host(c->device, cti_data(dst), cti_data(c), bytes);
    else
        good = by_host(function, dst, c, bytes);
    cti_scope_pop(s);
    return good;
}

double ct_item(const ct_tensor *t)
{
    union {
        double f64;
        float f32;
        int32_t i32;
        int64_t i64;
        uint8_t b;
        uint16_t bf16;
    } v;

    if (!cti_usable("ct_item", t))
        return NAN;
    if (t->numel != 1) {
        ct_raise(CT_ERR_SHAPE, "ct_item", "t %s must have one element", cti_describe(t).s);
        return NAN;
    }
    if (!cti_to_host(t->device, &v, cti_data(t), ct_dtype_size(t->dtype)))
        return NAN;
    switch (t->dtype) {
    case CT_F32:
        return v.f32;
    case CT_F64:
        return v.f64;
    case CT_I32:
        return v.i32;
    case CT_I64:
        return (double)v.i64;
    case CT_BOOL:
        return v.b;
    case CT_BF16: {
        uint32_t bits = (uint32_t)v.bf16 << 16;
        float f;

        memcpy(&f, &bits, sizeof f);
        return f;
    }
    }
    return NAN;
}

ct_status ct_to_host(const ct_tensor *t, void *buffer, size_t bytes)
{
    ct_scope s;
    ct_tensor *c;
    bool good;

    if (!cti_usable("ct_to_host", t))
        return ct_error();
    if (bytes && !cti_given("ct_to_host", "buffer", buffer))
        return ct_error();
    if (bytes != (size_t)t->numel * ct_dtype_size(t->dtype))
        return ct_raise(CT_ERR_ARGUMENT, "ct_to_host", "t %s takes %zu bytes; the buffer has %zu",
                        cti_describe(t).s, (size_t)t->numel * ct_dtype_size(t->dtype), bytes);
    s = cti_scope_push();
    c = cti_contiguous(t);
    good = c && (!bytes || cti_to_host(t->device, buffer, cti_data(c), bytes));
    cti_scope_pop(s);
    return good ? CT_OK : ct_error();
}

static void *elements(const char *function, const ct_tensor *t)
{
    if (!cti_usable(function, t))
        return NULL;
    if (cti_program_recorded()) /* returns the address: the function may not check for NULL */
        cti_program_refuse(cti_program_recorded(), "reads or writes values by their address");
    if (t->device != CT_CPU || !t->contiguous) {
        ct_raise(t->contiguous ? CT_ERR_DEVICE : CT_ERR_SHAPE, function,
                 "t %s must be contiguous and on the CPU (ct_contiguous, ct_to)",
                 cti_describe(t).s);
        return NULL;
    }
    return cti_data(t);
}

const void *ct_data(const ct_tensor *t)
{
    return elements("ct_data", t);
}

/* ---- in-place writes ---- */

/* True if two elements of t share memory, as in an expanded view. */
static bool overlaps_itself(const ct_tensor *t)
{
    int i;

    for (i = 0; i < t->shape.rank && t->numel; i++)
        if (t->shape.dim[i] > 1 && t->stride[i] == 0)
            return true;
    return false;
}

bool cti_may_write(const char *function, const ct_tensor *t)
{
    if (t->node) {
        ct_raise(CT_ERR_GRAD, function,
                 "t %s has history; only a tensor without history can be written",
                 cti_describe(t).s);
        return false;
    }
    if (t->requires_grad && cti_thread()->recording) {
        ct_raise(CT_ERR_GRAD, function,
                 "t %s is a leaf that requires a gradient; write it while recording is off",
                 cti_describe(t).s);
        return false;
    }
    if (t->storage->read_only) {
        ct_raise(CT_ERR_GRAD, function, "t %s is the gradient of a hook, which is read-only",
                 cti_describe(t).s);
        return false;
    }
    if (t->storage->foreign & CTI_FOREIGN_CONSTANT) {
        ct_raise(CT_ERR_ARGUMENT, function,
                 "t %s cannot be written: its memory is read-only, or its elements share memory",
                 cti_describe(t).s);
        return false;
    }
    if (overlaps_itself(t)) {
        ct_raise(CT_ERR_SHAPE, function, "t %s is an expanded view: its elements share memory",
                 cti_describe(t).s);
        return false;
    }
    return true;
}

void cti_mark_written(ct_tensor *t)
{
    atomic_fetch_add_explicit(&t->storage->version, 1, memory_order_relaxed);
    t->storage->written_at = cti_thread()->site;
    if (t->indices) {
        cti_unref(t->indices);
        t->indices = NULL;
    }
}

void *ct_mutable_data(ct_tensor *t)
{
    void *p = elements("ct_mutable_data", t);

    if (!p || !cti_may_write("ct_mutable_data", t))
        return NULL;
    cti_mark_written(t);
    return p;
}

static ct_status copy_into(const char *me, ct_tensor *t, const ct_tensor *src, bool carry)
{
    ct_scope s;

    if (!cti_usable(me, t) || !cti_usable(me, src))
        return ct_error();
    if (!cti_same_shape(&t->shape, &src->shape))
        return ct_raise(CT_ERR_SHAPE, me, "t %s and src %s differ in shape", cti_describe(t).s,
                        cti_describe(src).s);
    if (!cti_same_dtype(me, "t", t, "src", src) || !cti_same_device(me, "t", t, "src", src) ||
        !cti_may_write(me, t))
        return ct_error();
    s = cti_scope_push();
    /* src and t may overlap in memory, so src is copied first */
    if (t->storage == src->storage && t != src) {
        ct_tensor *c = cti_new(me, src->shape, src->dtype, src->device);

        if (c)
            cti_copy(c, src);
        src = c;
    }
    if (src && t != src)
        copy_by(t, src, carry);
    cti_scope_pop(s);
    if (!src)
        return ct_error();
    cti_mark_written(t);
    return CT_OK;
}

ct_status ct_copy_into(ct_tensor *t, const ct_tensor *src)
{
    return copy_into("ct_copy_into", t, src, false);
}

ct_status cti_carry_into(const char *function, ct_tensor *t, const ct_tensor *src)
{
    return copy_into(function, t, src, true);
}

ct_status ct_fill(ct_tensor *t, double value)
{
    ct_scope s;
    ct_tensor *v;

    if (!cti_usable("ct_fill", t))
        return ct_error();
    if (!cti_may_write("ct_fill", t))
        return ct_error();
    if (t->contiguous) {
        cti_backend_of(t->device)->fill(cti_data(t), t->dtype, t->numel, value);
        cti_mark_written(t);
        return CT_OK;
    }
    s = cti_scope_push();
    v = cti_filled("ct_fill", t->shape, value, t->dtype, t->device);
    if (v)
        cti_copy(t, v);
    cti_scope_pop(s);
    if (!v)
        return ct_error();
    cti_mark_written(t);
    return CT_OK;
}

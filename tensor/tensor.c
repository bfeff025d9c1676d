/* tensor.c - handles: creation, views, access, in-place writes. */
#include "tensor/internal.h"

#include "tensor/hooks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cotangent/tensor/device.h>
#include <cotangent/tensor/random.h>

/* ---- shapes ---- */

ct_shape ct_shape_from_sizes(int rank, const int64_t *dim)
{
    ct_shape s;
    int i;

    memset(&s, 0, sizeof s);
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

int64_t cti_shape_check(const char *function, const ct_shape *shape, ct_dtype dtype)
{
    size_t element = ct_dtype_size(dtype);
    int64_t n = 1, limit;
    bool zero = false;
    int i;

    if (!element) {
        ct_raise(CT_ERR_DTYPE, function, "there is no dtype %d", (int)dtype);
        return -1;
    }
    if (shape->rank < 0 || shape->rank > CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, function, "rank %d is not in 0..%d", shape->rank, CT_MAX_RANK);
        return -1;
    }
    limit = (int64_t)(PTRDIFF_MAX / (ptrdiff_t)element);
    for (i = 0; i < shape->rank; i++) {
        if (shape->dim[i] < 0) {
            ct_raise(CT_ERR_SHAPE, function, "shape %s has a negative size (axis %d)",
                     cti_shape_text(shape).s, i);
            return -1;
        }
        zero |= shape->dim[i] == 0;
    }
    for (i = 0; i < shape->rank; i++) { /* a size of 0 counts as 1: strides must not overflow */
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

bool cti_same_shape(const ct_shape *a, const ct_shape *b)
{
    int i;

    if (a->rank != b->rank)
        return false;
    for (i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
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

bool cti_usable(const char *function, const ct_tensor *t)
{
    if (!t)
        return false;
#ifdef CT_DEBUG_HANDLES
    if (t->popped || atomic_load(&t->refs) <= 0) {
        ct_raise(CT_ERR_SCOPE, function, "a tensor is used after its scope ended or it was freed");
        return false;
    }
#else
    (void)function;
#endif
    return true;
}

bool cti_same_dtype(const char *function, const char *an, const ct_tensor *a, const char *bn,
                    const ct_tensor *b)
{
    if (a->dtype == b->dtype)
        return true;
    ct_raise(CT_ERR_DTYPE, function, "%s %s and %s %s differ in dtype (no promotion: ct_cast one)",
             an, cti_describe(a).s, bn, cti_describe(b).s);
    return false;
}

bool cti_same_device(const char *function, const char *an, const ct_tensor *a, const char *bn,
                     const ct_tensor *b)
{
    if (a->device == b->device)
        return true;
    ct_raise(CT_ERR_DEVICE, function, "%s %s and %s %s are on different devices", an,
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

ct_tensor *cti_tensor_alloc(const char *function)
{
    ct_thread *th = cti_thread();
    ct_tensor *t = th->free_tensors;

    if (t)
        th->free_tensors = t->next_free;
    else
        t = cti_calloc(1, sizeof *t);
    if (!t) {
        cti_out_of_memory(function, sizeof *t);
        return NULL;
    }
    atomic_store_explicit(&t->refs, 1, memory_order_relaxed);
    t->storage = NULL;
    t->offset = 0;
    t->owned = t->popped = t->requires_grad = false;
    t->node = NULL; /* without which what goes with it means nothing */
    t->leaf = NULL;
    t->indices = NULL;
    t->next_free = NULL;
    return t;
}

void cti_ref(ct_tensor *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

static void recycle(ct_thread *th, ct_tensor *t)
{
    if (!th->keeps_idle) {
        cti_release(t);
        return;
    }
    t->next_free = th->free_tensors;
    th->free_tensors = t;
}

#ifdef CT_DEBUG_HANDLES
/* Debug builds hold freed handles back for a while, so that their use is noticed. */
#define QUARANTINE 4096
static _Thread_local ct_tensor *held[QUARANTINE];
static _Thread_local unsigned held_next;

static void retire(ct_thread *th, ct_tensor *t)
{
    if (held[held_next])
        recycle(th, held[held_next]);
    held[held_next] = t;
    held_next = (held_next + 1) % QUARANTINE;
}

static void end_quarantine(ct_thread *th)
{
    int i;

    for (i = 0; i < QUARANTINE; i++)
        if (held[i]) {
            recycle(th, held[i]);
            held[i] = NULL;
        }
}
#else
static void retire(ct_thread *th, ct_tensor *t)
{
    recycle(th, t);
}

static void end_quarantine(ct_thread *th)
{
    (void)th;
}
#endif

void cti_handles_free(ct_thread *th)
{
    end_quarantine(th);
    while (th->free_tensors) {
        ct_tensor *t = th->free_tensors;

        th->free_tensors = t->next_free;
        cti_release(t);
    }
}

void cti_unref(ct_tensor *t)
{
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
    retire(cti_thread(), t);
}

/* A handle of the innermost scope, its storage not yet set. */
static ct_tensor *scoped(const char *function)
{
    ct_tensor *t = cti_tensor_alloc(function);

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
        ct_raise(CT_ERR_DEVICE, function, "there is no device %d", device);
        return NULL;
    }
    s = cti_storage_new(device, (size_t)n * ct_dtype_size(dtype));
    if (!s)
        return NULL;
    t = scoped(function);
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
    ct_tensor *v = scoped(function);
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

ct_tensor *ct_keep(ct_tensor *t)
{
    ct_tensor *k;

    if (!cti_usable("ct_keep", t))
        return NULL;
    k = cti_tensor_alloc("ct_keep");
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
    k->owned = true;
    return k;
}

void ct_free(ct_tensor *t)
{
    if (!t)
        return;
    if (!t->owned || t->popped) {
        ct_raise(CT_ERR_SCOPE, "ct_free",
                 t->owned ? "t %s was freed before" : "t %s belongs to a scope, which frees it",
                 cti_describe(t).s);
        return;
    }
    t->popped = true;
    cti_unref(t);
}

/* ---- creation ---- */

ct_tensor *ct_empty(ct_shape shape, ct_dtype dtype, ct_device device)
{
    return cti_new("ct_empty", shape, dtype, device);
}

static ct_tensor *filled(const char *function, ct_shape shape, double value, ct_dtype dtype,
                         ct_device device)
{
    ct_tensor *t = cti_new(function, shape, dtype, device);

    if (t)
        cti_backend_of(device)->fill(cti_data(t), dtype, t->numel, value);
    return t;
}

ct_tensor *ct_zeros(ct_shape shape, ct_dtype dtype, ct_device device)
{
    return filled("ct_zeros", shape, 0, dtype, device);
}

ct_tensor *ct_ones(ct_shape shape, ct_dtype dtype, ct_device device)
{
    return filled("ct_ones", shape, 1, dtype, device);
}

ct_tensor *ct_full(ct_shape shape, double value, ct_dtype dtype, ct_device device)
{
    return filled("ct_full", shape, value, dtype, device);
}

ct_tensor *ct_scalar(double value, ct_dtype dtype)
{
    return filled("ct_scalar", CT_SCALAR, value, dtype, CT_CPU);
}

ct_tensor *ct_from_data(const void *data, ct_shape shape, ct_dtype dtype, ct_device device)
{
    ct_tensor *t = cti_new("ct_from_data", shape, dtype, device);

    if (!t)
        return NULL;
    if (!data && t->numel) {
        ct_raise(CT_ERR_ARGUMENT, "ct_from_data", "data is NULL");
        return NULL;
    }
    if (!cti_capture_allows(device, "ct_from_data", "take data from the host"))
        return NULL;
    if (t->numel)
        cti_backend_of(device)->upload(cti_data(t), data, (size_t)t->numel * ct_dtype_size(dtype));
    return t;
}

/* n values start + i step; the counts that ct_arange and ct_linspace come to are checked here */
static ct_tensor *ramp(const char *function, double n, double start, double step, ct_dtype dtype,
                       ct_device device)
{
    ct_tensor *t;

    if (!(n < 9e18) || !isfinite(start) || !isfinite(step)) {
        ct_raise(CT_ERR_ARGUMENT, function, "start, end and step do not give a finite range");
        return NULL;
    }
    if (dtype == CT_BOOL || cti_is_storage(dtype)) {
        ct_raise(CT_ERR_DTYPE, function, "dtype %s has no ranges", ct_dtype_name(dtype));
        return NULL;
    }
    t = cti_new(function, CT_SHAPE((int64_t)n), dtype, device);
    if (t)
        cti_backend_of(device)->arange(&(cti_arange_args){
            .out = cti_data(t), .dtype = dtype, .n = t->numel, .start = start, .step = step });
    return t;
}

ct_tensor *ct_arange(double start, double end, double step, ct_dtype dtype, ct_device device)
{
    double n = ceil((end - start) / step);

    if (step == 0) {
        ct_raise(CT_ERR_ARGUMENT, "ct_arange", "step is 0");
        return NULL;
    }
    return ramp("ct_arange", n < 0 ? 0 : n, start, step, dtype, device);
}

ct_tensor *ct_linspace(double start, double end, int64_t n, ct_dtype dtype, ct_device device)
{
    double step = n > 1 ? (end - start) / (double)(n - 1) : 0;
    ct_tensor *t;

    if (n < 0) {
        ct_raise(CT_ERR_SHAPE, "ct_linspace", "n %lld is negative", (long long)n);
        return NULL;
    }
    t = ramp("ct_linspace", (double)n, start, step, dtype, device);
    if (t && n > 1) /* which start + (n - 1) step may miss */
        cti_backend_of(device)->fill(cti_data(t) + (n - 1) * (int64_t)ct_dtype_size(dtype), dtype,
                                     1, end);
    return t;
}

ct_tensor *ct_eye(int64_t n, ct_dtype dtype, ct_device device)
{
    ct_tensor *t = filled("ct_eye", CT_SHAPE(n, n), 0, dtype, device);
    ct_scope s;
    ct_tensor *diagonal, *ones;
    int64_t step = n + 1;

    if (!t)
        return NULL;
    s = cti_scope_push();
    diagonal = cti_view("ct_eye", t, CT_SHAPE(n), &step, 0);
    ones = filled("ct_eye", CT_SHAPE(n), 1, dtype, device);
    if (diagonal && ones)
        cti_copy(diagonal, ones);
    cti_scope_pop(s);
    return diagonal && ones ? t : NULL;
}

/* ---- access ---- */

int ct_rank(const ct_tensor *t)
{
    return t ? t->shape.rank : 0;
}

int64_t ct_size(const ct_tensor *t, int axis)
{
    if (!t || axis < -t->shape.rank || axis >= t->shape.rank)
        return t ? -1 : 0;
    return t->shape.dim[axis < 0 ? axis + t->shape.rank : axis];
}

ct_shape ct_tensor_shape(const ct_tensor *t)
{
    return t ? t->shape : CT_SCALAR;
}

int64_t ct_numel(const ct_tensor *t)
{
    return t ? t->numel : 0;
}

ct_dtype ct_tensor_dtype(const ct_tensor *t)
{
    return t ? t->dtype : CT_F32;
}

ct_device ct_tensor_device(const ct_tensor *t)
{
    return t ? t->device : CT_CPU;
}

bool ct_is_contiguous(const ct_tensor *t)
{
    return t && t->contiguous;
}

int64_t ct_stride(const ct_tensor *t, int axis)
{
    if (!t || axis < -t->shape.rank || axis >= t->shape.rank)
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

/* By way of the host; src and dst are contiguous, neither on the CPU. */
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
        ct_raise(CT_ERR_SHAPE, "ct_item", "t %s has not one element", cti_describe(t).s);
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
        return ct_ok() ? ct_raise(CT_ERR_ARGUMENT, "ct_to_host", "t is NULL") : ct_error();
    if (!buffer && bytes)
        return ct_raise(CT_ERR_ARGUMENT, "ct_to_host", "buffer is NULL");
    if (bytes != (size_t)t->numel * ct_dtype_size(t->dtype))
        return ct_raise(CT_ERR_ARGUMENT, "ct_to_host", "t %s takes %zu bytes, not %zu",
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
    if (t->device != CT_CPU || !t->contiguous) {
        ct_raise(t->contiguous ? CT_ERR_DEVICE : CT_ERR_SHAPE, function,
                 "t %s is not a contiguous tensor on the CPU", cti_describe(t).s);
        return NULL;
    }
    return cti_data(t);
}

const void *ct_data(const ct_tensor *t)
{
    return elements("ct_data", t);
}

/* ---- in-place writes ---- */

/* True if elements lie in one place, as those of an expanded view do. */
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
        ct_raise(CT_ERR_GRAD, function, "t %s has history; in-place writes are for leaves",
                 cti_describe(t).s);
        return false;
    }
    if (t->requires_grad && cti_thread()->recording) {
        ct_raise(CT_ERR_GRAD, function,
                 "t %s is a leaf that requires a gradient; write it while recording is off",
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
        return ct_ok() ? ct_raise(CT_ERR_ARGUMENT, me, "t or src is NULL") : ct_error();
    if (!cti_same_shape(&t->shape, &src->shape))
        return ct_raise(CT_ERR_SHAPE, me, "t %s and src %s differ in shape", cti_describe(t).s,
                        cti_describe(src).s);
    if (!cti_same_dtype(me, "t", t, "src", src) || !cti_same_device(me, "t", t, "src", src) ||
        !cti_may_write(me, t))
        return ct_error();
    s = cti_scope_push();
    if (t->storage == src->storage && t != src) { /* they may overlap */
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
        return ct_ok() ? ct_raise(CT_ERR_ARGUMENT, "ct_fill", "t is NULL") : ct_error();
    if (!cti_may_write("ct_fill", t))
        return ct_error();
    if (t->contiguous) {
        cti_backend_of(t->device)->fill(cti_data(t), t->dtype, t->numel, value);
        cti_mark_written(t);
        return CT_OK;
    }
    s = cti_scope_push();
    v = filled("ct_fill", t->shape, value, t->dtype, t->device);
    if (v)
        cti_copy(t, v);
    cti_scope_pop(s);
    if (!v)
        return ct_error();
    cti_mark_written(t);
    return CT_OK;
}

/* SPDX-License-Identifier: MIT */
/* blob.c - tensors over memory that the pool does not own.
 *
 * The storage of such a tensor is foreign: it does not return to a pool. If the memory is borrowed,
 * the scope holds a reference to the storage. When the scope ends and other objects still refer to
 * the storage, the storage gets a copy of the memory, so that no handle refers to memory that the
 * caller may free. */
#include "tensor/blob_internal.h"

#include "tensor/hooks.h"

#include <cotangent/tensor/blob.h>

/* ---- checks ---- */

/* Returns the number of elements from the first to the last that shape and strides address, both
 * included; -1 if it overflows. */
static int64_t blob_span(const ct_shape *shape, const int64_t *stride)
{
    int64_t last = 0, reach;
    int i;

    for (i = 0; i < shape->rank; i++)
        if (shape->dim[i] == 0)
            return 0;
    for (i = 0; i < shape->rank; i++)
        if (__builtin_mul_overflow(shape->dim[i] - 1, stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return -1;
    return last < INT64_MAX ? last + 1 : -1;
}

/* True if no two elements share memory: each stride is larger than the span of all axes with
 * smaller strides. */
static bool blob_is_injective(const ct_shape *shape, const int64_t *stride)
{
    int64_t reach = 0;
    bool done[CT_MAX_RANK] = { false };
    int i, k, next;

    for (k = 0; k < shape->rank; k++) {
        next = -1;
        for (i = 0; i < shape->rank; i++)
            if (!done[i] && (next < 0 || stride[i] < stride[next]))
                next = i;
        done[next] = true;
        if (shape->dim[next] < 2)
            continue;
        if (stride[next] <= reach)
            return false;
        reach += (shape->dim[next] - 1) * stride[next];
    }
    return true;
}

static bool blob_check_strides(const char *function, const cti_blob *b)
{
    int i;

    for (i = 0; i < b->shape.rank; i++)
        if (b->stride[i] < 0) {
            ct_raise(CT_ERR_ARGUMENT, function, "strides[%d] is %lld; it must be at least 0", i,
                     (long long)b->stride[i]);
            return false;
        }
    return true;
}

/* Returns the number of bytes that b spans; -1 with an error. */
static int64_t blob_bytes(const char *function, const cti_blob *b)
{
    int64_t span = blob_span(&b->shape, b->stride), bytes;

    if (span >= 0 && !__builtin_mul_overflow(span, (int64_t)ct_dtype_size(b->dtype), &bytes))
        return bytes;
    ct_raise(CT_ERR_SHAPE, function,
             "the shape %s with its strides is too large: its size overflows",
             cti_shape_text(&b->shape).s);
    return -1;
}

static bool blob_check_bools(const char *function, const ct_tensor *t)
{
    ct_tensor *c;
    ct_scope s;
    const uint8_t *p;
    int64_t i;

    if (t->dtype != CT_BOOL)
        return true;
    s = cti_scope_push();
    c = cti_contiguous(t);
    p = c ? (const uint8_t *)cti_data(c) : NULL;
    for (i = 0; p && i < c->numel && p[i] <= 1; i++)
        ;
    if (p && i < c->numel)
        ct_raise(CT_ERR_ARGUMENT, function, "element %lld of data is the bool %d, neither 0 nor 1",
                 (long long)i, p[i]);
    p = p && i < c->numel ? NULL : p;
    cti_scope_pop(s);
    return p != NULL;
}

static bool blob_check(const char *function, const cti_blob *b, int64_t *bytes)
{
    if (cti_shape_check(function, &b->shape, b->dtype) < 0 || !blob_check_strides(function, b))
        return false;
    *bytes = blob_bytes(function, b);
    if (*bytes < 0 || (*bytes && !cti_given(function, "data", b->data)))
        return false;
    if (b->limited && (uint64_t)*bytes > b->limit) {
        ct_raise(CT_ERR_SHAPE, function,
                 "the shape %s with its strides needs %lld bytes; data has %zu",
                 cti_shape_text(&b->shape).s, (long long)*bytes, b->limit);
        return false;
    }
    if (*bytes && (uintptr_t)b->data % ct_dtype_size(b->dtype)) {
        ct_raise(CT_ERR_ARGUMENT, function, "data is not aligned to %zu bytes, the size of %s",
                 ct_dtype_size(b->dtype), ct_dtype_name(b->dtype));
        return false;
    }
    return cti_capture_allows(CT_CPU, function, "take data from the host");
}

/* ---- borrowed memory ---- */

/* The reference of a scope to borrowed memory. */
typedef struct blob_loan {
    cti_attached attached;
    ct_storage *storage;
} blob_loan;

static void blob_loan_end(cti_attached *a, const char *function)
{
    ct_storage *s = ((blob_loan *)(void *)a)->storage;

    if (atomic_load(&s->refs) > 1)
        cti_storage_own(function, s);
    cti_storage_unref(s);
}

/* Attaches s to the innermost scope; false with an error. */
static bool blob_lend(const char *function, ct_storage *s)
{
    blob_loan *loan = cti_scope_alloc(function, sizeof *loan);

    if (!loan)
        return false;
    *loan = (blob_loan){ .attached.end = blob_loan_end, .storage = s };
    if (!cti_scope_attach(function, &loan->attached))
        return false;
    cti_storage_ref(s);
    return true;
}

/* ---- making one ---- */

ct_tensor *cti_blob_new(const char *function, const cti_blob *b)
{
    static max_align_t nothing; /* the memory of a blob without elements */
    const bool borrowed = !b->deleter;
    int foreign = CTI_FOREIGN | (borrowed ? CTI_FOREIGN_BORROWED : 0);
    ct_storage *s;
    ct_tensor *t;
    int64_t bytes;

    if (!blob_check(function, b, &bytes))
        return NULL;
    if (!b->writable || !blob_is_injective(&b->shape, b->stride))
        foreign |= CTI_FOREIGN_CONSTANT;
    s = cti_storage_foreign(b->data ? b->data : &nothing, (size_t)bytes, foreign);
    if (!s) {
        cti_out_of_memory(function, sizeof *s);
        return NULL;
    }
    t = cti_new_over(function, s, &b->shape, b->stride, b->dtype);
    if (!t)
        return NULL;
    if (!blob_check_bools(function, t) || (borrowed && !blob_lend(function, s)))
        return NULL;
    s->deleter = b->deleter; /* set last, because a call that fails must not call the deleter */
    s->context = b->context;
    return t;
}

ct_tensor *ct_from_blob(const void *data, size_t bytes, ct_shape shape, ct_dtype dtype,
                        ct_blob_options options)
{
    static const char *const me = "ct_from_blob";
    cti_blob b = { .data = (void *)data, /* written only if options.writable */
                   .shape = shape,
                   .dtype = dtype,
                   .limited = true,
                   .limit = bytes,
                   .writable = options.writable,
                   .deleter = options.deleter,
                   .context = options.context };
    ct_tensor *t = NULL;

    if (cti_shape_check(me, &shape, dtype) >= 0) {
        cti_row_major(&shape, b.stride);
        for (int i = 0; options.strides && i < shape.rank; i++)
            b.stride[i] = options.strides[i];
        t = cti_blob_new(me, &b);
    }
    if (!t && options.deleter)
        options.deleter((void *)data, options.context);
    return t;
}

void ct_data_changed(ct_tensor *t)
{
    if (cti_usable("ct_data_changed", t))
        cti_mark_written(t);
}

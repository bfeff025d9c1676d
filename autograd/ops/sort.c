/* SPDX-License-Identifier: MIT */
/* sort.c - sort and topk.
 *
 * A kernel computes the order of the positions; ct_gather then takes the values and supplies the
 * derivative: dx = d added back at the positions. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/sort.h>
#include <cotangent/autograd/ops/views.h>

/* The positions of the first k elements along axis in sorted order; axis is 0..rank-1. */
static ct_tensor *sort_order(const char *me, ct_tensor *x, int axis, bool descending, int64_t k)
{
    int last = x->shape.rank - 1;
    ct_tensor *rows = ct_transpose(ct_detach(x), axis, last), *c, *order, *scratch;
    int64_t n = x->shape.dim[axis];
    ct_shape shape;

    c = rows ? cti_contiguous(rows) : NULL;
    if (!c)
        return NULL;
    shape = c->shape;
    shape.dim[last] = k;
    order = cti_new(me, shape, CT_I64, c->device);
    scratch = order ? cti_new(me, CT_SHAPE(c->numel, 2), CT_I64, c->device) : NULL;
    if (!scratch)
        return NULL;
    if (c->numel)
        cti_backend_of(c->device)->sort(
            &(cti_sort_args){ .dtype = c->dtype,
                              .descending = descending,
                              .rows = c->numel / n,
                              .n = n,
                              .k = k,
                              .in = cti_data(c),
                              .order = (int64_t *)(void *)cti_data(order),
                              .scratch = (int64_t *)(void *)cti_data(scratch) });
    return ct_transpose(order, axis, last);
}

/* Checks x; returns the axis as 0..rank-1, or -1 with an error. */
static int sort_check(const char *me, const ct_tensor *x, int axis)
{
    if (!cti_usable(me, x))
        return -1;
    if (!cti_want_number(me, "x", x))
        return -1;
    return cti_axis(me, x, axis);
}

/* The first k elements in order; *indices receives a copy of their positions, which outlives the
 * scratch of the sort. */
static ct_tensor *sort_first(const char *me, ct_tensor *x, int axis, bool descending, int64_t k,
                             ct_tensor **indices)
{
    ct_shape shape = x->shape;
    ct_tensor *at, *order, *y;
    ct_scope s;

    shape.dim[axis] = k;
    at = cti_new(me, shape, CT_I64, x->device);
    if (!at)
        return NULL;
    s = cti_scope_push();
    order = sort_order(me, x, axis, descending, k);
    if (order)
        cti_copy(at, order);
    cti_scope_pop(s);
    y = order ? ct_gather(x, axis, at) : NULL;
    if (indices)
        *indices = y ? at : NULL;
    return y;
}

ct_tensor *ct_sort(ct_tensor *x, int axis, bool descending, ct_tensor **indices)
{
    if (indices)
        *indices = NULL;
    axis = sort_check("ct_sort", x, axis);
    return axis >= 0 ? sort_first("ct_sort", x, axis, descending, x->shape.dim[axis], indices)
                     : NULL;
}

ct_tensor *ct_argsort(ct_tensor *x, int axis, bool descending)
{
    axis = sort_check("ct_argsort", x, axis);
    return axis >= 0 ? sort_order("ct_argsort", x, axis, descending, x->shape.dim[axis]) : NULL;
}

ct_tensor *ct_topk(ct_tensor *x, int64_t k, int axis, bool largest, ct_tensor **indices)
{
    if (indices)
        *indices = NULL;
    axis = sort_check("ct_topk", x, axis);
    if (axis < 0)
        return NULL;
    if (k < 0 || k > x->shape.dim[axis]) {
        ct_raise(CT_ERR_ARGUMENT, "ct_topk",
                 "k is %lld; it must be in 0..%lld, the size of axis %d of x %s", (long long)k,
                 (long long)x->shape.dim[axis], axis, cti_describe(x).s);
        return NULL;
    }
    return sort_first("ct_topk", x, axis, largest, k, indices);
}

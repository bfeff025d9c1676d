/* SPDX-License-Identifier: MIT */
/* views.c - ops whose result shares the storage of the input: another shape, other strides, another
 * offset.
 *
 * ct_detach is the one that is not recorded. A view is linear, so its derivative moves the gradient back:
 *     reshape, squeeze, unsqueeze, flatten:  dx = d in x's shape
 *     permute, transpose:                    dx = d with the inverse permutation
 *     expand:                                dx = d summed over the broadcast axes
 *     slice, narrow, select, diagonal:       dx[window] += d; no padded copy is made */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>

ct_tensor *ct_detach(ct_tensor *t)
{
    return cti_usable("ct_detach", t) ? cti_view("ct_detach", t, t->shape, t->stride, t->offset)
                                      : NULL;
}

/* Makes a view of x and records it as a result of op; NULL with an error. w->offset counts from x's
 * first element. */
static ct_tensor *views_record(const char *function, const ct_op *op, ct_tensor *x,
                               const cti_window *w, const void *attributes, size_t bytes)
{
    ct_tensor *y = cti_view(function, x, w->shape, w->stride, x->offset + w->offset);

    return cti_record1_with(op, x, y, attributes, bytes);
}

/* ---- reshape ---- */

static void reshape_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, ct_reshape(dout[0], ct_node_input_shape(n, 0)));
}

static const ct_op reshape_op = {
    .name = "ct_reshape", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(reshape_grad)
};

/* Replaces the size -1 in *shape by the size that follows from the others. Raises and returns false
 * if the number of elements differs from x's. */
static bool views_infer_size(const char *function, const ct_tensor *x, ct_shape *shape)
{
    ct_shape asked = *shape;
    int64_t known = 1;
    int i, open = -1;

    if (!cti_rank_check(function, shape))
        return false;
    for (i = 0; i < shape->rank; i++)
        if (shape->dim[i] == -1 && open < 0)
            open = i;
        else if (known >= 0 && shape->dim[i] >= 0 &&
                 (shape->dim[i] == 0 || known <= INT64_MAX / shape->dim[i]))
            known *= shape->dim[i];
        else
            known = -1; /* a bad size or an overflow; the caller's size stays -1 */
    if (open >= 0 && known > 0 && x->numel % known == 0)
        shape->dim[open] = x->numel / known;
    if (known < 0 || (open >= 0 && known == 0) ||
        (open < 0 ? known != x->numel : x->numel % known != 0)) {
        ct_raise(CT_ERR_SHAPE, function, "x %s cannot be given the shape %s", cti_describe(x).s,
                 cti_shape_text(&asked).s);
        return false;
    }
    return true;
}

/* Computes strides with which x's storage can be read in the given shape; false if a copy is
 * needed.
 *
 * Axes of x that follow each other without a gap are merged into runs (axes of size 1 do not
 * count). The new axes are then cut from the runs, last axis first: each size must divide the rest
 * of its run, because one stride cannot cross the border between two runs. */
static bool views_strides(const ct_tensor *x, const ct_shape *shape, int64_t *stride)
{
    int64_t size[CT_MAX_RANK], run_step[CT_MAX_RANK], left = 1, step = 1;
    int runs = 0, r = 0, k;

    if (x->numel == 0 || x->contiguous) {
        cti_row_major(shape, stride);
        return true;
    }
    for (k = x->shape.rank - 1; k >= 0; k--) {
        if (x->shape.dim[k] == 1)
            continue;
        if (runs && x->stride[k] == run_step[runs - 1] * size[runs - 1]) {
            size[runs - 1] *= x->shape.dim[k];
        } else {
            size[runs] = x->shape.dim[k];
            run_step[runs++] = x->stride[k];
        }
    }
    for (k = shape->rank - 1; k >= 0; k--) {
        if (left == 1 && shape->dim[k] != 1) {
            left = size[r];
            step = run_step[r++];
        }
        if (left % shape->dim[k] != 0)
            return false;
        stride[k] = step;
        step *= shape->dim[k];
        left /= shape->dim[k];
    }
    return true;
}

static ct_tensor *views_reshape(const char *function, ct_tensor *x, ct_shape shape)
{
    cti_window w = { .offset = 0 };
    ct_tensor *copy;

    if (!cti_usable(function, x) || !views_infer_size(function, x, &shape))
        return NULL;
    w.shape = shape;
    if (views_strides(x, &shape, w.stride))
        return views_record(function, &reshape_op, x, &w, NULL, 0);
    copy = cti_contiguous(x);
    if (!copy)
        return NULL;
    cti_row_major(&shape, w.stride);
    return cti_record1(&reshape_op, x, cti_view(function, copy, shape, w.stride, copy->offset));
}

ct_tensor *ct_reshape(ct_tensor *x, ct_shape shape)
{
    return views_reshape("ct_reshape", x, shape);
}

ct_tensor *ct_flatten(ct_tensor *x, int start, int end)
{
    ct_shape shape = ct_shape_from_sizes(0, NULL);
    int i;

    if (!cti_usable("ct_flatten", x))
        return NULL;
    if (x->shape.rank == 0)
        return views_reshape("ct_flatten", x, CT_SHAPE(1));
    start = cti_axis("ct_flatten", x, start);
    end = start < 0 ? -1 : cti_axis("ct_flatten", x, end);
    if (end < 0)
        return NULL;
    if (start > end) {
        ct_raise(CT_ERR_SHAPE, "ct_flatten", "start %d comes after end %d in x %s", start, end,
                 cti_describe(x).s);
        return NULL;
    }
    for (i = 0; i < x->shape.rank; i++)
        if (i <= start || i > end)
            shape.dim[shape.rank++] = x->shape.dim[i];
        else
            shape.dim[shape.rank - 1] *= x->shape.dim[i];
    return views_reshape("ct_flatten", x, shape);
}

ct_tensor *ct_squeeze(ct_tensor *x, int axis)
{
    ct_shape shape;
    int i;

    if (!cti_usable("ct_squeeze", x))
        return NULL;
    axis = cti_axis("ct_squeeze", x, axis);
    if (axis < 0)
        return NULL;
    if (x->shape.dim[axis] != 1) {
        ct_raise(CT_ERR_SHAPE, "ct_squeeze", "axis %d of x %s must have size 1", axis,
                 cti_describe(x).s);
        return NULL;
    }
    shape = ct_shape_from_sizes(0, NULL);
    for (i = 0; i < x->shape.rank; i++)
        if (i != axis)
            shape.dim[shape.rank++] = x->shape.dim[i];
    return views_reshape("ct_squeeze", x, shape);
}

ct_tensor *ct_unsqueeze(ct_tensor *x, int axis)
{
    ct_shape shape = ct_shape_from_sizes(0, NULL);
    int i, rank;

    if (!cti_usable("ct_unsqueeze", x))
        return NULL;
    rank = x->shape.rank;
    if (rank == CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, "ct_unsqueeze", "x %s has rank %d already, the highest that exists",
                 cti_describe(x).s, CT_MAX_RANK);
        return NULL;
    }
    if (axis < -rank - 1 || axis > rank) {
        ct_raise(CT_ERR_SHAPE, "ct_unsqueeze", "cannot insert an axis at %d into x %s", axis,
                 cti_describe(x).s);
        return NULL;
    }
    axis = axis < 0 ? axis + rank + 1 : axis;
    for (i = 0; i <= rank; i++)
        shape.dim[shape.rank++] = i == axis ? 1 : x->shape.dim[i < axis ? i : i - 1];
    return views_reshape("ct_unsqueeze", x, shape);
}

/* ---- permute ---- */

typedef struct views_order {
    int axis[CT_MAX_RANK];
} views_order;

static ct_tensor *views_permute(const char *function, ct_tensor *x, views_order order);

static void permute_grad(ct_node *n, ct_tensor *const *dout)
{
    const views_order *order = ct_node_attributes(n);
    views_order inverse;
    int i;

    for (i = 0; i < ct_node_input_shape(n, 0).rank; i++)
        inverse.axis[order->axis[i]] = i;
    ct_node_add_grad(n, 0, views_permute("ct_permute", dout[0], inverse));
}

static const ct_op permute_op = {
    .name = "ct_permute", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(permute_grad)
};

static ct_tensor *views_permute(const char *function, ct_tensor *x, views_order order)
{
    cti_window w = { .shape = x->shape, .offset = 0 };
    int i;

    for (i = 0; i < x->shape.rank; i++) {
        w.shape.dim[i] = x->shape.dim[order.axis[i]];
        w.stride[i] = x->stride[order.axis[i]];
    }
    return views_record(function, &permute_op, x, &w, &order, sizeof order);
}

ct_tensor *ct_permute(ct_tensor *x, int count, const int *axes)
{
    views_order order = { { 0 } };
    int i, seen = 0;

    if (!cti_usable("ct_permute", x) || !cti_given_array("ct_permute", "axes", count, axes))
        return NULL;
    if (count != x->shape.rank) {
        ct_raise(CT_ERR_SHAPE, "ct_permute", "count is %d; it must be the rank of x %s", count,
                 cti_describe(x).s);
        return NULL;
    }
    for (i = 0; i < count; i++) {
        order.axis[i] = cti_axis("ct_permute", x, axes[i]);
        if (order.axis[i] < 0)
            return NULL;
        if (seen & 1 << order.axis[i]) {
            ct_raise(CT_ERR_SHAPE, "ct_permute", "axis %d of x %s is listed twice", axes[i],
                     cti_describe(x).s);
            return NULL;
        }
        seen |= 1 << order.axis[i];
    }
    return views_permute("ct_permute", x, order);
}

ct_tensor *ct_transpose(ct_tensor *x, int a, int b)
{
    views_order order;
    int i;

    if (!cti_usable("ct_transpose", x))
        return NULL;
    a = cti_axis("ct_transpose", x, a);
    b = a < 0 ? -1 : cti_axis("ct_transpose", x, b);
    if (b < 0)
        return NULL;
    for (i = 0; i < CT_MAX_RANK; i++)
        order.axis[i] = i == a ? b : i == b ? a : i;
    return views_permute("ct_transpose", x, order);
}

/* ---- expand ---- */

static void expand_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, ct_sum_to_shape(dout[0], ct_node_input_shape(n, 0)));
}

static const ct_op expand_op = {
    .name = "ct_expand", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(expand_grad)
};

ct_tensor *ct_expand(ct_tensor *x, ct_shape shape)
{
    cti_window w = { .offset = 0 };
    int lead, i;

    if (!cti_usable("ct_expand", x) || !cti_rank_check("ct_expand", &shape))
        return NULL;
    lead = shape.rank - x->shape.rank;
    for (i = 0; i < shape.rank && lead >= 0; i++) {
        int64_t have = i < lead ? 1 : x->shape.dim[i - lead];

        if (shape.dim[i] == -1 && i >= lead)
            shape.dim[i] = have;
        if (have != 1 && have != shape.dim[i])
            break;
        w.stride[i] = have == 1 ? 0 : x->stride[i - lead];
    }
    if (lead < 0 || i < shape.rank) {
        ct_raise(CT_ERR_SHAPE, "ct_expand", "x %s cannot be expanded to %s", cti_describe(x).s,
                 cti_shape_text(&shape).s);
        return NULL;
    }
    if (cti_shape_check("ct_expand", &shape, x->dtype) < 0)
        return NULL;
    w.shape = shape;
    return views_record("ct_expand", &expand_op, x, &w, NULL, 0);
}

/* ---- slices: the gradient is added into the same window of the input's gradient ---- */

typedef struct views_range {
    int axis;
    bool drop; /* the axis is removed (select) */
    int64_t start, step, length;
} views_range;

/* The window that the range r selects in an array with this shape and these strides. */
static cti_window views_window(const ct_shape *shape, const int64_t *stride, const views_range *r)
{
    cti_window w;
    int i;

    w.shape = ct_shape_from_sizes(0, NULL);
    w.offset = r->length ? r->start * stride[r->axis] : 0;
    for (i = 0; i < shape->rank; i++) {
        if (i == r->axis && r->drop)
            continue;
        w.stride[w.shape.rank] = i == r->axis ? stride[i] * r->step : stride[i];
        w.shape.dim[w.shape.rank++] = i == r->axis ? r->length : shape->dim[i];
    }
    return w;
}

static cti_window views_gradient_window(const ct_shape *shape, const views_range *r)
{
    int64_t stride[CT_MAX_RANK];

    cti_row_major(shape, stride);
    return views_window(shape, stride, r);
}

static ct_tensor *views_slice(const char *function, ct_tensor *x, views_range r);

/* An op: zeros of the given shape with d in the window. It is needed because the gradient of a
 * slice must have a gradient; its derivative is the slice. */
typedef struct views_scatter {
    views_range r;
    ct_shape shape;
} views_scatter;

static void slice_backward_grad(ct_node *n, ct_tensor *const *dout)
{
    const views_scatter *s = ct_node_attributes(n);

    ct_node_add_grad(n, 0, views_slice("ct_slice", dout[0], s->r));
}

static const ct_op slice_backward_op = { .name = "ct_slice_backward",
                                         .inputs = 1,
                                         .outputs = 1,
                                         .backward = CTI_TRAINING(slice_backward_grad) };

static ct_tensor *slice_backward(ct_node *n, ct_tensor *d)
{
    views_scatter s = { *(const views_range *)ct_node_attributes(n), ct_node_input_shape(n, 0) };
    cti_window w = views_gradient_window(&s.shape, &s.r);
    ct_tensor *y, *part;

    y = ct_zeros(s.shape, d->dtype, d->device);
    part = y ? cti_view("ct_slice_backward", y, w.shape, w.stride, w.offset) : NULL;
    if (!part)
        return NULL;
    cti_copy(part, d);
    return cti_record1_with(&slice_backward_op, d, y, &s, sizeof s);
}

static void slice_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_shape shape = ct_node_input_shape(n, 0);
    cti_window w = views_gradient_window(&shape, ct_node_attributes(n));

    cti_add_grad_window(n, 0, &w, dout[0], slice_backward);
}

static const ct_op slice_op = {
    .name = "ct_slice", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(slice_grad)
};

static ct_tensor *views_slice(const char *function, ct_tensor *x, views_range r)
{
    cti_window w = views_window(&x->shape, x->stride, &r);

    return views_record(function, &slice_op, x, &w, &r, sizeof r);
}

static int64_t views_clamp(int64_t p, int64_t size)
{
    p = p < 0 ? p + size : p;
    return p < 0 ? 0 : p > size ? size : p;
}

ct_tensor *ct_slice(ct_tensor *x, int axis, int64_t start, int64_t end, int64_t step)
{
    int64_t length;

    if (!cti_usable("ct_slice", x))
        return NULL;
    axis = cti_axis("ct_slice", x, axis);
    if (axis < 0)
        return NULL;
    if (step < 1) {
        ct_raise(CT_ERR_ARGUMENT, "ct_slice", "step is %lld; it must be at least 1",
                 (long long)step);
        return NULL;
    }
    start = views_clamp(start, x->shape.dim[axis]);
    end = views_clamp(end, x->shape.dim[axis]);
    length = end > start ? (end - start - 1) / step + 1 : 0;
    if (step > x->shape.dim[axis]) /* a huge step would overflow the stride */
        step = x->shape.dim[axis] ? x->shape.dim[axis] : 1;
    return views_slice("ct_slice", x, (views_range){ axis, false, start, step, length });
}

/* length elements from start on, all of which must lie within the axis */
static ct_tensor *views_part(const char *function, ct_tensor *x, int axis, int64_t start,
                             int64_t length, bool drop)
{
    int64_t first;

    if (!cti_usable(function, x))
        return NULL;
    axis = cti_axis(function, x, axis);
    if (axis < 0)
        return NULL;
    first = start < 0 ? start + x->shape.dim[axis] : start;
    if (first < 0 || length < 0 || first > x->shape.dim[axis] - length) {
        if (drop)
            ct_raise(CT_ERR_INDEX, function, "index %lld is outside axis %d of x %s",
                     (long long)start, axis, cti_describe(x).s);
        else
            ct_raise(CT_ERR_INDEX, function,
                     "start %lld with length %lld is outside axis %d of x %s", (long long)start,
                     (long long)length, axis, cti_describe(x).s);
        return NULL;
    }
    return views_slice(function, x, (views_range){ axis, drop, first, 1, length });
}

ct_tensor *ct_narrow(ct_tensor *x, int axis, int64_t start, int64_t length)
{
    return views_part("ct_narrow", x, axis, start, length, false);
}

ct_tensor *ct_select(ct_tensor *x, int axis, int64_t index)
{
    return views_part("ct_select", x, axis, index, 1, true);
}

/* ---- diagonals ---- */

typedef struct views_diagonal {
    int64_t offset; /* above the main diagonal */
    int a, b;       /* the axes of the rows and of the columns */
} views_diagonal;

/* Returns the window of the diagonal in an array with this shape and these strides; the diagonal is
 * the last axis. */
static cti_window views_diagonal_window(const ct_shape *shape, const int64_t *stride,
                                        const views_diagonal *d)
{
    int64_t down = d->offset < 0 ? -d->offset : 0, right = d->offset > 0 ? d->offset : 0;
    int64_t rows = shape->dim[d->a] - down, columns = shape->dim[d->b] - right;
    int64_t n = rows < columns ? rows : columns;
    cti_window w;
    int i;

    w.shape = ct_shape_from_sizes(0, NULL);
    for (i = 0; i < shape->rank; i++) {
        if (i == d->a || i == d->b)
            continue;
        w.stride[w.shape.rank] = stride[i];
        w.shape.dim[w.shape.rank++] = shape->dim[i];
    }
    w.stride[w.shape.rank] = stride[d->a] + stride[d->b];
    w.shape.dim[w.shape.rank++] = n > 0 ? n : 0;
    w.offset = n > 0 ? down * stride[d->a] + right * stride[d->b] : 0;
    return w;
}

static cti_window views_diagonal_in(const ct_shape *shape, const views_diagonal *d)
{
    int64_t stride[CT_MAX_RANK];

    cti_row_major(shape, stride);
    return views_diagonal_window(shape, stride, d);
}

static ct_tensor *views_diagonal_of(const char *function, ct_tensor *x, views_diagonal d);

/* Zeros of a shape with d on a diagonal, as an op whose derivative is the diagonal. */
typedef struct views_embedding {
    views_diagonal d;
    ct_shape shape;
} views_embedding;

static void embed_diagonal_grad(ct_node *n, ct_tensor *const *dout)
{
    const views_embedding *e = ct_node_attributes(n);

    ct_node_add_grad(n, 0, views_diagonal_of("ct_diagonal", dout[0], e->d));
}

static const ct_op embed_diagonal_op = {
    .name = "ct_diag", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(embed_diagonal_grad)
};

static ct_tensor *views_embed_diagonal(const char *function, ct_tensor *x, const views_embedding *e)
{
    cti_window w = views_diagonal_in(&e->shape, &e->d);
    ct_tensor *y = ct_zeros(e->shape, x->dtype, x->device), *part;

    part = y ? cti_view(function, y, w.shape, w.stride, w.offset) : NULL;
    if (!part)
        return NULL;
    cti_copy(part, x);
    return cti_record1_with(&embed_diagonal_op, x, y, e, sizeof *e);
}

static ct_tensor *diagonal_backward(ct_node *n, ct_tensor *d)
{
    views_embedding e = { *(const views_diagonal *)ct_node_attributes(n),
                          ct_node_input_shape(n, 0) };

    return views_embed_diagonal("ct_diagonal", d, &e);
}

static void diagonal_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_shape shape = ct_node_input_shape(n, 0);
    cti_window w = views_diagonal_in(&shape, ct_node_attributes(n));

    cti_add_grad_window(n, 0, &w, dout[0], diagonal_backward);
}

static const ct_op diagonal_op = {
    .name = "ct_diagonal", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(diagonal_grad)
};

static ct_tensor *views_diagonal_of(const char *function, ct_tensor *x, views_diagonal d)
{
    cti_window w = views_diagonal_window(&x->shape, x->stride, &d);

    return views_record(function, &diagonal_op, x, &w, &d, sizeof d);
}

/* False with an error if the offset is so large that the size of the matrix would overflow. */
static bool views_check_offset(const char *function, int64_t offset)
{
    if (offset > -(INT64_C(1) << 31) && offset < INT64_C(1) << 31)
        return true;
    ct_raise(CT_ERR_ARGUMENT, function, "offset is %lld; it must be in -2147483647..2147483647",
             (long long)offset);
    return false;
}

ct_tensor *ct_diagonal(ct_tensor *x, int64_t offset, int a, int b)
{
    static const char *const me = "ct_diagonal";

    if (!cti_usable(me, x) || (a = cti_axis(me, x, a)) < 0 || (b = cti_axis(me, x, b)) < 0 ||
        !views_check_offset(me, offset))
        return NULL;
    if (a == b) {
        ct_raise(CT_ERR_SHAPE, me, "a and b are both axis %d of x %s", a, cti_describe(x).s);
        return NULL;
    }
    return views_diagonal_of(me, x, (views_diagonal){ offset, a, b });
}

ct_tensor *ct_diag(ct_tensor *x, int64_t offset)
{
    static const char *const me = "ct_diag";
    views_embedding e = { { offset, 0, 1 }, { 0 } };
    int64_t n;

    if (!cti_usable(me, x) || !views_check_offset(me, offset))
        return NULL;
    if (x->shape.rank == 2)
        return views_diagonal_of(me, x, e.d);
    if (x->shape.rank != 1) {
        ct_raise(CT_ERR_SHAPE, me, "x %s must have rank 1 or 2", cti_describe(x).s);
        return NULL;
    }
    n = x->shape.dim[0] + (offset < 0 ? -offset : offset);
    e.shape = CT_SHAPE(n, n);
    return views_embed_diagonal(me, x, &e);
}

ct_tensor *ct_trace(ct_tensor *x)
{
    static const char *const me = "ct_trace";

    if (!cti_usable(me, x) || !cti_want_number(me, "x", x))
        return NULL;
    if (x->shape.rank != 2) {
        ct_raise(CT_ERR_SHAPE, me, "x %s must have rank 2", cti_describe(x).s);
        return NULL;
    }
    return ct_sum(ct_diagonal(x, 0, 0, 1));
}

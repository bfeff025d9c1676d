/* SPDX-License-Identifier: MIT */
/* index.c - elements chosen by index.
 *
 *     embedding, index_select, take:  y = rows (or elements) of x;  dx = rows of d added back
 *     embedding_padded:  as embedding, without the rows of d at one index
 *     index_add:    y = x + rows of source at indices;      dx = d, dsource = rows of d at indices
 *     gather:       y = x at index along an axis;           dx = d added back at index
 *     scatter_add:  y = x + src at index along an axis;     dx = d, dsrc = d gathered at index
 *     scatter:      y = x with src in place of the elements at index; dx = d, but 0 at index;
 *                   dsrc = d gathered at index, but 0 for elements that another one replaced
 *     one_hot:      no derivative
 * A gather is the derivative of a scatter-add, and the reverse. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/views.h>

static void index_raise(const char *function, const ct_tensor *indices, int64_t position,
                        int64_t rows)
{
    ct_scope s = cti_scope_push();
    ct_tensor *flat =
        cti_view(function, indices, CT_SHAPE(indices->numel), (int64_t[]){ 1 }, indices->offset);
    ct_tensor *one = flat ? ct_select(flat, 0, position) : NULL;
    double value = one ? ct_item(one) : 0;

    cti_scope_pop(s);
    ct_raise(CT_ERR_INDEX, function, "index %.0f at position %lld of %s is not in 0..%lld", value,
             (long long)position, cti_describe(indices).s, (long long)rows - 1);
}

/* The number of elements in one row of t. */
static int64_t index_row_width(const ct_tensor *t)
{
    int64_t width = 1;
    int i;

    for (i = 1; i < t->shape.rank; i++)
        width *= t->shape.dim[i];
    return width;
}

static ct_tensor *index_scatter_rows(ct_tensor *d, ct_tensor *indices, ct_shape shape);

/* ---- rows by index: y[i...] = weight[indices[i...]] ---- */

static void embedding_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *indices = ct_node_input(n, 1);

    if (indices)
        ct_node_add_grad(n, 0, index_scatter_rows(dout[0], indices, ct_node_input_shape(n, 0)));
}

static const ct_op embedding_op = { .name = "ct_embedding",
                                    .inputs = 2,
                                    .outputs = 1,
                                    .saves = CT_SAVE_INPUTS,
                                    .backward = CTI_TRAINING(embedding_grad) };

/* d, with 0 in the rows whose index is `row`. Its derivative is the same mask, applied to the
 * gradient. */
static ct_tensor *index_mask_rows(ct_tensor *d, ct_tensor *indices, int64_t row)
{
    ct_tensor *number = ct_full(CT_SCALAR, (double)row, CT_I64, indices->device);
    ct_tensor *mask = ct_eq(ct_cast(indices, CT_I64), number);
    ct_shape shape = indices->shape;

    while (shape.rank < d->shape.rank)
        shape.dim[shape.rank++] = 1;
    return ct_where(ct_reshape(mask, shape), ct_zeros(CT_SCALAR, d->dtype, d->device), d);
}

static void embedding_padded_grad(ct_node *n, ct_tensor *const *dout)
{
    const int64_t *padding = ct_node_attributes(n);
    ct_tensor *indices = ct_node_input(n, 1);
    ct_tensor *d = indices ? index_mask_rows(dout[0], indices, *padding) : NULL;

    if (d)
        ct_node_add_grad(n, 0, index_scatter_rows(d, indices, ct_node_input_shape(n, 0)));
}

static const ct_op embedding_padded_op = { .name = "ct_embedding_padded",
                                           .inputs = 2,
                                           .outputs = 1,
                                           .saves = CT_SAVE_INPUTS,
                                           .backward = CTI_TRAINING(embedding_padded_grad) };

enum { NO_PADDING = -1 };

/* padding is the row without a gradient, or NO_PADDING. If lazy is true, the rows may be copied at
 * the first access; the caller guarantees that weight is not written until then. */
static ct_tensor *index_gather_rows(const char *me, ct_tensor *weight, ct_tensor *indices,
                                    int64_t padding, bool lazy)
{
    ct_tensor *in[2] = { weight, indices }, *y, *w, *c;
    ct_status status;
    ct_shape shape;
    cti_fault fault;
    int i;

    if (!cti_usable(me, weight) || !cti_usable(me, indices) ||
        !cti_want_index(me, "indices", indices) ||
        !cti_same_device(me, "weight", weight, "indices", indices))
        return NULL;
    if (weight->shape.rank < 1 || indices->shape.rank + weight->shape.rank - 1 > CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, me,
                 "weight %s and indices %s would give a result of a rank outside 0..%d",
                 cti_describe(weight).s, cti_describe(indices).s, CT_MAX_RANK);
        return NULL;
    }
    shape = indices->shape;
    for (i = 1; i < weight->shape.rank; i++)
        shape.dim[shape.rank++] = weight->shape.dim[i];
    y = cti_new(me, shape, weight->dtype, weight->device);
    w = y ? cti_contiguous(weight) : NULL;
    c = w ? cti_contiguous(indices) : NULL;
    if (!c)
        return NULL;
    fault = cti_fault_at(y->device, CTI_FAULT_INDEX, me, weight->shape.dim[0]);
    if (lazy)
        status = cti_lazy_rows_set(y, w, c, &fault);
    else
        status = cti_backend_of(y->device)->gather_rows(
            &(cti_gather_rows_args){ .dtype = y->dtype,
                                     .index_dtype = c->dtype,
                                     .count = c->numel,
                                     .width = index_row_width(weight),
                                     .rows = weight->shape.dim[0],
                                     .src = cti_data(w),
                                     .index = cti_data(c),
                                     .out = cti_data(y) },
            &fault);
    if (status != CT_OK) {
        index_raise(me, c, fault.position, weight->shape.dim[0]);
        return NULL;
    }
    return padding == NO_PADDING
               ? cti_record_n(&embedding_op, 2, in, y)
               : cti_record_n_with(&embedding_padded_op, 2, in, y, &padding, sizeof padding);
}

ct_tensor *ct_embedding(ct_tensor *weight, ct_tensor *indices)
{
    return index_gather_rows("ct_embedding", weight, indices, NO_PADDING, false);
}

ct_tensor *ct_embedding_padded(ct_tensor *weight, ct_tensor *indices, int64_t padding_idx)
{
    static const char *const me = "ct_embedding_padded";
    int64_t rows;

    if (!cti_usable(me, weight) || !cti_usable(me, indices))
        return NULL;
    rows = ct_rank(weight) ? weight->shape.dim[0] : 0;
    if (padding_idx < -rows || padding_idx >= rows) {
        ct_raise(CT_ERR_ARGUMENT, me,
                 "padding_idx is %lld; it must be the index of a row of weight %s",
                 (long long)padding_idx, cti_describe(weight).s);
        return NULL;
    }
    return index_gather_rows(me, weight, indices,
                             padding_idx < 0 ? padding_idx + rows : padding_idx, false);
}

ct_tensor *cti_lazy_gather(ct_tensor *table, ct_tensor *indices)
{
    return index_gather_rows("ct_embedding", table, indices, NO_PADDING, true);
}

ct_tensor *ct_index_select(ct_tensor *x, int axis, ct_tensor *indices)
{
    static const char *const me = "ct_index_select";
    ct_tensor *y;

    if (!cti_usable(me, x) || !cti_usable(me, indices))
        return NULL;
    if (indices->shape.rank != 1) {
        ct_raise(CT_ERR_SHAPE, me, "indices %s must have rank 1", cti_describe(indices).s);
        return NULL;
    }
    axis = cti_axis(me, x, axis);
    if (axis < 0)
        return NULL;
    if (axis == 0)
        return index_gather_rows(me, x, indices, NO_PADDING, false);
    y = index_gather_rows(me, ct_transpose(x, 0, axis), indices, NO_PADDING, false);
    return ct_transpose(y, 0, axis);
}

/* ---- the derivative of rows by index: zeros of a shape, with rows of d added at indices ---- */

static void scatter_rows_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *indices = ct_node_input(n, 1);

    if (indices)
        ct_node_add_grad(n, 0, ct_embedding(dout[0], indices));
}

static const ct_op scatter_rows_op = { .name = "ct_embedding_backward",
                                       .inputs = 2,
                                       .outputs = 1,
                                       .saves = CT_SAVE_INPUTS,
                                       .backward = CTI_TRAINING(scatter_rows_grad) };

/* Adds rows to y at the indices c; false with an error. */
static bool index_add_rows_into(const char *me, ct_tensor *y, const ct_tensor *c,
                                const ct_tensor *rows)
{
    int64_t limit = y->shape.dim[0];
    cti_fault fault = cti_fault_at(y->device, CTI_FAULT_INDEX, me, limit);
    cti_scatter_add_rows_args a = { .dtype = y->dtype,
                                    .index_dtype = c->dtype,
                                    .count = c->numel,
                                    .width = index_row_width(y),
                                    .rows = limit,
                                    .src = cti_data(rows),
                                    .index = cti_data(c),
                                    .dst = cti_data(y) };

    if (cti_backend_of(y->device)->scatter_add_rows(&a, &fault) == CT_OK)
        return true;
    index_raise(me, c, fault.position, limit);
    return false;
}

static ct_tensor *index_scatter_rows(ct_tensor *d, ct_tensor *indices, ct_shape shape)
{
    static const char *const me = "ct_embedding_backward";
    ct_tensor *in[2] = { d, indices }, *y, *c, *rows;

    y = ct_zeros(shape, d->dtype, d->device);
    rows = y ? cti_contiguous(d) : NULL;
    c = rows ? cti_contiguous(indices) : NULL;
    if (!c || !index_add_rows_into(me, y, c, rows))
        return NULL;
    return cti_record_n(&scatter_rows_op, 2, in, y);
}

/* ---- take and index_add ---- */

ct_tensor *ct_take(ct_tensor *x, ct_tensor *indices)
{
    if (!cti_usable("ct_take", x) || !cti_usable("ct_take", indices))
        return NULL;
    return index_gather_rows("ct_take", ct_reshape(x, CT_SHAPE(x->numel)), indices, NO_PADDING,
                             false);
}

static void index_add_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *indices = ct_node_input(n, 1);

    ct_node_add_grad(n, 0, dout[0]);
    if (indices && ct_node_needs_grad(n, 2))
        ct_node_add_grad(n, 2, ct_embedding(dout[0], indices));
}

static const ct_op index_add_op = { .name = "ct_index_add",
                                    .inputs = 3,
                                    .outputs = 1,
                                    .saves = CT_SAVE_INPUTS,
                                    .backward = CTI_TRAINING(index_add_grad) };

/* index_add along axis 0. */
static ct_tensor *index_add_rows(ct_tensor *x, ct_tensor *indices, ct_tensor *source)
{
    static const char *const me = "ct_index_add";
    ct_tensor *in[3] = { x, indices, source }, *y, *rows, *c;

    y = x && source ? cti_new(me, x->shape, x->dtype, x->device) : NULL;
    rows = y ? cti_contiguous(source) : NULL;
    c = rows ? cti_contiguous(indices) : NULL;
    if (!c)
        return NULL;
    cti_copy(y, x);
    if (!index_add_rows_into(me, y, c, rows))
        return NULL;
    return cti_record_n(&index_add_op, 3, in, y);
}

/* True if source has one slice of x along axis for each of the indices; else false with an error. */
static bool index_check_slices(const char *me, const ct_tensor *x, int axis,
                               const ct_tensor *indices, const ct_tensor *source)
{
    ct_shape want = x->shape;

    want.dim[axis] = indices->numel;
    if (indices->shape.rank != 1) {
        ct_raise(CT_ERR_SHAPE, me, "indices %s must have rank 1", cti_describe(indices).s);
        return false;
    }
    if (cti_same_shape(&want, &source->shape))
        return true;
    ct_raise(CT_ERR_SHAPE, me, "source %s must have the shape %s for x %s and indices %s",
             cti_describe(source).s, cti_shape_text(&want).s, cti_describe(x).s,
             cti_describe(indices).s);
    return false;
}

ct_tensor *ct_index_add(ct_tensor *x, int axis, ct_tensor *indices, ct_tensor *source)
{
    static const char *const me = "ct_index_add";

    if (!cti_usable(me, x) || !cti_usable(me, indices) || !cti_usable(me, source) ||
        !cti_want_float(me, "x", x) || !cti_same_dtype(me, "x", x, "source", source) ||
        !cti_want_index(me, "indices", indices) || !cti_same_device(me, "x", x, "source", source) ||
        !cti_same_device(me, "x", x, "indices", indices))
        return NULL;
    axis = cti_axis(me, x, axis);
    if (axis < 0)
        return NULL;
    if (!index_check_slices(me, x, axis, indices, source))
        return NULL;
    if (axis == 0)
        return index_add_rows(x, indices, source);
    x = index_add_rows(ct_transpose(x, 0, axis), indices, ct_transpose(source, 0, axis));
    return ct_transpose(x, 0, axis);
}

/* ---- gather and scatter_add: one index for each element ---- */

void cti_split_axis(const ct_shape *shape, int axis, int64_t *outer, int64_t *inner)
{
    int i;

    *outer = *inner = 1;
    for (i = 0; i < axis; i++)
        *outer *= shape->dim[i];
    for (i = axis + 1; i < shape->rank; i++)
        *inner *= shape->dim[i];
}

/* True if index has t's rank and is nowhere larger than t, except along axis (-1: no exception). */
static bool index_fits(const ct_tensor *index, const ct_tensor *t, int axis)
{
    int i;

    if (index->shape.rank != t->shape.rank)
        return false;
    for (i = 0; i < t->shape.rank; i++)
        if (i != axis && index->shape.dim[i] > t->shape.dim[i])
            return false;
    return true;
}

/* The leading part of t that has index's sizes on all axes except axis (-1: no exception). */
static ct_tensor *index_leading(ct_tensor *t, const ct_tensor *index, int axis)
{
    int i;

    for (i = 0; t && i < index->shape.rank; i++)
        if (i != axis && t->shape.dim[i] != index->shape.dim[i])
            t = ct_narrow(t, i, 0, index->shape.dim[i]);
    return t;
}

static ct_tensor *index_gather(const char *me, ct_tensor *x, int axis, ct_tensor *index);
static ct_tensor *index_scatter_add(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src);

static void gather_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    ct_tensor *index = ct_node_input(n, 1), *zeros;

    if (!index)
        return;
    zeros = ct_zeros(ct_node_input_shape(n, 0), dout[0]->dtype, dout[0]->device);
    ct_node_add_grad(n, 0, index_scatter_add(zeros, *axis, index, dout[0]));
}

static const ct_op gather_op = { .name = "ct_gather",
                                 .inputs = 2,
                                 .outputs = 1,
                                 .saves = CT_SAVE_INPUTS,
                                 .backward = CTI_TRAINING(gather_grad) };

/* x and index have the same sizes, except along axis. */
static ct_tensor *index_gather(const char *me, ct_tensor *x, int axis, ct_tensor *index)
{
    ct_tensor *in[2] = { x, index }, *y, *c, *k;
    int64_t outer, inner;
    cti_gather_args a;
    cti_fault fault;

    y = x ? cti_new(me, index->shape, x->dtype, x->device) : NULL;
    c = y ? cti_contiguous(x) : NULL;
    k = c ? cti_contiguous(index) : NULL;
    if (!k)
        return NULL;
    cti_split_axis(&index->shape, axis, &outer, &inner);
    fault = cti_fault_at(y->device, CTI_FAULT_INDEX, me, x->shape.dim[axis]);
    a = (cti_gather_args){ .dtype = y->dtype,
                           .index_dtype = k->dtype,
                           .outer = outer,
                           .n = x->shape.dim[axis],
                           .m = k->shape.dim[axis],
                           .inner = inner,
                           .src = cti_data(c),
                           .index = cti_data(k),
                           .out = cti_data(y) };
    if (cti_backend_of(y->device)->gather(&a, &fault) != CT_OK) {
        index_raise(me, k, fault.position, x->shape.dim[axis]);
        return NULL;
    }
    return cti_record_n_with(&gather_op, 2, in, y, &axis, sizeof axis);
}

ct_tensor *cti_gather(const char *me, ct_tensor *x, int axis, ct_tensor *index)
{
    if (!cti_usable(me, x) || !cti_usable(me, index) || !cti_want_index(me, "index", index) ||
        !cti_same_device(me, "x", x, "index", index))
        return NULL;
    axis = cti_axis(me, x, axis);
    if (axis < 0)
        return NULL;
    if (!index_fits(index, x, axis)) {
        ct_raise(CT_ERR_SHAPE, me,
                 "index %s must have the rank of x %s and be no larger, except along axis %d",
                 cti_describe(index).s, cti_describe(x).s, axis);
        return NULL;
    }
    return index_gather(me, index_leading(x, index, axis), axis, index);
}

ct_tensor *ct_gather(ct_tensor *x, int axis, ct_tensor *index)
{
    return cti_gather("ct_gather", x, axis, index);
}

static void scatter_add_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    ct_tensor *index = ct_node_input(n, 1);

    ct_node_add_grad(n, 0, dout[0]);
    if (index && ct_node_needs_grad(n, 2))
        ct_node_add_grad(
            n, 2, index_gather("ct_gather", index_leading(dout[0], index, *axis), *axis, index));
}

static const ct_op scatter_add_op = { .name = "ct_scatter_add",
                                      .inputs = 3,
                                      .outputs = 1,
                                      .saves = CT_SAVE_INPUTS,
                                      .backward = CTI_TRAINING(scatter_add_grad) };

/* Adds c to the elements of y at the indices k along axis, or replaces them by c. Only the leading
 * part of y that has k's sizes on the other axes is used. */
static bool index_put_into(const char *me, bool add, ct_tensor *y, int axis, ct_tensor *k,
                           ct_tensor *c)
{
    const cti_backend *be = cti_backend_of(y->device);
    ct_shape shape = k->shape;
    ct_tensor *part, *own;
    int64_t outer, inner;
    cti_scatter_add_args a;
    cti_fault fault;

    shape.dim[axis] = y->shape.dim[axis];
    part = cti_view(me, y, shape, y->stride, y->offset);
    own = part ? cti_contiguous(part) : NULL;
    if (!own)
        return false;
    cti_split_axis(&k->shape, axis, &outer, &inner);
    fault = cti_fault_at(y->device, CTI_FAULT_INDEX, me, shape.dim[axis]);
    a = (cti_scatter_add_args){ .dtype = y->dtype,
                                .index_dtype = k->dtype,
                                .outer = outer,
                                .n = shape.dim[axis],
                                .m = k->shape.dim[axis],
                                .inner = inner,
                                .src = cti_data(c),
                                .index = cti_data(k),
                                .dst = cti_data(own) };
    if ((add ? be->scatter_add(&a, &fault) : be->scatter(&a, &fault)) != CT_OK) {
        index_raise(me, k, fault.position, shape.dim[axis]);
        return false;
    }
    if (own != part)
        cti_copy(part, own);
    return true;
}

/* src has the shape of index. x may be larger, and may have any size along axis. */
static ct_tensor *index_scatter_add(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src)
{
    ct_tensor *in[3] = { x, index, src }, *y, *c, *k;

    y = x && src ? cti_new("ct_scatter_add", x->shape, x->dtype, x->device) : NULL;
    c = y ? cti_contiguous(src) : NULL;
    k = c ? cti_contiguous(index) : NULL;
    if (!k)
        return NULL;
    cti_copy(y, x);
    if (!index_put_into("ct_scatter_add", true, y, axis, k, c))
        return NULL;
    return cti_record_n_with(&scatter_add_op, 3, in, y, &axis, sizeof axis);
}

/* ---- scatter: of several elements for one place, the last is kept ---- */

static ct_tensor *index_scatter(const char *me, ct_tensor *x, int axis, ct_tensor *index,
                                ct_tensor *src);

/* Returns a bool tensor: true for the elements of index that no later element overwrites. x_shape
 * is the shape of the destination. */
static ct_tensor *index_lasts(ct_tensor *index, int axis, ct_shape x_shape)
{
    ct_shape along = CT_SHAPE(index->shape.dim[axis]);
    ct_tensor *place, *last;
    int i;

    for (i = axis + 1; i < index->shape.rank; i++)
        along.dim[along.rank++] = 1;
    place =
        ct_expand(ct_reshape(ct_arange(0, (double)along.dim[0], 1, CT_I64, index->device), along),
                  index->shape);
    last =
        index_scatter("ct_scatter", ct_zeros(x_shape, CT_I64, index->device), axis, index, place);
    return last ? ct_eq(index_gather("ct_gather", index_leading(last, index, axis), axis, index),
                        place)
                : NULL;
}

static void scatter_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    ct_tensor *d = dout[0], *index = ct_node_input(n, 1), *none, *at, *last;

    if (!index)
        return;
    if (ct_node_needs_grad(n, 0)) {
        none = ct_zeros(index->shape, d->dtype, d->device);
        ct_node_add_grad(n, 0, index_scatter("ct_scatter", d, *axis, index, none));
    }
    if (ct_node_needs_grad(n, 2)) {
        at = index_gather("ct_gather", index_leading(d, index, *axis), *axis, index);
        last = at ? index_lasts(index, *axis, d->shape) : NULL;
        ct_node_add_grad(
            n, 2, last ? ct_where(last, at, ct_zeros(CT_SCALAR, d->dtype, d->device)) : NULL);
    }
}

static const ct_op scatter_op = { .name = "ct_scatter",
                                  .inputs = 3,
                                  .outputs = 1,
                                  .saves = CT_SAVE_INPUTS,
                                  .backward = CTI_TRAINING(scatter_grad) };

/* src has index's shape; x is nowhere smaller, except along axis. */
static ct_tensor *index_scatter(const char *me, ct_tensor *x, int axis, ct_tensor *index,
                                ct_tensor *src)
{
    ct_tensor *in[3] = { x, index, src }, *y, *c, *k;

    y = x && src && index ? cti_new(me, x->shape, x->dtype, x->device) : NULL;
    c = y ? cti_contiguous(src) : NULL;
    k = c ? cti_contiguous(index) : NULL;
    if (!k)
        return NULL;
    cti_copy(y, x);
    if (!index_put_into(me, false, y, axis, k, c))
        return NULL;
    return cti_record_n_with(&scatter_op, 3, in, y, &axis, sizeof axis);
}

/* Checks the arguments of scatter and scatter_add. Returns the axis as 0..rank-1, or -1 with an
 * error. */
static int index_scatter_check(const char *me, const ct_tensor *x, int axis, const ct_tensor *index,
                               const ct_tensor *src)
{
    if (!cti_usable(me, x) || !cti_usable(me, index) || !cti_usable(me, src) ||
        !cti_want_index(me, "index", index) || !cti_same_dtype(me, "x", x, "src", src) ||
        !cti_same_device(me, "x", x, "src", src) || !cti_same_device(me, "x", x, "index", index))
        return -1;
    axis = cti_axis(me, x, axis);
    if (axis < 0)
        return -1;
    if (!index_fits(index, x, axis)) {
        ct_raise(CT_ERR_SHAPE, me,
                 "index %s must have the rank of x %s and be no larger, except along axis %d",
                 cti_describe(index).s, cti_describe(x).s, axis);
        return -1;
    }
    if (index_fits(index, src, -1))
        return axis;
    ct_raise(CT_ERR_SHAPE, me, "index %s must have the rank of src %s and be no larger",
             cti_describe(index).s, cti_describe(src).s);
    return -1;
}

ct_tensor *ct_scatter_add(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src)
{
    static const char *const me = "ct_scatter_add";

    if (!cti_usable(me, x) || !cti_usable(me, index) || !cti_usable(me, src) ||
        !cti_want_index(me, "index", index) || !cti_same_dtype(me, "x", x, "src", src) ||
        !cti_same_device(me, "x", x, "src", src) || !cti_want_number(me, "x", x) ||
        (axis = index_scatter_check(me, x, axis, index, src)) < 0)
        return NULL;
    return index_scatter_add(x, axis, index, index_leading(src, index, -1));
}

ct_tensor *ct_scatter(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src)
{
    axis = index_scatter_check("ct_scatter", x, axis, index, src);
    return axis < 0 ? NULL
                    : index_scatter("ct_scatter", x, axis, index, index_leading(src, index, -1));
}

ct_tensor *ct_index_copy(ct_tensor *x, int axis, ct_tensor *indices, ct_tensor *source)
{
    static const char *const me = "ct_index_copy";
    ct_shape want, along;

    if (!cti_usable(me, x) || !cti_usable(me, indices) || !cti_usable(me, source) ||
        !cti_want_index(me, "indices", indices) || !cti_same_dtype(me, "x", x, "source", source) ||
        !cti_same_device(me, "x", x, "source", source) ||
        !cti_same_device(me, "x", x, "indices", indices) || (axis = cti_axis(me, x, axis)) < 0 ||
        !index_check_slices(me, x, axis, indices, source))
        return NULL;
    want = source->shape;
    along = CT_SHAPE(indices->numel);
    while (along.rank < want.rank - axis)
        along.dim[along.rank++] = 1;
    return index_scatter(me, x, axis, ct_expand(ct_reshape(indices, along), want), source);
}

/* ---- one-hot ---- */

static ct_tensor *index_one_hot(const char *me, ct_tensor *indices, int64_t classes, ct_dtype dtype)
{
    ct_tensor *y, *c;
    ct_shape shape;
    cti_fault fault;

    if (!cti_usable(me, indices) || !cti_want_index(me, "indices", indices))
        return NULL;
    if (!cti_at_least(me, "classes", classes, 1))
        return NULL;
    if (indices->shape.rank == CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, me, "indices %s must have a rank below %d", cti_describe(indices).s,
                 CT_MAX_RANK);
        return NULL;
    }
    if (cti_is_storage(dtype)) {
        ct_raise(CT_ERR_DTYPE, me, "dtype is %s; it must be f32, f64, i32, i64 or bool",
                 ct_dtype_name(dtype));
        return NULL;
    }
    shape = indices->shape;
    shape.dim[shape.rank++] = classes;
    y = cti_new(me, shape, dtype, indices->device);
    c = y ? cti_new(me, indices->shape, indices->dtype, indices->device) : NULL;
    if (!c)
        return NULL;
    cti_copy(c, indices); /* a copy, so that the program cannot write it */
    fault = cti_fault_at(y->device, CTI_FAULT_INDEX, me, classes);
    if (cti_lazy_rows_set(y, NULL, c, &fault) != CT_OK) {
        index_raise(me, c, fault.position, classes);
        return NULL;
    }
    cti_ref(c);
    y->indices = c;
    cti_not_recorded(me, 1, &indices, y);
    return y;
}

ct_tensor *ct_one_hot(ct_tensor *indices, int64_t classes)
{
    return index_one_hot("ct_one_hot", indices, classes, CT_F32);
}

ct_tensor *ct_one_hot_as(ct_tensor *indices, int64_t classes, ct_dtype dtype)
{
    return index_one_hot("ct_one_hot_as", indices, classes, dtype);
}

ct_tensor *cti_one_hot_of(const ct_tensor *x)
{
    if (!x->indices || atomic_load(&x->storage->version) != 0)
        return NULL;
    return cti_alias(x->indices);
}

/* index.c - elements by index: gathers, whose derivative is a scatter-add, and the reverse. */
#include "autograd/internal.h"

#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/shape.h>

static void bad_index(const char *function, const ct_tensor *indices, int64_t position,
                      int64_t rows)
{
    ct_scope s = cti_scope_push();
    ct_tensor *flat =
        cti_view(function, indices, CT_SHAPE(indices->numel), (int64_t[]){ 1 }, indices->offset);
    ct_tensor *one = flat ? ct_select(flat, 0, position) : NULL;
    double value = one ? ct_item(one) : 0;

    cti_scope_pop(s);
    ct_raise(CT_ERR_INDEX, function, "index %.0f, number %lld of %s, is not in 0..%lld", value,
             (long long)position, cti_describe(indices).s, (long long)rows - 1);
}

/* Elements in one row of t. */
static int64_t row_width(const ct_tensor *t)
{
    int64_t width = 1;
    int i;

    for (i = 1; i < t->shape.rank; i++)
        width *= t->shape.dim[i];
    return width;
}

static ct_tensor *scatter_rows(ct_tensor *d, ct_tensor *indices, ct_shape shape);

/* ---- gather: y[i...] = weight[indices[i...]] ---- */

static void embedding_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *indices = ct_node_input(n, 1);

    if (indices)
        ct_node_add_grad(n, 0, scatter_rows(dout[0], indices, ct_node_input_shape(n, 0)));
}

static const ct_op embedding_op = { .name = "ct_embedding",
                                    .inputs = 2,
                                    .outputs = 1,
                                    .saves = CT_SAVE_INPUTS,
                                    .backward = embedding_grad };

/* later: the values may be put off, nobody else writing weight */
static ct_tensor *gather_rows(const char *me, ct_tensor *weight, ct_tensor *indices, bool later)
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
        ct_raise(CT_ERR_SHAPE, me, "weight %s and indices %s: the result has no rank in 0..%d",
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
    if (later)
        status = cti_put_off(y, w, c, &fault);
    else
        status = cti_backend_of(y->device)->gather_rows(
            &(cti_gather_rows_args){ .dtype = y->dtype,
                                     .index_dtype = c->dtype,
                                     .count = c->numel,
                                     .width = row_width(weight),
                                     .rows = weight->shape.dim[0],
                                     .src = cti_ptr(w),
                                     .index = cti_ptr(c),
                                     .out = cti_ptr(y) },
            &fault);
    if (status != CT_OK) {
        bad_index(me, c, fault.position, weight->shape.dim[0]);
        return NULL;
    }
    return ct_record(&embedding_op, 2, in, 1, &y, NULL, 0) ? y : NULL;
}

ct_tensor *ct_embedding(ct_tensor *weight, ct_tensor *indices)
{
    return gather_rows("ct_embedding", weight, indices, false);
}

ct_tensor *cti_rows_later(ct_tensor *table, ct_tensor *indices)
{
    return gather_rows("ct_embedding", table, indices, true);
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
        return gather_rows(me, x, indices, false);
    y = gather_rows(me, ct_transpose(x, 0, axis), indices, false);
    return ct_transpose(y, 0, axis);
}

/* ---- scatter: zeros of the shape, rows of d added at their indices; the gather reversed ---- */

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
                                       .backward = scatter_rows_grad };

/* y += rows by the indices c; false with an error. */
static bool add_rows_into(const char *me, ct_tensor *y, const ct_tensor *c, const ct_tensor *rows)
{
    int64_t limit = y->shape.dim[0];
    cti_fault fault = cti_fault_at(y->device, CTI_FAULT_INDEX, me, limit);
    cti_scatter_add_rows_args a = { .dtype = y->dtype,
                                    .index_dtype = c->dtype,
                                    .count = c->numel,
                                    .width = row_width(y),
                                    .rows = limit,
                                    .src = cti_ptr(rows),
                                    .index = cti_ptr(c),
                                    .dst = cti_ptr(y) };

    if (cti_backend_of(y->device)->scatter_add_rows(&a, &fault) == CT_OK)
        return true;
    bad_index(me, c, fault.position, limit);
    return false;
}

static ct_tensor *scatter_rows(ct_tensor *d, ct_tensor *indices, ct_shape shape)
{
    static const char *const me = "ct_embedding_backward";
    ct_tensor *in[2] = { d, indices }, *y, *c, *rows;

    y = ct_zeros(shape, d->dtype, d->device);
    rows = y ? cti_contiguous(d) : NULL;
    c = rows ? cti_contiguous(indices) : NULL;
    if (!c || !add_rows_into(me, y, c, rows))
        return NULL;
    return ct_record(&scatter_rows_op, 2, in, 1, &y, NULL, 0) ? y : NULL;
}

/* ---- take and index_add ---- */

ct_tensor *ct_take(ct_tensor *x, ct_tensor *indices)
{
    if (!cti_usable("ct_take", x) || !cti_usable("ct_take", indices))
        return NULL;
    return gather_rows("ct_take", ct_reshape(x, CT_SHAPE(x->numel)), indices, false);
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
                                    .backward = index_add_grad };

/* Along axis 0. */
static ct_tensor *add_rows(ct_tensor *x, ct_tensor *indices, ct_tensor *source)
{
    static const char *const me = "ct_index_add";
    ct_tensor *in[3] = { x, indices, source }, *y, *rows, *c;

    y = x && source ? cti_new(me, x->shape, x->dtype, x->device) : NULL;
    rows = y ? cti_contiguous(source) : NULL;
    c = rows ? cti_contiguous(indices) : NULL;
    if (!c)
        return NULL;
    cti_copy(y, x);
    if (!add_rows_into(me, y, c, rows))
        return NULL;
    return ct_record(&index_add_op, 3, in, 1, &y, NULL, 0) ? y : NULL;
}

ct_tensor *ct_index_add(ct_tensor *x, int axis, ct_tensor *indices, ct_tensor *source)
{
    static const char *const me = "ct_index_add";
    ct_shape want;

    if (!cti_usable(me, x) || !cti_usable(me, indices) || !cti_usable(me, source) ||
        !cti_want_float(me, "x", x) || !cti_same_dtype(me, "x", x, "source", source) ||
        !cti_want_index(me, "indices", indices) || !cti_same_device(me, "x", x, "source", source) ||
        !cti_same_device(me, "x", x, "indices", indices))
        return NULL;
    axis = cti_axis(me, x, axis);
    if (axis < 0)
        return NULL;
    want = x->shape;
    want.dim[axis] = indices->numel;
    if (indices->shape.rank != 1 || !cti_same_shape(&want, &source->shape)) {
        ct_raise(CT_ERR_SHAPE, me, "x %s, indices %s and source %s do not fit (axis %d)",
                 cti_describe(x).s, cti_describe(indices).s, cti_describe(source).s, axis);
        return NULL;
    }
    if (axis == 0)
        return add_rows(x, indices, source);
    x = add_rows(ct_transpose(x, 0, axis), indices, ct_transpose(source, 0, axis));
    return ct_transpose(x, 0, axis);
}

/* ---- gather and scatter_add: an index for each element ---- */

void cti_around(const ct_shape *shape, int axis, int64_t *outer, int64_t *inner)
{
    int i;

    *outer = *inner = 1;
    for (i = 0; i < axis; i++)
        *outer *= shape->dim[i];
    for (i = axis + 1; i < shape->rank; i++)
        *inner *= shape->dim[i];
}

/* Whether index is no larger than t, but for axis (-1: on any). */
static bool within(const ct_tensor *index, const ct_tensor *t, int axis)
{
    int i;

    if (index->shape.rank != t->shape.rank)
        return false;
    for (i = 0; i < t->shape.rank; i++)
        if (i != axis && index->shape.dim[i] > t->shape.dim[i])
            return false;
    return true;
}

/* The leading part of t that has index's sizes on all axes but axis (-1: on all). */
static ct_tensor *leading(ct_tensor *t, const ct_tensor *index, int axis)
{
    int i;

    for (i = 0; t && i < index->shape.rank; i++)
        if (i != axis && t->shape.dim[i] != index->shape.dim[i])
            t = ct_narrow(t, i, 0, index->shape.dim[i]);
    return t;
}

static ct_tensor *gather(const char *me, ct_tensor *x, int axis, ct_tensor *index);
static ct_tensor *scatter_add(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src);

static void gather_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    ct_tensor *index = ct_node_input(n, 1), *zeros;

    if (!index)
        return;
    zeros = ct_zeros(ct_node_input_shape(n, 0), dout[0]->dtype, dout[0]->device);
    ct_node_add_grad(n, 0, scatter_add(zeros, *axis, index, dout[0]));
}

static const ct_op gather_op = {
    .name = "ct_gather", .inputs = 2, .outputs = 1, .saves = CT_SAVE_INPUTS, .backward = gather_grad
};

/* x and index agree but for axis. */
static ct_tensor *gather(const char *me, ct_tensor *x, int axis, ct_tensor *index)
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
    cti_around(&index->shape, axis, &outer, &inner);
    fault = cti_fault_at(y->device, CTI_FAULT_INDEX, me, x->shape.dim[axis]);
    a = (cti_gather_args){ .dtype = y->dtype,
                           .index_dtype = k->dtype,
                           .outer = outer,
                           .n = x->shape.dim[axis],
                           .m = k->shape.dim[axis],
                           .inner = inner,
                           .src = cti_ptr(c),
                           .index = cti_ptr(k),
                           .out = cti_ptr(y) };
    if (cti_backend_of(y->device)->gather(&a, &fault) != CT_OK) {
        bad_index(me, k, fault.position, x->shape.dim[axis]);
        return NULL;
    }
    return ct_record(&gather_op, 2, in, 1, &y, &axis, sizeof axis) ? y : NULL;
}

ct_tensor *cti_gather(const char *me, ct_tensor *x, int axis, ct_tensor *index)
{
    if (!cti_usable(me, x) || !cti_usable(me, index) || !cti_want_index(me, "index", index) ||
        !cti_same_device(me, "x", x, "index", index))
        return NULL;
    axis = cti_axis(me, x, axis);
    if (axis < 0)
        return NULL;
    if (!within(index, x, axis)) {
        ct_raise(CT_ERR_SHAPE, me, "index %s does not fit x %s (axis %d)", cti_describe(index).s,
                 cti_describe(x).s, axis);
        return NULL;
    }
    return gather(me, leading(x, index, axis), axis, index);
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
        ct_node_add_grad(n, 2, gather("ct_gather", leading(dout[0], index, *axis), *axis, index));
}

static const ct_op scatter_add_op = { .name = "ct_scatter_add",
                                      .inputs = 3,
                                      .outputs = 1,
                                      .saves = CT_SAVE_INPUTS,
                                      .backward = scatter_add_grad };

/* Adds c, at the indices k, to the leading part of y that has k's sizes beside axis. */
static bool add_into(ct_tensor *y, int axis, ct_tensor *k, ct_tensor *c)
{
    ct_shape shape = k->shape;
    ct_tensor *part, *own;
    int64_t outer, inner;
    cti_scatter_add_args a;
    cti_fault fault;

    shape.dim[axis] = y->shape.dim[axis];
    part = cti_view("ct_scatter_add", y, shape, y->stride, y->offset);
    own = part ? cti_contiguous(part) : NULL;
    if (!own)
        return false;
    cti_around(&k->shape, axis, &outer, &inner);
    fault = cti_fault_at(y->device, CTI_FAULT_INDEX, "ct_scatter_add", shape.dim[axis]);
    a = (cti_scatter_add_args){ .dtype = y->dtype,
                                .index_dtype = k->dtype,
                                .outer = outer,
                                .n = shape.dim[axis],
                                .m = k->shape.dim[axis],
                                .inner = inner,
                                .src = cti_ptr(c),
                                .index = cti_ptr(k),
                                .dst = cti_ptr(own) };
    if (cti_backend_of(y->device)->scatter_add(&a, &fault) != CT_OK) {
        bad_index("ct_scatter_add", k, fault.position, shape.dim[axis]);
        return false;
    }
    if (own != part)
        cti_copy(part, own);
    return true;
}

/* src has index's shape, x is no smaller beside axis. */
static ct_tensor *scatter_add(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src)
{
    ct_tensor *in[3] = { x, index, src }, *y, *c, *k;

    y = x && src ? cti_new("ct_scatter_add", x->shape, x->dtype, x->device) : NULL;
    c = y ? cti_contiguous(src) : NULL;
    k = c ? cti_contiguous(index) : NULL;
    if (!k)
        return NULL;
    cti_copy(y, x);
    if (!add_into(y, axis, k, c))
        return NULL;
    return ct_record(&scatter_add_op, 3, in, 1, &y, &axis, sizeof axis) ? y : NULL;
}

ct_tensor *ct_scatter_add(ct_tensor *x, int axis, ct_tensor *index, ct_tensor *src)
{
    static const char *const me = "ct_scatter_add";

    if (!cti_usable(me, x) || !cti_usable(me, index) || !cti_usable(me, src) ||
        !cti_want_index(me, "index", index) || !cti_same_dtype(me, "x", x, "src", src) ||
        !cti_same_device(me, "x", x, "src", src) || !cti_same_device(me, "x", x, "index", index))
        return NULL;
    if (!cti_is_float(x->dtype) && !cti_is_index(x->dtype)) {
        ct_raise(CT_ERR_DTYPE, me, "x %s must be of numbers", cti_describe(x).s);
        return NULL;
    }
    axis = cti_axis(me, x, axis);
    if (axis < 0)
        return NULL;
    if (!within(index, x, axis) || !within(index, src, -1)) {
        ct_raise(CT_ERR_SHAPE, me, "index %s does not fit x %s and src %s (axis %d)",
                 cti_describe(index).s, cti_describe(x).s, cti_describe(src).s, axis);
        return NULL;
    }
    return scatter_add(x, axis, index, leading(src, index, -1));
}

/* ---- one-hot ---- */

static ct_tensor *one_hot(const char *me, ct_tensor *indices, int64_t classes, ct_dtype dtype)
{
    ct_tensor *y, *c;
    ct_shape shape;
    cti_fault fault;

    if (!cti_usable(me, indices) || !cti_want_index(me, "indices", indices))
        return NULL;
    if (classes < 1 || indices->shape.rank == CT_MAX_RANK) {
        ct_raise(classes < 1 ? CT_ERR_ARGUMENT : CT_ERR_SHAPE, me, "%lld classes for indices %s",
                 (long long)classes, cti_describe(indices).s);
        return NULL;
    }
    if (cti_is_storage(dtype)) {
        ct_raise(CT_ERR_DTYPE, me, "dtype %s has no one-hot", ct_dtype_name(dtype));
        return NULL;
    }
    shape = indices->shape;
    shape.dim[shape.rank++] = classes;
    y = cti_new(me, shape, dtype, indices->device);
    c = y ? cti_new(me, indices->shape, indices->dtype, indices->device) : NULL;
    if (!c)
        return NULL;
    cti_copy(c, indices); /* its own copy, which nobody else can write */
    fault = cti_fault_at(y->device, CTI_FAULT_INDEX, me, classes);
    if (cti_put_off(y, NULL, c, &fault) != CT_OK) {
        bad_index(me, c, fault.position, classes);
        return NULL;
    }
    cti_ref(c);
    y->indices = c;
    cti_not_recorded(me, 1, &indices, y);
    return y;
}

ct_tensor *ct_one_hot(ct_tensor *indices, int64_t classes)
{
    return one_hot("ct_one_hot", indices, classes, CT_F32);
}

ct_tensor *ct_one_hot_as(ct_tensor *indices, int64_t classes, ct_dtype dtype)
{
    return one_hot("ct_one_hot_as", indices, classes, dtype);
}

ct_tensor *cti_one_hot_of(const ct_tensor *x)
{
    if (!x->indices || atomic_load(&x->storage->version) != 0)
        return NULL;
    return cti_alias(x->indices);
}

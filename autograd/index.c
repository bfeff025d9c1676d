/* index.c - rows by index: gathers, whose derivative is a scatter-add, and the reverse. */
#include "autograd/internal.h"

#include <cotangent/autograd/index.h>
#include <cotangent/autograd/shape.h>

static void bad_index(const char *function, const ct_tensor *indices, int64_t position,
                      int64_t rows)
{
    ct_scope s = cti_scope_push();
    ct_tensor *flat = cti_view(function, indices, CT_SHAPE(indices->numel), (int64_t[]){ 1 },
                               indices->offset);
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
    ct_tensor *indices = ct_input(n, 1);

    if (indices)
        ct_add_grad(n, 0, scatter_rows(dout[0], indices, ct_input_shape(n, 0)));
}

static const ct_op embedding_op = { .name = "ct_embedding", .inputs = 2, .outputs = 1,
                                    .saves = CT_SAVE_INPUTS, .backward = embedding_grad };

static ct_tensor *gather_rows(const char *me, ct_tensor *weight, ct_tensor *indices)
{
    ct_tensor *in[2] = { weight, indices }, *y, *w, *c;
    ct_shape shape;
    int64_t bad = 0;
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
    if (cti_backend_of(y->device)->gather_rows(y->dtype, c->dtype, c->numel, row_width(weight),
                                               weight->shape.dim[0], cti_ptr(w), cti_ptr(c),
                                               cti_ptr(y), &bad) != CT_OK) {
        bad_index(me, c, bad, weight->shape.dim[0]);
        return NULL;
    }
    return ct_record(&embedding_op, 2, in, 1, &y, NULL, 0) ? y : NULL;
}

ct_tensor *ct_embedding(ct_tensor *weight, ct_tensor *indices)
{
    return gather_rows("ct_embedding", weight, indices);
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
        return gather_rows(me, x, indices);
    y = gather_rows(me, ct_transpose(x, 0, axis), indices);
    return ct_transpose(y, 0, axis);
}

/* ---- scatter: zeros of the shape, rows of d added at their indices; the gather reversed ---- */

static void scatter_rows_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *indices = ct_input(n, 1);

    if (indices)
        ct_add_grad(n, 0, ct_embedding(dout[0], indices));
}

static const ct_op scatter_rows_op = { .name = "ct_embedding_backward", .inputs = 2, .outputs = 1,
                                       .saves = CT_SAVE_INPUTS, .backward = scatter_rows_grad };

static ct_tensor *scatter_rows(ct_tensor *d, ct_tensor *indices, ct_shape shape)
{
    static const char *const me = "ct_embedding_backward";
    ct_tensor *in[2] = { d, indices }, *y, *c, *rows;
    int64_t bad = 0;

    y = ct_zeros(shape, d->dtype, d->device);
    rows = y ? cti_contiguous(d) : NULL;
    c = rows ? cti_contiguous(indices) : NULL;
    if (!c)
        return NULL;
    if (cti_backend_of(y->device)->scatter_add_rows(y->dtype, c->dtype, c->numel, row_width(y),
                                                    shape.dim[0], cti_ptr(y), cti_ptr(c),
                                                    cti_ptr(rows), &bad) != CT_OK) {
        bad_index(me, c, bad, shape.dim[0]);
        return NULL;
    }
    return ct_record(&scatter_rows_op, 2, in, 1, &y, NULL, 0) ? y : NULL;
}

/* ---- one-hot ---- */

static ct_tensor *one_hot(const char *me, ct_tensor *indices, int64_t classes, ct_dtype dtype)
{
    ct_tensor *y, *c;
    ct_shape shape;
    int64_t bad = 0;

    if (!cti_usable(me, indices) || !cti_want_index(me, "indices", indices))
        return NULL;
    if (classes < 1 || indices->shape.rank == CT_MAX_RANK) {
        ct_raise(classes < 1 ? CT_ERR_ARGUMENT : CT_ERR_SHAPE, me, "%lld classes for indices %s",
                 (long long)classes, cti_describe(indices).s);
        return NULL;
    }
    if (dtype == CT_BF16) {
        ct_raise(CT_ERR_DTYPE, me, "dtype bf16 has no one-hot");
        return NULL;
    }
    shape = indices->shape;
    shape.dim[shape.rank++] = classes;
    y = cti_new(me, shape, dtype, indices->device);
    c = y ? cti_new(me, indices->shape, indices->dtype, indices->device) : NULL;
    if (!c)
        return NULL;
    cti_copy(c, indices); /* its own copy, which nobody else can write */
    if (cti_backend_of(y->device)->one_hot(dtype, c->dtype, c->numel, classes, cti_ptr(c),
                                           cti_ptr(y), &bad) != CT_OK) {
        bad_index(me, c, bad, classes);
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

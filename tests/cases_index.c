/* SPDX-License-Identifier: MIT */
/* cases_index.c - rows for autograd/ops/index.h and search.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* weight (rows, ...), indices of any shape */
static void draw_embedding(op_draw *d)
{
    ct_shape weight, indices;
    int64_t most = d->most;
    bool zero = d->zero;

    d->zero = false;
    weight = op_shape(d, 1, 3);
    d->zero = zero;
    d->most = most < 8 ? most : 8;
    indices = op_shape(d, 0, 3);
    d->most = most;
    op_uniform(d, weight, -2, 2);
    op_index(d, indices, weight.dim[0]);
}

/* i[0]: the padding row, which is the last one. No index selects it, because the gradient of a
 * selected padding row is not the derivative. */
static void draw_embedding_padded(op_draw *d)
{
    int64_t most = d->most;

    d->most = most > 1 ? most / 2 : 1;
    draw_embedding(d);
    d->most = most;
    d->i[0] = op_chance(d, 0.5) ? -1 : d->in[0].shape.dim[0];
    d->in[0].shape.dim[0]++;
}

static ct_tensor *call_embedding_padded(ct_tensor *const *in, const op_draw *d)
{
    return ct_embedding_padded(in[0], in[1], d->i[0]);
}

/* i[0]: the axis */
static void draw_index_select(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);
    int64_t axis = op_below(d, s.rank), n;

    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    n = s.dim[axis] ? op_below(d, 5) : 0;
    op_uniform(d, s, -2, 2);
    op_index(d, CT_SHAPE(n), s.dim[axis]);
}

static ct_tensor *call_index_select(ct_tensor *const *in, const op_draw *d)
{
    return ct_index_select(in[0], (int)d->i[0], in[1]);
}

/* Returns a shape for an index: its sizes are at most those of s, except along axis i[0], where the
 * size is about n, or 0 if s is empty along it. */
static ct_shape index_shape(op_draw *d, ct_shape s)
{
    int64_t axis = op_below(d, s.rank);
    int k;

    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    for (k = 0; k < s.rank; k++)
        if (k == axis)
            s.dim[k] = s.dim[k] ? op_below(d, 4) : 0;
        else if (op_chance(d, 0.3))
            s.dim[k] = op_below(d, s.dim[k] + 1);
    return s;
}

static int64_t axis_size(const op_draw *d, ct_shape s)
{
    return s.dim[d->i[0] < 0 ? d->i[0] + s.rank : d->i[0]];
}

static void draw_gather(op_draw *d)
{
    ct_shape s = op_shape_share(d, 1, 4, 3), index = index_shape(d, s);

    op_uniform(d, s, -2, 2);
    op_index(d, index, axis_size(d, s));
}

static ct_tensor *call_gather(ct_tensor *const *in, const op_draw *d)
{
    return ct_gather(in[0], (int)d->i[0], in[1]);
}

static void draw_scatter_add(op_draw *d)
{
    ct_shape s = op_shape_share(d, 1, 4, 4), index = index_shape(d, s), src = index;
    int64_t axis = d->i[0] < 0 ? d->i[0] + s.rank : d->i[0];
    int k;

    for (k = 0; k < src.rank; k++)
        if (op_chance(d, 0.3))
            src.dim[k] = k == axis ? src.dim[k] + 1 : s.dim[k];
    op_uniform(d, s, -2, 2);
    op_index(d, index, axis_size(d, s));
    op_uniform(d, src, -2, 2);
}

static ct_tensor *call_scatter_add(ct_tensor *const *in, const op_draw *d)
{
    return ct_scatter_add(in[0], (int)d->i[0], in[1], in[2]);
}

static void draw_take(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5), indices;
    int64_t n = 1, most = d->most;
    int k;

    for (k = 0; k < s.rank; k++)
        n *= s.dim[k];
    d->most = 8;
    d->zero = n == 0;
    indices = op_shape(d, n == 0, 3);
    d->most = most;
    op_uniform(d, s, -2, 2);
    op_index(d, indices, n);
}

static void draw_index_add(op_draw *d)
{
    int64_t most = d->most;
    ct_shape s;

    d->most = most > 4 ? most / 4 : 1; /* so that one axis may grow */
    draw_index_select(d);
    d->most = most;
    s = d->in[0].shape;
    s.dim[d->i[0] < 0 ? d->i[0] + s.rank : d->i[0]] = d->in[1].shape.dim[0];
    op_uniform(d, s, -2, 2);
}

static ct_tensor *call_index_add(ct_tensor *const *in, const op_draw *d)
{
    return ct_index_add(in[0], (int)d->i[0], in[1], in[2]);
}

static void draw_one_hot(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5);

    d->i[0] = 1 + op_below(d, 6);
    op_index(d, s, d->i[0]);
}

static ct_tensor *call_one_hot(ct_tensor *const *in, const op_draw *d)
{
    return ct_one_hot(in[0], d->i[0]);
}

static ct_tensor *call_one_hot_as(ct_tensor *const *in, const op_draw *d)
{
    return ct_one_hot_as(in[0], d->i[0], CT_F64);
}

static ct_tensor *call_scatter(ct_tensor *const *in, const op_draw *d)
{
    return ct_scatter(in[0], (int)d->i[0], in[1], in[2]);
}

static ct_tensor *call_index_copy(ct_tensor *const *in, const op_draw *d)
{
    return ct_index_copy(in[0], (int)d->i[0], in[1], in[2]);
}

static void draw_masked_select(op_draw *d)
{
    ct_shape s = op_shape(d, 0, 5), mask = op_narrower(d, s);

    op_uniform(d, s, -2, 2);
    op_bool(d, mask);
}

static ct_tensor *call_masked_select(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_masked_select(in[0], in[1]);
}

static ct_tensor *call_unique(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_unique(in[0], NULL, NULL);
}

/* i[0]: minlength */
static void draw_bincount(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 1);

    d->i[0] = op_below(d, 9);
    op_index(d, s, 6);
    op_uniform(d, s, -2, 2);
}

static ct_tensor *call_bincount(ct_tensor *const *in, const op_draw *d)
{
    return ct_bincount(in[0], d->count > 1 ? in[1] : NULL, d->i[0]);
}

/* i[0]: right; sorted has one row for each row of values, or one row for all */
static void draw_searchsorted(op_draw *d)
{
    ct_shape s = op_shape_share(d, 1, 4, 4), values = s;

    values.dim[s.rank - 1] = op_below(d, 4);
    d->i[0] = op_below(d, 2);
    op_uniform(d, op_chance(d, 0.5) ? s : CT_SHAPE(s.dim[s.rank - 1]), -2, 2);
    op_uniform(d, values, -2, 2);
}

static ct_tensor *call_searchsorted(ct_tensor *const *in, const op_draw *d)
{
    return ct_searchsorted(in[0] ? ct_sort(in[0], -1, false, NULL) : NULL, in[1], d->i[0] != 0);
}

#define OF_POSITIONS .no_gradient = "its result is positions"
#define OF_INDICES .no_gradient = "its input is indices"

const op_row index_rows[] = {
    { "ct_embedding", draw_embedding, .two = ct_embedding },
    { "ct_embedding_padded", draw_embedding_padded, .call = call_embedding_padded },
    { "ct_index_select", draw_index_select, .call = call_index_select },
    { "ct_gather", draw_gather, .call = call_gather },
    { "ct_scatter_add", draw_scatter_add, .call = call_scatter_add },
    { "ct_take", draw_take, .two = ct_take },
    { "ct_index_add", draw_index_add, .call = call_index_add },
    { "ct_scatter", draw_scatter_add, .call = call_scatter },
    { "ct_index_copy", draw_index_add, .call = call_index_copy },
    { "ct_masked_select", draw_masked_select, .call = call_masked_select },
    { "ct_bincount", draw_bincount, .call = call_bincount, .optional = 1 },
    { "ct_one_hot", draw_one_hot, .call = call_one_hot, OF_INDICES },
    { "ct_one_hot_as", draw_one_hot, .call = call_one_hot_as, OF_INDICES },
    { "ct_nonzero", op_draw_any, .one = ct_nonzero, OF_POSITIONS },
    { "ct_unique", op_draw_any, .call = call_unique, .no_gradient = "it has none by definition" },
    { "ct_searchsorted", draw_searchsorted, .call = call_searchsorted, OF_POSITIONS },
    { 0 },
};

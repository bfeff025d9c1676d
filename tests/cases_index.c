/* cases_index.c - rows for autograd/index.h. */
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

#define OF_INDICES .no_gradient = "its input is indices"

const op_row index_rows[] = {
    { "ct_embedding", draw_embedding, .two = ct_embedding },
    { "ct_index_select", draw_index_select, .call = call_index_select },
    { "ct_one_hot", draw_one_hot, .call = call_one_hot, OF_INDICES },
    { "ct_one_hot_as", draw_one_hot, .call = call_one_hot_as, OF_INDICES },
    { 0 },
};

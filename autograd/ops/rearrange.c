/* SPDX-License-Identifier: MIT */
/* rearrange.c - ops that copy the elements to other places: flip, roll, pad, repeat, triangles.
 *
 * Each is linear in x, and its derivative moves the elements of d back:
 *     flip:    dx = d flipped                 roll:    dx = d rolled back
 *     pad:     dx = d without the margins     repeat:  dx = d summed over the copies
 *     tril, triu:  dx = the same triangle of d
 * repeat and the triangles are composed of other ops, which supply the derivative. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/rearrange.h>
#include <cotangent/autograd/ops/views.h>

#include <string.h>

/* ---- flip: a copy of a view with negative strides ---- */

static ct_tensor *rearrange_flip(ct_tensor *x, int mask);

static void flip_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, rearrange_flip(dout[0], *(const int *)ct_node_attributes(n)));
}

static const ct_op flip_op = {
    .name = "ct_flip", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(flip_grad)
};

static ct_tensor *rearrange_flip(ct_tensor *x, int mask)
{
    int64_t stride[CT_MAX_RANK], offset = x->offset;
    ct_tensor *y = cti_new("ct_flip", x->shape, x->dtype, x->device), *v;
    int i;

    for (i = 0; i < x->shape.rank; i++) {
        stride[i] = mask & 1 << i ? -x->stride[i] : x->stride[i];
        if (mask & 1 << i && x->numel)
            offset += (x->shape.dim[i] - 1) * x->stride[i];
    }
    v = y ? cti_view("ct_flip", x, x->shape, stride, offset) : NULL;
    if (!v)
        return NULL;
    cti_copy(y, v);
    return cti_record1_with(&flip_op, x, y, &mask, sizeof mask);
}

ct_tensor *ct_flip(ct_tensor *x, int count, const int *axes)
{
    int mask = 0, i;

    if (!cti_usable("ct_flip", x) || !cti_given_array("ct_flip", "axes", count, axes))
        return NULL;
    for (i = 0; i < count; i++) {
        int axis = cti_axis("ct_flip", x, axes[i]);

        if (axis < 0)
            return NULL;
        if (mask & 1 << axis) {
            ct_raise(CT_ERR_SHAPE, "ct_flip", "axis %d of x %s is listed twice", axes[i],
                     cti_describe(x).s);
            return NULL;
        }
        mask |= 1 << axis;
    }
    return rearrange_flip(x, mask);
}

/* ---- roll: two copies between windows ---- */

/* Copies `length` elements along axis, from position `from` of src to position `to` of dst. The
 * other axes are copied whole. */
static bool rearrange_copy(ct_tensor *dst, int64_t to, const ct_tensor *src, int64_t from, int axis,
                           int64_t length)
{
    ct_shape shape = src->shape;
    ct_tensor *d, *s;

    if (length == 0)
        return true;
    shape.dim[axis] = length;
    d = cti_view("ct_roll", dst, shape, dst->stride, dst->offset + to * dst->stride[axis]);
    s = d ? cti_view("ct_roll", src, shape, src->stride, src->offset + from * src->stride[axis])
          : NULL;
    if (s)
        cti_copy(d, s);
    return s != NULL;
}

typedef struct rearrange_rolling {
    int64_t shift; /* 0..n-1 */
    int axis;
} rearrange_rolling;

static ct_tensor *rearrange_roll(ct_tensor *x, rearrange_rolling r);

static void roll_grad(ct_node *n, ct_tensor *const *dout)
{
    rearrange_rolling r = *(const rearrange_rolling *)ct_node_attributes(n);

    if (r.shift)
        r.shift = dout[0]->shape.dim[r.axis] - r.shift;
    ct_node_add_grad(n, 0, rearrange_roll(dout[0], r));
}

static const ct_op roll_op = {
    .name = "ct_roll", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(roll_grad)
};

static ct_tensor *rearrange_roll(ct_tensor *x, rearrange_rolling r)
{
    int64_t n = x->shape.dim[r.axis];
    ct_tensor *y = cti_new("ct_roll", x->shape, x->dtype, x->device);

    if (!y || !rearrange_copy(y, r.shift, x, 0, r.axis, n - r.shift) ||
        !rearrange_copy(y, 0, x, n - r.shift, r.axis, r.shift))
        return NULL;
    return cti_record1_with(&roll_op, x, y, &r, sizeof r);
}

ct_tensor *ct_roll(ct_tensor *x, int64_t shift, int axis)
{
    rearrange_rolling r;
    int64_t n;

    if (!cti_usable("ct_roll", x))
        return NULL;
    axis = cti_axis("ct_roll", x, axis);
    if (axis < 0)
        return NULL;
    n = x->shape.dim[axis];
    shift = n ? shift % n : 0;
    r = (rearrange_rolling){ .shift = shift < 0 ? shift + n : shift, .axis = axis };
    return rearrange_roll(x, r);
}

/* ---- pad ---- */

typedef struct rearrange_margins {
    int64_t before[CT_MAX_RANK];
} rearrange_margins;

static void pad_grad(ct_node *n, ct_tensor *const *dout)
{
    const rearrange_margins *m = ct_node_attributes(n);
    ct_shape shape = ct_node_input_shape(n, 0);
    ct_tensor *d = dout[0];
    int i;

    for (i = 0; d && i < shape.rank; i++)
        if (d->shape.dim[i] != shape.dim[i])
            d = ct_narrow(d, i, m->before[i], shape.dim[i]);
    ct_node_add_grad(n, 0, d);
}

static const ct_op pad_op = {
    .name = "ct_pad", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(pad_grad)
};

/* The shape of x with the margins added, and the margins before each axis; false with an error. */
static bool rearrange_padded(const ct_tensor *x, int count, const int64_t *sizes, ct_shape *shape,
                             rearrange_margins *m)
{
    int i;

    if (count < 0 || count % 2 || count / 2 > x->shape.rank) {
        ct_raise(CT_ERR_SHAPE, "ct_pad",
                 "count is %d for x %s; it must be even and at most twice the rank", count,
                 cti_describe(x).s);
        return false;
    }
    memset(m, 0, sizeof *m);
    *shape = x->shape;
    for (i = 0; i < count; i++) {
        int axis = x->shape.rank - 1 - i / 2;

        if (sizes[i] < 0 || sizes[i] > INT64_MAX - shape->dim[axis]) {
            ct_raise(CT_ERR_ARGUMENT, "ct_pad", "sizes[%d] is %lld; %s for x %s", i,
                     (long long)sizes[i],
                     sizes[i] < 0 ? "it must be at least 0" : "it is too large", cti_describe(x).s);
            return false;
        }
        shape->dim[axis] += sizes[i];
        if (i % 2 == 0)
            m->before[axis] = sizes[i];
    }
    return true;
}

ct_tensor *ct_pad(ct_tensor *x, int count, const int64_t *sizes, double value)
{
    ct_tensor *y, *part;
    int64_t offset;
    ct_shape shape;
    rearrange_margins m;
    int i;

    if (!cti_usable("ct_pad", x) || !cti_given_array("ct_pad", "sizes", count, sizes) ||
        !rearrange_padded(x, count, sizes, &shape, &m))
        return NULL;
    y = cti_new("ct_pad", shape, x->dtype, x->device);
    if (!y)
        return NULL;
    cti_backend_of(y->device)->fill(cti_data(y), y->dtype, y->numel, value);
    offset = y->offset;
    for (i = 0; i < shape.rank && x->numel; i++)
        offset += m.before[i] * y->stride[i];
    part = cti_view("ct_pad", y, x->shape, y->stride, offset);
    if (!part)
        return NULL;
    cti_copy(part, x);
    return cti_record1_with(&pad_op, x, y, &m, sizeof m);
}

/* ---- repeat: axis by axis, a view of (outer, 1, rest) expanded to (outer, times, rest) ---- */

/* The shape of the repeated x; false with an error. */
static bool rearrange_repeated(const ct_tensor *x, int count, const int64_t *times, ct_shape *shape)
{
    int lead, i;

    if (count < x->shape.rank || count > CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, "ct_repeat", "count is %d for x %s; it must be in %d..%d", count,
                 cti_describe(x).s, x->shape.rank, CT_MAX_RANK);
        return false;
    }
    lead = count - x->shape.rank;
    *shape = ct_shape_from_sizes(0, NULL);
    for (i = 0; i < count; i++) {
        int64_t n = i < lead ? 1 : x->shape.dim[i - lead];

        if (times[i] < 0 || (n && times[i] > INT64_MAX / n)) {
            ct_raise(CT_ERR_ARGUMENT, "ct_repeat", "times[%d] is %lld; %s for x %s", i,
                     (long long)times[i],
                     times[i] < 0 ? "it must be at least 0" : "it is too large", cti_describe(x).s);
            return false;
        }
        shape->dim[shape->rank++] = n * times[i];
    }
    return cti_shape_check("ct_repeat", shape, x->dtype) >= 0;
}

ct_tensor *ct_repeat(ct_tensor *x, int count, const int64_t *times)
{
    ct_shape shape, whole;
    int i, k;

    if (!cti_usable("ct_repeat", x) || !cti_given_array("ct_repeat", "times", count, times) ||
        !rearrange_repeated(x, count, times, &whole))
        return NULL;
    shape = ct_shape_from_sizes(0, NULL);
    for (i = 0; i < count; i++)
        shape.dim[shape.rank++] =
            i < count - x->shape.rank ? 1 : x->shape.dim[i - (count - x->shape.rank)];
    x = ct_clone(ct_reshape(x, shape)); /* the result is never a view, even if nothing repeats */
    for (i = count - 1; i >= 0 && x; i--) {
        int64_t outer = 1, rest = 1;

        if (times[i] == 1)
            continue;
        for (k = 0; k < count; k++)
            *(k < i ? &outer : &rest) *= shape.dim[k];
        shape.dim[i] *= times[i];
        x = ct_expand(ct_reshape(x, CT_SHAPE(outer, 1, rest)), CT_SHAPE(outer, times[i], rest));
        x = ct_reshape(x, shape);
    }
    return x;
}

/* ---- triangles ---- */

static ct_tensor *rearrange_triangle(const char *me, ct_tensor *x, int64_t diagonal, bool upper)
{
    ct_tensor *row, *column, *inside;
    int64_t m, n;

    if (!cti_usable(me, x))
        return NULL;
    if (x->shape.rank < 2) {
        ct_raise(CT_ERR_SHAPE, me, "x %s must have rank 2 or more", cti_describe(x).s);
        return NULL;
    }
    m = ct_size(x, -2);
    n = ct_size(x, -1);
    diagonal = diagonal < -m  ? -m
               : diagonal > n ? n
                              /* any diagonal outside the matrix gives the same result as these
                               * two */
                              : diagonal;
    row = ct_arange((double)diagonal, (double)(diagonal + m), 1, CT_I64, x->device);
    column = ct_arange(0, (double)n, 1, CT_I64, x->device);
    row = ct_unsqueeze(row, 1);
    inside = upper ? ct_ge(column, row) : ct_le(column, row);
    return ct_where(inside, x, ct_zeros(CT_SCALAR, x->dtype, x->device));
}

ct_tensor *ct_tril(ct_tensor *x, int64_t diagonal)
{
    return rearrange_triangle("ct_tril", x, diagonal, false);
}

ct_tensor *ct_triu(ct_tensor *x, int64_t diagonal)
{
    return rearrange_triangle("ct_triu", x, diagonal, true);
}

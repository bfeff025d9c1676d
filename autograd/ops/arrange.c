/* arrange.c - parts, mirror images, margins, copies, triangles.
 *
 * Each is a copy between views, or made of the ops of shape.c. */
#include "autograd/internal.h"

#include <cotangent/autograd/ops/arrange.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/shape.h>

#include <string.h>

/* ---- split ---- */

/* Whether the sizes (NULL: equal ones) come to axis. */
static bool sizes_fit(const ct_tensor *x, int count, const int64_t *sizes, int axis)
{
    int64_t left = x->shape.dim[axis];
    int i;

    for (i = 0; sizes && i < count; i++) {
        if (sizes[i] < 0 || sizes[i] > left)
            break;
        left -= sizes[i];
    }
    if (sizes ? i == count && left == 0 : left % count == 0)
        return true;
    ct_raise(CT_ERR_SHAPE, "ct_split", "axis %d of x %s does not split into %d %s parts", axis,
             cti_describe(x).s, count, sizes ? "such" : "equal");
    return false;
}

ct_status ct_split(ct_tensor *x, int count, const int64_t *sizes, int axis, ct_tensor **parts)
{
    static const char *const me = "ct_split";
    int64_t at = 0;
    int i;

    if (!parts)
        return ct_raise(CT_ERR_ARGUMENT, me, "parts is NULL");
    if (count < 1)
        return ct_raise(CT_ERR_ARGUMENT, me, "%d parts", count);
    memset(parts, 0, (size_t)count * sizeof *parts);
    if (!cti_usable(me, x))
        return ct_ok() ? ct_raise(CT_ERR_ARGUMENT, me, "x is NULL") : ct_error();
    axis = cti_axis(me, x, axis);
    if (axis < 0 || !sizes_fit(x, count, sizes, axis))
        return ct_error();
    for (i = 0; i < count; i++) {
        int64_t size = sizes ? sizes[i] : x->shape.dim[axis] / count;

        parts[i] = ct_narrow(x, axis, at, size);
        if (!parts[i]) {
            memset(parts, 0, (size_t)count * sizeof *parts);
            return ct_error();
        }
        at += size;
    }
    return CT_OK;
}

/* ---- flip: a copy of a view whose strides run backwards ---- */

static ct_tensor *flip(ct_tensor *x, int mask);

static void flip_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, flip(dout[0], *(const int *)ct_node_attributes(n)));
}

static const ct_op flip_op = {
    .name = "ct_flip", .inputs = 1, .outputs = 1, .backward = flip_grad
};

static ct_tensor *flip(ct_tensor *x, int mask)
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
    return ct_record(&flip_op, 1, &x, 1, &y, &mask, sizeof mask) ? y : NULL;
}

ct_tensor *ct_flip(ct_tensor *x, int count, const int *axes)
{
    int mask = 0, i;

    if (!cti_usable("ct_flip", x))
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
    return flip(x, mask);
}

/* ---- copies between windows ---- */

/* Copies length elements along axis, from position from of src to position to of dst; the other
 * axes whole. */
static bool copy_part(const char *me, ct_tensor *dst, int64_t to, const ct_tensor *src,
                      int64_t from, int axis, int64_t length)
{
    ct_shape shape = src->shape;
    ct_tensor *d, *s;

    if (length == 0)
        return true;
    shape.dim[axis] = length;
    d = cti_view(me, dst, shape, dst->stride, dst->offset + to * dst->stride[axis]);
    s = d ? cti_view(me, src, shape, src->stride, src->offset + from * src->stride[axis]) : NULL;
    if (s)
        cti_copy(d, s);
    return s != NULL;
}

/* ---- roll ---- */

typedef struct rolling {
    int64_t shift; /* 0..n-1 */
    int axis;
} rolling;

static ct_tensor *roll(ct_tensor *x, rolling r);

static void roll_grad(ct_node *n, ct_tensor *const *dout)
{
    rolling r = *(const rolling *)ct_node_attributes(n);

    if (r.shift)
        r.shift = dout[0]->shape.dim[r.axis] - r.shift;
    ct_node_add_grad(n, 0, roll(dout[0], r));
}

static const ct_op roll_op = {
    .name = "ct_roll", .inputs = 1, .outputs = 1, .backward = roll_grad
};

static ct_tensor *roll(ct_tensor *x, rolling r)
{
    int64_t n = x->shape.dim[r.axis];
    ct_tensor *y = cti_new("ct_roll", x->shape, x->dtype, x->device);

    if (!y || !copy_part("ct_roll", y, r.shift, x, 0, r.axis, n - r.shift) ||
        !copy_part("ct_roll", y, 0, x, n - r.shift, r.axis, r.shift))
        return NULL;
    return ct_record(&roll_op, 1, &x, 1, &y, &r, sizeof r) ? y : NULL;
}

ct_tensor *ct_roll(ct_tensor *x, int64_t shift, int axis)
{
    int64_t n;

    if (!cti_usable("ct_roll", x))
        return NULL;
    axis = cti_axis("ct_roll", x, axis);
    if (axis < 0)
        return NULL;
    n = x->shape.dim[axis];
    return roll(x, (rolling){ .shift = n ? (shift % n + n) % n : 0, .axis = axis });
}

/* ---- pad ---- */

typedef struct margins {
    int64_t before[CT_MAX_RANK];
} margins;

static void pad_grad(ct_node *n, ct_tensor *const *dout)
{
    const margins *m = ct_node_attributes(n);
    ct_shape shape = ct_node_input_shape(n, 0);
    ct_tensor *d = dout[0];
    int i;

    for (i = 0; d && i < shape.rank; i++)
        if (d->shape.dim[i] != shape.dim[i])
            d = ct_narrow(d, i, m->before[i], shape.dim[i]);
    ct_node_add_grad(n, 0, d);
}

static const ct_op pad_op = { .name = "ct_pad", .inputs = 1, .outputs = 1, .backward = pad_grad };

/* The shape with its margins; false with an error. */
static bool padded_shape(const ct_tensor *x, int count, const int64_t *sizes, ct_shape *shape,
                         margins *m)
{
    int i;

    if (count < 0 || count % 2 || count / 2 > x->shape.rank) {
        ct_raise(CT_ERR_SHAPE, "ct_pad", "%d sizes for x %s", count, cti_describe(x).s);
        return false;
    }
    memset(m, 0, sizeof *m);
    *shape = x->shape;
    for (i = 0; i < count; i++) {
        int axis = x->shape.rank - 1 - i / 2;

        if (sizes[i] < 0 || sizes[i] > INT64_MAX - shape->dim[axis]) {
            ct_raise(CT_ERR_ARGUMENT, "ct_pad", "size %lld (number %d) for x %s is %s",
                     (long long)sizes[i], i, cti_describe(x).s,
                     sizes[i] < 0 ? "negative" : "too large");
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
    margins m;
    int i;

    if (!cti_usable("ct_pad", x) || !padded_shape(x, count, sizes, &shape, &m))
        return NULL;
    y = cti_new("ct_pad", shape, x->dtype, x->device);
    if (!y)
        return NULL;
    cti_backend_of(y->device)->fill(cti_ptr(y), y->dtype, y->numel, value);
    offset = y->offset;
    for (i = 0; i < shape.rank && x->numel; i++)
        offset += m.before[i] * y->stride[i];
    part = cti_view("ct_pad", y, x->shape, y->stride, offset);
    if (!part)
        return NULL;
    cti_copy(part, x);
    return ct_record(&pad_op, 1, &x, 1, &y, &m, sizeof m) ? y : NULL;
}

/* ---- repeat: axis by axis, a view of (outer, 1, rest) expanded to (outer, times, rest) ---- */

/* The shape repeated; false with an error. */
static bool repeated_shape(const ct_tensor *x, int count, const int64_t *times, ct_shape *shape)
{
    int lead = count - x->shape.rank, i;

    if (lead < 0 || count > CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, "ct_repeat", "%d times for x %s (there may be %d to %d)", count,
                 cti_describe(x).s, x->shape.rank, CT_MAX_RANK);
        return false;
    }
    *shape = ct_shape_from_sizes(0, NULL);
    for (i = 0; i < count; i++) {
        int64_t n = i < lead ? 1 : x->shape.dim[i - lead];

        if (times[i] < 0 || (n && times[i] > INT64_MAX / n)) {
            ct_raise(CT_ERR_ARGUMENT, "ct_repeat", "%lld times (number %d) for x %s is %s",
                     (long long)times[i], i, cti_describe(x).s,
                     times[i] < 0 ? "negative" : "too large");
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

    if (!cti_usable("ct_repeat", x) || !repeated_shape(x, count, times, &whole))
        return NULL;
    shape = ct_shape_from_sizes(0, NULL);
    for (i = 0; i < count; i++)
        shape.dim[shape.rank++] =
            i < count - x->shape.rank ? 1 : x->shape.dim[i - (count - x->shape.rank)];
    x = ct_clone(ct_reshape(x, shape)); /* never a view, even when nothing is repeated */
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

static ct_tensor *triangle(const char *me, ct_tensor *x, int64_t diagonal, bool upper)
{
    ct_tensor *row, *column, *inside;
    int64_t m, n;

    if (!cti_usable(me, x))
        return NULL;
    if (x->shape.rank < 2) {
        ct_raise(CT_ERR_SHAPE, me, "x %s has no rows and columns", cti_describe(x).s);
        return NULL;
    }
    m = ct_size(x, -2);
    n = ct_size(x, -1);
    diagonal = diagonal < -m ? -m : diagonal > n ? n : diagonal; /* beyond, all is the same */
    row = ct_arange((double)diagonal, (double)(diagonal + m), 1, CT_I64, x->device);
    column = ct_arange(0, (double)n, 1, CT_I64, x->device);
    row = ct_unsqueeze(row, 1);
    inside = upper ? ct_ge(column, row) : ct_le(column, row);
    return ct_where(inside, x, ct_zeros(CT_SCALAR, x->dtype, x->device));
}

ct_tensor *ct_tril(ct_tensor *x, int64_t diagonal)
{
    return triangle("ct_tril", x, diagonal, false);
}

ct_tensor *ct_triu(ct_tensor *x, int64_t diagonal)
{
    return triangle("ct_triu", x, diagonal, true);
}

/* ---- like another ---- */

ct_tensor *ct_full_like(const ct_tensor *x, double value)
{
    return cti_usable("ct_full_like", x) ? ct_full(x->shape, value, x->dtype, x->device) : NULL;
}

ct_tensor *ct_zeros_like(const ct_tensor *x)
{
    return cti_usable("ct_zeros_like", x) ? ct_zeros(x->shape, x->dtype, x->device) : NULL;
}

ct_tensor *ct_ones_like(const ct_tensor *x)
{
    return cti_usable("ct_ones_like", x) ? ct_ones(x->shape, x->dtype, x->device) : NULL;
}

/* ---- devices ---- */

static void to_grad(ct_node *n, ct_tensor *const *dout)
{
    const ct_device *from = ct_node_attributes(n);

    ct_node_add_grad(n, 0, ct_to(dout[0], *from));
}

static const ct_op to_op = { .name = "ct_to", .inputs = 1, .outputs = 1, .backward = to_grad };

ct_tensor *ct_to(ct_tensor *x, ct_device device)
{
    ct_tensor *y;

    if (!cti_usable("ct_to", x))
        return NULL;
    if (device == x->device)
        return x;
    if (!cti_backend_of(device)) {
        ct_raise(CT_ERR_DEVICE, "ct_to", "x %s: there is no device %d", cti_describe(x).s, device);
        return NULL;
    }
    y = cti_new("ct_to", x->shape, x->dtype, device);
    if (!y || !cti_copy_across("ct_to", y, x))
        return NULL;
    return ct_record(&to_op, 1, &x, 1, &y, &x->device, sizeof x->device) ? y : NULL;
}

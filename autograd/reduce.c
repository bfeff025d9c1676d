/* reduce.c - reductions: axes are brought together, then one kernel runs over (outer, n, inner). */
#include "autograd/internal.h"

#include <cotangent/autograd/elementwise.h>
#include <cotangent/autograd/reduce.h>
#include <cotangent/autograd/shape.h>

/* ---- which axes ---- */

/* A bit for each listed axis; -1 with an error. */
static int axes_mask(const char *function, const ct_tensor *x, int count, const int *axes)
{
    int mask = 0, i;

    for (i = 0; i < count; i++) {
        int axis = cti_axis(function, x, axes[i]);

        if (axis < 0)
            return -1;
        if (mask & 1 << axis) {
            ct_raise(CT_ERR_SHAPE, function, "axis %d of %s is listed twice", axes[i],
                     cti_describe(x).s);
            return -1;
        }
        mask |= 1 << axis;
    }
    return mask;
}

static ct_shape reduced_shape(const ct_shape *shape, int mask, bool keepdim)
{
    ct_shape out = ct_shape_of(0, NULL);
    int i;

    for (i = 0; i < shape->rank; i++)
        if (!(mask & 1 << i))
            out.dim[out.rank++] = shape->dim[i];
        else if (keepdim)
            out.dim[out.rank++] = 1;
    return out;
}

/* True if the masked axes are next to each other, so that x contiguous is (outer, n, inner). */
static bool adjacent(const ct_shape *shape, int mask)
{
    int i, runs = 0;

    for (i = 0; i < shape->rank; i++)
        if (mask & 1 << i && (i == 0 || !(mask & 1 << (i - 1))))
            runs++;
    return runs <= 1;
}

/* The values of x with the masked axes last. */
static ct_tensor *masked_last(ct_tensor *x, int mask)
{
    ct_shape shape = ct_shape_of(0, NULL);
    int64_t stride[CT_MAX_RANK];
    int pass, i;
    ct_tensor *v;

    for (pass = 0; pass < 2; pass++)
        for (i = 0; i < x->shape.rank; i++)
            if (!(mask & 1 << i) == !pass) {
                stride[shape.rank] = x->stride[i];
                shape.dim[shape.rank++] = x->shape.dim[i];
            }
    v = cti_view("ct_sum", x, shape, stride, x->offset);
    return v ? cti_contiguous(v) : NULL;
}

/* Runs the kernel over the masked axes of x; the result has shape out. */
static ct_tensor *reduce(const char *function, cti_reduce_op op, ct_tensor *x, int mask,
                         ct_shape out, ct_dtype dtype)
{
    int64_t outer = 1, n = 1, inner = 1;
    bool together = adjacent(&x->shape, mask);
    ct_tensor *y, *c;
    int i, seen = 0;

    y = cti_new(function, out, dtype, x->device);
    c = y ? together ? cti_contiguous(x) : masked_last(x, mask) : NULL;
    if (!c)
        return NULL;
    for (i = 0; i < x->shape.rank; i++) {
        if (mask & 1 << i) {
            n *= x->shape.dim[i];
            seen = 1;
        } else if (together && seen) {
            inner *= x->shape.dim[i];
        } else {
            outer *= x->shape.dim[i];
        }
    }
    cti_backend_of(x->device)->reduce(op, x->dtype, outer, n, inner, cti_ptr(c), cti_ptr(y));
    return y;
}

/* ---- sum: dx = d, broadcast ---- */

/* d with the masked axes of shape put back and broadcast. */
static ct_tensor *spread(ct_tensor *d, ct_shape shape, int mask)
{
    return ct_expand(ct_reshape(d, reduced_shape(&shape, mask, true)), shape);
}

static void sum_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *mask = ct_attributes(n);

    ct_add_grad(n, 0, spread(dout[0], ct_input_shape(n, 0), *mask));
}

static const ct_op sum_op = { .name = "ct_sum", .inputs = 1, .outputs = 1, .backward = sum_grad };

static bool want_numbers(const char *function, const ct_tensor *x)
{
    if (cti_is_float(x->dtype) || cti_is_index(x->dtype))
        return true;
    ct_raise(CT_ERR_DTYPE, function, "x %s must be of numbers", cti_describe(x).s);
    return false;
}

static ct_tensor *sum_mask(const char *function, ct_tensor *x, int mask, bool keepdim)
{
    ct_tensor *y;

    if (mask < 0 || !want_numbers(function, x))
        return NULL;
    y = reduce(function, CTI_SUM, x, mask, reduced_shape(&x->shape, mask, keepdim), x->dtype);
    return y && ct_record(&sum_op, 1, &x, 1, &y, &mask, sizeof mask) ? y : NULL;
}

static int all_axes(const ct_tensor *x)
{
    return (1 << x->shape.rank) - 1;
}

ct_tensor *ct_sum(ct_tensor *x)
{
    return cti_usable("ct_sum", x) ? sum_mask("ct_sum", x, all_axes(x), false) : NULL;
}

ct_tensor *ct_sum_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_sum_axes";

    return cti_usable(me, x) ? sum_mask(me, x, axes_mask(me, x, count, axes), keepdim) : NULL;
}

static ct_tensor *mean_mask(const char *function, ct_tensor *x, int mask, bool keepdim)
{
    int64_t n = 1;
    int i;

    if (mask < 0 || !cti_want_float(function, "x", x))
        return NULL;
    for (i = 0; i < x->shape.rank; i++)
        if (mask & 1 << i)
            n *= x->shape.dim[i];
    return ct_div_scalar(sum_mask(function, x, mask, keepdim), (double)n);
}

ct_tensor *ct_mean(ct_tensor *x)
{
    return cti_usable("ct_mean", x) ? mean_mask("ct_mean", x, all_axes(x), false) : NULL;
}

ct_tensor *ct_mean_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_mean_axes";

    return cti_usable(me, x) ? mean_mask(me, x, axes_mask(me, x, count, axes), keepdim) : NULL;
}

ct_tensor *ct_sum_to_shape(ct_tensor *x, ct_shape shape)
{
    int mask = 0, lead, i;
    ct_tensor *y;

    if (!cti_usable("ct_sum_to_shape", x))
        return NULL;
    if (cti_same_shape(&x->shape, &shape))
        return x;
    lead = x->shape.rank - shape.rank;
    for (i = 0; i < x->shape.rank; i++) {
        int64_t want = i < lead ? 1 : shape.dim[i - lead];

        if (lead < 0 || (want != 1 && want != x->shape.dim[i])) {
            ct_raise(CT_ERR_SHAPE, "ct_sum_to_shape", "x %s is no broadcast of %s",
                     cti_describe(x).s, cti_shape_text(&shape).s);
            return NULL;
        }
        if (i < lead || x->shape.dim[i] != want)
            mask |= 1 << i;
    }
    y = sum_mask("ct_sum_to_shape", x, mask, true);
    return lead ? ct_reshape(y, shape) : y;
}

/* ---- positions ---- */

static ct_tensor *arg_extreme(const char *function, cti_reduce_op op, ct_tensor *x, int axis,
                              bool keepdim)
{
    ct_tensor *y;

    if (!cti_usable(function, x))
        return NULL;
    axis = cti_axis(function, x, axis);
    if (axis < 0 || !want_numbers(function, x))
        return NULL;
    if (x->shape.dim[axis] == 0) {
        ct_raise(CT_ERR_SHAPE, function, "axis %d of x %s has size 0", axis, cti_describe(x).s);
        return NULL;
    }
    y = reduce(function, op, x, 1 << axis, reduced_shape(&x->shape, 1 << axis, keepdim), CT_I64);
    if (y)
        cti_not_recorded(function, 1, &x, y);
    return y;
}

ct_tensor *ct_argmax(ct_tensor *x, int axis, bool keepdim)
{
    return arg_extreme("ct_argmax", CTI_ARGMAX, x, axis, keepdim);
}

ct_tensor *ct_argmin(ct_tensor *x, int axis, bool keepdim)
{
    return arg_extreme("ct_argmin", CTI_ARGMIN, x, axis, keepdim);
}

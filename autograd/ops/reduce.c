/* SPDX-License-Identifier: MIT */
/* reduce.c - reductions that have kernels: sum, product, extremes, any, all.
 *
 * x is permuted so that the reduced axes are adjacent; then one kernel runs over (outer, n, inner).
 *     sum:  dx = d, broadcast               mean:      dx = d / n, broadcast
 *     prod: dx = d times the other elements max, min:  dx = d, shared by the elements equal to y */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>

/* ---- which axes ---- */

int cti_reduce_mask(const char *function, const ct_tensor *x, int count, const int *axes)
{
    int mask = 0, i;

    if (!cti_given_array(function, "axes", count, axes))
        return -1;
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

int cti_reduce_all(const ct_tensor *x)
{
    return (1 << x->shape.rank) - 1;
}

int64_t cti_reduce_count(const ct_shape *shape, int mask)
{
    int64_t n = 1;
    int i;

    for (i = 0; i < shape->rank; i++)
        if (mask & 1 << i)
            n *= shape->dim[i];
    return n;
}

ct_shape cti_reduce_shape(const ct_shape *shape, int mask, bool keepdim)
{
    ct_shape out = ct_shape_from_sizes(0, NULL);
    int i;

    for (i = 0; i < shape->rank; i++)
        if (!(mask & 1 << i))
            out.dim[out.rank++] = shape->dim[i];
        else if (keepdim)
            out.dim[out.rank++] = 1;
    return out;
}

/* True if the masked axes are neighbours. Then a contiguous x has the shape (outer, n, inner). */
static bool reduce_is_adjacent(const ct_shape *shape, int mask)
{
    int i, runs = 0;

    for (i = 0; i < shape->rank; i++)
        if (mask & 1 << i && (i == 0 || !(mask & 1 << (i - 1))))
            runs++;
    return runs <= 1;
}

/* Returns a contiguous copy of x with the masked axes first or last. */
static ct_tensor *reduce_collected(ct_tensor *x, int mask, bool first)
{
    ct_shape shape = ct_shape_from_sizes(0, NULL);
    int64_t stride[CT_MAX_RANK];
    int pass, i;
    ct_tensor *v;

    for (pass = 0; pass < 2; pass++)
        for (i = 0; i < x->shape.rank; i++)
            if ((mask >> i & 1) == (first ? 1 - pass : pass)) {
                stride[shape.rank] = x->stride[i];
                shape.dim[shape.rank++] = x->shape.dim[i];
            }
    v = cti_view("ct_sum", x, shape, stride, x->offset);
    return v ? cti_contiguous(v) : NULL;
}

/* From this number of results on, the kernel that computes many results at once is faster. */
#define REDUCE_COLUMNS 16

/* Runs the kernel over the masked axes of x. Returns a tensor of shape out. */
static ct_tensor *reduce_run(const char *function, cti_reduce_op op, ct_tensor *x, int mask,
                             ct_shape out, ct_dtype dtype)
{
    int64_t outer = 1, n = cti_reduce_count(&x->shape, mask), inner = 1;
    bool together = reduce_is_adjacent(&x->shape, mask), first;
    ct_tensor *y, *c;
    int i, seen;

    y = cti_new(function, out, dtype, x->device);
    first = y && y->numel >= REDUCE_COLUMNS && y->numel >= n;
    seen = !together && first;
    c = y ? together ? cti_contiguous(x) : reduce_collected(x, mask, first) : NULL;
    if (!c)
        return NULL;
    for (i = 0; i < x->shape.rank; i++)
        if (mask & 1 << i)
            seen |= together;
        else if (seen)
            inner *= x->shape.dim[i];
        else
            outer *= x->shape.dim[i];
    cti_backend_of(x->device)->reduce(&(cti_reduce_args){ .op = op,
                                                          .dtype = x->dtype,
                                                          .outer = outer,
                                                          .n = n,
                                                          .inner = inner,
                                                          .in = cti_data(c),
                                                          .out = cti_data(y) });
    return y;
}

/* ---- sum and mean ---- */

ct_tensor *cti_reduce_spread(ct_tensor *d, ct_shape shape, int mask)
{
    return ct_expand(ct_reshape(d, cti_reduce_shape(&shape, mask, true)), shape);
}

static void sum_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *mask = ct_node_attributes(n);

    ct_node_add_grad(n, 0, cti_reduce_spread(dout[0], ct_node_input_shape(n, 0), *mask));
}

static const ct_op sum_op = {
    .name = "ct_sum", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(sum_grad)
};

ct_tensor *cti_reduce_sum(const char *function, ct_tensor *x, int mask, bool keepdim)
{
    ct_tensor *y;

    if (!x || mask < 0 || !cti_elementwise_takes(function, "x", x, COMPARABLE))
        return NULL;
    if (x->dtype == CT_BOOL)
        x = ct_cast(x, CT_I64);
    if (!x)
        return NULL;
    y = reduce_run(function, CTI_SUM, x, mask, cti_reduce_shape(&x->shape, mask, keepdim),
                   x->dtype);
    return cti_record1_with(&sum_op, x, y, &mask, sizeof mask);
}

ct_tensor *cti_reduce_squares(const char *function, ct_tensor *x, int mask, bool keepdim)
{
    return x ? reduce_run(function, CTI_SUM_SQUARES, x, mask,
                          cti_reduce_shape(&x->shape, mask, keepdim), x->dtype)
             : NULL;
}

ct_tensor *ct_sum(ct_tensor *x)
{
    return cti_usable("ct_sum", x) ? cti_reduce_sum("ct_sum", x, cti_reduce_all(x), false) : NULL;
}

ct_tensor *ct_sum_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_sum_axes";

    return cti_usable(me, x) ? cti_reduce_sum(me, x, cti_reduce_mask(me, x, count, axes), keepdim)
                             : NULL;
}

ct_tensor *ct_sum_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_sum_axes(x, 1, &axis, keepdim);
}

ct_tensor *cti_reduce_mean(const char *function, ct_tensor *x, int mask, bool keepdim)
{
    double n;

    if (mask < 0 || (x->dtype != CT_BOOL && !cti_want_float(function, "x", x)))
        return NULL;
    n = (double)cti_reduce_count(&x->shape, mask);
    if (x->dtype != CT_BOOL)
        return ct_div_scalar(cti_reduce_sum(function, x, mask, keepdim), n);
    x = ct_cast(cti_reduce_sum(function, x, mask, keepdim), CT_F64); /* in f64 the count is exact */
    return ct_cast(ct_div_scalar(x, n), CT_F32);
}

ct_tensor *ct_mean(ct_tensor *x)
{
    return cti_usable("ct_mean", x) ? cti_reduce_mean("ct_mean", x, cti_reduce_all(x), false)
                                    : NULL;
}

ct_tensor *ct_mean_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_mean_axes";

    return cti_usable(me, x) ? cti_reduce_mean(me, x, cti_reduce_mask(me, x, count, axes), keepdim)
                             : NULL;
}

ct_tensor *ct_mean_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_mean_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_sum_to_shape(ct_tensor *x, ct_shape shape)
{
    int mask = 0, lead, i;
    ct_tensor *y;

    if (!cti_usable("ct_sum_to_shape", x) || !cti_want_number("ct_sum_to_shape", "x", x) ||
        !cti_rank_check("ct_sum_to_shape", &shape))
        return NULL;
    if (cti_same_shape(&x->shape, &shape))
        return x;
    lead = x->shape.rank - shape.rank;
    for (i = 0; i < x->shape.rank; i++) {
        int64_t want = i < lead ? 1 : shape.dim[i - lead];

        if (lead < 0 || (want != 1 && want != x->shape.dim[i])) {
            ct_raise(CT_ERR_SHAPE, "ct_sum_to_shape", "x %s cannot be summed to the shape %s",
                     cti_describe(x).s, cti_shape_text(&shape).s);
            return NULL;
        }
        if (i < lead || x->shape.dim[i] != want)
            mask |= 1 << i;
    }
    y = cti_reduce_sum("ct_sum_to_shape", x, mask, true);
    return lead ? ct_reshape(y, shape) : y;
}

ct_tensor *cti_sum_to_input(const ct_node *n, int i, ct_tensor *d)
{
    const ct_shape *shape = &n->in[i].tensor->shape;

    return d && cti_same_shape(&d->shape, shape) ? d : ct_sum_to_shape(d, *shape);
}

/* ---- argmax and argmin: no derivative ---- */

static ct_tensor *reduce_position(const char *function, cti_reduce_op op, ct_tensor *x, int axis,
                                  bool keepdim)
{
    ct_tensor *y;

    if (!cti_usable(function, x))
        return NULL;
    axis = cti_axis(function, x, axis);
    if (axis < 0 || !cti_want_number(function, "x", x))
        return NULL;
    if (x->shape.dim[axis] == 0) {
        ct_raise(CT_ERR_SHAPE, function, "axis %d of x %s has size 0", axis, cti_describe(x).s);
        return NULL;
    }
    y = reduce_run(function, op, x, 1 << axis, cti_reduce_shape(&x->shape, 1 << axis, keepdim),
                   CT_I64);
    if (y)
        cti_not_recorded(function, 1, &x, y);
    return y;
}

ct_tensor *ct_argmax(ct_tensor *x, int axis, bool keepdim)
{
    return reduce_position("ct_argmax", CTI_ARGMAX, x, axis, keepdim);
}

ct_tensor *ct_argmin(ct_tensor *x, int axis, bool keepdim)
{
    return reduce_position("ct_argmin", CTI_ARGMIN, x, axis, keepdim);
}

/* ---- prod ---- */

/* For each element of x (rows, n), the product of the other elements of its row.
 *
 * A binary tree: level[0] is x, and level[k + 1] multiplies the two halves of level[k] (an odd
 * element is carried up). On the way down, `above` holds, for each element of a level, the product
 * of everything outside its subtree: the product outside the parent times the sibling. No division
 * occurs, so zeros need no special case and derivatives of any order are right. */
static ct_tensor *prod_of_others(ct_tensor *x)
{
    ct_tensor *level[64], *above, *parts[3];
    int depth = 0;

    for (level[0] = x; level[depth] && level[depth]->shape.dim[1] > 1; depth++) {
        ct_tensor *t = level[depth];
        int64_t half = t->shape.dim[1] / 2;

        parts[0] = ct_mul(ct_narrow(t, 1, 0, half), ct_narrow(t, 1, half, half));
        parts[1] = t->shape.dim[1] % 2 ? ct_narrow(t, 1, 2 * half, 1) : NULL;
        level[depth + 1] = parts[1] ? ct_cat(2, parts, 1) : parts[0];
    }
    above = level[depth] ? ct_ones(level[depth]->shape, x->dtype, x->device) : NULL;
    while (above && depth-- > 0) {
        ct_tensor *t = level[depth], *g;
        int64_t half = t->shape.dim[1] / 2, odd = t->shape.dim[1] % 2;

        g = ct_narrow(above, 1, 0, half);
        parts[0] = ct_mul(g, ct_narrow(t, 1, half, half));
        parts[1] = ct_mul(g, ct_narrow(t, 1, 0, half));
        parts[2] = odd ? ct_narrow(above, 1, half, 1) : NULL;
        above = ct_cat(odd ? 3 : 2, parts, 1);
    }
    return above;
}

/* The axes 0..rank-1 with the masked ones last. */
static void reduce_order(int rank, int mask, int *order)
{
    int n = 0, pass, i;

    for (pass = 0; pass < 2; pass++)
        for (i = 0; i < rank; i++)
            if (!(mask & 1 << i) == !pass)
                order[n++] = i;
}

static void prod_grad(ct_node *n, ct_tensor *const *dout)
{
    const int mask = *(const int *)ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *moved, *dx;
    int order[CT_MAX_RANK], inverse[CT_MAX_RANK], i;
    int64_t count, rows;

    if (!x)
        return;
    reduce_order(x->shape.rank, mask, order);
    for (i = 0; i < x->shape.rank; i++)
        inverse[order[i]] = i;
    count = cti_reduce_count(&x->shape, mask);
    rows = dout[0]->numel;
    moved = ct_permute(x, x->shape.rank, order);
    dx = ct_mul(ct_reshape(dout[0], CT_SHAPE(rows, 1)),
                prod_of_others(ct_reshape(moved, CT_SHAPE(rows, count))));
    ct_node_add_grad(n, 0,
                     ct_permute(ct_reshape(dx, ct_tensor_shape(moved)), x->shape.rank, inverse));
}

/* The sizes of the axes before the masked ones, which are adjacent, and of those after. */
static void reduce_sides(const ct_shape *shape, int mask, int64_t *outer, int64_t *inner)
{
    bool seen = false;

    *outer = *inner = 1;
    for (int i = 0; i < shape->rank; i++)
        if (mask & 1 << i)
            seen = true;
        else
            *(seen ? inner : outer) *= shape->dim[i];
}

/* By a kernel that multiplies the elements before and those after, in double, if the axes are adjacent. */
static void prod_fused_grad(ct_node *n, ct_tensor *const *dout)
{
    const int mask = *(const int *)ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *d, *dx;
    cti_prod_backward_args a = { 0 };

    if (!x)
        return;
    a.n = cti_reduce_count(&x->shape, mask);
    if (a.n > CTI_PROD_MOST || !reduce_is_adjacent(&x->shape, mask)) {
        prod_grad(n, dout);
        return;
    }
    dx = cti_new("ct_prod", x->shape, x->dtype, x->device);
    x = cti_contiguous(x);
    d = cti_contiguous(dout[0]);
    if (!dx || !x || !d)
        return;
    a.dtype = x->dtype;
    reduce_sides(&x->shape, mask, &a.outer, &a.inner);
    a.x = cti_data(x);
    a.d = cti_data(d);
    a.dx = cti_data(dx);
    cti_backend_of(x->device)->prod_backward(&a);
    ct_node_add_grad(n, 0, dx);
}

static const ct_op prod_op = { .name = "ct_prod",
                               .inputs = 1,
                               .outputs = 1,
                               .saves = CT_SAVE_INPUTS,
                               .backward = CTI_TRAINING(prod_grad),
                               .fused_backward = CTI_TRAINING(prod_fused_grad) };

static ct_tensor *reduce_prod(const char *function, ct_tensor *x, int mask, bool keepdim)
{
    ct_tensor *y;

    if (!x || mask < 0 || !cti_want_number(function, "x", x))
        return NULL;
    y = reduce_run(function, CTI_PROD, x, mask, cti_reduce_shape(&x->shape, mask, keepdim),
                   x->dtype);
    return cti_record1_with(&prod_op, x, y, &mask, sizeof mask);
}

ct_tensor *ct_prod(ct_tensor *x)
{
    return cti_usable("ct_prod", x) ? reduce_prod("ct_prod", x, cti_reduce_all(x), false) : NULL;
}

ct_tensor *ct_prod_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_prod_axes";

    return cti_usable(me, x) ? reduce_prod(me, x, cti_reduce_mask(me, x, count, axes), keepdim)
                             : NULL;
}

ct_tensor *ct_prod_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_prod_axes(x, 1, &axis, keepdim);
}

/* ---- max, min, amax, amin ---- */

static void extreme_grad(ct_node *n, ct_tensor *const *dout)
{
    const int mask = *(const int *)ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0), *d = dout[0], *equal, *count,
              *none;

    if (!x || !y)
        return;
    equal = ct_eq(x, cti_reduce_spread(ct_detach(y), x->shape, mask));
    count = cti_reduce_sum("ct_amax_axes", ct_cast(equal, d->dtype), mask, false);
    none = ct_zeros(CT_SCALAR, d->dtype, d->device);
    d = ct_div(d, ct_reshape(count, d->shape));
    ct_node_add_grad(n, 0, ct_where(equal, cti_reduce_spread(d, x->shape, mask), none));
}

static const ct_op extreme_op = { .name = "ct_amax_axes",
                                  .inputs = 1,
                                  .outputs = 1,
                                  .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                  .backward = CTI_TRAINING(extreme_grad) };

bool cti_reduce_has_elements(const char *function, const ct_tensor *x, int mask)
{
    int i;

    for (i = 0; i < x->shape.rank; i++)
        if (mask & 1 << i && x->shape.dim[i] == 0) {
            ct_raise(CT_ERR_SHAPE, function, "axis %d of x %s has size 0", i, cti_describe(x).s);
            return false;
        }
    return true;
}

ct_tensor *cti_reduce_extreme(const char *function, cti_reduce_op op, ct_tensor *x, int mask,
                              bool keepdim)
{
    ct_tensor *y;

    if (!x || mask < 0 || !cti_want_number(function, "x", x) ||
        !cti_reduce_has_elements(function, x, mask))
        return NULL;
    y = reduce_run(function, op, x, mask, cti_reduce_shape(&x->shape, mask, keepdim), x->dtype);
    return cti_record1_with(&extreme_op, x, y, &mask, sizeof mask);
}

ct_tensor *ct_max(ct_tensor *x)
{
    return cti_usable("ct_max", x)
               ? cti_reduce_extreme("ct_max", CTI_MAX, x, cti_reduce_all(x), false)
               : NULL;
}

ct_tensor *ct_min(ct_tensor *x)
{
    return cti_usable("ct_min", x)
               ? cti_reduce_extreme("ct_min", CTI_MIN, x, cti_reduce_all(x), false)
               : NULL;
}

ct_tensor *ct_amax_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_amax_axes";

    return cti_usable(me, x)
               ? cti_reduce_extreme(me, CTI_MAX, x, cti_reduce_mask(me, x, count, axes), keepdim)
               : NULL;
}

ct_tensor *ct_amax_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_amax_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_amin_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_amin_axes";

    return cti_usable(me, x)
               ? cti_reduce_extreme(me, CTI_MIN, x, cti_reduce_mask(me, x, count, axes), keepdim)
               : NULL;
}

ct_tensor *ct_amin_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_amin_axes(x, 1, &axis, keepdim);
}

/* The elements gathered at the positions of the extremes; ct_gather supplies the derivative. */
static ct_tensor *reduce_extreme_axis(const char *function, cti_reduce_op op, ct_tensor *x,
                                      int axis, bool keepdim, ct_tensor **indices)
{
    ct_tensor *at = reduce_position(function, op, x, axis, true);
    ct_tensor *y = at ? ct_gather(x, axis, at) : NULL;

    if (!keepdim) {
        y = y ? ct_squeeze(y, axis) : NULL;
        at = y ? ct_squeeze(at, axis) : NULL;
    }
    if (indices)
        *indices = y ? at : NULL;
    return y;
}

ct_tensor *ct_max_axis(ct_tensor *x, int axis, bool keepdim, ct_tensor **indices)
{
    return reduce_extreme_axis("ct_max_axis", CTI_ARGMAX, x, axis, keepdim, indices);
}

ct_tensor *ct_min_axis(ct_tensor *x, int axis, bool keepdim, ct_tensor **indices)
{
    return reduce_extreme_axis("ct_min_axis", CTI_ARGMIN, x, axis, keepdim, indices);
}

/* ---- any and all: no derivative ---- */

static ct_tensor *reduce_bool(const char *function, cti_reduce_op op, ct_tensor *x, int mask,
                              bool keepdim)
{
    if (mask < 0)
        return NULL;
    if (x->dtype != CT_BOOL) {
        ct_raise(CT_ERR_DTYPE, function, "x %s must be bool", cti_describe(x).s);
        return NULL;
    }
    return reduce_run(function, op, x, mask, cti_reduce_shape(&x->shape, mask, keepdim), CT_BOOL);
}

ct_tensor *ct_any(ct_tensor *x)
{
    return cti_usable("ct_any", x) ? reduce_bool("ct_any", CTI_ANY, x, cti_reduce_all(x), false)
                                   : NULL;
}

ct_tensor *ct_all(ct_tensor *x)
{
    return cti_usable("ct_all", x) ? reduce_bool("ct_all", CTI_ALL, x, cti_reduce_all(x), false)
                                   : NULL;
}

ct_tensor *ct_any_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_any_axes";

    return cti_usable(me, x)
               ? reduce_bool(me, CTI_ANY, x, cti_reduce_mask(me, x, count, axes), keepdim)
               : NULL;
}

ct_tensor *ct_any_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_any_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_all_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_all_axes";

    return cti_usable(me, x)
               ? reduce_bool(me, CTI_ALL, x, cti_reduce_mask(me, x, count, axes), keepdim)
               : NULL;
}

ct_tensor *ct_all_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_all_axes(x, 1, &axis, keepdim);
}

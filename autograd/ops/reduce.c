/* reduce.c - reductions: axes are brought together, then one kernel runs over (outer, n, inner).
 * Derivatives are beside each. */
#include "autograd/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/arrange.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/shape.h>

#include <math.h>

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

static int all_axes(const ct_tensor *x)
{
    return (1 << x->shape.rank) - 1;
}

/* How many elements of the shape come together in one. */
static int64_t reduced_count(const ct_shape *shape, int mask)
{
    int64_t n = 1;
    int i;

    for (i = 0; i < shape->rank; i++)
        if (mask & 1 << i)
            n *= shape->dim[i];
    return n;
}

static ct_shape reduced_shape(const ct_shape *shape, int mask, bool keepdim)
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
    ct_shape shape = ct_shape_from_sizes(0, NULL);
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
    cti_backend_of(x->device)->reduce(&(cti_reduce_args){ .op = op,
                                                          .dtype = x->dtype,
                                                          .outer = outer,
                                                          .n = n,
                                                          .inner = inner,
                                                          .in = cti_ptr(c),
                                                          .out = cti_ptr(y) });
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
    const int *mask = ct_node_attributes(n);

    ct_node_add_grad(n, 0, spread(dout[0], ct_node_input_shape(n, 0), *mask));
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

    if (!x || mask < 0 || !want_numbers(function, x))
        return NULL;
    y = reduce(function, CTI_SUM, x, mask, reduced_shape(&x->shape, mask, keepdim), x->dtype);
    return y && ct_record(&sum_op, 1, &x, 1, &y, &mask, sizeof mask) ? y : NULL;
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
    if (mask < 0 || !cti_want_float(function, "x", x))
        return NULL;
    return ct_div_scalar(sum_mask(function, x, mask, keepdim),
                         (double)reduced_count(&x->shape, mask));
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

/* ---- product: dx = d times the other elements ---- */

/* The product of the other elements of each row of x (rows, n): products of pairs up a tree, then
 * down it again, each half times what stands beside it and above. It divides by nothing, so zeros
 * are no exception, and derivatives of any order are right. */
static ct_tensor *others(ct_tensor *x)
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

/* The axes of a shape, the masked ones last. */
static void masked_last_order(int rank, int mask, int *order)
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
    masked_last_order(x->shape.rank, mask, order);
    for (i = 0; i < x->shape.rank; i++)
        inverse[order[i]] = i;
    count = reduced_count(&x->shape, mask);
    rows = dout[0]->numel;
    moved = ct_permute(x, x->shape.rank, order);
    dx = ct_mul(ct_reshape(dout[0], CT_SHAPE(rows, 1)),
                others(ct_reshape(moved, CT_SHAPE(rows, count))));
    ct_node_add_grad(n, 0,
                     ct_permute(ct_reshape(dx, ct_tensor_shape(moved)), x->shape.rank, inverse));
}

static const ct_op prod_op = {
    .name = "ct_prod", .inputs = 1, .outputs = 1, .saves = CT_SAVE_INPUTS, .backward = prod_grad
};

static ct_tensor *prod_mask(const char *function, ct_tensor *x, int mask, bool keepdim)
{
    ct_tensor *y;

    if (!x || mask < 0 || !want_numbers(function, x))
        return NULL;
    y = reduce(function, CTI_PROD, x, mask, reduced_shape(&x->shape, mask, keepdim), x->dtype);
    return y && ct_record(&prod_op, 1, &x, 1, &y, &mask, sizeof mask) ? y : NULL;
}

ct_tensor *ct_prod(ct_tensor *x)
{
    return cti_usable("ct_prod", x) ? prod_mask("ct_prod", x, all_axes(x), false) : NULL;
}

ct_tensor *ct_prod_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_prod_axes";

    return cti_usable(me, x) ? prod_mask(me, x, axes_mask(me, x, count, axes), keepdim) : NULL;
}

/* ---- extremes: dx = d, shared by all elements that equal y ---- */

static void extreme_grad(ct_node *n, ct_tensor *const *dout)
{
    const int mask = *(const int *)ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0), *d = dout[0], *equal, *count,
              *none;

    if (!x || !y)
        return;
    equal = ct_eq(x, spread(ct_detach(y), x->shape, mask));
    count = sum_mask("ct_amax_axes", ct_cast(equal, d->dtype), mask, false);
    none = ct_zeros(CT_SCALAR, d->dtype, d->device);
    d = ct_div(d, ct_reshape(count, d->shape));
    ct_node_add_grad(n, 0, ct_where(equal, spread(d, x->shape, mask), none));
}

static const ct_op extreme_op = { .name = "ct_amax_axes",
                                  .inputs = 1,
                                  .outputs = 1,
                                  .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                  .backward = extreme_grad };

/* False with an error if a masked axis has size 0. */
static bool has_elements(const char *function, const ct_tensor *x, int mask)
{
    int i;

    for (i = 0; i < x->shape.rank; i++)
        if (mask & 1 << i && x->shape.dim[i] == 0) {
            ct_raise(CT_ERR_SHAPE, function, "axis %d of x %s has size 0", i, cti_describe(x).s);
            return false;
        }
    return true;
}

static ct_tensor *extreme_mask(const char *function, cti_reduce_op op, ct_tensor *x, int mask,
                               bool keepdim)
{
    ct_tensor *y;

    if (!x || mask < 0 || !want_numbers(function, x) || !has_elements(function, x, mask))
        return NULL;
    y = reduce(function, op, x, mask, reduced_shape(&x->shape, mask, keepdim), x->dtype);
    return y && ct_record(&extreme_op, 1, &x, 1, &y, &mask, sizeof mask) ? y : NULL;
}

ct_tensor *ct_max(ct_tensor *x)
{
    return cti_usable("ct_max", x) ? extreme_mask("ct_max", CTI_MAX, x, all_axes(x), false) : NULL;
}

ct_tensor *ct_min(ct_tensor *x)
{
    return cti_usable("ct_min", x) ? extreme_mask("ct_min", CTI_MIN, x, all_axes(x), false) : NULL;
}

ct_tensor *ct_amax_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_amax_axes";

    return cti_usable(me, x) ? extreme_mask(me, CTI_MAX, x, axes_mask(me, x, count, axes), keepdim)
                             : NULL;
}

ct_tensor *ct_amin_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_amin_axes";

    return cti_usable(me, x) ? extreme_mask(me, CTI_MIN, x, axes_mask(me, x, count, axes), keepdim)
                             : NULL;
}

/* The positions, and what is gathered there: the derivative is the gather's. */
static ct_tensor *extreme_axis(const char *function, cti_reduce_op op, ct_tensor *x, int axis,
                               bool keepdim, ct_tensor **indices)
{
    ct_tensor *at = arg_extreme(function, op, x, axis, true);
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
    return extreme_axis("ct_max_axis", CTI_ARGMAX, x, axis, keepdim, indices);
}

ct_tensor *ct_min_axis(ct_tensor *x, int axis, bool keepdim, ct_tensor **indices)
{
    return extreme_axis("ct_min_axis", CTI_ARGMIN, x, axis, keepdim, indices);
}

/* ---- forwards made of ops, of which only the result is kept ---- */

/* d / y, and 0 where y is 0; so in every order of derivative. */
static ct_tensor *divide_or_zero(ct_tensor *d, ct_tensor *y)
{
    ct_tensor *zero, *one, *flat;

    if (!d)
        return NULL;
    zero = ct_zeros(CT_SCALAR, d->dtype, d->device);
    one = ct_ones(CT_SCALAR, d->dtype, d->device);
    flat = ct_eq(y, zero);
    return ct_where(flat, zero, ct_div(d, ct_where(flat, one, y)));
}

typedef struct reducing {
    int mask;
    bool root;     /* var: std */
    double number; /* var: the divisor; norm: p */
} reducing;

/* y = f(x, r), computed in a scope of its own and recorded under op. */
static ct_tensor *composed(const char *function, const ct_op *op, ct_tensor *x, reducing r,
                           bool keepdim, ct_tensor *(*f)(ct_tensor *x, const reducing *r))
{
    ct_shape shape = reduced_shape(&x->shape, r.mask, keepdim);
    ct_tensor *y = cti_new(function, shape, x->dtype, x->device), *v;
    ct_scope s;

    if (!y)
        return NULL;
    s = cti_scope_push(); /* nothing is recorded in it */
    v = ct_reshape(f(x, &r), y->shape);
    if (v)
        cti_copy(y, v);
    cti_scope_pop(s);
    return v && ct_record(op, 1, &x, 1, &y, &r, sizeof r) ? y : NULL;
}

/* x with its mean taken away. */
static ct_tensor *centred(ct_tensor *x, int mask)
{
    return ct_sub(x, mean_mask("ct_var", x, mask, true));
}

/* ---- var and std: dx = 2 d (x - mean) / divisor; of the root d (x - mean) / (divisor y) ---- */

static ct_tensor *var_of(ct_tensor *x, const reducing *r)
{
    ct_tensor *squares = ct_square(centred(x, r->mask));
    ct_tensor *y = ct_div_scalar(sum_mask("ct_var", squares, r->mask, false), r->number);

    return r->root ? ct_sqrt(y) : y;
}

static void var_grad(ct_node *n, ct_tensor *const *dout)
{
    const reducing *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0), *d = dout[0];

    if (!x || !y)
        return;
    d = r->root ? divide_or_zero(d, y) : ct_mul_scalar(d, 2);
    ct_node_add_grad(
        n, 0, ct_mul(spread(ct_div_scalar(d, r->number), x->shape, r->mask), centred(x, r->mask)));
}

static const ct_op var_op = { .name = "ct_var",
                              .inputs = 1,
                              .outputs = 1,
                              .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                              .backward = var_grad };
static const ct_op std_op = { .name = "ct_std",
                              .inputs = 1,
                              .outputs = 1,
                              .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                              .backward = var_grad };

static ct_tensor *var_mask(const char *function, bool root, ct_tensor *x, int mask,
                           double correction, bool keepdim)
{
    double divisor;

    if (mask < 0 || !cti_want_float(function, "x", x))
        return NULL;
    if (!isfinite(correction)) {
        ct_raise(CT_ERR_ARGUMENT, function, "correction %g is not finite", correction);
        return NULL;
    }
    divisor = fmax(0, (double)reduced_count(&x->shape, mask) - correction);
    return composed(function, root ? &std_op : &var_op, x, (reducing){ mask, root, divisor },
                    keepdim, var_of);
}

ct_tensor *ct_var(ct_tensor *x)
{
    return cti_usable("ct_var", x) ? var_mask("ct_var", false, x, all_axes(x), 1, false) : NULL;
}

ct_tensor *ct_std(ct_tensor *x)
{
    return cti_usable("ct_std", x) ? var_mask("ct_std", true, x, all_axes(x), 1, false) : NULL;
}

ct_tensor *ct_var_axes(ct_tensor *x, int count, const int *axes, double correction, bool keepdim)
{
    static const char *const me = "ct_var_axes";

    return cti_usable(me, x)
               ? var_mask(me, false, x, axes_mask(me, x, count, axes), correction, keepdim)
               : NULL;
}

ct_tensor *ct_std_axes(ct_tensor *x, int count, const int *axes, double correction, bool keepdim)
{
    static const char *const me = "ct_std_axes";

    return cti_usable(me, x)
               ? var_mask(me, true, x, axes_mask(me, x, count, axes), correction, keepdim)
               : NULL;
}

/* ---- norm: dx = d sign(x) (|x| / y)^(p - 1); of 2 d x / y; of 0 nothing ---- */

static ct_tensor *norm_of(ct_tensor *x, const reducing *r)
{
    double p = r->number;
    ct_tensor *terms, *sum;

    if (p == 0)
        terms = ct_cast(ct_ne(x, ct_zeros_like(x)), x->dtype);
    else
        terms = p == 2 ? ct_square(x) : ct_abs(x);
    if (p != 0 && p != 1 && p != 2)
        terms = ct_pow_scalar(terms, p);
    sum = sum_mask("ct_norm", terms, r->mask, false);
    return p == 0 || p == 1 ? sum : p == 2 ? ct_sqrt(sum) : ct_pow_scalar(sum, 1 / p);
}

/* (|x| / y)^(p - 1), but 1 where x is 0 (its sign makes it 0) and 0 where y is. */
static ct_tensor *norm_slope(ct_tensor *x, ct_tensor *y, double p)
{
    ct_tensor *one = ct_ones(CT_SCALAR, x->dtype, x->device);
    ct_tensor *zero = ct_zeros(CT_SCALAR, x->dtype, x->device);
    ct_tensor *flat = ct_eq(y, zero), *none = ct_logical_or(ct_eq(x, zero), flat);
    ct_tensor *ratio = ct_div(ct_where(none, one, ct_abs(x)), ct_where(none, one, y));

    return ct_where(flat, zero, ct_pow_scalar(ratio, p - 1));
}

static void norm_grad(ct_node *n, ct_tensor *const *dout)
{
    const reducing *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0), *d = dout[0], *slope;

    if (!x || !y)
        return;
    if (r->number == 0) {
        ct_node_add_grad(n, 0, ct_zeros_like(x));
    } else if (r->number == 2) {
        ct_node_add_grad(n, 0, ct_mul(x, spread(divide_or_zero(d, y), x->shape, r->mask)));
    } else {
        slope = ct_sign(x);
        if (r->number != 1)
            slope = ct_mul(slope, norm_slope(x, spread(y, x->shape, r->mask), r->number));
        ct_node_add_grad(n, 0, ct_mul(spread(d, x->shape, r->mask), slope));
    }
}

static const ct_op norm_op = { .name = "ct_norm",
                               .inputs = 1,
                               .outputs = 1,
                               .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                               .backward = norm_grad };

static ct_tensor *norm_mask(const char *function, ct_tensor *x, double p, int mask, bool keepdim)
{
    if (mask < 0 || !cti_want_float(function, "x", x))
        return NULL;
    if (isnan(p)) {
        ct_raise(CT_ERR_ARGUMENT, function, "p is not a number");
        return NULL;
    }
    if (isinf(p))
        return extreme_mask(function, p > 0 ? CTI_MAX : CTI_MIN, ct_abs(x), mask, keepdim);
    if (p < 0 && !has_elements(function, x, mask))
        return NULL;
    return composed(function, &norm_op, x, (reducing){ .mask = mask, .number = p }, keepdim,
                    norm_of);
}

ct_tensor *ct_norm(ct_tensor *x, double p)
{
    return cti_usable("ct_norm", x) ? norm_mask("ct_norm", x, p, all_axes(x), false) : NULL;
}

ct_tensor *ct_norm_axes(ct_tensor *x, double p, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_norm_axes";

    return cti_usable(me, x) ? norm_mask(me, x, p, axes_mask(me, x, count, axes), keepdim) : NULL;
}

/* ---- logsumexp: dx = d exp(x - y) ---- */

/* t, and 0 where it is not finite. */
static ct_tensor *finite_or_zero(ct_tensor *t)
{
    return t ? ct_where(ct_isfinite(t), t, ct_zeros(CT_SCALAR, t->dtype, t->device)) : NULL;
}

static ct_tensor *logsumexp_of(ct_tensor *x, const reducing *r)
{
    ct_tensor *most = extreme_mask("ct_logsumexp_axes", CTI_MAX, x, r->mask, true), *e;

    most = finite_or_zero(most);
    e = ct_exp(ct_sub(x, most));
    return ct_add(ct_log(sum_mask("ct_logsumexp_axes", e, r->mask, true)), most);
}

static void logsumexp_grad(ct_node *n, ct_tensor *const *dout)
{
    const reducing *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0), *none;

    if (!x || !y)
        return;
    none = ct_eq(y, ct_full(CT_SCALAR, -INFINITY, y->dtype, y->device)); /* all x are -inf: 0 */
    y = ct_where(none, ct_zeros(CT_SCALAR, y->dtype, y->device), y);
    y = spread(y, x->shape, r->mask);
    ct_node_add_grad(n, 0, ct_mul(spread(dout[0], x->shape, r->mask), ct_exp(ct_sub(x, y))));
}

static const ct_op logsumexp_op = { .name = "ct_logsumexp_axes",
                                    .inputs = 1,
                                    .outputs = 1,
                                    .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                    .backward = logsumexp_grad };

ct_tensor *ct_logsumexp_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_logsumexp_axes";
    int mask;

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x))
        return NULL;
    mask = axes_mask(me, x, count, axes);
    if (mask < 0 || !has_elements(me, x, mask))
        return NULL;
    return composed(me, &logsumexp_op, x, (reducing){ .mask = mask }, keepdim, logsumexp_of);
}

/* ---- any and all ---- */

static ct_tensor *bool_mask(const char *function, cti_reduce_op op, ct_tensor *x, int mask,
                            bool keepdim)
{
    if (mask < 0)
        return NULL;
    if (x->dtype != CT_BOOL) {
        ct_raise(CT_ERR_DTYPE, function, "x %s must be bool", cti_describe(x).s);
        return NULL;
    }
    return reduce(function, op, x, mask, reduced_shape(&x->shape, mask, keepdim), CT_BOOL);
}

ct_tensor *ct_any(ct_tensor *x)
{
    return cti_usable("ct_any", x) ? bool_mask("ct_any", CTI_ANY, x, all_axes(x), false) : NULL;
}

ct_tensor *ct_all(ct_tensor *x)
{
    return cti_usable("ct_all", x) ? bool_mask("ct_all", CTI_ALL, x, all_axes(x), false) : NULL;
}

ct_tensor *ct_any_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_any_axes";

    return cti_usable(me, x) ? bool_mask(me, CTI_ANY, x, axes_mask(me, x, count, axes), keepdim)
                             : NULL;
}

ct_tensor *ct_all_axes(ct_tensor *x, int count, const int *axes, bool keepdim)
{
    static const char *const me = "ct_all_axes";

    return cti_usable(me, x) ? bool_mask(me, CTI_ALL, x, axes_mask(me, x, count, axes), keepdim)
                             : NULL;
}

/* ---- cumsum: dx = running sums of d from the end ---- */

typedef struct running {
    int axis;
    bool reverse;
} running;

static ct_tensor *cumsum(ct_tensor *x, running r);

static void cumsum_grad(ct_node *n, ct_tensor *const *dout)
{
    running r = *(const running *)ct_node_attributes(n);

    r.reverse = !r.reverse;
    ct_node_add_grad(n, 0, cumsum(dout[0], r));
}

static const ct_op cumsum_op = {
    .name = "ct_cumsum", .inputs = 1, .outputs = 1, .backward = cumsum_grad
};

static ct_tensor *cumsum(ct_tensor *x, running r)
{
    ct_tensor *y = cti_new("ct_cumsum", x->shape, x->dtype, x->device);
    ct_tensor *c = y ? cti_contiguous(x) : NULL;
    int64_t outer, inner;

    if (!c)
        return NULL;
    cti_around(&x->shape, r.axis, &outer, &inner);
    cti_backend_of(x->device)->cumsum(&(cti_cumsum_args){ .dtype = x->dtype,
                                                          .reverse = r.reverse,
                                                          .outer = outer,
                                                          .n = x->shape.dim[r.axis],
                                                          .inner = inner,
                                                          .in = cti_ptr(c),
                                                          .out = cti_ptr(y) });
    return ct_record(&cumsum_op, 1, &x, 1, &y, &r, sizeof r) ? y : NULL;
}

ct_tensor *ct_cumsum(ct_tensor *x, int axis)
{
    if (!cti_usable("ct_cumsum", x) || !want_numbers("ct_cumsum", x))
        return NULL;
    axis = cti_axis("ct_cumsum", x, axis);
    return axis < 0 ? NULL : cumsum(x, (running){ .axis = axis });
}

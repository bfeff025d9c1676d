/* SPDX-License-Identifier: MIT */
/* scan.c - running sums, products and extremes along an axis.
 *
 *     cumsum:        y_i = x_0 + ... + x_i;  dx_i = d_i + ... + d_(n-1), the running sum from the
 *                    end
 *     logcumsumexp:  y_j = log(exp(x_0) + ... + exp(x_j));  dx = W^T d, W_ji = exp(x_i - y_j) for
 *                    i <= j, else 0
 *     linear_scan:   h_j = a_j h_(j-1) + b_j;  with g_j = d_j + a_(j+1) g_(j+1), the recurrence from
 *                    the end, db = g, da_j = g_j h_(j-1) and dinitial = a_0 g_0
 *     cumprod:       the recurrence for a = x, b = 0 and 1 before the first
 *     cummax, cummin:  y = x gathered at the positions of the extremes */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/rearrange.h>
#include <cotangent/autograd/ops/scan.h>
#include <cotangent/autograd/ops/views.h>

typedef struct scan_attributes {
    int axis;
    bool reverse; /* sum from the end, as the derivative does */
} scan_attributes;

static ct_tensor *scan_cumsum(ct_tensor *x, scan_attributes r);

static void cumsum_grad(ct_node *n, ct_tensor *const *dout)
{
    scan_attributes r = *(const scan_attributes *)ct_node_attributes(n);

    r.reverse = !r.reverse;
    ct_node_add_grad(n, 0, scan_cumsum(dout[0], r));
}

static const ct_op cumsum_op = {
    .name = "ct_cumsum", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(cumsum_grad)
};

static ct_tensor *scan_cumsum(ct_tensor *x, scan_attributes r)
{
    ct_tensor *y = cti_new("ct_cumsum", x->shape, x->dtype, x->device);
    ct_tensor *c = y ? cti_contiguous(x) : NULL;
    int64_t outer, inner;

    if (!c)
        return NULL;
    cti_split_axis(&x->shape, r.axis, &outer, &inner);
    cti_backend_of(x->device)->cumsum(&(cti_cumsum_args){ .dtype = x->dtype,
                                                          .reverse = r.reverse,
                                                          .outer = outer,
                                                          .n = x->shape.dim[r.axis],
                                                          .inner = inner,
                                                          .in = cti_data(c),
                                                          .out = cti_data(y) });
    return cti_record1_with(&cumsum_op, x, y, &r, sizeof r);
}

ct_tensor *ct_cumsum(ct_tensor *x, int axis)
{
    if (!cti_usable("ct_cumsum", x) || !cti_want_number("ct_cumsum", "x", x))
        return NULL;
    axis = cti_axis("ct_cumsum", x, axis);
    return axis < 0 ? NULL : scan_cumsum(x, (scan_attributes){ .axis = axis });
}

/* ---- logcumsumexp ---- */

typedef struct log_scan_attributes {
    int axis;
    bool transposed;
} log_scan_attributes;

/* out = W^T d, or W d if transposed: an op of d, x and y. The kernel computes it without overflow.
 * It does not use logarithms of d, which may be negative or 0. */
static ct_tensor *log_scan_product(ct_tensor *d, ct_tensor *x, ct_tensor *y, log_scan_attributes r);

/* Let e be the gradient of out. Let p be the product of e with the transposed matrix: W e for W^T
 * d, and W^T e for W d. Then
 *     W^T d:  dd = p, dx = e out, dy = -d p        W d:  dd = p, dx = d p, dy = -e out */
static void log_scan_product_grad(ct_node *n, ct_tensor *const *dout)
{
    log_scan_attributes r = *(const log_scan_attributes *)ct_node_attributes(n);
    ct_tensor *e = dout[0], *out = ct_node_output(n, 0);
    ct_tensor *d = ct_node_input(n, 0), *x = ct_node_input(n, 1), *y = ct_node_input(n, 2), *p;
    bool transposed = r.transposed;

    r.transposed = !r.transposed;
    p = log_scan_product(e, x, y, r);
    if (ct_node_needs_grad(n, 0))
        ct_node_add_grad(n, 0, p);
    if (ct_node_needs_grad(n, 1))
        ct_node_add_grad(n, 1, transposed ? ct_mul(d, p) : ct_mul(e, out));
    if (ct_node_needs_grad(n, 2))
        ct_node_add_grad(n, 2, ct_neg(transposed ? ct_mul(e, out) : ct_mul(d, p)));
}

static const ct_op log_scan_product_op = { .name = "ct_logcumsumexp_backward",
                                           .inputs = 3,
                                           .outputs = 1,
                                           .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                           .backward = CTI_TRAINING(log_scan_product_grad) };

static ct_tensor *log_scan_product(ct_tensor *d, ct_tensor *x, ct_tensor *y, log_scan_attributes r)
{
    ct_tensor *in[] = { d, x, y }, *dense[3], *out;
    int64_t outer, inner;
    int i;

    for (i = 0; i < 3; i++)
        if (!in[i] || !(dense[i] = cti_contiguous(in[i])))
            return NULL;
    out = cti_new("ct_logcumsumexp", x->shape, x->dtype, x->device);
    if (!out)
        return NULL;
    cti_split_axis(&x->shape, r.axis, &outer, &inner);
    cti_backend_of(x->device)->logcumsumexp_backward(
        &(cti_logcumsumexp_backward_args){ .dtype = x->dtype,
                                           .transposed = r.transposed,
                                           .outer = outer,
                                           .n = x->shape.dim[r.axis],
                                           .inner = inner,
                                           .d = cti_data(dense[0]),
                                           .x = cti_data(dense[1]),
                                           .y = cti_data(dense[2]),
                                           .out = cti_data(out) });
    return cti_record_n_with(&log_scan_product_op, 3, in, out, &r, sizeof r);
}

static void logcumsumexp_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);

    ct_node_add_grad(n, 0,
                     log_scan_product(dout[0], ct_node_input(n, 0), ct_node_output(n, 0),
                                      (log_scan_attributes){ .axis = *axis }));
}

static const ct_op logcumsumexp_op = { .name = "ct_logcumsumexp",
                                       .inputs = 1,
                                       .outputs = 1,
                                       .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                       .backward = CTI_TRAINING(logcumsumexp_grad) };

ct_tensor *ct_logcumsumexp(ct_tensor *x, int axis)
{
    ct_tensor *y, *c;
    int64_t outer, inner;

    if (!cti_usable("ct_logcumsumexp", x) || !cti_want_float("ct_logcumsumexp", "x", x) ||
        (axis = cti_axis("ct_logcumsumexp", x, axis)) < 0)
        return NULL;
    y = cti_new("ct_logcumsumexp", x->shape, x->dtype, x->device);
    c = y ? cti_contiguous(x) : NULL;
    if (!c)
        return NULL;
    cti_split_axis(&x->shape, axis, &outer, &inner);
    cti_backend_of(x->device)->logcumsumexp(&(cti_cumsum_args){ .dtype = x->dtype,
                                                                .outer = outer,
                                                                .n = x->shape.dim[axis],
                                                                .inner = inner,
                                                                .in = cti_data(c),
                                                                .out = cti_data(y) });
    return cti_record1_with(&logcumsumexp_op, x, y, &axis, sizeof axis);
}

/* ---- recurrences and products ---- */

/* Returns t shifted by one along the axis: element j is t_(j-1), or t_(j+1) if back is set; 0 at
 * the end. */
static ct_tensor *scan_shift(ct_tensor *t, int axis, bool back)
{
    int64_t n, sizes[2 * CT_MAX_RANK] = { 0 };
    int pairs;

    if (!t || t->shape.dim[axis] == 0)
        return t;
    n = t->shape.dim[axis];
    pairs = t->shape.rank - axis;
    sizes[2 * pairs - 1 - !back] = 1;
    return ct_pad(ct_narrow(t, axis, back, n - 1), 2 * pairs, sizes, 0);
}

/* The attributes of a recurrence. op names it in messages: ct_cumprod or ct_linear_scan. */
typedef struct recurrence_attributes {
    const ct_op *op;
    int axis;
    bool reverse, has_initial;
} recurrence_attributes;

/* h_j = a_j h_(j-1) + b_j, or from the end h_j = a_j h_(j+1) + b_j, for in = { a, b, initial }. a and b
 * have one shape, initial, or NULL for 0, the shape without the axis. */
static ct_tensor *scan_recurrence(ct_tensor *const *in, recurrence_attributes r);

/* Returns the index of the first step: 0, or the last index if the scan runs in reverse. */
static int64_t scan_first(const ct_tensor *h, recurrence_attributes r)
{
    return r.reverse ? h->shape.dim[r.axis] - 1 : 0;
}

/* h before each step */
static ct_tensor *scan_before(ct_tensor *h, ct_tensor *initial, recurrence_attributes r)
{
    ct_tensor *part[2];
    int64_t n = h->shape.dim[r.axis];

    if (!initial || n == 0)
        return scan_shift(h, r.axis, r.reverse);
    part[r.reverse] = ct_unsqueeze(initial, r.axis);
    part[!r.reverse] = ct_narrow(h, r.axis, r.reverse, n - 1);
    return ct_cat(2, part, r.axis);
}

static void recurrence_grad(ct_node *n, ct_tensor *const *dout)
{
    recurrence_attributes r = *(const recurrence_attributes *)ct_node_attributes(n), back = r;
    ct_tensor *a = ct_node_input(n, 0), *h = ct_node_output(n, 0), *g;
    ct_tensor *initial = r.has_initial ? ct_node_input(n, 2) : NULL;

    back.reverse = !r.reverse;
    back.has_initial = false;
    g = scan_recurrence((ct_tensor *[]){ scan_shift(a, r.axis, !r.reverse), dout[0], NULL }, back);
    if (!g || !h)
        return;
    if (ct_node_needs_grad(n, 0))
        ct_node_add_grad(n, 0, ct_mul(g, scan_before(h, initial, r)));
    if (ct_node_needs_grad(n, 1))
        ct_node_add_grad(n, 1, g);
    if (initial && ct_node_needs_grad(n, 2) && h->shape.dim[r.axis]) {
        int64_t first = scan_first(h, r);

        ct_node_add_grad(n, 2, ct_mul(ct_select(a, r.axis, first), ct_select(g, r.axis, first)));
    }
}

/* A new tensor for a gradient, or NULL if none is needed. */
static ct_tensor *scan_new_gradient(ct_node *n, int i, const ct_tensor *like, ct_shape shape)
{
    return ct_node_needs_grad(n, i) ? cti_new("ct_linear_scan", shape, like->dtype, like->device)
                                    : NULL;
}

static void recurrence_fused_grad(ct_node *n, ct_tensor *const *dout)
{
    const recurrence_attributes *r = ct_node_attributes(n);
    ct_tensor *h = ct_node_output(n, 0), *gradient[3], *a, *d;
    ct_tensor *initial = r->has_initial ? ct_node_input(n, 2) : NULL;
    cti_linear_scan_backward_args s;
    int i;

    a = ct_node_input(n, 0);
    if (!h || !a || !ct_ok())
        return;
    a = cti_contiguous(a);
    d = cti_contiguous(dout[0]);
    initial = initial ? cti_contiguous(initial) : NULL;
    for (i = 0; i < 3; i++)
        gradient[i] = scan_new_gradient(n, i, h, i < 2 || !initial ? h->shape : initial->shape);
    if (!ct_ok())
        return;
    s = (cti_linear_scan_backward_args){ .dtype = h->dtype,
                                         .reverse = r->reverse,
                                         .n = h->shape.dim[r->axis],
                                         .a = cti_data(a),
                                         .h = cti_data(h),
                                         .d = cti_data(d),
                                         .initial = initial ? cti_data(initial) : NULL,
                                         .da = gradient[0] ? cti_data(gradient[0]) : NULL,
                                         .db = gradient[1] ? cti_data(gradient[1]) : NULL,
                                         .dinitial = gradient[2] ? cti_data(gradient[2]) : NULL };
    cti_split_axis(&h->shape, r->axis, &s.outer, &s.inner);
    cti_backend_of(h->device)->linear_scan_backward(&s);
    for (i = 0; i < 3; i++)
        if (gradient[i] && s.n)
            ct_node_add_grad(n, i, gradient[i]);
}

static const ct_op cumprod_op = { .name = "ct_cumprod",
                                  .inputs = 3,
                                  .outputs = 1,
                                  .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                  .backward = CTI_TRAINING(recurrence_grad),
                                  .fused_backward = CTI_TRAINING(recurrence_fused_grad) };

static const ct_op linear_scan_op = { .name = "ct_linear_scan",
                                      .inputs = 3,
                                      .outputs = 1,
                                      .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                      .backward = CTI_TRAINING(recurrence_grad),
                                      .fused_backward = CTI_TRAINING(recurrence_fused_grad) };

static ct_tensor *scan_recurrence(ct_tensor *const *in, recurrence_attributes r)
{
    ct_tensor *a, *b, *h, *initial = NULL;
    cti_linear_scan_args s;

    a = in[0] ? cti_contiguous(in[0]) : NULL;
    b = a && in[1] ? cti_contiguous(in[1]) : NULL;
    h = a ? cti_new(r.op->name, a->shape, a->dtype, a->device) : NULL;
    if (!h || (in[1] && !b) || (in[2] && !(initial = cti_contiguous(in[2]))))
        return NULL;
    s = (cti_linear_scan_args){ .dtype = a->dtype,
                                .reverse = r.reverse,
                                .n = a->shape.dim[r.axis],
                                .a = cti_data(a),
                                .b = b ? cti_data(b) : NULL,
                                .initial = initial ? cti_data(initial) : NULL,
                                .out = cti_data(h) };
    cti_split_axis(&a->shape, r.axis, &s.outer, &s.inner);
    cti_backend_of(a->device)->linear_scan(&s);
    return cti_record_n_with(r.op, 3, in, h, &r, sizeof r);
}

/* The arguments of ct_linear_scan: true, with the shape of the result, if they fit. */
static bool linear_scan_check(const char *me, const ct_tensor *a, const ct_tensor *b,
                              const ct_linear_scan_options *o, ct_shape *shape)
{
    int clash;

    if (!cti_usable(me, a) || !cti_usable(me, b) ||
        !cti_optional_as(me, "options.initial", o->initial) || !cti_want_number(me, "a", a) ||
        !cti_same_dtype(me, "a", a, "b", b) || !cti_same_device(me, "a", a, "b", b) ||
        (o->initial && (!cti_same_dtype(me, "a", a, "options.initial", o->initial) ||
                        !cti_same_device(me, "a", a, "options.initial", o->initial))))
        return false;
    clash = cti_broadcast_shapes(&a->shape, &b->shape, shape);
    if (clash < 0)
        return true;
    cti_no_broadcast(me, "a", a, "b", b, clash);
    return false;
}

/* The axis in 0..rank - 1, if initial has the shape without it; otherwise -1 with an error. */
static int linear_scan_axis(const char *me, const ct_tensor *h, int axis, const ct_tensor *initial)
{
    ct_shape want;
    int i;

    axis = cti_axis(me, h, axis);
    if (axis < 0 || !initial)
        return axis;
    want = h->shape;
    want.rank--;
    for (i = axis; i < want.rank; i++)
        want.dim[i] = h->shape.dim[i + 1];
    if (cti_same_shape(&initial->shape, &want))
        return axis;
    ct_raise(CT_ERR_SHAPE, me, "options.initial %s must have the shape %s", cti_describe(initial).s,
             cti_shape_text(&want).s);
    return -1;
}

ct_tensor *ct_linear_scan(ct_tensor *a, ct_tensor *b, int axis, ct_linear_scan_options options)
{
    static const char *const me = "ct_linear_scan";
    ct_tensor *in[3];
    ct_shape shape;

    if (!linear_scan_check(me, a, b, &options, &shape))
        return NULL;
    in[0] = cti_same_shape(&a->shape, &shape) ? a : ct_expand(a, shape);
    in[1] = cti_same_shape(&b->shape, &shape) ? b : ct_expand(b, shape);
    in[2] = options.initial;
    if (!in[0] || !in[1] || (axis = linear_scan_axis(me, in[0], axis, options.initial)) < 0)
        return NULL;
    return scan_recurrence(
        in, (recurrence_attributes){ &linear_scan_op, axis, options.reverse, in[2] != NULL });
}

ct_tensor *ct_cumprod(ct_tensor *x, int axis)
{
    static const char *const me = "ct_cumprod";
    ct_tensor *one;
    ct_shape shape;

    if (!cti_usable(me, x) || !cti_want_number(me, "x", x) || (axis = cti_axis(me, x, axis)) < 0)
        return NULL;
    shape = cti_reduce_shape(&x->shape, 1 << axis, false);
    /* without elements of x there may be very many ones */
    one = x->numel ? ct_ones(shape, x->dtype, x->device) : NULL;
    return scan_recurrence(
        (ct_tensor *[]){ x, NULL, one },
        (recurrence_attributes){ .op = &cumprod_op, .axis = axis, .has_initial = one != NULL });
}

/* ---- extremes ---- */

static ct_tensor *scan_extreme(const char *me, ct_tensor *x, int axis, bool least,
                               ct_tensor **indices)
{
    ct_tensor *at, *c, *y;
    int64_t outer, inner;

    if (indices)
        *indices = NULL;
    if (!cti_usable(me, x) || !cti_want_number(me, "x", x) || (axis = cti_axis(me, x, axis)) < 0)
        return NULL;
    at = cti_new(me, x->shape, CT_I64, x->device);
    c = at ? cti_contiguous(x) : NULL;
    if (!c)
        return NULL;
    cti_split_axis(&x->shape, axis, &outer, &inner);
    cti_backend_of(x->device)->running_extreme(
        &(cti_running_extreme_args){ .dtype = x->dtype,
                                     .least = least,
                                     .outer = outer,
                                     .n = x->shape.dim[axis],
                                     .inner = inner,
                                     .in = cti_data(c),
                                     .out = (int64_t *)(void *)cti_data(at) });
    y = ct_gather(x, axis, at);
    if (indices)
        *indices = y ? at : NULL;
    return y;
}

ct_tensor *ct_cummax(ct_tensor *x, int axis, ct_tensor **indices)
{
    return scan_extreme("ct_cummax", x, axis, false, indices);
}

ct_tensor *ct_cummin(ct_tensor *x, int axis, ct_tensor **indices)
{
    return scan_extreme("ct_cummin", x, axis, true, indices);
}

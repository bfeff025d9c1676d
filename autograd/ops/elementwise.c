/* elementwise.c - ops on each element: forward and derivative, a line each.
 *
 * The formulas of the forward are in tensor/formulas.h. */
#include "autograd/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/shape.h>

#include <math.h>
#include <string.h>

/* ---- the kernel call ---- */

/* Strides of t broadcast to shape. */
static void broadcast_strides(const ct_shape *shape, const ct_tensor *t, int64_t *stride)
{
    int lead = shape->rank - t->shape.rank, i;

    for (i = 0; i < shape->rank; i++)
        stride[i] = i < lead || t->shape.dim[i - lead] == 1 ? 0 : t->stride[i - lead];
}

/* Whether element number i of all of them stands at place i. */
static bool are_flat(const ct_tensor *out, int inputs, const ct_tensor *const *in)
{
    int i;

    for (i = 0; i < inputs; i++)
        if (in[i]->numel != out->numel || !in[i]->contiguous ||
            !cti_same_shape(&in[i]->shape, &out->shape))
            return false;
    return out->contiguous;
}

void cti_elementwise(cti_ew_op op, ct_tensor *out, int inputs, const ct_tensor *const *in,
                     const double *param)
{
    bool flat = are_flat(out, inputs, in);
    cti_ew e;
    int i;

    e.op = op;
    e.inputs = inputs;
    e.dtype = in[inputs - 1]->dtype;
    e.rank = flat ? 1 : out->shape.rank;
    e.dim[0] = out->numel;
    e.out_stride[0] = 1;
    e.out = cti_ptr(out);
    for (i = 0; i < inputs; i++) {
        e.in[i] = cti_ptr(in[i]);
        e.in_stride[i][0] = 1;
        if (!flat)
            broadcast_strides(&out->shape, in[i], e.in_stride[i]);
    }
    if (!flat) {
        memcpy(e.dim, out->shape.dim, sizeof e.dim);
        memcpy(e.out_stride, out->stride, sizeof e.out_stride);
    }
    e.param[0] = param ? param[0] : 0;
    e.param[1] = param ? param[1] : 0;
    cti_backend_of(out->device)->elementwise(&e);
}

int cti_broadcast_shapes(const ct_shape *a, const ct_shape *b, ct_shape *out)
{
    int rank = a->rank > b->rank ? a->rank : b->rank, i;

    *out = ct_shape_from_sizes(0, NULL);
    out->rank = rank;
    for (i = 0; i < rank; i++) {
        int ai = i - (rank - a->rank), bi = i - (rank - b->rank);
        int64_t m = ai < 0 ? 1 : a->dim[ai], n = bi < 0 ? 1 : b->dim[bi];

        if (m != n && m != 1 && n != 1)
            return i;
        out->dim[i] = m == 1 ? n : m;
    }
    return -1;
}

void cti_no_broadcast(const char *function, const char *an, const ct_tensor *a, const char *bn,
                      const ct_tensor *b, int axis)
{
    int rank = a->shape.rank > b->shape.rank ? a->shape.rank : b->shape.rank;

    ct_raise(CT_ERR_SHAPE, function, "%s %s and %s %s do not broadcast (axis %d: %lld vs %lld)", an,
             cti_describe(a).s, bn, cti_describe(b).s, axis,
             (long long)a->shape.dim[axis - (rank - a->shape.rank)],
             (long long)b->shape.dim[axis - (rank - b->shape.rank)]);
}

bool cti_broadcast(const char *function, const ct_tensor *a, const ct_tensor *b, ct_shape *out)
{
    int axis = cti_broadcast_shapes(&a->shape, &b->shape, out);

    if (axis >= 0)
        cti_no_broadcast(function, "a", a, "b", b, axis);
    return axis < 0;
}

typedef enum domain { FLOATS, NUMBERS, BOOLS } domain;

static bool in_domain(const char *function, const char *name, const ct_tensor *t, domain domain)
{
    if (domain == FLOATS)
        return cti_want_float(function, name, t);
    if (domain == BOOLS ? t->dtype == CT_BOOL : cti_is_float(t->dtype) || cti_is_index(t->dtype))
        return true;
    ct_raise(CT_ERR_DTYPE, function, "%s %s must be %s", name, cti_describe(t).s,
             domain == BOOLS ? "bool" : "of numbers");
    return false;
}

/* The numbers that a kernel and its derivative take; those left out are 0. */
typedef double parameters[2];

/* param: such parameters; NULL for none */
static ct_tensor *unary(const char *function, cti_ew_op op, const ct_op *record, domain domain,
                        ct_dtype out_dtype, ct_tensor *x, const double *param)
{
    ct_tensor *y;

    if (!cti_usable(function, x) || !in_domain(function, "x", x, domain))
        return NULL;
    y = cti_new(function, x->shape, out_dtype == CT_BOOL ? CT_BOOL : x->dtype, x->device);
    if (!y)
        return NULL;
    cti_elementwise(op, y, 1, (const ct_tensor *[]){ x }, param);
    if (!record)
        cti_not_recorded(function, 1, &x, y);
    else if (!ct_record(record, 1, &x, 1, &y, param, param ? sizeof(parameters) : 0))
        return NULL;
    return y;
}

static ct_tensor *binary(const char *function, cti_ew_op op, const ct_op *record, domain domain,
                         bool gives_bool, ct_tensor *a, ct_tensor *b, const double *param)
{
    ct_tensor *in[2] = { a, b }, *y;
    ct_shape shape;

    if (!cti_usable(function, a) || !cti_usable(function, b) ||
        !cti_same_dtype(function, "a", a, "b", b) || !cti_same_device(function, "a", a, "b", b) ||
        !in_domain(function, "a", a, domain) || !cti_broadcast(function, a, b, &shape))
        return NULL;
    y = cti_new(function, shape, gives_bool ? CT_BOOL : a->dtype, a->device);
    if (!y)
        return NULL;
    cti_elementwise(op, y, 2, (const ct_tensor *[]){ a, b }, param);
    if (!record)
        cti_not_recorded(function, 2, in, y);
    else if (!ct_record(record, 2, in, 1, &y, param, param ? sizeof(parameters) : 0))
        return NULL;
    return y;
}

/* nothing flows; 0 even where d is not finite. NULL for NULL: a saved tensor that was modified. */
static ct_tensor *no_grad(ct_tensor *d)
{
    return d ? ct_zeros(d->shape, d->dtype, d->device) : NULL;
}

/* ---- fused derivatives, ops themselves ---- */

/* y = f(d, s): an op of two floats of one shape, with its formula */
#define FUSED(id, d_grad, s_grad)                                                                  \
    static ct_tensor *id(ct_tensor *d, ct_tensor *s, const double *p);                             \
    static void id##_backward(ct_node *n, ct_tensor *const *dout)                                  \
    {                                                                                              \
        ct_tensor *e = dout[0], *d = ct_node_input(n, 0), *s = ct_node_input(n, 1);                \
        const double *p = ct_node_attributes(n);                                                   \
        (void)d, (void)s, (void)p;                                                                 \
        if (ct_node_needs_grad(n, 0))                                                              \
            ct_node_add_grad(n, 0, d_grad);                                                        \
        if (ct_node_needs_grad(n, 1))                                                              \
            ct_node_add_grad(n, 1, s_grad);                                                        \
    }                                                                                              \
    static const ct_op id##_op = { .name = "ct_" #id,                                              \
                                   .inputs = 2,                                                    \
                                   .outputs = 1,                                                   \
                                   .saves = CT_SAVE_INPUTS,                                        \
                                   .backward = id##_backward };                                    \
    static ct_tensor *id(ct_tensor *d, ct_tensor *s, const double *p)                              \
    {                                                                                              \
        return binary("ct_" #id, CTI_EW_##id, &id##_op, FLOATS, false, d, s, p);                   \
    }

FUSED(tanh_backward, tanh_backward(e, s, NULL), ct_mul_scalar(ct_mul(ct_mul(e, d), s), -2))
FUSED(sigmoid_backward, sigmoid_backward(e, s, NULL),
      ct_mul(ct_mul(e, d), ct_add_scalar(ct_mul_scalar(s, -2), 1)))
FUSED(relu_backward, relu_backward(e, s, NULL), no_grad(s))
FUSED(leaky_relu_backward, leaky_relu_backward(e, s, p), no_grad(s))
FUSED(clamp_backward, clamp_backward(e, s, p), no_grad(s))

/* ---- one operand ---- */

/* An op whose derivative is a formula in d, its input x and its parameters p; public is the name
 * that the user knows. */
#define OF_INPUT_AS(id, public, domain, formula)                                                   \
    static void id##_grad(ct_node *n, ct_tensor *const *dout)                                      \
    {                                                                                              \
        ct_tensor *d = dout[0], *x = ct_node_input(n, 0);                                          \
        const double *p = ct_node_attributes(n);                                                   \
        (void)d, (void)x, (void)p;                                                                 \
        ct_node_add_grad(n, 0, formula);                                                           \
    }                                                                                              \
    static const ct_op id##_op = { .name = "ct_" #public,                                          \
                                   .inputs = 1,                                                    \
                                   .outputs = 1,                                                   \
                                   .saves = CT_SAVE_INPUTS,                                        \
                                   .backward = id##_grad };                                        \
    static ct_tensor *op_##id(const char *function, ct_tensor *x, const double *p)                 \
    {                                                                                              \
        return unary(function, CTI_EW_##id, &id##_op, domain, CT_F32, x, p);                       \
    }

/* One whose derivative is a formula in d, its output y and its parameters p. */
#define OF_OUTPUT_AS(id, public, domain, formula)                                                  \
    static void id##_grad(ct_node *n, ct_tensor *const *dout)                                      \
    {                                                                                              \
        ct_tensor *d = dout[0], *y = ct_node_output(n, 0);                                         \
        const double *p = ct_node_attributes(n);                                                   \
        (void)d, (void)y, (void)p;                                                                 \
        ct_node_add_grad(n, 0, formula);                                                           \
    }                                                                                              \
    static const ct_op id##_op = { .name = "ct_" #public,                                          \
                                   .inputs = 1,                                                    \
                                   .outputs = 1,                                                   \
                                   .saves = CT_SAVE_OUTPUTS,                                       \
                                   .backward = id##_grad };                                        \
    static ct_tensor *op_##id(const char *function, ct_tensor *x, const double *p)                 \
    {                                                                                              \
        return unary(function, CTI_EW_##id, &id##_op, domain, CT_F32, x, p);                       \
    }

#define OF_INPUT(id, domain, formula) OF_INPUT_AS(id, id, domain, formula)
#define OF_OUTPUT(id, domain, formula) OF_OUTPUT_AS(id, id, domain, formula)

OF_OUTPUT(neg, NUMBERS, ct_neg(d))
OF_INPUT(abs, NUMBERS, ct_mul(d, ct_sign(x)))
OF_OUTPUT(sign, NUMBERS, no_grad(d))
OF_INPUT(square, NUMBERS, ct_mul(d, ct_mul_scalar(x, 2)))
OF_OUTPUT(exp, FLOATS, ct_mul(d, y))
OF_OUTPUT(expm1, FLOATS, ct_mul(d, ct_add_scalar(y, 1)))
OF_INPUT(log, FLOATS, ct_div(d, x))
OF_INPUT(log1p, FLOATS, ct_div(d, ct_add_scalar(x, 1)))
OF_OUTPUT(sqrt, FLOATS, ct_div(d, ct_mul_scalar(y, 2)))
OF_OUTPUT(rsqrt, FLOATS, ct_mul(d, ct_mul_scalar(ct_mul(ct_square(y), y), -0.5)))
OF_OUTPUT(reciprocal, FLOATS, ct_mul(d, ct_neg(ct_square(y))))
OF_INPUT(sin, FLOATS, ct_mul(d, ct_cos(x)))
OF_INPUT(cos, FLOATS, ct_neg(ct_mul(d, ct_sin(x))))
OF_OUTPUT(tanh, FLOATS, tanh_backward(d, y, NULL))
OF_OUTPUT(sigmoid, FLOATS, sigmoid_backward(d, y, NULL))
OF_OUTPUT(relu, FLOATS, relu_backward(d, y, NULL))
OF_INPUT(leaky_relu, FLOATS, leaky_relu_backward(d, x, p))
OF_INPUT(clamp, FLOATS, clamp_backward(d, x, p))
OF_INPUT(softplus, FLOATS, ct_mul(d, ct_sigmoid(x)))
OF_INPUT(erf, FLOATS,
         ct_mul(d, ct_mul_scalar(ct_exp(ct_neg(ct_square(x))), 1.12837916709551257390)))
OF_OUTPUT(floor, FLOATS, no_grad(d))
OF_OUTPUT(ceil, FLOATS, no_grad(d))
OF_OUTPUT(round, FLOATS, no_grad(d))
OF_INPUT(pow_scalar, FLOATS,
         p[0] == 0 ? no_grad(d) : ct_mul(d, ct_mul_scalar(ct_pow_scalar(x, p[0] - 1), p[0])))
OF_OUTPUT_AS(scalar_pow, rpow_scalar, FLOATS, ct_mul_scalar(ct_mul(d, y), log(p[0])))
OF_INPUT_AS(scalar_div, rdiv_scalar, FLOATS, ct_mul(d, ct_rdiv_scalar(ct_square(x), -p[0])))

/* elu: 1 above 0, alpha exp(x) below */
OF_INPUT(elu, FLOATS, ct_where(ct_lt(x, no_grad(x)), ct_mul(d, ct_mul_scalar(ct_exp(x), p[0])), d))

/* silu: s (1 + x (1 - s)) */
static ct_tensor *silu_slope(ct_tensor *x)
{
    ct_tensor *s = ct_sigmoid(x);

    return ct_mul(s, ct_add_scalar(ct_mul(x, ct_rsub_scalar(s, 1)), 1));
}

OF_INPUT(silu, FLOATS, ct_mul(d, silu_slope(x)))

/* gelu: Phi(x) + x phi(x) */
static ct_tensor *gelu_slope(ct_tensor *x)
{
    ct_tensor *cdf =
        ct_add_scalar(ct_mul_scalar(ct_erf(ct_mul_scalar(x, 0.70710678118654752440)), 0.5), 0.5);
    ct_tensor *pdf =
        ct_mul_scalar(ct_exp(ct_mul_scalar(ct_square(x), -0.5)), 0.39894228040143267794);

    return ct_add(cdf, ct_mul(x, pdf));
}

OF_INPUT(gelu, FLOATS, ct_mul(d, gelu_slope(x)))

#define PLAIN1(id)                                                                                 \
    ct_tensor *ct_##id(ct_tensor *x)                                                               \
    {                                                                                              \
        return op_##id("ct_" #id, x, NULL);                                                        \
    }

PLAIN1(neg)
PLAIN1(abs)
PLAIN1(sign)
PLAIN1(square)
PLAIN1(exp)
PLAIN1(expm1)
PLAIN1(log)
PLAIN1(log1p)
PLAIN1(sqrt)
PLAIN1(rsqrt)
PLAIN1(reciprocal)
PLAIN1(sin)
PLAIN1(cos)
PLAIN1(tanh)
PLAIN1(sigmoid)
PLAIN1(relu)
PLAIN1(silu)
PLAIN1(gelu)
PLAIN1(softplus)
PLAIN1(erf)
PLAIN1(floor)
PLAIN1(ceil)
PLAIN1(round)

ct_tensor *ct_leaky_relu(ct_tensor *x, double slope)
{
    return op_leaky_relu("ct_leaky_relu", x, (parameters){ slope });
}

ct_tensor *ct_elu(ct_tensor *x, double alpha)
{
    return op_elu("ct_elu", x, (parameters){ alpha });
}

ct_tensor *ct_clamp(ct_tensor *x, double low, double high)
{
    if (x && !(low <= high)) {
        ct_raise(CT_ERR_ARGUMENT, "ct_clamp", "low %g and high %g are no range", low, high);
        return NULL;
    }
    return op_clamp("ct_clamp", x, (parameters){ low, high });
}

/* p x + q, under the name of what the user called */
static void affine_grad(ct_node *n, ct_tensor *const *dout)
{
    const double *p = ct_node_attributes(n);

    ct_node_add_grad(n, 0, ct_mul_scalar(dout[0], p[0]));
}

#define AFFINE(id, p, q)                                                                           \
    static const ct_op id##_op = {                                                                 \
        .name = "ct_" #id, .inputs = 1, .outputs = 1, .backward = affine_grad                      \
    };                                                                                             \
    ct_tensor *ct_##id(ct_tensor *x, double s)                                                     \
    {                                                                                              \
        return unary("ct_" #id, CTI_EW_affine, &id##_op, FLOATS, CT_F32, x, (parameters){ p, q }); \
    }

AFFINE(add_scalar, 1, s)
AFFINE(sub_scalar, 1, -s)
AFFINE(mul_scalar, s, 0)
AFFINE(div_scalar, 1 / s, 0)
AFFINE(rsub_scalar, -1, s)

ct_tensor *ct_pow_scalar(ct_tensor *x, double p)
{
    return op_pow_scalar("ct_pow_scalar", x, (parameters){ p });
}

ct_tensor *ct_rdiv_scalar(ct_tensor *x, double s)
{
    return op_scalar_div("ct_rdiv_scalar", x, (parameters){ s });
}

ct_tensor *ct_rpow_scalar(ct_tensor *x, double s)
{
    return op_scalar_pow("ct_rpow_scalar", x, (parameters){ s });
}

/* ---- two operands ---- */

/* An op with a formula for each operand, of d, a, b and the output y; gradients are summed over
 * the axes that were broadcast. */
#define OF_TWO(id, domain, saved, a_grad, b_grad)                                                  \
    static void id##_grad(ct_node *n, ct_tensor *const *dout)                                      \
    {                                                                                              \
        ct_tensor *d = dout[0];                                                                    \
        ct_tensor *a = (saved)&CT_SAVE_INPUTS ? ct_node_input(n, 0) : NULL;                        \
        ct_tensor *b = (saved)&CT_SAVE_INPUTS ? ct_node_input(n, 1) : NULL;                        \
        ct_tensor *y = (saved)&CT_SAVE_OUTPUTS ? ct_node_output(n, 0) : NULL;                      \
        (void)a, (void)b, (void)y;                                                                 \
        if (ct_node_needs_grad(n, 0))                                                              \
            ct_node_add_grad(n, 0, ct_sum_to_shape(a_grad, ct_node_input_shape(n, 0)));            \
        if (ct_node_needs_grad(n, 1))                                                              \
            ct_node_add_grad(n, 1, ct_sum_to_shape(b_grad, ct_node_input_shape(n, 1)));            \
    }                                                                                              \
    static const ct_op id##_op = {                                                                 \
        .name = "ct_" #id, .inputs = 2, .outputs = 1, .saves = (saved), .backward = id##_grad      \
    };                                                                                             \
    ct_tensor *ct_##id(ct_tensor *a, ct_tensor *b)                                                 \
    {                                                                                              \
        return binary("ct_" #id, CTI_EW_##id, &id##_op, domain, false, a, b, NULL);                \
    }

/* the share of a in d: all where a is beyond b, half where they are equal */
static ct_tensor *share(ct_tensor *d, ct_tensor *beyond, ct_tensor *equal)
{
    ct_tensor *none = no_grad(d);

    return ct_where(beyond, d, ct_where(equal, ct_mul_scalar(d, 0.5), none));
}

/* d b a^(b - 1), 0 where b = 0, even where a is 0 as well */
static ct_tensor *pow_base_grad(ct_tensor *d, ct_tensor *a, ct_tensor *b)
{
    ct_tensor *zero_a = no_grad(a), *zero_b = no_grad(b);
    ct_tensor *both = ct_logical_and(ct_eq(a, zero_a), ct_eq(b, zero_b));
    ct_tensor *base = ct_where(both, ct_add_scalar(zero_a, 1), a);

    return ct_mul(d, ct_mul(b, ct_pow(base, ct_sub_scalar(b, 1))));
}

/* d log(a) y, 0 where a = 0 and b >= 0 */
static ct_tensor *pow_exponent_grad(ct_tensor *d, ct_tensor *a, ct_tensor *b, ct_tensor *y)
{
    ct_tensor *zero_a = no_grad(a), *zero_b = no_grad(b);
    ct_tensor *flat = ct_logical_and(ct_eq(a, zero_a), ct_ge(b, zero_b));
    ct_tensor *logs = ct_log(ct_where(flat, ct_add_scalar(zero_a, 1), a));

    return ct_mul(d, ct_mul(y, logs));
}

OF_TWO(add, NUMBERS, 0, d, d)
OF_TWO(sub, NUMBERS, 0, d, ct_neg(d))
OF_TWO(mul, NUMBERS, CT_SAVE_INPUTS, ct_mul(d, b), ct_mul(d, a))
OF_TWO(div, FLOATS, CT_SAVE_INPUTS, ct_div(d, b), ct_neg(ct_mul(d, ct_div(ct_div(a, b), b))))
OF_TWO(pow, FLOATS, CT_SAVE_INPUTS | CT_SAVE_OUTPUTS, pow_base_grad(d, a, b),
       pow_exponent_grad(d, a, b, y))
OF_TWO(maximum, NUMBERS, CT_SAVE_INPUTS, share(d, ct_gt(a, b), ct_eq(a, b)),
       share(d, ct_lt(a, b), ct_eq(a, b)))
OF_TWO(minimum, NUMBERS, CT_SAVE_INPUTS, share(d, ct_lt(a, b), ct_eq(a, b)),
       share(d, ct_gt(a, b), ct_eq(a, b)))

/* ---- comparisons and logic ---- */

#define TO_BOOL(id, domain)                                                                        \
    ct_tensor *ct_##id(ct_tensor *a, ct_tensor *b)                                                 \
    {                                                                                              \
        return binary("ct_" #id, CTI_EW_##id, NULL, domain, true, a, b, NULL);                     \
    }

TO_BOOL(eq, NUMBERS)
TO_BOOL(ne, NUMBERS)
TO_BOOL(lt, NUMBERS)
TO_BOOL(le, NUMBERS)
TO_BOOL(gt, NUMBERS)
TO_BOOL(ge, NUMBERS)
TO_BOOL(logical_and, BOOLS)
TO_BOOL(logical_or, BOOLS)
TO_BOOL(logical_xor, BOOLS)

ct_tensor *ct_isfinite(ct_tensor *x)
{
    return unary("ct_isfinite", CTI_EW_isfinite, NULL, FLOATS, CT_BOOL, x, NULL);
}

ct_tensor *ct_isnan(ct_tensor *x)
{
    return unary("ct_isnan", CTI_EW_isnan, NULL, FLOATS, CT_BOOL, x, NULL);
}

ct_tensor *ct_logical_not(ct_tensor *x)
{
    return unary("ct_logical_not", CTI_EW_logical_not, NULL, BOOLS, CT_BOOL, x, NULL);
}

/* ---- choosing ---- */

static void where_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *d = dout[0], *c = ct_node_input(n, 0), *none = no_grad(d);

    if (ct_node_needs_grad(n, 1))
        ct_node_add_grad(n, 1, ct_sum_to_shape(ct_where(c, d, none), ct_node_input_shape(n, 1)));
    if (ct_node_needs_grad(n, 2))
        ct_node_add_grad(n, 2, ct_sum_to_shape(ct_where(c, none, d), ct_node_input_shape(n, 2)));
}

static const ct_op where_op = {
    .name = "ct_where", .inputs = 3, .outputs = 1, .saves = CT_SAVE_INPUTS, .backward = where_grad
};

/* condition is called name in errors */
static ct_tensor *where(const char *me, const char *name, ct_tensor *c, ct_tensor *a, ct_tensor *b)
{
    ct_tensor *in[3] = { c, a, b }, *y;
    ct_tensor both;
    ct_shape shape;
    int axis;

    if (!cti_usable_as(me, "condition", c) || !cti_usable(me, a) || !cti_usable(me, b) ||
        !in_domain(me, name, c, BOOLS) || !cti_same_dtype(me, "a", a, "b", b) ||
        !cti_same_device(me, "a", a, "b", b) || !cti_same_device(me, name, c, "a", a) ||
        !cti_broadcast(me, a, b, &shape))
        return NULL;
    both = *a; /* a and b together, against the condition */
    both.shape = shape;
    axis = cti_broadcast_shapes(&c->shape, &both.shape, &shape);
    if (axis >= 0) {
        cti_no_broadcast(me, name, c, "a with b", &both, axis);
        return NULL;
    }
    y = cti_new(me, shape, a->dtype, a->device);
    if (!y)
        return NULL;
    cti_elementwise(CTI_EW_where, y, 3, (const ct_tensor *[]){ c, a, b }, NULL);
    return ct_record(&where_op, 3, in, 1, &y, NULL, 0) ? y : NULL;
}

ct_tensor *ct_where(ct_tensor *condition, ct_tensor *a, ct_tensor *b)
{
    return where("ct_where", "condition", condition, a, b);
}

ct_tensor *ct_masked_fill(ct_tensor *x, ct_tensor *mask, double value)
{
    static const char *const me = "ct_masked_fill";
    ct_shape shape;

    if (!cti_usable(me, x) || !cti_usable(me, mask))
        return NULL;
    if (cti_broadcast_shapes(&mask->shape, &x->shape, &shape) >= 0 ||
        !cti_same_shape(&shape, &x->shape)) {
        ct_raise(CT_ERR_SHAPE, me, "mask %s does not broadcast to x %s", cti_describe(mask).s,
                 cti_describe(x).s);
        return NULL;
    }
    return where(me, "mask", mask, ct_full(CT_SCALAR, value, x->dtype, x->device), x);
}

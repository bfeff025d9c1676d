/* SPDX-License-Identifier: MIT */
/* elementwise.c - ops on each element: the catalogue of derivatives.
 *
 * Each op is one line: its name, the dtypes it takes and its derivative. The forward formulas are
 * in tensor/formulas.h, from which the kernels of every device are made: ct_tanh runs the kernel of
 * the entry tanh. In a derivative, d is the gradient of the output, x (or a and b) an input, y the
 * output and p the op's numbers. Derivatives are written in ops, so they have derivatives too. */
#include "autograd/ops/derivatives.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>

#include <math.h>
#include <string.h>

/* ---- the kernel call ---- */

/* The strides of t when it is broadcast to shape. */
static void elementwise_strides(const ct_shape *shape, const ct_tensor *t, int64_t *stride)
{
    int lead = shape->rank - t->shape.rank, i;

    for (i = 0; i < shape->rank; i++)
        stride[i] = i < lead || t->shape.dim[i - lead] == 1 ? 0 : t->stride[i - lead];
}

/* True if the operands need no strides: element i of each is at index i of its memory. */
static bool elementwise_is_flat(const ct_tensor *out, int inputs, const ct_tensor *const *in)
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
    bool flat = elementwise_is_flat(out, inputs, in);
    cti_ew e;
    int i;

    e.op = op;
    e.inputs = inputs;
    e.dtype = in[inputs - 1]->dtype;
    e.rank = flat ? 1 : out->shape.rank;
    e.dim[0] = out->numel;
    e.out_stride[0] = 1;
    e.out = cti_data(out);
    for (i = 0; i < inputs; i++) {
        e.in[i] = cti_data(in[i]);
        e.in_stride[i][0] = 1;
        if (!flat)
            elementwise_strides(&out->shape, in[i], e.in_stride[i]);
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

    if (cti_same_shape(a, b)) {
        *out = *a;
        return -1;
    }
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

bool cti_want_number(const char *function, const char *name, const ct_tensor *t)
{
    if (cti_is_float(t->dtype) || cti_is_index(t->dtype))
        return true;
    ct_raise(CT_ERR_DTYPE, function, "%s %s must be f32, f64, i32 or i64", name, cti_describe(t).s);
    return false;
}

bool cti_elementwise_takes(const char *function, const char *name, const ct_tensor *t,
                           cti_domain domain)
{
    if (domain == FLOATS)
        return cti_want_float(function, name, t);
    if (domain == NUMBERS || (domain == COMPARABLE && t->dtype != CT_BOOL))
        return cti_want_number(function, name, t);
    if (t->dtype == CT_BOOL)
        return true;
    ct_raise(CT_ERR_DTYPE, function, "%s %s must be bool", name, cti_describe(t).s);
    return false;
}

/* The numbers of a kernel and of its derivative; 0 if not used. */
typedef double elementwise_numbers[2];

/* The description of an op for the functions below. */
typedef cti_elementwise_op elementwise_op;

/* Runs and records op. numbers is of type elementwise_numbers, or NULL if the op has none. */
static ct_tensor *elementwise_run(const elementwise_op *op, ct_tensor *y, int count,
                                  ct_tensor *const *in, const double *numbers)
{
    if (!y)
        return NULL;
    cti_elementwise(op->kernel, y, count, (const ct_tensor *const *)in, numbers);
    if (op->record)
        return cti_record_n_with(op->record, count, in, y, numbers,
                                 numbers ? sizeof(elementwise_numbers) : 0);
    cti_not_recorded(op->function, count, in, y);
    return y;
}

ct_tensor *cti_elementwise_unary(const elementwise_op *op, ct_tensor *x, const double *numbers)
{
    ct_dtype dtype;

    if (!cti_usable(op->function, x) || !cti_elementwise_takes(op->function, "x", x, op->domain))
        return NULL;
    dtype = op->gives_bool ? CT_BOOL : x->dtype;
    return elementwise_run(op, cti_new(op->function, x->shape, dtype, x->device), 1, &x, numbers);
}

ct_tensor *cti_elementwise_binary(const elementwise_op *op, ct_tensor *a, ct_tensor *b,
                                  const double *numbers)
{
    const char *function = op->function;
    ct_tensor *in[2] = { a, b };
    ct_shape shape;
    ct_dtype dtype;

    if (!cti_usable(function, a) || !cti_usable(function, b) ||
        !cti_same_dtype(function, "a", a, "b", b) || !cti_same_device(function, "a", a, "b", b) ||
        !cti_elementwise_takes(function, "a", a, op->domain) ||
        !cti_broadcast(function, a, b, &shape))
        return NULL;
    dtype = op->gives_bool ? CT_BOOL : a->dtype;
    return elementwise_run(op, cti_new(function, shape, dtype, a->device), 2, in, numbers);
}

ct_tensor *cti_elementwise_with_number(const elementwise_op *op, ct_tensor *x, double s)
{
    ct_tensor *number = cti_filled(op->function, CT_SCALAR, s, x->dtype, x->device);

    return number ? cti_elementwise_binary(op, x, number, NULL) : NULL;
}

/* ---- fused derivatives ---- */

FUSED(tanh_backward, tanh_backward(e, s, NULL), ct_mul_scalar(ct_mul(ct_mul(e, d), s), -2))
FUSED(sigmoid_backward, sigmoid_backward(e, s, NULL),
      ct_mul(ct_mul(e, d), ct_add_scalar(ct_mul_scalar(s, -2), 1)))
FUSED(relu_backward, relu_backward(e, s, NULL), zeros_of(s))
FUSED(leaky_relu_backward, leaky_relu_backward(e, s, p), zeros_of(s))
FUSED(hardtanh_backward, hardtanh_backward(e, s, p), zeros_of(s))
FUSED(clamp_backward, clamp_backward(e, s, p), zeros_of(s))
FUSED(elu_bend, elu_bend(e, s, p), elu_bend(ct_mul(e, d), s, p))
FUSED(elu_backward, elu_backward(e, s, p), elu_bend(ct_mul(e, d), s, p))

/* d s for an s that decays faster than d grows, so that the limit is 0 for an infinite d. d is
 * limited to a range at whose ends s is already 0, so that no derivative is infinity times 0. */
static const elementwise_numbers tail_range = { -1e4, 1e4 };

FUSED(tail_mul, clamp_backward(ct_mul(e, s), d, tail_range), tail_mul(d, e, NULL))

/* ---- one operand ---- */

OF_OUTPUT(neg, NUMBERS, ct_neg(d))
OF_INPUT(abs, NUMBERS, ct_mul(d, ct_sign(x)))
OF_OUTPUT(sign, NUMBERS, zeros_of(d))
/* not d (2 x): 2 x may overflow, and 0 times infinity is NaN */
OF_INPUT(square, NUMBERS, ct_mul_scalar(ct_mul(d, x), 2))
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
OF_INPUT(hardtanh, FLOATS, hardtanh_backward(d, x, p))
OF_INPUT(clamp, FLOATS, clamp_backward(d, x, p))
OF_INPUT(softplus, FLOATS, ct_mul(d, ct_sigmoid(x)))

/* d times factor exp(-x^2) */
static ct_tensor *gaussian_share(ct_tensor *d, ct_tensor *x, double factor)
{
    return ct_mul(d, ct_mul_scalar(ct_exp(ct_neg(tail_mul(x, x, NULL))), factor));
}

#define TWO_OVER_ROOT_PI 1.12837916709551257390
OF_INPUT(erf, FLOATS, gaussian_share(d, x, TWO_OVER_ROOT_PI))
OF_INPUT(erfc, FLOATS, gaussian_share(d, x, -TWO_OVER_ROOT_PI))
OF_OUTPUT(floor, FLOATS, zeros_of(d))
OF_OUTPUT(ceil, FLOATS, zeros_of(d))
OF_OUTPUT(round, FLOATS, zeros_of(d))

static ct_tensor *op_scaled_pow(ct_tensor *x, const double *p); /* p[1] x^p[0] */

/* d times the derivative of factor x^p. The kernel of the product handles a power that overflows or
 * underflows although the product does not. */
static ct_tensor *pow_scalar_slope(ct_tensor *d, ct_tensor *x, double p, double factor)
{
    double f = p * factor;

    if (f == 0)
        return zeros_of(d);
    return ct_mul(d, op_scaled_pow(x, (elementwise_numbers){ p - 1, f }));
}

OF_INPUT_AS(scaled_pow, pow_scalar, FLOATS, pow_scalar_slope(d, x, p[0], p[1]))
OF_INPUT(pow_scalar, FLOATS, pow_scalar_slope(d, x, p[0], 1))

/* y log(s) for y = s^x. For s = 0, y is 0, 1 or infinite, and the derivative is 0 where x >= 0, its
 * limit, and -inf elsewhere. */
static ct_tensor *scalar_pow_slope(ct_tensor *d, ct_tensor *y, double s)
{
    ct_tensor *zero = zeros_of(y);

    if (s != 0)
        return ct_mul_scalar(ct_mul(d, y), log(s));
    return ct_mul(d, ct_where(ct_le(y, ct_add_scalar(zero, 1)), zero, ct_neg(y)));
}

OF_OUTPUT_AS(scalar_pow, rpow_scalar, FLOATS, scalar_pow_slope(d, y, p[0]))

/* -s / x^2, and its derivative 2 s / x^3 */
OF_INPUT_AS(scalar_div_slope, rdiv_scalar, FLOATS,
            ct_mul(d, ct_mul_scalar(ct_div(op_scalar_div_slope(x, p), x), -2)))
OF_INPUT_AS(scalar_div, rdiv_scalar, FLOATS, ct_mul(d, op_scalar_div_slope(x, p)))

/* elu (Clevert et al., 2015): the slope is 1 above 0 and alpha exp(x) below */
OF_INPUT(elu, FLOATS, elu_backward(d, x, p))

/* silu, x s for s = sigmoid(x) (Elfwing et al., 2017): the kernel silu_backward is d s (1 + x (1 - s)).
 * Its derivative by x is d s (1 - s) (2 + x (1 - 2 s)). */
static ct_tensor *silu_bend(ct_tensor *x)
{
    ct_tensor *s = ct_sigmoid(x), *slope = ct_mul(s, ct_rsub_scalar(s, 1));
    ct_tensor *far = ct_mul(tail_mul(x, slope, NULL), ct_rsub_scalar(ct_mul_scalar(s, 2), 1));

    return ct_add(ct_mul_scalar(slope, 2), far);
}

FUSED(silu_backward, silu_backward(e, s, NULL), ct_mul(ct_mul(e, d), silu_bend(s)))
OF_INPUT(silu, FLOATS, silu_backward(d, x, NULL))

/* gelu, x Phi(x) (Hendrycks and Gimpel, 2016): the kernel gelu_backward is d (Phi(x) + x phi(x)), for
 * the distribution Phi and the density phi of the standard normal. Its derivative by x is
 * d phi(x) (2 - x^2). The constant is 1 / sqrt(2 pi). */
static ct_tensor *gelu_bend(ct_tensor *x)
{
    ct_tensor *square = tail_mul(x, x, NULL);
    ct_tensor *pdf = ct_mul_scalar(ct_exp(ct_mul_scalar(square, -0.5)), 0.39894228040143267794);

    return tail_mul(ct_rsub_scalar(square, 2), pdf, NULL);
}

FUSED(gelu_backward, gelu_backward(e, s, NULL), ct_mul(ct_mul(e, d), gelu_bend(s)))
OF_INPUT(gelu, FLOATS, gelu_backward(d, x, NULL))

/* gelu_tanh, x (1 + tanh(u / 2)) / 2 = x s for s = sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3):
 * s + x s (1 - s) u', and for the derivative of that
 *     s (1 - s) (2 u' + x ((1 - 2 s) u'^2 + u'')) */
static ct_tensor *gelu_tanh_curvature(ct_tensor *x)
{
    const double a = 1.59576912160573071176, b = 0.044715 * a; /* u = a x + b x^3 */
    ct_tensor *square, *s, *first, *y;

    x = ct_clamp(x, -1e4, 1e4); /* as in the kernel: far from 0 the result is 0 */
    square = ct_square(x);
    s = ct_sigmoid(ct_mul(x, ct_add_scalar(ct_mul_scalar(square, b), a)));
    first = ct_add_scalar(ct_mul_scalar(square, 3 * b), a);
    y = ct_mul(ct_add_scalar(ct_mul_scalar(s, -2), 1), ct_square(first));
    y = ct_mul(x, ct_add(y, ct_mul_scalar(x, 6 * b)));
    y = ct_add(y, ct_mul_scalar(first, 2));
    return ct_mul(ct_mul(s, ct_rsub_scalar(s, 1)), y);
}

FUSED(gelu_tanh_backward, gelu_tanh_backward(e, s, NULL),
      ct_mul(ct_mul(e, d), gelu_tanh_curvature(s)))
OF_INPUT(gelu_tanh, FLOATS, gelu_tanh_backward(d, x, NULL))

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
PLAIN1(gelu_tanh)
PLAIN1(softplus)
PLAIN1(erf)
PLAIN1(erfc)
PLAIN1(floor)
PLAIN1(ceil)
PLAIN1(round)

ct_tensor *ct_leaky_relu(ct_tensor *x, double slope)
{
    return op_leaky_relu(x, (elementwise_numbers){ slope });
}

ct_tensor *ct_elu(ct_tensor *x, double alpha)
{
    return op_elu(x, (elementwise_numbers){ alpha });
}

/* Raises an error and returns false if s is not allowed. The op itself reports a NULL x. */
static bool elementwise_range(const char *function, const ct_tensor *x, double low, double high)
{
    if (!x || low <= high)
        return true;
    ct_raise(CT_ERR_ARGUMENT, function, "low is %g and high is %g; low must be at most high", low,
             high);
    return false;
}

ct_tensor *ct_hardtanh(ct_tensor *x, double low, double high)
{
    if (!elementwise_range("ct_hardtanh", x, low, high))
        return NULL;
    return op_hardtanh(x, (elementwise_numbers){ low, high });
}

/* An infinite end of the range is not compared at all, because the numbers of the kernel are
 * doubles, which cannot hold the greatest i64. */
static ct_tensor *clamp_integers(ct_tensor *x, double low, double high)
{
    static const elementwise_op most = { "ct_clamp", CTI_EW_minimum, NUMBERS, NULL, false };
    static const elementwise_op least = { "ct_clamp", CTI_EW_maximum, NUMBERS, NULL, false };
    ct_tensor *y;

    if ((!isinf(low) && !cti_number_fits("ct_clamp", "low", low, x->dtype)) ||
        (!isinf(high) && !cti_number_fits("ct_clamp", "high", high, x->dtype)))
        return NULL;
    if (low == INFINITY || high == -INFINITY) {
        ct_raise(CT_ERR_ARGUMENT, "ct_clamp", "low is %g and high is %g; no %s is in this range",
                 low, high, ct_dtype_name(x->dtype));
        return NULL;
    }
    y = isinf(low) ? x : cti_elementwise_with_number(&least, x, low);
    if (isinf(high))
        return y == x ? ct_clone(x) : y;
    return y ? cti_elementwise_with_number(&most, y, high) : NULL;
}

ct_tensor *ct_clamp(ct_tensor *x, double low, double high)
{
    if (!elementwise_range("ct_clamp", x, low, high))
        return NULL;
    if (!cti_usable("ct_clamp", x) || !cti_elementwise_takes("ct_clamp", "x", x, NUMBERS))
        return NULL;
    if (cti_is_index(x->dtype))
        return clamp_integers(x, low, high);
    return op_clamp(x, (elementwise_numbers){ low, high });
}

ct_tensor *ct_glu(ct_tensor *x, int axis)
{
    int64_t half;

    if (!cti_usable("ct_glu", x) || !cti_want_float("ct_glu", "x", x) ||
        (axis = cti_axis("ct_glu", x, axis)) < 0)
        return NULL;
    half = ct_size(x, axis) / 2;
    if (ct_size(x, axis) != 2 * half) {
        ct_raise(CT_ERR_SHAPE, "ct_glu", "axis %d of x %s has an odd size", axis,
                 cti_describe(x).s);
        return NULL;
    }
    return ct_mul(ct_narrow(x, axis, 0, half), ct_sigmoid(ct_narrow(x, axis, half, half)));
}

/* p x + q: one kernel for the ops with a scalar that are linear in x; dx = p d */
static void affine_grad(ct_node *n, ct_tensor *const *dout)
{
    const double *p = ct_node_attributes(n);

    ct_node_add_grad(n, 0, ct_mul_scalar(dout[0], p[0]));
}

/* 2^53, the first whole number after which a double skips whole numbers. */
#define WHOLE_LIMIT 9007199254740992.0

bool cti_number_fits(const char *function, const char *name, double s, ct_dtype dtype)
{
    double low = 1 - WHOLE_LIMIT, high = WHOLE_LIMIT - 1;

    if (cti_is_float(dtype) || dtype == CT_BF16)
        return true;
    if (dtype == CT_BOOL) {
        low = 0;
        high = 1;
    } else if (dtype == CT_I32) {
        low = INT32_MIN;
        high = INT32_MAX;
    }
    if (s >= low && s <= high && s == floor(s))
        return true;
    ct_raise(CT_ERR_ARGUMENT, function,
             "%s is %.17g; for %s it must be a whole number in %.0f..%.0f", name, s,
             ct_dtype_name(dtype), low, high);
    return false;
}

static ct_tensor *elementwise_affine(const elementwise_op *op, ct_tensor *x, double s,
                                     const double *numbers)
{
    if (!cti_usable(op->function, x) || !cti_elementwise_takes(op->function, "x", x, NUMBERS) ||
        !cti_number_fits(op->function, "s", s, x->dtype))
        return NULL;
    return cti_elementwise_unary(op, x, numbers);
}

#define AFFINE(id, p, q)                                                                           \
    static const ct_op id##_op = {                                                                 \
        .name = "ct_" #id, .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(affine_grad)        \
    };                                                                                             \
    ct_tensor *ct_##id(ct_tensor *x, double s)                                                     \
    {                                                                                              \
        static const elementwise_op op = { "ct_" #id, CTI_EW_affine, NUMBERS, &id##_op, false };   \
                                                                                                   \
        return elementwise_affine(&op, x, s, (elementwise_numbers){ p, q });                       \
    }

/* Returns -s. For the least i32, which has no negative in i32, returns s itself: x - s wraps around
 * to the same value as x + s. */
static double elementwise_negative(const ct_tensor *x, double s)
{
    return x && !cti_is_dead(x) && x->dtype == CT_I32 && s == INT32_MIN ? s : -s;
}

AFFINE(add_scalar, 1, s)
AFFINE(sub_scalar, 1, elementwise_negative(x, s))
AFFINE(mul_scalar, s, 0)
AFFINE(rsub_scalar, -1, s)

/* Divides by s instead of multiplying by 1 / s, which is rounded, so that the mean of n ones is 1
 * for every n. */
static void div_scalar_grad(ct_node *n, ct_tensor *const *dout)
{
    const double *p = ct_node_attributes(n);

    ct_node_add_grad(n, 0, ct_div_scalar(dout[0], p[0]));
}

static const ct_op div_scalar_op = {
    .name = "ct_div_scalar", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(div_scalar_grad)
};

ct_tensor *ct_div_scalar(ct_tensor *x, double s)
{
    static const elementwise_op op = { "ct_div_scalar", CTI_EW_div_scalar, FLOATS, &div_scalar_op,
                                       false };

    return cti_elementwise_unary(&op, x, (elementwise_numbers){ s });
}

ct_tensor *ct_pow_scalar(ct_tensor *x, double p)
{
    return op_pow_scalar(x, (elementwise_numbers){ p });
}

ct_tensor *ct_rdiv_scalar(ct_tensor *x, double s)
{
    return op_scalar_div(x, (elementwise_numbers){ s });
}

ct_tensor *ct_rpow_scalar(ct_tensor *x, double s)
{
    return op_scalar_pow(x, (elementwise_numbers){ s });
}

/* ---- two operands ---- */

/* The share of d for an operand: d if it was chosen (it is beyond the other, or NaN), 0 if it was
 * not, and d / 2 if both are equal (as in PyTorch). */
static ct_tensor *extreme_share(ct_tensor *d, ct_tensor *a, ct_tensor *b, ct_tensor *beyond,
                                bool of_a)
{
    ct_tensor *none = zeros_of(d), *first = ct_logical_or(beyond, ct_ne(a, a));

    return ct_where(ct_eq(a, b), ct_mul_scalar(d, 0.5),
                    of_a ? ct_where(first, d, none) : ct_where(first, none, d));
}

/* The derivatives of a^b are kernels with rules for the edges: b a^(b - 1) by a is 0 where b = 0,
 * for every a; a^b log(a) by b is 0 where a = 0 and b >= 0, its limit. The functions below are their
 * derivatives in turn. */
static ct_tensor *pow_base(ct_tensor *d, ct_tensor *s, const double *p);

/* Where a^b is 0 for an infinite a or b, all derivatives are 0, their limit. */
typedef struct pow_parts {
    ct_tensor *zero, *one; /* scalars */
    ct_tensor *vanishes;   /* bool: true where a^b is 0 for an infinite operand and a >= 0 */
    ct_tensor *base;       /* a, replaced by 1 where `vanishes` is true */
} pow_parts;

static bool pow_parts_of(ct_tensor *a, ct_tensor *b, pow_parts *p)
{
    if (!a || !b)
        return false;
    p->zero = ct_zeros(CT_SCALAR, a->dtype, a->device);
    p->one = ct_ones(CT_SCALAR, a->dtype, a->device);
    p->vanishes = ct_logical_not(ct_logical_and(ct_isfinite(a), ct_isfinite(b)));
    p->vanishes = ct_logical_and(p->vanishes,
                                 ct_logical_and(ct_ge(a, p->zero), ct_eq(ct_pow(a, b), p->zero)));
    p->base = ct_where(p->vanishes, p->one, a);
    return p->base != NULL;
}

/* e times the mixed second derivative a^(b - 1) (1 + b log(a)). b log(a) is 0 where b = 0, for
 * every a; the derivative is 0, its limit, where a = 0 and b > 1. */
static ct_tensor *pow_mixed(ct_tensor *e, ct_tensor *a, ct_tensor *b)
{
    ct_tensor *logs, *none, *turn, *power;
    pow_parts p;

    if (!e || !pow_parts_of(a, b, &p))
        return NULL;
    logs = ct_log(p.base);
    none = ct_logical_and(ct_eq(b, p.zero), ct_logical_not(ct_isfinite(logs)));
    turn = ct_add(ct_where(none, p.zero, ct_mul(b, ct_where(none, p.one, logs))), p.one);
    power = ct_pow(p.base, ct_sub(b, p.one));
    none = ct_logical_and(ct_eq(turn, ct_full(CT_SCALAR, INFINITY, e->dtype, e->device)),
                          ct_eq(power, p.zero)); /* 0 < b < 1, a = inf */
    none = ct_logical_or(none, ct_logical_and(ct_eq(a, p.zero), ct_gt(b, p.one)));
    none = ct_logical_or(none, p.vanishes);
    return ct_mul(e, ct_where(none, p.zero, ct_mul(power, ct_where(none, p.one, turn))));
}

/* e times the second derivative by a, b (b - 1) a^(b - 2). It is 0 where b is 0 or 1, for every a.
 * The power may overflow although its product with a small b does not. */
static ct_tensor *pow_base_twice(ct_tensor *e, ct_tensor *a, ct_tensor *b)
{
    ct_tensor *factor, *power, *none, *beyond, *divided;
    pow_parts p;

    if (!pow_parts_of(a, b, &p))
        return NULL;
    factor = ct_mul(b, ct_sub(b, p.one));
    power = ct_pow(p.base, ct_sub_scalar(b, 2));
    beyond = ct_logical_not(ct_isfinite(power));
    none = ct_logical_or(ct_logical_and(ct_eq(factor, p.zero), beyond), p.vanishes);
    beyond = ct_logical_and(beyond, ct_isfinite(factor));
    divided = ct_mul(ct_div(pow_base(p.base, b, NULL), p.base), ct_sub(b, p.one));
    divided =
        ct_where(ct_logical_and(beyond, ct_isfinite(divided)), divided, ct_mul(factor, power));
    return ct_mul(e, ct_where(none, p.zero, divided));
}

/* e times the second derivative by b, a^b log(a)^2. It is 0 where a = 0 and b >= 0, which is the
 * limit for b > 0. */
static ct_tensor *pow_exponent_twice(ct_tensor *e, ct_tensor *a, ct_tensor *b)
{
    ct_tensor *flat, *base;
    pow_parts p;

    if (!pow_parts_of(a, b, &p))
        return NULL;
    flat = ct_logical_and(ct_eq(a, p.zero), ct_ge(b, p.zero));
    base = ct_where(flat, p.one, p.base);
    return ct_mul(e, ct_mul(ct_pow(base, b), ct_square(ct_log(base))));
}

/* Returns e summed to the shape of an operand. */
static ct_tensor *pow_share(ct_tensor *e, const ct_tensor *of)
{
    return e && of ? ct_sum_to_shape(e, of->shape) : NULL;
}

FUSED(pow_base, pow_share(pow_base_twice(e, d, s), d), pow_share(pow_mixed(e, d, s), s))
FUSED(pow_exponent, pow_share(pow_mixed(e, d, s), d), pow_share(pow_exponent_twice(e, d, s), s))

OF_TWO(add, NUMBERS, 0, d, d)
OF_TWO(sub, NUMBERS, 0, d, ct_neg(d))
OF_TWO(mul, NUMBERS, CT_SAVE_INPUTS, ct_mul(d, b), ct_mul(d, a))
OF_TWO(div, FLOATS, CT_SAVE_INPUTS, ct_div(d, b), ct_neg(ct_mul(d, ct_div(ct_div(a, b), b))))
OF_TWO(pow, FLOATS, CT_SAVE_INPUTS, ct_mul(d, pow_base(a, b, NULL)),
       ct_mul(d, pow_exponent(a, b, NULL)))
OF_TWO(maximum, NUMBERS, CT_SAVE_INPUTS, extreme_share(d, a, b, ct_gt(a, b), true),
       extreme_share(d, a, b, ct_gt(a, b), false))
OF_TWO(minimum, NUMBERS, CT_SAVE_INPUTS, extreme_share(d, a, b, ct_lt(a, b), true),
       extreme_share(d, a, b, ct_lt(a, b), false))

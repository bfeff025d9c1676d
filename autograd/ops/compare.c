/* SPDX-License-Identifier: MIT */
/* compare.c - comparisons, tests, logic and choices.
 *
 *     where:  da = d where the condition is true, db = d elsewhere
 * The results of all other ops of this file are bool and have no derivative. A number operand
 * becomes a tensor of one element, which broadcasts. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>

#include "tensor/convert.h"

#include <math.h>

/* ---- comparisons of two tensors, tests, logic ---- */

#define TO_BOOL2(id, domain)                                                                       \
    ct_tensor *ct_##id(ct_tensor *a, ct_tensor *b)                                                 \
    {                                                                                              \
        static const cti_elementwise_op op = { "ct_" #id, CTI_EW_##id, domain, NULL, true };       \
                                                                                                   \
        return cti_elementwise_binary(&op, a, b, NULL);                                            \
    }

TO_BOOL2(eq, COMPARABLE)
TO_BOOL2(ne, COMPARABLE)
TO_BOOL2(lt, COMPARABLE)
TO_BOOL2(le, COMPARABLE)
TO_BOOL2(gt, COMPARABLE)
TO_BOOL2(ge, COMPARABLE)
TO_BOOL2(logical_and, BOOLS)
TO_BOOL2(logical_or, BOOLS)
TO_BOOL2(logical_xor, BOOLS)

#define TO_BOOL1(id, domain)                                                                       \
    ct_tensor *ct_##id(ct_tensor *x)                                                               \
    {                                                                                              \
        static const cti_elementwise_op op = { "ct_" #id, CTI_EW_##id, domain, NULL, true };       \
                                                                                                   \
        return cti_elementwise_unary(&op, x, NULL);                                                \
    }

TO_BOOL1(isfinite, FLOATS)
TO_BOOL1(isnan, FLOATS)
TO_BOOL1(isinf, FLOATS)
TO_BOOL1(logical_not, BOOLS)

/* ---- comparisons with a number ---- */

/* The integers of a dtype are low..below - 1. Both bounds are doubles. */
static void compare_range(ct_dtype dtype, double *low, double *below)
{
    *low = dtype == CT_BOOL ? 0 : dtype == CT_I32 ? -0x1p31 : -0x1p63;
    *below = dtype == CT_BOOL ? 2 : -*low;
}

/* Replaces *s, for a comparison with integers, by a whole number with the same result: x > 2.5 is x
 * > 2, x >= 2.5 is x >= 3. If the result is the same for every x, returns it (1 or 0); otherwise
 * returns -1. */
static int compare_whole(cti_ew_op op, ct_dtype dtype, double *s)
{
    bool above = op == CTI_EW_gt || op == CTI_EW_ge, equal = op == CTI_EW_eq || op == CTI_EW_ne;
    bool differs = op == CTI_EW_ne;
    double whole = op == CTI_EW_ge || op == CTI_EW_lt ? ceil(*s) : floor(*s), low, below;

    compare_range(dtype, &low, &below);
    if (isnan(*s) || (equal && whole != *s))
        return differs;
    *s = whole;
    if (whole < low)
        return above || differs;
    if (whole >= below)
        return !above && op != CTI_EW_eq;
    return -1;
}

static ct_tensor *compare_with_number(const cti_elementwise_op *op, ct_tensor *x, double s)
{
    ct_tensor *y;
    int all = -1;

    if (!cti_usable(op->function, x) || !cti_elementwise_takes(op->function, "x", x, op->domain))
        return NULL;
    if (!cti_is_float(x->dtype))
        all = compare_whole(op->kernel, x->dtype, &s);
    if (all >= 0) {
        y = cti_filled(op->function, x->shape, all, CT_BOOL, x->device);
        if (y)
            cti_not_recorded(op->function, 1, &x, y);
        return y;
    }
    return cti_elementwise_with_number(op, x, s);
}

#define WITH_NUMBER(id)                                                                            \
    ct_tensor *ct_##id##_scalar(ct_tensor *x, double s)                                            \
    {                                                                                              \
        static const cti_elementwise_op op = { "ct_" #id "_scalar", CTI_EW_##id, COMPARABLE, NULL, \
                                               true };                                             \
                                                                                                   \
        return compare_with_number(&op, x, s);                                                     \
    }

WITH_NUMBER(eq)
WITH_NUMBER(ne)
WITH_NUMBER(lt)
WITH_NUMBER(le)
WITH_NUMBER(gt)
WITH_NUMBER(ge)

/* ---- choosing ---- */

static void where_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *d = dout[0], *c = ct_node_input(n, 0), *none = ct_zeros_like(d);

    if (ct_node_needs_grad(n, 1))
        ct_node_add_grad(n, 1, ct_sum_to_shape(ct_where(c, d, none), ct_node_input_shape(n, 1)));
    if (ct_node_needs_grad(n, 2))
        ct_node_add_grad(n, 2, ct_sum_to_shape(ct_where(c, none, d), ct_node_input_shape(n, 2)));
}

static const ct_op where_op = { .name = "ct_where",
                                .inputs = 3,
                                .outputs = 1,
                                .saves = CT_SAVE_INPUTS,
                                .backward = CTI_TRAINING(where_grad) };

/* `name` is the name of the condition in messages. */
static ct_tensor *choose_run(const char *me, const char *name, ct_tensor *c, ct_tensor *a,
                             ct_tensor *b)
{
    ct_tensor *in[3] = { c, a, b }, *y;
    ct_tensor both;
    ct_shape shape;
    int axis;

    if (!cti_usable_as(me, "condition", c) || !cti_usable(me, a) || !cti_usable(me, b) ||
        !cti_elementwise_takes(me, name, c, BOOLS) || !cti_same_dtype(me, "a", a, "b", b) ||
        !cti_same_device(me, "a", a, "b", b) || !cti_same_device(me, name, c, "a", a) ||
        !cti_broadcast(me, a, b, &shape))
        return NULL;
    both = *a; /* for the message: a tensor with the broadcast shape of a and b */
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
    return cti_record_n(&where_op, 3, in, y);
}

ct_tensor *ct_where(ct_tensor *condition, ct_tensor *a, ct_tensor *b)
{
    return choose_run("ct_where", "condition", condition, a, b);
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
    return choose_run(me, "mask", mask, ct_full(CT_SCALAR, value, x->dtype, x->device), x);
}

/* Returns a number as a tensor of one element; NULL with an error if it is not a value of the
 * dtype. */
static ct_tensor *choose_number(const char *me, const char *name, double s, ct_dtype dtype,
                                ct_device device)
{
    return cti_number_fits(me, name, s, dtype) ? cti_filled(me, CT_SCALAR, s, dtype, device) : NULL;
}

ct_tensor *ct_where_scalar(ct_tensor *condition, ct_tensor *a, double b)
{
    static const char *const me = "ct_where_scalar";
    ct_tensor *number;

    if (!cti_usable(me, condition) || !cti_usable(me, a))
        return NULL;
    number = choose_number(me, "b", b, a->dtype, a->device);
    return number ? choose_run(me, "condition", condition, a, number) : NULL;
}

ct_tensor *ct_rwhere_scalar(ct_tensor *condition, double a, ct_tensor *b)
{
    static const char *const me = "ct_rwhere_scalar";
    ct_tensor *number;

    if (!cti_usable(me, condition) || !cti_usable(me, b))
        return NULL;
    number = choose_number(me, "a", a, b->dtype, b->device);
    return number ? choose_run(me, "condition", condition, number, b) : NULL;
}

ct_tensor *ct_where_scalars(ct_tensor *condition, double a, double b, ct_dtype dtype)
{
    static const char *const me = "ct_where_scalars";
    ct_tensor *first, *second;

    if (!cti_usable(me, condition))
        return NULL;
    first = choose_number(me, "a", a, dtype, condition->device);
    second = first ? choose_number(me, "b", b, dtype, condition->device) : NULL;
    return second ? choose_run(me, "condition", condition, first, second) : NULL;
}

/* Composed of choices, which pass the gradient only where they keep x, so dx = 0 where x was
 * replaced. */
ct_tensor *ct_nan_to_num(ct_tensor *x, double nan, double posinf, double neginf)
{
    static const char *const me = "ct_nan_to_num";
    ct_tensor *y;

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x))
        return NULL;
    y = ct_masked_fill(x, ct_isnan(x), nan);
    y = ct_masked_fill(y, ct_eq_scalar(x, INFINITY), posinf);
    return ct_masked_fill(y, ct_eq_scalar(x, -INFINITY), neginf);
}

/* ---- two tensors as a whole ---- */

typedef struct compare_tolerance {
    double relative, absolute;
    bool equal_nan;
} compare_tolerance;

/* Equal infinities are close. They need this test, because their difference is NaN. */
static bool compare_floats(double a, double b, const compare_tolerance *t)
{
    double difference = fabs(a - b);

    if (a == b || (t->equal_nan && isnan(a) && isnan(b)))
        return true;
    return isfinite(difference) && difference <= t->absolute + t->relative * fabs(b);
}

/* The difference is computed as an unsigned number, which is exact for any two i64. */
static bool compare_integers(int64_t a, int64_t b, const compare_tolerance *t)
{
    uint64_t difference = a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;

    return difference == 0 || (double)difference <= t->absolute + t->relative * fabs((double)b);
}

#define ARE_CLOSE(type, function, convert)                                                         \
    for (i = 0; i < a->numel; i++)                                                                 \
        if (!function(convert(((const type *)x)[i]), convert(((const type *)y)[i]), t))            \
            return false;                                                                          \
    return true;

/* True if all elements are close. a and b must be contiguous, on the CPU, and of one shape and
 * dtype. */
static bool compare_all(const ct_tensor *a, const ct_tensor *b, const compare_tolerance *t)
{
    const void *x = cti_data(a), *y = cti_data(b);
    int64_t i;

    switch (a->dtype) {
    case CT_F32:
        ARE_CLOSE(float, compare_floats, (double))
    case CT_F64:
        ARE_CLOSE(double, compare_floats, (double))
    case CT_I32:
        ARE_CLOSE(int32_t, compare_integers, (int64_t))
    case CT_I64:
        ARE_CLOSE(int64_t, compare_integers, (int64_t))
    case CT_BOOL:
        ARE_CLOSE(uint8_t, compare_integers, (int64_t))
    case CT_BF16:
        ARE_CLOSE(uint16_t, compare_floats, (double)cti_float_of_bf16)
    }
    return false;
}

/* Returns t broadcast to shape, contiguous and on the CPU. */
static const ct_tensor *compare_on_host(const char *me, const ct_tensor *t, ct_shape shape)
{
    ct_tensor *whole = ct_detach((ct_tensor *)t), *host;

    if (whole && !cti_same_shape(&t->shape, &shape))
        whole = ct_expand(whole, shape);
    if (!whole || t->device == CT_CPU)
        return whole ? cti_contiguous(whole) : NULL;
    host = cti_new(me, shape, t->dtype, CT_CPU);
    return host && cti_copy_across(me, host, whole) ? host : NULL;
}

static bool compare_tensors(const char *me, const ct_tensor *a, const ct_tensor *b, ct_shape shape,
                            const compare_tolerance *t)
{
    ct_scope s = cti_scope_push();
    const ct_tensor *x = compare_on_host(me, a, shape), *y;
    bool result;

    y = x ? compare_on_host(me, b, shape) : NULL;
    result = y && compare_all(x, y, t);
    cti_scope_pop(s);
    return result;
}

bool ct_allclose(const ct_tensor *a, const ct_tensor *b, double rtol, double atol, bool equal_nan)
{
    static const char *const me = "ct_allclose";
    ct_shape shape;

    if (!cti_usable(me, a) || !cti_usable(me, b) || !cti_same_dtype(me, "a", a, "b", b) ||
        !cti_same_device(me, "a", a, "b", b) || !cti_broadcast(me, a, b, &shape))
        return false;
    if (!(rtol >= 0 && atol >= 0 && isfinite(rtol) && isfinite(atol))) {
        ct_raise(CT_ERR_ARGUMENT, me,
                 "rtol is %g and atol is %g; both must be finite and at least 0", rtol, atol);
        return false;
    }
    return compare_tensors(me, a, b, shape, &(compare_tolerance){ rtol, atol, equal_nan });
}

bool ct_equal(const ct_tensor *a, const ct_tensor *b)
{
    static const char *const me = "ct_equal";

    if (!cti_usable(me, a) || !cti_usable(me, b) || !cti_same_dtype(me, "a", a, "b", b) ||
        !cti_same_device(me, "a", a, "b", b))
        return false;
    return cti_same_shape(&a->shape, &b->shape) &&
           compare_tensors(me, a, b, a->shape, &(compare_tolerance){ 0, 0, false });
}

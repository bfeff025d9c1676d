/* SPDX-License-Identifier: MIT */
/* divide.c - quotients rounded down, and remainders. The kernels use tensor/division.h.
 *
 *     q = floor_divide(a, b):  da = 0, db = 0
 *     r = remainder(a, b) = a - b q:  da = d, db = -d q */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/divide.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>

/* The quotient is constant except where it jumps, so its derivative is 0. */
static void floor_divide_grad(ct_node *n, ct_tensor *const *dout)
{
    int i;

    for (i = 0; i < 2; i++)
        if (ct_node_needs_grad(n, i))
            ct_node_add_grad(n, i,
                             ct_zeros(ct_node_input_shape(n, i), dout[0]->dtype, dout[0]->device));
}

static void remainder_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *d = dout[0], *a = ct_node_input(n, 0), *b = ct_node_input(n, 1);

    if (ct_node_needs_grad(n, 0))
        ct_node_add_grad(n, 0, ct_sum_to_shape(d, ct_node_input_shape(n, 0)));
    if (ct_node_needs_grad(n, 1))
        ct_node_add_grad(
            n, 1,
            ct_sum_to_shape(ct_neg(ct_mul(d, ct_floor_divide(a, b))), ct_node_input_shape(n, 1)));
}

static const ct_op floor_divide_op = { .name = "ct_floor_divide",
                                       .inputs = 2,
                                       .outputs = 1,
                                       .backward = CTI_TRAINING(floor_divide_grad) };

static const ct_op remainder_op = { .name = "ct_remainder",
                                    .inputs = 2,
                                    .outputs = 1,
                                    .saves = CT_SAVE_INPUTS,
                                    .backward = CTI_TRAINING(remainder_grad) };

/* Raises an error if an integer divisor has an element that is 0. */
static bool divide_checks(const char *me, const ct_tensor *b)
{
    ct_scope s = cti_scope_push();
    ct_tensor *c = cti_contiguous(b);
    cti_fault fault = cti_fault_at(b->device, CTI_FAULT_DIVISOR, me, 0);
    ct_status found = CT_OK;

    if (c)
        found = cti_backend_of(b->device)->check_elements(
            &(cti_check_args){ CTI_CHECK_DIVISOR, c->dtype, c->numel, cti_data(c) }, &fault);
    cti_scope_pop(s);
    if (found != CT_OK)
        ct_raise(CT_ERR_NUMERIC, me, "element %lld of b %s is 0", (long long)fault.position,
                 cti_describe(b).s);
    return c && found == CT_OK;
}

static ct_tensor *divide_run(const cti_elementwise_op *op, ct_tensor *a, ct_tensor *b)
{
    const char *me = op->function;
    ct_shape shape;

    if (!cti_usable(me, a) || !cti_usable(me, b) || !cti_same_dtype(me, "a", a, "b", b) ||
        !cti_same_device(me, "a", a, "b", b) || !cti_elementwise_takes(me, "a", a, NUMBERS) ||
        !cti_broadcast(me, a, b, &shape) || (cti_is_index(b->dtype) && !divide_checks(me, b)))
        return NULL;
    return cti_elementwise_binary(op, a, b, NULL);
}

static ct_tensor *divide_by_number(const cti_elementwise_op *op, ct_tensor *x, double s)
{
    if (!cti_usable(op->function, x) || !cti_elementwise_takes(op->function, "x", x, NUMBERS) ||
        !cti_number_fits(op->function, "s", s, x->dtype))
        return NULL;
    if (s == 0 && cti_is_index(x->dtype)) {
        ct_raise(CT_ERR_ARGUMENT, op->function, "s is 0; the integers x %s cannot be divided by 0",
                 cti_describe(x).s);
        return NULL;
    }
    return cti_elementwise_with_number(op, x, s);
}

#define DIVISION(id)                                                                               \
    ct_tensor *ct_##id(ct_tensor *a, ct_tensor *b)                                                 \
    {                                                                                              \
        static const cti_elementwise_op op = { "ct_" #id, CTI_EW_##id, NUMBERS, &id##_op, false }; \
                                                                                                   \
        return divide_run(&op, a, b);                                                              \
    }                                                                                              \
    ct_tensor *ct_##id##_scalar(ct_tensor *x, double s)                                            \
    {                                                                                              \
        static const cti_elementwise_op op = { "ct_" #id "_scalar", CTI_EW_##id, NUMBERS,          \
                                               &id##_op, false };                                  \
                                                                                                   \
        return divide_by_number(&op, x, s);                                                        \
    }

DIVISION(remainder)
DIVISION(floor_divide)

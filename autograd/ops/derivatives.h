/* SPDX-License-Identifier: MIT */
/* derivatives.h - an elementwise op in one line: its name, its dtypes and its derivative. (internal)
 *
 * In a derivative, d is the gradient of the output, x (or a and b) an input, y the output and p the
 * op's numbers. The kernel is the entry of the same name in tensor/formulas.h. Derivatives are
 * written in ops, so they have derivatives too. */
#ifndef COTANGENT_AUTOGRAD_OPS_DERIVATIVES_H
#define COTANGENT_AUTOGRAD_OPS_DERIVATIVES_H

#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/reduce.h>

/* Zeros of d's shape. Used instead of d * 0, which is NaN where d is not finite. Returns NULL for
 * NULL: d is NULL if a saved tensor was modified. */
static inline ct_tensor *zeros_of(ct_tensor *d)
{
    return d ? ct_zeros(d->shape, d->dtype, d->device) : NULL;
}

/* ---- fused derivatives ---- */

/* id(d, s): the derivative of an activation in one kernel, from d and a saved tensor s of the same
 * shape (the activation's input or output). It is an op too: d_grad and s_grad are its derivatives,
 * for e, the gradient of its own output. */
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
                                   .backward = CTI_TRAINING(id##_backward) };                      \
    static ct_tensor *id(ct_tensor *d, ct_tensor *s, const double *p)                              \
    {                                                                                              \
        static const cti_elementwise_op op = { "ct_" #id, CTI_EW_##id, FLOATS, &id##_op, false };  \
                                                                                                   \
        return cti_elementwise_binary(&op, d, s, p);                                               \
    }

/* ---- one operand ---- */

/* An op whose derivative is a formula in d, its input x and its numbers p. id names the kernel,
 * ct_<public> the function that the user calls. */
#define OF_INPUT_AS(id, public, domain, formula)                                                   \
    static ct_tensor *op_##id(ct_tensor *x, const double *p);                                      \
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
                                   .backward = CTI_TRAINING(id##_grad) };                          \
    static ct_tensor *op_##id(ct_tensor *x, const double *p)                                       \
    {                                                                                              \
        static const cti_elementwise_op op = { "ct_" #public, CTI_EW_##id, domain, &id##_op,       \
                                               false };                                            \
                                                                                                   \
        return cti_elementwise_unary(&op, x, p);                                                   \
    }

/* An op whose derivative is a formula in d, its output y and its numbers p, so the input need not
 * be saved. */
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
                                   .backward = CTI_TRAINING(id##_grad) };                          \
    static ct_tensor *op_##id(ct_tensor *x, const double *p)                                       \
    {                                                                                              \
        static const cti_elementwise_op op = { "ct_" #public, CTI_EW_##id, domain, &id##_op,       \
                                               false };                                            \
                                                                                                   \
        return cti_elementwise_unary(&op, x, p);                                                   \
    }

#define OF_INPUT(id, domain, formula) OF_INPUT_AS(id, id, domain, formula)
#define OF_OUTPUT(id, domain, formula) OF_OUTPUT_AS(id, id, domain, formula)

#define PLAIN1(id)                                                                                 \
    ct_tensor *ct_##id(ct_tensor *x)                                                               \
    {                                                                                              \
        return op_##id(x, NULL);                                                                   \
    }

/* ---- two operands ---- */

/* An op with a formula for each operand, in d, a, b and the output y. saved names the tensors that
 * the formulas need. Each gradient is summed over the axes along which its operand was
 * broadcast. */
#define OF_TWO(id, domain, saved, a_grad, b_grad)                                                  \
    static void id##_grad(ct_node *n, ct_tensor *const *dout)                                      \
    {                                                                                              \
        ct_tensor *d = dout[0];                                                                    \
        ct_tensor *a = (saved)&CT_SAVE_INPUTS ? ct_node_input(n, 0) : NULL;                        \
        ct_tensor *b = (saved)&CT_SAVE_INPUTS ? ct_node_input(n, 1) : NULL;                        \
        ct_tensor *y = (saved)&CT_SAVE_OUTPUTS ? ct_node_output(n, 0) : NULL;                      \
        (void)a, (void)b, (void)y;                                                                 \
        if (ct_node_needs_grad(n, 0))                                                              \
            ct_node_add_grad(n, 0, cti_sum_to_input(n, 0, a_grad));                                \
        if (ct_node_needs_grad(n, 1))                                                              \
            ct_node_add_grad(n, 1, cti_sum_to_input(n, 1, b_grad));                                \
    }                                                                                              \
    static const ct_op id##_op = { .name = "ct_" #id,                                              \
                                   .inputs = 2,                                                    \
                                   .outputs = 1,                                                   \
                                   .saves = (saved),                                               \
                                   .backward = CTI_TRAINING(id##_grad) };                          \
    ct_tensor *ct_##id(ct_tensor *a, ct_tensor *b)                                                 \
    {                                                                                              \
        static const cti_elementwise_op op = { "ct_" #id, CTI_EW_##id, domain, &id##_op, false };  \
                                                                                                   \
        return cti_elementwise_binary(&op, a, b, NULL);                                            \
    }

#endif

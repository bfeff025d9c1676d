/* functional.h - derivatives of functions: products with vectors, Jacobians, Hessians.
 *
 * A function takes count tensors and returns one. These functions call it once with leaves of its own
 * on the values of inputs, f32 or f64, whose gradients are wanted; the gradients of the caller's leaves
 * do not change. The results have no history and belong to the innermost scope. An input on which the
 * result does not depend has derivative 0. What the function computes is freed at the end. */
#ifndef COTANGENT_AUTOGRAD_FUNCTIONAL_H
#define COTANGENT_AUTOGRAD_FUNCTIONAL_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_function {
    ct_tensor *(*call)(int count, ct_tensor *const *inputs,
                       void *context); /* NULL after an error */
    void *context;                     /* may be NULL */
} ct_function;

/* All return CT_OK, or an error, after which every result is NULL: CT_ERR_ARGUMENT for a NULL function
 * or a count outside 1..16, CT_ERR_DTYPE for an input that is not f32 or f64, CT_ERR_SHAPE for a v of
 * another shape or a result of more than CT_MAX_RANK axes, and the errors of the function. They do
 * nothing while an error is recorded. output may be NULL; else it receives the function's value. */

/* The product of v, of the output's shape, with the Jacobian: grads[i], of inputs[i]'s shape, is the
 * gradient of <f(inputs), v>. v may be NULL for an output of one element: 1. */
ct_status ct_vjp(const ct_function *f, int count, ct_tensor *const *inputs, ct_tensor *v,
                 ct_tensor **output, ct_tensor **grads);

/* jacobians[i], with the axes of the output and then those of inputs[i], holds the derivative of each
 * element of the output by each of the input. One backward pass for each element of the output. */
ct_status ct_jacobian(const ct_function *f, int count, ct_tensor *const *inputs,
                      ct_tensor **jacobians);

/* The product of the Hessian of f, whose output has one element, with the vectors v, of the inputs'
 * shapes: products[i], of inputs[i]'s shape. Two backward passes. */
ct_status ct_hvp(const ct_function *f, int count, ct_tensor *const *inputs, ct_tensor *const *v,
                 ct_tensor **output, ct_tensor **products);

/* hessians[i * count + k], with the axes of inputs[i] and then those of inputs[k], holds the second
 * derivatives of f, whose output has one element. One backward pass for each element of the inputs, and
 * one more. */
ct_status ct_hessian(const ct_function *f, int count, ct_tensor *const *inputs,
                     ct_tensor **hessians);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* functional.h - derivatives of functions: products with vectors, Jacobians, Hessians.
 *
 * A function takes count tensors and returns one. These functions call it once, with new leaves
 * that have the values of inputs, f32 or f64. The gradients of the caller's leaves do not change.
 * The results have no history and belong to the innermost scope. The derivative by an input on
 * which the result does not depend is 0. Temporaries of the function are freed at the end. */
#ifndef COTANGENT_AUTOGRAD_FUNCTIONAL_H
#define COTANGENT_AUTOGRAD_FUNCTIONAL_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function of tensors, and what it is called with. */
typedef struct ct_function {
    ct_tensor *(*call)(int count, ct_tensor *const *inputs,
                       void *context); /* NULL after an error */
    void *context;                     /* may be NULL */
} ct_function;

/* All functions below return CT_OK, or an error, after which every result is NULL. CT_ERR_ARGUMENT
 * for a NULL function or a count outside 1..16; CT_ERR_DTYPE for an input that is not f32 or f64;
 * CT_ERR_SHAPE if v has another shape than required, or if a result would have more than
 * CT_MAX_RANK axes; and the errors of the function. They do nothing while an error is recorded.
 * output receives the value of the function, unless it is NULL. */

/* The product of v, which has the output's shape, with the Jacobian: grads[i], of inputs[i]'s
 * shape, is the gradient of <f(inputs), v>. For an output of one element v may be NULL and counts
 * as 1. */
ct_status ct_vjp(const ct_function *f, int count, ct_tensor *const *inputs, ct_tensor *v,
                 ct_tensor **output, ct_tensor **grads);

/* The Jacobians: jacobians[i] has the axes of the output and then those of inputs[i]. It holds the
 * derivative of each element of the output by each element of the input. Costs one backward pass
 * for each element of the output. */
ct_status ct_jacobian(const ct_function *f, int count, ct_tensor *const *inputs,
                      ct_tensor **jacobians);

/* The product of the Hessian of f, whose output has one element, with the vectors v, which have the
 * shapes of the inputs. products[i] has the shape of inputs[i]. Costs two backward passes. */
ct_status ct_hvp(const ct_function *f, int count, ct_tensor *const *inputs, ct_tensor *const *v,
                 ct_tensor **output, ct_tensor **products);

/* The Hessian of f, whose output has one element. hessians[i * count + k] has the axes of inputs[i]
 * and then those of inputs[k]. Costs one backward pass for each element of the inputs, and one
 * more. */
ct_status ct_hessian(const ct_function *f, int count, ct_tensor *const *inputs,
                     ct_tensor **hessians);

#ifdef __cplusplus
}
#endif
#endif

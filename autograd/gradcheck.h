/* SPDX-License-Identifier: MIT */
/* gradcheck.h - checks derivatives against finite differences. For tests of ops and models. */
#ifndef COTANGENT_AUTOGRAD_GRADCHECK_H
#define COTANGENT_AUTOGRAD_GRADCHECK_H

#include <stdbool.h>

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function to check. It computes one f64 tensor, of any shape, from count f64 tensors. Called
 * again with the same values, it must return the same result. Returns NULL with an error if it
 * fails. */
typedef ct_tensor *(*ct_gradcheck_function)(int count, ct_tensor *const *inputs, void *context);

/* Checks the gradient of the scalar <f(inputs), w>, in which w are random normal numbers drawn from
 * g. For each element of each input that requires a gradient, the gradient must agree with a
 * central difference of step eps:
 *     |numeric - analytic| <= tolerance * max(1, largest |analytic| of that input)
 * eps 0 and tolerance 0 mean 1e-6. inputs are 1 to 16 tensors; those that require a gradient must
 * be contiguous f64 leaves whose elements do not share memory. They are modified during the check
 * and restored. context is passed to f and may be NULL. g is advanced.
 *
 * Returns true if all agree. Otherwise returns false with an error: CT_ERR_NUMERIC that names the
 * worst element, CT_ERR_ARGUMENT, CT_ERR_DTYPE, or the error of f. Returns false at once while an
 * error is recorded. */
bool ct_gradcheck(ct_gradcheck_function f, int count, ct_tensor *const *inputs, void *context,
                  ct_generator *g, double eps, double tolerance);

/* Like ct_gradcheck, for the second derivatives: it checks the gradient of the gradient. */
bool ct_gradgradcheck(ct_gradcheck_function f, int count, ct_tensor *const *inputs, void *context,
                      ct_generator *g, double eps, double tolerance);

#ifdef __cplusplus
}
#endif
#endif

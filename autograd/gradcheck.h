/* gradcheck.h - derivatives against finite differences. */
#ifndef COTANGENT_AUTOGRAD_GRADCHECK_H
#define COTANGENT_AUTOGRAD_GRADCHECK_H

#include <stdbool.h>

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function of count f64 tensors to one f64 tensor, for checking; the same each time it is called
 * with the same values. */
typedef ct_tensor *(*ct_gradcheck_function)(int count, ct_tensor *const *inputs, void *context);

/* Compares d <f(inputs), w> / d input, w random normal drawn from *g, with central differences of
 * step eps (0: 1e-6), for each element of each input that requires a gradient: |numeric - analytic|
 * <= tolerance (0: 1e-6) * max(1, largest |entry|). inputs are f64 leaves, contiguous, whose
 * elements are distinct in memory; their values are put back. Returns true if all agree; otherwise
 * false, with the worst entry in CT_ERR_NUMERIC, or f's own error. */
bool ct_gradcheck(ct_gradcheck_function f, int count, ct_tensor *const *inputs, void *context,
                  ct_generator *g, double eps, double tolerance);

/* The same for the gradient itself: second derivatives. */
bool ct_gradgradcheck(ct_gradcheck_function f, int count, ct_tensor *const *inputs, void *context,
                      ct_generator *g, double eps, double tolerance);

#ifdef __cplusplus
}
#endif
#endif

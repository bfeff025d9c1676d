/* random.h - ops that draw. Each advances *g past what it took, so the same generator value
 * gives the same draws again, on any device and at any number of threads. */
#ifndef COTANGENT_AUTOGRAD_OPS_RANDOM_H
#define COTANGENT_AUTOGRAD_OPS_RANDOM_H

#include <stdbool.h>

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Each element 0 with probability p, else x / (1 - p); f32, f64. Element i (row-major) takes word
 * i. dx = d, dropped and scaled in the same places: they are drawn again, not stored.
 * CT_ERR_ARGUMENT for a p outside [0, 1). */
ct_tensor *ct_dropout(ct_tensor *x, double p, ct_generator *g);

/* i64 (..., k): k positions for each row of weights (..., n), f32 or f64, each drawn with
 * probability weight / sum; weights need not sum to 1. Without replacement no position comes twice.
 * No derivative. CT_ERR_NUMERIC for a weight that is negative or not finite, and for a row with
 * fewer positive ones than must be drawn; CT_ERR_ARGUMENT for a k below 1. */
ct_tensor *ct_multinomial(ct_tensor *weights, int64_t k, bool replacement, ct_generator *g);

#ifdef __cplusplus
}
#endif
#endif

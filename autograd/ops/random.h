/* SPDX-License-Identifier: MIT */
/* random.h - ops that draw random numbers.
 *
 * Each takes a generator g (tensor/random.h), which must not be NULL (CT_ERR_ARGUMENT), and
 * advances it past the numbers that it uses. The same generator value draws the same numbers on
 * every device and at any number of threads. The results belong to the innermost scope. */
#ifndef COTANGENT_AUTOGRAD_OPS_RANDOM_H
#define COTANGENT_AUTOGRAD_OPS_RANDOM_H

#include <stdbool.h>

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sets each element to 0 with probability p and multiplies the others by 1 / (1 - p). Element i
 * (row-major) uses word i of the generator. x: f32 or f64 (CT_ERR_DTYPE). dx = d with the same
 * elements dropped and scaled; backward draws the mask again instead of storing it. Raises
 * CT_ERR_ARGUMENT if p is not in [0, 1). */
ct_tensor *ct_dropout(ct_tensor *x, double p, ct_generator *g);

/* Draws k positions, i64 (..., k), for each row of weights (..., n), f32 or f64. A position is
 * drawn with probability weight / sum of the row; the weights need not sum to 1. Without
 * replacement, no position occurs twice in a row, and the order is that of k draws one after the
 * other. A weight of 0 is never drawn. Uses two words for each draw; without replacement, two for
 * each weight. No derivative. Raises CT_ERR_NUMERIC if a weight is negative or not finite, if the sum
 * of a row is not finite (with replacement), or if a row has fewer positive weights than must be
 * drawn; CT_ERR_ARGUMENT if k is below 1 or, without replacement, above n; CT_ERR_SHAPE for rank 0.
 *
 * With replacement, the running sums of a row are searched: O(n + k log n). Without, the k greatest
 * of log(weight) - log(-log(u)) are drawn, with a uniform u for each weight (Efraimidis and
 * Spirakis, "Weighted random sampling with a reservoir", 2006): O(n log n). */
ct_tensor *ct_multinomial(ct_tensor *weights, int64_t k, bool replacement, ct_generator *g);

/* 1 with probability p and 0 otherwise, for each element; p is f32 or f64 (CT_ERR_DTYPE), and so is
 * the result. Uses two words for each element. No derivative. Raises CT_ERR_NUMERIC if an element is
 * not in 0..1. */
ct_tensor *ct_bernoulli(ct_tensor *p, ct_generator *g);

/* ct_rand and ct_randn with the shape, dtype and device of x, which is f32 or f64 (CT_ERR_DTYPE). */
ct_tensor *ct_rand_like(const ct_tensor *x, ct_generator *g);
ct_tensor *ct_randn_like(const ct_tensor *x, ct_generator *g);

#ifdef __cplusplus
}
#endif
#endif

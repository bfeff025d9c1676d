/* SPDX-License-Identifier: MIT */
/* random.h - counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * A generator is a value: a seed, a stream and a position. A random number is a function of these
 * three alone; it depends neither on threads nor on the device. A copy of a generator draws the
 * same numbers again. Positions count 32-bit words. A tensor of n f32 elements uses n words, a
 * tensor of n f64 elements 2 n. It begins at the next multiple of 4, and the position after it is
 * again a multiple of 4. One thread at a time may use a generator.
 *
 * A NULL argument raises CT_ERR_ARGUMENT; the function then returns 0 or NULL. */
#ifndef COTANGENT_TENSOR_RANDOM_H
#define COTANGENT_TENSOR_RANDOM_H

#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A generator of random numbers: a value that may be copied. */
typedef struct ct_generator {
    uint64_t seed;
    uint64_t stream;
    uint64_t position;
} ct_generator;

/* A generator at the start of stream 0 of a seed. */
ct_generator ct_generator_from_seed(uint64_t seed);

/* A generator at the start of the stream of a name, under the seed of g. The number of the stream
 * is the FNV-1a 64-bit hash of the name, mixed with the stream of g. A parameter draws its initial
 * values from the stream of its dotted name. */
ct_generator ct_generator_stream(ct_generator g, const char *name);

/* Writes the four words of block number `block` of a stream: positions 4 block to 4 block + 3. */
void ct_philox(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]);

/* A random 32-bit word. Advances g by one word. */
uint32_t ct_random_u32(ct_generator *g);

/* A random integer in 0..n-1, without bias; 0 if n is 0. Advances g by two words, rarely by
 * more. */
uint64_t ct_random_below(ct_generator *g, uint64_t n);

/* A random number in [0, 1) with 53 random bits. Advances g by two words. */
double ct_random_uniform(ct_generator *g);

/* Fills t, f32 or f64 (CT_ERR_DTYPE), with uniform random numbers in [low, high). An in-place write
 * with the rules of ct_fill. Advances g. Raises CT_ERR_ARGUMENT if t or g is NULL, if low > high,
 * or if low or high is not finite. */
ct_status ct_uniform_into(ct_tensor *t, double low, double high, ct_generator *g);

/* Fills t with normal random numbers (Box-Muller) of the given mean and standard deviation.
 * Otherwise like ct_uniform_into. Raises CT_ERR_ARGUMENT if std is negative, or if one of them is
 * not finite. */
ct_status ct_normal_into(ct_tensor *t, double mean, double std, ct_generator *g);

/* A new tensor of the innermost scope, f32 or f64, of uniform random numbers in [0, 1) (ct_rand) or
 * of standard normal random numbers (ct_randn). Advances g. Errors as for ct_uniform_into. */
ct_tensor *ct_rand(ct_shape shape, ct_dtype dtype, ct_device device, ct_generator *g);
ct_tensor *ct_randn(ct_shape shape, ct_dtype dtype, ct_device device, ct_generator *g);

/* A new tensor of the innermost scope, i32 or i64 (CT_ERR_DTYPE), of random integers in low..high -
 * 1, each equally likely: no bias for any range. Element i uses words 2 i and 2 i + 1. A draw that
 * would make some integers more likely is repeated from another Philox key, so the other elements
 * do not change. Advances g by two words for each element. Raises CT_ERR_ARGUMENT if g is NULL, if
 * low >= high, or if the dtype cannot hold low and high - 1. */
ct_tensor *ct_randint(int64_t low, int64_t high, ct_shape shape, ct_dtype dtype, ct_device device,
                      ct_generator *g);

/* Shuffles the n numbers of the array `order`: every permutation is equally likely (Fisher-Yates).
 * Advances g by n - 1 calls of ct_random_below. */
void ct_shuffle(int64_t *order, int64_t n, ct_generator *g);

#ifdef __cplusplus
}
#endif
#endif

/* random.h - counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * A generator is a value: a seed, a stream and a position. Draw number p of a stream is a function
 * of these three alone, so it depends neither on threads nor on the device. Positions count 32-bit
 * words; a tensor of n elements takes n of them, rounded up to a multiple of 4 (f64: 2 n). */
#ifndef COTANGENT_TENSOR_RANDOM_H
#define COTANGENT_TENSOR_RANDOM_H

#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_generator {
    uint64_t seed;
    uint64_t stream;
    uint64_t position;
} ct_generator;

/* Stream 0 of a seed, from its start. */
ct_generator ct_generator_from_seed(uint64_t seed);

/* The stream of a name under g's seed, from its start: FNV-1a 64 of the name, mixed with g's own
 * stream. A parameter draws from the stream of its dotted name. */
ct_generator ct_generator_stream(ct_generator g, const char *name);

/* The four words of block number block. */
void ct_philox(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]);

/* Draws, each of which advances g. */
uint32_t ct_random_u32(ct_generator *g);
uint64_t ct_random_below(ct_generator *g, uint64_t n); /* in 0..n-1; 0 for n = 0 */
double ct_random_uniform(ct_generator *g);             /* 53 bits, in [0, 1) */

/* Fills t, of dtype f32 or f64, with uniforms in [low, high) or with normals (Box-Muller). An
 * in-place write, as ct_fill. CT_ERR_ARGUMENT: low > high, std < 0, one that is not finite. */
ct_status ct_uniform_into(ct_tensor *t, double low, double high, ct_generator *g);
ct_status ct_normal_into(ct_tensor *t, double mean, double std, ct_generator *g);

/* Uniforms in [0, 1), standard normals; of the innermost scope. */
ct_tensor *ct_rand(ct_shape shape, ct_dtype dtype, ct_device device, ct_generator *g);
ct_tensor *ct_randn(ct_shape shape, ct_dtype dtype, ct_device device, ct_generator *g);

/* A permutation of 0..n-1 (Fisher-Yates, drawing n - 1 numbers) into order. */
void ct_shuffle(int64_t *order, int64_t n, ct_generator *g);

#ifdef __cplusplus
}
#endif
#endif

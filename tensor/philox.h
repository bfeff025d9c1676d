/* SPDX-License-Identifier: MIT */
/* philox.h - Philox 4x32-10, and uniforms and normals from its words, for every device. (internal)
 *
 * A device's compiler defines CTI_INLINE for its functions. It defines CTI_MUL and CTI_ADD so that
 * a product and a sum of doubles are never fused into one rounding; so uniforms have the same bits
 * on every device. */
#ifndef COTANGENT_TENSOR_PHILOX_H
#define COTANGENT_TENSOR_PHILOX_H

#include "tensor/backend.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef CTI_INLINE
#define CTI_INLINE static inline
#endif

#ifndef CTI_MUL
#define CTI_MUL(a, b) ((a) * (b))
#define CTI_ADD(a, b) ((a) + (b))
#endif

#define CTI_2_TO_MINUS_24 (1.0 / 16777216.0)
#define CTI_2_TO_MINUS_53 (1.0 / 9007199254740992.0)

/* Computes the four words of a block. */
CTI_INLINE void cti_philox(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    int round;

    for (round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53u * c0, q = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)q;
        c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* A uniform in [0, 1), from the upper 24 bits of one word, or from 53 bits of two words. */
CTI_INLINE double cti_uniform_of_word(uint32_t w)
{
    return (double)(w >> 8) * CTI_2_TO_MINUS_24;
}

CTI_INLINE double cti_uniform_of_words(uint32_t high, uint32_t low)
{
    return (double)(((uint64_t)high << 32 | low) >> 11) * CTI_2_TO_MINUS_53;
}

/* The number of the first block of a draw. */
CTI_INLINE uint64_t cti_first_block(const cti_position *from)
{
    return from->block + (from->base ? *from->base : 0);
}

/* The greatest double below b. */
CTI_INLINE double cti_next_below(double b)
{
    uint64_t bits;

    if (b == 0)
        return -4.94065645841246544e-324;
    memcpy(&bits, &b, sizeof bits);
    bits = b > 0 ? bits - 1 : bits + 1;
    memcpy(&b, &bits, sizeof bits);
    return b;
}

/* A uniform in [a, b): a + (b - a) u. The sum, or its conversion to float, may be rounded up to b;
 * then the result is the greatest number below b. */
CTI_INLINE float cti_uniform_f32(double a, double b, uint32_t w)
{
    float f = (float)CTI_ADD(a, CTI_MUL(b - a, cti_uniform_of_word(w)));

    return (double)f >= b && b > a ? nextafterf(f, -INFINITY) : f;
}

CTI_INLINE double cti_uniform_f64(double a, double b, uint32_t high, uint32_t low)
{
    double v = CTI_ADD(a, CTI_MUL(b - a, cti_uniform_of_words(high, low)));

    return v >= b && b > a ? cti_next_below(b) : v;
}

/* Box-Muller: two normals of mean a and deviation b from two uniforms, u in (0, 1], v in [0, 1). */
CTI_INLINE void cti_normals_of(double a, double b, double u, double v, double out[2])
{
    double r = sqrt(-2 * log(u)), angle = 6.28318530717958647693 * v;

    out[0] = CTI_ADD(a, CTI_MUL(b, r * cos(angle)));
    out[1] = CTI_ADD(a, CTI_MUL(b, r * sin(angle)));
}

/* Fills in the numbers of one block: four uniforms or normals in f32, or two in f64. */
CTI_INLINE void cti_draw_f32(int normal, double a, double b, const uint32_t w[4], float out[4])
{
    int i;

    for (i = 0; i < 4; i += 2) {
        double pair[2];

        if (!normal) {
            out[i] = cti_uniform_f32(a, b, w[i]);
            out[i + 1] = cti_uniform_f32(a, b, w[i + 1]);
            continue;
        }
        cti_normals_of(a, b, (double)((w[i] >> 8) + 1) * CTI_2_TO_MINUS_24,
                       cti_uniform_of_word(w[i + 1]), pair);
        out[i] = (float)pair[0];
        out[i + 1] = (float)pair[1];
    }
}

CTI_INLINE void cti_draw_f64(int normal, double a, double b, const uint32_t w[4], double out[2])
{
    if (!normal) {
        out[0] = cti_uniform_f64(a, b, w[0], w[1]);
        out[1] = cti_uniform_f64(a, b, w[2], w[3]);
        return;
    }
    cti_normals_of(a, b, (double)((((uint64_t)w[0] << 32 | w[1]) >> 11) + 1) * CTI_2_TO_MINUS_53,
                   cti_uniform_of_words(w[2], w[3]), out);
}

/* ---- integers ---- */

/* A 64-bit number at or above this limit is rejected and drawn again. The limit is a multiple of
 * range, so that no remainder is more likely than another. */
CTI_INLINE uint64_t cti_integer_limit(uint64_t range)
{
    return UINT64_MAX - UINT64_MAX % range;
}

/* Two numbers in 0 .. range - 1, each equally likely, for a block. A number that is rejected is
 * drawn again from the same words of the same block under the next key, so that an element depends
 * on its position alone. */
CTI_INLINE void cti_draw_integers(const cti_position *from, uint64_t block, uint64_t range,
                                  uint64_t out[2])
{
    const uint64_t limit = cti_integer_limit(range);
    uint64_t seed = from->seed;
    int left = 3, half; /* bit i is set while number i is not drawn yet */

    out[0] = out[1] = 0;
    for (; left; seed += 0x9E3779B97F4A7C15u) {
        uint32_t w[4];

        cti_philox(seed, from->stream, block, w);
        for (half = 0; half < 2; half++) {
            uint64_t r = (uint64_t)w[2 * half] << 32 | w[2 * half + 1];

            if (!(left & 1 << half) || r >= limit)
                continue;
            out[half] = r % range;
            left &= ~(1 << half);
        }
    }
}

/* ---- keys of weights ---- */

/* The natural logarithm of a positive number. Unlike the C library's, it has the same bits on every
 * device, because it uses only sums, products and quotients, each with its own rounding. For x = m
 * 2^e with m in 0.707..1.414, log(m) = 2 (s + s^3 / 3 + s^5 / 5 + ...) with s = (m - 1) / (m + 1).
 * |s| is below 0.172, so the terms after s^21 are below the rounding. */
CTI_INLINE double cti_log_of_draw(double x)
{
    const double ln2 = 0.69314718055994530942;
    double m, s, square, sum = 0;
    uint64_t bits;
    int e = -1023, k;

    if (x < 2.2250738585072014e-308) { /* subnormal */
        x *= 18014398509481984.0;      /* 2^54 */
        e -= 54;
    }
    memcpy(&bits, &x, sizeof bits);
    e += (int)(bits >> 52);
    bits = (bits & 0xfffffffffffffu) | 0x3ff0000000000000u;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.41421356237309504880) {
        m *= 0.5;
        e++;
    }
    s = (m - 1) / (m + 1);
    square = s * s;
    for (k = 21; k >= 3; k -= 2)
        sum = CTI_MUL(CTI_ADD(sum, 1.0 / k), square);
    return CTI_ADD(CTI_MUL((double)e, ln2), CTI_MUL(2 * s, CTI_ADD(sum, 1)));
}

/* The key of a weight for two words: log(weight) - log(-log(u)) with u in (0, 1), in steps of
 * 2^-52; -inf for a weight of 0. */
CTI_INLINE double cti_key_of_weight(double weight, uint32_t high, uint32_t low)
{
    double u = ((double)(((uint64_t)high << 32 | low) >> 12) + 0.5) * (2 * CTI_2_TO_MINUS_53);

    if (!(weight > 0))
        return -INFINITY;
    return CTI_ADD(cti_log_of_draw(weight), -cti_log_of_draw(-cti_log_of_draw(u)));
}

#endif

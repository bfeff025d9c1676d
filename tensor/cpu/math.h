/* math.h - exp, log, tanh and sigmoid of floats, exp and log of doubles, written without branches
 * so that compilers turn a loop over them into vector code. (internal)
 *
 * Polynomials fitted at Chebyshev nodes. The largest errors over all floats, in units of the last
 * place, as tests/test_kernels measures them (with COTANGENT_TEST_FULL), without and with FMA:
 *     exp 1.05, 1.10    log 0.87, 0.87    tanh 2.51, 2.51    sigmoid 2.48, 2.48
 * None of them calls the C library, whose last digits depend on the processor. */
#ifndef COTANGENT_TENSOR_CPU_MATH_H
#define COTANGENT_TENSOR_CPU_MATH_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline float cti_float_of(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t cti_bits_of(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2) / 2; 2^n in two factors, so that results
 * near the ends of the range round once. Above 88.7 inf, below -103.9 0; NaN passes through. */
static inline float cti_expf(float x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float c = x > 89.0f ? 89.0f : x;
    float t, n, r, p;
    int32_t i, half;

    c = c < -104.0f ? -104.0f : c;
    t = c * 1.44269504088896341f + round;
    n = t - round;
    r = c - n * 0.693145751953125f;
    r = r - n * 1.42860682030941723e-6f;
    p = 0.0013933650916442275f;
    p = p * r + 0.008363179862499237f;
    p = p * r + 0.04166646674275398f;
    p = p * r + 0.16666576266288757f;
    p = p * r + 0.5f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    i = (int32_t)(cti_bits_of(t) - cti_bits_of(round));
    half = i >> 1;
    return p * cti_float_of((uint32_t)(half + 127) << 23) *
           cti_float_of((uint32_t)(i - half + 127) << 23);
}

/* Of a = |x|, then x's sign: m / (m + 2), m = exp(2a) - 1 = 2^n (exp(2r) - 1) + (2^n - 1), r half
 * of what cti_expf takes. From 10 on it is 1; the bits of floats >= 0 are in the order of their
 * values. */
static inline float cti_tanhf(float x)
{
    const float round = 12582912.0f;
    uint32_t bits = cti_bits_of(x), magnitude = bits & 0x7fffffffu;
    float a = cti_float_of(magnitude < 0x41200000u ? magnitude : 0x41200000u);
    float t = a * 2.88539008177792681f + round, n = t - round, r, p, e;

    r = a - n * 0.3465728759765625f;
    r = r - n * 7.14303410154708615e-7f;
    p = 0.08917536586523056f; /* cti_expf's coefficients, by powers of two */
    p = p * r + 0.2676217555999756f;
    p = p * r + 0.6666634678840637f;
    p = p * r + 1.3333261013031006f;
    p = p * r + 2.0f;
    p = p * (r * r) + 2.0f * r;
    e = cti_float_of((cti_bits_of(t) << 23) + (127u << 23)); /* 2^n */
    p = p * e + (e - 1.0f);
    p = p / (p + 2.0f);
    p = cti_float_of(cti_bits_of(p) | (bits & 0x80000000u));
    return x != x ? x : p;
}

/* Below -88.7, where the result is no longer a normal float, 0. */
static inline float cti_sigmoidf(float x)
{
    return 1.0f / (1.0f + cti_expf(-x));
}

/* x = 2^e m, m in [sqrt(1/2), sqrt(2)); log(m) = 2 atanh(s), s = (m - 1) / (m + 1), as a series in
 * s^2 <= 0.0295 around m - 1 - (m - 1)^2 / 2, so that its error is small beside the result. */
static inline float cti_logf(float x)
{
    const uint32_t root = 0x3f3504f3u;                    /* sqrt(1/2) */
    float low = x < 1.17549435e-38f ? x * 8388608.0f : x; /* 2^23: no denormals */
    uint32_t bits = cti_bits_of(low) - root;
    float e = (float)((int32_t)bits >> 23) - (x < 1.17549435e-38f ? 23.0f : 0.0f);
    float f = cti_float_of((bits & 0x007fffffu) + root) - 1.0f;
    float s = f / (2.0f + f), z = s * s, half = 0.5f * f * f, p;

    p = 0.2222222222f;
    p = p * z + 0.2857142857f;
    p = p * z + 0.4f;
    p = p * z + 0.6666666667f;
    p = s * (half + z * p) + e * 1.42860682030941723e-6f;
    p = e * 0.693145751953125f + (f - (half - p));
    p = x > 3.40282347e38f ? x : p;
    p = x == 0.0f ? -INFINITY : p;
    return x < 0.0f || x != x ? NAN : p;
}

static inline double cti_double_of(uint64_t bits)
{
    double d;

    memcpy(&d, &bits, sizeof d);
    return d;
}

static inline uint64_t cti_bits_of_double(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof bits);
    return bits;
}

/* As cti_expf, with Taylor's series to r^13, whose rest is below 5e-18. Above 709.78 inf, below
 * -745.2 0. */
static inline double cti_exp(double x)
{
    const double round = 6755399441055744.0; /* 1.5 * 2^52 */
    double c = x > 710.0 ? 710.0 : x;
    double t, n, r, p;
    int64_t i, half;

    c = c < -746.0 ? -746.0 : c;
    t = c * 1.4426950408889634 + round;
    n = t - round;
    r = c - n * 0.693147180369123816490; /* ln 2 in two parts, the first of 32 bits */
    r = r - n * 1.90821492927058770002e-10;
    p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * (r * r) + r;
    p = p + 1.0;
    i = (int64_t)(cti_bits_of_double(t) - cti_bits_of_double(round));
    half = i >> 1;
    p = p * cti_double_of((uint64_t)(half + 1023) << 52) *
        cti_double_of((uint64_t)(i - half + 1023) << 52);
    return x != x ? x : p;
}

/* x = 2^e m with m in sqrt(1/2)..sqrt(2); with f = m - 1 and s = f / (2 + f),
 * log m = 2 atanh s = f - s (f - R), R = 2 s^2 / 3 + 2 s^4 / 5 + ... to s^20, |s| < 0.172. */
static inline double cti_log(double x)
{
    const uint64_t half = 0x3fe6a09e667f3bcdull; /* sqrt(1/2) */
    bool tiny = x < 0x1p-1022;
    uint64_t bits = cti_bits_of_double(tiny ? x * 0x1p54 : x) - half;
    double e = (double)((int64_t)bits >> 52) - (tiny ? 54 : 0);
    double f = cti_double_of((bits & 0xfffffffffffffull) + half) - 1.0;
    double s = f / (2.0 + f), z = s * s, r, y;

    r = 2.0 / 21.0;
    r = r * z + 2.0 / 19.0;
    r = r * z + 2.0 / 17.0;
    r = r * z + 2.0 / 15.0;
    r = r * z + 2.0 / 13.0;
    r = r * z + 2.0 / 11.0;
    r = r * z + 2.0 / 9.0;
    r = r * z + 2.0 / 7.0;
    r = r * z + 2.0 / 5.0;
    r = r * z + 2.0 / 3.0;
    r = r * z;
    /* f - s (f - R) = f - (f^2/2 - s (f^2/2 + R)), whose large part is exact */
    y = 0.5 * f * f;
    y = e * 0.693147180369123816490 - ((y - (s * (y + r) + e * 1.90821492927058770002e-10)) - f);
    y = x == 0 ? -INFINITY : y;
    y = x < 0 ? NAN : y;
    return x != x || x == INFINITY ? x : y;
}

static inline double cti_sigmoid(double x)
{
    double e = cti_exp(x < 0 ? x : -x);

    return (x < 0 ? e : 1.0) / (1.0 + e);
}

#endif

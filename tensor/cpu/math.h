/* SPDX-License-Identifier: MIT */
/* math.h - exp, log, tanh and other functions of floats, exp and log of doubles, written without
 * branches so that compilers vectorise loops over them; pow is in power.h. (internal)
 *
 * They use minimax polynomials, or polynomials fitted at Chebyshev nodes. The largest errors over
 * all floats, in units of the last place, as tests/test_kernels measures them (with
 * COTANGENT_TEST_FULL), without and with FMA:
 *     exp 1.05, 1.10    log 0.87, 0.87    tanh 2.51, 2.51    sigmoid 2.48, 2.48
 *     log1p 0.82, 0.75  expm1 1.43, 1.43  erf 1.35, 1.15    erfc 4.3, 4.3
 *     sin and cos 1.60, 1.60
 * None of them calls the C library, whose last digits depend on the processor. */
#ifndef COTANGENT_TENSOR_CPU_MATH_H
#define COTANGENT_TENSOR_CPU_MATH_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Loops over a function are vectorised only if it is inlined. */
#define CTI_IN_LOOP static inline __attribute__((always_inline))

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

/* exp(r) for |r| <= ln(2) / 2 */
CTI_IN_LOOP float cti_exp_of_rest(float r)
{
    float p = 0.0013933650916442275f;

    p = p * r + 0.008363179862499237f;
    p = p * r + 0.04166646674275398f;
    p = p * r + 0.16666576266288757f;
    p = p * r + 0.5f;
    p = p * (r * r) + r;
    return p + 1.0f;
}

/* 2^n exp(r) for |r| <= ln(2) / 2 and t = n + 1.5 * 2^23. 2^n is multiplied in two factors, so that
 * subnormal and very large results are rounded once. */
CTI_IN_LOOP float cti_exp_of_parts(float t, float r)
{
    int32_t i = (int32_t)(cti_bits_of(t) - cti_bits_of(12582912.0f)), half = i >> 1;

    return cti_exp_of_rest(r) * cti_float_of((uint32_t)(half + 127) << 23) *
           cti_float_of((uint32_t)(i - half + 127) << 23);
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2). The result is inf above 88.7, 0 below -103.9, and NaN for
 * NaN. */
CTI_IN_LOOP float cti_expf(float x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float c = x > 89.0f ? 89.0f : x;
    float t, n, r;

    c = c < -104.0f ? -104.0f : c;
    t = c * 1.44269504088896341f + round;
    n = t - round;
    r = c - n * 0.693145751953125f;
    r = r - n * 1.42860682030941723e-6f;
    return cti_exp_of_parts(t, r);
}

/* tanh(a) = m / (m + 2) for a = |x|, with m = exp(2a) - 1 = 2^n (exp(2r) - 1) + (2^n - 1), where r
 * is half the r of cti_expf; then x's sign is copied. The result is 1 from a = 10 on. That test
 * compares bits: non-negative floats have the same order as their bits. */
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

/* The result is 0 below -88.7, where it would be subnormal. */
static inline float cti_sigmoidf(float x)
{
    return 1.0f / (1.0f + cti_expf(-x));
}

/* x = 2^e m, m in [sqrt(1/2), sqrt(2)); log(m) = 2 atanh(s), s = (m - 1) / (m + 1), computed as m -
 * 1 - (m - 1)^2 / 2 plus a series in s^2 <= 0.0295, which is small, and so is its error. */
CTI_IN_LOOP float cti_logf(float x)
{
    const uint32_t root = 0x3f3504f3u;                    /* sqrt(1/2) */
    float low = x < 1.17549435e-38f ? x * 8388608.0f : x; /* times 2^23, so that subnormals become
                                                           * normal */
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

/* log(u + c) = log(u) + c / u for u > 0 and a rounding error c of u; the rest is as in cti_logf. */
CTI_IN_LOOP float cti_log_sum(float u, float c)
{
    const uint32_t root = 0x3f3504f3u;
    uint32_t bits = cti_bits_of(u) - root;
    float e = (float)((int32_t)bits >> 23);
    float f = cti_float_of((bits & 0x007fffffu) + root) - 1.0f;
    float s = f / (2.0f + f), z = s * s, half = 0.5f * f * f, p;

    p = 0.2222222222f;
    p = p * z + 0.2857142857f;
    p = p * z + 0.4f;
    p = p * z + 0.6666666667f;
    p = s * (half + z * p) + (e * 1.42860682030941723e-6f + c / u);
    return e * 0.693145751953125f + (f - (half - p));
}

/* log(1 + x) */
CTI_IN_LOOP float cti_log1pf(float x)
{
    float u = 1.0f + x;
    float p = cti_log_sum(u, x < u - x ? x - (u - 1.0f) : 1.0f - (u - x));

    p = x > 3.40282347e38f || x == 0.0f ? x : p;
    p = x == -1.0f ? -INFINITY : p;
    return x < -1.0f || x != x ? NAN : p;
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + e), e = exp(-|x|) in 0 .. 1 */
CTI_IN_LOOP float cti_softplusf(float x)
{
    float e = cti_expf(cti_float_of(cti_bits_of(x) | 0x80000000u)), u = 1.0f + e;

    return (x > 0.0f ? x : 0.0f) + cti_log_sum(u, e - (u - 1.0f));
}

/* exp(x) - 1 = 2 (2^(n-1) q + (2^(n-1) - 1/2)), q = exp(r) - 1, with n and r of cti_expf. Below -18
 * it is -1. */
CTI_IN_LOOP float cti_expm1f(float x)
{
    const float round = 12582912.0f;
    float c = x > 89.0f ? 89.0f : x, t, n, r, p, half;

    c = c < -18.0f ? -18.0f : c;
    t = c * 1.44269504088896341f + round;
    n = t - round;
    r = c - n * 0.693145751953125f;
    r = r - n * 1.42860682030941723e-6f;
    p = 0.00019846226f;
    p = p * r + 0.0013940741f;
    p = p * r + 0.00833339f;
    p = p * r + 0.04166636f;
    p = p * r + 0.16666666f;
    p = p * r + 0.5f;
    p = p * (r * r) + r;
    half = cti_float_of((cti_bits_of(t) << 23) + (126u << 23)); /* 2^(n-1) */
    p = 2.0f * (p * half + (half - 0.5f));
    return cti_float_of(cti_bits_of(x) & 0x7fffffffu) < 0x1p-26f
               ? x
               : p; /* also subnormal numbers and -0 */
}

/* cti_expf for x in -80 .. 80: one factor, no limits. */
CTI_IN_LOOP float cti_exp_near(float x)
{
    const float round = 12582912.0f;
    float t = x * 1.44269504088896341f + round, n = t - round, r;

    r = x - n * 0.693145751953125f;
    r = r - n * 1.42860682030941723e-6f;
    return cti_exp_of_rest(r) * cti_float_of((cti_bits_of(t) << 23) + (127u << 23));
}

/* erf(a) = a + a cti_erf_rest(a^2) for a = |x| below 0.93. */
CTI_IN_LOOP float cti_erf_rest(float z)
{
    float p = 8.185086e-05f;

    p = p * z - 0.00080977107f;
    p = p * z + 0.005196954f;
    p = p * z - 0.026857706f;
    p = p * z + 0.112836644f;
    p = p * z - 0.37612632f;
    return p * z + 0.12837917f;
}

/* For a = |x| below 0.93, a polynomial; else 1 - exp(log(erfc(a))) with a polynomial for the
 * logarithm; 1 from a = 4 on. Then x's sign is copied. */
CTI_IN_LOOP float cti_erff(float x)
{
    uint32_t sign = cti_bits_of(x) & 0x80000000u;
    float a = cti_float_of(cti_bits_of(x) ^ sign), z = a * a, b = a > 4.0f ? 4.0f : a, p, q;

    p = cti_erf_rest(z) * a + a;
    q = -7.379347e-07f;
    q = q * b - 1.1305192e-05f;
    q = q * b + 0.0003788163f;
    q = q * b - 0.0039940015f;
    q = q * b + 0.024774333f;
    q = q * b - 0.10785801f;
    q = q * b - 0.6336635f;
    q = q * b - 1.1293818f;
    q = q * b + 0.00015060566f;
    q = 1.0f - cti_exp_near(q);
    return cti_float_of(cti_bits_of(a < 0.93f ? p : q) | sign);
}

/* For a = |x| below 0.93, 1 - erf(a); else exp(-a^2) h(t) / (a + 2), t = (a - 2) / (a + 2), with
 * a polynomial h. a = b + c, where b has 12 bits, so that b^2 has no rounding error: -a^2 = -b^2 -
 * c (a + b). The result is 0 from a = 10.2 on, and 2 - erfc(a) for negative x. */
CTI_IN_LOOP float cti_erfcf(float x)
{
    const float round = 12582912.0f;
    uint32_t sign = cti_bits_of(x) & 0x80000000u;
    float a = cti_float_of(cti_bits_of(x) ^ sign), b, d, m, r, t, h;

    a = a > 10.2f ? 10.2f : a;
    b = cti_float_of(cti_bits_of(a) & 0xfffff000u);
    d = (b - a) * (a + b);
    m = (d - b * b) * 1.44269504088896341f + round;
    r = -(b * b) - (m - round) * 0.693145751953125f;
    r = r - (m - round) * 1.42860682030941723e-6f + d;
    t = (a - 2.0f) / (a + 2.0f);
    h = -0.0003731621782f;
    h = h * t - 0.0009370304557f;
    h = h * t + 0.003021356603f;
    h = h * t + 0.006507344526f;
    h = h * t - 0.02150483776f;
    h = h * t - 0.03644442119f;
    h = h * t + 0.2794719054f;
    h = h * t - 0.6871606428f;
    h = (h * t - 1.6464e-08f) + 1.021582723f;
    h = h / (a + 2.0f) * cti_exp_of_parts(m, r);
    h = a < 0.93f ? (1.0f - a) - a * cti_erf_rest(a * a) : h;
    return x != x ? x : sign ? 2.0f - h : h;
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

/* Like cti_expf, with the Taylor series to r^13; the terms after it are below 5e-18. The result is
 * inf above 709.78 and 0 below -745.2. */
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

static inline double cti_softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(cti_exp(x > 0 ? -x : x));
}

static inline double cti_sigmoid(double x)
{
    double e = cti_exp(x < 0 ? x : -x);

    return (x < 0 ? e : 1.0) / (1.0 + e);
}

/* x >= 0 in turns of pi / 2: the fraction in -1/2 .. 1/2, times pi / 2; *turns is the number of turns,
 * whose last two bits count. Where x is at least 2^(24 j + 23) it is a multiple of 2^(24 j), so whole
 * turns by four may be left out of 2/pi: c_j = 2/pi 2^(24 j) mod 4, times 2^(-24 j). c_j is the sum of
 * a, b and c; a and b have 29 bits each, so that their products with x are exact. */
CTI_IN_LOOP double cti_quarter_turns(float x, uint32_t *turns)
{
    const double round = 6755399441055744.0;
    double a = 0x1.45f306cp-1, b = 0x1.c9c882ap-29, c = 0x1.4fe13abe8fa9ap-59, v = (double)x, n, m,
           k;

    a = x >= 0x1p47f ? 0x1.b72722p-23 : a;
    b = x >= 0x1p47f ? 0x1.529fc27p-52 : b;
    c = x >= 0x1p47f ? 0x1.5f47d4d377037p-82 : c;
    a = x >= 0x1p71f ? 0x1.529fc2p-52 : a;
    b = x >= 0x1p71f ? 0x1.d5f47d4p-78 : b;
    c = x >= 0x1p71f ? 0x1.a6ee06db14acdp-107 : c;
    a = x >= 0x1p95f ? 0x1.3abe8fp-75 : a;
    b = x >= 0x1p95f ? 0x1.534ddcp-100 : b;
    c = x >= 0x1p95f ? 0x1.b6c52b3278872p-129 : c;
    a = x >= 0x1p119f ? 0x1.f534ddcp-96 : a;
    b = x >= 0x1p119f ? 0x1.b6c52ap-129 : b;
    c = x >= 0x1p119f ? 0x1.3278872083fcap-153 : c;
    a *= v;
    b *= v;
    n = a + round;
    m = b + round;
    a = (a - (n - round)) + ((b - (m - round)) + v * c);
    k = a + round;
    *turns = (uint32_t)(cti_bits_of_double(n) + cti_bits_of_double(m) + cti_bits_of_double(k));
    return (a - (k - round)) * 1.5707963267948966;
}

/* sin(x) for turns 0 and cos(x) for turns 1. The number of quarter turns decides between sin and
 * cos of the rest, and the sign. */
CTI_IN_LOOP float cti_sine(float x, uint32_t turns)
{
    uint32_t t;
    float r = (float)cti_quarter_turns(x, &t), z = r * r, s, c;

    s = 2.7173114e-06f;
    s = s * z - 0.00019839258f;
    s = s * z + 0.008333329f;
    s = s * z - 0.16666667f;
    s = s * (z * r) + r;
    c = 2.4463501e-05f;
    c = c * z - 0.0013887652f;
    c = c * z + 0.041666653f;
    c = c * (z * z) + (1.0f - 0.5f * z);
    t += turns;
    return cti_float_of(cti_bits_of(t & 1 ? c : s) ^ (t & 2) << 30);
}

CTI_IN_LOOP float cti_sinf(float x)
{
    uint32_t sign = cti_bits_of(x) & 0x80000000u;

    return cti_float_of(cti_bits_of(cti_sine(cti_float_of(cti_bits_of(x) ^ sign), 0)) ^ sign);
}

CTI_IN_LOOP float cti_cosf(float x)
{
    return cti_sine(cti_float_of(cti_bits_of(x) & 0x7fffffffu), 1);
}

#endif

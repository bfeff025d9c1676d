/* SPDX-License-Identifier: MIT */
/* trigonometry.h - trigonometric and hyperbolic functions of floats, their inverses, and powers and
 * logarithms to other bases, in the manner of math.h. (internal)
 *
 * The largest errors over all floats, in units of the last place, without and with FMA, as
 * tests/test_kernels measures them (atan2 over a grid):
 *     tan 1.50, 1.50    asin 1.50, 1.50   acos 1.05, 1.05   atan 1.12, 1.06
 *     sinh 1.60, 1.60   cosh 1.60, 1.60   asinh 0.89, 0.88  acosh 0.89, 0.88
 *     atanh 1.40, 1.40  exp2 0.99, 1.05   log2 0.85, 0.83   log10 0.83, 0.81 */
#ifndef COTANGENT_TENSOR_CPU_TRIGONOMETRY_H
#define COTANGENT_TENSOR_CPU_TRIGONOMETRY_H

#include "tensor/cpu/math.h"

#define CTI_HALF_PI 1.57079637050628662109f /* rounded to a float, and the rest */
#define CTI_HALF_PI_REST -4.37113882867e-8f

static inline uint32_t cti_sign_of(float x)
{
    return cti_bits_of(x) & 0x80000000u;
}

static inline float cti_absf(float x)
{
    return cti_float_of(cti_bits_of(x) & 0x7fffffffu);
}

/* y with the sign bit `sign` added to its own */
static inline float cti_with_sign(float y, uint32_t sign)
{
    return cti_float_of(cti_bits_of(y) ^ sign);
}

/* tan of the fraction r of a quarter turn, in double; after an odd number of quarters -1 / tan(r) */
CTI_IN_LOOP float cti_tanf(float x)
{
    uint32_t t;
    double r = cti_quarter_turns(cti_absf(x), &t), z = r * r, p;
    float above, below;

    p = 0.004376867718068322;
    p = p * z + 8.8352647514583551e-5;
    p = p * z + 0.010836731989601415;
    p = p * z + 0.021281838495216607;
    p = p * z + 0.054059983008030041;
    p = p * z + 0.13332662757526271;
    p = p * z + 0.33333349771986275;
    p = p * (z * r) + r;
    below = (float)p;
    above = t & 1 ? -1.0f : below;
    below = t & 1 ? below : 1.0f;
    return cti_with_sign(above / below, cti_sign_of(x));
}

/* (asin(b) - b) / b for z = b^2 in 0 .. 1/4 */
CTI_IN_LOOP float cti_asin_tail(float z)
{
    float p = 0.0375164009f;

    p = p * z + 0.0144386403f;
    p = p * z + 0.0318077093f;
    p = p * z + 0.0445169562f;
    p = p * z + 0.0750050418f;
    p = p * z + 0.1666666f;
    return p * z;
}

/* From 1/2 on pi/2 - 2 asin(b), b = sqrt((1 - |x|) / 2). Beyond 1 b is a NaN. */
CTI_IN_LOOP float cti_asinf(float x)
{
    float a = cti_absf(x), far = 0.5f * (1.0f - a), root = sqrtf(far), near = a * a, z, b, tail;

    z = a > 0.5f ? far : near;
    b = a > 0.5f ? root : a;
    tail = b * cti_asin_tail(z);
    far = CTI_HALF_PI - (2.0f * b + (2.0f * tail - CTI_HALF_PI_REST));
    near = b + tail;
    return cti_with_sign(a > 0.5f ? far : near, cti_sign_of(x));
}

/* pi/2 - asin(x); from 1/2 on 2 asin(b), and to -1/2 pi - 2 asin(b) */
CTI_IN_LOOP float cti_acosf(float x)
{
    float a = cti_absf(x), far = 0.5f * (1.0f - a), root = sqrtf(far), near = a * a, z, b, tail, y;

    z = a > 0.5f ? far : near;
    b = a > 0.5f ? root : x;
    tail = b * cti_asin_tail(z);
    near = CTI_HALF_PI - (b + (tail - CTI_HALF_PI_REST));
    far = 2.0f * b + 2.0f * tail;
    y = 2.0f * CTI_HALF_PI - (2.0f * b + 2.0f * (tail - CTI_HALF_PI_REST));
    far = x < 0.0f ? y : far;
    return a > 0.5f ? far : near;
}

/* (atan(q) - q) / q for z = q^2 in 0 .. 1 */
CTI_IN_LOOP float cti_atan_tail(float z)
{
    float p = -0.00179364539f;

    p = p * z + 0.0109147209f;
    p = p * z - 0.0311780812f;
    p = p * z + 0.0579578554f;
    p = p * z - 0.0840346746f;
    p = p * z + 0.109521924f;
    p = p * z - 0.142642431f;
    p = p * z + 0.199985484f;
    p = p * z - 0.333332991f;
    return p * z;
}

/* Above 1 pi/2 - atan(1 / a). */
CTI_IN_LOOP float cti_atanf(float x)
{
    float a = cti_absf(x), inverse = 1.0f / a, q = a > 1.0f ? inverse : a;
    float tail = q * cti_atan_tail(q * q), near = q + tail;
    float far = CTI_HALF_PI - (q + (tail - CTI_HALF_PI_REST));

    return cti_with_sign(a > 1.0f ? far : near, cti_sign_of(x));
}

/* The angle of the point (x, y): atan of the lesser coordinate by the greater one, in one eighth of
 * the plane, then by symmetry. */
CTI_IN_LOOP float cti_atan2f(float y, float x)
{
    float ay = cti_absf(y), ax = cti_absf(x), most = ay > ax ? ay : ax, least = ay > ax ? ax : ay;
    float q = least / most, tail, near, far;

    q = least == most ? 1.0f : q; /* also of two infinities */
    q = most == 0.0f ? 0.0f : q;
    tail = q * cti_atan_tail(q * q);
    near = q + tail;
    far = CTI_HALF_PI - (q + (tail - CTI_HALF_PI_REST));
    near = ay > ax ? far : near;
    far = 2.0f * CTI_HALF_PI - (near - 2.0f * CTI_HALF_PI_REST);
    near = cti_sign_of(x) ? far : near;
    near = cti_with_sign(near, cti_sign_of(y));
    return x != x || y != y ? x + y : near;
}

/* exp(x) / 2 for x >= 0 */
CTI_IN_LOOP float cti_half_exp(float x)
{
    const float round = 12582912.0f;
    float c = x > 90.0f ? 90.0f : x, t, n, r;

    t = c * 1.44269504088896341f + round;
    n = t - round;
    r = c - n * 0.693145751953125f;
    r = r - n * 1.42860682030941723e-6f;
    return cti_exp_of_parts(t - 1.0f, r);
}

/* h - 1 / (4 h), h = exp(|x|) / 2; a polynomial below 1 */
CTI_IN_LOOP float cti_sinhf(float x)
{
    float a = cti_absf(x), z = a * a, h = cti_half_exp(a), far = h - 0.25f / h, p;

    p = 2.81695156e-6f;
    p = p * z + 0.000198361597f;
    p = p * z + 0.00833335006f;
    p = p * z + 0.166666665f;
    p = p * (z * a) + a;
    return cti_with_sign(a < 1.0f ? p : far, cti_sign_of(x));
}

CTI_IN_LOOP float cti_coshf(float x)
{
    float h = cti_half_exp(cti_absf(x));

    return h + 0.25f / h;
}

/* log(a + root), root a square root in double; a is scaled where a + root would overflow a float. */
CTI_IN_LOOP float cti_log_with_root(float a, double root)
{
    double scale = a > 1e18f ? 0.5 : 1.0, u = ((double)a + root) * scale;
    float high = (float)u, y = cti_log_sum(high, (float)(u - (double)high));

    y = y + (a > 1e18f ? 0.693147180559945309f : 0.0f);
    return a > 3.40282347e38f ? a : y;
}

/* log(a + sqrt(a^2 + 1)); a polynomial below 1/2 */
CTI_IN_LOOP float cti_asinhf(float x)
{
    float a = cti_absf(x), z = a * a, far, p;
    double d = (double)a;

    far = cti_log_with_root(a, sqrt(d * d + 1.0));
    p = 0.00916771003f;
    p = p * z - 0.0199799824f;
    p = p * z + 0.0300129518f;
    p = p * z - 0.0446132502f;
    p = p * z + 0.0749988928f;
    p = p * z - 0.166666653f;
    p = p * (z * a) + a;
    return cti_with_sign(a < 0.5f ? p : far, cti_sign_of(x));
}

/* log(x + sqrt(x^2 - 1)); below 1 the root is a NaN, and so is the result */
CTI_IN_LOOP float cti_acoshf(float x)
{
    double d = (double)x;
    float y = cti_log_with_root(x, sqrt(d * d - 1.0));

    return x < 1.0f ? NAN : y;
}

/* log(1 + 2 a / (1 - a)) / 2; a polynomial below 1/2 */
CTI_IN_LOOP float cti_atanhf(float x)
{
    float a = cti_absf(x), z = a * a, q = 2.0f * a / (1.0f - a), u = 1.0f + q, far, p;

    far = 0.5f * cti_log_sum(u, 1.0f - (u - q));
    far = a == 1.0f ? INFINITY : far;
    far = a > 1.0f ? NAN : far;
    p = 0.175941625f;
    p = p * z + 0.0245227464f;
    p = p * z + 0.102826608f;
    p = p * z + 0.109671869f;
    p = p * z + 0.142948526f;
    p = p * z + 0.199997276f;
    p = p * z + 0.333333361f;
    p = p * (z * a) + a;
    return cti_with_sign(a < 0.5f ? p : far, cti_sign_of(x));
}

/* 2^x = 2^n exp(r ln 2), n = round(x) */
CTI_IN_LOOP float cti_exp2f(float x)
{
    const float round = 12582912.0f;
    float c = x > 129.0f ? 129.0f : x, t, n, r;

    c = c < -152.0f ? -152.0f : c;
    t = c + round;
    n = t - round;
    r = (c - n) * 0.693147180559945309f;
    return cti_exp_of_parts(t, r);
}

/* A base b: log_b(2) and log_b(e), each in two parts. The products of the first parts with an
 * exponent, or with a number of 12 bits, are exact. */
typedef struct cti_log_base {
    float two, two_rest, e, e_rest;
} cti_log_base;

/* x = 2^e m as in cti_logf; log_b(x) = e log_b(2) + log(m) log_b(e). The 12 leading bits of log(m)
 * are multiplied apart. */
CTI_IN_LOOP float cti_log_to_base(float x, const cti_log_base b)
{
    const uint32_t root = 0x3f3504f3u;
    float low = x < 1.17549435e-38f ? x * 8388608.0f : x;
    uint32_t bits = cti_bits_of(low) - root;
    float e = (float)((int32_t)bits >> 23) - (x < 1.17549435e-38f ? 23.0f : 0.0f);
    float f = cti_float_of((bits & 0x007fffffu) + root) - 1.0f;
    float s = f / (2.0f + f), z = s * s, half = 0.5f * f * f, p, high, rest;

    p = 0.2222222222f;
    p = p * z + 0.2857142857f;
    p = p * z + 0.4f;
    p = p * z + 0.6666666667f;
    p = half - s * (half + z * p);
    high = cti_float_of(cti_bits_of(f - p) & 0xfffff000u);
    rest = (f - high) - p;
    rest = rest * (b.e + b.e_rest) + (high * b.e_rest + e * b.two_rest);
    p = e * b.two + (high * b.e + rest);
    p = x > 3.40282347e38f ? x : p;
    p = x == 0.0f ? -INFINITY : p;
    return x < 0.0f || x != x ? NAN : p;
}

CTI_IN_LOOP float cti_log2f(float x)
{
    return cti_log_to_base(x, (cti_log_base){ 1.0f, 0.0f, 1.4423828125f, 0.000312228389f });
}

CTI_IN_LOOP float cti_log10f(float x)
{
    return cti_log_to_base(
        x, (cti_log_base){ 0.301025390625f, 4.605038981e-6f, 0.43408203125f, 0.0002124506533f });
}

#endif

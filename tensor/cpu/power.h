/* SPDX-License-Identifier: MIT */
/* power.h - powers and their derivatives; those of floats are computed in double and without
 * branches, so that compilers vectorise loops over them; those of doubles use C's pow. (internal)
 *
 * x^y = 2^t, t = y log2(x). The largest error for floats is 0.51 units of the last place. */
#ifndef COTANGENT_TENSOR_CPU_POWER_H
#define COTANGENT_TENSOR_CPU_POWER_H

#include "tensor/cpu/math.h"

#include <float.h>

/* log2 of |x|, with a relative error below 2^-36. |x| = 2^e m, m in [sqrt(1/2), sqrt(2)). log2(m)
 * is a series in s = (m - 1) / (m + 1); s is divided in float, and one Newton step makes it
 * precise. The result is -inf for 0 and inf for infinity; x must not be NaN. */
CTI_IN_LOOP double cti_log2_abs(float x)
{
    const uint32_t root = 0x3f3504f3u;
    float a = cti_float_of(cti_bits_of(x) & 0x7fffffffu);
    float low = a < 1.17549435e-38f ? a * 8388608.0f : a;
    uint32_t bits = cti_bits_of(low) - root;
    float e = (float)((int32_t)bits >> 23) - (a < 1.17549435e-38f ? 23.0f : 0.0f);
    float f = cti_float_of((bits & 0x007fffffu) + root) - 1.0f;
    float inverse = 1.0f / (2.0f + f);
    double s = (double)f * (double)inverse, z, p;

    s = s + ((double)f - s * (2.0 + (double)f)) * (double)inverse;
    z = s * s;
    p = 0.3407297510510162;
    p = p * z + 0.41167273731735726;
    p = p * z + 0.5770835846761816;
    p = p * z + 0.9617966733432155;
    p = p * z + 2.885390081790085;
    e = a > 3.40282347e38f ? INFINITY : e;
    e = a == 0.0f ? -INFINITY : e;
    return (double)e + s * p;
}

/* 2^t. The result is inf for t >= 1000 and 0 for t <= -1000; both limits are far outside the range
 * of floats. */
CTI_IN_LOOP double cti_exp2_wide(double t)
{
    const double round = 6755399441055744.0; /* 1.5 * 2^52 */
    double c = t > 1000.0 ? 1000.0 : t, n, r, p;

    c = c < -1000.0 ? -1000.0 : c;
    n = c + round;
    r = c - (n - round);
    p = 1.5196789054847965e-05;
    p = p * r + 0.00015466823191635413;
    p = p * r + 0.0013333934254023754;
    p = p * r + 0.009618037945579524;
    p = p * r + 0.05550410364163096;
    p = p * r + 0.24022651067633735;
    p = p * r + 0.6931471807061285;
    p = p * r + 1.0;
    return p * cti_double_of((cti_bits_of_double(n) << 52) + (1023ull << 52));
}

/* All floats of at least this magnitude are even, and so are the exponents y of cti_pow_wide of at
 * least twice this magnitude. */
#define CTI_POW_WHOLE 0x1p49

/* x^y by the rules of C's pow, as a double, because a product with x^y may be in the range of
 * floats although x^y is not. y is a float, or a float minus 1. */
CTI_IN_LOOP double cti_pow_wide(float x, double y)
{
    const double round = 6755399441055744.0;
    double l = cti_log2_abs(x), p = cti_exp2_wide(y * l);
    double whole = y > 2 * CTI_POW_WHOLE || y < -2 * CTI_POW_WHOLE ? 0.0 : y, n = whole + round;
    bool is_whole = n - round == whole;
    uint64_t sign = (uint64_t)(cti_bits_of(x) >> 31) & cti_bits_of_double(n);

    p = l == 0.0 && y == y ? 1.0 : p; /* |x| is 1, also with an infinite y */
    p = cti_double_of(cti_bits_of_double(p) ^ (is_whole ? sign << 63 : 0));
    p = x < 0.0f && l != (double)INFINITY && !is_whole ? (double)NAN : p;
    p = x != x ? (double)x : p;
    return y == 0.0 || x == 1.0f ? 1.0 : p;
}

CTI_IN_LOOP float cti_powf(float x, float y)
{
    return (float)cti_pow_wide(x, (double)y);
}

/* q p for a power p. An infinite q (in a derivative by the base) times a power of 0 gives the limit
 * 0. */
CTI_IN_LOOP float cti_times_power(double q, double p)
{
    return (float)p == 0.0f && (q > (double)FLT_MAX || q < -(double)FLT_MAX) ? 0.0f
                                                                             : (float)(q * p);
}

/* q x^y for q other than 0 */
CTI_IN_LOOP float cti_times_powf(float q, float x, float y)
{
    return cti_times_power((double)q, cti_pow_wide(x, (double)y));
}

/* y x^(y - 1), the derivative by x; 0 for y = 0. If y is even, y - 1 is odd, which rounding may
 * hide. */
CTI_IN_LOOP float cti_pow_slopef(float x, float y)
{
    double p = cti_pow_wide(x, (double)y - 1.0);
    bool far = (double)y > CTI_POW_WHOLE || (double)y < -CTI_POW_WHOLE;

    p = far && y - y == 0.0f && __builtin_copysignf(1.0f, x) < 0.0f ? -(p < 0.0 ? -p : p) : p;
    return y == 0.0f ? 0.0f : cti_times_power((double)y, p);
}

/* x^y log(x), the derivative by y. It is 0, the limit, where x = 0 and y >= 0, and where x > 0 and
 * the power is 0. */
CTI_IN_LOOP float cti_pow_logf(float x, float y)
{
    double p = cti_pow_wide(x, (double)y);
    float l = (float)(p * (cti_log2_abs(x) * 0.6931471805599453));

    l = x < 0.0f || x != x ? NAN : l;
    return (x == 0.0f && y >= 0.0f) || (x > 0.0f && (float)p == 0.0f) ? 0.0f : l;
}

/* ---- doubles ---- */

/* q x^y if t = x^y overflows or underflows. Computed as q x^(y / 2) x^(y / 2), because the product
 * may be in range. */
static __attribute__((noinline, cold)) double times_extreme_pow(double q, double x, double y,
                                                                double t)
{
    double half;

    if (t != t)
        return q * t;
    if (t == 0 && (q > DBL_MAX || q < -DBL_MAX))
        return 0;
    half = pow(x < 0 ? -x : x, y / 2);
    return t < 0 ? -(q * half * half) : q * half * half;
}

static inline double cti_times_pow(double q, double x, double y)
{
    double t = pow(x, y), size = t < 0 ? -t : t;

    return size >= DBL_MIN && size <= DBL_MAX ? q * t : times_extreme_pow(q, x, y, t);
}

/* From 2^53 on, y is even and y - 1 is odd, but y - 1 is rounded to an even number. */
static inline double cti_pow_slope(double x, double y)
{
    const double whole = 9007199254740992;

    if (y == 0)
        return 0;
    if (__builtin_copysign(1.0, x) < 0 && y - y == 0 && (y >= whole || y <= -whole))
        return -cti_times_pow(y, -x, y - 1);
    return cti_times_pow(y, x, y - 1);
}

static inline double cti_pow_log(double x, double y)
{
    double t = pow(x, y);

    return (x == 0 && y >= 0) || (x > 0 && t == 0) ? 0 : t * cti_log(x);
}

#endif

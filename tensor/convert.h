/* SPDX-License-Identifier: MIT */
/* convert.h - converts one number to another dtype, for every device. (internal)
 *
 * A float becomes an integer by truncation; a value out of range becomes the smallest or largest
 * value, and NaN becomes 0. A conversion to bf16 or f32 rounds once, to nearest even. A device's
 * compiler defines CTI_INLINE for its functions. */
#ifndef COTANGENT_TENSOR_CONVERT_H
#define COTANGENT_TENSOR_CONVERT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <cotangent/tensor/tensor.h>

#ifndef CTI_INLINE
#define CTI_INLINE static inline
#endif

CTI_INLINE float cti_float_of_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Rounds to nearest even; a NaN stays a NaN. */
CTI_INLINE uint16_t cti_bf16_of(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    if (f != f)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Rounds v to a float "to odd": the float next to v towards 0, with its last bit set if v lies
 * between two floats. Rounding that float again, to fewer bits, gives the same as rounding v
 * once. */
CTI_INLINE float cti_float_to_odd(double v)
{
    float f = (float)v;
    uint32_t bits;

    if (v != v || (double)f == v)
        return f;
    memcpy(&bits, &f, sizeof bits);
    if (fabs((double)f) > fabs(v))
        bits--;
    bits |= 1;
    memcpy(&f, &bits, sizeof f);
    return f;
}

CTI_INLINE uint16_t cti_bf16_of_double(double v)
{
    return cti_bf16_of(cti_float_to_odd(v));
}

/* A large integer has more bits than a float, so its low half is replaced by one bit that says
 * whether the half is not 0. This does not change the rounding. */
CTI_INLINE uint16_t cti_bf16_of_i64(int64_t v)
{
    uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    if (magnitude >> 48)
        magnitude = (magnitude & ~(uint64_t)0xffffffff) | (uint64_t)((magnitude & 0xffffffff) != 0)
                                                              << 16;
    return cti_bf16_of_double(v < 0 ? -(double)magnitude : (double)magnitude);
}

CTI_INLINE int64_t cti_clamp_integer(double v, double low, double high, int64_t most, int64_t least)
{
    if (v != v)
        return 0;
    return v >= high ? most : v <= low ? least : (int64_t)v;
}

CTI_INLINE int32_t cti_i32_of(double v)
{
    return (int32_t)cti_clamp_integer(v, INT32_MIN, INT32_MAX, INT32_MAX, INT32_MIN);
}

CTI_INLINE int64_t cti_i64_of(double v)
{
    return cti_clamp_integer(v, -9223372036854775808.0, 9223372036854775808.0, INT64_MAX,
                             INT64_MIN);
}

CTI_INLINE int32_t cti_i32_of_i64(int64_t v)
{
    return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v;
}

/* Converts a parameter of an op to the dtype of its elements. A value out of the range of an
 * integer dtype becomes the nearest end of it. (The greatest double below 2^63 is 2^63 - 1024.) */
CTI_INLINE double cti_as_element(double v, ct_dtype dtype)
{
    if (dtype == CT_I32)
        return cti_i32_of(v);
    if (dtype == CT_I64)
        return v >= 9223372036854775808.0 ? 9223372036854774784.0 : (double)cti_i64_of(v);
    return v;
}

#endif

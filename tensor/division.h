/* SPDX-License-Identifier: MIT */
/* division.h - quotients rounded down and their remainders, for every device. (internal)
 *
 * Like Python's // and %: a = b floor_divide(a, b) + remainder(a, b), and a remainder that is not 0
 * has the sign of b. Integers: b = 0 gives 0, but the ops refuse such a divisor before they use the
 * result. b = -1 negates, because dividing the least integer by -1 traps. Floats: the quotient is
 * computed from fmod, which is exact, because a / b may be rounded up to the next integer. b = 0
 * gives a / b, and NaN as the remainder. */
#ifndef COTANGENT_TENSOR_DIVISION_H
#define COTANGENT_TENSOR_DIVISION_H

#include <math.h>
#include <stdint.h>

#ifndef CTI_INLINE
#define CTI_INLINE static inline
#endif

#define CTI_INTEGER_DIVISION(suffix, type, unsigned_type)                                          \
    CTI_INLINE type cti_floor_divide_##suffix(type a, type b)                                      \
    {                                                                                              \
        if (b == 0 || b == -1)                                                                     \
            return b == 0 ? 0 : (type)(0 - (unsigned_type)a);                                      \
        return (type)(a / b - (a % b != 0 && (a < 0) != (b < 0)));                                 \
    }                                                                                              \
    CTI_INLINE type cti_remainder_##suffix(type a, type b)                                         \
    {                                                                                              \
        type r;                                                                                    \
        if (b == 0 || b == -1)                                                                     \
            return 0;                                                                              \
        r = (type)(a % b);                                                                         \
        return (type)(r != 0 && (r < 0) != (b < 0) ? r + b : r);                                   \
    }

CTI_INTEGER_DIVISION(i32, int32_t, uint32_t)
CTI_INTEGER_DIVISION(i64, int64_t, uint64_t)

/* fmod, floor and copysign are those of the type. A quotient that is 0 has the sign of a / b. */
#define CTI_FLOAT_DIVISION(suffix, type, fmod, floor, copysign)                                    \
    CTI_INLINE type cti_remainder_##suffix(type a, type b)                                         \
    {                                                                                              \
        type r = fmod(a, b);                                                                       \
        return r != 0 && (r < 0) != (b < 0) ? r + b : r;                                           \
    }                                                                                              \
    CTI_INLINE type cti_floor_divide_##suffix(type a, type b)                                      \
    {                                                                                              \
        type r = fmod(a, b), quotient = (a - r) / b, whole;                                        \
        if (b == 0)                                                                                \
            return a / b;                                                                          \
        if (r != 0 && (r < 0) != (b < 0))                                                          \
            quotient -= 1;                                                                         \
        if (quotient == 0)                                                                         \
            return copysign(quotient, a / b);                                                      \
        whole = floor(quotient);                                                                   \
        return quotient - whole > (type)0.5 ? whole + 1 : whole;                                   \
    }

CTI_FLOAT_DIVISION(f32, float, fmodf, floorf, copysignf)
CTI_FLOAT_DIVISION(f64, double, fmod, floor, copysign)

#endif

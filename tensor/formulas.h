/* SPDX-License-Identifier: MIT */
/* formulas.h - the elementwise ops and their formulas, one line each, for every device. (internal)
 *
 * Before including this list, define X(name, formula) to get all ops, or define macros for the
 * kinds that you want; other kinds are then left out:
 *     NUMBER   NUMBER1(name, f(x; p, q))  NUMBER2(name, f(x, y))       f32 f64 i32 i64
 *     FLOAT    FLOAT1(name, f(x; p, q))  FLOAT2(name, f(x, y; p, q))
 *              FLOAT3(name, f(x, y, z))                                f32 f64
 *     SLOPE    SLOPE1, SLOPE2, SLOPE3: those of FLOAT that only derivatives need; if the
 *              macros are not defined, FLOAT's are used
 *     COMPARE  COMPARE(name, f(x, y))   bool out                       f32 f64 i32 i64 bool
 *     TEST     TEST(name, f(x))         floats in, bool out            f32 f64
 *     LOGIC    LOGIC1(name, f(x))  LOGIC2(name, f(x, y))               bool
 *     SELECT   SELECT(name, f(c, x, y))  c bool, x and y of any dtype
 * The first column names a whole group. All of these macros are undefined at the end.
 *
 * T is the type, M(exp) the type's own function (expf or exp, or a device's), K(1.5) a constant of
 * type T. NaN in gives NaN out, unless the line says otherwise. */

#ifdef X
#define NUMBER X
#define FLOAT X
#define SLOPE X
#define COMPARE X
#define TEST X
#define LOGIC X
#define SELECT X
#endif

#ifndef NUMBER
#define NUMBER(name, ...)
#endif
#ifndef FLOAT
#define FLOAT(name, ...)
#endif
#ifndef LOGIC
#define LOGIC(name, ...)
#endif

#ifndef NUMBER1
#define NUMBER1 NUMBER
#endif
#ifndef NUMBER2
#define NUMBER2 NUMBER
#endif
#ifndef FLOAT1
#define FLOAT1 FLOAT
#endif
#ifndef FLOAT2
#define FLOAT2 FLOAT
#endif
#ifndef FLOAT3
#define FLOAT3 FLOAT
#endif
#ifdef SLOPE
#define SLOPE1 SLOPE
#define SLOPE2 SLOPE
#define SLOPE3 SLOPE
#else
#define SLOPE1 FLOAT1
#define SLOPE2 FLOAT2
#define SLOPE3 FLOAT3
#endif
#ifndef COMPARE
#define COMPARE(name, ...)
#endif
#ifndef TEST
#define TEST(name, ...)
#endif
#ifndef LOGIC1
#define LOGIC1 LOGIC
#endif
#ifndef LOGIC2
#define LOGIC2 LOGIC
#endif
#ifndef SELECT
#define SELECT(name, ...)
#endif

NUMBER1(neg, -x)
NUMBER1(abs, x < 0 ? -x : x == 0 ? 0 : x)
NUMBER1(sign, x > 0 ? K(1) : x < 0 ? K(-1) : x * 0)
NUMBER1(square, x *x)
NUMBER1(affine, p *x + q)
NUMBER2(add, x + y)
NUMBER2(sub, x - y)
NUMBER2(mul, x *y)
NUMBER2(maximum, x > y || x != x ? x : y)
NUMBER2(minimum, x < y || x != x ? x : y)
NUMBER2(remainder, M(remainder)(x, y)) /* a function of division.h */
NUMBER2(floor_divide, M(floor_divide)(x, y))

FLOAT1(exp, M(exp)(x))
FLOAT1(expm1, M(expm1)(x))
FLOAT1(log, M(log)(x))
FLOAT1(log1p, M(log1p)(x))
FLOAT1(sqrt, M(sqrt)(x))
FLOAT1(rsqrt, 1 / M(sqrt)(x))
FLOAT1(reciprocal, 1 / x)
FLOAT1(sin, M(sin)(x))
FLOAT1(cos, M(cos)(x))
FLOAT1(tan, M(tan)(x))
FLOAT1(asin, M(asin)(x))
FLOAT1(acos, M(acos)(x))
FLOAT1(atan, M(atan)(x))
FLOAT1(sinh, M(sinh)(x))
FLOAT1(cosh, M(cosh)(x))
FLOAT1(tanh, M(tanh)(x))
FLOAT1(asinh, M(asinh)(x))
FLOAT1(acosh, M(acosh)(x))
FLOAT1(atanh, M(atanh)(x))
FLOAT1(exp2, M(exp2)(x))
FLOAT1(log2, M(log2)(x))
FLOAT1(log10, M(log10)(x))
FLOAT1(sigmoid, M(sigmoid)(x))
FLOAT1(relu, x < 0 ? 0 : x)
FLOAT1(leaky_relu, x < 0 ? p * x : x)
FLOAT1(elu, x < 0 ? p * M(expm1)(x) : x)
/* the factor x is limited from below, so that -inf gives 0 and not -inf times 0, which is NaN */
FLOAT1(gelu, K(0.5) * (x < K(-1e4) ? K(-1e4) : x) * (1 + M(erf)(x * K(0.70710678118654752440))))
FLOAT1(silu, (x < K(-1e4) ? K(-1e4) : x) * M(sigmoid)(x))
/* sigmoid(y) is 0 or 1 far from 0, where y^2 might overflow */
#define NEAR_ZERO(y) ((y) < K(-1e4) ? K(-1e4) : (y) > K(1e4) ? K(1e4) : (y))
#define GELU_TANH_EXPONENT(y)                                                                      \
    ((y) * (K(1.59576912160573071176) + K(0.07135481627260024878) * (y) * (y)))
FLOAT1(gelu_tanh, (x < K(-1e4) ? K(-1e4) : x) * M(sigmoid)(GELU_TANH_EXPONENT(NEAR_ZERO(x))))
FLOAT1(softplus, M(softplus)(x)) /* log(1 + exp(x)) */
FLOAT1(erf, M(erf)(x))
FLOAT1(erfc, M(erfc)(x))
/* infinities give the limits 1 and -1 */
FLOAT1(softsign, x > K(1e30) ? 1 : x < K(-1e30) ? -1 : x / (1 + (x < 0 ? -x : x)))
/* tanh(softplus(x)) = n / (n + 2) for n = e (e + 2), e = exp(x); from x = 40 on it is 1 */
#define MISH_N(x) (M(exp)((x) > 40 ? 40 : (x)) * (M(exp)((x) > 40 ? 40 : (x)) + 2))
FLOAT1(mish, (x < K(-1e4) ? K(-1e4) : x) * (MISH_N(x) / (MISH_N(x) + 2)))
FLOAT1(hardsigmoid, x<-3 ? 0 : x> 3 ? 1 : (x + 3) * K(0.16666666666666666667))
FLOAT1(hardswish, x<-3 ? 0 : x> 3 ? x : x *(x + 3) / 6)
FLOAT1(log_sigmoid, 0 - M(softplus)(-x))
FLOAT1(floor, M(floor)(x))
FLOAT1(ceil, M(ceil)(x))
FLOAT1(round, M(rint)(x)) /* to even at halves */
FLOAT1(hardtanh, x<p ? p : x> q ? q : x)
FLOAT1(clamp, x<p ? p : x> q ? q : x)
FLOAT1(pow_scalar, M(pow)(x, p))
FLOAT1(scalar_pow, M(pow)(p, x))
FLOAT1(scaled_pow, M(times_pow)(q, x, p)) /* q x^p */
FLOAT1(scalar_div, p / x)
FLOAT1(div_scalar, x / p)
FLOAT2(div, x / y)
FLOAT2(pow, M(pow)(x, y))
FLOAT2(atan2, M(atan2)(x, y))
/* max + log(1 + exp(-|x - y|)); equal infinities have no difference */
FLOAT2(logaddexp, (x > y ? x : y) + M(softplus)(x == y ? 0 : -M(fabs)(x - y)))

/* derivatives: x is the gradient of the output, y the saved value */
SLOPE2(tanh_backward, x *(1 - y * y))
SLOPE2(sigmoid_backward, x *y *(1 - y))
SLOPE2(gelu_tanh_backward, x *M(sigmoid)(GELU_TANH_EXPONENT(NEAR_ZERO(y))) *
                               (1 + NEAR_ZERO(y) * M(sigmoid)(-GELU_TANH_EXPONENT(NEAR_ZERO(y))) *
                                        (K(1.59576912160573071176) +
                                         K(0.21406444881780074633) * NEAR_ZERO(y) * NEAR_ZERO(y))))
SLOPE2(relu_backward, y > 0 ? x : 0)
SLOPE2(leaky_relu_backward, y > 0 ? x : p * x)
SLOPE2(elu_backward, y < 0 ? x * (p * M(exp)(y)) : x)
SLOPE2(elu_bend, y < 0 ? x * (p * M(exp)(y)) : 0) /* the derivative of elu_backward by y */
SLOPE2(hardtanh_backward, y <= p || y >= q ? 0 : x)
SLOPE2(hardsigmoid_backward, y > -3 && y < 3 ? x / 6 : 0)
SLOPE2(hardswish_backward, y <= -3 ? 0 : y < 3 ? x * (y / 3 + K(0.5)) : x)
SLOPE2(clamp_backward, y >= p && y <= q ? x : 0)
/* x y with x limited to -1e4..1e4. For products in which y is 0 long before x reaches the limit, so
 * an infinite x gives 0 and not NaN */
SLOPE2(tail_mul, (x < K(-1e4) ? K(-1e4) : x > K(1e4) ? K(1e4) : x) * y)
SLOPE2(gelu_backward, x *M(gelu_slope)(y))
SLOPE1(scalar_div_slope, -p / x / x) /* x^2 may overflow or underflow where the quotient does not */
SLOPE2(pow_base, M(pow_slope)(x, y)) /* the derivatives of x^y by x and by y */
SLOPE2(pow_exponent, M(pow_log)(x, y))
FLOAT3(fma, x *y + z)
SLOPE3(softmax_backward, y *(x - z)) /* z is the sum of x y along the axis */
SLOPE2(silu_backward, x *M(sigmoid)(y) * (1 + NEAR_ZERO(y) * (1 - M(sigmoid)(y))))

/* The first and second derivatives of inverse functions, times x. y^2 may overflow where the result
 * does not: beyond 1 the formulas have 1 / y. (1 - y) (1 + y) keeps the digits that 1 - y^2 loses near
 * 1. */
#define BEYOND_1(y) ((y) < -1 || (y) > 1)
#define ROOT_OF_INVERSE(y) M(sqrt)(1 + 1 / (y) / (y)) /* sqrt(1 + y^2) / |y| */
SLOPE2(atan_backward, BEYOND_1(y) ? x / y / (y + 1 / y) : x / (1 + y * y))
SLOPE2(atan_bend, BEYOND_1(y) ? x / y / (y + 1 / y) * (-2 / (y + 1 / y))
                              : -2 * x * y / ((1 + y * y) * (1 + y * y)))
#define IN_ATANH(y) (BEYOND_1(y) ? M(sqrt)(K(-1.0)) : (1 - (y)) * (1 + (y))) /* NaN outside */
SLOPE2(atanh_backward, x / IN_ATANH(y))
SLOPE2(atanh_bend, x / IN_ATANH(y) * (2 * y / IN_ATANH(y)))
SLOPE2(asinh_backward, BEYOND_1(y) ? x / M(fabs)(y) / ROOT_OF_INVERSE(y) : x / M(sqrt)(1 + y * y))
SLOPE2(asinh_bend, BEYOND_1(y) ? -x / y / M(fabs)(y) / ((1 + 1 / y / y) * ROOT_OF_INVERSE(y))
                               : -x *y / ((1 + y * y) * M(sqrt)(1 + y * y)))
SLOPE2(acosh_backward, x / M(sqrt)(y - 1) / M(sqrt)(y + 1))
/* the factor y / sqrt(y^2 - 1) is 1 from 1e15 on */
SLOPE2(acosh_bend, -x / (y - 1) / (y + 1) * (y > K(1e15) ? 1 : y / M(sqrt)(y - 1) / M(sqrt)(y + 1)))
SLOPE2(asin_backward, x / M(sqrt)((1 - y) * (1 + y)))
SLOPE2(asin_bend, x / ((1 - y) * (1 + y)) * (y / M(sqrt)((1 - y) * (1 + y))))
/* y / (x^2 + y^2), the derivative of atan2 by x. The quotient t of the lesser number by the greater
 * one gives it without squares that overflow: 1 / y / (1 + t^2) or t / x / (1 + t^2). The halves keep
 * 1 / y from overflowing. Where |x| is between 1e-16 and 1, t might be subnormal although the result
 * is not. Infinities give the limit 0, and (0, 0) gives 0. */
#define HALF_OF_1_PLUS_SQUARE(t) (K(0.5) + K(0.5) * (t) * (t))
#define HALF_OF_QUOTIENT(x, y)                                                                     \
    (M(fabs)(x) < 1 && M(fabs)(x) > K(1e-16) ? (y) * (K(0.5) / (x) / (x)) : (y) / (x)*K(0.5) / (x))
SLOPE2(atan2_slope, M(fabs)(x) > M(fabs)(y) ? HALF_OF_QUOTIENT(x, y) / HALF_OF_1_PLUS_SQUARE(y / x)
                    : M(fabs)(x) < M(fabs)(y) ? K(0.5) / y / HALF_OF_1_PLUS_SQUARE(x / y)
                    : y == 0 || x != x        ? x
                                              : K(0.5) / y)

COMPARE(eq, x == y)
COMPARE(ne, x != y)
COMPARE(lt, x < y)
COMPARE(le, x <= y)
COMPARE(gt, x > y)
COMPARE(ge, x >= y)
TEST(isfinite, x - x == 0)
TEST(isnan, x != x)
TEST(isinf, x == x && x - x != 0)
LOGIC1(logical_not, !x)
LOGIC2(logical_and, x &&y)
LOGIC2(logical_or, x || y)
LOGIC2(logical_xor, !x != !y)
SELECT(where, c ? x : y)

#undef NUMBER
#undef NUMBER1
#undef NUMBER2
#undef FLOAT
#undef FLOAT1
#undef FLOAT2
#undef FLOAT3
#undef SLOPE
#undef SLOPE1
#undef SLOPE2
#undef SLOPE3
#undef COMPARE
#undef TEST
#undef LOGIC
#undef LOGIC1
#undef LOGIC2
#undef SELECT
#undef NEAR_ZERO
#undef GELU_TANH_EXPONENT
#undef MISH_N
#undef BEYOND_1
#undef IN_ATANH
#undef ROOT_OF_INVERSE
#undef HALF_OF_1_PLUS_SQUARE
#undef HALF_OF_QUOTIENT

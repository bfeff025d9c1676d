/* SPDX-License-Identifier: MIT */
/* elementwise.cu - the ops of tensor/formulas.h as functors, and two kernels for each: over
 * contiguous arrays, 16 bytes at a time, and over any strides. */
#include "cuda/cuda.h"
#include "cuda/strided.h"
#include "tensor/division.h"

#include <cfloat>

/* ---- functors: R f(x, y, z; p, q) ---- */

template <typename T> __device__ inline T cu_sigmoid(T x)
{
    T e = exp(x < 0 ? x : -x);

    return (x < 0 ? e : T(1)) / (T(1) + e);
}

/* remainder and floor_divide of each type (tensor/division.h) */
#define CU_DIVISION(suffix, type)                                                                  \
    __device__ inline type cu_remainder(type a, type b)                                            \
    {                                                                                              \
        return cti_remainder_##suffix(a, b);                                                       \
    }                                                                                              \
    __device__ inline type cu_floor_divide(type a, type b)                                         \
    {                                                                                              \
        return cti_floor_divide_##suffix(a, b);                                                    \
    }
CU_DIVISION(f32, float)
CU_DIVISION(f64, double)
CU_DIVISION(i32, int32_t)
CU_DIVISION(i64, int64_t)

/* Powers and their derivatives, as in tensor/cpu/power.h and loops_float.h. */
template <typename T> __device__ inline T cu_times_pow(T q, T x, T e)
{
    const T smallest = sizeof(T) == 4 ? T(FLT_MIN) : T(DBL_MIN);
    const T largest = sizeof(T) == 4 ? T(FLT_MAX) : T(DBL_MAX);
    T t = pow(x, e), size = t < 0 ? -t : t, half;

    if ((size >= smallest && size <= largest) || t != t)
        return q * t;
    if (t == 0 && (q > largest || q < -largest))
        return 0;
    half = pow(x < 0 ? -x : x, e / 2);
    return t < 0 ? -(q * half * half) : q * half * half;
}

template <typename T> __device__ inline T cu_pow_slope(T x, T y)
{
    const T whole = sizeof(T) == 4 ? T(16777216) : T(9007199254740992); /* all y of at least this
                                                                         * magnitude are even */

    if (y == 0)
        return 0;
    if (signbit(x) && y - y == 0 && (y >= whole || y <= -whole)) /* y - 1 is odd, but is rounded to
                                                                  * an even number */
        return -cu_times_pow(y, -x, y - 1);
    return cu_times_pow(y, x, y - 1);
}

template <typename T> __device__ inline T cu_softplus(T x)
{
    return (x > 0 ? x : T(0)) + log1p(exp(x > 0 ? -x : x));
}

template <typename T> __device__ inline T cu_gelu_slope(T x)
{
    T t = x < T(-1e4) ? T(-1e4) : x > T(1e4) ? T(1e4) : x;

    return T(0.5) * (1 + erf(x * T(0.70710678118654752440))) +
           t * (T(0.39894228040143267794) * exp(T(-0.5) * t * t));
}

template <typename T> __device__ inline T cu_pow_log(T x, T y)
{
    T t = pow(x, y);

    return (x == 0 && y >= 0) || (x > 0 && t == 0) ? T(0) : t * log(x);
}

#define M(name) M_##name
#define K(c) (T(c))
#define M_exp exp
#define M_expm1 expm1
#define M_log log
#define M_log1p log1p
#define M_sqrt sqrt
#define M_fabs fabs
#define M_sin sin
#define M_cos cos
#define M_tan tan
#define M_asin asin
#define M_acos acos
#define M_atan atan
#define M_sinh sinh
#define M_cosh cosh
#define M_asinh asinh
#define M_acosh acosh
#define M_atanh atanh
#define M_exp2 exp2
#define M_log2 log2
#define M_log10 log10
#define M_atan2 atan2
#define M_tanh tanh
#define M_softplus cu_softplus
#define M_sigmoid cu_sigmoid
#define M_erf erf
#define M_erfc erfc
#define M_floor floor
#define M_ceil ceil
#define M_rint rint
#define M_pow pow
#define M_remainder cu_remainder
#define M_floor_divide cu_floor_divide
#define M_times_pow cu_times_pow
#define M_pow_log cu_pow_log
#define M_pow_slope cu_pow_slope
#define M_gelu_slope cu_gelu_slope

#define FUNCTOR(type, count, ...)                                                                  \
    struct type {                                                                                  \
        static const int inputs = count;                                                           \
        template <typename R, typename T> static __device__ R at(T x, T y, T z, T p, T q)          \
        {                                                                                          \
            (void)y, (void)z, (void)p, (void)q;                                                    \
            return static_cast<R>(__VA_ARGS__);                                                    \
        }                                                                                          \
    };
#define NUMBER1(name, ...) FUNCTOR(f_##name, 1, __VA_ARGS__)
#define NUMBER2(name, ...) FUNCTOR(f_##name, 2, __VA_ARGS__)
#define FLOAT1(name, ...) FUNCTOR(f_##name, 1, __VA_ARGS__)
#define FLOAT2(name, ...) FUNCTOR(f_##name, 2, __VA_ARGS__)
#define FLOAT3(name, ...) FUNCTOR(f_##name, 3, __VA_ARGS__)
#define COMPARE(name, ...) FUNCTOR(f_##name, 2, __VA_ARGS__)
#define TEST(name, ...) FUNCTOR(f_##name, 1, __VA_ARGS__)
#define LOGIC1(name, ...) FUNCTOR(f_##name, 1, __VA_ARGS__)
#define LOGIC2(name, ...) FUNCTOR(f_##name, 2, __VA_ARGS__)
#include "tensor/formulas.h"

/* where: its first operand is a bool */
#define SELECT(name, ...)                                                                          \
    struct f_##name {                                                                              \
        static const int inputs = 3;                                                               \
        template <typename R, typename T> static __device__ R at(uint8_t c, T x, T y, T p, T q)    \
        {                                                                                          \
            (void)p, (void)q;                                                                      \
            return __VA_ARGS__;                                                                    \
        }                                                                                          \
    };
#include "tensor/formulas.h"

/* ---- kernels: A is the type of the first operand, T of the others, R of the result ---- */

/* One element. Inputs that F does not take are not read. */
template <typename F, typename R, typename A, typename T>
__device__ inline R elementwise_apply(const A *x, const T *y, const T *z, T p, T q)
{
    return F::template at<R, T>(*x, F::inputs > 1 ? *y : T(0), F::inputs > 2 ? *z : T(0), p, q);
}

/* For contiguous arrays (step 1) or a single element that repeats (step 0); V elements at a
 * time. */
template <typename F, typename R, typename A, typename T, int V>
__global__ void __launch_bounds__(CU_BLOCK)
    elementwise_packed(int64_t n, R *out, const A *x, const T *y, const T *z, int64_t sx,
                       int64_t sy, int64_t sz, T p, T q)
{
    int64_t packs = n / V, i;
    int k;

    for (i = cu_thread(); i < packs; i += cu_threads()) {
        cu_pack<A, V> a = cu_load_pack<V>(x, sx, i);
        cu_pack<T, V> b = {}, c = {};
        cu_pack<R, V> o;

        if (F::inputs > 1)
            b = cu_load_pack<V>(y, sy, i);
        if (F::inputs > 2)
            c = cu_load_pack<V>(z, sz, i);
        for (k = 0; k < V; k++)
            o.v[k] = F::template at<R, T>(a.v[k], b.v[k], c.v[k], p, q);
        reinterpret_cast<cu_pack<R, V> *>(out)[i] = o;
    }
    i = packs * V + cu_thread();
    if (i < n)
        out[i] = elementwise_apply<F, R, A, T>(x + i * sx, y + i * sy, z + i * sz, p, q);
}

/* step[0] belongs to out. */
template <typename F, typename R, typename A, typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    elementwise_strided(cu_walk<4> w, R *out, const A *x, const T *y, const T *z, T p, T q)
{
    int64_t i, at[4];

    for (i = cu_thread(); i < w.count; i += cu_threads()) {
        cu_walk_at(w, i, at);
        out[at[0]] = elementwise_apply<F, R, A, T>(x + at[1], y + at[2], z + at[3], p, q);
    }
}

/* ---- the choice ---- */

static const char *const elementwise_slot = "elementwise";

/* A call whose shape has been simplified. */
struct ew_call {
    const cti_ew *e;
    cu_walk<4> w;
    double p, q;
};

static bool fits_packs(const ew_call *c, size_t out, size_t first, size_t others, int pack)
{
    const cu_walk<4> *w = &c->w;
    int k;

    if (w->rank != 1 || w->step[0][0] != 1 || !cu_aligned(c->e->out, out * (size_t)pack))
        return false;
    for (k = 0; k < c->e->inputs; k++) {
        int64_t step = w->step[k + 1][0];
        size_t size = k ? others : first;

        if (step != 0 && (step != 1 || !cu_aligned(c->e->in[k], size * (size_t)pack)))
            return false;
    }
    return true;
}

template <typename F, typename R, typename A, typename T>
static void elementwise_start(const ew_call *c)
{
    const int pack = 16 / (sizeof(T) > sizeof(R) ? sizeof(T) : sizeof(R));
    const int64_t n = c->w.count;
    R *out = static_cast<R *>(c->e->out);
    const A *x = static_cast<const A *>(c->e->in[0]);
    const T *y = static_cast<const T *>(c->e->in[F::inputs > 1 ? 1 : 0]);
    const T *z = static_cast<const T *>(c->e->in[F::inputs > 2 ? 2 : 0]);
    T p = static_cast<T>(c->p), q = static_cast<T>(c->q);

    if (fits_packs(c, sizeof(R), sizeof(A), sizeof(T), pack))
        cu_run(elementwise_slot, elementwise_packed<F, R, A, T, pack>,
               cu_blocks((n + pack - 1) / pack, CU_BLOCK), CU_BLOCK, n, out, x, y, z,
               c->w.step[1][0], c->w.step[2][0], c->w.step[3][0], p, q);
    else
        cu_run(elementwise_slot, elementwise_strided<F, R, A, T>, cu_blocks(n, CU_BLOCK), CU_BLOCK,
               c->w, out, x, y, z, p, q);
}

/* Starts the kernel of an op on elements of type T, except where. */
template <typename T> static void elementwise_op(const ew_call *c)
{
    const bool is_bool = std::is_same<T, uint8_t>::value;
    const bool is_float = std::is_floating_point<T>::value;

    switch (c->e->op) {
#define CASE(op, F, R, there)                                                                      \
    case op:                                                                                       \
        if constexpr (there)                                                                       \
            elementwise_start<F, R, T, T>(c);                                                      \
        break;
#define NUMBER1(name, ...) CASE(CTI_EW_##name, f_##name, T, !is_bool)
#define NUMBER2(name, ...) CASE(CTI_EW_##name, f_##name, T, !is_bool)
#define FLOAT1(name, ...) CASE(CTI_EW_##name, f_##name, T, is_float)
#define FLOAT2(name, ...) CASE(CTI_EW_##name, f_##name, T, is_float)
#define FLOAT3(name, ...) CASE(CTI_EW_##name, f_##name, T, is_float)
#define COMPARE(name, ...) CASE(CTI_EW_##name, f_##name, uint8_t, true)
#define TEST(name, ...) CASE(CTI_EW_##name, f_##name, uint8_t, is_float)
#define LOGIC1(name, ...) CASE(CTI_EW_##name, f_##name, T, is_bool)
#define LOGIC2(name, ...) CASE(CTI_EW_##name, f_##name, T, is_bool)
#include "tensor/formulas.h"
    default:
        break;
    }
}

/* where only moves elements, of 1, 2, 4 or 8 bytes, so their type does not matter */
static void elementwise_where(const ew_call *c)
{
    switch (cu_size_of(c->e->dtype)) {
    case 1:
        elementwise_start<f_where, uint8_t, uint8_t, uint8_t>(c);
        break;
    case 2:
        elementwise_start<f_where, uint16_t, uint8_t, uint16_t>(c);
        break;
    case 4:
        elementwise_start<f_where, uint32_t, uint8_t, uint32_t>(c);
        break;
    default:
        elementwise_start<f_where, uint64_t, uint8_t, uint64_t>(c);
    }
}

void cu_elementwise(const cti_ew *e)
{
    ew_call c = {};
    int i, k;

    c.e = e;
    c.p = cti_as_element(e->param[0], e->dtype);
    c.q = cti_as_element(e->param[1], e->dtype);
    c.w.rank = e->rank;
    for (i = 0; i < e->rank; i++) {
        c.w.dim[i] = e->dim[i];
        c.w.step[0][i] = e->out_stride[i];
        for (k = 0; k < e->inputs; k++)
            c.w.step[k + 1][i] = e->in_stride[k][i];
        for (; k < 3; k++) /* same steps as out, so that axes can still be merged */
            c.w.step[k + 1][i] = e->out_stride[i];
    }
    cu_walk_simplify(&c.w);
    if (c.w.count == 0)
        return;
    if (e->op == CTI_EW_where) {
        elementwise_where(&c);
        return;
    }
    switch (e->dtype) {
    case CT_F32:
        elementwise_op<float>(&c);
        break;
    case CT_F64:
        elementwise_op<double>(&c);
        break;
    case CT_I32:
        elementwise_op<int32_t>(&c);
        break;
    case CT_I64:
        elementwise_op<int64_t>(&c);
        break;
    case CT_BOOL:
        elementwise_op<uint8_t>(&c);
        break;
    case CT_BF16: /* bf16 is only stored, never computed with */
        break;
    }
}

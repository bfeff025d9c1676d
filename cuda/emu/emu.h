/* SPDX-License-Identifier: MIT */
/* emu.h - CUDA's device language for the host's C++ compiler. (internal)
 *
 * cuda/launch.h includes it if the compiler is not nvcc. Host functions (cudaMallocAsync, ...) are
 * declared by NVIDIA's headers and defined in this folder. This file has the language that nvcc
 * adds to C++: keywords, built-in variables, barriers, shuffles, votes, atomics and the few
 * intrinsics that kernels of cuda/ use. Add others here when a kernel needs them. */
#ifndef COTANGENT_CUDA_EMU_EMU_H
#define COTANGENT_CUDA_EMU_EMU_H

#include <cublas_v2.h>
#include <math.h>
#include <string.h>
#include <tuple>

#include "cuda/emu/checked.h"

/* ---- keywords and built-in variables ------------------------------------------------------- */

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __forceinline__
#undef __noinline__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(threads) __attribute__((patchable_function_entry((threads), (threads))))

/* Not const, because each thread sees its own values, which are set when it is resumed. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

/* ---- launches ------------------------------------------------------------------------------ */

/* A stream and the place in the source that named it, which reports show as the place of the
 * launch. */
struct emu_stream {
    cudaStream_t stream;
    const char *file;
    int line;

    emu_stream(cudaStream_t s, const char *f = __builtin_FILE(), int l = __builtin_LINE())
        : stream(s), file(f), line(l)
    {
    }
};

/* The data that cu_launch passes on: run(call) executes the kernel's body for one thread. */
struct emu_launch {
    dim3 grid, block;
    size_t shmem;
    emu_stream stream;
    const void *kernel;
    void (*run)(void *call);
    const void *call; /* copied */
    size_t call_bytes;
};

cudaError_t emu_enqueue(const emu_launch &launch) __attribute__((warn_unused_result));

template <typename... P> struct emu_call {
    void (*kernel)(P...);
    std::tuple<P...> args;

    static void run(void *self)
    {
        emu_call *call = static_cast<emu_call *>(self);

        std::apply(call->kernel, call->args);
    }
};

template <typename... P, typename... A>
__attribute__((warn_unused_result)) cudaError_t
cu_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shmem, emu_stream stream, A... args)
{
    static_assert(sizeof...(P) == sizeof...(A), "the kernel has another number of parameters");
    static_assert((cu_fits<P, A>() && ...), "an argument does not fit its parameter");
    static_assert((std::is_trivially_copyable<P>::value && ...), "a parameter is not plain data");
    emu_call<P...> call = { kernel, std::tuple<P...>(static_cast<P>(args)...) };

    return emu_enqueue({ grid, block, shmem, stream, reinterpret_cast<const void *>(kernel),
                         emu_call<P...>::run, &call, sizeof call });
}

/* ---- shared memory ------------------------------------------------------------------------- */

/* Returns the block's variable for a key. It is filled with NaNs when the block first names it. */
void *emu_shared(const void *key, size_t bytes, size_t alignment);
void *emu_dynamic_shared();

#define CU_SHARED(type, name, ...)                                                                 \
    static char name##_key;                                                                        \
    typedef type name##_type __VA_ARGS__;                                                          \
    name##_type &name =                                                                            \
        *static_cast<name##_type *>(emu_shared(&name##_key, sizeof(name##_type), alignof(type)))
#define CU_DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(emu_dynamic_shared())

/* ---- barriers ------------------------------------------------------------------------------ */

enum emu_barrier { EMU_SYNC, EMU_SYNC_COUNT, EMU_SYNC_AND, EMU_SYNC_OR };

int emu_syncthreads(emu_barrier kind, int predicate, const char *file, int line);

static inline void __syncthreads(const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    emu_syncthreads(EMU_SYNC, 0, file, line);
}

static inline int __syncthreads_count(int predicate, const char *file = __builtin_FILE(),
                                      int line = __builtin_LINE())
{
    return emu_syncthreads(EMU_SYNC_COUNT, predicate, file, line);
}

static inline int __syncthreads_and(int predicate, const char *file = __builtin_FILE(),
                                    int line = __builtin_LINE())
{
    return emu_syncthreads(EMU_SYNC_AND, predicate, file, line);
}

static inline int __syncthreads_or(int predicate, const char *file = __builtin_FILE(),
                                   int line = __builtin_LINE())
{
    return emu_syncthreads(EMU_SYNC_OR, predicate, file, line);
}

/* No operation: memory is always coherent here. */
static inline void __threadfence()
{
}

static inline void __threadfence_block()
{
}

/* ---- warps --------------------------------------------------------------------------------- */

enum emu_warp_op { EMU_WARP_SYNC, EMU_WARP_SHUFFLE, EMU_WARP_VOTE };

/* Waits for the lanes of mask. SHUFFLE returns the value of lane `source`; VOTE returns the lanes
 * of mask whose value is not 0. */
uint64_t emu_warp(emu_warp_op op, unsigned mask, uint64_t value, int source, const char *file,
                  int line);
int emu_lane();

static inline void __syncwarp(unsigned mask = 0xffffffffu, const char *file = __builtin_FILE(),
                              int line = __builtin_LINE())
{
    emu_warp(EMU_WARP_SYNC, mask, 0, 0, file, line);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate,
                                     const char *file = __builtin_FILE(),
                                     int line = __builtin_LINE())
{
    return static_cast<unsigned>(emu_warp(EMU_WARP_VOTE, mask, predicate != 0, 0, file, line));
}

static inline int __any_sync(unsigned mask, int predicate, const char *file = __builtin_FILE(),
                             int line = __builtin_LINE())
{
    return emu_warp(EMU_WARP_VOTE, mask, predicate != 0, 0, file, line) != 0;
}

static inline int __all_sync(unsigned mask, int predicate, const char *file = __builtin_FILE(),
                             int line = __builtin_LINE())
{
    return emu_warp(EMU_WARP_VOTE, mask, predicate == 0, 0, file, line) == 0;
}

template <typename T> T emu_shuffle(unsigned mask, T value, int source, const char *file, int line)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    uint64_t bits = 0;

    memcpy(&bits, &value, sizeof value);
    bits = emu_warp(EMU_WARP_SHUFFLE, mask, bits, source, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    int first = emu_lane() & ~(width - 1);

    return emu_shuffle(mask, value, first | (source & (width - 1)), file, line);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    int lane = emu_lane(), from = lane - static_cast<int>(delta);

    return emu_shuffle(mask, value, from < (lane & ~(width - 1)) ? lane : from, file, line);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    int lane = emu_lane(), from = lane + static_cast<int>(delta);

    return emu_shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, file, line);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    int lane = emu_lane(), from = lane ^ bits;

    return emu_shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, file, line);
}

/* ---- atomics ------------------------------------------------------------------------------- */

/* Called before the access. It does not race with other atomics. */
void emu_atomic(void *address, size_t bytes, const void *code);

/* Not inlined, so that only emu_atomic reports the access, with the place of the caller. */
#define EMU_ATOMIC(name, type, expression)                                                         \
    __attribute__((noinline, no_sanitize("thread"))) static inline type name(type *address,        \
                                                                             type value)           \
    {                                                                                              \
        emu_atomic(address, sizeof *address, __builtin_return_address(0));                         \
        type old = *address;                                                                       \
        *address = expression;                                                                     \
        return old;                                                                                \
    }
#define EMU_ATOMIC_INTEGER(type)                                                                   \
    EMU_ATOMIC(atomicAdd, type, old + value)                                                       \
    EMU_ATOMIC(atomicExch, type, value)                                                            \
    EMU_ATOMIC(atomicMin, type, value < old ? value : old)                                         \
    EMU_ATOMIC(atomicMax, type, value > old ? value : old)                                         \
    EMU_ATOMIC(atomicAnd, type, (old) & (value))                                                   \
    EMU_ATOMIC(atomicOr, type, old | value)                                                        \
    EMU_ATOMIC(atomicXor, type, old ^ value)                                                       \
    __attribute__((noinline, no_sanitize("thread"))) static inline type atomicCAS(                 \
        type *address, type compare, type value)                                                   \
    {                                                                                              \
        emu_atomic(address, sizeof *address, __builtin_return_address(0));                         \
        type old = *address;                                                                       \
        if (old == compare)                                                                        \
            *address = value;                                                                      \
        return old;                                                                                \
    }

EMU_ATOMIC_INTEGER(int)
EMU_ATOMIC_INTEGER(unsigned)
EMU_ATOMIC_INTEGER(unsigned long long)
EMU_ATOMIC(atomicMin, long long, value < old ? value : old)
EMU_ATOMIC(atomicMax, long long, value > old ? value : old)
EMU_ATOMIC(atomicAdd, float, old + value)
EMU_ATOMIC(atomicAdd, double, old + value)
EMU_ATOMIC(atomicExch, float, value)
#undef EMU_ATOMIC_INTEGER
#undef EMU_ATOMIC

/* ---- intrinsics ---------------------------------------------------------------------------- */

/* The compiler must not contract operations in kernels, so these are the plain operations. */
#define EMU_ROUNDED(prefix, type)                                                                  \
    static inline type __##prefix##add_rn(type a, type b)                                          \
    {                                                                                              \
        return a + b;                                                                              \
    }                                                                                              \
    static inline type __##prefix##sub_rn(type a, type b)                                          \
    {                                                                                              \
        return a - b;                                                                              \
    }                                                                                              \
    static inline type __##prefix##mul_rn(type a, type b)                                          \
    {                                                                                              \
        return a * b;                                                                              \
    }                                                                                              \
    static inline type __##prefix##div_rn(type a, type b)                                          \
    {                                                                                              \
        return a / b;                                                                              \
    }
EMU_ROUNDED(f, float)
EMU_ROUNDED(d, double)
#undef EMU_ROUNDED

static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}

static inline double __fma_rn(double a, double b, double c)
{
    return fma(a, b, c);
}

static inline float __fsqrt_rn(float a)
{
    return sqrtf(a);
}

static inline double __dsqrt_rn(double a)
{
    return sqrt(a);
}

static inline float emu_rsqrtf(float a)
{
    return 1 / sqrtf(a);
}

static inline double emu_rsqrt(double a)
{
    return 1 / sqrt(a);
}

/* NVIDIA's header declares these without a body. */
#define rsqrtf emu_rsqrtf
#define rsqrt emu_rsqrt

template <typename To, typename From> To emu_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "as many bytes");
    To to;

    memcpy(&to, &from, sizeof to);
    return to;
}

#define EMU_BITS(name, to, from)                                                                   \
    static inline to name(from a)                                                                  \
    {                                                                                              \
        return emu_bits<to>(a);                                                                    \
    }
EMU_BITS(__float_as_int, int, float)
EMU_BITS(__int_as_float, float, int)
EMU_BITS(__float_as_uint, unsigned, float)
EMU_BITS(__uint_as_float, float, unsigned)
EMU_BITS(__double_as_longlong, long long, double)
EMU_BITS(__longlong_as_double, double, long long)
#undef EMU_BITS

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}

static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}

static inline int __popc(unsigned a)
{
    return __builtin_popcount(a);
}

static inline int __popcll(unsigned long long a)
{
    return __builtin_popcountll(a);
}

static inline int __clz(int a)
{
    return a ? __builtin_clz(static_cast<unsigned>(a)) : 32;
}

static inline int __clzll(long long a)
{
    return a ? __builtin_clzll(static_cast<unsigned long long>(a)) : 64;
}

static inline int __ffs(int a)
{
    return __builtin_ffs(a);
}

static inline int __ffsll(long long a)
{
    return __builtin_ffsll(a);
}

template <typename T> T __ldg(const T *address)
{
    return *address;
}

#define EMU_MIN_MAX(type)                                                                          \
    static inline type min(type a, type b)                                                         \
    {                                                                                              \
        return b < a ? b : a;                                                                      \
    }                                                                                              \
    static inline type max(type a, type b)                                                         \
    {                                                                                              \
        return a < b ? b : a;                                                                      \
    }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
#undef EMU_MIN_MAX

/* As on the device: of a number and a NaN, the result is the number. */
static inline float min(float a, float b)
{
    return fminf(a, b);
}

static inline float max(float a, float b)
{
    return fmaxf(a, b);
}

static inline double min(double a, double b)
{
    return fmin(a, b);
}

static inline double max(double a, double b)
{
    return fmax(a, b);
}

#endif

/* SPDX-License-Identifier: MIT */
/* launch.h - launches and shared memory, for both compilers of the kernels. (internal)
 *
 * nvcc builds the .cu files for a GPU; the host's C++ compiler builds the same files for the
 * emulated GPU of cuda/emu. They include this file. Of CUDA's language they use only keywords,
 * built-in variables and intrinsics: no <<< >>>, no raw __shared__, no default stream.
 *
 *     __global__ void __launch_bounds__(256) scale(int n, float factor, float *x) { ... }
 *
 *     cudaError_t error = cu_launch(scale, dim3(blocks), dim3(256), 0, stream, n, 2.0f, x);
 *
 *     CU_SHARED(float, tile, [32][33]);        // static: tile[i][j]
 *     CU_SHARED(int, total, );                 // one variable
 *     CU_DYNAMIC_SHARED(double, partial);      // the launch's shmem bytes, as a double *
 *
 * Arguments are checked against the kernel's parameters. Their number must be the same. Each must
 * have the same type, a narrower type of the same signedness, or be a pointer that converts. An int
 * for an int64_t compiles; an int64_t for an int, or a double for a float, does not. */
#ifndef COTANGENT_CUDA_LAUNCH_H
#define COTANGENT_CUDA_LAUNCH_H

#include <stddef.h>
#include <stdint.h>
#include <type_traits>

#include <cuda_runtime.h>

/* True if an argument of type A is allowed for a parameter of type P. */
template <typename P, typename A> constexpr bool cu_fits()
{
    if (std::is_same<P, A>::value)
        return true;
    if (std::is_pointer<P>::value)
        return std::is_convertible<A, P>::value;
    if (std::is_integral<P>::value && std::is_integral<A>::value)
        return sizeof(A) < sizeof(P)
                   ? std::is_signed<P>::value || !std::is_signed<A>::value
                   : sizeof(A) == sizeof(P) && std::is_signed<P>::value == std::is_signed<A>::value;
    return std::is_floating_point<P>::value && std::is_floating_point<A>::value &&
           sizeof(A) <= sizeof(P);
}

#ifdef __CUDACC__

#define CU_SHARED(type, name, ...) __shared__ type name __VA_ARGS__
#define CU_DYNAMIC_SHARED(type, name)                                                              \
    extern __shared__ __align__(16) unsigned char cu_dynamic_shared[];                             \
    type *name = reinterpret_cast<type *>(cu_dynamic_shared)

/* Enqueues kernel on stream. Returns the error of the launch; a later call returns the error of the
 * kernel. */
template <typename... P, typename... A>
[[nodiscard]] cudaError_t cu_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shmem,
                                    cudaStream_t stream, A... args)
{
    static_assert(sizeof...(P) == sizeof...(A), "the kernel has another number of parameters");
    static_assert((cu_fits<P, A>() && ...), "an argument does not fit its parameter");
    cudaLaunchConfig_t config = {};

    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shmem;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
}

#else
#include "cuda/emu/emu.h"
#endif

#endif

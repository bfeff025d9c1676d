/* SPDX-License-Identifier: MIT */
/* device.h - functions that kernels share: element types, index arithmetic, sums within a block.
 * (internal)
 *
 * Sizes are int64_t throughout. A kernel walks its work by grid strides, so that any grid size is
 * correct. */
#ifndef COTANGENT_CUDA_DEVICE_H
#define COTANGENT_CUDA_DEVICE_H

#include "cuda/launch.h"

#define CTI_INLINE static __host__ __device__ inline
#define CTI_MUL(a, b) __dmul_rn(a, b)
#define CTI_ADD(a, b) __dadd_rn(a, b)

#include "tensor/backend.h"
#include "tensor/convert.h"

#define CU_BLOCK 256 /* threads of most kernels */

/* The number of this thread in the grid, and the number of threads in the grid. */
__device__ inline int64_t cu_thread()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ inline int64_t cu_threads()
{
    return (int64_t)gridDim.x * blockDim.x;
}

/* Replaces *i by *i / d and returns *i % d. Both must be at least 0. A 32-bit division is used
 * where possible, because it is several times faster. */
__device__ inline int64_t cu_split(int64_t *i, int64_t d)
{
    int64_t at = *i;

    if (((uint64_t)at | (uint64_t)d) >> 32 == 0) {
        *i = (uint32_t)at / (uint32_t)d;
        return (uint32_t)at % (uint32_t)d;
    }
    *i = at / d;
    return at % d;
}

__device__ inline int64_t cu_index_at(const void *index, ct_dtype dtype, int64_t i)
{
    return dtype == CT_I32 ? static_cast<const int32_t *>(index)[i]
                           : static_cast<const int64_t *>(index)[i];
}

/* True if a comes after b in sorted order; a NaN comes after all numbers. */
template <typename T> __device__ inline bool cu_after(T a, T b)
{
    return a > b || (a != a && !(b != b));
}

/* N elements that are loaded or stored in one access. */
template <typename T, int N> struct alignas(sizeof(T) * N) cu_pack {
    T v[N];
};

/* ---- faults ----
 *
 * A fault word holds the least key of all faults since it was cleared. A key is the ticket of the
 * operation, which increases with each launch, and the position in it. So the result does not
 * depend on the order in which threads write. */
#define CU_NO_FAULT (~0ull)

__device__ inline void cu_fault(unsigned long long *word, uint32_t ticket, int64_t position)
{
    unsigned long long low = position < 0xffffffff ? (unsigned long long)position : 0xffffffffull;

    atomicMin(word, (unsigned long long)ticket << 32 | low);
}

/* ---- sums and other reductions within groups of lanes of a block ----
 *
 * A block of CU_BLOCK threads has groups of `lanes` threads; lanes is a power of 2. The thread of
 * group k and lane l has value[k * lanes + l]. All threads of the block must call the function with
 * the same lanes. Afterwards value[k * lanes] is R::combine of the values of group k. Each round
 * combines eight values at a time, in order, so 256 lanes need three rounds. */
template <typename R, typename A> __device__ inline void cu_combine_lanes(A *value, int lanes)
{
    int at = threadIdx.x, lane = at % lanes, step = 1;

    __syncthreads();
    for (; step < lanes; step *= 8) {
        if (lane % (step * 8) == 0) {
            A sum = value[at];
            int k;

            for (k = 1; k < 8 && lane + k * step < lanes; k++)
                sum = R::combine(sum, value[at + k * step]);
            value[at] = sum;
        }
        __syncthreads();
    }
}

#endif

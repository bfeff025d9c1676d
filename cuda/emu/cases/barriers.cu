/* SPDX-License-Identifier: MIT */
/* barriers.cu - wrong kernels: barriers and warps. */
#include "cuda/emu/cases/fixture.h"

static __global__ void __launch_bounds__(64) no_barrier(int *out)
{
    CU_SHARED(int, part, [64]);
    part[threadIdx.x] = 0;
    __syncthreads();
    part[threadIdx.x] = static_cast<int>(threadIdx.x);
    out[threadIdx.x] = part[63 - threadIdx.x];
}

static bool missing_barrier()
{
    bench b;
    int *out = b.filled<int>(64);

    LAUNCH(b, no_barrier, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t i) { return 63 - i; });
}

/* A thread's writes of the second loop may come before another thread's reads of the first loop. */
static __device__ int sum_of_block(int value)
{
    CU_SHARED(int, part, [64]);
    int sum = 0;

    part[threadIdx.x] = value;
    __syncthreads();
    for (int i = 0; i < 64; i++)
        sum += part[i];
    return sum;
}

static __global__ void __launch_bounds__(64) two_sums(int *out)
{
    out[threadIdx.x] = sum_of_block(1) + sum_of_block(2);
}

static bool helper_called_twice()
{
    bench b;
    int *out = b.filled<int>(64);

    LAUNCH(b, two_sums, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t) { return 3 * 64; });
}

static __global__ void __launch_bounds__(64) some_wait(int *out)
{
    if (threadIdx.x < 40)
        __syncthreads();
    out[threadIdx.x] = 1;
}

static bool divergent_barrier()
{
    bench b;
    int *out = b.filled<int>(64);

    LAUNCH(b, some_wait, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t) { return 1; });
}

static __global__ void __launch_bounds__(64) either_waits(int *out)
{
    if (threadIdx.x % 2) {
        out[threadIdx.x] = 1;
        __syncthreads();
    } else {
        __syncthreads();
        out[threadIdx.x] = 1;
    }
}

static bool two_barriers()
{
    bench b;
    int *out = b.filled<int>(64);

    LAUNCH(b, either_waits, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t) { return 1; });
}

static __global__ void __launch_bounds__(64) uneven_loop(int *out)
{
    for (unsigned i = 0; i < threadIdx.x / 32 + 1; i++)
        __syncthreads();
    out[threadIdx.x] = 1;
}

static bool barrier_in_uneven_loop()
{
    bench b;
    int *out = b.filled<int>(64);

    LAUNCH(b, uneven_loop, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t) { return 1; });
}

static __global__ void __launch_bounds__(32) half_shuffles(int *out)
{
    int value = static_cast<int>(threadIdx.x);

    if (threadIdx.x < 16)
        value = __shfl_xor_sync(0xffffffffu, value, 1);
    else
        __syncthreads();
    out[threadIdx.x] = value;
}

static bool shuffle_against_barrier()
{
    bench b;
    int *out = b.filled<int>(32);

    LAUNCH(b, half_shuffles, 1, 32, 0, b.stream, out);
    return b.done();
}

static __global__ void __launch_bounds__(32) foreign_mask(int *out)
{
    out[threadIdx.x] = __shfl_sync(0x0000ffffu, static_cast<int>(threadIdx.x), 0);
}

static bool mask_without_the_caller()
{
    bench b;
    int *out = b.filled<int>(32);

    LAUNCH(b, foreign_mask, 1, 32, 0, b.stream, out);
    return b.done();
}

static __global__ void __launch_bounds__(32) reads_outside(int *out)
{
    if (threadIdx.x < 16)
        out[threadIdx.x] = __shfl_down_sync(0x0000ffffu, static_cast<int>(threadIdx.x), 1);
}

static bool lane_outside_the_mask()
{
    bench b;
    int *out = b.filled<int>(32);

    LAUNCH(b, reads_outside, 1, 32, 0, b.stream, out);
    return b.done();
}

static __global__ void __launch_bounds__(64) short_warp(int *out)
{
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, static_cast<int>(threadIdx.x), 8);
}

static bool lane_that_is_not_there()
{
    bench b;
    int *out = b.filled<int>(64);

    LAUNCH(b, short_warp, 1, 40, 0, b.stream, out);
    LAUNCH(b, short_warp, 1, 36, 0, b.stream, out);
    return b.done();
}

static __global__ void __launch_bounds__(32) two_masks(int *out)
{
    unsigned mask = threadIdx.x < 8 ? 0x0000ffffu : 0xffffffffu;

    out[threadIdx.x] = __any_sync(mask, 1);
}

static bool masks_that_differ()
{
    bench b;
    int *out = b.filled<int>(32);

    LAUNCH(b, two_masks, 1, 32, 0, b.stream, out);
    return b.done();
}

const emu_case emu_wrong_barriers[] = {
    { "missing barrier", EMU_WRONG, EMU_FOUND, "race: ", missing_barrier },
    { "helper called twice without a barrier", EMU_WRONG, EMU_FOUND,
      "race: ", helper_called_twice },
    { "divergent barrier", EMU_FOUND, EMU_FOUND, "divergent barrier: ", divergent_barrier },
    { "two barriers", EMU_FOUND, EMU_FOUND, "divergent barrier: ", two_barriers },
    { "barrier in an uneven loop", EMU_FOUND, EMU_FOUND,
      "divergent barrier: ", barrier_in_uneven_loop },
    { "shuffle against barrier", EMU_FOUND, EMU_FOUND, "deadlock: ", shuffle_against_barrier },
    { "mask without the caller", EMU_FOUND, EMU_FOUND, "shuffle mask: ", mask_without_the_caller },
    { "lane outside the mask", EMU_FOUND, EMU_FOUND, "shuffle mask: ", lane_outside_the_mask },
    { "lane that is not there", EMU_FOUND, EMU_FOUND, "shuffle mask: ", lane_that_is_not_there },
    { "masks that differ", EMU_FOUND, EMU_FOUND, "shuffle mask: ", masks_that_differ },
    { NULL, EMU_RIGHT, EMU_RIGHT, NULL, NULL }
};

/* SPDX-License-Identifier: MIT */
/* races.cu - wrong kernels: races in shared and in global memory. */
#include "cuda/emu/cases/fixture.h"

static __global__ void __launch_bounds__(64) all_write(int *out)
{
    CU_SHARED(int, last, );
    last = static_cast<int>(threadIdx.x);
    __syncthreads();
    out[threadIdx.x] = last;
}

static bool shared_write_race()
{
    bench b;
    int *out = b.filled<int>(64);

    LAUNCH(b, all_write, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t) { return 63; });
}

/* Wrong on every GPU whose warps do not run in lockstep. */
static __global__ void __launch_bounds__(32) warp_sum(float *out)
{
    CU_SHARED(float, part, [32]);
    part[threadIdx.x] = 1;
    __syncwarp();
    for (unsigned d = 16; d; d /= 2)
        if (threadIdx.x < d)
            part[threadIdx.x] += part[threadIdx.x + d];
    if (threadIdx.x == 0)
        *out = part[0];
}

static bool missing_syncwarp()
{
    bench b;
    float *out = b.filled<float>(1);

    LAUNCH(b, warp_sum, 1, 32, 0, b.stream, out);
    return b.holds(out, 1, [](size_t) { return 32; });
}

static __global__ void __launch_bounds__(64) warps_meet_not(int *out)
{
    CU_SHARED(int, part, [64]);
    part[threadIdx.x] = 0;
    __syncthreads();
    part[threadIdx.x] = static_cast<int>(threadIdx.x);
    __syncwarp();
    out[threadIdx.x] = part[threadIdx.x ^ 32];
}

static bool syncwarp_for_two_warps()
{
    bench b;
    int *out = b.filled<int>(64);

    LAUNCH(b, warps_meet_not, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t i) { return i ^ 32; });
}

static __global__ void __launch_bounds__(64) dynamic_race(float *out)
{
    CU_DYNAMIC_SHARED(float, part);
    part[threadIdx.x / 2] = static_cast<float>(threadIdx.x);
    __syncthreads();
    out[threadIdx.x] = part[threadIdx.x / 2];
}

static bool race_in_dynamic_memory()
{
    bench b;
    float *out = b.filled<float>(64);

    LAUNCH(b, dynamic_race, 1, 64, 32 * sizeof(float), b.stream, out);
    return b.holds(out, 64, [](size_t i) { return i | 1; });
}

static __global__ void __launch_bounds__(32) add_one(int *total)
{
    *total += 1;
}

static bool global_race_of_threads()
{
    bench b;
    int *total = b.filled<int>(1);

    LAUNCH(b, add_one, 1, 32, 0, b.stream, total);
    b.done();
    return b.error == cudaSuccess; /* the emulator runs one thread at a time, so the sum is right */
}

static bool global_race_of_blocks()
{
    bench b;
    int *total = b.filled<int>(1);

    LAUNCH(b, add_one, 8, 1, 0, b.stream, total);
    return b.done();
}

static __global__ void __launch_bounds__(32) write_next(int n, int *x)
{
    int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);

    if (i < n)
        x[(i + 1) % n] = x[i];
}

static bool blocks_read_what_others_write()
{
    bench b;
    int *x = b.counting<int>(64);

    LAUNCH(b, write_next, 2, 32, 0, b.stream, 64, x);
    return b.holds(x, 64, [](size_t i) { return (i + 63) % 64; });
}

/* Writes to adjacent bytes do not race (right.cu), but writes to the same byte do. */
static __global__ void __launch_bounds__(32) same_byte(unsigned char *out)
{
    out[threadIdx.x / 2] = static_cast<unsigned char>(threadIdx.x);
}

static bool race_of_bytes()
{
    bench b;
    unsigned char *out = b.filled<unsigned char>(16);

    LAUNCH(b, same_byte, 1, 32, 0, b.stream, out);
    return b.holds(out, 16, [](size_t i) { return 2 * i + 1; });
}

static __global__ void __launch_bounds__(32) half_atomic(int *total, int *out)
{
    atomicAdd(total, 1);
    out[threadIdx.x] = *total;
}

static bool atomic_and_plain()
{
    bench b;
    int *total = b.filled<int>(1), *out = b.filled<int>(32);

    LAUNCH(b, half_atomic, 1, 32, 0, b.stream, total, out);
    return b.holds(out, 32, [](size_t) { return 32; });
}

/* Reads of two warps, then a write of one of them. */
static __global__ void __launch_bounds__(64) read_then_write(int *x, int *out)
{
    out[threadIdx.x] = x[0];
    if (threadIdx.x == 0)
        x[0] = 5;
}

static bool write_after_reads()
{
    bench b;
    int *x = b.filled<int>(1), *out = b.filled<int>(64);

    LAUNCH(b, read_then_write, 1, 64, 0, b.stream, x, out);
    return b.holds(out, 64, [](size_t) { return 0; });
}

const emu_case emu_wrong_races[] = {
    { "shared write race", EMU_WRONG, EMU_FOUND, "race: write of shared", shared_write_race },
    { "missing __syncwarp", EMU_WRONG, EMU_FOUND, "race: ", missing_syncwarp },
    { "__syncwarp for two warps", EMU_WRONG, EMU_FOUND, "race: ", syncwarp_for_two_warps },
    { "race in dynamic memory", EMU_WRONG, EMU_FOUND, "race: write of shared",
      race_in_dynamic_memory },
    { "global race of threads", EMU_RIGHT, EMU_FOUND, "race: ", global_race_of_threads },
    { "global race of blocks", EMU_RIGHT, EMU_FOUND, "race: ", global_race_of_blocks },
    { "blocks read what others write", EMU_WRONG, EMU_FOUND,
      "race: ", blocks_read_what_others_write },
    { "race of bytes", EMU_WRONG, EMU_FOUND, "race: write of global", race_of_bytes },
    { "atomic and plain", EMU_WRONG, EMU_FOUND, "race: ", atomic_and_plain },
    { "write after reads", EMU_WRONG, EMU_FOUND, "race: ", write_after_reads },
    { NULL, EMU_RIGHT, EMU_RIGHT, NULL, NULL }
};

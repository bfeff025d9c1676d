/* SPDX-License-Identifier: MIT */
/* memory.cu - wrong kernels: out of bounds, not aligned, the memory of others, not initialised. */
#include "cuda/emu/cases/fixture.h"

static __global__ void __launch_bounds__(64) ones(int n, float *out)
{
    if (static_cast<int>(threadIdx.x) < n)
        out[threadIdx.x] = 1;
}

static bool write_one_too_far()
{
    bench b;
    float *out = b.filled<float>(33);

    LAUNCH(b, ones, 1, 64, 0, b.stream, 34, out);
    return b.holds(out, 33, [](size_t) { return 1; });
}

static bool write_before_the_first()
{
    bench b;
    float *out = b.filled<float>(33);

    LAUNCH(b, ones, 1, 64, 0, b.stream, 33, out - 1);
    return b.done();
}

static __global__ void __launch_bounds__(32) sum_to(int n, const float *x, float *out)
{
    float sum = 0;

    for (int i = 0; i < n; i++)
        sum += x[i];
    *out = sum;
}

static bool read_one_too_far()
{
    bench b;
    float *x = b.filled<float>(7), *out = b.fresh<float>(1);

    LAUNCH(b, sum_to, 1, 1, 0, b.stream, 8, x, out);
    return b.holds(out, 1, [](size_t) { return 0; });
}

static __global__ void __launch_bounds__(32) shared_too_far(int *out)
{
    CU_SHARED(int, first, [32]);
    CU_SHARED(int, second, [32]);
    second[threadIdx.x] = 1;
    first[threadIdx.x + 1] = 2;
    __syncthreads();
    out[threadIdx.x] = second[threadIdx.x];
}

static bool shared_write_one_too_far()
{
    bench b;
    int *out = b.filled<int>(32);

    LAUNCH(b, shared_too_far, 1, 32, 0, b.stream, out);
    return b.holds(out, 32, [](size_t) { return 1; });
}

static __global__ void __launch_bounds__(32) dynamic_too_far(int *out)
{
    CU_DYNAMIC_SHARED(int, part);
    part[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = part[threadIdx.x];
}

static bool dynamic_memory_too_small()
{
    bench b;
    int *out = b.filled<int>(32);

    LAUNCH(b, dynamic_too_far, 1, 32, 31 * sizeof(int), b.stream, out);
    return b.holds(out, 32, [](size_t) { return 1; });
}

static __global__ void __launch_bounds__(32) by_fours(int n, const float *x, float *out)
{
    int i = static_cast<int>(threadIdx.x);

    if (4 * i < n)
        *reinterpret_cast<float4 *>(out + 4 * i) = *reinterpret_cast<const float4 *>(x + 4 * i);
}

static bool misaligned_vector()
{
    bench b;
    float *x = b.filled<float>(65), *out = b.filled<float>(64);

    LAUNCH(b, by_fours, 1, 32, 0, b.stream, 64, x + 1, out);
    return b.done();
}

static bool vector_over_the_end()
{
    bench b;
    float *x = b.filled<float>(63), *out = b.filled<float>(64);

    LAUNCH(b, by_fours, 1, 32, 0, b.stream, 63, x, out);
    return b.done();
}

static bool pointer_of_the_host()
{
    bench b;
    static float host[64];

    LAUNCH(b, ones, 1, 64, 0, b.stream, 64, host);
    return b.done();
}

static bool pointer_of_the_heap()
{
    bench b;
    std::vector<float> host(64);
    float *out = b.filled<float>(1);

    LAUNCH(b, sum_to, 1, 1, 0, b.stream, 64, host.data(), out);
    return b.done();
}

static int scale_of_host = 3;

static __global__ void __launch_bounds__(32) uses_static(int *out)
{
    out[threadIdx.x] = scale_of_host;
}

static bool variable_of_the_host()
{
    bench b;
    int *out = b.filled<int>(32);

    scale_of_host++;
    LAUNCH(b, uses_static, 1, 32, 0, b.stream, out);
    return b.done();
}

static __global__ void __launch_bounds__(32) leave_address(float **where)
{
    float mine = static_cast<float>(threadIdx.x);

    if (threadIdx.x == 0)
        *where = &mine;
    __syncthreads();
    if (threadIdx.x == 1)
        **where = 2;
    __syncthreads();
}

static bool local_variable_of_another_thread()
{
    bench b;
    float **where = b.filled<float *>(1);

    LAUNCH(b, leave_address, 1, 32, 0, b.stream, where);
    return b.done();
}

static bool read_uninitialised()
{
    bench b;
    float *x = b.fresh<float>(8), *out = b.filled<float>(1);

    LAUNCH(b, sum_to, 1, 1, 0, b.stream, 8, x, out);
    return b.holds(out, 1, [](size_t) { return 0; });
}

static __global__ void __launch_bounds__(64) reads_unwritten(int *out)
{
    CU_SHARED(int, part, [64]);
    if (threadIdx.x < 63)
        part[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = part[threadIdx.x];
}

static bool shared_read_uninitialised()
{
    bench b;
    int *out = b.filled<int>(64);

    LAUNCH(b, reads_unwritten, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t) { return 1; });
}

/* Shared memory does not outlive its block. */
static __global__ void __launch_bounds__(32) counts_blocks(int *out)
{
    CU_SHARED(int, blocks, );
    if (blockIdx.x == 0)
        blocks = 0;
    out[blockIdx.x] = ++blocks;
}

static bool shared_memory_of_the_last_block()
{
    bench b;
    int *out = b.filled<int>(2);

    LAUNCH(b, counts_blocks, 2, 1, 0, b.stream, out);
    return b.holds(out, 2, [](size_t i) { return i + 1; });
}

static bool use_after_free()
{
    bench b;
    float *x = b.filled<float>(8), *out = b.filled<float>(1);

    b.check(cudaFreeAsync(x, b.stream));
    LAUNCH(b, sum_to, 1, 1, 0, b.stream, 8, x, out);
    return b.holds(out, 1, [](size_t) { return 0; });
}

static bool copy_one_too_far()
{
    bench b;
    float *x = b.filled<float>(7);
    std::vector<float> host(8);

    b.check(cudaMemcpyAsync(x, host.data(), 8 * sizeof(float), cudaMemcpyHostToDevice, b.stream));
    return b.done();
}

static bool fill_after_free()
{
    bench b;
    float *x = b.filled<float>(7);

    b.check(cudaFreeAsync(x, b.stream));
    b.check(cudaMemsetAsync(x, 0, 4, b.stream));
    return b.done();
}

static bool freed_twice()
{
    bench b;
    float *x = b.filled<float>(7);

    b.check(cudaFreeAsync(x, b.stream));
    b.check(cudaFreeAsync(x, b.stream));
    return b.done();
}

static bool freed_inside()
{
    bench b;
    float *x = b.filled<float>(7);

    b.check(cudaFreeAsync(x + 1, b.stream));
    return b.done();
}

static bool copy_uninitialised()
{
    bench b;
    float *x = b.fresh<float>(4);

    return b.holds(x, 4, [](size_t) { return 0; });
}

static bool wrong_direction()
{
    bench b;
    float *x = b.filled<float>(4);
    std::vector<float> host(4);

    b.check(cudaMemcpyAsync(x, host.data(), 16, cudaMemcpyDeviceToHost, b.stream));
    return b.done();
}

const emu_case emu_wrong_memory[] = {
    { "write one too far", EMU_FOUND, EMU_FOUND, "out of bounds: ", write_one_too_far },
    { "write before the first", EMU_FOUND, EMU_FOUND, "out of bounds: ", write_before_the_first },
    { "read one too far", EMU_WRONG, EMU_FOUND, "out of bounds: read", read_one_too_far },
    { "shared write one too far", EMU_FOUND, EMU_FOUND,
      "out of bounds: ", shared_write_one_too_far },
    { "dynamic memory too small", EMU_RIGHT, EMU_FOUND,
      "out of bounds: ", dynamic_memory_too_small },
    { "misaligned vector", EMU_WRONG, EMU_FOUND, "misaligned: ", misaligned_vector },
    { "vector over the end", EMU_RIGHT, EMU_FOUND, "out of bounds: read", vector_over_the_end },
    { "pointer of the host", EMU_RIGHT, EMU_FOUND, "host pointer: ", pointer_of_the_host },
    { "pointer of the heap", EMU_RIGHT, EMU_FOUND, "host pointer: ", pointer_of_the_heap },
    { "variable of the host", EMU_RIGHT, EMU_FOUND, "host pointer: ", variable_of_the_host },
    { "local variable of another thread", EMU_RIGHT, EMU_FOUND,
      "host pointer: ", local_variable_of_another_thread },
    { "read uninitialised", EMU_WRONG, EMU_FOUND, "uninitialised: ", read_uninitialised },
    { "shared read uninitialised", EMU_WRONG, EMU_FOUND,
      "uninitialised: ", shared_read_uninitialised },
    { "shared memory of the last block", EMU_WRONG, EMU_FOUND,
      "uninitialised: ", shared_memory_of_the_last_block },
    { "use after free", EMU_WRONG, EMU_FOUND, "use after free: ", use_after_free },
    { "copy one too far", EMU_FOUND, EMU_FOUND, "out of bounds: ", copy_one_too_far },
    { "fill after free", EMU_FOUND, EMU_FOUND, "use after free: ", fill_after_free },
    { "freed twice", EMU_FOUND, EMU_FOUND, "use after free: ", freed_twice },
    { "freed inside", EMU_FOUND, EMU_FOUND, "free: ", freed_inside },
    { "copy uninitialised", EMU_WRONG, EMU_FOUND, "uninitialised: ", copy_uninitialised },
    { "wrong direction", EMU_FOUND, EMU_FOUND, "host pointer: ", wrong_direction },
    { NULL, EMU_RIGHT, EMU_RIGHT, NULL, NULL }
};

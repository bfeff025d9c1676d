/* SPDX-License-Identifier: MIT */
/* right.cu - right programs, for which there must be no report. */
#include <cuda_bf16.h>

#include <algorithm>

#include "cuda/emu/cases/fixture.h"
#include "cuda/emu/report.h"

/* ---- barriers and warps -------------------------------------------------------------------- */

static __device__ float sum_of_warp(float value)
{
    for (int d = 16; d; d /= 2)
        value += __shfl_down_sync(0xffffffffu, value, d);
    return value;
}

/* Called twice: the barrier at its end guards part. */
static __device__ float sum_of_block(float value)
{
    CU_SHARED(float, part, [32]);
    unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;

    value = sum_of_warp(value);
    if (lane == 0)
        part[warp] = value;
    __syncthreads();
    value = lane < blockDim.x / 32 ? part[lane] : 0.0f;
    value = sum_of_warp(value);
    __syncthreads();
    return value; /* thread 0 has the sum of the block */
}

static __global__ void __launch_bounds__(256) sums(int n, const float *x, float *out)
{
    float sum = 0, squares = 0;

    for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    sum = sum_of_block(sum);
    squares = sum_of_block(squares);
    if (threadIdx.x == 0) {
        out[0] = sum;
        out[1] = squares;
    }
}

static bool block_sums()
{
    for (size_t n : { 0, 1, 31, 32, 33, 255, 256, 257 }) {
        bench b;
        float *x = b.counting<float>(std::max<size_t>(n, 1)), *out = b.fresh<float>(2);
        size_t sum = n ? n * (n - 1) / 2 : 0;
        size_t squares = n ? (n - 1) * n * (2 * n - 1) / 6 : 0;

        LAUNCH(b, sums, 1, 256, 0, b.stream, static_cast<int>(n), x, out);
        if (!b.holds(out, 2, [=](size_t i) { return i ? squares : sum; }))
            return false;
    }
    return true;
}

static __global__ void __launch_bounds__(1024)
    transpose(int rows, int columns, const float *x, float *out)
{
    CU_SHARED(float, tile, [32][33]);
    int i = static_cast<int>(blockIdx.y * 32 + threadIdx.y);
    int j = static_cast<int>(blockIdx.x * 32 + threadIdx.x);

    if (i < rows && j < columns)
        tile[threadIdx.y][threadIdx.x] = x[i * columns + j];
    __syncthreads();
    i = static_cast<int>(blockIdx.y * 32 + threadIdx.x);
    j = static_cast<int>(blockIdx.x * 32 + threadIdx.y);
    if (i < rows && j < columns)
        out[j * rows + i] = tile[threadIdx.x][threadIdx.y];
}

static bool transposed_tiles()
{
    bench b;
    size_t rows = 45, columns = 70;
    float *x = b.counting<float>(rows * columns), *out = b.fresh<float>(rows * columns);

    LAUNCH(b, transpose, dim3(3, 2), dim3(32, 32), 0, b.stream, 45, 70, x, out);
    return b.holds(out, rows * columns, [=](size_t i) { return i % rows * columns + i / rows; });
}

/* A partial mask of lanes, and a block whose size is not a multiple of a warp. */
static __global__ void __launch_bounds__(64) scan(int n, int *x)
{
    unsigned mask = __ballot_sync(0xffffffffu, static_cast<int>(threadIdx.x) < n);

    if (static_cast<int>(threadIdx.x) >= n)
        return;
    int value = x[threadIdx.x];
    for (unsigned d = 1; d < 32; d *= 2) {
        int other = __shfl_up_sync(mask, value, d);
        if (threadIdx.x >= d)
            value += other;
    }
    x[threadIdx.x] = value;
}

static bool scan_of_some_lanes()
{
    bench b;
    int *x = b.counting<int>(20);

    LAUNCH(b, scan, 1, 32, 0, b.stream, 20, x);
    return b.holds(x, 20, [](size_t i) { return i * (i + 1) / 2; });
}

static __global__ void __launch_bounds__(64) shuffles(double *out)
{
    double value = threadIdx.x;
    unsigned lane = threadIdx.x % 32;
    double sum = 0;

    sum += __shfl_sync(0xffffffffu, value, 3) == threadIdx.x / 32 * 32 + 3;
    sum += __shfl_sync(0xffffffffu, value, 3, 8) == threadIdx.x / 8 * 8 + 3;
    sum += __shfl_xor_sync(0xffffffffu, value, 5) == (threadIdx.x ^ 5);
    sum += __shfl_up_sync(0xffffffffu, value, 2) == (lane < 2 ? threadIdx.x : threadIdx.x - 2);
    sum += __shfl_down_sync(0xffffffffu, value, 4, 16) ==
           (lane % 16 < 12 ? threadIdx.x + 4 : threadIdx.x);
    sum += __any_sync(0xffffffffu, lane == 31) == 1;
    sum += __all_sync(0xffffffffu, lane < 31) == 0;
    sum += __ballot_sync(0xffffffffu, lane & 1) == 0xaaaaaaaau;
    out[threadIdx.x] = sum;
}

static bool values_of_shuffles()
{
    bench b;
    double *out = b.fresh<double>(64);

    LAUNCH(b, shuffles, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t) { return 8; });
}

static __global__ void __launch_bounds__(64) counts(int *out)
{
    int a = __syncthreads_count(threadIdx.x < 5), b = __syncthreads_or(threadIdx.x == 39);
    int c = __syncthreads_and(threadIdx.x < 40), d = __syncthreads_and(threadIdx.x < 39);

    out[threadIdx.x] = a + 10 * b + 100 * c + 1000 * d;
}

static bool barriers_that_count()
{
    bench b;
    int *out = b.fresh<int>(40);

    LAUNCH(b, counts, 1, 40, 0, b.stream, out);
    return b.holds(out, 40, [](size_t) { return 115; });
}

/* Lanes pass values to each other through shared memory. */
static __global__ void __launch_bounds__(64) passes_on(int *out)
{
    CU_SHARED(int, slot, [64]);
    unsigned first = threadIdx.x & ~31u;

    slot[threadIdx.x] = 0;
    __syncwarp();
    for (unsigned i = 1; i < 32; i++) {
        if (threadIdx.x % 32 == i)
            slot[threadIdx.x] = slot[threadIdx.x - 1] + 1;
        __syncwarp();
    }
    out[threadIdx.x] = slot[first + 31];
}

static bool order_by_syncwarp()
{
    bench b;
    int *out = b.fresh<int>(64);

    LAUNCH(b, passes_on, 1, 64, 0, b.stream, out);
    return b.holds(out, 64, [](size_t) { return 31; });
}

/* Each half of a warp synchronises alone, then both together. */
static __global__ void __launch_bounds__(32) halves(int *out)
{
    CU_SHARED(int, slot, [32]);
    unsigned mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;

    slot[threadIdx.x] = static_cast<int>(threadIdx.x);
    __syncwarp(mask);
    int value = slot[threadIdx.x ^ 8];
    __syncwarp();
    slot[threadIdx.x ^ 16] = value;
    __syncwarp();
    out[threadIdx.x] = slot[threadIdx.x];
}

static bool halves_of_a_warp()
{
    bench b;
    int *out = b.fresh<int>(32);

    LAUNCH(b, halves, 1, 32, 0, b.stream, out);
    return b.holds(out, 32, [](size_t i) { return i ^ 24; });
}

/* ---- memory -------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(128) histogram(int n, const unsigned char *x, int *bins)
{
    CU_SHARED(int, mine, [16]);
    if (threadIdx.x < 16)
        mine[threadIdx.x] = 0;
    __syncthreads();
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; static_cast<int>(i) < n;
         i += gridDim.x * blockDim.x)
        atomicAdd(&mine[x[i] % 16], 1);
    __syncthreads();
    if (threadIdx.x < 16)
        atomicAdd(&bins[threadIdx.x], mine[threadIdx.x]);
}

static bool atomic_histogram()
{
    bench b;
    unsigned char *x = b.counting<unsigned char>(1000);
    int *bins = b.filled<int>(16);

    LAUNCH(b, histogram, 3, 128, 0, b.stream, 1000, x, bins);
    return b.holds(bins, 16, [](size_t i) { return i < 8 ? 63 : 62; });
}

static __global__ void __launch_bounds__(64) atomics(unsigned long long *least, double *total)
{
    unsigned long long *bits = reinterpret_cast<unsigned long long *>(total), old = 0, seen;

    atomicMin(least, 1000ull - blockIdx.x * 64 - threadIdx.x);
    do {
        seen = old;
        double sum = __longlong_as_double(static_cast<long long>(seen)) + 1;
        old = atomicCAS(bits, seen, static_cast<unsigned long long>(__double_as_longlong(sum)));
    } while (old != seen);
}

static bool atomic_loops()
{
    bench b;
    unsigned long long *least = b.filled<unsigned long long>(1, 0xff);
    double *total = b.filled<double>(1);

    LAUNCH(b, atomics, 2, 64, 0, b.stream, least, total);
    return b.holds(least, 1, [](size_t) { return 1000 - 127; }) &&
           b.holds(total, 1, [](size_t) { return 128; });
}

static __global__ void __launch_bounds__(64) neighbours(unsigned char *bytes, __nv_bfloat16 *halves)
{
    bytes[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
    halves[threadIdx.x] = __float2bfloat16(static_cast<float>(threadIdx.x));
}

static bool small_neighbours()
{
    bench b;
    unsigned char *bytes = b.fresh<unsigned char>(61);
    __nv_bfloat16 *halves = b.fresh<__nv_bfloat16>(61);

    LAUNCH(b, neighbours, 1, 61, 0, b.stream, bytes, halves);
    std::vector<__nv_bfloat16> got = b.read(halves, 61);
    return got.size() == 61 && __bfloat162float(got[60]) == 60 &&
           b.holds(bytes, 61, [](size_t i) { return i; });
}

static __global__ void __launch_bounds__(32) by_fours(int n, const float *x, float *out)
{
    int i = 4 * static_cast<int>(threadIdx.x);

    if (i + 4 <= n)
        *reinterpret_cast<float4 *>(out + i) = *reinterpret_cast<const float4 *>(x + i);
    else
        for (; i < n; i++)
            out[i] = x[i];
}

static bool aligned_vectors()
{
    bench b;
    float *x = b.counting<float>(103), *out = b.fresh<float>(99);

    LAUNCH(b, by_fours, 1, 32, 0, b.stream, 99, x + 4, out);
    return b.holds(out, 99, [](size_t i) { return i + 4; });
}

struct shape {
    int64_t dim[3], step[3];
};

static __device__ const int64_t factors[] = { 1, 10, 100 };

static __global__ void __launch_bounds__(64) strided(shape s, const int *x, int64_t *out)
{
    int64_t i = threadIdx.x;

    if (i >= s.dim[0] * s.dim[1] * s.dim[2])
        return;
    int64_t c = i % s.dim[2], b = i / s.dim[2] % s.dim[1], a = i / s.dim[2] / s.dim[1];
    out[i] = x[a * s.step[0] + b * s.step[1] + c * s.step[2]] * factors[b % 3];
}

/* A view of shape 3 x 2 x 4 whose middle axis is broadcast. */
static bool strided_view()
{
    bench b;
    int *x = b.counting<int>(12);
    int64_t *out = b.fresh<int64_t>(24);

    LAUNCH(b, strided, 1, 64, 0, b.stream, shape{ { 3, 2, 4 }, { 1, 0, 3 } }, x, out);
    return b.holds(out, 24, [](size_t i) { return (i / 8 + i % 4 * 3) * (i / 4 % 2 ? 10 : 1); });
}

static __global__ void __launch_bounds__(64) dynamic_reverse(int *x)
{
    CU_DYNAMIC_SHARED(int, part);
    part[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = part[blockDim.x - 1 - threadIdx.x];
}

static bool dynamic_memory()
{
    bench b;
    int *x = b.counting<int>(50);

    LAUNCH(b, dynamic_reverse, 1, 50, 50 * sizeof(int), b.stream, x);
    return b.holds(x, 50, [](size_t i) { return 49 - i; });
}

static __global__ void __launch_bounds__(64) places(unsigned *out)
{
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;

    out[block * 24 + thread] = block * 24 + thread;
}

static bool three_dimensions()
{
    bench b;
    unsigned *out = b.fresh<unsigned>(24 * 30);

    LAUNCH(b, places, dim3(2, 3, 5), dim3(4, 3, 2), 0, b.stream, out);
    return b.holds(out, 24 * 30, [](size_t i) { return i; });
}

static bool rows_copied()
{
    bench b;
    int *x = b.counting<int>(20), *out = b.filled<int>(12);

    b.check(cudaMemcpy2DAsync(out, 3 * sizeof(int), x + 1, 5 * sizeof(int), 2 * sizeof(int), 4,
                              cudaMemcpyDeviceToDevice, b.stream));
    return b.holds(out, 12, [](size_t i) { return i % 3 < 2 ? i / 3 * 5 + i % 3 + 1 : 0; });
}

/* Memory that was freed on a stream may be allocated again on the same stream. */
static bool memory_again_and_again()
{
    bench b;
    float *out = b.fresh<float>(2);

    for (int i = 0; i < 2500; i++) {
        float *x = b.filled<float>(100);
        LAUNCH(b, sums, 1, 32, 0, b.stream, 100, x, out);
        b.check(cudaFreeAsync(x, b.stream));
    }
    return b.holds(out, 2, [](size_t) { return 0; });
}

static bool more_memory_than_there_is()
{
    bench b;
    void *p = &b;
    size_t left, total;

    return b.check(cudaMemGetInfo(&left, &total)) && left <= total &&
           cudaMallocAsync(&p, total + 1, b.stream) == cudaErrorMemoryAllocation && !p &&
           cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess &&
           b.done();
}

/* ---- streams and graphs -------------------------------------------------------------------- */

static __global__ void __launch_bounds__(64) add(int what, int *x)
{
    x[threadIdx.x] += what;
}

static __global__ void __launch_bounds__(64) sum_of_two(const int *x, const int *y, int *out)
{
    out[threadIdx.x] = x[threadIdx.x] + y[threadIdx.x];
}

struct pipeline {
    bench compute, copies;
    cudaEvent_t copied[2], used[2];
    int *host[2];

    pipeline()
    {
        for (int i = 0; i < 2; i++) {
            void *p = NULL;
            compute.check(cudaEventCreateWithFlags(&copied[i], cudaEventDisableTiming));
            compute.check(cudaEventCreateWithFlags(&used[i], cudaEventDisableTiming));
            compute.check(cudaHostAlloc(&p, 64 * sizeof(int), 0));
            host[i] = static_cast<int *>(p);
        }
    }
};

/* Batches go through two pinned buffers; events guard each buffer in both directions. */
static bool double_buffers()
{
    pipeline p;
    bench &b = p.compute, &c = p.copies;
    int *x[2] = { c.fresh<int>(64), c.fresh<int>(64) }, *total = b.filled<int>(64);

    if (b.error != cudaSuccess)
        return false;
    for (int step = 0; step < 10; step++) {
        int i = step % 2;
        b.check(cudaEventSynchronize(p.copied[i]));
        for (int j = 0; j < 64; j++)
            p.host[i][j] = step * j;
        c.check(cudaStreamWaitEvent(c.stream, p.used[i], 0));
        c.check(
            cudaMemcpyAsync(x[i], p.host[i], 64 * sizeof(int), cudaMemcpyHostToDevice, c.stream));
        c.check(cudaEventRecord(p.copied[i], c.stream));
        b.check(cudaStreamWaitEvent(b.stream, p.copied[i], 0));
        LAUNCH(b, sum_of_two, 1, 64, 0, b.stream, total, x[i], total);
        b.check(cudaEventRecord(p.used[i], b.stream));
    }
    return c.done() && b.holds(total, 64, [](size_t i) { return 45 * i; });
}

static void CUDART_CB note(void *flag)
{
    *static_cast<int *>(flag) = 1;
}

static bool polling_ends()
{
    bench b;
    cudaEvent_t e;
    int *x = b.filled<int>(64), flag = 0;

    b.check(cudaEventCreateWithFlags(&e, cudaEventDefault));
    LAUNCH(b, add, 1, 64, 0, b.stream, 2, x);
    b.check(cudaLaunchHostFunc(b.stream, note, &flag));
    b.check(cudaEventRecord(e, b.stream));
    for (;;) {
        cudaError_t error = cudaEventQuery(e);
        if (error == cudaSuccess)
            break;
        if (error != cudaErrorNotReady)
            return false;
    }
    return flag == 1 && b.holds(x, 64, [](size_t) { return 2; });
}

/* A graph of two branches that join, with memory that the graph owns; each replay gives the same
 * result. */
static bool graph_of_two_branches()
{
    bench a, b;
    int *x = a.filled<int>(64), *y = a.filled<int>(64), *out = a.filled<int>(64);
    cudaEvent_t fork, join;
    cudaGraph_t graph;
    cudaGraphExec_t run;

    a.check(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
    a.check(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
    if (!a.done())
        return false;
    a.check(cudaStreamBeginCapture(a.stream, cudaStreamCaptureModeThreadLocal));
    a.check(cudaEventRecord(fork, a.stream));
    b.check(cudaStreamWaitEvent(b.stream, fork, 0));
    int *scratch = a.filled<int>(64);
    LAUNCH(a, add, 1, 64, 0, a.stream, 1, x);
    LAUNCH(a, sum_of_two, 1, 64, 0, a.stream, x, x, scratch);
    LAUNCH(b, add, 1, 64, 0, b.stream, 10, y);
    b.check(cudaEventRecord(join, b.stream));
    a.check(cudaStreamWaitEvent(a.stream, join, 0));
    LAUNCH(a, sum_of_two, 1, 64, 0, a.stream, scratch, y, out);
    a.check(cudaFreeAsync(scratch, a.stream));
    if (!a.check(cudaStreamEndCapture(a.stream, &graph)) ||
        !a.check(cudaGraphInstantiate(&run, graph, 0)) || !a.check(cudaGraphDestroy(graph)))
        return false;
    for (int i = 0; i < 5; i++)
        a.check(cudaGraphLaunch(run, a.stream));
    bool right = a.holds(out, 64, [](size_t) { return 60; });
    return right && b.done() && a.check(cudaGraphExecDestroy(run));
}

/* ---- matrix products ----------------------------------------------------------------------- */

static double at(const std::vector<double> &m, int leading, bool transposed, int i, int j)
{
    return m[static_cast<size_t>(transposed ? i * leading + j : j * leading + i)];
}

/* C (3, 4) = 2 op(A) op(B) - C for k = 5, with leading dimensions larger than needed, in a batch of
 * three. */
static bool products()
{
    for (int which = 0; which < 4; which++) {
        bench b;
        const int m = 3, n = 4, k = 5, lda = 7, ldb = 8, ldc = 6, batch = 3;
        bool ta = which & 1, tb = which & 2;
        double *x = b.counting<double>(200), *y = b.counting<double>(200);
        double *z = b.counting<double>(200), alpha = 2, beta = -1;
        char *workspace = b.fresh<char>(1024);
        cublasHandle_t h;
        std::vector<double> host(200);

        for (size_t i = 0; i < 200; i++)
            host[i] = static_cast<double>(i);
        if (cublasCreate_v2(&h) || cublasSetStream_v2(h, b.stream) ||
            cublasSetWorkspace_v2(h, workspace, 1024) ||
            cublasDgemmStridedBatched(h, ta ? CUBLAS_OP_T : CUBLAS_OP_N,
                                      tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha, x, lda, 0, y,
                                      ldb, 1, &beta, z, ldc, 40, batch) ||
            cublasDestroy_v2(h))
            return false;
        std::vector<double> got = b.read(z, 200);
        for (int p = 0; p < batch && got.size() == 200; p++)
            for (int j = 0; j < n; j++)
                for (int i = 0; i < m; i++) {
                    std::vector<double> second(host.begin() + p, host.end());
                    double sum = 0;
                    for (int l = 0; l < k; l++)
                        sum += at(host, lda, ta, i, l) * at(second, ldb, tb, l, j);
                    size_t to = static_cast<size_t>(p * 40 + j * ldc + i);
                    if (!(got[to] == 2 * sum - host[to]))
                        return false;
                }
        if (got.size() != 200 || !(got[5] == 5) || b.error != cudaSuccess)
            return false;
    }
    return true;
}

/* Precisions, and operands that must not be read: C if beta is 0, A and B if k is 0. */
static bool kinds_of_products()
{
    bench b;
    float host[4] = { 1.0009765625f, 1.00048828125f, 1, 1 }, one = 1, zero = 0;
    float *x = b.fresh<float>(4), *z = b.fresh<float>(4), *empty = b.fresh<float>(4);
    char *workspace = b.fresh<char>(1024);
    cublasHandle_t h;

    b.check(cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, b.stream));
    if (cublasCreate_v2(&h) || cublasSetStream_v2(h, b.stream) ||
        cublasSetWorkspace_v2(h, workspace, 1024))
        return false;
    /* rows (2, 1) and (1, 1): numbers of 11 bits stay, numbers of 12 bits are rounded to 11 */
    if (cublasSetMathMode(h, CUBLAS_TF32_TENSOR_OP_MATH) ||
        cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 1, 1, &one, x, 2, x + 2, 1, &zero, z, 2) ||
        cublasSetMathMode(h, CUBLAS_DEFAULT_MATH) ||
        cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 1, 1, &one, x, 2, x + 2, 1, &zero, z + 2,
                       2) ||
        cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 0, &one, x, 2, x, 1, &zero, empty, 2) ||
        cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 0, 2, 3, &one, x, 2, x, 3, &zero, empty, 2) ||
        cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, x, 1, x, 2, &zero, empty, 2) !=
            CUBLAS_STATUS_INVALID_VALUE)
        return false;
    return b.holds(z, 4, [&](size_t i) { return i == 1 ? 1.0009765625f : host[i % 2]; }) &&
           b.holds(empty, 4, [](size_t) { return 0; });
}

static bool products_of_bf16()
{
    bench b;
    std::vector<__nv_bfloat16> host(6);
    float one = 1, zero = 0;
    __nv_bfloat16 *x = b.fresh<__nv_bfloat16>(6), *half = b.fresh<__nv_bfloat16>(1);
    float *z = b.fresh<float>(1);
    char *workspace = b.fresh<char>(1024);
    cublasHandle_t h;

    for (size_t i = 0; i < 6; i++)
        host[i] = __float2bfloat16(static_cast<float>(16 + i));
    b.check(cudaMemcpyAsync(x, host.data(), 12, cudaMemcpyHostToDevice, b.stream));
    if (cublasCreate_v2(&h) || cublasSetStream_v2(h, b.stream) ||
        cublasSetWorkspace_v2(h, workspace, 1024) ||
        cublasGemmEx(h, CUBLAS_OP_T, CUBLAS_OP_N, 1, 1, 3, &one, x, CUDA_R_16BF, 3, x + 3,
                     CUDA_R_16BF, 3, &zero, z, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F,
                     CUBLAS_GEMM_DEFAULT) ||
        cublasGemmEx(h, CUBLAS_OP_T, CUBLAS_OP_N, 1, 1, 3, &one, x, CUDA_R_16BF, 3, x + 3,
                     CUDA_R_16BF, 3, &zero, half, CUDA_R_16BF, 1, CUBLAS_COMPUTE_32F,
                     CUBLAS_GEMM_DEFAULT))
        return false;
    /* 16 19 + 17 20 + 18 21 = 1022, in bf16 1024 */
    std::vector<__nv_bfloat16> got = b.read(half, 1);
    return b.holds(z, 1, [](size_t) { return 1022; }) && got.size() == 1 &&
           __bfloat162float(got[0]) == 1024;
}

/* ---- sectors ------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(32) read_apart(int step, const float *x, float *out)
{
    out[threadIdx.x] = x[threadIdx.x * static_cast<unsigned>(step)];
}

struct seen_sectors {
    uint64_t requests[2], sectors[2], lanes[2], bytes[2];
    bool placed;
};

static void see(void *context, const char *file, int line, bool write, uint64_t requests,
                uint64_t sectors, uint64_t lanes, uint64_t bytes)
{
    seen_sectors *s = static_cast<seen_sectors *>(context);

    s->requests[write] += requests;
    s->sectors[write] += sectors;
    s->lanes[write] += lanes;
    s->bytes[write] += bytes;
    s->placed = s->placed && line > 0 && strstr(file, "cuda/emu/cases/right.cu");
}

static bool sectors_counted()
{
    for (uint64_t step : { 1, 3, 8 }) {
        bench b;
        float *x = b.counting<float>(32 * 8), *out = b.fresh<float>(32);
        seen_sectors s = {};

        s.placed = true;
        LAUNCH(b, read_apart, 1, 32, 0, b.stream, static_cast<int>(step), x, out);
        if (!b.done())
            return false;
        emu_count_sectors(true);
        LAUNCH(b, read_apart, 1, 32, 0, b.stream, static_cast<int>(step), x, out);
        if (!b.done())
            return false;
        emu_each_sector(see, &s);
        emu_count_sectors(false);
        if (!emu_checking())
            return s.requests[0] == 0;
        if (!s.placed || s.requests[0] != 1 || s.sectors[0] != 4 * step || s.lanes[0] != 32 ||
            s.bytes[0] != 128 || s.requests[1] != 1 || s.sectors[1] != 4)
            return false;
    }
    return true;
}

/* ---- for the other tests ------------------------------------------------------------------- */

float emu_touch_device_memory(void)
{
    bench b;
    volatile float *x = b.filled<float>(4);

    return b.done() ? x[0] : 0;
}

void emu_counted_program(void)
{
    bench b;
    int *x = b.counting<int>(64);
    char *workspace = b.fresh<char>(1024);
    float one = 1, zero = 0, *f = reinterpret_cast<float *>(x);
    std::vector<int> host(32);
    cublasHandle_t h;

    for (int i = 0; i < 3; i++)
        LAUNCH(b, add, 1, 64, 0, b.stream, i, x);
    b.check(cudaMemcpyAsync(x, x + 32, 64, cudaMemcpyDeviceToDevice, b.stream));
    if (cublasCreate_v2(&h) || cublasSetStream_v2(h, b.stream) ||
        cublasSetWorkspace_v2(h, workspace, 1024) ||
        cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, f, 2, f, 2, &zero, f + 8, 2))
        return;
    b.check(cudaMemcpyAsync(host.data(), x, 128, cudaMemcpyDeviceToHost, b.stream));
    b.done();
}

const emu_case emu_right[] = {
#define RIGHT(f) { #f, EMU_RIGHT, EMU_RIGHT, "", f },
    RIGHT(block_sums) RIGHT(transposed_tiles) RIGHT(scan_of_some_lanes) RIGHT(values_of_shuffles)
        RIGHT(barriers_that_count) RIGHT(order_by_syncwarp) RIGHT(halves_of_a_warp)
            RIGHT(atomic_histogram) RIGHT(atomic_loops) RIGHT(small_neighbours)
                RIGHT(aligned_vectors) RIGHT(strided_view) RIGHT(dynamic_memory)
                    RIGHT(three_dimensions) RIGHT(rows_copied) RIGHT(memory_again_and_again)
                        RIGHT(more_memory_than_there_is) RIGHT(double_buffers) RIGHT(polling_ends)
                            RIGHT(graph_of_two_branches) RIGHT(products) RIGHT(kinds_of_products)
                                RIGHT(products_of_bf16) RIGHT(sectors_counted)
#undef RIGHT
                                    { NULL, EMU_RIGHT, EMU_RIGHT, NULL, NULL }
};

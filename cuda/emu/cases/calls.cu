/* SPDX-License-Identifier: MIT */
/* calls.cu - wrong calls: launches, streams, matrix products, graphs. */
#include "cuda/emu/cases/fixture.h"

static __global__ void __launch_bounds__(1024) nothing(int *)
{
}

static bool launches(dim3 grid, dim3 block, size_t shmem)
{
    bench b;

    LAUNCH(b, nothing, grid, block, shmem, b.stream, nullptr);
    return b.done();
}

static bool block_too_large()
{
    return launches(1, 1025, 0);
}

template <typename T> __global__ void __launch_bounds__(2 * 32) two_warps(T *out)
{
    out[threadIdx.x] = 1;
}

static bool block_beyond_its_bounds()
{
    bench b;
    int *out = b.filled<int>(65);

    LAUNCH(b, two_warps<int>, 1, 64, 0, b.stream, out);
    LAUNCH(b, two_warps<int>, 1, dim3(13, 5), 0, b.stream, out);
    return b.done();
}

static bool block_too_deep()
{
    return launches(1, dim3(1, 1, 65), 0);
}

static bool grid_too_high()
{
    return launches(dim3(1, 65536), 1, 0);
}

static bool grid_of_nothing()
{
    return launches(0, 32, 0);
}

static bool too_much_dynamic_memory()
{
    return launches(1, 32, (48 << 10) + 1);
}

static __global__ void __launch_bounds__(32) two_large(int *out)
{
    CU_SHARED(int, first, [8192]);
    CU_SHARED(int, second, [8192]);
    first[threadIdx.x] = second[threadIdx.x] = 1;
    out[threadIdx.x] = first[threadIdx.x];
}

static bool too_much_static_memory()
{
    bench b;
    int *out = b.filled<int>(32);

    LAUNCH(b, two_large, 1, 32, 0, b.stream, out);
    return b.done();
}

static bool default_stream()
{
    bench b;

    LAUNCH(b, nothing, 1, 32, 0, cudaStream_t(), nullptr);
    return b.done();
}

static bool destroyed_stream()
{
    bench a, b;

    a.check(cudaStreamDestroy(a.stream));
    LAUNCH(a, nothing, 1, 32, 0, a.stream, nullptr);
    return b.done() && a.error == cudaSuccess;
}

/* C = A A, of 8 x 8, with its leading dimension and beta. */
static bool product(int ldc, float beta, bool workspace, bool defined, size_t room)
{
    bench b;
    float *x = b.filled<float>(64);
    float *y = defined ? b.filled<float>(room) : b.fresh<float>(room), one = 1;
    char *scratch = b.filled<char>(4096);
    cublasHandle_t h;

    return cublasCreate_v2(&h) == CUBLAS_STATUS_SUCCESS &&
           cublasSetStream_v2(h, b.stream) == CUBLAS_STATUS_SUCCESS &&
           (!workspace || cublasSetWorkspace_v2(h, scratch, 4096) == CUBLAS_STATUS_SUCCESS) &&
           cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 8, &one, x, 8, x, 8, &beta, y, ldc) ==
               CUBLAS_STATUS_SUCCESS &&
           b.done();
}

static bool product_without_workspace()
{
    return product(8, 0, false, true, 64);
}

static bool product_beyond_its_result()
{
    return product(9, 0, true, true, 64);
}

static bool product_of_uninitialised()
{
    return product(8, 1, true, false, 64);
}

static bool synchronised_while_recording()
{
    bench b;
    cudaGraph_t graph;
    cudaError_t inside, end;

    b.check(cudaStreamBeginCapture(b.stream, cudaStreamCaptureModeThreadLocal));
    inside = cudaStreamSynchronize(b.stream);
    end = cudaStreamEndCapture(b.stream, &graph);
    return inside == cudaSuccess || end == cudaSuccess;
}

static bool recorded_work_left_alone()
{
    bench a, b;
    cudaGraph_t graph;
    cudaEvent_t e;

    a.check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
    a.check(cudaStreamBeginCapture(a.stream, cudaStreamCaptureModeThreadLocal));
    a.check(cudaEventRecord(e, a.stream));
    b.check(cudaStreamWaitEvent(b.stream, e, 0));
    LAUNCH(b, nothing, 1, 32, 0, b.stream, nullptr);
    return cudaStreamEndCapture(a.stream, &graph) == cudaSuccess;
}

const emu_case emu_wrong_calls[] = {
    { "block too large", EMU_FOUND, EMU_FOUND, "launch too large: ", block_too_large },
    { "block beyond its bounds", EMU_FOUND, EMU_FOUND,
      "launch too large: a block of 65 threads, of a kernel of __launch_bounds__(64), at ",
      block_beyond_its_bounds },
    { "block too deep", EMU_FOUND, EMU_FOUND, "launch too large: ", block_too_deep },
    { "grid too high", EMU_FOUND, EMU_FOUND, "launch too large: ", grid_too_high },
    { "grid of nothing", EMU_FOUND, EMU_FOUND, "launch too large: ", grid_of_nothing },
    { "too much dynamic memory", EMU_FOUND, EMU_FOUND,
      "launch too large: ", too_much_dynamic_memory },
    { "too much static memory", EMU_FOUND, EMU_FOUND,
      "launch too large: ", too_much_static_memory },
    { "default stream", EMU_FOUND, EMU_FOUND, "default stream: ", default_stream },
    { "destroyed stream", EMU_FOUND, EMU_FOUND, "stream: ", destroyed_stream },
    { "product without workspace", EMU_FOUND, EMU_FOUND, "cuBLAS: ", product_without_workspace },
    { "product beyond its result", EMU_FOUND, EMU_FOUND, "out of bounds: a matrix product (C)",
      product_beyond_its_result },
    { "product of uninitialised", EMU_RIGHT, EMU_FOUND, "uninitialised: a matrix product (C)",
      product_of_uninitialised },
    { "synchronised while recording", EMU_WRONG, EMU_WRONG, "", synchronised_while_recording },
    { "recorded work left alone", EMU_WRONG, EMU_WRONG, "", recorded_work_left_alone },
    { NULL, EMU_RIGHT, EMU_RIGHT, NULL, NULL }
};

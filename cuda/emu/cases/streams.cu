/* SPDX-License-Identifier: MIT */
/* streams.cu - wrong programs: a wait is missing. */
#include "cuda/emu/cases/fixture.h"

static __global__ void __launch_bounds__(64) add(int n, int what, int *x)
{
    if (static_cast<int>(threadIdx.x) < n)
        x[threadIdx.x] += what;
}

static __global__ void __launch_bounds__(64) copy_of(int n, const int *x, int *out)
{
    if (static_cast<int>(threadIdx.x) < n)
        out[threadIdx.x] = x[threadIdx.x];
}

/* The second stream copies the result of the first without waiting for it. */
static bool missing_event_wait()
{
    bench a, b;
    int *x = a.filled<int>(64), *out = b.filled<int>(64);

    if (!a.done() || !b.done())
        return false;
    LAUNCH(a, add, 1, 64, 0, a.stream, 64, 7, x);
    LAUNCH(b, copy_of, 1, 64, 0, b.stream, 64, x, out);
    bool right = b.holds(out, 64, [](size_t) { return 7; });
    return a.done() && right;
}

/* The event was recorded too early. */
static bool early_event()
{
    bench a, b;
    int *x = a.filled<int>(64), *out = b.filled<int>(64);
    cudaEvent_t e;

    if (!a.done() || !b.done() || !a.check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming)))
        return false;
    a.check(cudaEventRecord(e, a.stream));
    LAUNCH(a, add, 1, 64, 0, a.stream, 64, 7, x);
    b.check(cudaStreamWaitEvent(b.stream, e, 0));
    LAUNCH(b, copy_of, 1, 64, 0, b.stream, 64, x, out);
    bool right = b.holds(out, 64, [](size_t) { return 7; });
    return a.done() && right && a.check(cudaEventDestroy(e));
}

/* The host reads a result before its copy has ended. */
static bool missing_synchronisation()
{
    bench b;
    void *p = NULL;
    int *x = b.filled<int>(64, 1);

    if (!b.check(cudaHostAlloc(&p, 64 * sizeof(int), 0)))
        return false;
    int *host = static_cast<int *>(p);
    b.check(cudaMemcpyAsync(host, x, 64 * sizeof(int), cudaMemcpyDeviceToHost, b.stream));
    bool right = host[63] == 0x01010101;
    return b.done() && b.check(cudaFreeHost(p)) && right;
}

/* The host overwrites a batch before its upload has ended. */
static bool buffer_written_too_early()
{
    bench b;
    void *p = NULL;
    int *x = b.filled<int>(64);

    if (!b.check(cudaHostAlloc(&p, 64 * sizeof(int), 0)))
        return false;
    int *host = static_cast<int *>(p);
    for (int i = 0; i < 64; i++)
        host[i] = i;
    b.check(cudaMemcpyAsync(x, host, 64 * sizeof(int), cudaMemcpyHostToDevice, b.stream));
    for (int i = 0; i < 64; i++)
        host[i] = -1;
    bool right = b.holds(x, 64, [](size_t i) { return i; });
    return b.check(cudaFreeHost(p)) && right;
}

/* Memory is freed on one stream while another stream still uses it. */
static bool freed_under_another_stream()
{
    bench a, b;
    int *x = a.filled<int>(64), *out = b.filled<int>(64);

    if (!a.done() || !b.done())
        return false;
    LAUNCH(b, copy_of, 1, 64, 0, b.stream, 64, x, out);
    a.check(cudaFreeAsync(x, a.stream));
    return a.done() && b.holds(out, 64, [](size_t) { return 0; });
}

/* Memory is used on a stream before the allocation on another stream has run. */
static bool used_before_its_allocation()
{
    bench a, b;
    int *x = a.fresh<int>(64);

    b.check(cudaMemsetAsync(x, 0, 64 * sizeof(int), b.stream));
    bool right = b.holds(x, 64, [](size_t) { return 0; });
    return a.done() && right;
}

static bool products_that_share_a_workspace()
{
    bench a, b;
    float *x = a.filled<float>(64), *y = a.filled<float>(64), *z = a.filled<float>(64);
    char *workspace = a.filled<char>(4096);
    float one = 1, zero = 0;
    cublasHandle_t h[2];
    cudaStream_t streams[2] = { a.stream, b.stream };

    if (!a.done())
        return false;
    for (int i = 0; i < 2; i++)
        if (cublasCreate_v2(&h[i]) || cublasSetStream_v2(h[i], streams[i]) ||
            cublasSetWorkspace_v2(h[i], workspace, 4096) ||
            cublasSgemm_v2(h[i], CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 8, &one, x, 8, x, 8, &zero,
                           i ? y : z, 8))
            return false;
    return a.done() && b.done();
}

const emu_case emu_wrong_streams[] = {
    { "missing event wait", EMU_WRONG, EMU_FOUND, "race: ", missing_event_wait },
    { "early event", EMU_WRONG, EMU_FOUND, "race: ", early_event },
    { "missing synchronisation", EMU_WRONG, EMU_WRONG, "", missing_synchronisation },
    { "buffer written too early", EMU_WRONG, EMU_WRONG, "", buffer_written_too_early },
    { "freed under another stream", EMU_WRONG, EMU_FOUND, "", freed_under_another_stream },
    { "used before its allocation", EMU_WRONG, EMU_FOUND, "", used_before_its_allocation },
    { "products that share a workspace", EMU_RIGHT, EMU_FOUND, "race: cuBLAS's workspace",
      products_that_share_a_workspace },
    { NULL, EMU_RIGHT, EMU_RIGHT, NULL, NULL }
};

/* SPDX-License-Identifier: MIT */
/* gemm.cu - matrix products by cuBLAS. cuBLAS is column-major, so it computes C^T = B^T A^T, with
 * the operands swapped.
 *
 * Each device has one handle with its own workspace; TF32 is off. The handle is set to the stream
 * of all kernels or to the stream of a capture. Its products never run at the same time, because
 * graphs are replayed on the stream of all kernels. */
#include "cuda/cuda.h"
#include "cuda/device.h"

#include <mutex>

#include <cublas_v2.h>
#include <stdio.h>

static const char *const gemm_slot = "gemm";

struct product_handle {
    cublasHandle_t handle; /* NULL until the first product */
    cudaStream_t stream;   /* the stream to which the handle is set */
    void *workspace;
    size_t bytes;
};

static std::mutex handle_lock; /* a handle serves one thread at a time */
static product_handle handles[CTI_PLUGIN_DEVICES];

static bool check_blas(cublasStatus_t status)
{
    char what[40];

    if (status == CUBLAS_STATUS_SUCCESS)
        return true;
    snprintf(what, sizeof what, "cuBLAS fails (status %d)", (int)status);
    cu_raise(status == CUBLAS_STATUS_ALLOC_FAILED ? CT_ERR_MEMORY : CT_ERR_DEVICE, gemm_slot, what);
    return false;
}

/* The size of the workspace in bytes. cuBLAS advises more from compute capability 9 on. */
static size_t workspace_bytes()
{
    int device = 0, major = 0;

    if (!cu_check(cudaGetDevice(&device), gemm_slot) ||
        !cu_check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
                  gemm_slot))
        return 0;
    return (size_t)(major >= 9 ? 32 : 4) << 20;
}

/* Sets the stream of the handle. cuBLAS then drops the workspace, so it is set again. */
static bool handle_move(product_handle *h, cudaStream_t stream)
{
    if (h->stream == stream)
        return true;
    h->stream = NULL;
    if (!check_blas(cublasSetStream(h->handle, stream)) ||
        !check_blas(cublasSetWorkspace(h->handle, h->workspace, h->bytes)))
        return false;
    h->stream = stream;
    return true;
}

/* Creates the handle. False with an error raised. The handle keeps the workspace until the process
 * ends. */
static bool handle_make(product_handle *h)
{
    product_handle made = { NULL, NULL, NULL, workspace_bytes() };

    made.workspace = made.bytes ? cu_allocate(made.bytes) : NULL;
    if (!made.workspace) {
        cu_raise(CT_ERR_MEMORY, gemm_slot, "no memory for the workspace of cuBLAS");
        return false;
    }
    if (check_blas(cublasCreate(&made.handle))) {
        if (handle_move(&made, cu_stream()) &&
            check_blas(cublasSetMathMode(made.handle, CUBLAS_DEFAULT_MATH))) {
            *h = made;
            return true;
        }
        check_blas(cublasDestroy(made.handle));
    }
    cu_release(made.workspace, made.bytes);
    return false;
}

/* Returns the handle of the current device, set to this thread's stream; NULL with an error
 * raised. */
static cublasHandle_t handle_get()
{
    int number = 0;

    if (!cu_ready(gemm_slot) || !cu_check(cudaGetDevice(&number), gemm_slot))
        return NULL;
    product_handle *h = &handles[number];

    if (!h->handle && !handle_make(h))
        return NULL;
    return handle_move(h, cu_stream()) ? h->handle : NULL;
}

static cublasStatus_t gemm_f32(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                               const cti_gemm *g)
{
    const float *a = static_cast<const float *>(g->a), *b = static_cast<const float *>(g->b);
    float *c = static_cast<float *>(g->c), alpha = (float)g->alpha, beta = (float)g->beta;
    int m = (int)g->m, n = (int)g->n, k = (int)g->k;

    if (g->batch == 1)
        return cublasSgemm(handle, tb, ta, n, m, k, &alpha, b, (int)g->ldb, a, (int)g->lda, &beta,
                           c, (int)g->ldc);
    return cublasSgemmStridedBatched(handle, tb, ta, n, m, k, &alpha, b, (int)g->ldb, g->b_step, a,
                                     (int)g->lda, g->a_step, &beta, c, (int)g->ldc, g->c_step,
                                     (int)g->batch);
}

static cublasStatus_t gemm_f64(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                               const cti_gemm *g)
{
    const double *a = static_cast<const double *>(g->a), *b = static_cast<const double *>(g->b);
    double *c = static_cast<double *>(g->c);
    int m = (int)g->m, n = (int)g->n, k = (int)g->k;

    if (g->batch == 1)
        return cublasDgemm(handle, tb, ta, n, m, k, &g->alpha, b, (int)g->ldb, a, (int)g->lda,
                           &g->beta, c, (int)g->ldc);
    return cublasDgemmStridedBatched(handle, tb, ta, n, m, k, &g->alpha, b, (int)g->ldb, g->b_step,
                                     a, (int)g->lda, g->a_step, &g->beta, c, (int)g->ldc, g->c_step,
                                     (int)g->batch);
}

/* ---- C = beta C, for k = 0; every row of C = bias ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    gemm_scale(int64_t batch, int64_t m, int64_t n, int64_t ldc, int64_t c_step, double beta, T *c)
{
    int64_t i;

    for (i = cu_thread(); i < batch * m * n; i += cu_threads()) {
        int64_t row = i, column = cu_split(&row, n), matrix = row;
        T *at;

        row = cu_split(&matrix, m);
        at = c + matrix * c_step + row * ldc + column;
        *at = beta == 0 ? T(0) : static_cast<T>(beta) * *at;
    }
}

template <typename T> static void gemm_start_scale(const cti_gemm *g)
{
    cu_run(gemm_slot, gemm_scale<T>, cu_blocks(g->batch * g->m * g->n, CU_BLOCK), CU_BLOCK,
           g->batch, g->m, g->n, g->ldc, g->c_step, g->beta, static_cast<T *>(g->c));
}

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    gemm_bias(int64_t m, int64_t n, int64_t ldc, const T *bias, T *c)
{
    int64_t i;

    for (i = cu_thread(); i < m * n; i += cu_threads()) {
        int64_t row = i, column = cu_split(&row, n);

        c[row * ldc + column] = bias[column];
    }
}

template <typename T> static void gemm_start_bias(const cti_gemm *g)
{
    cu_run(gemm_slot, gemm_bias<T>, cu_blocks(g->m * g->n, CU_BLOCK), CU_BLOCK, g->m, g->n, g->ldc,
           static_cast<const T *>(g->bias), static_cast<T *>(g->c));
}

bool cu_refuses_bf16(bool bf16, const char *what)
{
    if (bf16)
        cu_raise(CT_ERR_ARGUMENT, what,
                 "this device cannot multiply in bf16 (ct_set_matmul_precision)");
    return bf16;
}

/* C = alpha A B + beta C, k > 0 */
static void gemm_multiply(const cti_gemm *g)
{
    cublasOperation_t ta = g->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t tb = g->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    std::lock_guard<std::mutex> guard(handle_lock);
    cublasHandle_t handle = handle_get();

    if (!handle)
        return;
    cu_count_launch();
    check_blas(g->dtype == CT_F64 ? gemm_f64(handle, ta, tb, g) : gemm_f32(handle, ta, tb, g));
}

void cu_gemm(const cti_gemm *g)
{
    bool f64 = g->dtype == CT_F64;
    cti_gemm on = *g;

    if (cu_refuses_bf16(g->bf16, gemm_slot) || g->m == 0 || g->n == 0 || g->batch == 0)
        return;
    if (g->bias) {
        f64 ? gemm_start_bias<double>(g) : gemm_start_bias<float>(g);
        on.beta = 1;
    }
    if (g->k > 0)
        gemm_multiply(&on);
    else if (!g->bias)
        f64 ? gemm_start_scale<double>(g) : gemm_start_scale<float>(g);
}

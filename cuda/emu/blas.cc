/* SPDX-License-Identifier: MIT */
/* blas.cc - cuBLAS: handles, workspaces and matrix products, with the semantics of the library.
 *
 * Matrices are column-major. alpha and beta are read from the host at the call. C is not read if
 * beta is 0. Arguments are checked in the library's order. Sums run over k in order, in the type of
 * the computation; real cuBLAS sums in another order. A product may overwrite the workspace of its
 * handle, so products on two streams that share a workspace are a race. */
#include "cuda/emu/internal.h"

#include <cuda_bf16.h>

#include <algorithm>

using namespace emu;

typedef std::lock_guard<std::recursive_mutex> guard;

struct cublasContext {
    cudaStream_t stream;
    void *workspace;
    size_t workspace_bytes;
    cublasMath_t math;
};

namespace
{

std::vector<cublasHandle_t> &handles = *new std::vector<cublasHandle_t>;

bool is_handle(cublasHandle_t h)
{
    return std::find(handles.begin(), handles.end(), h) != handles.end();
}

#define ENTER(h, failure)                                                                          \
    guard g_(lock);                                                                                \
    if (fails())                                                                                   \
        return failure;                                                                            \
    if (standing() != cudaSuccess)                                                                 \
        return CUBLAS_STATUS_EXECUTION_FAILED;                                                     \
    if (!is_handle(h))                                                                             \
        return CUBLAS_STATUS_NOT_INITIALIZED;

struct product {
    cublasOperation_t trans_a, trans_b;
    int64_t m, n, k, batch;
    double alpha, beta;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc, a_step, b_step, c_step; /* in elements */
    cudaDataType a_type, c_type;
    void *workspace;
    size_t workspace_bytes;
};

size_t size_of(cudaDataType type)
{
    return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}

/* TF32 keeps 10 bits of the fraction. */
float rounded_to_tf32(float x)
{
    unsigned bits = __float_as_uint(x);

    return (bits & 0x7f800000u) == 0x7f800000u ? x : __uint_as_float((bits + 0x1000u) & ~0x1fffu);
}

template <typename T> struct load {
    static T at(const void *p, int64_t i)
    {
        return static_cast<const T *>(p)[i];
    }
};
struct load_bf16 {
    static float at(const void *p, int64_t i)
    {
        return __bfloat162float(static_cast<const __nv_bfloat16 *>(p)[i]);
    }
};
struct load_tf32 {
    static float at(const void *p, int64_t i)
    {
        return rounded_to_tf32(static_cast<const float *>(p)[i]);
    }
};

/* Computes one column of C at a time and keeps its sums in a row of accumulators. */
template <typename T, typename Load>
void multiply(const product &p, const void *a, const void *b, void *c)
{
    std::vector<T> sums(static_cast<size_t>(p.m)), left(static_cast<size_t>(p.m * p.k));

    for (int64_t l = 0; l < p.k; l++) /* A (m, k), untransposed */
        for (int64_t i = 0; i < p.m; i++)
            left[static_cast<size_t>(l * p.m + i)] =
                Load::at(a, p.trans_a == CUBLAS_OP_N ? l * p.lda + i : i * p.lda + l);
    for (int64_t j = 0; j < p.n; j++) {
        std::fill(sums.begin(), sums.end(), T(0));
        for (int64_t l = 0; l < p.k; l++) {
            T factor = Load::at(b, p.trans_b == CUBLAS_OP_N ? j * p.ldb + l : l * p.ldb + j);
            const T *column = left.data() + l * p.m;
            for (int64_t i = 0; i < p.m; i++)
                sums[static_cast<size_t>(i)] += column[i] * factor;
        }
        for (int64_t i = 0; i < p.m; i++) {
            T sum = static_cast<T>(p.alpha) * sums[static_cast<size_t>(i)];
            int64_t at = j * p.ldc + i;
            if (p.c_type == CUDA_R_16BF) {
                __nv_bfloat16 *to = static_cast<__nv_bfloat16 *>(c) + at;
                if (p.beta != 0)
                    sum += static_cast<T>(p.beta) * static_cast<T>(__bfloat162float(*to));
                *to = __float2bfloat16(static_cast<float>(sum));
            } else {
                T *to = static_cast<T *>(c) + at;
                *to = p.beta != 0 ? sum + static_cast<T>(p.beta) * *to : sum;
            }
        }
    }
}

/* Reports the columns of a matrix to the checker. False if they are not all in live memory. */
bool touch(const char *what, const void *matrix, cudaDataType type, int64_t rows, int64_t columns,
           int64_t leading, bool read, bool write)
{
    size_t size = size_of(type);
    const char *c = static_cast<const char *>(matrix);

    if (!rows || !columns)
        return true;
    if (!check_range(what, c, static_cast<size_t>((columns - 1) * leading + rows) * size, write))
        return false;
    for (int64_t j = 0; checking && j < columns; j++) {
        const char *column = c + static_cast<size_t>(j * leading) * size;
        if (read)
            check_bulk(what, column, static_cast<size_t>(rows) * size, BULK_READ);
        if (write)
            check_bulk(what, column, static_cast<size_t>(rows) * size, BULK_WRITE);
    }
    return true;
}

const void *step(const void *p, cudaDataType type, int64_t elements)
{
    return static_cast<const char *>(p) + elements * static_cast<int64_t>(size_of(type));
}

void run_product(const product &p, bool tf32)
{
    bool reads = p.k && p.alpha != 0;

    counters.gemms++;
    if (p.workspace_bytes) { /* overwrites the first bytes of the workspace, whatever its size */
        size_t used = std::min<size_t>(p.workspace_bytes, 1024);
        if (!check_range("cuBLAS's workspace", p.workspace, p.workspace_bytes, true))
            return;
        check_bulk("cuBLAS's workspace", p.workspace, used, BULK_WRITE);
        fill_poison(p.workspace, used, POISON_FRESH);
    }
    for (int64_t i = 0; i < p.batch; i++) {
        const void *a = step(p.a, p.a_type, i * p.a_step), *b = step(p.b, p.a_type, i * p.b_step);
        void *c = const_cast<void *>(step(p.c, p.c_type, i * p.c_step));
        bool plain_a = p.trans_a == CUBLAS_OP_N, plain_b = p.trans_b == CUBLAS_OP_N;
        product one = p;

        if (reads && (!touch("a matrix product (A)", a, p.a_type, plain_a ? p.m : p.k,
                             plain_a ? p.k : p.m, p.lda, true, false) ||
                      !touch("a matrix product (B)", b, p.a_type, plain_b ? p.k : p.n,
                             plain_b ? p.n : p.k, p.ldb, true, false)))
            return;
        if (!touch("a matrix product (C)", c, p.c_type, p.m, p.n, p.ldc, p.beta != 0, true))
            return;
        one.k = reads ? p.k : 0;
        if (p.a_type == CUDA_R_64F)
            multiply<double, load<double>>(one, a, b, c);
        else if (p.a_type == CUDA_R_16BF)
            multiply<float, load_bf16>(one, a, b, c);
        else if (tf32)
            multiply<float, load_tf32>(one, a, b, c);
        else
            multiply<float, load<float>>(one, a, b, c);
    }
}

cublasStatus_t enqueue_product(cublasHandle_t h, product p, bool tf32)
{
    int64_t a_rows = p.trans_a == CUBLAS_OP_N ? p.m : p.k;
    int64_t b_rows = p.trans_b == CUBLAS_OP_N ? p.k : p.n;

    for (cublasOperation_t t : { p.trans_a, p.trans_b })
        if (t != CUBLAS_OP_N && t != CUBLAS_OP_T && t != CUBLAS_OP_C)
            return CUBLAS_STATUS_INVALID_VALUE;
    if (p.m < 0 || p.n < 0 || p.k < 0 || p.batch < 0 || p.lda < std::max<int64_t>(1, a_rows) ||
        p.ldb < std::max<int64_t>(1, b_rows) || p.ldc < std::max<int64_t>(1, p.m))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!p.m || !p.n || !p.batch)
        return CUBLAS_STATUS_SUCCESS;
    stream *s = stream_of(h->stream);
    if (!s)
        return CUBLAS_STATUS_EXECUTION_FAILED;
    p.workspace = h->workspace;
    p.workspace_bytes = h->workspace_bytes;
    if (!p.workspace_bytes) {
        report(cudaErrorInvalidValue,
               "cuBLAS: a matrix product without a workspace of its own (cublasSetStream takes it "
               "away)");
        return CUBLAS_STATUS_EXECUTION_FAILED;
    }
    enqueue(s, [p, tf32] { run_product(p, tf32); });
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace

/* ---- handles ------------------------------------------------------------------------------- */

cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value)
{
    *value = type == MAJOR_VERSION   ? CUBLAS_VER_MAJOR
             : type == MINOR_VERSION ? CUBLAS_VER_MINOR
                                     : CUBLAS_VER_PATCH;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *out)
{
    guard g(lock);

    *out = NULL;
    if (fails())
        return CUBLAS_STATUS_ALLOC_FAILED;
    if (standing() != cudaSuccess)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *out = new cublasContext();
    handles.push_back(*out);
    counters.alive++;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t h)
{
    guard g(lock);

    if (destruction_fails())
        return CUBLAS_STATUS_INTERNAL_ERROR;
    if (!is_handle(h))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handles.erase(std::find(handles.begin(), handles.end(), h));
    counters.alive--;
    delete h;
    return CUBLAS_STATUS_SUCCESS;
}

/* Drops the workspace, as the library does. */
cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t s)
{
    ENTER(h, CUBLAS_STATUS_INTERNAL_ERROR)
    h->stream = s;
    h->workspace = NULL;
    h->workspace_bytes = 0;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t h, void *workspace, size_t bytes)
{
    ENTER(h, CUBLAS_STATUS_INTERNAL_ERROR)
    if (reinterpret_cast<uintptr_t>(workspace) % 256)
        return CUBLAS_STATUS_INVALID_VALUE;
    h->workspace = workspace;
    h->workspace_bytes = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t mode)
{
    ENTER(h, CUBLAS_STATUS_INTERNAL_ERROR)
    int known = CUBLAS_TF32_TENSOR_OP_MATH | CUBLAS_PEDANTIC_MATH |
                CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    if (mode & ~known)
        return CUBLAS_STATUS_INVALID_VALUE;
    h->math = mode;
    return CUBLAS_STATUS_SUCCESS;
}

/* The device mode is not supported. */
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t h, cublasPointerMode_t mode)
{
    ENTER(h, CUBLAS_STATUS_INTERNAL_ERROR)
    return mode == CUBLAS_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* ---- products ------------------------------------------------------------------------------ */

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta,
                                         cublasOperation_t tb, int m, int n, int k,
                                         const float *alpha, const float *a, int lda,
                                         long long a_step, const float *b, int ldb,
                                         long long b_step, const float *beta, float *c, int ldc,
                                         long long c_step, int batch)
{
    ENTER(h, CUBLAS_STATUS_EXECUTION_FAILED)
    return enqueue_product(h, { ta,     tb,     m,      n,          k,          batch, *alpha,
                                *beta,  a,      b,      c,          lda,        ldb,   ldc,
                                a_step, b_step, c_step, CUDA_R_32F, CUDA_R_32F, NULL,  0 },
                           h->math & CUBLAS_TF32_TENSOR_OP_MATH);
}

cublasStatus_t cublasDgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta,
                                         cublasOperation_t tb, int m, int n, int k,
                                         const double *alpha, const double *a, int lda,
                                         long long a_step, const double *b, int ldb,
                                         long long b_step, const double *beta, double *c, int ldc,
                                         long long c_step, int batch)
{
    ENTER(h, CUBLAS_STATUS_EXECUTION_FAILED)
    return enqueue_product(h, { ta,     tb,     m,      n,          k,          batch, *alpha,
                                *beta,  a,      b,      c,          lda,        ldb,   ldc,
                                a_step, b_step, c_step, CUDA_R_64F, CUDA_R_64F, NULL,  0 },
                           false);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
                              int n, int k, const float *alpha, const float *a, int lda,
                              const float *b, int ldb, const float *beta, float *c, int ldc)
{
    return cublasSgemmStridedBatched(h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc,
                                     0, 1);
}

cublasStatus_t cublasDgemm_v2(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
                              int n, int k, const double *alpha, const double *a, int lda,
                              const double *b, int ldb, const double *beta, double *c, int ldc)
{
    return cublasDgemmStridedBatched(h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc,
                                     0, 1);
}

/* For f32, and for bf16 with f32 sums. alpha and beta are f32. */
cublasStatus_t cublasGemmStridedBatchedEx(
    cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const void *alpha, const void *a, cudaDataType a_type, int lda, long long a_step, const void *b,
    cudaDataType b_type, int ldb, long long b_step, const void *beta, void *c, cudaDataType c_type,
    int ldc, long long c_step, int batch, cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    ENTER(h, CUBLAS_STATUS_EXECUTION_FAILED)
    bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    bool types =
        a_type == b_type &&
        ((a_type == CUDA_R_32F && c_type == CUDA_R_32F) ||
         (a_type == CUDA_R_16BF && !tf32 && (c_type == CUDA_R_32F || c_type == CUDA_R_16BF)));

    (void)algorithm;
    if (!types || (compute != CUBLAS_COMPUTE_32F && !tf32))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return enqueue_product(h,
                           { ta,
                             tb,
                             m,
                             n,
                             k,
                             batch,
                             *static_cast<const float *>(alpha),
                             *static_cast<const float *>(beta),
                             a,
                             b,
                             c,
                             lda,
                             ldb,
                             ldc,
                             a_step,
                             b_step,
                             c_step,
                             a_type,
                             c_type,
                             NULL,
                             0 },
                           tf32 || (a_type == CUDA_R_32F && h->math & CUBLAS_TF32_TENSOR_OP_MATH));
}

cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
                            int n, int k, const void *alpha, const void *a, cudaDataType a_type,
                            int lda, const void *b, cudaDataType b_type, int ldb, const void *beta,
                            void *c, cudaDataType c_type, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t algorithm)
{
    return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb,
                                      0, beta, c, c_type, ldc, 0, 1, compute, algorithm);
}

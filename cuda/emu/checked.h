/* SPDX-License-Identifier: MIT */
/* checked.h - the functions of the CUDA runtime and of cuBLAS that cuda/ may call. (internal)
 *
 * NVIDIA's headers declare them. They are declared again here with a result that must be used, so
 * that an unchecked error does not compile (-Werror=unused-result; a cast to void does not help). A
 * function that is not listed here is not defined in this folder, so the module does not link. */
#ifndef COTANGENT_CUDA_EMU_CHECKED_H
#define COTANGENT_CUDA_EMU_CHECKED_H

#include <cublas_v2.h>
#include <cuda_runtime.h>

/* Uses a pointer, which gives the function's type without its default arguments. */
template <typename F> struct emu_function;
template <typename R, typename... A> struct emu_function<R (*)(A...)> {
    typedef R type(A...);
};

#define EMU_CHECKED(name)                                                                          \
    extern emu_function<decltype(&name)>::type name __attribute__((warn_unused_result))
#define EMU_OVERLOADED(name, ...)                                                                  \
    extern emu_function<decltype(static_cast<__VA_ARGS__>(name))>::type name                       \
        __attribute__((warn_unused_result))

extern "C" {
EMU_CHECKED(cudaGetDeviceCount);
EMU_CHECKED(cudaSetDevice);
EMU_CHECKED(cudaGetDevice);
EMU_CHECKED(cudaDeviceGetAttribute);
EMU_CHECKED(cudaDeviceSynchronize);
EMU_CHECKED(cudaDriverGetVersion);
EMU_CHECKED(cudaRuntimeGetVersion);
EMU_CHECKED(cudaMemGetInfo);
EMU_CHECKED(cudaDeviceGetDefaultMemPool);
EMU_CHECKED(cudaMemPoolSetAttribute);
EMU_CHECKED(cudaMemPoolTrimTo);

EMU_OVERLOADED(cudaMallocAsync, cudaError_t (*)(void **, size_t, cudaStream_t));
EMU_CHECKED(cudaFreeAsync);
EMU_OVERLOADED(cudaHostAlloc, cudaError_t (*)(void **, size_t, unsigned));
EMU_CHECKED(cudaFreeHost);
EMU_CHECKED(cudaMemcpyAsync);
EMU_CHECKED(cudaMemcpy2DAsync);
EMU_CHECKED(cudaMemsetAsync);

EMU_CHECKED(cudaStreamCreateWithFlags);
EMU_CHECKED(cudaStreamDestroy);
EMU_CHECKED(cudaStreamSynchronize);
EMU_CHECKED(cudaStreamQuery);
EMU_CHECKED(cudaStreamWaitEvent);
EMU_CHECKED(cudaEventCreateWithFlags);
EMU_CHECKED(cudaEventDestroy);
EMU_CHECKED(cudaEventRecord);
EMU_CHECKED(cudaEventSynchronize);
EMU_CHECKED(cudaEventQuery);
EMU_CHECKED(cudaEventElapsedTime);
EMU_CHECKED(cudaLaunchHostFunc);

EMU_CHECKED(cudaStreamBeginCapture);
EMU_CHECKED(cudaStreamEndCapture);
EMU_CHECKED(cudaStreamIsCapturing);
EMU_OVERLOADED(cudaGraphInstantiate,
               cudaError_t (*)(cudaGraphExec_t *, cudaGraph_t, unsigned long long));
EMU_CHECKED(cudaGraphLaunch);
EMU_CHECKED(cudaGraphDestroy);
EMU_CHECKED(cudaGraphExecDestroy);

EMU_CHECKED(cublasCreate_v2);
EMU_CHECKED(cublasDestroy_v2);
EMU_CHECKED(cublasSetStream_v2);
EMU_CHECKED(cublasSetWorkspace_v2);
EMU_CHECKED(cublasSetMathMode);
EMU_CHECKED(cublasSetPointerMode_v2);
EMU_CHECKED(cublasSgemm_v2);
EMU_CHECKED(cublasDgemm_v2);
EMU_CHECKED(cublasSgemmStridedBatched);
EMU_CHECKED(cublasDgemmStridedBatched);
EMU_OVERLOADED(cublasGemmEx,
               cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int,
                                  int, const void *, const void *, cudaDataType, int, const void *,
                                  cudaDataType, int, const void *, void *, cudaDataType, int,
                                  cublasComputeType_t, cublasGemmAlgo_t));
EMU_OVERLOADED(cublasGemmStridedBatchedEx,
               cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int,
                                  int, const void *, const void *, cudaDataType, int, long long,
                                  const void *, cudaDataType, int, long long, const void *, void *,
                                  cudaDataType, int, long long, int, cublasComputeType_t,
                                  cublasGemmAlgo_t));
}
#undef EMU_CHECKED
#undef EMU_OVERLOADED

#endif

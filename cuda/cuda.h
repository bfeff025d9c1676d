/* SPDX-License-Identifier: MIT */
/* cuda.h - the plug-in's slots, streams and memory, and how kernels are launched. (internal)
 *
 * tensor/backend.h lists and describes the slots. The function of slot NAME is cu_NAME, in the file
 * of its family. All kernels of a device go through one stream, in the order of the calls, except
 * those that a thread records into a graph. */
#ifndef COTANGENT_CUDA_CUDA_H
#define COTANGENT_CUDA_CUDA_H

#include "cuda/launch.h"

#include "tensor/backend.h"

/* The size of an element in bytes. */
inline size_t cu_size_of(ct_dtype dtype)
{
    switch (dtype) {
#define CU_SIZE(name, type, ...)                                                                   \
    case CT_##name:                                                                                \
        return sizeof(type);
        CTI_DTYPES(CU_SIZE)
#undef CU_SIZE
    }
    return 0;
}

/* ---- backend.cu ---- */

/* The stream of all kernels; while this thread captures a step, the stream that records it. */
cudaStream_t cu_stream();

/* Raises an error and returns false if the current device could not be started. */
bool cu_ready(const char *slot);

/* True for cudaSuccess. Otherwise raises the error with the slot's name and returns false. */
bool cu_check(cudaError_t error, const char *slot);
void cu_raise(ct_status status, const char *slot, const char *what);

/* Counts a launch that is not made by cu_run: a routine of cuBLAS. */
void cu_count_launch();

/* Memory that is valid until the stream reaches its release; NULL with an error raised. */
void *cu_scratch(size_t bytes, const char *slot);
void cu_scratch_free(void *p);

/* The calling thread's fault word, in device memory. */
unsigned long long *cu_fault_word();

/* The number of blocks for n threads in blocks of `block` threads. Kernels use grid strides, so any
 * number is correct. On the emulated GPU it is small: more blocks would only take time, and with
 * few blocks tests of a thousand elements cover the grid strides. */
#ifdef __CUDACC__
#define CU_MOST_BLOCKS (1 << 20)
#else
#define CU_MOST_BLOCKS 2
#endif

inline int64_t cu_blocks(int64_t n, int block)
{
    int64_t blocks = (n + block - 1) / block;

    return blocks < CU_MOST_BLOCKS ? blocks : CU_MOST_BLOCKS;
}

/* Launches a kernel on the stream; does nothing for 0 blocks. */
template <typename... P, typename... A>
void cu_run(const char *slot, void (*kernel)(P...), int64_t blocks, int threads, A... args)
{
    if (blocks <= 0 || !cu_ready(slot))
        return;
    cu_count_launch();
    cu_check(
        cu_launch(kernel, dim3((unsigned)blocks), dim3((unsigned)threads), 0, cu_stream(), args...),
        slot);
}

/* ---- the slots: cu_fill, ... ---- */

#define CU_PROTOTYPE(result, name, parameters) result cu_##name parameters;
CTI_SLOTS(CU_PROTOTYPE)
#undef CU_PROTOTYPE

/* ---- gemm.cu ---- */

bool cu_refuses_bf16(bool bf16, const char *what); /* true, with an error raised, if bf16 is true */

#endif

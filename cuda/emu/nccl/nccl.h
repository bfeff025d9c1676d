/* SPDX-License-Identifier: MIT */
/* nccl.h - the part of NCCL's interface that the library uses, for the emulated GPU. (internal)
 *
 * The names and the numbers are those of NCCL 2. cuda/emu/nccl.cc has the functions. */
#ifndef COTANGENT_CUDA_EMU_NCCL_NCCL_H
#define COTANGENT_CUDA_EMU_NCCL_NCCL_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NCCL_UNIQUE_ID_BYTES 128

typedef struct ncclComm *ncclComm_t;

typedef struct {
    char internal[NCCL_UNIQUE_ID_BYTES];
} ncclUniqueId;

typedef enum {
    ncclSuccess = 0,
    ncclUnhandledCudaError = 1,
    ncclSystemError = 2,
    ncclInternalError = 3,
    ncclInvalidArgument = 4,
    ncclInvalidUsage = 5,
    ncclRemoteError = 6,
    ncclInProgress = 7
} ncclResult_t;

typedef enum { ncclChar = 0, ncclInt = 2, ncclFloat = 7, ncclDouble = 8 } ncclDataType_t;

#define NCCL_FUNCTION __attribute__((visibility("default")))

NCCL_FUNCTION ncclResult_t ncclGetVersion(int *version);
NCCL_FUNCTION const char *ncclGetErrorString(ncclResult_t result);
NCCL_FUNCTION ncclResult_t ncclGetUniqueId(ncclUniqueId *id);
NCCL_FUNCTION ncclResult_t ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank);
NCCL_FUNCTION ncclResult_t ncclCommDestroy(ncclComm_t comm);
NCCL_FUNCTION ncclResult_t ncclCommAbort(ncclComm_t comm);
NCCL_FUNCTION ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result);
NCCL_FUNCTION ncclResult_t ncclGroupStart(void);
NCCL_FUNCTION ncclResult_t ncclGroupEnd(void);
NCCL_FUNCTION ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer,
                                    ncclComm_t comm, cudaStream_t stream);
NCCL_FUNCTION ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer,
                                    ncclComm_t comm, cudaStream_t stream);
NCCL_FUNCTION ncclResult_t ncclAllGather(const void *own, void *all, size_t count,
                                         ncclDataType_t type, ncclComm_t comm, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif

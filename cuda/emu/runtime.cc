/* SPDX-License-Identifier: MIT */
/* runtime.cc - the CUDA runtime's functions of devices, errors, memory and copies. */
#include "cuda/emu/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace emu
{
thread_local int current_device;
}

using namespace emu;

typedef std::lock_guard<std::recursive_mutex> guard;

namespace
{

thread_local cudaError_t last_error;

int device_count()
{
    static const int count = static_cast<int>(setting("COTANGENT_EMU_DEVICES", 1));

    return count < 0 ? 0 : count > 8 ? 8 : count;
}

/* The CUDA version of the driver; 0: there is no driver. */
int driver()
{
    static const int version = static_cast<int>(setting("COTANGENT_EMU_DRIVER", CUDART_VERSION));

    return version;
}

cudaError_t failed(cudaError_t error)
{
    if (error != cudaSuccess && error != cudaErrorNotReady)
        last_error = error;
    return error;
}

} // namespace

#define ENTER(failure)                                                                             \
    guard g_(lock);                                                                                \
    if (fails())                                                                                   \
        return failed(failure);                                                                    \
    if (standing() != cudaSuccess)                                                                 \
        return failed(standing());

#define STREAM(name, handle)                                                                       \
    stream *name = stream_of(handle);                                                              \
    if (!name)                                                                                     \
        return failed(cudaErrorInvalidResourceHandle);

/* ---- devices ------------------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *count)
{
    guard g(lock);

    *count = 0;
    if (fails())
        return failed(cudaErrorUnknown);
    if (driver() < CUDART_VERSION)
        return failed(cudaErrorInsufficientDriver);
    if (!device_count())
        return failed(cudaErrorNoDevice);
    *count = device_count();
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    ENTER(cudaErrorUnknown)
    if (device < 0 || device >= device_count())
        return failed(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    ENTER(cudaErrorUnknown)
    *device = current_device;
    return cudaSuccess;
}

/* Returns the values of a recent GPU. */
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    ENTER(cudaErrorUnknown)
    static const struct {
        cudaDeviceAttr attribute;
        int value;
    } all[] = { { cudaDevAttrMaxThreadsPerBlock, 1024 },
                { cudaDevAttrMaxSharedMemoryPerBlock, 48 << 10 },
                { cudaDevAttrWarpSize, 32 },
                { cudaDevAttrMultiProcessorCount, 4 },
                { cudaDevAttrMaxThreadsPerMultiProcessor, 2048 },
                { cudaDevAttrComputeCapabilityMajor, 9 },
                { cudaDevAttrComputeCapabilityMinor, 0 },
                { cudaDevAttrMemoryPoolsSupported, 1 },
                { cudaDevAttrUnifiedAddressing, 1 },
                { cudaDevAttrMaxGridDimX, 0x7fffffff },
                { cudaDevAttrMaxGridDimY, 65535 },
                { cudaDevAttrMaxGridDimZ, 65535 } };

    if (device < 0 || device >= device_count())
        return failed(cudaErrorInvalidDevice);
    for (const auto &one : all)
        if (one.attribute == attribute) {
            *value = one.value;
            return cudaSuccess;
        }
    return failed(cudaErrorInvalidValue);
}

/* The name is that of COTANGENT_EMU_NAME, so that tests have different GPUs. The number of the process
 * is part of the identity, because each process has its own emulated GPUs. */
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    ENTER(cudaErrorUnknown)
    const char *name = getenv("COTANGENT_EMU_NAME");
    const unsigned process = static_cast<unsigned>(getpid());

    if (device < 0 || device >= device_count())
        return failed(cudaErrorInvalidDevice);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", name && *name ? name : "emulated GPU");
    p->major = 9;
    p->multiProcessorCount = 4;
    p->warpSize = 32;
    memcpy(p->uuid.bytes, &process, sizeof process);
    p->uuid.bytes[sizeof process] = static_cast<char>(device);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    ENTER(cudaErrorUnknown)
    *version = driver();
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    ENTER(cudaErrorUnknown)
    *version = CUDART_VERSION;
    return cudaSuccess;
}

/* ---- errors -------------------------------------------------------------------------------- */

cudaError_t cudaGetLastError(void)
{
    guard g(lock);
    cudaError_t error = standing() != cudaSuccess ? standing() : last_error;

    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    guard g(lock);

    return standing() != cudaSuccess ? standing() : last_error;
}

static const struct {
    cudaError_t error;
    const char *name, *text;
} error_texts[] = {
#define E(name, text) { name, #name, text },
    E(cudaSuccess, "no error") E(cudaErrorInvalidValue,
                                 "invalid argument") E(cudaErrorMemoryAllocation, "out of memory")
        E(cudaErrorInvalidConfiguration, "invalid configuration argument") E(
            cudaErrorInsufficientDriver,
            "CUDA driver version is insufficient for CUDA runtime version")
            E(cudaErrorNoDevice, "no CUDA-capable device is detected") E(cudaErrorInvalidDevice,
                                                                         "invalid device ordinal")
                E(cudaErrorInvalidResourceHandle, "invalid resource handle") E(
                    cudaErrorIllegalState,
                    "the operation cannot be performed in the present state") E(cudaErrorNotReady,
                                                                                "device not ready")
                    E(cudaErrorIllegalAddress, "an illegal memory access was encountered") E(
                        cudaErrorLaunchOutOfResources, "too many resources requested for launch")
                        E(cudaErrorMisalignedAddress, "misaligned address") E(
                            cudaErrorLaunchFailure, "unspecified launch failure")
                            E(cudaErrorNotSupported, "operation not supported") E(
                                cudaErrorStreamCaptureUnsupported,
                                "operation not permitted when stream is capturing")
                                E(cudaErrorStreamCaptureInvalidated,
                                  "operation failed due to a previous error during capture")
                                    E(cudaErrorStreamCaptureMerge,
                                      "operation would result in a merge of separate captures")
                                        E(cudaErrorStreamCaptureUnmatched,
                                          "capture was not ended in the same stream as it began")
                                            E(cudaErrorStreamCaptureUnjoined,
                                              "capturing stream has unjoined work")
                                                E(cudaErrorStreamCaptureIsolation,
                                                  "dependency created on uncaptured work in "
                                                  "another stream")
                                                    E(cudaErrorStreamCaptureWrongThread,
                                                      "attempt to end a capture of another thread")
                                                        E(cudaErrorUnknown, "unknown error")
#undef E
};

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &one : error_texts)
        if (one.error == error)
            return one.text;
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &one : error_texts)
        if (one.error == error)
            return one.name;
    return "unrecognized error code";
}

/* ---- memory -------------------------------------------------------------------------------- */

/* The pool has no settings here, because freed memory is always kept. */
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device)
{
    ENTER(cudaErrorUnknown)
    static char pools[8];
    if (device < 0 || device >= device_count())
        return failed(cudaErrorInvalidDevice);
    *pool = reinterpret_cast<cudaMemPool_t>(&pools[device]);
    return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void *value)
{
    ENTER(cudaErrorUnknown)
    (void)pool;
    return failed(attribute == cudaMemPoolAttrReleaseThreshold && value ? cudaSuccess
                                                                        : cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t keep)
{
    ENTER(cudaErrorUnknown)
    (void)pool;
    (void)keep;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total)
{
    ENTER(cudaErrorUnknown)
    size_t used;

    memory_info(current_device, &used, total);
    *left = *total - used;
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t handle)
{
    ENTER(cudaErrorMemoryAllocation)
    STREAM(s, handle)
    *out = NULL;
    if (!bytes)
        return cudaSuccess;
    allocation *a = reserve(bytes, device_of(s));
    if (!a)
        return failed(cudaErrorMemoryAllocation);
    if (recorded_by(s))
        keep_with(recorded_by(s), a);
    else
        counters.buffers++;
    *out = a->data;
    enqueue(s, [a] { live_now(a); });
    return cudaSuccess;
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t handle)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, handle)
    if (!p)
        return cudaSuccess;
    allocation *a = find(p);
    if (!a || a->data != p || a->freeing) {
        report(cudaErrorInvalidValue, a && a->data == p
                                          ? "use after free: memory is freed twice"
                                          : "free: this is no allocation of the device");
        return failed(cudaErrorInvalidValue);
    }
    a->freeing = !recorded_by(s);
    counters.buffers -= a->freeing;
    enqueue(s, [a] { freed_now(a); });
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
    ENTER(cudaErrorMemoryAllocation)
    (void)flags;
    *out = NULL;
    if (any_recording())
        return failed(cudaErrorStreamCaptureUnsupported);
    *out = pin(bytes);
    return failed(*out ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *p)
{
    ENTER(cudaErrorUnknown)
    if (!p)
        return cudaSuccess;
    if (any_recording())
        return failed(cudaErrorStreamCaptureUnsupported);
    wait_for_all(); /* the real runtime does this, too */
    if (!unpin(p)) {
        report(cudaErrorInvalidValue, "free: this is no pinned memory");
        return failed(cudaErrorInvalidValue);
    }
    return standing();
}

/* ---- copies -------------------------------------------------------------------------------- */

namespace
{

/* Copies rows of `width` bytes of 2-d arrays. A plain copy has one row. */
struct copy {
    char *to;
    const char *from;
    size_t to_pitch, from_pitch, width, height;

    size_t to_span() const
    {
        return (height - 1) * to_pitch + width;
    }
    size_t from_span() const
    {
        return (height - 1) * from_pitch + width;
    }
};

void run_copy(const copy &c, cudaMemcpyKind kind)
{
    bool from_device = kind != cudaMemcpyHostToDevice, to_device = kind != cudaMemcpyDeviceToHost;
    uint64_t bytes = c.width * c.height;

    if ((from_device && !check_range("cudaMemcpyAsync", c.from, c.from_span(), false)) ||
        (to_device && !check_range("cudaMemcpyAsync", c.to, c.to_span(), true)))
        return;
    for (size_t i = 0; i < c.height; i++) {
        char *to = c.to + i * c.to_pitch;
        const char *from = c.from + i * c.from_pitch;
        if (from_device)
            check_bulk("cudaMemcpyAsync", from, c.width, to_device ? BULK_COPY : BULK_READ);
        if (to_device)
            check_bulk("cudaMemcpyAsync", to, c.width, BULK_WRITE);
        memmove(to, from, c.width);
        if (from_device && to_device)
            check_copied(to, from, c.width);
    }
    counters.copies++;
    (kind == cudaMemcpyHostToDevice   ? counters.host_to_device
     : kind == cudaMemcpyDeviceToHost ? counters.device_to_host
                                      : counters.device_to_device) += bytes;
}

cudaError_t enqueue_copy(copy c, cudaMemcpyKind kind, stream *s)
{
    bool from_device = kind != cudaMemcpyHostToDevice, to_device = kind != cudaMemcpyDeviceToHost;

    if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToHost &&
        kind != cudaMemcpyDeviceToDevice)
        return failed(cudaErrorInvalidValue);
    if (!c.width || !c.height)
        return cudaSuccess;
    if (c.width > c.to_pitch || c.width > c.from_pitch)
        return failed(cudaErrorInvalidValue);
    if (from_device != in_arena(c.from) || to_device != in_arena(c.to)) {
        report(cudaErrorInvalidValue,
               "host pointer: cudaMemcpyAsync's kind does not fit its pointers");
        return failed(cudaErrorInvalidValue);
    }
    bool pageable = (!from_device && !is_pinned(c.from, c.from_span())) ||
                    (!to_device && !is_pinned(c.to, c.to_span()));
    if (pageable && recorded_by(s)) {
        report(cudaErrorStreamCaptureUnsupported, "capture: a copy of memory that is not pinned");
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    /* the bytes are staged, so the host may change its memory at once */
    if (pageable && to_device) {
        auto staged = std::make_shared<std::vector<char>>(c.from, c.from + c.from_span());
        c.from = staged->data();
        enqueue(s, [c, kind, staged] { run_copy(c, kind); });
        return cudaSuccess;
    }
    enqueue(s, [c, kind] { run_copy(c, kind); });
    if (pageable)
        wait_for(s);
    return failed(standing());
}

} // namespace

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, handle)
    return enqueue_copy(
        { static_cast<char *>(to), static_cast<const char *>(from), bytes, bytes, bytes, 1 }, kind,
        s);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t handle)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, handle)
    return enqueue_copy({ static_cast<char *>(to), static_cast<const char *>(from), to_pitch,
                          from_pitch, width, height },
                        kind, s);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t handle)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, handle)
    enqueue(s, [p, value, bytes] {
        if (!bytes || !check_range("cudaMemsetAsync", p, bytes, true))
            return;
        check_bulk("cudaMemsetAsync", p, bytes, BULK_WRITE);
        memset(p, value, bytes);
        counters.copies++;
    });
    return cudaSuccess;
}

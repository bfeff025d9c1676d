/* SPDX-License-Identifier: MIT */
/* backend.cu - the plug-in: its exported function, its devices, their queues and memory.
 *
 * A device has two streams for the whole process. One runs all kernels, so that a buffer may pass
 * from thread to thread and be reused without waiting. The other runs copies ahead. Bytes from the
 * host are first copied to a ring of pinned memory, so that the host need not wait for the upload.
 * A quarter of the ring is reused when an event reports that its copies are done.
 *
 * A thread that captures a step records it on a separate stream, so that the graph never contains
 * the work of another thread. The graph is replayed on the stream of all kernels.
 *
 * Each living thread has a fault word on each device that it uses. */
#include "cuda/cuda.h"

#include <cublas_v2.h>

#include <atomic>
#include <mutex>
#include <vector>

#include <stdio.h>
#include <string.h>

#ifdef __CUDACC__
#define NAME "cuda"
#else
#define NAME "cuda-emu"
#endif

#define FAULT_WORDS 64 /* the number of fault words in a chunk */
#define QUARTER ((size_t)1 << 20)

static const cti_host *host;

/* The pinned memory for the uploads of a stream. Its quarters are used in turn. */
struct ring {
    char *base;
    size_t at;
    cudaEvent_t done[4]; /* recorded after the last copy from each quarter */
    bool used[4];
};

/* Fault words on the device and their copies in pinned memory of the host; either a chunk of
 * FAULT_WORDS or the word of one thread. Chunks stay until the process ends, because graphs and
 * queued kernels have pointers to the words. */
struct fault_words {
    unsigned long long *word, *seen;
};

struct device {
    bool tried, ready;
    cudaStream_t stream[2]; /* the streams, indexed by cti_queue */
    ring staging[2];
    std::mutex lock;                 /* guards the rings */
    std::vector<fault_words> faults; /* chunk i serves the slots from i * FAULT_WORDS on */
    std::vector<cudaStream_t> idle;  /* idle streams for captures */
    std::atomic<uint64_t> launches, synchronisations, uploads, downloads, upload_bytes,
        download_bytes, allocations;
};

static device devices[CTI_PLUGIN_DEVICES];
static device no_device;       /* the current device after a failure; its `ready` is false */
static std::mutex device_lock; /* guards tried, ready, faults and idle of devices, and the slots */

/* The slots of running threads. The object is never destroyed, because a thread may end after the
 * process's destructors have begun. */
static std::vector<bool> &slots = *new std::vector<bool>;

/* The number of a thread among the running ones. It is freed when the thread ends. */
struct thread_slot {
    size_t number;

    thread_slot();
    ~thread_slot();
};

static thread_local device *current;
static thread_local fault_words my_words[CTI_PLUGIN_DEVICES]; /* NULL until the first use */
static thread_local fault_words mine; /* the fault word on the current device */
/* the device of the step that this thread is recording; NULL if none */
static thread_local device *captured;
static thread_local cudaStream_t capture_stream;

/* ---- errors ---- */

bool cu_check(cudaError_t error, const char *slot)
{
    if (error == cudaSuccess)
        return true;
    host->raise(error == cudaErrorMemoryAllocation ? CT_ERR_MEMORY : CT_ERR_DEVICE, slot,
                NAME ": %s (%s)", cudaGetErrorString(error), cudaGetErrorName(error));
    return false;
}

void cu_raise(ct_status status, const char *slot, const char *what)
{
    host->raise(status, slot, NAME ": %s", what);
}

/* ---- devices ---- */

/* The streams of a device. They stay until the process ends. */
static bool device_start(device *d)
{
    int i;

    for (i = 0; i < 2; i++)
        if (!cu_check(cudaStreamCreateWithFlags(&d->stream[i], cudaStreamNonBlocking), "start"))
            return false;
    return true;
}

thread_slot::thread_slot()
{
    std::lock_guard<std::mutex> guard(device_lock);

    for (number = 0; number < slots.size() && slots[number];)
        number++;
    if (number == slots.size())
        slots.push_back(true);
    slots[number] = true;
}

thread_slot::~thread_slot()
{
    std::lock_guard<std::mutex> guard(device_lock);

    slots[number] = false;
}

/* Adds a chunk of fault words. The caller holds device_lock. */
static bool faults_grow(device *d)
{
    size_t bytes = FAULT_WORDS * sizeof(unsigned long long);
    void *word = NULL, *seen = NULL;

    if (!cu_check(cudaMallocAsync(&word, bytes, d->stream[CTI_COMPUTE]), "select"))
        return false;
    if (!cu_check(cudaHostAlloc(&seen, bytes, cudaHostAllocDefault), "select")) {
        cu_check(cudaFreeAsync(word, d->stream[CTI_COMPUTE]), "select");
        return false;
    }
    d->faults.push_back(
        { static_cast<unsigned long long *>(word), static_cast<unsigned long long *>(seen) });
    return true;
}

/* Gives this thread a fault word on d and clears it, because a thread that has ended may have left
 * a fault in it. The clearing is queued on the stream, after the kernels of that thread. */
static bool faults_meet(device *d, fault_words *words)
{
    static thread_local thread_slot slot;
    fault_words chunk;
    {
        std::lock_guard<std::mutex> guard(device_lock);

        while (d->faults.size() <= slot.number / FAULT_WORDS)
            if (!faults_grow(d))
                return false;
        chunk = d->faults[slot.number / FAULT_WORDS];
    }
    chunk.seen += slot.number % FAULT_WORDS;
    chunk.word += slot.number % FAULT_WORDS;
    if (!cu_check(cudaMemsetAsync(chunk.word, 0xff, sizeof *chunk.word, d->stream[CTI_COMPUTE]),
                  "select"))
        return false;
    *words = chunk;
    return true;
}

void cu_select(int ordinal)
{
    device *d = &devices[ordinal];

    if (d == current)
        return;
    current = &no_device;
    mine = { NULL, NULL };
    if (!cu_check(cudaSetDevice(ordinal), "select"))
        return;
    {
        std::lock_guard<std::mutex> guard(device_lock);

        if (!d->tried) {
            d->tried = true;
            d->ready = device_start(d);
        }
        if (!d->ready)
            return;
    }
    if (!my_words[ordinal].word && !faults_meet(d, &my_words[ordinal]))
        return;
    mine = my_words[ordinal];
    current = d;
}

bool cu_ready(const char *slot)
{
    if (!current->ready)
        cu_raise(CT_ERR_DEVICE, slot, "the device could not be started");
    return current->ready;
}

cudaStream_t cu_stream()
{
    return current == captured ? capture_stream : current->stream[CTI_COMPUTE];
}

unsigned long long *cu_fault_word()
{
    return mine.word;
}

void cu_count_launch()
{
    current->launches++;
}

/* ---- memory ---- */

void *cu_allocate(size_t bytes)
{
    void *p = NULL;

    if (!current->ready)
        return NULL;
    cudaError_t error = cudaMallocAsync(&p, bytes ? bytes : 1, current->stream[CTI_COMPUTE]);

    current->allocations++;
    if (error == cudaErrorMemoryAllocation)
        return NULL;
    return cu_check(error, "allocate") ? p : NULL;
}

void cu_release(void *data, size_t bytes)
{
    (void)bytes;
    if (cu_ready("release"))
        cu_check(cudaFreeAsync(data, current->stream[CTI_COMPUTE]), "release");
}

void *cu_scratch(size_t bytes, const char *slot)
{
    void *p = NULL;

    if (!cu_ready(slot))
        return NULL;
    return cu_check(cudaMallocAsync(&p, bytes ? bytes : 1, cu_stream()), slot) ? p : NULL;
}

void cu_scratch_free(void *p)
{
    if (p)
        cu_check(cudaFreeAsync(p, cu_stream()), "release");
}

/* ---- from and to the host ---- */

static bool wait_for(cudaStream_t stream, const char *slot)
{
    current->synchronisations++;
    return cu_check(cudaStreamSynchronize(stream), slot);
}

static bool ring_make(ring *r)
{
    void *base = NULL;
    int i;

    for (i = 0; i < 4; i++)
        if (!r->done[i] &&
            !cu_check(cudaEventCreateWithFlags(&r->done[i], cudaEventDisableTiming), "upload"))
            return false;
    if (!cu_check(cudaHostAlloc(&base, 4 * QUARTER, cudaHostAllocDefault), "upload"))
        return false;
    r->base = (char *)base;
    return true;
}

/* Copies the bytes that fit into the rest of the quarter. Returns their number; 0 after an
 * error. */
static size_t ring_push(ring *r, cudaStream_t stream, char *to, const char *from, size_t bytes)
{
    size_t quarter = r->at / QUARTER, room = QUARTER - r->at % QUARTER;
    size_t n = bytes < room ? bytes : room;

    if (r->at % QUARTER == 0 && r->used[quarter]) {
        cudaError_t state = cudaEventQuery(r->done[quarter]);

        if (state == cudaErrorNotReady) {
            current->synchronisations++;
            state = cudaEventSynchronize(r->done[quarter]);
        }
        if (!cu_check(state, "upload"))
            return 0;
    }
    memcpy(r->base + r->at, from, n);
    if (!cu_check(cudaMemcpyAsync(to, r->base + r->at, n, cudaMemcpyHostToDevice, stream),
                  "upload"))
        return 0;
    r->at = (r->at + n + 15) / 16 * 16 % (4 * QUARTER);
    if (r->at % QUARTER == 0) {
        if (!cu_check(cudaEventRecord(r->done[quarter], stream), "upload"))
            return 0;
        r->used[quarter] = true;
    }
    return n;
}

static void upload_by(cti_queue queue, void *to, const void *from, size_t bytes)
{
    device *d = current;
    ring *r = &d->staging[queue];
    char *at = (char *)to;
    const char *source = (const char *)from;

    if (!cu_ready("upload"))
        return;
    d->uploads++;
    d->upload_bytes += bytes;
    std::lock_guard<std::mutex> guard(d->lock);

    if (d == captured) { /* a replay would copy the contents that the ring has at that time */
        cu_raise(CT_ERR_DEVICE, "upload", "a captured step may not take data from the host");
        return;
    }
    if (!r->base && !ring_make(r))
        return;
    while (bytes) {
        size_t n = ring_push(r, d->stream[queue], at, source, bytes);

        if (!n)
            return;
        at += n;
        source += n;
        bytes -= n;
    }
}

void cu_upload(void *to, const void *from, size_t bytes)
{
    upload_by(CTI_COMPUTE, to, from, bytes);
}

static void upload_ahead(void *to, const void *from, size_t bytes)
{
    upload_by(CTI_COPIES, to, from, bytes);
}

/* Waits for the stream of kernels. The copy of this thread's fault word is queued in the same
 * stream, so it has arrived by then. */
static ct_status wait_and_see(cti_fault *fault, const char *slot)
{
    unsigned long long *word = mine.seen, found;

    if (!cu_ready(slot))
        return CT_OK;
    if (current == captured) {
        cu_raise(CT_ERR_DEVICE, slot, "a captured step may not read the device");
        return CT_OK;
    }
    if (!cu_check(cudaMemcpyAsync(word, cu_fault_word(), sizeof *word, cudaMemcpyDeviceToHost,
                                  cu_stream()),
                  slot) ||
        !wait_for(cu_stream(), slot))
        return CT_OK; /* the error has been raised */
    found = *word;
    if (found == ~0ull)
        return CT_OK;
    cu_check(cudaMemsetAsync(cu_fault_word(), 0xff, sizeof *word, cu_stream()), slot);
    fault->ticket = (uint32_t)(found >> 32);
    fault->position = (int64_t)(found & 0xffffffff);
    return CT_ERR_INDEX;
}

ct_status cu_download(void *to, const void *data, size_t bytes, cti_fault *fault)
{
    current->downloads++;
    current->download_bytes += bytes;
    memset(to, 0, bytes); /* so that the caller never reads undefined bytes */
    if (current->ready && current != captured &&
        !cu_check(cudaMemcpyAsync(to, data, bytes, cudaMemcpyDeviceToHost, cu_stream()),
                  "download"))
        return CT_OK;
    return wait_and_see(fault, "download");
}

static ct_status synchronise(cti_fault *fault)
{
    ct_status status = wait_and_see(fault, "synchronise");

    if (current->ready)
        wait_for(current->stream[CTI_COPIES], "synchronise");
    return status;
}

/* ---- events ---- */

static void *event_new(void)
{
    cudaEvent_t event = NULL;

    return cu_check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event") ? event
                                                                                       : NULL;
}

static void event_free(void *event)
{
    if (event)
        cu_check(cudaEventDestroy((cudaEvent_t)event), "event");
}

static cudaStream_t stream_of(cti_queue queue)
{
    return queue == CTI_COMPUTE ? cu_stream() : current->stream[queue];
}

static void event_record(void *event, cti_queue queue)
{
    if (cu_ready("event"))
        cu_check(cudaEventRecord((cudaEvent_t)event, stream_of(queue)), "event");
}

static void event_wait(void *event, cti_queue queue)
{
    if (cu_ready("event"))
        cu_check(cudaStreamWaitEvent(stream_of(queue), (cudaEvent_t)event, 0), "event");
}

/* ---- captured steps ---- */

/* Returns a stream for one capture; NULL with an error raised. */
static cudaStream_t capture_stream_take(device *d)
{
    std::lock_guard<std::mutex> guard(device_lock);
    cudaStream_t stream = NULL;

    if (d->idle.empty()) {
        cu_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "capture");
    } else {
        stream = d->idle.back();
        d->idle.pop_back();
    }
    return stream;
}

static void capture_stream_give(device *d, cudaStream_t stream)
{
    std::lock_guard<std::mutex> guard(device_lock);

    d->idle.push_back(stream);
}

static bool capture_begin(void)
{
    cudaStream_t stream = cu_ready("capture") ? capture_stream_take(current) : NULL;

    if (!stream)
        return false;
    if (!cu_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture")) {
        capture_stream_give(current, stream);
        return false;
    }
    captured = current;
    capture_stream = stream;
    return true;
}

/* Returns the graph for replay; NULL with an error raised. */
static void *capture_end(void)
{
    cudaGraph_t noted = NULL;
    cudaGraphExec_t graph = NULL;
    device *d = captured;

    captured = NULL;
    if (cu_check(cudaStreamEndCapture(capture_stream, &noted), "capture"))
        cu_check(cudaGraphInstantiate(&graph, noted, 0ull), "capture");
    if (noted)
        cu_check(cudaGraphDestroy(noted), "capture");
    capture_stream_give(d, capture_stream);
    return graph;
}

static void replay(void *graph)
{
    if (!cu_ready("replay"))
        return;
    current->launches++;
    cu_check(cudaGraphLaunch((cudaGraphExec_t)graph, cu_stream()), "replay");
}

static void graph_free(void *graph)
{
    if (graph)
        cu_check(cudaGraphExecDestroy((cudaGraphExec_t)graph), "graph");
}

static void counters(cti_counters *c)
{
    const device *d = current;

    c->launches = d->launches;
    c->synchronisations = d->synchronisations;
    c->uploads = d->uploads;
    c->downloads = d->downloads;
    c->upload_bytes = d->upload_bytes;
    c->download_bytes = d->download_bytes;
    c->allocations = d->allocations;
}

/* ---- for other ranks, and for their library ---- */

static bool describe(cti_about *about)
{
    cudaDeviceProp p;
    int ordinal = 0, driver = 0, blas[3] = { 0, 0, 0 };
    size_t n = 0;

    memset(about, 0, sizeof *about);
    if (!cu_ready("describe") || !cu_check(cudaGetDevice(&ordinal), "describe") ||
        !cu_check(cudaGetDeviceProperties(&p, ordinal), "describe") ||
        !cu_check(cudaDriverGetVersion(&driver), "describe"))
        return false;
    for (int i = 0; i < 3; i++)
        if (cublasGetProperty(i == 0   ? MAJOR_VERSION
                              : i == 1 ? MINOR_VERSION
                                       : PATCH_LEVEL,
                              &blas[i]) != CUBLAS_STATUS_SUCCESS) {
            cu_raise(CT_ERR_DEVICE, "describe", "cuBLAS has no version");
            return false;
        }
    snprintf(about->model, sizeof about->model,
             "%.60s (%d.%d, %d multiprocessors), driver for CUDA %d.%d, cuBLAS %d.%d.%d", p.name,
             p.major, p.minor, p.multiProcessorCount, driver / 1000, driver % 1000 / 10, blas[0],
             blas[1], blas[2]);
    for (size_t i = 0; i < sizeof p.uuid.bytes; i++, n += 2)
        snprintf(about->place + n, 3, "%02x", (unsigned)(unsigned char)p.uuid.bytes[i]);
    return true;
}

static void *native_stream(void)
{
    return cu_ready("stream") ? cu_stream() : NULL;
}

static int event_done(void *event)
{
    cudaError_t state = cudaEventQuery((cudaEvent_t)event);

    if (state == cudaErrorNotReady)
        return 0;
    return cu_check(state, "event") ? 1 : -1;
}

/* ---- the tables ---- */

static cti_async make_async()
{
    cti_async a = {};

    a.synchronise = synchronise;
    a.event_new = event_new;
    a.event_free = event_free;
    a.event_record = event_record;
    a.event_wait = event_wait;
    a.upload_ahead = upload_ahead;
    a.capture_begin = capture_begin;
    a.capture_end = capture_end;
    a.replay = replay;
    a.graph_free = graph_free;
    a.counters = counters;
    a.describe = describe;
    a.stream = native_stream;
    a.event_done = event_done;
    return a;
}

static const cti_async async = make_async();

static cti_backend make_backend()
{
    cti_backend b = {};

    b.version = CTI_BACKEND_VERSION;
    b.size = sizeof b;
    b.name = NAME;
    b.async = &async;
#define CU_ENTRY(result, name, parameters) b.name = cu_##name;
    CTI_SLOTS(CU_ENTRY)
#undef CU_ENTRY
    return b;
}

static const cti_backend backend = make_backend();

/* Returns the number of GPUs. If it is 0, writes the reason to reason. */
static int count_devices(char *reason, size_t size)
{
    int count = 0, driver = 0;
    cudaError_t error = cudaGetDeviceCount(&count);

    if (error == cudaSuccess && count > 0)
        return count < CTI_PLUGIN_DEVICES ? count : CTI_PLUGIN_DEVICES;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
        snprintf(reason, size, "driver missing");
    else if (error == cudaErrorNoDevice || error == cudaSuccess)
        snprintf(reason, size, "the driver finds no GPU");
    else if (error == cudaErrorInsufficientDriver)
        snprintf(reason, size, "the driver is for CUDA %d.%d, and too old", driver / 1000,
                 driver % 1000 / 10);
    else
        snprintf(reason, size, "%s (%s)", cudaGetErrorString(error), cudaGetErrorName(error));
    return 0;
}

extern "C" __attribute__((visibility("default"))) bool cti_plugin_open(const cti_host *h,
                                                                       cti_plugin *plugin);

extern "C" bool cti_plugin_open(const cti_host *h, cti_plugin *plugin)
{
    if (h->version != CTI_BACKEND_VERSION || h->size != sizeof *h)
        return false;
    host = h;
    plugin->version = CTI_BACKEND_VERSION;
    plugin->size = sizeof *plugin;
    plugin->devices = count_devices(plugin->reason, sizeof plugin->reason);
    plugin->backend = &backend;
    return true;
}

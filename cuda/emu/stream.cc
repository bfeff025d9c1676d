/* SPDX-License-Identifier: MIT */
/* stream.cc - queues of work, events and graphs.
 *
 * Streams are lazy: work runs when the host waits for it, on the thread that waits. The order is
 * random, within the order that streams and events require, and depends on the seed. The seed
 * modulo 3 decides when work runs for which nothing waits: 1 as late as possible, 2 sometimes when
 * it is enqueued, 0 mostly at once. So a forgotten wait gives wrong data for some seeds. */
#include "cuda/emu/internal.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <thread>

namespace emu
{

context current;

struct stream {
    int device, lane;
    clock time;
    std::deque<op_ref> queue;
    graph *recording;
    std::vector<int> tails; /* the nodes that must precede the next recorded one */
};

struct event {
    op_ref record;
    graph *recorded; /* in a graph: the nodes before it */
    std::vector<int> tails;
};

struct node {
    std::function<void()> work;
    std::vector<int> after;
    int lane; /* -1: the lane of the stream that replays */
};

struct graph {
    std::vector<node> nodes;
    stream *origin;
    cudaStreamCaptureMode mode;
    std::thread::id thread; /* the thread that began the capture */
    bool broken;
    std::vector<stream *> joined;
    std::vector<allocation *> memory;
    int users; /* the number of references: the graph itself and its executables */
};

namespace
{

const size_t QUEUED_MOST = 2048;

std::vector<stream *> &streams = *new std::vector<stream *>;
std::vector<event *> &events = *new std::vector<event *>;
std::vector<graph *> &graphs = *new std::vector<graph *>;
uint32_t lane_count[LANES];
clock host_time;
size_t queued;

template <typename T> bool holds(const std::vector<T *> &all, const T *one)
{
    return std::find(all.begin(), all.end(), one) != all.end();
}

template <typename T> void drop(std::vector<T *> &all, const T *one)
{
    all.erase(std::remove(all.begin(), all.end(), one), all.end());
}

double now_ms()
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

bool ready(const stream *s)
{
    return !s->queue.empty() && (!s->queue.front()->after || s->queue.front()->after->done) &&
           (!s->queue.front()->gate || s->queue.front()->gate());
}

/* The stream whose work must run next before that of s can continue. NULL if that work waits for
 * another process. */
stream *needed(stream *s)
{
    while (!ready(s)) {
        const op_ref &first = s->queue.front();

        if (!first->after || first->after->done)
            return NULL;
        s = first->after->stream;
    }
    return s;
}

void run_next(stream *s)
{
    op_ref o = s->queue.front();

    s->queue.pop_front();
    queued--;
    s->time.join(o->host);
    if (o->after)
        s->time.join(o->after->time);
    s->time.at[s->lane] = ++lane_count[s->lane];
    if (o->work && standing() == cudaSuccess) {
        current = { s->lane, s->device, s->time };
        o->work();
        s->time.join(current.time);
    }
    o->work = nullptr;
    o->gate = nullptr;
    o->time = s->time;
    o->when = now_ms();
    o->done = true;
}

/* Runs one piece of work that is ready, of any stream. */
bool run_any()
{
    size_t n = 0;
    stream *chosen = NULL;

    for (stream *s : streams)
        if (ready(s) && random_below(++n) == 0)
            chosen = s;
    if (chosen)
        run_next(chosen);
    return chosen != NULL;
}

/* Runs work until `done`: the work that target needs, and perhaps other work. */
template <typename Done> void run_until(stream *target, Done done)
{
    bool others = random_below(2) != 0;

    if (done())
        return;
    open_memory();
    while (!done()) {
        stream *next = others ? NULL : needed(target);

        if (next)
            run_next(next);
        else if (!others || !run_any())
            usleep(50); /* the work waits for another process */
    }
    close_memory();
}

/* After an enqueue: runs some of the work, depending on the seed. */
void run_some()
{
    uint64_t eagerness = schedule_seed() % 3;

    if (queued > QUEUED_MOST) {
        open_memory();
        while (queued > QUEUED_MOST / 2 && run_any())
            ;
        close_memory();
    } else if ((eagerness == 0 && random_below(4)) || (eagerness == 2 && !random_below(8))) {
        open_memory();
        for (uint64_t n = eagerness == 0 ? queued : 1 + random_below(4); n && run_any(); n--)
            ;
        close_memory();
    }
}

op_ref add(stream *s, std::function<void()> work, op_ref after,
           std::function<bool()> gate = nullptr)
{
    op_ref o = std::make_shared<op>();

    o->gate = std::move(gate);
    o->work = std::move(work);
    o->after = std::move(after);
    o->stream = s;
    o->host = host_time;
    s->queue.push_back(o);
    queued++;
    run_some();
    return o;
}

void record_node(stream *s, std::function<void()> work)
{
    graph *g = s->recording;

    g->nodes.push_back({ std::move(work), s->tails, s == g->origin ? -1 : s->lane });
    s->tails.assign(1, static_cast<int>(g->nodes.size()) - 1);
}

void release(graph *g)
{
    if (--g->users)
        return;
    for (allocation *a : g->memory) {
        if (a->state == LIVE) {
            bool was_open = memory_is_open();
            open_memory();
            freed_now(a);
            if (!was_open)
                close_memory();
        }
        forget(a);
    }
    drop(graphs, g);
    counters.alive--;
    delete g;
}

int free_lane()
{
    for (int lane = 0; lane < LANES - 1; lane++)
        if (std::none_of(streams.begin(), streams.end(),
                         [lane](const stream *s) { return s->lane == lane; }))
            return lane;
    return LANES - 1;
}

/* All nodes of g, in an order that their edges allow. */
void run_graph(graph *g)
{
    context start = current;
    std::vector<clock> ends(g->nodes.size());
    std::vector<bool> done(g->nodes.size());
    clock end = start.time;

    counters.graphs++;
    for (size_t left = g->nodes.size(); left; left--) {
        size_t n = 0, chosen = 0;
        for (size_t i = 0; i < g->nodes.size(); i++) {
            const std::vector<int> &after = g->nodes[i].after;
            bool ready = std::all_of(after.begin(), after.end(),
                                     [&](int j) { return bool(done[static_cast<size_t>(j)]); });
            if (!done[i] && ready && random_below(++n) == 0)
                chosen = i;
        }
        node &next = g->nodes[chosen];
        clock time = start.time;
        for (int j : next.after)
            time.join(ends[static_cast<size_t>(j)]);
        /* separate lanes for the recording streams, so that parallel branches stay unordered */
        int lane = next.lane < 0 ? start.lane : next.lane;
        time.at[lane] = ++lane_count[lane];
        current = { lane, start.device, time };
        if (next.work && standing() == cudaSuccess)
            next.work();
        ends[chosen] = current.time;
        end.join(current.time);
        done[chosen] = true;
    }
    current = { start.lane, start.device, end };
}

cudaError_t unsupported_while_recording(graph *g)
{
    if (g)
        g->broken = true;
    return cudaErrorStreamCaptureUnsupported;
}

} // namespace

stream *stream_of(cudaStream_t handle)
{
    stream *s = reinterpret_cast<stream *>(handle);

    if (holds(streams, s))
        return s;
    report(cudaErrorInvalidResourceHandle,
           handle == NULL || handle == cudaStreamLegacy || handle == cudaStreamPerThread
               ? "default stream: work is for a stream of its own"
               : "stream: this is none, or it was destroyed");
    return NULL;
}

int device_of(const stream *s)
{
    return s->device;
}

graph *recorded_by(const stream *s)
{
    return s->recording;
}

bool any_recording()
{
    return std::any_of(streams.begin(), streams.end(), [](const stream *s) {
        const graph *g = s->recording;

        return g && (g->mode == cudaStreamCaptureModeGlobal ||
                     (g->mode == cudaStreamCaptureModeThreadLocal &&
                      g->thread == std::this_thread::get_id()));
    });
}

void keep_with(graph *g, allocation *a)
{
    a->of_graph = true;
    g->memory.push_back(a);
}

void enqueue(stream *s, std::function<void()> work)
{
    if (s->recording)
        record_node(s, std::move(work));
    else
        add(s, std::move(work), nullptr);
}

void enqueue_gated(stream *s, std::function<bool()> gate, std::function<void()> work)
{
    add(s, std::move(work), nullptr, std::move(gate));
}

void wait_for(stream *s)
{
    counters.synchronises++;
    run_until(s, [s] { return s->queue.empty(); });
    host_time.join(s->time);
}

void wait_for_all()
{
    for (stream *s : streams) {
        run_until(s, [s] { return s->queue.empty(); });
        host_time.join(s->time);
    }
}

void drop_work()
{
    for (stream *s : streams) {
        for (op_ref &o : s->queue) {
            o->work = nullptr;
            o->gate = nullptr;
            o->done = true;
        }
        s->queue.clear();
    }
    queued = 0;
}

} // namespace emu

/* ---- the runtime's functions --------------------------------------------------------------- */

using namespace emu;

typedef std::lock_guard<std::recursive_mutex> guard;

/* The checks with which every call begins. */
#define ENTER(failure)                                                                             \
    guard g_(lock);                                                                                \
    if (fails())                                                                                   \
        return failure;                                                                            \
    if (standing() != cudaSuccess)                                                                 \
        return standing();

#define STREAM(name, handle)                                                                       \
    stream *name = stream_of(handle);                                                              \
    if (!name)                                                                                     \
        return cudaErrorInvalidResourceHandle;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    ENTER(cudaErrorMemoryAllocation)
    /* other kinds of streams would synchronise with the default stream */
    if (flags != cudaStreamNonBlocking)
        return cudaErrorInvalidValue;
    stream *s = new stream();
    s->device = current_device;
    s->lane = free_lane();
    counters.alive++;
    streams.push_back(s);
    *out = reinterpret_cast<cudaStream_t>(s);
    return cudaSuccess;
}

/* Runs the queued work first. On a GPU the call returns at once, and queued work still runs
 * later. */
cudaError_t cudaStreamDestroy(cudaStream_t handle)
{
    guard g_(lock);
    if (destruction_fails())
        return cudaErrorUnknown;
    STREAM(s, handle)
    if (s->recording)
        return unsupported_while_recording(s->recording);
    run_until(s, [s] { return s->queue.empty(); });
    drop(streams, s);
    counters.alive--;
    delete s;
    return standing();
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, handle)
    if (s->recording)
        return unsupported_while_recording(s->recording);
    wait_for(s);
    check_all_redzones();
    return standing();
}

cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, handle)
    if (s->recording)
        return unsupported_while_recording(s->recording);
    if (!s->queue.empty() && random_below(2)) {
        if (stream *next = needed(s)) {
            open_memory();
            run_next(next);
            close_memory();
        }
    }
    if (!s->queue.empty())
        return cudaErrorNotReady;
    host_time.join(s->time);
    return standing();
}

cudaError_t cudaDeviceSynchronize(void)
{
    ENTER(cudaErrorUnknown)
    if (any_recording())
        return unsupported_while_recording(NULL);
    counters.synchronises++;
    for (stream *s : streams)
        if (s->device == current_device) {
            run_until(s, [s] { return s->queue.empty(); });
            host_time.join(s->time);
        }
    check_all_redzones();
    return standing();
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void *data)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, handle)
    enqueue(s, [function, data] {
        close_memory();
        function(data);
        open_memory();
    });
    return cudaSuccess;
}

/* ---- events -------------------------------------------------------------------------------- */

static event *event_of(cudaEvent_t handle)
{
    event *e = reinterpret_cast<event *>(handle);

    if (holds(events, e))
        return e;
    report(cudaErrorInvalidResourceHandle, "event: this is none, or it was destroyed");
    return NULL;
}

#define EVENT(name, handle)                                                                        \
    event *name = event_of(handle);                                                                \
    if (!name)                                                                                     \
        return cudaErrorInvalidResourceHandle;

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    ENTER(cudaErrorMemoryAllocation)
    (void)flags;
    event *e = new event();
    events.push_back(e);
    counters.alive++;
    *out = reinterpret_cast<cudaEvent_t>(e);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t handle)
{
    guard g_(lock);
    if (destruction_fails())
        return cudaErrorUnknown;
    EVENT(e, handle)
    drop(events, e);
    counters.alive--;
    delete e;
    return standing();
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle)
{
    ENTER(cudaErrorUnknown)
    EVENT(e, handle)
    STREAM(s, stream_handle)
    e->recorded = s->recording;
    e->tails = s->tails;
    e->record = s->recording ? nullptr : add(s, nullptr, nullptr);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t handle, unsigned flags)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, stream_handle)
    EVENT(e, handle)
    (void)flags;
    if (e->recorded) {
        if (s->recording && s->recording != e->recorded)
            return cudaErrorStreamCaptureMerge;
        if (!s->recording) {
            s->recording = e->recorded;
            s->tails.clear();
            e->recorded->joined.push_back(s);
        }
        s->tails.insert(s->tails.end(), e->tails.begin(), e->tails.end());
        return cudaSuccess;
    }
    if (s->recording)
        return cudaErrorStreamCaptureIsolation;
    if (e->record)
        add(s, nullptr, e->record);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle)
{
    ENTER(cudaErrorUnknown)
    EVENT(e, handle)
    if (e->recorded)
        return unsupported_while_recording(e->recorded);
    counters.synchronises++;
    if (e->record) {
        op_ref o = e->record;
        run_until(o->stream, [o] { return o->done; });
        host_time.join(o->time);
    }
    return standing();
}

cudaError_t cudaEventQuery(cudaEvent_t handle)
{
    ENTER(cudaErrorUnknown)
    EVENT(e, handle)
    if (e->recorded)
        return unsupported_while_recording(e->recorded);
    if (!e->record)
        return cudaSuccess;
    if (!e->record->done && random_below(2)) {
        if (stream *next = needed(e->record->stream)) {
            open_memory();
            run_next(next);
            close_memory();
        }
    }
    if (!e->record->done)
        return cudaErrorNotReady;
    host_time.join(e->record->time);
    return standing();
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t begin, cudaEvent_t end)
{
    ENTER(cudaErrorUnknown)
    EVENT(a, begin)
    EVENT(b, end)
    if (!a->record || !b->record)
        return cudaErrorInvalidResourceHandle;
    if (!a->record->done || !b->record->done)
        return cudaErrorNotReady;
    *ms = static_cast<float>(b->record->when - a->record->when);
    return cudaSuccess;
}

/* ---- graphs -------------------------------------------------------------------------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, handle)
    if (s->recording)
        return cudaErrorIllegalState;
    graph *g = new graph();
    g->origin = s;
    g->mode = mode;
    g->thread = std::this_thread::get_id();
    g->users = 1;
    graphs.push_back(g);
    counters.alive++;
    s->recording = g;
    s->tails.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *out)
{
    guard g_(lock);
    *out = NULL;
    STREAM(s, handle)
    graph *g = s->recording;
    if (!g)
        return cudaErrorIllegalState;
    if (g->origin != s)
        return cudaErrorStreamCaptureUnmatched;
    if (g->mode != cudaStreamCaptureModeRelaxed && g->thread != std::this_thread::get_id())
        return cudaErrorStreamCaptureWrongThread;

    /* all work that other streams recorded must precede the end of this stream's work */
    std::vector<bool> reached(g->nodes.size());
    std::vector<int> pending = s->tails;
    while (!pending.empty()) {
        size_t i = static_cast<size_t>(pending.back());
        pending.pop_back();
        if (!reached[i]) {
            reached[i] = true;
            pending.insert(pending.end(), g->nodes[i].after.begin(), g->nodes[i].after.end());
        }
    }
    bool joined = std::all_of(reached.begin(), reached.end(), [](bool r) { return r; });
    for (stream *other : g->joined)
        other->recording = NULL, other->tails.clear();
    s->recording = NULL;
    s->tails.clear();
    for (event *e : events)
        if (e->recorded == g)
            e->recorded = NULL, e->record = nullptr;
    bool broken = g->broken || standing() != cudaSuccess || fails();
    if (broken || !joined) {
        release(g);
        return broken ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined;
    }
    *out = reinterpret_cast<cudaGraph_t>(g);
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status)
{
    ENTER(cudaErrorUnknown)
    STREAM(s, handle)
    *status = !s->recording          ? cudaStreamCaptureStatusNone
              : s->recording->broken ? cudaStreamCaptureStatusInvalidated
                                     : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

static graph *graph_of(const void *handle)
{
    graph *g = static_cast<graph *>(const_cast<void *>(handle));

    if (holds(graphs, g))
        return g;
    report(cudaErrorInvalidResourceHandle, "graph: this is none, or it was destroyed");
    return NULL;
}

/* An executable graph is the graph itself, because its nodes do not change after recording. */
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t handle, unsigned long long flags)
{
    ENTER(cudaErrorMemoryAllocation)
    graph *g = graph_of(handle);
    (void)flags;
    if (!g)
        return cudaErrorInvalidResourceHandle;
    g->users++;
    *out = reinterpret_cast<cudaGraphExec_t>(g);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle)
{
    ENTER(cudaErrorLaunchFailure)
    STREAM(s, stream_handle)
    graph *g = graph_of(handle);
    if (!g)
        return cudaErrorInvalidResourceHandle;
    if (s->recording)
        return cudaErrorNotSupported;
    g->users++;
    std::shared_ptr<graph> use(g, release); /* keeps the graph until the work has run or was
                                             * dropped */
    enqueue(s, [use] { run_graph(use.get()); });
    return cudaSuccess;
}

static cudaError_t destroy_graph(const void *handle)
{
    guard g_(lock);
    if (destruction_fails())
        return cudaErrorUnknown;
    graph *g = graph_of(handle);
    if (!g)
        return cudaErrorInvalidResourceHandle;
    release(g);
    return standing();
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle)
{
    return destroy_graph(handle);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle)
{
    return destroy_graph(handle);
}

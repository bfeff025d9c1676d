/* SPDX-License-Identifier: MIT */
/* kernel.cc - runs the blocks and threads of a launch.
 *
 * Blocks run one after another, in a random order that depends on the seed. The threads of a block
 * take turns on fibers. In a round, each thread that can continue runs until it ends or waits; the
 * order is drawn again for each round. When a thread has ended, another one uses its fiber. When no
 * thread can continue, barriers and warps whose members have all arrived are released. If there are
 * none, the kernel is stuck; a report then lists where each thread waits. */
#include "cuda/emu/internal.h"

#include <stdarg.h>
#include <stdio.h>

#include <map>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_DISABLE_ERROR_REPORTING
#define VALGRIND_ENABLE_ERROR_REPORTING
#endif

/* In one object, so that the checker can recognise them by address. */
#define BUILTIN __attribute__((section("emu_builtins")))
BUILTIN uint3 threadIdx, blockIdx;
BUILTIN dim3 blockDim, gridDim;

namespace emu
{

thread_place here;

namespace
{

const unsigned THREADS_MOST = 1024, WARP = 32;
const size_t STATIC_MOST = 48 << 10, DYNAMIC_MOST = 227 << 10;
const size_t DYNAMIC_AT = 64 << 10; /* the offset of dynamic shared memory, after the variables */

enum thread_state { READY, AT_BARRIER, AT_WARP, DONE };

struct thread {
    fiber *on; /* NULL until the thread has begun */
    thread_state state;
    uint3 index;
    const char *file; /* the place where the thread waits */
    int line;
    emu_barrier barrier;
    emu_warp_op warp_op;
    unsigned mask;
    uint64_t value; /* the value that the thread passes, then the value that it receives */
    int source;
};

thread threads[THREADS_MOST];
unsigned thread_count;
/* the order of this round; the index of the next thread to run */
unsigned order[THREADS_MOST], order_count, turn;
unsigned current_thread;

const queued_launch *launch;
bool aborted;

struct variable {
    const void *key;
    size_t offset, bytes;
};

variable variables[64];
int variable_count;
size_t shared_used;
alignas(1024) char shared[SHARED_ROOM];

} // namespace

/* Returns the kernel's name. Called only for a report, because it runs another program. */
const char *kernel_name()
{
    static std::map<const void *, std::string> &names = *new std::map<const void *, std::string>;
    std::string &name = names[launch->launch.kernel];

    if (name.empty()) {
        name = place_of(launch->launch.kernel).function;
        if (name.empty())
            name = "kernel";
    }
    return name.c_str();
}

namespace
{

void report_launch(cudaError_t error, const char *text)
{
    const emu_launch &l = launch->launch;

    report(error, "%s, in %s launched at %s:%d", text, kernel_name(), l.stream.file, l.stream.line);
    aborted = true;
}

void stuck(const char *format, ...) __attribute__((format(printf, 1, 2)));
void stuck(const char *format, ...)
{
    char text[600];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    report_launch(cudaErrorLaunchFailure, text);
}

/* ---- threads on fibers --------------------------------------------------------------------- */

void become(unsigned t)
{
    current_thread = t;
    here.thread = t;
    threadIdx = threads[t].index;
}

/* Runs threads that have not begun, one after another, until one waits or all have begun. */
void fiber_body(void *)
{
    fiber *self = running_fiber();

    for (;;) {
        thread &t = threads[current_thread];
        t.on = self;
        launch->launch.run(const_cast<uint64_t *>(launch->call.data()));
        t.state = DONE;
        t.on = NULL;
        if (aborted || turn == order_count || threads[order[turn]].on)
            break;
        become(order[turn++]);
    }
    suspend();
}

/* Lists the threads that can continue, warp by warp. Some warps are left out, so that they fall
 * behind the others. */
bool draw_order()
{
    unsigned warps = (thread_count + WARP - 1) / WARP;
    permutation of_warps(warps), of_lanes(WARP);
    bool left_out = false;

    order_count = 0;
    for (unsigned w = 0; w < warps; w++) {
        unsigned first = static_cast<unsigned>(of_warps(w)) * WARP;
        bool leave = w > 0 && random_below(4) == 0;
        for (unsigned l = 0; l < WARP; l++) {
            unsigned t = first + static_cast<unsigned>(of_lanes(l));
            if (t >= thread_count || threads[t].state != READY)
                continue;
            left_out = left_out || leave;
            if (!leave)
                order[order_count++] = t;
        }
    }
    return left_out;
}

/* Resumes each thread of the order. True if some threads that could continue were left out. */
bool run_round()
{
    bool left_out = draw_order();

    for (turn = 0; turn < order_count && !aborted;) {
        unsigned t = order[turn++];
        fiber *f = threads[t].on;
        become(t);
        if (!f)
            f = take_fiber(fiber_body, NULL);
        resume(f);
        /* the fiber that returned may have begun threads after t */
        if (threads[current_thread].state == DONE)
            give_fiber(f);
    }
    return left_out;
}

/* ---- waiting ------------------------------------------------------------------------------- */

uint64_t wait_here(thread_state state, const char *file, int line)
{
    thread &t = threads[current_thread];

    t.state = state;
    t.file = file;
    t.line = line;
    suspend();
    return t.value;
}

bool release_barrier()
{
    thread *first = NULL;
    unsigned waiting = 0, predicates = 0, ended = 0;

    for (unsigned i = 0; i < thread_count; i++) {
        thread &t = threads[i];
        if (t.state == DONE) {
            ended = i;
            continue;
        }
        if (t.state != AT_BARRIER)
            return false;
        waiting++;
        predicates += t.value != 0;
        if (!first)
            first = &t;
        else if (t.line != first->line || t.barrier != first->barrier ||
                 strcmp(t.file, first->file)) {
            stuck("divergent barrier: thread %ld waits at %s:%d, thread %u at %s:%d",
                  static_cast<long>(first - threads), first->file, first->line, i, t.file, t.line);
            return false;
        }
    }
    if (waiting < thread_count) {
        stuck("divergent barrier: %u threads wait at %s:%d, thread %u has left the kernel", waiting,
              first->file, first->line, ended);
        return false;
    }
    here.epoch++;
    for (unsigned i = 0; i < thread_count; i++) {
        thread &t = threads[i];
        t.value = t.barrier == EMU_SYNC_COUNT ? predicates
                  : t.barrier == EMU_SYNC_AND ? predicates == thread_count
                  : t.barrier == EMU_SYNC_OR  ? predicates != 0
                                              : 0;
        t.state = READY;
    }
    return true;
}

/* Sets *come to those lanes of t's mask that have arrived with the same operation and mask. Lanes
 * that have left the kernel or do not exist are skipped. If a lane waits at another place, returns
 * false and sets *other to it. */
bool lanes_of(const thread &t, unsigned warp, unsigned *come, unsigned *other)
{
    *come = 0;
    for (unsigned lane = 0; lane < WARP; lane++) {
        unsigned i = warp * WARP + lane;
        if (!(t.mask >> lane & 1) || i >= thread_count || threads[i].state == DONE)
            continue;
        *other = i;
        if (threads[i].state != AT_WARP || threads[i].warp_op != t.warp_op ||
            threads[i].mask != t.mask)
            return false;
        *come |= 1u << lane;
    }
    return true;
}

void finish_warp_op(unsigned warp, const thread &first, unsigned come)
{
    uint64_t given[WARP] = {}, votes = 0;

    for (unsigned lane = 0; lane < WARP; lane++)
        if (come >> lane & 1) {
            given[lane] = threads[warp * WARP + lane].value;
            votes |= static_cast<uint64_t>(given[lane] != 0) << lane;
        }
    for (unsigned lane = 0; lane < WARP; lane++) {
        thread &t = threads[warp * WARP + lane];
        if (!(come >> lane & 1))
            continue;
        t.state = READY;
        if (first.warp_op == EMU_WARP_VOTE)
            t.value = votes;
        if (first.warp_op != EMU_WARP_SHUFFLE)
            continue;
        if (t.source < 0 || t.source >= static_cast<int>(WARP) || !(come >> t.source & 1)) {
            stuck("shuffle mask: at %s:%d thread %u reads lane %d, which is not in mask 0x%08x or "
                  "has left the kernel",
                  t.file, t.line, warp * WARP + lane, t.source, t.mask);
            return;
        }
        t.value = given[t.source];
    }
    check_warp_sync(warp, come);
}

bool release_warps()
{
    bool any = false;

    for (unsigned i = 0; i < thread_count && !aborted; i++) {
        thread &t = threads[i];
        unsigned come, other;
        if (t.state == AT_WARP && lanes_of(t, i / WARP, &come, &other)) {
            finish_warp_op(i / WARP, t, come);
            any = true;
        }
    }
    return any;
}

/* Called when no thread can continue. */
void report_stuck()
{
    for (unsigned i = 0; i < thread_count; i++) {
        thread &t = threads[i];
        unsigned come, other = 0;
        if (t.state != AT_WARP || lanes_of(t, i / WARP, &come, &other))
            continue;
        const thread &o = threads[other];
        if (o.state == AT_WARP)
            stuck("shuffle mask: thread %u waits at %s:%d with mask 0x%08x, thread %u at %s:%d "
                  "with 0x%08x",
                  i, t.file, t.line, t.mask, other, o.file, o.line, o.mask);
        else
            stuck("deadlock: thread %u waits at %s:%d for thread %u (mask 0x%08x), which waits at "
                  "the barrier of %s:%d",
                  i, t.file, t.line, other, t.mask, o.file, o.line);
        return;
    }
}

/* ---- blocks -------------------------------------------------------------------------------- */

void check_shared_gaps()
{
    for (int i = 0; i < variable_count && !aborted; i++) {
        const char *end = shared + variables[i].offset + variables[i].bytes;
        for (int j = 0; j < 4; j++)
            if (end[j] != static_cast<char>(POISON_REDZONE >> (8 * j))) {
                report_launch(cudaErrorIllegalAddress,
                              "out of bounds: the bytes after a shared variable were written");
                break;
            }
    }
}

void run_block(uint64_t block)
{
    const emu_launch &l = launch->launch;

    here.block = block;
    here.epoch = 0;
    blockIdx = uint3{ static_cast<unsigned>(block % l.grid.x),
                      static_cast<unsigned>(block / l.grid.x % l.grid.y),
                      static_cast<unsigned>(block / l.grid.x / l.grid.y) };
    variable_count = 0;
    shared_used = 0;
    fill_poison(shared + DYNAMIC_AT, l.shmem, POISON_SHARED);
    for (unsigned i = 0; i < thread_count; i++) {
        threads[i].state = READY;
        threads[i].on = NULL;
    }
    check_begin_block(thread_count);
    for (;;) {
        unsigned alive = 0;
        bool left_out = run_round();
        for (unsigned i = 0; i < thread_count; i++)
            alive += threads[i].state != DONE;
        if (!alive || aborted)
            break;
        if (release_warps() || aborted || left_out)
            continue;
        if (!release_barrier() && !aborted)
            report_stuck();
        if (aborted)
            break;
    }
    if (aborted)
        for (unsigned i = 0; i < thread_count; i++)
            if (threads[i].on && threads[i].state != DONE)
                give_fiber(threads[i].on);
    check_shared_gaps();
    check_end_block();
}

/* Checks the redzones of all memory to which an argument points. Arguments have gaps between them,
 * so not every word has been written. */
void check_edges()
{
    VALGRIND_DISABLE_ERROR_REPORTING;
    for (uint64_t word : launch->call)
        if (allocation *a = find(reinterpret_cast<const void *>(word)))
            if (a->state == LIVE)
                check_redzones(a, NULL);
    VALGRIND_ENABLE_ERROR_REPORTING;
}

} // namespace

/* ---- launches ------------------------------------------------------------------------------ */

/* The bytes before each function with __launch_bounds__. */
extern "C" const uintptr_t __start___patchable_function_entries[]
    __attribute__((weak, visibility("hidden")));
extern "C" const uintptr_t __stop___patchable_function_entries[]
    __attribute__((weak, visibility("hidden")));

/* Returns the most threads of a block for which the kernel was compiled; 0 if it has no bounds. The
 * bounds are stored as that many one-byte instructions without effect (on x86-64) before the
 * kernel. The compiler records where they begin. */
static uint64_t bounds_of(const void *kernel)
{
    uintptr_t at = reinterpret_cast<uintptr_t>(kernel), begin = 0;

#if defined(__x86_64__)
    for (const uintptr_t *p = __start___patchable_function_entries;
         p < __stop___patchable_function_entries; p++)
        if (*p <= at && *p > begin)
            begin = *p;
    for (uintptr_t i = begin; i < at; i++)
        if (*reinterpret_cast<const unsigned char *>(i) != 0x90)
            return 0; /* belongs to another function */
#endif
    return begin ? at - begin : 0;
}

/* True if the block has no more threads than the kernel was compiled for. */
static bool within_bounds(const emu_launch &l)
{
    uint64_t threads = static_cast<uint64_t>(l.block.x) * l.block.y * l.block.z;
    uint64_t bounds = bounds_of(l.kernel);

    if (bounds == 0 || threads <= bounds)
        return true;
    report(cudaErrorInvalidValue,
           "launch too large: a block of %llu threads, of a kernel of __launch_bounds__(%llu), at "
           "%s:%d",
           static_cast<unsigned long long>(threads), static_cast<unsigned long long>(bounds),
           l.stream.file, l.stream.line);
    return false;
}

cudaError_t check_launch(const emu_launch &l)
{
    const dim3 &g = l.grid, &b = l.block;
    bool fits = g.x >= 1 && g.y >= 1 && g.z >= 1 && g.x <= 0x7fffffffu && g.y <= 65535 &&
                g.z <= 65535 && b.x >= 1 && b.y >= 1 && b.z >= 1 && b.x <= 1024 && b.y <= 1024 &&
                b.z <= 64 && static_cast<uint64_t>(b.x) * b.y * b.z <= THREADS_MOST;

    if (fits && l.shmem <= STATIC_MOST)
        return within_bounds(l) ? cudaSuccess : standing();
    report(fits ? cudaErrorInvalidValue : cudaErrorInvalidConfiguration,
           "launch too large: %s:%d launches %u x %u x %u blocks of %u x %u x %u threads, %zu "
           "bytes of shared memory",
           l.stream.file, l.stream.line, g.x, g.y, g.z, b.x, b.y, b.z, l.shmem);
    return standing();
}

queued_launch::queued_launch(const emu_launch &l) : launch(l), call((l.call_bytes + 7) / 8)
{
    memcpy(call.data(), l.call, l.call_bytes);
    launch.call = NULL;
}

void run_launch(const queued_launch &l)
{
    uint64_t blocks = static_cast<uint64_t>(l.launch.grid.x) * l.launch.grid.y * l.launch.grid.z;
    permutation of_blocks(blocks);

    launch = &l;
    aborted = false;
    gridDim = l.launch.grid;
    blockDim = l.launch.block;
    thread_count = blockDim.x * blockDim.y * blockDim.z;
    for (unsigned i = 0; i < thread_count; i++)
        threads[i].index =
            uint3{ i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y };
    check_begin_launch(thread_count);
    for (uint64_t i = 0; i < blocks && !aborted; i++)
        run_block(of_blocks(i));
    counters.launches++;

    if (!checking)
        check_edges();
    launch = NULL;
}

bool in_kernel()
{
    return running_fiber() != NULL;
}

void stop_kernel(cudaError_t error, const char *format, ...)
{
    char text[600], all[900];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(all, sizeof all, "%s; block %u,%u,%u thread %u,%u,%u", text, blockIdx.x, blockIdx.y,
             blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    report_launch(error, all);
    threads[current_thread].state = DONE;
    suspend();
    __builtin_unreachable();
}

bool in_parameters(const void *p)
{
    const char *c = static_cast<const char *>(p);
    const char *begin = reinterpret_cast<const char *>(launch->call.data());

    return c >= begin && c < begin + launch->call.size() * sizeof launch->call[0];
}

bool shared_offset(const void *p, size_t *offset)
{
    const char *c = static_cast<const char *>(p);

    if (c < shared || c >= shared + sizeof shared)
        return false;
    *offset = static_cast<size_t>(c - shared);
    return true;
}

bool shared_holds(size_t offset, size_t bytes)
{
    if (offset >= DYNAMIC_AT)
        return offset + bytes <= DYNAMIC_AT + launch->launch.shmem;
    for (int i = 0; i < variable_count; i++)
        if (offset >= variables[i].offset &&
            offset + bytes <= variables[i].offset + variables[i].bytes)
            return true;
    return false;
}

} // namespace emu

/* ---- called by kernels --------------------------------------------------------------------- */

using namespace emu;

cudaError_t emu_enqueue(const emu_launch &l)
{
    std::lock_guard<std::recursive_mutex> g(lock);

    if (fails())
        return cudaErrorLaunchOutOfResources;
    if (standing() != cudaSuccess)
        return standing();
    stream *s = stream_of(l.stream.stream);
    if (!s)
        return cudaErrorInvalidResourceHandle;
    cudaError_t error = check_launch(l);
    if (error != cudaSuccess)
        return error;
    auto copy = std::make_shared<queued_launch>(l);
    enqueue(s, [copy] { run_launch(*copy); });
    return cudaSuccess;
}

void *emu_shared(const void *key, size_t bytes, size_t alignment)
{
    for (int i = 0; i < variable_count; i++)
        if (variables[i].key == key)
            return shared + variables[i].offset;

    size_t at = (shared_used + alignment - 1) / alignment * alignment;
    if (at + bytes > STATIC_MOST || variable_count == 64)
        stop_kernel(cudaErrorInvalidConfiguration,
                    "launch too large: static shared memory of more than %zu bytes", STATIC_MOST);
    variables[variable_count++] = { key, at, bytes };
    fill_poison(shared + at, bytes, POISON_SHARED);
    fill_poison(shared + at + bytes, 4, POISON_REDZONE);
    shared_used = at + bytes + 16;
    return shared + at;
}

void *emu_dynamic_shared()
{
    return shared + DYNAMIC_AT;
}

int emu_syncthreads(emu_barrier kind, int predicate, const char *file, int line)
{
    thread &t = threads[current_thread];

    t.barrier = kind;
    t.value = predicate != 0;
    return static_cast<int>(wait_here(AT_BARRIER, file, line));
}

int emu_lane()
{
    return static_cast<int>(current_thread % WARP);
}

uint64_t emu_warp(emu_warp_op op, unsigned mask, uint64_t value, int source, const char *file,
                  int line)
{
    thread &t = threads[current_thread];

    if (!(mask >> (current_thread % WARP) & 1))
        stop_kernel(cudaErrorLaunchFailure, "shuffle mask: at %s:%d mask 0x%08x has not lane %u",
                    file, line, mask, current_thread % WARP);
    t.warp_op = op;
    t.mask = mask;
    t.value = value;
    t.source = source;
    return wait_here(AT_WARP, file, line);
}

/* SPDX-License-Identifier: MIT */
/* internal.h - the parts of the emulated GPU. (internal)
 *
 *     runtime.cc   the functions of the CUDA runtime
 *     blas.cc      those of cuBLAS
 *     nccl.cc      a stand-in for NCCL
 *     stream.cc    queues of work, events, graphs, and the order in which work runs
 *     kernel.cc    blocks and threads of a launch, barriers, shuffles
 *     fiber.cc     a stack and a switch for each thread that waits
 *     memory.cc    device memory and pinned memory
 *     check.cc     the checker of instrumented kernels
 *     report.cc    reports, counters, random numbers, names of places
 *
 * Every call holds the same lock. Work runs on the thread that waits for it. */
#ifndef COTANGENT_CUDA_EMU_INTERNAL_H
#define COTANGENT_CUDA_EMU_INTERNAL_H

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/launch.h"
#include "cuda/emu/report.h"

namespace emu
{

/* ---- report.cc ----------------------------------------------------------------------------- */

extern std::recursive_mutex lock;
extern emu_counters counters;

/* Makes a report and records error, which all later calls return. */
void report(cudaError_t error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The recorded error, or cudaSuccess. */
cudaError_t standing();

/* Counts the call. True if it is the one that must fail. */
bool fails();
bool destruction_fails(); /* Like the function above, for a call that destroys an object. If it
                           * fails, the object is leaked. */

/* The value of an environment variable as a number; `otherwise` if it is not set or not a
 * number. */
uint64_t setting(const char *name, uint64_t otherwise);

uint64_t schedule_seed();

/* A number from 0 to n - 1, from the schedule's generator. */
uint64_t random_below(uint64_t n);

/* A new random permutation of 0 to n - 1: i -> (a i + b) mod n. */
struct permutation {
    uint64_t n, a, b;

    explicit permutation(uint64_t n);
    uint64_t operator()(uint64_t i) const
    {
        return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * i + b) % n);
    }
};

/* The "file:line" of an address in code, and the function's name; "" if it is not known. */
struct place {
    std::string function, file;
    int line;
};
place place_of(const void *code);
std::vector<place> places_of(const std::vector<const void *> &codes);
std::string text_of(const void *code); /* file:line */

/* ---- memory.cc ----------------------------------------------------------------------------- */

enum state { RESERVED, LIVE, FREED };

struct shadow; /* check.cc's */

struct allocation {
    char *data;
    size_t bytes; /* the size that was requested */
    size_t room;  /* the size with redzones, a multiple of PAGE */
    int device;
    enum state state;
    unsigned serial;
    bool freeing;  /* its free is queued */
    bool of_graph; /* the memory belongs to a graph, which may allocate it again after its free */
    struct shadow *shadow;
};

const size_t REDZONE = 256;

bool in_arena(const void *p);
/* returns the allocation that contains p, redzones included; NULL if there is none */
allocation *find(const void *p);
bool is_pinned(const void *p, size_t bytes);

/* Reserves memory; NULL if none is left. live_now and freed_now are then called in the order of the
 * streams. */
allocation *reserve(size_t bytes, int device);
void live_now(allocation *a);
void freed_now(allocation *a);
void forget(allocation *a); /* returns it to the free lists */

void *pin(size_t bytes);
bool unpin(void *p);

/* Makes device memory accessible to this process, and inaccessible again. */
void open_memory();
void close_memory();
bool memory_is_open();

/* Checks that the bytes lie within live memory; otherwise reports an error of `what`. */
bool check_range(const char *what, const void *p, size_t bytes, bool write);

/* Checks that the redzones of a are intact; otherwise reports an error of `what`. A NULL `what`
 * means the kernel that has just run. */
bool check_redzones(allocation *a, const char *what);

/* The same for all live allocations. */
void check_all_redzones();

void fill_poison(void *p, size_t bytes, uint32_t word);
const uint32_t POISON_FRESH = 0x7ff57ff5u; /* a pattern that is a NaN as bf16, f32 and f64 */
const uint32_t POISON_FREED = 0xfff7fff7u;
const uint32_t POISON_REDZONE = 0xfff3fff3u;
const uint32_t POISON_SHARED = 0x7ff47ff4u;

void memory_info(int device, size_t *used, size_t *total);

/* ---- fiber.cc ------------------------------------------------------------------------------ */

struct fiber {
    void *sp;
    char *stack;
    size_t bytes;
    void (*entry)(void *);
    void *argument;
    void *more; /* a ucontext_t, or the sanitizer's record */
};

fiber *take_fiber(void (*entry)(void *), void *argument);
void give_fiber(fiber *f);
void resume(fiber *f); /* called by the scheduler */
void suspend();        /* called by the running fiber; returns to the scheduler */
fiber *running_fiber();

/* ---- kernel.cc ----------------------------------------------------------------------------- */

/* The running thread of the kernel. */
struct thread_place {
    uint64_t block;  /* linear, within the grid */
    unsigned thread; /* linear, within the block */
    unsigned epoch;  /* the number of barriers that the block has passed */
};
extern thread_place here;

cudaError_t check_launch(const emu_launch &l);

/* A launch that waits in a queue, with its own copy of the call. */
struct queued_launch {
    emu_launch launch;
    std::vector<uint64_t> call;

    explicit queued_launch(const emu_launch &l);
};
void run_launch(const queued_launch &l);

/* Makes a report that names kernel, block and thread, and ends the launch. Must be called on a
 * fiber. Does not return. */
void stop_kernel(cudaError_t error, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

bool in_kernel();
const char *kernel_name();
bool in_parameters(const void *p); /* the kernel of the running launch */

/* The shared memory of the running block. The first two say whether p is in it, and at which
 * offset; the third, whether one variable or the dynamic part contains all the bytes. */
const size_t SHARED_ROOM = 384 << 10;
bool shared_offset(const void *p, size_t *offset);
bool shared_holds(size_t offset, size_t bytes);

/* ---- stream.cc ----------------------------------------------------------------------------- */

/* A vector clock: the number of works of each stream (lane) that had ended at a moment. Work number
 * n of lane i had ended before each moment with at[i] >= n. */
const int LANES = 32;
struct clock {
    uint32_t at[LANES] = {};

    void join(const clock &other)
    {
        for (int i = 0; i < LANES; i++)
            if (other.at[i] > at[i])
                at[i] = other.at[i];
    }
};

/* The work that is running: number time.at[lane] of its lane. */
struct context {
    int lane, device;
    clock time;
};
extern context current;

/* A piece of work in a queue. */
struct op {
    std::function<void()> work; /* may be empty */
    std::shared_ptr<op> after;  /* the work that must be done first; NULL: none */
    std::function<bool()> gate; /* if not empty: the work may run when it returns true */
    struct stream *stream;
    clock host;  /* the works that the host knew to have ended when it enqueued this one */
    clock time;  /* the time of the work, once it has run */
    double when; /* milliseconds, once it has run */
    bool done;
};
typedef std::shared_ptr<op> op_ref;

struct graph;
struct stream;

extern thread_local int current_device;
stream *stream_of(cudaStream_t s); /* returns NULL, after a report, if s is not a stream */
int device_of(const stream *s);

/* Adds work to s, or to the graph that s records. */
void enqueue(stream *s, std::function<void()> work);
/* Adds work that may run only when gate() returns true. s must record no graph. */
void enqueue_gated(stream *s, std::function<bool()> gate, std::function<void()> work);
graph *recorded_by(const stream *s); /* NULL if no capture is running */
bool any_recording(); /* true if a capture forbids this thread calls such as cudaHostAlloc */
void keep_with(graph *g, allocation *a); /* keeps the memory until g is destroyed */

/* Runs the work that is queued in s, because the host waits for it. */
void wait_for(stream *s);
void wait_for_all();

/* Drops all queued work. */
void drop_work();

/* ---- check.cc ------------------------------------------------------------------------------ */

/* True if kernels are instrumented. If they are not, the other functions of check.cc do nothing. */
extern bool checking;
void check_begin_launch(unsigned threads);
void check_begin_block(unsigned threads);
void check_warp_sync(unsigned warp, unsigned mask);
void check_end_block();

void check_live(allocation *a);
void check_freed(allocation *a);
void check_forgotten(allocation *a);

/* For work other than kernels: it reads, copies (initialised or not) or writes these bytes, which
 * are within live memory. */
enum bulk { BULK_READ, BULK_COPY, BULK_WRITE };
void check_bulk(const char *what, const void *p, size_t bytes, bulk kind);
/* Afterwards the bytes at `to` are as initialised as those at `from`. */
void check_copied(void *to, const void *from, size_t bytes);

} // namespace emu

#endif

/* internal.h - the parts of the emulated GPU. (internal)
 *
 *     runtime.cc   the functions of the CUDA runtime
 *     blas.cc      those of cuBLAS
 *     stream.cc    queues of work, events, graphs; when which work runs
 *     kernel.cc    blocks and threads of a launch, barriers, shuffles
 *     fiber.cc     a stack and a switch for each thread that waits
 *     memory.cc    device memory and pinned memory
 *     check.cc     the checker of instrumented kernels
 *     report.cc    reports, counters, random numbers, names of places
 *
 * One lock is held by every call; work runs on the thread that waits for it. */
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

/* Makes a report, and error the one that all later calls return. */
void report(cudaError_t error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The recorded error, or cudaSuccess. */
cudaError_t standing();

/* Whether this call is the one that is to fail; counts it. */
bool fails();
bool destruction_fails(); /* of an object, which is lost then */

/* The value of an environment variable that is a number, or otherwise. */
uint64_t setting(const char *name, uint64_t otherwise);

uint64_t schedule_seed();

/* A number from 0 to n - 1, of the schedule's generator. */
uint64_t random_below(uint64_t n);

/* i -> (a i + b) mod n, a permutation of 0 to n - 1 drawn anew. */
struct permutation {
    uint64_t n, a, b;

    explicit permutation(uint64_t n);
    uint64_t operator()(uint64_t i) const
    {
        return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * i + b) % n);
    }
};

/* "file:line" of an address in code; the function's name, "" when unknown. */
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
    size_t bytes; /* as asked for */
    size_t room;  /* with redzones, a multiple of the page of the table */
    int device;
    enum state state;
    unsigned serial;
    bool freeing;  /* its free is queued */
    bool of_graph; /* its memory is the graph's: freed, it can be allocated again */
    struct shadow *shadow;
};

const size_t REDZONE = 256;

bool in_arena(const void *p);
allocation *find(const void *p); /* that p points into, or into whose redzones; else NULL */
bool is_pinned(const void *p, size_t bytes);

/* Reserves memory: NULL when there is none. Then it goes through live_now and freed_now in the
 * order of the streams. */
allocation *reserve(size_t bytes, int device);
void live_now(allocation *a);
void freed_now(allocation *a);
void forget(allocation *a); /* it goes back to the free lists */

void *pin(size_t bytes);
bool unpin(void *p);

/* Opens device memory to this process, and closes it. */
void open_memory();
void close_memory();
bool memory_is_open();

/* Whether the bytes lie within live memory; reports otherwise, in the name of what. */
bool check_range(const char *what, const void *p, size_t bytes, bool write);

/* The redzones of a are whole; reports otherwise. what is NULL: the kernel that ran. */
bool check_redzones(allocation *a, const char *what);

/* Of all that is live. */
void check_all_redzones();

void fill_poison(void *p, size_t bytes, uint32_t word);
const uint32_t POISON_FRESH = 0x7ff57ff5u; /* a NaN as bf16, f32 and f64 */
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
    void *more; /* ucontext or a sanitizer's */
};

fiber *take_fiber(void (*entry)(void *), void *argument);
void give_fiber(fiber *f);
void resume(fiber *f); /* from the scheduler */
void suspend();        /* to the scheduler, from the fiber that runs */
fiber *running_fiber();

/* ---- kernel.cc ----------------------------------------------------------------------------- */

/* The fiber that runs now. */
struct thread_place {
    uint64_t block;  /* linear, within the grid */
    unsigned thread; /* linear, within the block */
    unsigned epoch;  /* barriers that the block has passed */
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

/* A report that names kernel, block and thread; the launch ends. Called on a fiber, does not
 * return. */
void stop_kernel(cudaError_t error, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

bool in_kernel();
const char *kernel_name();
bool in_parameters(const void *p); /* of the running launch */

/* Shared memory of the running block: whether p is in it, and where; whether a variable or the
 * dynamic part holds all of the bytes. */
const size_t SHARED_ROOM = 384 << 10;
bool shared_offset(const void *p, size_t *offset);
bool shared_holds(size_t offset, size_t bytes);

/* ---- stream.cc ----------------------------------------------------------------------------- */

/* How much of each stream's work ended before a given moment: a vector clock. Work number n of
 * lane i came before a moment whose at[i] >= n. */
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

/* The work that runs now: number time.at[lane] of its lane. */
struct context {
    int lane, device;
    clock time;
};
extern context current;

/* A piece of work in a queue. */
struct op {
    std::function<void()> work; /* may be empty */
    std::shared_ptr<op> after;  /* runs once this is done; NULL: at once */
    struct stream *stream;
    clock host;  /* what the host knew to have ended when it enqueued this */
    clock time;  /* once done */
    double when; /* ms, once done */
    bool done;
};
typedef std::shared_ptr<op> op_ref;

struct graph;
struct stream;

extern thread_local int current_device;
stream *stream_of(cudaStream_t s); /* NULL, after a report, for one that is none */
int device_of(const stream *s);

/* Adds work to s, or to the graph that s records. */
void enqueue(stream *s, std::function<void()> work);
graph *recorded_by(const stream *s); /* or NULL */
bool any_recording(); /* whether a capture forbids this thread calls such as cudaHostAlloc */
void keep_with(graph *g, allocation *a); /* until g is destroyed */

/* Runs what is queued in s; the host waits. */
void wait_for(stream *s);
void wait_for_all();

/* Forgets what is queued. */
void drop_work();

/* ---- check.cc ------------------------------------------------------------------------------ */

/* Whether kernels are instrumented; all else does nothing unless they are. */
extern bool checking;
void check_begin_launch(unsigned threads);
void check_begin_block(unsigned threads);
void check_warp_sync(unsigned warp, unsigned mask);
void check_end_block();

void check_live(allocation *a);
void check_freed(allocation *a);
void check_forgotten(allocation *a);

/* Work that is no kernel reads, copies (initialised or not) or writes these bytes, which are within
 * live memory. */
enum bulk { BULK_READ, BULK_COPY, BULK_WRITE };
void check_bulk(const char *what, const void *p, size_t bytes, bulk kind);
/* Then to is as initialised as from. */
void check_copied(void *to, const void *from, size_t bytes);

} // namespace emu

#endif

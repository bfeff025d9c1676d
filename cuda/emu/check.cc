/* SPDX-License-Identifier: MIT */
/* check.cc - the checker: kernels compiled with -fsanitize=thread call the __tsan_ functions of
 * this file before each access to memory; the sanitizer's own library is not linked.
 *
 * Every 4 bytes of device and shared memory (every byte, after a smaller access) have a cell, which
 * records the last writer and the readers since. An access is ordered after an earlier one
 *   - of other work, if that had ended: its number is within this work's vector clock
 *     (stream.cc);
 *   - of another block of the same launch: never;
 *   - of the same block, if a barrier lies between: their epochs differ;
 *   - of the same warp, if a __syncwarp, shuffle or vote joined the two lanes since; a vector clock
 *   of the lanes records this.
 * Otherwise it is a race, unless both accesses are reads or both are atomic. For several readers, a
 * cell records their lanes, or only that they belong to several warps or blocks. That suffices to
 * find every race with a reader since the last barrier. Bounds of allocations and variables are
 * checked to the byte. */
#include "cuda/emu/internal.h"

#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <unordered_map>

namespace emu
{

bool checking;

namespace
{

enum { ATOMIC = 1, MANY_WARPS = 2, MANY_BLOCKS = 4 };

const unsigned SEQUENCE_BITS = 26, WARP = 32, NO_BLOCK = 0xffffffffu;

/* An access, or several accesses with the same order. */
struct access {
    /* the lane and number of the work; for shared memory, of the block's run; 0: no access */
    uint32_t work;
    uint32_t block, epoch, lanes, tick;
    int32_t code;
    uint16_t warp, flags;
};

struct cell {
    access write, read, other; /* a read by other work that is not ordered with `read` */
};

/* Pages that hold zeros until they are first written. */
template <typename T> struct lazy_array {
    T *at = NULL;
    size_t bytes = 0;

    void make(size_t n)
    {
        bytes = std::max<size_t>(n, 1) * sizeof(T);
        if (bytes < (64 << 10)) {
            at = static_cast<T *>(calloc(1, bytes));
            return;
        }
        void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        at = p == MAP_FAILED ? NULL : static_cast<T *>(p);
    }
    void free_it()
    {
        if (at && bytes < (64 << 10))
            free(at);
        else if (at)
            munmap(at, bytes);
        at = NULL;
    }
};

access me; /* the access that is being checked */
unsigned my_lane;
bool my_shared;

/* For the warps of the running block: the tick of the warp up to which lane i knows the accesses of
 * lane j. */
struct warp_clock {
    uint32_t knows[WARP][WARP], own[WARP], tick;
};
warp_clock warps[1024 / WARP];

uint32_t shared_run; /* the warps of this block, by number */

const char *code_base()
{
    return reinterpret_cast<const char *>(&emu_checking);
}

const void *code_of(const access &a)
{
    return a.code ? code_base() + a.code : NULL;
}

std::string where(const access &a)
{
    return a.code ? text_of(code_of(a)) : std::string("a copy, fill or matrix product");
}

/* ---- order --------------------------------------------------------------------------------- */

bool ordered_work(uint32_t work)
{
    return current.time.at[work >> SEQUENCE_BITS] >= (work & ((1u << SEQUENCE_BITS) - 1));
}

uint32_t number_of_work()
{
    return static_cast<uint32_t>(current.lane) << SEQUENCE_BITS |
           (current.time.at[current.lane] & ((1u << SEQUENCE_BITS) - 1));
}

/* True if every access that a represents came before `me`. */
bool ordered(const access &a)
{
    if (a.work != me.work)
        return my_shared || ordered_work(a.work);
    if (a.flags & MANY_BLOCKS || a.block != me.block)
        return false;
    if (a.epoch != me.epoch)
        return true;
    if (a.flags & MANY_WARPS || a.warp != me.warp)
        return false;
    for (uint32_t others = a.lanes & ~(1u << my_lane); others; others &= others - 1)
        if (warps[me.warp].knows[my_lane][__builtin_ctz(others)] < a.tick)
            return false;
    return true;
}

/* Makes a represent `me` as well. */
void merge(access &a)
{
    if (!a.work || a.work != me.work || ordered(a)) {
        a = me;
        return;
    }
    if (a.block != me.block)
        a.flags |= MANY_BLOCKS;
    else if (a.warp != me.warp)
        a.flags |= MANY_WARPS;
    a.lanes |= me.lanes;
    a.tick = std::min(a.tick, me.tick);
}

bool same(const access &a)
{
    return a.work == me.work && a.block == me.block && a.epoch == me.epoch && a.lanes == me.lanes &&
           a.tick == me.tick && a.warp == me.warp && a.flags == me.flags;
}

/* Records `me` in the cell. Returns the access with which it races, or NULL. */
const access *take(cell &c, bool write)
{
    if (!write) {
        if (same(c.read))
            return NULL;
        if (c.write.work && !ordered(c.write))
            return &c.write;
        if (c.read.work && c.read.work != me.work && !ordered(c.read))
            c.other = c.read;
        merge(c.read);
        return NULL;
    }
    bool atomics = c.write.flags & ATOMIC && me.flags & ATOMIC;
    if (c.write.work && !atomics && !ordered(c.write))
        return &c.write;
    if (c.read.work && !ordered(c.read))
        return &c.read;
    if (c.other.work && !ordered(c.other))
        return &c.other;
    if (atomics)
        merge(c.write);
    else
        c.write = me;
    c.read.work = c.other.work = 0;
    return NULL;
}

} // namespace

/* ---- shadows ------------------------------------------------------------------------------- */

struct shadow {
    uint32_t born; /* the number of the work that allocated it */
    unsigned granule;
    lazy_array<cell> cells;
    lazy_array<unsigned char> defined;
};

namespace
{

shadow shared_shadow;
lazy_array<uint32_t> shared_defined; /* the run in which each byte was written */

/* Splits cells of 4 bytes into cells of 1. */
void split(shadow &s, size_t bytes)
{
    lazy_array<cell> fine;

    fine.make(bytes + 4);
    for (size_t i = 0; i < bytes; i++)
        if (s.cells.at[i / 4].write.work || s.cells.at[i / 4].read.work)
            fine.at[i] = s.cells.at[i / 4];
    s.cells.free_it();
    s.cells = fine;
    s.granule = 1;
}

/* Records `me` in the cells of `bytes` bytes from offset on. Returns the access with which it
 * races. */
const access *take_range(shadow &s, size_t room, size_t offset, size_t bytes, bool write)
{
    if (s.granule == 4 && (bytes % 4 || offset % 4))
        split(s, room);
    for (size_t i = offset / s.granule; i < (offset + bytes) / s.granule; i++)
        if (const access *other = take(s.cells.at[i], write))
            return other;
    return NULL;
}

void stop_for_race(const char *memory, bool write, const access &other, bool other_wrote)
{
    access a = other; /* a copy, because the cell may change */

    stop_kernel(cudaErrorLaunchFailure,
                "race: %s of %s memory at %s, not in order with the %s at %s",
                write ? "write" : "read", memory, where(me).c_str(), other_wrote ? "write" : "read",
                where(a).c_str());
}

bool is_write(const shadow &s, const access *other)
{
    size_t at = static_cast<size_t>(reinterpret_cast<const char *>(other) -
                                    reinterpret_cast<const char *>(s.cells.at));

    return at % sizeof(cell) < offsetof(cell, read);
}

/* ---- sectors ------------------------------------------------------------------------------- */

bool counting;

struct request {
    uint32_t code, time; /* the number of the lane's execution of it */
    uint64_t sector;
    uint16_t warp, bytes;
};

struct sector_count {
    uint64_t requests, sectors, lanes, bytes;
    bool write;
};

std::vector<request> &requests = *new std::vector<request>;
std::unordered_map<uint64_t, uint32_t> &executions = *new std::unordered_map<uint64_t, uint32_t>;
std::map<int32_t, sector_count> &sector_counts = *new std::map<int32_t, sector_count>;

void count_access(const void *p, size_t bytes, bool write)
{
    uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(me.code)) << 10 | here.thread;
    uint64_t address = reinterpret_cast<uint64_t>(p);
    uint32_t time = executions[key]++;

    sector_counts[me.code].write = write;
    for (uint64_t s = address / 32; s <= (address + bytes - 1) / 32; s++)
        requests.push_back({ static_cast<uint32_t>(me.code), time, s, me.warp,
                             static_cast<uint16_t>(s == address / 32 ? bytes : 0) });
}

void count_block()
{
    std::sort(requests.begin(), requests.end(), [](const request &a, const request &b) {
        return a.code != b.code   ? a.code < b.code
               : a.warp != b.warp ? a.warp < b.warp
               : a.time != b.time ? a.time < b.time
                                  : a.sector < b.sector;
    });
    for (size_t i = 0; i < requests.size(); i++) {
        const request &r = requests[i];
        sector_count &c = sector_counts[static_cast<int32_t>(r.code)];
        bool first = i == 0, same_request = false;
        if (!first) {
            const request &q = requests[i - 1];
            same_request = q.code == r.code && q.warp == r.warp && q.time == r.time;
        }
        c.requests += !same_request;
        c.sectors += !same_request || requests[i - 1].sector != r.sector;
        c.lanes += r.bytes != 0;
        c.bytes += r.bytes;
    }
    requests.clear();
    executions.clear();
}

/* ---- accesses of kernels ------------------------------------------------------------------- */

/* True for constants, which this module does not write. */
struct span {
    const char *begin, *end;
};
std::vector<span> &constants = *new std::vector<span>;

int find_constants(struct dl_phdr_info *module, size_t, void *)
{
    const char *base = reinterpret_cast<const char *>(module->dlpi_addr);
    bool ours = false;

    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < module->dlpi_phnum; i++) {
            const ElfW(Phdr) &h = module->dlpi_phdr[i];
            span s = { base + h.p_vaddr, base + h.p_vaddr + h.p_memsz };
            if (pass == 0 && h.p_type == PT_LOAD && code_base() >= s.begin && code_base() < s.end)
                ours = true;
            if (pass == 1 && ours &&
                ((h.p_type == PT_LOAD && !(h.p_flags & PF_W)) || h.p_type == PT_GNU_RELRO))
                constants.push_back(s);
        }
    return ours;
}

bool is_constant(const char *p)
{
    if (constants.empty())
        dl_iterate_phdr(find_constants, NULL);
    return std::any_of(constants.begin(), constants.end(),
                       [p](const span &s) { return p >= s.begin && p < s.end; });
}

void access_shared(size_t offset, size_t bytes, bool write)
{
    if (!shared_holds(offset, bytes))
        stop_kernel(cudaErrorIllegalAddress,
                    "out of bounds: %s of %zu bytes at %s is not within one shared variable",
                    write ? "write" : "read", bytes, where(me).c_str());
    me.work = shared_run;
    my_shared = true;
    if (const access *other = take_range(shared_shadow, SHARED_ROOM, offset, bytes, write))
        stop_for_race("shared", write, *other, is_write(shared_shadow, other));
    for (size_t i = offset; i < offset + bytes; i++) {
        if ((!write || me.flags & ATOMIC) && shared_defined.at[i] != shared_run)
            stop_kernel(cudaErrorLaunchFailure, "uninitialised: shared memory read at %s",
                        where(me).c_str());
        shared_defined.at[i] = shared_run;
    }
}

void access_global(const char *p, size_t bytes, bool write)
{
    allocation *a = find(p);
    const char *verb = write ? "write" : "read";

    if (!a)
        stop_kernel(cudaErrorIllegalAddress,
                    "out of bounds: %s at %s of memory that nobody allocated", verb,
                    where(me).c_str());
    if (a->state != LIVE)
        stop_kernel(cudaErrorIllegalAddress, "use %s: %s at %s of an allocation of %zu bytes",
                    a->state == FREED ? "after free" : "before its allocation's turn", verb,
                    where(me).c_str(), a->bytes);
    if (p < a->data || p + bytes > a->data + a->bytes)
        stop_kernel(cudaErrorIllegalAddress,
                    "out of bounds: %s at %s of %zu bytes at byte %ld of an allocation of %zu",
                    verb, where(me).c_str(), bytes, static_cast<long>(p - a->data), a->bytes);
    if (a->device != current.device)
        stop_kernel(cudaErrorIllegalAddress, "host pointer: %s at %s of another device's memory",
                    verb, where(me).c_str());
    size_t offset = static_cast<size_t>(p - a->data);
    shadow &s = *a->shadow;
    me.work = number_of_work();
    my_shared = false;
    if (!ordered_work(s.born))
        stop_kernel(cudaErrorLaunchFailure,
                    "race: %s at %s of memory that another stream allocated, without a wait", verb,
                    where(me).c_str());
    if (const access *other = take_range(s, a->bytes, offset, bytes, write))
        stop_for_race("global", write, *other, is_write(s, other));
    unsigned char *defined = s.defined.at + offset;
    for (size_t i = 0; i < bytes; i++) {
        if ((!write || me.flags & ATOMIC) && !defined[i])
            stop_kernel(cudaErrorLaunchFailure,
                        "uninitialised: read at %s of byte %zu of an allocation of %zu bytes",
                        where(me).c_str(), offset + i, a->bytes);
        defined[i] = 1;
    }
    if (counting)
        count_access(p, bytes, write);
}

/* The built-in variables are members of one object (kernel.cc). */
extern "C" char __start_emu_builtins[] __attribute__((visibility("hidden")));
extern "C" char __stop_emu_builtins[] __attribute__((visibility("hidden")));

void check_access(void *address, size_t bytes, bool write, bool aligned, unsigned flags,
                  const void *code)
{
    const char *p = static_cast<const char *>(address);
    const fiber *f = running_fiber();
    size_t offset;

    if (!f || (p >= f->stack && p < f->stack + f->bytes))
        return;
    if (p >= __start_emu_builtins && p < __stop_emu_builtins && !write)
        return;

    unsigned warp = here.thread / WARP;
    my_lane = here.thread % WARP;
    me.block = static_cast<uint32_t>(here.block);
    me.epoch = here.epoch;
    me.lanes = 1u << my_lane;
    me.tick = warps[warp].own[my_lane];
    me.warp = static_cast<uint16_t>(warp);
    me.flags = static_cast<uint16_t>(flags);
    me.code = static_cast<int32_t>(static_cast<const char *>(code) - 1 - code_base());

    bool is_shared = shared_offset(p, &offset);
    if (!is_shared && !in_arena(p)) {
        if (is_pinned(p, bytes) || in_parameters(p) || (!write && is_constant(p)))
            return;
        stop_kernel(cudaErrorIllegalAddress,
                    "host pointer: %s at %s of memory that is not the device's",
                    write ? "write" : "read", where(me).c_str());
    }
    if (aligned && reinterpret_cast<uintptr_t>(p) % bytes)
        stop_kernel(cudaErrorMisalignedAddress, "misaligned: %s of %zu bytes at %s",
                    write ? "write" : "read", bytes, where(me).c_str());
    if (is_shared)
        access_shared(offset, bytes, write);
    else
        access_global(p, bytes, write);
}

} // namespace

/* ---- called by the other parts of the emulator
 * --------------------------------------------------------- */

void check_begin_launch(unsigned threads)
{
    (void)threads;
    if (checking && !shared_shadow.cells.at) {
        shared_shadow.granule = 4;
        shared_shadow.cells.make(SHARED_ROOM / 4 + 1);
        shared_defined.make(SHARED_ROOM);
    }
}

void check_begin_block(unsigned threads)
{
    if (!checking)
        return;
    shared_run++;
    memset(warps, 0, (threads + WARP - 1) / WARP * sizeof warps[0]);
    for (unsigned w = 0; w < (threads + WARP - 1) / WARP; w++) {
        warps[w].tick = 1;
        std::fill(warps[w].own, warps[w].own + WARP, 1u);
    }
}

/* Synchronises the lanes of mask. Afterwards all earlier accesses of these lanes, and all accesses
 * that one of them knew, are known to each of them. */
void check_warp_sync(unsigned warp, unsigned mask)
{
    if (!checking)
        return;
    warp_clock &w = warps[warp];
    uint32_t joined[WARP] = {};

    for (unsigned i = 0; i < WARP; i++)
        if (mask >> i & 1) {
            for (unsigned j = 0; j < WARP; j++)
                joined[j] = std::max(joined[j], w.knows[i][j]);
            joined[i] = std::max(joined[i], w.own[i]);
        }
    w.tick++;
    for (unsigned i = 0; i < WARP; i++)
        if (mask >> i & 1) {
            memcpy(w.knows[i], joined, sizeof joined);
            w.own[i] = w.tick;
        }
}

void check_end_block()
{
    if (counting)
        count_block();
}

void check_live(allocation *a)
{
    if (!checking)
        return;
    check_forgotten(a);
    a->shadow = new shadow();
    a->shadow->granule = 4;
    a->shadow->born = number_of_work();
    a->shadow->cells.make(a->bytes / 4 + 1);
    a->shadow->defined.make(a->bytes);
}

void check_forgotten(allocation *a)
{
    if (!a->shadow)
        return;
    a->shadow->cells.free_it();
    a->shadow->defined.free_it();
    delete a->shadow;
    a->shadow = NULL;
}

void check_bulk(const char *what, const void *p, size_t bytes, bulk kind)
{
    allocation *a = checking ? find(p) : NULL;

    if (!a || !a->shadow || !bytes)
        return;
    shadow &s = *a->shadow;
    size_t offset = static_cast<size_t>(static_cast<const char *>(p) - a->data);
    bool write = kind == BULK_WRITE;

    me = { number_of_work(), NO_BLOCK, 0, 1, 0, 0, 0, 0 };
    my_shared = false;
    my_lane = 0;
    const access *other = take_range(s, a->bytes, offset, bytes, write);
    if (other || !ordered_work(s.born)) {
        report(cudaErrorLaunchFailure, "race: %s %s global memory, not in order with the %s at %s",
               what, write ? "writes" : "reads",
               !other               ? "allocation"
               : is_write(s, other) ? "write"
                                    : "read",
               other ? where(*other).c_str() : "another stream");
        return;
    }
    unsigned char *defined = s.defined.at + offset;
    if (kind == BULK_READ) {
        const void *hole = memchr(defined, 0, bytes);
        if (hole)
            report(cudaErrorLaunchFailure,
                   "uninitialised: %s reads byte %zu of an allocation of %zu bytes", what,
                   offset + static_cast<size_t>(static_cast<const unsigned char *>(hole) - defined),
                   a->bytes);
    } else if (write) {
        memset(defined, 1, bytes);
    }
}

void check_copied(void *to, const void *from, size_t bytes)
{
    allocation *a = checking ? find(to) : NULL, *b = checking ? find(from) : NULL;

    if (a && b && a->shadow && b->shadow)
        memmove(a->shadow->defined.at + (static_cast<char *>(to) - a->data),
                b->shadow->defined.at + (static_cast<const char *>(from) - b->data), bytes);
}

/* Checks that all work with the memory has ended. Of a large allocation, only the beginning is
 * checked. */
void check_freed(allocation *a)
{
    check_bulk("cudaFreeAsync", a->data, std::min<size_t>(a->bytes, 1 << 20), BULK_WRITE);
}

} // namespace emu

/* ---- for tests ----------------------------------------------------------------------------- */

using namespace emu;

void emu_count_sectors(bool on)
{
    std::lock_guard<std::recursive_mutex> g(lock);

    if (on)
        sector_counts.clear();
    counting = on;
}

void emu_each_sector(emu_sector_visitor *visit, void *context)
{
    std::lock_guard<std::recursive_mutex> g(lock);
    std::map<std::pair<std::string, std::pair<int, bool>>, sector_count> lines;
    std::vector<const void *> codes;

    for (const auto &one : sector_counts)
        codes.push_back(code_base() + one.first);
    std::vector<place> places = places_of(codes);
    size_t i = 0;
    for (const auto &one : sector_counts) {
        const place &p = places[i++];
        sector_count &sum = lines[{ p.file, { p.line, one.second.write } }];
        sum.requests += one.second.requests;
        sum.sectors += one.second.sectors;
        sum.lanes += one.second.lanes;
        sum.bytes += one.second.bytes;
    }
    for (const auto &line : lines)
        visit(context, line.first.first.c_str(), line.first.second.first, line.first.second.second,
              line.second.requests, line.second.sectors, line.second.lanes, line.second.bytes);
}

/* ---- called by instrumented code ---------------------------------------------------------- */

void emu_atomic(void *address, size_t bytes, const void *code)
{
    if (checking)
        check_access(address, bytes, true, true, ATOMIC, code);
}

#define HERE __builtin_return_address(0)
#define ACCESS(name, bytes, write, aligned)                                                        \
    void name(void *p)                                                                             \
    {                                                                                              \
        check_access(p, bytes, write, aligned, 0, HERE);                                           \
    }
#define ACCESSES(bytes)                                                                            \
    ACCESS(__tsan_read##bytes, bytes, false, true)                                                 \
    ACCESS(__tsan_write##bytes, bytes, true, true)                                                 \
    ACCESS(__tsan_unaligned_read##bytes, bytes, false, false)                                      \
    ACCESS(__tsan_unaligned_write##bytes, bytes, true, false)                                      \
    ACCESS(__tsan_volatile_read##bytes, bytes, false, true)                                        \
    ACCESS(__tsan_volatile_write##bytes, bytes, true, true)

/* Called by host code in the same files. Kernels do not call them, because their atomics are those
 * of emu.h. */
#define ATOMICS(bits, type)                                                                        \
    type __tsan_atomic##bits##_load(const volatile type *p, int)                                   \
    {                                                                                              \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                               \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *p, type v, int)                                \
    {                                                                                              \
        __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                  \
    }                                                                                              \
    type __tsan_atomic##bits##_exchange(volatile type *p, type v, int)                             \
    {                                                                                              \
        return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                        \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type v, int)                            \
    {                                                                                              \
        return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                         \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_sub(volatile type *p, type v, int)                            \
    {                                                                                              \
        return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                         \
    }                                                                                              \
    bool __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *c, type v, int,     \
                                                       int)                                        \
    {                                                                                              \
        return __atomic_compare_exchange_n(p, c, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);    \
    }

extern "C" {
void __tsan_init(void)
{
    checking = true;
}

void __tsan_func_entry(void *)
{
}

void __tsan_func_exit(void)
{
}

ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void __tsan_read_range(void *p, size_t bytes)
{
    check_access(p, bytes, false, false, 0, HERE);
}

void __tsan_write_range(void *p, size_t bytes)
{
    check_access(p, bytes, true, false, 0, HERE);
}

ATOMICS(8, uint8_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)
}

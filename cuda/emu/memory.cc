/* SPDX-License-Identifier: MIT */
/* memory.cc - device memory, which the host cannot access, and pinned memory.
 *
 * Device memory is one range of addresses, which is PROT_NONE except while work runs. Each
 * allocation is aligned to 256 bytes and lies between two redzones. New memory, freed memory and
 * redzones are filled with NaNs, each with its own pattern. Freed memory waits in a queue before it
 * is reused, so that a late use reads NaNs or is found by the checker. */
#include "cuda/emu/internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <deque>
#include <map>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

namespace emu
{

namespace
{

const size_t ARENA = size_t(16) << 30;
const size_t PAGE = 256; /* the unit of the table, in bytes */
const size_t REST = size_t(4) << 20, REST_COUNT = 512;
const size_t LARGE = size_t(4) << 20, POISONED = size_t(256) << 10;

char *arena;
size_t arena_used;
allocation **table; /* for each PAGE of the arena */
bool arena_open;
int serials;
size_t used[8];

struct pinned {
    size_t bytes;
    void *mapping;
    size_t mapped;
};

std::map<char *, pinned> &all_pinned = *new std::map<char *, pinned>;
std::map<size_t, std::vector<char *>> &idle = *new std::map<size_t, std::vector<char *>>;
std::deque<allocation *> &resting = *new std::deque<allocation *>;
size_t resting_bytes;
std::vector<allocation *> &live = *new std::vector<allocation *>;

struct sigaction other_handler;

/* Ends the launch for a fault in a kernel, as on a GPU. For a fault of the host, makes a report and
 * lets the signal have its default effect. */
void on_fault(int number, siginfo_t *info, void *more)
{
    (void)more;
    if (in_kernel())
        stop_kernel(cudaErrorIllegalAddress, "out of bounds: an access to address %p",
                    info->si_addr);
    if (in_arena(info->si_addr)) {
        static const char text[] = "cuda-emu: host pointer: the host touches device memory\n";
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            abort();
    }
    sigaction(number, &other_handler, NULL);
}

bool map_arena()
{
    if (arena)
        return true;
    void *p = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *t = mmap(NULL, ARENA / PAGE * sizeof *table, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || t == MAP_FAILED)
        return false;
    arena = static_cast<char *>(p);
    table = static_cast<allocation **>(t);

    if (RUNNING_ON_VALGRIND) /* stop_kernel leaves a signal handler by a jump, which valgrind does
                              * not support */
        return true;
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER; /* stop_kernel does not return */
    sigaction(SIGSEGV, &action, &other_handler);
    return true;
}

void protect(size_t begin, size_t end, bool open)
{
    const size_t system = 4096;

    begin = begin / system * system;
    end = (end + system - 1) / system * system;
    int access = open ? PROT_READ | PROT_WRITE : PROT_NONE;
    if (end > begin && mprotect(arena + begin, end - begin, access))
        perror("cuda-emu: mprotect");
}

/* Removes the oldest allocation from the queue of freed memory. */
void wake_one()
{
    allocation *a = resting.front();

    resting.pop_front();
    resting_bytes -= a->room;
    char *begin = a->data - REDZONE;
    idle[a->room].push_back(begin);
    for (size_t i = 0; i < a->room; i += PAGE)
        table[(begin - arena + i) / PAGE] = NULL;
    check_forgotten(a);
    delete a;
}

char *take(size_t room)
{
    auto found = idle.find(room);
    if (found != idle.end() && !found->second.empty()) {
        size_t i = random_below(found->second.size());
        char *p = found->second[i];
        found->second[i] = found->second.back();
        found->second.pop_back();
        return p;
    }
    if (arena_used + room > ARENA)
        return NULL;
    char *p = arena + arena_used;
    if (arena_open)
        protect(arena_used, arena_used + room, true);
    arena_used += room;
    return p;
}

} // namespace

void fill_poison(void *p, size_t bytes, uint32_t word)
{
    char *to = static_cast<char *>(p);
    uint64_t two = static_cast<uint64_t>(word) << 32 | word;
    size_t i = 0;

    for (; i + sizeof two <= bytes; i += sizeof two)
        memcpy(to + i, &two, sizeof two);
    memcpy(to + i, &two, bytes - i);
}

bool in_arena(const void *p)
{
    const char *c = static_cast<const char *>(p);

    return arena && c >= arena && c < arena + ARENA;
}

allocation *find(const void *p)
{
    return in_arena(p) ? table[(static_cast<const char *>(p) - arena) / PAGE] : NULL;
}

allocation *reserve(size_t bytes, int device)
{
    size_t room = (bytes + PAGE - 1) / PAGE * PAGE + 2 * REDZONE;
    size_t total, now;

    memory_info(device, &now, &total);
    if (!map_arena() || bytes > ARENA || now + bytes > total)
        return NULL;
    while (resting_bytes > REST || resting.size() > REST_COUNT)
        wake_one();
    char *begin = take(room);
    while (!begin && !resting.empty()) {
        wake_one();
        begin = take(room);
    }
    if (!begin)
        return NULL;
    allocation *a = new allocation();
    a->data = begin + REDZONE;
    a->bytes = bytes;
    a->room = room;
    a->device = device;
    a->serial = ++serials;
    for (size_t i = 0; i < room; i += PAGE)
        table[(begin - arena + i) / PAGE] = a;
    used[device] += bytes;
    counters.allocations++;
    counters.allocated_bytes += bytes;
    return a;
}

/* Opens the whole memory, or both ends of a large one, because opening and closing takes time for
 * each page that was ever touched. */
static void poison(allocation *a, uint32_t word)
{
    if (a->bytes <= LARGE) {
        fill_poison(a->data, a->bytes, word);
        return;
    }
    size_t last = (a->bytes - POISONED) / 4 * 4;
    fill_poison(a->data, POISONED, word);
    fill_poison(a->data + last, a->bytes - last, word);
}

void live_now(allocation *a)
{
    char *begin = a->data - REDZONE;
    size_t end = a->room - REDZONE - a->bytes;

    fill_poison(begin, REDZONE, POISON_REDZONE);
    poison(a, POISON_FRESH);
    /* the pattern of the tail continues from word to word, whatever the size */
    size_t tail = REDZONE + a->bytes;
    for (size_t i = 0; i < end; i++)
        begin[tail + i] = static_cast<char>(POISON_REDZONE >> (8 * ((tail + i) % 4)));
    a->state = LIVE;
    live.push_back(a);
    check_live(a);
}

bool check_redzones(allocation *a, const char *what)
{
    const char *begin = a->data - REDZONE;

    for (size_t i = 0; i < a->room; i++) {
        if (i == REDZONE)
            i += a->bytes;
        if (i < a->room && begin[i] != static_cast<char>(POISON_REDZONE >> (8 * (i % 4)))) {
            long at = static_cast<long>(i) - static_cast<long>(REDZONE);
            report(cudaErrorIllegalAddress,
                   "out of bounds: found after %s: byte %ld of an allocation of %zu bytes was "
                   "written",
                   what ? what : kernel_name(), at, a->bytes);
            fill_poison(a->data - REDZONE, REDZONE, POISON_REDZONE);
            for (size_t j = REDZONE + a->bytes; j < a->room; j++)
                a->data[j - REDZONE] = static_cast<char>(POISON_REDZONE >> (8 * (j % 4)));
            return false;
        }
    }
    return true;
}

void check_all_redzones()
{
    open_memory();
    for (allocation *a : live)
        check_redzones(a, "the last work");
    close_memory();
}

void freed_now(allocation *a)
{
    check_redzones(a, "its free");
    check_freed(a);
    poison(a, POISON_FREED);
    a->state = FREED;
    for (size_t i = 0; i < live.size(); i++) {
        if (live[i] == a) {
            live[i] = live.back();
            live.pop_back();
            break;
        }
    }
    if (!a->of_graph)
        forget(a);
}

void forget(allocation *a)
{
    used[a->device] -= a->bytes;
    resting.push_back(a);
    resting_bytes += a->room;
}

void memory_info(int device, size_t *now, size_t *total)
{
    *now = used[device];
    *total = setting("COTANGENT_EMU_MEMORY", size_t(4) << 30);
}

bool memory_is_open()
{
    return arena_open;
}

void open_memory()
{
    if (!arena_open && arena)
        protect(0, arena_used, true);
    arena_open = true;
}

void close_memory()
{
    if (arena_open && arena)
        protect(0, arena_used, false);
    arena_open = false;
}

bool check_range(const char *what, const void *p, size_t bytes, bool write)
{
    allocation *a = find(p);
    const char *c = static_cast<const char *>(p);

    if (!bytes)
        return true;
    if (!in_arena(p)) {
        if (is_pinned(p, bytes))
            return true;
        report(cudaErrorInvalidValue, "host pointer: %s is given host memory for the device", what);
        return false;
    }
    if (!a) {
        report(cudaErrorIllegalAddress, "out of bounds: %s %s memory that nobody allocated", what,
               write ? "writes" : "reads");
        return false;
    }
    if (a->state != LIVE) {
        report(cudaErrorIllegalAddress, "use %s: %s %s an allocation of %zu bytes",
               a->state == FREED ? "after free" : "before its allocation's turn", what,
               write ? "writes" : "reads", a->bytes);
        return false;
    }
    if (c < a->data || c + bytes > a->data + a->bytes) {
        report(cudaErrorIllegalAddress,
               "out of bounds: %s %s bytes %ld to %ld of an allocation of %zu", what,
               write ? "writes" : "reads", static_cast<long>(c - a->data),
               static_cast<long>(c - a->data + bytes), a->bytes);
        return false;
    }
    return true;
}

/* ---- pinned memory ------------------------------------------------------------------------- */

/* Allocates pinned memory on separate pages, between two pages that fault. */
void *pin(size_t bytes)
{
    const size_t system = 4096;
    size_t inner = (bytes + 63) / 64 * 64;
    size_t mapped = (inner + system - 1) / system * system + 2 * system;
    void *p = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    char *mapping = static_cast<char *>(p), *data = mapping + mapped - system - inner;
    if (mprotect(mapping + system, mapped - 2 * system, PROT_READ | PROT_WRITE)) {
        munmap(p, mapped);
        return NULL;
    }
    fill_poison(data, inner, POISON_FRESH);
    all_pinned[data] = { bytes, mapping, mapped };
    counters.alive++;
    return data;
}

bool unpin(void *p)
{
    auto found = all_pinned.find(static_cast<char *>(p));

    if (found == all_pinned.end())
        return false;
    munmap(found->second.mapping, found->second.mapped);
    all_pinned.erase(found);
    counters.alive--;
    return true;
}

bool is_pinned(const void *p, size_t bytes)
{
    char *c = const_cast<char *>(static_cast<const char *>(p));
    auto next = all_pinned.upper_bound(c);

    if (next == all_pinned.begin())
        return false;
    --next;
    return c + bytes <= next->first + next->second.bytes;
}

} // namespace emu

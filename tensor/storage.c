/* SPDX-License-Identifier: MIT */
/* storage.c - reference-counted buffers, and the pool of freed buffers.
 *
 * Sizes are rounded up to classes, four to a power of two (64, 80, 96, 112, 128, 160, ... bytes),
 * so at most a fifth of the memory is wasted, and each step of a training loop reuses the buffers
 * of the step before. Each thread has its own pool, so no lock is needed. A buffer that another
 * thread frees joins the pool of that thread.
 *
 * Each pool counts its live buffers and bytes. The owning thread updates plain counters; other
 * threads update atomic ones. After its thread has ended, a pool lives as long as one of its
 * buffers; freeing the last buffer frees the pool (see OPEN).
 *
 * A buffer may be reused while an asynchronous device still reads it, because the device runs its
 * work in order.
 *
 * A captured step has a separate pool (cti_pool_own). Its buffers always return to it, because the
 * step is replayed on the same addresses. Buffers that are freed while the step runs stay in it.
 *
 * COTANGENT_POOL=0 frees buffers, handles and nodes at once instead of keeping them, so that tools
 * such as valgrind see each object's own lifetime. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/program.h"

#include <string.h>

#define CLASSES 160

/* The initial value of count_elsewhere, from which other threads count down. While the pool is
 * open, the value stays far from 0. Closing adds count - OPEN, so that the value becomes the number
 * of buffers in use; the thread that brings it to 0 frees the pool. Both operations use acq_rel,
 * because the thread that frees the pool must see all writes of the other threads. */
#define OPEN (SIZE_MAX / 2 + 1)

struct cti_pool {
    /* one entry for each device: NULL or an array of lists, one for each size class */
    ct_storage **idle[CTI_DEVICES];
    atomic_uint thread; /* the number of the owning thread; 0 once it is closed */
    /* the thread of the captured step if the pool is a step's pool and open; otherwise 0 */
    atomic_uint owner;

    /* Each total is the sum of two counters. The first counts what the owning thread allocated and
     * freed. The second starts at OPEN (buffers) or 0 (bytes), counts what other threads freed, and
     * wraps below 0. */
    size_t count, bytes;
    atomic_size_t count_elsewhere, bytes_elsewhere;
};

static cti_pool *pool_new(ct_thread *th)
{
    cti_pool *pool = cti_calloc(1, sizeof *pool);

    if (pool) {
        atomic_store_explicit(&pool->thread, th->id, memory_order_relaxed);
        atomic_store_explicit(&pool->count_elsewhere, OPEN, memory_order_relaxed);
    }
    return pool;
}

static size_t live_bytes(const cti_pool *pool)
{
    return pool->bytes + atomic_load_explicit(&pool->bytes_elsewhere, memory_order_relaxed);
}

/* Counts a buffer of the pool as freed. The last buffer of a closed pool frees the pool. */
static void count_out(const ct_thread *th, cti_pool *pool, size_t bytes)
{
    if (atomic_load_explicit(&pool->thread, memory_order_relaxed) == th->id) {
        pool->count--;
        pool->bytes -= bytes;
        return;
    }
    atomic_fetch_sub_explicit(&pool->bytes_elsewhere, bytes, memory_order_relaxed);
    if (atomic_fetch_sub_explicit(&pool->count_elsewhere, 1, memory_order_acq_rel) == 1)
        cti_release(pool);
}

/* Closes the pool for its thread. From now on only count_elsewhere counts. */
static void close_counts(cti_pool *pool)
{
    size_t change = pool->count - OPEN;

    atomic_store_explicit(&pool->thread, 0, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->count_elsewhere, change, memory_order_acq_rel) + change ==
        0)
        cti_release(pool);
}

/* Returns the thread's pool, created when it is first needed. NULL if memory runs out. */
static cti_pool *pool_of(ct_thread *th)
{
    if (!th->pool)
        th->pool = pool_new(th);
    return th->pool;
}

/* Returns the lists of a device's idle buffers. NULL if this thread keeps none or memory runs
 * out. */
static ct_storage **idle_of(const ct_thread *th, cti_pool *pool, ct_device device)
{
    ct_storage ***idle = &pool->idle[device];

    if (!*idle &&
        /* the last list is for buffers of no size class, which only a captured step keeps */
        (th->keeps_idle || pool->owner))
        *idle = cti_calloc(CLASSES + 1, sizeof **idle);
    return *idle;
}

static int class_of(size_t bytes, size_t *rounded)
{
    int shift = 4, step;

    if (bytes < 64)
        bytes = 64;
    while (((size_t)8 << shift) <= bytes)
        shift++;
    /* now 4 << shift <= bytes < 8 << shift, in four classes that are 1 << shift apart */
    step = (int)((bytes + ((size_t)1 << shift) - 1) >> shift) - 4; /* 0..4 */
    *rounded = (size_t)(4 + step) << shift;
    return (shift - 4) * 4 + step;
}

static void give_back(ct_storage *s)
{
    cti_backend_of(s->device)->release(s->data, s->bytes);
    cti_release(s);
}

static void trim(ct_thread *th, cti_pool *pool)
{
    int d, c;

    for (d = 0; d < CTI_DEVICES; d++)
        for (c = 0; pool->idle[d] && c <= CLASSES; c++)
            while (pool->idle[d][c]) {
                ct_storage *s = pool->idle[d][c];
                pool->idle[d][c] = s->next;
                th->memory.idle_bytes -= s->bytes;
                give_back(s);
            }
}

void ct_memory_trim(void)
{
    ct_thread *th = cti_thread();

    if (th->pool && !th->pool->owner)
        trim(th, th->pool);
}

static void pool_free(ct_thread *th, cti_pool *pool)
{
    int d;

    trim(th, pool);
    for (d = 0; d < CTI_DEVICES; d++)
        cti_release(pool->idle[d]);
    close_counts(pool);
}

void cti_pool_free(ct_thread *th)
{
    if (th->pool)
        pool_free(th, th->pool);
    th->pool = NULL;
}

cti_pool *cti_pool_own(void)
{
    ct_thread *th = cti_thread();
    cti_pool *pool = pool_new(th);

    if (!pool) {
        cti_out_of_memory("ct_capture_run", sizeof *pool);
        return NULL;
    }
    pool->owner = th->id;
    return pool;
}

void cti_pool_close(cti_pool *pool)
{
    pool->owner = 0;
    pool_free(cti_thread(), pool);
}

size_t cti_pool_live(const cti_pool *pool)
{
    return live_bytes(pool);
}

ct_storage *cti_storage_foreign(void *data, size_t bytes, int foreign)
{
    ct_storage *s = cti_calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->device = CT_CPU;
    s->bytes = bytes;
    s->data = data;
    s->foreign = foreign;
    s->size_class = CLASSES;
    atomic_store_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

bool cti_storage_own(const char *function, ct_storage *s)
{
    cti_pool *pool = pool_of(cti_thread());
    void *mine = pool ? cti_backend_of(CT_CPU)->allocate(s->bytes) : NULL;

    if (!mine) {
        cti_out_of_memory(function, s->bytes);
        return false;
    }
    memcpy(mine, s->data, s->bytes);
    s->data = mine;
    s->foreign = 0;
    s->home = pool;
    pool->count++;
    pool->bytes += s->bytes;
    return true;
}

static void foreign_end(ct_storage *s)
{
    if (s->foreign & CTI_FOREIGN_SCRATCH)
        return;
    if (s->deleter)
        s->deleter(s->data, s->context);
    cti_release(s);
}

static ct_storage *from_system(ct_thread *th, ct_device device, size_t bytes)
{
    ct_storage *s;

    if (cti_capture_noting() &&
        !cti_capture_allows(device, "ct_capture_run",
                            "allocate memory that its previous run did not"))
        return NULL;
    s = cti_calloc(1, sizeof *s);
    if (s)
        s->data = cti_backend_of(device)->allocate(bytes);
    if (!s || !s->data) {
        cti_release(s);
        return NULL;
    }
    th->memory.system_allocations++;
    s->device = device;
    s->bytes = bytes;
    return s;
}

ct_storage *cti_storage_try(ct_device device, size_t bytes)
{
    ct_thread *th;
    size_t rounded, size, live;
    int c;
    cti_pool *pool;
    ct_storage **idle, *s;

    if (cti_run_now)
        return cti_running_storage(cti_run_now, bytes);
    th = cti_thread();
    c = class_of(bytes, &rounded);
    pool = pool_of(th);
    idle = pool && c < CLASSES ? idle_of(th, pool, device) : NULL;
    s = idle ? idle[c] : NULL;
    if (s) {
        idle[c] = s->next;
        th->memory.idle_bytes -= s->bytes;
    } else if (pool) {
        size = idle ? rounded : bytes;
        s = from_system(th, device, size);
        if (!s) {
            ct_memory_trim();
            s = from_system(th, device, size);
        }
    }
    if (!s)
        return NULL;
    s->size_class = s->bytes == rounded ? c : CLASSES;
    s->next = NULL;
    s->home = pool;
    s->written_at = NULL;
    s->read_only = 0;
    atomic_store_explicit(&s->refs, 1, memory_order_relaxed);
    atomic_store_explicit(&s->version, 0, memory_order_relaxed);
    pool->count++;
    pool->bytes += s->bytes;
    live = live_bytes(pool);
    th->memory.peak_bytes = live > th->memory.peak_bytes ? live : th->memory.peak_bytes;
    if (th->program && device == CT_CPU)
        cti_program_note_storage(th->program, s, bytes);
    return s;
}

ct_storage *cti_storage_new(ct_device device, size_t bytes)
{
    ct_storage *s = cti_storage_try(device, bytes);

    if (!s)
        cti_out_of_memory("ct_tensor", bytes);
    return s;
}

void cti_storage_ref(ct_storage *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void cti_storage_unref(ct_storage *s)
{
    ct_storage **idle;
    cti_pool *home, *to;
    ct_thread *th;

    if (!cti_last_ref(&s->refs))
        return;
    home = s->home;
    cti_lazy_rows_drop(s);
    if (s->foreign) {
        foreign_end(s);
        return;
    }
    th = cti_thread();
    to = home->owner == th->id ? home : th->pool;
    idle = to && (s->size_class < CLASSES || to->owner) ? idle_of(th, to, s->device) : NULL;
    s->home = NULL;
    count_out(th, home, s->bytes);
    if (idle) {
        s->next = idle[s->size_class];
        idle[s->size_class] = s;
        th->memory.idle_bytes += s->bytes;
    } else {
        give_back(s);
    }
}

ct_memory_stats ct_memory_get_stats(void)
{
    ct_thread *th = cti_thread();
    ct_memory_stats stats = th->memory;

    if (th->pool)
        stats.live_bytes = live_bytes(th->pool);
    return stats;
}

/* SPDX-License-Identifier: MIT */
/* handle.h - the memory of handles, which programs hold: tensors and states. (internal)
 *
 * A program may use a handle after its scope has ended or after it was freed. That must be an error
 * with a message, not a crash. Therefore
 *   - handles come from slabs, whose memory stays readable until the process ends;
 *   - a dead handle is marked and remembers where it died;
 *   - a dead handle waits in a first-in-first-out queue behind CTI_HANDLES_WAIT others before its
 *     memory becomes a new handle. After that a use of the old one cannot be recognised.
 *
 * Each thread has its own queues, so they need no lock. A thread that ends gives its handles to a
 * shared list, which a mutex guards; other threads take handles from it.
 *
 * COTANGENT_HANDLES=unique never reuses a handle. */
#ifndef COTANGENT_TENSOR_HANDLE_H
#define COTANGENT_TENSOR_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* The first member of each kind of handle. */
typedef struct cti_handle {
    /* The function that ended the handle, "ct_scope_end"; NULL while it is alive. Atomic, because
     * another thread may read the handle while it dies. */
    _Atomic(const char *) died_in;
    /* the call in the user's program, "train.c:49: ct_scope_end"; may be NULL */
    const char *died_at;
    struct cti_handle *next; /* links a queue or list while the handle has no owner */
} cti_handle;

typedef enum cti_handle_kind {
    CTI_HANDLE_TENSOR,
    CTI_HANDLE_STATE,
    CTI_HANDLE_KINDS
} cti_handle_kind;

#define CTI_HANDLES_WAIT 4096

/* A dead handle is reused only after this number of other handles have died. */
extern size_t cti_handles_wait;

/* The handles of one kind that a thread may reuse later. */
typedef struct cti_handles {
    cti_handle *first, *last; /* the queue of dead handles, oldest first; undefined if count is 0 */
    size_t dead;              /* the length of the queue */
    cti_handle *unused;       /* handles that were never used; they may be taken at once */
} cti_handles;

/* The slow path of cti_handle_take: takes handles from ended threads or allocates a slab. */
void *cti_handle_refill(const char *function, cti_handles *q, cti_handle_kind kind, size_t bytes);

/* Takes a handle of `bytes` bytes from q, the thread's queue of its kind. NULL with CT_ERR_MEMORY.
 * Only its cti_handle member is initialised. All handles of a kind have the same size. */
static inline void *cti_handle_take(const char *function, cti_handles *q, cti_handle_kind kind,
                                    size_t bytes)
{
    cti_handle *h = q->first;
    const char *ahead;

    if (q->dead <= cti_handles_wait)
        return cti_handle_refill(function, q, kind, bytes);
    q->first = h->next;
    q->dead--;
    /* The queue is larger than the first levels of cache, so the handle after the next one is
     * prefetched. */
    ahead = (char *)q->first->next;
    __builtin_prefetch(ahead, 1);
    __builtin_prefetch(ahead + 64, 1);
    __builtin_prefetch(ahead + 128, 1);
    __builtin_prefetch(ahead + 192, 1);
    atomic_store_explicit(&h->died_in, NULL, memory_order_relaxed);
    return h;
}

/* Puts a dead handle at the end of the queue. The library must not refer to it any more; the
 * program may. */
static inline void cti_handle_retire(cti_handles *q, cti_handle *h)
{
    h->next = NULL;
    if (q->dead++)
        q->last->next = h;
    else
        q->first = h;
    q->last = h;
}

/* Marks a handle as dead; `function`, called at `site`, ended it. site is stored first, and the
 * mark with release order, so that a thread that sees the mark sees the site as well. */
static inline void cti_handle_die(cti_handle *h, const char *function, const char *site)
{
    h->died_at = site;
    atomic_store_explicit(&h->died_in, function, memory_order_release);
}

static inline bool cti_handle_is_dead(const cti_handle *h)
{
    return atomic_load_explicit(&h->died_in, memory_order_acquire) != NULL;
}

/* Makes a dead handle usable again. The library must still hold it. */
static inline void cti_handle_revive(cti_handle *h)
{
    atomic_store_explicit(&h->died_in, NULL, memory_order_relaxed);
}

/* Raises CT_ERR_SCOPE: "function: name is a dead <what>: its scope ended at <place>; <advice>". If
 * `freed` is true, the message says that a function freed it, and advice is NULL. */
void cti_handle_raise_dead(const char *function, const char *name, const char *what,
                           const cti_handle *h, bool freed, const char *advice);

/* Called once, before the first thread takes a handle. */
void cti_handles_init(void);

/* Gives the handles of a thread that ends to the process. */
void cti_handles_hand_over(cti_handles queues[CTI_HANDLE_KINDS]);

/* At the end of the process: frees the slabs, unless some handle is still in use. */
void cti_handles_end(void);

#endif

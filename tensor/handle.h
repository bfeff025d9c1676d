/* handle.h - memory of the handles that programs hold: tensors and states. (internal)
 *
 * A program may use a handle after its scope has ended or after it was freed. That must be an error
 * with a message, not a crash. Therefore
 *   - handles come from slabs, whose memory stays readable until the process ends;
 *   - a dead handle is marked and remembers where it died;
 *   - a dead handle waits in a first-in-first-out queue behind CTI_HANDLES_WAIT others before its
 *     memory becomes a new handle. After that a use of the old one cannot be recognised.
 *
 * Each thread has queues of its own and needs no lock for them. A thread that ends hands its handles
 * to the process, under a mutex, where other threads find them.
 *
 * COTANGENT_HANDLES=unique never reuses a handle. */
#ifndef COTANGENT_TENSOR_HANDLE_H
#define COTANGENT_TENSOR_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* The first member of each kind of handle. */
typedef struct cti_handle {
    /* The function that ended it, "ct_scope_end"; NULL while it lives. Atomic, because another
     * thread may look at a handle that dies. */
    _Atomic(const char *) died_in;
    const char *died_at;     /* the user's call, "train.c:49: ct_scope_end"; may be NULL */
    struct cti_handle *next; /* in a queue or list, while nobody owns it */
} cti_handle;

typedef enum cti_handle_kind {
    CTI_HANDLE_TENSOR,
    CTI_HANDLE_STATE,
    CTI_HANDLE_KINDS
} cti_handle_kind;

#define CTI_HANDLES_WAIT 4096

/* A handle is reused only while more than this many wait behind it. */
extern size_t cti_handles_wait;

/* A thread's handles of one kind that nobody owns. */
typedef struct cti_handles {
    cti_handle *first, *last; /* the dead ones; the first died first. Undefined if there are none */
    size_t dead;              /* their number */
    cti_handle *unused;       /* may be taken at once */
} cti_handles;

/* The slow way of cti_handle_take: from ended threads, or from the system. */
void *cti_handle_refill(const char *function, cti_handles *q, cti_handle_kind kind, size_t bytes);

/* A handle of the kind from q, the thread's queue of it: bytes large and alive; NULL with
 * CT_ERR_MEMORY. Only its cti_handle is initialised. All handles of a kind have the same size. */
static inline void *cti_handle_take(const char *function, cti_handles *q, cti_handle_kind kind,
                                    size_t bytes)
{
    cti_handle *h = q->first;
    const char *ahead;

    if (q->dead <= cti_handles_wait)
        return cti_handle_refill(function, q, kind, bytes);
    q->first = h->next;
    q->dead--;
    /* The queue is longer than the first levels of cache: fetch the one after the next early. */
    ahead = (char *)q->first->next;
    __builtin_prefetch(ahead, 1);
    __builtin_prefetch(ahead + 64, 1);
    __builtin_prefetch(ahead + 128, 1);
    __builtin_prefetch(ahead + 192, 1);
    atomic_store_explicit(&h->died_in, NULL, memory_order_relaxed);
    return h;
}

/* Gives back a handle that nothing refers to but, perhaps, the program. It must be dead. */
static inline void cti_handle_retire(cti_handles *q, cti_handle *h)
{
    h->next = NULL;
    if (q->dead++)
        q->last->next = h;
    else
        q->first = h;
    q->last = h;
}

/* Marks a handle as dead: function, called at site, ended it. site is stored first: a thread that sees
 * the mark sees the site as well. */
static inline void cti_handle_die(cti_handle *h, const char *function, const char *site)
{
    h->died_at = site;
    atomic_store_explicit(&h->died_in, function, memory_order_release);
}

static inline bool cti_handle_is_dead(const cti_handle *h)
{
    return atomic_load_explicit(&h->died_in, memory_order_acquire) != NULL;
}

/* Makes a dead handle that the library still holds usable again. */
static inline void cti_handle_revive(cti_handle *h)
{
    atomic_store_explicit(&h->died_in, NULL, memory_order_relaxed);
}

/* Raises CT_ERR_SCOPE: "function: name is a dead <what>: its scope ended at <place>; <advice>". freed:
 * a function freed it, not a scope; then advice is NULL. */
void cti_handle_raise_dead(const char *function, const char *name, const char *what,
                           const cti_handle *h, bool freed, const char *advice);

/* Once, before the first thread takes a handle. */
void cti_handles_init(void);

/* Hands a thread's handles to the process. */
void cti_handles_hand_over(cti_handles queues[CTI_HANDLE_KINDS]);

/* At the end of the process: frees the slabs if nobody has a handle of them any more. */
void cti_handles_end(void);

#endif

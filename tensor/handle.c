/* SPDX-License-Identifier: MIT */
/* handle.c - slabs of handles, and the queues in which dead ones wait. */
#include "tensor/internal.h"

#include "tensor/environment.h"
#include "tensor/hooks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_HANDLES 64
/* a cache line, so that the mark of a dead handle is in the same line as the members that every use
 * reads */
#define SLAB_ALIGN 64

typedef struct handle_slab {
    struct handle_slab *next;
} handle_slab;

/* All slabs, and the handles that ended threads have left. */
static struct {
    handle_slab *slabs;
    size_t made; /* the number of handles in all slabs */
    size_t unused_count;
    cti_handles left;
} handle_process[CTI_HANDLE_KINDS];

static pthread_mutex_t handle_mutex = PTHREAD_MUTEX_INITIALIZER;

size_t cti_handles_wait = CTI_HANDLES_WAIT;

/* If another thread holds the mutex during a fork, the mutex would stay locked in the child, which
 * does not have that thread. The child cannot unlock it, because it is not the owner, so it makes a
 * new mutex. */
static void handle_lock(void)
{
    pthread_mutex_lock(&handle_mutex);
}

static void handle_unlock(void)
{
    pthread_mutex_unlock(&handle_mutex);
}

static void handle_new_mutex(void)
{
    pthread_mutex_init(&handle_mutex, NULL);
}

void cti_handles_init(void)
{
    const char *wish = cti_environment("COTANGENT_HANDLES");

    if (wish && strcmp(wish, "unique") == 0)
        cti_handles_wait = SIZE_MAX;
    pthread_atfork(handle_lock, handle_unlock, handle_new_mutex);
}

/* Takes the oldest handle of a queue that is not empty. */
static cti_handle *handle_pop(cti_handles *q)
{
    cti_handle *h = q->first;

    q->first = h->next;
    q->dead--;
    return h;
}

/* Moves reusable handles from ended threads to q, at most as many as a slab has. */
static void handle_take_over(cti_handles *q, cti_handle_kind kind)
{
    cti_handles *left = &handle_process[kind].left;
    int i;

    pthread_mutex_lock(&handle_mutex);
    for (i = 0; i < SLAB_HANDLES && (left->unused || left->dead > cti_handles_wait); i++) {
        cti_handle *h = left->unused;

        if (h) {
            left->unused = h->next;
            handle_process[kind].unused_count--;
        } else {
            h = handle_pop(left);
        }
        h->next = q->unused;
        q->unused = h;
    }
    pthread_mutex_unlock(&handle_mutex);
}

static void handle_new_slab(const char *function, cti_handles *q, cti_handle_kind kind,
                            size_t bytes)
{
    size_t step = (bytes + SLAB_ALIGN - 1) / SLAB_ALIGN * SLAB_ALIGN;
    size_t size = SLAB_ALIGN + SLAB_HANDLES * step;
    handle_slab *slab = cti_memory_calls.allocate(SLAB_ALIGN, size);
    int i;

    if (!slab) {
        cti_out_of_memory(function, size);
        return;
    }
    memset(slab, 0, size);
    for (i = SLAB_HANDLES - 1; i >= 0; i--) { /* backwards, so that the lowest address is taken
                                               * first */
        cti_handle *h = (cti_handle *)(void *)((char *)slab + SLAB_ALIGN + (size_t)i * step);

        h->next = q->unused;
        q->unused = h;
    }
    pthread_mutex_lock(&handle_mutex);
    slab->next = handle_process[kind].slabs;
    handle_process[kind].slabs = slab;
    handle_process[kind].made += SLAB_HANDLES;
    pthread_mutex_unlock(&handle_mutex);
}

void *cti_handle_refill(const char *function, cti_handles *q, cti_handle_kind kind, size_t bytes)
{
    cti_handle *h;

    if (!q->unused)
        handle_take_over(q, kind);
    if (!q->unused)
        handle_new_slab(function, q, kind, bytes);
    h = q->unused;
    if (!h)
        return NULL;
    q->unused = h->next;
    cti_handle_revive(h);
    return h;
}

/* Appends the handles of a thread that ends to the shared lists. The caller holds the mutex. */
static void handle_hand_over(cti_handles *q, cti_handle_kind kind)
{
    cti_handles *left = &handle_process[kind].left;

    if (q->dead && left->dead)
        left->last->next = q->first;
    else if (q->dead)
        left->first = q->first;
    if (q->dead)
        left->last = q->last;
    left->dead += q->dead;
    while (q->unused) {
        cti_handle *h = q->unused;

        q->unused = h->next;
        h->next = left->unused;
        left->unused = h;
        handle_process[kind].unused_count++;
    }
    memset(q, 0, sizeof *q);
}

void cti_handles_hand_over(cti_handles queues[CTI_HANDLE_KINDS])
{
    int kind;

    pthread_mutex_lock(&handle_mutex);
    for (kind = 0; kind < CTI_HANDLE_KINDS; kind++)
        handle_hand_over(&queues[kind], kind);
    pthread_mutex_unlock(&handle_mutex);
}

/* Frees the slabs only if every handle is dead or unused. A running thread, or a tensor that the
 * program kept, still has a handle; then the slabs stay. */
void cti_handles_end(void)
{
    int kind;

    pthread_mutex_lock(&handle_mutex);
    for (kind = 0; kind < CTI_HANDLE_KINDS; kind++) {
        handle_slab *slab = handle_process[kind].slabs;

        if (handle_process[kind].left.dead + handle_process[kind].unused_count !=
            handle_process[kind].made)
            continue;
        while (slab) {
            handle_slab *next = slab->next;

            cti_release(slab);
            slab = next;
        }
        memset(&handle_process[kind], 0, sizeof handle_process[kind]);
    }
    pthread_mutex_unlock(&handle_mutex);
}

void cti_handle_raise_dead(const char *function, const char *name, const char *what,
                           const cti_handle *h, bool freed, const char *advice)
{
    const char *in = atomic_load_explicit(&h->died_in, memory_order_acquire);
    const char *at = h->died_at;
    char place[512];

    if (at) /* the place is known: "train.c:49: ct_scope_end" */
        snprintf(place, sizeof place, "at %s", at);
    else
        /* the caller does not use the macros */
        snprintf(place, sizeof place, "(%s)", in ? in : "?");
    if (freed)
        ct_raise(CT_ERR_SCOPE, function, "%s is a dead %s: it was freed %s", name, what, place);
    else
        ct_raise(CT_ERR_SCOPE, function, "%s is a dead %s: its scope ended %s; %s", name, what,
                 place, advice);
}

/* SPDX-License-Identifier: MIT */
/* workers.c - threads that fill batches ahead of time.
 *
 * A batch depends on its number alone, so any thread may fill any batch. The slots are a ring:
 * batch b is filled in slot b % slots, after the previous batch of this slot has been returned.
 * Threads take the numbers in order; the loader's own thread takes the filled batches in order.
 *
 * An error is stored in the slot of its batch. When the loader's thread takes this batch, the error
 * is raised on that thread. */
#include "tensor/internal.h"

#include "data/internal.h"
#include "tensor/hooks.h"
#include "tensor/parallel.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

typedef struct workers_slot {
    cti_load load;
    int64_t batch; /* the batch in this slot; -1: not filled yet */
    ct_status status;
    char message[1024]; /* the message of the error */
} workers_slot;

struct cti_workers {
    const ct_loader *l;
    pthread_mutex_t lock;
    pthread_cond_t work, done; /* work: a slot can be filled; done: a slot has been filled */
    int threads, slots;
    pthread_t *thread;
    workers_slot *slot;

    /* guarded by the lock */
    bool end, rest;
    int busy;         /* the number of threads that are filling a batch */
    int64_t fill;     /* the next batch to fill */
    int64_t returned; /* all batches below this number have been returned; -1: start again */
};

/* Fills a batch; called without the lock. */
static void workers_fill(const cti_workers *w, workers_slot *s, int64_t batch)
{
    s->status = cti_load_fill(&s->load, w->l, batch) ? CT_OK : ct_error();
    if (s->status != CT_OK)
        snprintf(s->message, sizeof s->message, "%s", ct_error_message());
    ct_error_clear();
}

static bool workers_may_fill(const cti_workers *w)
{
    return !w->rest && w->fill < w->l->batches && w->fill < w->returned + w->slots;
}

static void *workers_run(void *self)
{
    cti_workers *w = self;

    cti_thread()->quiet = true;
    pthread_mutex_lock(&w->lock);
    while (!w->end) {
        if (workers_may_fill(w)) {
            int64_t batch = w->fill++;
            workers_slot *s = &w->slot[batch % w->slots];

            w->busy++;
            pthread_mutex_unlock(&w->lock);
            workers_fill(w, s, batch);
            pthread_mutex_lock(&w->lock);
            w->busy--;
            s->batch = batch;
            pthread_cond_broadcast(&w->done);
        } else {
            pthread_cond_wait(&w->work, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- making and freeing ---- */

/* Starts threads that block all signals, so that signals go to the program's own threads. */
static void workers_start(cti_workers *w, int threads)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (w->threads < threads &&
           cti_thread_create(&w->thread[w->threads], NULL, workers_run, w) == 0)
        w->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

cti_workers *cti_workers_new(const ct_loader *l, int threads, int prefetch)
{
    cti_workers *w = cti_calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->l = l;
    w->rest = true;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->done, NULL);
    w->thread = cti_calloc((size_t)threads, sizeof *w->thread);
    w->slot = cti_calloc((size_t)prefetch, sizeof *w->slot);
    while (w->slot && w->slots < prefetch &&
           cti_load_init(&w->slot[w->slots].load, l->data, l->most_rows))
        w->slot[w->slots++].batch = -1;
    if (w->slot && w->slots < prefetch) /* the slot that failed may be partly allocated */
        cti_load_free(&w->slot[w->slots].load);
    if (w->thread && w->slots)
        workers_start(w, threads);
    if (w->threads)
        return w;
    cti_workers_free(w);
    return NULL;
}

void cti_workers_free(cti_workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->end = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->threads; i++)
        pthread_join(w->thread[i], NULL);
    for (int i = 0; i < w->slots; i++)
        cti_load_free(&w->slot[i].load);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->lock);
    cti_release(w->thread);
    cti_release(w->slot);
    cti_release(w);
}

/* ---- for the loader's thread ---- */

void cti_workers_pause(cti_workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->rest = true;
    while (w->busy)
        pthread_cond_wait(&w->done, &w->lock);
    for (int i = 0; i < w->slots; i++)
        w->slot[i].batch = -1;
    pthread_mutex_unlock(&w->lock);
}

void cti_workers_resume(cti_workers *w, int64_t from)
{
    pthread_mutex_lock(&w->lock);
    w->rest = false;
    w->fill = w->returned = from;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
}

const cti_load *cti_workers_take(cti_workers *w, int64_t batch)
{
    workers_slot *s = &w->slot[batch % w->slots];

    if (w->returned != batch) { /* Only this thread writes `returned`. After an error the workers
                                 * start again. */
        cti_workers_pause(w);
        cti_workers_resume(w, batch);
    }
    pthread_mutex_lock(&w->lock);
    while (s->batch != batch)
        pthread_cond_wait(&w->done, &w->lock);
    pthread_mutex_unlock(&w->lock);
    if (s->status == CT_OK)
        return &s->load;
    cti_workers_pause(w);
    w->returned = -1;
    ct_raise(s->status, "ct_loader_next", "%s", s->message);
    return NULL;
}

void cti_workers_give_back(cti_workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->slot[w->returned % w->slots].batch = -1;
    w->returned++;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
}

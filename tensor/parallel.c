/* SPDX-License-Identifier: MIT */
/* parallel.c - the worker pool.
 *
 * The pool runs one job at a time. The owner of the job and the workers take piece numbers from a
 * counter until all are taken. Results do not depend on which thread runs a piece. Waiting threads
 * spin briefly, then sleep.
 *
 * The owner waits only for workers that have begun the job, so a descheduled worker delays only the
 * piece that it holds. If the owner waits long for such a piece (because another process uses the
 * worker's processor), it runs all jobs alone for some time, the rest period. The period doubles
 * each time.
 *
 * Workers are started when the first job needs them and joined at exit. If fewer start than wanted,
 * the owner runs more pieces itself. A forked child starts with no workers.
 *
 * Locks: `owner` is taken first (with trylock, never waited for), then `pool.lock`. pool.lock is
 * never held while a piece runs.
 *
 * Memory order: run, context and pieces are written and read under pool.lock, which makes the job
 * visible to the workers. The counter `next` only hands out numbers, so it is relaxed. A worker
 * leaves the job under pool.lock, and the owner sees busy == 0 under pool.lock, which makes the
 * results visible to the owner. The spin loops read relaxed and decide nothing: each is followed by
 * the same test under the lock. */
#include "tensor/internal.h"

#include "tensor/environment.h"
#include "tensor/parallel.h"
#include "tensor/program.h"
#include "tensor/system.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define MOST 256
#define MOST_BY_DEFAULT 8
#define SPINS 2000         /* loop turns before sleep: about 20 to 50 microseconds */
#define LATE 20000         /* ns; if the owner waits longer for a worker, it takes a rest period */
#define FIRST_REST 1000000 /* ns of the first rest period, in which the owner works alone */
#define LONGEST_REST 500000000 /* ns of the longest rest period */

static struct {
    pthread_mutex_t lock; /* guards all fields of the pool that are not atomic */
    pthread_cond_t work, idle;
    pthread_t worker[MOST];
    int started, asleep;
    bool stop;
    /* the job */
    atomic_uint serial;
    void (*run)(void *, int64_t);
    void *context;
    int64_t pieces;
    atomic_int busy; /* workers inside the job */
    atomic_llong next;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER,
           .work = PTHREAD_COND_INITIALIZER,
           .idle = PTHREAD_COND_INITIALIZER };

static pthread_mutex_t owner =
    PTHREAD_MUTEX_INITIALIZER;     /* held by the owner of the job; guards the next line */
static uint64_t alone_until, rest; /* the end of the rest period (clock), and its length in ns */

static atomic_int wanted; /* 0: not read from the environment yet */

int (*cti_thread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
                         void *) = pthread_create;
uint64_t (*cti_parallel_clock)(void) = cti_nanoseconds;

/* ---- the number of threads ---- */

static int threads_by_default(void)
{
    const char *wish = cti_environment("COTANGENT_NUM_THREADS");
    int n = wish ? atoi(wish) : cti_processors();

    if (wish)
        return n;
    return n < MOST_BY_DEFAULT ? n : MOST_BY_DEFAULT;
}

int ct_num_threads(void)
{
    int n = atomic_load_explicit(&wanted, memory_order_relaxed), none = 0;

    if (n == 0) {
        n = threads_by_default();
        if (!atomic_compare_exchange_strong(&wanted, &none, n))
            n = none; /* another thread has already set it */
    }
    return n;
}

ct_status ct_set_num_threads(int threads)
{
    if (threads < 1 || threads > MOST)
        return ct_raise(CT_ERR_ARGUMENT, "ct_set_num_threads", "threads is %d; it must be in 1..%d",
                        threads, MOST);
    atomic_store(&wanted, threads);
    return CT_OK;
}

/* ---- workers ---- */

/* Runs pieces until none is left. Returns the number of pieces that it ran. */
static int64_t draw_pieces(int64_t pieces, void (*run)(void *, int64_t), void *context)
{
    int64_t i, count = 0;

    while ((i = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed)) < pieces) {
        run(context, i);
        count++;
    }
    return count;
}

/* Spins until there is a job with another number than `seen`, at most SPINS turns. */
static void look_for_job(unsigned seen)
{
    int i;

    for (i = 0; i < SPINS && atomic_load_explicit(&pool.serial, memory_order_relaxed) == seen; i++)
        cti_relax();
}

static void *work(void *number)
{
    unsigned seen = 0;

    for (;;) {
        look_for_job(seen);
        pthread_mutex_lock(&pool.lock);
        pool.asleep++;
        while (!pool.stop && (atomic_load(&pool.serial) == seen || !pool.run ||
                              (int)(intptr_t)number + 1 >= atomic_load(&wanted)))
            pthread_cond_wait(&pool.work, &pool.lock);
        pool.asleep--;
        if (pool.stop)
            break;
        seen = atomic_load(&pool.serial);
        pool.busy++;
        {
            int64_t pieces = pool.pieces;
            void (*run)(void *, int64_t) = pool.run;
            void *context = pool.context;

            pthread_mutex_unlock(&pool.lock);
            draw_pieces(pieces, run, context);
            pthread_mutex_lock(&pool.lock);
        }
        if (--pool.busy == 0)
            pthread_cond_signal(&pool.idle);
        pthread_mutex_unlock(&pool.lock);
    }
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

__attribute__((destructor)) static void stop_workers(void)
{
    int i;

    pthread_mutex_lock(&pool.lock);
    pool.stop = true;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
    for (i = 0; i < pool.started; i++)
        pthread_join(pool.worker[i], NULL);
}

/* In a forked child: fork() copies neither the workers nor a thread that holds one of the locks, so
 * the child makes both new. */
static void forget_workers(void)
{
    pthread_mutex_init(&owner, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.work, NULL);
    pthread_cond_init(&pool.idle, NULL);
    pool.started = 0;
    pool.asleep = 0;
    pool.busy = 0;
    pool.run = NULL;
}

static void note_forks(void)
{
    pthread_atfork(NULL, NULL, forget_workers);
}

/* Starts workers until there are `count`. They block all signals, so that signals reach the
 * program's own threads. */
static void start_workers(int count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t all, before;

    if (pool.started >= count)
        return;
    pthread_once(&once, note_forks);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.started < count && cti_thread_create(&pool.worker[pool.started], NULL, work,
                                                     (void *)(intptr_t)pool.started) == 0)
        pool.started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_here(int64_t pieces, void (*run)(void *, int64_t), void *context)
{
    int64_t i;

    for (i = 0; i < pieces; i++)
        run(context, i);
}

/* ---- jobs ---- */

static void begin_job(int64_t pieces, void (*run)(void *, int64_t), void *context)
{
    pthread_mutex_lock(&pool.lock);
    start_workers(ct_num_threads() - 1);
    pool.run = run;
    pool.context = context;
    pool.pieces = pieces;
    atomic_store(&pool.next, 0);
    atomic_fetch_add(&pool.serial, 1);
    if (pool.asleep)
        pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
}

/* Called when all pieces have been taken. Sets run to NULL, so that no further worker enters the
 * job, and waits for the workers inside it. */
static void end_job(void)
{
    int i;

    pthread_mutex_lock(&pool.lock);
    pool.run = NULL;
    pthread_mutex_unlock(&pool.lock);
    for (i = 0; i < SPINS && atomic_load_explicit(&pool.busy, memory_order_relaxed); i++)
        cti_relax();
    pthread_mutex_lock(&pool.lock);
    while (pool.busy)
        pthread_cond_wait(&pool.idle, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

/* Lengthens the rest period if the owner waited long for the workers, and shortens it otherwise.
 * now is the clock; worked and waited are ns of the last job. */
static void consider_rest(uint64_t now, uint64_t worked, uint64_t waited)
{
    if (waited > worked / 2 + LATE) {
        rest = rest < FIRST_REST ? FIRST_REST : 2 * rest;
        rest = rest < LONGEST_REST ? rest : LONGEST_REST;
        alone_until = now + rest;
    } else {
        rest -= rest / 8;
    }
}

void cti_parallel(int64_t pieces, void (*run)(void *context, int64_t piece), void *context)
{
    uint64_t begun, drawn, ended;
    int64_t mine;

    if (pieces < 2 || cti_run_now || ct_num_threads() < 2 || pthread_mutex_trylock(&owner) != 0) {
        run_here(pieces, run, context);
        return;
    }
    begun = cti_parallel_clock();
    if (begun < alone_until) {
        pthread_mutex_unlock(&owner);
        run_here(pieces, run, context);
        return;
    }
    begin_job(pieces, run, context);
    mine = draw_pieces(pieces, run, context);
    drawn = cti_parallel_clock();
    end_job();
    ended = cti_parallel_clock();
    if (mine < pieces)
        consider_rest(ended, drawn - begun, ended - drawn);
    pthread_mutex_unlock(&owner);
}

/* parallel.c - the worker pool.
 *
 * One job at a time: its owner and the workers draw piece numbers from a counter until none is
 * left. The owner never waits for a worker that has not begun, so a worker that gets no processor
 * costs nothing but the piece it holds. Workers are started at first need and joined at exit; with
 * fewer than wanted, or none, the owner does more itself. A forked child starts with none. */
#include "tensor/internal.h"

#include "tensor/parallel.h"

#include <pthread.h>
#include <signal.h>

#define MOST 256

static struct {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work, idle;
    pthread_t worker[MOST];
    int started;
    bool stop;
    /* the job */
    uint64_t serial;
    void (*run)(void *, int64_t);
    void *context;
    int64_t pieces;
    int busy; /* workers inside the job */
    atomic_llong next;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER,
           .work = PTHREAD_COND_INITIALIZER,
           .idle = PTHREAD_COND_INITIALIZER };

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER; /* who owns the job */
static atomic_int wanted = 1;

int (*cti_thread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
                         void *) = pthread_create;

static void draw_pieces(int64_t pieces, void (*run)(void *, int64_t), void *context)
{
    int64_t i;

    while ((i = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed)) < pieces)
        run(context, i);
}

static void *work(void *number)
{
    uint64_t seen = 0;

    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (!pool.stop && (pool.serial == seen || !pool.run ||
                              (int)(intptr_t)number + 1 >= atomic_load(&wanted)))
            pthread_cond_wait(&pool.work, &pool.lock);
        if (pool.stop)
            break;
        seen = pool.serial;
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
    pool.started = 0;
}

/* fork() copies neither the workers nor any other thread that may hold a lock. */
static void forget_workers(void)
{
    pthread_mutex_init(&owner, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.work, NULL);
    pthread_cond_init(&pool.idle, NULL);
    pool.started = 0;
    pool.busy = 0;
    pool.run = NULL;
}

static void note_forks(void)
{
    pthread_atfork(NULL, NULL, forget_workers);
}

/* Workers take no signals: those are for the program's own threads. */
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

void cti_parallel(int64_t pieces, void (*run)(void *context, int64_t piece), void *context)
{
    int threads = atomic_load_explicit(&wanted, memory_order_relaxed);

    if (pieces < 2 || threads < 2 || pthread_mutex_trylock(&owner) != 0) {
        run_here(pieces, run, context);
        return;
    }
    pthread_mutex_lock(&pool.lock);
    start_workers(threads - 1);
    pool.run = run;
    pool.context = context;
    pool.pieces = pieces;
    atomic_store(&pool.next, 0);
    pool.serial++;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);

    draw_pieces(pieces, run, context);

    pthread_mutex_lock(&pool.lock);
    pool.run = NULL; /* who has not begun no longer will */
    while (pool.busy)
        pthread_cond_wait(&pool.idle, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&owner);
}

ct_status ct_set_num_threads(int threads)
{
    if (threads < 1 || threads > MOST)
        return ct_raise(CT_ERR_ARGUMENT, "ct_set_num_threads", "%d is not in 1..%d", threads, MOST);
    atomic_store(&wanted, threads);
    return CT_OK;
}

int ct_num_threads(void)
{
    return atomic_load(&wanted);
}

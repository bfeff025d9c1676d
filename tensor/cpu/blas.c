/* SPDX-License-Identifier: MIT */
/* blas.c - OpenBLAS, which is opened at the first product, or another CBLAS to which the library is
 * linked.
 *
 * OpenBLAS starts its threads when it is loaded. If that fails (RLIMIT_NPROC), it raises SIGINT; if
 * its buffers cannot be mapped (RLIMIT_AS), it tries again forever. A linked OpenBLAS would do so
 * before main. So this file opens OpenBLAS itself, after checking that there is enough memory.
 * While it is opened, the calling thread may run on one processor only, so that OpenBLAS starts no
 * threads; the library does not use them. */
#include "tensor/cpu/blas.h"

#include "tensor/system.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#ifdef CT_OPENBLAS_FILE

#include <dlfcn.h>

#define BLAS_BUFFER ((size_t)256 << 20) /* the most bytes that one call maps (its BUFFER_SIZE) */
#define BLAS_LOADED ((size_t)64 << 20)  /* bytes of the library itself */

static struct {
    pthread_once_t once;
    bool loaded;
    cti_blas calls;
    char name[200];
    /* the numbers of calls that run, that may run, and that wait */
    atomic_int taken, buffers, waiting;
    pthread_mutex_t lock;
    pthread_cond_t left;
} blas = { .once = PTHREAD_ONCE_INIT,
           .lock = PTHREAD_MUTEX_INITIALIZER,
           .left = PTHREAD_COND_INITIALIZER };

static bool blas_find_calls(void *library)
{
    void (*set_threads)(int);
    char *(*config)(void);

    /* POSIX's way to turn an object pointer into a function pointer */
    *(void **)&blas.calls.sgemm = dlsym(library, "cblas_sgemm");
    *(void **)&blas.calls.dgemm = dlsym(library, "cblas_dgemm");
    *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    *(void **)&config = dlsym(library, "openblas_get_config");
    if (!blas.calls.sgemm || !blas.calls.dgemm)
        return false;
    if (set_threads)
        set_threads(1);
    snprintf(blas.name, sizeof blas.name, "%.190s", config ? config() : "BLAS");
    return true;
}

static void blas_load(void)
{
    const char *why = "there is not enough memory for " CT_OPENBLAS_FILE;
    void *library = NULL;

    /* the buffers of its threads and of the first call */
    if (cti_may_map(BLAS_LOADED + 2 * BLAS_BUFFER)) {
        library = cti_open_on_one_processor(CT_OPENBLAS_FILE);
        why = CT_OPENBLAS_FILE " cannot be opened";
        if (library && !blas_find_calls(library))
            why = CT_OPENBLAS_FILE " has no CBLAS";
        else if (library)
            blas.loaded = true;
    }
    if (!blas.loaded)
        snprintf(blas.name, sizeof blas.name, "built-in GEMM (%s)", why);
    atomic_store(&blas.buffers, 1);
}

const cti_blas *cti_blas_get(void)
{
    pthread_once(&blas.once, blas_load);
    return blas.loaded ? &blas.calls : NULL;
}

const char *cti_blas_name(void)
{
    cti_blas_get();
    return blas.name;
}

static bool blas_take(void)
{
    int taken = atomic_load(&blas.taken);

    while (taken < atomic_load(&blas.buffers))
        if (atomic_compare_exchange_weak(&blas.taken, &taken, taken + 1))
            return true;
    return false;
}

void cti_blas_enter(void)
{
    if (blas_take())
        return;
    pthread_mutex_lock(&blas.lock);
    atomic_fetch_add(&blas.waiting, 1);
    while (!blas_take())
        if (cti_may_map(2 * BLAS_BUFFER))
            atomic_fetch_add(&blas.buffers, 1);
        else
            pthread_cond_wait(&blas.left, &blas.lock);
    atomic_fetch_sub(&blas.waiting, 1);
    pthread_mutex_unlock(&blas.lock);
}

void cti_blas_leave(void)
{
    atomic_fetch_sub(&blas.taken, 1);
    if (atomic_load(&blas.waiting) == 0)
        return;
    pthread_mutex_lock(&blas.lock);
    pthread_cond_signal(&blas.left);
    pthread_mutex_unlock(&blas.lock);
}

#elif defined(CT_HAVE_BLAS)

const cti_blas *cti_blas_get(void)
{
    static const cti_blas calls = { cblas_sgemm, cblas_dgemm };

    return &calls;
}

void cti_blas_enter(void)
{
}

void cti_blas_leave(void)
{
}

const char *cti_blas_name(void)
{
    return "BLAS";
}

#else

const char *cti_blas_name(void)
{
    return "built-in GEMM";
}

#endif

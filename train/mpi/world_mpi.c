/* SPDX-License-Identifier: MIT */
/* world_mpi.c - a plug-in with a transport over MPI. It is compiled twice, because the binary
 * interfaces of Open MPI and MPICH differ.
 *
 * Open MPI opens its components with dlopen, and they need its symbols. So this file opens the
 * library again with RTLD_GLOBAL before MPI_Init, which makes its symbols visible. */
#define _GNU_SOURCE /* declares dladdr */
#include "train/world_transport.h"

#include <dlfcn.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

/* A request, and its link in the list of free requests. */
typedef struct mpi_request {
    MPI_Request request;
    struct mpi_request *next;
} mpi_request;

typedef struct mpi_self {
    MPI_Comm comm;
    mpi_request *free_requests;
    bool ours; /* true if this plug-in has called MPI_Init */
} mpi_self;

static mpi_self mpi_process;

/* Returns true if code is MPI_SUCCESS; otherwise writes the reason. */
static bool mpi_good(cti_transport *t, const char *call, int code)
{
    char text[MPI_MAX_ERROR_STRING + 1] = "";
    int length;

    if (code == MPI_SUCCESS)
        return true;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS)
        text[0] = '\0';
    snprintf(t->reason, sizeof t->reason, "%s: %.200s", call, text);
    return false;
}

static mpi_request *mpi_take(cti_transport *t)
{
    mpi_self *m = t->self;
    mpi_request *r = m->free_requests;

    if (r)
        m->free_requests = r->next;
    else
        r = malloc(sizeof *r);
    if (!r)
        snprintf(t->reason, sizeof t->reason, "out of memory");
    return r;
}

static void mpi_give_back(cti_transport *t, mpi_request *r)
{
    mpi_self *m = t->self;

    r->next = m->free_requests;
    m->free_requests = r;
}

static void *mpi_send(cti_transport *t, const void *data, size_t bytes, int to, int tag)
{
    mpi_self *m = t->self;
    mpi_request *r = mpi_take(t);

    if (r && mpi_good(t, "MPI_Isend",
                      MPI_Isend(data, (int)bytes, MPI_BYTE, to, tag, m->comm, &r->request)))
        return r;
    if (r)
        mpi_give_back(t, r);
    return NULL;
}

static void *mpi_receive(cti_transport *t, void *data, size_t bytes, int from, int tag)
{
    mpi_self *m = t->self;
    mpi_request *r = mpi_take(t);

    if (from == CTI_ANY_RANK)
        from = MPI_ANY_SOURCE;
    if (r && mpi_good(t, "MPI_Irecv",
                      MPI_Irecv(data, (int)bytes, MPI_BYTE, from, tag, m->comm, &r->request)))
        return r;
    if (r)
        mpi_give_back(t, r);
    return NULL;
}

static int mpi_test(cti_transport *t, void *request, size_t *bytes)
{
    mpi_request *r = request;
    MPI_Status status;
    int done = 0, count = 0;

    if (!mpi_good(t, "MPI_Test", MPI_Test(&r->request, &done, &status)))
        return -1;
    if (!done)
        return 0;
    if (MPI_Get_count(&status, MPI_BYTE, &count) != MPI_SUCCESS || count < 0)
        count = 0;
    *bytes = (size_t)count;
    mpi_give_back(t, r);
    return 1;
}

/* MPI cannot cancel a send that has started. */
static bool mpi_cancel(cti_transport *t, void *request)
{
    mpi_request *r = request;
    int done = 0;

    if (MPI_Cancel(&r->request) != MPI_SUCCESS ||
        MPI_Test(&r->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || !done)
        return false;
    mpi_give_back(t, r);
    return true;
}

static bool mpi_runs(cti_transport *t)
{
    int done = 0;

    (void)t;
    return MPI_Finalized(&done) == MPI_SUCCESS && !done;
}

static void mpi_finish(cti_transport *t)
{
    mpi_self *m = t->self;
    mpi_request *r;

    MPI_Comm_free(&m->comm);
    if (m->ours)
        MPI_Finalize();
    while ((r = m->free_requests)) {
        m->free_requests = r->next;
        free(r);
    }
}

/* Makes the library of MPI visible to the components that it opens. */
static void mpi_make_global(void)
{
    Dl_info info;
    void *symbol;

    *(int (**)(int *, char ***))(void *)&symbol = MPI_Init;
    if (dladdr(symbol, &info) && info.dli_fname)
        dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

static bool mpi_start(cti_transport *t)
{
    int started = 0, level;

    mpi_make_global();
    if (!mpi_good(t, "MPI_Initialized", MPI_Initialized(&started)))
        return false;
    if (!started &&
        !mpi_good(t, "MPI_Init_thread", MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level)))
        return false;
    mpi_process.ours = !started;
    if (!mpi_good(t, "MPI_Comm_dup", MPI_Comm_dup(MPI_COMM_WORLD, &mpi_process.comm)))
        return false;
    /* MPI must return errors, so that the library can report them */
    return mpi_good(t, "MPI_Comm_set_errhandler",
                    MPI_Comm_set_errhandler(mpi_process.comm, MPI_ERRORS_RETURN)) &&
           mpi_good(t, "MPI_Comm_rank", MPI_Comm_rank(mpi_process.comm, &t->rank)) &&
           mpi_good(t, "MPI_Comm_size", MPI_Comm_size(mpi_process.comm, &t->ranks));
}

bool cti_transport_open(cti_transport *t);

bool cti_transport_open(cti_transport *t)
{
    if (t->version != CTI_TRANSPORT_VERSION || t->size != sizeof *t) {
        snprintf(t->reason, sizeof t->reason, "the plug-in is of another version");
        return false;
    }
    t->self = &mpi_process;
    t->send = mpi_send;
    t->receive = mpi_receive;
    t->test = mpi_test;
    t->cancel = mpi_cancel;
    t->runs = mpi_runs;
    t->finish = mpi_finish;
    return mpi_start(t);
}

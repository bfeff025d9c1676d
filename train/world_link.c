/* SPDX-License-Identifier: MIT */
/* world_link.c - the link of a process to the other ranks: reads a launcher's variables to find
 * out whether other ranks exist, and opens the plug-in for their MPI. */
#include "tensor/internal.h"

#include "tensor/environment.h"
#include "tensor/hooks.h"
#include "tensor/launcher.h"
#include "tensor/plugin.h"
#include "tensor/system.h"
#include "train/internal.h"
#include "train/world_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the launcher ---- */

cti_launched cti_world_launched(void)
{
    const char *chosen = cti_environment("COTANGENT_MPI");
    cti_launched l = { 0, 1, NULL, NULL };

    for (int i = 0; i < CTI_LAUNCHERS && !l.plugin; i++) {
        const cti_launcher *from = &cti_launchers[i];
        const int rank = cti_launcher_number(from->rank);
        const int ranks = cti_launcher_number(from->ranks);

        if (ranks > 1 && rank >= 0 && rank < ranks)
            l = (cti_launched){ rank, ranks, from->plugin, from->mpi };
    }
    if (l.plugin && chosen) {
        l.plugin = strcmp(chosen, "mpich") == 0 ? "world-mpich" : "world-openmpi";
        l.mpi = strcmp(chosen, "mpich") == 0 ? "MPICH" : "Open MPI";
    }
    return l;
}

int ct_world_launched_rank(void)
{
    return cti_world_launched().rank;
}

int ct_world_launched_size(void)
{
    return cti_world_launched().ranks;
}

/* ---- opening ---- */

static struct {
    pthread_mutex_t lock;
    bool tried;
    cti_link *link; /* NULL if it could not be opened */
    char reason[400];
} process = { .lock = PTHREAD_MUTEX_INITIALIZER };

static cti_transport_open_function link_plugin(const cti_launched *l)
{
    cti_transport_open_function start = NULL;
    bool missing;
    void *symbol = cti_plugin_open_file(l->plugin, CTI_TRANSPORT_SYMBOL, &missing, process.reason,
                                        sizeof process.reason);

    if (symbol)
        memcpy(&start, &symbol, sizeof start);
    else if (missing)
        snprintf(process.reason, sizeof process.reason,
                 "the library has no plug-in %s.so for %s, so each process would train alone "
                 "(configure --with-openmpi or --with-mpich; COTANGENT_PLUGIN_DIR names the folder "
                 "of plug-ins)",
                 l->plugin, l->mpi);
    return start;
}

/* Writes the name of this machine and the identity of its boot. */
static void link_describe_host(char host[120])
{
    char name[64] = "?", boot[40];

    if (gethostname(name, sizeof name) != 0)
        strcpy(name, "?");
    name[sizeof name - 1] = '\0';
    cti_boot_name(boot);
    snprintf(host, 120, "%s (boot %s)", name, boot);
}

bool cti_link_begin(cti_link *l)
{
    cti_transport *t = &l->transport;
    cti_peer own = { .process = getpid() };
    ct_world w = { .link = l, .rank = t->rank, .ranks = t->ranks, .timeout = 120 };
    long here = 0;
    bool good;

    l->peer = calloc((size_t)t->ranks, sizeof *l->peer);
    if (!l->peer)
        return false;
    l->listening = t->receive(t, &l->heard, sizeof l->heard, CTI_ANY_RANK, CTI_TAG_FAILURE);
    link_describe_host(own.host);
    good = l->listening && cti_world_gather(&w, "ct_world_new", &own, sizeof own, l->peer);
    cti_release(w.waiting);
    for (int r = 0; r < t->ranks && good; r++)
        here += strcmp(l->peer[r].host, own.host) == 0;
    l->crowded = here > sysconf(_SC_NPROCESSORS_ONLN);
    return good;
}

/* Runs at the end of the program: waits for all ranks and ends MPI. After a failure MPI would
 * wait forever, so it is not ended; mpirun notices that. */
static void link_end(void)
{
    cti_link *l = process.link;
    ct_world w = { .link = l, .timeout = 60 };

    if (!l || !l->transport.runs(&l->transport))
        return;
    w.rank = l->transport.rank;
    w.ranks = l->transport.ranks;
    cti_world_tell_error(&w);
    if (l->broken || !cti_world_meet(&w, "ct_world")) {
        cti_world_end_together(&w);
        return;
    }
    cti_release(w.waiting);
    l->transport.cancel(&l->transport, l->listening);
    l->transport.finish(&l->transport);
    free(l->peer);
    free(l);
    process.link = NULL;
}

static void link_open(const cti_launched *launched)
{
    static cti_transport transport; /* static, because MPI keeps its address */
    cti_transport_open_function start = link_plugin(launched);
    cti_link *l;

    if (!start)
        return;
    l = calloc(1, sizeof *l);
    if (!l) {
        snprintf(process.reason, sizeof process.reason, "out of memory");
        return;
    }
    transport = (cti_transport){ .version = CTI_TRANSPORT_VERSION, .size = sizeof transport };
    if (!start(&transport)) {
        snprintf(process.reason, sizeof process.reason, "%s: %.200s", launched->mpi,
                 transport.reason);
    } else if (transport.ranks != launched->ranks) {
        snprintf(
            process.reason, sizeof process.reason,
            "%s says that there are %d processes, and the launcher's variables say %d: another "
            "MPI has started them",
            launched->mpi, transport.ranks, launched->ranks);
    } else {
        l->transport = transport;
        process.link = l;
        atexit(link_end);
        return;
    }
    free(l);
}

cti_link *cti_link_open(const char *function, bool *alone)
{
    const cti_launched launched = cti_world_launched();
    cti_link *l;

    *alone = !launched.plugin;
    if (*alone)
        return NULL;
    pthread_mutex_lock(&process.lock);
    if (!process.tried) {
        process.tried = true;
        link_open(&launched);
        if (process.link && !cti_link_begin(process.link))
            process.link->broken = true;
    }
    l = process.link;
    if (!l)
        ct_raise(CT_ERR_WORLD, function, "%s started %d processes, but %s", launched.mpi,
                 launched.ranks, process.reason);
    pthread_mutex_unlock(&process.lock);
    return l;
}

/* SPDX-License-Identifier: MIT */
/* world_gpu.c - the GPUs of the ranks: they are compared, and gradients are moved between them
 * without a copy on the host. The numbers that the ranks exchange go through MPI; the additions of
 * the tree are kernels of the device. */
#include "tensor/internal.h"

#include "tensor/environment.h"
#include "tensor/hooks.h"
#include "tensor/log.h"
#include "tensor/plugin.h"
#include "train/world_internal.h"

#include <cotangent/tensor/device.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- comparing the GPUs ---- */

/* The description of a rank's GPU, which it sends to the others. */
typedef struct gpu_card {
    cti_about about;
    char host[120];
    char library[40]; /* "": sums go through MPI */
    char reason[200]; /* if library is "": why */
} gpu_card;

/* Opens the plug-in for the kind of device d. Returns false and writes the reason if there is
 * none. */
static bool gpu_open(ct_device d, cti_collective *c, char *reason, size_t size)
{
    const char *chosen = cti_environment("COTANGENT_NCCL");
    const char *plugin =
        strncmp(ct_device_name(d), "cuda-emu", 8) == 0 ? "world-nccl-emu" : "world-nccl";
    cti_collective_open_function start;
    void *symbol;
    bool missing;

    *c = (cti_collective){ .version = CTI_COLLECTIVE_VERSION, .size = sizeof *c };
    if (chosen && strcmp(chosen, "0") == 0) {
        snprintf(reason, size, "COTANGENT_NCCL is 0");
        return false;
    }
    symbol = cti_plugin_open_file(plugin, CTI_COLLECTIVE_SYMBOL, &missing, reason, size);
    if (!symbol)
        return false;
    memcpy(&start, &symbol, sizeof start);
    if (start(c))
        return true;
    snprintf(reason, size, "%.180s", c->reason);
    return false;
}

/* Describes the GPU of this rank. Returns false with an error. */
static bool gpu_describe(ct_world *w, gpu_card *card)
{
    const cti_async *async = cti_backend_of(w->gpu.device)->async;

    memset(card, 0, sizeof *card);
    if (!async || !async->describe || !async->stream || !async->event_done) {
        snprintf(card->reason, sizeof card->reason, "the device has no streams");
        return true;
    }
    if (!async->describe(&card->about))
        return false;
    memcpy(card->host, w->link->peer[w->rank].host, sizeof card->host);
    if (gpu_open(w->gpu.device, &w->gpu.collective, card->reason, sizeof card->reason))
        memcpy(card->library, w->gpu.collective.library, sizeof card->library);
    return true;
}

/* Rank 0 prints the differences on which the last bits depend. */
static void gpu_note_models(const ct_world *w, const gpu_card *all)
{
    for (int r = 1; r < w->ranks && w->rank == 0; r++)
        if (strcmp(all[r].about.model, all->about.model) != 0)
            cti_log("note: the GPU of rank %d is %.159s, and that of rank 0 is %.159s; the last "
                    "bits may depend on which rank has a shard",
                    r, all[r].about.model, all->about.model);
}

/* Returns NULL if all ranks can add up over NCCL. Otherwise writes the reason to text. */
static const char *gpu_obstacle(const ct_world *w, const gpu_card *all, char text[300])
{
    for (int r = 0; r < w->ranks; r++) {
        if (!all[r].library[0]) {
            snprintf(text, 300, "rank %d has no NCCL: %.199s", r, all[r].reason);
            return text;
        }
        if (strcmp(all[r].library, all->library) != 0) {
            snprintf(text, 300, "rank %d has %.39s, and rank 0 has %.39s", r, all[r].library,
                     all->library);
            return text;
        }
        for (int k = 0; k < r; k++)
            if (strcmp(all[r].host, all[k].host) == 0 &&
                strcmp(all[r].about.place, all[k].about.place) == 0) {
                snprintf(text, 300, "ranks %d and %d share a GPU", k, r);
                return text;
            }
    }
    return NULL;
}

/* Makes the group of all ranks. Returns false with an error. */
static bool gpu_join(ct_world *w, const char *function)
{
    cti_collective *c = &w->gpu.collective;
    const cti_async *async = cti_backend_of(w->gpu.device)->async;
    struct {
        char made, identity[CTI_COLLECTIVE_ID];
    } first = { 0, { 0 } };

    if (w->rank == 0)
        first.made = c->make_identity(c, first.identity);
    if (!cti_world_spread(w, function, &first, sizeof first))
        return false;
    if (!first.made || !c->join(c, first.identity, w->rank, w->ranks)) {
        ct_raise(CT_ERR_WORLD, function, "%s: %.200s", c->library,
                 first.made ? c->reason : "rank 0 has no unique id");
        return false;
    }
    w->gpu.event = async->event_new();
    w->gpu.sums = w->gpu.event != NULL;
    return w->gpu.sums;
}

/* Compares the GPUs and decides how gradients are added up. Returns false with an error. */
static bool gpu_compare(ct_world *w, const char *function)
{
    gpu_card own, *all = calloc((size_t)w->ranks, sizeof *all);
    char text[300];
    bool good;

    if (!all) {
        cti_out_of_memory(function, (size_t)w->ranks * sizeof *all);
        return false;
    }
    good = gpu_describe(w, &own) && cti_world_gather(w, function, &own, sizeof own, all);
    if (good) {
        gpu_note_models(w, all);
        if (!gpu_obstacle(w, all, text))
            good = gpu_join(w, function);
        else if (w->rank == 0 && strstr(ct_device_name(w->gpu.device), "emu") == NULL)
            cti_log("note: gradients are added up through MPI: %s", text);
    }
    cti_world_release(w, all);
    return good;
}

bool cti_gpu_meet(ct_world *w, const char *function, ct_device device)
{
    if (!w->link || device == CT_CPU || w->gpu.device != CT_CPU)
        return true;
    if (!cti_world_usable(w, function))
        return false;
    w->gpu.device = device;
    if (gpu_compare(w, function))
        return true;
    cti_world_tell_error(w);
    return false;
}

/* ---- the end ---- */

static void gpu_drop_event(ct_world *w)
{
    if (w->gpu.event)
        cti_backend_of(w->gpu.device)->async->event_free(w->gpu.event);
    w->gpu.event = NULL;
}

void cti_gpu_abandon(ct_world *w)
{
    if (w->gpu.collective.self)
        w->gpu.collective.abandon(&w->gpu.collective);
    gpu_drop_event(w);
}

void cti_gpu_leave(ct_world *w)
{
    if (!ct_ok() || w->link->broken) {
        cti_gpu_abandon(w);
        return;
    }
    if (w->gpu.collective.self)
        w->gpu.collective.leave(&w->gpu.collective);
    gpu_drop_event(w);
}

/* ---- arithmetic ---- */

void cti_gpu_add(ct_device device, float *a, const float *b, int64_t n)
{
    const cti_ew e = { .op = CTI_EW_add,
                       .dtype = CT_F32,
                       .inputs = 2,
                       .rank = 1,
                       .dim = { n },
                       .out = a,
                       .out_stride = { 1 },
                       .in = { a, b },
                       .in_stride = { { 1 }, { 1 } } };

    cti_backend_of(device)->elementwise(&e);
}

void cti_gpu_put(ct_device device, float *to, const ct_tensor *from, int64_t n)
{
    const cti_backend *be = cti_backend_of(device);
    const cti_array dst = { to, CT_F32, { 1 } };

    if (from) {
        const cti_array src = { cti_data(from), CT_F32, { 1 } };

        be->copy(1, &n, &dst, &src);
    } else {
        be->fill(to, CT_F32, n, 0);
    }
}

static void gpu_divide(ct_device device, ct_dtype dtype, void *to, const void *from, int64_t n,
                       double by)
{
    const cti_ew e = { .op = CTI_EW_div_scalar,
                       .dtype = dtype,
                       .inputs = 1,
                       .rank = 1,
                       .dim = { n },
                       .out = to,
                       .out_stride = { 1 },
                       .in = { from },
                       .in_stride = { { 1 } },
                       .param = { by } };

    cti_backend_of(device)->elementwise(&e);
}

void cti_gpu_get(const char *function, ct_tensor *to, float *from, double by)
{
    const cti_array narrow = { cti_data(to), CT_F32, { 1 } }, sums = { from, CT_F32, { 1 } };
    const cti_backend *be = cti_backend_of(to->device);
    int64_t n = to->numel;
    ct_tensor *wide;
    cti_array between = { NULL, CT_F64, { 1 } };

    if ((double)(float)by == by) {
        gpu_divide(to->device, CT_F32, narrow.data, from, n, by);
        return;
    }
    wide = cti_new(function, to->shape, CT_F64, to->device);
    if (!wide)
        return;
    between.data = cti_data(wide);
    be->copy(1, &n, &between, &sums);
    gpu_divide(to->device, CT_F64, between.data, between.data, n, by);
    be->copy(1, &n, &narrow, &between);
}

ct_storage *cti_gpu_new(ct_device device, int64_t floats)
{
    ct_storage *s = cti_storage_new(device, (size_t)floats * sizeof(float));

    if (s) /* the padding of the segments is added up, too */
        cti_backend_of(device)->fill(s->data, CT_F32, floats, 0);
    return s;
}

/* ---- between ranks ---- */

/* Raises the reason of the plug-in, and tells it to the other ranks. Returns false. */
static bool gpu_fail(ct_world *w, const char *function)
{
    ct_raise(CT_ERR_WORLD, function, "%s: %.200s", w->gpu.collective.library,
             w->gpu.collective.reason);
    cti_world_tell_error(w);
    return false;
}

bool cti_gpu_exchange(ct_world *w, const char *function, const cti_collective_piece *pieces,
                      int count)
{
    cti_collective *c = &w->gpu.collective;
    void *stream = cti_backend_of(w->gpu.device)->async->stream();

    return (stream && c->exchange(c, pieces, count, stream)) || gpu_fail(w, function);
}

static int gpu_is_done(ct_world *w)
{
    cti_collective *c = &w->gpu.collective;
    const int done = cti_backend_of(w->gpu.device)->async->event_done(w->gpu.event);

    return !done && !c->good(c) ? -1 : done;
}

bool cti_gpu_all_gather(ct_world *w, const char *function, const float *own, float *all,
                        int64_t floats)
{
    cti_collective *c = &w->gpu.collective;
    const cti_async *async = cti_backend_of(w->gpu.device)->async;
    void *stream = async->stream();
    int done;

    if (!stream || !c->all_gather(c, own, all, (size_t)floats, stream))
        return gpu_fail(w, function);
    async->event_record(w->gpu.event, CTI_COMPUTE);
    done = cti_world_wait_until(w, function, gpu_is_done);
    if (done < 0 && ct_ok())
        return gpu_fail(w, function);
    /* after an operation that failed, the event is passed without its result */
    return done > 0 && (c->good(c) || gpu_fail(w, function));
}

/* SPDX-License-Identifier: MIT */
/* world.c - makes and frees worlds, compares the ranks, and has the functions that all ranks
 * call together. */
#include "tensor/internal.h"

#include "tensor/environment.h"
#include "tensor/hooks.h"
#include "tensor/log.h"
#include "train/internal.h"
#include "train/world_internal.h"

#include <cotangent/tensor/build_info.h>
#include <cotangent/tensor/config.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- comparing the ranks ---- */

/* The description of a rank, which it sends to the others. */
typedef struct world_build {
    char version[40];
    int32_t shards, portable;
    char processor[200]; /* the last bits of the results depend on it */
} world_build;

/* Compares the ranks with rank 0. Returns false with an error, which is the same on all ranks. */
static bool world_compare(ct_world *w, const char *function)
{
    world_build own = { .shards = w->shards, .portable = ct_portable() };
    world_build *all = calloc((size_t)w->ranks, sizeof *all), *first = all;

    if (!all) {
        cti_out_of_memory(function, (size_t)w->ranks * sizeof *all);
        return false;
    }
    snprintf(own.version, sizeof own.version, "%s", PACKAGE_VERSION);
    cti_run_processor(own.processor);
    cti_world_gather(w, function, &own, sizeof own, all);
    for (int r = 1; r < w->ranks && ct_ok(); r++)
        if (strcmp(all[r].version, first->version) != 0)
            ct_raise(CT_ERR_WORLD, function, "rank %d runs version %.39s, and rank 0 %.39s", r,
                     all[r].version, first->version);
        else if (all[r].shards != first->shards)
            ct_raise(CT_ERR_WORLD, function, "rank %d has %d shards, and rank 0 has %d", r,
                     (int)all[r].shards, (int)first->shards);
        else if (all[r].portable != first->portable)
            ct_raise(CT_ERR_WORLD, function, "ct_set_portable differs between ranks %d and 0", r);
        else if (w->rank == 0 && strcmp(all[r].processor, first->processor) != 0)
            cti_log(
                "note: rank %d runs on %.150s and rank 0 on %.150s; the last bits may depend on "
                "which rank has a shard",
                r, all[r].processor, first->processor);
    cti_world_release(w, all);
    return ct_ok();
}

/* ---- making a world ---- */

/* The number in an environment variable, or `otherwise` if it is unset. */
static double world_variable(const char *name, double otherwise)
{
    const char *text = cti_environment(name);

    return text ? strtod(text, NULL) : otherwise;
}

/* Fills in the defaults. Returns false with an error. */
static bool world_settle(const char *function, const cti_link *l, ct_world_options *o)
{
    const int ranks = l ? l->transport.ranks : 1;

    if (!o->shards)
        o->shards = (int)world_variable("COTANGENT_SHARDS", ranks);
    if (o->timeout_s == 0)
        o->timeout_s = world_variable("COTANGENT_WORLD_TIMEOUT", 600);
    if (o->shards < 1 || o->shards > CTI_WORLD_SHARDS)
        ct_raise(CT_ERR_ARGUMENT, function, "shards is %d; it must be in 1..%d", o->shards,
                 CTI_WORLD_SHARDS);
    else if (o->shards < ranks)
        ct_raise(CT_ERR_ARGUMENT, function,
                 "%d shards are too few for %d ranks; each rank needs at least one", o->shards,
                 ranks);
    else if (!(o->timeout_s > 0 && o->timeout_s < INFINITY))
        ct_raise(CT_ERR_ARGUMENT, function, "timeout_s is %g; it must be finite and above 0",
                 o->timeout_s);
    return ct_ok();
}

ct_world *cti_world_new_on(const char *function, cti_link *l, ct_world_options o)
{
    ct_world *w;

    if (!world_settle(function, l, &o))
        return NULL;
    w = cti_calloc(1, sizeof *w);
    if (!w) {
        cti_out_of_memory(function, sizeof *w);
        return NULL;
    }
    *w = (ct_world){ .link = l, .ranks = 1, .shards = o.shards, .timeout = o.timeout_s };
    w->step.current = -1;
    if (l) {
        w->rank = l->transport.rank;
        w->ranks = l->transport.ranks;
    }
    w->first = cti_world_first_shard(w->rank, w->ranks, w->shards);
    w->end = cti_world_first_shard(w->rank + 1, w->ranks, w->shards);
    if (!l || (cti_world_usable(w, function) && world_compare(w, function)))
        return w;
    ct_world_free(w);
    return NULL;
}

ct_world *ct_world_new(ct_world_options options)
{
    static const char *const me = "ct_world_new";
    bool alone;
    cti_link *l;

    if (!cti_sink_allowed())
        return NULL;
    l = cti_link_open(me, &alone);
    return l || alone ? cti_world_new_on(me, l, options) : NULL;
}

void ct_world_free(ct_world *w)
{
    if (!w)
        return;
    cti_world_tell_error(w);
    if (w->gpu.device != CT_CPU)
        cti_gpu_leave(w);
    if (!w->link || !w->link->in_use)
        cti_sum_free(&w->sum);
    cti_release(w->waiting);
    cti_release(w);
}

/* ---- access ---- */

int ct_world_rank(const ct_world *w)
{
    return w ? w->rank : 0;
}

int ct_world_size(const ct_world *w)
{
    return w ? w->ranks : 1;
}

int ct_world_shards(const ct_world *w)
{
    return w ? w->shards : 1;
}

/* ---- all ranks together ---- */

ct_status ct_world_broadcast(ct_world *w, void *data, size_t bytes)
{
    static const char *const me = "ct_world_broadcast";

    if (bytes && !cti_given(me, "data", data))
        return ct_error();
    if (!cti_sink_allowed())
        cti_world_tell_error(w);
    else if (w && w->link)
        cti_world_spread(w, me, data, bytes);
    return ct_error();
}

ct_status ct_world_barrier(ct_world *w)
{
    if (!cti_sink_allowed())
        cti_world_tell_error(w);
    else if (w && w->link)
        cti_world_meet(w, "ct_world_barrier");
    return ct_error();
}

ct_status ct_world_fail(ct_world *w, const char *text)
{
    static const char *const me = "ct_world_fail";

    if (!cti_given(me, "text", text))
        return ct_error();
    ct_raise(CT_ERR_WORLD, me, "rank %d: %.400s", ct_world_rank(w), text);
    if (w && w->link)
        cti_world_tell(w, text);
    return CT_ERR_WORLD;
}

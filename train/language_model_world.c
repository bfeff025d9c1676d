/* SPDX-License-Identifier: MIT */
/* language_model_world.c - the shards of an evaluation and of a generation: the ranks of a world share
 * a text or the requests, and all ranks get all results. */
#include "tensor/internal.h"

#include "train/language_model_internal.h"

#include "tensor/hooks.h"
#include "train/internal.h"
#include "train/world_internal.h"

#include <cotangent/data/text.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cti_lm_world_begin(const char *function, ct_world *w, const ct_lm *m, const char digest[65])
{
    char digests[2][65] = { "", "" }, own[65], *all;

    if (!w)
        return ct_ok();
    if (w->step.params || w->sum.total.bytes)
        ct_raise(CT_ERR_ARGUMENT, function, "the shards of a batch are not reduced yet");
    if (ct_ok() && (!w->link || !cti_params_digest(m->params, digests[0])))
        return ct_ok();
    memcpy(digests[1], digest, sizeof digests[1]);
    ct_sha256_hex(digests, sizeof digests, own);
    all = ct_ok() ? malloc((size_t)w->ranks * sizeof own) : NULL;
    if (ct_ok() && !all)
        cti_out_of_memory(function, (size_t)w->ranks * sizeof own);
    if (ct_ok())
        cti_world_gather(w, function, own, sizeof own, all);
    for (int r = 1; r < w->ranks && ct_ok(); r++)
        if (memcmp(all, all + (size_t)r * sizeof own, sizeof own) != 0)
            ct_raise(CT_ERR_WORLD, function,
                     "the model or the input of rank %d differs from that of rank 0", r);
    cti_world_release(w, all);
    cti_world_tell_error(w);
    return ct_ok();
}

void cti_lm_world_shards(const ct_world *w, int *first, int *end)
{
    *first = w ? w->first : 0;
    *end = w ? w->end : 1;
}

void cti_lm_world_part(const ct_world *w, int shard, int64_t count, int64_t *from, int64_t *to)
{
    *from = w ? shard * count / w->shards : 0;
    *to = w ? (shard + 1) * count / w->shards : count;
}

/* ---- a sum ---- */

double cti_lm_world_sum(const char *function, ct_world *w, int64_t count, cti_lm_part part,
                        const void *context)
{
    int64_t from, to, run;
    double result = NAN;
    bool stop = false;
    const cti_sum_memory none = { NULL, NULL };
    cti_sum_memory vector;

    if (!w)
        return part(context, 0, count);
    cti_sum_begin(w, 1, 0, 0);
    for (int s = w->first; s < w->end && ct_ok(); s++) {
        cti_lm_world_part(w, s, count, &from, &to);
        vector = to > from ? cti_sum_vector(w, function) : none;
        if (vector.bytes)
            *cti_sum_doubles(&w->sum.layout, vector.bytes, 0, &run) = part(context, from, to);
        cti_sum_add(w, s, vector);
    }
    vector = ct_ok() ? cti_sum_all(w, function, &stop) : none;
    if (vector.bytes)
        result = *cti_sum_doubles(&w->sum.layout, vector.bytes, 0, &run);
    cti_world_tell_error(w);
    return result;
}

/* ---- the results of requests ---- */

/* A result in a message. The bytes of the text follow. */
typedef struct lm_packed {
    int64_t size; /* of the text; -1 for NULL */
    int32_t status, unused;
    char message[160];
} lm_packed;

_Static_assert(sizeof((ct_lm_request *)NULL)->message == sizeof((lm_packed *)NULL)->message,
               "a result has the message of its request");

/* The requests of a rank. */
static void lm_rank_part(const ct_world *w, int rank, int64_t count, int64_t *from, int64_t *to)
{
    int64_t unused;

    cti_lm_world_part(w, cti_world_first_shard(rank, w->ranks, w->shards), count, from, &unused);
    cti_lm_world_part(w, cti_world_first_shard(rank + 1, w->ranks, w->shards) - 1, count, &unused,
                      to);
}

/* Returns the results of requests as bytes, from malloc; NULL with an error. */
static char *lm_pack(const char *function, const ct_lm_request *r, int64_t count, int64_t *bytes)
{
    char *all, *to;

    *bytes = 0;
    for (int64_t i = 0; i < count; i++)
        *bytes += (int64_t)(sizeof(lm_packed) + (r[i].text ? strlen(r[i].text) : 0));
    to = all = calloc(1, (size_t)*bytes + 1);
    if (!all)
        cti_out_of_memory(function, (size_t)*bytes + 1);
    for (int64_t i = 0; all && i < count; i++) {
        lm_packed p = { .size = r[i].text ? (int64_t)strlen(r[i].text) : -1,
                        .status = (int32_t)r[i].status };

        memcpy(p.message, r[i].message, sizeof p.message);
        memcpy(to, &p, sizeof p);
        to += sizeof p;
        if (p.size > 0)
            memcpy(to, r[i].text, (size_t)p.size);
        to += p.size > 0 ? p.size : 0;
    }
    return all;
}

/* Writes the results in these bytes to the requests. Returns false with an error. */
static bool lm_unpack(const char *function, ct_lm_request *r, int64_t count, const char *from,
                      int64_t bytes)
{
    for (int64_t i = 0; i < count && ct_ok(); i++) {
        lm_packed p = { .size = -1 };

        if (bytes >= (int64_t)sizeof p)
            memcpy(&p, from, sizeof p);
        bytes -= (int64_t)sizeof p;
        if (bytes < 0 || p.size > bytes) {
            ct_raise(CT_ERR_WORLD, function, "a rank has sent results that are too short");
            break;
        }
        from += sizeof p;
        r[i].status = (ct_status)p.status;
        snprintf(r[i].message, sizeof r[i].message, "%.*s", (int)sizeof p.message - 1, p.message);
        if (p.size < 0)
            continue;
        r[i].text = cti_calloc(1, (size_t)p.size + 1);
        if (!r[i].text) {
            cti_out_of_memory(function, (size_t)p.size + 1);
            break;
        }
        memcpy(r[i].text, from, (size_t)p.size);
        from += p.size;
        bytes -= p.size;
    }
    return ct_ok();
}

/* Sends own[bytes of this rank] to all, and receives theirs, one after another, into `all`. */
static bool lm_exchange(const char *function, ct_world *w, const char *own, const int64_t *bytes,
                        char *all)
{
    size_t at = 0;

    for (int r = 0; r < w->ranks; at += (size_t)bytes[r++])
        if (r != w->rank &&
            !cti_world_receive(w, function, all + at, (size_t)bytes[r], r, CTI_TAG_GATHER))
            return false;
    for (int r = 0; r < w->ranks; r++)
        if (r != w->rank &&
            !cti_world_send(w, function, own, (size_t)bytes[w->rank], r, CTI_TAG_GATHER))
            return false;
    return cti_world_wait(w, function);
}

/* Exchanges the results with the other ranks. `bytes` has room for a number of each rank. */
static void lm_share(const char *function, ct_world *w, int64_t count, ct_lm_request *requests,
                     int64_t *bytes)
{
    int64_t from, to, own_bytes = 0, sum = 0;
    char *own, *all = NULL;

    lm_rank_part(w, w->rank, count, &from, &to);
    own = lm_pack(function, requests + from, to - from, &own_bytes);
    if (own && cti_world_gather(w, function, &own_bytes, sizeof own_bytes, bytes)) {
        for (int r = 0; r < w->ranks; r++)
            sum += bytes[r];
        all = calloc(1, (size_t)sum + 1);
        if (!all)
            cti_out_of_memory(function, (size_t)sum + 1);
    }
    if (all && lm_exchange(function, w, own, bytes, all))
        for (int64_t r = 0, at = 0; r < w->ranks && ct_ok(); at += bytes[r++]) {
            lm_rank_part(w, (int)r, count, &from, &to);
            if (r != w->rank)
                lm_unpack(function, requests + from, to - from, all + at, bytes[r]);
        }
    cti_world_release(w, own);
    cti_world_release(w, all);
}

void cti_lm_world_share(const char *function, ct_world *w, int64_t count, ct_lm_request *requests)
{
    int64_t *bytes;

    if (!w || !w->link)
        return;
    if (ct_ok()) {
        bytes = malloc((size_t)w->ranks * sizeof *bytes);
        if (bytes)
            lm_share(function, w, count, requests, bytes);
        else
            cti_out_of_memory(function, (size_t)w->ranks * sizeof *bytes);
        cti_world_release(w, bytes);
    }
    cti_world_tell_error(w);
}

void cti_lm_world_end(ct_world *w)
{
    cti_world_tell_error(w);
}

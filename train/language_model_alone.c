/* SPDX-License-Identifier: MIT */
/* language_model_alone.c - evaluation and generation in a library for inference only, which has no worlds:
 * w is always NULL. In the place of language_model_world.c. */
#include "tensor/internal.h"

#include "train/language_model_internal.h"

bool cti_lm_world_begin(const char *function, ct_world *w, const ct_lm *m, const char digest[65])
{
    (void)function, (void)w, (void)m, (void)digest;
    return ct_ok();
}

void cti_lm_world_shards(const ct_world *w, int *first, int *end)
{
    (void)w;
    *first = 0;
    *end = 1;
}

void cti_lm_world_part(const ct_world *w, int shard, int64_t count, int64_t *from, int64_t *to)
{
    (void)w, (void)shard;
    *from = 0;
    *to = count;
}

double cti_lm_world_sum(const char *function, ct_world *w, int64_t count, cti_lm_part part,
                        const void *context)
{
    (void)function, (void)w;
    return part(context, 0, count);
}

void cti_lm_world_share(const char *function, ct_world *w, int64_t count, ct_lm_request *requests)
{
    (void)function, (void)w, (void)count, (void)requests;
}

void cti_lm_world_end(ct_world *w)
{
    (void)w;
}

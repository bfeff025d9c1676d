/* SPDX-License-Identifier: MIT */
/* language_model_internal.h - the struct behind ct_lm. (internal) */
#ifndef COTANGENT_TRAIN_LANGUAGE_MODEL_INTERNAL_H
#define COTANGENT_TRAIN_LANGUAGE_MODEL_INTERNAL_H

#include "train/model_notes.h"

#include <cotangent/nn/generate.h>
#include <cotangent/nn/module.h>
#include <cotangent/train/language_model.h>

struct ct_lm {
    ct_lm_options options; /* with all defaults filled in */
    ct_params *params;
    ct_module *embedding; /* NULL: one-hot */
    ct_module *dropout;   /* NULL: none */
    ct_recurrent *rnn;
    ct_module *linear;
    ct_vocab *vocab;
    ct_clean clean;
    char sha256[65];
    int64_t corpus_tokens;
    cti_notes notes;
};

/* Fills in the defaults and checks the options; false with an error. */
bool cti_lm_check(const char *function, ct_lm_options *o);

/* True if m is not NULL and no error is recorded; else raises one unless one is recorded. */
bool cti_lm_given(const char *function, const ct_lm *m);

/* ids of shape S -> the input of the recurrent layers, S + (in). */
ct_tensor *cti_lm_inputs(const ct_lm *m, ct_tensor *ids);

/* A plan of ct_lm_step: lm is the model. */
ct_status cti_lm_plan_step(void *lm, ct_plan_call *call);

/* True if a plan can generate with these options, whose defaults are filled in. */
bool cti_lm_may_plan(const ct_lm *m, const ct_generation_options *o);

/* Generates the tokens of one row, by a plan, and hands each to o->emit. Raises its errors. */
void cti_lm_generate_planned(const ct_lm *m, const ct_generation_options *o,
                             const ct_generation_row *row);

/* ---- shards (language_model_world.c); w is NULL for this process alone ---- */

/* Compares the parameters, and the digest of the input, with those of the other ranks. Returns false
 * with an error. */
bool cti_lm_world_begin(const char *function, ct_world *w, const ct_lm *m, const char digest[65]);

/* The shards of this rank are *first to *end - 1. */
void cti_lm_world_shards(const ct_world *w, int *first, int *end);

/* Things *from to *to - 1 of `count` belong to a shard. */
void cti_lm_world_part(const ct_world *w, int shard, int64_t count, int64_t *from, int64_t *to);

/* Returns the sum over all shards of part(context, from, to), in the order of the tree; without a
 * world, that of all things. Shards without things are left out. NaN with an error. */
typedef double (*cti_lm_part)(const void *context, int64_t from, int64_t to);
double cti_lm_world_sum(const char *function, ct_world *w, int64_t count, cti_lm_part part,
                        const void *context);

/* Gives each rank the results of the others. If an error is recorded, sends it to them instead. */
void cti_lm_world_share(const char *function, ct_world *w, int64_t count, ct_lm_request *requests);

/* After an error of this rank, tells it to the others. */
void cti_lm_world_end(ct_world *w);

/* Makes a model, which owns vocab from now on, even after an error. */
ct_lm *cti_lm_make(const char *function, const ct_lm_options *o, ct_vocab *vocab);

#endif

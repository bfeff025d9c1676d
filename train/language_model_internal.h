/* language_model_internal.h - what a language model is. (internal) */
#ifndef COTANGENT_TRAIN_LANGUAGE_MODEL_INTERNAL_H
#define COTANGENT_TRAIN_LANGUAGE_MODEL_INTERNAL_H

#include "train/model_notes.h"

#include <cotangent/nn/module.h>
#include <cotangent/train/language_model.h>

struct ct_lm {
    ct_lm_options options; /* no 0 that stands for a default */
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

/* Fills in the defaults; false, with the error, for options that cannot be. */
bool cti_lm_check(const char *function, ct_lm_options *o);

/* A model that takes vocab over, whatever comes of it. */
ct_lm *cti_lm_make(const char *function, const ct_lm_options *o, ct_vocab *vocab);

#endif

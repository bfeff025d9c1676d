/* SPDX-License-Identifier: MIT */
/* lm.h - a character language model with any forward function, for examples that compare
 * several. */
#ifndef EXAMPLES_LM_H
#define EXAMPLES_LM_H

#include "common.h"

typedef struct lm {
    /* ids (B, T) -> logits (B, T, vocab). If next is not NULL, *next becomes the state after the
     * last step. */
    ct_tensor *(*forward)(struct lm *m, ct_tensor *ids, const ct_state *state, ct_state **next);
    ct_params *params;
    ct_loader *train, *val; /* val is NULL except in the book protocol */
    ct_trainer trainer;     /* made from the options, but prints nothing */
    double lr;
    bool adam; /* true: Adam; false: SGD */
    int vocab;
    ct_recurrent *rnn; /* the parts that lm_forward uses */
    ct_module *linear;
} lm;

/* Makes everything but the model: an empty set of parameters, a trainer, and loaders at their first
 * epoch. The corpus must outlive it. */
lm lm_begin(const options *o, const ct_corpus *corpus);

/* Makes the chapter's model: one-hot vectors, the recurrent module o->model with the options r, and
 * a Linear. */
lm lm_new(const options *o, const ct_corpus *corpus, ct_nn_recurrent_options r);
ct_tensor *lm_forward(lm *m, ct_tensor *ids, const ct_state *state, ct_state **next);
void lm_free(lm *m);

ct_status lm_fit(lm *m, ct_fit_result *fit);

#endif

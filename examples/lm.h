/* lm.h - a character language model around any forward: for the examples that compare several. */
#ifndef EXAMPLES_LM_H
#define EXAMPLES_LM_H

#include "common.h"

typedef struct lm {
    /* ids (B, T) -> logits (B, T, vocab); *next, if wanted, is the state after the last step */
    ct_tensor *(*forward)(struct lm *m, ct_tensor *ids, const ct_state *state, ct_state **next);
    ct_params *params;
    ct_loader *train, *val; /* val: of the book protocol, else NULL */
    ct_trainer trainer;     /* as the options have it, but silent */
    double lr;
    bool adam; /* else SGD */
    int vocab;
    ct_recurrent *rnn; /* what lm_forward uses */
    ct_module *linear;
} lm;

/* All but the model: an empty set of parameters, a trainer, and batches from their first epoch on.
 * The corpus must outlive it. */
lm lm_begin(const options *o, const ct_corpus *corpus);

/* The chapter's model: one-hot vectors, o->model with what else r says, and a Linear. */
lm lm_new(const options *o, const ct_corpus *corpus, ct_nn_recurrent_options r);
ct_tensor *lm_forward(lm *m, ct_tensor *ids, const ct_state *state, ct_state **next);
void lm_free(lm *m);

ct_status lm_fit(lm *m, ct_fit_result *fit);

#endif

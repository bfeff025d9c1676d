/* SPDX-License-Identifier: MIT */
/* lm.c - a character language model with any forward function. */
#include "lm.h"

/* ---- the chapter's model ---- */

ct_tensor *lm_forward(lm *m, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    ct_tensor *x = ct_one_hot(ct_transpose(ids, 0, 1), m->vocab); /* (T, B, vocab) */
    ct_tensor *y = ct_recurrent_forward(m->rnn, x, state, next);  /* (T, B, hidden) */

    return ct_transpose(ct_forward(m->linear, y), 0, 1);
}

lm lm_begin(const options *o, const ct_corpus *corpus)
{
    lm m = { .train = options_train_loader(o, corpus),
             .val = options_val_loader(o, corpus),
             .trainer = options_trainer(o, corpus),
             .lr = o->lr,
             .vocab = ct_vocab_size(ct_corpus_vocab(corpus)) };

    m.trainer.out = NULL;
    m.params = ct_params_new((ct_params_options){ .seed = o->seed, .device = o->device });
    return m;
}

lm lm_new(const options *o, const ct_corpus *corpus, ct_nn_recurrent_options r)
{
    lm m = lm_begin(o, corpus);

    m.forward = lm_forward;
    r.input_size = m.vocab;
    r.hidden_size = o->hidden;
    r.num_layers = (int)o->layers;
    r.dialect = o->dialect;
    m.rnn = o->model(m.params, "rnn", r);
    m.linear = ct_nn_linear(m.params, "linear",
                            (ct_nn_linear_options){ .in_features = o->hidden,
                                                    .out_features = m.vocab,
                                                    .dialect = o->dialect });
    return m;
}

void lm_free(lm *m)
{
    ct_params_free(m->params);
    ct_loader_free(m->train);
    ct_loader_free(m->val);
}

/* ---- training ---- */

static ct_tensor *training_step(void *self, ct_step *s)
{
    lm *m = self;

    return ct_cross_entropy(m->forward(m, s->batch->x, s->state, s->next), s->batch->y);
}

static ct_optimizer *configure_optimizers(void *self)
{
    const lm *m = self;

    return m->adam ? ct_adam_new(m->params, (ct_adam_options){ .lr = m->lr })
                   : ct_sgd_new(m->params, (ct_sgd_options){ .lr = m->lr });
}

ct_status lm_fit(lm *m, ct_fit_result *fit)
{
    const ct_model model = { .self = m,
                             .params = m->params,
                             .training_step = training_step,
                             .configure_optimizers = configure_optimizers };

    return ct_fit(&m->trainer, &model, m->train, m->val, fit);
}

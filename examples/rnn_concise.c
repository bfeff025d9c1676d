/* SPDX-License-Identifier: MIT */
/* rnn_concise.c - a character language model of The Time Machine: d2l.ai's chapter "Concise
 * Implementation of Recurrent Neural Networks". */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "common.h"

typedef struct rnnlm {
    ct_params *params;
    ct_recurrent *rnn;
    ct_module *linear;
    double lr;
    int vocab;
} rnnlm;

/* ids (B, T) -> hidden states (T, B, hidden); *next is the state after the last step */
static ct_tensor *rnnlm_hidden(rnnlm *m, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    ct_tensor *x = ct_one_hot(ct_transpose(ids, 0, 1), m->vocab); /* (T, B, vocab) */

    return ct_recurrent_forward(m->rnn, x, state, next);
}

/* The cross-entropy of ct_forward(m->linear, h), which needs no memory for the logits. */
static ct_tensor *step(void *self, ct_step *s)
{
    rnnlm *m = self;
    ct_tensor *h = rnnlm_hidden(m, s->batch->x, s->state, s->next),
              *y = ct_transpose(s->batch->y, 0, 1);

    return ct_nn_linear_cross_entropy(m->linear, h, y, (ct_cross_entropy_options){ 0 });
}

static ct_optimizer *configure_optimizers(void *self)
{
    const rnnlm *m = self;

    return ct_sgd_new(m->params, (ct_sgd_options){ .lr = m->lr });
}

/* Prints prefix and the n most likely characters after it. */
static void predict(rnnlm *m, const ct_vocab *vocab, const char *label, const char *prefix,
                    int64_t n)
{
    size_t size = strlen(prefix), given = 0, count = 0;
    int32_t *ids = calloc(size + (size_t)n, sizeof *ids);
    ct_state *state = ct_recurrent_begin_state(m->rnn, 1);
    ct_device device = ct_params_device(m->params);
    char *text;

    if (ids)
        given = (size_t)ct_vocab_encode(vocab, prefix, size, ids, NULL);
    count = given + (size_t)n;
    for (size_t i = 0; ids && i + 1 < count; i++) {
        ct_scope step = ct_scope_begin_no_grad();
        ct_state *next;
        ct_tensor *id = ct_from_data(&ids[i], CT_SHAPE(1, 1), CT_I32, device);
        ct_tensor *logits = ct_forward(m->linear, rnnlm_hidden(m, id, state, &next));

        if (i + 1 >= given)
            ids[i + 1] = (int32_t)ct_item(ct_argmax(logits, 2, false));
        ct_state_carry(state, next);
        if (ct_scope_end(step) != CT_OK)
            break;
    }
    text = ct_vocab_decode(vocab, ids, count);
    printf("%s: %s\n", label, text);
    free(text);
    free(ids);
    ct_state_free(state);
}

int main(int argc, char **argv)
{
    options o = options_parse(argc, argv);
    bool sample;
    ct_corpus *corpus = options_corpus(&o, &sample);
    const ct_vocab *vocab = ct_corpus_vocab(corpus);
    ct_loader *train = options_train_loader(&o, corpus), *val = options_val_loader(&o, corpus);
    ct_params *params = ct_params_new((ct_params_options){ .seed = o.seed, .device = o.device });
    rnnlm m = { .params = params, .lr = o.lr, .vocab = ct_vocab_size(vocab) };
    ct_model model = { .self = &m,
                       .params = params,
                       .training_step = step,
                       .configure_optimizers = configure_optimizers };
    ct_trainer trainer = options_trainer(&o, corpus);
    ct_fit_result fit;

    m.rnn =
        o.model(params, "rnn",
                (ct_nn_recurrent_options){
                    .hidden_size = o.hidden, .num_layers = (int)o.layers, .dialect = o.dialect });
    m.linear = ct_nn_linear(
        params, "linear", (ct_nn_linear_options){ .out_features = m.vocab, .dialect = o.dialect });
    options_note_prefix(&o, vocab);
    predict(&m, vocab, "untrained", o.prefix, o.classic && o.length > 10 ? 10 : o.length);
    ct_trainer_stop_on_signals();
    ct_fit(&trainer, &model, train, val, &fit);
    options_note_stop(&o, &fit);
    if (fit.end != CT_FIT_END_STOPPED) {
        printf("perplexity %.1f", fit.perplexity);
        if (!isnan(fit.tokens_per_second)) /* a finished run that is resumed does not train */
            printf(", %.1f tokens/sec", fit.tokens_per_second);
        printf(" on %s%s\n", ct_device_name(o.device), sample ? ", sample text" : "");
        predict(&m, vocab, "trained", o.prefix, o.length);
        if (o.second_prefix)
            predict(&m, vocab, "trained", o.second_prefix, o.length);
    }
    ct_params_free(params);
    ct_loader_free(train);
    ct_loader_free(val);
    ct_corpus_free(corpus);
    return ct_trainer_signal() ? 128 + ct_trainer_signal() : 0;
}

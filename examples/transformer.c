/* SPDX-License-Identifier: MIT */
/* transformer.c - a character language model of The Time Machine: a causal Transformer with rotary
 * positions, and generation with a cache of keys and values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "common.h"

typedef struct charlm {
    ct_params *params;
    ct_module *embedding, *linear;
    ct_transformer *layers;
    double lr;
} charlm;

static charlm charlm_new(const options *o, int vocab)
{
    charlm m = { .lr = o->lr };
    ct_nn_transformer_options layers = { .d_model = o->hidden,
                                         .num_heads = 4,
                                         .dim_feedforward = 4 * o->hidden,
                                         .num_layers = (int)o->layers,
                                         .activation = CT_ACTIVATION_GELU_TANH,
                                         .norm_first = true,
                                         .final_norm = true,
                                         .rotary_base = 10000 };

    m.params = ct_params_new((ct_params_options){ .seed = o->seed, .device = o->device });
    m.embedding = ct_nn_embedding(m.params, "embedding",
                                  (ct_nn_embedding_options){ .rows = vocab, .size = o->hidden });
    m.layers = ct_nn_transformer_encoder(m.params, "encoder", layers);
    m.linear =
        ct_nn_linear(m.params, "linear",
                     (ct_nn_linear_options){ .in_features = o->hidden, .out_features = vocab });
    return m;
}

/* ids (B, T) -> (B, T, hidden). If next is not NULL, the T ids follow the ids that are cached in
 * past. */
static ct_tensor *charlm_hidden(const charlm *m, ct_tensor *ids, const ct_state *past,
                                ct_state **next)
{
    ct_transformer_call call = { .causal = true, .past = past, .next = next };

    return ct_transformer_forward(m->layers, ct_forward(m->embedding, ids), NULL, call);
}

static ct_tensor *step(void *self, ct_step *s)
{
    const charlm *m = self;
    ct_tensor *h = charlm_hidden(m, s->batch->x, NULL, NULL);

    return ct_nn_linear_cross_entropy(m->linear, h, s->batch->y, (ct_cross_entropy_options){ 0 });
}

static ct_optimizer *configure_optimizers(void *self)
{
    const charlm *m = self;

    return ct_adamw_new(m->params, (ct_adam_options){ .lr = m->lr });
}

/* Reads the ids (1, T) of a prefix, or one id, after those whose keys and values are in past. */
static ct_state *read_ids(void *self, ct_tensor *ids, ct_tensor *lengths, const ct_state *past)
{
    ct_state *next;

    (void)lengths;
    charlm_hidden(self, ids, past, &next);
    return next;
}

static ct_tensor *next_logits(void *self, ct_tensor *ids, const ct_state *past, ct_state **next)
{
    const charlm *m = self;
    ct_tensor *h = charlm_hidden(m, ct_unsqueeze(ids, 1), past, next);

    return ct_forward(m->linear, ct_select(h, 1, -1)); /* (1, vocab) */
}

/* Prints prefix and the n most likely characters after it. */
static void generate(charlm *m, const ct_vocab *vocab, const char *prefix, int64_t n)
{
    ct_decoder decoder = { .self = m,
                           .vocab = ct_vocab_size(vocab),
                           .device = ct_params_device(m->params),
                           .step = next_logits,
                           .read = read_ids };
    int32_t *ids = calloc(strlen(prefix) + 1, sizeof *ids);
    ct_generation_row row = { .prefix = ids };
    ct_generation *g;
    char *text;

    if (!ids)
        return;
    row.prefix_count = (int)ct_vocab_encode(vocab, prefix, strlen(prefix), ids, NULL);
    g = ct_generation_new(&decoder, 1, &row, NULL, (ct_generation_options){ .max_tokens = n });
    text = ct_vocab_decode(vocab, ct_generation_get(g, 0, 0).ids,
                           (size_t)ct_generation_get(g, 0, 0).count);
    printf("trained: %s%s\n", prefix, text);
    free(text);
    free(ids);
    ct_generation_free(g);
}

int main(int argc, char **argv)
{
    options o =
        options_parse_for(argc, argv, "Trains a Transformer on characters of The Time Machine.",
                          "data hidden layers epochs lr clip batch steps num-train num-val "
                          "prefix length seed threads device",
                          (options){ .hidden = 64,
                                     .layers = 2,
                                     .epochs = 1,
                                     .lr = 0.003,
                                     .clip = 1,
                                     .batch = 64,
                                     .steps = 32,
                                     .num_train = 10000,
                                     .num_val = 1000,
                                     .prefix = "it has",
                                     .length = 20 });
    ct_corpus *corpus = options_corpus(&o, NULL);
    const ct_vocab *vocab = ct_corpus_vocab(corpus);
    ct_loader *train = options_train_loader(&o, corpus), *val = options_val_loader(&o, corpus);
    charlm m = charlm_new(&o, ct_vocab_size(vocab));
    ct_model model = { .self = &m,
                       .params = m.params,
                       .training_step = step,
                       .configure_optimizers = configure_optimizers };
    ct_trainer trainer = options_trainer(&o, corpus);
    ct_fit_result fit;

    options_note_prefix(&o, vocab);
    ct_trainer_stop_on_signals();
    ct_fit(&trainer, &model, train, val, &fit);
    options_note_stop(&o, &fit);
    if (fit.end != CT_FIT_END_STOPPED) {
        printf("perplexity %.2f, validation %.2f\n", fit.perplexity, fit.validation_perplexity);
        generate(&m, vocab, o.prefix, o.length);
    }
    ct_params_free(m.params);
    ct_loader_free(train);
    ct_loader_free(val);
    ct_corpus_free(corpus);
    return ct_trainer_signal() ? 128 + ct_trainer_signal() : 0;
}

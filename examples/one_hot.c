/* SPDX-License-Identifier: MIT */
/* one_hot.c - a table of vectors, one for each token, read in three ways that give the same results
 * from the same weights: the product of a one-hot vector and the table; the same product by Linear,
 * which gathers the row because it knows the index of the 1; and an embedding, which gathers the
 * row by its number.
 *
 *     a vocabulary of 4580
 *                             perplexity  validation  tokens/s
 *     one-hot times table       425.6636    836.9424      5900
 *     one-hot through Linear    425.6636    836.9424      8338
 *     embedding                 425.6636    836.9424      8228 */
#include <stdio.h>

#include <cotangent.h>

#include "common.h"
#include "lm.h"

enum { WAYS = 3 };

typedef struct model {
    lm lm;
    int way;
    ct_param *table; /* (vocab, hidden) */
} model;

/* ids (B, T) -> rows of the table (T, B, hidden) */
static ct_tensor *rows_of(const model *m, ct_tensor *ids)
{
    ct_tensor *table = ct_param_value(m->table), *by_time = ct_transpose(ids, 0, 1);

    switch (m->way) {
    case 0:
        return ct_matmul(ct_one_hot(by_time, m->lm.vocab), table);
    case 1:
        return ct_linear(ct_one_hot(by_time, m->lm.vocab), ct_transpose(table, 0, 1), NULL);
    default:
        return ct_embedding(table, by_time);
    }
}

static ct_tensor *forward(lm *m, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    ct_tensor *y = ct_recurrent_forward(m->rnn, rows_of((model *)m, ids), state, next);

    return ct_transpose(ct_forward(m->linear, y), 0, 1);
}

int main(int argc, char **argv)
{
    static const char *const names[WAYS] = { "one-hot times table", "one-hot through Linear",
                                             "embedding" };
    options o = options_parse_for(argc, argv, "Reads a table of vectors in three ways.",
                                  "model data tokens hidden epochs lr clip batch steps num-train "
                                  "num-val seed threads device",
                                  (options){ .hidden = 32,
                                             .layers = 1,
                                             .epochs = 3,
                                             .lr = 1,
                                             .clip = 1,
                                             .batch = 64,
                                             .steps = 32,
                                             .num_train = 1000,
                                             .num_val = 200,
                                             .tokens = CT_TOKEN_KIND_WORD });
    ct_corpus *corpus = options_corpus(&o, NULL);

    printf("a vocabulary of %d\n", ct_vocab_size(ct_corpus_vocab(corpus)));
    printf("                        perplexity  validation  tokens/s\n");
    for (int way = 0; way < WAYS; way++) {
        model m = { .lm = lm_begin(&o, corpus), .way = way };
        ct_params *params = m.lm.params;
        ct_fit_result fit;

        m.lm.forward = forward;
        m.lm.rnn = o.model(params, "rnn", (ct_nn_recurrent_options){ .hidden_size = o.hidden });
        m.lm.linear =
            ct_nn_linear(params, "linear", (ct_nn_linear_options){ .out_features = m.lm.vocab });
        /* each model gets the same numbers, because they are drawn from the stream of the name */
        m.table =
            ct_params_add(params, "table", CT_SHAPE(m.lm.vocab, o.hidden), ct_init_normal(0, 1));
        lm_fit(&m.lm, &fit);
        printf("%-22s %11.4f %11.4f %9.0f\n", names[way], fit.perplexity, fit.validation_perplexity,
               fit.tokens_per_second);
        lm_free(&m.lm);
    }
    ct_corpus_free(corpus);
    return 0;
}

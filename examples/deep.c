/* SPDX-License-Identifier: MIT */
/* deep.c - an exercise of d2l.ai's chapter "Concise Implementation of Recurrent Neural Networks":
 * what happens with more hidden layers, and can you make it work? With the chapter's initial
 * weights and optimiser, a stack of eight layers hardly learns. Orthogonal weights keep the size of
 * the signal through all layers, and with Adam one learning rate works for every depth.
 *
 *     perplexity of training and validation after 3 epochs
 *     layers  as the chapter      orthogonal        and Adam
 *          1     8.36   8.70     8.02   8.61     7.72   8.24
 *          2     8.08   8.78     7.38   8.28     6.85   7.57
 *          4     8.65   8.60     7.08   8.32     6.39   7.62
 *          8    14.22  13.67     9.10   9.19     7.58   8.99 */
#include <stdio.h>

#include <cotangent.h>

#include "common.h"
#include "lm.h"

/* Trains a stack of o.layers and returns its perplexities. */
static ct_fit_result run(options o, const ct_corpus *corpus, bool orthogonal, bool adam)
{
    lm m = lm_new(&o, corpus, (ct_nn_recurrent_options){ 0 });
    ct_fit_result fit;

    if (orthogonal)
        ct_params_init(ct_params_sub(m.params, "rnn"), ct_init_orthogonal(1), o.seed);
    m.adam = adam;
    if (adam)
        m.lr = 0.003 * o.lr;
    lm_fit(&m, &fit);
    lm_free(&m);
    return fit;
}

int main(int argc, char **argv)
{
    options o = options_parse_for(argc, argv, "Stacks recurrent layers, and makes them work.",
                                  "model data hidden layers epochs lr clip batch steps num-train "
                                  "num-val seed threads device",
                                  (options){ .hidden = 32,
                                             .layers = 8,
                                             .epochs = 3,
                                             .lr = 1,
                                             .clip = 1,
                                             .batch = 100,
                                             .steps = 32,
                                             .num_train = 10000,
                                             .num_val = 1000 });
    ct_corpus *corpus = options_corpus(&o, NULL);

    printf("perplexity of training and validation after %lld epochs\n"
           "layers  as the chapter      orthogonal        and Adam\n",
           (long long)o.epochs);
    for (int64_t layers = 1; layers <= o.layers; layers *= 2) {
        options deep = o;

        deep.layers = layers;
        printf("%6lld", (long long)layers);
        for (int way = 0; way < 3; way++) {
            ct_fit_result fit = run(deep, corpus, way >= 1, way >= 2);

            printf("   %6.2f %6.2f", fit.perplexity, fit.validation_perplexity);
            fflush(stdout);
        }
        printf("\n");
    }
    ct_corpus_free(corpus);
    return 0;
}

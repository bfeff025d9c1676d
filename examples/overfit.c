/* SPDX-License-Identifier: MIT */
/* overfit.c - an exercise of d2l.ai's chapter "Concise Implementation of Recurrent Neural
 * Networks": can you make the model overfit? With less text, more units or more epochs, the
 * perplexity of the training text falls, and that of the validation text, which follows it in the
 * book, rises.
 *
 *                    units  windows  epochs     train  validation        best
 *                       32    10000      25      5.09        7.63        7.35 in epoch 13
 *     less text         32     1000      25      5.06       15.25       11.18 in epoch 10
 *     + more units     128     1000      25      2.70       24.80       11.52 in epoch 7
 *     + more epochs    128     1000     100      1.25       92.85       11.52 in epoch 7 */
#include <stdio.h>

#include <cotangent.h>

#include "common.h"
#include "lm.h"

/* Trains with these options and prints a line of the table. */
static void run(const char *what, options o, const ct_corpus *corpus)
{
    lm m = lm_new(&o, corpus, (ct_nn_recurrent_options){ 0 });
    ct_fit_result fit;

    lm_fit(&m, &fit);
    printf("%-14s %5lld %8lld %7lld  %8.2f  %10.2f  %10.2f in epoch %lld\n", what,
           (long long)o.hidden, (long long)o.num_train, (long long)o.epochs, fit.perplexity,
           fit.validation_perplexity, fit.best_perplexity, (long long)fit.best_epoch);
    fflush(stdout);
    lm_free(&m);
}

int main(int argc, char **argv)
{
    options o = options_parse_for(argc, argv, "Makes the chapter's language model overfit.",
                                  "model data hidden epochs lr clip batch steps num-train num-val "
                                  "svg seed threads device",
                                  (options){ .hidden = 128,
                                             .layers = 1,
                                             .epochs = 100,
                                             .lr = 1,
                                             .clip = 1,
                                             .batch = 100,
                                             .steps = 32,
                                             .num_train = 1000,
                                             .num_val = 1000 });
    ct_corpus *corpus = options_corpus(&o, NULL);
    options less = o;

    less.first_val = o.first_val = 10 * o.num_train;
    less.num_train = 10 * o.num_train;
    less.hidden = (o.hidden + 3) / 4;
    less.epochs = (o.epochs + 3) / 4;
    less.svg = NULL;
    printf("               units  windows  epochs     train  validation        best\n");
    run("", less, corpus);
    less.num_train = o.num_train;
    run("less text", less, corpus);
    less.hidden = o.hidden;
    run("+ more units", less, corpus);
    run("+ more epochs", o, corpus);
    if (o.svg)
        printf("its curves are in %s\n", o.svg);
    ct_corpus_free(corpus);
    return !ct_ok();
}

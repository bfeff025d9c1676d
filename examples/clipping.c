/* SPDX-License-Identifier: MIT */
/* clipping.c - shows the effect of gradient clipping on an RNN of ReLUs with a high learning rate.
 * Without clipping, the gradients of some batch explode, and the run ends at the first loss that is
 * not finite. With a bound it continues, and with a good bound it learns fast.
 *
 *     bound perplexity    norm  clipped
 *     none  ends in epoch 2: ... the training loss is -nan in epoch 2, batch 2 (step 10); ...
 *     10    ends in epoch 2: ... the training loss is -nan in epoch 2, batch 3 (step 11); ...
 *     3           8.53     0.31       0%
 *     1           8.14     0.29       0%
 *     0.3         6.89     0.36      75%
 *     0.1         9.11     0.46     100% */
#include <stdio.h>
#include <stdlib.h>

#include <cotangent.h>

#include "common.h"
#include "lm.h"

enum { BOUNDS = 6 };

static const double bounds[BOUNDS] = { 0, 10, 3, 1, 0.3, 0.1 }; /* 0: no clipping */
static const char *const names[BOUNDS] = { "none", "10", "3", "1", "0.3", "0.1" };

/* Collects the perplexities of the epochs. */
typedef struct curve {
    int64_t count;
    double *epoch, *perplexity;
} curve;

static bool note(void *context, const ct_fit_result *so_far)
{
    curve *c = context;

    c->epoch[c->count] = (double)so_far->epochs;
    c->perplexity[c->count++] = so_far->perplexity;
    return true;
}

/* Trains with one bound and prints a line. If the run diverges, prints its error and clears it,
 * because the next run has another model. */
static void run(const options *o, const ct_corpus *corpus, int i, curve *c)
{
    lm m = lm_new(o, corpus, (ct_nn_recurrent_options){ .nonlinearity = CT_NONLINEARITY_RELU });
    ct_callback each = { .context = c, .epoch = note };
    ct_fit_result fit;

    m.trainer.gradient_clip_val = bounds[i];
    m.trainer.callbacks = &each;
    m.trainer.callback_count = 1;
    m.trainer.svg = NULL;
    ct_error_set_handler(NULL, NULL);
    if (lm_fit(&m, &fit) == CT_OK)
        printf("%-5s %10.2f %8.2f %7.0f%%\n", names[i], fit.perplexity, fit.gradient_norm,
               100 * fit.clipped);
    else
        printf("%-5s ends in epoch %lld: %s\n", names[i], (long long)c->count + 1,
               ct_error_message());
    fflush(stdout);
    ct_error_clear();
    ct_exit_on_error();
    lm_free(&m);
}

static ct_status draw(const char *path, const curve *c)
{
    const ct_plot_options plot = {
        .title = "Clipping", .x_label = "epoch", .y_label = "perplexity", .log_y = true
    };
    ct_plot_series lines[BOUNDS];

    for (int i = 0; i < BOUNDS; i++)
        lines[i] = (ct_plot_series){
            .name = names[i], .count = c[i].count, .x = c[i].epoch, .y = c[i].perplexity
        };
    return ct_plot_save(path, plot, BOUNDS, lines);
}

int main(int argc, char **argv)
{
    options o = options_parse_for(argc, argv, "Trains with several bounds on the gradient's norm.",
                                  "data hidden layers epochs lr batch steps random max-tokens svg "
                                  "seed threads device",
                                  (options){ .classic = true,
                                             .hidden = 128,
                                             .layers = 1,
                                             .epochs = 20,
                                             .lr = 5,
                                             .batch = 32,
                                             .steps = 35,
                                             .max_tokens = 10000 });
    ct_corpus *corpus = options_corpus(&o, NULL);
    double *numbers = calloc((size_t)o.epochs, 2 * BOUNDS * sizeof *numbers);
    curve c[BOUNDS];

    if (!numbers)
        ct_raise(CT_ERR_MEMORY, "clipping", "out of memory");
    printf("bound perplexity    norm  clipped\n");
    for (int i = 0; i < BOUNDS; i++) {
        c[i] = (curve){ .epoch = numbers + 2 * i * o.epochs,
                        .perplexity = numbers + (2 * i + 1) * o.epochs };
        run(&o, corpus, i, &c[i]);
    }
    if (o.svg && draw(o.svg, c) == CT_OK)
        printf("the curves are in %s\n", o.svg);
    free(numbers);
    ct_corpus_free(corpus);
    return 0;
}

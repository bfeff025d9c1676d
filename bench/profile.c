/* SPDX-License-Identifier: MIT */
/* profile.c - the time of each part of a training step. Each part is measured separately, on the
 * values of the part before, without their history. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

enum part { INPUT, RECURRENCE, OUTPUT, LOSS, D_LOSS, D_OUTPUT, D_RECURRENCE, CLIP, UPDATE, PARTS };

static const char *const names[PARTS] = { "input",
                                          "recurrence",
                                          "output",
                                          "loss",
                                          "gradient of loss",
                                          "gradient of output",
                                          "gradient of recurrence",
                                          "clip",
                                          "update" };

static double taken(double *since)
{
    double before = *since;

    *since = now();
    return *since - before;
}

static void step(const model *m, const sizes *s, const int32_t *ids, ct_state *state, double *spent)
{
    ct_scope scope = ct_scope_begin();
    ct_shape shape = CT_SHAPE(s->batch, s->steps);
    ct_state *next;
    ct_tensor *x, *y, *h, *h_leaf, *logits, *logits_leaf, *loss;
    double since = now();

    x = ct_from_data(ids, shape, CT_I32, CT_CPU);
    y = ct_from_data(ids + 1, shape, CT_I32, CT_CPU);
    x = ct_one_hot(ct_transpose(x, 0, 1), s->vocab);
    spent[INPUT] += taken(&since);
    h = ct_recurrent_forward(m->rnn, x, state, &next);
    spent[RECURRENCE] += taken(&since);
    h_leaf = ct_set_requires_grad(ct_detach(h), true);
    since = now();
    logits = ct_forward(m->linear, h_leaf);
    spent[OUTPUT] += taken(&since);
    logits_leaf = ct_set_requires_grad(ct_detach(logits), true);
    since = now();
    loss = ct_cross_entropy(ct_transpose(logits_leaf, 0, 1), y);
    spent[LOSS] += taken(&since);
    ct_backward(loss);
    spent[D_LOSS] += taken(&since);
    ct_backward_with(logits, ct_tensor_grad(logits_leaf));
    spent[D_OUTPUT] += taken(&since);
    ct_backward_with(h, ct_tensor_grad(h_leaf));
    spent[D_RECURRENCE] += taken(&since);
    ct_clip_grad_norm(m->params, 1.0, NULL);
    spent[CLIP] += taken(&since);
    ct_optimizer_step(m->sgd);
    spent[UPDATE] += taken(&since);
    ct_state_carry(state, next);
    (void)!ct_scope_end(scope);
}

/* Computes the GFLOP of the products of each part in one step. */
static void work_of(const sizes *s, int gates, double *gflop)
{
    double tokens = (double)(s->batch * s->steps) * 1e-9, h = (double)s->hidden;

    memset(gflop, 0, PARTS * sizeof *gflop);
    gflop[RECURRENCE] = tokens * 2 * gates * h * h;
    gflop[D_RECURRENCE] = 2 * gflop[RECURRENCE];
    gflop[OUTPUT] = tokens * 2 * h * (double)s->vocab;
    gflop[D_OUTPUT] = 2 * gflop[OUTPUT];
}

static void one(const char *name, const sizes *s, maker make, int gates, double seconds)
{
    int32_t *ids = ids_of(s);
    model m = model_new(s, make);
    ct_state *state = ct_recurrent_begin_state(m.rnn, s->batch);
    double spent[PARTS] = { 0 }, gflop[PARTS], all = 0, most, end;
    const char *vectors;
    int steps, i;

    for (i = 0; i < 3; i++)
        step(&m, s, ids, state, spent);
    memset(spent, 0, sizeof spent);
    most = peak(0.2, &vectors);
    end = now() + seconds;
    for (steps = 0; now() < end; steps++)
        step(&m, s, ids, state, spent);
    work_of(s, gates, gflop);
    for (i = 0; i < PARTS; i++)
        all += spent[i];
    printf("%s: %.0f us a step, %s peak %.1f GFLOP/s\n", name, all * 1e6 / steps, vectors, most);
    for (i = 0; i < PARTS; i++) {
        double rate = gflop[i] * steps / spent[i];

        printf("    %-24s %9.1f us %5.1f %%", names[i], spent[i] * 1e6 / steps,
               100 * spent[i] / all);
        if (rate > 0)
            printf(" %8.1f GFLOP/s %4.0f %% of the peak", rate, 100 * rate / most);
        printf("\n");
    }
    ct_state_free(state);
    model_free(&m);
    free(ids);
}

void profile(double seconds)
{
    one("classic-rnn", &classic, ct_nn_rnn, 1, seconds);
    one("classic-lstm", &classic, ct_nn_lstm, 4, seconds);
    one("classic-gru", &classic, ct_nn_gru, 3, seconds);
    one("book-rnn", &book, ct_nn_rnn, 1, seconds);
}

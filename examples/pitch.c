/* SPDX-License-Identifier: MIT */
/* pitch.c - the pitch of a tone, 750 times a second, in an audio callback: a model of a few thousand
 * weights reads blocks of 64 samples at 48 kHz. It is trained on tones that the program makes, becomes
 * a plan, which never allocates, locks or calls the system, and may become a C file.
 *
 *     pitch [STEPS [FILE.c]]
 *
 * The last line has the worst time of a block; a block lasts 1333 microseconds. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cotangent.h>

enum { RATE = 48000, BLOCK = 64, BLOCKS = 32, BATCH = 32, HIDDEN = 24 };

/* ---- tones: four harmonics and some noise ---- */

typedef struct tone {
    double pitch; /* octaves above 100 Hz */
    double phase, strength[4];
} tone;

static tone tone_draw(ct_generator *g)
{
    tone t = { .pitch = 3 * ct_random_uniform(g), .phase = ct_random_uniform(g) };

    for (int k = 0; k < 4; k++)
        t.strength[k] = (0.2 + ct_random_uniform(g)) / (k + 1);
    return t;
}

static void tone_play(tone *t, ct_generator *g, float *x)
{
    for (int i = 0; i < BLOCK; i++) {
        double v = 0.02 * (ct_random_uniform(g) - 0.5);

        for (int k = 0; k < 4; k++)
            v += t->strength[k] * sin(2 * M_PI * (k + 1) * t->phase);
        x[i] = (float)v;
        t->phase = fmod(t->phase + 100 * exp2(t->pitch) / RATE, 1);
    }
}

/* ---- the model: a block of samples -> the pitch, in octaves above 100 Hz ---- */

typedef struct model {
    ct_params *params;
    ct_module *front, *back;
    ct_recurrent *gru;
} model;

static model model_new(void)
{
    model m = { .params = ct_params_new((ct_params_options){ .seed = 1 }) };

    m.front = ct_nn_linear(m.params, "front",
                           (ct_nn_linear_options){ .in_features = BLOCK, .out_features = HIDDEN });
    m.gru = ct_nn_gru(m.params, "gru",
                      (ct_nn_gru_options){ .input_size = HIDDEN, .hidden_size = HIDDEN });
    m.back = ct_nn_linear(m.params, "back",
                          (ct_nn_linear_options){ .in_features = HIDDEN, .out_features = 1 });
    return m;
}

/* x (T, B, 64) -> (T, B, 1) */
static ct_tensor *model_forward(const model *m, ct_tensor *x)
{
    x = ct_abs(ct_forward(m->front, x)); /* filters, rectified */
    return ct_forward(m->back, ct_recurrent_forward(m->gru, x, NULL, NULL));
}

/* The same for one block and a state: the function of the plan. */
static ct_status model_step(void *context, ct_plan_call *call)
{
    const model *m = context;
    ct_tensor *x = ct_abs(ct_forward(m->front, call->input[0]));

    call->output[0] = ct_forward(m->back, ct_recurrent_step(m->gru, x, call->state, &call->next));
    return ct_error();
}

static ct_status model_train(const model *m, int steps)
{
    static float x[BLOCKS][BATCH][BLOCK], y[BLOCKS][BATCH];
    ct_generator g = ct_generator_from_seed(2);
    ct_optimizer *adam = ct_adam_new(m->params, (ct_adam_options){ .lr = 0.005 });
    ct_status status = CT_OK;

    for (int i = 1; i <= steps && status == CT_OK; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *loss;

        for (int b = 0; b < BATCH; b++) {
            tone t = tone_draw(&g);

            for (int k = 0; k < BLOCKS; k++) {
                if (k == BLOCKS / 4) /* a new tone: the state must follow */
                    t = tone_draw(&g);
                tone_play(&t, &g, x[k][b]);
                y[k][b] = (float)t.pitch;
            }
        }
        loss = ct_mse_loss(
            model_forward(m, ct_from_data(x, CT_SHAPE(BLOCKS, BATCH, BLOCK), CT_F32, CT_CPU)),
            ct_from_data(y, CT_SHAPE(BLOCKS, BATCH, 1), CT_F32, CT_CPU), CT_REDUCTION_MEAN);
        ct_backward(loss);
        ct_clip_grad_norm(m->params, 1, NULL);
        ct_optimizer_step(adam);
        if (i % 100 == 0 || i == steps)
            printf("step %d: error %.3f octaves\n", i, sqrt(ct_item(loss)));
        status = ct_scope_end(s);
    }
    ct_optimizer_free(adam);
    return status;
}

/* ---- the callback ---- */

static double microseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Plays some seconds of tones through the plan. */
static ct_status listen(ct_plan *p, int seconds)
{
    float *x = ct_plan_input(p, 0);
    const float *y = ct_plan_output(p, 0);
    ct_generator g = ct_generator_from_seed(3);
    double worst = 0, sum = 0, squares = 0;
    int blocks = seconds * RATE / BLOCK, counted = 0;
    tone t = tone_draw(&g);

    for (int i = 0; i < blocks; i++) {
        double began, took;

        if (i % 75 == 0) /* a new tone each tenth of a second */
            t = tone_draw(&g);
        tone_play(&t, &g, x);
        began = microseconds();
        if (ct_plan_run(p) != CT_OK)
            return ct_error();
        took = microseconds() - began;
        sum += took;
        worst = took > worst ? took : worst;
        if (i % 75 >= 8) { /* after 11 ms */
            squares += (y[0] - t.pitch) * (y[0] - t.pitch);
            counted++;
        }
    }
    printf("%d blocks: error %.3f octaves; %.1f us a block, the worst %.1f us; %zu bytes\n", blocks,
           sqrt(squares / counted), sum / blocks, worst, ct_plan_bytes(p));
    return CT_OK;
}

int main(int argc, char **argv)
{
    model m = model_new();
    ct_state *begin = ct_recurrent_begin_state(m.gru, 1);
    ct_plan_options options = { .shape = { CT_SHAPE(1, BLOCK) }, .dtype = { CT_F32 } };
    ct_plan *p = NULL;
    ct_status status = model_train(&m, argc > 1 ? atoi(argv[1]) : 1000);

    options.state = begin;
    if (status == CT_OK)
        p = ct_plan_new_function(m.params, model_step, &m, options);
    status = p ? listen(p, 10) : ct_error();
    if (status == CT_OK && argc > 2)
        status = ct_export_c(p, argv[2], (ct_export_options){ .name = "pitch" });
    ct_plan_free(p);
    ct_state_free(begin);
    ct_params_free(m.params);
    return status != CT_OK;
}

/* SPDX-License-Identifier: MIT */
/* bench.c - measures one case for some seconds and prints one line: the result, and the greatest
 * resident memory of this process in MiB.
 *
 *     bench CASE [threads] [seconds]
 *
 * Cases: classic-rnn, classic-lstm, classic-gru, book-rnn (tokens/s of whole training steps:
 * forward, backward, clip, update; the sizes of the two protocols), generate (tokens/s, one row,
 * hidden 256), add (microseconds to record and differentiate one scalar addition), start
 * (milliseconds of a whole process that makes a layer and runs it), bandwidth (ct_add of 32 MiB
 * over memcpy), linear (the speed of Linear, 1,120 rows, 256 to 256, over that of cblas_sgemm, one
 * thread each), peak (GFLOP/s of fused multiply-adds in registers, one thread). `profile` and
 * `scaling` print tables; `gpu [device] [seconds]` a line, of training on a GPU; `ops [NAME|all]
 * [elements] [seconds]` the time of single ops (ops.c); `recurrent ...` one recurrent layer
 * (recurrent.c); `step CASE COUNT` makes COUNT steps of a case of training, generation or addition on
 * one thread and prints nothing (callgrind.sh). For an unknown case the exit status is 2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/bench.h"

const sizes classic = { 32, 35, 256, 28, 1 }, book = { 1024, 32, 32, 28, 1 };

double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double cpu_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

model model_new(const sizes *s, maker make)
{
    model m;

    m.params = ct_params_new((ct_params_options){ .seed = 1 });
    m.rnn = make(m.params, "rnn",
                 (ct_nn_recurrent_options){
                     .input_size = s->vocab, .hidden_size = s->hidden, .num_layers = s->layers });
    m.linear =
        ct_nn_linear(m.params, "linear",
                     (ct_nn_linear_options){ .in_features = s->hidden, .out_features = s->vocab });
    m.sgd = ct_sgd_new(m.params, (ct_sgd_options){ .lr = 0.1 });
    return m;
}

void model_free(model *m)
{
    ct_optimizer_free(m->sgd);
    ct_params_free(m->params);
}

/* ids (B, T) -> the states of the last layer (T, B, hidden) */
static ct_tensor *hidden(const model *m, const sizes *s, ct_tensor *ids, const ct_state *state,
                         ct_state **next)
{
    ct_tensor *x = ct_one_hot(ct_transpose(ids, 0, 1), s->vocab);

    return ct_recurrent_forward(m->rnn, x, state, next);
}

ct_tensor *forward(const model *m, const sizes *s, ct_tensor *ids, const ct_state *state,
                   ct_state **next)
{
    return ct_transpose(ct_forward(m->linear, hidden(m, s, ids, state, next)), 0, 1);
}

static void training_step(const model *m, const sizes *s, const int32_t *ids, ct_state *state)
{
    ct_scope step = ct_scope_begin();
    ct_shape shape = CT_SHAPE(s->batch, s->steps);
    ct_tensor *x = ct_from_data(ids, shape, CT_I32, CT_CPU);
    ct_tensor *y = ct_from_data(ids + 1, shape, CT_I32, CT_CPU);
    ct_state *next;
    ct_tensor *h = hidden(m, s, x, state, &next);

    ct_backward(ct_nn_linear_cross_entropy(m->linear, h, ct_transpose(y, 0, 1),
                                           (ct_cross_entropy_options){ 0 }));
    ct_clip_grad_norm(m->params, 1.0, NULL);
    ct_optimizer_step(m->sgd);
    ct_state_carry(state, next);
    (void)!ct_scope_end(step); /* an error ends the program */
}

int32_t *ids_of(const sizes *s)
{
    int64_t n = s->batch * s->steps + 1, i;
    int32_t *ids = malloc((size_t)n * sizeof *ids);

    for (i = 0; i < n; i++)
        ids[i] = (int32_t)(i * i % s->vocab);
    return ids;
}

double flops_of(const sizes *s, int gates)
{
    double h = (double)s->hidden, layers = s->layers;

    return 3 * 2 * (gates * h * h * (2 * layers - 1) + h * (double)s->vocab);
}

double train(const sizes *s, maker make, double seconds)
{
    int64_t i, steps = 0;
    int32_t *ids = ids_of(s);
    model m = model_new(s, make);
    ct_state *state = ct_recurrent_begin_state(m.rnn, s->batch);
    double start;

    for (i = 0; i < 3; i++)
        training_step(&m, s, ids, state);
    for (start = now(); now() - start < seconds; steps++)
        training_step(&m, s, ids, state);
    start = now() - start;
    ct_state_free(state);
    model_free(&m);
    free(ids);
    return (double)(steps * s->batch * s->steps) / start;
}

/* Generates one token greedily, with one row. */
static void generate_token(const model *m, ct_state *state, int32_t *id)
{
    ct_scope step = ct_scope_begin_no_grad();
    ct_state *next;
    ct_tensor *x = ct_from_data(id, CT_SHAPE(1, 1), CT_I32, CT_CPU);

    *id = (int32_t)ct_item(ct_argmax(forward(m, &classic, x, state, &next), 2, false));
    ct_state_carry(state, next);
    (void)!ct_scope_end(step);
}

/* Returns tokens/s of greedy generation. */
static double generate(double seconds)
{
    model m = model_new(&classic, ct_nn_rnn);
    ct_state *state = ct_recurrent_begin_state(m.rnn, 1);
    int64_t tokens = 0;
    int32_t id = 3;
    double start;

    for (start = now(); now() - start < seconds; tokens++)
        generate_token(&m, state, &id);
    start = now() - start;
    ct_state_free(state);
    model_free(&m);
    return (double)tokens / start;
}

#define CHAIN 100 /* additions */

static void add_chain(ct_tensor *one)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *y = one;
    int i;

    for (i = 0; i < CHAIN; i++)
        y = ct_add(y, one);
    ct_backward(y);
    (void)!ct_scope_end(s);
}

/* Returns the microseconds for each addition in a chain, forward and backward. */
static double scalar_add(double seconds)
{
    ct_scope outer = ct_scope_begin();
    ct_tensor *one = ct_set_requires_grad(ct_ones(CT_SCALAR, CT_F32, CT_CPU), true);
    int64_t chains = 0;
    double start;

    for (start = now(); now() - start < seconds; chains++)
        add_chain(one);
    start = now() - start;
    (void)!ct_scope_end(outer);
    return start * 1e6 / (double)(chains * CHAIN);
}

/* The work of the process that case start measures. */
static void nothing(void)
{
    model m = model_new(&classic, ct_nn_rnn);
    ct_scope s = ct_scope_begin_no_grad();

    ct_forward(m.linear, ct_ones(CT_SHAPE(1, classic.hidden), CT_F32, CT_CPU));
    (void)!ct_scope_end(s);
    model_free(&m);
}

/* Returns the result of a case other than training; -1 for an unknown case. */
static double figure_of(const char *name, const char *program, double seconds)
{
    const char *vectors;

    if (strcmp(name, "generate") == 0)
        return generate(seconds);
    if (strcmp(name, "add") == 0)
        return scalar_add(seconds);
    if (strcmp(name, "start") == 0)
        return start_up(program);
    if (strcmp(name, "bandwidth") == 0)
        return bandwidth(seconds);
    if (strcmp(name, "linear") == 0)
        return linear_share(seconds);
    if (strcmp(name, "peak") == 0)
        return peak(seconds, &vectors);
    return -1;
}

/* Makes steps of training, or generates tokens. */
static void count_steps(const sizes *s, maker make, int64_t trained, int64_t generated)
{
    int32_t *ids = ids_of(s), id = 3;
    model m = model_new(s, make);
    ct_state *state = ct_recurrent_begin_state(m.rnn, generated ? 1 : s->batch);

    while (trained-- > 0)
        training_step(&m, s, ids, state);
    while (generated-- > 0)
        generate_token(&m, state, &id);
    ct_state_free(state);
    model_free(&m);
    free(ids);
}

/* Makes `count` chains of additions. */
static void count_additions(int64_t count)
{
    ct_scope outer = ct_scope_begin();
    ct_tensor *one = ct_set_requires_grad(ct_ones(CT_SCALAR, CT_F32, CT_CPU), true);

    while (count-- > 0)
        add_chain(one);
    (void)!ct_scope_end(outer);
}

static const struct {
    const char *name;
    const sizes *sizes;
    maker make;
} cases[] = { { "classic-rnn", &classic, ct_nn_rnn },
              { "classic-lstm", &classic, ct_nn_lstm },
              { "classic-gru", &classic, ct_nn_gru },
              { "book-rnn", &book, ct_nn_rnn } };

/* `step CASE COUNT`; returns the exit status. */
static int steps_of(const char *name, int64_t count)
{
    (void)ct_set_num_threads(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(name, cases[i].name) == 0) {
            count_steps(cases[i].sizes, cases[i].make, count, 0);
            return 0;
        }
    if (strcmp(name, "generate") == 0)
        count_steps(&classic, ct_nn_rnn, 0, count);
    else if (strcmp(name, "add") == 0)
        count_additions(count);
    else
        return 2;
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    int threads = argc > 2 && strcmp(name, "gpu") != 0 ? atoi(argv[2]) : 1;
    double seconds = argc > 3 ? atof(argv[3]) : 2, figure = -1;
    struct rusage used;

    ct_exit_on_error();
    if (strcmp(name, "layers") == 0) {
        (void)ct_set_num_threads(1);
        layers(argc > 2 && strcmp(argv[2], "all") != 0 ? argv[2] : NULL,
               argc > 3 ? atof(argv[3]) : 0.2);
        return 0;
    }
    if (strcmp(name, "ops") == 0) {
        (void)ct_set_num_threads(1);
        ops(argc > 2 && strcmp(argv[2], "all") != 0 ? argv[2] : NULL,
            argc > 3 ? atoll(argv[3]) : 100000, argc > 4 ? atof(argv[4]) : 0.1);
        return 0;
    }
    if (strcmp(name, "step") == 0 && argc > 3)
        return steps_of(argv[2], atoll(argv[3]));
    if (strcmp(name, "recurrent") == 0)
        return recurrent_run(argc - 2, argv + 2);
    (void)ct_set_num_threads(threads);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(name, cases[i].name) == 0)
            figure = train(cases[i].sizes, cases[i].make, seconds);
    if (figure < 0)
        figure = figure_of(name, argv[0], seconds);
    if (figure >= 0) {
        getrusage(RUSAGE_SELF, &used);
        printf("%.6g %ld\n", figure, used.ru_maxrss / 1024);
    } else if (strcmp(name, "profile") == 0) {
        profile(seconds);
    } else if (strcmp(name, "gpu") == 0) {
        gpu_line(argc > 2 ? argv[2] : "cuda", seconds);
    } else if (strcmp(name, "scaling") == 0) {
        scaling(seconds);
    } else if (strcmp(name, "nothing") == 0) {
        nothing();
    } else if (strcmp(name, "about") == 0) {
        ct_build_print(stdout);
    } else {
        fprintf(stderr, "usage: bench CASE [threads] [seconds]; the cases are in bench.c\n");
        return 2;
    }
    return 0;
}

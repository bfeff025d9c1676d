/* SPDX-License-Identifier: MIT */
/* recurrent.c - times one training step of one recurrent layer: forward and all gradients, without
 * a loss.
 *
 *     bench recurrent rnn|lstm|gru HIDDEN f32|bf16 [THREADS] [SECONDS] [FILE]
 *
 * Prints the median time of a step in microseconds, and the FMA peak in GFLOP/s. With one thread
 * the time is processor time. The peak is the better one of two measurements, before and after the
 * steps. Before each step every weight is written in place, outside the measured time, so that no
 * step can reuse results of an earlier step. With a FILE, writes the results of the first step to
 * it (recurrent.h).
 *
 *     bench recurrent rnn|lstm|gru HIDDEN compare FILE FILE
 *
 * prints the greatest difference of two such files, divided by the greatest element of the
 * array. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
#include "bench/recurrent.h"

/* With one thread this is processor time, which other programs disturb little. Otherwise it is
 * the clock. */
static double layer_time(void)
{
    struct timespec t;

    if (ct_num_threads() > 1)
        return now();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct layer_case {
    const char *name;
    maker make;
    int gates;
} layer_case;

typedef struct timed_layer {
    int64_t hidden;
    ct_params *params;
    ct_recurrent *rnn;
    ct_state *begin;
    ct_tensor *x, *dy;
} timed_layer;

static const char *const layer_parameters[] = { "weight_ih_l0", "weight_hh_l0", "bias_ih_l0",
                                                "bias_hh_l0" };

static ct_param *layer_parameter(const timed_layer *l, int i)
{
    char name[32];

    snprintf(name, sizeof name, "r.%s", layer_parameters[i]);
    return ct_params_get(l->params, name);
}

static void layer_write(FILE *f, ct_tensor *t)
{
    ct_tensor *c = ct_contiguous(t);

    fwrite(ct_data(c), sizeof(float), (size_t)ct_numel(c), f);
}

/* Adds 0 to every weight, in place. */
static void layer_touch(const timed_layer *l)
{
    ct_scope s = ct_scope_begin_no_grad();
    int i;

    for (i = 0; i < 4; i++) {
        ct_tensor *w = ct_param_value(layer_parameter(l, i));
        volatile float *p = ct_mutable_data(w);
        int64_t n = ct_numel(w), j;

        for (j = 0; j < n; j++)
            p[j] = p[j];
    }
    (void)!ct_scope_end(s);
}

/* Runs one step and returns its seconds. */
static double layer_step(const timed_layer *l, FILE *file)
{
    double start = layer_time(), spent;
    ct_scope s = ct_scope_begin();
    ct_state *next;
    ct_tensor *y = ct_recurrent_forward(l->rnn, l->x, l->begin, &next);
    int i;

    ct_backward_with(y, l->dy);
    spent = layer_time() - start;
    if (file) {
        layer_write(file, y);
        for (i = 0; i < ct_state_count(next); i++)
            layer_write(file, ct_state_get(next, i));
        layer_write(file, ct_tensor_grad(l->x));
        for (i = 0; i < 4; i++)
            if (i != 2)
                layer_write(file, ct_tensor_grad(ct_param_value(layer_parameter(l, i))));
    }
    start = layer_time();
    ct_params_zero_grad(l->params);
    ct_tensor_zero_grad(l->x);
    (void)!ct_scope_end(s);
    return spent + (layer_time() - start);
}

static int layer_by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double layer_median(const timed_layer *l, double seconds)
{
    enum { MOST_STEPS = 100000 };
    double *spent = malloc(MOST_STEPS * sizeof *spent), end = now() + seconds, median;
    int n = 0;

    while (n < 3 || (n < MOST_STEPS && now() < end)) {
        layer_touch(l);
        spent[n++] = layer_step(l, NULL);
    }
    qsort(spent, (size_t)n, sizeof *spent, layer_by_time);
    median = spent[n / 2];
    free(spent);
    return median;
}

static void layer_new(timed_layer *l, maker make)
{
    const int arrays[] = { LAYER_W_IH, LAYER_W_HH, LAYER_B_IH, LAYER_B_HH };
    ct_scope s;
    int i;

    l->params = ct_params_new((ct_params_options){ .seed = 1 });
    l->rnn = make(l->params, "r",
                  (ct_nn_recurrent_options){ .input_size = LAYER_INPUT, .hidden_size = l->hidden });
    l->begin = ct_recurrent_begin_state(l->rnn, LAYER_BATCH);
    s = ct_scope_begin_no_grad();
    for (i = 0; i < 4; i++) {
        ct_tensor *w = ct_param_value(layer_parameter(l, i));

        layer_fill(ct_mutable_data(w), ct_numel(w), arrays[i], l->hidden);
    }
    (void)!ct_scope_end(s);
    l->x = ct_zeros(CT_SHAPE(LAYER_STEPS, LAYER_BATCH, LAYER_INPUT), CT_F32, CT_CPU);
    l->dy = ct_zeros(CT_SHAPE(LAYER_STEPS, LAYER_BATCH, l->hidden), CT_F32, CT_CPU);
    layer_fill(ct_mutable_data(l->x), ct_numel(l->x), LAYER_X, l->hidden);
    layer_fill(ct_mutable_data(l->dy), ct_numel(l->dy), LAYER_DY, l->hidden);
    l->x = ct_set_requires_grad(l->x, true);
}

/* The greatest difference of n elements of two files, divided by the greatest element. NaN if a
 * file is too short. */
static double layer_difference(FILE *a, FILE *b, int64_t n)
{
    double most = 0, difference = 0;
    float x, y;
    int64_t i;

    for (i = 0; i < n; i++) {
        if (fread(&x, sizeof x, 1, a) != 1 || fread(&y, sizeof y, 1, b) != 1)
            return NAN;
        most = fmax(most, fabs((double)x));
        if (!(fabs((double)x - (double)y) <= difference))
            difference = fabs((double)x - (double)y);
    }
    return difference / most;
}

/* Prints the greatest difference of all arrays of two files of results. */
static int layer_compare(const layer_case *c, int64_t hidden, const char *ours, const char *theirs)
{
    const int64_t rows = LAYER_STEPS * LAYER_BATCH, state = LAYER_BATCH * hidden;
    const int64_t wide = c->gates * hidden;
    const int64_t size[] = {
        rows * hidden, state, c->gates == 4 ? state : 0, rows * LAYER_INPUT, wide * LAYER_INPUT,
        wide * hidden, wide
    };
    FILE *a = fopen(ours, "rb"), *b = fopen(theirs, "rb");
    double most = 0;
    size_t i;

    for (i = 0; a && b && i < sizeof size / sizeof *size; i++) {
        double d = size[i] ? layer_difference(a, b, size[i]) : 0;

        most = d <= most ? most : d;
    }
    if (a && b)
        printf("%.2g\n", most);
    if (a)
        fclose(a);
    if (b)
        fclose(b);
    return a && b ? 0 : 2;
}

int recurrent_run(int argc, char **argv)
{
    static const layer_case cases[] = { { "rnn", ct_nn_rnn, 1 },
                                        { "lstm", ct_nn_lstm, 4 },
                                        { "gru", ct_nn_gru, 3 } };
    double seconds = argc > 4 ? atof(argv[4]) : 1, before, after, median;
    const layer_case *c = NULL;
    const char *vectors;
    timed_layer l;
    ct_scope outer;
    FILE *file;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc > 2 && strcmp(argv[0], cases[i].name) == 0)
            c = &cases[i];
    if (!c)
        return 2;
    if (argc > 4 && strcmp(argv[2], "compare") == 0)
        return layer_compare(c, atoll(argv[1]), argv[3], argv[4]);
    file = argc > 5 ? fopen(argv[5], "wb") : NULL;
    if (argc > 5 && !file)
        return 2;
    (void)ct_set_num_threads(argc > 3 ? atoi(argv[3]) : 1);
    if (strcmp(argv[2], "bf16") == 0 && ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) != CT_OK)
        return 2;
    l.hidden = atoll(argv[1]);
    outer = ct_scope_begin();
    layer_new(&l, c->make);
    layer_step(&l, file);
    if (file)
        fclose(file);
    before = peak(0.05, &vectors);
    median = layer_median(&l, seconds);
    after = peak(0.05, &vectors);
    printf("%.2f %.1f\n", median * 1e6, before > after ? before : after);
    ct_state_free(l.begin);
    (void)!ct_scope_end(outer);
    ct_params_free(l.params);
    return 0;
}

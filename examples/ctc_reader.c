/* SPDX-License-Identifier: MIT */
/* ctc_reader.c - reads numbers from strips of pixels, column by column, without knowing where a digit begins: a
 * bidirectional LSTM and connectionist temporal classification (Graves et al. 2006). The program draws digits of 3 x 5
 * dots, with gaps and noise. A strip is wrong if any of its digits is. */
#include <stdio.h>
#include <stdlib.h>

#include <cotangent.h>

#include "common.h"

enum {
    DIGITS = 10,
    ROWS = 5,
    WIDE = 3,
    LENGTH = 4,
    COLUMNS = 28,
    BLANK = 0,
    STEPS = 100 /* of an epoch */
};

typedef struct reader {
    ct_params *params;
    ct_module *conv;
    ct_recurrent *lstm;
    ct_module *linear; /* class 0 is the blank, class 1 + d the digit d */
} reader;

/* ---- the data ---- */

/* clang-format off */
static const char *const glyphs[DIGITS] = {
    "####.##.##.####", ".#.##..#..#.###", "###..#####..###", "###..#.##..####", "#.##.####..#..#",
    "####..###..####", "#..#..####.####", "###..#..#.#..#.", "####.#####.####", "####.####..#..#"
};
/* clang-format on */

/* One strip, (ROWS, COLUMNS) */
static void draw(ct_generator *g, float *x, int32_t *label)
{
    int column = 1 + (int)ct_random_below(g, 3);

    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = 0.4F * (float)(ct_random_uniform(g) - 0.5);
    for (int k = 0; k < LENGTH; k++) {
        int digit = (int)ct_random_below(g, DIGITS);

        label[k] = 1 + digit;
        for (int c = 0; c < WIDE; c++)
            for (int r = 0; r < ROWS; r++)
                x[r * COLUMNS + column + c] += glyphs[digit][r * WIDE + c] == '#';
        column += WIDE + 1 + (int)ct_random_below(g, 3);
    }
}

/* n strips (n, ROWS, COLUMNS); *labels becomes their digits (n, LENGTH), as classes. */
static ct_tensor *strips(ct_generator *g, int64_t n, ct_device device, ct_tensor **labels)
{
    float *x = calloc((size_t)n, COLUMNS * ROWS * sizeof *x);
    int32_t *label = calloc((size_t)n, LENGTH * sizeof *label);
    ct_tensor *t;

    for (int64_t i = 0; i < n && x && label; i++)
        draw(g, x + i * ROWS * COLUMNS, label + i * LENGTH);
    t = ct_from_data(x, CT_SHAPE(n, ROWS, COLUMNS), CT_F32, device);
    *labels = ct_from_data(label, CT_SHAPE(n, LENGTH), CT_I32, device);
    free(x), free(label);
    return t;
}

/* ---- the model ---- */

/* (B, ROWS, COLUMNS) -> (COLUMNS, B, 1 + DIGITS) */
static ct_tensor *scores(const reader *m, ct_tensor *x)
{
    ct_tensor *features = ct_relu(ct_forward(m->conv, x));
    ct_tensor *steps = ct_transpose(ct_transpose(features, 1, 2), 0, 1); /* (COLUMNS, B, hidden) */

    return ct_forward(m->linear, ct_recurrent_forward(m->lstm, steps, NULL, NULL));
}

/* The share of n new strips that is wrong. A strip is read as the most likely class of each column, without
 * repetitions and blanks. */
static double error_rate(const reader *m, int64_t n, ct_generator *g)
{
    ct_scope scope = ct_scope_begin_inference();
    ct_tensor *labels, *x = strips(g, n, ct_params_device(m->params), &labels);
    ct_tensor *best = ct_to(ct_transpose(ct_argmax(scores(m, x), -1, false), 0, 1), CT_CPU);
    const int64_t *read = ct_data(best = ct_contiguous(best));
    const int32_t *label = ct_data(labels = ct_to(labels, CT_CPU));
    int64_t wrong = 0;

    for (int64_t i = 0; i < n && read && label; i++, read += COLUMNS, label += LENGTH) {
        int count = 0, right = 0;

        for (int c = 0; c < COLUMNS; c++)
            if (read[c] != BLANK && (c == 0 || read[c] != read[c - 1])) {
                right += count < LENGTH && read[c] == label[count];
                count++;
            }
        wrong += right != LENGTH || count != LENGTH;
    }
    (void)!ct_scope_end(scope); /* an error has ended the program */
    return (double)wrong / (double)n;
}

int main(int argc, char **argv)
{
    options o = options_parse_for(
        argc, argv, "An LSTM with CTC reads digits that the program draws.",
        "hidden epochs lr batch num-val seed threads device",
        (options){ .hidden = 32, .lr = 0.01, .batch = 32, .epochs = 6, .num_val = 500 });
    ct_params *p = ct_params_new((ct_params_options){ .seed = o.seed, .device = o.device });
    const ct_nn_conv_options conv = { .out_channels = o.hidden, .kernel = { 5 }, .padding = { 2 } };
    const ct_nn_lstm_options lstm = { .hidden_size = o.hidden, .bidirectional = true };
    reader m = { p, ct_nn_conv1d(p, "conv", conv), ct_nn_lstm(p, "lstm", lstm),
                 ct_nn_linear(p, "linear", (ct_nn_linear_options){ .out_features = 1 + DIGITS }) };
    ct_optimizer *adam = ct_adam_new(p, (ct_adam_options){ .lr = o.lr });
    ct_generator g = ct_generator_from_seed(o.seed);

    for (int64_t i = 1; i <= o.epochs * STEPS; i++) {
        ct_scope scope = ct_scope_begin();
        ct_tensor *labels, *x = strips(&g, o.batch, o.device, &labels);
        ct_tensor *columns = ct_full(CT_SHAPE(o.batch), COLUMNS, CT_I32, o.device);
        ct_tensor *lengths = ct_full(CT_SHAPE(o.batch), LENGTH, CT_I32, o.device), *loss;

        loss = ct_ctc_loss(ct_log_softmax(scores(&m, x), -1), labels, columns, lengths,
                           (ct_ctc_options){ .blank = BLANK });
        ct_backward(loss);
        ct_clip_grad_norm(p, 1, NULL);
        ct_optimizer_step(adam);
        if (i % STEPS == 0)
            printf("epoch %lld: loss %.4f, %.3f of the strips wrong\n", (long long)i / STEPS,
                   ct_item(loss), error_rate(&m, o.num_val, &g));
        (void)!ct_scope_end(scope);
    }
    ct_optimizer_free(adam);
    ct_params_free(p);
}

/* SPDX-License-Identifier: MIT */
/* lenet.c - LeNet-5 (LeCun et al. 1998) in d2l's form, on digits that the program draws: bitmaps of 5 x 7
 * dots, enlarged, moved, slanted and with noise, in images of 28 x 28.
 *
 *     epoch 1: loss 1.7450, accuracy 0.521
 *     epoch 5: loss 0.1772, accuracy 0.916
 *     epoch 10: loss 0.0151, accuracy 0.967 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cotangent.h>

#include "common.h"

enum { DIGITS = 10, SIZE = 28, ROWS = 7, COLUMNS = 5 };

typedef struct classifier {
    ct_params *params;
    ct_module *net;
    double lr;
    ct_tensor *val_x, *val_y; /* validation images */
} classifier;

static const char *const glyphs[DIGITS] = {
    ".###.#...##..###.#.###..##...#.###.", "..#...##....#....#....#....#...###.",
    ".###.#...#....#...#...#...#...#####", "#####...#...#.....#.....##...#.###.",
    "...#...##..#.#.#..#.#####...#....#.", "######....####.....#....##...#.###.",
    "..##..#...#....####.#...##...#.###.", "#####....#...#...#...#....#....#...",
    ".###.#...##...#.###.#...##...#.###.", ".###.#...##...#.####....#...#..##.."
};

static double between(ct_generator *g, double low, double high)
{
    return low + (high - low) * ct_random_uniform(g);
}

/* One image, (SIZE, SIZE). A dot is 1.8 to 3.2 pixels wide. */
static void draw(int digit, ct_generator *g, float *image)
{
    double height = between(g, 1.8, 3.2), width = between(g, 1.8, 3.2);
    double slant = between(g, -0.3, 0.3), top = between(g, 0, SIZE - ROWS * height);
    double left = between(g, 3, SIZE - 3 - COLUMNS * width);

    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++) {
            double skew = slant * (y - top - ROWS * height / 2);
            double row = floor((y - top) / height), column = floor((x - left + skew) / width);
            bool inside = row >= 0 && row < ROWS && column >= 0 && column < COLUMNS;

            image[y * SIZE + x] = (float)between(g, -0.4, 0.4);
            if (inside && glyphs[digit][(int)(row * COLUMNS + column)] == '#')
                image[y * SIZE + x] += 1;
        }
}

/* n images: x (n, 1, SIZE, SIZE), y (n) the digits. */
static void digits(int64_t n, ct_generator *g, ct_tensor **x, ct_tensor **y)
{
    float *image = calloc((size_t)n, SIZE * SIZE * sizeof *image);
    int64_t *digit = calloc((size_t)n, sizeof *digit);

    for (int64_t i = 0; i < n && image && digit; i++) {
        digit[i] = (int64_t)ct_random_below(g, DIGITS);
        draw((int)digit[i], g, image + i * SIZE * SIZE);
    }
    *x = ct_from_data(image, CT_SHAPE(n, 1, SIZE, SIZE), CT_F32, CT_CPU);
    *y = ct_from_data(digit, CT_SHAPE(n), CT_I64, CT_CPU);
    free(image);
    free(digit);
}

static ct_module *lenet(ct_params *p)
{
    ct_nn_conv_options first = { .out_channels = 6, .kernel = { 5 }, .padding = { 2 } };
    ct_nn_conv_options second = { .out_channels = 16, .kernel = { 5 } };
    ct_pool_options halve = { .kernel = { 2 } };

    return ct_nn_sequential(
        p, 12,
        (ct_module *[]){
            ct_nn_conv2d(p, "conv1", first), ct_nn_op(p, ct_tanh), ct_nn_avg_pool2d(p, halve),
            ct_nn_conv2d(p, "conv2", second), ct_nn_op(p, ct_tanh), ct_nn_avg_pool2d(p, halve),
            ct_nn_flatten(p), ct_nn_linear(p, "fc1", (ct_nn_linear_options){ .out_features = 120 }),
            ct_nn_op(p, ct_tanh),
            ct_nn_linear(p, "fc2", (ct_nn_linear_options){ .out_features = 84 }),
            ct_nn_op(p, ct_tanh),
            ct_nn_linear(p, "fc3", (ct_nn_linear_options){ .out_features = DIGITS }) });
}

static ct_tensor *training_step(void *self, ct_step *s)
{
    const classifier *m = self;

    return ct_cross_entropy(ct_forward(m->net, s->batch->x), s->batch->y);
}

static ct_optimizer *configure_optimizers(void *self)
{
    const classifier *m = self;

    return ct_adam_new(m->params, (ct_adam_options){ .lr = m->lr });
}

/* Prints the loss and the accuracy: the share of validation images whose digit gets the highest
 * score. */
static bool print(void *context, const ct_fit_result *r)
{
    const classifier *m = context;
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *guess = ct_argmax(ct_forward(m->net, m->val_x), -1, false);
    double accuracy = ct_item(ct_mean(ct_cast(ct_eq(guess, m->val_y), CT_F32)));

    if (r->epochs == 1 || r->epochs % 5 == 0)
        printf("epoch %lld: loss %.4f, accuracy %.3f\n", (long long)r->epochs, r->loss, accuracy);
    return ct_scope_end(s) == CT_OK;
}

int main(int argc, char **argv)
{
    options o = options_parse_for(
        argc, argv, "LeNet tells apart digits that it draws itself.",
        "epochs lr batch num-train num-val seed threads device",
        (options){ .epochs = 10, .lr = 0.002, .batch = 32, .num_train = 4096, .num_val = 1024 });
    ct_params *params = ct_params_new((ct_params_options){ .seed = o.seed, .device = o.device });
    classifier m = { .params = params, .net = lenet(params), .lr = o.lr };
    ct_model model = { .self = &m,
                       .params = params,
                       .training_step = training_step,
                       .configure_optimizers = configure_optimizers };
    ct_callback each = { .context = &m, .epoch = print };
    ct_trainer trainer = { .max_epochs = o.epochs, .callbacks = &each, .callback_count = 1 };
    ct_generator g = ct_generator_from_seed(o.seed);
    ct_scope scope = ct_scope_begin();
    ct_tensor *x, *y;
    ct_loader *train;

    digits(o.num_train, &g, &x, &y);
    train = ct_loader_tensors_new(
        x, y,
        (ct_loader_tensors_options){
            .batch_size = o.batch, .shuffle = true, .seed = o.seed, .device = o.device });
    digits(o.num_val, &g, &x, &y);
    m.val_x = ct_to(x, o.device);
    m.val_y = ct_to(y, o.device);
    ct_fit(&trainer, &model, train, NULL, NULL);
    ct_loader_free(train);
    ct_params_free(params);
    return ct_scope_end(scope);
}

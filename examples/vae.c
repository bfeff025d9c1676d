/* SPDX-License-Identifier: MIT */
/* vae.c - a variational autoencoder (Kingma and Welling 2014) of discs, squares and crosses that the program draws, on
 * 12 x 12 pixels. The loss is minus the evidence lower bound (ELBO) in nats per image: the binary cross-entropy of
 * the pixels plus the divergence of the code from a normal distribution. New images come from random codes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cotangent.h>

#include "common.h"

enum { SIZE = 12, PIXELS = SIZE * SIZE, CODE = 6, STEPS = 100 /* of an epoch */ };

typedef struct vae {
    ct_params *params;
    ct_module *encoder, *decoder; /* (B, PIXELS) -> (B, 2 CODE): mean, log of the variance; back */
} vae;

static ct_module *mlp(ct_params *p, const char *name, int64_t in, int64_t hidden, int64_t out)
{
    ct_params *part = ct_params_sub(p, name);
    ct_nn_linear_options first = { .in_features = in, .out_features = hidden };
    ct_nn_linear_options second = { .in_features = hidden, .out_features = out };

    return ct_nn_sequential(part, 3,
                            (ct_module *[]){ ct_nn_linear(part, "0", first),
                                             ct_nn_op(part, ct_relu),
                                             ct_nn_linear(part, "2", second) });
}

/* ---- the data ---- */

static double between(ct_generator *g, double low, double high)
{
    return low + (high - low) * ct_random_uniform(g);
}

static void draw(ct_generator *g, float *image)
{
    int shape = (int)ct_random_below(g, 3);
    double r = between(g, 2, 4), cx = between(g, r, SIZE - 1 - r), cy = between(g, r, SIZE - 1 - r);

    for (int i = 0; i < PIXELS; i++) {
        double x = fabs(i % SIZE - cx), y = fabs(i / SIZE - cy);
        bool disc = hypot(x, y) <= r, square = fmax(x, y) <= r && fmax(x, y) > r - 1.2;
        bool cross = fmin(x, y) < 0.8 && fmax(x, y) <= r;

        image[i] = shape == 0 ? disc : shape == 1 ? square : cross;
    }
}

static ct_tensor *images(ct_generator *g, int64_t n, ct_device device)
{
    float *pixels = calloc((size_t)n, PIXELS * sizeof *pixels);
    ct_tensor *x;

    for (int64_t i = 0; i < n && pixels; i++)
        draw(g, pixels + i * PIXELS);
    x = ct_from_data(pixels, CT_SHAPE(n, PIXELS), CT_F32, device);
    free(pixels);
    return x;
}

/* ---- the model ---- */

/* Minus the ELBO, the mean over the images; *divergence is its second part. The code is drawn as mean + deviation
 * times a normal number, so that the gradient reaches both. */
static ct_tensor *negative_elbo(const vae *m, ct_tensor *x, ct_generator *g, double *divergence)
{
    ct_tensor *code = ct_forward(m->encoder, x), *mean = ct_narrow(code, 1, 0, CODE);
    ct_tensor *log_var = ct_narrow(code, 1, CODE, CODE), *z, *pixels, *kl;

    z = ct_add(mean, ct_mul(ct_exp(ct_mul_scalar(log_var, 0.5)), ct_randn_like(mean, g)));
    pixels = ct_bce_with_logits(ct_forward(m->decoder, z), x,
                                (ct_bce_options){ .reduction = CT_REDUCTION_SUM });
    kl = ct_sub(ct_add(ct_exp(log_var), ct_square(mean)), ct_add_scalar(log_var, 1));
    kl = ct_mul_scalar(ct_sum(kl), 0.5 / (double)ct_size(x, 0));
    *divergence = ct_item(kl);
    return ct_add(ct_div_scalar(pixels, (double)ct_size(x, 0)), kl);
}

static void train(const vae *m, const options *o, ct_generator *g)
{
    ct_optimizer *adam = ct_adam_new(m->params, (ct_adam_options){ .lr = o->lr });
    double divergence;

    for (int64_t i = 1; i <= o->epochs * STEPS; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *loss = negative_elbo(m, images(g, o->batch, o->device),
                                        ct_params_generator(m->params), &divergence);

        ct_backward(loss);
        ct_optimizer_step(adam);
        if (i % (5 * STEPS) == 0 || i == STEPS)
            printf("epoch %lld: ELBO %.2f, of it divergence %.2f\n", (long long)i / STEPS,
                   -ct_item(loss), divergence);
        if (ct_scope_end(s) != CT_OK)
            break;
    }
    ct_optimizer_free(adam);
}

/* n images of random codes, side by side. */
static void sample(const vae *m, int n, ct_generator *g)
{
    ct_scope s = ct_scope_begin_inference();
    ct_tensor *z = ct_randn(CT_SHAPE(n, CODE), CT_F32, ct_params_device(m->params), g);
    ct_tensor *x = ct_reshape(ct_sigmoid(ct_forward(m->decoder, z)), CT_SHAPE(n, SIZE, SIZE));
    float *pixel = calloc((size_t)n, PIXELS * sizeof *pixel);

    x = ct_contiguous(ct_transpose(x, 0, 1)); /* row by row */
    if (pixel && ct_to_host(x, pixel, (size_t)n * PIXELS * sizeof *pixel) == CT_OK)
        for (int i = 0; i < n * PIXELS; i++) {
            putchar(pixel[i] > 0.7F ? '#' : pixel[i] > 0.3F ? '+' : '.');
            if (i % SIZE == SIZE - 1)
                putchar(i / SIZE % n == n - 1 ? '\n' : ' ');
        }
    free(pixel);
    (void)!ct_scope_end(s); /* an error has ended the program */
}

int main(int argc, char **argv)
{
    options o =
        options_parse_for(argc, argv, "A variational autoencoder of shapes that it draws itself.",
                          "hidden epochs lr batch seed threads device",
                          (options){ .hidden = 128, .lr = 0.002, .batch = 64, .epochs = 20 });
    ct_params *p = ct_params_new((ct_params_options){ .seed = o.seed, .device = o.device });
    ct_generator g = ct_generator_from_seed(o.seed);
    vae m = { .params = p,
              .encoder = mlp(p, "encoder", PIXELS, o.hidden, 2 * CODE),
              .decoder = mlp(p, "decoder", CODE, o.hidden, PIXELS) };

    train(&m, &o, &g);
    sample(&m, 6, &g);
    ct_params_free(p);
}

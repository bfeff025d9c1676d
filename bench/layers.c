/* SPDX-License-Identifier: MIT */
/* layers.c - the time of convolutions, attention, layer norm and a transformer on one thread:
 * bench layers [NAME] [SECONDS].
 *
 * A line for each case: its name, then microseconds of a forward pass and of the backward pass to all
 * leaves; for the transformer, of a whole training step. Each is the least of many runs.
 * bench/peers/torch_layers.py runs this program and PyTorch in turns and prints both. */
#include <string.h>

#include "bench/bench.h"

enum { LAYER_CONV, LAYER_ATTENTION, LAYER_NORM };

typedef struct layer_case {
    const char *name;
    int kind;
    int64_t n, c, h, w;       /* images; batch, heads, length, size of a head; rows and columns */
    int64_t out, kernel, pad; /* of a convolution; causal: pad is 1 */
} layer_case;

static const layer_case layer_cases[] = {
    { "lenet_conv1", LAYER_CONV, 256, 1, 28, 28, 6, 5, 2 },
    { "lenet_conv2", LAYER_CONV, 256, 6, 14, 14, 16, 5, 0 },
    { "resnet_64", LAYER_CONV, 8, 64, 56, 56, 64, 3, 1 },
    { "resnet_128", LAYER_CONV, 8, 128, 28, 28, 128, 3, 1 },
    { "resnet_256", LAYER_CONV, 8, 256, 14, 14, 256, 3, 1 },
    { "resnet_512", LAYER_CONV, 8, 512, 7, 7, 512, 3, 1 },
    { "attention", LAYER_ATTENTION, 8, 8, 128, 64, 0, 0, 0 },
    { "attention_long", LAYER_ATTENTION, 1, 8, 1024, 64, 0, 0, 0 },
    { "attention_causal", LAYER_ATTENTION, 8, 8, 128, 64, 0, 0, 1 },
    { "attention_causal_long", LAYER_ATTENTION, 1, 8, 1024, 64, 0, 0, 1 },
    { "layer_norm_128", LAYER_NORM, 4096, 128, 0, 0, 0, 0, 0 },
    { "layer_norm_768", LAYER_NORM, 1024, 768, 0, 0, 0, 0, 0 },
};

/* The leaves: x, weight, bias; or q, k, v. */
typedef struct layer_leaves {
    ct_tensor *t[3];
} layer_leaves;

static ct_tensor *layer_leaf(ct_shape shape, ct_generator *g)
{
    return ct_set_requires_grad(ct_randn(shape, CT_F32, CT_CPU, g), true);
}

static layer_leaves layer_make(const layer_case *c, ct_generator *g)
{
    ct_shape x = CT_SHAPE(c->n, c->c, c->h, c->w);

    if (c->kind == LAYER_CONV)
        return (layer_leaves){ { layer_leaf(x, g),
                                 layer_leaf(CT_SHAPE(c->out, c->c, c->kernel, c->kernel), g),
                                 layer_leaf(CT_SHAPE(c->out), g) } };
    if (c->kind == LAYER_ATTENTION)
        return (layer_leaves){ { layer_leaf(x, g), layer_leaf(x, g), layer_leaf(x, g) } };
    return (layer_leaves){ { layer_leaf(CT_SHAPE(c->n, c->c), g), layer_leaf(CT_SHAPE(c->c), g),
                             layer_leaf(CT_SHAPE(c->c), g) } };
}

static ct_tensor *layer_call(const layer_case *c, const layer_leaves *l)
{
    if (c->kind == LAYER_CONV)
        return ct_conv2d(l->t[0], l->t[1], l->t[2],
                         (ct_conv_options){ .padding = { c->pad ? c->pad : CT_NO_PADDING } });
    if (c->kind == LAYER_ATTENTION)
        return ct_scaled_dot_product_attention(l->t[0], l->t[1], l->t[2],
                                               (ct_attention_options){ .causal = c->pad });
    return ct_layer_norm(l->t[0], l->t[1], l->t[2], 1e-5);
}

static double layer_seconds(const layer_case *c, const layer_leaves *l, bool backward,
                            double seconds)
{
    double best = 1e9, start, end = now() + seconds;
    int runs, i;

    for (runs = 0; runs < 5 || now() < end; runs++) {
        ct_scope s = backward ? ct_scope_begin() : ct_scope_begin_no_grad();
        ct_tensor *y = NULL, *d = NULL;

        if (backward) {
            y = layer_call(c, l);
            d = ct_ones(ct_tensor_shape(y), CT_F32, CT_CPU);
            for (i = 0; i < 3; i++)
                ct_tensor_zero_grad(l->t[i]);
        }
        start = cpu_time();
        if (backward)
            (void)!ct_backward_with(y, d);
        else
            layer_call(c, l);
        start = cpu_time() - start;
        best = start < best ? start : best;
        (void)!ct_scope_end(s);
    }
    return best;
}

/* A training step of two encoder layers: batch 8, 64 positions, width 256, 4 heads. */
static void transformer_line(double seconds)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(1);
    ct_params *params = ct_params_new((ct_params_options){ 0 });
    ct_transformer *t =
        ct_nn_transformer_encoder(params, "encoder",
                                  (ct_nn_transformer_options){ .d_model = 256,
                                                               .num_heads = 4,
                                                               .dim_feedforward = 1024,
                                                               .num_layers = 2,
                                                               .dropout = CT_ZERO });
    ct_optimizer *sgd = ct_sgd_new(params, (ct_sgd_options){ .lr = 1e-3 });
    ct_tensor *x = ct_randn(CT_SHAPE(8, 64, 256), CT_F32, CT_CPU, &g);
    double best = 1e9, start, end = now() + 2 * seconds;
    int runs;

    for (runs = 0; runs < 5 || now() < end; runs++) {
        ct_scope step = ct_scope_begin();

        start = cpu_time();
        (void)!ct_backward(ct_mean(ct_square(
            ct_transformer_forward(t, x, NULL, (ct_transformer_call){ .causal = true }))));
        (void)!ct_optimizer_step(sgd);
        start = cpu_time() - start;
        best = start < best ? start : best;
        (void)!ct_scope_end(step);
    }
    printf("transformer_step %.5g 0\n", best * 1e6);
    ct_optimizer_free(sgd);
    ct_params_free(params);
    (void)!ct_scope_end(s);
}

void layers(const char *name, double seconds)
{
    size_t i;

    for (i = 0; i < sizeof layer_cases / sizeof *layer_cases; i++) {
        const layer_case *c = &layer_cases[i];
        ct_scope s = ct_scope_begin();
        ct_generator g = ct_generator_from_seed(1);
        layer_leaves l;

        if (!name || strcmp(name, c->name) == 0) {
            l = layer_make(c, &g);
            printf("%s %.5g", c->name, layer_seconds(c, &l, false, seconds) * 1e6);
            printf(" %.5g\n", layer_seconds(c, &l, true, seconds) * 1e6);
            fflush(stdout);
        }
        (void)!ct_scope_end(s);
    }
    if (!name || strcmp(name, "transformer_step") == 0)
        transformer_line(seconds);
}

/* SPDX-License-Identifier: MIT */
/* gan.c - a generative adversarial network, with two optimisers in ct_fit: a generator learns to draw
 * from a mixture of eight Gaussians on a circle of radius 2. The first loss is the discriminator's:
 * 2 log 2 = 1.386 if it cannot distinguish real from generated points. */
#include <math.h>
#include <stdio.h>

#include <cotangent.h>

#include "common.h"

enum { CENTRES = 8, NOISE = 16 };

typedef struct gan {
    ct_params *params;
    ct_module *generator, *discriminator;
    double lr;
    int64_t epochs;
} gan;

static double centre(int k, int axis)
{
    double angle = 2 * acos(-1) * k / CENTRES;

    return 2 * (axis ? sin(angle) : cos(angle));
}

/* Returns n points of the mixture, (n, 2). */
static ct_tensor *points(int64_t n, ct_generator *g)
{
    ct_tensor *around[CENTRES];

    for (int k = 0; k < CENTRES; k++) {
        ct_tensor *x = ct_mul_scalar(ct_randn(CT_SHAPE(n / CENTRES, 2), CT_F32, CT_CPU, g), 0.1);
        ct_tensor *at = CT_STACK(0, ct_full(CT_SCALAR, centre(k, 0), CT_F32, CT_CPU),
                                 ct_full(CT_SCALAR, centre(k, 1), CT_F32, CT_CPU));

        around[k] = ct_add(x, at);
    }
    return ct_cat(CENTRES, around, 0);
}

static ct_module *net(ct_params *p, int64_t in, int64_t out)
{
    const ct_nn_linear_options wide = { .out_features = 64 };

    return ct_nn_sequential(
        p, 5,
        (ct_module *[]){
            ct_nn_linear(p, "0", (ct_nn_linear_options){ .in_features = in, .out_features = 64 }),
            ct_nn_op(p, ct_relu), ct_nn_linear(p, "2", wide), ct_nn_op(p, ct_relu),
            ct_nn_linear(p, "4", (ct_nn_linear_options){ .out_features = out }) });
}

/* Returns n points of the generator. */
static ct_tensor *generate(const gan *m, int64_t n)
{
    ct_generator *g = ct_params_generator(m->params);

    return ct_forward(m->generator,
                      ct_randn(CT_SHAPE(n, NOISE), CT_F32, ct_params_device(m->params), g));
}

/* Returns the cross-entropy between the discriminator's scores for x and truth: 1 for real points,
 * 0 for generated ones. */
static ct_tensor *opinion(const gan *m, ct_tensor *x, double truth)
{
    ct_tensor *logits = ct_forward(m->discriminator, x);
    ct_tensor *target = ct_full(ct_tensor_shape(logits), truth, CT_F32, ct_tensor_device(logits));

    return ct_bce_with_logits(logits, target, (ct_bce_options){ 0 });
}

/* One call for each optimiser: 0 is the discriminator's, 1 the generator's. ct_fit freezes the
 * parameters of the other one. */
static ct_tensor *training_step(void *self, ct_step *s)
{
    const gan *m = self;
    ct_tensor *fake = generate(m, ct_size(s->batch->x, 0));

    if (s->optimizer == 0)
        return ct_add(opinion(m, s->batch->x, 1), opinion(m, fake, 0));
    return opinion(m, fake, 1);
}

static int configure(void *self, ct_optimizer **o, int64_t *every)
{
    const gan *m = self;
    const ct_adam_options options = { .lr = m->lr, .beta1 = 0.5 };

    (void)every;
    o[0] = ct_adam_new(ct_params_sub(m->params, "discriminator"), options);
    o[1] = ct_adam_new(ct_params_sub(m->params, "generator"), options);
    return 2;
}

/* Prints, for 1,000 generated points, the share within 0.3 (three deviations) of a centre, and the
 * number of centres with more than 20 points. */
static bool print(void *context, const ct_fit_result *r)
{
    const gan *m = context;
    ct_scope scope = ct_scope_begin_inference();
    const float *at = ct_data(ct_to(generate(m, 1000), CT_CPU));
    int near[CENTRES] = { 0 }, sum = 0, found = 0;

    for (int i = 0; at && i < 1000 * CENTRES; i++) {
        const float *x = at + i / CENTRES * 2;
        int k = i % CENTRES;

        near[k] += hypot(x[0] - centre(k, 0), x[1] - centre(k, 1)) < 0.3;
    }
    for (int k = 0; k < CENTRES; k++) {
        sum += near[k];
        found += near[k] > 20;
    }
    if (r->epochs == 1 || r->epochs % 50 == 0 || r->epochs == m->epochs)
        printf(
            "epoch %lld: losses %.3f and %.3f, %.2f of the points near a centre, %d of %d found\n",
            (long long)r->epochs, r->loss, ct_fit_value(r, "train_loss_1"), sum / 1000.0, found,
            CENTRES);
    return ct_scope_end(scope) == CT_OK;
}

int main(int argc, char **argv)
{
    options o =
        options_parse_for(argc, argv, "Learns to draw points of a mixture of Gaussians.",
                          "epochs lr batch num-train seed threads device",
                          (options){ .epochs = 200, .lr = 1e-3, .batch = 128, .num_train = 4096 });
    ct_params *params = ct_params_new((ct_params_options){ .seed = o.seed, .device = o.device });
    gan m = { .params = params, .lr = o.lr, .epochs = o.epochs };
    ct_model model = {
        .self = &m, .params = params, .training_step = training_step, .configure_several = configure
    };
    ct_callback each = { .context = &m, .epoch = print };
    ct_trainer trainer = { .max_epochs = o.epochs, .callbacks = &each, .callback_count = 1 };
    ct_generator g = ct_generator_from_seed(o.seed);
    ct_scope scope = ct_scope_begin();
    ct_tensor *x = points(o.num_train, &g);
    ct_loader *train = ct_loader_tensors_new(
        x, x,
        (ct_loader_tensors_options){
            .batch_size = o.batch, .shuffle = true, .seed = o.seed, .device = o.device });

    m.generator = net(ct_params_sub(params, "generator"), NOISE, 2);
    m.discriminator = net(ct_params_sub(params, "discriminator"), 2, 1);
    ct_fit(&trainer, &model, train, NULL, NULL);
    ct_loader_free(train);
    ct_params_free(params);
    return ct_scope_end(scope);
}

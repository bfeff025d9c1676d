/* SPDX-License-Identifier: MIT */
/* linear_regression.c - d2l.ai's chapter "Concise Implementation of Linear Regression": points of
 * y = 2 x0 - 3.4 x1 + 4.2 and noise of 0.01, a Linear, the squared error, SGD.
 *
 *     epoch 1: mean squared error 11.650178, of new points 0.866644
 *     epoch 2: mean squared error 0.232542, of new points 0.016506
 *     epoch 3: mean squared error 0.004498, of new points 0.000428
 *     w (1.9939, -3.3889), b 4.1873; off by (0.0061, -0.0111), 0.0127 */
#include <stdio.h>

#include <cotangent.h>

#include "common.h"

typedef struct regression {
    ct_params *params;
    ct_module *linear;
    double lr;
} regression;

static const float true_w[2] = { 2, -3.4F };
static const float true_b = 4.2F, sigma = 0.01F;

/* Makes a loader of n new points: x (n, 2), y (n, 1). */
static ct_loader *points(int64_t n, ct_generator *g, ct_loader_tensors_options rows)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *w = ct_from_data(true_w, CT_SHAPE(2, 1), CT_F32, CT_CPU);
    ct_tensor *x = ct_randn(CT_SHAPE(n, 2), CT_F32, CT_CPU, g);
    ct_tensor *noise = ct_mul_scalar(ct_randn(CT_SHAPE(n, 1), CT_F32, CT_CPU, g), sigma);
    ct_tensor *y = ct_add(ct_add_scalar(ct_matmul(x, w), true_b), noise);
    ct_loader *l = ct_loader_tensors_new(x, y, rows);

    return ct_scope_end(s) == CT_OK ? l : NULL;
}

static ct_tensor *training_step(void *self, ct_step *s)
{
    const regression *m = self;

    return ct_mse_loss(ct_forward(m->linear, s->batch->x), s->batch->y, CT_REDUCTION_MEAN);
}

static ct_optimizer *configure_optimizers(void *self)
{
    const regression *m = self;

    return ct_sgd_new(m->params, (ct_sgd_options){ .lr = m->lr });
}

static bool print(void *context, const ct_fit_result *r)
{
    (void)context;
    printf("epoch %lld: mean squared error %.6f, of new points %.6f\n", (long long)r->epochs,
           r->loss, r->validation_loss);
    return true;
}

int main(int argc, char **argv)
{
    options o = options_parse_for(
        argc, argv, "Fits slopes and an offset to noisy points.",
        "epochs lr batch num-train num-val seed threads device",
        (options){ .epochs = 3, .lr = 0.03, .batch = 32, .num_train = 1000, .num_val = 1000 });
    ct_generator g = ct_generator_from_seed(o.seed);
    ct_loader_tensors_options rows = { .batch_size = o.batch, .seed = o.seed, .device = o.device };
    ct_loader *val = points(o.num_val, &g, rows), *train;
    ct_params *params = ct_params_new((ct_params_options){ .seed = o.seed, .device = o.device });
    regression m = { .params = params, .lr = o.lr };
    ct_model model = { .self = &m,
                       .params = params,
                       .training_step = training_step,
                       .configure_optimizers = configure_optimizers };
    ct_callback each = { .epoch = print };
    ct_trainer trainer = { .max_epochs = o.epochs, .callbacks = &each, .callback_count = 1 };
    float w[2], b;

    rows.shuffle = true;
    train = points(o.num_train, &g, rows);
    m.linear = ct_nn_linear(params, "linear", (ct_nn_linear_options){ .out_features = 1 });
    ct_fit(&trainer, &model, train, val, NULL);
    ct_to_host(ct_param_value(ct_params_get(params, "linear.weight")), w, sizeof w);
    ct_to_host(ct_param_value(ct_params_get(params, "linear.bias")), &b, sizeof b);
    printf("w (%.4f, %.4f), b %.4f; off by (%.4f, %.4f), %.4f\n", w[0], w[1], b, true_w[0] - w[0],
           true_w[1] - w[1], true_b - b);
    ct_params_free(params);
    ct_loader_free(train);
    ct_loader_free(val);
    return 0;
}

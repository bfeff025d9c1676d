/* SPDX-License-Identifier: MIT */
/* mlp.c - a multilayer perceptron: two hidden layers of ReLUs learn to which arm of a spiral a
 * point belongs.
 *
 *     epoch 1: loss 0.9114, accuracy 0.553
 *     epoch 20: loss 0.0886, accuracy 0.980
 *     epoch 40: loss 0.0387, accuracy 0.993
 *     epoch 60: loss 0.0257, accuracy 0.990
 *     epoch 80: loss 0.0133, accuracy 0.997
 *     epoch 100: loss 0.0286, accuracy 0.993 */
#include <math.h>
#include <stdio.h>

#include <cotangent.h>

#include "common.h"

enum { ARMS = 3 };

typedef struct classifier {
    ct_params *params;
    ct_module *net;
    double lr;
    ct_tensor *val_x, *val_y; /* test points, not used for training */
} classifier;

/* Makes n points of each arm: x (3 n, 2), and the number of the arm, y (3 n). An arm makes two
 * thirds of a turn while its radius grows from 0 to 1. */
static void spiral(int64_t n, ct_generator *g, ct_tensor **x, ct_tensor **y)
{
    ct_tensor *arm[ARMS], *label[ARMS];

    for (int k = 0; k < ARMS; k++) {
        ct_tensor *r = ct_rand(CT_SHAPE(n), CT_F32, CT_CPU, g);
        ct_tensor *noise = ct_mul_scalar(ct_randn(CT_SHAPE(n), CT_F32, CT_CPU, g), 0.2);
        ct_tensor *angle = ct_add(ct_mul_scalar(r, 4), noise);

        angle = ct_add_scalar(angle, 2 * acos(-1) * k / ARMS);
        arm[k] =
            ct_stack(2, (ct_tensor *[]){ ct_mul(r, ct_cos(angle)), ct_mul(r, ct_sin(angle)) }, 1);
        label[k] = ct_full(CT_SHAPE(n), k, CT_I64, CT_CPU);
    }
    *x = ct_cat(ARMS, arm, 0);
    *y = ct_cat(ARMS, label, 0);
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

/* Returns the share of test points whose arm gets the highest score. */
static double accuracy(const classifier *m)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *guess = ct_argmax(ct_forward(m->net, m->val_x), -1, false);
    double share = ct_item(ct_mean(ct_cast(ct_eq(guess, m->val_y), CT_F32)));

    return ct_scope_end(s) == CT_OK ? share : NAN;
}

static bool print(void *context, const ct_fit_result *r)
{
    if (r->epochs == 1 || r->epochs % 20 == 0)
        printf("epoch %lld: loss %.4f, accuracy %.3f\n", (long long)r->epochs, r->loss,
               accuracy(context));
    return true;
}

int main(int argc, char **argv)
{
    options o = options_parse_for(argc, argv, "Tells the arms of a spiral apart.",
                                  "hidden epochs lr batch num-train num-val seed threads device",
                                  (options){ .hidden = 64,
                                             .epochs = 100,
                                             .lr = 0.01,
                                             .batch = 32,
                                             .num_train = 100,
                                             .num_val = 100 });
    ct_params *params = ct_params_new((ct_params_options){ .seed = o.seed, .device = o.device });
    ct_nn_linear_options hidden = { .out_features = o.hidden }, last = { .out_features = ARMS };
    classifier m = { .params = params, .lr = o.lr };
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

    spiral(o.num_train, &g, &x, &y);
    train = ct_loader_tensors_new(
        x, y,
        (ct_loader_tensors_options){
            .batch_size = o.batch, .shuffle = true, .seed = o.seed, .device = o.device });
    spiral(o.num_val, &g, &x, &y);
    m.val_x = ct_to(x, o.device);
    m.val_y = ct_to(y, o.device);
    m.net = ct_nn_sequential(
        params, 5,
        (ct_module *[]){ ct_nn_linear(params, "hidden1", hidden), ct_nn_op(params, ct_relu),
                         ct_nn_linear(params, "hidden2", hidden), ct_nn_op(params, ct_relu),
                         ct_nn_linear(params, "output", last) });
    ct_fit(&trainer, &model, train, NULL, NULL);
    ct_loader_free(train);
    ct_params_free(params);
    return ct_scope_end(scope);
}

/* SPDX-License-Identifier: MIT */
/* maml.c - model-agnostic meta-learning (Finn et al., 2017): a GRU learns initial weights from which
 * two steps of SGD on one wave are enough to predict that wave. The gradient of the second loss goes
 * through both steps (ct_params_bind).
 *
 *     untrained   0.7066 -> 0.6664
 *     tasks  100  0.1015 -> 0.0373
 *     tasks  200  0.0685 -> 0.0251
 *     tasks  300  0.0529 -> 0.0184
 *     tasks  400  0.0468 -> 0.0155
 *     tasks  500  0.0364 -> 0.0137 */
#include <stdio.h>

#include <cotangent.h>

#include "common.h"

enum { STEPS = 24, INNER = 2, MOST = 16 };

typedef struct learner {
    ct_params *params;
    ct_recurrent *gru;
    ct_module *out;
    double inner_lr;
} learner;

/* Makes two waves (STEPS + 1, batch, 1) of one task, with the same amplitudes and frequencies but
 * different phases. */
static void draw_task(int64_t batch, ct_generator *g, ct_tensor *wave[2])
{
    ct_shape row = CT_SHAPE(1, batch, 1);
    ct_tensor *t = ct_reshape(ct_arange(0, STEPS + 1, 1, CT_F32, CT_CPU), CT_SHAPE(-1, 1, 1));
    double amplitude = 0.2 + 1.8 * ct_random_uniform(g), rate = 0.2 + 0.8 * ct_random_uniform(g);

    for (int k = 0; k < 2; k++) {
        ct_tensor *phase = ct_mul_scalar(ct_rand(row, CT_F32, CT_CPU, g), 6.2831853);

        wave[k] = ct_mul_scalar(ct_sin(ct_add(ct_mul_scalar(t, rate), phase)), amplitude);
    }
}

/* Returns the mean squared error of predicting each next value. */
static ct_tensor *loss_of(const learner *m, ct_tensor *wave)
{
    ct_tensor *x = ct_narrow(wave, 0, 0, STEPS), *y = ct_narrow(wave, 0, 1, STEPS);
    ct_tensor *h = ct_recurrent_forward(m->gru, x, NULL, NULL);

    return ct_mse_loss(ct_forward(m->out, h), y, CT_REDUCTION_MEAN);
}

/* Returns the loss on wave[1] after INNER steps on wave[0]. *before receives the loss before these
 * steps. */
static ct_tensor *adapt(const learner *m, ct_tensor *wave[2], double *before)
{
    ct_tensor *weight[MOST], *g[MOST], *loss;
    int n = ct_params_values(m->params, MOST, weight);

    *before = ct_item(loss_of(m, wave[1]));
    for (int k = 0; k < INNER; k++) {
        ct_params_bind(m->params, n, weight);
        loss = loss_of(m, wave[0]);
        ct_grad(1, &loss, n, weight, NULL, true, g);
        for (int i = 0; i < n; i++)
            weight[i] = ct_sub(weight[i], ct_mul_scalar(g[i], m->inner_lr));
    }
    ct_params_bind(m->params, n, weight);
    loss = loss_of(m, wave[1]);
    ct_params_bind(m->params, 0, NULL);
    return loss;
}

/* Computes the mean losses over tasks. Trains if o is not NULL. */
static ct_status run(const learner *m, int64_t tasks, int64_t batch, ct_generator *g,
                     ct_optimizer *o, double mean[2])
{
    ct_status status = CT_OK;

    mean[0] = mean[1] = 0;
    for (int64_t i = 0; i < tasks && status == CT_OK; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *wave[2], *loss;
        double before;

        draw_task(batch, g, wave);
        loss = adapt(m, wave, &before);
        mean[0] += before / (double)tasks;
        mean[1] += ct_item(loss) / (double)tasks;
        if (o) {
            ct_backward(loss);
            ct_clip_grad_norm(m->params, 1, NULL);
            ct_optimizer_step(o);
        }
        status = ct_scope_end(s);
    }
    return status;
}

int main(int argc, char **argv)
{
    options o = options_parse_for(
        argc, argv, "Learns weights from which two steps fit a new wave.",
        "hidden num-train num-val batch lr seed threads",
        (options){ .hidden = 32, .num_train = 500, .num_val = 50, .batch = 8, .lr = 0.003 });
    learner m = { .params = ct_params_new((ct_params_options){ .seed = o.seed }),
                  .inner_lr = 0.05 };
    ct_generator draws = ct_generator_from_seed(o.seed), same = ct_generator_from_seed(o.seed + 1);
    ct_generator again = same;
    ct_optimizer *adam;
    ct_status status;
    double mean[2];

    m.gru =
        ct_nn_gru(m.params, "gru", (ct_nn_gru_options){ .input_size = 1, .hidden_size = o.hidden });
    m.out = ct_nn_linear(m.params, "out",
                         (ct_nn_linear_options){ .in_features = o.hidden, .out_features = 1 });
    adam = ct_adam_new(m.params, (ct_adam_options){ .lr = o.lr });
    status = run(&m, o.num_val, o.batch, &same, NULL, mean);
    printf("untrained   %.4f -> %.4f\n", mean[0], mean[1]);
    for (int64_t done = 0; done < o.num_train && status == CT_OK; done += 100) {
        int64_t tasks = o.num_train - done < 100 ? o.num_train - done : 100;

        status = run(&m, tasks, o.batch, &draws, adam, mean);
        same = again;
        if (status == CT_OK)
            status = run(&m, o.num_val, o.batch, &same, NULL, mean);
        printf("tasks %4lld  %.4f -> %.4f\n", (long long)(done + tasks), mean[0], mean[1]);
    }
    ct_optimizer_free(adam);
    ct_params_free(m.params);
    return status;
}
